package hubsvc

import (
	"context"

	"github.com/hivehub/waggle/tenant"
)

// What an edge asks of a hub, wherever that is. This one asks nobody: it knows.

// Authenticate returns the context of a key: see Directory.Validate.
func (e *Embedded) Authenticate(_ context.Context, key string) (tenant.Context, error) {
	return e.Validate(key)
}

// Identify returns the context of the key that has an id: see Directory.Grant.
func (e *Embedded) Identify(_ context.Context, id tenant.KeyID) (tenant.Context, error) {
	return e.Grant(id)
}

// ActFor returns the context of a service's request for a tenant: see
// Directory.ServiceContext.
func (e *Embedded) ActFor(_ context.Context, id tenant.ID, service tenant.Context, nonce string) (tenant.Context, error) {
	return e.ServiceContext(id, service, nonce)
}

// Readmit makes a context anew that another node has made: see Directory.Renew.
func (e *Embedded) Readmit(_ context.Context, tc tenant.Context) (tenant.Context, error) {
	return e.Renew(tc)
}

// Erases reports whether the data of a tenant is to go.
func (e *Embedded) Erases(_ context.Context, id tenant.ID) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	t := e.mu.tenants[id]
	return t != nil && t.Status == Deleting
}

// knownKey finds the mark of KnownOnly in a context.
type knownKey struct{}

// KnownOnly returns a context under which a hub that is elsewhere is not asked
// about a key: what this node does not know to be good is answered as wrong.
func KnownOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, knownKey{}, true)
}

// IsKnownOnly reports whether ctx comes from KnownOnly.
func IsKnownOnly(ctx context.Context) bool { return ctx.Value(knownKey{}) != nil }
