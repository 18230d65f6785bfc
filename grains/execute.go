package grains

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/fusion"
	"github.com/hivehub/waggle/index/sparse"
	"github.com/hivehub/waggle/persistence/tally"
)

// execution is the work on one query, or on another read of an index: all of it
// is done on one state of the collection.
type execution struct {
	live    *liveIndex
	views   []tableView // by table; nothing where it is not needed
	newest  uint64      // liveIndex.newest as of the views of several tables
	exclude []collection.PointID
	filters []evaluated
	asked   index.Query // room for a question
	found   []index.Hit // and for what an index finds
	terms   []uint64    // room for the terms of a sparse query
	counts  []float32   // and for how often they are in that of a text
	cost    tally.Counts
}

// evaluated is a filter and what it lets pass in a table.
type evaluated struct {
	filter   *collection.Filter
	table    int
	selected collection.Selected
}

// scored is a point that was found: its version, its place in a table, and its
// score in the words of answers.
type scored struct {
	label uint64
	slot  uint32
	table uint32
	score float32
}

// executions keep the room of those that ended.
var executions = sync.Pool{New: func() any { return new(execution) }}

// execution returns one without views.
func (l *liveIndex) execution() *execution {
	x := executions.Get().(*execution)
	x.live = l
	for range l.tables {
		x.views = append(x.views, tableView{})
	}
	return x
}

// execute begins to work on views of some tables, all of one state. One view is
// taken without a lock.
func (l *liveIndex) execute(need *tableSet) (*execution, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	x := l.execution()
	only, several := -1, false
	for n := range l.tables {
		if need.has(n) {
			several = only >= 0
			only = n
		}
		if several {
			break
		}
	}
	if !several && only >= 0 {
		x.views[only] = l.tables[only].view()
		return x, nil
	}
	x.takeTogether(need)
	return x, nil
}

// takeTogether takes views between two entries.
func (x *execution) takeTogether(need *tableSet) {
	l := x.live
	l.mu.Lock()
	defer l.mu.Unlock()
	for n, t := range l.tables {
		if need.has(n) {
			x.views[n] = t.view()
		}
	}
	x.newest = l.newest
}

// survey begins to work on all points, if the index is one that follows the
// partition and knows the payloads, or there are few: else it is nil, and the
// payloads are indexed for the next time.
func (l *liveIndex) survey() *execution {
	var all tableSet
	for n := range l.tables {
		all.add(n)
	}
	x := l.execution()
	x.takeTogether(&all)
	known := l.follows() // asked after the views were taken
	for _, t := range l.points() {
		if v := &x.views[t.number]; v.payloads == nil && v.slots().Len() >= payloadsMin {
			t.wantPayloads()
			known = false
		}
	}
	if !known {
		x.end()
		return nil
	}
	return x
}

// end releases the views. Nothing that the execution gave may be in use.
func (x *execution) end() {
	for i := range x.views {
		x.views[i].release()
	}
	clear(x.filters)
	x.live, x.exclude, x.newest, x.asked, x.cost = nil, nil, 0, index.Query{}, tally.Counts{}
	x.views, x.filters, x.found = x.views[:0], x.filters[:0], x.found[:0]
	executions.Put(x)
}

// query answers a query.
func (l *liveIndex) query(ctx context.Context, p *planned) ([]collection.Hit, error) {
	x, err := l.execute(&p.need)
	if err != nil {
		return nil, err
	}
	defer x.end()
	x.exclude = p.exclude
	defer func() { p.cost = x.cost }() // before it ends
	found, err := x.run(ctx, &p.plan, nil, p.query.Limit+p.query.Offset)
	if err != nil {
		return nil, err
	}
	return x.hits(p.query, found[min(p.query.Offset, len(found)):])
}

