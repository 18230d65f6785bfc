package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/tally"
)

// lastReportTime is how long a node that stops waits for the hub to take its
// last report of usage: what it does not take is kept.
const lastReportTime = 3 * time.Second

// openTally opens the file in which this node counts what is read.
func openTally(lc fx.Lifecycle, d *dataDir, log *slog.Logger) (*tally.Tally, error) {
	t, err := tally.Open(filepath.Join(d.path, "tally"), tally.Slots, time.Now().UnixMilli())
	if err != nil {
		return nil, err
	}
	if n := t.Damaged(); n > 0 {
		log.Error("counts of requests and searches were damaged on the disk, and are not reported", "parts", n)
	}
	lc.Append(fx.StopHook(t.Close))
	return t, nil
}

// behindReports is what reports are made of, and whom they are for.
type behindReports struct {
	fx.In
	Tally  *tally.Tally
	Grains *grains.Client
	Hub    *hubsvc.Embedded
	Remote *remoteHub
}

// startReporter tells the hub what is used.
func startReporter(lc fx.Lifecycle, c Config, b behindReports, log *slog.Logger) *grains.Reporter {
	var sink grains.UsageSink = b.Grains
	if b.Remote != nil {
		sink = b.Remote
	}
	r := grains.StartReporter(grains.ReporterOptions{
		Client: b.Grains, Tally: b.Tally, Sink: sink, Interval: c.Hub.UsageReportInterval, Logger: log,
		Cluster: func() string {
			cluster, _ := b.Hub.Cluster()
			return cluster.ID.String()
		},
	})
	lc.Append(fx.StopHook(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, lastReportTime)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			return fmt.Errorf("stop the reports of usage: %w", err)
		}
		return nil
	}))
	return r
}

// usageMetrics are how far the reports are, and what they lack.
func usageMetrics(reg *prometheus.Registry, r *grains.Reporter, t *tally.Tally) {
	counter := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "waggle", Name: name, Help: help}, value))
	}
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "waggle", Name: name, Help: help}, value))
	}
	counter("usage_reports_sent_total", "Reports of usage that the hub has taken from this node.", func() float64 { return float64(r.Stats().Sent) })
	counter("usage_reports_refused_total", "Reports of usage that were given up: the hub refused them for good.", func() float64 { return float64(r.Stats().Refused) })
	gauge("usage_reports_waiting", "Reports of usage, of this node and of the partitions it leads, that the hub has not taken.", func() float64 { return float64(r.Stats().Waiting) })
	gauge("usage_reports_oldest_seconds", "Age of the oldest of them, from the begin of its period.", func() float64 {
		since := r.Stats().Since
		if since.IsZero() {
			return 0
		}
		return time.Since(since).Seconds()
	})
	counter("usage_dropped_total", "Requests and searches that are in no report, for want of room.", func() float64 { return float64(t.Dropped()) })
	gauge("usage_damaged", "Parts of the counts that were damaged when the node started, and are in no report.", func() float64 { return float64(t.Damaged()) })
}
