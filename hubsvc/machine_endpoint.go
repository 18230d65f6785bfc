package hubsvc

import "github.com/hivehub/waggle/tenant"

// SetEndpoint gives a tenant the endpoint that makes vectors of its texts, in
// place of the one that it had, or takes that away.
type SetEndpoint struct {
	Tenant   tenant.ID `msgpack:"tn"`
	Endpoint *Endpoint `msgpack:"e,omitempty"` // nil: none any more
}

func (*SetEndpoint) code() byte { return 20 }

// Endpoint is where a tenant's texts are embedded. Its key is sealed for this
// tenant and URL: a record that is moved to another does not open.
type Endpoint struct {
	URL       string `msgpack:"u"`
	Model     string `msgpack:"m,omitempty"`
	SealedKey []byte `msgpack:"k,omitempty"` // empty: it wants none
	Dimension uint32 `msgpack:"d"`
	Batch     uint32 `msgpack:"b,omitempty"` // texts in a request, 0: the node's default
	TimeoutMs uint32 `msgpack:"t,omitempty"` // 0 likewise
}

// EndpointRecord is a tenant's endpoint as the hub keeps it.
type EndpointRecord struct {
	Tenant   tenant.ID `msgpack:"tn"`
	Endpoint Endpoint  `msgpack:"e"`
	Set      int64     `msgpack:"s"` // unix ms
	Index    uint64    `msgpack:"i"` // log index of the entry
}

// The limits of an Endpoint.
const (
	endpointURLMax       = 2048
	endpointModelMax     = 256
	endpointKeyMax       = 4096
	endpointSealedMax    = endpointKeyMax + 64
	endpointDimensionMax = 65535
	endpointBatchMax     = 2048
	endpointTimeoutMax   = 300_000
)

func (op *SetEndpoint) validate() error {
	if e := op.Endpoint; e != nil {
		switch {
		case e.URL == "" || len(e.URL) > endpointURLMax:
			return errorf(CodeInvalidRequest, "the endpoint's url must be 1 to %d bytes", endpointURLMax)
		case len(e.Model) > endpointModelMax:
			return errorf(CodeInvalidRequest, "the endpoint's model must be up to %d bytes", endpointModelMax)
		case len(e.SealedKey) > endpointSealedMax:
			return errorf(CodeInvalidRequest, "the endpoint's key must be up to %d bytes", endpointKeyMax)
		case e.Dimension < 1 || e.Dimension > endpointDimensionMax:
			return errorf(CodeInvalidRequest, "the endpoint's dimension must be 1 to %d", endpointDimensionMax)
		case e.Batch > endpointBatchMax || e.TimeoutMs > endpointTimeoutMax:
			return errorf(CodeInvalidRequest, "the endpoint's batch must be up to %d and its timeout up to %d ms", endpointBatchMax, endpointTimeoutMax)
		}
	}
	return validateTenantID(op.Tenant)
}

func endpointKey(t tenant.ID) []byte { return recordKey(tagEndpoint, t) }

func (a *apply) setEndpoint(op *SetEndpoint) (any, error) {
	t, err := a.tenant(op.Tenant)
	if err != nil {
		return nil, err
	}
	if t.Status == Deleting {
		return nil, errBeingDeleted(t.ID)
	}
	if op.Endpoint == nil {
		old, ok, err := get[EndpointRecord](a.tx, endpointKey(t.ID))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errNoEndpoint
		}
		if err := a.audit(t.ID, ActionEndpointDelete, string(t.ID), ""); err != nil {
			return nil, err
		}
		return old, a.dropEndpoint(t.ID)
	}
	r := EndpointRecord{Tenant: t.ID, Endpoint: *op.Endpoint, Set: a.now, Index: a.change.Index}
	if err := a.audit(t.ID, ActionEndpointPut, string(t.ID), "model "+r.Endpoint.Model); err != nil {
		return nil, err
	}
	a.change.Endpoints = append(a.change.Endpoints, r)
	return r, a.tx.Put(Bucket, endpointKey(t.ID), encodeRecord(r))
}

// dropEndpoint forgets a tenant's endpoint, if it has one.
func (a *apply) dropEndpoint(t tenant.ID) error {
	value, err := a.tx.Get(Bucket, endpointKey(t))
	if err != nil || value == nil {
		return err
	}
	a.change.NoEndpoints = append(a.change.NoEndpoints, t)
	return a.tx.Delete(Bucket, endpointKey(t))
}

var errNoEndpoint = &Error{Code: CodeNotFound, Message: "the tenant has no embedding endpoint of its own"}
