package grains

import (
	"container/heap"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// RunLimits bound the work on answers that a node does at a time.
type RunLimits struct {
	Slots            int // pieces of work at a time; default one per CPU
	Kept             int // more of them, for tenants that want little; default as many as Slots, negative: none
	SlotsPerTenant   int // of one tenant; default all: long work gives way
	Waiting          int // of all tenants; default 4,096
	WaitingPerTenant int // default 256
}

func (l *RunLimits) ensureDefaults() {
	if l.Slots == 0 {
		l.Slots = max(2, runtime.NumCPU())
	}
	if l.Kept == 0 {
		l.Kept = l.Slots
	}
	l.Kept = max(0, l.Kept)
	if l.SlotsPerTenant == 0 {
		l.SlotsPerTenant = l.Slots
	}
	if l.Waiting == 0 {
		l.Waiting = 4096
	}
	if l.WaitingPerTenant == 0 {
		l.WaitingPerTenant = 256
	}
}

// runQueue is what stands before the node's processors: a fixed number of slots,
// and tenants that wait for one. Whoever has used the least time of late goes
// first, so that tenants who always want more get equal times, whatever one
// piece of their work costs, and one who wants little waits for nobody's
// backlog.
//
// It is start-time fair queueing: a tenant's next turn begins at a virtual time,
// which moves on by what its turns cost; the queue's virtual time is that at
// which the last turn began, and who comes anew begins there, with no credit for
// having been idle. A turn is charged an estimate when it begins and what it
// took when it ends or gives way. Within a tenant the first to come is the
// first to go.
//
// Work that takes long gives way: see turn.Err.
type runQueue struct {
	limits RunLimits
	now    func() time.Duration // of a clock that never goes back

	turns sync.Pool
	runs  atomic.Int32 // mu.running
	waits atomic.Int32 // mu.waiting

	mu struct {
		sync.Mutex
		tenants map[tenant.ID]*runTenant
		ready   tenantHeap // those with waiting turns and a slot to spare; empty while one of those for all is free
		virtual time.Duration
		running int
		waiting int
		stats   RunStats
	}
}

// RunStats are what a run queue has done.
type RunStats struct {
	Running, Waiting int
	Refused          uint64 // because too many waited
	GaveWay          uint64 // turns that let another tenant's go first
	Begun            uint64
	Waited           time.Duration              // all together
	WaitedUpTo       [len(RunWaitBounds)]uint64 // of those begun, how many waited no longer than each bound
}

// RunWaitBounds are the bounds of RunStats.WaitedUpTo.
var RunWaitBounds = [...]time.Duration{
	0, 100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 3 * time.Millisecond,
	10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second,
}

// runTenant is a tenant that has had a turn of late.
type runTenant struct {
	id          tenant.ID
	next        time.Duration // virtual time at which its next turn begins
	running     int
	waiting     int
	first, last *turn
	place       int // in ready; -1: not there
}

// turn is a piece of work that has a slot, or waits for one. It is the context
// of that work: deadline checks are where it gives way.
type turn struct {
	context.Context
	queue *runQueue
	of    *runTenant
	since time.Duration // it has had its slot, or has been charged
	ahead time.Duration // charged for what comes after since
	holds bool          // a slot; guarded by queue.mu
	wake  chan struct{} // has room for one
	next  *turn         // behind it
}

// runTenantsMax is how many tenants a queue remembers while they are idle.
const runTenantsMax = 4096

// quantum is how long a turn keeps its slot at least: to change takes a few
// microseconds, and what it has in its caches.
const quantum = 200 * time.Microsecond

// keptAhead is how much more than its share a tenant may have used and still get a
// slot that is kept for those who want little: the others' shares are counted
// when their turns end or give way, and may be behind by as much.
const keptAhead = 10 * time.Millisecond

func newRunQueue(l RunLimits) *runQueue {
	l.ensureDefaults()
	begin := time.Now()
	q := &runQueue{limits: l, now: func() time.Duration { return time.Since(begin) }}
	q.turns.New = func() any { return &turn{wake: make(chan struct{}, 1)} }
	q.mu.tenants = map[tenant.ID]*runTenant{}
	return q
}

// enter waits for a slot, no longer than ctx lasts. cost is what the work is
// thought to take. The result is the work's context until leave.
func (q *runQueue) enter(ctx context.Context, id tenant.ID, cost time.Duration) (*turn, error) {
	t := q.turns.Get().(*turn)
	t.Context, t.queue, t.ahead, t.holds, t.next = ctx, q, cost, false, nil
	t.since = q.now()
	q.mu.Lock()
	t.of = q.tenant(id)
	if q.free(t.of) && t.of.running < q.limits.SlotsPerTenant && t.of.waiting == 0 {
		q.begin(t, 0)
		q.mu.Unlock()
		return t, nil
	}
	if t.of.waiting >= q.limits.WaitingPerTenant || q.mu.waiting >= q.limits.Waiting {
		q.mu.stats.Refused++
		q.mu.Unlock()
		t.release()
		return nil, errRunQueueFull
	}
	q.push(t, false)
	q.mu.Unlock()
	if !t.await() {
		t.release()
		return nil, errRunQueueLate(ctx.Err())
	}
	return t, nil
}

func errRunQueueLate(cause error) error {
	return &collection.Error{
		Code: collection.Unavailable, Reason: collection.ReasonOverload,
		Message: "too many searches wait on this node; retry shortly", Err: cause,
	}
}

var errRunQueueFull error = &collection.Error{
	Code: collection.ResourceExhausted, Reason: collection.ReasonBusy,
	Message: "too many requests of this tenant wait for their turn; retry shortly",
	Details: map[string]any{"retry_after_s": 1},
}

// leave gives the slot back, if the turn has one. It must not be used after it.
func (t *turn) leave() {
	q := t.queue
	now := q.now()
	q.mu.Lock()
	if t.holds {
		q.charge(t, now)
		q.end(t)
		q.dispatch(now)
	}
	q.mu.Unlock()
	t.release()
}

func (t *turn) release() {
	q := t.queue
	t.Context, t.of, t.queue = nil, nil, nil
	q.turns.Put(t)
}

// Err implements context.Context, for the work that runs in its turn: it is
// asked every some thousand vectors, and there the turn gives way to a tenant
// who has used less. It returns when it has a slot again, or is over.
func (t *turn) Err() error {
	if t.queue.waits.Load() > 0 {
		t.giveWay()
	}
	return t.Context.Err()
}

func (t *turn) giveWay() {
	q := t.queue
	now := q.now()
	if now-t.since < quantum {
		return
	}
	q.mu.Lock()
	if !t.holds { // its time was over while it waited
		q.mu.Unlock()
		return
	}
	q.charge(t, now)
	if len(q.mu.ready) == 0 || q.mu.ready[0] == t.of || q.mu.ready[0].next >= t.of.next || !q.freed() {
		q.mu.Unlock()
		return
	}
	q.mu.stats.GaveWay++
	q.end(t)
	q.push(t, true)
	q.dispatch(now)
	q.mu.Unlock()
	t.await()
}

// await waits until the turn has a slot, and reports false when its time was
// over before.
func (t *turn) await() bool {
	select {
	case <-t.wake:
		return true
	case <-t.Done():
	}
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.holds { // both at once
		<-t.wake
		if t.Context.Err() != nil {
			q.charge(t, q.now())
			q.end(t)
			q.dispatch(t.since)
		}
		return false
	}
	q.remove(t)
	return false
}

// What follows is called under mu.

// tenant returns the one of an id, and forgets idle ones when there are many.
func (q *runQueue) tenant(id tenant.ID) *runTenant {
	if t := q.mu.tenants[id]; t != nil {
		return t
	}
	if len(q.mu.tenants) >= runTenantsMax {
		for name, t := range q.mu.tenants {
			if t.running == 0 && t.waiting == 0 {
				delete(q.mu.tenants, name)
			}
		}
	}
	t := &runTenant{id: id, place: -1}
	q.mu.tenants[id] = t
	return t
}

// free reports whether there is a slot for a tenant: one of those for all, or,
// if it has none and has used no more than its share, one that is kept for such. So whoever wants little does not wait for the end of what others began,
// which may be long: a slot's thread may have to wait for a processor itself.
func (q *runQueue) free(o *runTenant) bool {
	if q.mu.running < q.limits.Slots {
		return true
	}
	return o.running == 0 && o.next <= q.mu.virtual+keptAhead && q.mu.running < q.limits.Slots+q.limits.Kept
}

// freed reports whether the first of ready would get a slot that somebody gives up.
func (q *runQueue) freed() bool {
	q.mu.running--
	defer func() { q.mu.running++ }()
	return q.free(q.mu.ready[0])
}

// begin gives a slot to a turn that waits nowhere.
func (q *runQueue) begin(t *turn, waited time.Duration) {
	o := t.of
	o.next = max(o.next, q.mu.virtual)
	q.mu.virtual = o.next
	o.next += t.ahead
	o.running++
	q.mu.running++
	q.runs.Store(int32(q.mu.running))
	t.holds = true
	s := &q.mu.stats
	s.Begun++
	s.Waited += waited
	for i := len(RunWaitBounds) - 1; i >= 0 && waited <= RunWaitBounds[i]; i-- {
		s.WaitedUpTo[i]++
	}
}

// end takes the slot of a turn.
func (q *runQueue) end(t *turn) {
	t.holds = false
	t.of.running--
	q.mu.running--
	q.runs.Store(int32(q.mu.running))
	q.settle(t.of)
}

// charge counts what a turn has used since it was charged last.
func (q *runQueue) charge(t *turn, now time.Duration) {
	t.of.next += now - t.since - t.ahead
	t.since, t.ahead = now, 0
	q.settle(t.of)
}

// push lets a turn wait, before the others of its tenant or behind them.
func (q *runQueue) push(t *turn, first bool) {
	o := t.of
	if o.waiting == 0 && o.running == 0 {
		o.next = max(o.next, q.mu.virtual)
	}
	switch {
	case o.first == nil:
		o.first, o.last = t, t
	case first:
		t.next, o.first = o.first, t
	default:
		o.last.next, o.last = t, t
	}
	q.count(o, 1)
}

// remove takes a turn out of its tenant's queue.
func (q *runQueue) remove(t *turn) {
	o := t.of
	at, before := &o.first, (*turn)(nil)
	for *at != t {
		before = *at
		at = &(*at).next
	}
	*at = t.next
	if o.last == t {
		o.last = before
	}
	t.next = nil
	q.count(o, -1)
}

func (q *runQueue) count(o *runTenant, n int) {
	o.waiting += n
	q.mu.waiting += n
	q.waits.Store(int32(q.mu.waiting))
	q.settle(o)
}

// settle puts a tenant where it belongs in ready.
func (q *runQueue) settle(o *runTenant) {
	may := o.waiting > 0 && o.running < q.limits.SlotsPerTenant
	switch {
	case may && o.place < 0:
		heap.Push(&q.mu.ready, o)
	case may:
		heap.Fix(&q.mu.ready, o.place)
	case o.place >= 0:
		heap.Remove(&q.mu.ready, o.place)
	}
}

// dispatch gives free slots to those who are next.
func (q *runQueue) dispatch(now time.Duration) {
	for len(q.mu.ready) > 0 && q.free(q.mu.ready[0]) {
		o := q.mu.ready[0]
		t := o.first
		q.remove(t)
		q.begin(t, max(0, now-t.since))
		t.since = now
		q.settle(o)
		t.wake <- struct{}{}
	}
}

// stats returns what the queue has done.
func (q *runQueue) stats() RunStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.mu.stats
	s.Running, s.Waiting = q.mu.running, q.mu.waiting
	return s
}

// tenantHeap orders tenants by when their next turn begins.
type tenantHeap []*runTenant

func (h tenantHeap) Len() int           { return len(h) }
func (h tenantHeap) Less(i, j int) bool { return h[i].next < h[j].next }
func (h tenantHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *tenantHeap) Push(x any) {
	o := x.(*runTenant)
	o.place = len(*h)
	*h = append(*h, o)
}

// Pop implements heap.Interface.
func (h *tenantHeap) Pop() any {
	last := len(*h) - 1
	o := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	o.place = -1
	return o
}
