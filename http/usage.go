package httpedge

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Ledger is a Hub that keeps what was used. *hubsvc.Embedded is one; where the
// hub is elsewhere, it is asked there.
type Ledger interface {
	// TakeUsage counts reports, each once.
	TakeUsage(ctx context.Context, reporter string, reports []tenant.UsageReport) (hubsvc.UsageTaken, error)
	// UsageStatistics returns what a tenant has used, or NOT_FOUND.
	UsageStatistics(ctx context.Context, id tenant.ID, q hubsvc.UsageQuery) (hubsvc.UsageStatistics, error)
	// UsageTotals returns the totals of tenants, in their order.
	UsageTotals(ctx context.Context, ids []tenant.ID) ([]hubsvc.UsageSum, error)
}

var errNoLedger = collection.Errorf(collection.Unimplemented, "the hub of this cluster is elsewhere: it keeps what was used, ask it")

func (s *Server) ledger() (Ledger, error) {
	l, ok := s.hub.(Ledger)
	if !ok {
		return nil, errNoLedger
	}
	return l, nil
}

func (s *Server) usageRoutes() []route {
	return []route{
		{method: "GET", path: "/hub/usage/statistics", surface: surfaceNative, op: tenant.OpOwnUsage, handle: s.usageStatistics, ofHub: true},
		{method: "GET", path: "/api/v1/cluster/usage", surface: surfaceNative, op: tenant.OpUsage, handle: s.clusterUsage, ofHub: true},
		{method: "GET", path: "/api/v1/cluster/tenants", surface: surfaceOperator, op: tenant.OpOperator, handle: s.clusterTenants, ofHub: true},
		{method: "POST", path: "/api/internal/vectorizer/usage/update", surface: surfaceOperator, op: tenant.OpService, handle: s.takeUsage, ofHub: true},
	}
}

// takeUsage counts what another Waggle or a gateway reports. Who reports is who
// the key says, and the cluster that the body names: no other cluster's reports
// can be taken for this one's own.
func (s *Server) takeUsage(r *request, tc tenant.Context) error {
	ledger, err := s.ledger()
	if err != nil {
		return err
	}
	var q usageRequest
	err = r.decode(func(p *pointReader) (err error) { q, err = p.usageRequest(); return err })
	if err != nil {
		return err
	}
	reporter := "operator"
	if tc.Service != "" {
		reporter = "service:" + tc.Service
	}
	if q.cluster != "" {
		reporter += "/" + q.cluster
	}
	taken, err := ledger.TakeUsage(r.ctx, reporter, q.reports)
	if err != nil {
		return err
	}
	return r.sendJSON(200, map[string]any{
		"success": true, "counted": taken.Counted, "repeated": taken.Repeated, "gaps": taken.Gaps, "ignored_entries": taken.Ignored,
		"clipped_entries": taken.Clipped,
	})
}

// usedJSON is what was used, as its reports have arrived.
type usedJSON struct {
	tenant.Usage
	ByteHours  uint64 `json:"byte_hours"`
	NetVectors int64  `json:"net_vectors"`
	NetStorage int64  `json:"net_storage"`
}

func usedBody(s *hubsvc.UsageSum) usedJSON {
	return usedJSON{
		Usage: s.Usage, ByteHours: s.ByteHours,
		NetVectors: int64(s.VectorsInserted - s.VectorsDeleted), NetStorage: int64(s.StorageAdded - s.StorageFreed),
	}
}

// dayJSON is a day in UTC.
type dayJSON struct {
	Date string `json:"date"`
	usedJSON
}

// statisticsJSON are the statistics of a tenant, in its clients' words.
type statisticsJSON struct {
	UserID      tenant.ID             `json:"user_id"`
	Collections uint64                `json:"total_collections"`
	Vectors     uint64                `json:"total_vectors"`
	Storage     uint64                `json:"total_storage"`
	APIRequests uint64                `json:"api_requests"`
	Usage       usedJSON              `json:"usage"`
	ReportedAt  int64                 `json:"reported_at,omitempty"`
	Period      *usedJSON             `json:"period,omitempty"`
	Days        []dayJSON             `json:"days"`
	Rows        []collectionUsageJSON `json:"collections"`
	Next        string                `json:"next_cursor,omitempty"`
}

type collectionUsageJSON struct {
	ID      string   `json:"collection_id"`
	Name    string   `json:"name"`
	Vectors uint64   `json:"vectors"`
	Storage uint64   `json:"storage"`
	Deleted bool     `json:"deleted,omitempty"`
	Usage   usedJSON `json:"usage"`
}

