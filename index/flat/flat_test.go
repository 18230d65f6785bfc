package flat

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/indextest"
)

func TestConformance(t *testing.T) {
	indextest.Run(t, func(dim int, metric index.Metric) index.Index { return New(dim, metric) })
}

func TestFreedSlotsAreReusedOnceNoViewSeesThem(t *testing.T) {
	const points = 500
	x := New(4, index.L2)
	slots := make([]uint32, points)
	label := uint64(0)
	replaceAll := func() {
		for i := range slots {
			if label >= points {
				x.Remove(slots[i])
			}
			slots[i] = mustAdd(t, x, label, make([]float32, 4))
			label++
			x.Publish()
		}
	}
	used := func() uint32 {
		v := x.View()
		defer v.Release()
		return v.Slots()
	}
	replaceAll()
	replaceAll()
	if got := used(); got != points+1 {
		t.Errorf("%d slots after replacing %d points without a view, want one more", got, points)
	}
	pinned := x.View()
	replaceAll()
	if got := used(); got != 2*points {
		t.Errorf("%d slots after replacing all under a view, want %d", got, 2*points)
	}
	pinned.Release()
	for range 5 {
		replaceAll()
	}
	if got := used(); got != 2*points {
		t.Errorf("%d slots after the view was released, want the same %d", got, 2*points)
	}
}

func TestBytesFollowTheVectors(t *testing.T) {
	const dim = 100
	x := New(dim, index.L2)
	if got := x.Bytes(); got != 0 {
		t.Errorf("an empty index holds %d bytes", got)
	}
	for n := 1; n <= 20_000; n++ {
		mustAdd(t, x, uint64(n), make([]float32, dim))
		least := int64(n) * (4*dim + 24)
		if got := x.Bytes(); got < least || got > 2*least+4*dim*8 && got > least+1<<20 {
			t.Fatalf("%d bytes for %d vectors of %d bytes", got, n, 4*dim)
		}
	}
}

func TestSearchAllocatesNothing(t *testing.T) {
	v, q := filled(t, 3000, 32, index.Cosine)
	defer v.Release()
	q.K = 500
	dst := make([]index.Hit, 0, q.K)
	n := testing.AllocsPerRun(20, func() {
		var err error
		if dst, err = v.Search(context.Background(), q, dst); err != nil || len(dst) != q.K {
			t.Fatalf("%d hits, error %v", len(dst), err)
		}
	})
	if n != 0 {
		t.Errorf("%g allocations in a search", n)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	for name, make := range map[string]func(){
		"dimension 0": func() { New(0, index.L2) },
		"no metric":   func() { New(3, 0) },
		"no such one": func() { New(3, index.L1+1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			make()
		}()
	}
}

// filled returns a view of n random vectors and a query.
func filled(tb testing.TB, n, dim int, metric index.Metric) (index.View, *index.Query) {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	x := New(dim, metric)
	vector := make([]float32, dim)
	for label := range n + 1 {
		for i := range vector {
			vector[i] = r.Float32() - 0.5
		}
		if label < n {
			mustAdd(tb, x, uint64(label), vector)
		}
	}
	x.Publish()
	return x.View(), &index.Query{Vector: vector, K: 10}
}

func mustAdd(tb testing.TB, x index.Index, label uint64, vector []float32) uint32 {
	tb.Helper()
	slot, err := x.Add(label, vector)
	if err != nil {
		tb.Fatalf("Add(%d): %v", label, err)
	}
	return slot
}
