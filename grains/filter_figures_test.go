//go:build figures

package grains

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

// BenchmarkFilterOfAMillion is queries with a filter over a keyword of which
// some in 1,000 points have the value, in a collection of a million points.
func BenchmarkFilterOfAMillion(b *testing.B) {
	const n, dim, queries = 1_000_000, 32, 200
	shares := []int{1, 10, 100, 500, 1000}
	rng := rand.New(rand.NewPCG(1, 2))
	l := liveOf(dim)
	for from := 0; from < n; from += 1000 {
		batch := make([]collection.Point, 1000)
		for i := range batch {
			p, draw := collection.Payload{}, rng.IntN(1000)
			for _, share := range shares {
				p[fmt.Sprint("k", share)] = map[bool]string{true: "yes", false: "no"}[draw < share]
			}
			batch[i] = collection.Point{ID: collection.NumID(uint64(from + i)), Vector: clustered(rng, dim), Payload: p}
		}
		l.put(b, uint64(from+1), nil, batch...)
	}
	begun := time.Now()
	l.build()
	b.Logf("built in %v", time.Since(begun))
	for _, share := range shares {
		f := mustFilter(b, fmt.Sprintf(`{"must":{"key":"k%d","match":{"value":"yes"}}}`, share))
		b.Run(fmt.Sprintf("%d", share), func(b *testing.B) {
			for b.Loop() {
				times := make([]time.Duration, queries)
				found, wanted := 0, 0
				for i := range times {
					vector := clustered(rng, dim)
					q := &collection.Query{Filter: f, Limit: 10}
					at := time.Now()
					hits, err := l.search(b.Context(), q, vector)
					if times[i] = time.Since(at); err != nil {
						b.Fatal(err)
					}
					if i%10 > 0 {
						continue
					}
					q.Params.Exact = true
					truth, err := l.search(b.Context(), q, vector)
					if err != nil {
						b.Fatal(err)
					}
					for _, h := range hits {
						if slices.ContainsFunc(truth, func(w collection.Hit) bool { return w.ID == h.ID }) {
							found++
						}
					}
					wanted += len(truth)
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[queries/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(times[queries*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(float64(found)/float64(wanted), "recall")
			}
		})
	}
}
