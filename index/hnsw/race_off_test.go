//go:build !race

package hnsw

import (
	"context"
	"testing"

	"github.com/hivehub/waggle/index"
)

// slow makes the large tests smaller under the race detector.
const slow = 1

// Searches of an index whose vectors are outside allocate nothing either.
func TestOutsideSearchAllocatesNothing(t *testing.T) {
	const n, dim = 1500, 32
	vectors := lossy(n+1, dim)
	x := New(dim, index.L2, outside(t, Options{}))
	fill(t, x, vectors[:n])
	buildAll(x, 1)
	v := x.View()
	defer v.Release()
	for _, exact := range []bool{false, true} {
		q, hits := index.Query{Vector: vectors[n], K: 10, Exact: exact}, make([]index.Hit, 0, 10)
		if got := testing.AllocsPerRun(50, func() { hits, _ = v.Search(context.Background(), &q, hits) }); got != 0 {
			t.Errorf("exact %v: %g allocations in a search", exact, got)
		}
	}
}
