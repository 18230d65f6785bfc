package client

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
)

// Tenant is a tenant as the operator sees it.
type Tenant struct {
	ID        string `json:"tenant_id"`
	Name      string `json:"name"`
	Plan      string `json:"plan"`
	Status    string `json:"status"`     // active, suspended, deleting
	Partition uint32 `json:"partition"`  // the raft group that holds its data
	CreatedAt int64  `json:"created_at"` // unix ms
}

// CreateTenant makes a tenant on a plan, such as free, pro or enterprise.
func (c *Client) CreateTenant(ctx context.Context, name, plan string) (Tenant, error) {
	var t Tenant
	err := c.call(ctx, "POST", "/api/v1/tenants", map[string]string{"name": name, "plan": plan}, &t)
	return t, err
}

// GetTenant returns a tenant. One that is being deleted is there until its data
// is gone.
func (c *Client) GetTenant(ctx context.Context, id string) (Tenant, error) {
	var t Tenant
	err := c.call(ctx, "GET", tenantPath(id), nil, &t)
	return t, err
}

// ListTenants returns every tenant, oldest first.
func (c *Client) ListTenants(ctx context.Context) ([]Tenant, error) {
	all := []Tenant{}
	err := c.pages(ctx, "/api/v1/tenants", url.Values{}, func(answer []byte) error {
		var page struct{ Tenants []Tenant }
		err := json.Unmarshal(answer, &page)
		all = append(all, page.Tenants...)
		return err
	})
	return all, err
}

// SuspendTenant stops serving a tenant. Nothing of it is deleted.
func (c *Client) SuspendTenant(ctx context.Context, id string) (Tenant, error) {
	return c.patchTenant(ctx, id, map[string]string{"status": "suspended"})
}

// ResumeTenant serves a suspended tenant again.
func (c *Client) ResumeTenant(ctx context.Context, id string) (Tenant, error) {
	return c.patchTenant(ctx, id, map[string]string{"status": "active"})
}

// SetTenantPlan puts a tenant on another plan, from its next write on. What it
// has stays, even when it is more than the plan allows.
func (c *Client) SetTenantPlan(ctx context.Context, id, plan string) (Tenant, error) {
	return c.patchTenant(ctx, id, map[string]string{"plan": plan})
}

func (c *Client) patchTenant(ctx context.Context, id string, change map[string]string) (Tenant, error) {
	var t Tenant
	err := c.call(ctx, "PATCH", tenantPath(id), change, &t)
	return t, err
}

// DeleteTenant deletes a tenant and all it has. When it returns, nobody can
// read any of it; the bytes go in the background.
func (c *Client) DeleteTenant(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", tenantPath(id), nil, nil)
}

// Erasure returns the certificate of what a tenant's deletion erased, as the
// server signed it. The error has status 404 for a tenant that nobody knows,
// 412 for one that has not been deleted, or whose data is still going.
func (c *Client) Erasure(ctx context.Context, id string) (json.RawMessage, error) {
	var certificate json.RawMessage
	err := c.call(ctx, "GET", tenantPath(id)+"/erasure", nil, &certificate)
	return certificate, err
}

func tenantPath(id string) string { return "/api/v1/tenants/" + url.PathEscape(id) }

// Rates are how many requests are allowed; -1 is no limit.
type Rates struct {
	PerMinute int64 `json:"requests_per_minute"`
	PerHour   int64 `json:"requests_per_hour"`
	PerDay    int64 `json:"requests_per_day"`
}

// Plan is a named set of limits; -1 is no limit, 0 allows nothing.
type Plan struct {
	Name         string `json:"name"`
	StorageBytes int64  `json:"storage_bytes"`
	Vectors      int64  `json:"vector_count"`
	Collections  int64  `json:"collection_count"`
	Rates
	Version uint64 `json:"version,omitempty"` // larger after every change
}

// ListPlans returns the plans, by name.
func (c *Client) ListPlans(ctx context.Context) ([]Plan, error) {
	var answer struct{ Plans []Plan }
	err := c.call(ctx, "GET", "/api/v1/plans", nil, &answer)
	return answer.Plans, err
}

// GetPlan returns a plan.
func (c *Client) GetPlan(ctx context.Context, name string) (Plan, error) {
	var p Plan
	err := c.call(ctx, "GET", "/api/v1/plans/"+url.PathEscape(name), nil, &p)
	return p, err
}

