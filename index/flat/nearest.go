package flat

import (
	"math"
	"slices"

	"github.com/hivehub/waggle/index"
)

// nearest keeps the k nearest hits offered. Until there are k they lie as
// they came, from then on as a heap with the farthest on top.
type nearest struct {
	k     int
	limit float32 // no hit farther than this is kept
	hits  []index.Hit
}

func newNearest(k int, dst []index.Hit) nearest {
	return nearest{k: k, limit: float32(math.Inf(1)), hits: dst[:0]}
}

func (n *nearest) offer(h index.Hit) {
	if math.IsNaN(float64(h.Distance)) {
		h.Distance = float32(math.Inf(1))
	}
	if len(n.hits) < n.k {
		n.hits = append(n.hits, h)
		if len(n.hits) == n.k {
			for i := n.k/2 - 1; i >= 0; i-- {
				n.sink(i)
			}
			n.limit = n.hits[0].Distance
		}
		return
	}
	if h.Compare(n.hits[0]) < 0 {
		n.hits[0] = h
		n.sink(0)
		n.limit = n.hits[0].Distance
	}
}

// sink moves the hit at i down to its place in the heap.
func (n *nearest) sink(i int) {
	hits := n.hits
	h := hits[i]
	for {
		child := 2*i + 1
		if child >= len(hits) {
			break
		}
		if right := child + 1; right < len(hits) && hits[right].Compare(hits[child]) > 0 {
			child = right
		}
		if hits[child].Compare(h) <= 0 {
			break
		}
		hits[i] = hits[child]
		i = child
	}
	hits[i] = h
}

// sorted ends the search: the hits, nearest first.
func (n *nearest) sorted() []index.Hit {
	slices.SortFunc(n.hits, index.Hit.Compare)
	return n.hits
}
