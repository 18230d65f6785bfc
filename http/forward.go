package httpedge

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// Cluster is the way to the nodes that are in charge of what this one is not.
type Cluster interface {
	// Leader returns the node that is in charge of a tenant's data, or of the
	// hub for "": local when it is this one, 0 when nobody is known. next is
	// closed when that may have changed.
	Leader(id tenant.ID) (number uint32, local bool, next <-chan struct{})
	// Forward hands a request to another node's ServeForwarded. Its errors are
	// those of the handler there. Unavailable with the outcome "unknown" means
	// that the request may have been carried out.
	Forward(ctx context.Context, number uint32, request []byte) ([]byte, error)
	// HubIndex is how far this node knows the hub's changes; AwaitHub returns
	// when it knows them up to index.
	HubIndex() uint64
	// LedSince is from when on this node has been in charge of a tenant's data.
	LedSince(id tenant.ID) time.Time
	AwaitHub(ctx context.Context, index uint64) error
}

// forwarded is a request on its way to the node that is in charge. It travels
// as it came, admitted and not decoded: the decoding is done once, there.
type forwarded struct {
	Method  string         `msgpack:"m"`
	URI     string         `msgpack:"u"` // path and query, as on the main listener
	ID      string         `msgpack:"i"`
	Header  []headerLine   `msgpack:"h,omitempty"` // of carriedHeaders, those that there are
	Tenant  tenant.Context `msgpack:"t"`
	Address netip.Addr     `msgpack:"a"` // of the client
	Body    []byte         `msgpack:"b"`
	Trace   string         `msgpack:"tp,omitempty"` // traceparent; the answerer's span is below it
	Take    bool           `msgpack:"tk,omitempty"` // count one request against the tenant's rates, and do nothing else
}

// forwardedAnswer is a successful answer.
type forwardedAnswer struct {
	Header []headerLine    `msgpack:"hd,omitempty"` // of answeredHeaders
	Status int             `msgpack:"s"`
	Type   string          `msgpack:"t"`
	Body   []byte          `msgpack:"b"`
	Hub    uint64          `msgpack:"h,omitempty"` // HubIndex there, of a change of the hub's state
	Stored stored          `msgpack:"st"`
	Rate   tenant.RateLeft `msgpack:"r"`
	Logged loggedAbroad    `msgpack:"l"`
}

// The pause before looking again for whoever is in charge, when nothing tells
// of a change: doubled each time.
const (
	lookAgainMin = 5 * time.Millisecond
	lookAgainMax = 100 * time.Millisecond
)

// hubWait is how long an operator's change waits to be known on the node that
// was asked for it.
const hubWait = time.Second

// checkAgainAfter is how long after its beginning a request may be carried out
// on the one check of its key.
const checkAgainAfter = 100 * time.Millisecond

// inCharge runs the handler where it belongs: here, or on the node that is in
// charge. While leadership moves it waits, until the request's deadline. What
// may have taken effect is not tried again, unless it reads, or has an
// idempotency key.
func (r *request) inCharge(rt *route, tc tenant.Context) error {
	if tc.Nonce != "" && tc.Claim == 0 {
		tc.Claim = tenant.NewClaim() // what is tried again below is no repetition
	}
	owner := tc.TenantID
	if rt.ofHub {
		owner = ""
	}
	if r.forwarded == nil && rt.awayFromTenant() {
		if err := r.takeAway(&tc); err != nil {
			return err
		}
	}
	if r.s.cluster == nil || rt.anywhere {
		return r.here(rt, tc)
	}
	if r.forwarded != nil {
		r.changesHub = rt.administers() && !rt.reads()
		return r.here(rt, tc) // one hop at most: whoever sent it looks further
	}
	pause := lookAgainMin
	for {
		number, local, next := r.s.cluster.Leader(owner)
		err := errNobody
		switch {
		case local:
			err = r.here(rt, tc)
		case number != 0:
			err = r.forward(number, tc)
		}
		if err == nil || !r.again(rt, err) {
			return r.sayOf(rt, err)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-next:
		case <-timer.C:
			pause = min(2*pause, lookAgainMax)
		case <-r.ctx.Done():
			timer.Stop()
			return err
		}
		timer.Stop()
	}
}

