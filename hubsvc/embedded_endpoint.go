package hubsvc

import (
	"context"

	"github.com/hivehub/waggle/tenant"
)

// observeEndpoints takes over what a change did to endpoints. The caller holds
// the lock.
func (d *Directory) observeEndpoints(c Change) {
	for _, id := range c.NoEndpoints {
		delete(d.mu.endpoints, id)
	}
	for _, r := range c.Endpoints {
		d.mu.endpoints[r.Tenant] = r
	}
}

// Endpoint returns the endpoint of a tenant, its key sealed, or NOT_FOUND.
func (d *Directory) Endpoint(id tenant.ID) (EndpointRecord, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if r, ok := d.mu.endpoints[id]; ok {
		return r, nil
	}
	return EndpointRecord{}, errNoEndpoint
}

// EndpointSpec is an endpoint as its owner describes it.
type EndpointSpec struct {
	URL, Model string
	Key        string // "": it wants none
	Dimension  uint32
	Batch      uint32
	TimeoutMs  uint32
}

// PutEndpoint gives a tenant an endpoint. The key is sealed before it gets
// near the log.
func (e *Embedded) PutEndpoint(ctx context.Context, id tenant.ID, s EndpointSpec) (EndpointRecord, error) {
	op := &SetEndpoint{Tenant: id, Endpoint: &Endpoint{
		URL: s.URL, Model: s.Model, Dimension: s.Dimension, Batch: s.Batch, TimeoutMs: s.TimeoutMs,
	}}
	if len(s.Key) > endpointKeyMax {
		return EndpointRecord{}, errorf(CodeInvalidRequest, "the endpoint's key must be up to %d bytes", endpointKeyMax)
	}
	if s.Key != "" {
		if e.sealingEndpoints == nil {
			return EndpointRecord{}, errNoEndpointSeal
		}
		op.Endpoint.SealedKey = sealKey(e.sealingEndpoints, []byte(s.Key), endpointSeal(id, s.URL))
	}
	r, err := propose[EndpointRecord](ctx, e, op)
	return r, wrap(err, "set the embedding endpoint")
}

// DeleteEndpoint takes a tenant's endpoint away, or answers NOT_FOUND.
func (e *Embedded) DeleteEndpoint(ctx context.Context, id tenant.ID) (EndpointRecord, error) {
	r, err := propose[EndpointRecord](ctx, e, &SetEndpoint{Tenant: id})
	return r, wrap(err, "delete the embedding endpoint")
}

// OpenEndpoint returns a tenant's endpoint with its key readable, and false
// when it has none: for the one who asks the endpoint, and nobody else.
func (e *Embedded) OpenEndpoint(id tenant.ID) (EndpointSpec, bool, error) {
	r, err := e.Endpoint(id)
	if err != nil {
		return EndpointSpec{}, false, nil //nolint:nilerr // there is none
	}
	p := r.Endpoint
	s := EndpointSpec{URL: p.URL, Model: p.Model, Dimension: p.Dimension, Batch: p.Batch, TimeoutMs: p.TimeoutMs}
	if len(p.SealedKey) == 0 {
		return s, true, nil
	}
	if e.sealingEndpoints == nil {
		return EndpointSpec{}, false, errNoEndpointSeal
	}
	plain, err := unsealKey(e.sealingEndpoints, p.SealedKey, endpointSeal(id, p.URL))
	if err != nil {
		return EndpointSpec{}, false, errorf(CodeDataLoss, "the key of the tenant's embedding endpoint does not open")
	}
	s.Key = string(plain)
	return s, true, nil
}

var errNoEndpointSeal = &Error{Code: CodeFailedPrecondition, Message: "this hub keeps no keys of endpoints"}

// endpointSeal is what a sealed key is bound to.
func endpointSeal(id tenant.ID, url string) []byte {
	return []byte("endpoint\x00" + string(id) + "\x00" + url)
}
