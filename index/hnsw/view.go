package hnsw

import (
	"context"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sort"

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
	m := x.memory.Load()
	if q.Exact || !m.ready || len(q.Vector) != x.dim {
		return v.View.Search(ctx, q, dst)
	}
	if v.Released() {
		panic("BUG: hnsw: search in a released view")
	}
	s := search{view: v, query: q, k: min(q.K, v.Len()), walker: walkers.Get().(*walker)}
	defer walkers.Put(s.walker)
	defer runtime.KeepAlive(x) // its slabs are not the collector's
	if s.k <= 0 {
		q.Compared = 0
		return dst[:0], nil
	}
	hits, err := s.run(ctx, dst)
	q.Compared = s.compared
	return hits, err
}

// search is one search of a view. It lives on the searcher's stack.
type search struct {
	*walker
	view  *view
	query *index.Query
	k     int
	ef    int
	exact bool // distances walked on are true: of floats, or of codes that lose nothing
	blur  float32
	near  float32 // what a scan finds farther than this is not in the answer
}

// spare is how many candidates besides k a scan keeps, as their true distances
// may be in another order than their codes'.
const spare = 200

// sampled is the share of a scan, one in so many, after which it is decided
// whether to go on.
const sampled = 16

func (s *search) run(ctx context.Context, dst []index.Hit) ([]index.Hit, error) {
	x, v := s.view.index, s.view
	s.begin(x, v.View)
	if s.exact = s.aim(s.query.Vector) && !x.lossy.Load(); !s.exact {
		s.blur = s.memory.scalar.Blur(&s.code)
	}
	if s.ef = s.query.Ef; s.ef <= 0 {
		s.ef = x.options.EfSearch
	}
	s.ef = max(s.ef, s.k)
	matches := v.Len()
	if s.query.Allow != nil {
		matches = min(matches, ones(s.query.Allow))
	}
	if way := x.plan(v.Len(), matches, s.ef); way != byScan && s.entered {
		done, err := s.walkGraph(ctx, way, matches)
		if err != nil {
			return dst[:0], err
		}
		if done {
			return append(dst[:0], s.hits...), nil
		}
	}
	done, err := s.scan(ctx, matches)
	if err != nil {
		return dst[:0], err
	}
	if done {
		sure, err := s.rescore()
		if err != nil {
			return dst[:0], err
		}
		if sure {
			return append(dst[:0], s.hits...), nil
		}
	}
	s.compared += matches
	return v.View.Search(ctx, s.query, dst) // too many are too much alike
}

// walkGraph looks in the tail, then in the graph: what is linked meanwhile is
// found at least once. It reports whether it found as many as are wanted, and
// gives up when there are so few matches where it looks that comparing all of
// them is the shorter way.
func (s *search) walkGraph(ctx context.Context, way way, matches int) (done bool, err error) {
	j := &judge{s.view.View, s.query.Allow}
	if s.query.Linked {
		s.beginScan()
	} else if err := s.scanTail(ctx, j); err != nil {
		return false, err
	}
	from := s.descend(s.walker.entry, s.top, 0)
	if (way == byHops || s.query.Allow != nil && s.rare(from, matches)) && !s.common(from, matches) {
		return false, nil
	}
	// What the walk meets is nearly always in the view: asking once, at the end,
	// will do, if the walk is wider by what is removed.
	careful, width := s.query.Allow != nil, s.ef
	leaving := int(s.view.index.leaving.Load())
	if !careful && leaving > 0 {
		width += 1 + min(s.ef, s.ef*leaving/max(s.view.Len(), 1))
	}
	for {
		asked := j
		if !careful {
			asked = nil
		}
		s.budget = budget(way, s.view.Len(), matches, s.ef)
		s.patience = patience(s.view.Len(), matches, s.ef)
		s.hopping = way == byHops
		if err := s.walk(ctx, 0, width, from, asked); err != nil || s.budget < 0 {
			return false, err
		}
		if !careful && leaving > 0 && s.staying(j) < max(s.k, s.ef*7/8) { // many are removed just here
			careful, width = true, s.ef
			continue
		}
		if _, err := s.rescore(); err != nil || len(s.hits) == s.k || careful {
			return len(s.hits) == s.k, err
		}
		careful = true
	}
}

// staying is how many that the walk found are in the view.
func (s *search) staying(j *judge) int {
	n := 0
	for _, c := range s.pool.items {
		if j.accepts(c.slot()) {
			n++
		}
	}
	return n
}