// usageStatistics answers with what the tenant has stored, which is as of now,
// and with what it has used, as it was reported.
func (s *Server) usageStatistics(r *request, tc tenant.Context) error {
	ledger, err := s.ledger()
	if err != nil {
		return err
	}
	named, _ := r.query("user_id")
	if err := ownTenant(tc, named); err != nil {
		return err
	}
	q, err := r.usageQuery()
	if err != nil {
		return err
	}
	stored, err := s.engine.TenantUsage(r.ctx, tc.TenantID)
	if err != nil {
		return err
	}
	used, err := ledger.UsageStatistics(r.ctx, tc.TenantID, q)
	if err != nil {
		return err
	}
	body := statisticsJSON{
		UserID: tc.TenantID, Collections: stored.Collections, Vectors: stored.Points, Storage: stored.Bytes,
		APIRequests: used.Total.APIRequests, Usage: usedBody(&used.Total), ReportedAt: used.Total.At, Days: daysBody(used.Days),
	}
	if q.Collection == 0 {
		period := usedBody(&used.Period)
		body.Period = &period
	} else {
		body.Days = []dayJSON{}
	}
	if body.Rows, err = s.collectionRows(r, &tc, used.Collections); err != nil {
		return err
	}
	if q.Collection != 0 && len(body.Rows) == 0 {
		return errNoCollection
	}
	if n := len(used.Collections); used.More && n > 0 {
		body.Next = strconv.FormatUint(used.Collections[n-1].Collection, 10)
	}
	return r.sendJSON(200, map[string]any{"success": true, "message": "the usage of the tenant", "stats": body})
}

var errNoCollection = collection.Errorf(collection.NotFound, "there is no such collection")

// usageQuery reads collection_id, from, to, cursor and limit.
func (r *request) usageQuery() (q hubsvc.UsageQuery, err error) {
	if q.Collection, err = r.number("collection_id", 0, math.MaxUint64); err != nil {
		return q, err
	}
	if q.After, err = r.number("cursor", 0, math.MaxUint64-1); err != nil {
		return q, err
	}
	if q.Limit, err = r.pageLimit(); err != nil {
		return q, err
	}
	if q.From, err = r.momentQuery("from"); err != nil {
		return q, err
	}
	if q.To, err = r.momentQuery("to"); err != nil {
		return q, err
	}
	if q.Collection != 0 && (q.From != 0 || q.To != 0) {
		return q, errParameter("query parameters", "from and to: days are counted of all collections together, leave collection_id out")
	}
	return q, nil
}

// momentQuery reads a time in milliseconds, as a date or in RFC 3339; 0 for none.
func (r *request) momentQuery(name string) (int64, error) {
	given, ok := r.query(name)
	if !ok || given == "" {
		return 0, nil
	}
	if ms, err := strconv.ParseUint(given, 10, 63); err == nil && ms <= uint64(timeMax.UnixMilli()) {
		return int64(ms), nil
	}
	for _, form := range [...]string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(form, given); err == nil && at.Unix() >= 0 && !at.After(timeMax) {
			return at.UnixMilli(), nil
		}
	}
	return 0, errParameter("query parameters", name+": must be a day such as 2030-12-31, a time of RFC 3339, or milliseconds since 1970")
}

func daysBody(days []hubsvc.UsageDay) []dayJSON {
	list := make([]dayJSON, 0, len(days))
	for i := range days {
		d := &days[i]
		list = append(list, dayJSON{time.UnixMilli(d.Start).UTC().Format(time.DateOnly), usedBody(&d.UsageSum)})
	}
	return list
}

// collectionRows puts names to numbers. A key that is narrowed to some
// collections sees these alone; a deleted one has the name that it had.
func (s *Server) collectionRows(r *request, tc *tenant.Context, used []hubsvc.CollectionUsage) ([]collectionUsageJSON, error) {
	rows := make([]collectionUsageJSON, 0, len(used))
	if len(used) == 0 {
		return rows, nil
	}
	records, err := s.hub.ListCollectionRecords(r.ctx, tc.TenantID)
	if err != nil {
		return nil, err
	}
	names := make(map[uint64]string, len(records))
	for _, record := range records {
		names[record.Collection] = record.Name
	}
	for i := range used {
		u := &used[i]
		name := names[u.Collection]
		if tc.Scope != nil && len(tc.Scope.Collections) > 0 && (name == "" || !tc.MayCollection(name)) {
			continue
		}
		rows = append(rows, collectionUsageJSON{
			ID: strconv.FormatUint(u.Collection, 10), Name: name, Vectors: u.VectorCount, Storage: u.StorageBytes,
			Deleted: u.Deleted, Usage: usedBody(&u.UsageSum),
		})
	}
	return rows, nil
}

// clusterUsage answers a tenant about itself and the operator about anyone:
// what is stored now, and what was used in a period, of this month if no other
// is named.
func (s *Server) clusterUsage(r *request, tc tenant.Context) error {
	ledger, err := s.ledger()
	if err != nil {
		return err
	}
	id, err := r.usageOf(&tc)
	if err != nil {
		return err
	}
	q, err := r.periodQuery()
	if err != nil {
		return err
	}
	used, err := ledger.UsageStatistics(r.ctx, id, q)
	if err != nil {
		return err
	}
	body := map[string]any{
		"tenant_id": id, "period_start": q.From, "period_end": q.To, "usage": usedBody(&used.Period), "total": usedBody(&used.Total),
		"days": daysBody(used.Days), "reported_at": used.Total.At,
	}
	if err := s.describeTenant(r, &tc, id, body); err != nil {
		return err
	}
	if tc.IsOperator {
		body["last_request_at"] = used.LastRequest
	}
	return r.sendJSON(200, body)
}

