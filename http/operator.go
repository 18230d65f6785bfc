package httpedge

import (
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// tenantID returns the tenant in the path. What is no id is the name of nobody.
func (r *request) tenantID() (tenant.ID, error) {
	raw, err := r.param("id")
	if err != nil {
		return "", err
	}
	id, err := tenant.ParseID(raw)
	if err != nil {
		return "", errNoTenant
	}
	return id, nil
}

var errNoTenant = collection.Errorf(collection.NotFound, "there is no such tenant")

func (s *Server) createTenant(r *request, _ tenant.Context) error {
	var q tenantRequest
	err := r.decode(func(p *pointReader) (err error) { q, err = p.tenantRequest(); return err })
	if err != nil {
		return err
	}
	spec := hubsvc.TenantSpec{Name: q.name, Plan: q.plan}
	if spec.Plan == "" {
		spec.Plan = tenant.PlanFree
	}
	if q.partition != nil {
		n := uint32(min(*q.partition, 1<<32-1))
		spec.Partition = &n
	}
	t, err := s.hub.CreateTenant(r.ctx, spec)
	if err != nil {
		return err
	}
	return r.sendJSON(201, tenantBody(t))
}

func (s *Server) listTenants(r *request, _ tenant.Context) error {
	q, err := r.pageRequest()
	if err != nil {
		return err
	}
	all, err := s.hub.ListTenants(r.ctx)
	if err != nil {
		return err
	}
	page, next := pageOf(all, q, func(t hubsvc.Tenant) (uint64, string) { return t.Index, string(t.ID) })
	list := make([]tenantJSON, 0, len(page))
	for _, t := range page {
		list = append(list, tenantBody(t))
	}
	return r.sendJSON(200, listed("tenants", list, next))
}

func (s *Server) showTenant(r *request, _ tenant.Context) error {
	id, err := r.tenantID()
	if err != nil {
		return err
	}
	t, err := s.hub.Tenant(r.ctx, id)
	if err != nil {
		return err
	}
	return r.sendJSON(200, tenantBody(t))
}

// changeTenant changes the plan, then the status. Each may be repeated, so a
// request that did only the first of two can be sent again.
func (s *Server) changeTenant(r *request, _ tenant.Context) error {
	id, err := r.tenantID()
	if err != nil {
		return err
	}
	var q tenantChange
	err = r.decode(func(p *pointReader) (err error) { q, err = p.tenantChange(); return err })
	if err != nil {
		return err
	}
	var t hubsvc.Tenant
	if q.plan != "" {
		if t, err = s.hub.SetTenantPlan(r.ctx, id, q.plan); err != nil {
			return err
		}
	}
	switch q.status {
	case "suspended":
		t, err = s.hub.SuspendTenant(r.ctx, id)
	case "active":
		t, err = s.hub.ResumeTenant(r.ctx, id)
	}
	if err != nil {
		return err
	}
	return r.sendJSON(200, tenantBody(t))
}

// deleteTenant answers when nobody can read the tenant's data any more; the
// bytes go in the background.
func (s *Server) deleteTenant(r *request, _ tenant.Context) error {
	id, err := r.tenantID()
	if err != nil {
		return err
	}
	if err := s.engine.DeleteTenant(r.ctx, id); err != nil {
		return err
	}
	return r.sendJSON(200, map[string]any{"tenant_id": id, "status": hubsvc.Deleting.String()})
}

// erasure gives the certificate of a tenant that is gone with all it had.
func (s *Server) erasure(r *request, _ tenant.Context) error {
	id, err := r.tenantID()
	if err != nil {
		return err
	}
	c, err := s.hub.Erasure(r.ctx, id)
	if err == nil {
		return r.sendJSON(200, c)
	}
	if asError(err).Code != collection.NotFound {
		return err
	}
	switch t, e := s.hub.Tenant(r.ctx, id); {
	case e != nil:
		return err
	case t.Status == hubsvc.Deleting:
		return collection.Errorf(collection.FailedPrecondition, "the data of tenant %s is still going: ask again in a moment", id)
	}
	return collection.Errorf(collection.FailedPrecondition, "tenant %s has not been deleted", id)
}

func (s *Server) listPlans(r *request, _ tenant.Context) error {
	plans, err := s.hub.Plans(r.ctx)
	if err != nil {
		return err
	}
	list := make([]planJSON, 0, len(plans))
	for _, p := range plans {
		list = append(list, planBody(p))
	}
	return r.sendJSON(200, listed("plans", list, ""))
}

func (s *Server) showPlan(r *request, _ tenant.Context) error {
	name, err := r.param("name")
	if err != nil {
		return err
	}
	plans, err := s.hub.Plans(r.ctx)
	if err != nil {
		return err
	}
	for _, p := range plans {
		if p.Name == name {
			return r.sendJSON(200, planBody(p))
		}
	}
	return collection.Errorf(collection.NotFound, "there is no such plan")
}

// putPlan makes a plan, or replaces the limits of one. What is absent is no
// limit.
func (s *Server) putPlan(r *request, _ tenant.Context) error {
	name, err := r.param("name")
	if err != nil {
		return err
	}
	var q planRequest
	err = r.decode(func(p *pointReader) (err error) { q, err = p.planRequest(); return err })
	if err != nil {
		return err
	}
	if q.name != "" && q.name != name {
		return errValue("name: is not the one in the path")
	}
	p := tenant.Plan{
		Name:   name,
		Limits: tenant.Limits{Bytes: limitOf(q.bytes), Vectors: limitOf(q.points), Collections: limitOf(q.collections)},
	}
	if rates := ratesOf(q.rates); rates != (*tenant.Rates)(nil).OrUnlimited() {
		p.Rates = &rates
	}
	if p, err = s.hub.PutPlan(r.ctx, p); err != nil {
		return err
	}
	return r.sendJSON(200, planBody(p))
}

func limitOf(n *int64) int64 {
	if n == nil {
		return tenant.Unlimited
	}
	return shownLimit(*n)
}

func ratesOf(r ratesRequest) tenant.Rates {
	return tenant.Rates{PerMinute: limitOf(r.minute), PerHour: limitOf(r.hour), PerDay: limitOf(r.day)}
}

func (s *Server) deletePlan(r *request, _ tenant.Context) error {
	name, err := r.param("name")
	if err != nil {
		return err
	}
	if err := s.hub.DeletePlan(r.ctx, name); err != nil {
		return err
	}
	return r.sendJSON(200, map[string]any{"name": name, "deleted": true})
}
