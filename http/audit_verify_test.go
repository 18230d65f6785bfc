package httpedge

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// TestAuditCanBeVerified: what the API shows of the audit log is all that its
// sums are made of, for the operator and for a tenant's ADMIN.
func TestAuditCanBeVerified(t *testing.T) {
	e := newEdge(t, nil)
	e.op("POST", "/api/v1/tenants", `{"name":"another"}`).is(201, "")
	e.send("POST", e.main+"/auth/keys", e.keys["ADMIN"], `{"permissions":["READ_ONLY"]}`).is(201, "")
	for path, key := range map[string]string{
		"/api/v1/audit": e.keys[operator], "/api/v1/audit?tenant_id=" + string(e.tenant): e.keys[operator], "/auth/audit": e.keys["ADMIN"],
	} {
		var list struct{ Entries []auditJSON }
		if err := json.Unmarshal([]byte(e.send("GET", e.main+path, key, "").is(200, "").text), &list); err != nil {
			t.Fatal(err)
		}
		rows := make([]tenant.AuditEntry, len(list.Entries))
		for i, j := range list.Entries {
			chain, err := hex.DecodeString(j.Chain)
			noError(t, err)
			rows[i] = tenant.AuditEntry{
				Time: j.Time, Tenant: j.TenantID, Actor: j.Actor, Address: j.Address, RequestID: j.RequestID, Action: j.Action,
				Target: j.Target, Outcome: j.Outcome, Detail: j.Detail, Count: j.Count, First: j.First, Last: j.Last, Chain: chain,
			}
			noError(t, rows[i].SetID(j.ID))
		}
		heads, err := tenant.VerifyAudit(rows)
		if err != nil || len(heads) == 0 || len(rows) < 3 || !heads[0].Begun {
			t.Errorf("%s: %d rows, %+v, %v", path, len(rows), heads, err)
		}
	}
}
