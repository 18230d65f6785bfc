package httpedge

import (
	"errors"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

var (
	errNoKey = &collection.Error{
		Code: collection.Unauthenticated, Reason: reasonAuthMissing,
		Message: "no access key: send Authorization: Bearer KEY, X-API-Key or api-key",
	}
	errTwoKeys = &collection.Error{
		Code: collection.Unauthenticated, Reason: reasonAuthFormat,
		Message: "the request carries two different credentials",
	}
	errScheme = &collection.Error{
		Code: collection.Unauthenticated, Reason: reasonAuthFormat,
		Message: "the Authorization header is not of the form Bearer KEY",
	}
	errForbidden = &collection.Error{
		Code: collection.PermissionDenied, Message: "the access key does not allow this operation",
	}
	errOperatorOnly = &collection.Error{
		Code: collection.PermissionDenied, Message: "this operation needs the operator key",
	}
	errServiceOnly = &collection.Error{
		Code: collection.PermissionDenied, Message: "this operation needs the operator key, or on the hub's own listener a service's",
	}
	errMCPOnly = &collection.Error{
		Code: collection.PermissionDenied, Message: "an mcp_sk_ key is for " + mcpPath + " only",
	}
	errAddress = &collection.Error{
		Code: collection.PermissionDenied, Message: "the access key may not be used from this address",
	}
	errNarrowed = &collection.Error{
		Code: collection.PermissionDenied, Message: "the access key is not for this collection",
	}
	errSuspended = &collection.Error{
		Code: collection.PermissionDenied, Reason: collection.ReasonTenantSuspended,
		Message: "the tenant is suspended: an ADMIN key may read usage and export, nothing else",
	}
	errNotFresh = &collection.Error{
		Code:    collection.Unavailable,
		Message: "the hub has not confirmed this access key lately, and nothing is deleted until it does; retry shortly",
	}
	errTenantOnly = &collection.Error{
		Code: collection.PermissionDenied, Message: "the operator key belongs to no tenant: use a tenant's key",
	}
)

// mcpPath is the one route for mcp_sk_ keys.
const mcpPath = "/mcp"

func errBlocked(wait time.Duration) error {
	return &collection.Error{
		Code: collection.ResourceExhausted, Reason: reasonAuthRate,
		Message: "too many wrong access keys came from this address; wait, then check the key",
		Details: map[string]any{"retry_after_s": int(wait/time.Second) + 1},
	}
}

// credential returns the key that the request carries, however often. The
// string is valid until the request ends.
func (r *request) credential() (string, error) {
	h := &r.http.Request.Header
	key := ""
	for _, name := range [...]string{"X-Api-Key", "Api-Key", "Authorization"} {
		for _, value := range h.PeekAll(name) {
			given := text(value)
			if given == "" {
				continue
			}
			if name == "Authorization" {
				scheme, bearer, ok := strings.Cut(given, " ")
				if !ok || !strings.EqualFold(scheme, "Bearer") {
					return "", errScheme
				}
				given = strings.TrimSpace(bearer)
			}
			if key != "" && key != given {
				return "", errTwoKeys
			}
			key = given
		}
	}
	if key == "" {
		return "", errNoKey
	}
	return key, nil
}

// authenticate makes the tenant.Context of the request: of its key, or of the
// implicit tenant. Whoever sends wrong keys is told to wait.
func (r *request) authenticate() (tenant.Context, error) {
	door := &r.s.door
	if door.Keyless {
		return r.implicit()
	}
	key, err := r.credential()
	if err != nil {
		if errors.Is(err, errNoKey) && door.Implicit != "" {
			return r.implicit()
		}
		return tenant.Context{}, err
	}
	tc, err := r.contextOf(key)
	if err != nil {
		return tenant.Context{}, r.wrongKey(key, err)
	}
	tc.RequestID = r.id
	r.knownAs(&tc)
	r.caller.kind = tenant.KindOf(key)
	if tc.Deprecated {
		r.caller.retired = tc.ExpiresAt
	}
	if tc.Scope != nil && !tc.Scope.AllowsAddress(r.address()) {
		r.refused(&tc, errAddress)
		return tenant.Context{}, errAddress
	}
	door.sightings.success(&tc, r.address())
	return tc, nil
}

// contextOf returns the context of a key. For an address that sent too many
// wrong ones nobody outside of the cluster is asked about another.
func (r *request) contextOf(key string) (tenant.Context, error) {
	ctx := r.ctx
	if r.s.door.guesses.blocks(r.address()) {
		ctx = hubsvc.KnownOnly(ctx)
	}
	return r.s.hub.Authenticate(ctx, key)
}

// refused lets the audit log know that a key that is good was not enough.
func (r *request) refused(tc *tenant.Context, err error) {
	r.s.door.sightings.refusal(sight{tenant: tc.TenantID, key: tc.KeyID, from: r.address(), reason: faultOf(asError(err)).word})
}

// implicit is the context of a request where no key is needed: nobody's in
// particular, for whom the hub asks nothing.
func (r *request) implicit() (tenant.Context, error) {
	nobody := tenant.Context{Service: "nobody", ValidatedAt: r.start}
	tc, err := r.s.hub.ActFor(r.ctx, r.s.door.Implicit, nobody, "")
	tc.Service, tc.RequestID = "", r.id
	if err == nil {
		r.knownAs(&tc)
	}
	return tc, err
}

// wrongKey notes where a wrong key came from; the answer to an address with too
// many of them is another one. A hub that is away says nothing about the key.
func (r *request) wrongKey(key string, err error) error {
	what := sight{from: r.address(), reason: string(asError(err).Reason)}
	switch collection.Reason(what.reason) {
	case reasonAuthFormat: // it may be anything, such as a password: no part of it is kept
	case reasonAuthKey, reasonAuthExpired:
		what.prefix = strings.Clone(tenant.ShownPrefix(key))
	default:
		return err
	}
	if wait := r.s.door.guesses.failed(what.from); wait > 0 {
		err, what.reason = errBlocked(wait), string(reasonAuthRate)
		what.prefix = "" // of a flood, one row
	}
	r.s.door.sightings.refusal(what)
	return err
}

// admit authenticates the request and checks that its key allows the route. A
// service that asks for a tenant has yet to prove it when admit returns: see
// prove.
func (r *request) admit(rt *route) (tenant.Context, error) {
	if r.forwarded != nil {
		return r.admitForwarded(rt)
	}
	tc, err := r.authenticate()
	if err == nil && tc.Service != "" && !rt.ofNoTenant() {
		r.caller.signed, err = r.signedHeader(tc)
	}
	if err != nil {
		r.s.meter.refused(faultOf(asError(err)).word)
		return tenant.Context{}, err
	}
	if r.caller.signed != nil {
		return tc, nil
	}
	return r.allow(rt, tc)
}

// actor says on whose behalf the hub is asked for something.
func (r *request) actor(tc *tenant.Context) hubsvc.Actor {
	a := hubsvc.Actor{KeyID: tc.KeyID, Service: tc.Service, Operator: tc.IsOperator, RequestID: r.id, Nonce: tc.Nonce}
	if from := r.address(); from.IsValid() {
		a.Address = from.String()
	}
	return a
}

// allow checks a proven context against the route's row of the table.
func (r *request) allow(rt *route, tc tenant.Context) (tenant.Context, error) {
	if tc.TenantID != "" {
		r.caller.tenant = string(tc.TenantID)
	}
	r.setCaller()
	switch {
	case r.caller.kind == tenant.KeyMCP && rt.path != mcpPath:
		return tenant.Context{}, errMCPOnly
	case rt.op == tenant.OpOperator && !tc.IsOperator:
		return tenant.Context{}, errOperatorOnly
	case rt.op == tenant.OpService:
		return r.allowService(tc)
	case (rt.op == tenant.OpSelf || rt.op == tenant.OpUsage) && tc.IsOperator:
	case rt.op != tenant.OpOperator && !tc.Valid():
		return tenant.Context{}, errTenantOnly
	case !tc.May(rt.op) && tc.Suspended:
		return tenant.Context{}, errSuspended
	case !tc.May(rt.op):
		return tenant.Context{}, errForbidden
	case rt.destroys() && !tc.MayDestroy():
		return tenant.Context{}, errNotFresh
	}
	return tc, nil
}

// destroys reports whether a route takes away what cannot be brought back.
func (rt *route) destroys() bool {
	return rt.op == tenant.OpDeletePoints || rt.method == fiber.MethodDelete
}
