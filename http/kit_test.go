package httpedge

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors/rates"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// recorder is an Engine that notes what it is asked and answers what it is
// told: these tests are about the edge, not about what stands behind it.
type recorder struct {
	mu    sync.Mutex
	calls []call

	err    error // what every call answers, when set
	do     func(ctx context.Context)
	infos  []collection.Info
	points []collection.Point
	next   *collection.PointID
	hits   []collection.Hit
	count  uint64
	answer collection.Answer
	bytes  uint64 // stored
	blind  bool   // not known how many
	usage  collection.TenantUsage
	turns  []tenant.ID // that had one
	left   int         // of them
	busy   error       // what Turn answers, when set

	aliases []collection.Alias
}

// call is one call of a recorder.
type call struct {
	op       string
	tc       tenant.Context
	name     string
	deadline time.Duration
	arg      any
	options  collection.WriteOptions
}

func (e *recorder) note(ctx context.Context, c call) error {
	if at, ok := ctx.Deadline(); ok {
		c.deadline = time.Until(at)
	}
	e.mu.Lock()
	e.calls = append(e.calls, c)
	err, do := e.err, e.do
	e.mu.Unlock()
	if do != nil {
		do(ctx)
	}
	return err
}

// Turn implements Engine.
func (e *recorder) Turn(_ context.Context, id tenant.ID, _ time.Duration) (func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy != nil {
		return nil, e.busy
	}
	e.turns = append(e.turns, id)
	return func() { e.left++ }, nil
}

func (e *recorder) take() []call {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := e.calls
	e.calls = nil
	return calls
}

func (e *recorder) CreateCollection(ctx context.Context, tc tenant.Context, name string, cfg collection.Config, _ collection.ChangeOptions) error {
	return e.note(ctx, call{op: "create", tc: tc, name: name, arg: cfg})
}

func (e *recorder) DeleteCollection(ctx context.Context, tc tenant.Context, name string, _ collection.ChangeOptions) (bool, error) {
	return e.find(name) != nil, e.note(ctx, call{op: "drop", tc: tc, name: name})
}

func (e *recorder) find(name string) *collection.Info {
	for i := range e.infos {
		if e.infos[i].Name == name {
			return &e.infos[i]
		}
	}
	return nil
}

func (e *recorder) GetCollection(ctx context.Context, tc tenant.Context, name string) (collection.Info, error) {
	err := e.note(ctx, call{op: "get", tc: tc, name: name})
	info := e.find(name)
	if err == nil && info == nil {
		err = collection.Errorf(collection.NotFound, "Collection `%s` doesn't exist!", name)
	}
	if err != nil {
		return collection.Info{}, err
	}
	return *info, nil
}

func (e *recorder) ListCollections(ctx context.Context, tc tenant.Context) ([]collection.Info, error) {
	return e.infos, e.note(ctx, call{op: "list", tc: tc})
}

func (e *recorder) Write(ctx context.Context, tc tenant.Context, name string, w collection.Write, o collection.WriteOptions) (collection.Answer, error) {
	return e.answer, e.note(ctx, call{op: "write", tc: tc, name: name, arg: w, options: o})
}

func (e *recorder) Retrieve(ctx context.Context, tc tenant.Context, name string, ids []collection.PointID, payload collection.PayloadSelector, vectors collection.VectorSelector) ([]collection.Point, error) {
	return e.points, e.note(ctx, call{op: "retrieve", tc: tc, name: name, arg: retrieval{ids, payload, vectors}})
}

func (e *recorder) Scroll(ctx context.Context, tc tenant.Context, name string, req collection.ScrollRequest) (collection.Page, error) {
	return collection.Page{Points: e.points, Next: e.next}, e.note(ctx, call{op: "scroll", tc: tc, name: name, arg: req})
}

func (e *recorder) Count(ctx context.Context, tc tenant.Context, name string, f *collection.Filter) (uint64, error) {
	return e.count, e.note(ctx, call{op: "count", tc: tc, name: name, arg: f})
}

func (e *recorder) Query(ctx context.Context, tc tenant.Context, name string, q collection.Query) ([]collection.Hit, error) {
	return e.hits, e.note(ctx, call{op: "query", tc: tc, name: name, arg: q})
}

func (e *recorder) UpdateCollection(ctx context.Context, tc tenant.Context, name string, op collection.UpdateCollection, _ collection.ChangeOptions) error {
	return e.note(ctx, call{op: "update", tc: tc, name: name, arg: op})
}

func (e *recorder) UpdateAliases(ctx context.Context, tc tenant.Context, actions []collection.AliasAction) error {
	return e.note(ctx, call{op: "alias", tc: tc, arg: actions})
}

func (e *recorder) ListAliases(ctx context.Context, tc tenant.Context) ([]collection.Alias, error) {
	return e.aliases, e.note(ctx, call{op: "aliases", tc: tc})
}

func (e *recorder) PutPayloadIndex(ctx context.Context, tc tenant.Context, name string, x collection.PayloadIndex) (collection.Answer, error) {
	return e.answer, e.note(ctx, call{op: "put index", tc: tc, name: name, arg: x})
}

func (e *recorder) DeletePayloadIndex(ctx context.Context, tc tenant.Context, name, field string) (collection.Answer, error) {
	return e.answer, e.note(ctx, call{op: "delete index", tc: tc, name: name, arg: field})
}

func (e *recorder) DeleteTenant(ctx context.Context, id tenant.ID) error {
	return e.note(ctx, call{op: "delete tenant", arg: id})
}

