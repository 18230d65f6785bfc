package membership

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Membership keeps this node registered and knows the members. Safe for
// concurrent use.
type Membership struct {
	o      Options
	self   entry
	consul *consul
	wake   chan struct{} // tells the keeper to look at once
	cancel context.CancelFunc
	done   chan struct{} // closed when both goroutines have ended

	mu struct {
		sync.Mutex
		members []Member
		keeper  keeperState
		watched bool  // the last query for members succeeded
		rival   error // of the watch
		news    chan struct{}
	}
}

// keeperState is what the keeper's work came to. The watch may only take
// registered back.
type keeperState struct {
	registered bool
	ever       bool      // registered, since Start
	at         time.Time // of the registration
	err        error     // of the last try; nil before the first
}

// Start begins to register the node and to watch the members, and returns at
// once; Claim waits for Consul's answer. It fails only when the options are
// wrong, and then with all that is.
func Start(o Options) (*Membership, error) {
	o = o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	c, err := newConsul(o)
	if err != nil {
		return nil, err
	}
	m := &Membership{o: o, self: o.self(), consul: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
	m.self.instance = newInstance()
	m.mu.members = []Member{m.self.Member}
	m.mu.news = make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	var wg sync.WaitGroup
	wg.Go(func() { m.keep(ctx) })
	wg.Go(func() { m.watch(ctx) })
	go func() {
		wg.Wait()
		c.close()
		close(m.done)
	}()
	return m, nil
}

func newInstance() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Members returns the last known members by number, this node always among
// them. It may be kept.
func (m *Membership) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.members)
}

// Healthy tells that Consul answers, and knows this node as a rightful member.
func (m *Membership) Healthy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.keeper.registered && m.mu.keeper.err == nil && m.mu.watched && m.mu.rival == nil
}

// Claim waits until Consul has this node as a member of its cluster: the birth
// key made or found right, no other process under the node id, registered. It
// returns ErrForeign or ErrClash as soon as one of them is certain, and when
// ctx ends, what it waited for. A node whose process died less than a TTL ago
// and that comes back at another address waits for that TTL.
func (m *Membership) Claim(ctx context.Context) error {
	for {
		m.mu.Lock()
		k, news := m.mu.keeper, m.mu.news
		m.mu.Unlock()
		if errors.Is(k.err, ErrForeign) || errors.Is(k.err, ErrClash) {
			return k.err
		}
		if k.registered && k.err == nil {
			return nil
		}
		select {
		case <-news:
		case <-m.done:
			return errors.New("membership was stopped")
		case <-ctx.Done():
			if k.err == nil {
				return fmt.Errorf("consul at %s: no answer yet: %w", m.o.Address, ctx.Err())
			}
			return fmt.Errorf("%w (%w)", k.err, ctx.Err())
		}
	}
}

// Stop ends the work, and leaves the registration to expire. It returns when
// both goroutines have ended, or ctx.
func (m *Membership) Stop(ctx context.Context) error {
	m.cancel()
	select {
	case <-m.done:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.watched = false
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave ends the work as Stop does, tells the others that this node leaves,
// stays listed for half a second so that all of them see it, and deregisters.
// Each call is tried once; after an error the others notice by the TTL.
// It does nothing more for a node that is not registered.
func (m *Membership) Leave(ctx context.Context) error {
	if err := m.Stop(ctx); err != nil {
		return err
	}
	defer m.consul.close()
	m.mu.Lock()
	registered := m.mu.keeper.registered
	m.mu.keeper.registered = false
	m.mu.Unlock()
	if !registered {
		return nil
	}
	e := m.self
	e.leaving = true
	err := m.consul.register(ctx, e, m.o.TTL)
	if err == nil && !sleep(ctx, leaveLinger, nil) {
		return ctx.Err()
	}
	return errors.Join(err, m.consul.deregister(ctx, m.self))
}

// changed wakes who waits in Claim. Call it with mu held.
func (m *Membership) changed() {
	close(m.mu.news)
	m.mu.news = make(chan struct{})
}
