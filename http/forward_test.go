package httpedge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/gofiber/fiber/v2"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// neighbours are the other nodes as a test wants them: leader says who is in
// charge, and answers are what each forwarded request meets, the last one of
// them for ever.
type neighbours struct {
	mu      sync.Mutex
	leader  func(look int) (number uint32, local bool)
	answers []func(ctx context.Context, request []byte) ([]byte, error)
	looked  int
	sent    []forwarded
	tenants []tenant.ID
	waited  []uint64
	since   time.Time // this node leads
}

func (n *neighbours) Leader(id tenant.ID) (uint32, bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looked++
	n.tenants = append(n.tenants, id)
	number, local := n.leader(n.looked)
	return number, local, make(chan struct{})
}

func (n *neighbours) Forward(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	var f forwarded
	if err := msgpack.Unmarshal(request, &f); err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.sent = append(n.sent, f)
	answer := n.answers[min(len(n.sent), len(n.answers))-1]
	n.mu.Unlock()
	return answer(ctx, request)
}

func (n *neighbours) HubIndex() uint64 { return 77 }

func (n *neighbours) LedSince(tenant.ID) time.Time { return n.since }

func (n *neighbours) AwaitHub(_ context.Context, index uint64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waited = append(n.waited, index)
	return nil
}

func elsewhere(int) (uint32, bool) { return 2, false }

// serves is another node that answers as b does.
func serves(b *edge) func(context.Context, []byte) ([]byte, error) {
	return b.ServeForwarded
}

func fails(err error) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) { return nil, err }
}

var (
	notLeader = &collection.Error{Code: collection.Unavailable, Reason: collection.ReasonNotLeader, Message: "not here"}
	unknown   = &collection.Error{Code: collection.Unavailable, Message: "who knows", Details: map[string]any{"outcome": "unknown"}}
)

// twoNodes are an edge that is asked and one behind it that is in charge.
func twoNodes(t *testing.T) (asked, inCharge *edge, n *neighbours) {
	t.Helper()
	n = &neighbours{leader: elsewhere}
	asked = newEdge(t, func(o *Options) { o.Cluster = n })
	inCharge = newEdge(t, func(o *Options) {
		o.Hub = asked.hub
		o.Cluster = &neighbours{leader: func(int) (uint32, bool) { return 2, true }}
	})
	inCharge.keys, inCharge.tenant = asked.keys, asked.tenant
	n.answers = []func(context.Context, []byte) ([]byte, error){serves(inCharge)}
	return asked, inCharge, n
}

const upsert = `{"points":[{"id":1,"vector":[1,2]}]}`

// A request is carried out where the data is, as it came, and answered as if
// that were here, on either listener.
func TestForward(t *testing.T) {
	asked, there, n := twoNodes(t)
	for _, url := range []string{asked.qdrant, asked.main + "/qdrant"} {
		r := asked.send("PUT", url+"/collections/a%2Fb/points?wait=true", asked.keys["READ_WRITE"], upsert, "Idempotency-Key", "k1", "X-Request-Id", "r-1")
		r.is(422, "collection_name")
		r = asked.send("PUT", url+"/collections/docs/points?wait=true", asked.keys["READ_WRITE"], upsert, "Idempotency-Key", "k1", "X-Request-Id", "r-1")
		r.is(200, `"status":"completed"`)
		if r.header.Get("X-Tenant-Id") != string(asked.tenant) || r.header.Get("X-Request-Id") != "r-1" || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.header)
		}
		calls := there.engine.take()
		if len(calls) != 1 || calls[0].op != "write" || calls[0].name != "docs" || calls[0].tc.TenantID != asked.tenant || calls[0].tc.RequestID != "r-1" {
			t.Fatalf("calls there: %+v", calls)
		}
		if o := calls[0].options; o.IdempotencyKey != "k1" || !o.Wait {
			t.Errorf("options there: %+v", o)
		}
		last := n.sent[len(n.sent)-1]
		if string(last.Body) != upsert || last.URI != "/qdrant/collections/docs/points?wait=true" {
			t.Errorf("sent %+v", last)
		}
	}
	if calls := asked.engine.take(); len(calls) != 0 {
		t.Errorf("calls here: %+v", calls)
	}
	for _, id := range n.tenants {
		if id != asked.tenant {
			t.Errorf("the leader of %q was looked for", id)
		}
	}
}

