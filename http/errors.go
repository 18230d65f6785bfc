package httpedge

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

// The reasons that only the edge knows. They are words of the native surface,
// as those of package collection are.
const (
	reasonAuthMissing   collection.Reason = "AUTH_MISSING"
	reasonAuthFormat    collection.Reason = "AUTH_INVALID_FORMAT"
	reasonAuthKey       collection.Reason = "AUTH_INVALID_KEY"
	reasonAuthExpired   collection.Reason = "AUTH_KEY_EXPIRED"
	reasonAuthRate      collection.Reason = "AUTH_RATE_LIMIT"
	reasonFormat        collection.Reason = "BODY_FORMAT" // the body is not JSON of the right shape
	reasonParameter     collection.Reason = "PARAMETER"   // a parameter of the URL cannot be read
	reasonMethod        collection.Reason = "METHOD_NOT_ALLOWED"
	reasonMediaType     collection.Reason = "UNSUPPORTED_MEDIA_TYPE"
	reasonSlowBody      collection.Reason = "REQUEST_TIMEOUT"
	reasonHeaderTooLong collection.Reason = "HEADERS_TOO_LARGE"
	reasonNotAcceptable collection.Reason = "NOT_ACCEPTABLE"

	reasonNoEmbedding       collection.Reason = "NO_EMBEDDING_ENDPOINT"
	reasonEmbeddingDiffers  collection.Reason = "EMBEDDING_MISMATCH"    // the endpoint is of another model than the collection
	reasonEmbeddingRefused  collection.Reason = "EMBEDDING_FAILED"      // the endpoint gives no vectors, and asking again does not help
	reasonEmbeddingNotThere collection.Reason = "EMBEDDING_UNAVAILABLE" // it gives none now
)

// fault is how one kind of error looks on each surface.
type fault struct {
	native int    // status
	word   string // CODE of the native body
	qdrant int    // status
	label  string // Qdrant's text is label + message + end
	end    string
	retry  bool  // Retry-After, from Details["retry_after_s"] or 1
	hide   bool  // the message is ours, not the caller's
	mcp    int64 // code of an error of MCP; 0: of a tool it is a result, of a request an invalid one
}

// The codes of MCP's errors.
const (
	mcpRefused   = -32001 // the credential is wrong
	mcpNobody    = -32002 // there is no credential
	mcpForbidden = -32003
	mcpRate      = -32004
	mcpQuota     = -32005
	mcpNotFound  = -32007 // what is named is not there
	mcpInternal  = -32603
)

