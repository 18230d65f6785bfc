package remote

import (
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// FuzzAnswers gives every decoder of the hub's answers anything: what it takes
// is within its limits and names a tenant.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `null`, `{"valid":true,"tenant_id":"a","key_id":"k","permissions":["ADMIN"],"expires_at":"2030-01-01T00:00:00Z","limits":{"version":3}}`,
		`{"valid":true,"kind":"service","service":"s","key_id":"k"}`, `{"valid":false,"code":"AUTH_KEY_EXPIRED"}`,
		`{"tenant_id":"a","plan":"p","status":"suspended","vector_count":-5}`,
		`{"events":[{"version":2,"kind":"key.revoked","key_id":"k"}],"last":2,"reset":false}`, `{"events":[],"last":1,"reset":true}`,
		`{"error":"no","code":"NOT_FOUND"}`, `{"access_keys":[{"key_id":"k","tenant_id":"a","permission":"MCP"}]}`,
		`{"collections":[{"collection_id":"7","name":"n"}],"tenant_id":"a"}`, `{"entries":[{"id":"1.2","tenant_id":"a","chain":"00"}]}`,
		`{"recorded":true}`, `{"accepted":true,"processed":1}`, `{"hub":"h","version":1,"deleted":["a"]}`,
		`{"key_id":"k","tenant_id":"a","permission":"ADMIN","key":"hh_live_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","old":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decodeWhose(b, time.Unix(1, 0))
		if err == nil && w.refusal == nil && (w.tc.KeyID == "" || (w.tc.TenantID == "") == (w.tc.Service == "") || w.tc.IsOperator ||
			w.tc.TenantID != "" && (len(w.tc.Permissions) == 0 || !w.tc.Valid())) {
			t.Errorf("%q grants %+v", b, w.tc)
		}
		if q, err := decodeQuota(b, "a"); err == nil && (q.Tenant != "a" || q.Limits.Vectors < tenant.Unlimited) {
			t.Errorf("%q is %+v", b, q)
		}
		if p, err := decodeEvents(b, 1); err == nil && !p.reset && p.last < 1 {
			t.Errorf("%q goes back to %d", b, p.last)
		}
		if code, text, err := decodeRefusal(404, b); err == nil && (code == "" || text == "") {
			t.Errorf("%q refuses without a word", b)
		}
		if p, err := decodeKeys(b); err == nil {
			for _, k := range p.rows {
				if k.Tenant == "" || k.Operator {
					t.Errorf("%q lists %+v", b, k)
				}
			}
		}
		if n, err := decodeNewKey(b); err == nil && (n.plain == "" || n.made.Tenant == "") {
			t.Errorf("%q makes %+v", b, n)
		}
		_, _ = decodeKey(b)
		_, _ = decodeCollections(b, "a")
		_, _ = decodeAudit(b, "a")
		_, _ = decodeCursor(b)
		_, _ = decodeLogged(b, 1), decodeRecorded(b)
	})
}
