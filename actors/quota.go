package actors

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// LimitSource is the hub as a quota actor asks it.
type LimitSource interface {
	// Limits returns what a tenant may use now. It may be slow; ctx bounds it.
	Limits(ctx context.Context, id tenant.ID) (tenant.Limits, error)
}

// LimitEvents is a LimitSource that tells when its answers change, so that a
// change need not wait until what is known is old.
type LimitEvents interface {
	LimitSource
	// Changed waits for changes after a version, at most until ctx ends. It may
	// return without any. After an error it is asked again, a second later.
	Changed(ctx context.Context, after uint64) (LimitChanges, error)
}

// LimitChanges are whose limits changed up to a version of the hub's.
type LimitChanges struct {
	Tenants []tenant.ID
	All     bool // perhaps everybody's
	Last    uint64
}

// QuotaOptions are the times after which a tenant's limits are asked for
// again, and after which they are no longer good when the hub does not answer;
// and how many tenants' limits are kept.
type QuotaOptions struct {
	TTL        time.Duration // default 60 s
	Grace      time.Duration // after TTL; default 15 min
	Timeout    time.Duration // of one question; default 5 s
	TenantsMax int           // default 100,000; past it one that was not used for long goes
}

// Quotas gives every write its tenant's limits. A quota actor per active
// tenant asks the hub, one question at a time, and publishes the answer; the
// write path reads it without a message. The decision itself is apply's.
type Quotas struct {
	system  *actor.ActorSystem
	source  LimitSource
	options QuotaOptions
	wg      sync.WaitGroup // questions under way, and who listens to the hub
	ctx     context.Context
	cancel  context.CancelFunc

	mu struct {
		sync.RWMutex
		tenants map[tenant.ID]*quota
		closed  bool
	}
}

// quota is the published half of one quota actor.
type quota struct {
	pid    *actor.PID
	gone   chan struct{} // closed when the actor stops
	used   atomic.Int64  // Unix nanoseconds of the last write that asked
	answer atomic.Pointer[quotaAnswer]
}

type quotaAnswer struct {
	limits tenant.Limits
	at     time.Time
}

// NewQuotas returns the quota actors' front; source is asked lazily, and
// listened to when it is a LimitEvents.
func NewQuotas(system *actor.ActorSystem, source LimitSource, o QuotaOptions) *Quotas {
	setDefault(&o.TTL, 60*time.Second)
	setDefault(&o.Grace, 15*time.Minute)
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.TenantsMax, 100_000)
	q := &Quotas{system: system, source: source, options: o}
	q.mu.tenants = map[tenant.ID]*quota{}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	if events, ok := source.(LimitEvents); ok {
		q.wg.Go(func() { q.listen(events) })
	}
	return q
}

// listenAgain is the pause after the hub's events could not be read.
const listenAgain = time.Second

// listen has limits asked for again when the hub says that they changed.
func (q *Quotas) listen(events LimitEvents) {
	var after uint64
	for q.ctx.Err() == nil {
		changes, err := events.Changed(q.ctx, after)
		if err != nil {
			select {
			case <-time.After(listenAgain):
			case <-q.ctx.Done():
			}
			continue
		}
		after = changes.Last
		for _, id := range changes.Tenants {
			q.Refresh(id)
		}
		if changes.All {
			for _, id := range q.known() {
				q.Refresh(id)
			}
		}
	}
}

// Refresh has a tenant's limits asked for again, if they are known here at
// all; until the answer comes, which is soon or the hub is away, they stay.
func (q *Quotas) Refresh(id tenant.ID) {
	q.mu.RLock()
	t := q.mu.tenants[id]
	q.mu.RUnlock()
	if t != nil {
		q.system.Root.Send(t.pid, &changedLimits{})
	}
}

func (q *Quotas) known() []tenant.ID {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return slices.Collect(maps.Keys(q.mu.tenants))
}

// Limits returns the limits to put into a write of id. Fresh ones come without
// waiting; stale ones within the grace are refreshed behind the caller's back;
// without any it waits for the hub, and answers unavailable when the hub does
// not: never unlimited.
func (q *Quotas) Limits(ctx context.Context, id tenant.ID) (tenant.Limits, error) {
	t, err := q.of(id)
	if err != nil {
		return tenant.Limits{}, err
	}
	now := time.Now()
	t.used.Store(now.UnixNano())
	if a := t.answer.Load(); a != nil {
		age := now.Sub(a.at)
		if age > q.options.TTL {
			q.system.Root.Send(t.pid, &askLimits{})
		}
		if age <= q.options.TTL+q.options.Grace {
			return a.limits, nil
		}
	}
	reply := make(chan limitsReply, 1)
	q.system.Root.Send(t.pid, &askLimits{reply: reply})
	select {
	case r := <-reply:
		return r.limits, r.err
	case <-t.gone:
		return tenant.Limits{}, limitsChanged()
	case <-ctx.Done():
		return tenant.Limits{}, hubAway(ctx.Err())
	}
}

func limitsChanged() error {
	return collection.Errorf(collection.Unavailable, "the limits of this tenant have just changed; retry")
}

// Forget drops what is known of a tenant, because its limits changed or it is
// gone; the next write asks again.
func (q *Quotas) Forget(id tenant.ID) {
	q.mu.Lock()
	t := q.mu.tenants[id]
	delete(q.mu.tenants, id)
	q.mu.Unlock()
	if t != nil {
		q.system.Root.Poison(t.pid)
	}
}

