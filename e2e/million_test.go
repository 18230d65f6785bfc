//go:build figures

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var figurePoints = flag.Int("points", 1_000_000, "points of TestFiguresMillion")

const (
	figureDim     = 128
	figureBatch   = 100
	figureClients = 8
	figureBeat    = 50 * time.Millisecond // between two searches while points come in
	figureLinked  = 10 * time.Minute      // to wait for the graph; the figure to hold is 2 minutes
	figureLoad    = time.Minute           // of full load
)

// TestFiguresMillion fills one node with a million points and measures it: how fast
// they are taken to the end, how long searches take meanwhile, when all of
// them are in the graph, and then the collector's pauses at full load. Load of
// others on the machine is in every figure, so it is printed with them.
func TestFiguresMillion(t *testing.T) {
	data := t.TempDir()
	cmd := serveCommand(data)
	cmd.Env = environ(bootstrapKeys) // otherwise the defaults
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatal(err)
	}
	f := &figureRig{server: s, url: s.qdrant + "/collections/m/points", cloud: newCloud(rand.New(rand.NewPCG(1, 1)))}
	f.client.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
	s.must("PUT", "/collections/m", vectors(figureDim, "Euclid"))
	f.fill(t, *figurePoints)
	f.linked(t, *figurePoints)
	f.recall(t)
	f.pauses(t, *figurePoints)
}

// figureRig is a node and those who use it.
type figureRig struct {
	*server
	url    string // of the collection's points
	client http.Client
	cloud  *cloud
}

// fill upserts n points from several clients, as fast as they are taken, and
// searches at an even beat meanwhile.
func (f *figureRig) fill(t *testing.T, n int) {
	requests := f.requests(n)
	stop, searches := make(chan struct{}), &latencies{}
	var searching sync.WaitGroup
	searching.Go(func() { f.beat(searches, stop) })
	var next, refused atomic.Int64
	acked := make(chan int, len(requests))
	var clients sync.WaitGroup
	began := time.Now()
	for range figureClients {
		clients.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(requests); i = int(next.Add(1)) - 1 {
				for !f.put(t, requests[i]) {
					refused.Add(1)
					<-time.After(time.Second) // as the answer asks for
				}
				acked <- figureBatch
			}
		})
	}
	go func() { clients.Wait(); close(acked) }()
	last, step, done := began, max(n/10, figureBatch), 0
	for points := range acked {
		if done += points; done%step == 0 {
			now := time.Now()
			tell("points %d to %d: %.0f points/s; %s", done-step, done, float64(step)/now.Sub(last).Seconds(), searches.take())
			last = now
		}
	}
	took := time.Since(began)
	close(stop)
	searching.Wait()
	tell("%d points of %d values in batches of %d from %d clients: %.0f points/s, %d refusals; searches at %d/s meanwhile: %s",
		n, figureDim, figureBatch, figureClients, float64(n)/took.Seconds(), refused.Load(), time.Second/figureBeat, searches.all())
}

// put sends an upsert and reports whether it was taken: a server that is
// behind with its graph refuses until it is not.
func (f *figureRig) put(t *testing.T, body []byte) bool {
	status, answer, err := f.send("PUT", f.url+"?wait=true", body)
	if err != nil || status != http.StatusOK && status != http.StatusTooManyRequests {
		t.Errorf("upsert: %d %s %v", status, answer, err)
	}
	return status != http.StatusTooManyRequests
}

func (f *figureRig) send(method, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("api-key", tenantKey)
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// beat searches at an even beat, whatever becomes of the searches before.
func (f *figureRig) beat(to *latencies, stop chan struct{}) {
	rng := rand.New(rand.NewPCG(3, 3))
	tick := time.NewTicker(figureBeat)
	defer tick.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case due := <-tick.C:
			body := query(f.cloud.write(nil, rng), false)
			all.Go(func() { f.search(body, due, to) })
		case <-stop:
			return
		}
	}
}

func (f *figureRig) search(body []byte, began time.Time, to *latencies) {
	status, _, err := f.send("POST", f.url+"/query", body)
	to.add(time.Since(began), err == nil && status == http.StatusOK)
}

// linked waits until all points are in the graph.
func (f *figureRig) linked(t *testing.T, n int) {
	began := time.Now()
	eventually(t, figureLinked, func() error {
		var info struct {
			Status  string
			Indexed int `json:"indexed_vectors_count"`
		}
		if err := json.Unmarshal(f.must("GET", "/collections/m", nil), &info); err != nil {
			return err
		}
		if info.Status != "green" || info.Indexed != n {
			return fmt.Errorf("status %s, %d indexed", info.Status, info.Indexed)
		}
		return nil
	})
	tell("all in the graph %.1f s after the last acknowledgement", time.Since(began).Seconds())
}

// recall compares some answers with exact ones.
func (f *figureRig) recall(t *testing.T) {
	const queries, k = 100, 10
	rng := rand.New(rand.NewPCG(4, 4))
	found := 0
	for range queries {
		var ids [2][]uint64
		vector := f.cloud.write(nil, rng)
		for i, exact := range []bool{false, true} {
			status, answer, err := f.send("POST", f.url+"/query", query(vector, exact))
			var body struct {
				Result struct{ Points []struct{ ID uint64 } }
			}
			if err != nil || status != http.StatusOK || json.Unmarshal(answer, &body) != nil {
				t.Fatalf("search: %d %s %v", status, answer, err)
			}
			for _, p := range body.Result.Points {
				ids[i] = append(ids[i], p.ID)
			}
		}
		for _, id := range ids[0] {
			if slices.Contains(ids[1], id) {
				found++
			}
		}
	}
	tell("recall@%d %.4f at the default width", k, float64(found)/queries/k)
}

