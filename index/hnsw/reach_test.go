package hnsw

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/index"
)

// twoPlaces is an index of a graph of n vectors near the origin and n far away.
func twoPlaces(t *testing.T, n int) (x *Index, near func() []float32) {
	t.Helper()
	r := rand.New(rand.NewPCG(11, 12))
	at := func(middle float32) []float32 {
		v := make([]float32, 8)
		for i := range v {
			v[i] = middle + float32(r.NormFloat64())
		}
		return v
	}
	x = planned(byWalk, 8, index.L2, small)
	all := make([][]float32, 0, 2*n)
	for range n {
		all = append(all, at(0))
	}
	for range n {
		all = append(all, at(100))
	}
	fill(t, x, all)
	buildAll(x, 1)
	return x, func() []float32 { return at(0) }
}

// addAt adds vectors until one has a slot of the level, or a higher one, which
// is the only one of them that stays. It is published, and waits.
func addAt(t *testing.T, x *Index, vector func() []float32, fits func(level int) bool) (slot uint32) {
	t.Helper()
	for {
		slot, err := x.Add(1<<40+uint64(x.used), vector())
		if err != nil {
			t.Fatal(err)
		}
		if fits(x.level(slot)) {
			x.Publish()
			return slot
		}
		x.Remove(slot)
	}
}

// All that a builder chose is taken out before it links its vertex.
func TestHeldUpUntilAllThatWasChosenIsGone(t *testing.T) {
	const n = 150
	x, near := twoPlaces(t, n)
	slot := addAt(t, x, near, func(level int) bool { return level == 0 })
	for s := range uint32(n) {
		x.Remove(s)
	}
	x.Publish()
	linkHeldUp(t, x, slot, func() { buildAll(x, 1) })
	checkGraph(t, x)
}

// linkHeldUp links a slot that waits, by a builder that is held up after it has
// looked for neighbours. Build would sweep first.
func linkHeldUp(t *testing.T, x *Index, slot uint32, meanwhile func()) {
	t.Helper()
	w := new(walker)
	for {
		got, ok := x.next(&w.view)
		if !ok {
			t.Fatalf("%d does not wait", slot)
		}
		if got == slot {
			x.stalls = func() {
				x.stalls = nil
				meanwhile()
			}
		}
		x.link(w, &w.view, got)
		w.view.Forget()
		if got == slot {
			return
		}
	}
}

// While a builder is held up the last vertex that stays is taken out, and with
// it the entry point.
func TestHeldUpUntilNothingIsLeft(t *testing.T) {
	const n = 150
	x, near := twoPlaces(t, n)
	slot := addAt(t, x, near, func(level int) bool { return level == 0 })
	for s := range uint32(2 * n) {
		x.Remove(s)
	}
	x.Publish()
	linkHeldUp(t, x, slot, func() {
		buildAll(x, 1)
		if _, _, ok := x.entryPoint(); ok {
			t.Error("an entry point, of nothing")
		}
	})
	if entry, _, ok := x.entryPoint(); !ok || entry != slot {
		t.Errorf("the entry point is %d, %v", entry, ok)
	}
	for range 20 {
		if _, err := x.Add(1<<41+uint64(x.used), near()); err != nil {
			t.Fatal(err)
		}
	}
	x.Publish()
	buildAll(x, 1)
	checkGraph(t, x)
}

// A vertex whose neighbours are all being taken out is not where walks begin.
func TestEntryHasLinks(t *testing.T) {
	const n = 150
	x, near := twoPlaces(t, n)
	_, top, _ := x.entryPoint()
	slot := addAt(t, x, near, func(level int) bool { return level > top })
	for s := range uint32(n) {
		x.Remove(s)
	}
	x.Publish()
	linkHeldUp(t, x, slot, func() {
		if begun, _ := x.beginPass(); !begun {
			t.Fatal("no pass")
		}
	})
	m := x.memory.Load()
	entry, _, _ := x.entryPoint()
	if left := stayingOf(m, read(m.list(entry, 0), nil)); len(left) == 0 {
		t.Errorf("no way leads on from the entry point %d", entry)
	}
	buildAll(x, 1)
	checkGraph(t, x)
}

func stayingOf(m *memory, slots []uint32) []uint32 {
	return slices.DeleteFunc(slots, func(s uint32) bool { return m.place(s).is(gone) })
}

