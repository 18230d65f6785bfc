package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/hnsw"
)

// scan measures searches over codes where no vertex is linked yet, one thread,
// beside exact ones in turn: their time, and how many have the same answer.
func scan(c config) error {
	const n, dim = 10_000, 768
	for _, kind := range []string{"uniform", "clustered"} {
		for _, name := range []string{"l2", "cos", "l1"} {
			base, queries := spread(kind, n, max(c.queries, 1), dim)
			if name == "cos" {
				base.normalise()
				queries.normalise()
			}
			x := hnsw.New(dim, metrics[name], hnsw.Options{})
			if err := add(x, base); err != nil {
				return err
			}
			x.Build(0) // chooses the codes, and links nothing
			if err := scanned(x.View(), queries, kind+" "+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func scanned(v index.View, queries matrix, what string) error {
	defer v.Release()
	var times [2][]time.Duration // on codes, exact
	var hits [2][]index.Hit
	same := 0
	for i := range queries.n {
		for turn := range 2 {
			how := (i + turn) % 2 // A B B A
			q := index.Query{Vector: queries.row(i), K: neighbours, Exact: how == 1}
			start := time.Now()
			found, err := v.Search(context.Background(), &q, hits[how])
			if err != nil {
				return err
			}
			times[how], hits[how] = append(times[how], time.Since(start)), found
		}
		if slices.Equal(hits[0], hits[1]) {
			same++
		}
	}
	fmt.Printf("scan %s: n=%d d=%d p50_ms=%.3f mean_ms=%.3f exact_p50_ms=%.3f same=%.4f of %d\n", what, v.Len(), queries.dim,
		middle(times[0]), mean(times[0]), middle(times[1]), float64(same)/float64(queries.n), queries.n)
	return nil
}

// spread is vectors of independent values, or such around 100 centres.
func spread(kind string, n, m, dim int) (base, queries matrix) {
	const centres, seed = 100, 7
	r := rand.New(rand.NewPCG(seed, seed))
	all := matrix{n + m, dim, normal(r, (n+m)*dim)}
	if kind == "clustered" {
		middles := normal(r, centres*dim)
		for i := range all.n {
			row := all.row(i)
			for j, v := range middles[r.IntN(centres)*dim:][:dim] {
				row[j] = v + 0.5*row[j]
			}
		}
	}
	return matrix{n, dim, all.values[:n*dim]}, matrix{m, dim, all.values[n*dim:]}
}

func middle(times []time.Duration) (ms float64) {
	slices.Sort(times)
	return times[len(times)/2].Seconds() * 1000
}

func mean(times []time.Duration) (ms float64) {
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	return sum.Seconds() * 1000 / float64(len(times))
}
