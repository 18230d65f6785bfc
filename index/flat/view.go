package flat

import (
	"context"
	"math/bits"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
)

// checkEvery is the number of slots between two looks at the context.
const checkEvery = 1024

// View is a state pinned in its index.
type View struct {
	state
	index    *Index
	released atomic.Bool
}

// Len implements index.View.
func (v *View) Len() int { return v.live }

// Slots implements index.View.
func (v *View) Slots() uint32 { return v.slots }

// Label implements index.View.
func (v *View) Label(slot uint32) (uint64, bool) {
	c, row, ok := v.find(slot)
	if !ok {
		return 0, false
	}
	return c.slots[row].label, true
}

// Vector implements index.View.
func (v *View) Vector(slot uint32) ([]float32, error) {
	c, row, ok := v.find(slot)
	if !ok {
		return nil, nil
	}
	if v.from == nil {
		return c.vector(row, v.index.dim), nil
	}
	vector := make([]float32, v.index.dim)
	if err := v.Read(slot, vector); err != nil {
		return nil, err
	}
	return vector, nil
}

// Append appends the vector in a slot, if it is in the view.
func (v *View) Append(to []float32, slot uint32) ([]float32, error) {
	c, row, ok := v.find(slot)
	if !ok {
		return to, nil
	}
	if v.from == nil {
		return append(to, c.vector(row, v.index.dim)...), nil
	}
	n := len(to)
	to = slices.Grow(to, v.index.dim)[:n+v.index.dim]
	return to, v.Read(slot, to[n:])
}

// Outside reports whether vectors are in scratch space: Read reads them, and
// there are no Rows.
func (v *View) Outside() bool { return v.index.Outside() }

// Read reads the vector in a slot of the view from scratch space.
func (v *View) Read(slot uint32, to []float32) error {
	defer runtime.KeepAlive(v.index) // without it the scratch space is closed
	return readRows(v.from, slot, to, v.index.dim)
}

// Sees reports whether the view has a vector in a slot below Slots.
func (v *View) Sees(slot uint32) bool { return v.slot(slot).visible(v.seq) }

// Visible is the bitmap of the 64 slots from first on, a multiple of 64, that
// the view has a vector in.
func (v *View) Visible(first uint32) uint64 {
	if first >= v.slots {
		return 0
	}
	c, row := v.chunks[first>>v.index.shift], int(first&(1<<v.index.shift-1))
	return c.visible(v.seq, row, min(groupRows, len(c.slots)-row, int(v.slots-first)))
}

// RemovedBy reports whether the vector in a slot below Slots is removed for the
// views at the sequence number and after, published or not.
func (v *View) RemovedBy(slot uint32, seq uint64) bool { return v.slot(slot).died.Load() <= seq }

// Removed reports whether the vector in a slot below Slots is removed at all.
func (v *View) Removed(slot uint32) bool { return v.RemovedBy(slot, alive-1) }

// Rows are the vectors by slot, for slots that are in the view.
func (v *View) Rows() distance.Rows {
	return distance.Rows{Chunks: v.rows, Shift: uint(v.index.shift), Stride: 4 * v.index.dim}
}

// Release implements index.View.
func (v *View) Release() {
	if !v.released.Swap(true) {
		v.index.unpin(v.seq)
	}
}

// Forget releases a view of PinTo, which then holds nothing of the index.
func (v *View) Forget() {
	v.Release()
	v.state, v.index = state{}, nil
}

func (v *View) slot(slot uint32) *slot {
	return &v.chunks[slot>>v.index.shift].slots[slot&(1<<v.index.shift-1)]
}

// Released reports whether the view has ended.
func (v *View) Released() bool { return v.released.Load() }

// find returns the place of a slot and whether its vector is in the view.
func (v *View) find(slot uint32) (*chunk, int, bool) {
	if slot >= v.slots {
		return nil, 0, false
	}
	c, row := v.chunks[slot>>v.index.shift], int(slot&(1<<v.index.shift-1))
	return c, row, c.slots[row].visible(v.seq)
}

