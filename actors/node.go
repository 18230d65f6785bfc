package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
	"github.com/hivehub/waggle/tenant"
)

// SystemGroup is the raft group of the system: the hub and the cluster's
// settings. Partition i is group i+1.
const SystemGroup uint64 = 0

// Options say where a node keeps its state and how it runs.
type Options struct {
	Dir        string    // the data directory; exists
	Disk       disk.Disk // where the node log is; default: Dir
	Partitions int       // at birth, and of a node that has joined; otherwise read back from the log

	Machine  func(group uint64) collection.StateMachine // decides a group's entries
	TenantOf func(group uint64, data []byte) tenant.ID  // whose entry it is; "" = nobody's

	SegmentBytes       int64         // of the node log; default 64 MB
	KeepBytes          int64         // of a group's log, for followers that are behind; default 64 MB
	CheckpointBytes    int64         // delta of a partition that begins a checkpoint; default 16 MB
	CheckpointInterval time.Duration // and its age; default 30 s
	DeltaBytesMax      int64         // of the node; writes wait above; default 256 MB
	Tick               time.Duration // default 100 ms
	RequestsMax        int64         // proposals that may wait for one partition; default 16,384
	RequestBytesMax    int64         // and their bytes; default 64 MB

	Cluster ClusterOptions

	Logger  *slog.Logger
	OnFatal func(error) // the node log cannot be written: the process must end. Required
}

// ClusterOptions are a node's place among others. The zero value is a node that
// was born alone and has nobody to talk to.
type ClusterOptions struct {
	Number   uint32         // this node's; default 1
	Joined   uint64         // replica of the system group that this node joined with; 0: it was born here
	Network  Network        // the other nodes; default: there are none
	Topology TopologySource // which replicas this node should have; nil: those that it has
	// OnImage is called when an image has replaced the state of a group, before
	// the next entry is applied. It may be nil.
	OnImage func(group uint64, state collection.View)
}

// TopologySource is where a node reads what it should have; a
// *hubsvc.Directory is one.
type TopologySource interface{ Topology() *hubsvc.Topology }

