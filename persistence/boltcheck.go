package persistence

import (
	"encoding/binary"
	"hash/fnv"
	"io"
)

// What is read here of bbolt's format, version 2. All numbers are
// little-endian (bbolt writes the machine's own).
//
//	page:   id u64 | flags u16 | count u16 | overflow u32 | elements
//	meta:   magic u32 | version u32 | page size u32 | flags u32 | bucket |
//	        free list u64 | high water u64 | txid u64 | FNV-64a u64
//	bucket: root u64 (0 = inline page follows) | sequence u64
//	branch: pos u32 | key size u32 | page u64
//	leaf:   flags u32 (1 = bucket) | pos u32 | key size u32 | value size u32
//
// pos counts from the element to its key.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader   = 16
	metaBytes    = 64
	bucketBytes  = 16
	elementBytes = 16

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01
)

// checkBolt reads the skeleton of a bbolt file: the meta pages, the free list,
// the list of buckets and every branch page, but not the leaves. bbolt trusts
// all of it: a branch page that leads back to itself would overflow the stack,
// and a page both free and in use would be overwritten, which no recover and
// no checksum of a value could make good. It costs one read in about a
// hundred pages.
func checkBolt(r io.ReaderAt, size int64) error {
	meta, err := newestMeta(r, size)
	if err != nil {
		return err
	}
	if meta.high > uint64(size)/uint64(meta.pageSize) {
		return corrupt("%d pages of %d bytes in use, file has %d bytes", meta.high, meta.pageSize, size)
	}
	c := boltCheck{r: r, pageSize: meta.pageSize, seen: make([]bool, meta.high)}
	if err := c.freelist(meta.freelist); err != nil {
		return err
	}
	var roots []uint64
	err = c.tree(meta.root, func(p page) error {
		more, err := p.buckets()
		roots = append(roots, more...)
		return err
	})
	for _, root := range roots {
		if err == nil {
			err = c.tree(root, nil)
		}
	}
	return err
}

// boltMeta is a valid meta page.
type boltMeta struct {
	pageSize                   int
	root, freelist, high, txid uint64
}

// newestMeta returns the valid meta page of the later transaction. It looks
// for the second one where the first says, or at every page size when the first
// is torn: as bbolt does.
func newestMeta(r io.ReaderAt, size int64) (boltMeta, error) {
	first, ok := readBoltMeta(r, 0, size)
	if ok {
		if second, ok := readBoltMeta(r, int64(first.pageSize), size); ok && second.txid > first.txid {
			return second, nil
		}
		return first, nil
	}
	for at := int64(1024); at < size; at *= 2 {
		if second, ok := readBoltMeta(r, at, size); ok && int64(second.pageSize) == at {
			return second, nil
		}
	}
	return boltMeta{}, corrupt("no valid meta page")
}

func readBoltMeta(r io.ReaderAt, at, size int64) (m boltMeta, ok bool) {
	b := make([]byte, pageHeader+metaBytes)
	if at+int64(len(b)) > size {
		return m, false
	}
	if _, err := r.ReadAt(b, at); err != nil {
		return m, false // bbolt goes on with the other one, too
	}
	return decodeBoltMeta(b[pageHeader:])
}

func decodeBoltMeta(b []byte) (m boltMeta, ok bool) {
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaBytes-8])
	if binary.LittleEndian.Uint64(b[metaBytes-8:]) != sum.Sum64() ||
		binary.LittleEndian.Uint32(b) != boltMagic || binary.LittleEndian.Uint32(b[4:]) != boltVersion {
		return m, false
	}
	m = boltMeta{
		pageSize: int(binary.LittleEndian.Uint32(b[8:])),
		root:     binary.LittleEndian.Uint64(b[16:]),
		freelist: binary.LittleEndian.Uint64(b[32:]),
		high:     binary.LittleEndian.Uint64(b[40:]),
		txid:     binary.LittleEndian.Uint64(b[48:]),
	}
	return m, m.pageSize >= 1024 && m.pageSize <= 1<<24
}

// boltCheck is a check under way.
type boltCheck struct {
	r        io.ReaderAt
	pageSize int
	seen     []bool // pages met so far: none may be met twice
}

// page is a page with its overflow.
type page []byte

func (p page) flags() uint16 { return binary.LittleEndian.Uint16(p[8:]) }
func (p page) count() int    { return int(binary.LittleEndian.Uint16(p[10:])) }

// mark notes that n pages from id on are met.
func (c *boltCheck) mark(id, n uint64) error {
	if id < 2 || id >= uint64(len(c.seen)) || n > uint64(len(c.seen))-id {
		return corrupt("page %d of %d, %d used", id, n, len(c.seen))
	}
	for i := id; i < id+n; i++ {
		if c.seen[i] {
			return corrupt("page %d used twice", i)
		}
		c.seen[i] = true
	}
	return nil
}

// overflowMost is far above any page's of a store: 256 MB of free page ids.
const overflowMost = 1 << 16

// read reads a page that is marked, and marks its overflow.
func (c *boltCheck) read(id uint64) (page, error) {
	return readPage(c.r, c.pageSize, id, func(more uint64) error { return c.mark(id+1, more) })
}

