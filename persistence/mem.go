package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
)

// memStore is a Store that keeps everything in memory and writes it out whole
// at every commit. It is for the simulation: it does to a disk.Disk, one
// operation at a time, what bbolt does to a file.
type memStore struct {
	disk  disk.Disk
	name  string
	state atomic.Pointer[memState]
	err   error // of a failed commit; final; the committer's
}

// memState is one committed state. It does not change.
type memState struct {
	meta Meta
	data *delta // without deleted keys
	shut bool
}

// OpenMem opens the memory store whose image is the file name on d, or an
// empty one when there is no such file. The image's directory must exist.
func OpenMem(d disk.Disk, name string) (Store, error) {
	s := &memStore{disk: d, name: name}
	state, err := s.load()
	if errors.Is(err, fs.ErrNotExist) {
		state, err = &memState{data: new(delta)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", name, err)
	}
	s.state.Store(state)
	return s, nil
}

func (s *memStore) load() (*memState, error) {
	f, err := s.disk.Open(s.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	image := make([]byte, size)
	if n, err := f.ReadAt(image, 0); n < len(image) {
		return nil, fmt.Errorf("read %d of %d bytes: %w", n, size, err)
	}
	return decodeImage(image)
}

// Meta implements Store.
func (s *memStore) Meta() Meta { return s.state.Load().meta }

// Commit implements Store.
func (s *memStore) Commit(m Meta, changes iter.Seq[Change]) error {
	state := s.state.Load()
	switch {
	case s.err != nil:
		return s.err
	case state.shut:
		return errClosed()
	}
	next := &memState{meta: m, data: state.data.copy()}
	for c := range changes {
		next.data.apply(c)
	}
	if err := s.save(encodeImage(next)); err != nil {
		s.err = fmt.Errorf("commit to store %s: %w", s.name, err)
		return s.err
	}
	s.state.Store(next)
	return nil
}

// apply makes c's change in a delta that holds no deleted keys.
func (d *delta) apply(c Change) {
	if c.Value != nil {
		d.set(c.Bucket, item{c.Key, c.Value})
	} else if d.trees[c.Bucket] != nil {
		d.unset(c.Bucket, c.Key)
	}
}

func (s *memStore) save(image []byte) error {
	temp := s.name + ".new"
	if err := s.disk.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.disk.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(image, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.disk.Rename(temp, s.name); err != nil {
		return err
	}
	return s.disk.SyncDir(path.Dir(s.name))
}

// View implements Store.
func (s *memStore) View() (collection.View, error) {
	state := s.state.Load()
	if state.shut {
		return nil, errClosed()
	}
	return memView{state}, nil
}

// Close implements Store. Open views stay readable.
func (s *memStore) Close() error {
	state := *s.state.Load()
	state.shut = true
	s.state.Store(&state)
	return nil
}

// memView is a committed state as a view.
type memView struct{ state *memState }

// AppliedIndex implements collection.View.
func (v memView) AppliedIndex() uint64 { return v.state.meta.Applied }

// Close implements collection.View.
func (v memView) Close() {}

// Get implements collection.Reader.
func (v memView) Get(bucket byte, key []byte) ([]byte, error) {
	value, _ := v.state.data.get(bucket, key)
	return value, nil
}

// Scan implements collection.Reader.
func (v memView) Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error {
	for c := v.state.data.cursor(bucket, from, to); c.ok; c.next() {
		if !fn(c.item.key, c.item.value) {
			break
		}
	}
	return nil
}

// Remove implements Store.
func (s *memStore) Remove() error {
	_ = s.Close()
	if err := s.disk.Remove(s.name); err != nil {
		return err
	}
	return s.disk.SyncDir(path.Dir(s.name))
}