// A request line may hold a whole URL.
func TestForwardAbsoluteForm(t *testing.T) {
	asked, there, _ := twoNodes(t)
	text := asked.raw(asked.qdrant, "GET http://h/collections/docs/exists HTTP/1.1\r\nHost: h\r\nConnection: close\r\nApi-Key: "+asked.keys["READ_ONLY"]+"\r\n\r\n")
	if calls := there.engine.take(); len(calls) != 1 || calls[0].name != "docs" || !strings.HasPrefix(text, "HTTP/1.1 200") {
		t.Errorf("%q, calls %+v", text, calls)
	}
}

func TestLocalIsNotForwarded(t *testing.T) {
	asked, there, n := twoNodes(t)
	n.leader = func(int) (uint32, bool) { return 1, true }
	asked.q("PUT", "/collections/docs/points", upsert).is(200, "")
	if len(n.sent) != 0 || len(asked.engine.take()) != 1 || len(there.engine.take()) != 0 {
		t.Errorf("sent %v", n.sent)
	}
}

// What is tried again, and what is not.
func TestForwardAgain(t *testing.T) {
	for _, c := range []struct {
		name         string
		first        error
		method, path string
		body, key    string
		tries        int
		status       int
	}{
		{"a write that nobody led", notLeader, "PUT", "/collections/docs/points", upsert, "", 2, 200},
		{"a write that was never sent", &collection.Error{Code: collection.Unavailable, Message: "cannot be reached"}, "PUT", "/collections/docs/points", upsert, "", 2, 200},
		{"a write with an unknown outcome", unknown, "PUT", "/collections/docs/points", upsert, "", 1, 503},
		{"the same with a key", unknown, "PUT", "/collections/docs/points", upsert, "k", 2, 200},
		{"a read with an unknown outcome", unknown, "GET", "/collections/docs/exists", "", "", 2, 200},
		{"a search with an unknown outcome", unknown, "POST", "/collections/docs/points/scroll", `{}`, "", 2, 200},
		{"an overload", &collection.Error{Code: collection.Unavailable, Reason: collection.ReasonOverload, Message: "later"}, "GET", "/collections/docs/exists", "", "", 1, 503},
		{"a refusal", collection.Errorf(collection.FailedPrecondition, "no"), "PUT", "/collections/docs/points", upsert, "k", 1, 412},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, there, n := twoNodes(t)
			n.answers = []func(context.Context, []byte) ([]byte, error){fails(c.first), serves(there)}
			var headers []string
			if c.key != "" {
				headers = []string{"Idempotency-Key", c.key}
			}
			asked.send(c.method, asked.qdrant+c.path, asked.keys["READ_WRITE"], c.body, headers...).is(c.status, "")
			if len(n.sent) != c.tries {
				t.Errorf("sent %d times, want %d", len(n.sent), c.tries)
			}
		})
	}
}

// While nobody is in charge a request waits, until its deadline and no longer.
func TestNobodyInCharge(t *testing.T) {
	asked, there, n := twoNodes(t)
	n.leader = func(look int) (uint32, bool) { return map[bool]uint32{true: 2}[look > 3], false }
	asked.q("PUT", "/collections/docs/points", upsert).is(200, "")
	if len(there.engine.take()) != 1 || n.looked != 4 {
		t.Errorf("looked %d times", n.looked)
	}
	n.leader = func(int) (uint32, bool) { return 0, false }
	start := time.Now()
	r := asked.q("PUT", "/collections/docs/points?timeout=1", upsert)
	if took := time.Since(start); r.status != 503 || took < 900*time.Millisecond || took > 3*time.Second || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s after %v", r.status, r.text, took)
	}
}

