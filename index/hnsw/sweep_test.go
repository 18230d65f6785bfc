package hnsw

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/index"
)

// churn replaces points in random order, a batch at a time, and builds after
// each batch. points maps a point to its slot, vectors to what it has.
func churn(tb testing.TB, x *Index, r *rand.Rand, slots []uint32, vectors, fresh [][]float32) {
	tb.Helper()
	for n, point := range r.Perm(len(slots))[:len(fresh)] {
		x.Remove(slots[point])
		slot, err := x.Add(uint64(len(slots)+n), fresh[n])
		if err != nil {
			tb.Fatal(err)
		}
		slots[point], vectors[point] = slot, fresh[n]
		if n%50 == 49 {
			x.Publish()
			buildAll(x, 1)
		}
	}
	x.Publish()
	buildAll(x, 1)
}

// After half of the points are replaced in random order the graph is as good
// as one built afresh, and no larger.
func TestReplacedPointsLeaveNoTrace(t *testing.T) {
	const n, dim = 6000 / slow, 24
	r := rand.New(rand.NewPCG(1, 2))
	all := gaussians(r, 2*n+200, dim, 40)
	vectors, queries := slices.Clone(all[:n]), all[2*n:]
	x := New(dim, index.L2, Options{})
	fill(t, x, vectors)
	slots := make([]uint32, n)
	for i := range slots {
		slots[i] = uint32(i)
	}
	buildAll(x, 1)
	for turn := range 2 {
		churn(t, x, r, slots, vectors, all[n+turn*n/2:][:n/2])
		y := New(dim, index.L2, Options{})
		fill(t, y, vectors)
		buildAll(y, 1)
		for _, ef := range []int{10, 40, 100} {
			old, fresh := recallOf(t, x, queries, 10, ef), recallOf(t, y, queries, 10, ef)
			t.Logf("turn %d, ef %d: recall %.4f, fresh %.4f", turn, ef, old, fresh)
			if old < fresh-0.02 {
				t.Errorf("turn %d, ef %d: recall %.4f, of a fresh graph %.4f", turn, ef, old, fresh)
			}
		}
	}
	v := x.View()
	defer v.Release()
	if most := uint32(n + n/4); v.Slots() > most {
		t.Errorf("%d slots for %d points", v.Slots(), n)
	}
	checkGraph(t, x)
}

// checkGraph holds what is true of a graph at rest: links lead to vertices
// that are in it, are not repeated and not to oneself, and from the entry
// point they lead everywhere.
func checkGraph(t *testing.T, x *Index) {
	t.Helper()
	defer runtime.KeepAlive(x)
	m := x.memory.Load()
	v := x.flat.Pin()
	defer v.Release()
	entry, top, ok := x.entryPoint()
	if !ok {
		t.Fatal("no entry point")
	}
	if x.level(entry) != top {
		t.Errorf("the entry point %d is of level %d, not %d", entry, x.level(entry), top)
	}
	isVertex := func(slot uint32) bool { return m.place(slot).is(linked) && !m.place(slot).is(gone) }
	vertices := 0
	for slot := range v.Slots() {
		if !isVertex(slot) {
			continue
		}
		vertices++
		for level := range x.level(slot) + 1 {
			links := read(m.list(slot, level), nil)
			for i, to := range links {
				if !isVertex(to) || to == slot || slices.Contains(links[:i], to) || x.level(to) < level {
					t.Fatalf("links of %d on level %d: %v; %d is bad", slot, level, links, to)
				}
			}
		}
	}
	reached := map[uint32]bool{entry: true}
	for next := []uint32{entry}; len(next) > 0; {
		slot := next[0]
		next = next[1:]
		for _, to := range read(m.list(slot, 0), nil) {
			if !reached[to] {
				reached[to] = true
				next = append(next, to)
			}
		}
	}
	if len(reached) < vertices {
		t.Errorf("%d of %d vertices are not reached", vertices-len(reached), vertices)
	}
}