// run returns the k best of a part of a query, best first. outer is what the
// query that it is a prefetch of lets pass: nothing else may be in its answer,
// so that no prefetch brings it.
func (x *execution) run(ctx context.Context, p *plan, outer *collection.Filter, k int) ([]scored, error) {
	q := p.query
	f := both(outer, q.Filter)
	sources := make([][]scored, len(p.prefetch))
	for i := range p.prefetch {
		var err error
		if sources[i], err = x.run(ctx, &p.prefetch[i], f, p.prefetch[i].query.Limit); err != nil {
			return nil, err
		}
	}
	if q.Fusion != nil {
		return x.fuse(p, sources, k)
	}
	if p.table < 0 {
		return x.first(ctx, f, nil, k)
	}
	wanted := k
	if q.MMR != nil {
		if wanted = q.MMR.Candidates; wanted == 0 {
			wanted = q.Limit
		}
	}
	var found []scored
	var err error
	if len(p.prefetch) == 0 {
		found, err = x.nearest(ctx, p, f, wanted)
	} else {
		found, err = x.rescore(ctx, p, sources, wanted)
	}
	if err != nil || q.MMR == nil {
		return found, err
	}
	return x.diverse(ctx, p, found, k)
}

// both is a filter that passes what two pass.
func both(a, b *collection.Filter) *collection.Filter {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &collection.Filter{Must: []collection.Condition{a, b}}
}

// selected evaluates a filter in a table, once.
func (x *execution) selected(ctx context.Context, table int, f *collection.Filter) (collection.Selected, error) {
	for i := range x.filters {
		if e := &x.filters[i]; e.filter == f && e.table == table {
			return e.selected, nil
		}
	}
	s, err := x.live.tables[table].allowed(ctx, &x.views[table], f)
	if err == nil && f != nil {
		x.filters = append(x.filters, evaluated{f, table, s})
	}
	return s, err
}

// nearest searches for the k nearest points that a filter lets pass.
func (x *execution) nearest(ctx context.Context, p *plan, f *collection.Filter, k int) ([]scored, error) {
	s, err := x.selected(ctx, p.table, f)
	if err != nil {
		return nil, err
	}
	return x.search(ctx, p, s.Slots, p.query.Params.Exact, k)
}

// search compares. What is named in the query is found like everything else and
// then left out, so so many more are asked for.
func (x *execution) search(ctx context.Context, p *plan, allow []uint64, exact bool, k int) ([]scored, error) {
	v := &x.views[p.table]
	asked := min(k+len(x.exclude), v.slots().Len())
	var err error
	switch {
	case v.dense != nil:
		x.asked = index.Query{
			Vector: p.input.Dense, K: asked, Ef: p.width(asked), Exact: exact, Linked: p.query.Params.IndexedOnly, Allow: allow,
		}
		x.found, err = v.dense.Search(ctx, &x.asked, x.found)
		x.cost.Scanned += uint64(x.asked.Compared)
	default:
		q := sparse.Query{K: asked, Allow: allow}
		if t := p.input.Terms; t != nil {
			x.counts = appendCounts(x.counts[:0], t.Counts)
			q.Vector = sparse.Vector{Terms: t.Terms, Values: x.counts}
		} else {
			x.terms = appendTerms(x.terms[:0], p.input.Sparse.Indices)
			q.Vector = sparse.Vector{Terms: x.terms, Values: p.input.Sparse.Values}
		}
		x.found, err = v.sparse.Search(ctx, &q, x.found)
		x.cost.Scanned += uint64(q.Compared)
	}
	if err != nil {
		return nil, indexError(err)
	}
	out := make([]scored, 0, min(k, len(x.found)))
	threshold := p.query.ScoreThreshold
	for _, h := range x.found {
		score := collection.Score(p.distance, h.Distance)
		if len(out) == k || threshold != nil && !p.distance.Passes(score, *threshold) {
			break // nearest first: nothing after it passes either
		}
		if x.excluded(x.live.tables[p.table].row(h.Slot).id) {
			continue
		}
		out = append(out, scored{label: h.Label, slot: h.Slot, table: uint32(p.table), score: score})
	}
	return out, nil
}

