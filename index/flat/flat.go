// Package flat is the exact index: it compares the query with every vector.
//
// Vectors lie in chunks of about a megabyte, addressed by slot, so that a
// search reads memory in one stream and the garbage collector sees a few
// large objects without pointers, never a vector. A slot carries the sequence
// numbers of the Publish that showed its vector and of the one that hid it: a
// view is one sequence number, and the writer goes on beside it.
//
// The vectors may be in scratch space instead (see rowFile), and only the
// slots in memory.
//
// A search runs on the goroutine that asks. Package flat starts none, and
// never looks at the clock.
package flat

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/hivehub/waggle/index"
)

// Index is an exact index. The writing methods belong to one goroutine.
type Index struct {
	dim    int
	metric index.Metric
	shift  int // a chunk has 1<<shift slots
	width  int // of its vectors: dim, or 0 when they are in file

	// The writer's own.
	file    *rowFile // nil: vectors are in memory
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
	from   index.Scratch    // where they are, if it is not memory
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
	return &Index{dim: dim, metric: metric, shift: chunkShift(dim), width: dim, pending: 1}
}

// NewOutside is New for an index whose vectors are in scratch space, which
// open is called for when the first one comes.
func NewOutside(dim int, metric index.Metric, open func() (index.Scratch, error)) *Index {
	x := New(dim, metric)
	x.width, x.shift, x.file = 0, chunkShift(0), &rowFile{open: open, rowBytes: 4 * int64(dim)}
	runtime.AddCleanup(x, (*rowFile).close, x.file)
	return x
}

// Outside reports whether vectors are in scratch space.
func (x *Index) Outside() bool { return x.file != nil }

// Add implements index.Index.
func (x *Index) Add(label uint64, vector []float32) (uint32, error) {
	if len(vector) != x.dim {
		return 0, index.ErrDimension
	}
	slot, reused, err := x.freeSlot()
	if err == nil {
		err = x.put(slot, label, vector)
	}
	switch {
	case err != nil:
		return 0, err
	case reused:
		x.freed = x.freed[1:]
	default:
		x.used++
	}
	return slot, nil
}

func (x *Index) put(slot uint32, label uint64, vector []float32) error {
	c, row := x.at(slot)
	if x.file == nil {
		copy(c.vector(row, x.dim), vector)
	} else if err := x.file.write(slot, vector); err != nil {
		return err
	}
	c.slots[row].show(label, x.pending)
	x.live++
	x.changed = true
	return nil
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
func (x *Index) Reserve() error {
	if err := x.makeRoom(x.used); err != nil {
		return err
	}
	x.used++
	return nil
}

// Restore is Add into a slot that was reserved.
func (x *Index) Restore(slot uint32, label uint64, vector []float32) error {
	if len(vector) != x.dim {
		return index.ErrDimension
	}
	return x.put(slot, label, vector)
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
	x.mu.published = state{
		seq: x.pending, live: x.live, slots: x.used, chunks: x.chunks, rows: x.rows, from: x.file.opened(),
	}
	x.mu.Unlock()
	x.pending++
}

// View implements index.Index.
func (x *Index) View() index.View { return x.Pin() }

// Pin is View for those who need more of it than index.View.
func (x *Index) Pin() *View {
	v := new(View)
	x.PinTo(v)
	return v
}

// PinTo is Pin in a view of the caller's that is new or released.
func (x *Index) PinTo(v *View) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.pins.add(x.mu.published.seq)
	v.state, v.index = x.mu.published, x
	v.released.Store(false)
}

// Bytes implements index.Index.
func (x *Index) Bytes() int64 { return x.bytes.Load() }

// freeSlot returns the slot freed longest ago when no view can see what it
// held, else one past those used, and which of them it is.
func (x *Index) freeSlot() (slot uint32, reused bool, err error) {
	if len(x.freed) > 0 {
		f := x.freed[0]
		if f.since > x.oldest {
			x.oldest = x.Oldest()
		}
		if f.since <= x.oldest {
			return f.slot, true, nil
		}
	}
	if x.used == math.MaxUint32 {
		return 0, false, index.ErrFull
	}
	return x.used, false, x.makeRoom(x.used)
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
func (x *Index) makeRoom(slot uint32) error {
	if x.file != nil {
		if err := x.file.room(slot); err != nil {
			return err
		}
	}
	whole := 1 << x.shift
	number := int(slot >> x.shift)
	switch {
	case slot == 0:
		if len(x.chunks) == 0 {
			return x.add(min(firstRows, whole))
		}
	case number == len(x.chunks):
		return x.add(whole)
	case number == 0 && int(slot) == len(x.chunks[0].slots):
		return x.grow()
	}
	return nil
}

// add makes another chunk.
func (x *Index) add(rows int) error {
	c, err := x.newChunk(rows)
	if err == nil {
		x.addChunk(c)
	}
	return err
}

// grow replaces the first chunk by one with twice the rows.
func (x *Index) grow() error {
	old := x.chunks[0]
	c, err := x.newChunk(2 * len(old.slots))
	if err != nil {
		return err
	}
	c.take(old)
	x.bytes.Add(-old.bytes())
	x.chunks, x.rows = nil, nil
	x.addChunk(c)
	return nil
}

// newChunk takes memory that the collector does not see for the slots of a
// whole chunk whose vectors are elsewhere: it would let garbage gather in
// proportion to them.
func (x *Index) newChunk(rows int) (*chunk, error) {
	if x.file == nil || rows < 1<<x.shift {
		return newChunk(rows, x.width), nil
	}
	p, err := x.file.slots.Chunk(rows * int(unsafe.Sizeof(slot{})))
	if err != nil {
		return nil, err
	}
	return &chunk{slots: unsafe.Slice((*slot)(p), rows)}, nil
}

func (x *Index) addChunk(c *chunk) {
	x.chunks = append(x.chunks, c)
	if x.file == nil {
		x.rows = append(x.rows, unsafe.Pointer(&c.vectors[0]))
	}
	x.bytes.Add(c.bytes())
}

// Each calls f with the vectors of the first slots, for the writer, unpublished
// ones included. Those of slots that were never written to are anything.
func (x *Index) Each(slots uint32, f func(slot uint32, vector []float32)) error {
	if x.file == nil {
		for slot := range slots {
			c, row := x.at(slot)
			f(slot, c.vector(row, x.dim))
		}
		return nil
	}
	b := takeBuffer(x.dim)
	defer buffers.Put(b)
	for first := uint32(0); first < slots; first += uint32(b.rows) {
		n := min(b.rows, int(slots-first))
		if err := readRows(x.file.scratch, first, b.floats[:n*x.dim], x.dim); err != nil {
			return err
		}
		for i := range n {
			f(first+uint32(i), b.floats[i*x.dim:(i+1)*x.dim])
		}
	}
	return nil
}
