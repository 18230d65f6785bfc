package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/oplog"
)

// startLogs opens the operation log of this node, and the way to the others'.
// Where the hub is another one, what is in the log is sent to it.
func startLogs(lc fx.Lifecycle, c Config, d *dataDir, n *actors.Node, h logHubs, log *slog.Logger) (*grains.Logs, error) {
	hub := h.Hub
	address := ""
	if h.Remote != nil {
		address = h.Remote.Address()
	}
	l, err := oplog.Open(oplog.Options{
		Dir: filepath.Join(d.path, "operations"), BytesMax: c.OperationLog.KeepBytes, AgeMax: c.OperationLog.KeepFor, Logger: log,
		Outbox: h.Remote != nil, Hub: address,
	})
	if err != nil {
		return nil, err
	}
	var s *oplog.Shipper
	if h.Remote != nil {
		s = oplog.StartShipper(oplog.ShipperOptions{Log: l, Sink: h.Remote, Service: c.Hub.Remote.ServiceName, Refused: refusedForGood, Logger: log})
	}
	lc.Append(fx.StopHook(func(ctx context.Context) error {
		if s != nil {
			last, cancel := context.WithTimeout(ctx, lastLogsTime)
			s.Stop(last)
			cancel()
		}
		if err := l.Stop(ctx); err != nil {
			return errors.Join(errors.New("the operation log is not on the disk"), err)
		}
		return nil
	}))
	return grains.NewLogs(n, l, func() (nodes []grains.LogNode) {
		for _, m := range hub.Topology().Members() {
			if m.State == hubsvc.MemberGone {
				continue
			}
			name := m.Name
			if name == "" {
				name = strconv.FormatUint(uint64(m.Number), 10)
			}
			nodes = append(nodes, grains.LogNode{Number: m.Number, Name: name})
		}
		return nodes
	}), nil
}

// lastLogsTime is how long a node that stops tries to send its last rows.
const lastLogsTime = time.Second

// refusedForGood tells a batch that the hub found malformed from one that it
// could not take now.
func refusedForGood(err error) bool {
	e, ok := errors.AsType[*hubsvc.Error](err)
	return ok && e.Code == hubsvc.CodeInvalidRequest
}

// logHubs are the hub here, which knows the nodes, and the one elsewhere, if that
// is the hub.
type logHubs struct {
	fx.In
	Hub    *hubsvc.Embedded
	Remote *remoteHub
}

// logMetrics are the series of the operation log of this node.
func logMetrics(reg *prometheus.Registry, l *grains.Logs) {
	counter := func(name, help string, value func(oplog.Stats) uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "waggle", Subsystem: "operation_log", Name: name, Help: help},
			func() float64 { return float64(value(l.Stats())) }))
	}
	gauge := func(name, help string, value func(oplog.Stats) int64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "waggle", Subsystem: "operation_log", Name: name, Help: help},
			func() float64 { return float64(value(l.Stats())) }))
	}
	counter("rows_total", "Rows kept since the start.", func(s oplog.Stats) uint64 { return s.Rows })
	counter("dropped_rows_total", "Rows not kept, or gone before the hub had them.", func(s oplog.Stats) uint64 { return s.Dropped })
	counter("damaged_total", "Places in the files that could not be read.", func(s oplog.Stats) uint64 { return s.Damaged })
	gauge("bytes", "Size of the files.", func(s oplog.Stats) int64 { return s.Bytes })
	gauge("waiting_rows", "Rows that the remote hub does not have yet.", func(s oplog.Stats) int64 { return s.Waiting })
}
