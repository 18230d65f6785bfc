package fusion

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestByHand(t *testing.T) {
	dense := []Hit{{1, 0.9}, {2, 0.8}, {3, 0.7}}
	sparse := []Hit{{3, 12}, {4, 5}}
	rrf, err := RRF(KDefault, nil, dense, sparse)
	checkHits(t, "rrf", rrf, err, []Hit{{3, 1.0/4 + 1.0/2}, {1, 1.0 / 2}, {2, 1.0 / 3}, {4, 1.0 / 3}})
	rrf, err = RRF(60, []float64{1, 3}, dense, sparse)
	checkHits(t, "rrf with weights", rrf, err, []Hit{
		{3, 1.0/62 + 1/(1.0/3+59)},
		{4, 1 / (2.0/3 + 59)},
		{1, 1.0 / 60},
		{2, 1.0 / 61},
	})
	rrf, err = RRF(2, []float64{1, 0}, dense, sparse)
	checkHits(t, "rrf without a list", rrf, err, []Hit{{1, 1.0 / 2}, {2, 1.0 / 3}, {3, 1.0 / 4}, {4, 0}})
	checkHits(t, "dbsf", DBSF(dense, sparse, []Hit{{4, -3}}), nil, []Hit{
		{3, 0.5 - 1.0/6 + 0.5 + math.Sqrt2/12},
		{4, 0.5 - math.Sqrt2/12 + 0.5},
		{1, 0.5 + 1.0/6},
		{2, 0.5},
	})
	checkHits(t, "dbsf of equal scores", DBSF([]Hit{{2, 7}, {1, 7}}), nil, []Hit{{1, 0.5}, {2, 0.5}})
	weighted, err := Weighted([]float64{0.5, 0.1}, dense, sparse)
	checkHits(t, "weighted", weighted, err, []Hit{{3, 0.35 + 1.2}, {4, 0.5}, {1, 0.45}, {2, 0.4}})
	weighted, err = Weighted(nil, []Hit{{1, math.NaN()}, {2, math.Inf(1)}, {1, 5}})
	checkHits(t, "weighted of no numbers", weighted, err, []Hit{{2, math.MaxFloat32}, {1, -math.MaxFloat32}})
	blend, err := Blend([]float64{0.7, 0.3}, dense, sparse, []Hit{{9, 4}})
	if !errors.Is(err, ErrWeights) {
		t.Errorf("blend of three lists with two weights: %v, %v", blend, err)
	}
	blend, err = Blend([]float64{0.7, 0.3, 0.1}, dense, sparse, []Hit{{9, 4}})
	checkHits(t, "blend", blend, err, []Hit{{1, 0.7}, {2, 0.35}, {3, 0.3}, {9, 0.1}, {4, 0}})
	if got := DBSF(); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func checkHits(t *testing.T, name string, got []Hit, err error, want []Hit) {
	t.Helper()
	if err != nil || !slices.EqualFunc(got, want, func(a, b Hit) bool { return a.Label == b.Label && near(a.Score, b.Score) }) {
		t.Errorf("%s: %v, %v; want %v", name, got, err, want)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

func TestRefusals(t *testing.T) {
	list := []Hit{{1, 1}}
	if _, err := RRF(0, nil, list); !errors.Is(err, ErrK) {
		t.Errorf("k 0: %v", err)
	}
	for _, weights := range [][]float64{{1}, {1, 1, 1}, {1, -1}, {1, math.NaN()}, {1, math.Inf(1)}, {math.MaxFloat64, 1}} {
		if _, err := RRF(2, weights, list, list); !errors.Is(err, ErrWeights) {
			t.Errorf("RRF with %v: %v", weights, err)
		}
		if _, err := Weighted(weights, list, list); !errors.Is(err, ErrWeights) {
			t.Errorf("Weighted with %v: %v", weights, err)
		}
	}
}

func TestEqualsNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hit := rapid.Custom(func(t *rapid.T) Hit {
			return Hit{rapid.Uint64Range(0, 12).Draw(t, "label"), rapid.OneOf(
				rapid.Map(rapid.IntRange(-3, 3), func(i int) float64 { return float64(i) }),
				rapid.Map(rapid.IntRange(-800, 800), func(i int) float64 { return float64(i) / 8 }),
			).Draw(t, "score")}
		})
		lists := rapid.SliceOfN(rapid.SliceOfN(hit, 0, 10), 0, 4).Draw(t, "lists")
		weights := rapid.SliceOfN(rapid.Float64Range(0, 5), len(lists), len(lists)).Draw(t, "weights")
		k := rapid.IntRange(1, 70).Draw(t, "k")
		before := make([][]Hit, len(lists))
		for i, list := range lists {
			before[i] = slices.Clone(list)
		}
		rrf, err := RRF(k, weights, lists...)
		compare(t, "rrf", rrf, err, naive(lists, func(list []Hit, i, rank int) float64 {
			if weights[i] == 0 {
				return 0
			}
			return 1 / (float64(rank+1)/weights[i] + float64(k) - 1)
		}))
		compare(t, "dbsf", DBSF(lists...), nil, naive(lists, naiveDBSF))
		weighted, err := Weighted(weights, lists...)
		compare(t, "weighted", weighted, err, naive(lists, func(list []Hit, i, rank int) float64 {
			return weights[i] * list[rank].Score
		}))
		for i := range lists {
			if !slices.Equal(lists[i], before[i]) {
				t.Fatalf("list %d was changed", i)
			}
		}
	})
}

// naive sums, for every label, what its first place in every list scores.
func naive(lists [][]Hit, score func(list []Hit, i, rank int) float64) map[uint64]float64 {
	sums := map[uint64]float64{}
	for i, list := range lists {
		var distinct []Hit
		for _, h := range list {
			if !slices.ContainsFunc(distinct, func(d Hit) bool { return d.Label == h.Label }) {
				distinct = append(distinct, h)
			}
		}
		for rank, h := range distinct {
			sums[h.Label] += score(distinct, i, rank)
		}
	}
	return sums
}

func naiveDBSF(list []Hit, _, rank int) float64 {
	n := float64(len(list))
	var sum, squares float64
	for _, h := range list {
		sum += h.Score
	}
	for _, h := range list {
		squares += (h.Score - sum/n) * (h.Score - sum/n)
	}
	if !slices.ContainsFunc(list, func(h Hit) bool { return h.Score != list[0].Score }) {
		return 0.5
	}
	deviation := math.Sqrt(squares / (n - 1))
	low, high := sum/n-3*deviation, sum/n+3*deviation
	return (list[rank].Score - low) / (high - low)
}

func compare(t *rapid.T, name string, got []Hit, err error, want map[uint64]float64) {
	if err != nil || len(got) != len(want) {
		t.Fatalf("%s: %v, %v; want %v", name, got, err, want)
	}
	for _, h := range got {
		if w, ok := want[h.Label]; !ok || !near(h.Score, w) {
			t.Fatalf("%s: %v, want %v", name, got, want)
		}
	}
	if !slices.IsSortedFunc(got, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Label, b.Label))
	}) {
		t.Fatalf("%s: out of order: %v", name, got)
	}
}
