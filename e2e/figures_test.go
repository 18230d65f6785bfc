//go:build figures

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	pairs       = flag.Int("pairs", 24, "pairs of measurements with and without tenancy")
	perPair     = flag.Int("requests", 3000, "requests of one measurement")
	manyTenants = flag.Int("tenants", 10_000, "tenants that are active at once")
)

// tell prints a figure with the machine's load, which is in every one.
func tell(format string, args ...any) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("figure: %s [load %s]\n", fmt.Sprintf(format, args...), strings.Join(strings.Fields(string(load))[:1], ""))
}

// cpu is the processor time that the server has used, to the nanosecond: the
// clock behind getrusage.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^s.cmd.Process.Pid<<3|2), &ts); err != nil {
		s.t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// rss is the server's memory in MB.
func (s *server) rss() float64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// wire is a client that keeps its connections.
func wire(clients int) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}
}

// job is a request that is sent again and again.
type job struct {
	method, path string
	bodies       [][]byte
}

// send sends the job n times from two connections.
func (j job) send(t testing.TB, c *http.Client, base, key string, n int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				req, err := http.NewRequest(j.method, base+j.path, bytes.NewReader(j.bodies[i%len(j.bodies)]))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json")
				if key != "" {
					req.Header.Set("Api-Key", key)
				}
				resp, err := c.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s %s: %d %s", j.method, j.path, resp.StatusCode, b)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestFiguresTenancy compares two nodes with the same data, one with tenants
// and keys, one without, request for request in turn.
func TestFiguresTenancy(t *testing.T) {
	const points, dim = 10_000, 128
	rng := rand.New(rand.NewPCG(1, 1))
	c := wire(4)
	keyed, open := start(t, t.TempDir()), openServer(t, t.TempDir())
	sides := []struct {
		s   *server
		key string
	}{{keyed, tenantKey}, {open, ""}}
	for _, side := range sides {
		side.s.must("PUT", "/collections/k", vectors(dim, "Cosine"))
		job{"PUT", "/collections/k/points?wait=true", bodies(points/100, 100, dim, 0, rand.New(rand.NewPCG(2, 2)))}.send(t, c, side.s.qdrant, side.key, points/100)
	}
	queries := make([][]byte, 100)
	for i := range queries {
		vector := make([]float32, dim)
		for d := range vector {
			vector[d] = rng.Float32()
		}
		queries[i], _ = json.Marshal(map[string]any{"query": vector, "limit": 10})
	}
	for _, work := range []struct {
		name string
		job  job
	}{
		{"search, 10 of 10,000 x 128", job{"POST", "/collections/k/points/query", queries}},
		{"upsert of 100 x 128", job{"PUT", "/collections/k/points?wait=true", bodies(20, 100, dim, 0, rng)}},
		{"one point by id", job{"GET", "/collections/k/points/7", [][]byte{nil}}},
	} {
		n := *perPair
		if strings.HasPrefix(work.name, "upsert") {
			n /= 10
		}
		for _, side := range sides { // warm
			work.job.send(t, c, side.s.qdrant, side.key, n)
		}
		var with, without, ratios []float64
		for pair := range *pairs {
			var each [2]float64
			for turn := range sides {
				i := (turn + pair) % 2 // the first is the other one each time
				before := sides[i].s.cpu()
				work.job.send(t, c, sides[i].s.qdrant, sides[i].key, n)
				each[i] = float64(sides[i].s.cpu()-before) / float64(n) / 1000
			}
			with, without = append(with, each[0]), append(without, each[1])
			ratios = append(ratios, each[0]/each[1])
		}
		for _, all := range [][]float64{with, without, ratios} {
			slices.Sort(all)
		}
		middle := len(ratios) / 2
		tell("CPU a request, %s: %.2f us with tenancy, %.2f us without; of %d pairs the median is %+.2f %% (quartiles %+.2f, %+.2f)", work.name,
			with[middle], without[middle], len(ratios), 100*(ratios[middle]-1), 100*(ratios[len(ratios)/4]-1), 100*(ratios[len(ratios)*3/4]-1))
	}
}

// TestFiguresManyTenants makes tenants, each with a key, a collection and a
// point, asks for all of them twice, and prints the memory.
func TestFiguresManyTenants(t *testing.T) {
	const clients = 16
	s := start(t, t.TempDir())
	c := wire(clients)
	tell("memory of an empty node: %.0f MB", s.rss())
	keys := make([]string, *manyTenants)
	admitted := make([]time.Duration, len(keys))
	ask := func(base, key, method, path, body string, into any) {
		req, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Api-Key", key)
		resp, err := c.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode >= 300 {
			t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
		} else if into != nil {
			if err := json.Unmarshal(b, into); err != nil {
				t.Error(err)
			}
		}
	}
	each := func(do func(i int)) time.Duration {
		var next atomic.Int64
		var wg sync.WaitGroup
		began := time.Now()
		for range clients {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(keys) && !t.Failed(); i = int(next.Add(1)) - 1 {
					do(i)
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	took := each(func(i int) {
		began := time.Now()
		var made struct {
			TenantID string `json:"tenant_id"`
			Key      string `json:"key"`
		}
		ask(s.http, operatorKey, "POST", "/api/v1/tenants", fmt.Sprintf(`{"name":"t%d"}`, i), &made)
		ask(s.http, operatorKey, "POST", "/api/v1/access-keys", fmt.Sprintf(`{"tenant_id":%q,"permission":"READ_WRITE"}`, made.TenantID), &made)
		ask(s.qdrant, made.Key, "PUT", "/collections/k", `{"vectors":{"size":4,"distance":"Dot"}}`, nil)
		keys[i], admitted[i] = made.Key, time.Since(began)
	})
	slices.Sort(admitted)
	tell("%d tenants with a key and a collection in %v by %d clients at once; one: p50 %v, p99 %v", len(keys), took.Round(time.Millisecond), clients,
		admitted[len(admitted)/2].Round(10*time.Microsecond), admitted[len(admitted)*99/100].Round(10*time.Microsecond))
	tell("memory with %d tenants: %.0f MB", len(keys), s.rss())
	each(func(i int) {
		ask(s.qdrant, keys[i], "PUT", "/collections/k/points?wait=true", `{"points":[{"id":1,"vector":[1,2,3,4]}]}`, nil)
	})
	for round := range 2 {
		took = each(func(i int) {
			ask(s.qdrant, keys[i], "POST", "/collections/k/points/query", `{"query":[1,2,3,4],"limit":1}`, nil)
		})
		tell("memory with %d active tenants, round %d of searches (%v): %.0f MB", len(keys), round+1, took.Round(time.Millisecond), s.rss())
	}
	m := s.metrics()
	tell("active collections %.0f, index bytes %.0f", m["waggle_active_collections"], m["waggle_index_bytes"])
}
