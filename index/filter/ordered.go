package filter

import (
	"cmp"
	"slices"
)

// ordered is the values of a field in ascending order, each with its slots: a
// list of blocks, which are split when they are full.
type ordered[T cmp.Ordered] struct {
	blocks []*block[T]
	values int
}

type block[T cmp.Ordered] struct {
	values []T
	sets   []set
}

const (
	blockMax   = 256
	valueBytes = 8 + setBytes + 12 // of a value in a block that is two thirds full
)

// find is where a value is, or belongs.
func (o *ordered[T]) find(v T) (b, at int, ok bool) {
	b, _ = slices.BinarySearchFunc(o.blocks, v, func(b *block[T], v T) int { return cmp.Compare(b.values[len(b.values)-1], v) })
	if b == len(o.blocks) {
		return b, 0, false
	}
	at, ok = slices.BinarySearch(o.blocks[b].values, v)
	return b, at, ok
}

// change adds a slot to a value's, or removes it, and returns how many bytes
// more that takes.
func (o *ordered[T]) change(v T, slot uint32, add bool) (bytes int) {
	b, at, ok := o.find(v)
	if !ok {
		if !add {
			return 0
		}
		b, at = o.insert(b, at, v)
		bytes = valueBytes
	}
	to := o.blocks[b]
	bytes += to.sets[at].change(slot, add)
	if to.sets[at].count == 0 {
		o.delete(b, at)
		bytes -= valueBytes
	}
	return bytes
}

// insert makes room for a value where find says that it belongs.
func (o *ordered[T]) insert(b, at int, v T) (int, int) {
	o.values++
	if b == len(o.blocks) { // greater than all
		if b == 0 || len(o.blocks[b-1].values) == blockMax {
			o.blocks = append(o.blocks, &block[T]{})
		} else {
			b--
		}
		at = len(o.blocks[b].values)
	} else if full := o.blocks[b]; len(full.values) == blockMax {
		const half = blockMax / 2
		o.blocks = slices.Insert(o.blocks, b+1, &block[T]{
			values: slices.Clone(full.values[half:]), sets: slices.Clone(full.sets[half:]),
		})
		full.values, full.sets = slices.Clone(full.values[:half]), slices.Clone(full.sets[:half])
		if at > half {
			b, at = b+1, at-half
		}
	}
	to := o.blocks[b]
	to.values = slices.Insert(to.values, at, v)
	to.sets = slices.Insert(to.sets, at, set{})
	return b, at
}

func (o *ordered[T]) delete(b, at int) {
	o.values--
	from := o.blocks[b]
	from.values = slices.Delete(from.values, at, at+1)
	from.sets = slices.Delete(from.sets, at, at+1)
	if len(from.values) == 0 {
		o.blocks = slices.Delete(o.blocks, b, b+1)
	}
}

// get returns the slots of a value, nil when there are none.
func (o *ordered[T]) get(v T) *set {
	if b, at, ok := o.find(v); ok {
		return &o.blocks[b].sets[at]
	}
	return nil
}

// span is a part of an order: what is neither below nor above. Both must agree
// with the order.
type span[T cmp.Ordered] struct {
	below, above func(T) bool
}

// addTo adds the slots of a span's values to a bitmap, those of at most so many
// blocks. It returns the last value it came to, and whether there are more.
func (o *ordered[T]) addTo(bitmap []uint64, s span[T], blocks int) (last T, more bool) {
	first, _ := slices.BinarySearchFunc(o.blocks, false, func(b *block[T], _ bool) int { return before(s.below(b.values[len(b.values)-1])) })
	for _, b := range o.blocks[first:] {
		if blocks--; blocks < 0 {
			return last, true
		}
		last = b.values[len(b.values)-1]
		sets, ends := b.sets, s.above(last)
		if ends {
			end, _ := slices.BinarySearchFunc(b.values, false, func(v T, _ bool) int { return before(!s.above(v)) })
			sets = sets[:end]
		}
		if s.below(b.values[0]) {
			from, _ := slices.BinarySearchFunc(b.values, false, func(v T, _ bool) int { return before(s.below(v)) })
			sets = sets[min(from, len(sets)):]
		}
		addSets(bitmap, sets)
		if ends {
			return last, false
		}
	}
	return last, false
}

// addSets adds the slots of sets to a bitmap. Most have but one.
func addSets(bitmap []uint64, sets []set) {
	for i := range sets {
		s := &sets[i]
		if slot := s.only; s.rest != nil {
			s.addTo(bitmap)
		} else if word := int(slot / 64); word < len(bitmap) {
			bitmap[word] |= 1 << (slot % 64)
		}
	}
}

// before is how a binary search takes what is below a span.
func before(below bool) int {
	if below {
		return -1
	}
	return 1
}
