package httpedge

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// logbook is an OperationLog in memory.
type logbook struct {
	mu   sync.Mutex
	rows []tenant.LoggedOperation
	away []string
}

func (l *logbook) Append(row *tenant.LoggedOperation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := *row
	o.Collection = strings.Clone(o.Collection)
	l.rows = append(l.rows, o)
}

func (l *logbook) AppendAll(_ context.Context, rows []tenant.LoggedOperation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, rows...)
	return nil
}

func (l *logbook) Query(_ context.Context, q tenant.LogQuery) (p tenant.LogPage, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range tenant.SortLog(slices.Clone(l.rows)) {
		if o.Tenant == q.Tenant && q.Selects(o.Type, o.LogKey()) {
			p.Rows = append(p.Rows, o)
		}
	}
	if len(p.Rows) > q.Limit {
		p.Rows, p.More = p.Rows[:q.Limit], true
	}
	p.Away = l.away
	return p, nil
}

func (l *logbook) take() []tenant.LoggedOperation {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := l.rows
	l.rows = nil
	return rows
}

func loggedEdge(t *testing.T) (*edge, *logbook) {
	l := &logbook{}
	return newEdge(t, func(o *Options) { o.OperationLog, o.Nodes = l, silentNodes{} }), l
}

// TestEveryRequestIsLogged sends every route a request of every key: each that
// has a tenant or is the operator's leaves exactly one row, which says how it
// went; the others leave none.
func TestEveryRequestIsLogged(t *testing.T) {
	e, l := loggedEdge(t)
	refused := 0
	for _, rt := range e.routes() {
		urls := []string{e.main + fill.Replace(rt.path)}
		if rt.surface == surfaceQdrant {
			urls = []string{e.main + "/qdrant" + fill.Replace(rt.path), e.qdrant + fill.Replace(rt.path)}
		}
		if strings.HasSuffix(rt.path, "/events") {
			urls[0] += "?wait=0"
		}
		for _, url := range urls {
			for holder, key := range e.keys {
				got := e.send(rt.method, url, key, "{}", "X-Request-Id", "r-1")
				rows := l.take()
				if rt.open != nil {
					if len(rows) != 0 {
						t.Errorf("%s by %s: logged %+v", rt.name(), holder, rows)
					}
					continue
				}
				if len(rows) != 1 {
					t.Fatalf("%s by %s: %d rows", rt.name(), holder, len(rows))
				}
				o := rows[0]
				want := e.tenant
				if holder == operator {
					want = ""
				}
				if o.Tenant != want || o.Type != rt.operationType() || o.Operation != rt.method+" "+rt.path || o.Key == "" || o.RequestID != "r-1" ||
					int(o.Status) != got.status || o.Failed != (got.status >= 400) || (o.Code == "") == o.Failed || o.Surface != rt.surface.String() || o.Time == 0 {
					t.Errorf("%s by %s: %d, logged %+v", rt.name(), holder, got.status, o)
				}
				if o.Collection != "" && !strings.Contains(rt.path, "/:name") || rt.surface == surfaceQdrant && strings.Contains(rt.path, "/:name") && o.Collection != "docs" {
					t.Errorf("%s by %s: about %q", rt.name(), holder, o.Collection)
				}
				if got.status == 403 {
					refused++
				}
			}
			for _, key := range []string{"", "letmein", tenant.NewKey()} {
				e.send(rt.method, url, key, "{}")
				if rows := l.take(); len(rows) != 0 {
					t.Errorf("%s by nobody: logged %+v", rt.name(), rows)
				}
			}
		}
	}
	if refused < 100 {
		t.Errorf("only %d were refused for their permission", refused)
	}
}

