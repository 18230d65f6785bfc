package httpedge

import (
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// A tenant's own administration, for its ADMIN keys and for services that act
// for it. A key gives at most what it has itself: whoever holds a narrowed key
// gets no wider one with it, in no way.

func (s *Server) selfServiceRoutes() []route {
	row := func(method, path string, op tenant.Operation, h handler) route {
		return route{method: method, path: path, surface: surfaceNative, op: op, handle: h, ofHub: true}
	}
	me := row("GET", "/auth/me", tenant.OpSelf, s.me)
	me.anywhere = true
	usage := row("GET", "/hub/usage/quota", tenant.OpOwnUsage, s.ownQuota)
	usage.ofHub = false // the counters are with the tenant's data
	logs := row("GET", "/auth/logs", tenant.OpAdmin, s.ownLogs)
	logs.anywhere = true
	return []route{
		logs,
		row("GET", "/auth/keys", tenant.OpAdmin, s.listOwnKeys),
		row("POST", "/auth/keys", tenant.OpAdmin, s.createOwnKey),
		row("GET", "/auth/keys/:id", tenant.OpAdmin, s.showKey),
		row("DELETE", "/auth/keys/:id", tenant.OpAdmin, s.revokeOwnKey),
		row("POST", "/auth/keys/:id/rotate", tenant.OpAdmin, s.rotateOwnKey),
		row("GET", "/auth/audit", tenant.OpAdmin, s.listOwnAudit),
		me, usage,
		{method: "POST", path: "/hub/validate-key", surface: surfaceNative, op: tenant.OpPublic, open: s.validateAny},
		{method: "POST", path: "/api/v1/cluster/keys/validate", surface: surfaceNative, op: tenant.OpPublic, open: s.validateAny},
	}
}

// me says who the caller is taken for.
func (s *Server) me(r *request, tc tenant.Context) error {
	body := struct {
		whoseJSON
		Operator bool `json:"is_operator,omitempty"`
	}{whoseJSON: whoseBody(tc), Operator: tc.IsOperator}
	body.Service = tc.Service
	if tc.TenantID != "" {
		q, err := s.hub.Quota(r.ctx, tc.TenantID)
		if err != nil {
			return err
		}
		limits := limitsBody(q.Limits, q.Rates)
		body.Limits = &limits
	}
	return r.sendJSON(200, body)
}

func (s *Server) listOwnKeys(r *request, tc tenant.Context) error {
	return s.answerKeys(r, tc, tc.TenantID)
}

func (s *Server) createOwnKey(r *request, tc tenant.Context) error {
	q, err := r.keyRequest()
	if err != nil {
		return err
	}
	if err := ownTenant(tc, q.tenant); err != nil {
		return err
	}
	spec, err := q.spec()
	if err != nil {
		return err
	}
	if spec.Kind == tenant.KeyService {
		return errOperatorOnly
	}
	spec.Tenant = tc.TenantID
	g, err := s.grantOf(r, tc)
	if err != nil {
		return err
	}
	g.inherit(&q, &spec)
	if err := g.covers(spec.Scope, spec.Rates, spec.ExpiresAt); err != nil {
		r.refused(&tc, err)
		return err
	}
	return s.answerNewKey(r, spec)
}

// ownTenant refuses a tenant that the request names and that is not the
// caller's, whether or not there is one.
func ownTenant(tc tenant.Context, named string) error {
	if named != "" && named != string(tc.TenantID) {
		return &collection.Error{Code: collection.PermissionDenied, Message: "the request names another tenant than its key is of"}
	}
	return nil
}

// revokeOwnKey ends any key of the tenant but the one that asks: whoever ends
// that one by mistake could not go on.
func (s *Server) revokeOwnKey(r *request, tc tenant.Context) error {
	if err := somebody(tc); err != nil {
		return err
	}
	k, err := s.keyOf(r, tc)
	if err != nil {
		return err
	}
	if k.ID == tc.KeyID {
		return collection.Errorf(collection.Aborted, "a key cannot revoke itself: use another ADMIN key, or rotate this one with grace_seconds 0")
	}
	if k, err = s.hub.RevokeKey(r.ctx, k.ID); err != nil {
		return err
	}
	return r.sendJSON(200, keyBody(k, ""))
}

// rotateOwnKey gives away a key that may what another may, so it is as much as
// making one.
func (s *Server) rotateOwnKey(r *request, tc tenant.Context) error {
	k, err := s.keyOf(r, tc)
	if err != nil {
		return err
	}
	g, err := s.grantOf(r, tc)
	if err != nil {
		return err
	}
	var expires time.Time
	if k.Expires != 0 {
		expires = time.UnixMilli(k.Expires)
	}
	if err := g.covers(k.Scope, k.Rates, expires); err != nil {
		r.refused(&tc, err)
		return err
	}
	return s.answerRotated(r, k.ID)
}

// somebody refuses changes by a request without a key, where none is needed:
// what it did would have been done by nobody, and outlast the time without keys.
func somebody(tc tenant.Context) error {
	if tc.KeyID == "" && tc.Service == "" {
		return &collection.Error{Code: collection.PermissionDenied, Message: "keys are made and ended with a key: send an ADMIN key"}
	}
	return nil
}

// grant is what a caller can give away.
type grant struct {
	scope   *tenant.Scope
	rates   *tenant.Rates
	expires time.Time // zero: never
}

// grantOf returns what tc can give away. Rates are in the key's record alone; a
// service that acts for the tenant has no key of it, and no narrowing.
func (s *Server) grantOf(r *request, tc tenant.Context) (grant, error) {
	if err := somebody(tc); err != nil {
		return grant{}, err
	}
	g := grant{scope: tc.Scope, expires: tc.ExpiresAt}
	if tc.Service != "" {
		return g, nil
	}
	k, err := s.hub.Key(r.ctx, tc.KeyID)
	if err != nil {
		return grant{}, err
	}
	if k.Revoked != 0 {
		return grant{}, errForbidden // since the request was let in
	}
	g.rates = k.Rates
	return g, nil
}

// inherit completes spec: what the request leaves open is what its maker has.
func (g *grant) inherit(q *keyRequest, spec *hubsvc.KeySpec) {
	if g.scope != nil {
		var s tenant.Scope
		if spec.Scope != nil {
			s = *spec.Scope
		}
		if q.collections == nil {
			s.Collections = g.scope.Collections
		}
		if q.addresses == nil {
			s.AllowedIPs = g.scope.AllowedIPs
		}
		if len(s.Collections)+len(s.AllowedIPs) > 0 {
			spec.Scope = &s
		}
	}
	if spec.Rates == nil {
		spec.Rates = g.rates
	}
	if spec.ExpiresAt.IsZero() {
		spec.ExpiresAt = g.expires
	}
}

// covers refuses what is wider than the grant.
func (g *grant) covers(scope *tenant.Scope, rates *tenant.Rates, expires time.Time) error {
	var wider string
	switch {
	case !coversCollections(g.scope, scope):
		wider = "collections"
	case !coversAddresses(g.scope, scope):
		wider = "allowed_ips"
	case !coversRates(g.rates, rates):
		wider = "rate_limits"
	case !g.expires.IsZero() && (expires.IsZero() || expires.After(g.expires)):
		wider = "expires_at"
	default:
		return nil
	}
	return &collection.Error{
		Code: collection.PermissionDenied, Message: wider + ": a key cannot give more than it has itself",
		Details: map[string]any{"member": wider},
	}
}

// coversCollections reports whether every name that wanted allows is one that
// has allows. Of two different patterns that is not decided: a pattern must be
// one of the grant's own, or a plain name that one of these matches.
func coversCollections(has, wanted *tenant.Scope) bool {
	if has == nil || len(has.Collections) == 0 {
		return true
	}
	if wanted == nil || len(wanted.Collections) == 0 {
		return false
	}
	for _, pattern := range wanted.Collections {
		if !coversPattern(has.Collections, pattern) {
			return false
		}
	}
	return true
}

func coversPattern(has []string, wanted string) bool {
	plain := !strings.ContainsAny(wanted, `*?[\`)
	for _, pattern := range has {
		if pattern == wanted {
			return true
		}
		if ok, err := path.Match(pattern, wanted); plain && ok && err == nil {
			return true
		}
	}
	return false
}

func coversAddresses(has, wanted *tenant.Scope) bool {
	if has == nil || len(has.AllowedIPs) == 0 {
		return true
	}
	if wanted == nil || len(wanted.AllowedIPs) == 0 {
		return false
	}
	for _, p := range wanted.AllowedIPs {
		if !coversBlock(has.AllowedIPs, p) {
			return false
		}
	}
	return true
}

func coversBlock(has []netip.Prefix, wanted netip.Prefix) bool {
	for _, p := range has {
		if p.Bits() <= wanted.Bits() && p.Contains(wanted.Addr()) {
			return true
		}
	}
	return false
}

func coversRates(has, wanted *tenant.Rates) bool {
	h, w := has.OrUnlimited(), wanted.OrUnlimited()
	within := func(has, wanted int64) bool { return has < 0 || wanted >= 0 && wanted <= has }
	return within(h.PerMinute, w.PerMinute) && within(h.PerHour, w.PerHour) && within(h.PerDay, w.PerDay)
}

// ownQuota answers with the tenant's limits and what it has stored.
func (s *Server) ownQuota(r *request, tc tenant.Context) error {
	named, _ := r.query("user_id")
	if err := ownTenant(tc, named); err != nil {
		return err
	}
	q, err := s.hub.Quota(r.ctx, tc.TenantID)
	if err != nil {
		return err
	}
	u, err := s.engine.TenantUsage(r.ctx, tc.TenantID)
	if err != nil {
		return err
	}
	return r.sendJSON(200, map[string]any{
		"success": true, "message": "the quota of the tenant",
		"quota": map[string]any{
			"tenant_id": tc.TenantID, "plan": q.Plan, "version": q.Limits.Version,
			"storage": shareBody(u.Bytes, q.Limits.Bytes), "vectors": shareBody(u.Points, q.Limits.Vectors),
			"collections": shareBody(u.Collections, q.Limits.Collections), "rate_limits": ratesBody(q.Rates),
		},
	})
}
