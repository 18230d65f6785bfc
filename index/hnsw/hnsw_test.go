package hnsw

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/indextest"
)

// eager is an index whose graph is as far as it can be after each Publish.
type eager struct{ *Index }

func (e eager) Publish() {
	e.Index.Publish()
	buildAll(e.Index, 1)
}

// beside is an index that another goroutine builds after each Publish.
type beside struct {
	*Index
	building *sync.WaitGroup
}

func (b beside) Publish() {
	b.Index.Publish()
	b.building.Go(func() {
		for b.Build(2) > 0 {
		}
	})
}

func buildAll(x *Index, builders int) {
	var all sync.WaitGroup
	for range builders {
		all.Go(func() {
			for x.Build(64) > 0 {
			}
		})
	}
	all.Wait()
}

var small = Options{EfConstruction: 60, Threshold: 1}

func TestConformance(t *testing.T) {
	floats := small
	floats.Floats = true
	var building sync.WaitGroup
	t.Cleanup(building.Wait)
	for name, maker := range map[string]indextest.Maker{
		"beside": func(dim int, metric index.Metric) index.Index {
			return beside{planned(byWalk, dim, metric, small), &building}
		},
		"tail":   func(dim int, metric index.Metric) index.Index { return New(dim, metric, small) },
		"graph":  func(dim int, metric index.Metric) index.Index { return eager{planned(byWalk, dim, metric, small)} },
		"scan":   func(dim int, metric index.Metric) index.Index { return eager{planned(byScan, dim, metric, small)} },
		"floats": func(dim int, metric index.Metric) index.Index { return eager{planned(byWalk, dim, metric, floats)} },
		"hops": func(dim int, metric index.Metric) index.Index {
			x := planned(byHops, dim, metric, small)
			x.plan = func(live, matches, _ int) way {
				if matches < live {
					return byHops
				}
				return byWalk
			}
			return eager{x}
		},
	} {
		t.Run(name, func(t *testing.T) { indextest.Run(t, maker) })
	}
}

// planned is an index that searches in one way.
func planned(w way, dim int, metric index.Metric, o Options) *Index {
	x := New(dim, metric, o)
	x.plan = func(int, int, int) way { return w }
	return x
}

// gaussians makes vectors around centres, as embeddings are.
func gaussians(r *rand.Rand, n, dim, centres int) [][]float32 {
	middle := make([][]float32, centres)
	for i := range middle {
		middle[i] = make([]float32, dim)
		for j := range middle[i] {
			middle[i][j] = float32(r.NormFloat64())
		}
	}
	all := make([][]float32, n)
	for i := range all {
		all[i] = make([]float32, dim)
		for j, m := range middle[r.IntN(centres)] {
			all[i][j] = m + float32(r.NormFloat64())
		}
	}
	return all
}

func fill(tb testing.TB, x index.Index, vectors [][]float32) {
	tb.Helper()
	for i, v := range vectors {
		if _, err := x.Add(uint64(i), v); err != nil {
			tb.Fatal(err)
		}
	}
	x.Publish()
}

func recallOf(tb testing.TB, x index.Index, queries [][]float32, k, ef int) float64 {
	tb.Helper()
	v := x.View()
	defer v.Release()
	found := 0
	for _, query := range queries {
		truth, err := v.Search(context.Background(), &index.Query{Vector: query, K: k, Exact: true}, nil)
		if err != nil {
			tb.Fatal(err)
		}
		hits, err := v.Search(context.Background(), &index.Query{Vector: query, K: k, Ef: ef}, nil)
		if err != nil {
			tb.Fatal(err)
		}
		for _, h := range hits {
			if h.Distance <= truth[len(truth)-1].Distance {
				found++
			}
		}
	}
	return float64(found) / float64(k*len(queries))
}

func TestRecall(t *testing.T) {
	for name, metric := range map[string]index.Metric{"l2": index.L2, "l1": index.L1} {
		t.Run(name, func(t *testing.T) { testRecall(t, metric) })
	}
}

func testRecall(t *testing.T, metric index.Metric) {
	const n, dim = 6_000 / slow, 32
	vectors := gaussians(rand.New(rand.NewPCG(1, 2)), n+100, dim, 50)
	for _, floats := range []bool{false, true} {
		for _, builders := range []int{1, 2} {
			x := New(dim, metric, Options{Floats: floats})
			fill(t, x, vectors[:n])
			buildAll(x, builders)
			if x.Waiting() != 0 {
				t.Fatalf("%d wait", x.Waiting())
			}
			for ef, floor := range map[int]float64{10: 0.7, 40: 0.95, 200: 0.99} {
				recall := recallOf(t, x, vectors[n:], 10, ef)
				t.Logf("floats %v, %d builders, ef %d: recall %.4f", floats, builders, ef, recall)
				if recall < floor {
					t.Errorf("floats %v, %d builders, ef %d: recall %.4f", floats, builders, ef, recall)
				}
			}
		}
	}
}

// Vectors that come later may be unlike those the scale was chosen for.
func TestCodesAreOutgrown(t *testing.T) {
	const n, dim = 3000, 16
	r := rand.New(rand.NewPCG(1, 2))
	x := planned(byWalk, dim, index.L2, Options{})
	fill(t, x, gaussians(r, n, dim, 10))
	buildAll(x, 1)
	before := x.memory.Load().scalar
	later := gaussians(r, 2*n+100, dim, 10)
	for _, v := range later {
		for i := range v {
			v[i] = 50 + 10*v[i]
		}
	}
	fill(t, x, later[:2*n])
	buildAll(x, 1) // the order of two is chance
	if x.memory.Load().scalar == before {
		t.Error("the scale is the old one")
	}
	if recall := recallOf(t, x, later[2*n:], 10, 60); recall < 0.95 {
		t.Errorf("recall %.3f", recall)
	}
}

// BenchmarkSearch compares walks on codes with walks on floats.
func BenchmarkSearch(b *testing.B) {
	const n, dim, queries = 20_000, 128, 500
	vectors := gaussians(rand.New(rand.NewPCG(1, 2)), n+queries, dim, 200)
	for _, metric := range []index.Metric{index.L2, index.L1} {
		for _, floats := range []bool{false, true} {
			name := map[index.Metric]string{index.L2: "l2", index.L1: "l1"}[metric]
			x := New(dim, metric, Options{Floats: floats})
			fill(b, x, vectors[:n])
			buildAll(x, 2)
			b.Run(fmt.Sprintf("%dx%d/%s/floats=%v", n, dim, name, floats), func(b *testing.B) {
				v := x.View()
				defer v.Release()
				dst := make([]index.Hit, 0, 10)
				for i := 0; b.Loop(); i++ {
					q := index.Query{Vector: vectors[n+i%queries], K: 10, Ef: 64}
					dst, _ = v.Search(context.Background(), &q, dst)
				}
				b.ReportMetric(recallOf(b, x, vectors[n:], 10, 64), "recall")
			})
		}
	}
}
