package flat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
	"github.com/hivehub/waggle/index/distance/bandwidth"
)

var sink float32 // keeps what is computed for nothing

// BenchmarkScan searches and, in turn, adds up the same bytes with a plain
// AVX-512 sum. It reports the median of each and how much of the sum's
// bandwidth the search reaches: the figure to hold is 0.85. On a busy machine
// the medians measure the neighbours; the best of each (best-of-sum) does not.
func BenchmarkScan(b *testing.B) {
	for _, size := range []struct{ n, dim int }{{60_000, 128}, {10_000, 768}, {60_000, 784}} {
		for _, metric := range []index.Metric{index.L2, index.Cosine, index.L1} {
			name := map[index.Metric]string{index.L2: "l2", index.Cosine: "cosine", index.L1: "l1"}[metric]
			b.Run(fmt.Sprintf("%dx%d/%s/%s", size.n, size.dim, name, distance.Kernels()), func(b *testing.B) {
				benchmarkScan(b, size.n, size.dim, metric)
			})
		}
	}
}

func benchmarkScan(b *testing.B, n, dim int, metric index.Metric) {
	v, q := filled(b, n, dim, metric)
	defer v.Release()
	dst := make([]index.Hit, 0, q.K)
	var scans, sums []time.Duration
	search := func() {
		start := time.Now()
		dst, _ = v.Search(context.Background(), q, dst)
		scans = append(scans, time.Since(start))
	}
	add := func() {
		start := time.Now()
		for number, c := range v.(*View).chunks {
			rows := min(len(c.slots), n-number*len(c.slots))
			sink += bandwidth.Sum(c.vectors[:rows*dim])
		}
		sums = append(sums, time.Since(start))
	}
	for turn := 0; b.Loop(); turn++ {
		if turn%2 == 0 { // A B B A: neither always follows the other
			search()
			add()
		} else {
			add()
			search()
		}
	}
	scan, plain := median(scans), median(sums)
	b.ReportMetric(float64(scan.Nanoseconds()), "ns/op")
	b.ReportMetric(float64(scan.Nanoseconds())/float64(n), "ns/row")
	b.ReportMetric(float64(4*n*dim)/scan.Seconds()/1e9, "GB/s")
	b.ReportMetric(float64(4*n*dim)/plain.Seconds()/1e9, "sum-GB/s")
	b.ReportMetric(plain.Seconds()/scan.Seconds(), "of-sum")
	b.ReportMetric(slices.Min(sums).Seconds()/slices.Min(scans).Seconds(), "best-of-sum")
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkAllow searches among a random part of 60,000 vectors. The time
// should follow the part, not the whole.
func BenchmarkAllow(b *testing.B) {
	const n, dim = 60_000, 784
	v, q := filled(b, n, dim, index.L2)
	defer v.Release()
	for _, percent := range []float64{0.1, 1, 10, 50, 100} {
		b.Run(fmt.Sprintf("%g%%", percent), func(b *testing.B) {
			r := rand.New(rand.NewPCG(3, 4))
			q.Allow = make([]uint64, (n+63)/64)
			allowed := 0
			for i := range n {
				if r.Float64()*100 < percent {
					q.Allow[i/64] |= 1 << (i % 64)
					allowed++
				}
			}
			dst := make([]index.Hit, 0, q.K)
			for b.Loop() {
				dst, _ = v.Search(context.Background(), q, dst)
			}
			b.ReportMetric(float64(4*dim*allowed*b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

// BenchmarkK searches 10,000 small vectors for ever more neighbours.
func BenchmarkK(b *testing.B) {
	v, q := filled(b, 10_000, 32, index.L2)
	defer v.Release()
	for _, k := range []int{1, 10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(k), func(b *testing.B) {
			q.K = k
			dst := make([]index.Hit, 0, k)
			for b.Loop() {
				dst, _ = v.Search(context.Background(), q, dst)
			}
		})
	}
}

// BenchmarkWrite replaces one vector and publishes, beside 10,000 others.
func BenchmarkWrite(b *testing.B) {
	const dim = 128
	x := New(dim, index.L2)
	vector := make([]float32, dim)
	slots := make([]uint32, 10_000)
	for i := range slots {
		slots[i] = mustAdd(b, x, uint64(i), vector)
	}
	x.Publish()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		place := i % len(slots)
		x.Remove(slots[place])
		slots[place] = mustAdd(b, x, uint64(len(slots)+i), vector)
		x.Publish()
		x.View().Release()
	}
}
