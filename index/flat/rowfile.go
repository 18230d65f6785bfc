package flat

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/arena"
)

// rowFile is vectors by slot in scratch space, as they lie in memory. It
// belongs to the writer; readers have the scratch space, in which nothing
// changes that they see.
type rowFile struct {
	open     func() (index.Scratch, error)
	scratch  index.Scratch // nil until the first vector
	rowBytes int64
	size     int64 // allocated
	slots    arena.Arena
}

// What is allocated at a time: as much again as there is, within these.
const (
	growLeast = 1 << 20
	growMost  = 64 << 20
)

// room makes the scratch space long enough for a slot: a vector that finds the
// disk full is refused before anything knows of it.
func (f *rowFile) room(slot uint32) error {
	need := (int64(slot) + 1) * f.rowBytes
	if need <= f.size {
		return nil
	}
	if f.scratch == nil {
		s, err := f.open()
		if err != nil {
			return fmt.Errorf("%w: %w", index.ErrWrite, err)
		}
		f.scratch = s
	}
	size := max(need, f.size+min(max(f.size, growLeast), growMost))
	if err := f.scratch.Allocate(size); err != nil {
		return fmt.Errorf("%w: %w", index.ErrWrite, err)
	}
	f.size = size
	return nil
}

func (f *rowFile) write(slot uint32, vector []float32) error {
	if _, err := f.scratch.WriteAt(asBytes(vector), int64(slot)*f.rowBytes); err != nil {
		return fmt.Errorf("%w: slot %d: %w", index.ErrWrite, slot, err)
	}
	return nil
}

// opened is the scratch space, if there is any yet.
func (f *rowFile) opened() index.Scratch {
	if f == nil {
		return nil
	}
	return f.scratch
}

func (f *rowFile) close() {
	f.slots.Free()
	if f.scratch != nil {
		_ = f.scratch.Close() // nobody will read it
	}
}

// readRows reads the vectors of consecutive slots.
func readRows(from index.Scratch, first uint32, to []float32, dim int) error {
	if _, err := from.ReadAt(asBytes(to), int64(first)*4*int64(dim)); err != nil {
		return fmt.Errorf("%w: slot %d: %w", index.ErrRead, first, err)
	}
	return nil
}

func asBytes(floats []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&floats[0])), 4*len(floats))
}

// bufferBytes is how much is read at a time, about.
const bufferBytes = 256 << 10

// buffer is room for rows read: pooled, so that a search allocates nothing.
type buffer struct {
	floats []float32
	rows   int // that fit, one at least
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func takeBuffer(dim int) *buffer {
	b := buffers.Get().(*buffer)
	b.rows = min(max(bufferBytes/(4*dim), 1), groupRows)
	if n := b.rows * dim; len(b.floats) < n {
		b.floats = make([]float32, n)
	}
	return b
}
