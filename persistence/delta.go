package persistence

import (
	"bytes"
	"iter"

	"github.com/tidwall/btree"

	"github.com/hivehub/waggle/collection"
)

// item is one key of a delta; a nil value says that the key is deleted.
type item struct{ key, value []byte }

func itemLess(a, b item) bool { return bytes.Compare(a.key, b.key) < 0 }

// itemOverhead is what an item costs beyond its key and value: the item in a
// tree node that is about 70 % full, and the allocator's rounding of both slices.
const itemOverhead = 96

// delta is an ordered set of changed keys, one tree per bucket (nil until
// used). One goroutine changes it; a copy is taken in constant time, shares
// the nodes until they change, and may be read by any goroutine.
type delta struct {
	trees [collection.BucketEnd]*btree.BTreeG[item]
	bytes int64                                // keys, values and overhead
	hints [collection.BucketEnd]btree.PathHint // where the writer was last
}

func (d *delta) get(bucket byte, key []byte) (value []byte, found bool) {
	t := d.trees[bucket]
	if t == nil {
		return nil, false
	}
	it, found := t.Get(item{key: key})
	return it.value, found
}

// find is get for the writer, who often sets next to what it has just looked for.
func (d *delta) find(bucket byte, key []byte) (value []byte, found bool) {
	t := d.trees[bucket]
	if t == nil {
		return nil, false
	}
	it, found := t.GetHint(item{key: key}, &d.hints[bucket])
	return it.value, found
}

// set puts it in place of what was there.
func (d *delta) set(bucket byte, it item) (prev item, replaced bool) {
	t := d.trees[bucket]
	if t == nil {
		t = btree.NewBTreeGOptions(itemLess, btree.Options{NoLocks: true})
		d.trees[bucket] = t
	}
	prev, replaced = t.SetHint(it, &d.hints[bucket])
	if replaced {
		d.bytes -= int64(len(prev.key) + len(prev.value))
	} else {
		d.bytes += itemOverhead
	}
	d.bytes += int64(len(it.key) + len(it.value))
	return prev, replaced
}

// unset forgets key, as if it had never been set.
func (d *delta) unset(bucket byte, key []byte) {
	if prev, ok := d.trees[bucket].Delete(item{key: key}); ok {
		d.bytes -= int64(len(prev.key)+len(prev.value)) + itemOverhead
	}
}

func (d *delta) copy() *delta {
	c := &delta{bytes: d.bytes}
	for i, t := range d.trees {
		if t != nil {
			c.trees[i] = t.Copy()
		}
	}
	return c
}

// changes yields every item in ascending order of bucket and key.
func (d *delta) changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for bucket, t := range d.trees {
			if t == nil {
				continue
			}
			more := true
			t.Scan(func(it item) bool {
				more = yield(Change{Bucket: byte(bucket), Key: it.key, Value: it.value})
				return more
			})
			if !more {
				return
			}
		}
	}
}

// cursor walks one bucket of a delta within [from, to).
type cursor struct {
	iter btree.IterG[item]
	to   []byte
	item item
	ok   bool
}

func (d *delta) cursor(bucket byte, from, to []byte) cursor {
	c := cursor{to: to}
	if d == nil || d.trees[bucket] == nil {
		return c
	}
	c.iter = d.trees[bucket].Iter()
	c.settle(c.iter.Seek(item{key: from}))
	return c
}

func (c *cursor) next() { c.settle(c.iter.Next()) }

func (c *cursor) settle(ok bool) {
	if c.ok = ok; !ok {
		return
	}
	c.item = c.iter.Item()
	c.ok = c.to == nil || bytes.Compare(c.item.key, c.to) < 0
}

// overlay walks two deltas as one: of a key in both, the upper one's item.
type overlay struct{ upper, lower cursor }

// pop returns the least item whose key is at most limit, and steps past it. A
// nil limit is no limit.
func (o *overlay) pop(limit []byte) (it item, ok bool) {
	order := -1
	switch {
	case !o.upper.ok && !o.lower.ok:
		return item{}, false
	case !o.upper.ok:
		order = 1
	case o.lower.ok:
		order = bytes.Compare(o.upper.item.key, o.lower.item.key)
	}
	if it = o.upper.item; order > 0 {
		it = o.lower.item
	}
	if limit != nil && bytes.Compare(it.key, limit) > 0 {
		return item{}, false
	}
	if order <= 0 {
		o.upper.next()
	}
	if order >= 0 {
		o.lower.next()
	}
	return it, true
}

// scanMerged is Reader.Scan over the layers: active over frozen over store.
func scanMerged(active, frozen *delta, store collection.Reader, bucket byte, from, to []byte, fn func(key, value []byte) bool) error {
	over := overlay{upper: active.cursor(bucket, from, to), lower: frozen.cursor(bucket, from, to)}
	more := true
	err := store.Scan(bucket, from, to, func(key, value []byte) bool {
		for {
			it, ok := over.pop(key)
			if !ok {
				more = fn(key, value)
				return more
			}
			if it.value != nil {
				if more = fn(it.key, it.value); !more {
					return false
				}
			}
			if bytes.Equal(it.key, key) {
				return true
			}
		}
	})
	for more && err == nil {
		it, ok := over.pop(nil)
		if !ok {
			break
		}
		if it.value != nil {
			more = fn(it.key, it.value)
		}
	}
	return err
}
