package hubsvc

import (
	"cmp"
	"context"
	"slices"

	"github.com/hivehub/waggle/tenant"
)

// TenantSpec describes a tenant to be made.
type TenantSpec struct {
	Name      string
	Plan      string
	Partition *uint32 // nil: that of the id
}

// CreateTenant makes a tenant and gives it an id. The error is INVALID_REQUEST
// for a plan or a partition that is not there.
func (e *Embedded) CreateTenant(ctx context.Context, s TenantSpec) (Tenant, error) {
	id := tenant.ID("t_" + randomID(12))
	t, err := propose[Tenant](ctx, e, &CreateTenant{ID: id, Name: s.Name, Plan: s.Plan, Partition: s.Partition})
	return t, wrap(err, "create tenant")
}

// Tenant returns a tenant, or NOT_FOUND.
func (e *Embedded) Tenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	t, err := read(ctx, e, func(r Reader) (Tenant, error) { return tenantOf(r, id) })
	return t, wrap(err, "show tenant")
}

// ListTenants returns every tenant in the order of creation.
func (e *Embedded) ListTenants(ctx context.Context) ([]Tenant, error) {
	tenants, err := read(ctx, e, func(r Reader) ([]Tenant, error) { return list[Tenant](r, tagTenant) })
	slices.SortFunc(tenants, func(a, b Tenant) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
	})
	return tenants, wrap(err, "list tenants")
}

// SuspendTenant leaves a tenant its data and no more than its usage and
// exports. A tenant that is suspended already stays as it is.
func (e *Embedded) SuspendTenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	t, err := propose[Tenant](ctx, e, &SetTenantStatus{ID: id, Status: Suspended})
	return t, wrap(err, "suspend tenant")
}

// ResumeTenant ends a suspension.
func (e *Embedded) ResumeTenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	t, err := propose[Tenant](ctx, e, &SetTenantStatus{ID: id, Status: Active})
	return t, wrap(err, "resume tenant")
}

// SetTenantPlan moves a tenant to another plan. What it has beyond the new
// limits stays; it gets no more.
func (e *Embedded) SetTenantPlan(ctx context.Context, id tenant.ID, plan string) (Tenant, error) {
	t, err := propose[Tenant](ctx, e, &SetTenantPlan{ID: id, Plan: plan})
	return t, wrap(err, "set the tenant's plan")
}

// DeleteTenant revokes the tenant's keys: when it returns, nobody reads the
// tenant's data through this node any more. The data itself goes afterwards,
// see TenantPurged.
func (e *Embedded) DeleteTenant(ctx context.Context, id tenant.ID) (Tenant, error) {
	t, err := propose[Tenant](ctx, e, &DeleteTenant{ID: id})
	return t, wrap(err, "delete tenant")
}

// Plans returns the plans by name.
func (e *Embedded) Plans(ctx context.Context) ([]tenant.Plan, error) {
	plans, err := read(ctx, e, func(r Reader) ([]tenant.Plan, error) { return list[tenant.Plan](r, tagPlan) })
	return plans, wrap(err, "list plans")
}

// PutPlan makes a plan, or changes what all who have it may use. The version of
// its limits is set here.
func (e *Embedded) PutPlan(ctx context.Context, p tenant.Plan) (tenant.Plan, error) {
	p, err := propose[tenant.Plan](ctx, e, &PutPlan{Plan: p})
	return p, wrap(err, "put plan")
}

// DeletePlan removes a plan: FAILED_PRECONDITION while a tenant has it, and
// for enterprise, which stays.
func (e *Embedded) DeletePlan(ctx context.Context, name string) error {
	_, err := propose[tenant.Plan](ctx, e, &DeletePlan{Name: name})
	return wrap(err, "delete plan")
}

// Quota returns what a tenant may use, as this node knows it, or NOT_FOUND.
func (e *Embedded) Quota(_ context.Context, id tenant.ID) (Quota, error) {
	q, ok := e.Directory.Quota(id)
	if !ok {
		return Quota{}, errNoTenant
	}
	return q, nil
}
