package httpedge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

const asLines = "Content-Type"

// imports sends lines to a door with more headers.
func (w *world) imports(door *edge, name, query, body string, headers ...string) reply {
	w.t.Helper()
	if w.keys["ADMIN"] == "" {
		_, w.keys["ADMIN"] = w.key(w.mine, tenant.Admin, nil)
	}
	return w.ask("POST", door.main+"/collections/"+name+"/import"+query, body, append([]string{"Api-Key", w.keys["ADMIN"], asLines, ndjsonMedia}, headers...)...)
}

// lines are n lines of points with ids from first on.
func lines(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, `{"id":"p-%d","vector":[%d,1],"payload":{"n":%d}}`+"\n", i, i, i)
	}
	return b.String()
}

// TestImportAndExport: what is imported through any node, in several pages, comes
// out again, and can be imported elsewhere: the same.
func TestImportAndExport(t *testing.T) {
	w := newWorld(t)
	for i, door := range []*edge{w.edge, w.through} {
		from, to := fmt.Sprintf("from%d", i), fmt.Sprintf("to%d", i)
		for _, name := range []string{from, to} {
			w.api("POST", "/collections", `{"name":"`+name+`","dimension":2,"metric":"euclidean","sparse":[{"name":"s"}]}`).is(201, "")
		}
		n := 2*importPageLines + 7
		rest := "\n" + `{"id":7,"vector":[1,2],"sparse":{"s":{"indices":[3],"values":[0.5]}},"metadata":{"a":[1,null,{"b":"ü"}]}}` + "\r\n" +
			`{"id":"t","text":"a long text about bees"}` + "\n" + `{"vector":[9,9]}`
		got := w.imports(door, from, "", lines(0, n)+rest)
		got.is(200, fmt.Sprintf(`"lines":%d,"imported":%d,"points":%d,"failed":0,"errors":[]`, n+4, n+3, n+3))
		exported := w.ask("GET", door.main+"/collections/"+from+"/export", "", "Api-Key", w.keys["ADMIN"])
		if exported.status != 200 || exported.header.Get("Content-Type") != ndjsonMedia || strings.Count(exported.text, "\n") != n+3 {
			t.Fatalf("%d %s, %d lines: %.200s", exported.status, exported.header.Get("Content-Type"), strings.Count(exported.text, "\n"), exported.text)
		}
		w.imports(door, to, "", packed(t, encodingZstd, exported.text), "Content-Encoding", "zstd").is(200, fmt.Sprintf(`"imported":%d`, n+3))
		again := w.ask("GET", door.main+"/collections/"+to+"/export", "", "Api-Key", w.keys["ADMIN"], "Accept-Encoding", "br, gzip;q=0.5")
		if again.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("not compressed: %v", again.header)
		}
		z, err := gzip.NewReader(strings.NewReader(again.text))
		noError(t, err)
		text, err := io.ReadAll(z)
		noError(t, err)
		if string(text) != exported.text {
			t.Errorf("exported again it is another thing")
		}
		w.api("POST", "/collections/"+to+"/search/text", `{"query":"bees"}`).is(200, `"id":"t"`)
		// From a cursor on; without parts.
		w.ask("GET", door.main+"/collections/"+from+"/export?cursor=7&with_vector=false&with_payload=false", "", "Api-Key", w.keys["ADMIN"]).is(200, `{"id":"7"}`+"\n")
		w.ask("GET", door.main+"/collections/"+from+"/export?cursor=x", "", "Api-Key", w.keys["ADMIN"]).is(400, "cursor")
		w.ask("GET", door.main+"/collections/none/export", "", "Api-Key", w.keys["ADMIN"]).is(404, "")
		w.imports(door, "none", "", lines(0, 1)).is(404, `"imported":0`)
	}
	for _, e := range []*edge{w.edge, w.through} {
		if n := e.bodies.Load(); n != 0 {
			t.Errorf("%d bytes are still counted", n)
		}
	}
}

