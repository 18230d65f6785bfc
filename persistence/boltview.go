package persistence

import (
	"bytes"
	"errors"
	"sync/atomic"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/hivehub/waggle/collection"
)

// boltView is one bbolt read transaction. A read transaction changes nothing
// of its own after it began, so goroutines may share the view.
type boltView struct {
	store   *boltStore
	tx      *bbolt.Tx
	applied uint64
	buckets [collection.BucketEnd]atomic.Pointer[bbolt.Bucket]
	cursors [collection.BucketEnd]atomic.Pointer[bbolt.Cursor] // idle ones, for Get
	closed  atomic.Bool
}

// View implements Store.
func (s *boltStore) View() (collection.View, error) {
	v := &boltView{store: s}
	err := s.run("view", func() (err error) {
		if v.tx, err = s.db.Begin(false); err != nil {
			return err
		}
		c := s.last.Load()
		if v.tx.ID() != c.txid { // a commit is just ending
			m, err := s.readMeta(v.tx)
			v.applied = m.Applied
			return err
		}
		v.applied = c.meta.Applied
		return nil
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return nil, errClosed()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// AppliedIndex implements collection.View.
func (v *boltView) AppliedIndex() uint64 { return v.applied }

// Close implements collection.View.
func (v *boltView) Close() {
	if v.closed.CompareAndSwap(false, true) && !v.store.corrupt() {
		_ = v.tx.Rollback() // of a read transaction: cannot fail
	}
}

// bucket opens a bucket once; opening costs a search of the root.
func (v *boltView) bucket(number byte) (*bbolt.Bucket, error) {
	if b := v.buckets[number].Load(); b != nil {
		return b, nil
	}
	b := v.tx.Bucket([]byte{number})
	if b == nil {
		return nil, corrupt("no bucket %d", number)
	}
	v.buckets[number].Store(b)
	return b, nil
}

// Get implements collection.Reader.
func (v *boltView) Get(bucket byte, key []byte) (value []byte, err error) {
	err = v.store.run("get", func() error {
		cursor := v.cursors[bucket].Swap(nil)
		if cursor == nil {
			b, err := v.bucket(bucket)
			if err != nil {
				return err
			}
			cursor = b.Cursor()
		}
		if k, sealed := cursor.Seek(key); k != nil && bytes.Equal(k, key) {
			value, err = unseal(bucket, key, bytes.Clone(bounded(sealed)))
		}
		v.cursors[bucket].Store(cursor)
		return err
	})
	return value, err
}

// The first chunk of a scan is small, for the many scans that want one page,
// and a scan that wants more than a few chunks is a wide one.
const (
	chunkFirst = 4 << 10
	chunkMost  = 16 << 10
)

// Scan implements collection.Reader. It copies a chunk of keys and values out
// of the map at a time, so that fn never runs where a fault would be caught.
func (v *boltView) Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error {
	s := boltScan{view: v, bucket: bucket, from: from, to: to}
	for limit := chunkFirst; limit <= chunkMost && !s.done; limit *= 2 {
		if err := v.store.run("scan", func() error { return s.fill(limit) }); err != nil {
			return err
		}
		start := 0
		for _, p := range s.pairs {
			if !fn(s.buf[start:p.key:p.key], s.buf[p.key+crcBytes:p.end:p.end]) {
				return nil
			}
			start = p.end
		}
	}
	if s.done {
		return nil
	}
	return v.scanWide(bucket, s.lastKey(), to, fn)
}

// boltScan is a scan between two chunks.
type boltScan struct {
	view     *boltView
	cursor   *bbolt.Cursor
	bucket   byte
	from, to []byte
	done     bool // the last chunk is in buf

	buf   []byte // key, checksum, value, key, ...
	pairs []struct{ key, end int }
}

// lastKey is the key of the last pair in buf.
func (s *boltScan) lastKey() []byte {
	start := 0
	if n := len(s.pairs); n > 1 {
		start = s.pairs[n-2].end
	}
	return s.buf[start:s.pairs[len(s.pairs)-1].key]
}

// fill copies the next pairs, up to about limit bytes and at least one.
func (s *boltScan) fill(limit int) error {
	s.buf, s.pairs = s.buf[:0], s.pairs[:0]
	key, sealed, err := s.step()
	for err == nil && key != nil && (s.to == nil || bytes.Compare(key, s.to) < 0) {
		if len(key) > keyBytesMax {
			return corrupt("bucket %d: key of %d bytes", s.bucket, len(key))
		}
		start := len(s.buf)
		s.buf = append(s.buf, key...)
		split := len(s.buf)
		s.buf = append(s.buf, bounded(sealed)...)
		if _, err := unseal(s.bucket, s.buf[start:split], s.buf[split:]); err != nil {
			return err
		}
		s.pairs = append(s.pairs, struct{ key, end int }{split, len(s.buf)})
		if len(s.buf) >= limit {
			return nil
		}
		key, sealed, err = s.step()
	}
	s.done = true
	return err
}

// step moves to the next pair, at first to the first one.
func (s *boltScan) step() (key, sealed []byte, err error) {
	if s.cursor != nil {
		key, sealed = s.cursor.Next()
		return key, sealed, nil
	}
	b, err := s.view.bucket(s.bucket)
	if err != nil {
		return nil, nil, err
	}
	s.cursor = b.Cursor()
	if s.from == nil {
		key, sealed = s.cursor.First()
	} else {
		key, sealed = s.cursor.Seek(s.from)
	}
	return key, sealed, nil
}
