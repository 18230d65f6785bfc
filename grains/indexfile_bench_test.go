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
			dir := b.TempDir()
			k := kitOn(b, dir)
			k.create(b, "g", size.dim)
			rng := rand.New(rand.NewPCG(1, 2))
			k.fill(b, "g", 0, size.n, func() []float32 { return clustered(rng, rng.IntN(40), size.dim) })
			query := collection.Query{Nearest: &collection.Input{Dense: clustered(rng, 0, size.dim)}, Limit: 10}
			k.built(b, "g", query)
			k.stopClient()
			k.Stop()
			var took []time.Duration
			cold := 1.0
			for b.Loop() {
				b.StopTimer()
				k := kitOn(b, dir)
				<-time.After(300 * time.Millisecond) // the node log makes its segments ready
				if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
					cold = 0
				}
				b.StartTimer()
				begun := time.Now()
				if _, err := k.client.Query(b.Context(), k.tenant, "g", query); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
				b.StopTimer()
				if n := k.client.Waiting(); n > 0 {
					b.Errorf("%d vectors wait for the graph", n)
				}
				k.stopClient()
				k.Stop()
				b.StartTimer()
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
			b.ReportMetric(cold, "cold")
		})
	}
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
