package hnsw

import (
	"slices"
	"sync/atomic"

	"github.com/hivehub/waggle/index/flat"
)

const (
	sweepLeast = 64   // vertices worth a pass, and
	sweepShare = 16   // one in how many of all of them
	sweepStep  = 32   // lists looked at in the time it takes to link a vertex, about
	sweepLook  = 4096 // removed slots looked at in the time of a few
)

// pass is a sweep under way: one pass over all lists, which replaces each link
// to a leaving vertex by the best of what that linked to.
type pass struct {
	leavers   []uint32
	next, end uint32 // slots still to look at
}

// sweep takes removed vertices out of the graph once there are enough of them
// that no view sees. It works for about as long as it takes to link limit
// vertices, and reports whether there was work for it, or else may be at the
// next try.
func (x *Index) sweep(w *walker, limit int) (done, again bool) {
	if x.leaving.Load() < x.sweepWorth() || !x.sweeping.TryLock() {
		return false, false
	}
	defer x.sweeping.Unlock()
	p := &x.pass
	if len(p.leavers) == 0 {
		if begun, more := x.beginPass(); !begun {
			return false, more
		}
	}
	v := x.flat.Pin()
	defer v.Release()
	w.begin(x, v)
	for steps := limit * sweepStep; p.next < p.end && steps > 0; steps-- {
		x.stall()
		if slot := p.next; !w.memory.place(slot).is(gone) {
			x.mendAll(w, slot)
		}
		p.next++
	}
	if p.next == p.end {
		x.endPass(w)
	}
	return true, false
}

// beginPass takes the removed vertices that no view sees, if they are enough,
// and flags them. If they are not, it reports whether there are more to look at:
// it looks at some of the removed ones at a time, most of which may be waiting
// to be linked, or be seen by a view for long.
//
// Looking at all of them before each step, and a pass for each few that leave,
// once took longer than the build beside which points were deleted.
func (x *Index) beginPass() (begun, more bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m, v := x.memory.Load(), x.flat.Pin()
	defer v.Release()
	if oldest := x.flat.Oldest(); oldest != x.mu.oldest {
		x.mu.oldest, x.mu.look = oldest, len(x.mu.removed)
	}
	x.trim()
	if x.mu.unsure && len(x.mu.tail) == 0 { // what waited is a vertex now, or never will be
		x.mu.unsure, x.mu.look = false, len(x.mu.removed)
	}
	x.sort(m, v, min(x.mu.look, sweepLook))
	if int64(len(x.mu.unseen)) < x.sweepWorth() {
		return false, x.mu.look > 0
	}
	x.passes.Add(1)
	x.gone.Add(int64(len(x.mu.unseen)))
	for _, slot := range x.mu.unseen {
		m.mark(slot, gone)
	}
	// A vertex that is not published yet begins to link after the flags: next
	// takes the lock that is held here.
	x.pass = pass{leavers: x.mu.unseen, end: v.Slots()}
	x.mu.unseen = nil
	return true, false
}

// sort looks at the removed slots longest not looked at. It frees what was
// removed before it became a vertex, and sets vertices that no view sees apart.
func (x *Index) sort(m *memory, v *flat.View, n int) {
	some := x.mu.removed[:n]
	x.mu.removed, x.mu.look = x.mu.removed[n:], x.mu.look-n
	for _, slot := range some {
		switch p := m.place(slot); {
		case p.is(dropped):
			x.mu.free = append(x.mu.free, slot)
			x.leaving.Add(-1)
		case p.is(linked) && v.RemovedBy(slot, x.mu.oldest):
			x.mu.unseen = append(x.mu.unseen, slot)
		default:
			x.mu.removed = append(x.mu.removed, slot)
			x.mu.unsure = x.mu.unsure || !p.is(linked)
		}
	}
}

// sweepWorth is how many vertices have to leave for a pass over all of them to
// be worth it.
func (x *Index) sweepWorth() int64 {
	return max(sweepLeast, (x.vectors.Load()+x.leaving.Load())/sweepShare)
}

