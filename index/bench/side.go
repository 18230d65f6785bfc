package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
	"github.com/hivehub/waggle/index/flat"
	"github.com/hivehub/waggle/index/hnsw"
)

// ours is one turn of our side. It prints what the peer prints.
func ours(c config) error {
	base, err := readFbin(filepath.Join(c.out, "base.fbin"))
	if err != nil {
		return err
	}
	queries, err := readFbin(filepath.Join(c.out, "query.fbin"))
	if err != nil {
		return err
	}
	queries = queries.first(c.queries)
	metric := index.L2
	if c.metric == "cos" {
		metric = index.Cosine
		base.normalise()
		queries.normalise()
	}
	truth, err := groundTruth(c, metric, base, queries)
	if err != nil {
		return err
	}
	start := time.Now()
	x := hnsw.New(base.dim, metric, hnsw.Options{M: links, EfConstruction: efConstruction})
	if err := add(x, base); err != nil {
		return err
	}
	each(2, 2, func(int) {
		for x.Build(256) > 0 {
		}
	})
	seconds := time.Since(start).Seconds()
	fmt.Printf("waggle metric=%s kernels=%s n=%d d=%d M=%d efc=%d build_threads=2 build_s=%.2f inserts_per_s=%.0f index_mb=%.0f\n",
		c.metric, distance.Kernels(), base.n, base.dim, links, efConstruction, seconds, float64(base.n)/seconds, float64(x.Bytes())/(1<<20))
	v := x.View()
	defer v.Release()
	for _, ef := range widths {
		var qps [3]float64
		found := make([]uint32, queries.n*neighbours)
		for threads := 1; threads <= 2; threads++ {
			qps[threads] = search(v, queries, ef, threads, found)
		}
		fmt.Printf("ef=%-4d recall=%.4f qps1=%.0f qps2=%.0f\n", ef, recall(found, truth), qps[1], qps[2])
		if err := writeIDs(filepath.Join(c.out, fmt.Sprintf("waggle.%s.ef%d.ibin", c.metric, ef)), found); err != nil {
			return err
		}
	}
	return nil
}

func add(x index.Index, base matrix) error {
	for i := range base.n {
		if _, err := x.Add(uint64(i), base.row(i)); err != nil {
			return err
		}
	}
	x.Publish()
	return nil
}

// each calls f for 0 to n-1 from some goroutines.
func each(n, goroutines int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	all.Wait()
}

func search(v index.View, queries matrix, ef, threads int, found []uint32) (qps float64) {
	start := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			hits := make([]index.Hit, 0, neighbours)
			for i := int(next.Add(1) - 1); i < queries.n; i = int(next.Add(1) - 1) {
				q := index.Query{Vector: queries.row(i), K: neighbours, Ef: ef}
				hits, _ = v.Search(context.Background(), &q, hits)
				for k, h := range hits {
					found[i*neighbours+k] = uint32(h.Label)
				}
			}
		})
	}
	all.Wait()
	return float64(queries.n) / time.Since(start).Seconds()
}

// groundTruth reads what the peer, or an earlier turn, left, or finds it.
func groundTruth(c config, metric index.Metric, base, queries matrix) ([]uint32, error) {
	path := filepath.Join(c.out, "gt."+c.metric+".ibin")
	truth := make([]uint32, queries.n*neighbours)
	if f, err := os.Open(path); err == nil {
		defer func() { _ = f.Close() }() // only read
		var header [2]uint32
		if err := binary.Read(f, binary.LittleEndian, &header); err != nil {
			return nil, err
		}
		return truth, binary.Read(f, binary.LittleEndian, truth)
	}
	x := flat.New(base.dim, metric)
	if err := add(x, base); err != nil {
		return nil, err
	}
	v := x.View()
	defer v.Release()
	each(queries.n, 2, func(i int) {
		hits, _ := v.Search(context.Background(), &index.Query{Vector: queries.row(i), K: neighbours}, nil)
		for k, h := range hits {
			truth[i*neighbours+k] = uint32(h.Label)
		}
	})
	return truth, writeIDs(path, truth)
}

func recall(found, truth []uint32) float64 {
	hits := 0
	for i := 0; i < len(truth); i += neighbours {
		for _, f := range found[i : i+neighbours] {
			for _, t := range truth[i : i+neighbours] {
				if f == t {
					hits++
				}
			}
		}
	}
	return float64(hits) / float64(len(truth))
}

// writeIDs writes rows of found ids: uint32 rows, uint32 in a row, ids.
func writeIDs(path string, ids []uint32) error {
	return writeFile(path, []uint32{uint32(len(ids) / neighbours), neighbours}, ids)
}
