package actors

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/tenant"
)

// Replica is the handle on one group's replica on this node, or on its absence:
// what grains and the hub call, from any goroutine. The state behind it belongs
// to the replica actor (raft) and to the partition (what was applied).
type Replica struct {
	group     uint64
	node      *Node
	here      atomic.Pointer[running] // nil: no replica of the group is here
	admission admission
	status    atomic.Pointer[driver.Status]
	failure   atomic.Pointer[collection.Error]
	changed   Gate                          // another leader
	report    atomic.Pointer[driver.Status] // with members, while this replica leads; see reconcile
	unstored  atomic.Int64                  // since when, in Unix nanoseconds, there is what no checkpoint has stored; 0: there is nothing

	settled     chan struct{} // closed when Start need not wait for this replica any more
	settledOnce sync.Once
}

func (r *Replica) settle() { r.settledOnce.Do(func() { close(r.settled) }) }

// Proposal is one entry to be decided by the partition.
type Proposal struct {
	Tenant tenant.ID // whose turn it takes in the queue before the log
	Data   []byte    // the encoded command; given away
	// Committed is called, unless it is nil, when the entry is committed, by the
	// replica: it must be quick.
	Committed func()
}

// Group is the number of the raft group.
func (r *Replica) Group() uint64 { return r.group }

// Status is the replica's raft status as of its last step.
func (r *Replica) Status() driver.Status {
	if s := r.status.Load(); s != nil {
		return *s
	}
	return driver.Status{}
}

// Leads reports whether this replica leads its group, as of its last step.
func (r *Replica) Leads() bool {
	s := r.status.Load()
	return s != nil && s.Role == driver.Leader
}

// Leader is the number of the node that leads the group as far as is known
// here, 0 when it is not. next is closed when that may have changed.
func (r *Replica) Leader() (number uint32, next <-chan struct{}) {
	next = r.changed.Wait()
	return memberOf(r.Status().Leader), next
}

// Here reports whether this node has a replica of the group.
func (r *Replica) Here() bool { return r.here.Load() != nil }

// Failure is what stopped this replica for good, or nil.
func (r *Replica) Failure() error {
	if r.Err() != nil && r.failure.Load() != nil {
		return r.failure.Load()
	}
	return nil
}

// Err is why this replica cannot be used: data_loss when its bytes are corrupt,
// internal after a panic, unavailable when there is none here; or nil.
func (r *Replica) Err() error {
	if e := r.failure.Load(); e != nil {
		return e
	}
	h := r.here.Load()
	if h == nil {
		return errNotHere
	}
	// A read may have been the first to meet corrupt bytes.
	if err := h.partition.Err(); err != nil {
		r.fail(err)
		return r.failure.Load()
	}
	return nil
}

// fail stops the replica for good; the first failure is kept.
func (r *Replica) fail(err error) {
	e := &collection.Error{Code: collection.Internal, Message: "this partition has stopped after an internal error", Err: err}
	if collection.CodeOf(err) == collection.DataLoss {
		e.Code, e.Message = collection.DataLoss, "this partition's stored data is corrupt"
	}
	if r.failure.CompareAndSwap(nil, e) {
		r.node.log.Error("partition stopped", "group", r.group, "err", err)
		r.settle()
	}
}

// Propose puts one entry into the log and waits until it was applied on this
// node. It returns what apply answered, or apply's refusal. When ctx ends
// first, or leadership is lost, the outcome is unknown and the error says so;
// an idempotency key makes the retry exact.
func (r *Replica) Propose(ctx context.Context, p Proposal) (any, error) {
	reply := make(chan collection.Outcome, 1)
	if err := r.AwaitRoom(ctx); err != nil {
		return nil, err
	}
	r.Post(p, reply)
	return Await(ctx, reply)
}

// Await waits for the outcome of a Post.
func Await(ctx context.Context, reply <-chan collection.Outcome) (any, error) {
	select {
	case o := <-reply:
		return o.Answer, o.Err
	case <-ctx.Done():
		return nil, outcomeUnknown(ctx.Err())
	}
}

