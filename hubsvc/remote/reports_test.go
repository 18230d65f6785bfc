package remote_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// A tenant's keys are the hub's, through any client.
func TestKeysOfATenant(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	scope, err := tenant.ParseScope([]string{"a*"}, []string{"10.0.0.0/8", "::1"})
	noError(t, err)
	spec := hubsvc.KeySpec{
		Tenant: h.acme, Permissions: []tenant.Permission{tenant.ReadOnly}, Name: "app", Scope: scope, Test: true,
		Rates: &tenant.Rates{PerMinute: 5, PerHour: -1, PerDay: -1}, ExpiresAt: time.Now().Add(time.Hour),
	}
	k, plain, err := n.CreateKey(t.Context(), spec)
	noError(t, err)
	tc, err := n.Authenticate(t.Context(), plain)
	if err != nil || tc.KeyID != k.ID || tc.KeyRates == nil || tc.KeyRates.PerMinute != 5 || !reflect.DeepEqual(tc.Scope, scope) {
		t.Errorf("%+v, %v", tc, err)
	}
	got, err := n.TenantKey(t.Context(), h.acme, k.ID)
	if err != nil || !reflect.DeepEqual(got, k) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, k)
	}
	if _, err := n.TenantKey(t.Context(), "other", k.ID); code(err) != hubsvc.CodeNotFound {
		t.Errorf("another tenant's: %v", err)
	}
	list, err := n.ListKeys(t.Context(), h.acme)
	if err != nil || len(list) != 2 {
		t.Errorf("%d keys, %v", len(list), err)
	}
	made, next, old, err := n.RotateKey(t.Context(), k.ID, time.Minute)
	if err != nil || old.ID != k.ID || old.Next != made.ID {
		t.Fatalf("%+v, %v", old, err)
	}
	if tc, err := n.Authenticate(t.Context(), plain); err != nil || !tc.Deprecated {
		t.Errorf("the old key, at once: %+v, %v", tc, err)
	}
	_, err = n.Authenticate(t.Context(), next)
	noError(t, err)
	_, err = n.RevokeKey(t.Context(), made.ID)
	noError(t, err)
	if _, err := n.Authenticate(t.Context(), next); code(err) != hubsvc.CodeAuthInvalidKey {
		t.Errorf("the revoked key, at once: %v", err)
	}
	rows, _, err := n.ListAudit(t.Context(), hubsvc.AuditQuery{Tenant: h.acme, Limit: 100})
	want, _, err2 := h.ListAudit(t.Context(), hubsvc.AuditQuery{Tenant: h.acme, Limit: 100})
	if err != nil || err2 != nil || len(rows) == 0 || !reflect.DeepEqual(rows, want) {
		t.Errorf("audit: %+v, %v", rows, err)
	}
	for name, err := range map[string]error{
		"a tenant": second(n.CreateTenant(t.Context(), hubsvc.TenantSpec{Name: "x"})), "plans": second(n.Plans(t.Context())),
		"tenants": second(n.ListTenants(t.Context())), "deletion": second(n.DeleteTenant(t.Context(), h.acme)),
	} {
		if code(err) != hubsvc.CodeFailedPrecondition || !strings.Contains(err.Error(), h.server.URL) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What is reported is what CONTRACT's hub reads, again until it was taken.
func TestReports(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	var bodies []string
	lose, answer := 2, `{"accepted":true,"processed":1}`
	h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/vectorizer/") || r.Header.Get("X-Service-Name") != "waggle" {
			return false
		}
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, r.URL.Path+" "+string(b))
		if lose--; lose >= 0 {
			return cut(w, r)
		}
		return says(answer)(w, r)
	})
	report := tenant.UsageReport{
		ReportID: "r1", Source: "p:7", Sequence: 3, Start: 10, End: 20,
		Entries: []tenant.UsageEntry{{Tenant: h.acme, Collection: 1<<64 - 1, Usage: tenant.Usage{VectorsInserted: 5}, VectorCount: 9}},
	}
	noError(t, n.ReportUsage(t.Context(), []tenant.UsageReport{report}))
	if len(bodies) != 3 || bodies[0] != bodies[2] || !strings.HasPrefix(bodies[0], "/api/internal/vectorizer/usage/update {") {
		t.Fatalf("%q", bodies)
	}
	var sent tenant.UsageReport
	_, body, _ := strings.Cut(bodies[2], " ")
	if err := json.Unmarshal([]byte(body), &sent); err != nil || !reflect.DeepEqual(sent, report) {
		t.Errorf("%s, %v", body, err)
	}
	row := tenant.OperationLog{OperationID: "o", Tenant: h.acme, Operation: "search", Type: "search", Timestamp: 5, Success: true}
	noError(t, n.SendLogs(t.Context(), "svc", []tenant.OperationLog{row}))
	for _, answer = range []string{`{"accepted":true,"processed":0}`, `{"accepted":false,"processed":1}`, `{"accepted":true}`, `{}`, `{"processed":1}`} {
		if err := n.SendLogs(t.Context(), "svc", []tenant.OperationLog{row}); code(err) != hubsvc.CodeUnavailable {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// A hub that has no room for what is asked has answered; one that cannot be
// asked so often has not.
func TestNoRoomIsAnAnswer(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	report := []tenant.UsageReport{{ReportID: "r", Source: "p:1", Sequence: 1, Entries: []tenant.UsageEntry{{Tenant: h.acme}}}}
	for _, c := range []struct {
		status int
		body   string
		want   hubsvc.Code
	}{
		{429, `{"error":"too many sources","code":"QUOTA_EXCEEDED"}`, hubsvc.CodeQuotaExceeded},
		{429, `{"error":"slower","code":"RATE_LIMIT_EXCEEDED"}`, hubsvc.CodeUnavailable},
		{429, `slower`, hubsvc.CodeUnavailable},
		{413, `{"error":"too large","code":"INVALID_REQUEST"}`, hubsvc.CodeInvalidRequest},
	} {
		h.breaks(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
			return true
		})
		if err := n.ReportUsage(t.Context(), report); code(err) != c.want {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}
