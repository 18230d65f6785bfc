package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/hubsvc/remote"
	"github.com/hivehub/waggle/tenant"
)

// hubEventsFile is where a node keeps how far it has read the events of a hub
// outside of the cluster.
const hubEventsFile = "hub-events"

// remoteHub is the hub outside of the cluster; nil when it is inside.
type remoteHub struct{ *remote.Hub }

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// startRemoteHub makes the client of the hub; follow starts it.
func startRemoteHub(c Config, d *dataDir, hub *hubsvc.Embedded, log *slog.Logger) (*remoteHub, error) {
	if !c.Hub.remote() {
		return nil, nil
	}
	r := &c.Hub.Remote
	h, err := remote.New(remote.Options{
		URL: r.URL, ServiceKey: string(r.ServiceKey), ServiceName: r.ServiceName,
		Timeout: seconds(r.TimeoutSeconds), Retries: r.Retries, IdleMax: r.IdlePerHost,
		Cache: remote.CacheOptions{
			Off: !r.Cache.Enabled, KeyTTL: seconds(r.Cache.KeySeconds), QuotaTTL: seconds(r.Cache.QuotaSeconds),
			Grace: seconds(r.Cache.GraceSeconds), EntriesMax: r.Cache.EntriesMax,
		},
		Hasher: hubsvc.NewKeyHasher(d.secret.derive(purposeCache)), Own: hub,
		File: filepath.Join(d.path, hubEventsFile), Logger: log,
		Cluster: func() string {
			cluster, _ := hub.Cluster()
			return cluster.ID.String()
		},
	})
	if err != nil {
		return nil, err
	}
	return &remoteHub{h}, nil
}

// follow lets the client follow the hub's events as long as the node runs.
func (r *remoteHub) follow(lc fx.Lifecycle, g *grains.Client) {
	r.Start(func(ctx context.Context, id tenant.ID) error {
		_, err := g.DropTenant(ctx, id)
		return err
	})
	lc.Append(fx.StopHook(r.Stop))
}

// remoteLimits is a hub elsewhere as the quota actors ask it.
type remoteLimits struct{ hub *remoteHub }

// Limits implements actors.LimitSource.
func (l remoteLimits) Limits(ctx context.Context, id tenant.ID) (tenant.Limits, error) {
	limits, err := l.hub.Limits(ctx, id)
	if e, ok := errors.AsType[*hubsvc.Error](err); ok && e.Code == hubsvc.CodeNotFound {
		err = collection.Errorf(collection.NotFound, "there is no such tenant")
	}
	return limits, err
}

// Changed implements actors.LimitEvents.
func (l remoteLimits) Changed(ctx context.Context, after uint64) (actors.LimitChanges, error) {
	c, err := l.hub.Changed(ctx, after)
	return actors.LimitChanges(c), err
}

// health adds what the probes show of the hub. A node that has not reached its
// hub yet knows nobody; one that has lost it for too long knows nobody any more.
func (r *remoteHub) health(state *httpedge.Health, part map[string]any) {
	s := r.State()
	part["mode"], part["address"], part["connected"] = modeRemote, r.Address(), s.Connected
	part["known_keys"], part["event_version"] = s.Keys, s.Event
	if s.Reason != "" {
		part["reason"] = s.Reason
	}
	if !s.Since.IsZero() {
		part["since"] = s.Since.UTC().Format(time.RFC3339)
	}
	if state.Ready && !r.Serves() {
		state.Ready = false
		state.Reason = "the hub at " + r.Address() + " does not answer, and nobody's key is known without it: " + s.Reason
	}
}

// register adds the series about the hub.
func (r *remoteHub) register(reg *prometheus.Registry) {
	series := func(name, help string, value func(remote.State) float64) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "waggle", Name: name, Help: help}, func() float64 { return value(r.State()) })
	}
	count := func(name, help string, value func(remote.State) uint64) prometheus.CounterFunc {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "waggle", Name: name, Help: help}, func() float64 { return float64(value(r.State())) })
	}
	reg.MustRegister(
		series("hub_connected", "1 while the hub outside of the cluster answers.", func(s remote.State) float64 {
			if s.Connected {
				return 1
			}
			return 0
		}),
		series("hub_known_keys", "Keys that the hub outside of the cluster has said are good.", func(s remote.State) float64 { return float64(s.Keys) }),
		count("hub_calls_total", "Tries to ask the hub outside of the cluster.", func(s remote.State) uint64 { return s.Calls }),
		count("hub_call_failures_total", "Tries to ask the hub outside of the cluster that it did not answer.", func(s remote.State) uint64 { return s.Failed }),
	)
}
