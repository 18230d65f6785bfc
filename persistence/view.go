package persistence

import (
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
)

// snapshot is the delta of one applied index. It does not change.
type snapshot struct {
	base           *base
	active, frozen *delta
	applied        uint64
	digest         digest
	used           atomic.Bool // a view was made of it
}

// publish replaces the published snapshot after a change. Where no view has
// asked for the last one, it leaves the work to the next view. The caller
// holds mu.
func (p *Partition) publish() {
	if s := p.published.Load(); s != nil && s.used.Load() {
		p.published.Store(p.snapshot())
	} else {
		p.published.Store(nil)
	}
}

// snapshot copies the delta. The caller holds mu.
func (p *Partition) snapshot() *snapshot {
	return &snapshot{base: p.base.Load(), active: p.active.copy(), frozen: p.frozen, applied: p.meta.Applied, digest: p.digest}
}

// current returns the published snapshot, publishing it when there is none.
func (p *Partition) current() *snapshot {
	if s := p.published.Load(); s != nil {
		return s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.currentLocked()
}

func (p *Partition) currentLocked() *snapshot {
	s := p.published.Load()
	if s == nil {
		s = p.snapshot()
		p.published.Store(s)
	}
	return s
}

// view is the layers of one applied index. Goroutines may share it.
type view struct {
	base   *base
	delta  *snapshot
	store  collection.View
	closed atomic.Bool
}

// View returns the state after the last Apply that has returned, or a later
// one. It may be used by several goroutines, and must be closed after the last.
func (p *Partition) View() (collection.View, error) {
	v, err := p.view()
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (p *Partition) view() (*view, error) {
	for {
		s := p.current()
		v, err := s.view()
		if s.base != p.base.Load() { // the partition switched to another store
			if err == nil {
				v.Close()
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		// A store that is behind the snapshot is fine, see the package comment.
		// One that is ahead had two checkpoints since the snapshot was loaded.
		if v.store.AppliedIndex() <= v.delta.applied {
			return v, nil
		}
		v.Close()
	}
}

// view lays s over its store as that is now.
func (s *snapshot) view() (*view, error) {
	if err := s.base.Err(); err != nil {
		return nil, err
	}
	if !s.base.acquire() {
		return nil, errClosed()
	}
	if !s.used.Load() {
		s.used.Store(true)
	}
	store, err := s.base.store.View()
	if err != nil {
		s.base.release()
		return nil, s.base.fail(err)
	}
	return &view{base: s.base, delta: s, store: store}, nil
}

// AppliedIndex implements collection.View.
func (v *view) AppliedIndex() uint64 { return v.delta.applied }

// Close implements collection.View.
func (v *view) Close() {
	if v.closed.CompareAndSwap(false, true) {
		v.store.Close()
		v.base.release()
	}
}

// Get implements collection.Reader.
func (v *view) Get(bucket byte, key []byte) ([]byte, error) {
	if value, found := v.delta.active.get(bucket, key); found {
		return value, nil
	}
	if v.delta.frozen != nil {
		if value, found := v.delta.frozen.get(bucket, key); found {
			return value, nil
		}
	}
	value, err := v.store.Get(bucket, key)
	return value, v.base.fail(err)
}

// Scan implements collection.Reader.
func (v *view) Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error {
	return v.base.fail(scanMerged(v.delta.active, v.delta.frozen, v.store, bucket, from, to, fn))
}
