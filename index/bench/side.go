package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
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
	metric := metrics[c.metric]
	if metric == index.Cosine {
		base.normalise()
		queries.normalise()
	}
	truth, err := groundTruth(c, metric, base, queries)
	if err != nil {
		return err
	}
	before, used, start := resident(), cpuTime(), time.Now()
	x, err := graphOf(base, metric, hnsw.Options{Floats: c.floats})
	if err != nil {
		return err
	}
	seconds, used := time.Since(start).Seconds(), cpuTime()-used
	fmt.Printf("waggle metric=%s kernels=%s n=%d d=%d M=%d efc=%d build_threads=2 build_s=%.2f build_cpu_s=%.2f inserts_per_s=%.0f index_mb=%.1f own_mb=%.1f\n",
		c.metric, distance.Kernels(), base.n, base.dim, links, efConstruction, seconds, used, float64(base.n)/seconds,
		resident()-before, float64(x.Bytes())/(1<<20))
	v := x.View()
	defer v.Release()
	for _, ef := range widths {
		found := make([]uint32, queries.n*neighbours)
		one := search(v, queries, ef, 1, found)
		two := search(v, queries, ef, 2, found)
		fmt.Printf("ef=%-4d recall=%.4f qps1=%.0f qps2=%.0f cpu1=%.0f\n", ef, recall(found, truth), one.qps, two.qps, one.cpu)
		if err := writeIDs(filepath.Join(c.out, fmt.Sprintf("waggle.%s.ef%d.ibin", c.metric, ef)), found); err != nil {
			return err
		}
	}
	return nil
}

var metrics = map[string]index.Metric{"l2": index.L2, "cos": index.Cosine, "l1": index.L1}

// graphOf builds a graph of vectors, on two threads.
func graphOf(base matrix, metric index.Metric, o hnsw.Options) (*hnsw.Index, error) {
	o.M, o.EfConstruction = links, efConstruction
	x := hnsw.New(base.dim, metric, o)
	if err := add(x, base); err != nil {
		return nil, err
	}
	build(x)
	return x, nil
}

// build moves all that waits into the graph, on two threads.
func build(x *hnsw.Index) {
	each(2, 2, func(int) {
		for x.Build(256) > 0 {
		}
	})
}

// resident is the memory of this process, in MB, without what the collector
// would free.
func resident() float64 {
	debug.FreeOSMemory()
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
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

// speed is queries a second, and a second of CPU time, which other processes
// on the machine disturb less.
type speed struct{ qps, cpu float64 }

// cpuTime is what this process has used, in seconds.
func cpuTime() float64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(fmt.Sprintf("BUG: the process's clock: %v", err))
	}
	return float64(t.Nano()) / 1e9
}

func search(v index.View, queries matrix, ef, threads int, found []uint32) speed {
	start, used := time.Now(), cpuTime()
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
	n := float64(queries.n)
	return speed{n / time.Since(start).Seconds(), n / (cpuTime() - used)}
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
	truth, err := exact(base, queries, metric)
	if err != nil {
		return nil, err
	}
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
