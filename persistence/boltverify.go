package persistence

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/hivehub/waggle/collection"
)

// depthMost is far above any tree's of a store.
const depthMost = 32

// verifyBolt reads all of a bbolt file, without mapping it: the skeleton (see
// checkBolt), every key in its place, every value against its checksum, and
// all of them against the digest in the meta record, which it returns. The
// store must have a commit.
func verifyBolt(r io.ReaderAt, size int64) (Meta, error) {
	if err := checkBolt(r, size); err != nil {
		return Meta{}, err
	}
	meta, err := newestMeta(r, size)
	if err != nil {
		return Meta{}, err
	}
	v := boltVerify{check: boltCheck{r: r, pageSize: meta.pageSize, seen: make([]bool, meta.high)}}
	var buckets []element
	// Names are checked below; that the pages are of the list only, was above.
	err = v.walk(meta.root, 0, nil, nil, func(e element) error {
		buckets = append(buckets, element{e.flags, bytes.Clone(e.key), bytes.Clone(e.value)})
		return nil
	})
	if err != nil {
		return Meta{}, err
	}
	for _, b := range buckets {
		if err := v.bucket(b); err != nil {
			return Meta{}, err
		}
	}
	if want := int(collection.BucketEnd - collection.BucketMeta); len(buckets) != want {
		return Meta{}, corrupt("%d buckets of %d", len(buckets), want)
	}
	return v.result()
}

// result compares what was read with what the meta record says.
func (v *boltVerify) result() (Meta, error) {
	if v.record == nil {
		return Meta{}, corrupt("no meta record")
	}
	m, err := decodeMeta(v.record)
	if err != nil {
		return Meta{}, err
	}
	return m, m.verify(v.digest)
}

// verify compares what a store says of itself with the digest of its content.
func (m *Meta) verify(sum digest) error {
	if m.Applied == 0 {
		return corrupt("store without a commit")
	}
	if got := sum.bytes(); got != m.Digest {
		return corrupt("digest %x at %d, recounted %x", m.Digest, m.Applied, got)
	}
	return nil
}

// boltVerify is a verification under way.
type boltVerify struct {
	check  boltCheck
	digest digest
	record []byte // the meta record
}

// element is a key and value on a leaf, or a key and a page on a branch.
type element struct {
	flags      uint32
	key, value []byte
}

// element returns the i-th element, with the value empty on a branch.
func (p page) element(i int) (element, error) {
	at := pageHeader + i*elementBytes
	if at+elementBytes > len(p) {
		return element{}, corrupt("element %d in %d bytes", i, len(p))
	}
	u := func(k int) uint64 { return uint64(binary.LittleEndian.Uint32(p[at+k:])) }
	if p.flags() == flagBranch {
		start := uint64(at) + u(0)
		if start+u(4) > uint64(len(p)) {
			return element{}, corrupt("key %d of a branch: %d bytes at %d", i, u(4), start)
		}
		return element{key: p[start : start+u(4)]}, nil
	}
	start := uint64(at) + u(4)
	mid, end := start+u(8), start+u(8)+u(12)
	if end > uint64(len(p)) {
		return element{}, corrupt("element %d of a leaf: %d and %d bytes at %d", i, u(8), u(12), start)
	}
	return element{uint32(u(0)), p[start:mid], p[mid:end]}, nil
}

// bucket verifies what is in one bucket.
func (v *boltVerify) bucket(b element) error {
	if b.flags != flagBucket || len(b.key) != 1 || b.key[0] < collection.BucketMeta || b.key[0] >= collection.BucketEnd || len(b.value) < bucketBytes {
		return corrupt("bucket %x with flags %#x and %d bytes", b.key, b.flags, len(b.value))
	}
	leaf := func(e element) error { return v.value(b.key[0], e) }
	if root := binary.LittleEndian.Uint64(b.value); root != 0 {
		return v.walk(root, 0, nil, nil, leaf)
	}
	inline := page(b.value[bucketBytes:])
	if len(inline) < pageHeader || inline.flags() != flagLeaf {
		return corrupt("bucket %x: inline page of %d bytes", b.key, len(inline))
	}
	return inline.each(nil, nil, func(_ int, e element) error { return leaf(e) })
}

// value takes in one key and value.
func (v *boltVerify) value(bucket byte, e element) error {
	if e.flags != 0 || len(e.key) > keyBytesMax {
		return corrupt("bucket %d key %.100x: flags %#x", bucket, e.key, e.flags)
	}
	plain, err := unseal(bucket, e.key, e.value)
	switch {
	case err != nil:
		return err
	case bucket != collection.BucketMeta:
		v.digest.add(bucket, e.key, plain)
	case bytes.Equal(e.key, metaKey):
		v.record = bytes.Clone(plain)
	}
	return nil
}

// each calls fn with the elements of a page, whose keys must ascend from low,
// included, to high, excluded (nil = no bound).
func (p page) each(low, high []byte, fn func(i int, e element) error) error {
	last := low
	for i := range p.count() {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		if order := bytes.Compare(e.key, last); order < 0 || order == 0 && i > 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return corrupt("key %.100x after %.100x, before %.100x", e.key, last, high)
		}
		last = e.key
		if err := fn(i, e); err != nil {
			return err
		}
	}
	return nil
}

// walk calls leaf with every element of a tree, in order.
func (v *boltVerify) walk(id uint64, depth int, low, high []byte, leaf func(element) error) error {
	if err := v.check.mark(id, 1); err != nil {
		return err
	}
	p, err := v.check.read(id)
	if err != nil {
		return err
	}
	switch p.flags() {
	case flagLeaf:
		return p.each(low, high, func(_ int, e element) error { return leaf(e) })
	case flagBranch:
		if depth == depthMost || p.count() == 0 {
			return corrupt("branch page %d of %d elements at depth %d", id, p.count(), depth)
		}
		children := p.children(nil)
		return p.each(low, high, func(i int, e element) error {
			upper := high
			if i+1 < len(children) {
				next, err := p.element(i + 1)
				if err != nil {
					return err
				}
				upper = next.key
			}
			return v.walk(children[i], depth+1, e.key, upper, leaf)
		})
	default:
		return corrupt("page %d has flags %#x", id, p.flags())
	}
}