// readPage reads a page and checks that it is what it says it is. longer, if
// it is not nil, is asked before more pages are read.
func readPage(r io.ReaderAt, pageSize int, id uint64, longer func(more uint64) error) (page, error) {
	p := make(page, pageSize)
	if _, err := r.ReadAt(p, int64(id)*int64(pageSize)); err != nil {
		return nil, corrupt("read page %d: %w", id, err)
	}
	if own := binary.LittleEndian.Uint64(p); own != id {
		return nil, corrupt("page %d says it is %d", id, own)
	}
	if more := uint64(binary.LittleEndian.Uint32(p[12:])); more > 0 {
		if more > overflowMost {
			return nil, corrupt("page %d is %d pages long", id, more)
		}
		if longer != nil {
			if err := longer(more); err != nil {
				return nil, err
			}
		}
		p = append(p, make([]byte, more*uint64(pageSize))...)
		if _, err := r.ReadAt(p[pageSize:], int64(id+1)*int64(pageSize)); err != nil {
			return nil, corrupt("read page %d: %w", id, err)
		}
	}
	if f := p.flags(); f != flagFreelist && p.count() > (len(p)-pageHeader)/elementBytes {
		return nil, corrupt("page %d has %d elements", id, p.count())
	}
	return p, nil
}

// freelist marks the free pages, so that no tree may use them.
func (c *boltCheck) freelist(id uint64) error {
	ids, err := c.freelistPage(id)
	if err != nil {
		return err
	}
	return c.markFree(ids)
}

// freelistPage returns the ids of the free pages, 8 bytes each.
func (c *boltCheck) freelistPage(id uint64) ([]byte, error) {
	if err := c.mark(id, 1); err != nil {
		return nil, err
	}
	p, err := c.read(id)
	if err != nil {
		return nil, err
	}
	if p.flags() != flagFreelist {
		return nil, corrupt("free list page %d has flags %#x", id, p.flags())
	}
	ids, n := p[pageHeader:], uint64(p.count())
	if n == 0xFFFF { // the count did not fit
		ids, n = ids[8:], binary.LittleEndian.Uint64(ids)
	}
	if n > uint64(len(ids)/8) {
		return nil, corrupt("free list of %d pages in %d bytes", n, len(ids))
	}
	return ids[:8*n], nil
}

func (c *boltCheck) markFree(ids []byte) error {
	for ; len(ids) > 0; ids = ids[8:] {
		if err := c.mark(binary.LittleEndian.Uint64(ids), 1); err != nil {
			return err
		}
	}
	return nil
}

// tree walks a tree level by level down to its leaves, which are all at the
// same depth. It reads the leaves only to call leaf with them, if that is not nil.
func (c *boltCheck) tree(root uint64, leaf func(page) error) error {
	for level := []uint64{root}; len(level) > 0; {
		for _, id := range level {
			if err := c.mark(id, 1); err != nil {
				return err
			}
		}
		var below []uint64
		var kind uint16 // of the pages on this level
		for i, id := range level {
			p, err := c.read(id)
			if err != nil {
				return err
			}
			if i == 0 {
				kind = p.flags()
			}
			switch {
			case p.flags() == kind && kind == flagBranch && p.count() > 0:
				below = p.children(below)
			case p.flags() == kind && kind == flagLeaf:
				if leaf == nil {
					return nil
				}
				if err := leaf(p); err != nil {
					return err
				}
			default:
				return corrupt("page %d has flags %#x, its level %#x, and %d elements", id, p.flags(), kind, p.count())
			}
		}
		level = below
	}
	return nil
}

func (p page) children(ids []uint64) []uint64 {
	for i := range p.count() {
		ids = append(ids, p.child(i))
	}
	return ids
}

// child is the page that the i-th element of a branch leads to.
func (p page) child(i int) uint64 {
	return binary.LittleEndian.Uint64(p[pageHeader+i*elementBytes+8:])
}

// buckets returns the roots of the buckets on a leaf of the root tree.
func (p page) buckets() (roots []uint64, err error) {
	for i := range p.count() {
		at := pageHeader + i*elementBytes
		e := p[at:]
		pos, k, v := binary.LittleEndian.Uint32(e[4:]), binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
		start := uint64(at) + uint64(pos) + uint64(k)
		if binary.LittleEndian.Uint32(e) != flagBucket || v < bucketBytes || start+uint64(v) > uint64(len(p)) {
			return nil, corrupt("bucket %d of its page: %d bytes at %d", i, v, start)
		}
		value := p[start : start+uint64(v)]
		if root := binary.LittleEndian.Uint64(value); root != 0 {
			roots = append(roots, root)
			continue
		}
		inline := value[bucketBytes:]
		if len(inline) < pageHeader || inline.flags() != flagLeaf || inline.count() > (len(inline)-pageHeader)/elementBytes {
			return nil, corrupt("bucket %d of its page: bad inline page of %d bytes", i, len(inline))
		}
	}
	return roots, nil
}
