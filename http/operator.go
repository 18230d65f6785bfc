package httpedge

import (
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

func (s *Server) operatorRoutes() []route {
	row := func(method, path string, h handler) route {
		return route{method: method, path: path, surface: surfaceOperator, op: tenant.OpOperator, handle: h}
	}
	return []route{
		row("GET", "/api/v1/tenants", s.listTenants),
		row("POST", "/api/v1/tenants", s.createTenant),
		row("DELETE", "/api/v1/tenants/:id", s.deleteTenant),
		row("GET", "/api/v1/access-keys", s.listKeys),
		row("POST", "/api/v1/access-keys", s.createKey),
		row("DELETE", "/api/v1/access-keys/:id", s.revokeKey),
	}
}

// tenantJSON is a tenant on the wire.
type tenantJSON struct {
	ID        tenant.ID `json:"tenant_id"`
	Name      string    `json:"name"`
	Plan      string    `json:"plan"`
	Status    string    `json:"status"`
	CreatedAt int64     `json:"created_at"` // unix ms
}

func tenantBody(t hubsvc.Tenant) tenantJSON {
	return tenantJSON{ID: t.ID, Name: t.Name, Plan: t.Plan, Status: t.Status.String(), CreatedAt: t.Created}
}

// keyJSON is an access key on the wire. Key is there once, when it is made.
type keyJSON struct {
	ID         tenant.KeyID      `json:"key_id"`
	Key        string            `json:"key,omitempty"`
	Prefix     string            `json:"prefix"`
	TenantID   tenant.ID         `json:"tenant_id"`
	Permission tenant.Permission `json:"permission"`
	Operator   bool              `json:"operator,omitempty"`
	CreatedAt  int64             `json:"created_at"`           // unix ms
	RevokedAt  int64             `json:"revoked_at,omitempty"` // unix ms
}

func keyBody(k hubsvc.Key, plain string) keyJSON {
	return keyJSON{
		ID: k.ID, Key: plain, Prefix: k.Prefix, TenantID: k.Tenant, Permission: k.Permission,
		Operator: k.Operator, CreatedAt: k.Created, RevokedAt: k.Revoked,
	}
}

func (s *Server) createTenant(r *request, _ tenant.Context) error {
	var name, plan string
	err := r.decode(func(p *pointReader) error {
		return p.object(func(key []byte) error {
			switch string(key) {
			case "name":
				return p.stringTo(&name)
			case "plan":
				return p.stringTo(&plan)
			}
			return p.skip()
		})
	})
	if err != nil {
		return err
	}
	if plan == "" {
		plan = tenant.PlanFree
	}
	t, err := s.hub.CreateTenant(r.ctx, hubsvc.TenantSpec{Name: name, Plan: plan})
	if err != nil {
		return err
	}
	return r.sendJSON(201, tenantBody(t))
}

func (s *Server) listTenants(r *request, _ tenant.Context) error {
	tenants, err := s.hub.ListTenants(r.ctx)
	if err != nil {
		return err
	}
	list := make([]tenantJSON, 0, len(tenants))
	for _, t := range tenants {
		list = append(list, tenantBody(t))
	}
	return r.sendJSON(200, map[string]any{"tenants": list})
}

// deleteTenant answers when nobody can read the tenant's data any more; the
// bytes go in the background.
func (s *Server) deleteTenant(r *request, _ tenant.Context) error {
	raw, err := r.param("id")
	if err != nil {
		return err
	}
	id, err := tenant.ParseID(raw)
	if err != nil {
		return collection.Errorf(collection.NotFound, "there is no such tenant")
	}
	if err := s.engine.DeleteTenant(r.ctx, id); err != nil {
		return err
	}
	return r.sendJSON(200, map[string]any{"tenant_id": id, "status": hubsvc.Deleting.String()})
}

func (s *Server) createKey(r *request, _ tenant.Context) error {
	var id, permission string
	err := r.decode(func(p *pointReader) error {
		return p.object(func(key []byte) error {
			switch string(key) {
			case "tenant_id":
				return p.stringTo(&id)
			case "permission":
				return p.stringTo(&permission)
			}
			return p.skip()
		})
	})
	if err != nil {
		return err
	}
	k, plain, err := s.hub.CreateKey(r.ctx, hubsvc.KeySpec{Tenant: tenant.ID(id), Permissions: []tenant.Permission{tenant.Permission(permission)}})
	if err != nil {
		return err
	}
	return r.sendJSON(201, keyBody(k, plain))
}

func (s *Server) listKeys(r *request, _ tenant.Context) error {
	id, _ := r.query("tenant_id")
	keys, err := s.hub.ListKeys(r.ctx, tenant.ID(id))
	if err != nil {
		return err
	}
	list := make([]keyJSON, 0, len(keys))
	for _, k := range keys {
		list = append(list, keyBody(k, ""))
	}
	return r.sendJSON(200, map[string]any{"access_keys": list})
}

func (s *Server) revokeKey(r *request, _ tenant.Context) error {
	id, err := r.param("id")
	if err != nil {
		return err
	}
	k, err := s.hub.RevokeKey(r.ctx, tenant.KeyID(id))
	if err != nil {
		return err
	}
	return r.sendJSON(200, keyBody(k, ""))
}
