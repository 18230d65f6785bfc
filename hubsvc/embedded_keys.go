package hubsvc

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// RotationGrace is how long a rotated key works when nobody says otherwise.
const RotationGrace = 7 * 24 * time.Hour

// KeySpec describes a key to be made.
type KeySpec struct {
	Tenant      tenant.ID           // "" for a service's
	Permissions []tenant.Permission // one; none for a service's, and none means MCP for an MCP key
	Kind        tenant.KeyKind      // 0: KeyTenant
	Name        string              // of a service's key, the service's: [a-z0-9_-]
	Scope       *tenant.Scope       // given away
	Rates       *tenant.Rates       // given away; nil: none but the tenant's
	ExpiresAt   time.Time           // zero: never
	Test        bool                // hh_test_, of KeyTenant only
}

// CreateKey makes a key. The second result is the key itself, which nobody can
// ask for again.
func (e *Embedded) CreateKey(ctx context.Context, s KeySpec) (Key, string, error) {
	op := &CreateKey{Tenant: s.Tenant, Kind: cmp.Or(s.Kind, tenant.KeyTenant), Name: s.Name, Scope: s.Scope, Rates: s.Rates}
	switch {
	case len(s.Permissions) == 1:
		op.Permission = s.Permissions[0]
	case len(s.Permissions) > 1:
		return Key{}, "", errorf(CodeInvalidRequest, "a key has one permission, not %d", len(s.Permissions))
	case s.Kind == tenant.KeyMCP:
		op.Permission = tenant.MCP
	}
	if s.Test && op.Kind != tenant.KeyTenant {
		return Key{}, "", errorf(CodeInvalidRequest, "only a tenant's key can be one for tests")
	}
	if !s.ExpiresAt.IsZero() {
		op.Expires = max(s.ExpiresAt.UnixMilli(), 1)
	}
	plain := tenant.NewKeyOf(tenant.KeyForm{Kind: op.Kind, Test: s.Test})
	op.Key = e.newKey(plain)
	k, err := propose[Key](ctx, e, op)
	if err != nil {
		return Key{}, "", wrap(err, "create key")
	}
	return k, plain, nil
}

// Key returns a key, or NOT_FOUND.
func (e *Embedded) Key(ctx context.Context, id tenant.KeyID) (Key, error) {
	k, err := read(ctx, e, func(r Reader) (Key, error) { return keyOf(r, id) })
	return k, wrap(err, "show key")
}

// TenantKey returns a key of a tenant, or NOT_FOUND. Another tenant's is not
// even read: it takes as long as one that nobody has.
func (e *Embedded) TenantKey(ctx context.Context, t tenant.ID, id tenant.KeyID) (Key, error) {
	k, err := read(ctx, e, func(r Reader) (Key, error) {
		owned, err := r.Get(Bucket, tenantKeyKey(t, id))
		if err == nil && owned == nil {
			err = errorf(CodeNotFound, "there is no key %s", id)
		}
		if err != nil {
			return Key{}, err
		}
		return keyOf(r, id)
	})
	return k, wrap(err, "show key")
}

// ListKeys returns the keys of a tenant, revoked ones too, in the order of
// creation; with "" every key of the cluster.
func (e *Embedded) ListKeys(ctx context.Context, id tenant.ID) ([]Key, error) {
	keys, err := read(ctx, e, func(r Reader) ([]Key, error) {
		if id == "" {
			return list[Key](r, tagKey)
		}
		if _, err := tenantOf(r, id); err != nil {
			return nil, err
		}
		return keysOf(r, id)
	})
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
	})
	return keys, wrap(err, "list keys")
}

// RevokeKey ends a key. The only operator key stays: FAILED_PRECONDITION.
func (e *Embedded) RevokeKey(ctx context.Context, id tenant.KeyID) (Key, error) {
	k, err := propose[Key](ctx, e, &RevokeKey{ID: id})
	return k, wrap(err, "revoke key")
}

// RotateKey makes a key that may exactly what another may, and ends the other
// after grace; 0 ends it at once. It returns the new key's record, the new key
// itself, which nobody can ask for again, and the old key's record. A key that
// has been rotated, or has ended, is not rotated again: FAILED_PRECONDITION.
func (e *Embedded) RotateKey(ctx context.Context, id tenant.KeyID, grace time.Duration) (Key, string, Key, error) {
	old, err := e.Key(ctx, id)
	if err != nil {
		return Key{}, "", Key{}, err
	}
	plain := tenant.NewKeyOf(tenant.KeyForm{Kind: old.Kind, Test: old.Test})
	r, err := propose[Rotated](ctx, e, &RotateKey{ID: id, Grace: grace.Milliseconds(), Key: e.newKey(plain)})
	if err != nil {
		return Key{}, "", Key{}, wrap(err, "rotate key")
	}
	return r.New, plain, r.Old, nil
}
