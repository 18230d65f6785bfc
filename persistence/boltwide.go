package persistence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// A scan that goes on for long reads the leaves of its bucket with reads of the
// file, several at a time, and not through bbolt's map. bbolt tells the system
// that its map is read at random: a cold one comes a page at a time, and each is
// a fault that keeps one of Go's processors from doing anything else. 40 MB took
// 70 ms like that, with the system asked for pages ahead (MADV_WILLNEED), where
// the disk needs 30.
//
// The pages of a read transaction are not written to until it ends, so the file
// and the map show the same.
const (
	wideFirst   = 64 << 10  // of the first piece, at least a leaf; then each is twice the one before,
	wideMost    = 512 << 10 // up to this
	wideAhead   = 8         // pieces read or being read beyond the one that is looked at; at first none
	wideReaders = 4         // goroutines of a scan
	wideAll     = 16        // and of all scans of a store: one that finds none left reads for itself
)

// leafWalk lists the leaves of a tree, in order, from the branch pages alone.
type leafWalk struct {
	r        io.ReaderAt
	pageSize int
	to       []byte   // leaves from here on are not listed; nil: all are
	path     []branch // from the root down to above the leaves
	depth    int      // of a whole path
	first    uint64   // the first leaf, until it is listed
	length   uint64   // its pages
}

// branch is a branch page, and which of its elements comes next.
type branch struct {
	page page
	next int
}

// walkLeaves begins at the leaf that holds from, or would; nil is the first.
func walkLeaves(r io.ReaderAt, pageSize int, root uint64, from, to []byte) (*leafWalk, error) {
	l := &leafWalk{r: r, pageSize: pageSize, to: to}
	for id := root; ; l.depth++ {
		p, err := readPage(r, pageSize, id, nil)
		if err != nil {
			return nil, err
		}
		if p.flags() == flagLeaf {
			l.first, l.length = id, p.pages(pageSize)
			return l, nil
		}
		if l.depth == depthMost || p.flags() != flagBranch || p.count() == 0 {
			return nil, corrupt("page %d at depth %d has flags %#x and %d elements", id, l.depth, p.flags(), p.count())
		}
		at, err := p.search(from)
		if err != nil {
			return nil, err
		}
		l.path = append(l.path, branch{p, at + 1})
		id = p.child(at)
	}
}

// pages is about how many pages a leaf takes, for the guess at the next ones.
func (p page) pages(pageSize int) uint64 { return uint64(min(len(p), wideMost) / pageSize) }

// search returns the last element of a branch page whose key is not above key,
// or the first.
func (p page) search(key []byte) (int, error) {
	low, high := 0, p.count()
	for high-low > 1 {
		mid := (low + high) / 2
		e, err := p.element(mid)
		if err != nil {
			return 0, err
		}
		if bytes.Compare(e.key, key) <= 0 {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}

// next returns the next leaf's page, or false after the last.
func (l *leafWalk) next() (id uint64, ok bool, err error) {
	if l.first != 0 {
		id, l.first = l.first, 0
		return id, true, nil
	}
	for len(l.path) > 0 {
		b := &l.path[len(l.path)-1]
		if b.next == b.page.count() {
			l.path = l.path[:len(l.path)-1]
			continue
		}
		e, err := b.page.element(b.next)
		if err != nil {
			return 0, false, err
		}
		if l.to != nil && bytes.Compare(e.key, l.to) >= 0 {
			l.path = nil
			break
		}
		id := b.page.child(b.next)
		b.next++
		if len(l.path) == l.depth {
			return id, true, nil
		}
		p, err := readPage(l.r, l.pageSize, id, nil)
		if err != nil {
			return 0, false, err
		}
		if p.flags() != flagBranch || p.count() == 0 {
			return 0, false, corrupt("page %d, above leaves, has flags %#x and %d elements", id, p.flags(), p.count())
		}
		l.path = append(l.path, branch{p, 0})
	}
	return 0, false, nil
}

// piece is leaves that are read at once.
type piece struct {
	runs   []run
	leaves []leaf
	size   int // bytes of all runs
	buf    []byte
	err    error
	given  bool          // to a reader,
	read   chan struct{} // which says here that it is through with it
}

// pieceMost is how long a piece's buffer is at most for it to be used again.
const pieceMost = 2 * wideMost

// keep gives up a piece that nobody reads.
func (p *piece) keep() {
	if cap(p.buf) <= pieceMost {
		pieces.Put(p)
	}
}

// run is pages that lie side by side.
type run struct {
	id, pages uint64
	at        int // in the piece's buf
}

// leaf is a leaf page, and the run that it begins in.
type leaf struct {
	id  uint64
	run int
}

// add adds a leaf that is about as long as length pages. Up to the next leaf in
// the file the bytes are taken for its own, unless it were twice as long.
func (p *piece) add(id, length uint64, pageSize int) {
	if n := len(p.runs); n > 0 {
		last, before := &p.runs[n-1], p.leaves[len(p.leaves)-1].id
		if id > before && id-before <= 2*length {
			more := id + length - last.id - last.pages
			last.pages += more
			p.size += int(more) * pageSize
			p.leaves = append(p.leaves, leaf{id: id, run: n - 1})
			return
		}
	}
	p.leaves = append(p.leaves, leaf{id: id, run: len(p.runs)})
	p.runs = append(p.runs, run{id, length, p.size})
	p.size += int(length) * pageSize
}

// fill reads the leaves, or says in err why it could not.
func (p *piece) fill(r io.ReaderAt, pageSize int) {
	if cap(p.buf) < p.size {
		p.buf = make([]byte, p.size, max(p.size, min(2*p.size, pieceMost)))
	}
	p.buf = p.buf[:p.size]
	for _, run := range p.runs {
		b := p.buf[run.at : run.at+int(run.pages)*pageSize]
		n, err := r.ReadAt(b, int64(run.id)*int64(pageSize))
		if err != nil && !errors.Is(err, io.EOF) {
			p.err = corrupt("read %d pages from %d on: %w", run.pages, run.id, err)
			return
		}
		clear(b[n:]) // the file ends here: the last leaf was thought to be longer
	}
}

// page returns a leaf. One that is longer than it was thought to be is read.
func (p *piece) page(l leaf, r io.ReaderAt, pageSize int) (page, error) {
	run := p.runs[l.run]
	found := page(p.buf[run.at+int(l.id-run.id)*pageSize : run.at+int(run.pages)*pageSize])
	if own := binary.LittleEndian.Uint64(found); own != l.id {
		return nil, corrupt("page %d says it is %d", l.id, own)
	}
	var err error
	if length := (1 + uint64(binary.LittleEndian.Uint32(found[12:]))) * uint64(pageSize); length <= uint64(len(found)) {
		found = found[:length]
	} else if found, err = readPage(r, pageSize, l.id, nil); err != nil {
		return nil, err
	}
	if found.flags() != flagLeaf || found.count() > (len(found)-pageHeader)/elementBytes {
		return nil, corrupt("page %d, of a leaf, has flags %#x and %d elements", l.id, found.flags(), found.count())
	}
	return found, nil
}
