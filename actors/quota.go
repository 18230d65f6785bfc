package actors

import (
	"context"
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

// QuotaOptions are the times after which a tenant's limits are asked for
// again, and after which they are no longer good when the hub does not answer.
type QuotaOptions struct {
	TTL     time.Duration // default 60 s
	Grace   time.Duration // after TTL; default 15 min
	Timeout time.Duration // of one question; default 5 s
}

// Quotas gives every write its tenant's limits. A quota actor per active
// tenant asks the hub, one question at a time, and publishes the answer; the
// write path reads it without a message. The decision itself is apply's.
type Quotas struct {
	system  *actor.ActorSystem
	source  LimitSource
	options QuotaOptions
	wg      sync.WaitGroup // questions under way

	mu struct {
		sync.Mutex
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

// NewQuotas returns the quota actors' front; source is asked lazily.
func NewQuotas(system *actor.ActorSystem, source LimitSource, o QuotaOptions) *Quotas {
	setDefault(&o.TTL, 60*time.Second)
	setDefault(&o.Grace, 15*time.Minute)
	setDefault(&o.Timeout, 5*time.Second)
	q := &Quotas{system: system, source: source, options: o}
	q.mu.tenants = map[tenant.ID]*quota{}
	return q
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
	t.used.Store(time.Now().UnixNano())
	if a := t.answer.Load(); a != nil {
		age := time.Since(a.at)
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
	q.mu.Lock()
	var idle []tenant.ID
	for id, t := range q.mu.tenants {
		if used := t.used.Load(); used != 0 && used < limit {
			idle = append(idle, id)
		}
	}
	q.mu.Unlock()
	for _, id := range idle {
		q.Forget(id)
	}
}

// Active is how many tenants have a quota actor.
func (q *Quotas) Active() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.mu.tenants)
}

// Stop ends the actors and waits for questions under way.
func (q *Quotas) Stop() {
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
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed {
		return nil, collection.Errorf(collection.Unavailable, "the node is stopping")
	}
	t := q.mu.tenants[id]
	if t == nil {
		t = &quota{gone: make(chan struct{})}
		a := &quotaActor{quotas: q, tenant: id, published: t}
		t.pid = q.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return a }))
		q.mu.tenants[id] = t
	}
	return t, nil
}

func hubAway(cause error) error {
	return &collection.Error{
		Code: collection.Unavailable, Err: cause,
		Message: "the limits of this tenant cannot be read from the hub, so nothing may be added; retry shortly",
	}
}

// The quota actor's messages.
type (
	askLimits struct{ reply chan<- limitsReply } // reply may be nil; its room is 1
	gotLimits struct {
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
	case *gotLimits:
		a.asking = false
		a.publish(m)
	case *actor.Stopping:
		a.answer(limitsReply{err: limitsChanged()})
		close(a.published.gone)
	}
}

func (a *quotaActor) ask(self *actor.PID) {
	q, id := a.quotas, a.tenant
	q.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), q.options.Timeout)
		defer cancel()
		limits, err := q.source.Limits(ctx, id)
		q.system.Root.Send(self, &gotLimits{limits: limits, err: err})
	})
}

func (a *quotaActor) publish(m *gotLimits) {
	if m.err != nil {
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
