package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"go.uber.org/fx"
	"golang.org/x/sys/unix"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/tally"
	"github.com/hivehub/waggle/tenant"
)

// tuneRuntime sets what Go cannot know about a database. The environment's
// GOMAXPROCS, GOGC and GOMEMLIMIT have the last word.
//
// Two more threads than cores may run: the one that comes back from a sync
// then competes for a core by the kernel's rules, which favour it, and not for
// a place behind everything that is runnable (slowest 1 % of small writes: 25
// ms against 40 on two busy cores). The garbage collector trades memory for
// time until three quarters of the machine are used.
func tuneRuntime() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	var info unix.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && unix.Sysinfo(&info) == nil {
		debug.SetMemoryLimit(int64(info.Totalram) * int64(info.Unit) / 4 * 3)
	}
}

func newLogger(c Config) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
}

// lockedDir is the data directory, this process's alone.
type lockedDir struct {
	path string
	born bool // there is a node log in it
}

// lockDataDir makes the directory if need be and locks it for this process.
func lockDataDir(lc fx.Lifecycle, c Config) (*lockedDir, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(c.DataDir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the data directory %s is in use by another waggle; stop it or choose another --data", c.DataDir), lock.Close())
	}
	lc.Append(fx.StopHook(lock.Close))
	_, err = os.Stat(filepath.Join(c.DataDir, "log"))
	return &lockedDir{path: c.DataDir, born: err == nil}, nil
}

// dataDir is the locked data directory and the secret in it.
type dataDir struct {
	path   string
	secret clusterSecret
}

// openDataDir reads the secret, which a joining node has got just before.
func openDataDir(c Config, d *lockedDir, s *standing) (*dataDir, error) {
	secret, err := openSecret(c, d.born || s.place != nil)
	return &dataDir{path: d.path, secret: secret}, err
}

// listeners are the open ports; the edge takes them over when the rest is up.
type listeners struct {
	main, qdrant net.Listener // qdrant is nil when it is off
	hub          net.Listener // nil when it is off
	cluster      net.Listener // nil for a node that is alone
	tls          *clientTLS   // of the others; nil without
}

// openListeners opens the ports before anything is written, so that a taken
// port leaves no half-born directory behind.
func openListeners(lc fx.Lifecycle, c Config, _ *lockedDir, log *slog.Logger) (*listeners, error) {
	certificate, err := newClientTLS(c.Listen.TLS, log)
	if err != nil {
		return nil, err
	}
	l := &listeners{tls: certificate}
	lc.Append(fx.StopHook(l.close))
	for _, port := range []struct {
		at            *net.Listener
		flag, address string
		clients       bool
	}{
		{&l.main, "--listen", c.Listen.Address, true},
		{&l.qdrant, "--qdrant-listen", c.Listen.QdrantAddress, true},
		{&l.hub, "hub.listen", c.Hub.Listen, true},
		{&l.cluster, "--cluster-listen", c.Cluster.Listen, false},
	} {
		if port.address == off || !port.clients && !c.Cluster.several() {
			continue
		}
		opened, err := listen(port.flag, port.address)
		if err != nil {
			l.close()
			return nil, err
		}
		*port.at = opened
		if !port.clients {
			continue
		}
		if a := opened.Addr().(*net.TCPAddr); c.Hub.TenantIsolation == isolationNone && !a.IP.IsLoopback() {
			l.close()
			return nil, fmt.Errorf("%s: %s is the address %s of a network, and without keys only this machine may ask", port.flag, port.address, a)
		}
		*port.at = certificate.over(opened)
	}
	return l, nil
}

func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program; choose another address with %s", address, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", address, err)
	}
	return l, nil
}

// close is for a start that failed; the edge has closed them otherwise.
func (l *listeners) close() {
	for _, port := range []net.Listener{l.main, l.qdrant, l.hub, l.cluster} {
		if port != nil {
			_ = port.Close()
		}
	}
}

func newKeyDirectory(d *dataDir) *hubsvc.Directory {
	return hubsvc.NewDirectory(hubsvc.NewKeyHasher(d.secret.derive(purposeKeyHash)), time.Now)
}

// hubState is what this node keeps of the hub's state beside the log.
type hubState struct {
	fx.In
	Keys   *hubsvc.Directory
	Limits *actors.HubLimits
}

