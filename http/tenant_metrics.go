package httpedge

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hivehub/waggle/tenant"
)

const (
	// meteredMax is how many tenants a node counts one by one; what others do is
	// counted together.
	meteredMax = 10_000
	// restOfTenants is the label of all tenants that are not shown one by one. No
	// tenant can have that id.
	restOfTenants = "(others)"
	// storedWait bounds what a scrape waits for what its tenants have stored.
	storedWait = 2 * time.Second
	// meteredDefault is how many tenants the operator is shown one by one.
	meteredDefault = 20
)

// refusalKinds are the codes of refusals that are counted for each tenant: not
// to store more, not to ask more often, not to have more wait.
var refusalKinds = [...]string{"QUOTA_EXCEEDED", "RATE_LIMIT_EXCEEDED", "TOO_MANY_REQUESTS"}

// metered is what one tenant has asked this node for since its start.
type metered struct {
	requests, searches, failures atomic.Uint64
	refusals                     [len(refusalKinds)]atomic.Uint64
}

func (m *metered) count(r *request) {
	m.requests.Add(1)
	if r.logged.Type == tenant.LogSearch {
		m.searches.Add(1)
	}
	if r.http.Response.StatusCode() >= 500 {
		m.failures.Add(1)
	}
	if r.logged.Failed {
		for i, kind := range refusalKinds {
			if r.logged.Code == kind {
				m.refusals[i].Add(1)
			}
		}
	}
}

func (m *metered) add(o *metered) {
	m.requests.Add(o.requests.Load())
	m.searches.Add(o.searches.Load())
	m.failures.Add(o.failures.Load())
	for i := range m.refusals {
		m.refusals[i].Add(o.refusals[i].Load())
	}
}

// tenantMeter counts what each tenant asks this node for, up to meteredMax of
// them. Who is counted stays until the node ends.
type tenantMeter struct {
	rest metered

	mu   sync.RWMutex
	rows map[tenant.ID]*metered
}

// of is the row of a tenant.
func (t *tenantMeter) of(id string) *metered {
	t.mu.RLock()
	row, n := t.rows[tenant.ID(id)], len(t.rows)
	t.mu.RUnlock()
	switch {
	case row != nil:
		return row
	case n >= meteredMax:
		return &t.rest
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if row = t.rows[tenant.ID(id)]; row != nil {
		return row
	}
	if t.rows == nil {
		t.rows = map[tenant.ID]*metered{}
	}
	row = new(metered)
	t.rows[tenant.ID(strings.Clone(id))] = row
	return row
}

// tenantRow is a tenant to be shown.
type tenantRow struct {
	id   tenant.ID
	used *metered
}

// busiest returns the most tenants that have asked most, and what all others
// have done together.
func (t *tenantMeter) busiest(most int) (rows []tenantRow, rest *metered) {
	t.mu.RLock()
	for id, row := range t.rows {
		rows = append(rows, tenantRow{id, row})
	}
	t.mu.RUnlock()
	slices.SortFunc(rows, func(a, b tenantRow) int {
		return cmp.Or(cmp.Compare(b.used.requests.Load(), a.used.requests.Load()), cmp.Compare(a.id, b.id))
	})
	rest = new(metered)
	rest.add(&t.rest)
	if len(rows) > most {
		for _, row := range rows[most:] {
			rest.add(row.used)
		}
		rows = rows[:most]
	}
	return rows, rest
}

// tenantSeries are the series of tenants: of the busiest, and with one tenant of
// that one alone.
type tenantSeries struct {
	s    *Server
	ctx  context.Context
	only tenant.ID // "": for the operator
}

func tenantDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("waggle_tenant_"+name, help, append([]string{"tenant"}, labels...), nil)
}

var (
	tenantRequests = tenantDesc("requests_total", "Requests of the tenant that this node answered.")
	tenantSearches = tenantDesc("searches_total", "Searches among them.")
	tenantFailures = tenantDesc("failures_total", "Of its requests those answered with 500 and above.")
	tenantRefusals = tenantDesc("refusals_total", "Of its requests those refused for a limit, by the error's code.", "code")
	tenantUsed     = tenantDesc("quota_used", "What the tenant has stored, by quota: points, bytes of records, collections.", "quota")
	tenantQuota    = tenantDesc("quota_limit", "What the tenant may store, by quota; absent: no limit.", "quota")
)

// Describe implements prometheus.Collector.
func (tenantSeries) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{tenantRequests, tenantSearches, tenantFailures, tenantRefusals, tenantUsed, tenantQuota} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (t tenantSeries) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(t.ctx, storedWait)
	defer cancel()
	if t.only != "" {
		t.show(to, string(t.only), t.s.tenants.of(string(t.only)))
		t.stored(ctx, to, t.only)
		return
	}
	rows, rest := t.s.tenants.busiest(t.s.metered)
	for _, row := range rows {
		t.show(to, string(row.id), row.used)
		t.stored(ctx, to, row.id)
	}
	t.show(to, restOfTenants, rest)
}

func (tenantSeries) show(to chan<- prometheus.Metric, label string, m *metered) {
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{label}, labels...)...)
	}
	counter(tenantRequests, m.requests.Load())
	counter(tenantSearches, m.searches.Load())
	counter(tenantFailures, m.failures.Load())
	for i, kind := range refusalKinds {
		counter(tenantRefusals, m.refusals[i].Load(), kind)
	}
}

// stored shows what a tenant has stored and may store. Of one whose data nobody
// leads, or that is gone, there is nothing to show.
func (t tenantSeries) stored(ctx context.Context, to chan<- prometheus.Metric, id tenant.ID) {
	quota, err := t.s.hub.Quota(ctx, id)
	if err != nil {
		return
	}
	used, err := t.s.engine.TenantUsage(ctx, id)
	if err != nil {
		return
	}
	for _, q := range []struct {
		name  string
		used  uint64
		limit int64
	}{
		{"vector_count", used.Points, quota.Limits.Vectors},
		{"storage_bytes", used.Bytes, quota.Limits.Bytes},
		{"collection_count", used.Collections, quota.Limits.Collections},
	} {
		to <- prometheus.MustNewConstMetric(tenantUsed, prometheus.GaugeValue, float64(q.used), string(id), q.name)
		if q.limit >= 0 {
			to <- prometheus.MustNewConstMetric(tenantQuota, prometheus.GaugeValue, float64(q.limit), string(id), q.name)
		}
	}
}

// seriesFor returns what whoever sent the request may see: everybody the
// process and HTTP, a tenant's key also its own tenant, the operator all.
func (s *Server) seriesFor(r *request) prometheus.Gatherer {
	tc, err := r.authenticate()
	if err != nil {
		return s.meter.open
	}
	own := prometheus.NewRegistry()
	switch {
	case tc.IsOperator:
		own.MustRegister(tenantSeries{s: s, ctx: r.ctx})
		return append(slices.Clone(s.meter.all), own)
	case tc.Service == "" && tc.Valid() && tc.May(tenant.OpOwnUsage) && r.caller.kind != tenant.KeyMCP:
		own.MustRegister(tenantSeries{s: s, ctx: r.ctx, only: tc.TenantID})
		return prometheus.Gatherers{s.meter.open, own}
	}
	return s.meter.open
}
