package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkAdmitTenant makes a tenant, its key and its first collection over
// HTTP, one after the other, on one node: the median and the 99th percentile of
// all three together, and the medians of each.
func BenchmarkAdmitTenant(b *testing.B) {
	s := benchServer(b, b.TempDir())
	var all, tenants, keys, collections []time.Duration
	took := func(times *[]time.Duration, began time.Time) time.Time {
		now := time.Now()
		*times = append(*times, now.Sub(began))
		return now
	}
	for i := 0; b.Loop(); i++ {
		var tenant struct {
			ID string `json:"tenant_id"`
		}
		began := time.Now()
		a := s.operator().callMain("POST", "/api/v1/tenants", map[string]any{"name": fmt.Sprint("tenant ", i), "plan": "free"})
		at := took(&tenants, began)
		s.decode(a.body, &tenant)
		_, u := s.newKey(tenant.ID, "READ_WRITE")
		at = took(&keys, at)
		if a := u.call("PUT", "/collections/first", vectors(128, "Cosine")); a.status != http.StatusOK {
			b.Fatalf("create: %d %s", a.status, a.body)
		}
		took(&collections, at)
		took(&all, began)
	}
	for _, m := range []struct {
		name  string
		times []time.Duration
	}{{"all", all}, {"tenant", tenants}, {"key", keys}, {"collection", collections}} {
		slices.Sort(m.times)
		b.ReportMetric(float64(m.times[len(m.times)/2].Microseconds())/1000, "ms-p50-"+m.name)
	}
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "ms-p99-all")
}