func (x *execution) excluded(id collection.PointID) bool {
	return len(x.exclude) > 0 && slices.Contains(x.exclude, id)
}

// width is how wide a graph is searched for k hits; 0: as it is by default.
//
// The graph is walked on codes of one byte a value, and what may be among the k
// nearest is compared once more as floats: rescoring is never off. Oversampling
// has so many more of the best be compared. Ignoring the codes is not possible
// in a graph; twice the width makes up for what they may hide.
func (p *plan) width(k int) int {
	params := &p.query.Params
	ef := params.Ef
	if o := params.Quantization.Oversampling; o > 1 {
		ef = max(ef, efSearchDefault, int(min(o*float64(k), oversampledMax)))
	}
	if params.Quantization.Ignore {
		ef = 2 * max(ef, efSearchDefault, k)
	}
	return ef
}

// oversampledMax bounds the width that oversampling asks for.
const oversampledMax = 20_000

// rescore compares what the sources found, and nothing else, with the plan's
// vector. Points without that vector go.
func (x *execution) rescore(ctx context.Context, p *plan, sources [][]scored, k int) ([]scored, error) {
	allow := make([]uint64, (int(x.views[p.table].slots().Slots())+63)/64)
	for _, list := range sources {
		for _, s := range list {
			if slot := x.slotIn(p.table, s); slot != noSlot {
				allow[slot/64] |= 1 << (slot % 64)
			}
		}
	}
	return x.search(ctx, p, allow, true, k)
}

// slotIn is where a point is in a table, noSlot where it is not.
func (x *execution) slotIn(table int, s scored) uint32 {
	if int(s.table) == table {
		return s.slot
	}
	if spread := x.live.tables[s.table].row(s.slot).spread; spread != nil {
		return spread.slots[table]
	}
	return noSlot
}

// fusedBy makes one list of several.
func fusedBy(f *collection.Fusion, lists [][]fusion.Hit) ([]fusion.Hit, error) {
	switch f.Kind {
	case collection.FusionDBSF:
		return fusion.DBSF(lists...), nil
	case collection.FusionWeighted:
		return fusion.Weighted(f.Weights, lists...)
	case collection.FusionAlpha:
		return fusion.Blend(f.Weights, lists...)
	}
	return fusion.RRF(f.K, f.Weights, lists...)
}

// fuse makes one list of those of the prefetches. Scores that are the better
// the smaller they are count as negative ones; where scores are added as they are
// a negative one would be worse than none, so there a distance d counts 1/(1+d).
func (x *execution) fuse(p *plan, sources [][]scored, k int) ([]scored, error) {
	f := p.query.Fusion
	n := 0
	for _, list := range sources {
		n += len(list)
	}
	lists, hits, all := make([][]fusion.Hit, len(sources)), make([]fusion.Hit, 0, n), make([]scored, 0, n)
	for i, list := range sources {
		d, first := p.prefetch[i].distance, len(hits)
		falls := d == collection.Euclid || d == collection.Manhattan
		for _, s := range list {
			score := float64(s.score)
			switch {
			case falls && f.Kind == collection.FusionWeighted:
				score = 1 / (1 + score)
			case falls:
				score = -score
			}
			hits = append(hits, fusion.Hit{Label: s.label, Score: score})
		}
		lists[i] = hits[first:]
		all = append(all, list...)
	}
	fused, err := fusedBy(f, lists)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(a.label, b.label) })
	out := make([]scored, 0, min(k, len(fused)))
	for _, h := range fused {
		score := float32(h.Score)
		if len(out) == k || p.query.ScoreThreshold != nil && score < *p.query.ScoreThreshold {
			break
		}
		at, _ := slices.BinarySearchFunc(all, h.Label, func(s scored, label uint64) int { return cmp.Compare(s.label, label) })
		one := all[at]
		one.score = score
		out = append(out, one)
	}
	return out, nil
}
