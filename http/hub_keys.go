package httpedge

import (
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// The keys of all tenants, for the operator and for services. A service has no
// way to a key that can do more than it can: for it there are the tenants' keys
// and no others.

var errNoKeyHere = collection.Errorf(collection.NotFound, "there is no such key")

// keyOf returns the key in the path, if tc may know of it.
func (s *Server) keyOf(r *request, tc tenant.Context) (hubsvc.Key, error) {
	id, err := r.param("id")
	if err != nil {
		return hubsvc.Key{}, err
	}
	var k hubsvc.Key
	if tc.TenantID != "" {
		k, err = s.hub.TenantKey(r.ctx, tc.TenantID, tenant.KeyID(id))
	} else {
		k, err = s.hub.Key(r.ctx, tenant.KeyID(id))
	}
	switch {
	case err != nil && asError(err).Code != collection.NotFound && asError(err).Code != collection.InvalidArgument:
		return hubsvc.Key{}, err
	case err != nil, !mayKnow(tc, k):
		return hubsvc.Key{}, errNoKeyHere
	}
	return k, nil
}

// mayKnow reports whether a key is one of those that tc sees: the operator all,
// a service those of tenants, a tenant its own.
func mayKnow(tc tenant.Context, k hubsvc.Key) bool {
	if tc.IsOperator {
		return true
	}
	return k.Tenant != "" && (tc.TenantID == "" || tc.TenantID == k.Tenant)
}

func (s *Server) createKey(r *request, tc tenant.Context) error {
	q, err := r.keyRequest()
	if err != nil {
		return err
	}
	spec, err := q.spec()
	if err != nil {
		return err
	}
	if spec.Kind == tenant.KeyService && !tc.IsOperator {
		return errOperatorOnly
	}
	spec.Tenant = tenant.ID(q.tenant)
	return s.answerNewKey(r, spec)
}

func (s *Server) answerNewKey(r *request, spec hubsvc.KeySpec) error {
	k, plain, err := s.hub.CreateKey(r.ctx, spec)
	if err != nil {
		return err
	}
	return r.sendJSON(201, keyBody(k, plain))
}

func (r *request) keyRequest() (q keyRequest, err error) {
	err = r.decode(func(p *pointReader) (err error) { q, err = p.keyRequest(); return err })
	return q, err
}

// spec returns what is asked for. Whose key it is to be, is the caller's to say.
func (q *keyRequest) spec() (hubsvc.KeySpec, error) {
	spec := hubsvc.KeySpec{Kind: tenant.KeyTenant, Name: q.name, ExpiresAt: q.expires, Test: q.test}
	switch q.kind {
	case "", "tenant":
	case "mcp":
		spec.Kind = tenant.KeyMCP
		if len(q.permissions) == 0 {
			q.permissions = []string{string(tenant.MCP)}
		}
	case "service":
		spec.Kind = tenant.KeyService
	default:
		return spec, errValue("kind: must be tenant, mcp or service")
	}
	for _, p := range q.permissions {
		spec.Permissions = append(spec.Permissions, tenant.Permission(p))
	}
	scope, err := tenant.ParseScope(q.collections, q.addresses)
	if err != nil {
		return spec, errValue(err.Error())
	}
	spec.Scope = scope
	if q.rates != nil {
		rates := ratesOf(*q.rates)
		spec.Rates = &rates
	}
	return spec, nil
}

func (s *Server) listKeys(r *request, tc tenant.Context) error {
	id, _ := r.query("tenant_id")
	return s.answerKeys(r, tc, tenant.ID(id))
}

// answerKeys lists the keys of a tenant, or of all for "", that tc may know of.
func (s *Server) answerKeys(r *request, tc tenant.Context, id tenant.ID) error {
	q, err := r.pageRequest()
	if err != nil {
		return err
	}
	all, err := s.hub.ListKeys(r.ctx, id)
	if err != nil {
		return err
	}
	known := all[:0]
	for _, k := range all {
		if mayKnow(tc, k) {
			known = append(known, k)
		}
	}
	page, next := pageOf(known, q, func(k hubsvc.Key) (uint64, string) { return k.Index, string(k.ID) })
	list := make([]keyJSON, 0, len(page))
	for _, k := range page {
		list = append(list, keyBody(k, ""))
	}
	return r.sendJSON(200, listed("access_keys", list, next))
}

func (s *Server) showKey(r *request, tc tenant.Context) error {
	k, err := s.keyOf(r, tc)
	if err != nil {
		return err
	}
	return r.sendJSON(200, keyBody(k, ""))
}

func (s *Server) revokeKey(r *request, tc tenant.Context) error {
	k, err := s.keyOf(r, tc)
	if err != nil {
		return err
	}
	if k, err = s.hub.RevokeKey(r.ctx, k.ID); err != nil {
		return err
	}
	return r.sendJSON(200, keyBody(k, ""))
}

func (s *Server) rotateKey(r *request, tc tenant.Context) error {
	k, err := s.keyOf(r, tc)
	if err != nil {
		return err
	}
	return s.answerRotated(r, k.ID)
}

// rotatedJSON is the key that takes another's place, and that other.
type rotatedJSON struct {
	keyJSON
	Old keyJSON `json:"old"`
}

func (s *Server) answerRotated(r *request, id tenant.KeyID) error {
	grace := hubsvc.RotationGrace
	if len(r.body) > 0 {
		err := r.decode(func(p *pointReader) error {
			given, err := p.graceRequest()
			if given != nil {
				grace = *given
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	made, plain, old, err := s.hub.RotateKey(r.ctx, id, grace)
	if err != nil {
		return err
	}
	return r.sendJSON(201, rotatedJSON{keyJSON: keyBody(made, plain), Old: keyBody(old, "")})
}
