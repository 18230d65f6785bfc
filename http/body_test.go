package httpedge

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

func smallBodies(o *Options) {
	o.Limits.Request.BodyBytes = 64 << 10
	o.Limits.BodyGrace, o.Limits.HeaderTimeout = 300*time.Millisecond, 300*time.Millisecond
}

// paddedUpsert is a valid upsert of exactly n bytes.
func paddedUpsert(n int) string {
	const head, tail = `{"points":[{"id":1,"vector":[1.0]}]`, `}`
	return head + strings.Repeat(" ", n-len(head)-len(tail)) + tail
}

// chunked hides the length of a body from the client, which then sends chunks.
type chunked struct{ io.Reader }

func TestBodyLimit(t *testing.T) {
	e := newEdge(t, smallBodies)
	limit := e.limits.Request.BodyBytes
	for _, c := range []struct{ size, status int }{{limit, 200}, {limit + 1, 413}, {3 * limit, 413}, {1, 400}, {0, 400}} {
		body := ""
		switch {
		case c.size > 1:
			body = paddedUpsert(c.size)
		case c.size == 1:
			body = "{"
		}
		for _, chunks := range []bool{false, true} {
			var from io.Reader = strings.NewReader(body)
			if chunks {
				from = chunked{from}
			}
			req := must(http.NewRequest(http.MethodPut, e.qdrant+"/collections/docs/points", from))
			req.Header.Set("Api-Key", e.keys["READ_WRITE"])
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Errorf("%d bytes, chunked %v: %v", c.size, chunks, err)
				continue
			}
			text := must(io.ReadAll(resp.Body))
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("%d bytes, chunked %v: %d %s, want %d", c.size, chunks, resp.StatusCode, text, c.status)
			}
		}
		if calls := e.engine.take(); (len(calls) == 2) != (c.status == 200) {
			t.Errorf("%d bytes: %d writes", c.size, len(calls))
		}
	}
	if e.bodies.Load() != 0 {
		t.Errorf("%d bytes of bodies are still counted", e.bodies.Load())
	}
}

// TestBodiesAreRefusedBeforeTheyAreRead: a wrong key, an unknown path and a
// body announced too long cost the node no memory, and the client, still
// writing, gets its answer.
func TestBodiesAreRefusedBeforeTheyAreRead(t *testing.T) {
	e := newEdge(t, smallBodies)
	body := strings.Repeat(" ", 100<<10)
	e.send("PUT", e.qdrant+"/collections/docs/points", "", body[:60<<10]).is(401, "Must provide")
	e.send("PUT", e.qdrant+"/collections/docs/points", e.keys["READ_ONLY"], body[:60<<10]).is(403, "")
	e.send("PUT", e.qdrant+"/nowhere", "", body[:60<<10]).is(404, "")
	e.send("PUT", e.qdrant+"/collections/docs/points", "", body).is(413, "JSON payload is larger than allowed (limit: 65536 bytes)")
	e.send("GET", e.qdrant+"/collections", e.keys["READ_ONLY"], "a body of a GET").is(200, "")
}

// TestAnUnreadBodyIsNeverARequest: what is behind the headers of a refused
// request belongs to it, whatever it looks like.
func TestAnUnreadBodyIsNeverARequest(t *testing.T) {
	e := newEdge(t, smallBodies)
	smuggled := "DELETE /collections/docs HTTP/1.1\r\nHost: x\r\nApi-Key: " + e.keys["ADMIN"] + "\r\n\r\n"
	for _, head := range []string{
		"PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s",
		"PUT /collections/docs/points HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s",
		"PUT /collections/docs/points HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
	} {
		got := e.raw(e.qdrant, fmt.Sprintf(head, len(smuggled), smuggled)+"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if strings.Count(got, "HTTP/1.1 ") != 2 || strings.Count(got, "healthz check passed") == 0 {
			t.Errorf("%q: %s", head, got)
		}
	}
	// A body too long to be read away ends the connection.
	long := fmt.Sprintf("PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 10<<20, strings.Repeat(" ", 129<<10))
	if got := e.raw(e.qdrant, long); !strings.Contains(got, "413") || !strings.Contains(got, "Connection: close") {
		t.Errorf("long body: %s", got)
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("smuggled %+v", calls)
	}
}

// TestAmbiguousBodyLengths: a request whose end a proxy could see elsewhere is
// refused, and the connection ends with it.
func TestAmbiguousBodyLengths(t *testing.T) {
	e := newEdge(t, nil)
	for _, headers := range []string{
		"Content-Length: 4\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nContent-Length: 4",
		"Content-Length: 4\r\nContent-Length: 7",
		"Transfer-Encoding: xchunked",
		"Transfer-Encoding: gzip, chunked",
		"transfer-encoding: chunked\r\nTransfer-Encoding: identity",
	} {
		got := e.raw(e.qdrant, "POST /collections/c/points HTTP/1.1\r\nHost: x\r\nApi-Key: "+e.keys["ADMIN"]+"\r\n"+headers+
			"\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.Contains(got, " 400 ") || !strings.Contains(got, "Connection: close") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%q: %s", headers, got)
		}
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

func TestSlowBodies(t *testing.T) {
	e := newEdge(t, smallBodies)
	for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
		c := must(net.Dial("tcp", strings.TrimPrefix(e.qdrant, "http://")))
		fmt.Fprintf(c, "PUT /collections/docs/points HTTP/1.1\r\nHost: x\r\nApi-Key: %s\r\n%s\r\n\r\n", e.keys["READ_WRITE"], framing)
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Contains(got, []byte(" 408 ")) || !bytes.Contains(got, []byte("Connection: close")) {
			t.Errorf("%s: %s, %v", framing, got, err)
		}
		c.Close()
	}
	if e.bodies.Load() != 0 {
		t.Errorf("%d bytes of bodies are still counted", e.bodies.Load())
	}
}

func TestSlowHeaders(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Limits.HeaderTimeout = 100 * time.Millisecond })
	c := must(net.Dial("tcp", strings.TrimPrefix(e.main, "http://")))
	defer c.Close()
	fmt.Fprint(c, "GET /health HTTP/1.1\r\nHost:")
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(got, []byte(" 408 ")) || !bytes.Contains(got, []byte("REQUEST_TIMEOUT")) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Limits.IdleTimeout = 50 * time.Millisecond })
	if got := e.raw(e.main, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(got, `{"status":"ok"}`) || strings.Contains(got, "HTTP/1.1 408") {
		t.Errorf("%s", got)
	}
}

