package e2e

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestStopUnderLoad sends SIGTERM while clients write and one client's upload
// hangs: new requests are refused, the process ends within 10 s with exit code
// 0, what was acknowledged is there afterwards, and all of it is in the stores
// already, so that the next start has nothing to read from the log.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := start(t, data)
	s.must("PUT", "/collections/k", vectors(dim, "Euclid"))
	l := &ledger{key: tenantKey}
	for n := range writersEach {
		l.writers = append(l.writers, newWriter(n, tenantKey, rand.New(rand.NewPCG(*seed, uint64(n)))))
	}
	hangingUpload(t, s)

	enough := make(chan struct{})
	var acked atomic.Int64
	var wg sync.WaitGroup
	for _, w := range l.writers {
		wg.Go(func() {
			err := w.writeUntilCut(s.qdrant, func() {
				if acked.Add(1) == 200 {
					close(enough)
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-enough
	began := time.Now()
	s.terminate()
	wg.Wait() // every writer was refused
	if a, err := (call{key: tenantKey, method: "GET", url: s.qdrant + "/collections"}).do(); err == nil && a.status != http.StatusServiceUnavailable {
		t.Errorf("a request after SIGTERM: %d %s", a.status, a.body)
	}
	<-s.exited
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the end took %v", took)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	s = start(t, data)
	if n := s.deltaBytes(); n != 0 {
		t.Errorf("after a clean stop %d bytes had to be read from the log", n)
	}
	if err := l.settle(s.user); err != nil {
		t.Error(err)
	}
	// The same figure after a kill shows that it would tell.
	s.must("PUT", "/collections/k/points?wait=true", l.writers[0].upsert(2, 4, 6).body)
	s.kill()
	if n := start(t, data).deltaBytes(); n == 0 {
		t.Error("after a kill nothing had to be read from the log: the figure tells nothing")
	}
}

// hangingUpload begins a request whose body never ends.
func hangingUpload(t *testing.T, s *server) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.qdrant, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "PUT /collections/k/points HTTP/1.1\r\nHost: x\r\napi-key: %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", tenantKey)
	// "100 Continue" says that the server has begun with it.
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("no 100 Continue but %q, %v", line, err)
	}
	fmt.Fprint(conn, `{"points":[`)
}

// deltaBytes is how much is applied and in no store yet.
func (s *server) deltaBytes() int {
	s.t.Helper()
	return int(s.metrics()["waggle_delta_bytes"])
}

// metrics are the series that the operator sees and that have no labels.
func (s *server) metrics() map[string]float64 {
	s.t.Helper()
	a := s.operator().callMain("GET", "/metrics", nil)
	if a.status != http.StatusOK {
		s.t.Fatalf("metrics: %d %s", a.status, a.body)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(a.body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = v
		}
	}
	if _, ok := all["waggle_delta_bytes"]; !ok {
		s.t.Fatalf("no waggle_delta_bytes among the metrics:\n%s", a.body)
	}
	return all
}

// TestStopIdle holds that idle connections and SIGINT are no reason to wait.
func TestStopIdle(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	s.create("c") // over a connection that is kept open
	began := time.Now()
	s.mustStop()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("an idle node took %v to stop", took)
	}
}