// The node in charge checks again what the key may do.
func TestForwardedAdmission(t *testing.T) {
	there := newEdge(t, nil)
	contextOf := func(key string) tenant.Context {
		tc, err := there.hub.Authenticate(t.Context(), there.keys[key])
		if err != nil {
			t.Fatal(err)
		}
		return tc
	}
	tc, op := contextOf("READ_ONLY"), contextOf(operator)
	// What the other node says of the key is not what counts.
	lies := tc
	lies.Permissions, lies.IsOperator, lies.Scope = []tenant.Permission{tenant.Admin}, true, nil
	foreign := tc
	foreign.TenantID = "somebody-else"
	unknown := tc
	unknown.KeyID = "k_none"
	nobody := tc
	nobody.KeyID = ""
	ask := func(method, uri string, tc tenant.Context) (forwardedAnswer, error) {
		request, err := msgpack.Marshal(&forwarded{Method: method, URI: uri, Tenant: tc, Body: []byte(upsert)})
		if err != nil {
			t.Fatal(err)
		}
		b, err := there.ServeForwarded(t.Context(), request)
		var a forwardedAnswer
		if err == nil {
			err = msgpack.Unmarshal(b, &a)
		}
		return a, err
	}
	for _, c := range []struct {
		method, uri string
		tc          tenant.Context
		code        collection.Code
	}{
		{"GET", "/qdrant/collections/docs/exists", tc, collection.OK},
		{"PUT", "/qdrant/collections/docs/points", tc, collection.PermissionDenied},
		{"GET", "/qdrant/collections/docs/exists", op, collection.PermissionDenied},
		{"GET", "/api/v1/tenants", tc, collection.PermissionDenied},
		{"GET", "/qdrant/collections/docs/exists", tenant.Context{TenantID: there.tenant, Permissions: tc.Permissions}, collection.Unauthenticated},
		{"GET", "/qdrant/collections/docs/exists", tenant.Context{}, collection.Unauthenticated},
		{"GET", "/qdrant/nothing", tc, collection.NotFound},
		{"PUT", "/qdrant/collections/docs/points", lies, collection.PermissionDenied},
		{"GET", "/api/v1/tenants", lies, collection.PermissionDenied},
		{"GET", "/qdrant/collections/docs/exists", foreign, collection.Unauthenticated},
		{"GET", "/qdrant/collections/docs/exists", unknown, collection.Unauthenticated},
		{"GET", "/qdrant/collections/docs/exists", nobody, collection.Unauthenticated},
	} {
		a, err := ask(c.method, c.uri, c.tc)
		if code := codeOf(err); code != c.code || (c.code == collection.OK) != (a.Status == 200) {
			t.Errorf("%s %s: %d, %v", c.method, c.uri, a.Status, err)
		}
	}
	if calls := there.engine.take(); len(calls) != 1 {
		t.Errorf("calls %+v", calls)
	}
}

func codeOf(err error) collection.Code {
	if err == nil {
		return collection.OK
	}
	return asError(err).Code
}

// What goes wrong inside the other node stays there.
func TestForwardKeepsInnerText(t *testing.T) {
	const canary = "canary in a path"
	asked, there, _ := twoNodes(t)
	for _, err := range []error{
		errors.New(canary), fmt.Errorf("open: %w", &net.OpError{Op: canary, Err: errors.New(canary)}),
		&collection.Error{Code: collection.Internal, Message: canary}, &collection.Error{Code: collection.DataLoss, Message: canary},
		&collection.Error{Code: collection.Unavailable, Reason: collection.ReasonOverload, Message: "busy", Err: errors.New(canary)},
	} {
		there.engine.err = err
		for _, url := range []string{asked.qdrant + "/collections/docs/points", asked.main + "/api/v1/collections/docs/points"} {
			r := asked.send("PUT", url, asked.keys["READ_WRITE"], upsert)
			if r.status < 500 && r.status != 404 && r.status != 405 || strings.Contains(r.text, "canary") {
				t.Errorf("%v: %d %s", err, r.status, r.text)
			}
		}
	}
}

// A panic there is an internal error here, and no success.
func TestForwardedPanic(t *testing.T) {
	asked, there, n := twoNodes(t)
	there.engine.do = func(context.Context) { panic("canary") }
	var got error
	n.answers = []func(context.Context, []byte) ([]byte, error){func(ctx context.Context, b []byte) ([]byte, error) {
		answer, err := there.ServeForwarded(ctx, b)
		got = err
		return answer, err
	}}
	if r := asked.q("GET", "/collections/docs/exists", ""); r.status != 500 || strings.Contains(r.text, "canary") {
		t.Errorf("%d %s", r.status, r.text)
	}
	if collection.CodeOf(got) != collection.Internal {
		t.Errorf("the node in charge answered %v", got)
	}
}

// Whoever changes something as the operator sees it on the node that was asked.
func TestForwardedOperator(t *testing.T) {
	asked, _, n := twoNodes(t)
	asked.send("POST", asked.main+"/api/v1/tenants", asked.keys[operator], `{"name":"new","plan":"pro"}`).is(201, "new")
	if len(n.waited) != 1 || n.waited[0] != 77 || n.tenants[0] != "" {
		t.Errorf("waited for %v, looked for the leader of %q", n.waited, n.tenants)
	}
	asked.send("GET", asked.main+"/api/v1/tenants", asked.keys[operator], "").is(200, "new")
	if len(n.waited) != 1 {
		t.Errorf("a read waited for %v", n.waited)
	}
}