// A removed vertex is walked over as long as a view sees it, and keeps its
// slot; then both go.
func TestViewsKeepTheirVertices(t *testing.T) {
	const n, dim = 1000, 8
	r := rand.New(rand.NewPCG(3, 4))
	vectors := gaussians(r, 2*n, dim, 5)
	x := planned(byWalk, dim, index.L2, small)
	fill(t, x, vectors[:n])
	buildAll(x, 1)
	old := x.View()
	for slot := range uint32(n) {
		x.Remove(slot)
	}
	for i, v := range vectors[n:] {
		if slot, err := x.Add(uint64(n+i), v); err != nil || slot < n {
			t.Fatalf("slot %d under a view that sees it, error %v", slot, err)
		}
	}
	x.Publish()
	buildAll(x, 1)
	for i, q := range vectors[:50] {
		hits, err := old.Search(context.Background(), &index.Query{Vector: q, K: 1, Ef: 40}, nil)
		if err != nil || len(hits) != 1 || hits[0].Label != uint64(i) {
			t.Errorf("in the old view, for the vector of %d: %v, %v", i, hits, err)
		}
	}
	old.Release()
	buildAll(x, 1)
	if got := x.leaving.Load(); got != 0 {
		t.Errorf("%d vertices are still leaving", got)
	}
	checkGraph(t, x)
	x.Publish()
	if _, err := x.Add(5*n, vectors[0]); err != nil {
		t.Fatal(err)
	}
	x.Publish()
	slot, err := x.Add(5*n+1, vectors[0])
	if err != nil || slot >= n {
		t.Errorf("slot %d when %d are free, error %v", slot, n, err)
	}
}

func TestEverythingRemovedAndMadeAnew(t *testing.T) {
	const n, dim = 500, 8
	r := rand.New(rand.NewPCG(5, 6))
	x := planned(byWalk, dim, index.L2, small)
	for range 3 {
		fill(t, x, gaussians(r, n, dim, 5))
		buildAll(x, 1)
		v := x.View()
		hits, err := v.Search(context.Background(), &index.Query{Vector: make([]float32, dim), K: n + 1}, nil)
		if err != nil || len(hits) != n {
			t.Errorf("%d hits, error %v", len(hits), err)
		}
		for _, h := range hits {
			x.Remove(h.Slot)
		}
		v.Release()
		x.Publish()
		buildAll(x, 1)
		v = x.View()
		hits, err = v.Search(context.Background(), &index.Query{Vector: make([]float32, dim), K: n}, nil)
		if err != nil || len(hits) != 0 {
			t.Errorf("%d hits of nothing, error %v", len(hits), err)
		}
		v.Release()
	}
}

// Points are replaced under readers and builders. Whatever a search answers
// was that point's vector at some moment of the search, points are found once,
// and the view's number of them.
func TestPointsReplacedUnderReadersAndBuilders(t *testing.T) {
	const points, rounds, dim = 400, 300 / slow, 16
	x := planned(byWalk, dim, index.L2, small)
	x.stalls = func() {
		for n := rand.IntN(400) - 390; n > 0; n-- {
			runtime.Gosched()
		}
	}
	vectorOf := func(label uint64) []float32 {
		r := rand.New(rand.NewPCG(label, 7))
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.IntN(64))
		}
		return v
	}
	var first, last [points]atomic.Uint64 // versions that may be seen
	slots := make([]uint32, points)
	put := func(point, version uint64) {
		var err error
		if slots[point], err = x.Add(point<<32|version, vectorOf(point<<32|version)); err != nil {
			t.Error(err)
		}
	}
	for p := range uint64(points) {
		put(p, 0)
	}
	x.Publish()
	var done atomic.Bool
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for !done.Load() {
				x.Build(8)
			}
		})
	}
	for seed := range uint64(3) {
		others.Go(func() {
			r := rand.New(rand.NewPCG(seed, 8))
			for !done.Load() {
				var oldest [points]uint64
				for p := range oldest {
					oldest[p] = first[p].Load()
				}
				v := x.View()
				q := index.Query{Vector: vectorOf(r.Uint64()), K: 10, Ef: 30}
				hits, err := v.Search(context.Background(), &q, nil)
				if err != nil || len(hits) != q.K {
					t.Errorf("%d hits, error %v", len(hits), err)
				}
				seen := map[uint64]bool{}
				for _, h := range hits {
					point, version := h.Label>>32, h.Label&(1<<32-1)
					if seen[point] || version < oldest[point] || version > last[point].Load() {
						t.Errorf("version %d of point %d, twice or not between %d and %d", version, point, oldest[point], last[point].Load())
					}
					seen[point] = true
					if vector, err := v.Vector(h.Slot); err != nil || !slices.Equal(vector, vectorOf(h.Label)) {
						t.Errorf("label %x has another vector", h.Label)
					}
				}
				v.Release()
			}
		})
	}
	r := rand.New(rand.NewPCG(9, 10))
	for range rounds {
		for _, p := range r.Perm(points)[:points/2] {
			version := last[p].Load() + 1
			last[p].Store(version)
			x.Remove(slots[p])
			put(uint64(p), version)
			if p%8 == 0 {
				x.Publish()
			}
		}
		x.Publish()
		for p := range points {
			first[p].Store(last[p].Load())
		}
	}
	done.Store(true)
	others.Wait()
	buildAll(x, 2)
	checkGraph(t, x)
}

