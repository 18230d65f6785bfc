package membership

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// watcher is the state of the goroutine that watches the members.
type watcher struct {
	*Membership
	roster  *roster
	rivals  rivals
	foreign map[string]bool // instances of other clusters that were reported
	broken  bool            // the last view had registrations that are not ours
	again   time.Time       // when to ask next at the latest; zero: no hurry
}

func (m *Membership) watch(ctx context.Context) {
	w := &watcher{
		Membership: m, roster: newRoster(m.self, m.o.Grace), rivals: rivals{patience: m.o.patience()},
		foreign: map[string]bool{},
	}
	p := pace{most: pauseMax}
	n := news{
		log:     m.o.Logger.With("cluster", m.o.Cluster, "consul", m.o.Address),
		failing: "the members stay as they are, Consul does not list them", ok: "Consul lists the members",
		last: "nothing yet",
	}
	var index uint64
	for {
		wait := watchWait
		if !w.again.IsZero() {
			// A view judges by the time at which it was asked for, so the one
			// that waited until then is followed by another, at once.
			if wait = min(wait, time.Until(w.again)); wait <= 0 {
				index = 0
			}
		}
		v, err := m.consul.list(ctx, m.self.cluster, index, wait)
		if ctx.Err() != nil {
			return
		}
		n.tell(err)
		pause := time.Until(v.asked.Add(pauseMin)) // a busy index must not make this a loop without rest
		if err == nil {
			index = v.index
			p.reset()
			w.take(v)
		} else {
			index = 0
			pause = p.fail()
			w.interrupted()
		}
		if !sleep(ctx, pause, nil) {
			return
		}
	}
}

// interrupted takes note that Consul did not answer.
func (w *watcher) interrupted() {
	w.again = time.Time{}
	w.roster.interrupted()
	w.rivals.interrupted()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.watched = false
}

// take takes in a view.
func (w *watcher) take(v view) {
	w.strangers(v)
	verdict := w.roster.merge(v)
	w.again = verdict.again
	w.rival(v)
	members := w.roster.members()

	w.mu.Lock()
	w.mu.watched = true
	w.mu.members = members
	k := &w.mu.keeper
	// A view from before the registration tells nothing about it, and when a
	// fresh one does not help, another try may wait.
	stale := !k.registered || v.asked.Before(k.at.Add(w.o.TTL/3))
	if !stale && verdict.own == ownAbsent {
		k.registered = false
	}
	w.mu.Unlock()

	if !stale && verdict.own != ownLive {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	if verdict.changed {
		w.o.OnChange(slices.Clone(members))
	}
}

// rival looks for another process under this node's id.
func (w *watcher) rival(v view) {
	w.mu.Lock()
	registered, before := w.mu.keeper.registered, w.mu.rival
	w.mu.Unlock()
	var err error
	if registered { // else the keeper looks
		pending, rival, until := w.rivals.judge(w.self, v, true)
		if pending != nil && (w.again.IsZero() || until.Before(w.again)) {
			w.again = until
		}
		if rival != nil {
			err = w.consul.clash(w.self, rival)
		}
	}
	w.mu.Lock()
	w.mu.rival = err
	w.mu.Unlock()
	if err != nil && before == nil {
		w.o.Logger.Error("two nodes have one id", "err", err)
		w.o.OnForeign(err)
	}
}

// strangers reports registrations under this cluster's name that are not its.
func (w *watcher) strangers(v view) {
	seen := map[string]bool{}
	for _, e := range v.foreign {
		seen[e.instance] = true
		if w.foreign[e.instance] {
			continue
		}
		err := fmt.Errorf("consul at %s: %w: node %q at %s is of %q with id %s, this node of %s",
			w.o.Address, ErrForeign, e.NodeID, e.Address, w.o.Cluster, e.cluster, w.self.cluster)
		w.o.Logger.Error("a node of another cluster of this name", "err", err)
		w.o.OnForeign(err)
	}
	w.foreign = seen
	if broken := len(v.broken) > 0; broken != w.broken {
		w.broken = broken
		if broken {
			w.o.Logger.Warn("a registration that is not a node's", "service", w.consul.service(), "err", v.broken[0])
		}
	}
}
