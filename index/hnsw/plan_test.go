package hnsw

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/index"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		live, matches, ef int
		want              way
	}{
		{0, 0, 10, byScan},
		{100, 100, 64, byScan},              // a walk would meet all of them
		{60_000, 60_000, 64, byWalk},        // no filter
		{60_000, 60_000, 10_000, byScan},    // wider than the graph
		{60_000, 0, 64, byScan},             // nothing matches
		{60_000, 600, 64, byScan},           // few match
		{1_000_000, 30_000, 64, byHops},     // not few, but far between
		{1_000_000, 500_000, 64, byWalk},    // every second
		{100_000_000, 200_000, 64, byScan},  // two links lead to no match
		{math.MaxInt32, 1 << 29, 1, byWalk}, // no overflow
	} {
		if got := choose(16, c.live, c.matches, c.ef); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// Filters of every selectivity, independent of the query, alike it and unlike
// it: recall stays, and no match is missing while fewer than k are found.
func TestFilteredRecall(t *testing.T) {
	const n, dim, k, queries = 10_000 / slow, 24, 10, 15
	r := rand.New(rand.NewPCG(1, 2))
	vectors := gaussians(r, n+queries, dim, 20)
	x := New(dim, index.L2, Options{})
	fill(t, x, vectors[:n])
	buildAll(x, 1) // the order of two is chance
	v := x.View()
	defer v.Release()
	for _, percent := range []float64{0.02, 0.1, 0.5, 1, 3, 10, 20, 30, 50, 80, 100} {
		for _, kind := range []string{"independent", "alike", "unlike"} {
			for _, force := range []way{byScan, byWalk, byHops} {
				planned := x.plan
				if force != byScan {
					x.plan = func(int, int, int) way { return force } // gives up where it is no good
				}
				found, wanted := 0, 0
				for _, query := range vectors[n:] {
					allow := filterOf(r, vectors[:n], query, kind, percent)
					q := index.Query{Vector: query, K: k, Allow: allow, Exact: true}
					truth, _ := v.Search(context.Background(), &q, nil)
					q.Exact, q.Ef = false, 64
					hits, err := v.Search(context.Background(), &q, nil)
					if err != nil || len(hits) != len(truth) {
						t.Fatalf("%s %g%%: %d hits of %d, error %v", kind, percent, len(hits), len(truth), err)
					}
					for _, h := range hits {
						if !allowed(allow, h.Slot) {
							t.Fatalf("%s %g%%: %d is not allowed", kind, percent, h.Slot)
						}
						if h.Distance <= truth[len(truth)-1].Distance {
							found++
						}
					}
					wanted += len(truth)
				}
				floor := 0.95
				if force != byScan {
					floor = 0.93 // where it would not be planned
				}
				if recall := float64(found) / float64(wanted); recall < floor {
					t.Errorf("%s %g%%, way %d: recall %.3f", kind, percent, force, recall)
				}
				x.plan = planned
			}
		}
	}
}

// A scan of codes, which lose something, finds what a scan of floats does: it
// keeps all that may be among the nearest.
func TestScanOfCodesIsExact(t *testing.T) {
	const n, dim, k, queries = 4_000 / slow, 96, 10, 400
	vectors := gaussians(rand.New(rand.NewPCG(9, 10)), n+queries, dim, 20)
	for name, metric := range map[string]index.Metric{"l2": index.L2, "dot": index.Dot, "l1": index.L1} {
		t.Run(name, func(t *testing.T) {
			x := planned(byScan, dim, metric, Options{})
			fill(t, x, vectors[:n])
			buildAll(x, 1)
			v := x.View()
			defer v.Release()
			wrong := 0
			for _, query := range vectors[n:] {
				q := index.Query{Vector: query, K: k}
				got, err := v.Search(context.Background(), &q, nil)
				if err != nil {
					t.Fatal(err)
				}
				q.Exact = true
				want, _ := v.Search(context.Background(), &q, nil)
				if !slices.Equal(got, want) {
					wrong++
				}
			}
			if wrong > 1 {
				t.Errorf("%d of %d answers differ", wrong, queries)
			}
		})
	}
}

// A search under a filter takes no more than to compare all that match, and what
// it takes to find out that there is no shorter way, at most half as much.
func TestFilteredWork(t *testing.T) {
	const n, dim, k, queries = 20_000 / slow, 24, 10, 10
	r := rand.New(rand.NewPCG(7, 8))
	vectors := gaussians(r, n+queries, dim, 20)
	x := New(dim, index.L2, Options{})
	fill(t, x, vectors[:n])
	buildAll(x, 2)
	v := x.View().(*view)
	defer v.Release()
	for _, percent := range []float64{0.1, 1, 3, 10, 20, 30, 50, 70, 90, 100} {
		for _, kind := range []string{"independent", "alike", "unlike"} {
			matches, most := int(percent/100*n), 0
			for _, query := range vectors[n:] {
				s := search{walker: new(walker), view: v, k: min(k, matches), query: &index.Query{
					Vector: query, K: k, Ef: 128, Allow: filterOf(r, vectors[:n], query, kind, percent),
				}}
				if _, err := s.run(context.Background(), nil); err != nil {
					t.Fatal(err)
				}
				most = max(most, s.compared)
				if kept, limit := cap(s.pool.items), 2*patience(n, matches, 128)+512; kept > limit {
					t.Errorf("%s %g%%: room for %d candidates, want at most %d", kind, percent, kept, limit)
				}
			}
			if limit := matches + matches/2 + matches/8 + 500; most > limit {
				t.Errorf("%s %g%%: %d comparisons for %d matches", kind, percent, most, matches)
			}
		}
	}
}

// filterOf is a bitmap over vectors of a share of them: any, those nearest to
// the query, or those farthest from it.
func filterOf(r *rand.Rand, vectors [][]float32, query []float32, kind string, percent float64) []uint64 {
	order := r.Perm(len(vectors))
	if kind != "independent" {
		distances := make([]float32, len(vectors))
		for i, v := range vectors {
			for j := range v {
				distances[i] += (v[j] - query[j]) * (v[j] - query[j])
			}
			if kind == "unlike" {
				distances[i] = -distances[i]
			}
		}
		slices.SortFunc(order, func(a, b int) int {
			return nearer(candidate{distance: distances[a]}, candidate{distance: distances[b]})
		})
	}
	allow := make([]uint64, (len(vectors)+63)/64)
	for _, slot := range order[:int(percent/100*float64(len(vectors)))] {
		allow[slot/64] |= 1 << (slot % 64)
	}
	return allow
}

func TestSearchAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	vectors := gaussians(r, 5001, 32, 10)
	for _, way := range []way{byScan, byWalk, byHops} {
		x := planned(way, 32, index.L2, Options{})
		fill(t, x, vectors[:5000])
		buildAll(x, 1)
		v := x.View()
		q := index.Query{Vector: vectors[5000], K: 10, Ef: 50}
		if way == byHops {
			q.Allow = filterOf(r, vectors[:5000], q.Vector, "independent", 20)
		}
		dst := make([]index.Hit, 0, q.K)
		if allocated := testing.AllocsPerRun(50, func() {
			var err error
			if dst, err = v.Search(context.Background(), &q, dst); err != nil || len(dst) != q.K {
				t.Fatalf("%d hits, error %v", len(dst), err)
			}
		}); allocated != 0 {
			t.Errorf("way %d: %g allocations in a search", way, allocated)
		}
		v.Release()
	}
}

func TestSearchLooksAtItsContext(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, way := range []way{byScan, byWalk} {
		x := planned(way, 8, index.L2, Options{})
		fill(t, x, gaussians(r, 5000, 8, 10))
		for range 2 {
			v := x.View()
			q := index.Query{Vector: make([]float32, 8), K: 10, Ef: 500}
			if hits, err := v.Search(ctx, &q, nil); !errors.Is(err, context.Canceled) || len(hits) != 0 {
				t.Errorf("way %d: %d hits, error %v", way, len(hits), err)
			}
			v.Release()
			buildAll(x, 1)
		}
	}
}
