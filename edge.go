package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/rates"
	"github.com/hivehub/waggle/cli"
	"github.com/hivehub/waggle/grains"
	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/index/distance"
	"github.com/hivehub/waggle/persistence/tally"
	"github.com/hivehub/waggle/tenant"
)

// handOverTime is how long a node that stops waits for others to take over what
// it leads.
const handOverTime = 2 * time.Second

// behindEdge is what the edge is the way to.
type behindEdge struct {
	fx.In
	Neighbours *neighbourhood
	Node       *actors.Node
	Grains     *grains.Client
	Hub        *hubsvc.Embedded
	Remote     *remoteHub
	Tally      *tally.Tally
	Reporter   *grains.Reporter // stops when nothing is answered any more
	Logs       *grains.Logs
	Tracer     trace.Tracer
}

// startEdge opens the node to the world: everything behind it is up.
func startEdge(lc fx.Lifecycle, c Config, l *listeners, b behindEdge, log *slog.Logger) *httpedge.Server {
	h, n, g, hub := b.Neighbours, b.Node, b.Grains, b.Hub
	version, commit := cli.Version()
	var who httpedge.Hub = hub
	if b.Remote != nil {
		who = b.Remote
	}
	s := httpedge.New(httpedge.Options{
		Engine: g, Hub: who, Limits: c.Limits, Access: c.access(), Logger: log,
		Rates: rates.New(rates.RowsMax), AgentRates: rates.New(rates.RowsMax),
		Version: version, Commit: commit,
		Health: func() httpedge.Health {
			state := health(h, n, g, hub)
			part := map[string]any{"enabled": c.Hub.Enabled, "active": c.Hub.Enabled, "tenant_isolation": c.Hub.TenantIsolation}
			if b.Remote != nil {
				b.Remote.health(&state, part)
			}
			state.Parts["hub"] = part
			return state
		},
		Registry: b.metrics(c, l), MeteredTenants: c.Metrics.Tenants, Tracer: b.Tracer,
		Count:      func(id tenant.ID) { b.Tally.Add(id, 0, tally.Counts{Requests: 1}) },
		Embedding:  c.embedding(hub),
		RecordAuth: authRecorder(n, hub), OperationLog: b.Logs,
		Cluster: g, Nodes: clusterState{h, n, hub},
	})
	n.Handle(grains.MethodRequest, func(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
		return s.ServeForwarded(ctx, request)
	})
	n.Handle(methodAuthSeen, func(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
		return nil, takeAuthSeen(ctx, hub, request)
	})
	s.Serve(l.main, l.qdrant)
	if l.hub != nil {
		s.ServeHub(l.hub)
	}
	lc.Append(fx.StopHook(func(ctx context.Context) error {
		leave, cancel := context.WithTimeout(ctx, handOverTime)
		defer cancel()
		n.HandOver(leave)
		return s.Shutdown(ctx)
	}))
	return s
}

// metrics are the series of the node below the edge.
func (b *behindEdge) metrics(c Config, l *listeners) *prometheus.Registry {
	reg := nodeMetrics(b.Node, b.Grains, b.Logs)
	if b.Remote != nil {
		b.Remote.register(reg)
	}
	usageMetrics(reg, b.Reporter, b.Tally)
	clusterMetrics(reg, b.Neighbours, b.Node, b.Hub)
	certificateMetrics(reg, b.Neighbours, l.tls)
	diskMetrics(reg, c.DataDir)
	return reg
}

// health is what the probes show. A corrupt partition is shown and does not
// make the node unready: the others serve.
func health(h *neighbourhood, n *actors.Node, g *grains.Client, hub *hubsvc.Embedded) httpedge.Health {
	state := httpedge.Health{Ready: true}
	corrupt := []uint64{}
	for _, r := range n.Replicas() {
		if r.Failure() != nil {
			corrupt = append(corrupt, r.Group())
		}
	}
	if n.SystemReplica().Failure() != nil {
		state.Ready, state.Reason = false, "the system group is corrupt: no key can be validated"
	}
	if leader, _ := n.SystemReplica().Leader(); leader == 0 {
		state.Ready, state.Reason = false, "the hub has no leader: no majority of its voters answers"
	}
	id := ""
	if cluster, ok := hub.Cluster(); ok {
		id = cluster.ID.String()
	}
	state.Parts = map[string]any{
		"backup": map[string]any{"enabled": false},
		"cluster": map[string]any{
			"id": id, "partitions": n.Partitions(), "corrupt_groups": corrupt,
			"active_collections": g.Active(), "kernels": distance.Kernels(),
		},
	}
	if h != nil {
		state.Notes = h.notes()
		state.Parts["consul"] = map[string]any{"healthy": h.consul.Healthy()}
	}
	return state
}

// nodeMetrics are the series of the node below the edge. None carries a
// tenant's name.
func nodeMetrics(n *actors.Node, g *grains.Client, l *grains.Logs) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "waggle", Name: name, Help: help}, value))
	}
	gauge("delta_bytes", "Applied changes that no checkpoint has stored yet.", func() float64 { return float64(n.DeltaBytes()) })
	gauge("active_collections", "Collections whose grain is in memory.", func() float64 { return float64(g.Active()) })
	gauge("index_bytes", "Memory of the indexes of active collections.", func() float64 { return float64(g.IndexBytes()) })
	gauge("index_waiting_vectors", "Vectors of active collections that are searchable and not yet in their graphs.", func() float64 { return float64(g.Waiting()) })
	gauge("corrupt_groups", "Raft groups that stopped because their stored bytes are corrupt.", func() float64 {
		corrupt := 0
		for _, r := range n.Replicas() {
			if r.Failure() != nil {
				corrupt++
			}
		}
		return float64(corrupt)
	})
	logMetrics(reg, l)
	reg.MustRegister(runQueue{g})
	raftMetrics(reg, n)
	indexMetrics(reg, g)
	return reg
}

// announce tells the operator how to begin and prints the one line that
// scripts wait for.
func announce(c Config, d *dataDir, l *listeners, k *firstKeys, log *slog.Logger) error {
	version, _ := cli.Version()
	log.Info("waggle", "version", version, "kernels", distance.Kernels(), "data", d.path)
	if c.Hub.Enabled {
		k.tell(log)
	}
	qdrant := off
	if l.qdrant != nil {
		qdrant = l.qdrant.Addr().String()
	}
	if c.Log.Format == "text" { // whoever reads JSON is no one who tries things
		scheme, how := "http", "With KEY set to a tenant key:\n\n  curl -H \"api-key: $KEY\" "
		if c.Listen.TLS.on() {
			scheme = "https"
		}
		if c.Hub.TenantIsolation == isolationNone {
			how = "No key is needed:\n\n  curl "
		}
		fmt.Fprintf(os.Stderr, "\nWaggle answers on %[1]s://%[2]s (Qdrant's API also on %[3]s). %[4]s%[1]s://%[2]s/qdrant/collections\n\n",
			scheme, l.main.Addr(), qdrant, how)
	}
	_, err := fmt.Printf("waggle ready http=%s qdrant=%s data=%s\n", l.main.Addr(), qdrant, c.DataDir)
	return err
}