// TestLoggedOnce: a request that another node carries out is logged where the
// client was answered, with what only the other node knows.
func TestLoggedOnce(t *testing.T) {
	asked, there, _ := twoNodes(t)
	here, abroad := &logbook{}, &logbook{}
	asked.operationLog, there.operationLog = here, abroad
	key := asked.keys["READ_WRITE"]
	asked.send("POST", asked.qdrant+"/collections/docs/points/query", key, `{"query":[1,2],"limit":7}`).is(200, "")
	asked.send("PUT", asked.qdrant+"/collections/docs/points", key, upsert).is(200, "")
	asked.send("POST", asked.main+"/api/v1/collections", key, `{"name":"made","dimension":2}`).is(201, "")
	asked.send("GET", asked.qdrant+"/collections/ghost", key, "").is(404, "")
	rows := here.take()
	if len(rows) != 4 || len(abroad.take()) != 0 {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	for i, want := range []struct {
		kind       tenant.OperationType
		collection string
		k, points  uint32
		code       string
	}{
		{tenant.LogSearch, "docs", 7, 0, ""},
		{tenant.LogInsert, "docs", 0, 1, ""},
		{tenant.LogCreateCollection, "made", 0, 0, ""},
		{tenant.LogCollectionInfo, "ghost", 0, 0, "NOT_FOUND"},
	} {
		if o := rows[i]; o.Type != want.kind || o.Collection != want.collection || o.K != want.k || o.Points != want.points || o.Code != want.code || o.Tenant != asked.tenant {
			t.Errorf("%+v, want %+v", o, want)
		}
	}
}

// TestCallIsLoggedAsItsOperation: where one route is for all operations, the
// row names the one that was called, and whether it failed.
func TestCallIsLoggedAsItsOperation(t *testing.T) {
	e, _ := loggedEdge(t)
	r := &request{s: e.Server}
	tc := tenant.Context{TenantID: e.tenant, ValidatedAt: time.Now(), Permissions: []tenant.Permission{tenant.ReadOnly}}
	for _, n := range e.operations {
		if n.id == "create_collection" {
			if _, err := n.call(r, tc, []byte(`{"name":"x"}`)); err == nil {
				t.Error("a reader made a collection")
			}
		}
	}
	if o := r.logged; o.Operation != "create_collection" || o.Type != tenant.LogCreateCollection || !o.Failed || o.Code != "FORBIDDEN" {
		t.Errorf("%+v", o)
	}
}

type logsBody struct {
	Logs       []tenant.OperationLog
	Next       string `json:"next_cursor"`
	Incomplete []string
	TenantID   tenant.ID `json:"tenant_id"`
}

func logsOf(t *testing.T, r reply) (b logsBody) {
	t.Helper()
	r.is(200, "")
	if err := json.Unmarshal([]byte(r.text), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLogQueries: pages, bounds and filters of the three lists, and who sees
// which rows.
func TestLogQueries(t *testing.T) {
	e, l := loggedEdge(t)
	other, err := e.hub.CreateTenant(t.Context(), hubsvc.TenantSpec{Name: "other", Plan: tenant.PlanPro})
	noError(t, err)
	for i := range 30 {
		for _, id := range []tenant.ID{e.tenant, other.ID, ""} {
			o := tenant.LoggedOperation{Tenant: id, Operation: "GET /x", Type: tenant.LogSearch, Time: 1_000 + int64(i), Collection: "of-" + string(id)}
			if i%2 == 0 {
				o.Type = tenant.LogInsert
			}
			o.ID[0], o.ID[1] = 1, byte(i)
			l.Append(&o)
		}
	}
	l.away = []string{"node-3"}
	lists := []struct{ url, key, collection string }{
		{e.main + "/auth/logs", e.keys["ADMIN"], "of-" + string(e.tenant)},
		{e.main + "/api/v1/tenants/" + string(e.tenant) + "/logs", e.keys[operator], "of-" + string(e.tenant)},
		{e.main + "/api/v1/tenants/" + string(other.ID) + "/logs", e.keys[operator], "of-" + string(other.ID)},
		{e.main + "/api/v1/cluster/logs", e.keys[operator], "of-"},
	}
	for _, list := range lists {
		var times []int64
		cursor := ""
		for {
			b := logsOf(t, e.send("GET", list.url+"?end_time=2000&limit=7&cursor="+cursor, list.key, ""))
			if !slices.Equal(b.Incomplete, []string{"node-3"}) {
				t.Errorf("%s: incomplete %q", list.url, b.Incomplete)
			}
			for _, row := range b.Logs {
				if row.Collection != list.collection {
					t.Fatalf("%s showed a row of %q", list.url, row.Collection)
				}
				times = append(times, row.Timestamp)
			}
			if cursor = b.Next; cursor == "" {
				break
			}
		}
		if len(times) != 30 || !slices.IsSorted(times) {
			t.Errorf("%s: %v", list.url, times)
		}
		if b := logsOf(t, e.send("GET", list.url+"?start_time=1010&end_time=1020&operation_type=insert", list.key, "")); len(b.Logs) != 5 || b.Next != "" {
			t.Errorf("%s: %d rows of a range and type", list.url, len(b.Logs))
		}
		for query, text := range map[string]string{
			"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "cursor=1.2": "cursor", "cursor=x": "cursor", "cursor=-1." + strings.Repeat("0", 32): "cursor",
			"operation_type=everything": "operation_type", "start_time=yesterday": "start_time", "end_time=-1": "end_time",
		} {
			e.send("GET", list.url+"?"+query, list.key, "").is(400, text)
		}
		e.send("GET", list.url+"?limit=1000", list.key, "").is(200, "")
		for _, holder := range []string{"READ_WRITE", "READ_ONLY", "MCP"} {
			e.send("GET", list.url, e.keys[holder], "").is(403, "")
		}
	}
	e.send("GET", e.main+"/auth/logs?tenant_id="+string(other.ID), e.keys["ADMIN"], "").is(403, "")
	e.send("GET", e.main+"/auth/logs?tenant_id="+string(e.tenant), e.keys["ADMIN"], "").is(200, "")
	absent := e.send("GET", e.main+"/api/v1/tenants/t_ghost/logs", e.keys[operator], "")
	absent.is(404, "NOT_FOUND")
	for _, path := range []string{"/api/v1/tenants/" + string(e.tenant) + "/logs", "/api/v1/cluster/logs"} {
		e.send("GET", e.main+path, e.keys["ADMIN"], "").is(403, "")
	}
	_, narrow, err := e.hub.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: e.tenant, Permissions: []tenant.Permission{tenant.Admin}, Scope: &tenant.Scope{Collections: []string{"else*"}}})
	noError(t, err)
	for _, row := range logsOf(t, e.send("GET", e.main+"/auth/logs", narrow, "")).Logs {
		if row.Collection != "" {
			t.Errorf("a key for other collections saw %+v", row)
		}
	}
}

func logRowJSON(id tenant.ID, n int) map[string]any {
	return map[string]any{
		"operation_id": fmt.Sprintf("00000000-0000-4000-8000-%012d", n+1), "tenant_id": id, "operation": "search", "operation_type": "search",
		"collection": "docs", "timestamp": 1_700_000_000_000 + n, "duration_ms": 1.5, "success": true, "metadata": map[string]string{"status": "200", "k": "10"},
	}
}

func batchOf(id tenant.ID, n int) map[string]any {
	rows := []any{}
	for i := range n {
		rows = append(rows, logRowJSON(id, i))
	}
	return map[string]any{"service_id": "node-1", "logs": rows}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestTakeLogs: a batch is kept whole or refused whole; what is sent again is
// there once; rows of tenants that are not here are passed over.
func TestTakeLogs(t *testing.T) {
	e, l := loggedEdge(t)
	url, key := e.main+"/api/v1/vectorizer/logs", e.keys[operator]
	send := func(body any) reply { return e.send("POST", url, key, mustJSON(body)) }
	kept := func() (n int) {
		for _, o := range l.take() {
			if o.Tenant != "" {
				n++
			}
		}
		return n
	}
	for range 2 {
		send(batchOf(e.tenant, 1000)).is(200, `{"accepted":true,"processed":1000}`)
	}
	if n := len(logsOf(t, e.send("GET", e.main+"/api/v1/tenants/"+string(e.tenant)+"/logs", key, "")).Logs); n != 1000 {
		t.Errorf("%d rows of a batch that came twice", n)
	}
	got := logsOf(t, e.send("GET", e.main+"/api/v1/tenants/"+string(e.tenant)+"/logs?limit=1", key, "")).Logs[0]
	if want := mustJSON(logRowJSON(e.tenant, 0)); mustJSON(got) == "" || got.DurationMS != 1.5 || got.Metadata["k"] != "10" || got.OperationID != "00000000-0000-4000-8000-000000000001" {
		t.Errorf("%s\n%s", mustJSON(got), want)
	}
	l.take()
	send(batchOf(e.tenant, 1001)).is(400, "more than 1000 rows")
	send(batchOf(e.tenant, 0)).is(200, `"processed":0`)
	send(map[string]any{"service_id": "n", "logs": []any{logRowJSON(e.tenant, 1), logRowJSON("t_ghost", 2), logRowJSON("t_ghost", 3)}}).is(200, `"processed":3,"error":"2 rows`)
	if n := kept(); n != 1 {
		t.Errorf("%d rows kept", n)
	}
	ahead := logRowJSON(e.tenant, 5) // a clock is wrong: whoever sends it keeps it
	ahead["timestamp"] = time.Now().Add(48 * time.Hour).UnixMilli()
	send(map[string]any{"service_id": "n", "logs": []any{ahead}}).is(412, "timestamp: is in the future")
	for what, change := range map[string]func(row map[string]any){
		"operation_id":                 func(r map[string]any) { r["operation_id"] = "7" },
		"operation_id: ":               func(r map[string]any) { r["operation_id"] = "00000000-0000-0000-0000-000000000000" },
		"tenant_id":                    func(r map[string]any) { r["tenant_id"] = "" },
		"tenant_id: ":                  func(r map[string]any) { r["tenant_id"] = "A B" },
		"operation: must":              func(r map[string]any) { r["operation"] = strings.Repeat("x", 129) },
		"operation: must be":           func(r map[string]any) { r["operation"] = "" },
		"operation: must be 1":         func(r map[string]any) { r["operation"] = "a\nb" },
		"operation_type":               func(r map[string]any) { r["operation_type"] = "everything" },
		"collection":                   func(r map[string]any) { r["collection"] = strings.Repeat("x", 256) },
		"timestamp":                    func(r map[string]any) { r["timestamp"] = 0 },
		"duration_ms":                  func(r map[string]any) { r["duration_ms"] = -1 },
		"duration_ms: ":                func(r map[string]any) { r["duration_ms"] = 1e12 },
		"error":                        func(r map[string]any) { r["error"] = "X" },
		"error: ":                      func(r map[string]any) { r["success"], r["error"] = false, "it is long and a text" },
		"metadata: only":               func(r map[string]any) { r["metadata"] = map[string]string{"payload": "secret"} },
		"metadata.request_id":          func(r map[string]any) { r["metadata"] = map[string]string{"request_id": strings.Repeat("x", 65)} },
		"metadata.k":                   func(r map[string]any) { r["metadata"] = map[string]string{"k": "many"} },
		"metadata.status":              func(r map[string]any) { r["metadata"] = map[string]string{"status": "1000"} },
		"is not a row":                 func(r map[string]any) { r["text"] = "secret" },
		"logs[1]: is not a row of an ": func(r map[string]any) { r["timestamp"] = "now" },
	} {
		row := logRowJSON(e.tenant, 5)
		change(row)
		send(map[string]any{"service_id": "n", "logs": []any{logRowJSON(e.tenant, 4), row}}).is(400, strings.TrimSuffix(what, " "))
		if n := kept(); n != 0 {
			t.Errorf("%s: %d rows of a refused batch are kept", what, n)
		}
	}
	send(map[string]any{"service_id": "a b", "logs": []any{}}).is(400, "service_id")
	send(map[string]any{"service_id": "n"}).is(400, "logs")
	e.send("POST", url, key, `{"service_id":"n","logs":[`).is(400, "")
	e.send("POST", url, e.keys["ADMIN"], mustJSON(batchOf(e.tenant, 1))).is(403, "")
}

// TestNothingOfTheTenantIsLogged: the files of the log hold no key, payload,
// vector or text, whatever is asked for, and however it fails.
func TestNothingOfTheTenantIsLogged(t *testing.T) {
	w := newWorld(t)
	_, admin := w.key(w.mine, tenant.Admin, nil)
	const secret = "secret-zz9plural"
	vector := "0.1234567"
	base := w.main + "/qdrant/collections/" + canaryName
	for _, c := range []struct{ method, url, body string }{
		{"PUT", base + "/points?wait=true", `{"points":[{"id":5,"vector":[` + vector + `,1],"payload":{"a":"` + secret + `"}}]}`},
		{"PUT", base + "/points?wait=true", `{"points":[{"id":5,"vector":["` + secret + `"],"payload":{"a":"` + secret + `"}}]}`},
		{"POST", base + "/points/query", `{"query":[` + vector + `,2],"filter":{"must":[{"key":"a","match":{"value":"` + secret + `"}}]}}`},
		{"POST", base + "/points/query?timeout=" + secret, `{"query":"` + secret + `"}`},
		{"POST", base + "/points/scroll", `{"with_payload":true,"with_vector":true}`},
		{"POST", w.main + "/auth/keys", `{"permissions":["READ_ONLY"],"name":"` + secret + `"}`},
		{"GET", w.main + "/auth/logs?cursor=" + secret, ""},
	} {
		w.ask(c.method, c.url, c.body, "Api-Key", admin)
		w.ask(c.method, c.url, c.body, "Authorization", "Bearer "+w.keys[operator])
	}
	noError(t, w.logs.Flush(t.Context()))
	names, err := filepath.Glob(filepath.Join(w.logDir, "*"))
	noError(t, err)
	read := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		noError(t, err)
		read += strings.Count(string(b), canaryName)
		for what, text := range map[string]string{"a payload": canaryPayload, "a text": secret, "a vector": vector, "a key": admin, "the operator's key": w.keys[operator], "part of a key": admin[8:30]} {
			if strings.Contains(string(b), text) {
				t.Errorf("%s holds %s", name, what)
			}
		}
	}
	if read < 5 {
		t.Errorf("only %d rows about the collection were found", read)
	}
}

// BenchmarkLoggedRequest is the edge's own work for a request, with and without
// its row.
func BenchmarkLogOperation(b *testing.B) {
	s := &Server{operationLog: &sink{}}
	rt := &route{surface: surfaceQdrant, label: "POST /collections/:name/points/query", logs: tenant.LogSearch}
	r := &request{s: s, row: rt, start: time.Now(), id: strconv.Itoa(1234567), http: &fasthttp.RequestCtx{}}
	r.logged = tenant.LoggedOperation{Tenant: "t_a", Key: "k_b", Operation: rt.label, Type: rt.logs, Collection: "docs"}
	b.ReportAllocs()
	for b.Loop() {
		r.logOperation()
	}
}

type sink struct{ logbook }

func (*sink) Append(*tenant.LoggedOperation) {}