// Post is Propose without waiting: it never blocks, and exactly one outcome
// arrives at reply, which must have room for it. A refusal arrives there too.
func (r *Replica) Post(p Proposal, reply chan<- collection.Outcome) {
	size := len(p.Data)
	err := r.Err()
	if err == nil {
		err = r.admission.enter(size)
	}
	if err != nil {
		reply <- collection.Outcome{Err: err}
		return
	}
	begun := time.Now()
	r.send(&propose{tenant: p.Tenant, data: p.Data, committed: p.Committed, done: func(o collection.Outcome) {
		r.admission.leave(size)
		r.node.counters.proposals.Add(time.Since(begun))
		reply <- o
	}})
}

// AwaitRoom waits while the applied entries that no checkpoint has stored yet
// hold the node's maximum of memory. A writer calls it before it posts.
func (r *Replica) AwaitRoom(ctx context.Context) error { return r.node.awaitMemory(ctx) }

// ReadBarrier returns when this node has applied everything of a tenant that
// was acknowledged before the call, and is still the leader: a read after it
// is linearizable. The tenant "" stands for the whole partition.
func (r *Replica) ReadBarrier(ctx context.Context, id tenant.ID) error {
	if err := r.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	r.send(&readIndex{tenant: id, done: func(err error) { done <- err }})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &collection.Error{Code: collection.DeadlineExceeded, Message: "the read could not be confirmed in time", Err: ctx.Err()}
	}
}

// AwaitApplied returns when this node has applied the group's entry at index.
func (r *Replica) AwaitApplied(ctx context.Context, index uint64) error {
	done := make(chan error, 1)
	r.send(&awaitIndex{index: index, done: func(err error) { done <- err }})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// View returns the applied state. It must be closed.
func (r *Replica) View() (collection.View, error) {
	if err := r.Err(); err != nil {
		return nil, err
	}
	if h := r.here.Load(); h != nil {
		return h.partition.View()
	}
	return nil, errNotHere
}

// Subscribe registers sink for the events of one collection and returns the
// state right before the first of them.
func (r *Replica) Subscribe(collectionID uint64, sink persistence.Sink) (collection.View, error) {
	if err := r.Err(); err != nil {
		return nil, err
	}
	if h := r.here.Load(); h != nil {
		return h.partition.Subscribe(collectionID, sink)
	}
	return nil, errNotHere
}

// Unsubscribe ends the subscription of a collection.
func (r *Replica) Unsubscribe(collectionID uint64) {
	if h := r.here.Load(); h != nil {
		h.partition.Unsubscribe(collectionID)
	}
}

// Digest returns the digest of the applied state and its index; zero when
// there is no replica here.
func (r *Replica) Digest() (digest [16]byte, index uint64) {
	if h := r.here.Load(); h != nil {
		index, _ = h.partition.Applied()
		digest = h.partition.Digest()
	}
	return digest, index
}

// Step delivers a message of a peer's replica.
func (r *Replica) Step(m *raftpb.Message) { r.send(m) }

// send posts a message to the actor. Without a replica here there is nobody to
// read it: who asks something is told so.
func (r *Replica) send(message any) {
	if h := r.here.Load(); h != nil {
		r.node.system.Root.Send(h.pid, message)
		return
	}
	switch m := message.(type) {
	case *propose:
		m.done(collection.Outcome{Err: errNotHere})
	case *readIndex:
		m.done(errNotHere)
	case *awaitIndex:
		m.done(errNotHere)
	case *install:
		m.done <- errNotHere
	case stopReplica:
		close(m.done)
	}
}

// outcomeUnknown is the answer when nobody knows whether an entry took effect.
func outcomeUnknown(cause error) error {
	return &collection.Error{
		Code:    collection.Unavailable,
		Message: "the write was not confirmed in time and may or may not have taken effect; retry it, with the same Idempotency-Key if there was one",
		Details: map[string]any{"outcome": "unknown"},
		Err:     cause,
	}
}

// The replica actor's messages.
type (
	propose struct {
		tenant tenant.ID
		data   []byte
		done   func(collection.Outcome)

		committed func() // may be nil
	}
	readIndex struct {
		tenant tenant.ID
		done   func(error)
	}
	awaitIndex struct {
		index uint64
		done  func(error)
	}
	tick     struct{}
	flush    struct{}
	appended struct{ append driver.Append }
	applied  struct {
		apply    driver.Apply
		outcomes []collection.Outcome
	}
	checkpointed struct {
		checkpoint *persistence.Checkpoint
		err        error
	}
	stopReplica struct{ done chan<- struct{} }
	peerLost    struct{ number uint32 } // the connection to the leader's node broke
	handOver    struct{}                // this node stops: somebody else shall lead
)

// readWaiter is a read whose index is known and not yet applied.
type readWaiter struct {
	index uint64
	done  func(error)
}

// replicaActor owns the driver. Every field below is its own.
type replicaActor struct {
	*Replica
	*running
	driver *driver.Driver
	queue  fairQueue

	alone       bool // the only voter
	flushPosted bool
	applying    bool                 // one apply task at a time
	appending   int                  // appends at the log writer
	applies     []driver.Apply       // committed, in order, not yet handed to a worker
	handed      uint64               // last index that Ready gave out to be applied
	lastOf      map[tenant.ID]uint64 // tenant -> its last entry handed out and not yet applied
	readers     []readWaiter

	ticks   int
	steady  int      // rounds that the preferred leader has been fit
	active  []uint64 // members that were active in the last round
	imaging imaging
	handing handingOver

	checkpointing  bool
	stopping       chan<- struct{}
	stopped        bool // stopping is answered: the state is the stopper's soon
	lastCheckpoint time.Time
}

// Receive is the actor's loop body. A panic stops this partition and answers
// everybody who waits; the node goes on.
func (a *replicaActor) Receive(ctx actor.Context) {
	defer a.guard()
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.start()
	case tick:
		a.driver.Tick()
		a.maybeCheckpoint()
		a.reconcile()
	case *propose:
		a.receiveProposal(m)
		return // the flush behind it does the rest, once for all that wait
	case flush:
		a.flushPosted = false
		a.proposeRound()
	case *readIndex:
		a.read(m)
	case *awaitIndex:
		a.awaitApplied(m.index, m.done)
	case *raftpb.Message:
		a.driver.Step(m)
	case *appended:
		a.appendDone(m.append)
		a.proposeRound()
	case *applied:
		a.finishApply(m)
	case *checkpointed:
		a.finishCheckpoint(m)
	case imageSent:
		a.finishImage(m)
	case *install:
		a.install(m)
	case *switched:
		a.finishSwitch(m.err)
	case peerLost:
		a.losePeer(m.number)
	case handOver:
		a.handOver()
	case stopReplica:
		a.stopping = m.done
	case *actor.Stopping:
		a.abandon()
		return
	}
	a.work()
}