// EnsureDefaults fills in what was left zero.
func (o *Options) EnsureDefaults() {
	setDefault(&o.SegmentBytes, 64<<20)
	setDefault(&o.CheckpointBytes, 16<<20)
	setDefault(&o.CheckpointInterval, 30*time.Second)
	setDefault(&o.DeltaBytesMax, 256<<20)
	setDefault(&o.Tick, 100*time.Millisecond)
	setDefault(&o.RequestsMax, 16384)
	setDefault(&o.RequestBytesMax, 64<<20)
	setDefault(&o.Cluster.Number, hubsvc.FirstMember)
	if o.Cluster.Network == nil {
		o.Cluster.Network = alone{}
	}
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Node is everything of one node below the grains: the node log with its
// writer, the worker pools, and a replica actor for each group that has a
// replica here.
type Node struct {
	options Options
	log     *slog.Logger
	system  *actor.ActorSystem
	network Network
	calls   *calls

	nodeLog       *nodelog.Log
	writer        *logWriter
	appliers      *workers
	checkpointers *workers
	replicas      []*Replica // by group, those without a replica here too
	mailboxes     sync.WaitGroup
	caretaker     *caretaker
	transfers     sync.Map    // kind -> TransferHandler
	leaving       atomic.Bool // it hands over what it leads, and stops
	images        imageDesk

	counters   counters
	memory     Gate
	led        leadership
	ticker     chan struct{} // closed to stop it
	tickerDone chan struct{}
}

// Start recovers the node log and opens every partition; a partition whose
// stored bytes are corrupt is started as one that answers data_loss. On an
// empty directory it makes the newborn groups first, or, on a node that has
// joined a cluster, the empty replica of the system group: the others follow
// from the topology that it receives. When it returns, every group that has no
// voter but this node is led by it.
func Start(o Options) (*Node, error) {
	o.EnsureDefaults()
	d := o.Disk
	if d == nil {
		var err error
		if d, err = disk.OS(o.Dir); err != nil {
			return nil, fmt.Errorf("open data directory: %w", err)
		}
	}
	nl, err := nodelog.Open(d, "log", nodelog.Options{SegmentBytes: o.SegmentBytes, KeepBytes: o.KeepBytes, Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("open node log: %w", err)
	}
	n := &Node{options: o, log: o.Logger, nodeLog: nl, system: newActorSystem(o.Logger), network: o.Cluster.Network}
	n.calls = newCalls(n)
	n.images.init(n)
	n.HandleTransfers(transferImage, n.receiveImage)
	if err := n.prepare(d); err != nil {
		return nil, errors.Join(err, nl.Close())
	}
	n.writer = startLogWriter(nl, n.log, n.fatal)
	n.appliers = startWorkers(max(2, runtime.GOMAXPROCS(0)), n.options.Partitions+1)
	n.checkpointers = startWorkers(1, n.options.Partitions+1)
	n.replicas = make([]*Replica, n.options.Partitions+1)
	for g := range n.replicas {
		n.replicas[g] = newReplica(n, uint64(g))
	}
	for _, g := range nl.Groups() {
		n.replicas[g].open()
	}
	n.startTicker()
	for _, g := range nl.Groups() {
		<-n.replicas[g].settled
	}
	n.caretaker = startCaretaker(n)
	return n, nil
}

// prepare makes sure that there are groups, and says how many.
func (n *Node) prepare(d disk.Disk) error {
	if err := d.MkdirAll("partitions"); err != nil {
		return err
	}
	groups := n.nodeLog.Groups()
	if len(groups) == 0 {
		var err error
		if groups, err = n.birth(); err != nil {
			return fmt.Errorf("make the first partitions: %w", err)
		}
	}
	if n.options.Cluster.Joined == 0 {
		n.options.Partitions = max(n.options.Partitions, int(groups[len(groups)-1]))
	}
	if last := groups[len(groups)-1]; last > uint64(n.options.Partitions) {
		return fmt.Errorf("the log has a partition %d of %d", last, n.options.Partitions)
	}
	return n.sweepStores(groups)
}

// birth writes the newborn state of every group to the log, in one batch:
// from then on the groups exist. Their stores are made as they are opened.
func (n *Node) birth() ([]uint64, error) {
	if id := n.options.Cluster.Joined; id != 0 {
		return []uint64{SystemGroup}, n.nodeLog.Write([]nodelog.Append{driver.Joining(SystemGroup, id)})
	}
	var groups []uint64
	var appends []nodelog.Append
	for g := SystemGroup; g <= uint64(n.options.Partitions); g++ {
		start, _ := newborn(g)
		groups, appends = append(groups, g), append(appends, start)
	}
	return groups, n.nodeLog.Write(appends)
}

func newborn(group uint64) (nodelog.Append, persistence.Meta) {
	first := uint64(hubsvc.FirstReplica)
	return driver.Newborn(group, first, []uint64{first})
}

// startTicker sends every replica a tick, from one goroutine. Heartbeats that
// the ticks caused leave together, a little later.
func (n *Node) startTicker() {
	n.ticker, n.tickerDone = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(n.tickerDone)
		t := time.NewTicker(n.options.Tick)
		defer t.Stop()
		late := time.NewTimer(time.Hour)
		defer late.Stop()
		for {
			select {
			case <-t.C:
				n.eachActor(func(r *Replica) { r.send(tick{}) })
				late.Reset(n.options.Tick / 10)
			case <-late.C:
				n.network.Flush()
			case <-n.ticker:
				return
			}
		}
	}()
}

func (n *Node) eachActor(fn func(*Replica)) {
	for _, r := range n.replicas {
		if r.here.Load() != nil {
			fn(r)
		}
	}
}

// System is the actor system that the grains of this node live in.
func (n *Node) System() *actor.ActorSystem { return n.system }

// Number is this node's number.
func (n *Node) Number() uint32 { return n.options.Cluster.Number }

// Partitions is P.
func (n *Node) Partitions() int { return n.options.Partitions }

// SystemReplica is the replica of the system group.
func (n *Node) SystemReplica() *Replica { return n.replicas[SystemGroup] }

// Partition is the replica of partition i, 0 <= i < Partitions().
func (n *Node) Partition(i uint64) *Replica { return n.replicas[i+1] }

// Replicas are all groups in order, the system group first, also those that
// have no replica here.
func (n *Node) Replicas() []*Replica { return n.replicas }

// DeltaBytes is the memory held by applied entries that no checkpoint has
// stored yet.
func (n *Node) DeltaBytes() int64 { return n.counters.deltaBytes.Load() }

// Stop stores what is applied and ends every goroutine. Nothing may be
// proposed any more, and no peer's message may come in. When ctx ends first the
// rest is left to the log, which holds everything acknowledged anyway.
func (n *Node) Stop(ctx context.Context) error {
	n.caretaker.stop()
	n.calls.stop()
	n.images.stop()
	close(n.ticker)
	<-n.tickerDone
	stopped := n.stopReplicas(ctx)
	n.writer.stop()
	n.appliers.stop()
	n.checkpointers.stop()
	var errs []error
	for _, r := range stopped {
		errs = append(errs, r.close(ctx))
	}
	n.system.Shutdown()
	return errors.Join(append(errs, n.nodeLog.Close())...)
}

func (n *Node) stopReplicas(ctx context.Context) (stopped []*stoppedReplica) {
	n.eachActor(func(r *Replica) { _ = r.quiesce(ctx) }) // what does not end in time is left to the log
	n.eachActor(func(r *Replica) { stopped = append(stopped, r.stop()) })
	n.mailboxes.Wait()
	return stopped
}

func (n *Node) fatal(err error) {
	n.options.OnFatal(fmt.Errorf("the node log cannot be written, so nothing can be acknowledged any more: %w", err))
}

// PartitionOf is the partition of a tenant that no record places elsewhere.
func (n *Node) PartitionOf(id tenant.ID) uint64 {
	return uint64(id.Partition(uint32(n.options.Partitions)))
}

func stack() string { return string(debug.Stack()) }
