package hnsw

import "slices"

const (
	sweepLeast = 64 // vertices worth a pass over all lists
	sweepShare = 16 // one in so many of the vertices is, too
)

// sweep takes removed vertices out of the graph once there are enough of them
// that no view sees: one pass over all lists replaces each link to such a
// vertex by the best of what it linked to. It returns how many it took out.
func (x *Index) sweep(w *walker) int {
	if !x.sweeping.TryLock() {
		return 0
	}
	defer x.sweeping.Unlock()
	leavers, n := x.leavers()
	if len(leavers) == 0 {
		return n
	}
	m := x.memory.Load()
	for _, slot := range leavers {
		m.mark(slot, gone)
	}
	x.gone.Add(int64(len(leavers)))
	// A vertex that is not in this view begins to link after the flags.
	v := x.flat.Pin()
	defer v.Release()
	w.begin(x, v)
	for slot := range v.Slots() {
		if !w.memory.place(slot).is(gone) {
			for level := range x.level(slot) + 1 {
				x.mend(w, slot, level)
			}
		}
	}
	x.leaveEntry(w.memory)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.free = append(x.mu.free, leavers...)
	x.leaving.Add(-int64(len(leavers)))
	return n + len(leavers)
}

// leavers takes from the removed ones the vertices that no view sees, if they
// are enough. It frees what was removed before it became a vertex, and returns
// how many these were.
func (x *Index) leavers() (leavers []uint32, freed int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m, v := x.memory.Load(), x.flat.Pin()
	defer v.Release()
	oldest := x.flat.Oldest()
	var rest []uint32
	for _, slot := range x.mu.removed {
		switch p := m.place(slot); {
		case p.is(dropped):
			x.mu.free = append(x.mu.free, slot)
			freed++
		case p.is(linked) && v.RemovedBy(slot, oldest):
			leavers = append(leavers, slot)
		default:
			rest = append(rest, slot)
		}
	}
	if len(leavers) < max(sweepLeast, v.Len()/sweepShare) {
		rest = append(rest, leavers...)
		leavers = nil
	}
	x.mu.removed = rest
	x.leaving.Add(-int64(freed))
	return leavers, freed
}

// mend replaces what leaves in a list by the neighbours it had there.
func (x *Index) mend(w *walker, slot uint32, level int) {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	m := w.memory
	w.slots = w.below(m.list(slot, level))
	if !slices.ContainsFunc(w.slots, func(s uint32) bool { return m.place(s).is(gone) }) {
		return
	}
	defer w.seen.clear()
	w.seen.add(slot)
	var heirs []uint32
	inherit := func(slots []uint32) {
		for _, s := range slots {
			if !m.place(s).is(gone) && w.seen.add(s) {
				heirs = append(heirs, s)
			}
		}
	}
	old := slices.Clone(w.slots)
	inherit(old)
	for _, s := range old {
		if m.place(s).is(gone) {
			inherit(w.below(m.list(s, level)))
		}
	}
	w.aimAt(slot)
	x.rewrite(w, slot, level, heirs)
}

// leaveEntry makes one of the highest vertices that stay the entry point.
func (x *Index) leaveEntry(m *memory) {
	x.rising.Lock()
	defer x.rising.Unlock()
	entry, _, ok := x.entryPoint()
	if !ok || !m.place(entry).is(gone) {
		return
	}
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
