package hnsw

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/index"
)

// What waits for the graph is found as exactly as by a scan: new vectors in
// runs of slots, and those that came into freed slots, in any order, without
// those removed and those that a filter leaves out.
func TestTailIsExact(t *testing.T) {
	const n, dim, k = 2000, 8, 10
	r := rand.New(rand.NewPCG(1, 2))
	whole := func() []float32 { // nothing is lost in codes
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(r.IntN(256))
		}
		return v
	}
	x := planned(byWalk, dim, index.L2, Options{Threshold: 1})
	slots := make([]uint32, n)
	label := uint64(0)
	add := func(i int) {
		var err error
		if slots[i], err = x.Add(label, whole()); err != nil {
			t.Fatal(err)
		}
		label++
	}
	for i := range n {
		add(i)
	}
	x.Publish()
	x.Build(n / 2)
	for _, i := range r.Perm(n)[:n/2] { // linked ones and waiting ones
		x.Remove(slots[i])
		if i%2 == 0 {
			add(i)
		}
	}
	x.Publish()
	x.Build(20) // drops what was removed before it was linked, and gives its slots back
	for range n / 4 {
		slots = append(slots, 0)
		add(len(slots) - 1)
	}
	x.Publish()
	if x.Waiting() < n/4 {
		t.Fatalf("%d wait", x.Waiting())
	}
	v := x.View()
	defer v.Release()
	for q := range 200 {
		query := index.Query{Vector: whole(), K: k, Ef: n}
		if q%2 == 1 {
			query.Allow = make([]uint64, (v.Slots()+63)/64)
			for i := range query.Allow {
				query.Allow[i] = r.Uint64()
			}
		}
		got, err := v.Search(context.Background(), &query, nil)
		if err != nil {
			t.Fatal(err)
		}
		query.Exact = true
		want, _ := v.Search(context.Background(), &query, nil)
		if !slices.Equal(got, want) {
			t.Fatalf("query %d: %v, want %v", q, got, want)
		}
	}
}

// Where most of what is near was removed, and not yet swept, a search finds what
// stayed as well as elsewhere.
func TestSearchAmongRemoved(t *testing.T) {
	const n, dim, k, ef, areas = 8000, 24, 10, 48, 10
	vectors := gaussians(rand.New(rand.NewPCG(3, 4)), n+areas, dim, 10)
	x := planned(byWalk, dim, index.L2, Options{EfConstruction: 40, M: 6})
	fill(t, x, vectors[:n])
	buildAll(x, 1)
	v := x.View()
	removed := map[uint32]bool{}
	for _, query := range vectors[n:] {
		near, err := v.Search(context.Background(), &index.Query{Vector: query, K: ef, Exact: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range near {
			if i%5 != 0 && !removed[h.Slot] {
				removed[h.Slot] = true
				x.Remove(h.Slot)
			}
		}
	}
	v.Release()
	x.Publish()
	if x.leaving.Load() == 0 || x.leaving.Load() >= x.sweepWorth() {
		t.Fatalf("%d of %d leave", x.leaving.Load(), n)
	}
	if recall := recallOf(t, x, vectors[n:], k, ef); recall < 0.93 {
		t.Errorf("recall %.3f", recall)
	}
}

// A search that wants what is linked leaves the tail out, and any other does not.
func TestLinkedOnly(t *testing.T) {
	const n, dim = 2000, 8
	r := rand.New(rand.NewPCG(1, 2))
	x := planned(byWalk, dim, index.L2, Options{Threshold: 1})
	draw := func() []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = r.Float32()
		}
		return v
	}
	for label := range uint64(n) {
		if _, err := x.Add(label, draw()); err != nil {
			t.Fatal(err)
		}
	}
	x.Publish()
	for x.Build(n) > 0 {
	}
	late := draw()
	if _, err := x.Add(n, late); err != nil {
		t.Fatal(err)
	}
	x.Publish()
	v := x.View()
	defer v.Release()
	for _, linked := range []bool{true, false} {
		hits, err := v.Search(context.Background(), &index.Query{Vector: late, K: 10, Linked: linked}, nil)
		if err != nil || len(hits) != 10 || (hits[0].Label == n) == linked {
			t.Errorf("linked %v: %v, %v", linked, hits, err)
		}
	}
}
