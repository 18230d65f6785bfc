package httpedge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/hivehub/waggle/hubsvc"
)

func TestMain(m *testing.M) {
	// fasthttp's clock and the keep-alive connections of the tests' client are
	// the process's. A stopped server's cleaner of idle workers sleeps to the end
	// of its 10 seconds.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func TestHealth(t *testing.T) {
	state := Health{Ready: true, Parts: map[string]any{
		"hub": map[string]any{"enabled": true, "active": true, "tenant_isolation": "collection"}, "cluster": map[string]any{"id": "c1"},
	}}
	e := newEdge(t, func(o *Options) { o.Health = func() Health { return state } })
	for _, key := range []string{"", e.keys["ADMIN"], "nonsense"} {
		if got := e.send("GET", e.main+"/health", key, "").is(200, ""); got.text != `{"status":"ok"}` {
			t.Errorf("with key %.12s: %s", key, got.text)
		}
	}
	full := e.send("GET", e.main+"/health", e.keys[operator], "").is(200, "").json()
	hub := full["hub"].(map[string]any)
	if full["status"] != "ok" || full["version"] != "9.8.7" || hub["tenant_isolation"] != "collection" || full["cluster"] == nil || full["uptime_seconds"] == nil {
		t.Errorf("%v", full)
	}
	e.send("GET", e.main+"/health/live", "", "").is(200, `{"status":"ok"}`)
	e.send("GET", e.main+"/health/ready", "", "").is(200, `{"status":"ok"}`)

	state = Health{Reason: "partition 3 is corrupt"}
	e.send("GET", e.main+"/health/live", "", "").is(200, "")
	if got := e.send("GET", e.main+"/health", "", ""); got.status != 503 || got.text != `{"status":"unavailable"}` {
		t.Errorf("%d %s", got.status, got.text)
	}
	e.send("GET", e.main+"/health", e.keys[operator], "").is(503, `"reason":"partition 3 is corrupt"`)
	if got := e.send("GET", e.main+"/health/ready", "", "").is(503, "UNAVAILABLE"); strings.Contains(got.text, "partition") {
		t.Errorf("%s", got.text)
	}
	e.send("GET", e.qdrant+"/readyz", "", "").is(503, "")
	e.send("GET", e.qdrant+"/livez", "", "").is(200, "")
}

func TestMetrics(t *testing.T) {
	rest := prometheus.NewRegistry()
	points := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "waggle_points"}, []string{"tenant"})
	points.WithLabelValues("t_secret").Set(5)
	rest.MustRegister(points)
	e := newEdge(t, func(o *Options) { o.Registry = rest })
	e.q("GET", "/collections/secretname/exists", "").is(200, "")
	e.send("GET", e.main+"/some/secret/path", "", "")
	e.send("GET", e.qdrant+"/collections", "hh_live_"+strings.Repeat("x", 40), "").is(401, "")
	for _, key := range []string{"", e.keys["ADMIN"], "nonsense"} {
		got := e.send("GET", e.main+"/metrics", key, "").is(200, `waggle_http_requests_total{route="/collections/:name/exists",status="2xx",surface="qdrant"} 1`)
		got.is(200, `waggle_http_requests_total{route="none",status="4xx",surface="native"} 1`)
		got.is(200, `waggle_http_auth_failures_total{code="AUTH_INVALID_KEY"} 1`)
		got.is(200, "go_goroutines").is(200, "process_open_fds").is(200, `waggle_build_info{version="9.8.7"} 1`)
		own := key == e.keys["ADMIN"]
		if strings.Contains(got.text, "secret") || strings.Contains(got.text, string(e.tenant)) != own {
			t.Errorf("names in the public metrics: %s", got.text)
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
			t.Errorf("headers %v", got.header)
		}
	}
	e.send("GET", e.main+"/metrics", e.keys[operator], "").is(200, `waggle_points{tenant="t_secret"} 5`).is(200, "go_goroutines")
}