// faults is the table of the contract. A Reason that has a row decides; else
// the Code does. Every Code has a row.
var faults = struct {
	reasons map[collection.Reason]fault
	codes   [collection.CodeEnd]fault
}{
	reasons: map[collection.Reason]fault{
		collection.ReasonValidation:        {native: 400, word: "INVALID_REQUEST", qdrant: 422, label: "Validation error in JSON body: [", end: "]"},
		collection.ReasonBadRequest:        {native: 400, word: "INVALID_REQUEST", qdrant: 400, label: "Bad request: "},
		collection.ReasonQuota:             {native: 429, word: "QUOTA_EXCEEDED", qdrant: 507, label: "Quota exceeded: ", mcp: mcpQuota},
		collection.ReasonRate:              {native: 429, word: "RATE_LIMIT_EXCEEDED", qdrant: 429, label: "Rate limiting exceeded: ", retry: true, mcp: mcpRate},
		collection.ReasonOverload:          {native: 503, word: "UNAVAILABLE", qdrant: 503, label: "Service unavailable: ", retry: true},
		collection.ReasonBusy:              {native: 429, word: "TOO_MANY_REQUESTS", qdrant: 429, label: "Rate limiting exceeded: ", retry: true, mcp: mcpRate},
		collection.ReasonIndexBehind:       {native: 429, word: "INDEX_BEHIND", qdrant: 429, label: "Rate limiting exceeded: ", retry: true, mcp: mcpRate},
		collection.ReasonStorageFull:       {native: 507, word: "STORAGE_FULL", qdrant: 507, label: "Insufficient storage: ", mcp: mcpQuota},
		collection.ReasonIdempotencyReused: {native: 422, word: "IDEMPOTENCY_REUSED", qdrant: 422, label: "Wrong input: "},
		collection.ReasonTooLarge:          {native: 413, word: "PAYLOAD_TOO_LARGE", qdrant: 413, label: "Bad request: "},
		collection.ReasonTenantSuspended:   {native: 403, word: "TENANT_SUSPENDED", qdrant: 403, label: "Forbidden: ", mcp: mcpForbidden},
		collection.ReasonNotLeader:         {native: 503, word: "UNAVAILABLE", qdrant: 503, label: "Service unavailable: ", retry: true, hide: true},
		reasonAuthMissing:                  {native: 401, word: "AUTH_MISSING", qdrant: 401, mcp: mcpNobody},
		reasonAuthFormat:                   {native: 401, word: "AUTH_INVALID_FORMAT", qdrant: 401, mcp: mcpRefused},
		reasonAuthKey:                      {native: 401, word: "AUTH_INVALID_KEY", qdrant: 401, mcp: mcpRefused},
		reasonAuthExpired:                  {native: 401, word: "AUTH_KEY_EXPIRED", qdrant: 401, mcp: mcpRefused},
		collection.ReasonNonceReplayed:     {native: 401, word: "AUTH_NONCE_REPLAYED", qdrant: 401, mcp: mcpRefused},
		reasonAuthRate:                     {native: 429, word: "AUTH_RATE_LIMIT", qdrant: 429, label: "Rate limiting exceeded: ", retry: true, mcp: mcpRate},
		reasonFormat:                       {native: 400, word: "INVALID_REQUEST", qdrant: 400, label: "Format error in JSON body: "},
		reasonParameter:                    {native: 400, word: "INVALID_REQUEST", qdrant: 400, label: "Deserialize error in "},
		reasonMethod:                       {native: 405, word: "METHOD_NOT_ALLOWED", qdrant: 405, label: "Bad request: "},
		reasonMediaType:                    {native: 415, word: "UNSUPPORTED_MEDIA_TYPE", qdrant: 415, label: "Bad request: "},
		reasonNotAcceptable:                {native: 406, word: "NOT_ACCEPTABLE", qdrant: 406, label: "Bad request: "},
		reasonSlowBody:                     {native: 408, word: "REQUEST_TIMEOUT", qdrant: 408, label: "Timeout: "},
		reasonNoEmbedding:                  {native: 409, word: "NO_EMBEDDING_ENDPOINT", qdrant: 409, label: "Wrong input: "},
		reasonEmbeddingDiffers:             {native: 409, word: "EMBEDDING_MISMATCH", qdrant: 409, label: "Wrong input: "},
		reasonEmbeddingRefused:             {native: 502, word: "EMBEDDING_FAILED", qdrant: 502, label: "Service internal error: "},
		reasonEmbeddingNotThere:            {native: 503, word: "EMBEDDING_UNAVAILABLE", qdrant: 503, label: "Service unavailable: ", retry: true},
		reasonHeaderTooLong:                {native: 431, word: "HEADERS_TOO_LARGE", qdrant: 431, label: "Bad request: "},
	},
	codes: [collection.CodeEnd]fault{
		collection.OK:                 {native: 500, word: "INTERNAL", qdrant: 500, label: "Service internal error: ", hide: true, mcp: mcpInternal},
		collection.InvalidArgument:    {native: 400, word: "INVALID_REQUEST", qdrant: 400, label: "Wrong input: "},
		collection.NotFound:           {native: 404, word: "NOT_FOUND", qdrant: 404, label: "Not found: ", mcp: mcpNotFound},
		collection.AlreadyExists:      {native: 409, word: "ALREADY_EXISTS", qdrant: 409, label: "Wrong input: "},
		collection.FailedPrecondition: {native: 412, word: "PRECONDITION_FAILED", qdrant: 412, label: "Pre-condition failure: "},
		collection.Unauthenticated:    {native: 401, word: "AUTH_INVALID_KEY", qdrant: 401, mcp: mcpRefused},
		collection.PermissionDenied:   {native: 403, word: "FORBIDDEN", qdrant: 403, label: "Forbidden: ", mcp: mcpForbidden},
		collection.ResourceExhausted:  {native: 429, word: "RESOURCE_EXHAUSTED", qdrant: 429, label: "Rate limiting exceeded: ", retry: true, mcp: mcpRate},
		collection.Unavailable:        {native: 503, word: "UNAVAILABLE", qdrant: 503, label: "Service unavailable: ", retry: true},
		collection.Aborted:            {native: 409, word: "CONFLICT", qdrant: 409, label: "Wrong input: "},
		collection.DeadlineExceeded:   {native: 504, word: "DEADLINE_EXCEEDED", qdrant: 408, label: "Timeout: "},
		collection.DataLoss:           {native: 500, word: "INTERNAL", qdrant: 500, label: "Service internal error: ", hide: true, mcp: mcpInternal},
		collection.Internal:           {native: 500, word: "INTERNAL", qdrant: 500, label: "Service internal error: ", hide: true, mcp: mcpInternal},
		collection.Unimplemented:      {native: 501, word: "UNIMPLEMENTED", qdrant: 501, label: "Not implemented: "},
	},
}