// pauses loads the node with as many searches and writes as it can take and
// reads how long the collector stopped it.
func (f *figureRig) pauses(t *testing.T, n int) {
	rng := rand.New(rand.NewPCG(5, 5))
	again := f.requests(min(n, 20_000)) // the same points, at other places
	before := f.pauseBuckets(t)
	searches, stop := &latencies{}, make(chan struct{})
	time.AfterFunc(figureLoad, func() { close(stop) })
	loop := func(do func()) func() {
		return func() {
			for {
				select {
				case <-stop:
					return
				default:
					do()
				}
			}
		}
	}
	var all sync.WaitGroup
	for range figureClients {
		mine := rand.New(rand.NewPCG(rng.Uint64(), 5))
		all.Go(loop(func() { f.search(query(f.cloud.write(nil, mine), false), time.Now(), searches) }))
	}
	var next atomic.Int64
	all.Go(loop(func() { f.put(t, again[int(next.Add(1))%len(again)]) }))
	all.Wait()
	after := f.pauseBuckets(t)
	bounds := slices.Sorted(func(yield func(float64) bool) {
		for bound := range after {
			if !yield(bound) {
				return
			}
		}
	})
	total := after[math.Inf(1)] - before[math.Inf(1)]
	quantile := func(q float64) string {
		for _, bound := range bounds {
			if after[bound]-before[bound] >= q*total {
				return fmt.Sprintf("at most %.3f ms", bound*1000)
			}
		}
		return "none"
	}
	tell("%v of full load with %d points, %d replaced: collector's pauses p50 %s, p99 %s, p99.9 %s, %.0f of them; searches: %s",
		figureLoad, n, int(next.Load())*figureBatch, quantile(0.5), quantile(0.99), quantile(0.999), total, searches.all())
}

// pauseBuckets is how many pauses were as long as the bound at most.
func (f *figureRig) pauseBuckets(t *testing.T) map[float64]float64 {
	a := f.operator().callMain("GET", "/metrics", nil)
	buckets := map[float64]float64{}
	for line := range strings.Lines(string(a.body)) {
		rest, ok := strings.CutPrefix(line, `waggle_gc_pauses_seconds_bucket{le="`)
		bound, count, cut := strings.Cut(strings.TrimSpace(rest), `"} `)
		if !ok || !cut {
			continue
		}
		le, err := strconv.ParseFloat(bound, 64) // "+Inf" too
		n, err2 := strconv.ParseFloat(count, 64)
		if err != nil || err2 != nil {
			t.Fatalf("metrics: %q", line)
		}
		buckets[le] = n
	}
	if len(buckets) == 0 {
		t.Fatal("no waggle_gc_pauses_seconds among the metrics")
	}
	return buckets
}

// latencies is how long searches took, since the last take and in all.
type latencies struct {
	mu     sync.Mutex
	times  []time.Duration
	taken  int
	failed int
}

func (l *latencies) add(took time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok {
		l.failed++
		return
	}
	l.times = append(l.times, took)
}

func (l *latencies) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	some := slices.Clone(l.times[l.taken:])
	l.taken = len(l.times)
	return l.spread(some)
}

func (l *latencies) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spread(slices.Clone(l.times))
}

func (l *latencies) spread(times []time.Duration) string {
	if len(times) == 0 {
		return fmt.Sprintf("none, %d failed", l.failed)
	}
	slices.Sort(times)
	at := func(q float64) time.Duration {
		return times[min(int(q*float64(len(times))), len(times)-1)].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, worst %v of %d, %d failed", at(0.5), at(0.99), at(1), len(times), l.failed)
}

// cloud makes vectors around 100 centres in a subspace of 32 dimensions: text
// embeddings have about as many.
type cloud struct {
	axes, centres [][]float32
}

func newCloud(rng *rand.Rand) *cloud {
	rows := func(n, dim int) [][]float32 {
		all := make([][]float32, n)
		for i := range all {
			for range dim {
				all[i] = append(all[i], float32(rng.NormFloat64()))
			}
		}
		return all
	}
	return &cloud{axes: rows(32, figureDim), centres: rows(100, 32)}
}

// write adds a vector to a body, as JSON.
func (c *cloud) write(b []byte, rng *rand.Rand) []byte {
	var v [figureDim]float32
	centre := c.centres[rng.IntN(len(c.centres))]
	for a, axis := range c.axes {
		at := centre[a] + 0.5*float32(rng.NormFloat64())
		for j, x := range axis {
			v[j] += at * x
		}
	}
	for j, x := range v {
		b = append(b, "[,"[min(j, 1)])
		b = strconv.AppendFloat(b, float64(x), 'f', 3, 32)
	}
	return append(b, ']')
}

func query(vector []byte, exact bool) []byte {
	return fmt.Appendf(nil, `{"limit":10,"query":%s,"params":{"exact":%v}}`, vector, exact)
}

// requests is upserts of n points, whose ids are spread over all there are.
func (f *figureRig) requests(n int) [][]byte {
	rng := rand.New(rand.NewPCG(2, uint64(n)))
	step := *figurePoints / n
	out := make([][]byte, n/figureBatch)
	for i := range out {
		b := []byte(`{"points":[`)
		for j := range figureBatch {
			b = fmt.Appendf(b, `%s{"id":%d,"vector":`, ","[:min(j, 1)], (i*figureBatch+j)*step)
			b = append(f.cloud.write(b, rng), '}')
		}
		out[i] = append(b, `]}`...)
	}
	return out
}
