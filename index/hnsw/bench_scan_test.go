package hnsw

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/hivehub/waggle/index"
)

// BenchmarkScanOfCodes compares a query with the codes of 10,000 vectors of
// 768 values, and the nearest as floats: a search where there is no graph.
func BenchmarkScanOfCodes(b *testing.B) {
	const n, dim, queries = 10_000, 768, 100
	vectors := gaussians(rand.New(rand.NewPCG(1, 2)), n+queries, dim, 100)
	for name, metric := range map[string]index.Metric{"l2": index.L2, "dot": index.Dot, "l1": index.L1} {
		b.Run(name, func(b *testing.B) {
			x := New(dim, metric, Options{})
			fill(b, x, vectors[:n])
			x.Build(0) // chooses the codes, and links nothing
			v := x.View()
			defer v.Release()
			dst := make([]index.Hit, 0, 10)
			for i := 0; b.Loop(); i++ {
				q := index.Query{Vector: vectors[n+i%queries], K: 10}
				var err error
				if dst, err = v.Search(context.Background(), &q, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTail searches while nearly all of 400,000 vectors wait for the graph.
func BenchmarkTail(b *testing.B) {
	const n, dim, queries = 400_000, 128, 100
	vectors := gaussians(rand.New(rand.NewPCG(1, 2)), n+queries, dim, 100)
	x := New(dim, index.L2, Options{})
	fill(b, x, vectors[:n])
	x.Build(64)
	v := x.View()
	defer v.Release()
	dst := make([]index.Hit, 0, 10)
	for i := 0; b.Loop(); i++ {
		q := index.Query{Vector: vectors[n+i%queries], K: 10}
		var err error
		if dst, err = v.Search(context.Background(), &q, dst); err != nil {
			b.Fatal(err)
		}
	}
}
