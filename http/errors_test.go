package httpedge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

// contractFaults is CONTRACT's table, written down a second time: status and
// CODE of the native surface, status and text of Qdrant's.
var contractFaults = []struct {
	code   collection.Code
	reason collection.Reason
	native int
	word   string
	qdrant int
	text   string
}{
	{collection.InvalidArgument, "", 400, "INVALID_REQUEST", 400, "Wrong input: why"},
	{collection.InvalidArgument, collection.ReasonValidation, 400, "INVALID_REQUEST", 422, "Validation error in JSON body: [why]"},
	{collection.InvalidArgument, collection.ReasonBadRequest, 400, "INVALID_REQUEST", 400, "Bad request: why"},
	{collection.InvalidArgument, reasonFormat, 400, "INVALID_REQUEST", 400, "Format error in JSON body: why"},
	{collection.InvalidArgument, reasonParameter, 400, "INVALID_REQUEST", 400, "Deserialize error in why"},
	{collection.InvalidArgument, reasonMethod, 405, "METHOD_NOT_ALLOWED", 405, "Bad request: why"},
	{collection.InvalidArgument, reasonMediaType, 415, "UNSUPPORTED_MEDIA_TYPE", 415, "Bad request: why"},
	{collection.InvalidArgument, collection.ReasonTooLarge, 413, "PAYLOAD_TOO_LARGE", 413, "Bad request: why"},
	{collection.InvalidArgument, reasonNotAcceptable, 406, "NOT_ACCEPTABLE", 406, "Bad request: why"},
	{collection.InvalidArgument, reasonHeaderTooLong, 431, "HEADERS_TOO_LARGE", 431, "Bad request: why"},
	{collection.FailedPrecondition, reasonNoEmbedding, 409, "NO_EMBEDDING_ENDPOINT", 409, "Wrong input: why"},
	{collection.FailedPrecondition, reasonEmbeddingDiffers, 409, "EMBEDDING_MISMATCH", 409, "Wrong input: why"},
	{collection.Unavailable, reasonEmbeddingRefused, 502, "EMBEDDING_FAILED", 502, "Service internal error: why"},
	{collection.Unavailable, reasonEmbeddingNotThere, 503, "EMBEDDING_UNAVAILABLE", 503, "Service unavailable: why"},
	{collection.NotFound, "", 404, "NOT_FOUND", 404, "Not found: why"},
	{collection.AlreadyExists, "", 409, "ALREADY_EXISTS", 409, "Wrong input: why"},
	{collection.FailedPrecondition, "", 412, "PRECONDITION_FAILED", 412, "Pre-condition failure: why"},
	{collection.FailedPrecondition, collection.ReasonIdempotencyReused, 422, "IDEMPOTENCY_REUSED", 422, "Wrong input: why"},
	{collection.Aborted, "", 409, "CONFLICT", 409, "Wrong input: why"},
	{collection.Unauthenticated, "", 401, "AUTH_INVALID_KEY", 401, ""},
	{collection.Unauthenticated, reasonAuthMissing, 401, "AUTH_MISSING", 401, ""},
	{collection.Unauthenticated, reasonAuthFormat, 401, "AUTH_INVALID_FORMAT", 401, ""},
	{collection.Unauthenticated, reasonAuthKey, 401, "AUTH_INVALID_KEY", 401, ""},
	{collection.Unauthenticated, reasonAuthExpired, 401, "AUTH_KEY_EXPIRED", 401, ""},
	{collection.Unauthenticated, collection.ReasonNonceReplayed, 401, "AUTH_NONCE_REPLAYED", 401, ""},
	{collection.PermissionDenied, "", 403, "FORBIDDEN", 403, "Forbidden: why"},
	{collection.PermissionDenied, collection.ReasonTenantSuspended, 403, "TENANT_SUSPENDED", 403, "Forbidden: why"},
	{collection.ResourceExhausted, "", 429, "RESOURCE_EXHAUSTED", 429, "Rate limiting exceeded: why"},
	{collection.ResourceExhausted, collection.ReasonQuota, 429, "QUOTA_EXCEEDED", 507, "Quota exceeded: why"},
	{collection.ResourceExhausted, collection.ReasonRate, 429, "RATE_LIMIT_EXCEEDED", 429, "Rate limiting exceeded: why"},
	{collection.ResourceExhausted, reasonAuthRate, 429, "AUTH_RATE_LIMIT", 429, "Rate limiting exceeded: why"},
	{collection.ResourceExhausted, collection.ReasonIndexBehind, 429, "INDEX_BEHIND", 429, "Rate limiting exceeded: why"},
	{collection.ResourceExhausted, collection.ReasonStorageFull, 507, "STORAGE_FULL", 507, "Insufficient storage: why"},
	{collection.Unavailable, "", 503, "UNAVAILABLE", 503, "Service unavailable: why"},
	{collection.Unavailable, collection.ReasonOverload, 503, "UNAVAILABLE", 503, "Service unavailable: why"},
	{collection.Unavailable, collection.ReasonNotLeader, 503, "UNAVAILABLE", 503, "Service unavailable: internal error"},
	{collection.DeadlineExceeded, "", 504, "DEADLINE_EXCEEDED", 408, "Timeout: why"},
	{collection.DeadlineExceeded, reasonSlowBody, 408, "REQUEST_TIMEOUT", 408, "Timeout: why"},
	{collection.DataLoss, "", 500, "INTERNAL", 500, "Service internal error: internal error"},
	{collection.Internal, "", 500, "INTERNAL", 500, "Service internal error: internal error"},
	{collection.OK, "", 500, "INTERNAL", 500, "Service internal error: internal error"},
	{collection.ResourceExhausted, collection.ReasonBusy, 429, "TOO_MANY_REQUESTS", 429, "Rate limiting exceeded: why"},
	{collection.Unimplemented, "", 501, "UNIMPLEMENTED", 501, "Not implemented: why"},
}

