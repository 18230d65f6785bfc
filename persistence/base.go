package persistence

import (
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
)

// base is a store under a partition, with what stopped it, for as long as
// anybody reads it: a partition that switched to another store leaves this one
// to the views that are open on it.
type base struct {
	store Store
	err   atomic.Pointer[error] // what stopped it; final

	// refs are the views, images and running checkpoint writes, and one of the
	// partition until it switches. At 0 the store is closed and its file removed.
	refs atomic.Int64
}

func newBase(store Store) *base {
	b := &base{store: store}
	b.refs.Store(1)
	return b
}

// acquire adds a reference, unless there is none left.
func (b *base) acquire() bool {
	for {
		n := b.refs.Load()
		if n == 0 {
			return false
		}
		if b.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release drops a reference. The last one removes the file; what a failure
// leaves there is swept at the next start.
func (b *base) release() {
	if b.refs.Add(-1) == 0 {
		_ = b.store.Remove()
	}
}

// Err returns what stopped the store's readers, or nil.
func (b *base) Err() error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *base) stop(err error) { b.err.CompareAndSwap(nil, &err) }

// fail stops the partition on this store when err is DataLoss, and returns err.
func (b *base) fail(err error) error {
	if collection.CodeOf(err) == collection.DataLoss {
		b.stop(err)
	}
	return err
}