// Every row of the table runs where the data is, or says that it need not.
func TestEveryRouteHasAPlace(t *testing.T) {
	s := newEdge(t, func(o *Options) { o.Nodes = noNodes{} })
	anywhere := map[string]bool{
		"operator GET /api/v1/cluster/health": true, "operator GET /api/v1/cluster/nodes": true, "operator GET /api/v1/cluster/partitions": true,
		"native GET /auth/me": true, "native GET /auth/logs": true, "operator GET /api/v1/cluster/logs": true,
		"operator POST /api/v1/vectorizer/logs": true,
		"operator GET /api/v1/tenants/:id/logs": true,
		// Made of parts that run where the data is.
		"native POST /collections/:name/import": true, "native POST /api/v1/collections/:name/import": true,
		"native GET /collections/:name/export": true, "native GET /api/v1/collections/:name/export": true,
	}
	for _, rt := range s.routes() {
		if rt.anywhere != anywhere[rt.name()] {
			t.Errorf("%s: anywhere is %t; a new row of that kind belongs into this test", rt.name(), rt.anywhere)
		}
		if rt.open != nil {
			continue
		}
		n := &neighbours{leader: elsewhere, answers: []func(context.Context, []byte) ([]byte, error){fails(collection.Errorf(collection.Aborted, "seen"))}}
		rt.handle = func(*request, tenant.Context) error { return collection.Errorf(collection.NotFound, "here") }
		r := &request{s: &Server{cluster: n}, http: newContext(rt.method, rt.path), ctx: t.Context()}
		var err error
		app := newApp()
		app.Add(rt.method, rt.path, func(c *fiber.Ctx) error {
			r.params = c
			err = r.inCharge(&rt, tenant.Context{TenantID: "x"})
			return nil
		})
		app.Handler()(r.http)
		if here := collection.CodeOf(err) == collection.NotFound; here != rt.anywhere {
			t.Errorf("%s: %v", rt.name(), err)
		}
	}
}

type noNodes struct{ Nodes }

// believer is a hub that takes every context for good.
type believer struct{ Hub }

func (believer) Readmit(_ context.Context, tc tenant.Context) (tenant.Context, error) { return tc, nil }

// Whatever another node sends as a request is answered or refused.
func FuzzServeForwarded(f *testing.F) {
	s := New(Options{Engine: &recorder{}, Hub: believer{}, Limits: DefaultLimits()})
	for _, r := range []forwarded{
		{Method: "PUT", URI: "/qdrant/collections/docs/points", Header: []headerLine{{"Idempotency-Key", "k"}}, Body: []byte(upsert)},
		{Method: "GET", URI: "/api/v1/tenants", Tenant: tenant.Context{IsOperator: true}},
		{Method: "GET", URI: "//x/../%zz?a=b#c"},
	} {
		f.Add(r.Method, r.URI, r.ID, "k", r.Body, r.Tenant.IsOperator, false)
	}
	f.Add("", "", "", "", []byte{0x81, 0xa1}, false, true)
	f.Fuzz(func(t *testing.T, method, uri, id, key string, body []byte, operator, raw bool) {
		payload := body
		if !raw {
			tc := tenant.Context{TenantID: "acme", IsOperator: operator, ValidatedAt: time.Unix(1, 0), Permissions: []tenant.Permission{tenant.Admin}}
			var err error
			if payload, err = msgpack.Marshal(&forwarded{Method: method, URI: uri, ID: id, Header: []headerLine{{"Idempotency-Key", key}, {key, id}}, Tenant: tc, Body: body}); err != nil {
				t.Fatal(err)
			}
			if operator {
				return // there is no hub here
			}
		}
		answer, err := s.ServeForwarded(t.Context(), payload)
		if (answer == nil) == (err == nil) {
			t.Fatalf("answer %q and error %v", answer, err)
		}
		if err != nil && asError(err).Message == "panic" {
			t.Fatal("a panic")
		}
	})
}

func newContext(method, path string) *fasthttp.RequestCtx {
	c := &fasthttp.RequestCtx{}
	c.Request.Header.SetMethod(method)
	c.Request.SetRequestURI(path)
	return c
}

