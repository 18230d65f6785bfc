package httpedge

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// testRequest is a request with headers, on no connection.
func testRequest(s *Server, headers ...string) *request {
	c := &fasthttp.RequestCtx{}
	c.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}, nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			c.Request.Header.Add(headers[i], headers[i+1])
		}
	}
	return &request{s: s, http: c, start: time.Now(), id: "r1", ctx: context.Background()}
}

// newKey makes a key of the tenant under test.
func (e *edge) newKey(s hubsvc.KeySpec) (hubsvc.Key, string) {
	e.t.Helper()
	k, plain, err := e.hub.(*hubsvc.Embedded).CreateKey(context.Background(), s)
	if err != nil {
		e.t.Fatal(err)
	}
	return k, plain
}

func (e *edge) narrowed(p tenant.Permission, globs, addresses []string) string {
	e.t.Helper()
	scope, err := tenant.ParseScope(globs, addresses)
	if err != nil {
		e.t.Fatal(err)
	}
	_, key := e.newKey(hubsvc.KeySpec{Tenant: e.tenant, Permissions: []tenant.Permission{p}, Scope: scope})
	return key
}

// A key narrowed to some collections is refused every other name alike,
// whether there is such a collection or not, on every route with a name.
func TestNarrowedKeys(t *testing.T) {
	e := newEdge(t, nil)
	key := e.narrowed(tenant.Admin, []string{"docs", "log-*"}, nil)
	vector := collection.Config{Vectors: []collection.VectorParams{{Size: 1, Distance: collection.Dot}}}
	for _, name := range []string{"docs", "docs2", "log-1", "other"} {
		e.engine.infos = append(e.engine.infos, collection.Info{Name: name, Config: vector})
	}
	routes := 0
	for _, rt := range e.routes() {
		if rt.surface != surfaceQdrant || !strings.Contains(rt.path, ":name") {
			continue
		}
		routes++
		var answers []string
		for _, name := range []string{"other", "nothing", "docs2", "log", "xdocs", "docs%2F", "%6Fther"} {
			path := strings.Replace(rt.path, ":name", name, 1)
			got := e.send(rt.method, e.qdrant+fill.Replace(path), key, "{}").is(403, "the access key is not for this collection")
			answers = append(answers, strings.Split(got.text, `"time"`)[0])
		}
		for _, a := range answers {
			if a != answers[0] {
				t.Errorf("%s: answers differ: %q", rt.name(), answers)
			}
		}
		if calls := e.engine.take(); calls != nil {
			t.Errorf("%s: called %+v", rt.name(), calls)
		}
		for _, name := range []string{"docs", "d%6Fcs", "log-1"} {
			got := e.send(rt.method, e.qdrant+fill.Replace(strings.Replace(rt.path, ":name", name, 1)), key, "{}")
			if got.status == 403 || got.status == 401 {
				t.Errorf("%s of %s: %d %s", rt.name(), name, got.status, got.text)
			}
		}
		e.engine.take()
	}
	if routes < 20 {
		t.Errorf("only %d routes with a collection's name", routes)
	}
	e.send("GET", e.qdrant+"/collections", key, "").is(200, `{"collections":[{"name":"docs"},{"name":"log-1"}]}`)
	e.send("GET", e.qdrant+"/collections", e.keys["READ_ONLY"], "").is(200, `{"name":"docs2"}`)
}

// A key with addresses is good from there and from nowhere else, on every
// route, the probes included.
func TestAddressesOfKeys(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Access.TrustedProxies = prefixes(t, "127.0.0.0/8") })
	here := e.narrowed(tenant.ReadOnly, nil, []string{"203.0.113.0/24", "2001:db8::/32"})
	for from, status := range map[string]int{
		"203.0.113.9": 200, "::ffff:203.0.113.9": 200, "[2001:db8::5]:80": 200, "203.0.114.9": 403, "2001:db9::5": 403, "": 403,
		"203.0.113.9, 198.51.100.1": 403,
	} {
		e.send("GET", e.qdrant+"/collections", here, "", "X-Forwarded-For", from).is(status, "")
	}
	loop := e.narrowed(tenant.ReadOnly, nil, []string{"127.0.0.1"})
	e.send("GET", e.qdrant+"/collections", loop, "").is(200, "")
	if w := e.door.guesses.failed(netip.MustParseAddr("203.0.114.9")); w != 0 {
		t.Error("a good key from a wrong address is a guess")
	}
}

