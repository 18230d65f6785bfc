package filter

import "slices"

// ids finds slots by the hash of their point's id. A point that was replaced
// has several, of which a view sees one.
type ids struct {
	first map[uint64]uint32
	more  map[uint64][]uint32
}

func newIDs() ids { return ids{map[uint64]uint32{}, map[uint64][]uint32{}} }

const idBytes, moreIDBytes = 24, 64

// change adds a slot to an id's, or removes it, and returns how many bytes
// more that takes.
func (t *ids) change(id uint64, slot uint32, add bool) (bytes int) {
	first, ok := t.first[id]
	switch {
	case add && !ok:
		t.first[id] = slot
		return idBytes
	case add:
		t.more[id] = append(t.more[id], slot)
		return moreIDBytes
	case !ok:
		return 0
	}
	more := t.more[id]
	at := slices.Index(more, slot)
	switch {
	case first == slot && len(more) == 0:
		delete(t.first, id)
		return -idBytes
	case first == slot:
		t.first[id], at = more[0], 0
	case at < 0:
		return 0
	}
	if more = slices.Delete(more, at, at+1); len(more) == 0 {
		delete(t.more, id)
	} else {
		t.more[id] = more
	}
	return -moreIDBytes
}

// addTo adds the slots of an id to a bitmap.
func (t *ids) addTo(bitmap []uint64, id uint64) {
	slot, ok := t.first[id]
	if !ok {
		return
	}
	one := set{count: 1, only: slot}
	one.addTo(bitmap)
	for _, one.only = range t.more[id] {
		one.addTo(bitmap)
	}
}