// The node in charge knows better than the one that was asked: a key that was
// revoked, narrowed rights, a tenant that was suspended or deleted. What that
// one did not know yet it refuses, whatever it was told.
func TestTheNodeInChargeChecksAgain(t *testing.T) {
	asked, there, n := twoNodes(t)
	hub := asked.hub.(*hubsvc.Embedded)
	ctx := t.Context()
	// asked admits by what it knew when the test began.
	old := map[string]tenant.Context{}
	for _, key := range asked.keys {
		tc, err := hub.Validate(key)
		if err != nil {
			t.Fatal(err)
		}
		old[key] = tc
	}
	asked.hub = behind{hub, old}
	put := func(key string) reply {
		return asked.send("PUT", asked.qdrant+"/collections/docs/points", asked.keys[key], upsert)
	}
	put("READ_WRITE").is(200, "")
	if _, err := hub.RevokeKey(ctx, old[asked.keys["READ_WRITE"]].KeyID); err != nil {
		t.Fatal(err)
	}
	if r := put("READ_WRITE"); r.status != 401 {
		t.Errorf("revoked: %d %s", r.status, r.text)
	}
	put("ADMIN").is(200, "")
	if _, err := hub.SuspendTenant(ctx, asked.tenant); err != nil {
		t.Fatal(err)
	}
	if r := put("ADMIN"); r.status != 403 || !strings.Contains(r.text, "suspended") {
		t.Errorf("suspended: %d %s", r.status, r.text)
	}
	if _, err := hub.ResumeTenant(ctx, asked.tenant); err != nil {
		t.Fatal(err)
	}
	put("ADMIN").is(200, "")
	if _, err := hub.DeleteTenant(ctx, asked.tenant); err != nil {
		t.Fatal(err)
	}
	if r := put("ADMIN"); r.status != 401 {
		t.Errorf("deleted: %d %s", r.status, r.text)
	}
	if calls := there.engine.take(); len(calls) != 3 || len(n.sent) != 6 {
		t.Errorf("%d requests were sent, %d carried out; want 6 and 3", len(n.sent), len(calls))
	}
}

// behind is a hub's copy to which no news comes any more.
type behind struct {
	Hub
	known map[string]tenant.Context
}

func (b behind) Authenticate(_ context.Context, key string) (tenant.Context, error) {
	return b.known[strings.Clone(key)], nil
}

// A key that the node in charge does not know yet is waited for, and what does
// not come is no wrong key.
func TestTheNodeInChargeLearns(t *testing.T) {
	asked, there, _ := twoNodes(t)
	tc, err := asked.hub.Authenticate(t.Context(), asked.keys["READ_WRITE"])
	if err != nil {
		t.Fatal(err)
	}
	late := &lateHub{Hub: asked.hub}
	there.hub = late
	there.cluster = &lagging{neighbours: &neighbours{}, hub: late, index: tc.HubIndex - 1}
	asked.q("GET", "/collections/docs/exists", "").is(200, "")
	late.knows.Store(false)
	there.cluster = &lagging{neighbours: &neighbours{}, index: tc.HubIndex - 1}
	if r := asked.q("GET", "/collections/docs/exists?timeout=1", ""); r.status != 503 {
		t.Errorf("a node that does not learn: %d %s", r.status, r.text)
	}
	there.cluster = &lagging{neighbours: &neighbours{}, index: tc.HubIndex}
	if r := asked.q("GET", "/collections/docs/exists", ""); r.status != 401 {
		t.Errorf("a key that is not there: %d %s", r.status, r.text)
	}
}

// lateHub knows no key until it is told.
type lateHub struct {
	Hub
	knows atomic.Bool
}

func (h *lateHub) Readmit(ctx context.Context, tc tenant.Context) (tenant.Context, error) {
	if !h.knows.Load() {
		return tenant.Context{}, &hubsvc.Error{Code: hubsvc.CodeAuthInvalidKey, Message: "unknown"}
	}
	return h.Hub.Readmit(ctx, tc)
}

// lagging has applied the hub's changes up to index; with a hub it gets the rest.
type lagging struct {
	*neighbours
	hub   *lateHub
	index uint64
}

func (l *lagging) HubIndex() uint64 { return l.index }

func (l *lagging) AwaitHub(ctx context.Context, _ uint64) error {
	if l.hub == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	l.hub.knows.Store(true)
	return nil
}
