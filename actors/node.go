package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
	"github.com/hivehub/waggle/tenant"
)

// SystemGroup is the raft group of the system: the hub and the cluster's
// settings. Partition i is group i+1.
const SystemGroup uint64 = 0

// ReplicaID is this node's replica in every group until groups have peers.
const ReplicaID uint64 = 1

// Options say where a node keeps its state and how it runs.
type Options struct {
	Dir        string    // the data directory; exists
	Disk       disk.Disk // where the node log is; default: Dir
	Partitions int       // at birth; later read back from the log

	Machine  func(group uint64) collection.StateMachine // decides a group's entries
	TenantOf func(group uint64, data []byte) tenant.ID  // whose entry it is; "" = nobody's

	SegmentBytes       int64         // of the node log; default 64 MB
	CheckpointBytes    int64         // delta of a partition that begins a checkpoint; default 16 MB
	CheckpointInterval time.Duration // and its age; default 30 s
	DeltaBytesMax      int64         // of the node; writes wait above; default 256 MB
	Tick               time.Duration // default 100 ms
	RequestsMax        int64         // proposals that may wait for one partition; default 16,384
	RequestBytesMax    int64         // and their bytes; default 64 MB

	Logger  *slog.Logger
	OnFatal func(error) // the node log cannot be written: the process must end. Required
}

// EnsureDefaults fills in what was left zero.
func (o *Options) EnsureDefaults() {
	setDefault(&o.SegmentBytes, 64<<20)
	setDefault(&o.CheckpointBytes, 16<<20)
	setDefault(&o.CheckpointInterval, 30*time.Second)
	setDefault(&o.DeltaBytesMax, 256<<20)
	setDefault(&o.Tick, 100*time.Millisecond)
	setDefault(&o.RequestsMax, 16384)
	setDefault(&o.RequestBytesMax, 64<<20)
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Node is everything of one node below the grains: the node log with its
// writer, the worker pools, and a replica actor for each group.
type Node struct {
	options Options
	log     *slog.Logger
	system  *actor.ActorSystem

	nodeLog       *nodelog.Log
	writer        *logWriter
	appliers      *workers
	checkpointers *workers
	replicas      []*Replica // by group
	mailboxes     sync.WaitGroup

	deltaBytes atomic.Int64
	memory     Gate
	ticker     chan struct{} // closed to stop it
	tickerDone chan struct{}
}

// Start recovers the node log and opens every partition; a partition whose
// stored bytes are corrupt is started as one that answers data_loss. On an
// empty directory it makes the newborn groups first. When it returns, every
// group that has no voter but this node is led by it.
func Start(o Options) (*Node, error) {
	o.EnsureDefaults()
	d := o.Disk
	if d == nil {
		var err error
		if d, err = disk.OS(o.Dir); err != nil {
			return nil, fmt.Errorf("open data directory: %w", err)
		}
	}
	nl, err := nodelog.Open(d, "log", nodelog.Options{SegmentBytes: o.SegmentBytes, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("open node log: %w", err)
	}
	n := &Node{options: o, log: o.Logger, nodeLog: nl, system: newActorSystem(o.Logger)}
	if err := d.MkdirAll("partitions"); err != nil {
		return nil, errors.Join(err, nl.Close())
	}
	groups := nl.Groups()
	if len(groups) == 0 {
		if groups, err = n.birth(); err != nil {
			return nil, errors.Join(fmt.Errorf("make the first partitions: %w", err), nl.Close())
		}
	}
	n.options.Partitions = len(groups) - 1
	n.writer = startLogWriter(nl, n.log, n.fatal)
	n.appliers = startWorkers(max(2, runtime.GOMAXPROCS(0)), len(groups))
	n.checkpointers = startWorkers(1, len(groups))
	n.replicas = make([]*Replica, len(groups))
	for _, g := range groups {
		n.startReplica(g)
	}
	n.startTicker()
	for _, r := range n.replicas {
		<-r.settled
	}
	return n, nil
}

// birth writes the newborn state of every group to the log, in one batch:
// from then on the groups exist. Their stores are made as they are opened.
func (n *Node) birth() ([]uint64, error) {
	var groups []uint64
	var appends []nodelog.Append
	for g := SystemGroup; g <= uint64(n.options.Partitions); g++ {
		start, _ := newborn(g)
		groups, appends = append(groups, g), append(appends, start)
	}
	return groups, n.nodeLog.Write(appends)
}

func newborn(group uint64) (nodelog.Append, persistence.Meta) {
	return driver.Newborn(group, ReplicaID, []uint64{ReplicaID})
}

func (n *Node) storePath(group uint64) string {
	return filepath.Join(n.options.Dir, "partitions", persistence.StoreFile(group, n.nodeLog.Group(group).Start().Index))
}

// startReplica opens one group and spawns its actor. What is wrong with the
// group's bytes is kept in the replica and answered to every request.
func (n *Node) startReplica(g uint64) {
	r := &Replica{group: g, node: n, settled: make(chan struct{})}
	r.admission = admission{requestsMax: n.options.RequestsMax, bytesMax: n.options.RequestBytesMax}
	n.replicas[g] = r
	d, err := n.openReplica(r)
	if err != nil {
		r.fail(err)
		return
	}
	a := &replicaActor{Replica: r, driver: d, lastOf: map[tenant.ID]uint64{}}
	a.alone = len(d.Status().Voters) == 1
	if !a.alone {
		r.settle() // its leader may be far away
	}
	// The address is known before the actor runs: its first message makes
	// others answer to it.
	name := fmt.Sprintf("replica/%d", g)
	r.pid = n.system.NewLocalPID(name)
	r.mailbox = newOwnGoroutine()
	n.mailboxes.Go(r.mailbox.run)
	props := actor.PropsFromProducer(func() actor.Actor { return a }, actor.WithDispatcher(r.mailbox))
	if _, err := n.system.Root.SpawnNamed(props, name); err != nil {
		panic(fmt.Sprintf("BUG: second replica of group %d: %v", g, err))
	}
}

func (n *Node) openReplica(r *Replica) (*driver.Driver, error) {
	log := n.nodeLog.Group(r.group)
	if err := log.Err(); err != nil {
		return nil, err
	}
	store, err := persistence.OpenBolt(n.storePath(r.group))
	if err != nil {
		return nil, err
	}
	_, start := newborn(r.group)
	r.partition, err = persistence.OpenPartition(store, n.options.Machine(r.group), persistence.PartitionOptions{Start: start})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	d, err := driver.New(driver.Config{
		Group: r.group, Replica: ReplicaID, Log: log, Stored: store.Meta(),
		Logger: n.log.With("group", r.group),
	})
	if err != nil {
		return nil, errors.Join(err, r.partition.Close())
	}
	return d, nil
}

// startTicker sends every replica a tick, from one goroutine.
func (n *Node) startTicker() {
	n.ticker, n.tickerDone = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(n.tickerDone)
		t := time.NewTicker(n.options.Tick)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				n.eachActor(func(r *Replica) { r.send(tick{}) })
			case <-n.ticker:
				return
			}
		}
	}()
}