func TestOperatorAPI(t *testing.T) {
	e := newEdge(t, nil)
	op := func(method, path, body string) reply {
		t.Helper()
		return e.send(method, e.main+"/api/v1"+path, e.keys[operator], body)
	}
	made := op("POST", "/tenants", `{"name":"Café 7","plan":"pro","extra":1}`).is(201, "").json()
	id := made["tenant_id"].(string)
	if made["name"] != "Café 7" || made["plan"] != "pro" || made["status"] != "active" || made["created_at"] == nil {
		t.Errorf("%v", made)
	}
	if free := op("POST", "/tenants", `{"name":"x"}`).is(201, "").json(); free["plan"] != "free" {
		t.Errorf("%v", free)
	}
	if list := op("GET", "/tenants", "").is(200, "").json()["tenants"].([]any); len(list) != 4 || list[2].(map[string]any)["tenant_id"] != id {
		t.Errorf("%v", list)
	}
	key := op("POST", "/access-keys", `{"tenant_id":"`+id+`","permission":"READ_WRITE"}`).is(201, "").json()
	plain := key["key"].(string)
	if key["permission"] != "READ_WRITE" || key["tenant_id"] != id || !strings.HasPrefix(plain, key["prefix"].(string)) {
		t.Errorf("%v", key)
	}
	e.send("GET", e.qdrant+"/collections", plain, "").is(200, "")
	if c := e.only(); string(c.tc.TenantID) != id || c.tc.TenantName != "Café 7" {
		t.Errorf("%+v", c.tc)
	}
	listed := op("GET", "/access-keys?tenant_id="+id, "").is(200, `"key_id":"`+key["key_id"].(string)+`"`)
	if strings.Contains(listed.text, plain) {
		t.Error("a list shows the key")
	}
	if all := op("GET", "/access-keys", "").is(200, "").json()["access_keys"].([]any); len(all) < 6 {
		t.Errorf("%d keys", len(all))
	}
	if revoked := op("DELETE", "/access-keys/"+key["key_id"].(string), "").is(200, "").json(); revoked["revoked_at"] == nil {
		t.Errorf("%v", revoked)
	}
	e.send("GET", e.qdrant+"/collections", plain, "").is(401, "")

	op("DELETE", "/tenants/"+id, "").is(200, `{"status":"deleting","tenant_id":"`+id+`"}`)
	if c := e.only(); c.op != "delete tenant" || fmt.Sprint(c.arg) != id {
		t.Errorf("%+v", c)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		word               string
	}{
		{"POST", "/tenants", ``, 400, "INVALID_REQUEST"},
		{"POST", "/tenants", `{}`, 400, "INVALID_REQUEST"},
		{"POST", "/tenants", `{"name":7}`, 400, "INVALID_REQUEST"},
		{"POST", "/tenants", `{"name":"x","plan":"gold"}`, 400, "INVALID_REQUEST"},
		{"DELETE", "/tenants/No%20Such", ``, 404, "NOT_FOUND"},
		{"POST", "/access-keys", `{"tenant_id":"` + id + `","permission":"ROOT"}`, 400, "INVALID_REQUEST"},
		{"POST", "/access-keys", `{"tenant_id":"nobody","permission":"ADMIN"}`, 404, "NOT_FOUND"},
		{"GET", "/access-keys?tenant_id=nobody", ``, 404, "NOT_FOUND"},
		{"DELETE", "/access-keys/nothing", ``, 404, "NOT_FOUND"},
	} {
		op(c.method, c.path, c.body).is(c.status, `"code":"`+c.word+`"`)
	}
}

