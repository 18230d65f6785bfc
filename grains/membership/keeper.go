package membership

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// keeper is the state of the goroutine that keeps the node registered.
type keeper struct {
	*Membership
	rivals  rivals
	claimed time.Time // when the birth key was last found right
}

func (m *Membership) keep(ctx context.Context) {
	k := &keeper{Membership: m, rivals: rivals{patience: m.o.patience()}}
	every := m.o.TTL / 3
	p := pace{most: min(pauseMax, every)}
	n := news{
		log:     m.o.Logger.With("cluster", m.o.Cluster, "consul", m.o.Address),
		failing: "this node is not registered in Consul", ok: "this node is registered in Consul",
		last: "nothing yet",
	}
	for {
		err := k.settle(ctx)
		if ctx.Err() != nil {
			return
		}
		m.mu.Lock()
		m.mu.keeper.err = err
		m.changed()
		m.mu.Unlock()
		if n.tell(err) && (errors.Is(err, ErrForeign) || errors.Is(err, ErrClash)) {
			m.o.OnForeign(err)
		}
		wait := every
		if err != nil {
			wait = p.fail()
		} else {
			p.reset()
		}
		if !sleep(ctx, wait, m.wake) {
			return
		}
	}
}

// settle does what there is to do now: it refreshes the registration, or makes
// it. A node that is registered stays so while the birth key is foreign: its
// cluster may well run on, and the others' lists are not to suffer.
func (k *keeper) settle(ctx context.Context) error {
	registered := k.registered()
	if registered {
		switch err := k.consul.refresh(ctx, k.self); {
		case gone(err):
			k.o.Logger.Warn("Consul lost this node's registration, it registers again", "cluster", k.o.Cluster)
			k.lost()
			registered = false
		case err != nil:
			return err
		}
	}
	if !registered || time.Since(k.claimed) >= birthEvery {
		if err := k.consul.claim(ctx, k.self.cluster); err != nil {
			return err
		}
		k.claimed = time.Now()
	}
	if registered {
		return nil
	}
	return k.register(ctx)
}

// register registers the node unless another process has its id.
func (k *keeper) register(ctx context.Context) error {
	v, err := k.consul.list(ctx, k.self.cluster, 0, 0)
	if err != nil {
		k.rivals.interrupted()
		return err
	}
	k.mu.Lock()
	ever := k.mu.keeper.ever
	k.mu.Unlock()
	switch pending, rival, _ := k.rivals.judge(k.self, v, ever); {
	case rival != nil:
		return k.consul.clash(k.self, rival)
	case pending != nil:
		return fmt.Errorf("node %q at %s: %w", pending.NodeID, pending.Address, errWaiting)
	}
	if err := k.consul.register(ctx, k.self, k.o.TTL); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.keeper = keeperState{registered: true, ever: true, at: time.Now()}
	return nil
}

func (k *keeper) registered() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.keeper.registered
}

// lost takes note that the registration is gone.
func (m *Membership) lost() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.keeper.registered = false
}