// PutPlan makes a plan, or gives the one of that name other limits: its tenants
// have them from their next write on.
func (c *Client) PutPlan(ctx context.Context, p Plan) (Plan, error) {
	var stored Plan
	err := c.call(ctx, "PUT", "/api/v1/plans/"+url.PathEscape(p.Name), p, &stored)
	return stored, err
}

// DeletePlan deletes a plan that no tenant has.
func (c *Client) DeletePlan(ctx context.Context, name string) error {
	return c.call(ctx, "DELETE", "/api/v1/plans/"+url.PathEscape(name), nil, nil)
}

// Usage is what a tenant has stored.
type Usage struct {
	StorageBytes uint64 `json:"storage_bytes"`
	Vectors      uint64 `json:"vector_count"`
	Collections  uint64 `json:"collection_count"`
}

// Quota is what a tenant may use, and what it uses. The limits are -1 where
// there is none.
type Quota struct {
	TenantID     string `json:"tenant_id"`
	Plan         string `json:"plan"`
	Version      uint64 `json:"version"`
	StorageBytes int64  `json:"storage_bytes"`
	Vectors      int64  `json:"vector_count"`
	Collections  int64  `json:"collection_count"`
	Rates
	Usage Usage `json:"usage"`
}

// TenantQuota returns the quota of a tenant, for the operator.
func (c *Client) TenantQuota(ctx context.Context, id string) (Quota, error) {
	var q Quota
	err := c.call(ctx, "GET", "/api/internal/vectorizer/user/"+url.PathEscape(id)+"/quota", nil, &q)
	return q, err
}

// AuditEntry is one administrative act, or failures to get in.
type AuditEntry struct {
	ID        string `json:"id"`
	Time      int64  `json:"time"`      // unix ms
	TenantID  string `json:"tenant_id"` // "" for what concerns no tenant
	Actor     string `json:"actor"`     // id of the key, service:NAME, operator, system
	Address   string `json:"address"`   // of the client
	RequestID string `json:"request_id"`
	Action    string `json:"action"` // such as key.created
	Target    string `json:"target"` // what it was done to
	Outcome   string `json:"outcome"`
	Detail    string `json:"detail"`

	// Of attempts to authenticate, which come in batches.
	Count uint32 `json:"count,omitempty"`
	First int64  `json:"first,omitempty"` // unix ms
	Last  int64  `json:"last,omitempty"`

	Chain string `json:"chain,omitempty"` // links it to the row before: see waggle audit verify
}

// AllAudit returns all entries of the audit log, oldest first: of a tenant, of
// the own one of an ADMIN key, or all there are.
func (c *Client) AllAudit(ctx context.Context, tenantID string, own bool) ([]AuditEntry, error) {
	path, v := "/api/v1/audit", url.Values{}
	if own {
		path = "/auth/audit"
	}
	if tenantID != "" {
		v.Set("tenant_id", tenantID)
	}
	all := []AuditEntry{}
	err := c.pages(ctx, path, v, func(answer []byte) error {
		var page struct{ Entries []AuditEntry }
		err := json.Unmarshal(answer, &page)
		all = append(all, page.Entries...)
		return err
	})
	return all, err
}

// AuditQuery selects entries; what is zero selects all.
type AuditQuery struct {
	TenantID string
	Action   string
	Since    int64 // unix ms
	Until    int64 // unix ms
	Limit    int   // the latest so many; 0: 100
}

// ListAudit returns the latest entries of the audit log that q selects, oldest
// first.
func (c *Client) ListAudit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	v := url.Values{}
	for name, value := range map[string]string{"tenant_id": q.TenantID, "action": q.Action} {
		if value != "" {
			v.Set(name, value)
		}
	}
	for name, ms := range map[string]int64{"since": q.Since, "until": q.Until} {
		if ms != 0 {
			v.Set(name, strconv.FormatInt(ms, 10))
		}
	}
	most := q.Limit
	if most <= 0 {
		most = 100
	}
	all := []AuditEntry{}
	err := c.pages(ctx, "/api/v1/audit", v, func(answer []byte) error {
		var page struct{ Entries []AuditEntry }
		err := json.Unmarshal(answer, &page)
		all = append(all, page.Entries...)
		all = all[max(0, len(all)-most):] // the log is read from its beginning
		return err
	})
	return all, err
}
