// Package actorstest is the in-process kit for tests of actors and grains: one
// ActorSystem, a real node log and real partition stores in a temporary
// directory, and a few valves that a real machine does not have: a disk that
// holds its syncs back, a hub that does not answer.
package actorstest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/tenant"
)

// Options are what a test may change. The zero value is a node of 2 partitions.
type Options struct {
	Dir     string // default: a new temporary directory
	Machine func(group uint64) collection.StateMachine
	Actors  actors.Options // the rest; Dir, Machine, TenantOf, Logger and OnFatal are set here
	Quotas  actors.QuotaOptions
}

// Kit is a running node without an edge. Its hub is not born: limits come from
// Hub, the valve.
type Kit struct {
	Node     *actors.Node
	Quotas   *actors.Quotas
	Hub      *Hub
	Embedded *hubsvc.Embedded
	Disk     *Disk
	Dir      string
	stop     func()
}

// Start runs a node. It is stopped, and its goroutines waited for, when the
// test ends, unless Stop was called.
func Start(t testing.TB, o Options) *Kit {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	k := &Kit{Dir: o.Dir, Hub: &Hub{limits: unlimited()}, Disk: openDisk(t, o.Dir)}
	a := o.Actors
	a.Dir, a.Disk = o.Dir, k.Disk
	a.Logger = slog.New(slog.DiscardHandler)
	a.OnFatal = func(err error) { t.Errorf("fatal: %v", err) }
	a.TenantOf = func(_ uint64, data []byte) tenant.ID { return collection.CommandTenant(data) }
	keys := hubsvc.NewDirectory(hubsvc.NewKeyHasher(make([]byte, 32)), time.Now)
	if a.Machine = o.Machine; a.Machine == nil {
		a.Machine = machines(keys)
	}
	if a.Partitions == 0 {
		a.Partitions = 2
	}
	var err error
	if k.Node, err = actors.Start(a); err != nil {
		t.Fatal(err)
	}
	k.Embedded = hubsvc.NewEmbedded(keys, actors.HubGroup(k.Node.SystemReplica()), hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes)})
	k.Quotas = actors.NewQuotas(k.Node.System(), k.Hub, o.Quotas)
	k.stop = sync.OnceFunc(func() {
		k.Disk.Release()
		k.Quotas.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := k.Node.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
		// The library's dead-letter throttle is a goroutine that lives for a
		// millisecond and cannot be stopped.
		<-time.After(2 * time.Millisecond)
	})
	t.Cleanup(k.stop)
	return k
}

func machines(keys *hubsvc.Directory) func(uint64) collection.StateMachine {
	hub := actors.HubMachine(hubsvc.NewMachine(keys.Observe))
	return func(group uint64) collection.StateMachine {
		if group == actors.SystemGroup {
			return hub
		}
		return collection.Machine{}
	}
}

// Stop ends the node as SIGTERM would.
func (k *Kit) Stop() { k.stop() }

// Tenant is a valid context of a tenant.
func Tenant(id tenant.ID) tenant.Context {
	return tenant.Context{
		TenantID: id, TenantName: string(id), KeyID: "k",
		Permissions: []tenant.Permission{tenant.Admin}, ValidatedAt: time.Unix(1, 0),
	}
}

func unlimited() tenant.Limits {
	return tenant.Limits{Version: 1, Vectors: tenant.Unlimited, Bytes: tenant.Unlimited, Collections: tenant.Unlimited}
}

// Hub answers for limits. It can be made slow and made to fail.
type Hub struct {
	mu     sync.Mutex
	limits tenant.Limits
	hold   chan struct{} // not nil: answers wait until it is closed
	asked  int
}

// Limits implements actors.LimitSource.
func (h *Hub) Limits(ctx context.Context, _ tenant.ID) (tenant.Limits, error) {
	h.mu.Lock()
	hold, limits := h.hold, h.limits
	h.asked++
	h.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return tenant.Limits{}, ctx.Err()
		}
	}
	return limits, nil
}

// Set changes what the hub answers from now on.
func (h *Hub) Set(l tenant.Limits) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limits = l
}

// Hold makes the hub not answer until the returned function is called.
func (h *Hub) Hold() (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hold := make(chan struct{})
	h.hold = hold
	return sync.OnceFunc(func() {
		h.mu.Lock()
		h.hold = nil
		h.mu.Unlock()
		close(hold)
	})
}

// Asked is how often the hub was asked.
func (h *Hub) Asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// Disk is the real disk with a valve in front of Sync.
type Disk struct {
	disk.Disk
	mu   sync.Mutex
	hold chan struct{}
}

func openDisk(t testing.TB, dir string) *Disk {
	t.Helper()
	real, err := disk.OS(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &Disk{Disk: real}
}

// Hold makes every Sync wait until Release.
func (d *Disk) Hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hold == nil {
		d.hold = make(chan struct{})
	}
}

// Release lets the syncs go on.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hold != nil {
		close(d.hold)
		d.hold = nil
	}
}

// Create implements disk.Disk.
func (d *Disk) Create(name string) (disk.File, error) { return d.wrap(d.Disk.Create(name)) }

// Open implements disk.Disk.
func (d *Disk) Open(name string) (disk.File, error) { return d.wrap(d.Disk.Open(name)) }

func (d *Disk) wrap(f disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{File: f, disk: d}, nil
}

type file struct {
	disk.File
	disk *Disk
}

// Sync waits for the valve.
func (f *file) Sync() error {
	f.disk.mu.Lock()
	hold := f.disk.hold
	f.disk.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return f.File.Sync()
}
