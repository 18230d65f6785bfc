package httpedge

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

var tenantLabel = regexp.MustCompile(`tenant="([^"]*)"`)

// Each key sees the series of its own tenant and of nobody else; the operator
// sees the busiest, and of the others one sum.
func TestTenantSeries(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.MeteredTenants = 2 })
	e.engine.usage = collection.TenantUsage{Points: 3, Bytes: 700, Collections: 1}
	keys := map[string]string{string(e.tenant): e.keys["READ_ONLY"]}
	for i := range 3 {
		made := e.send("POST", e.main+"/api/v1/tenants", e.keys[operator], fmt.Sprintf(`{"name":"canary%d","plan":"pro"}`, i)).is(201, "").json()["tenant_id"].(string)
		keys[made] = e.send("POST", e.main+"/api/v1/access-keys", e.keys[operator], `{"tenant_id":"`+made+`","permission":"READ_ONLY"}`).is(201, "").json()["key"].(string)
	}
	total := 0
	busy := map[string]int{}
	for id, key := range keys {
		total++
		for range total { // 1, 2, 3 and 4 searches
			e.send("POST", e.qdrant+"/collections/docs/points/query", key, `{"query":[1,0]}`)
		}
		busy[id] = total
	}
	e.engine.err = &collection.Error{Code: collection.ResourceExhausted, Reason: collection.ReasonQuota}
	e.send("POST", e.qdrant+"/collections/docs/points/query", keys[string(e.tenant)], `{"query":[1,0]}`).is(507, "")
	e.engine.err = nil
	for id, key := range keys {
		got := e.send("GET", e.main+"/metrics", key, "").is(200, "waggle_http_requests_total")
		for _, m := range tenantLabel.FindAllStringSubmatch(got.text, -1) {
			if m[1] != id {
				t.Errorf("the key of %s sees %s", id, m[0])
			}
		}
		for other := range keys {
			if other != id && strings.Contains(got.text, other) {
				t.Errorf("the key of %s sees %s", id, other)
			}
		}
		if strings.Contains(got.text, "canary") || strings.Contains(got.text, "waggle_delta_bytes") {
			t.Errorf("names, or the node's series, in %s", got.text)
		}
		got.is(200, fmt.Sprintf(`waggle_tenant_searches_total{tenant="%s"} %d`, id, busy[id]+map[bool]int{true: 1}[id == string(e.tenant)]))
		got.is(200, `waggle_tenant_quota_used{quota="vector_count",tenant="`+id+`"} 3`)
		if id != string(e.tenant) {
			got.is(200, `waggle_tenant_quota_limit{quota="vector_count",tenant="`+id+`"} 500000`)
		}
	}
	e.send("GET", e.main+"/metrics", keys[string(e.tenant)], "").is(200, `waggle_tenant_refusals_total{code="QUOTA_EXCEEDED",tenant="`+string(e.tenant)+`"} 1`).
		is(200, `waggle_http_quota_refusals_total{quota="other"} 1`)
	if mcp := e.keys["MCP"]; strings.Contains(e.send("GET", e.main+"/metrics", mcp, "").text, `tenant="`) {
		t.Error("a key that may not see its tenant's usage does, in the metrics")
	}
	op := e.send("GET", e.main+"/metrics", e.keys[operator], "").text
	seen := map[string]bool{}
	for _, m := range tenantLabel.FindAllStringSubmatch(op, -1) {
		seen[m[1]] = true
	}
	if len(seen) != 3 || !seen[restOfTenants] {
		t.Errorf("the operator sees %v, want the two busiest and the rest", seen)
	}
	for id, n := range busy {
		if n == 4 && !seen[id] {
			t.Errorf("%s has asked most and is not shown", id)
		}
	}
}

// What is counted one by one is bounded, and nothing is lost beyond it.
func TestMeteredTenantsAreBounded(t *testing.T) {
	var m tenantMeter
	for i := range meteredMax + 50 {
		m.of(fmt.Sprintf("t_%d", i)).requests.Add(1)
	}
	rows, rest := m.busiest(7)
	if n := rest.requests.Load(); len(rows) != 7 || n != meteredMax+50-7 || len(m.rows) != meteredMax {
		t.Errorf("%d rows shown of %d, %d requests of the others", len(rows), len(m.rows), n)
	}
	if _, err := tenant.ParseID(restOfTenants); err == nil {
		t.Errorf("a tenant can have the id %q", restOfTenants)
	}
}

func BenchmarkTenantMeter(b *testing.B) {
	var m tenantMeter
	for i := range 1000 {
		m.of(fmt.Sprintf("t_%d", i))
	}
	r := &request{http: newContext("GET", "/x")}
	r.logged.Type = tenant.LogSearch
	b.ReportAllocs()
	for b.Loop() {
		m.of("t_500").count(r)
	}
}
