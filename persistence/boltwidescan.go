package persistence

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// wideScan is a wide scan under way. Its readers end with it; the rest belongs
// to the goroutine that scans.
type wideScan struct {
	file   io.ReaderAt
	bucket byte
	last   []byte // key: what comes is above it
	to     []byte
	key    []byte // memory for last

	leaves *leafWalk
	length uint64 // pages of a leaf, lately
	limit  int    // bytes of the next piece
	ahead  int    // pieces in the queue, at most
	queue  []*piece
	now    *piece // the one that is looked at,
	left   []leaf // and what is left of it
	begun  bool   // there was a pair
	done   bool   // everything was looked at
	pairs  []pair // of a leaf

	places  chan struct{} // see boltStore.readers
	tasks   chan *piece   // for the readers; nil until there are some
	readers sync.WaitGroup
	stopped atomic.Bool
}

type pair struct{ key, value []byte }

// pieces keeps the memory of scans for the next ones.
var pieces = sync.Pool{New: func() any { return &piece{read: make(chan struct{}, 1)} }}

// scanWide calls fn with the pairs above the key after and below to.
func (v *boltView) scanWide(bucket byte, after, to []byte, fn func(key, value []byte) bool) error {
	s := v.store
	w := &wideScan{file: s.file, bucket: bucket, last: after, to: to, places: s.readers}
	defer w.close()
	err := s.run("scan", func() error {
		b, err := v.bucket(bucket)
		if err != nil {
			return err
		}
		return w.begin(uint64(b.Root()), s.db.Info().PageSize)
	})
	for err == nil && !w.done {
		err = s.run("scan", w.next)
		for _, p := range w.pairs {
			if err != nil || !fn(p.key, p.value) {
				return err
			}
		}
	}
	return err
}

func (w *wideScan) begin(root uint64, pageSize int) (err error) {
	w.limit = wideFirst
	if w.leaves, err = walkLeaves(w.file, pageSize, root, w.last, w.to); err == nil {
		w.length = w.leaves.length
	}
	return err
}

// next looks at the next leaf. Its pairs stay as they are until the next call.
func (w *wideScan) next() error {
	w.pairs = w.pairs[:0]
	if len(w.left) == 0 {
		if err := w.nextPiece(); err != nil || w.done {
			return err
		}
	}
	p, err := w.now.page(w.left[0], w.file, w.leaves.pageSize)
	if err != nil {
		return err
	}
	w.left = w.left[1:]
	w.length = p.pages(w.leaves.pageSize)
	return w.take(p)
}

// nextPiece waits for the next piece, and has others read beside it.
func (w *wideScan) nextPiece() error {
	if w.now != nil {
		w.now.keep()
		w.now = nil
	}
	if err := w.plan(); err != nil {
		return err
	}
	if len(w.queue) == 0 {
		w.done = true
		return nil
	}
	w.now = w.queue[0]
	w.queue = append(w.queue[:0], w.queue[1:]...)
	if w.now.given {
		<-w.now.read
	} else {
		w.now.fill(w.file, w.leaves.pageSize)
	}
	w.left = w.now.leaves
	return w.now.err
}

// take checks what is on a leaf.
func (w *wideScan) take(p page) error {
	for i := range p.count() {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		if e.flags != 0 || len(e.key) == 0 || len(e.key) > keyBytesMax {
			return corrupt("bucket %d: flags %#x, key of %d bytes", w.bucket, e.flags, len(e.key))
		}
		if w.to != nil && bytes.Compare(e.key, w.to) >= 0 {
			w.done = true
			return nil
		}
		if bytes.Compare(e.key, w.last) <= 0 {
			if w.begun {
				return corrupt("bucket %d: key %.100x after %.100x", w.bucket, e.key, w.last)
			}
			continue
		}
		value, err := unseal(w.bucket, e.key, e.value)
		if err != nil {
			return err
		}
		w.pairs = append(w.pairs, pair{e.key[:len(e.key):len(e.key)], value[:len(value):len(value)]})
		w.last, w.begun = e.key, true
	}
	if len(w.pairs) > 0 {
		w.last = append(w.key[:0], w.last...) // the page will be gone
		w.key = w.last
	}
	return nil
}

// plan fills the queue, of which there is more with each piece.
func (w *wideScan) plan() error {
	w.ahead = min(w.ahead+1, wideAhead)
	for len(w.queue) < w.ahead {
		p, err := w.piece()
		if err != nil || len(p.leaves) == 0 {
			p.keep()
			return err
		}
		w.limit = min(2*w.limit, wideMost)
		w.queue = append(w.queue, p)
		if w.ahead > 1 && w.tasks == nil {
			w.hire()
		}
		if p.given = w.tasks != nil && w.ahead > 1; p.given {
			w.tasks <- p
		}
	}
	return nil
}

// piece takes the next leaves; none when there are none left.
func (w *wideScan) piece() (*piece, error) {
	p := pieces.Get().(*piece)
	p.runs, p.leaves, p.size = p.runs[:0], p.leaves[:0], 0
	p.err, p.given = nil, false
	for p.size < w.limit {
		id, ok, err := w.leaves.next()
		if err != nil || !ok {
			return p, err
		}
		p.add(id, w.length, w.leaves.pageSize)
	}
	return p, nil
}

// hire starts readers, as many as there are places for.
func (w *wideScan) hire() {
	for range wideReaders {
		select {
		case w.places <- struct{}{}:
		default:
			return
		}
		if w.tasks == nil {
			w.tasks = make(chan *piece, wideAhead) // one that is given to them always finds room
		}
		w.readers.Go(func() {
			defer func() { <-w.places }()
			for p := range w.tasks {
				if !w.stopped.Load() {
					p.fill(w.file, w.leaves.pageSize)
				}
				p.read <- struct{}{}
			}
		})
	}
}

// close ends the readers and waits for them.
func (w *wideScan) close() {
	w.stopped.Store(true)
	if w.tasks != nil {
		close(w.tasks)
	}
	w.readers.Wait()
	for _, p := range w.queue {
		if p.given {
			<-p.read
		}
		p.keep()
	}
	if w.now != nil {
		w.now.keep()
	}
}