func faultOf(e *collection.Error) fault {
	if f, ok := faults.reasons[e.Reason]; ok {
		return f
	}
	if e.Code >= collection.CodeEnd {
		return faults.codes[collection.Internal]
	}
	return faults.codes[e.Code]
}

var (
	errDraining   = &collection.Error{Code: collection.Unavailable, Message: "the node is shutting down"}
	errMethod     = &collection.Error{Code: collection.InvalidArgument, Reason: reasonMethod, Message: "the method is not allowed at this path"}
	errBodiesFull = &collection.Error{Code: collection.Unavailable, Reason: collection.ReasonOverload, Message: "too many large requests at once"}
)

func errTooLarge(limit int) error {
	return &collection.Error{
		Code: collection.InvalidArgument, Reason: collection.ReasonTooLarge,
		Message: "JSON payload is larger than allowed (limit: " + strconv.Itoa(limit) + " bytes)",
		Details: map[string]any{"limit": limit},
	}
}

func errFormat(text string) error {
	return &collection.Error{Code: collection.InvalidArgument, Reason: reasonFormat, Message: text}
}

func errValue(text string) *collection.Error {
	return &collection.Error{Code: collection.InvalidArgument, Reason: collection.ReasonValidation, Message: text}
}

// hubCodes are the hub's codes in the words of the domain.
var hubCodes = map[hubsvc.Code]struct {
	code   collection.Code
	reason collection.Reason
}{
	hubsvc.CodeAuthMissing:        {collection.Unauthenticated, reasonAuthMissing},
	hubsvc.CodeAuthInvalidFormat:  {collection.Unauthenticated, reasonAuthFormat},
	hubsvc.CodeAuthInvalidKey:     {collection.Unauthenticated, reasonAuthKey},
	hubsvc.CodeAuthKeyExpired:     {collection.Unauthenticated, reasonAuthExpired},
	hubsvc.CodeNonceReplayed:      {collection.Unauthenticated, collection.ReasonNonceReplayed},
	hubsvc.CodeForbidden:          {collection.PermissionDenied, collection.ReasonNone},
	hubsvc.CodeTenantSuspended:    {collection.PermissionDenied, collection.ReasonTenantSuspended},
	hubsvc.CodeInvalidRequest:     {collection.InvalidArgument, collection.ReasonNone},
	hubsvc.CodeNotFound:           {collection.NotFound, collection.ReasonNone},
	hubsvc.CodeAlreadyExists:      {collection.AlreadyExists, collection.ReasonNone},
	hubsvc.CodeFailedPrecondition: {collection.FailedPrecondition, collection.ReasonNone},
	hubsvc.CodeQuotaExceeded:      {collection.ResourceExhausted, collection.ReasonQuota},
	hubsvc.CodeUnavailable:        {collection.Unavailable, collection.ReasonNone},
	hubsvc.CodeDataLoss:           {collection.DataLoss, collection.ReasonNone},
}

