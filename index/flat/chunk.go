package flat

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	chunkBytes = 1 << 20 // about
	firstRows  = 8       // of the first chunk, at first
	groupRows  = 64      // slots looked at together: a word of a bitmap

	// alive is the died of a vector that nobody removed. Sequence numbers stay
	// below it, and the differences of any two of these fit an int64.
	alive = 1 << 62
)

// chunk is the memory of 1<<shift consecutive slots.
type chunk struct {
	vectors []float32 // none where they are in scratch space
	slots   []slot
}

// slot says whose vector is in the row, and for which views: those from born
// on and before died. Zero is a slot never used. Label and vector may be read
// only by who has seen that the slot is visible to them.
type slot struct {
	label uint64
	born  atomic.Uint64
	died  atomic.Uint64
}

// chunkShift makes a chunk of vectors of dim values, 0 if they are elsewhere,
// about chunkBytes, and at least one group.
func chunkShift(dim int) int {
	rowBytes := 4*dim + int(unsafe.Sizeof(slot{}))
	return bits.Len(uint(max(chunkBytes/rowBytes, groupRows))) - 1
}

func newChunk(rows, dim int) *chunk {
	return &chunk{vectors: make([]float32, rows*dim), slots: make([]slot, rows)}
}

// take copies what a smaller chunk holds.
func (c *chunk) take(from *chunk) {
	copy(c.vectors, from.vectors)
	for i := range from.slots {
		c.slots[i].label = from.slots[i].label
		c.slots[i].born.Store(from.slots[i].born.Load())
		c.slots[i].died.Store(from.slots[i].died.Load())
	}
}

func (c *chunk) bytes() int64 {
	return int64(len(c.vectors))*4 + int64(len(c.slots))*int64(unsafe.Sizeof(slot{}))
}

func (c *chunk) vector(row, dim int) []float32 {
	return c.vectors[row*dim : (row+1)*dim : (row+1)*dim]
}

// show makes the slot's vector visible from seq on. A slot used before is
// hidden by its died until it is hidden by its born: in this order, with
// readers looking the other way round, no view sees it in between.
func (s *slot) show(label, seq uint64) {
	s.born.Store(seq)
	s.label = label
	s.died.Store(alive)
}

// hide makes the slot's vector invisible from seq on.
func (s *slot) hide(seq uint64) {
	if died := s.died.Load(); died != alive {
		panic(fmt.Sprintf("BUG: flat: remove of an empty slot (died %d)", died))
	}
	s.died.Store(seq)
}

func (s *slot) visible(seq uint64) bool {
	died := s.died.Load() // before born, see show
	return s.born.Load() <= seq && seq < died
}

// visible is the bitmap of the slots from first on, at most a group, that a
// view at seq sees. It is slot.visible without branches: the sign bits of
// born-(seq+1) and of seq-died.
func (c *chunk) visible(seq uint64, first, n int) uint64 {
	var seen uint64
	group := c.slots[first : first+n]
	for i := range group {
		died := group[i].died.Load() // before born, see show
		born := group[i].born.Load()
		seen |= (born - seq - 1) & (seq - died) >> 63 << (i & 63)
	}
	return seen
}