// TestImportFaults: all before a wrong line is stored, and nothing after it; or
// all but the wrong ones.
func TestImportFaults(t *testing.T) {
	w := newWorld(t)
	w.api("POST", "/collections", `{"name":"bare","dimension":2,"text":{"enabled":false}}`).is(201, "")
	count := func(name string, n int) {
		t.Helper()
		w.api("GET", "/collections/"+name, "").is(200, fmt.Sprintf(`"vector_count":%d,`, n))
	}
	for i, door := range []*edge{w.edge, w.through} {
		for j, bad := range []string{
			`{"id":"x","vector":[1,2,3]}`, `{"id":"x","vector":[1,2]`, `{"id":"","vector":[1,2]}`, `{"id":"x","vectr":[1,2]}`, `[1]`, `{"id":"x","vector":[1,2]} {}`,
			`{"id":"x","vector":[1,2],"payload":{"_id":"y"}}`, `{"id":"x","text":"no texts here"}`, `{"id":"x","vectors":{"none":[1]}}`, "\xff", `{"id":"x","vector":["a"]}`,
		} {
			name := fmt.Sprintf("c%d-%d", i, j)
			w.api("POST", "/collections", `{"name":"`+name+`","dimension":2,"text":{"enabled":false}}`).is(201, "")
			n := importPageLines + 3
			body := lines(0, n) + bad + "\n" + lines(n, 2)
			got := w.imports(door, name, "", body)
			got.is(400, fmt.Sprintf(`"line":%d`, n+1)).is(400, fmt.Sprintf(`"imported":%d`, n))
			if strings.Contains(got.text, "page_") {
				t.Errorf("an answer speaks of pages: %s", got.text)
			}
			count(name, n)
			w.imports(door, name, "?on_error=skip", body).is(200, fmt.Sprintf(`"lines":%d,"imported":%d,"points":%d,"failed":1,"errors":[{"line":%d,"error":"`, n+3, n+2, n+2, n+1))
			count(name, n+2)
		}
		// The list of what is wrong is bounded, and so is a line.
		w.imports(door, "bare", "?on_error=skip", strings.Repeat("{\n", 3*importErrorsMax)).is(200, fmt.Sprintf(`"failed":%d`, 3*importErrorsMax))
		w.imports(door, "bare", "", lines(0, 2)+`{"payload":{"a":"`+strings.Repeat("x", importPageBytes)+`"}}`).is(413, `"line":3`)
		w.imports(door, "bare", "?on_error=perhaps", "").is(400, "on_error")
		w.imports(door, "bare", "", "").is(200, `"lines":0`)
		w.imports(door, "bare", "", "\n\n").is(200, `"lines":2,"imported":0`)
		w.imports(door, "bare", "", "{}", asLines, "application/json").is(415, ndjsonMedia)
		w.imports(door, "bare", "", packed(t, encodingGzip, lines(0, 5))[:40], "Content-Encoding", "gzip").is(400, "broken off")
		w.imports(door, "bare", "", lines(0, 5), "Content-Encoding", "gzip").is(400, "")
		w.imports(door, "bare", "", lines(0, 5), "Content-Encoding", "br").is(415, "")
	}
}

// TestImportLimits: an import may be larger than any other body, up to a limit of
// its own, as sent and as decompressed; a tenant's quota ends it, and says where.
func TestImportLimits(t *testing.T) {
	w := newWorld(t)
	w.through.limits.Request.BodyBytes = 64 << 10
	w.through.limits.ImportBytes = 1 << 20
	full := lines(0, 20<<10)[:1<<20]
	full = full[:strings.LastIndexByte(full, '\n')+1]
	w.imports(w.through, "docs", "", full).is(200, `"failed":0`)
	w.imports(w.through, "docs", "", full+strings.Repeat(" ", 1<<20-len(full))).is(200, "")
	w.imports(w.through, "docs", "", full+strings.Repeat(" ", 1<<20-len(full)+1)).is(413, "")
	for _, encoding := range encodings {
		w.imports(w.through, "docs", "", packed(t, encoding, full), "Content-Encoding", encoding).is(200, "")
		w.imports(w.through, "docs", "", packed(t, encoding, full+strings.Repeat(" ", 1<<20-len(full)+1)), "Content-Encoding", encoding).is(413, "")
	}
	// What is signed as a whole is held as a whole. (Of what is refused no more is
	// read than twice what may be sent: then the connection ends.)
	much := full[:100<<10]
	url := w.through.main + "/collections/docs/import"
	for _, one := range []struct {
		body   string
		status int
	}{{lines(0, 10), 200}, {much, 413}} {
		headers := append(w.signature(w.mine, "POST", url, one.body, nil), asLines, ndjsonMedia)
		w.ask("POST", url, one.body, headers...).is(one.status, "")
	}
	// Other routes have their limit still.
	w.api("PUT", "/collections/docs/vectors/import", "{}")
	w.ask("PUT", w.through.main+"/collections/docs/vectors/import", much, "Api-Key", w.keys["ADMIN"]).is(413, "")
	free, err := w.hub.CreateTenant(t.Context(), hubsvc.TenantSpec{Name: "free", Plan: tenant.PlanFree})
	noError(t, err)
	_, w.keys["ADMIN"] = w.key(free.ID, tenant.Admin, nil)
	w.settle()
	w.ask("POST", w.main+"/collections", `{"name":"few","dimension":2}`, "Api-Key", w.keys["ADMIN"]).is(201, "")
	w.imports(w.edge, "few", "", lines(0, 11_000)).is(429, `"code":"QUOTA_EXCEEDED"`).is(429, `"imported":10000,"line":10001,`)
	w.ask("GET", w.main+"/collections/few", "", "Api-Key", w.keys["ADMIN"]).is(200, `"vector_count":10000,`)
}

