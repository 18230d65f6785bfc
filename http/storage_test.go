package httpedge

import (
	"net/http"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Stored implements Engine.
func (e *recorder) Stored(tenant.Context) (uint64, bool) { return e.bytes, !e.blind }

func storage(h http.Header) [2]string {
	return [2]string{h.Get("X-Storage-Used"), h.Get("X-Storage-Quota")}
}

// Answers to a tenant say what it has stored and may store, wherever the data
// is; those to the operator, and refusals, do not.
func TestStorageHeaders(t *testing.T) {
	asked, there, n := twoNodes(t)
	there.engine.bytes, asked.engine.bytes = 12345, 777
	pro := [2]string{"12345", "5368709120"}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/collections/docs/exists", ""},
		{"PUT", "/collections/docs/points", upsert},
	} {
		if got := storage(asked.q(c.method, c.path, c.body).header); got != pro {
			t.Errorf("%s %s: %v, want %v", c.method, c.path, got, pro)
		}
	}
	n.leader = func(int) (uint32, bool) { return 1, true }
	if got := storage(asked.q("GET", "/collections/docs/exists", "").header); got != [2]string{"777", pro[1]} {
		t.Errorf("here: %v", got)
	}
	asked.engine.blind = true
	none := [2]string{}
	if got := storage(asked.q("GET", "/collections/docs/exists", "").header); got != none {
		t.Errorf("not known: %v", got)
	}
	asked.engine.blind = false
	asked.engine.err = collection.Errorf(collection.NotFound, "no")
	for name, r := range map[string]reply{
		"a refusal":    asked.q("GET", "/collections/docs", ""),
		"the operator": asked.send("GET", asked.main+"/api/v1/tenants", asked.keys[operator], ""),
		"nobody":       asked.send("GET", asked.qdrant+"/collections/docs/exists", "", ""),
	} {
		if got := storage(r.header); got != none {
			t.Errorf("%s: %v", name, got)
		}
	}
	// No limit, no header.
	hub := asked.hub.(*hubsvc.Embedded)
	if _, err := hub.SetTenantPlan(t.Context(), asked.tenant, tenant.PlanEnterprise); err != nil {
		t.Fatal(err)
	}
	asked.engine.err = nil
	if got := storage(asked.q("GET", "/collections/docs/exists", "").header); got != [2]string{"777", ""} {
		t.Errorf("without a limit: %v", got)
	}
}
