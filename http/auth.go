package httpedge

import (
	"strings"

	"github.com/hivehub/waggle/collection"
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
	errTenantOnly = &collection.Error{
		Code: collection.PermissionDenied, Message: "the operator key belongs to no tenant: use a tenant's key",
	}
)

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

// authenticate makes the tenant.Context of the request.
func (r *request) authenticate() (tenant.Context, error) {
	key, err := r.credential()
	if err != nil {
		return tenant.Context{}, err
	}
	tc, err := r.s.hub.Validate(key)
	if err != nil {
		return tenant.Context{}, err
	}
	tc.RequestID = r.id
	return tc, nil
}

// admit authenticates the request and checks that its key allows op.
func (r *request) admit(op tenant.Operation) (tenant.Context, error) {
	if r.forwarded != nil {
		return r.admitForwarded(op)
	}
	tc, err := r.authenticate()
	if err != nil {
		r.s.meter.refused(faultOf(asError(err)).word)
		return tenant.Context{}, err
	}
	switch {
	case op == tenant.OpOperator && !tc.IsOperator:
		return tenant.Context{}, errOperatorOnly
	case op != tenant.OpOperator && !tc.Valid():
		return tenant.Context{}, errTenantOnly
	case !tc.May(op):
		return tenant.Context{}, errForbidden
	}
	if tc.TenantID != "" {
		r.tenant = string(tc.TenantID)
		r.http.Response.Header.Set("X-Tenant-Id", r.tenant)
	}
	return tc, nil
}