// Search implements index.View.
func (v *View) Search(ctx context.Context, q *index.Query, dst []index.Hit) ([]index.Hit, error) {
	if v.released.Load() {
		panic("BUG: flat: search in a released view")
	}
	if len(q.Vector) != v.index.dim {
		return dst[:0], index.ErrDimension
	}
	defer runtime.KeepAlive(v.index) // without it the scratch space is closed
	s := scan{
		from:    v.from,
		query:   q.Vector,
		metric:  v.index.metric,
		nearest: newNearest(min(q.K, v.live), dst),
	}
	defer func() { q.Compared = s.compared }()
	if s.nearest.k <= 0 {
		return dst[:0], nil
	}
	if s.from != nil {
		s.buffer = takeBuffer(v.index.dim)
		defer buffers.Put(s.buffer)
	}
	for number, c := range v.chunks {
		s.chunk, s.base = c, uint32(number)<<v.index.shift
		rows := min(len(c.slots), int(v.slots-s.base))
		for first := 0; first < rows; first += groupRows {
			at := s.base + uint32(first)
			if at%checkEvery == 0 && ctx.Err() != nil {
				return dst[:0], ctx.Err()
			}
			if allowed := allowedAt(q.Allow, at); allowed != 0 {
				visible := c.visible(v.seq, first, min(groupRows, rows-first))
				if err := s.group(first, visible, visible&allowed); err != nil {
					return dst[:0], err
				}
			}
		}
	}
	return s.nearest.sorted(), nil
}

// allowedAt is the word of a bitmap for the group of slots that begins at at.
func allowedAt(allow []uint64, at uint32) uint64 {
	switch word := int(at / groupRows); {
	case allow == nil:
		return ^uint64(0)
	case word < len(allow):
		return allow[word]
	default:
		return 0
	}
}

// scan is one search: it lives on the searcher's stack.
type scan struct {
	query     []float32
	metric    index.Metric
	nearest   nearest
	from      index.Scratch // nil: vectors are in chunk
	buffer    *buffer       // for those from there
	chunk     *chunk        // being scanned
	base      uint32        // its first slot
	compared  int
	distances [groupRows]float32
}

// group compares the wanted ones among the visible rows of the group that
// begins at row first. Rows are read run by run, and of rows that are not
// visible nothing, as the writer may be at work there. When half of the rows
// are wanted, reading the rest too is faster than stepping over it.
func (s *scan) group(first int, visible, wanted uint64) error {
	if wanted == 0 {
		return nil
	}
	read := wanted
	if 2*bits.OnesCount64(wanted) >= bits.OnesCount64(visible) {
		read = visible
	}
	s.compared += bits.OnesCount64(read)
	for read != 0 {
		skip := bits.TrailingZeros64(read)
		n := bits.TrailingZeros64(^(read >> skip))
		if s.from != nil {
			n = min(n, s.buffer.rows)
		}
		if err := s.run(first+skip, n, wanted>>skip); err != nil {
			return err
		}
		read &^= (1<<n - 1) << skip
	}
	return nil
}

// run compares n rows from the given one on and offers those wanted, bit i
// being the i-th of the run.
func (s *scan) run(row, n int, wanted uint64) error {
	dim, out := len(s.query), s.distances[:n]
	var rows []float32
	if s.from == nil {
		rows = s.chunk.vectors[row*dim : (row+n)*dim]
	} else {
		rows = s.buffer.floats[:n*dim]
		if err := readRows(s.from, s.base+uint32(row), rows, dim); err != nil {
			return err
		}
	}
	sign := float32(1)
	switch s.metric {
	case index.L2:
		distance.L2Many(s.query, rows, out)
	case index.L1:
		distance.L1Many(s.query, rows, out)
	default:
		distance.DotMany(s.query, rows, out)
		sign = -1
	}
	limit := s.nearest.limit
	for i, d := range out {
		d *= sign
		if d > limit || wanted>>(i&63)&1 == 0 { // d > limit is false when d is not a number
			continue
		}
		s.nearest.offer(index.Hit{Label: s.chunk.slots[row+i].label, Slot: s.base + uint32(row+i), Distance: d})
		limit = s.nearest.limit
	}
	return nil
}