func startNode(lc fx.Lifecycle, c Config, d *dataDir, s *standing, net *network, hub hubState, log *slog.Logger) (*actors.Node, error) {
	partitions := c.Partitions
	if s.place != nil {
		partitions = s.place.Partitions
	}
	n, err := actors.Start(actors.Options{
		Dir: d.path, Partitions: partitions,
		Cluster:            s.options(net, hub, log),
		Machine:            machineOf(hub),
		TenantOf:           tenantOf,
		SegmentBytes:       c.Storage.SegmentBytes,
		CheckpointBytes:    c.Storage.CheckpointBytes,
		CheckpointInterval: c.Storage.CheckpointInterval,
		DeltaBytesMax:      c.Storage.DeltaBytesMax,
		Logger:             log,
		OnFatal: func(err error) {
			log.Error(err.Error())
			os.Exit(1)
		},
	})
	if err != nil {
		return nil, err
	}
	if s.place != nil && !s.place.Started {
		s.place.Started = true
		if err := s.place.save(); err != nil {
			return nil, err
		}
	}
	lc.Append(fx.StopHook(n.Stop))
	return n, nil
}

// machineOf decides the system group's entries by the hub, the others' by the
// collections' machine.
func machineOf(state hubState) func(uint64) collection.StateMachine {
	observe := func(c hubsvc.Change) {
		state.Keys.Observe(c)
		state.Limits.Observe(c)
	}
	hub, data := actors.HubMachine(hubsvc.NewMachine(observe)), collection.StateMachine(collection.Machine{})
	return func(group uint64) collection.StateMachine {
		if group == actors.SystemGroup {
			return hub
		}
		return data
	}
}

func tenantOf(group uint64, data []byte) tenant.ID {
	if group == actors.SystemGroup {
		return ""
	}
	return collection.CommandTenant(data)
}

// startHub reads the hub's state back, or makes it: cluster id, operator,
// tenant `default` and their keys.
//
// A member of several reads what is on its disk; the rest comes from the others.
func startHub(ctx context.Context, c Config, d *dataDir, s *standing, n *actors.Node, keys *hubsvc.Directory) (*hubsvc.Embedded, *firstKeys, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	hub := hubsvc.NewEmbedded(keys, actors.HubGroup(n.SystemReplica()), hubsvc.EmbeddedOptions{
		SealKey: d.secret.derive(purposeCASeal), EndpointSealKey: d.secret.derive(purposeEndpointSeal),
	})
	if s.place == nil {
		if err := n.SystemReplica().ReadBarrier(ctx, ""); err != nil {
			return nil, nil, fmt.Errorf("read the hub's state: %w", err)
		}
	}
	view, err := n.SystemReplica().View()
	if err != nil {
		return nil, nil, fmt.Errorf("read the hub's state: %w", err)
	}
	err = keys.Load(view)
	view.Close()
	if err != nil {
		return nil, nil, fmt.Errorf("read the hub's state: %w", err)
	}
	if _, born := keys.Cluster(); born || s.place != nil {
		return hub, &firstKeys{}, nil
	}
	first, err := newFirstKeys(d.path, os.Getenv, c.Hub.remote())
	if err != nil {
		return nil, nil, err
	}
	_, _, err = hub.Birth(ctx, hubsvc.BirthOptions{
		Partitions: uint32(n.Partitions()), OperatorKey: first.operator, TenantKey: first.tenant,
	})
	return hub, first, err
}

func startQuotas(lc fx.Lifecycle, c Config, n *actors.Node, limits *actors.HubLimits, r *remoteHub) *actors.Quotas {
	limits.Follow(n.SystemReplica())
	var source actors.LimitSource = limits
	o := actors.QuotaOptions{}
	if r != nil {
		cache := c.Hub.Remote.Cache
		source, o.TTL, o.Grace = remoteLimits{r}, seconds(cache.QuotaSeconds), seconds(cache.GraceSeconds)
	}
	q := actors.NewQuotas(n.System(), source, o)
	lc.Append(fx.StopHook(q.Stop))
	return q
}

// behindGrains is what the grains work with.
type behindGrains struct {
	fx.In
	Neighbours *neighbourhood // the node can serve
	Node       *actors.Node
	Quotas     *actors.Quotas
	Hub        *hubsvc.Embedded
	Keys       *hubsvc.Directory
	Remote     *remoteHub
	Tally      *tally.Tally
}

func startGrains(lc fx.Lifecycle, c Config, d *dataDir, b behindGrains, log *slog.Logger) *grains.Client {
	var hub grains.Hub = b.Hub
	if b.Remote != nil {
		hub = b.Remote
	}
	g := grains.New(grains.Options{
		Node: b.Node, Quotas: b.Quotas, Hub: hub, Topology: b.Keys, Limits: c.Limits.Request, Logger: log,
		Tally: b.Tally, Usage: b.Hub, Run: c.Search,
		IndexDir: filepath.Join(d.path, "index"),
		Placement: func(id tenant.ID) (uint64, bool) {
			p, ok := b.Keys.Partition(id)
			return uint64(p), ok
		},
	})
	lc.Append(fx.StopHook(g.Stop))
	if b.Remote != nil {
		b.Remote.follow(lc, g)
	}
	return g
}