func (e *recorder) TenantUsage(ctx context.Context, id tenant.ID) (collection.TenantUsage, error) {
	return e.usage, e.note(ctx, call{op: "usage", tc: tenant.Context{TenantID: id, RequestID: "-"}})
}

// memGroup is a system group of one, in memory, under the real hub.
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
	answer, err := g.machine.Apply(g, g.index, data)
	if err != nil {
		g.rows = before
	}
	return answer, err
}

func (g *memGroup) ReadBarrier(context.Context) error    { return nil }
func (g *memGroup) View() (hubsvc.View, error)           { return g, nil }
func (g *memGroup) AppliedIndex() uint64                 { return g.index }
func (g *memGroup) Close()                               {}
func (g *memGroup) Get(_ byte, k []byte) ([]byte, error) { return g.rows[string(k)], nil }
func (g *memGroup) Put(_ byte, k, v []byte) error        { g.rows[string(k)] = v; return nil }
func (g *memGroup) Delete(_ byte, k []byte) error        { delete(g.rows, string(k)); return nil }

func (g *memGroup) Scan(_ byte, from, to []byte, fn func(k, v []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(g.rows)) {
		if k >= string(from) && (to == nil || k < string(to)) && !fn([]byte(k), g.rows[k]) {
			break
		}
	}
	return nil
}

// edge is a server under test with a real hub and real connections.
type edge struct {
	*Server
	t      *testing.T
	engine *recorder
	main   string // http://...
	qdrant string
	hubs   string            // where services ask
	keys   map[string]string // permission or "OPERATOR" -> key
	tenant tenant.ID
	logged *logBuffer
}

// logBuffer collects a server's log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

const operator = "OPERATOR"

func newEdge(t *testing.T, change func(*Options)) *edge {
	t.Helper()
	e := &edge{t: t, engine: &recorder{}, keys: map[string]string{}, logged: &logBuffer{}}
	keeper := e.newHub()
	o := Options{
		Engine: e.engine, Hub: keeper, Embedding: Embedding{Tenants: keeper}, Version: "9.8.7", Limits: patientLimits(), Rates: rates.New(100),
		Logger: slog.New(slog.NewTextHandler(e.logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	e.Server = New(o)
	main, qdrant, hub := openPort(t), openPort(t), openPort(t)
	e.hubs = "http://" + hub.Addr().String()
	e.main, e.qdrant = "http://"+main.Addr().String(), "http://"+qdrant.Addr().String()
	qdrantHosts.Store(qdrant.Addr().String(), true)
	e.Serve(main, qdrant)
	e.ServeHub(hub)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := e.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return e
}

// patientLimits are the default ones, but for those who try wrong keys: most
// tests do, from one address.
func patientLimits() Limits {
	l := DefaultLimits()
	l.AuthFailures = 1_000_000
	return l
}

func openPort(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// newHub is a born hub with a tenant that has a key of every permission.
func (e *edge) newHub() *hubsvc.Embedded {
	directory := hubsvc.NewDirectory(hubsvc.NewKeyHasher([]byte("a secret of the tests")), time.Now)
	group := &memGroup{machine: hubsvc.NewMachine(directory.Observe), rows: map[string][]byte{}}
	hub := hubsvc.NewEmbedded(directory, group, hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes), EndpointSealKey: make([]byte, hubsvc.SealKeyBytes)})
	ctx := context.Background()
	_, first, err := hub.Birth(ctx, hubsvc.BirthOptions{Partitions: 16})
	if err != nil {
		e.t.Fatal(err)
	}
	e.keys[operator] = first.Operator
	tn, err := hub.CreateTenant(ctx, hubsvc.TenantSpec{Name: "acme", Plan: tenant.PlanPro})
	if err != nil {
		e.t.Fatal(err)
	}
	e.tenant = tn.ID
	for _, p := range []tenant.Permission{tenant.Admin, tenant.ReadWrite, tenant.ReadOnly, tenant.MCP} {
		_, plain, err := hub.CreateKey(ctx, hubsvc.KeySpec{Tenant: tn.ID, Permissions: []tenant.Permission{p}})
		if err != nil {
			e.t.Fatal(err)
		}
		e.keys[string(p)] = plain
	}
	return hub
}

// reply is an HTTP answer, read to its end.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	text   string
}

// send makes one request. key "" sends none; headers are name, value, ..., and
// a name that stands twice is sent twice.
func (e *edge) send(method, url, key, body string, headers ...string) reply {
	e.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Api-Key", key)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	got := reply{t: e.t, status: resp.StatusCode, header: resp.Header, text: string(b)}
	asDocumented(e.t, method, url, got)
	return got
}

// q makes a request of the Qdrant listener with the READ_WRITE key.
func (e *edge) q(method, path, body string) reply {
	e.t.Helper()
	return e.send(method, e.qdrant+path, e.keys["READ_WRITE"], body)
}

// json decodes the body, numbers as they stand.
func (r reply) json() map[string]any {
	r.t.Helper()
	d := json.NewDecoder(strings.NewReader(r.text))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		r.t.Fatalf("%d %q is no JSON object: %v", r.status, r.text, err)
	}
	return v
}

// is checks the status and a part of the body.
func (r reply) is(status int, part string) reply {
	r.t.Helper()
	if r.status != status || !strings.Contains(r.text, part) {
		r.t.Errorf("got %d %s\nwant %d with %s", r.status, r.text, status, part)
	}
	return r
}

// raw sends bytes as they are and returns everything that comes back until the
// server ends the connection.
func (e *edge) raw(url, text string) string {
	e.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		e.t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		e.t.Errorf("after %q: %v", b, err)
	}
	return string(b)
}
