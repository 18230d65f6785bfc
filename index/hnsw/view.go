package hnsw

import (
	"context"
	"runtime"
	"slices"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/flat"
)

// view is a view of the vectors, and those of them that were not yet in the
// graph when it was taken.
type view struct {
	*flat.View
	index *Index
	tail  []uint32
}

// Search implements index.View. Recall is that of a graph, but what is found
// is as exact as ever: vectors of the view, at their distances, in order, and
// never fewer than there are.
func (v *view) Search(ctx context.Context, q *index.Query, dst []index.Hit) ([]index.Hit, error) {
	x := v.index
	k := min(q.K, v.Len())
	if k <= 0 || q.Exact || len(q.Vector) != x.dim || !x.worthWalking(q, v.Len()) {
		return v.View.Search(ctx, q, dst)
	}
	if v.Released() {
		panic("BUG: hnsw: search in a released view")
	}
	w := walkers.Get().(*walker)
	defer walkers.Put(w)
	defer runtime.KeepAlive(x) // its slabs are not the collector's
	dst, err := v.search(ctx, w, q, dst)
	if err != nil || len(dst) >= k {
		return dst, err
	}
	return v.View.Search(ctx, q, dst)
}

// worthWalking is the plan: whether a walk is cheaper than comparing all.
func (x *Index) worthWalking(q *index.Query, live int) bool {
	_, _, ok := x.entryPoint()
	return ok && x.width(q)*walkCost < live
}

// walkCost is roughly how many vectors a scan compares in the time a walk
// takes for one more of width.
var walkCost = 8

func (x *Index) width(q *index.Query) int {
	ef := q.Ef
	if ef <= 0 {
		ef = x.options.EfSearch
	}
	return max(ef, q.K)
}

// search looks in the tail, then in the graph: what is linked meanwhile is
// found at least once.
func (v *view) search(ctx context.Context, w *walker, q *index.Query, dst []index.Hit) ([]index.Hit, error) {
	x, j := v.index, &judge{v.View, q.Allow}
	w.begin(x, v.View)
	exact := w.aim(q.Vector) && !x.lossy.Load()
	rescored := q.K
	if !exact {
		rescored = min(x.width(q), 2*q.K+rescoreMore)
	}
	if err := v.searchTail(ctx, w, rescored, j); err != nil {
		return dst[:0], err
	}
	// As long as nothing in the graph is removed, what the walk meets is nearly
	// always in the view: asking once, at the end, will do.
	careful := q.Allow != nil || x.leaving.Load() > 0
	for {
		if err := v.searchGraph(ctx, w, x.width(q), j, careful); err != nil {
			return dst[:0], err
		}
		dst = v.rescore(w, q, rescored, j, dst)
		if careful || len(dst) == q.K {
			return dst, nil
		}
		careful = true
	}
}

// rescoreMore is how many candidates besides twice as many as are wanted are
// compared as floats.
const rescoreMore = 10

// searchTail compares what is not yet linked.
func (v *view) searchTail(ctx context.Context, w *walker, k int, j *judge) error {
	w.tail.reset(k)
	w.slots = w.slots[:0]
	m := w.memory
	for i, slot := range v.tail {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if slot < w.limit && !m.place(slot).is(linked) && j.accepts(slot) {
			w.slots = append(w.slots, slot)
		}
		if len(w.slots) == batchMax || i == len(v.tail)-1 {
			w.score(w.slots, w.distances)
			for n, s := range w.slots {
				if d := w.distances[n]; d < w.tail.limit {
					w.tail.offer(candidate{d, s})
				}
			}
			w.slots = w.slots[:0]
		}
	}
	return nil
}

func (v *view) searchGraph(ctx context.Context, w *walker, ef int, j *judge, careful bool) error {
	if !w.entered {
		w.pool.reset(ef)
		return nil
	}
	if !careful {
		j = nil
	}
	return w.walk(ctx, 0, ef, w.descend(w.entry, w.top, 0), j)
}

// rescore turns the nearest of tail and graph into hits at true distances.
func (v *view) rescore(w *walker, q *index.Query, most int, j *judge, dst []index.Hit) []index.Hit {
	w.slots = w.slots[:0]
	for _, p := range []*pool{&w.tail, &w.pool} {
		n := 0
		for _, c := range p.items {
			if n == most {
				break
			}
			if c.vertex&refused == 0 && j.accepts(c.slot()) {
				w.slots = append(w.slots, c.slot())
				n++
			}
		}
	}
	if len(w.distances) < len(w.slots) {
		w.distances = make([]float32, cap(w.slots))
	}
	w.vector = q.Vector
	w.scoreFloats(w.slots, w.distances)
	w.hits = w.hits[:0]
	for i, slot := range w.slots {
		label, _ := v.Label(slot)
		w.hits = append(w.hits, index.Hit{Label: label, Slot: slot, Distance: w.distances[i]})
	}
	slices.SortFunc(w.hits, index.Hit.Compare)
	w.hits = slices.CompactFunc(w.hits, func(a, b index.Hit) bool { return a.Slot == b.Slot })
	return append(dst[:0], w.hits[:min(len(w.hits), q.K)]...)
}