// guard turns a panic into a stopped partition.
func (a *replicaActor) guard() {
	if p := recover(); p != nil {
		a.node.log.Error("panic in a replica", "group", a.group, "panic", p, "stack", stack())
		a.stopFor(collection.Errorf(collection.Internal, "panic: %v", p))
	}
}

func (a *replicaActor) start() {
	a.lastCheckpoint = time.Now()
	if a.alone {
		a.driver.Campaign() // nobody else to wait for
	}
}

func (a *replicaActor) receiveProposal(p *propose) {
	if err := a.Err(); err != nil {
		p.done(collection.Outcome{Err: err})
		return
	}
	a.queue.push(p)
	a.postFlush()
}

// postFlush asks for one round behind everything that is in the mailbox now,
// so that all of it goes into one Ready and one append.
func (a *replicaActor) postFlush() {
	if !a.flushPosted {
		a.flushPosted = true
		a.send(flush{})
	}
}

// appendsMax is how many appends of one replica are on their way to the disk:
// one that is being flushed and one that the flush behind it will take. What
// comes meanwhile waits here and makes one entry batch, not one each.
const appendsMax = 2

// proposeRound puts one round of what waits into the log, unless the log is
// behind; then the end of an append calls it again.
func (a *replicaActor) proposeRound() {
	if a.handing.to == 0 && a.appending >= appendsMax || a.queue.empty() {
		return
	}
	a.queue.round(a.proposeNow)
	if !a.queue.empty() {
		a.postFlush()
	}
}

