package hnsw

import "math"

// candidate is a vertex a walk has seen, and its distance.
type candidate struct {
	distance float32
	vertex   uint32 // slot, and the flags below
}

const (
	slotsMax = 1 << 30
	slotMask = slotsMax - 1
	refused  = 1 << 30 // not in the answer, only on the way
	expanded = 1 << 31
)

func (c candidate) slot() uint32 { return c.vertex & slotMask }

// pool is the nearest candidates of a walk, nearest first: as many as it takes
// to have ef that are not refused. One array is both of HNSW's queues; for the
// widths of searches, moving its end by memmove beats two heaps.
type pool struct {
	ef       int
	items    []candidate
	accepted int
	next     int     // items before it are expanded
	limit    float32 // nothing this far or farther is wanted
}

func (p *pool) reset(ef int) {
	*p = pool{ef: ef, items: p.items[:0], limit: float32(math.Inf(1))}
}

// offer takes a candidate nearer than limit, or any while there is room.
func (p *pool) offer(c candidate) {
	low, high := 0, len(p.items)
	for low < high {
		middle := int(uint(low+high) / 2)
		if p.items[middle].distance <= c.distance {
			low = middle + 1
		} else {
			high = middle
		}
	}
	p.items = append(p.items, candidate{})
	copy(p.items[low+1:], p.items[low:])
	p.items[low] = c
	p.next = min(p.next, low)
	if c.vertex&refused != 0 {
		return
	}
	if p.accepted++; p.accepted >= p.ef {
		p.trim()
	}
}

// trim leaves ef accepted candidates and none behind the last of them.
func (p *pool) trim() {
	n := len(p.items)
	for ; p.accepted > p.ef || p.items[n-1].vertex&refused != 0; n-- {
		if p.items[n-1].vertex&refused == 0 {
			p.accepted--
		}
	}
	p.items = p.items[:n]
	p.limit = p.items[n-1].distance
}

// take returns the nearest candidate that is not expanded, and expands it.
func (p *pool) take() (candidate, bool) {
	for ; p.next < len(p.items); p.next++ {
		if c := &p.items[p.next]; c.vertex&expanded == 0 {
			c.vertex |= expanded
			return *c, true
		}
	}
	return candidate{}, false
}