// asError returns the domain's error in err's chain, or the hub's in the words
// of the domain. A deadline that passed is one; any other error is a fault of ours.
func asError(err error) *collection.Error {
	if e, ok := errors.AsType[*collection.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*hubsvc.Error](err); ok {
		if as, ok := hubCodes[e.Code]; ok {
			return &collection.Error{Code: as.code, Reason: as.reason, Message: e.Message, Err: e.Err}
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &collection.Error{Code: collection.DeadlineExceeded, Message: "the request took longer than its deadline", Err: err}
	}
	return &collection.Error{Code: collection.Internal, Message: "internal error", Err: err}
}

// fail answers with err, in the words of the request's surface.
func (r *request) fail(err error) {
	e := asError(err)
	f := faultOf(e)
	r.failedWith(f.word)
	r.logFault(e, err, f)
	if r.forwarded != nil {
		r.failure = e // the other node puts it into words
		return
	}
	r.s.meter.failed(e, f.word)
	r.uncounted = e.Reason == collection.ReasonRate
	r.http.Response.Reset()
	r.setHeaders()
	if f.retry {
		r.http.Response.Header.Set("Retry-After", strconv.Itoa(retryAfter(e)))
	}
	switch r.surface {
	case surfaceQdrant:
		r.failQdrant(e, f)
	case surfaceMCP:
		r.failMCP(e, f)
	case surfaceNative, surfaceOperator:
		r.failNative(e, f)
	}
}

func (r *request) logFault(e *collection.Error, err error, f fault) {
	level := slog.LevelDebug
	if f.native >= 500 && e.Code != collection.Unimplemented {
		level = slog.LevelWarn
	}
	if f.hide {
		level = slog.LevelError
	}
	if !r.s.log.Enabled(r.ctx, level) {
		return
	}
	r.s.log.LogAttrs(r.ctx, level, "request failed",
		slog.String("request_id", r.id), slog.String("route", r.route),
		slog.Int("status", f.native), slog.String("error", err.Error()))
}

func retryAfter(e *collection.Error) int {
	switch n := e.Details["retry_after_s"].(type) {
	case int:
		return max(n, 1)
	case int64:
		return max(int(n), 1)
	case float64:
		return max(int(n+0.999), 1)
	}
	return 1
}

// failNative writes {"error", "code", "details", "request_id"}.
func (r *request) failNative(e *collection.Error, f fault) {
	message := e.Message
	if f.hide {
		message = "internal error"
	}
	b := append([]byte(nil), `{"error":`...)
	b = appendString(b, message)
	b = append(b, `,"code":"`...)
	b = append(b, f.word...)
	b = append(b, `","details":`...)
	b = append(b, details(e, f)...)
	b = append(b, `,"request_id":`...)
	b = appendString(b, r.id)
	r.send(f.native, append(b, '}'))
}

func details(e *collection.Error, f fault) []byte {
	b, err := json.Marshal(e.Details)
	if f.hide || len(e.Details) == 0 || err != nil {
		return []byte("{}")
	}
	return b
}

// failQdrant writes Qdrant's envelope; of an authentication failure, its plain
// text.
func (r *request) failQdrant(e *collection.Error, f fault) {
	if f.qdrant == fasthttp.StatusUnauthorized {
		text := "Invalid API key or JWT"
		if e.Reason == reasonAuthMissing {
			text = "Must provide an API key or an Authorization bearer token"
		}
		r.http.Response.SetStatusCode(f.qdrant)
		r.http.Response.Header.SetContentType("text/plain; charset=utf-8")
		r.http.Response.SetBodyString(text)
		return
	}
	r.send(f.qdrant, appendQdrantError(nil, qdrantText(e, f), r.elapsed()))
}

func qdrantText(e *collection.Error, f fault) string {
	if f.hide {
		return f.label + "internal error"
	}
	if where, ok := e.Details["in"].(string); ok && e.Reason == collection.ReasonValidation {
		return "Validation error in " + where + ": [" + e.Message + f.end
	}
	return f.label + e.Message + f.end
}
