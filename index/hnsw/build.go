package hnsw

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/hivehub/waggle/index/flat"
)

// Build moves up to limit vectors from the tail into the graph, or takes
// removed ones out for about as long, once enough of them have gathered. It
// returns how much of the limit it used; at 0 there is nothing to do now. It
// may be called from several goroutines at once, beside the writer and searches.
func (x *Index) Build(limit int) int {
	if !x.prepare() {
		return 0
	}
	w := walkers.Get().(*walker)
	defer walkers.Put(w)
	defer runtime.KeepAlive(x) // its slabs are not the collector's
	swept, more := x.sweep(w, limit)
	if swept {
		return limit
	}
	for n := range limit {
		slot, ok := x.next(&w.view)
		if !ok && n == 0 && more {
			return 1
		}
		if !ok {
			return n
		}
		x.link(w, &w.view, slot)
		w.view.Forget()
	}
	return limit
}

// next takes a vector from the tail, and makes v a view that has it.
func (x *Index) next(v *flat.View) (slot uint32, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trim()
	if x.mu.taken == len(x.mu.tail) {
		return 0, false
	}
	slot = x.mu.tail[x.mu.taken]
	x.mu.taken++
	x.flat.PinTo(v)
	return slot, true
}

// entryPoint is the vertex where walks begin, and the level of it.
func (x *Index) entryPoint() (slot uint32, level int, ok bool) {
	e := x.entry.Load()
	return uint32(e) - 1, int(e >> 32), e != 0
}

func (x *Index) enterAt(slot uint32, level int) {
	x.entry.Store(uint64(level)<<32 | uint64(slot+1))
}

// heldUp is how many vertices others link while one is linked, at most, unless
// its builder was not running.
var heldUp = int64(8 * runtime.NumCPU())

// link makes a vertex of a slot: it searches for neighbours on each of the
// vertex's levels, writes its lists, and only then lets others link to it.
//
// A pass of the sweep looks after every vertex that is linked when it ends. One
// that was not yet may have lost its neighbours to it, and is linked again.
func (x *Index) link(w *walker, v *flat.View, slot uint32) {
	passes := x.passes.Load()
	w.begin(x, v)
	if v.Removed(slot) {
		w.memory.mark(slot, dropped)
		return
	}
	held := x.makeVertex(w, v, slot)
	if now := x.passes.Load(); now != passes || !held {
		x.settle(w, v, slot)
	}
}

// makeVertex is link but for passes that end meanwhile. It reports whether a
// vertex that stays links to the new one, or there is none.
//
// A builder that was held up meanwhile, while others have linked many that are
// nearer, has put it where few ways lead: then the vertex is linked again.
func (x *Index) makeVertex(w *walker, v *flat.View, slot uint32) (held bool) {
	others := x.made.Load()
	level := x.level(slot)
	rises := !w.entered || level > w.top
	if rises {
		x.rising.Lock()
		defer x.rising.Unlock()
		w.begin(x, v)
		rises = !w.entered || level > w.top
	}
	first := !w.entered
	x.seek(w, v, slot)
	x.stall()
	near, ways := x.join(w, slot)
	if x.made.Add(1)-others > heldUp || !near {
		if w.begin(x, v); w.entered {
			ways = x.relink(w, v, slot)
		}
	}
	held = ways > 0 || first
	if rises && held { // or no way would lead on from where walks begin
		x.enterAt(slot, level)
	}
	x.stall()
	w.memory.mark(slot, linked)
	x.stall()
	return held
}

// settle links a vertex again that a pass may have cut off. While one is under
// way it has nothing to do: the pass will find the vertex. Nor has it for one
// that is infinitely far from all.
func (x *Index) settle(w *walker, v *flat.View, slot uint32) {
	for x.passes.Load()%2 == 0 {
		if w.begin(x, v); !w.entered && x.enterFirst(slot) {
			return
		}
		if w.begin(x, v); w.entry == slot || x.relink(w, v, slot) > 0 || len(w.chosen[0]) == 0 {
			return
		}
	}
}

