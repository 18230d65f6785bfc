package httpedge

import (
	"context"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Hub says whose key a request carries, and does what the operator, services
// and tenants' ADMINs ask. Its errors are *hubsvc.Error, or those of an Engine.
// *hubsvc.Embedded and *remote.Hub are such. The actor of a change is in its context, see
// hubsvc.WithActor.
type Hub interface {
	// Authenticate returns the context of a key. It must not keep the string.
	// Under hubsvc.KnownOnly it asks nobody outside of the cluster.
	Authenticate(ctx context.Context, key string) (tenant.Context, error)
	// Identify is Authenticate for whoever has the id of a key, not the key.
	Identify(ctx context.Context, id tenant.KeyID) (tenant.Context, error)
	// ActFor returns the context of a tenant for a service that has proved that
	// it asks for it: service is what Authenticate made of its key. nonce is that
	// of a change.
	ActFor(ctx context.Context, id tenant.ID, service tenant.Context, nonce string) (tenant.Context, error)
	// Readmit makes a context that another node has made anew, by what is known
	// here.
	Readmit(ctx context.Context, tc tenant.Context) (tenant.Context, error)
	// Quota returns what a tenant may use, or NOT_FOUND.
	Quota(ctx context.Context, id tenant.ID) (hubsvc.Quota, error)

	CreateTenant(ctx context.Context, s hubsvc.TenantSpec) (hubsvc.Tenant, error)
	Tenant(ctx context.Context, id tenant.ID) (hubsvc.Tenant, error)
	ListTenants(ctx context.Context) ([]hubsvc.Tenant, error)
	SuspendTenant(ctx context.Context, id tenant.ID) (hubsvc.Tenant, error)
	ResumeTenant(ctx context.Context, id tenant.ID) (hubsvc.Tenant, error)
	SetTenantPlan(ctx context.Context, id tenant.ID, plan string) (hubsvc.Tenant, error)
	Erasure(ctx context.Context, id tenant.ID) (hubsvc.Certificate, error)

	Plans(ctx context.Context) ([]tenant.Plan, error)
	PutPlan(ctx context.Context, p tenant.Plan) (tenant.Plan, error)
	DeletePlan(ctx context.Context, name string) error

	CreateKey(ctx context.Context, s hubsvc.KeySpec) (hubsvc.Key, string, error)
	Key(ctx context.Context, id tenant.KeyID) (hubsvc.Key, error)
	TenantKey(ctx context.Context, t tenant.ID, id tenant.KeyID) (hubsvc.Key, error)
	ListKeys(ctx context.Context, id tenant.ID) ([]hubsvc.Key, error) // "": of all tenants
	RotateKey(ctx context.Context, id tenant.KeyID, grace time.Duration) (made hubsvc.Key, plain string, old hubsvc.Key, err error)
	RevokeKey(ctx context.Context, id tenant.KeyID) (hubsvc.Key, error)

	ListAudit(ctx context.Context, q hubsvc.AuditQuery) (rows []hubsvc.AuditEntry, next string, err error)
	Events(ctx context.Context, after uint64, wait time.Duration) (events []hubsvc.Event, last uint64, reset bool, err error)

	RecordCollection(ctx context.Context, records ...hubsvc.CollectionRecord) error
	ListCollectionRecords(ctx context.Context, id tenant.ID) ([]hubsvc.CollectionRecord, error)
	CollectionRecord(ctx context.Context, id tenant.ID, number uint64) (hubsvc.CollectionRecord, error)
}

// hubRoutes is the hub's API: for the operator key on the main listener, and
// also for services on the hub's own.
func (s *Server) hubRoutes() []route {
	row := func(method, path string, h handler) route {
		return route{method: method, path: path, surface: surfaceOperator, op: tenant.OpService, handle: h, ofHub: true}
	}
	anywhere := func(rt route) route { rt.anywhere = true; return rt }
	return []route{
		row("GET", "/api/v1/tenants", s.listTenants),
		row("POST", "/api/v1/tenants", s.createTenant),
		row("GET", "/api/v1/tenants/:id", s.showTenant),
		row("PATCH", "/api/v1/tenants/:id", s.changeTenant),
		row("DELETE", "/api/v1/tenants/:id", s.deleteTenant),
		row("GET", "/api/v1/tenants/:id/erasure", s.erasure),
		row("GET", "/api/v1/plans", s.listPlans),
		row("GET", "/api/v1/plans/:name", s.showPlan),
		row("PUT", "/api/v1/plans/:name", s.putPlan),
		row("DELETE", "/api/v1/plans/:name", s.deletePlan),
		row("GET", "/api/v1/access-keys", s.listKeys),
		row("POST", "/api/v1/access-keys", s.createKey),
		row("POST", "/api/v1/access-keys/validate", s.validateFor),
		row("GET", "/api/v1/access-keys/:id", s.showKey),
		row("DELETE", "/api/v1/access-keys/:id", s.revokeKey),
		row("POST", "/api/v1/access-keys/:id/rotate", s.rotateKey),
		row("GET", "/api/v1/audit", s.listAudit),
		row("GET", "/api/v1/events", s.events),
		row("GET", "/api/internal/vectorizer/user/:id/quota", s.tenantQuota),
		row("GET", "/api/internal/vectorizer/user/:id/collections", s.tenantCollections),
		row("GET", "/api/internal/vectorizer/collection/:id/validate", s.validateCollection),
		row("POST", "/api/internal/vectorizer/collection", s.recordCollection),
		anywhere(row("POST", "/api/v1/vectorizer/logs", s.takeLogs)),
		anywhere(row("GET", "/api/v1/tenants/:id/logs", s.tenantLogs)),
		{method: "GET", path: "/api/v1/cluster/logs", surface: surfaceOperator, op: tenant.OpOperator, handle: s.operatorLogs, anywhere: true},
		row("POST", "/api/mcp-servers", s.registerMCP),
	}
}
