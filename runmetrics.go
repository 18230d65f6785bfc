package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hivehub/waggle/grains"
)

// runQueue shows how tenants share the processors.
type runQueue struct{ grains *grains.Client }

var (
	runQueueRunning = runQueueDesc("run_queue_running", "Searches and other work that has a processor now.")
	runQueueWaiting = runQueueDesc("run_queue_waiting", "Searches and other work that waits for its turn.")
	runQueueRefused = runQueueDesc("run_queue_refused_total", "Requests refused because too many of their tenant, or of all, waited.")
	runQueueGaveWay = runQueueDesc("run_queue_gave_way_total", "How often long work let another tenant's go first.")
	runQueueWait    = runQueueDesc("run_queue_wait_seconds", "How long work waited for its turn.")
)

func runQueueDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("waggle_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (runQueue) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{runQueueRunning, runQueueWaiting, runQueueRefused, runQueueGaveWay, runQueueWait} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (q runQueue) Collect(to chan<- prometheus.Metric) {
	s := q.grains.RunStats()
	to <- prometheus.MustNewConstMetric(runQueueRunning, prometheus.GaugeValue, float64(s.Running))
	to <- prometheus.MustNewConstMetric(runQueueWaiting, prometheus.GaugeValue, float64(s.Waiting))
	to <- prometheus.MustNewConstMetric(runQueueRefused, prometheus.CounterValue, float64(s.Refused))
	to <- prometheus.MustNewConstMetric(runQueueGaveWay, prometheus.CounterValue, float64(s.GaveWay))
	buckets := map[float64]uint64{}
	for i, bound := range grains.RunWaitBounds {
		buckets[bound.Seconds()] = s.WaitedUpTo[i]
	}
	to <- prometheus.MustNewConstHistogram(runQueueWait, s.Begun, s.Waited.Seconds(), buckets)
}
