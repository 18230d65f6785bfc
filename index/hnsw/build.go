package hnsw

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/hivehub/waggle/index/flat"
)

// Build moves up to limit vectors from the tail into the graph. When none is
// left it takes removed ones out, once enough have gathered. It returns how
// many it moved or took out: 0 means that there is nothing to do now. It may be
// called from several goroutines at once, beside the writer and searches.
func (x *Index) Build(limit int) int {
	if !x.train() {
		return 0
	}
	w := walkers.Get().(*walker)
	defer walkers.Put(w)
	defer runtime.KeepAlive(x) // its slabs are not the collector's
	n := 0
	for ; n < limit; n++ {
		slot, v, ok := x.next()
		if !ok {
			break
		}
		x.link(w, v, slot)
		v.Release()
	}
	if n == 0 {
		n = x.sweep(w)
	}
	return n
}

// next takes a vector from the tail, and a view that has it.
func (x *Index) next() (slot uint32, v *flat.View, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trim()
	if x.mu.taken == len(x.mu.tail) {
		return 0, nil, false
	}
	slot = x.mu.tail[x.mu.taken]
	x.mu.taken++
	return slot, x.flat.Pin(), true
}

// entryPoint is the vertex where walks begin, and the level of it.
func (x *Index) entryPoint() (slot uint32, level int, ok bool) {
	e := x.entry.Load()
	return uint32(e) - 1, int(e >> 32), e != 0
}

func (x *Index) enterAt(slot uint32, level int) {
	x.entry.Store(uint64(level)<<32 | uint64(slot+1))
}

// link makes a vertex of a slot: it searches for neighbours on each of the
// vertex's levels, writes its lists, and only then lets others link to it.
func (x *Index) link(w *walker, v *flat.View, slot uint32) {
	w.begin(x, v)
	if v.Removed(slot) {
		w.memory.mark(slot, dropped)
		return
	}
	level := x.level(slot)
	rises := !w.entered || level > w.top
	if rises {
		x.rising.Lock()
		defer x.rising.Unlock()
		w.begin(x, v)
		rises = !w.entered || level > w.top
	}
	for l := range level + 1 {
		w.chosen[l] = w.chosen[l][:0]
	}
	if w.entered {
		w.aimAt(slot)
		from := w.descend(w.entry, w.top, level)
		for l := min(level, w.top); l >= 0; l-- {
			from = x.choose(w, v, slot, l, from)
		}
	}
	for l := range level + 1 {
		x.writeOwn(w, slot, l)
	}
	for l := range level + 1 {
		for _, c := range w.chosen[l] {
			x.connect(w, c.slot(), l, candidate{c.distance, slot})
		}
	}
	if rises {
		x.enterAt(slot, level)
	}
	w.memory.mark(slot, linked)
}

// choose picks a new vertex's neighbours on a level and returns the nearest
// vertex it met, for the level below.
func (x *Index) choose(w *walker, v *flat.View, slot uint32, level int, from uint32) uint32 {
	w.aimAt(slot)
	_ = w.walk(context.Background(), level, x.options.EfConstruction, from, nil)
	found := w.pool.items
	nearest := found[0].slot()
	if x.leaving.Load() > 0 {
		found = slices.DeleteFunc(found, func(c candidate) bool {
			return c.slot() < v.Slots() && v.Removed(c.slot())
		})
	}
	w.chosen[level] = w.diverse(w.chosen[level], found, x.options.M)
	return nearest
}

// diverse appends to dst up to most of the candidates, which are ordered by
// distance: each is nearer to the vertex they are for than to any chosen before
// it, so that links lead in all directions. It aims the scorer elsewhere.
func (w *walker) diverse(dst, candidates []candidate, most int) []candidate {
	rest := append(w.spare[:0], candidates...)
	w.spare = rest
	w.batch(len(rest))
	for len(rest) > 0 && len(dst) < most {
		keep := rest[0]
		dst = append(dst, keep)
		rest = rest[1:]
		if len(rest) == 0 || len(dst) == most {
			break
		}
		w.aimAt(keep.slot())
		w.slots = w.slots[:0]
		for _, c := range rest {
			w.slots = append(w.slots, c.slot())
		}
		w.score(w.slots, w.distances)
		n := 0
		for i, c := range rest {
			if w.distances[i] >= c.distance {
				rest[n] = c
				n++
			}
		}
		rest = rest[:n]
	}
	return dst
}

func (x *Index) vertex(slot uint32) *sync.Mutex { return &x.vertices[slot%uint32(len(x.vertices))] }

// writeOwn writes a new vertex's list on a level.
func (x *Index) writeOwn(w *walker, slot uint32, level int) {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	w.chosen[level] = x.staying(w.memory, w.chosen[level])
	write(w.memory.list(slot, level), w.chosen[level])
}

// staying drops the candidates that are being taken out. Whoever writes a list
// asks while holding its lock: the sweep flags vertices before it locks any
// list, so one of the two sees the other.
func (x *Index) staying(m *memory, candidates []candidate) []candidate {
	if x.gone.Load() == 0 {
		return candidates
	}
	return slices.DeleteFunc(candidates, func(c candidate) bool { return m.place(c.slot()).is(gone) })
}

// connect adds a link to the list of a vertex. A full list is chosen anew.
func (x *Index) connect(w *walker, slot uint32, level int, c candidate) {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	list := w.memory.list(slot, level)
	if list == nil {
		return
	}
	w.batch(len(list) + 1)
	w.slots = read(list, w.slots[:0])
	if n := len(w.slots); n < len(list) {
		write(list[n:n+1], []candidate{c})
		return
	}
	w.aimAt(slot)
	x.rewrite(w, slot, level, append(w.slots, c.slot()))
}

// rewrite chooses the list of a vertex, whose lock is held, from slots. The
// scorer is aimed at the vertex.
func (x *Index) rewrite(w *walker, slot uint32, level int, slots []uint32) {
	list := w.memory.list(slot, level)
	w.batch(len(slots))
	w.score(slots, w.distances)
	candidates := w.pool.items[:0]
	for i, s := range slots {
		candidates = append(candidates, candidate{w.distances[i], s})
	}
	w.pool.items = candidates
	slices.SortFunc(candidates, nearer)
	candidates = x.staying(w.memory, candidates)
	w.kept = w.diverse(w.kept[:0], candidates, len(list))
	write(list, w.kept)
}

func nearer(a, b candidate) int {
	switch {
	case a.distance < b.distance:
		return -1
	case a.distance > b.distance:
		return 1
	default:
		return 0
	}
}