// enterFirst makes a vertex the entry point if there is none.
func (x *Index) enterFirst(slot uint32) bool {
	x.rising.Lock()
	defer x.rising.Unlock()
	_, _, ok := x.entryPoint()
	if !ok {
		x.enterAt(slot, x.level(slot))
	}
	return !ok
}

// stall is where a test may hold a builder up.
func (x *Index) stall() {
	if x.stalls != nil {
		x.stalls()
	}
}

// seek picks a vertex's neighbours on all its levels.
func (x *Index) seek(w *walker, v *flat.View, slot uint32) {
	level := x.level(slot)
	for l := range level + 1 {
		w.chosen[l] = w.chosen[l][:0]
	}
	if !w.entered {
		return
	}
	w.aimAt(slot)
	from := w.descend(w.entry, w.top, level)
	for l := min(level, w.top); l >= 0; l-- {
		from = x.choose(w, v, slot, l, from)
	}
}

// join writes a new vertex's lists, and links its neighbours to it. It reports
// whether it got what was chosen, and the nearest one links to it; and how many
// do on the lowest level.
func (x *Index) join(w *walker, slot uint32) (near bool, ways int) {
	near = true
	level := x.level(slot)
	for l := range level + 1 {
		near = x.writeOwn(w, slot, l) && near
	}
	for l := range level + 1 {
		for i, c := range w.chosen[l] {
			x.stall()
			in := x.connect(w, c.slot(), l, candidate{c.distance, slot})
			near = near && (in || (i > 0 || l > 0) && !x.leaves(w.memory, c.slot()))
			if in && l == 0 {
				ways++
			}
		}
	}
	return near, ways
}

// choose picks a vertex's neighbours on a level and returns the nearest other
// vertex it met, for the level below.
func (x *Index) choose(w *walker, v *flat.View, slot uint32, level int, from uint32) uint32 {
	w.aimAt(slot)
	w.budget, w.hopping = math.MaxInt, false
	_ = w.walk(context.Background(), level, x.options.EfConstruction, from, nil)
	found := slices.DeleteFunc(w.pool.items, func(c candidate) bool { return c.slot() == slot })
	nearest := from
	if len(found) > 0 {
		nearest = found[0].slot()
	}
	if x.leaving.Load() > 0 {
		if found = w.remaining(v, found, x.options.M); len(found) == 0 {
			found = x.beyond(w, v, slot, level, from)
		}
	}
	w.chosen[level] = w.diverse(w.chosen[level], found, x.options.M)
	return nearest
}

// remaining drops the candidates that are removed, unless so few remain that
// the new vertex would lose touch: then it drops only those being taken out.
func (w *walker) remaining(v *flat.View, found []candidate, least int) []candidate {
	w.kept = w.kept[:0]
	for _, c := range found {
		if c.slot() >= v.Slots() || !v.Removed(c.slot()) {
			w.kept = append(w.kept, c)
		}
	}
	if len(w.kept) >= least {
		return w.kept
	}
	w.kept = w.kept[:0]
	for _, c := range found {
		if !w.memory.place(c.slot()).is(gone) {
			w.kept = append(w.kept, c)
		}
	}
	return w.kept
}

// beyondWidth is how many times as wide as others a walk may become that looks
// for what is behind vertices that are being taken out.
const beyondWidth = 64

// beyond looks behind vertices that are being taken out for some that stay.
func (x *Index) beyond(w *walker, v *flat.View, slot uint32, level int, from uint32) []candidate {
	w.budget = beyondWidth * x.options.EfConstruction
	_ = w.walk(context.Background(), level, x.options.M, from, &judge{view: v})
	w.kept = w.kept[:0]
	for _, c := range w.pool.items {
		if c.vertex&refused == 0 && c.slot() != slot {
			w.kept = append(w.kept, c)
		}
	}
	return w.kept
}

