// Package flat is the exact index: it compares the query with every vector.
//
// Vectors lie in chunks of about a megabyte, addressed by slot, so that a
// search reads memory in one stream and the garbage collector sees a few
// large objects without pointers, never a vector. A slot carries the sequence
// numbers of the Publish that showed its vector and of the one that hid it: a
// view is one sequence number, and the writer goes on beside it.
//
// A search runs on the goroutine that asks. Package flat starts none, and
// never reads files or the clock.
package flat

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/hivehub/waggle/index"
)

// Index is an exact index. The writing methods belong to one goroutine.
type Index struct {
	dim    int
	metric index.Metric
	shift  int // a chunk has 1<<shift slots

	// The writer's own.
	chunks  []*chunk
	used    uint32 // slots given out so far, freed ones included
	live    int    // vectors, including changes not yet published
	pending uint64 // sequence number of the next Publish
	changed bool   // since the last Publish
	freed   []uint32
	oldest  uint64 // a lower bound of the oldest sequence number a view can have

	bytes atomic.Int64

	mu struct {
		sync.Mutex
		published state
		pins      pins
	}
}

// state is what a Publish shows. The chunks are shared with the writer, who
// only appends to the slice or replaces it.
type state struct {
	seq    uint64
	live   int
	slots  uint32
	chunks []*chunk
}

// New returns an empty index for vectors of dim values.
func New(dim int, metric index.Metric) *Index {
	if dim < 1 || metric < index.L2 || metric > index.Dot {
		panic(fmt.Sprintf("BUG: flat: dimension %d, metric %d", dim, metric))
	}
	return &Index{dim: dim, metric: metric, shift: chunkShift(dim), pending: 1}
}

// Add implements index.Index.
func (x *Index) Add(label uint64, vector []float32) (uint32, error) {
	if len(vector) != x.dim {
		return 0, index.ErrDimension
	}
	slot, err := x.takeSlot()
	if err != nil {
		return 0, err
	}
	c, row := x.at(slot)
	c.slots[row].show(label, x.pending)
	copy(c.vector(row, x.dim), vector)
	x.live++
	x.changed = true
	return slot, nil
}

// Remove implements index.Index.
func (x *Index) Remove(slot uint32) {
	if slot >= x.used {
		panic(fmt.Sprintf("BUG: flat: remove of slot %d of %d", slot, x.used))
	}
	c, row := x.at(slot)
	c.slots[row].hide(x.pending)
	x.freed = append(x.freed, slot)
	x.live--
	x.changed = true
}

// Publish implements index.Index.
func (x *Index) Publish() {
	if !x.changed {
		return
	}
	x.changed = false
	x.mu.Lock()
	x.mu.published = state{seq: x.pending, live: x.live, slots: x.used, chunks: x.chunks}
	x.mu.Unlock()
	x.pending++
}

// View implements index.Index.
func (x *Index) View() index.View {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.pins.add(x.mu.published.seq)
	return &view{state: x.mu.published, index: x}
}

// Bytes implements index.Index.
func (x *Index) Bytes() int64 { return x.bytes.Load() }

// takeSlot returns the slot freed longest ago when no view can see what it
// held, else a new one.
func (x *Index) takeSlot() (uint32, error) {
	if len(x.freed) > 0 {
		slot := x.freed[0]
		c, row := x.at(slot)
		hidden := c.slots[row].died.Load()
		if hidden > x.oldest {
			x.oldest = x.oldestView()
		}
		if hidden <= x.oldest {
			x.freed = x.freed[1:]
			return slot, nil
		}
	}
	if x.used == math.MaxUint32 {
		return 0, index.ErrFull
	}
	slot := x.used
	x.makeRoom(slot)
	x.used++
	return slot, nil
}

// oldestView is the sequence number of the oldest view there is, or of the
// next one when there is none.
func (x *Index) oldestView() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.mu.pins) > 0 {
		return x.mu.pins[0].seq
	}
	return x.mu.published.seq
}

func (x *Index) unpin(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.pins.remove(seq)
}

func (x *Index) at(slot uint32) (*chunk, int) {
	return x.chunks[slot>>x.shift], int(slot & (1<<x.shift - 1))
}

// makeRoom gives the new slot a place. The first chunk starts small and
// doubles, because most collections are small; the others are made whole.
// Published states keep the chunk that was replaced: what they can see in it
// is complete, and later changes are not theirs to see.
func (x *Index) makeRoom(slot uint32) {
	whole := 1 << x.shift
	switch number := int(slot >> x.shift); {
	case slot == 0:
		x.chunks = []*chunk{newChunk(min(firstRows, whole), x.dim)}
	case number == len(x.chunks):
		x.chunks = append(x.chunks, newChunk(whole, x.dim))
	case number == 0 && int(slot) == len(x.chunks[0].slots):
		x.bytes.Add(-x.chunks[0].bytes())
		x.chunks = []*chunk{x.chunks[0].grown(x.dim)}
	default:
		return
	}
	x.bytes.Add(x.chunks[slot>>x.shift].bytes())
}