func TestKindsOfKeys(t *testing.T) {
	e := newEdge(t, nil)
	_, mcp := e.newKey(hubsvc.KeySpec{Tenant: e.tenant, Kind: tenant.KeyMCP})
	e.send("GET", e.qdrant+"/collections", mcp, "").is(403, "/mcp only")
	e.send("GET", e.main+"/api/v1/tenants", mcp, "").is(403, "FORBIDDEN")
	r := testRequest(e.Server, "Api-Key", mcp)
	if tc, err := r.admit(&route{method: "POST", path: mcpPath, op: tenant.OpRead}); err != nil || tc.TenantID != e.tenant {
		t.Errorf("at %s: %+v, %v", mcpPath, tc, err)
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

// The answers to a key that was rotated say so, the refusals among them.
func TestRotatedKeys(t *testing.T) {
	e := newEdge(t, nil)
	hub := e.hub.(*hubsvc.Embedded)
	k, old := e.newKey(hubsvc.KeySpec{Tenant: e.tenant, Permissions: []tenant.Permission{tenant.ReadOnly}})
	e.send("GET", e.qdrant+"/collections", old, "").is(200, "")
	_, fresh, _, err := hub.RotateKey(context.Background(), k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for key, rotated := range map[string]bool{old: true, fresh: false} {
		for _, got := range []reply{
			e.send("GET", e.qdrant+"/collections", key, "").is(200, ""),
			e.send("DELETE", e.qdrant+"/collections/x", key, "").is(403, ""),
			e.send("GET", e.qdrant+"/collections/x", key, "").is(404, ""),
		} {
			at, err := time.Parse(time.RFC3339, got.header.Get("X-API-Key-Expires"))
			ok := got.header.Get("X-API-Key-Deprecated") == "true" && err == nil && time.Until(at) > 55*time.Minute && time.Until(at) <= time.Hour
			if ok != rotated || !rotated && got.header.Get("X-API-Key-Deprecated")+got.header.Get("X-API-Key-Expires") != "" {
				t.Errorf("rotated %v: %v", rotated, got.header)
			}
		}
	}
}

// A suspended tenant's ADMIN reads usage and exports; nobody else does anything.
func TestSuspendedTenant(t *testing.T) {
	e := newEdge(t, nil)
	if _, err := e.hub.(*hubsvc.Embedded).SuspendTenant(context.Background(), e.tenant); err != nil {
		t.Fatal(err)
	}
	for _, rt := range e.routes() {
		if rt.op == tenant.OpPublic || rt.ofNoTenant() {
			continue
		}
		for holder, key := range e.keys {
			if holder == operator {
				continue
			}
			prefix := e.main
			if rt.surface == surfaceQdrant {
				prefix += "/qdrant"
			}
			got := e.send(rt.method, prefix+fill.Replace(rt.path), key, "{}")
			open := holder == "ADMIN" && (rt.op == tenant.OpDownload || rt.op == tenant.OpOwnUsage || rt.op == tenant.OpUsage)
			if !open && got.status != 403 || open && got.status == 403 || !open && rt.surface == surfaceNative && !strings.Contains(got.text, "TENANT_SUSPENDED") {
				t.Errorf("%s with %s: %d %s", rt.name(), holder, got.status, got.text)
			}
		}
	}
	for _, c := range e.engine.take() {
		if c.op != "usage" && c.op != "get" && c.op != "scroll" { // an export reads
			t.Errorf("called %+v", c)
		}
	}
}

// The hub is told who asks for a change, from where and by which request.
func TestActors(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Access.TrustedProxies = prefixes(t, "127.0.0.0/8") })
	e.send("POST", e.main+"/api/v1/tenants", e.keys[operator], `{"name":"x"}`, "X-Request-Id", "mine", "X-Forwarded-For", "203.0.113.9").is(201, "")
	rows, _, err := e.hub.(*hubsvc.Embedded).ListAudit(context.Background(), hubsvc.AuditQuery{Action: hubsvc.ActionTenantCreate, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, row := range rows {
		found = found || row.Actor == "operator" && row.Address == "203.0.113.9" && row.RequestID == "mine"
	}
	if !found {
		t.Errorf("%+v", rows)
	}
}

func (e *edge) benchRequest(key string) *request {
	return testRequest(e.Server,
		"Host", "127.0.0.1:6333", "User-Agent", "python-client/1.18.0 python/3.12", "Accept", "*/*", "Accept-Encoding", "gzip, deflate",
		"Connection", "keep-alive", "Content-Type", "application/json", "Content-Length", "2048", "Api-Key", key)
}

// cpuTime is what this process has used, which others on the machine do not
// change as they change the time on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// admissionRow is the route of the admissions that are measured.
var admissionRow = route{method: "POST", path: "/collections/:name/points/query", surface: surfaceQdrant, op: tenant.OpRead}

// BenchmarkAdmission is the way from a request's headers to the tenant.Context
// with the tenant's limits, for a key that is known, among 1,000 tenants.
func BenchmarkAdmission(b *testing.B) {
	e := &edge{t: &testing.T{}, engine: &recorder{}, keys: map[string]string{}}
	e.Server = New(Options{
		Engine: e.engine, Hub: e.newHub(), Limits: DefaultLimits(),
		RecordAuth: func(context.Context, []hubsvc.AuthSeen) error { return nil },
	})
	ctx := context.Background()
	for i := range 1000 {
		tn, err := e.hub.(*hubsvc.Embedded).CreateTenant(ctx, hubsvc.TenantSpec{Name: fmt.Sprint("t", i), Plan: tenant.PlanPro})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := e.hub.CreateKey(ctx, hubsvc.KeySpec{Tenant: tn.ID, Permissions: []tenant.Permission{tenant.ReadWrite}}); err != nil {
			b.Fatal(err)
		}
	}
	key := e.keys["READ_WRITE"]
	narrowed := e.narrowed(tenant.ReadWrite, []string{"log-*", "docs"}, []string{"192.0.2.0/24"})
	for name, key := range map[string]string{"plain": key, "narrowed": narrowed} {
		b.Run(name, func(b *testing.B) {
			r := e.benchRequest(key)
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				r.caller = caller{}
				tc, err := r.admit(&admissionRow)
				if err != nil || tc.Limits.Vectors != 500_000 {
					b.Fatal(tc, err)
				}
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}
