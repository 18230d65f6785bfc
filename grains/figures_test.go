//go:build figures

package grains_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

var figurePoints = flag.Int("points", 1_000_000, "points of TestFiguresPauses")

// TestFiguresPauses is the collector's pauses over a minute in which a node
// with a million points does as much as it can: searches from as many
// goroutines as there are threads, and points replaced in batches. The load is
// made in the process, so that nothing but the node is on its cores.
func TestFiguresPauses(t *testing.T) {
	debug.SetGCPercent(300) // as `waggle serve` sets itself up
	runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	const dim, batch, writers = 128, 100, 4
	n := *figurePoints
	k := newKit(t, kitOptions{})
	k.create(t, "m", dim)
	cloud := newCloud(rand.New(rand.NewPCG(1, 1)), dim)
	write := func(i int, rng *rand.Rand) {
		points := make([]collection.Point, batch)
		for j := range points {
			points[j] = collection.Point{ID: collection.NumID(uint64(i*batch + j)), Vector: cloud.draw(rng)}
		}
		if err := k.upsert(context.Background(), "m", points...); err != nil {
			t.Error(err)
		}
	}
	var next atomic.Int64
	began := time.Now()
	var all sync.WaitGroup
	for w := range writers {
		rng := rand.New(rand.NewPCG(2, uint64(w)))
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n/batch; i = int(next.Add(1)) - 1 {
				write(i, rng)
			}
		})
	}
	all.Wait()
	tell("%d points in process: %.0f points/s", n, float64(n)/time.Since(began).Seconds())
	began = time.Now()
	for linked, look := false, time.Tick(100*time.Millisecond); !linked; <-look {
		info, err := k.client.GetCollection(context.Background(), k.tenant, "m")
		if err != nil {
			t.Fatal(err)
		}
		linked = info.Points == uint64(n) && !info.Building
	}
	tell("all in the graph %.1f s later", time.Since(began).Seconds())

	before, end := gcPauses(), time.Now().Add(time.Minute)
	var searched, replaced atomic.Int64
	for w := range runtime.GOMAXPROCS(0) {
		rng := rand.New(rand.NewPCG(3, uint64(w)))
		all.Go(func() {
			for time.Now().Before(end) {
				_, err := k.client.Query(context.Background(), k.tenant, "m", collection.Query{Nearest: &collection.Input{Dense: cloud.draw(rng)}, Limit: 10})
				if err != nil {
					t.Error(err)
					return
				}
				searched.Add(1)
			}
		})
	}
	all.Go(func() {
		rng := rand.New(rand.NewPCG(4, 4))
		for time.Now().Before(end) {
			write(rng.IntN(n/batch), rng)
			replaced.Add(batch)
		}
	})
	all.Wait()
	after := gcPauses()
	for i := range after.Counts {
		after.Counts[i] -= before.Counts[i]
	}
	tell("a minute of full load with %d points, %d searches, %d points replaced: collector's pauses p50 %s, p99 %s, p99.9 %s",
		n, searched.Load(), replaced.Load(), atMost(after, 0.5), atMost(after, 0.99), atMost(after, 0.999))
}

func gcPauses() *metrics.Float64Histogram {
	read := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(read)
	h := read[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: h.Buckets}
}

func atMost(h *metrics.Float64Histogram, q float64) string {
	var total, so uint64
	for _, c := range h.Counts {
		total += c
	}
	for i, c := range h.Counts {
		if so += c; float64(so) >= math.Ceil(q*float64(total)) {
			return fmt.Sprintf("at most %.3f ms of %d", h.Buckets[i+1]*1000, total)
		}
	}
	return "none"
}

func tell(format string, args ...any) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("figure: %s [load %s]\n", fmt.Sprintf(format, args...), strings.Join(strings.Fields(string(load))[:1], ""))
}

// cloud makes vectors around 100 centres in a subspace of 32 dimensions.
type cloud struct {
	dim           int
	axes, centres [][]float32
}

func newCloud(rng *rand.Rand, dim int) *cloud {
	rows := func(n, dim int) [][]float32 {
		all := make([][]float32, n)
		for i := range all {
			for range dim {
				all[i] = append(all[i], float32(rng.NormFloat64()))
			}
		}
		return all
	}
	return &cloud{dim: dim, axes: rows(32, dim), centres: rows(100, 32)}
}

func (c *cloud) draw(rng *rand.Rand) []float32 {
	v := make([]float32, c.dim)
	centre := c.centres[rng.IntN(len(c.centres))]
	for a, axis := range c.axes {
		at := centre[a] + 0.5*float32(rng.NormFloat64())
		for j, x := range axis {
			v[j] += at * x
		}
	}
	return v
}