// TestImportAgain: the same stream under the same key is stored once; another one
// is refused at the page that differs.
func TestImportAgain(t *testing.T) {
	w := newWorld(t)
	w.api("POST", "/collections", `{"name":"once","dimension":2}`).is(201, "")
	body := strings.Repeat(`{"vector":[1,2]}`+"\n", importPageLines+5) // every line a new point
	for _, door := range []*edge{w.edge, w.through, w.edge} {
		w.imports(door, "once", "", body, "Idempotency-Key", "k").is(200, fmt.Sprintf(`"imported":%d`, importPageLines+5))
		w.api("GET", "/collections/once", "").is(200, fmt.Sprintf(`"vector_count":%d,`, importPageLines+5))
	}
	w.imports(w.edge, "once", "", body+`{"vector":[1,3]}`, "Idempotency-Key", "k").is(422, `"imported":5000`).is(422, "IDEMPOTENCY_REUSED")
	w.imports(w.through, "once", "", body).is(200, "")
	w.api("GET", "/collections/once", "").is(200, fmt.Sprintf(`"vector_count":%d,`, 2*(importPageLines+5)))
}

// endless is a body of lines that nobody holds.
type endless struct {
	left int
	line []byte
	rest []byte
	peak func()
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.left--; e.left < 0 {
			return 0, io.EOF
		}
		if e.left%4000 == 0 {
			e.peak()
		}
		e.rest = e.line
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// forgetful is an engine that keeps nothing.
type forgetful struct{ *recorder }

func (forgetful) Write(context.Context, tenant.Context, string, collection.Write, collection.WriteOptions) (collection.Answer, error) {
	return collection.Answer{}, nil
}

func (forgetful) GetCollection(context.Context, tenant.Context, string) (collection.Info, error) {
	return collection.Info{Config: collection.Config{Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}}}}, nil
}

// TestImportHoldsLittle: however much is sent, little of it is held.
func TestImportHoldsLittle(t *testing.T) {
	w := newEdge(t, func(o *Options) { o.Engine = forgetful{o.Engine.(*recorder)} })
	key := w.keys["READ_WRITE"]
	var heap, counted atomic.Int64
	body := &endless{left: 200_000, line: []byte(`{"id":"same","vector":[1,2],"payload":{"text":"` + strings.Repeat("word ", 100) + `"}}` + "\n"), peak: func() {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		heap.Store(max(heap.Load(), int64(m.HeapAlloc)))
		counted.Store(max(counted.Load(), w.bodies.Load()))
	}}
	total := body.left * len(body.line)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.main+"/collections/docs/import", body)
	noError(t, err)
	req.Header.Set("Api-Key", key)
	req.Header.Set(asLines, ndjsonMedia)
	resp, err := http.DefaultClient.Do(req)
	noError(t, err)
	text, err := io.ReadAll(resp.Body)
	noError(t, err)
	noError(t, resp.Body.Close())
	if resp.StatusCode != 200 || !bytes.Contains(text, []byte(`"imported":200000`)) {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	t.Logf("%d MB sent, %d MB counted, heap grew by %d MB", total>>20, counted.Load()>>20, (heap.Load()-int64(before.HeapAlloc))>>20)
	if counted.Load() > 3*importPageBytes || heap.Load()-int64(before.HeapAlloc) > 40<<20 {
		t.Error("an import holds more than its pages")
	}
}