// here runs the handler on this node.
func (r *request) here(rt *route, tc tenant.Context) error {
	tc, err := r.stillAllowed(rt, tc)
	if err != nil {
		return err
	}
	if !rt.awayFromTenant() {
		if err := r.takeHere(&tc); err != nil {
			return err
		}
	}
	r.tenant = tc.TenantID
	err = rt.handle(r, tc)
	if err == nil {
		r.stored = r.s.storedBy(rt, &tc)
		r.stored.tell(r)
	}
	return err
}

// stillAllowed checks the key again when the request has been under way for
// long: its body arrived slowly, or leadership moved. A key that was revoked
// meanwhile, and a tenant that was suspended, must not do anything any more,
// or whoever holds back the end of a body has minutes to use it.
func (r *request) stillAllowed(rt *route, tc tenant.Context) (tenant.Context, error) {
	if r.forwarded != nil || tc.KeyID == "" || time.Since(r.start) < checkAgainAfter {
		return tc, nil
	}
	next, err := r.s.hub.Readmit(r.ctx, tc)
	if err != nil {
		return tenant.Context{}, err
	}
	return r.allow(rt, next)
}

// errNobody is the answer when a group has no leader for too long.
var errNobody error = &collection.Error{
	Code: collection.Unavailable, Reason: collection.ReasonNotLeader,
	Message: noLeader,
}

const noLeader = "no node is in charge of this data at the moment; retry"

// again reports whether a request that failed so may be sent to whoever is in
// charge now.
func (r *request) again(rt *route, err error) bool {
	var e *collection.Error
	if r.ctx.Err() != nil || !errors.As(err, &e) || e.Code != collection.Unavailable {
		return false
	}
	if e.Reason == collection.ReasonOverload {
		return false
	}
	if e.Details["outcome"] != "unknown" {
		return e.Reason == collection.ReasonNotLeader || e.Reason == collection.ReasonNone
	}
	return rt.reads() || rt.keyed() && r.header("Idempotency-Key") != ""
}

// reads reports whether a route changes nothing.
func (rt *route) reads() bool { return rt.op == tenant.OpRead || rt.method == fiber.MethodGet }

// administers reports whether a route is about tenants, keys and nodes rather
// than data: who uses it is in the audit log.
func (rt *route) administers() bool { return rt.surface == surfaceOperator || rt.ofHub }

// keyed reports whether a route knows idempotency keys: the changes of points.
func (rt *route) keyed() bool {
	return rt.op == tenant.OpWrite || rt.op == tenant.OpDeletePoints || rt.op == tenant.OpUpload && rt.surface == surfaceNative
}

// sayOf puts the error of another node into the words of this request: what a
// call between nodes calls unknown is nothing to a read.
func (r *request) sayOf(rt *route, err error) error {
	var e *collection.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.Reason == collection.ReasonNotLeader: // between nodes; a client is told what it means
		return &collection.Error{Code: collection.Unavailable, Message: noLeader, Err: err}
	case !rt.reads() || e.Details["outcome"] != "unknown":
		return err
	}
	if r.ctx.Err() != nil {
		return &collection.Error{Code: collection.DeadlineExceeded, Message: "the request took longer than its deadline", Err: err}
	}
	return &collection.Error{Code: collection.Unavailable, Message: "the node in charge was lost; retry", Err: err}
}

// forward lets another node answer.
func (r *request) forward(number uint32, tc tenant.Context) error {
	if err := r.s.shut.refuses(&tc); err != nil {
		return err
	}
	uri := string(r.http.URI().PathOriginal()) // a request line may hold a whole URL
	if r.atRoot {
		uri = qdrantPrefix + uri
	}
	if q := r.http.URI().QueryString(); len(q) > 0 {
		uri += "?" + string(q)
	}
	ctx, parent, end := r.spanTo(number)
	defer end()
	b, err := msgpack.Marshal(&forwarded{
		Method: string(r.http.Method()), URI: uri, ID: r.id, Trace: parent,
		Header: r.carried(), Tenant: tc, Address: r.address(), Body: r.body,
	})
	if err != nil {
		return err
	}
	b, err = r.s.cluster.Forward(ctx, number, b)
	if err != nil {
		return err
	}
	var a forwardedAnswer
	if err := msgpack.Unmarshal(b, &a); err != nil {
		return err
	}
	if a.Hub > 0 {
		// Whoever made a key here will use it here. If this node is that far
		// behind, the change has taken effect all the same.
		wait, cancel := context.WithTimeout(r.ctx, hubWait)
		defer cancel()
		_ = r.s.cluster.AwaitHub(wait, a.Hub)
	}
	r.send(a.Status, a.Body)
	r.http.Response.Header.SetContentType(a.Type)
	takeAnswered(&r.http.Response.Header, a.Header)
	a.Stored.tell(r)
	r.rate = a.Rate
	r.rateHeaders()
	a.Logged.tell(r)
	return nil
}