func TestShutdownDrains(t *testing.T) {
	e := newEdge(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	e.engine.do = func(context.Context) { close(entered); <-release }
	slow := make(chan string, 1)
	go func() {
		c := must(net.Dial("tcp", strings.TrimPrefix(e.qdrant, "http://")))
		defer c.Close()
		fmt.Fprintf(c, "GET /collections HTTP/1.1\r\nHost: x\r\nApi-Key: %s\r\n\r\n", e.keys["ADMIN"])
		b, _ := io.ReadAll(c)
		slow <- string(b)
	}()
	<-entered
	// A connection that is open before, and one that never says a word.
	open := must(net.Dial("tcp", strings.TrimPrefix(e.main, "http://")))
	defer open.Close()
	reader := bufio.NewReader(open)
	fmt.Fprint(open, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := must(http.ReadResponse(reader, nil)); resp.StatusCode != http.StatusOK {
		t.Errorf("%d", resp.StatusCode)
	} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	silent := must(net.Dial("tcp", strings.TrimPrefix(e.main, "http://")))
	defer silent.Close()

	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	go func() { ended <- e.Shutdown(ctx) }()
	for e.inFlight.enter() { // until the gate is shut
		e.inFlight.leave()
	}
	fmt.Fprint(open, "GET /qdrant/collections HTTP/1.1\r\nHost: x\r\n\r\n")
	resp := must(http.ReadResponse(reader, nil))
	if body := string(must(io.ReadAll(resp.Body))); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !resp.Close || !strings.Contains(body, "shutting down") {
		t.Errorf("while draining: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	select {
	case err := <-ended:
		t.Fatalf("shut down under a request: %v", err)
	default:
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := <-slow; !strings.Contains(got, `{"collections":[]}`) {
		t.Errorf("the request under way got %q", got)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(e.main, "http://")); err == nil {
		t.Error("the port is still open")
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection is still open")
	}
}

func TestShutdownGivesUp(t *testing.T) {
	o := Options{Engine: &recorder{}, Limits: DefaultLimits()}
	e := newEdge(t, nil)
	o.Hub = e.hub
	cancelled := make(chan struct{})
	entered := make(chan struct{})
	o.Engine.(*recorder).do = func(ctx context.Context) { close(entered); <-ctx.Done(); close(cancelled) }
	s := New(o)
	ln := openPort(t)
	s.Serve(ln, nil)
	c := must(net.Dial("tcp", ln.Addr().String()))
	defer c.Close()
	fmt.Fprintf(c, "GET /qdrant/collections HTTP/1.1\r\nHost: x\r\nApi-Key: %s\r\n\r\n", e.keys["ADMIN"])
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	<-cancelled
}

// TestAHubThatIsAway: a key that cannot be checked opens nothing.
func TestAHubThatIsAway(t *testing.T) {
	e := newEdge(t, func(o *Options) {
		directory := hubsvc.NewDirectory(hubsvc.NewKeyHasher([]byte("another")), time.Now)
		o.Hub = hubsvc.NewEmbedded(directory, &memGroup{}, hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes)})
	})
	e.q("GET", "/collections", "").is(503, "")
	e.send("GET", e.main+"/api/v1/tenants", e.keys[operator], "").is(503, "UNAVAILABLE")
	e.send("GET", e.main+"/health", e.keys[operator], "").is(200, `{"status":"ok"}`)
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

func BenchmarkUpsertOverHTTP(b *testing.B) {
	e := &edge{t: &testing.T{}, engine: &recorder{}, keys: map[string]string{}}
	e.Server = New(Options{Engine: e.engine, Hub: e.newHub(), Limits: DefaultLimits()})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	e.Serve(ln, nil)
	defer e.Shutdown(context.Background())
	c := must(net.Dial("tcp", ln.Addr().String()))
	defer c.Close()
	body := upsertBody(100, 128, "null")
	request := append(fmt.Appendf(nil, "PUT /qdrant/collections/docs/points?wait=true HTTP/1.1\r\nHost: x\r\nApi-Key: %s\r\nContent-Length: %d\r\n\r\n", e.keys["ADMIN"], len(body)), body...)
	reader := bufio.NewReader(c)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		e.engine.take()
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "points/s")
}
