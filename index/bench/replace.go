package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/flat"
	"github.com/hivehub/waggle/index/hnsw"
)

// replaceStep is how many vectors are replaced between two visits of builders.
const replaceStep = 1000

// replace builds a graph of the first two thirds of the data, replaces half of
// it by the last third in random order, and prints recall and speed beside
// those of a graph that was built of what is there then, in turn.
func replace(c config) error {
	base, queries, err := load(c)
	if err != nil {
		return err
	}
	n := base.n / 3 * 2
	now := matrix{n, base.dim, append([]float32(nil), base.values[:n*base.dim]...)}
	old, err := graphOf(now, metrics[c.metric], hnsw.Options{Floats: c.floats})
	if err != nil {
		return err
	}
	start := time.Now()
	for i, at := range rand.New(rand.NewPCG(1, 2)).Perm(n)[:n/2] {
		copy(now.row(at), base.row(n+i))
		// The slots of the first build are the rows' numbers, none was used twice.
		old.Remove(uint32(at))
		_, err := old.Add(uint64(at), now.row(at))
		if err != nil {
			return err
		}
		if i%replaceStep == replaceStep-1 {
			old.Publish()
			build(old)
		}
	}
	old.Publish()
	build(old)
	fmt.Printf("replaced %d of %d x %d in %.1f s\n", n/2, n, base.dim, time.Since(start).Seconds())
	fresh, err := graphOf(now, metrics[c.metric], hnsw.Options{Floats: c.floats})
	if err != nil {
		return err
	}
	truth, err := exact(now, queries, metrics[c.metric])
	if err != nil {
		return err
	}
	return beside(c, old, fresh, queries, truth)
}

// beside prints the two graphs' recall and speed, of one thread, A B A B.
func beside(c config, old, fresh index.Index, queries matrix, truth []uint32) error {
	views := [2]index.View{old.View(), fresh.View()}
	defer views[0].Release()
	defer views[1].Release()
	found := make([]uint32, queries.n*neighbours)
	for _, ef := range []int{16, 32, 64, 128} {
		var recalls [2]float64
		var qps, cpu [2][]float64
		for range 2*c.rounds + 1 {
			for i, v := range views {
				s := search(v, queries, ef, 1, found)
				qps[i], cpu[i] = append(qps[i], s.qps), append(cpu[i], s.cpu)
				recalls[i] = recall(found, truth)
			}
		}
		replaced, anew := median(qps[0]), median(qps[1])
		fmt.Printf("ef=%-4d recall=%.4f fresh_recall=%.4f qps=%.0f fresh_qps=%.0f ratio_qps=%.3f ratio_cpu=%.3f\n",
			ef, recalls[0], recalls[1], replaced, anew, replaced/anew, median(cpu[0])/median(cpu[1]))
	}
	return nil
}

// exact is the labels of the nearest vectors to each query.
func exact(base, queries matrix, metric index.Metric) ([]uint32, error) {
	truth := make([]uint32, queries.n*neighbours)
	x := flat.New(base.dim, metric)
	if err := add(x, base); err != nil {
		return nil, err
	}
	v := x.View()
	defer v.Release()
	failed := make([]error, queries.n)
	each(queries.n, 2, func(i int) {
		var hits []index.Hit
		hits, failed[i] = v.Search(context.Background(), &index.Query{Vector: queries.row(i), K: neighbours}, nil)
		for k, h := range hits {
			truth[i*neighbours+k] = uint32(h.Label)
		}
	})
	return truth, errors.Join(failed...)
}
