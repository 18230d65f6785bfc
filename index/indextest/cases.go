package indextest

import (
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/index"
)

func testEmpty(t *testing.T, maker Maker) {
	x := maker(3, index.L2)
	x.Publish()
	v := x.View()
	defer v.Release()
	checkView(t, v, nil)
	for _, k := range []int{-1, 0, 1, 10_000} {
		checkSearch(t, v, nil, index.L2, index.Query{Vector: []float32{1, 2, 3}, K: k})
	}
}

func testWrongDimension(t *testing.T, maker Maker) {
	x := maker(3, index.L2)
	mustAdd(t, x, 1, []float32{1, 2, 3})
	for _, dim := range []int{0, 2, 4} {
		if _, err := x.Add(2, wholeNumbers(rand.New(rand.NewPCG(1, 1)), dim)); !errors.Is(err, index.ErrDimension) {
			t.Errorf("Add of dimension %d: %v", dim, err)
		}
	}
	x.Publish()
	v := x.View()
	defer v.Release()
	for _, dim := range []int{0, 2, 4} {
		q := index.Query{Vector: wholeNumbers(rand.New(rand.NewPCG(1, 1)), dim), K: 1}
		if hits, err := v.Search(context.Background(), &q, nil); !errors.Is(err, index.ErrDimension) || len(hits) != 0 {
			t.Errorf("Search of dimension %d: %v, %v", dim, hits, err)
		}
	}
	if v.Len() != 1 {
		t.Errorf("Len = %d, want 1", v.Len())
	}
}

func testPublish(t *testing.T, maker Maker) {
	x := maker(2, index.L2)
	first := x.View()
	defer first.Release()
	vector := []float32{1, 1}
	slot := mustAdd(t, x, 7, vector)
	vector[0] = 99 // Add copied it
	unpublished := x.View()
	defer unpublished.Release()
	checkView(t, unpublished, nil)

	x.Publish()
	checkView(t, first, nil)
	second := x.View()
	defer second.Release()
	checkView(t, second, contents{slot: {7, []float32{1, 1}}})

	x.Remove(slot)
	replacement := mustAdd(t, x, 8, []float32{2, 2})
	passing := mustAdd(t, x, 9, []float32{3, 3})
	x.Remove(passing)
	checkView(t, second, contents{slot: {7, []float32{1, 1}}})
	x.Publish()
	third := x.View()
	defer third.Release()
	checkView(t, second, contents{slot: {7, []float32{1, 1}}})
	checkView(t, third, contents{replacement: {8, []float32{2, 2}}})
	x.Publish() // nothing new
	checkView(t, third, contents{replacement: {8, []float32{2, 2}}})
	if x.Bytes() <= 0 {
		t.Errorf("Bytes = %d", x.Bytes())
	}
}

func testAllRemoved(t *testing.T, maker Maker) {
	r := rand.New(rand.NewPCG(1, 2))
	x := maker(8, index.L2)
	have := fill(t, x, r, 8, 300)
	for slot := range have {
		x.Remove(slot)
	}
	x.Publish()
	v := x.View()
	defer v.Release()
	checkView(t, v, nil)
	for _, k := range []int{1, 300} {
		checkSearch(t, v, nil, index.L2, index.Query{Vector: wholeNumbers(r, 8), K: k})
	}
	checkRefilled(t, x, r)
}

func checkRefilled(t *testing.T, x index.Index, r *rand.Rand) {
	t.Helper()
	have := fill(t, x, r, 8, 300)
	v := x.View()
	defer v.Release()
	checkView(t, v, have)
	checkSearch(t, v, have, index.L2, index.Query{Vector: wholeNumbers(r, 8), K: 20})
}

// Everything is replaced twice under a view, which must not notice.
func testViewOutlivesWrites(t *testing.T, maker Maker) {
	r := rand.New(rand.NewPCG(3, 4))
	x := maker(16, index.Dot)
	have := fill(t, x, r, 16, 500)
	old := x.View()
	now := maps.Clone(have)
	label := uint64(1000)
	for range 2 {
		for slot := range maps.Clone(now) {
			x.Remove(slot)
			delete(now, slot)
			v := wholeNumbers(r, 16)
			now[mustAdd(t, x, label, v)] = entry{label, v}
			label++
			x.Publish()
		}
	}
	checkView(t, old, have)
	checkSearch(t, old, have, index.Dot, index.Query{Vector: wholeNumbers(r, 16), K: 30})
	old.Release()
	old.Release()
	v := x.View()
	defer v.Release()
	checkView(t, v, now)
	checkSearch(t, v, now, index.Dot, index.Query{Vector: wholeNumbers(r, 16), K: 30})
}

func testK(t *testing.T, maker Maker) {
	r := rand.New(rand.NewPCG(5, 6))
	x := maker(4, index.L2)
	have := fill(t, x, r, 4, 700)
	v := x.View()
	defer v.Release()
	for _, k := range []int{-1, 0, 1, 2, 10, 699, 700, 701, 10_000} {
		checkSearch(t, v, have, index.L2, index.Query{Vector: wholeNumbers(r, 4), K: k})
	}
	used := slices.Repeat([]index.Hit{{Label: 9999, Slot: 77}}, 5)
	q := index.Query{Vector: wholeNumbers(r, 4), K: 3, Exact: true}
	hits, err := v.Search(context.Background(), &q, used)
	if want := have.search(&q, index.L2); err != nil || !slices.Equal(hits, want) {
		t.Errorf("into a used slice: %v, %v; want %v", hits, err, want)
	}
	if &hits[0] != &used[0] {
		t.Error("Search did not use the room of dst")
	}
}

