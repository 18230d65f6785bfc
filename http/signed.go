package httpedge

import (
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// The headers of a service's signed request. Who signs is said by the key; the
// header of that name only may not contradict it.
const (
	headerService   = "X-Hivehub-Service"
	headerUserID    = "X-Hivehub-User-Id"
	headerTimestamp = "X-Hivehub-Timestamp"
	headerNonce     = "X-Hivehub-Nonce"
	headerSignature = "X-Hivehub-Signature"
	// headerServiceName is how a service calls itself where its key is enough.
	headerServiceName = "X-Service-Name"
)

// serviceNameMax is the length of the longest name in it.
const serviceNameMax = 64

// signedHeader is what a signed request says about itself.
type signedHeader struct {
	service   tenant.Context // of the key
	tenant    tenant.ID
	timestamp string
	nonce     string
	signature string
}

var (
	errUnsigned = &collection.Error{
		Code: collection.Unauthenticated, Reason: reasonAuthMissing,
		Message: "a service's key needs a signature: X-HiveHub-User-Id, -Timestamp, -Nonce and -Signature, once each",
	}
	errSigned = &collection.Error{
		Code: collection.Unauthenticated, Reason: reasonAuthKey, Message: "the signed request is not valid",
	}
	errReplayed = &collection.Error{
		Code: collection.Unauthenticated, Reason: collection.ReasonNonceReplayed, Message: "the nonce of the signed request was used before",
	}
	errNoncesFull = &collection.Error{
		Code: collection.Unavailable, Reason: collection.ReasonOverload, Message: "too many signed requests within ten minutes",
	}
	errServiceName = &collection.Error{
		Code: collection.Unauthenticated, Reason: reasonAuthFormat,
		Message: "a service names itself in X-Service-Name: 1 to 64 of A-Z, a-z, 0-9, ., _ and -",
	}
)

// ofNoTenant reports whether a route acts for nobody: a service's key has no
// tenant to prove there.
func (rt *route) ofNoTenant() bool { return rt.op == tenant.OpOperator || rt.op == tenant.OpService }

// allowService admits the operator anywhere, and a service on the listener
// that is there for it.
func (r *request) allowService(tc tenant.Context) (tenant.Context, error) {
	if tc.IsOperator {
		return tc, nil
	}
	if tc.Service == "" || !r.atHub {
		return tenant.Context{}, errServiceOnly
	}
	if name, ok := r.single(headerServiceName); !ok || !isName(name) {
		return tenant.Context{}, errServiceName
	}
	return tc, nil
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= serviceNameMax
}

// signedHeader reads what a signed request says, before its body is read: what
// cannot be good whatever the body is costs no upload.
func (r *request) signedHeader(service tenant.Context) (*signedHeader, error) {
	h := signedHeader{service: service}
	var id string
	for _, f := range []struct {
		to   *string
		name string
	}{{&id, headerUserID}, {&h.timestamp, headerTimestamp}, {&h.nonce, headerNonce}, {&h.signature, headerSignature}} {
		value, ok := r.single(f.name)
		if !ok {
			return nil, errUnsigned
		}
		*f.to = value
	}
	if said := r.http.Request.Header.PeekAll(headerService); len(said) > 1 || len(said) == 1 && text(said[0]) != service.Service {
		return nil, errSigned
	}
	var err error
	if h.tenant, err = tenant.ParseID(id); err != nil {
		return nil, errSigned
	}
	if err := tenant.CheckSignedForm(h.timestamp, h.nonce, time.Now()); err != nil {
		return nil, signatureError(err)
	}
	return &h, nil
}

// single returns a header that is there once, in memory of its own.
func (r *request) single(name string) (string, bool) {
	values := r.http.Request.Header.PeekAll(name)
	if len(values) != 1 || len(values[0]) == 0 {
		return "", false
	}
	return string(values[0]), true
}

// prove checks the signature, now that the body is there, and returns the
// context of the tenant that the service asks for. A read with a nonce that
// this node has seen is refused here; a change carries its nonce to where it is
// decided.
func (r *request) prove(rt *route) (tenant.Context, error) {
	tc, err := r.proven(rt)
	if err != nil {
		r.unproven(err)
		return tenant.Context{}, err
	}
	return r.allow(rt, tc)
}

// unproven counts a signed request that was refused for what it is, here or
// where its nonce was decided.
func (r *request) unproven(err error) {
	r.s.meter.refused(faultOf(asError(err)).word)
	r.refused(&r.caller.signed.service, err)
}

func (r *request) proven(rt *route) (tenant.Context, error) {
	h, target := r.caller.signed, r.http.Request.Header.RequestURI()
	if len(target) == 0 || target[0] != '/' {
		return tenant.Context{}, errSigned // a whole URL names a host of its own
	}
	err := tenant.VerifySignature(r.s.door.SigningSecret, tenant.SignedRequest{
		Method: text(r.http.Method()), Target: text(target), Host: text(r.http.Request.Header.Host()),
		Timestamp: h.timestamp, Nonce: h.nonce, Tenant: string(h.tenant), Body: r.body,
	}, h.signature, time.Now())
	if err != nil {
		return tenant.Context{}, signatureError(err)
	}
	nonce := h.nonce
	if !rt.changes() {
		switch fresh, full := r.s.door.nonces.use(h.service.Service, h.nonce); {
		case full:
			return tenant.Context{}, errNoncesFull
		case !fresh:
			return tenant.Context{}, errReplayed
		}
		nonce = ""
	}
	tc, err := r.s.hub.ActFor(r.ctx, h.tenant, h.service, nonce)
	tc.RequestID = r.id
	if err == nil {
		r.knownAs(&tc)
	}
	return tc, err
}

// changes reports whether a route puts an entry into a log, which then decides
// about the nonce.
func (rt *route) changes() bool {
	switch rt.op {
	case tenant.OpDownload, tenant.OpOwnUsage, tenant.OpSelf, tenant.OpUsage:
		return false
	}
	return !rt.reads()
}

func signatureError(err error) error {
	return &collection.Error{Code: collection.Unauthenticated, Reason: reasonAuthKey, Message: "the signed request is not valid: " + err.Error()}
}
