package actors

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/nodelog"
	"github.com/hivehub/waggle/tenant"
)

// running is a group's replica on this node, from its opening to its stop.
type running struct {
	id        uint64 // the replica's
	partition *persistence.Partition
	pid       *actor.PID
	mailbox   ownGoroutine
	counted   int64 // of the delta's bytes, in the node's sum; the actor's while it runs
}

func newReplica(n *Node, group uint64) *Replica {
	r := &Replica{group: group, node: n, settled: make(chan struct{})}
	r.admission = admission{requestsMax: n.options.RequestsMax, bytesMax: n.options.RequestBytesMax}
	return r
}

func (n *Node) partitionsDir() string { return filepath.Join(n.options.Dir, "partitions") }

// storePath is the file of a group's store: the log's last start names it, so
// that writing that start is the switch from one file to another.
func (n *Node) storePath(group uint64) string {
	return filepath.Join(n.partitionsDir(), persistence.StoreFile(group, n.nodeLog.Group(group).Start().Index))
}

// sweepStores removes files that no group's log names: what an image left
// behind, or a replica that is gone.
func (n *Node) sweepStores(groups []uint64) error {
	keep := map[string]bool{}
	for _, g := range groups {
		keep[filepath.Base(n.storePath(g))] = true
	}
	return persistence.SweepStores(n.partitionsDir(), keep)
}

// open opens a group that the log has and spawns its actor. What is wrong with
// the group's bytes is kept in the replica and answered to every request.
func (r *Replica) open() {
	h := &running{id: r.node.nodeLog.Group(r.group).Replica()}
	d, err := r.openStore(h)
	if err != nil {
		r.fail(err)
		return
	}
	a := &replicaActor{Replica: r, running: h, driver: d, lastOf: map[tenant.ID]uint64{}}
	s := d.Status()
	a.alone = len(s.Voters) == 1 && s.Voters[0] == h.id
	if !a.alone {
		r.settle() // its leader may be far away
	}
	r.status.Store(&s)
	// The address is known before the actor runs: its first message makes
	// others answer to it.
	name := fmt.Sprintf("replica/%d/%d", r.group, h.id)
	h.pid = r.node.system.NewLocalPID(name)
	h.mailbox = newOwnGoroutine()
	r.node.mailboxes.Go(h.mailbox.run)
	r.here.Store(h)
	props := actor.PropsFromProducer(func() actor.Actor { return a }, actor.WithDispatcher(h.mailbox))
	if _, err := r.node.system.Root.SpawnNamed(props, name); err != nil {
		panic(fmt.Sprintf("BUG: second replica of group %d: %v", r.group, err))
	}
}

func (r *Replica) openStore(h *running) (*driver.Driver, error) {
	n, g := r.node, r.group
	log := n.nodeLog.Group(g)
	if err := log.Err(); err != nil {
		return nil, err
	}
	store, err := persistence.OpenBolt(n.storePath(g))
	if err != nil {
		return nil, err
	}
	o := persistence.PartitionOptions{}
	if log.Start() == (nodelog.Position{Index: 1, Term: 1}) {
		_, o.Start = newborn(g)
	}
	h.partition, err = persistence.OpenPartition(store, n.options.Machine(g), o)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	d, err := driver.New(driver.Config{
		Group: g, Replica: h.id, Log: log, Stored: store.Meta(), Logger: n.log.With("group", g),
	})
	if err != nil {
		return nil, errors.Join(err, h.partition.Close())
	}
	return d, nil
}

// create makes an empty replica of a group that lives elsewhere: its leader
// sends it an image. The id must be new.
func (r *Replica) create(ctx context.Context, id uint64) error {
	if err := persistence.RemoveStores(r.node.partitionsDir(), r.group); err != nil {
		return err
	}
	if err := r.node.writer.write(ctx, driver.Joining(r.group, id)); err != nil {
		return err
	}
	r.failure.Store(nil)
	r.open()
	r.node.log.Info("replica made; it waits for the group's leader", "group", r.group, "replica", id)
	return nil
}

// remove ends the replica here and gives its bytes up. Nobody may need them.
func (r *Replica) remove(ctx context.Context) error {
	h := r.here.Load()
	if err := r.quiesce(ctx); err != nil {
		return fmt.Errorf("remove the replica of group %d: %w", r.group, err)
	}
	stopped := r.stop()
	err := stopped.partition.Close()
	if err == nil {
		err = r.node.writer.write(ctx, nodelog.Append{Group: r.group, Remove: true})
	}
	if err != nil {
		return fmt.Errorf("remove the replica of group %d: %w", r.group, err)
	}
	r.node.log.Info("replica removed", "group", r.group, "replica", h.id)
	return persistence.RemoveStores(r.node.partitionsDir(), r.group)
}

// quiesce lets running tasks end, and no other begin after them.
func (r *Replica) quiesce(ctx context.Context) error {
	done := make(chan struct{})
	r.send(stopReplica{done: done})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stoppedReplica is what stop leaves: its state is the caller's.
type stoppedReplica struct {
	*Replica
	partition *persistence.Partition
}

// stop ends the actor. From now on the group has no replica here.
func (r *Replica) stop() *stoppedReplica {
	h := r.here.Load()
	_ = r.node.system.Root.StopFuture(h.pid).Wait()
	r.here.Store(nil)
	r.status.Store(nil)
	r.unstored.Store(0)
	close(h.mailbox.quit)
	r.node.counters.deltaBytes.Add(-h.counted)
	r.node.memory.Broadcast()
	return &stoppedReplica{r, h.partition}
}

// close stores the delta and closes the store.
func (s *stoppedReplica) close(ctx context.Context) error {
	var err error
	if ctx.Err() == nil && s.failure.Load() == nil && s.partition.Err() == nil {
		if c, ok := s.partition.BeginCheckpoint(); ok {
			if err = c.Write(); err == nil {
				c.Finish()
			} else {
				err = fmt.Errorf("checkpoint group %d: %w", s.group, err)
			}
		}
	}
	return errors.Join(err, s.partition.Close())
}

// leadership tells whoever asks when this node becomes the leader of a group.
type leadership struct {
	mu    sync.Mutex
	watch []func(group uint64)
}

// OnLead calls fn, which must be quick, for every group that this node leads
// now, and for each that it comes to lead.
func (n *Node) OnLead(fn func(group uint64)) {
	n.led.mu.Lock()
	defer n.led.mu.Unlock()
	n.led.watch = append(n.led.watch, fn)
	for _, r := range n.replicas {
		if r.Leads() {
			fn(r.group)
		}
	}
}

func (n *Node) nowLeads(group uint64) {
	n.led.mu.Lock()
	defer n.led.mu.Unlock()
	for _, fn := range n.led.watch {
		fn(group)
	}
}

var errNotHere = &collection.Error{
	Code: collection.Unavailable, Reason: collection.ReasonNotLeader,
	Message: "this node has no replica of the partition; retry",
}

var errHandingOver = &collection.Error{
	Code: collection.Unavailable, Reason: collection.ReasonNotLeader,
	Message: "leadership of the partition is being handed over; retry",
}