// diverse appends to dst up to most of the candidates, which are ordered by
// distance: each is nearer to the vertex they are for than to any chosen before
// it, so that links lead in all directions. It aims the scorer elsewhere.
func (w *walker) diverse(dst, candidates []candidate, most int) []candidate {
	w.spare = append(w.spare[:0], candidates...)
	rest := w.spare
	for len(rest) > 0 && len(dst) < most {
		dst = append(dst, rest[0])
		rest = w.elsewhere(rest[0].slot(), rest[1:])
	}
	return dst
}

// elsewhere drops the candidates that are nearer to a chosen one than to the
// vertex they are for.
func (w *walker) elsewhere(chosen uint32, rest []candidate) []candidate {
	if len(rest) == 0 {
		return rest
	}
	w.aimAt(chosen)
	w.slots = w.slots[:0]
	for _, c := range rest {
		w.slots = append(w.slots, c.slot())
	}
	n := 0
	for i, d := range w.measure() {
		if d >= rest[i].distance {
			rest[n] = rest[i]
			n++
		}
	}
	return rest[:n]
}

// ranked returns the batch as candidates, nearest first, in the pool's room.
func (w *walker) ranked() []candidate {
	w.pool.items = w.pool.items[:0]
	for i, d := range w.measure() {
		w.pool.items = append(w.pool.items, candidate{d, w.slots[i]})
	}
	slices.SortFunc(w.pool.items, nearer)
	return w.pool.items
}

func (x *Index) vertex(slot uint32) *sync.Mutex { return &x.vertices[slot%uint32(len(x.vertices))] }

// writeOwn writes a new vertex's list on a level, without what is being taken
// out, and reports whether it wrote all that was chosen.
//
// Whoever writes a new link asks while holding the list's lock: the sweep flags
// vertices before it locks any list, so one of the two sees the other. A link
// that is in a list already is the sweep's to replace, by what it leads to.
func (x *Index) writeOwn(w *walker, slot uint32, level int) bool {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	chosen := len(w.chosen[level])
	w.chosen[level] = slices.DeleteFunc(w.chosen[level], func(c candidate) bool { return x.leaves(w.memory, c.slot()) })
	write(w.memory.list(slot, level), w.chosen[level])
	return len(w.chosen[level]) == chosen
}

// leaves reports whether a vertex is being taken out.
func (x *Index) leaves(m *memory, slot uint32) bool {
	return x.gone.Load() > 0 && m.place(slot).is(gone)
}

// connect adds a link to the list of a vertex, and reports whether it is there
// then, and both stay. A full list is chosen anew.
func (x *Index) connect(w *walker, slot uint32, level int, c candidate) bool {
	return x.insert(w, slot, level, c) && !x.leaves(w.memory, slot)
}

func (x *Index) insert(w *walker, slot uint32, level int, c candidate) bool {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	if x.leaves(w.memory, c.slot()) {
		return false
	}
	list := w.memory.list(slot, level)
	if w.appended(list, slot, c) {
		return true
	}
	w.aimAt(slot)
	w.slots = append(w.slots, c.slot())
	w.kept = w.diverse(w.kept[:0], w.ranked(), len(list))
	write(list, w.kept)
	return slices.ContainsFunc(w.kept, func(k candidate) bool { return k.slot() == c.slot() })
}

// linkBack adds a link to the list of a vertex if there is room.
func (x *Index) linkBack(w *walker, slot uint32, level int, c candidate) {
	lock := x.vertex(slot)
	lock.Lock()
	defer lock.Unlock()
	w.appended(w.memory.list(slot, level), slot, c)
}

// appended adds a link to a vertex's list, if it is not there, and reports
// whether that is done or there is nothing to do. It leaves the list in slots.
func (w *walker) appended(list []uint32, slot uint32, c candidate) bool {
	w.slots = read(list, w.slots[:0])
	if slot == c.slot() || slices.Contains(w.slots, c.slot()) {
		return true
	}
	n := len(w.slots)
	if n < len(list) {
		write(list[n:n+1], []candidate{c})
	}
	return n < len(list)
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