// endPass frees the vertices that nothing links to any more.
//
// A builder that finds the pass ended after its vertex was linked sees to the
// vertex itself; adopt finds the others.
func (x *Index) endPass(w *walker) {
	x.stall()
	x.leaveEntry()
	x.stall()
	x.passes.Add(1)
	x.leaveEntry()    // there may have been none
	v := x.flat.Pin() // has what was linked before
	defer v.Release()
	for range adoptTurns {
		if w.begin(x, v); !x.adopt(w, v) {
			break
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.free = append(x.mu.free, x.pass.leavers...)
	x.leaving.Add(-int64(len(x.pass.leavers)))
	x.pass = pass{}
}

// mendAll mends the lists of a vertex. What is new in them links back, because
// a way that leads in one direction only is soon lost.
func (x *Index) mendAll(w *walker, slot uint32) {
	for level := range x.level(slot) + 1 {
		for _, c := range x.mend(w, slot, level) {
			x.linkBack(w, c.slot(), level, candidate{c.distance, slot})
		}
	}
}

// mend replaces what leaves in a list by the nearest of the neighbours it had
// there, in other directions than where the list leads already. It returns what
// is new in the list.
func (x *Index) mend(w *walker, slot uint32, level int) []candidate {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	m := w.memory
	list := m.list(slot, level)
	w.heirs = w.heirs[:0]
	w.seen.add(slot)
	defer w.seen.clear()
	w.slots = read(list, w.slots[:0])
	leaving := 0
	for _, s := range w.slots {
		w.seen.add(s)
		if !m.place(s).is(gone) {
			continue
		}
		leaving++
		for heir := range links(m.list(s, level)) {
			if heir < w.limit && !m.place(heir).is(gone) && w.seen.add(heir) {
				w.heirs = append(w.heirs, heir)
			}
		}
	}
	if leaving == 0 {
		return nil
	}
	w.slots = slices.DeleteFunc(w.slots, func(s uint32) bool { return m.place(s).is(gone) })
	w.aimAt(slot)
	w.kept = append(w.kept[:0], w.ranked()...)
	stayed := len(w.kept)
	w.slots = append(w.slots[:0], w.heirs...)
	rest := w.ranked()
	rest = rest[:min(len(rest), 2*len(list))]
	for _, c := range w.kept {
		rest = w.elsewhere(c.slot(), rest)
	}
	w.kept = w.diverse(w.kept, rest, len(list))
	write(list, w.kept)
	return w.kept[stayed:]
}

// adoptTurns is how often a pass looks for vertices that no way leads to, while
// it finds some: a vertex that is linked again may take the last way to another.
const adoptTurns = 4

// adopt finds the vertices that no way leads to from the entry point, and
// links them again. It reports whether there were any.
func (x *Index) adopt(w *walker, v *flat.View) (found bool) {
	entry, _, ok := x.entryPoint()
	if !ok {
		return false
	}
	m := w.memory
	reached := make([]uint64, (w.limit+63)/64)
	var next []uint32
	reach := func(slot uint32) {
		if word, bit := &reached[slot/64], uint64(1)<<(slot%64); *word&bit == 0 {
			*word |= bit
			next = append(next, slot)
		}
	}
	from := func(start uint32) {
		reach(start)
		for len(next) > 0 {
			slot := next[len(next)-1]
			next = next[:len(next)-1]
			w.slots = read(m.list(slot, 0), w.slots[:0])
			for _, s := range w.slots {
				if s < w.limit {
					reach(s)
				}
			}
		}
	}
	from(entry)
	for slot := range v.Slots() {
		p := m.place(slot)
		if p.is(linked) && !p.is(gone) && reached[slot/64]>>(slot%64)&1 == 0 {
			x.fetch(w, v, slot, entry)
			from(slot)
			found = true
		}
	}
	return found
}

// fetch links a vertex again that no way leads to. It looks for neighbours by
// ways on the lowest level only: those above may lead to where it came from.
func (x *Index) fetch(w *walker, v *flat.View, slot, entry uint32) {
	w.chosen[0] = w.chosen[0][:0]
	x.choose(w, v, slot, 0, entry)
	x.rejoin(w, slot, 0)
}

// relink looks for a vertex's neighbours again. It returns how many link to it
// on the lowest level: none only if all that it found are being taken out.
func (x *Index) relink(w *walker, v *flat.View, slot uint32) (ways int) {
	x.seek(w, v, slot)
	x.stall()
	for l := x.level(slot); l > 0; l-- {
		x.rejoin(w, slot, l)
	}
	return x.rejoin(w, slot, 0)
}

// rejoin links a vertex and those chosen for a level to each other, and returns
// how many link to it. If all their lists are full of nearer ones, it puts the
// vertex between the nearest and another.
func (x *Index) rejoin(w *walker, slot uint32, level int) (ways int) {
	for _, c := range w.chosen[level] {
		x.connect(w, slot, level, c)
		if x.connect(w, c.slot(), level, candidate{c.distance, slot}) {
			ways++
		}
	}
	for _, c := range w.chosen[level] {
		if ways > 0 || level > 0 {
			break
		}
		if x.between(w, c, slot) {
			ways++
		}
	}
	return ways
}

// between puts a vertex on the way from another, of which it is a candidate, to
// the last in its list: what that way led to stays reached.
func (x *Index) between(w *walker, c candidate, slot uint32) bool {
	from := w.memory.list(c.slot(), 0)
	last := len(from) - 1
	next := atomic.LoadUint32(&from[last])
	if next == 0 || next-1 == slot || !x.putLast(w, slot, next-1) {
		return false
	}
	lock := x.vertex(c.slot())
	lock.Lock()
	defer lock.Unlock()
	w.slots = read(from, w.slots[:0])
	if slices.Contains(w.slots, slot) {
		return !x.leaves(w.memory, c.slot())
	}
	if x.leaves(w.memory, slot) || from[last] != next {
		return false
	}
	atomic.StoreUint32(&from[last], slot+1)
	return !x.leaves(w.memory, c.slot())
}

// putLast makes a vertex link to another, in place of its last link if there is
// no room.
func (x *Index) putLast(w *walker, slot, to uint32) bool {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	if x.leaves(w.memory, to) {
		return false
	}
	list := w.memory.list(slot, 0)
	if !w.appended(list, slot, candidate{vertex: to}) {
		atomic.StoreUint32(&list[len(list)-1], to+1)
	}
	return true
}

// leaveEntry makes another vertex the entry point if it leaves, or there is none.
func (x *Index) leaveEntry() {
	x.rising.Lock()
	defer x.rising.Unlock()
	m := x.memory.Load()
	if entry, _, ok := x.entryPoint(); !ok || m.place(entry).is(gone) {
		x.enterAtBest(m)
	}
}

// enterAtBest makes one of the highest vertices that stay the entry point.
func (x *Index) enterAtBest(m *memory) {
	best, highest := uint32(0), -1
	for slot := range m.room {
		if p := m.place(slot); p.is(linked) && !p.is(gone) && x.level(slot) > highest {
			best, highest = slot, x.level(slot)
		}
	}
	if highest < 0 {
		x.entry.Store(0)
		return
	}
	x.enterAt(best, highest)
}
