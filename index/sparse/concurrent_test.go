package sparse

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/index"
)

// Documents are replaced under readers. A document's label determines its
// value, all have the term 0, and one Publish replaces two: every view has
// all documents once, with the labels of one moment, and keeps them.
func TestViewsBesideTheWriter(t *testing.T) {
	const n, rounds = 600, 1500
	x := New(Scoring{Kind: Dot})
	put := func(point, version int) uint32 {
		label := uint64(point)<<32 | uint64(version)
		return mustAdd(t, x, label, Document{Vector: Vector{
			[]uint64{0, 1 + uint64(version%7), uint64(100 + point)}, []float32{float32(label%1009) + 1, 1, 1},
		}})
	}
	slots := make([]uint32, n)
	for point := range slots {
		slots[point] = put(point, 0)
	}
	x.Publish()
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				v := x.View()
				first, err := roundOf(v, n)
				again, err2 := roundOf(v, n)
				v.Release()
				if err != nil || err2 != nil || first != again {
					t.Errorf("a view of round %d, then %d: %v, %v", first, again, err, err2)
					return
				}
			}
		})
	}
	for i := range rounds {
		for _, point := range []int{i % n, (i + n/2) % n} {
			x.Remove(slots[point])
			slots[point] = put(point, i+1)
		}
		x.Publish()
	}
	done.Store(true)
	readers.Wait()
}

// roundOf checks that a view's documents are those after one round, and returns
// it.
func roundOf(v *View, n int) (int, error) {
	q := Query{Vector: Vector{[]uint64{0}, []float32{1}}, K: n + 1}
	hits, err := v.Search(context.Background(), &q, make([]index.Hit, 0, n+1))
	if err != nil || len(hits) != n {
		return 0, fmt.Errorf("%d hits, %w", len(hits), err)
	}
	seen := make([]bool, n)
	latest := 0
	for _, h := range hits {
		point, version := int(h.Label>>32), int(uint32(h.Label))
		if seen[point] || h.Distance != -(float32(h.Label%1009)+1) {
			return 0, fmt.Errorf("hit %+v, again or of another label", h)
		}
		seen[point] = true
		latest = max(latest, version)
		if label, ok := v.Label(h.Slot); !ok || label != h.Label {
			return 0, fmt.Errorf("label %d, %v for hit %+v", label, ok, h)
		}
	}
	for _, h := range hits { // the version of each point at the latest round
		point, version := int(h.Label>>32), int(uint32(h.Label))
		want := 0
		for _, first := range []int{point + 1, (point+n/2)%n + 1} {
			if first <= latest {
				want = max(want, first+(latest-first)/n*n)
			}
		}
		if version != want {
			return 0, fmt.Errorf("point %d has version %d at round %d, want %d", point, version, latest, want)
		}
	}
	return latest, nil
}
