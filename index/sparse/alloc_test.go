//go:build !race

package sparse

import (
	"context"
	"testing"

	"github.com/hivehub/waggle/index"
)

// The race detector makes pools forget at random; hence not under it.
func TestSearchAllocatesNothing(t *testing.T) {
	v := filled(t, 20_000)
	defer v.Release()
	c := newCorpus(7)
	q := c.query(false)
	q.K = 100
	filter := *q
	filter.Allow = allowPart(c.r, int(v.Slots()), 0.01)
	dst := make([]index.Hit, 0, q.K)
	if n := testing.AllocsPerRun(50, func() {
		for _, q := range []*Query{q, &filter} {
			if hits, err := v.Search(context.Background(), q, dst); err != nil || len(hits) == 0 {
				t.Fatalf("%d hits, %v", len(hits), err)
			}
		}
	}); n >= 1 { // a garbage collection may empty the pool once
		t.Errorf("%g allocations in two searches", n)
	}
}