func (n *Node) eachActor(fn func(*Replica)) {
	for _, r := range n.replicas {
		if r.pid != nil {
			fn(r)
		}
	}
}

// System is the actor system that the grains of this node live in.
func (n *Node) System() *actor.ActorSystem { return n.system }

// Partitions is P.
func (n *Node) Partitions() int { return n.options.Partitions }

// SystemReplica is the replica of the system group.
func (n *Node) SystemReplica() *Replica { return n.replicas[SystemGroup] }

// Partition is the replica of partition i, 0 <= i < Partitions().
func (n *Node) Partition(i uint64) *Replica { return n.replicas[i+1] }

// Replicas are all groups in order, the system group first.
func (n *Node) Replicas() []*Replica { return n.replicas }

// DeltaBytes is the memory held by applied entries that no checkpoint has
// stored yet.
func (n *Node) DeltaBytes() int64 { return n.deltaBytes.Load() }

// Stop stores what is applied and ends every goroutine. Nothing may be
// proposed any more. When ctx ends first the rest is left to the log, which
// holds everything acknowledged anyway.
func (n *Node) Stop(ctx context.Context) error {
	close(n.ticker)
	<-n.tickerDone
	n.stopReplicas(ctx)
	n.writer.stop()
	n.appliers.stop()
	n.checkpointers.stop()
	var errs []error
	for _, r := range n.replicas {
		if r.pid == nil {
			continue
		}
		if ctx.Err() == nil {
			errs = append(errs, r.finalCheckpoint())
		}
		errs = append(errs, r.partition.Close())
	}
	n.system.Shutdown()
	return errors.Join(append(errs, n.nodeLog.Close())...)
}

// stopReplicas lets running apply and checkpoint tasks end, then stops the
// actors: afterwards their state is this goroutine's.
func (n *Node) stopReplicas(ctx context.Context) {
	n.eachActor(func(r *Replica) {
		done := make(chan struct{})
		r.send(stopReplica{done: done})
		select {
		case <-done:
		case <-ctx.Done():
		}
	})
	n.eachActor(func(r *Replica) {
		_ = n.system.Root.StopFuture(r.pid).Wait()
		close(r.mailbox.quit)
	})
	n.mailboxes.Wait()
}

// finalCheckpoint stores the delta of a stopped replica.
func (r *Replica) finalCheckpoint() error {
	if r.Err() != nil {
		return nil
	}
	c, ok := r.partition.BeginCheckpoint()
	if !ok {
		return nil
	}
	if err := c.Write(); err != nil {
		return fmt.Errorf("checkpoint group %d: %w", r.group, err)
	}
	c.Finish()
	return nil
}

func (n *Node) fatal(err error) {
	n.options.OnFatal(fmt.Errorf("the node log cannot be written, so nothing can be acknowledged any more: %w", err))
}

// PartitionOf is the partition of a tenant that no record places elsewhere.
func (n *Node) PartitionOf(id tenant.ID) uint64 {
	return uint64(id.Partition(uint32(n.options.Partitions)))
}

func stack() string { return string(debug.Stack()) }
