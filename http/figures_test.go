//go:build figures && !race

package httpedge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// The figures of an upsert load a real server in this process with requests of
// 1,000 points of 768 numbers, each acknowledged when durable. Run with
// -cpuprofile, they tell which part of the work is the decoding of requests: of
// a collection that is searched, whose points go into its graph, and of one that
// is not and has none in memory.
func TestFiguresUpsertSearched(t *testing.T) { figureUpsert(t, true) }
func TestFiguresUpsertIdle(t *testing.T)     { figureUpsert(t, false) }

func figureUpsert(t *testing.T, searched bool) {
	w := newWorld(t)
	_, key := w.key(w.mine, tenant.ReadWrite, nil)
	w.send("PUT", w.qdrant+"/collections/u", key, `{"vectors":{"size":768,"distance":"Cosine"}}`).is(200, "")
	const requests = 30
	search := func() {
		w.send("POST", w.qdrant+"/collections/u/points/query", key, queryBody()).is(200, "")
	}
	if searched {
		search()
	}
	bodies := make([][]byte, 4)
	for i := range bodies {
		bodies[i] = floats(1000, 768, uint64(i))
	}
	conn := must(net.Dial("tcp", strings.TrimPrefix(w.qdrant, "http://")))
	defer conn.Close()
	reader := bufio.NewReader(conn)
	began := time.Now()
	for i := range requests {
		body := bytes.ReplaceAll(bodies[i%len(bodies)], []byte(`{"id":`), fmt.Appendf(nil, `{"id":%d`, i+1))
		head := fmt.Appendf(nil, "PUT /collections/u/points?wait=true HTTP/1.1\r\nHost: x\r\nApi-Key: %s\r\nContent-Length: %d\r\n\r\n", key, len(body))
		must(conn.Write(append(head, body...)))
		resp := must(http.ReadResponse(reader, nil))
		answer := must(io.ReadAll(resp.Body))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, answer)
		}
	}
	took := time.Since(began)
	t.Logf("%.0f points/s of 768-d", requests*1000/took.Seconds())
	for every := time.NewTicker(100 * time.Millisecond); searched; <-every.C {
		if strings.Contains(w.send("GET", w.qdrant+"/collections/u", key, "").text, `"green"`) {
			t.Logf("all in the graph after %s", time.Since(began))
			return
		}
	}
}

// floats is an upsert with numbers as Python writes float32s that became
// float64s: 17 digits or so.
func floats(n, dim int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := []byte(`{"points":[`)
	for i := range n {
		b = fmt.Appendf(b, `{"id":%d,"vector":[`, i)
		for range dim {
			b = append(strconv.AppendFloat(b, float64(float32(r.NormFloat64()/8)), 'g', -1, 64), ',')
		}
		b = append(append(b[:len(b)-1], ']', '}'), ',')
	}
	return append(b[:len(b)-1], `]}`...)
}