// Links to what is being taken out are replaced by what it leads to, also where
// a builder comes before the sweep and finds the list full.
func TestFullListIsMended(t *testing.T) {
	const n = 300
	x, near := twoPlaces(t, n)
	m, to := x.memory.Load(), uint32(n/2)
	full := m.list(to, 0)
	links := read(full, nil)
	for s := uint32(0); len(links) < len(full); s++ {
		if s != to && !slices.Contains(links, s) {
			links = append(links, s)
		}
	}
	for i, s := range links {
		write(full[i:i+1], []candidate{{vertex: s}})
		if i > 0 {
			x.Remove(s)
		}
	}
	for s := uint32(n); int64(len(links)) < x.sweepWorth()+2; s++ {
		links = append(links, s)
		x.Remove(s)
	}
	x.Publish()
	slot := addAt(t, x, near, func(level int) bool { return level == 0 })
	if begun, _ := x.beginPass(); !begun {
		t.Fatal("no pass")
	}
	w := new(walker)
	v := x.flat.Pin()
	defer v.Release()
	w.begin(x, v)
	w.aimAt(to)
	w.slots = append(w.slots[:0], slot)
	x.connect(w, to, 0, candidate{w.measure()[0], slot})
	x.mendAll(w, to)
	if left := stayingOf(m, read(full, nil)); len(left) < 5 {
		t.Errorf("%d was left with the links %v", to, left)
	}
}

// Part of a graph that only ways on the levels above lead to is found again.
func TestIslandIsReached(t *testing.T) {
	const n = 300
	x, _ := twoPlaces(t, n)
	m := x.memory.Load()
	upper := 0
	for slot := range uint32(2 * n) {
		var stays []candidate
		for _, to := range read(m.list(slot, 0), nil) {
			if (to < n) == (slot < n) {
				stays = append(stays, candidate{vertex: to})
			}
		}
		write(m.list(slot, 0), stays)
		upper += min(x.level(slot), 1)
	}
	w := new(walker)
	v := x.flat.Pin()
	defer v.Release()
	if w.begin(x, v); !x.adopt(w, v) || upper < 10 {
		t.Errorf("adopted none; %d vertices on levels above", upper)
	}
	if w.begin(x, v); x.adopt(w, v) {
		t.Error("adopted again")
	}
	checkGraph(t, x)
}

// A vertex that is farther from all others than these from each other gets a
// way to it even if no list has room, and takes no other's away.
func TestFullListsMakeRoomForOneThatNothingLinksTo(t *testing.T) {
	const n = 200
	x, _ := twoPlaces(t, n)
	m, of, slot := x.memory.Load(), uint32(3), uint32(n+7)
	full := m.list(of, 0)
	for i := range full {
		write(full[i:i+1], []candidate{{vertex: uint32(10 + i)}})
	}
	last := uint32(10 + len(full) - 1)
	w := new(walker)
	v := x.flat.Pin()
	defer v.Release()
	w.begin(x, v)
	w.aimAt(slot)
	w.slots = append(w.slots[:0], of)
	c := candidate{w.measure()[0], of}
	if !x.between(w, c, slot) {
		t.Fatal("no room was made")
	}
	links := read(full, nil)
	if !slices.Contains(links, slot) || slices.Contains(links, last) || len(links) != len(full) {
		t.Errorf("links of %d: %v", of, links)
	}
	if links := read(m.list(slot, 0), nil); !slices.Contains(links, last) {
		t.Errorf("links of %d: %v, want %d among them", slot, links, last)
	}
}

// Everything is taken out while a builder is held up. Wherever in the end of the
// pass it goes on, its vertex is the entry point at last.
func TestLinkedWhileThePassEnds(t *testing.T) {
	const n = 150
	for at, name := range []string{"last list", "before the entry is left", "after it", "after the pass"} {
		t.Run(name, func(t *testing.T) {
			x, near := twoPlaces(t, n)
			slot := addAt(t, x, near, func(level int) bool { return level == 0 })
			for s := range uint32(2 * n) {
				x.Remove(s)
			}
			x.Publish()
			steps, held, goOn, done := 0, make(chan struct{}), make(chan struct{}), make(chan struct{})
			release := func() {
				x.stalls = nil
				close(goOn)
				<-done
			}
			go func() {
				defer close(done)
				linkHeldUp(t, x, slot, func() { close(held); <-goOn })
			}()
			<-held
			x.stalls = func() {
				if steps++; steps == int(x.pass.end)+at {
					release()
				}
			}
			if swept, _ := x.sweep(new(walker), 1<<20); !swept {
				t.Error("no pass")
			}
			if at == 3 {
				release()
			}
			if entry, _, ok := x.entryPoint(); !ok || entry != slot {
				t.Errorf("the entry point is %d, %v", entry, ok)
			}
			checkGraph(t, x)
		})
	}
}
