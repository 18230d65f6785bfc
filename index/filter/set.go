package filter

import (
	"math/bits"
	"slices"
)

// set is a set of slots: a roaring bitmap (arXiv 1603.06549) without runs. A
// single slot, which most values of most fields have, lies in the set itself;
// more are in containers of 65,536 slots each, a sorted list or a bitmap.
//
// It is written here because a search needs the union of a set with a bitmap
// of its own, as long as its view is: the libraries write whole containers
// over what is there, and past its end.
type set struct {
	count uint32
	only  uint32       // its slot, when there are no containers and count is 1
	rest  *[]container // ascending by key
}

type container struct {
	key   uint32 // its slots >> 16
	count int32
	list  []uint16                // ascending, unless
	bits  *[containerWords]uint64 // there is a bitmap
}

const (
	containerWords = 1 << 16 / 64
	listMax        = 4096 // a longer list takes more than a bitmap
	listAgain      = 2048 // a bitmap of fewer becomes a list
)

// What a set takes in bytes, besides its own 16.
const (
	setBytes       = 16
	containerBytes = 24 + 40
	bitmapBytes    = 8 * containerWords
)

// change adds a slot, or removes it, and returns how many bytes more that
// takes. What is so already stays.
func (s *set) change(slot uint32, add bool) (bytes int) {
	switch {
	case s.rest != nil:
	case s.count == 0:
		if add {
			s.count, s.only = 1, slot
		}
		return 0
	case s.only == slot:
		if !add {
			s.count = 0
		}
		return 0
	case !add:
		return 0
	default:
		s.rest = &[]container{}
		s.count = 0
		bytes = s.change(s.only, true)
	}
	if add {
		return bytes + s.insert(slot)
	}
	return bytes + s.delete(slot)
}

// find is where the container of a slot is, or belongs. Most slots come in
// order.
func (s *set) find(slot uint32) (at int, ok bool) {
	if n := len(*s.rest); n > 0 && (*s.rest)[n-1].key <= slot>>16 {
		last := (*s.rest)[n-1].key
		return n - 1 + int(min(slot>>16-last, 1)), last == slot>>16
	}
	return slices.BinarySearchFunc(*s.rest, slot>>16, func(c container, key uint32) int { return int(c.key) - int(key) })
}

func (s *set) insert(slot uint32) (bytes int) {
	at, ok := s.find(slot)
	if !ok {
		*s.rest = slices.Insert(*s.rest, at, container{key: slot >> 16})
		bytes = containerBytes
	}
	c := &(*s.rest)[at]
	added, grown := c.insert(uint16(slot))
	if added {
		s.count++
	}
	return bytes + grown
}

func (s *set) delete(slot uint32) (bytes int) {
	at, ok := s.find(slot)
	if !ok {
		return 0
	}
	c := &(*s.rest)[at]
	removed, bytes := c.delete(uint16(slot))
	if removed {
		s.count--
	}
	if c.count == 0 {
		bytes -= c.bytes()
		*s.rest = slices.Delete(*s.rest, at, at+1)
	}
	if s.count == 0 {
		s.rest = nil
	}
	return bytes
}

func (c *container) bytes() int {
	if c.bits != nil {
		return containerBytes + bitmapBytes
	}
	return containerBytes + 2*cap(c.list)
}

func (c *container) insert(low uint16) (added bool, bytes int) {
	if c.bits != nil {
		word, bit := &c.bits[low/64], uint64(1)<<(low%64)
		added = *word&bit == 0
		*word |= bit
	} else {
		at, ok := len(c.list), false
		if at > 0 && c.list[at-1] >= low { // else they come in order
			at, ok = slices.BinarySearch(c.list, low)
		}
		if ok {
			return false, 0
		}
		added = true
		before := cap(c.list)
		if c.list = slices.Insert(c.list, at, low); len(c.list) > listMax {
			bytes = bitmapBytes - 2*before
			c.toBits()
		} else {
			bytes = 2 * (cap(c.list) - before)
		}
	}
	if added {
		c.count++
	}
	return added, bytes
}

func (c *container) delete(low uint16) (removed bool, bytes int) {
	if c.bits == nil {
		at, ok := slices.BinarySearch(c.list, low)
		if ok {
			c.list = slices.Delete(c.list, at, at+1)
			c.count--
		}
		return ok, 0
	}
	word, bit := &c.bits[low/64], uint64(1)<<(low%64)
	if *word&bit == 0 {
		return false, 0
	}
	*word &^= bit
	if c.count--; c.count == listAgain {
		c.toList()
		bytes = 2*cap(c.list) - bitmapBytes
	}
	return true, bytes
}

func (c *container) toBits() {
	c.bits = new([containerWords]uint64)
	for _, low := range c.list {
		c.bits[low/64] |= 1 << (low % 64)
	}
	c.list = nil
}

func (c *container) toList() {
	c.list = make([]uint16, 0, c.count)
	for i, w := range c.bits {
		for ; w != 0; w &= w - 1 {
			c.list = append(c.list, uint16(64*i+bits.TrailingZeros64(w)))
		}
	}
	c.bits = nil
}

// addTo adds the set's slots to a bitmap. Those past its end are left out.
func (s *set) addTo(bitmap []uint64) {
	if s.rest == nil {
		if s.count == 1 && int(s.only/64) < len(bitmap) {
			bitmap[s.only/64] |= 1 << (s.only % 64)
		}
		return
	}
	for i := range *s.rest {
		c := &(*s.rest)[i]
		first := int(c.key) * containerWords
		if first >= len(bitmap) {
			return
		}
		c.addTo(bitmap[first:min(first+containerWords, len(bitmap))])
	}
}

func (c *container) addTo(words []uint64) {
	if c.bits != nil {
		for i := range words {
			words[i] |= c.bits[i]
		}
		return
	}
	for _, low := range c.list {
		if int(low/64) >= len(words) {
			return
		}
		words[low/64] |= 1 << (low % 64)
	}
}