// Sweep ends the actors of tenants that have not written for as long as limits
// are good, so that there are as many as active tenants.
func (q *Quotas) Sweep() {
	limit := time.Now().Add(-q.options.TTL - q.options.Grace).UnixNano()
	q.mu.RLock()
	var idle []tenant.ID
	for id, t := range q.mu.tenants {
		if used := t.used.Load(); used != 0 && used < limit {
			idle = append(idle, id)
		}
	}
	q.mu.RUnlock()
	for _, id := range idle {
		q.Forget(id)
	}
}

// Active is how many tenants have a quota actor.
func (q *Quotas) Active() int {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return len(q.mu.tenants)
}

// Stop ends the actors and waits for questions under way.
func (q *Quotas) Stop() {
	q.cancel()
	q.mu.Lock()
	q.mu.closed = true
	tenants := q.mu.tenants
	q.mu.tenants = nil
	q.mu.Unlock()
	for _, t := range tenants {
		q.system.Root.Poison(t.pid)
	}
	q.wg.Wait()
}

func (q *Quotas) of(id tenant.ID) (*quota, error) {
	q.mu.RLock()
	t := q.mu.tenants[id]
	q.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return nil, collection.Errorf(collection.Unavailable, "the node is stopping")
	}
	if t = q.mu.tenants[id]; t != nil {
		return t, nil
	}
	if len(q.mu.tenants) >= q.options.TenantsMax {
		q.evict()
	}
	t = &quota{gone: make(chan struct{})}
	t.used.Store(time.Now().UnixNano())
	a := &quotaActor{quotas: q, tenant: id, published: t}
	t.pid = q.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return a }))
	q.mu.tenants[id] = t
	return t, nil
}

// evictAmong is how many tenants are looked at to find one that was not used
// for long.
const evictAmong = 16

// evict ends the actor of the tenant that was used longest ago among a few,
// which a map gives in no order. mu is held.
func (q *Quotas) evict() {
	var oldest tenant.ID
	least, seen := int64(math.MaxInt64), 0
	for id, t := range q.mu.tenants {
		if used := t.used.Load(); used < least {
			oldest, least = id, used
		}
		if seen++; seen == evictAmong {
			break
		}
	}
	t := q.mu.tenants[oldest]
	delete(q.mu.tenants, oldest)
	q.system.Root.Poison(t.pid)
}

func hubAway(cause error) error {
	return &collection.Error{
		Code: collection.Unavailable, Err: cause,
		Message: "the limits of this tenant cannot be read from the hub, so nothing may be added; retry shortly",
	}
}

// The quota actor's messages.
type (
	askLimits     struct{ reply chan<- limitsReply } // reply may be nil; its room is 1
	changedLimits struct{}                           // what was asked for until now may be wrong
	gotLimits     struct {
		limits tenant.Limits
		err    error
	}
	limitsReply struct {
		limits tenant.Limits
		err    error
	}
)

// quotaActor asks the hub for one tenant, one question at a time.
type quotaActor struct {
	quotas    *Quotas
	tenant    tenant.ID
	published *quota
	asking    bool
	again     bool // ask once more: limits changed while a question was under way
	waiting   []chan<- limitsReply
}

// Receive starts questions and hands out their answers; the question itself
// runs beside the mailbox.
func (a *quotaActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *askLimits:
		if m.reply != nil {
			a.waiting = append(a.waiting, m.reply)
		}
		if !a.asking {
			a.asking = true
			a.ask(ctx.Self())
		}
	case *changedLimits:
		if a.again = a.asking; !a.asking {
			a.asking = true
			a.ask(ctx.Self())
		}
	case *gotLimits:
		a.publish(m)
		if a.asking = a.again; a.again {
			a.again = false
			a.ask(ctx.Self())
		}
	case *actor.Stopping:
		a.answer(limitsReply{err: limitsChanged()})
		close(a.published.gone)
	}
}

func (a *quotaActor) ask(self *actor.PID) {
	q, id := a.quotas, a.tenant
	q.wg.Go(func() {
		ctx, cancel := context.WithTimeout(q.ctx, q.options.Timeout)
		defer cancel()
		limits, err := q.source.Limits(ctx, id)
		q.system.Root.Send(self, &gotLimits{limits: limits, err: err})
	})
}

// publish shows the hub's answer. What the hub does not know any more may use
// nothing; when the hub does not answer, what is known is old from now on, and
// good for its grace.
func (a *quotaActor) publish(m *gotLimits) {
	switch {
	case collection.CodeOf(m.err) == collection.NotFound:
		a.published.answer.Store(nil)
		a.answer(limitsReply{err: m.err})
		return
	case m.err != nil:
		if known := a.published.answer.Load(); known != nil {
			if old := time.Now().Add(-a.quotas.options.TTL); known.at.After(old) {
				a.published.answer.Store(&quotaAnswer{limits: known.limits, at: old})
			}
		}
		a.answer(limitsReply{err: hubAway(m.err)})
		return
	}
	a.published.answer.Store(&quotaAnswer{limits: m.limits, at: time.Now()})
	a.answer(limitsReply{limits: m.limits})
}

func (a *quotaActor) answer(r limitsReply) {
	for _, w := range a.waiting {
		w <- r
	}
	a.waiting = nil
}
