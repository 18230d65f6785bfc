package disk

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// node is a file's bytes. Its names are in Mem.
type node struct {
	data       []byte
	syncedSize int64
	unsynced   map[int64]sector // by number
}

// sector is a sector that a crash may put back.
type sector struct {
	before []byte // nil = zeros
	stuck  bool   // a Sync failed since it was written: no later Sync writes it
}

func (n *node) crash(rng *rand.Rand) {
	if size := int64(len(n.data)); size != n.syncedSize && rng.IntN(2) == 0 {
		n.resize(n.syncedSize)
	}
	for _, at := range slices.Sorted(maps.Keys(n.unsynced)) {
		from := at * SectorBytes
		if from >= int64(len(n.data)) || rng.IntN(2) == 0 {
			continue
		}
		there := n.data[from:min(from+SectorBytes, int64(len(n.data)))]
		clear(there[copy(there, n.unsynced[at].before):])
	}
	n.syncedSize = int64(len(n.data))
	n.unsynced = map[int64]sector{}
}

// resize keeps what it takes away, so that a crash can put it back.
func (n *node) resize(size int64) {
	if now := int64(len(n.data)); size < now {
		n.touch(size, now)
		n.data = n.data[:size]
	} else {
		n.touch(now, size)
		n.data = append(n.data, make([]byte, size-now)...)
	}
}

// touch notes the sectors of [from, to) as unsynced, with their bytes as of
// the last sync.
func (n *node) touch(from, to int64) {
	if from >= to {
		return
	}
	for at := from / SectorBytes; at <= (to-1)/SectorBytes; at++ {
		s, ok := n.unsynced[at]
		if !ok && at*SectorBytes < int64(len(n.data)) {
			s.before = bytes.Clone(n.data[at*SectorBytes : min((at+1)*SectorBytes, int64(len(n.data)))])
		}
		s.stuck = false
		n.unsynced[at] = s
	}
}

func (n *node) write(b []byte, off int64) {
	end := off + int64(len(b))
	if end > int64(len(n.data)) {
		n.resize(end)
	}
	n.touch(off, end)
	copy(n.data[off:], b)
}

func (n *node) sync(failed bool) {
	for at, s := range n.unsynced {
		if failed {
			n.unsynced[at] = sector{s.before, true}
		} else if !s.stuck {
			delete(n.unsynced, at)
		}
	}
	if !failed {
		n.syncedSize = int64(len(n.data))
	}
}

// memFile is an open file of a Mem, until the Mem crashes.
type memFile struct {
	m      *Mem
	n      *node
	name   string
	life   int
	closed bool
}

// lock takes the disk's lock and returns an error when the file is closed.
func (f *memFile) lock() error {
	f.m.mu.Lock()
	if f.closed || f.life != f.m.life {
		return &fs.PathError{Op: "use", Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

// lockOp is lock for an operation that is counted.
func (f *memFile) lockOp(op string) error {
	if err := f.lock(); err != nil {
		return err
	}
	if err := f.m.op(); err != nil {
		return fmt.Errorf("%s %s: %w", op, f.name, err)
	}
	return nil
}

// ReadAt reads as io.ReaderAt says.
func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	err := f.lock()
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	k := copy(b, f.n.data[off:])
	if k < len(b) {
		return k, io.EOF
	}
	return k, nil
}

// WriteAt writes, and grows the file when needed.
func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	err := f.lock()
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if err := f.m.op(); err != nil {
		part := f.m.rng.IntN(len(b) + 1)
		f.n.write(b[:part], off)
		return part, fmt.Errorf("write %s: %w", f.name, err)
	}
	f.n.write(b, off)
	return len(b), nil
}

// Close makes later calls fail.
func (f *memFile) Close() error {
	err := f.lock()
	defer f.m.mu.Unlock()
	f.closed = true
	return err
}

// Size returns the file's length.
func (f *memFile) Size() (int64, error) {
	err := f.lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), err
}

// Truncate sets the file's length.
func (f *memFile) Truncate(size int64) error {
	err := f.lockOp("truncate")
	defer f.m.mu.Unlock()
	if err == nil {
		f.n.resize(size)
	}
	return err
}

// Allocate grows the file to size.
func (f *memFile) Allocate(size int64) error {
	err := f.lockOp("allocate")
	defer f.m.mu.Unlock()
	if err == nil && size > int64(len(f.n.data)) {
		f.n.resize(size)
	}
	return err
}

// Sync makes the file's bytes durable. See File for what a failure means.
func (f *memFile) Sync() error {
	if err := f.lock(); err != nil {
		f.m.mu.Unlock()
		return err
	}
	defer f.m.mu.Unlock()
	err := f.m.op()
	f.n.sync(err != nil)
	if err != nil {
		return fmt.Errorf("sync %s: %w", f.name, err)
	}
	return nil
}