func TestLargeHeaders(t *testing.T) {
	e := newEdge(t, nil)
	e.send("GET", e.main+"/health", "", "", "X-Large", strings.Repeat("x", 20<<10)).is(431, `"code":"HEADERS_TOO_LARGE"`)
	e.send("GET", e.qdrant+"/healthz", "", "", "X-Large", strings.Repeat("x", 20<<10)).is(431, `{"status":{"error":"`)
	if got := e.raw(e.main, "GET\r\n\r\n"); !strings.Contains(got, " 400 ") || !strings.Contains(got, `"code":"INVALID_REQUEST"`) {
		t.Errorf("not HTTP: %s", got)
	}
	if got := e.raw(e.qdrant, "BREW /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.Contains(got, " 405 ") {
		t.Errorf("unknown method: %s", got)
	}
}

// TestBodiesHeldAtOnce: all requests together hold a bounded amount.
func TestBodiesHeldAtOnce(t *testing.T) {
	e := newEdge(t, func(o *Options) {
		smallBodies(o)
		o.Limits.BodyBytesAllMax = 100 << 10
	})
	e.bodies.Add(60 << 10) // of other requests
	got := e.q("PUT", "/collections/docs/points", paddedUpsert(60<<10)).is(503, "Service unavailable: too many large requests at once")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	e.q("PUT", "/collections/docs/points", paddedUpsert(10<<10)).is(200, "")
	e.bodies.Add(-60 << 10)
	e.q("PUT", "/collections/docs/points", paddedUpsert(60<<10)).is(200, "")
	if e.bodies.Load() != 0 {
		t.Errorf("%d bytes are still counted", e.bodies.Load())
	}
}

func TestExpectContinue(t *testing.T) {
	e := newEdge(t, nil)
	e.send("PUT", e.qdrant+"/collections/docs/points", e.keys["READ_WRITE"], `{"points":[]}`, "Expect", "100-continue").is(200, "")
}

// TestPipelinedRequestsKeepTheirBodies: buffers are used again between
// requests of one connection.
func TestPipelinedRequestsKeepTheirBodies(t *testing.T) {
	e := newEdge(t, nil)
	var text strings.Builder
	for i := range 20 {
		body := fmt.Sprintf(`{"points":[{"id":%d,"vector":[%d],"payload":{"n":"%s"}}]}`, i, i, strings.Repeat("x", i*500))
		fmt.Fprintf(&text, "PUT /collections/c%d/points HTTP/1.1\r\nHost: x\r\nApi-Key: %s\r\nIdempotency-Key: k%d\r\nContent-Length: %d\r\n\r\n%s", i, e.keys["ADMIN"], i, len(body), body)
	}
	text.WriteString("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if got := e.raw(e.qdrant, text.String()); strings.Count(got, `"status":"acknowledged"`) != 20 {
		t.Errorf("%s", got)
	}
	for i, c := range e.engine.take() {
		point := c.arg.(collection.Write).Upsert[0]
		if c.name != fmt.Sprint("c", i) || c.options.IdempotencyKey != fmt.Sprint("k", i) || point.ID != collection.NumID(uint64(i)) ||
			point.Vector[0] != float32(i) || len(point.Payload["n"].(string)) != i*500 {
			t.Errorf("request %d became %+v", i, c)
		}
	}
}
