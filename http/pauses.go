package httpedge

import (
	"runtime/metrics"

	"github.com/prometheus/client_golang/prometheus"
)

// pauses is the series of the garbage collector's stops of the world. The Go
// collector has it in powers of ten only, in which half a millisecond is not
// to be seen.
type pauses struct{ described *prometheus.Desc }

func newPauses() pauses {
	return pauses{prometheus.NewDesc("waggle_gc_pauses_seconds",
		"Time for which the garbage collector stopped the process, stopping included; the sum is a lower bound.", nil, nil)}
}

// The bounds shown are the runtime's between these: from about 16 us to 33 ms.
const pauseLeast, pauseMost = 1.6e-5, 3.4e-2

// Describe implements prometheus.Collector.
func (p pauses) Describe(to chan<- *prometheus.Desc) { to <- p.described }

// Collect implements prometheus.Collector.
func (p pauses) Collect(to chan<- prometheus.Metric) {
	read := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(read)
	if read[0].Value.Kind() != metrics.KindFloat64Histogram {
		return // a runtime that does not know it
	}
	h := read[0].Value.Float64Histogram()
	var count uint64
	var sum float64
	buckets := map[float64]uint64{}
	for i, n := range h.Counts {
		count += n
		sum += float64(n) * max(h.Buckets[i], 0)
		if bound := h.Buckets[i+1]; bound >= pauseLeast && bound <= pauseMost {
			buckets[bound] = count
		}
	}
	to <- prometheus.MustNewConstHistogram(p.described, count, sum, buckets)
}
