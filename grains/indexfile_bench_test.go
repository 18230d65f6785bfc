package grains_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
)

// BenchmarkCold is the first answer after a start: the graph comes from its
// file and the vectors from the store, neither of them in the page cache where
// the benchmark may drop it (it runs as root).
func BenchmarkCold(b *testing.B) {
	for _, size := range []struct{ n, dim int }{{10_000, 768}, {60_000, 784}} {
		b.Run(fmt.Sprintf("%dx%d", size.n, size.dim), func(b *testing.B) {
			c := newFirstAnswers(b, size.n, size.dim)
			for b.Loop() {
				b.StopTimer()
				c.measure(b, true)
				b.StartTimer()
			}
			c.report(b)
		})
	}
}

// BenchmarkFirstAnswer is BenchmarkCold over 50 starts each time, for its p99,
// and the same with everything in the page cache.
func BenchmarkFirstAnswer(b *testing.B) {
	for _, cold := range []bool{true, false} {
		b.Run(fmt.Sprintf("cold=%t", cold), func(b *testing.B) {
			c := newFirstAnswers(b, 10_000, 768)
			for b.Loop() {
				for range 50 {
					c.measure(b, cold)
				}
			}
			c.report(b)
		})
	}
}

// firstAnswers is a directory with a collection, and how long first answers
// from it took.
type firstAnswers struct {
	dir   string
	query collection.Query
	took  []time.Duration
	cold  float64
}

func newFirstAnswers(b *testing.B, n, dim int) *firstAnswers {
	c := &firstAnswers{dir: b.TempDir(), cold: 1}
	k := kitOn(b, c.dir)
	k.create(b, "g", dim)
	rng := rand.New(rand.NewPCG(1, 2))
	k.fill(b, "g", 0, n, func() []float32 { return clustered(rng, rng.IntN(40), dim) })
	c.query = collection.Query{Nearest: &collection.Input{Dense: clustered(rng, 0, dim)}, Limit: 10}
	k.built(b, "g", c.query)
	k.stopClient()
	k.Stop()
	return c
}

// measure starts a node and asks it once.
func (c *firstAnswers) measure(b *testing.B, cold bool) {
	k := kitOn(b, c.dir)
	<-time.After(300 * time.Millisecond) // the node log makes its segments ready
	if !cold || os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) != nil {
		c.cold = 0
	}
	begun := time.Now()
	if _, err := k.client.Query(b.Context(), k.tenant, "g", c.query); err != nil {
		b.Fatal(err)
	}
	c.took = append(c.took, time.Since(begun))
	if n := k.client.Waiting(); n > 0 {
		b.Errorf("%d vectors wait for the graph", n)
	}
	k.stopClient()
	k.Stop()
}

func (c *firstAnswers) report(b *testing.B) {
	slices.Sort(c.took)
	n := len(c.took)
	b.ReportMetric(c.took[n/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(c.took[(99*n+99)/100-1].Seconds()*1000, "p99-ms")
	b.ReportMetric(c.took[n-1].Seconds()*1000, "max-ms")
	b.ReportMetric(c.cold, "cold")
	b.ReportMetric(0, "ns/op") // of the whole, with starting and stopping: of no interest
}

// kitOn is a node that keeps graphs in files, in a directory that stays.
func kitOn(t testing.TB, dir string) *kit {
	return newKit(t, kitOptions{
		actors: actorstest.Options{Dir: dir},
		grains: grains.Options{IndexDir: filepath.Join(dir, "index"), Builders: 2},
	})
}

// fill writes points with the ids from up to to.
func (k *kit) fill(t testing.TB, name string, from, to int, vector func() []float32) {
	t.Helper()
	for from < to {
		var batch []collection.Point
		for ; from < to && len(batch) < 500; from++ {
			batch = append(batch, collection.Point{ID: collection.NumID(uint64(from)), Vector: vector()})
		}
		if err := k.upsert(t.Context(), name, batch...); err != nil {
			t.Fatal(err)
		}
	}
}

// built activates a collection and waits until all of it is in the graph.
func (k *kit) built(t testing.TB, name string, q collection.Query) {
	t.Helper()
	for first := true; first || k.client.Waiting() > 0; first = false {
		if _, err := k.client.Query(t.Context(), k.tenant, name, q); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// newStillKit is kitOn without builders: what waits for them stays so.
func newStillKit(t testing.TB, dir string) *kit {
	return newKit(t, kitOptions{
		actors: actorstest.Options{Dir: dir},
		grains: grains.Options{IndexDir: filepath.Join(dir, "index"), Builders: -1},
	})
}
