package sparse

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
)

const (
	chunkSlots = 4096 // a power of two, and the window of a search
	firstSlots = 8    // of the first chunk, at first
	slotsMax   = math.MaxUint32

	// alive is the died of a document that nobody removed. Sequence numbers
	// stay below it.
	alive = 1 << 62
)

// chunk says what is in chunkSlots consecutive slots, and for which views:
// those from born on and before died. Label and length may be read only by who
// has seen the slot in a list of its view, or that it is visible.
type chunk struct {
	labels  []uint64
	lengths []uint32
	born    []atomic.Uint64
	died    []atomic.Uint64
}

func newChunk(n int) *chunk {
	return &chunk{
		labels:  make([]uint64, n),
		lengths: make([]uint32, n),
		born:    make([]atomic.Uint64, n),
		died:    make([]atomic.Uint64, n),
	}
}

// grown returns a copy with twice the slots.
func (c *chunk) grown() *chunk {
	g := newChunk(2 * len(c.labels))
	copy(g.labels, c.labels)
	copy(g.lengths, c.lengths)
	for i := range c.born {
		g.born[i].Store(c.born[i].Load())
		g.died[i].Store(c.died[i].Load())
	}
	return g
}

func (c *chunk) bytes() int64 { return int64(len(c.labels)) * (8 + 4 + 8 + 8) }

// show makes the document in a row visible from seq on. A row used before is
// hidden by its died until it is hidden by its born: in this order, with
// readers looking the other way round, no view sees it in between.
func (c *chunk) show(row int, label, seq uint64) {
	c.born[row].Store(seq)
	c.labels[row] = label
	c.died[row].Store(alive)
}

// hide makes the document in a row invisible from seq on.
func (c *chunk) hide(row int, seq uint64) {
	if died := c.died[row].Load(); died != alive {
		panic(fmt.Sprintf("BUG: sparse: remove of an empty slot (died %d)", died))
	}
	c.died[row].Store(seq)
}

func (c *chunk) visible(row int, seq uint64) bool {
	died := c.died[row].Load() // before born, see show
	return c.born[row].Load() <= seq && seq < died
}

// at is the place of a slot.
func (s *state) at(slot uint32) (*chunk, int) {
	return s.chunks[slot/chunkSlots], int(slot % chunkSlots)
}

// pins counts the views there are at each sequence number, oldest first.
type pins []pin

type pin struct {
	seq   uint64
	views int
}

// add pins seq, which is not older than any pinned one.
func (p *pins) add(seq uint64) {
	if n := len(*p); n > 0 && (*p)[n-1].seq == seq {
		(*p)[n-1].views++
		return
	}
	*p = append(*p, pin{seq, 1})
}

func (p *pins) remove(seq uint64) {
	i, found := slices.BinarySearchFunc(*p, seq, func(a pin, seq uint64) int { return cmp.Compare(a.seq, seq) })
	if !found {
		panic(fmt.Sprintf("BUG: sparse: release of sequence number %d, which is not pinned", seq))
	}
	if (*p)[i].views--; (*p)[i].views == 0 {
		*p = slices.Delete(*p, i, i+1)
	}
}
