package hnsw

import (
	"iter"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/hivehub/waggle/index/distance"
	"github.com/hivehub/waggle/index/quantize"
)

// memory is the slabs as a reader addresses them, and how: immutable, and
// replaced when a chunk comes.
type memory struct {
	room   uint32 // slots below it have rows; those not below are not walked to
	links  distance.Rows
	places distance.Rows
	uppers distance.Rows
	ready  bool             // codes are settled: there are some, or there will be none
	scalar *quantize.Scalar // nil: the walk is on floats
	codes  distance.Codes
}

// place is where a vertex stands: the row of its upper links (0: none), which
// a slot keeps for ever, and flags.
type place uint32

const (
	linked  place = 1 << 31 // in the graph
	dropped place = 1 << 30 // removed before it was linked
	gone    place = 1 << 29 // being taken out, or out: nothing may link to it
	flags         = linked | dropped | gone

	placeBytes = 4
)

func (p place) is(any place) bool { return p&any != 0 }

func (m *memory) placeOf(slot uint32) *uint32 { return (*uint32)(m.places.At(slot)) }

func (m *memory) place(slot uint32) place { return place(atomic.LoadUint32(m.placeOf(slot))) }

func (m *memory) mark(slot uint32, flag place) { atomic.OrUint32(m.placeOf(slot), uint32(flag)) }

// list is the links of a vertex on a level: slots plus one, zeros behind the
// last. It is nil where the vertex, or this memory, has none.
func (m *memory) list(slot uint32, level int) []uint32 {
	if level == 0 {
		return unsafe.Slice((*uint32)(m.links.At(slot)), m.links.Stride/4)
	}
	upper := uint32(m.place(slot) &^ flags)
	row := upper + uint32(level-1)
	if upper == 0 || int(row>>m.uppers.Shift) >= len(m.uppers.Chunks) {
		return nil
	}
	return unsafe.Slice((*uint32)(m.uppers.At(row)), m.uppers.Stride/4)
}

// links is the slots of a list.
func links(list []uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i := range list {
			link := atomic.LoadUint32(&list[i])
			if link == 0 || !yield(link-1) {
				return
			}
		}
	}
}

// read appends the slots of a list to dst.
func read(list []uint32, dst []uint32) []uint32 { return slices.AppendSeq(dst, links(list)) }

// write replaces a list. Readers beside it see old and new slots.
func write(list []uint32, chosen []candidate) {
	for i, c := range chosen {
		atomic.StoreUint32(&list[i], c.slot()+1)
	}
	for i := len(chosen); i < len(list); i++ {
		atomic.StoreUint32(&list[i], 0)
	}
}

// room makes rows for a slot that is asked for in order. What it made before
// an error is found when it is asked again.
func (x *Index) room(slot uint32) error {
	for _, s := range []*slab{&x.links, &x.places} {
		if err := s.room(slot); err != nil {
			return err
		}
	}
	m := x.memory.Load()
	if m.scalar != nil {
		if err := x.codes.room(slot); err != nil {
			return err
		}
	}
	for level := range x.level(slot) {
		if err := x.uppers.room(x.uppersUp + uint32(level)); err != nil {
			return err
		}
	}
	x.remember(m)
	return nil
}

// remember gives readers the chunks there are now.
func (x *Index) remember(old *memory) {
	room := min(x.links.rows(), x.places.rows(), slotsMax)
	if old.scalar != nil {
		room = min(room, x.codes.rows())
	}
	if uint32(room) == old.room && len(x.uppers.Chunks) == len(old.uppers.Chunks) {
		return
	}
	m := *old
	m.room, m.links, m.places, m.uppers = uint32(room), x.links.Rows, x.places.Rows, x.uppers.Rows
	m.codes.Chunks = x.codes.Chunks
	x.memory.Store(&m)
}

// newPlace gives the upper rows of a slot never used before.
func (x *Index) newPlace(slot uint32) {
	m := x.memory.Load()
	bytes := m.links.Stride + placeBytes + m.codes.Stride + x.codes.extra
	if levels := uint32(x.level(slot)); levels > 0 {
		atomic.StoreUint32(m.placeOf(slot), x.uppersUp)
		x.uppersUp += levels
		bytes += int(levels) * m.uppers.Stride
	}
	x.bytes.Add(int64(bytes))
}

// oldPlace begins another life of a slot. Its lists from the last one go first:
// a sweep takes every list that is not empty for one that is in use.
func (x *Index) oldPlace(slot uint32) {
	m := x.memory.Load()
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	for level := range x.level(slot) + 1 {
		write(m.list(slot, level), nil)
	}
	if place(atomic.AndUint32(m.placeOf(slot), uint32(^flags))).is(gone) {
		x.gone.Add(-1)
	}
}
