//go:build !race

package httpedge

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// answering answers every query with the same hits.
type answering struct {
	Engine
	hits []collection.Hit
}

func (a *answering) Query(context.Context, tenant.Context, string, collection.Query) ([]collection.Hit, error) {
	return a.hits, nil
}

func (a *answering) Stored(tenant.Context) (uint64, bool) { return 1 << 20, true }

// conversation sends one request again and again over a connection, without
// allocating.
type conversation struct {
	conn    net.Conn
	request []byte
	answer  []byte
	length  int // of an answer: all are of one length
}

func (c *conversation) turn(t testing.TB) {
	if _, err := c.conn.Write(c.request); err != nil {
		t.Fatal(err)
	}
	for read := 0; read < max(c.length, 1); {
		n, err := c.conn.Read(c.answer[read:])
		if err != nil {
			t.Fatal(err)
		}
		read += n
		if c.length == 0 {
			c.length = read
		}
	}
}

func talk(t testing.TB, a *answering, path, body string) *conversation {
	e := &edge{t: &testing.T{}, engine: &recorder{}, keys: map[string]string{}}
	e.Server = New(Options{Engine: a, Hub: e.newHub(), Limits: DefaultLimits()})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	e.Serve(ln, nil)
	conn, err := net.Dial("tcp", ln.Addr().String())
	noError(t, err)
	t.Cleanup(func() {
		conn.Close()
		noError(t, e.Shutdown(context.Background()))
	})
	c := &conversation{conn: conn, answer: make([]byte, 1<<20)}
	c.request = fmt.Appendf(nil, "POST /qdrant%s HTTP/1.1\r\nHost: x\r\nX-Request-Id: 1\r\nApi-Key: %s\r\nContent-Length: %d\r\n\r\n%s", path, e.keys["ADMIN"], len(body), body)
	for range 100 { // pools fill
		c.turn(t)
	}
	return c
}

// queryBody asks for the nearest to 768 numbers.
func queryBody() string {
	points := upsertBody(1, 768, "null")
	from, to := len(`{"points":[{"id":0,"vector":`), len(points)-len(`,"payload":null}]}`)
	return `{"query":` + string(points[from:to]) + `,"limit":10}`
}

func tenHits() *answering {
	a := &answering{}
	for i := range 10 {
		a.hits = append(a.hits, collection.Hit{ID: collection.NumID(uint64(i)), Score: float32(i) + .5})
	}
	return a
}

// TestQueryAllocates: from the bytes of a request on the wire to those of its
// answer, a query makes at most 20 objects. Payloads are counted where they are
// made.
func TestQueryAllocates(t *testing.T) {
	c := talk(t, tenHits(), "/collections/docs/points/query", queryBody())
	if n := testing.AllocsPerRun(200, func() { c.turn(t) }); n > 20 {
		t.Errorf("%v objects a query", n)
	} else {
		t.Logf("%v objects a query", n)
	}
}

func BenchmarkQueryOverHTTP(b *testing.B) {
	c := talk(b, tenHits(), "/collections/docs/points/query", queryBody())
	b.ReportAllocs()
	for b.Loop() {
		c.turn(b)
	}
}

func TestAdmissionAllocatesNothing(t *testing.T) {
	e := newEdge(t, nil)
	for what, key := range map[string]string{"plain": e.keys["READ_WRITE"], "narrowed": e.narrowed(tenant.ReadWrite, []string{"docs"}, []string{"192.0.2.0/24"})} {
		r := e.benchRequest(key)
		n := testing.AllocsPerRun(100, func() {
			r.caller = caller{}
			if _, err := r.admit(&admissionRow); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