// ServeForwarded answers a request that another node admitted. The result is
// for that node's edge alone; an error is for it to put into words.
func (s *Server) ServeForwarded(ctx context.Context, payload []byte) ([]byte, error) {
	var f forwarded
	if err := msgpack.Unmarshal(payload, &f); err != nil {
		return nil, collection.Errorf(collection.Internal, "a forwarded request that cannot be read")
	}
	if f.Tenant.ValidatedAt.IsZero() {
		return nil, collection.Errorf(collection.Unauthenticated, "a forwarded request without a tenant")
	}
	if !s.inFlight.enter() {
		return nil, errNobody
	}
	defer s.inFlight.leave()
	held := int64(len(payload))
	defer s.bodies.Add(-held)
	if s.bodies.Add(held) > s.limits.BodyBytesAllMax {
		return nil, errBodiesFull
	}
	var c fasthttp.RequestCtx
	c.Init(&fasthttp.Request{}, nil, nil)
	c.Request.Header.SetMethod(f.Method)
	c.Request.SetRequestURI(f.URI)
	takeCarried(&c.Request.Header, f.Header)
	r := &request{s: s, http: &c, surface: surfaceNative, route: "none", start: time.Now(), ctx: ctx, id: f.ID, forwarded: &f, body: f.Body, bodyDone: true}
	c.SetUserValue(requestKey{}, r)
	if f.Take {
		return r.takeFor()
	}
	func() {
		defer r.recovered()
		s.forwards(&c)
	}()
	if r.failure != nil {
		return nil, r.failure
	}
	a := forwardedAnswer{
		Status: c.Response.StatusCode(), Type: string(c.Response.Header.ContentType()), Body: c.Response.Body(),
		Header: answered(&c.Response.Header), Stored: r.stored, Rate: r.rate, Logged: r.abroad(),
	}
	if r.changesHub && s.cluster != nil {
		a.Hub = s.cluster.HubIndex()
	}
	return msgpack.Marshal(&a)
}

// errStale is the answer of a node that the hub's last changes have not reached.
var errStale error = &collection.Error{
	Code:    collection.Unavailable,
	Message: "the node in charge does not know the hub's last changes yet; retry",
}

// admitForwarded checks again what the other node has checked, by what is known
// here: a key that was revoked meanwhile, and a tenant that was suspended or
// deleted, are refused although the other node may not know yet.
func (r *request) admitForwarded(rt *route) (tenant.Context, error) {
	tc, err := r.renewed()
	op := rt.op
	ofNoTenant := op == tenant.OpOperator || op == tenant.OpService || op == tenant.OpUsage && tc.IsOperator
	switch {
	case err != nil:
		return tenant.Context{}, err
	case !ofNoTenant && !tc.Valid():
		return tenant.Context{}, errForbidden
	case !tc.May(op) && tc.Suspended:
		return tenant.Context{}, errSuspended
	case !tc.May(op):
		return tenant.Context{}, errForbidden
	case tc.Scope != nil && !tc.Scope.AllowsAddress(r.address()):
		return tenant.Context{}, errAddress
	case rt.destroys() && !tc.MayDestroy():
		return tenant.Context{}, errNotFresh
	}
	return tc, nil
}

// renewed is the context of a forwarded request as this node makes it. Of what
// the other node says only the key's id counts, with a service's the tenant
// that it proved to act for, and the request's id and nonce. A key that is not
// known here may be one that was made a moment ago.
func (r *request) renewed() (tenant.Context, error) {
	said := r.forwarded.Tenant
	if said.KeyID == "" && said.TenantID != "" && said.TenantID == r.s.door.Implicit {
		return r.implicit()
	}
	tc, err := r.s.hub.Readmit(r.ctx, said)
	if err == nil || r.s.cluster == nil || r.s.cluster.HubIndex() >= said.HubIndex {
		return tc, err
	}
	wait, cancel := context.WithTimeout(r.ctx, hubWait)
	defer cancel()
	if r.s.cluster.AwaitHub(wait, said.HubIndex) != nil {
		return tenant.Context{}, errStale
	}
	return r.s.hub.Readmit(r.ctx, said)
}
