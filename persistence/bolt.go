package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/hivehub/waggle/collection"
)

const (
	// mapBytes is the address space mapped for a store, at least twice its
	// file. bbolt remaps a file that outgrows its map, and that waits for every
	// open view; address space costs nothing, and 1,024 partitions take half of
	// what Linux gives a process.
	mapBytes = 64 << 30

	// growBytes is the step in which a file grows. Each costs an fsync, but a
	// checkpoint needs one growth at most.
	growBytes = 1 << 20

	// lockWait bounds the wait for the file's lock: another process holds it.
	lockWait = time.Second

	// fillAppend is how full a page of a bucket with ascending keys is left:
	// nothing will be inserted into it. fillInsert leaves room.
	fillAppend = 0.95
	fillInsert = 0.6
)

var metaKey = []byte("meta")

// boltStore is a Store in one bbolt file.
type boltStore struct {
	path string
	db   *bbolt.DB
	file *os.File // db's own
	last atomic.Pointer[committed]
	err  atomic.Pointer[error] // DataLoss or a failed commit; final

	readers chan struct{} // one for each goroutine that reads for a wide scan
}

// committed is the meta of the bbolt transaction txid.
type committed struct {
	txid int
	meta Meta
}

// OpenBolt opens the store in the bbolt file at path, making it when it is not
// there. A corrupt file is an error with the code DataLoss, and leaves the
// file unlocked and as it was.
func OpenBolt(path string) (Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createBolt(path); err != nil {
			return nil, fmt.Errorf("create store %s: %w", path, err)
		}
	}
	s := &boltStore{path: path, readers: make(chan struct{}, wideAll)}
	err := guarded(path, "open", s.open)
	if err == nil {
		return s, nil
	}
	if s.file != nil {
		_ = s.abandon() // err says more
	}
	return nil, fmt.Errorf("open store %s: %w", path, err)
}

// abandon closes the file of a store that cannot be closed through bbolt, which
// after a panic may hold its own locks for good. The map stays, because views
// may still read it, and it would keep the file's lock.
func (s *boltStore) abandon() error {
	err := syscall.Flock(int(s.file.Fd()), syscall.LOCK_UN)
	return errors.Join(err, s.file.Close())
}

// createBolt makes an empty store in a file of another name and renames it: a
// crash while bbolt lays out its first pages must not leave half a store.
func createBolt(path string) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{NoSync: true, NoStatistics: true})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for b := collection.BucketMeta; b < collection.BucketEnd; b++ {
			if _, err := tx.CreateBucket([]byte{b}); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, db.Sync(), db.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *boltStore) open() error {
	size, err := s.check()
	if err != nil {
		return err
	}
	s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
		Timeout:         lockWait,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: max(mapBytes, 2*int(size)),
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
			s.file = f
			return f, err
		},
	})
	if err != nil {
		return openError(err)
	}
	s.db.AllocSize = growBytes
	return s.db.View(func(tx *bbolt.Tx) error {
		m, err := s.readMeta(tx)
		s.last.Store(&committed{txid: tx.ID(), meta: m})
		return err
	})
}

// check looks at the file before bbolt maps it. The data directory's lock keeps
// other processes from writing to it meanwhile.
func (s *boltStore) check() (size int64, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), checkBolt(f, info.Size())
}

// openError words the error of a file that the check has found sound.
func openError(err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return errors.New("in use by another process")
	}
	return err
}

// readMeta returns the zero Meta for a store without a commit.
func (s *boltStore) readMeta(tx *bbolt.Tx) (Meta, error) {
	b := tx.Bucket([]byte{collection.BucketMeta})
	if b == nil {
		return Meta{}, corrupt("no meta bucket")
	}
	sealed := b.Get(metaKey)
	if sealed == nil {
		return Meta{}, nil
	}
	plain, err := unseal(collection.BucketMeta, metaKey, sealed)
	if err != nil {
		return Meta{}, err
	}
	return decodeMeta(plain)
}

// run guards fn, which reads or writes the map. What it finds corrupt is
// final: bbolt keeps its locks when it panics.
func (s *boltStore) run(what string, fn func() error) error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	err := guarded(s.path, what, fn)
	if collection.CodeOf(err) == collection.DataLoss {
		s.err.CompareAndSwap(nil, &err)
	}
	return err
}

func (s *boltStore) corrupt() bool {
	err := s.err.Load()
	return err != nil && collection.CodeOf(*err) == collection.DataLoss
}

// Meta implements Store.
func (s *boltStore) Meta() Meta { return s.last.Load().meta }

// Commit implements Store.
func (s *boltStore) Commit(m Meta, changes iter.Seq[Change]) error {
	next := committed{meta: m}
	err := s.run("commit", func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			next.txid = tx.ID()
			w := boltWriter{tx: tx}
			for c := range changes {
				if err := w.write(c); err != nil {
					return err
				}
			}
			return w.write(Change{Bucket: collection.BucketMeta, Key: metaKey, Value: encodeMeta(m)})
		})
	})
	if err != nil {
		err = fmt.Errorf("commit to store %s: %w", s.path, err)
		s.err.CompareAndSwap(nil, &err)
		return err
	}
	s.last.Store(&next)
	return nil
}

// Close implements Store.
func (s *boltStore) Close() error {
	if s.corrupt() {
		return s.abandon()
	}
	return s.db.Close()
}

// boltWriter writes changes into one bbolt transaction.
type boltWriter struct {
	tx     *bbolt.Tx
	bucket *bbolt.Bucket
	number byte   // of bucket
	arena  []byte // sealed values; bbolt keeps them until the commit
}

const arenaBytes = 256 << 10

func (w *boltWriter) write(c Change) error {
	if w.bucket == nil || w.number != c.Bucket {
		if w.bucket = w.tx.Bucket([]byte{c.Bucket}); w.bucket == nil {
			return corrupt("no bucket %d", c.Bucket)
		}
		w.number = c.Bucket
		w.bucket.FillPercent = fillInsert
		if c.Bucket == collection.BucketPoints || c.Bucket == collection.BucketTombstones {
			w.bucket.FillPercent = fillAppend
		}
	}
	if c.Value == nil {
		return w.bucket.Delete(c.Key)
	}
	return w.bucket.Put(c.Key, w.seal(c))
}

func (w *boltWriter) seal(c Change) []byte {
	n := crcBytes + len(c.Value)
	if cap(w.arena)-len(w.arena) < n {
		w.arena = make([]byte, 0, max(n, arenaBytes))
	}
	start := len(w.arena)
	w.arena = appendSealed(w.arena, c.Bucket, c.Key, c.Value)
	return w.arena[start:len(w.arena):len(w.arena)]
}

// Remove implements Store.
func (s *boltStore) Remove() error {
	err := errors.Join(s.Close(), os.Remove(s.path))
	return errors.Join(err, syncDir(filepath.Dir(s.path)))
}
