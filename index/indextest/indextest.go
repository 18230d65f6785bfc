// Package indextest is the conformance suite of index.Index: what every index
// promises, whatever its algorithm. The oracle is a map that compares the
// query with everything, and exact searches must equal it hit for hit, ties
// included; for the others the suite demands order, membership, number and
// recall.
package indextest

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hivehub/waggle/index"
)

// Maker returns an empty index.
type Maker func(dim int, metric index.Metric) index.Index

var metrics = map[string]index.Metric{"l2": index.L2, "cosine": index.Cosine, "dot": index.Dot, "l1": index.L1}

// Run runs the suite against the indexes that maker returns.
func Run(t *testing.T, maker Maker) {
	t.Run("Empty", func(t *testing.T) { testEmpty(t, maker) })
	t.Run("WrongDimension", func(t *testing.T) { testWrongDimension(t, maker) })
	t.Run("Publish", func(t *testing.T) { testPublish(t, maker) })
	t.Run("AllRemoved", func(t *testing.T) { testAllRemoved(t, maker) })
	t.Run("ViewOutlivesWrites", func(t *testing.T) { testViewOutlivesWrites(t, maker) })
	t.Run("K", func(t *testing.T) { testK(t, maker) })
	t.Run("Allow", func(t *testing.T) { testAllow(t, maker) })
	t.Run("NotANumber", func(t *testing.T) { testNotANumber(t, maker) })
	t.Run("Context", func(t *testing.T) { testContext(t, maker) })
	t.Run("Misuse", func(t *testing.T) { testMisuse(t, maker) })
	for name, metric := range metrics {
		t.Run("Recall/"+name, func(t *testing.T) { testRecall(t, maker, metric) })
		t.Run("Model/"+name, func(t *testing.T) { testModel(t, maker, metric) })
	}
	t.Run("Concurrent", func(t *testing.T) { testConcurrent(t, maker) })
}

// fill adds n vectors of small whole numbers, labelled from 1 on in random
// order, and publishes them. Sums of small whole numbers are exact in float32,
// so every index computes the same distances.
func fill(t *testing.T, x index.Index, r *rand.Rand, dim, n int) contents {
	t.Helper()
	have := contents{}
	for _, label := range r.Perm(n) {
		v := wholeNumbers(r, dim)
		have[mustAdd(t, x, uint64(label+1), v)] = entry{uint64(label + 1), v}
	}
	x.Publish()
	return have
}

func wholeNumbers(r *rand.Rand, dim int) []float32 {
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(r.IntN(256))
	}
	return v
}

func mustAdd(t *testing.T, x index.Index, label uint64, vector []float32) uint32 {
	t.Helper()
	slot, err := x.Add(label, vector)
	if err != nil {
		t.Fatalf("Add(%d): %v", label, err)
	}
	return slot
}

func mustSearch(t rapid.TB, v index.View, q *index.Query) []index.Hit {
	t.Helper()
	hits, err := v.Search(context.Background(), q, nil)
	if err != nil {
		t.Fatalf("Search: %v", err)
	}
	return hits
}

// entry is what a slot holds; contents is what a view shows.
type entry struct {
	label  uint64
	vector []float32
}

type contents map[uint32]entry

// search is the oracle. The vectors hold whole numbers, so that the order of
// additions does not matter.
func (c contents) search(q *index.Query, metric index.Metric) []index.Hit {
	var hits []index.Hit
	for slot, e := range c {
		if q.Allow == nil || allowed(q.Allow, slot) {
			hits = append(hits, index.Hit{Label: e.label, Slot: slot, Distance: distanceOf(metric, q.Vector, e.vector)})
		}
	}
	slices.SortFunc(hits, compareHits)
	return hits[:min(len(hits), max(q.K, 0))]
}

func allowed(allow []uint64, slot uint32) bool {
	return int(slot/64) < len(allow) && allow[slot/64]>>(slot%64)&1 == 1
}

func distanceOf(metric index.Metric, a, b []float32) float32 {
	var sum float32
	for i := range a {
		switch metric {
		case index.L2:
			sum += (a[i] - b[i]) * (a[i] - b[i])
		case index.L1:
			sum += max(a[i]-b[i], b[i]-a[i])
		default:
			sum -= a[i] * b[i]
		}
	}
	return sum
}

func compareHits(a, b index.Hit) int {
	switch {
	case a.Distance != b.Distance && a.Distance < b.Distance:
		return -1
	case a.Distance != b.Distance:
		return 1
	case a.Label < b.Label:
		return -1
	default:
		return 1
	}
}

// checkView compares everything a view says of itself with what it should
// contain.
func checkView(t rapid.TB, v index.View, want contents) {
	t.Helper()
	if v.Len() != len(want) {
		t.Fatalf("Len = %d, want %d", v.Len(), len(want))
	}
	seen := 0
	for slot := range v.Slots() {
		label, ok := v.Label(slot)
		e, should := want[slot]
		if ok != should || ok && label != e.label {
			t.Fatalf("Label(%d) = %d, %v; want %d, %v", slot, label, ok, e.label, should)
		}
		if got, err := v.Vector(slot); err != nil || !slices.Equal(got, e.vector) {
			t.Fatalf("Vector(%d) = %v, %v, want %v", slot, got, err, e.vector)
		}
		if ok {
			seen++
		}
	}
	if seen != len(want) {
		t.Fatalf("%d slots below Slots() = %d hold vectors, want %d", seen, v.Slots(), len(want))
	}
	if _, ok := v.Label(v.Slots()); ok || vectorIn(v, v.Slots()) != nil {
		t.Fatalf("slot %d is past the end and in the view", v.Slots())
	}
}

// vectorIn is the vector in a slot, nil also where it cannot be read.
func vectorIn(v index.View, slot uint32) []float32 {
	vector, err := v.Vector(slot)
	if err != nil {
		return nil
	}
	return vector
}

// checkSearch compares an exact search with the oracle, and demands of a
// search that may be approximate what holds for it too.
func checkSearch(t rapid.TB, v index.View, want contents, metric index.Metric, q index.Query) {
	t.Helper()
	expected := want.search(&q, metric)
	q.Exact = true
	if got := mustSearch(t, v, &q); !slices.Equal(got, expected) {
		t.Fatalf("exact search, k %d of %d: got %v, want %v", q.K, len(want), got, expected)
	}
	q.Exact = false
	q.Ef = max(64, q.K)
	got := mustSearch(t, v, &q)
	if len(got) != len(expected) {
		t.Fatalf("search, k %d of %d: %d hits, want %d", q.K, len(want), len(got), len(expected))
	}
	for i, h := range got {
		e, ok := want[h.Slot]
		if !ok || e.label != h.Label || h.Distance != distanceOf(metric, q.Vector, e.vector) {
			t.Fatalf("hit %d %+v is not in the view", i, h)
		}
		if q.Allow != nil && !allowed(q.Allow, h.Slot) {
			t.Fatalf("hit %d %+v is not allowed", i, h)
		}
		if i > 0 && compareHits(got[i-1], h) >= 0 {
			t.Fatalf("hits %d and %d are out of order or equal: %+v, %+v", i-1, i, got[i-1], h)
		}
	}
}