func (a *replicaActor) proposeNow(p *propose) {
	if a.handing.to != 0 {
		p.done(collection.Outcome{Err: errHandingOver})
		return
	}
	a.driver.Propose(driver.Proposal{Data: p.data, Done: p.done, Committed: p.committed})
}

func (a *replicaActor) read(m *readIndex) {
	if err := a.Err(); err != nil {
		m.done(err)
		return
	}
	a.driver.Read(driver.Read{Done: func(index uint64, err error) {
		if err != nil {
			m.done(err)
			return
		}
		a.awaitApplied(a.lastIndexOf(m.tenant, index), m.done)
	}})
}

// lastIndexOf narrows a read index to the tenant's last entry at or below it,
// when all entries up to the read index have passed through here: a read does
// not wait for other tenants' entries.
func (a *replicaActor) lastIndexOf(id tenant.ID, index uint64) uint64 {
	if id == "" || a.handed < index {
		return index
	}
	return min(a.lastOf[id], index)
}

func (a *replicaActor) awaitApplied(index uint64, done func(error)) {
	if at, _ := a.partition.Applied(); at >= index {
		done(nil)
		return
	}
	a.readers = append(a.readers, readWaiter{index: index, done: done})
}

// work takes what the driver has ready and hands it to those who do it.
func (a *replicaActor) work() {
	a.maybeTransfer()
	for {
		w, ok := a.driver.Ready()
		if !ok {
			break
		}
		for _, ap := range w.Appends {
			a.appending++
			a.node.writer.enqueue(ap, a.durable)
		}
		for _, ap := range w.Applies {
			a.noteHanded(ap)
			a.applies = append(a.applies, ap)
		}
		a.sendMessages(w.Messages)
		a.imaging.orders = append(a.imaging.orders, w.Images...)
	}
	a.nextApply()
	a.sendImages()
	a.noteStatus()
	a.maybeStop()
}

func (a *replicaActor) durable(ap driver.Append) { a.send(&appended{append: ap}) }

func (a *replicaActor) noteHanded(ap driver.Apply) {
	for i := range ap.Entries {
		e := &ap.Entries[i]
		a.handed = e.Index
		if id := a.node.options.TenantOf(a.group, e.Data); id != "" {
			a.lastOf[id] = e.Index
		}
	}
}

// nextApply starts the next apply task unless one is running. A running
// checkpoint does not matter: it reads only what is frozen.
func (a *replicaActor) nextApply() {
	if a.stopped || a.applying || a.imaging.switching || len(a.applies) == 0 || a.Err() != nil {
		return
	}
	next := a.applies[0]
	a.applies = a.applies[1:]
	a.applying = true
	a.node.appliers.submit(func() { a.apply(next) })
}

// apply runs on a worker.
func (a *replicaActor) apply(next driver.Apply) {
	m := &applied{apply: next}
	defer func() {
		if p := recover(); p != nil {
			a.node.log.Error("panic in apply", "group", a.group, "panic", p, "stack", stack())
			a.fail(collection.Errorf(collection.Internal, "panic in apply: %v", p))
			m.outcomes = nil
		}
		a.send(m)
	}()
	m.outcomes = a.partition.Apply(next.Entries)
}

func (a *replicaActor) finishApply(m *applied) {
	a.applying = false
	defer a.maybeSwitch()
	if err := a.partition.Err(); err != nil {
		a.fail(err)
	}
	if a.Err() != nil {
		a.stopFor(a.Err())
		return
	}
	a.driver.Applied(m.apply, m.outcomes)
	a.forgetApplied()
	a.wakeReaders()
	a.noteDelta()
	a.maybeCheckpoint()
}

func (a *replicaActor) forgetApplied() {
	if len(a.lastOf) == 0 {
		return
	}
	at, _ := a.partition.Applied()
	for id, index := range a.lastOf {
		if index <= at {
			delete(a.lastOf, id)
		}
	}
}

func (a *replicaActor) wakeReaders() {
	at, _ := a.partition.Applied()
	waiting := a.readers[:0]
	for _, r := range a.readers {
		if r.index <= at {
			r.done(nil)
		} else {
			waiting = append(waiting, r)
		}
	}
	clear(a.readers[len(waiting):])
	a.readers = waiting
}