func testAllow(t *testing.T, maker Maker) {
	const n = 3000
	r := rand.New(rand.NewPCG(7, 8))
	x := maker(12, index.L2)
	have := fill(t, x, r, 12, n)
	for slot := range have {
		if r.IntN(10) == 0 {
			x.Remove(slot)
			delete(have, slot)
		}
	}
	x.Publish()
	v := x.View()
	defer v.Release()
	words := int(v.Slots()+63) / 64
	for name, allow := range map[string][]uint64{
		"none":       bitmap(words, func(int) bool { return false }),
		"no words":   {},
		"all":        bitmap(words, func(int) bool { return true }),
		"more":       bitmap(2*words, func(int) bool { return true }),
		"cut short":  bitmap(words/2, func(int) bool { return true }),
		"one":        bitmap(words, func(i int) bool { return i == 1234 }),
		"every 2nd":  bitmap(words, func(i int) bool { return i%2 == 0 }),
		"every 99th": bitmap(words, func(i int) bool { return i%99 == 0 }),
		"a range":    bitmap(words, func(i int) bool { return i > 100 && i < 1500 }),
		"by chance":  bitmap(words, func(int) bool { return r.IntN(3) == 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			for _, k := range []int{1, 10, n} {
				checkSearch(t, v, have, index.L2, index.Query{Vector: wholeNumbers(r, 12), K: k, Allow: allow})
			}
		})
	}
}

func bitmap(words int, in func(i int) bool) []uint64 {
	allow := make([]uint64, words)
	for i := range 64 * words {
		if in(i) {
			allow[i/64] |= 1 << (i % 64)
		}
	}
	return allow
}

// Finite vectors can have a distance that is no number: +Inf - Inf. It counts
// as the farthest there is, and no hit is lost for it.
func testNotANumber(t *testing.T, maker Maker) {
	const huge = math.MaxFloat32
	x := maker(2, index.Dot)
	for label := range uint64(40) {
		v := []float32{float32(label), 0}
		if label%4 == 0 {
			v = []float32{huge, -huge}
		}
		mustAdd(t, x, label, v)
	}
	x.Publish()
	v := x.View()
	defer v.Release()
	for _, k := range []int{5, 30, 35, 40} {
		hits := mustSearch(t, v, &index.Query{Vector: []float32{huge, huge}, K: k, Exact: true})
		if len(hits) != k {
			t.Fatalf("k %d: %d hits", k, len(hits))
		}
		if !slices.IsSortedFunc(hits, compareHits) {
			t.Errorf("k %d: out of order: %v", k, hits)
		}
		for i, h := range hits {
			if notANumber := h.Label%4 == 0; notANumber != (i >= 30) || notANumber != math.IsInf(float64(h.Distance), 1) {
				t.Errorf("k %d: hit %d is %+v", k, i, h)
			}
		}
	}
}

// countingContext is cancelled from the n-th look at it on.
type countingContext struct {
	context.Context
	looks, cancelAt int
}

func (c *countingContext) Err() error {
	c.looks++
	if c.cancelAt > 0 && c.looks >= c.cancelAt {
		return context.Canceled
	}
	return nil
}

func testContext(t *testing.T, maker Maker) {
	r := rand.New(rand.NewPCG(9, 10))
	x := maker(2, index.L2)
	fill(t, x, r, 2, 5*1024)
	v := x.View()
	defer v.Release()
	q := index.Query{Vector: wholeNumbers(r, 2), K: 10, Exact: true}
	patient := &countingContext{Context: context.Background()}
	if _, err := v.Search(patient, &q, nil); err != nil || patient.looks < 5 {
		t.Errorf("%d looks at the context for 5 x 1,024 vectors, error %v", patient.looks, err)
	}
	for n := 1; n <= 5; n++ {
		ctx := &countingContext{Context: context.Background(), cancelAt: n}
		if hits, err := v.Search(ctx, &q, nil); !errors.Is(err, context.Canceled) || len(hits) != 0 {
			t.Errorf("cancelled at look %d: %d hits, error %v", n, len(hits), err)
		}
	}
}

func testMisuse(t *testing.T, maker Maker) {
	x := maker(1, index.L2)
	slot := mustAdd(t, x, 1, []float32{1})
	x.Publish()
	v := x.View()
	v.Release()
	x.Remove(slot)
	for name, misuse := range map[string]func(){
		"second Remove":          func() { x.Remove(slot) },
		"Remove past the end":    func() { x.Remove(slot + 1) },
		"Search after a Release": func() { _, _ = v.Search(context.Background(), &index.Query{Vector: []float32{1}, K: 1}, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			misuse()
		}()
	}
}

// testRecall asks for recall@10 of 0.95 at a generous width on vectors without
// structure; an exact index has 1.
func testRecall(t *testing.T, maker Maker, metric index.Metric) {
	const n, dim, k, queries = 2000, 16, 10, 50
	r := rand.New(rand.NewPCG(11, 12))
	x := maker(dim, metric)
	have := fill(t, x, r, dim, n)
	v := x.View()
	defer v.Release()
	found := 0
	for range queries {
		q := index.Query{Vector: wholeNumbers(r, dim), K: k, Ef: 200}
		truth := have.search(&q, metric)
		for _, h := range mustSearch(t, v, &q) {
			if h.Distance <= truth[k-1].Distance {
				found++
			}
		}
	}
	if recall := float64(found) / (k * queries); recall < 0.95 {
		t.Errorf("recall@%d = %.3f", k, recall)
	}
}