// rare reports whether none of a vertex's neighbours matches, although several
// should.
func (s *search) rare(at uint32, matches int) bool {
	of := 0
	for slot := range links(s.memory.list(at, 0)) {
		if allowed(s.query.Allow, slot) {
			return false
		}
		of++
	}
	return of*matches >= 3*s.view.Len()
}

// common reports whether matches are about as common around a vertex as they
// are everywhere. Where they are not, the nearest matches are all around and
// far away, and hops lead to some of them only.
func (s *search) common(at uint32, matches int) bool {
	around, of := 0, 0
	for over := range links(s.memory.list(at, 0)) {
		if over >= s.limit {
			continue
		}
		for slot := range links(s.memory.list(over, 0)) {
			of++
			if allowed(s.query.Allow, slot) {
				around++
			}
		}
	}
	return 3*around*s.view.Len() >= of*matches
}

// scan compares all that may be in the answer, on codes. It reports whether it
// went to the end: where a share of them already says that too many will have to
// be rescored, the rest has no use.
func (s *search) scan(ctx context.Context, matches int) (done bool, err error) {
	s.beginScan()
	s.pool.reset(0)
	left := matches / sampled
	for first := uint32(0); first < s.view.Slots(); first += 64 {
		if first%checkEvery == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		wanted := word(s.query.Allow, first)
		if wanted != 0 {
			wanted &= s.view.Visible(first)
		}
		for ; wanted != 0; wanted &= wanted - 1 {
			s.slots = append(s.slots, first+uint32(bits.TrailingZeros64(wanted)))
		}
		if len(s.slots) < batchMax {
			continue
		}
		before := left
		left -= len(s.slots)
		s.compare()
		if before > 0 && left <= 0 && matches >= sampled*batchMax && s.alike() {
			return false, nil
		}
	}
	s.compare()
	return true, nil
}

// alike reports whether more candidates may be as near as the k-th, as far as
// their codes tell, than are kept: judged by those of a share of all, and with
// room for their being few by chance.
func (s *search) alike() bool {
	near := s.tail.items
	if s.exact || s.memory.scalar == nil || len(near) <= s.k/sampled {
		return false
	}
	reach := s.reach(near[s.k/sampled].distance)
	n := sort.Search(len(near), func(i int) bool { return near[i].distance > reach })
	return n*sampled > (s.k+spare)/2
}

// reach is how far, as distances are walked on, one may be that is as near as
// one at the distance given.
func (s *search) reach(to float32) float32 {
	if s.exact {
		return to
	}
	return s.memory.scalar.Reach(s.blur, to)
}

// rescore turns the nearest of tail and graph into hits at true distances. It
// reports whether the tail kept all that may be among them.
func (s *search) rescore() (sure bool, err error) {
	reach := s.collect()
	if !s.exact {
		s.slots = s.slots[:0]
		for _, h := range s.hits {
			s.slots = append(s.slots, h.Slot)
		}
		s.vector = s.query.Vector
		distances, err := s.measureFloats(s.view.View)
		if err != nil {
			return false, err
		}
		for i, d := range distances {
			s.hits[i].Distance = d
		}
	}
	slices.SortFunc(s.hits, index.Hit.Compare)
	s.hits = slices.CompactFunc(s.hits, func(a, b index.Hit) bool { return a.Slot == b.Slot })
	s.hits = s.hits[:min(len(s.hits), s.k)]
	return reach < s.tail.limit || math.IsInf(float64(s.tail.limit), 1), nil
}

// collect makes hits, at the distances walked on, of the candidates that may
// be among the k nearest, and returns the distance up to which they may.
func (s *search) collect() (reach float32) {
	j := judge{s.view.View, s.query.Allow}
	reach = float32(math.Inf(1))
	s.hits = s.hits[:0]
	for a, b := s.tail.items, s.pool.items; len(a)+len(b) > 0; {
		next := &a
		if len(a) == 0 || len(b) > 0 && b[0].distance < a[0].distance {
			next = &b
		}
		c := (*next)[0]
		*next = (*next)[1:]
		if c.distance > reach {
			break
		}
		if c.vertex&refused != 0 || !j.accepts(c.slot()) {
			continue
		}
		label, _ := s.view.Label(c.slot())
		s.hits = append(s.hits, index.Hit{Label: label, Slot: c.slot(), Distance: c.distance})
		if len(s.hits) == s.k {
			reach = s.reach(c.distance)
		}
	}
	return reach
}
