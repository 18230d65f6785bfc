package sparse

import (
	"cmp"
	"math"
	"slices"

	"github.com/hivehub/waggle/index"
)

// best keeps the k best hits offered. Until there are k they lie as they came,
// from then on as a heap with the worst on top.
type best struct {
	k    int
	hits []index.Hit
	// floor is less than any score that can still get in, by more than what
	// float32 rounds off.
	floor float64
}

func newBest(k int, dst []index.Hit) best {
	return best{k: k, hits: dst[:0], floor: math.Inf(-1)}
}

// offer takes a hit of a finite score.
func (b *best) offer(label uint64, slot uint32, score float64) {
	score = min(max(score, -math.MaxFloat32), math.MaxFloat32)
	h := index.Hit{Label: label, Slot: slot, Distance: -float32(score)}
	if len(b.hits) < b.k {
		b.hits = append(b.hits, h)
		if len(b.hits) < b.k {
			return
		}
		for i := b.k/2 - 1; i >= 0; i-- {
			b.sink(i)
		}
	} else {
		if compare(h, b.hits[0]) >= 0 {
			return
		}
		b.hits[0] = h
		b.sink(0)
	}
	worst := -float64(b.hits[0].Distance)
	b.floor = worst - math.Abs(worst)*1e-6
}

// sink moves the hit at i down to its place in the heap.
func (b *best) sink(i int) {
	hits := b.hits
	h := hits[i]
	for {
		child := 2*i + 1
		if child >= len(hits) {
			break
		}
		if right := child + 1; right < len(hits) && compare(hits[right], hits[child]) > 0 {
			child = right
		}
		if compare(hits[child], h) <= 0 {
			break
		}
		hits[i] = hits[child]
		i = child
	}
	hits[i] = h
}

// sorted ends the search: the hits, best first.
func (b *best) sorted() []index.Hit {
	slices.SortFunc(b.hits, compare)
	return b.hits
}

func compare(a, b index.Hit) int {
	switch {
	case a.Distance < b.Distance:
		return -1
	case a.Distance > b.Distance:
		return 1
	default:
		return cmp.Compare(a.Label, b.Label)
	}
}