// BenchmarkBuildBesideDeletes builds a graph while half of what it is built of
// is removed, in random order and at the pace of the build. It reports how many
// times as long as the build of all of them that takes; more vectors do not make
// it more.
func BenchmarkBuildBesideDeletes(b *testing.B) {
	for _, n := range []int{30_000, 120_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			const dim = 16
			r := rand.New(rand.NewPCG(1, 2))
			vectors := gaussians(r, n, dim, 40)
			build := func(removes bool) time.Duration {
				x := New(dim, index.L2, Options{EfConstruction: 40})
				fill(b, x, vectors)
				order := r.Perm(n)
				begun := time.Now()
				for more := true; more; more = x.Build(128) > 0 {
					for removes && 2*(n-len(order)) < n-x.Waiting() {
						x.Remove(uint32(order[0]))
						order = order[1:]
					}
					x.Publish()
				}
				return time.Since(begun)
			}
			var plain, beside time.Duration
			for b.Loop() {
				plain += build(false)
				beside += build(true)
			}
			b.ReportMetric(beside.Seconds()/plain.Seconds(), "of-build")
		})
	}
}

// A pass over the graph is not begun for a few, however many are removed that
// are not in the graph yet, or still seen; and a step of the builders looks at
// some of the removed only.
func TestSweepWaitsForItsWorth(t *testing.T) {
	const linkedFirst, n = 1000, 40_000
	r := rand.New(rand.NewPCG(1, 2))
	vectors := gaussians(r, n, 4, 3)
	x := New(4, index.L2, small)
	fill(t, x, vectors[:linkedFirst])
	buildAll(x, 1)
	for i, v := range vectors[linkedFirst:] {
		if _, err := x.Add(uint64(linkedFirst+i), v); err != nil {
			t.Fatal(err)
		}
	}
	for slot := range uint32(n / 2) { // 1,000 of them in the graph
		x.Remove(slot)
	}
	x.Publish()
	if x.leaving.Load() != n/2 || x.Waiting() != n-linkedFirst {
		t.Fatalf("%d are leaving, %d wait", x.leaving.Load(), x.Waiting())
	}
	for looked := 0; looked < n/2; looked += sweepLook {
		before := x.mu.look
		if begun, _ := x.beginPass(); begun {
			t.Fatalf("a pass over %d for %d", n, len(x.pass.leavers))
		}
		if x.mu.look < before-sweepLook {
			t.Fatalf("looked at %d", before-x.mu.look)
		}
	}
	if begun, more := x.beginPass(); begun || more || len(x.mu.unseen) != linkedFirst {
		t.Fatalf("begun %v, more %v, %d unseen", begun, more, len(x.mu.unseen))
	}
	buildAll(x, 2)
	if got := x.leaving.Load(); got >= x.sweepWorth() || x.Waiting() > 0 {
		t.Errorf("%d are still leaving, %d wait", got, x.Waiting())
	}
	checkGraph(t, x)
}