// TestEveryErrorOnEverySurface walks every code and reason through both
// surfaces over the wire.
func TestEveryErrorOnEverySurface(t *testing.T) {
	e := newEdge(t, nil)
	codes := map[collection.Code]bool{}
	reasons := map[collection.Reason]bool{}
	for _, c := range contractFaults {
		codes[c.code], reasons[c.reason] = true, true
		e.engine.err = fmt.Errorf("wrapped: %w", &collection.Error{
			Code: c.code, Reason: c.reason, Message: "why",
			Details: map[string]any{"retry_after_s": 7, "secret": "detail"}, Err: errors.New("inner secret"),
		})
		got := e.q("GET", "/collections", "")
		if got.status != c.qdrant || strings.Contains(got.text, "inner secret") {
			t.Errorf("%s %s: Qdrant %d %s, want %d", c.code, c.reason, got.status, got.text, c.qdrant)
		}
		if c.text != "" {
			body := got.json()
			if status := body["status"].(map[string]any); status["error"] != c.text || body["result"] != nil || body["time"] == nil {
				t.Errorf("%s %s: Qdrant %s, want %q", c.code, c.reason, got.text, c.text)
			}
		}
		native := e.send("DELETE", e.main+"/api/v1/tenants/x", e.keys[operator], "")
		body := native.json()
		hidden := strings.HasSuffix(c.text, "internal error")
		if native.status != c.native || body["code"] != c.word || len(body["request_id"].(string)) != 32 ||
			hidden != (body["error"] == "internal error") || hidden == strings.Contains(native.text, "detail\"") || strings.Contains(native.text, "inner secret") {
			t.Errorf("%s %s: native %d %s, want %d %s", c.code, c.reason, native.status, native.text, c.native, c.word)
		}
		wantRetry := ""
		if f := faultOf(&collection.Error{Code: c.code, Reason: c.reason}); f.retry {
			wantRetry = "7"
		}
		if c.native == 503 && wantRetry == "" || c.reason == collection.ReasonQuota && wantRetry != "" {
			t.Errorf("%s %s: Retry-After %q", c.code, c.reason, wantRetry)
		}
		for _, r := range []reply{got, native} {
			if r.header.Get("Retry-After") != wantRetry {
				t.Errorf("%s %s: Retry-After %q, want %q", c.code, c.reason, r.header.Get("Retry-After"), wantRetry)
			}
		}
	}
	for code := range collection.CodeEnd {
		if !codes[code] || faults.codes[code].native == 0 || faults.codes[code].qdrant == 0 {
			t.Errorf("code %s is not in the tables", code)
		}
	}
	for reason := range faults.reasons {
		if !reasons[reason] {
			t.Errorf("reason %s is not tested", reason)
		}
	}
}

func TestOtherErrors(t *testing.T) {
	e := newEdge(t, nil)
	for _, c := range []struct {
		err    error
		native int
		word   string
	}{
		{errors.New("disk /dev/sda1 on fire"), 500, "INTERNAL"},
		{context.DeadlineExceeded, 504, "DEADLINE_EXCEEDED"},
		{fmt.Errorf("x: %w", context.Canceled), 504, "DEADLINE_EXCEEDED"},
		{&collection.Error{Code: collection.CodeEnd + 9, Message: "from a newer node"}, 500, "INTERNAL"},
		{&hubsvc.Error{Code: hubsvc.CodeNotFound, Message: "there is no tenant x"}, 404, "NOT_FOUND"},
		{&hubsvc.Error{Code: hubsvc.CodeTenantSuspended, Message: "suspended"}, 403, "TENANT_SUSPENDED"},
		{&hubsvc.Error{Code: "NEW_WORD", Message: "what"}, 500, "INTERNAL"},
	} {
		e.engine.err = c.err
		got := e.send("DELETE", e.main+"/api/v1/tenants/x", e.keys[operator], "")
		got.is(c.native, `"code":"`+c.word+`"`)
		if strings.Contains(got.text, "sda1") || strings.Contains(got.text, "newer") || strings.Contains(got.text, "what") {
			t.Errorf("inner text: %s", got.text)
		}
	}
	if !strings.Contains(e.logged.String(), "disk /dev/sda1 on fire") {
		t.Error("the fault is not in the log")
	}
	for code := range hubCodes {
		if f := faultOf(asError(&hubsvc.Error{Code: code})); f.native == 500 && code != hubsvc.CodeDataLoss {
			t.Errorf("hub code %s is an internal fault", code)
		}
	}
}

// TestUnknownOutcomeReachesTheCaller: a retry must know that the write may have
// happened.
func TestUnknownOutcomeReachesTheCaller(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.err = &collection.Error{Code: collection.Unavailable, Message: "lost the leader", Details: map[string]any{"outcome": "unknown"}}
	e.send("DELETE", e.main+"/api/v1/tenants/x", e.keys[operator], "").is(503, `"details":{"outcome":"unknown"}`)
}

func TestPanicsAreAnswered(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.do = func(context.Context) { panic("the secret state") }
	for range 3 {
		got := e.q("GET", "/collections", "").is(500, `{"status":{"error":"Service internal error: internal error"}`)
		if strings.Contains(got.text, "secret") {
			t.Errorf("inner text: %s", got.text)
		}
	}
	e.engine.do = nil
	e.q("GET", "/collections", "").is(200, "")
	if !strings.Contains(e.logged.String(), "the secret state") {
		t.Error("the panic is not in the log")
	}
}