// usageOf is the tenant that is asked about. A tenant asks about itself alone.
func (r *request) usageOf(tc *tenant.Context) (tenant.ID, error) {
	named, _ := r.query("tenant_id")
	if !tc.IsOperator {
		return tc.TenantID, ownTenant(*tc, named)
	}
	if named == "" {
		return "", errParameter("query parameters", "tenant_id: the operator key is of no tenant, name one")
	}
	id, err := tenant.ParseID(named)
	if err != nil {
		return "", errNoTenant
	}
	return id, nil
}

// periodQuery reads from and to; without them it is this month in UTC, until now.
func (r *request) periodQuery() (q hubsvc.UsageQuery, err error) {
	if q.From, err = r.momentQuery("from"); err != nil {
		return q, err
	}
	if q.To, err = r.momentQuery("to"); err != nil {
		return q, err
	}
	now := time.Now().UTC()
	if q.To == 0 {
		q.To = now.UnixMilli()
	}
	if q.From == 0 {
		q.From = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		q.From = min(q.From, q.To)
	}
	return q, nil
}

// describeTenant adds what the tenant has and may have, and for the operator
// what he knows of it. Of one that was deleted there is nothing to add.
func (s *Server) describeTenant(r *request, tc *tenant.Context, id tenant.ID, body map[string]any) error {
	t, err := s.hub.Quota(r.ctx, id)
	if err != nil {
		if tc.IsOperator && asError(err).Code == collection.NotFound {
			return nil // the totals stay with the certificate of erasure
		}
		return err
	}
	stored, err := s.engine.TenantUsage(r.ctx, id)
	if err != nil {
		return err
	}
	body["storage"] = map[string]any{
		"used_bytes": stored.Bytes, "quota_bytes": shownLimit(t.Limits.Bytes), "percent": percentOf(stored.Bytes, t.Limits.Bytes),
	}
	body["collections"], body["vectors"] = stored.Collections, stored.Points
	rates := ratesBody(t.Rates)
	body["rate_limits"] = map[string]any{
		"per_minute": map[string]any{"limit": rates.Minute}, "per_hour": map[string]any{"limit": rates.Hour},
		"per_day": map[string]any{"limit": rates.Day},
	}
	if !tc.IsOperator {
		return nil
	}
	record, err := s.hub.Tenant(r.ctx, id)
	if err != nil {
		return err
	}
	keys, err := s.hub.ListKeys(r.ctx, id)
	if err != nil {
		return err
	}
	good := 0
	for i := range keys {
		if keys[i].Revoked == 0 {
			good++
		}
	}
	body["created_at"], body["api_keys_count"] = record.Created, good
	return nil
}

// percentOf is how much of a limit is used: 100 of a limit of 0, nothing of none.
func percentOf(used uint64, limit int64) *float64 {
	if limit < 0 {
		return nil
	}
	share := 100.0
	if limit > 0 {
		share = 100 * float64(used) / float64(limit)
	}
	return &share
}

// tenantUsageJSON is a tenant in the operator's list, as its reports tell.
type tenantUsageJSON struct {
	ID          tenant.ID `json:"tenant_id"`
	Name        string    `json:"name"`
	CreatedAt   int64     `json:"created_at"`
	Used        uint64    `json:"storage_used_bytes"`
	Quota       int64     `json:"storage_quota_bytes"`
	Collections uint64    `json:"collections"`
	Vectors     uint64    `json:"vectors"`
	Active      bool      `json:"active"`
	ReportedAt  int64     `json:"reported_at,omitempty"`
}

// clusterTenants lists the tenants, a page at a time, oldest first.
func (s *Server) clusterTenants(r *request, _ tenant.Context) error {
	ledger, err := s.ledger()
	if err != nil {
		return err
	}
	q, err := r.pageRequest()
	if err != nil {
		return err
	}
	all, err := s.hub.ListTenants(r.ctx)
	if err != nil {
		return err
	}
	page, next := pageOf(all, q, func(t hubsvc.Tenant) (uint64, string) { return t.Index, string(t.ID) })
	ids := make([]tenant.ID, len(page))
	for i := range page {
		ids[i] = page[i].ID
	}
	totals, err := ledger.UsageTotals(r.ctx, ids)
	if err != nil {
		return err
	}
	list := make([]tenantUsageJSON, 0, len(page))
	for i, t := range page {
		row := tenantUsageJSON{
			ID: t.ID, Name: t.Name, CreatedAt: t.Created, Used: totals[i].StorageBytes, Quota: tenant.Unlimited,
			Collections: totals[i].CollectionsCreated - min(totals[i].CollectionsCreated, totals[i].CollectionsDeleted), Vectors: totals[i].VectorCount,
			Active: t.Status == hubsvc.Active, ReportedAt: totals[i].At,
		}
		if quota, err := s.hub.Quota(r.ctx, t.ID); err == nil { // it may have gone this moment
			row.Quota = shownLimit(quota.Limits.Bytes)
		}
		list = append(list, row)
	}
	body := listed("tenants", list, next)
	body["total"] = len(all)
	return r.sendJSON(200, body)
}
