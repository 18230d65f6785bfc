package client

import (
	"context"
	"net/url"
)

// Tenant is a tenant as the operator sees it.
type Tenant struct {
	ID        string `json:"tenant_id"`
	Name      string `json:"name"`
	Plan      string `json:"plan"`
	Status    string `json:"status"`     // active, suspended, deleting
	CreatedAt int64  `json:"created_at"` // unix ms
}

// Key is an access key as the operator sees it.
type Key struct {
	ID         string `json:"key_id"`
	Key        string `json:"key,omitempty"` // the key itself, only in the answer of CreateKey
	Prefix     string `json:"prefix"`        // its first characters
	TenantID   string `json:"tenant_id"`     // "" for an operator key
	Permission string `json:"permission"`    // ADMIN, READ_WRITE, READ_ONLY, MCP; "" for an operator key
	Operator   bool   `json:"operator,omitempty"`
	CreatedAt  int64  `json:"created_at"`           // unix ms
	RevokedAt  int64  `json:"revoked_at,omitempty"` // unix ms, 0 while the key is good
}

// CreateTenant makes a tenant on a plan: free, pro or enterprise.
func (c *Client) CreateTenant(ctx context.Context, name, plan string) (Tenant, error) {
	var t Tenant
	err := c.call(ctx, "POST", "/api/v1/tenants", map[string]string{"name": name, "plan": plan}, &t)
	return t, err
}

// ListTenants returns every tenant, oldest first.
func (c *Client) ListTenants(ctx context.Context) ([]Tenant, error) {
	var answer struct{ Tenants []Tenant }
	err := c.call(ctx, "GET", "/api/v1/tenants", nil, &answer)
	return answer.Tenants, err
}

// DeleteTenant deletes a tenant and all it has. When it returns, nobody can
// read any of it; the bytes go in the background.
func (c *Client) DeleteTenant(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/api/v1/tenants/"+url.PathEscape(id), nil, nil)
}

// CreateKey makes a key of a tenant. Its Key cannot be asked for again.
func (c *Client) CreateKey(ctx context.Context, tenantID, permission string) (Key, error) {
	var k Key
	in := map[string]string{"tenant_id": tenantID, "permission": permission}
	err := c.call(ctx, "POST", "/api/v1/access-keys", in, &k)
	return k, err
}

// ListKeys returns the keys of a tenant, revoked ones too, oldest first; with
// "" every key there is.
func (c *Client) ListKeys(ctx context.Context, tenantID string) ([]Key, error) {
	path := "/api/v1/access-keys"
	if tenantID != "" {
		path += "?tenant_id=" + url.QueryEscape(tenantID)
	}
	var answer struct {
		Keys []Key `json:"access_keys"`
	}
	err := c.call(ctx, "GET", path, nil, &answer)
	return answer.Keys, err
}

// RevokeKey ends a key for good.
func (c *Client) RevokeKey(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/api/v1/access-keys/"+url.PathEscape(id), nil, nil)
}
