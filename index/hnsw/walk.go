package hnsw

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
	"github.com/hivehub/waggle/index/flat"
	"github.com/hivehub/waggle/index/quantize"
)

// checkEvery is the number of distances between two looks at the context.
const checkEvery = 1024

// walker is the scratch of one goroutine: pooled, so that a search allocates
// nothing, and owned by who took it until put back.
type walker struct {
	scorer
	entry    uint32 // where walks begin, if entered,
	top      int    // and the level of it
	entered  bool
	limit    uint32 // slots not below it are passed over
	seen     marks
	compared int  // since begin
	budget   int  // comparisons left; a walk that runs out of them stops
	patience int  // candidates kept until it has found enough; one that needs more stops
	hopping  bool // walk in hops over what the judge allows
	pool     pool
	tail     pool

	slots     []uint32  // a batch
	distances []float32 // theirs
	chosen    [levelsMax][]candidate
	heirs     []uint32
	kept      []candidate
	spare     []candidate
	read      rowRead
	view      flat.View // of a builder, for one vector
	hits      []index.Hit
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// begin makes the walker ready for an index, of which the caller holds a view.
func (w *walker) begin(x *Index, v *flat.View) {
	w.metric, w.dim = x.metric, x.dim
	w.entry, w.top, w.entered = x.entryPoint() // before the memory, which then has it
	w.memory, w.floats = x.memory.Load(), v.Rows()
	w.limit = w.memory.room
	if w.memory.scalar == nil {
		w.floats, w.limit = x.latest()
		w.limit = min(w.limit, w.memory.room)
	}
	w.seen.fit(w.limit)
	w.patience, w.compared = math.MaxInt, 0
}

// latest is the floats of all vectors that are published, for walks on floats:
// the way may lead over vectors that are newer than the view of the search.
func (x *Index) latest() (rows distance.Rows, slots uint32) {
	v := x.flat.Pin()
	defer v.Release()
	return v.Rows(), v.Slots()
}

// batchMax is how many vectors of a plain list are compared at a time.
const batchMax = 64

// measure returns the distances of the batch.
func (w *walker) measure() []float32 {
	out := w.room()
	w.score(w.slots, out)
	return out
}

// measureFloats is measure, but never on codes, of slots in a view.
func (w *walker) measureFloats(v *flat.View) ([]float32, error) {
	out := w.room()
	if !v.Outside() {
		w.scoreFloats(w.slots, out)
		return out, nil
	}
	w.floats = w.read.rows(w.dim)
	for i, slot := range w.slots {
		if err := v.Read(slot, w.floats.Floats(0, w.dim)); err != nil {
			return nil, err
		}
		w.scoreFloats(w.read.number[:], out[i:i+1])
	}
	return out, nil
}

// rowRead is memory for one vector, from scratch space.
type rowRead struct {
	memory []float32
	chunk  [1]unsafe.Pointer
	number [1]uint32 // of the row in it: 0
}

func (r *rowRead) rows(dim int) distance.Rows {
	if len(r.memory) < dim {
		r.memory = make([]float32, dim)
	}
	r.chunk[0] = unsafe.Pointer(&r.memory[0])
	return distance.Rows{Chunks: r.chunk[:], Stride: 4 * dim}
}

func (w *walker) room() []float32 {
	w.compared += len(w.slots)
	if len(w.distances) < len(w.slots) {
		w.distances = make([]float32, max(2*batchMax, 2*len(w.slots)))
	}
	return w.distances[:len(w.slots)]
}

// marks is a set of slots that costs what it holds to clear, not its size.
type marks struct {
	words []uint64
	slots []uint32 // in the set
}

func (s *marks) fit(slots uint32) {
	if n := int(slots+63) / 64; n > len(s.words) {
		s.words = make([]uint64, n+n/4)
	}
}

func (s *marks) add(slot uint32) (added bool) {
	word, bit := &s.words[slot/64], uint64(1)<<(slot%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	s.slots = append(s.slots, slot)
	return true
}

// addAll adds the slots of a list that are below limit, and appends those that
// it added to dst. It has no branch to guess.
func (s *marks) addAll(list []uint32, limit uint32, dst []uint32) []uint32 {
	first := len(s.slots)
	s.slots = slices.Grow(s.slots, len(list))
	added := s.slots[first : first+len(list)]
	n := 0
	for i := range list {
		link := atomic.LoadUint32(&list[i])
		if link == 0 {
			break
		}
		slot := link - 1
		if slot >= limit {
			continue
		}
		word := &s.words[slot/64]
		old := *word
		*word = old | 1<<(slot%64)
		added[n] = slot
		n += int(^old >> (slot % 64) & 1)
	}
	s.slots = s.slots[:first+n]
	return append(dst, added[:n]...)
}

func (s *marks) clear() {
	for _, slot := range s.slots {
		s.words[slot/64] = 0
	}
	s.slots = s.slots[:0]
}

// freshAllowed adds to the batch the allowed slots of a list and, in place of
// each that is not allowed, the allowed ones that it links to. It marks them.
func (w *walker) freshAllowed(list []uint32, level int, allow []uint64) {
	w.heirs = w.seen.addAll(list, w.limit, w.heirs[:0])
	over := w.heirs[:0]
	for _, slot := range w.heirs {
		if allowed(allow, slot) {
			w.slots = append(w.slots, slot)
			continue
		}
		over = append(over, slot)
		distance.Prefetch(w.memory.links.At(slot), w.memory.links.Stride)
	}
	for _, slot := range over {
		for next := range links(w.memory.list(slot, level)) {
			if next < w.limit && allowed(allow, next) && w.seen.add(next) {
				w.slots = append(w.slots, next)
			}
		}
	}
	w.budget -= len(over)
}

// below is the slots of a list that may be compared.
func (w *walker) below(list []uint32) []uint32 {
	w.slots = w.slots[:0]
	for slot := range links(list) {
		if slot < w.limit {
			w.slots = append(w.slots, slot)
		}
	}
	return w.slots
}

// judge says which vertices may be in the answer. A nil one lets all pass.
type judge struct {
	view  *flat.View
	allow []uint64
}

func (j *judge) accepts(slot uint32) bool {
	return slot < j.view.Slots() && allowed(j.allow, slot) && j.view.Sees(slot)
}

func allowed(allow []uint64, slot uint32) bool {
	return allow == nil || int(slot/64) < len(allow) && allow[slot/64]>>(slot%64)&1 == 1
}

// beam is how many candidates are expanded at a time: the rows of their
// neighbours come from memory together, which is worth more than knowing the
// first one's before choosing the second.
const beam = 3

// walk fills the pool with the ef nearest of a level that the judge accepts,
// as far as the links lead to them from the given vertex, and the budget and
// the patience.
func (w *walker) walk(ctx context.Context, level, ef int, from uint32, j *judge) error {
	w.pool.reset(ef)
	defer w.seen.clear()
	w.slots = append(w.slots[:0], from)
	w.seen.add(from)
	for compared := 0; ; {
		w.offer(j)
		if !w.expand(level, j) {
			return nil
		}
		if w.budget -= len(w.slots); w.pool.accepted < ef && len(w.pool.items) > w.patience {
			w.budget = -1
		}
		if w.budget < 0 {
			return nil
		}
		if compared += len(w.slots); compared >= checkEvery {
			compared = 0
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
}

// expand makes the batch of the nearest candidates' neighbours. It reports
// whether there was a candidate.
func (w *walker) expand(level int, j *judge) bool {
	w.slots = w.slots[:0]
	for n := range beam {
		c, ok := w.pool.take()
		if !ok {
			return n > 0
		}
		list := w.memory.list(c.slot(), level)
		if w.hopping {
			w.freshAllowed(list, level, j.allow)
		} else {
			w.slots = w.seen.addAll(list, w.limit, w.slots)
		}
	}
	return true
}

// offer compares the batch and gives it to the pool.
func (w *walker) offer(j *judge) {
	limit := w.pool.limit
	for i, d := range w.measure() {
		if d >= limit {
			continue
		}
		slot := w.slots[i]
		if j != nil && !j.accepts(slot) {
			slot |= refused
		}
		distance.Prefetch(w.memory.links.At(slot&slotMask), w.memory.links.Stride)
		w.pool.offer(candidate{d, slot})
		limit = w.pool.limit
	}
}

// descend goes down from one level to another, each time to where no
// neighbour is nearer.
func (w *walker) descend(at uint32, from, to int) uint32 {
	w.slots = append(w.slots[:0], at)
	nearest := w.measure()[0]
	for level := from; level > to; {
		w.slots = w.below(w.memory.list(at, level))
		moved := false
		for i, d := range w.measure() {
			if d < nearest {
				nearest, at, moved = d, w.slots[i], true
			}
		}
		if !moved {
			level--
		}
	}
	return at
}

// scorer compares one vector with those of slots: on codes where there are
// some, else on floats.
type scorer struct {
	memory *memory
	floats distance.Rows
	metric index.Metric
	dim    int

	vector []float32 // aimed at, for floats
	code   distance.CodeQuery
	own    ownRow // for a vector that has no slot
}

// aim takes a vector from outside. It reports whether comparing it loses
// nothing on its side.
func (s *scorer) aim(vector []float32) (exact bool) {
	s.vector = vector
	m := s.memory
	if m.scalar == nil {
		return true
	}
	s.own.take(m.scalar)
	exact = m.scalar.Encode(&s.own.codes, 0, vector) == quantize.None
	m.scalar.Query(&s.code, &s.own.codes, 0)
	return exact
}

// ownRow is memory for the codes of one vector, the query.
type ownRow struct {
	memory []uint64
	codes  distance.Codes
	chunk  [1]unsafe.Pointer
}

func (o *ownRow) take(scalar *quantize.Scalar) {
	shape := scalar.Shape()
	if n := (shape.Stride + shape.Extra + 7) / 8; len(o.memory) < n {
		o.memory = make([]uint64, n)
	}
	o.chunk[0] = unsafe.Pointer(&o.memory[0])
	o.codes = scalar.Codes(o.chunk[:], 0)
}

// aimAt takes the vector of a slot.
func (s *scorer) aimAt(slot uint32) {
	if m := s.memory; m.scalar != nil {
		m.scalar.Query(&s.code, &m.codes, slot)
		return
	}
	s.vector = s.floats.Floats(slot, s.dim)
}

// score sets out to the distances of slots, which are below the limit.
func (s *scorer) score(slots []uint32, out []float32) {
	switch {
	case s.memory.scalar == nil:
		s.scoreFloats(slots, out)
	case s.metric == index.L1:
		distance.L1CodeGather(&s.code, &s.memory.codes, slots, out)
	default:
		distance.CodeGather(&s.code, &s.memory.codes, slots, out)
	}
}

// scoreFloats is the true distances. What is not a number is infinitely far.
func (s *scorer) scoreFloats(slots []uint32, out []float32) {
	sign := float32(1)
	switch s.metric {
	case index.L2:
		distance.L2Gather(s.vector, &s.floats, slots, out)
	case index.L1:
		distance.L1Gather(s.vector, &s.floats, slots, out)
	default:
		distance.DotGather(s.vector, &s.floats, slots, out)
		sign = -1
	}
	for i := range slots {
		if out[i] *= sign; out[i] != out[i] {
			out[i] = float32(math.Inf(1))
		}
	}
}
