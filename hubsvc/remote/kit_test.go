package remote_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/hubsvc/remote"
	"github.com/hivehub/waggle/tenant"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // the edge's server leaves these behind, by design of fasthttp
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// memGroup is a system group of one, in memory.
type memGroup struct {
	mu      sync.Mutex
	machine *hubsvc.Machine
	rows    map[string][]byte
	index   uint64
}

func (g *memGroup) Propose(_ context.Context, data []byte) (any, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.index++
	before := maps.Clone(g.rows)
	answer, err := g.machine.Apply(tx{g}, g.index, data)
	if err != nil {
		g.rows = before
	}
	return answer, err
}

func (g *memGroup) ReadBarrier(context.Context) error { return nil }

func (g *memGroup) View() (hubsvc.View, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return view{&memGroup{rows: maps.Clone(g.rows), index: g.index}}, nil
}

type tx struct{ g *memGroup }

func (t tx) Get(_ byte, k []byte) ([]byte, error) { return t.g.rows[string(k)], nil }
func (t tx) Put(_ byte, k, v []byte) error        { t.g.rows[string(k)] = v; return nil }
func (t tx) Delete(_ byte, k []byte) error        { delete(t.g.rows, string(k)); return nil }

func (t tx) Scan(_ byte, from, to []byte, fn func(k, v []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(t.g.rows)) {
		if k >= string(from) && (to == nil || k < string(to)) && !fn([]byte(k), t.g.rows[k]) {
			break
		}
	}
	return nil
}

type view struct{ *memGroup }

func (v view) AppliedIndex() uint64                 { return v.index }
func (v view) Close()                               {}
func (v view) Get(_ byte, k []byte) ([]byte, error) { return v.rows[string(k)], nil }

func (v view) Scan(b byte, from, to []byte, fn func(k, w []byte) bool) error {
	return tx{v.memGroup}.Scan(b, from, to, fn)
}

func newEmbedded(t testing.TB, secret string) (*hubsvc.Embedded, hubsvc.FirstKeys) {
	t.Helper()
	directory := hubsvc.NewDirectory(hubsvc.NewKeyHasher([]byte(secret)), time.Now)
	group := &memGroup{machine: hubsvc.NewMachine(directory.Observe), rows: map[string][]byte{}}
	hub := hubsvc.NewEmbedded(directory, group, hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes)})
	_, first, err := hub.Birth(t.Context(), hubsvc.BirthOptions{Partitions: 16})
	noError(t, err)
	return hub, first
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hub is an embedded hub behind a real listener, and a proxy before it that
// counts and does what networks and servers do.
type hub struct {
	*hubsvc.Embedded
	t       testing.TB
	acme    tenant.ID
	key     string // ADMIN of acme
	keyID   tenant.KeyID
	service string // a service's key
	server  *httptest.Server
	proxy   *httputil.ReverseProxy

	mu    sync.Mutex
	calls map[string]int // by path; those for events apart
	fault func(http.ResponseWriter, *http.Request) bool
}

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{t: t, calls: map[string]int{}}
	h.Embedded, _ = newEmbedded(t, "the hub's secret")
	a, err := h.CreateTenant(t.Context(), hubsvc.TenantSpec{Name: "acme", Plan: tenant.PlanPro})
	noError(t, err)
	h.acme = a.ID
	k, plain, err := h.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: a.ID, Permissions: []tenant.Permission{tenant.Admin}})
	noError(t, err)
	h.key, h.keyID = plain, k.ID
	_, h.service, err = h.CreateKey(t.Context(), hubsvc.KeySpec{Kind: tenant.KeyService, Name: "waggle-eu"})
	noError(t, err)

	limits := httpedge.DefaultLimits()
	edge := httpedge.New(httpedge.Options{Hub: h.Embedded, Limits: limits})
	main, api := open(t), open(t)
	edge.Serve(main, nil)
	edge.ServeHub(api)
	target, err := url.Parse("http://" + api.Addr().String())
	noError(t, err)
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	h.proxy = &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:    transport,
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	h.server = httptest.NewServer(h)
	t.Cleanup(func() {
		h.server.CloseClientConnections()
		h.server.Close()
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		noError(t, edge.Shutdown(ctx))
	})
	return h
}

func open(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	return ln
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.calls[r.URL.Path]++
	fault := h.fault
	h.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	h.proxy.ServeHTTP(w, r)
}

// breaks lets fault answer instead of the hub when it returns true; nil ends it.
func (h *hub) breaks(fault func(http.ResponseWriter, *http.Request) bool) {
	h.mu.Lock()
	h.fault = fault
	h.mu.Unlock()
}

// dies cuts every connection and takes no other.
func (h *hub) dies() {
	h.breaks(cut)
	h.server.CloseClientConnections() // also of those who wait for events
}

const (
	validatePath = "/api/v1/access-keys/validate"
	eventsPath   = "/api/v1/events"
)

// asked returns how often a path was asked for.
func (h *hub) asked(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[path]
}

// cut answers with nothing, as a process that was killed does.
func cut(w http.ResponseWriter, _ *http.Request) bool {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.Close()
	}
	return true
}

// status answers with one.
func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		return true
	}
}

// says answers 200 with a body.
func says(body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, body)
		return true
	}
}

// node is a client of the hub, with a hub of its own cluster.
type node struct {
	*remote.Hub
	own      *hubsvc.Embedded
	operator string
	erased   atomic.Value // tenant.ID of the last one
}

// client makes a client of h. change may be nil.
func (h *hub) client(change func(*remote.Options)) *node {
	h.t.Helper()
	n := &node{}
	own, first := newEmbedded(h.t, "the node's secret")
	n.own, n.operator = own, first.Operator
	o := remote.Options{
		URL: h.server.URL, ServiceKey: h.service, Hasher: hubsvc.NewKeyHasher([]byte("the cache's secret")), Own: own,
		Timeout: 4 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	var err error
	n.Hub, err = remote.New(o)
	noError(h.t, err)
	n.Start(func(_ context.Context, id tenant.ID) error {
		n.erased.Store(id)
		return nil
	})
	h.t.Cleanup(n.Stop)
	eventually(h.t, 5*time.Second, func() error {
		if s := n.State(); !s.Connected || s.Event == 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return n
}

// eventually polls until done says nothing is missing.
func eventually(t testing.TB, within time.Duration, done func() error) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("after %v: %v", within, err)
		case <-tick.C:
		}
	}
}

// code is the hub's word for an error, "" for none.
func code(err error) hubsvc.Code {
	var e *hubsvc.Error
	if err == nil {
		return ""
	}
	if as(err, &e) {
		return e.Code
	}
	return hubsvc.Code("? " + err.Error())
}
