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
	"unsafe"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
)

// Index is an exact index. The writing methods belong to one goroutine.
type Index struct {
	dim    int
	metric index.Metric
	shift  int // a chunk has 1<<shift slots

	// The writer's own.
	chunks  []*chunk
	rows    []unsafe.Pointer // see state
	used    uint32           // slots given out so far, freed ones included
	live    int              // vectors, including changes not yet published
	pending uint64           // sequence number of the next Publish
	changed bool             // since the last Publish
	freed   []freedSlot
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
	rows   []unsafe.Pointer // where the vectors of each chunk begin
}

// freedSlot may hold another vector once no view is older than since.
type freedSlot struct {
	slot  uint32
	since uint64
}

// New returns an empty index for vectors of dim values.
func New(dim int, metric index.Metric) *Index {
	if dim < 1 || metric < index.L2 || metric > index.L1 {
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
	x.put(slot, label, vector)
	return slot, nil
}

func (x *Index) put(slot uint32, label uint64, vector []float32) {
	c, row := x.at(slot)
	c.slots[row].show(label, x.pending)
	copy(c.vector(row, x.dim), vector)
	x.live++
	x.changed = true
}

// Remove implements index.Index.
func (x *Index) Remove(slot uint32) {
	x.Hide(slot)
	x.freed = append(x.freed, freedSlot{slot, x.pending})
}

// Hide is a Remove after which the slot stays taken until Free: an index that
// is built over this one still refers to it.
func (x *Index) Hide(slot uint32) {
	if slot >= x.used {
		panic(fmt.Sprintf("BUG: flat: remove of slot %d of %d", slot, x.used))
	}
	c, row := x.at(slot)
	c.slots[row].hide(x.pending)
	x.live--
	x.changed = true
}

// Reserve takes the next slot, for Restore or Free: it holds nothing.
func (x *Index) Reserve() {
	x.makeRoom(x.used)
	x.used++
}

// Restore is Add into a slot that was reserved.
func (x *Index) Restore(slot uint32, label uint64, vector []float32) error {
	if len(vector) != x.dim {
		return index.ErrDimension
	}
	x.put(slot, label, vector)
	return nil
}

// Free gives back a hidden slot. It is used again after the next Publish, once
// the views that are there now are released.
func (x *Index) Free(slot uint32) {
	x.freed = append(x.freed, freedSlot{slot, x.pending})
}

// Publish implements index.Index.
func (x *Index) Publish() {
	if !x.changed {
		return
	}
	x.changed = false
	x.mu.Lock()
	x.mu.published = state{seq: x.pending, live: x.live, slots: x.used, chunks: x.chunks, rows: x.rows}
	x.mu.Unlock()
	x.pending++
}

// View implements index.Index.
func (x *Index) View() index.View { return x.Pin() }

// Pin is View for those who need more of it than index.View.
func (x *Index) Pin() *View {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.pins.add(x.mu.published.seq)
	return &View{state: x.mu.published, index: x}
}

// Bytes implements index.Index.
func (x *Index) Bytes() int64 { return x.bytes.Load() }

// takeSlot returns the slot freed longest ago when no view can see what it
// held, else a new one.
func (x *Index) takeSlot() (uint32, error) {
	if len(x.freed) > 0 {
		f := x.freed[0]
		if f.since > x.oldest {
			x.oldest = x.Oldest()
		}
		if f.since <= x.oldest {
			x.freed = x.freed[1:]
			return f.slot, nil
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

// Oldest is the sequence number of the oldest view, or of the next one when
// there is none. Any goroutine may ask.
func (x *Index) Oldest() uint64 {
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
	number := int(slot >> x.shift)
	switch {
	case slot == 0:
		x.add(newChunk(min(firstRows, whole), x.dim))
	case number == len(x.chunks):
		x.add(newChunk(whole, x.dim))
	case number == 0 && int(slot) == len(x.chunks[0].slots):
		grown := x.chunks[0].grown(x.dim)
		x.bytes.Add(-x.chunks[0].bytes())
		x.chunks, x.rows = nil, nil
		x.add(grown)
	}
}

func (x *Index) add(c *chunk) {
	x.chunks = append(x.chunks, c)
	x.rows = append(x.rows, unsafe.Pointer(&c.vectors[0]))
	x.bytes.Add(c.bytes())
}

// Rows are the vectors by slot, for the writer, unpublished ones included.
func (x *Index) Rows() distance.Rows {
	return distance.Rows{Chunks: x.rows, Shift: uint(x.shift), Stride: 4 * x.dim}
}
