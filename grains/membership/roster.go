package membership

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// roster makes members out of views. It has no clock: a view comes with the
// times at which it was asked for and answered. It is of some moment between
// them, which are far apart when the query waited for a change, or this process
// was stopped. So what a view shows is new at its answer, and only a view that
// was asked for after a time of grace judges its end. Used by the watch only.
type roster struct {
	self  entry
	grace time.Duration

	known map[string]*knownMember // by node id, without this node
	// since is when the unbroken run of views began in which this node lives.
	// Zero: the last view did not show it.
	since time.Time
}

type knownMember struct {
	entry
	lost time.Time // when the first view without it was answered; zero: not lost
}

// verdict is what a view led to.
type verdict struct {
	changed bool
	own     ownState
	// again is when a view has to be asked for next, for a lost member's sake.
	again time.Time
}

// ownState is how a view shows this node's own registration.
type ownState uint8

const (
	ownAbsent   ownState = iota // not there, or another process's
	ownCritical                 // there, its check expired
	ownLive
)

func newRoster(self entry, grace time.Duration) *roster {
	return &roster{self: self, grace: grace, known: map[string]*knownMember{}}
}

// interrupted tells that Consul could not be asked: the time of grace of those
// it lost begins anew.
func (r *roster) interrupted() { r.since = time.Time{} }

// merge takes in a view.
func (r *roster) merge(seen view) verdict {
	var v verdict
	best := map[string]entry{}
	for _, e := range seen.entries {
		if e.NodeID == r.self.NodeID {
			if e.instance == r.self.instance {
				v.own = ownCritical
				if e.live() {
					v.own = ownLive
				}
			}
			continue
		}
		if old, ok := best[e.NodeID]; !ok || r.better(e, old) {
			best[e.NodeID] = e
		}
	}
	switch {
	case v.own != ownLive:
		r.since = time.Time{}
	case r.since.IsZero():
		r.since = seen.answered
	}
	for id, e := range best {
		if e.live() && r.admit(id, e) {
			v.changed = true
		}
	}
	for id, k := range r.known {
		e, ok := best[id]
		if ok && e.live() {
			continue
		}
		if ok && e.leaving && e.instance == k.instance || r.expired(k, seen.asked) {
			delete(r.known, id)
			v.changed = true
			continue
		}
		if k.lost.IsZero() {
			k.lost, k.Lost, v.changed = seen.answered, true, true
		}
		if end := r.end(k); !end.IsZero() && (v.again.IsZero() || end.Before(v.again)) {
			v.again = end
		}
	}
	return v
}

// admit makes a live registration a member and tells whether that is news.
func (r *roster) admit(id string, e entry) bool {
	k, ok := r.known[id]
	if ok && k.Member == e.Member {
		k.entry, k.lost = e, time.Time{}
		return false
	}
	r.known[id] = &knownMember{entry: e}
	return true
}

// end is when a lost member's time of grace is over, zero while it does not run.
func (r *roster) end(k *knownMember) time.Time {
	if r.since.IsZero() {
		return time.Time{}
	}
	if k.lost.Before(r.since) {
		return r.since.Add(r.grace)
	}
	return k.lost.Add(r.grace)
}

func (r *roster) expired(k *knownMember, asked time.Time) bool {
	end := r.end(k)
	return !k.lost.IsZero() && !end.IsZero() && !asked.Before(end)
}

// better tells which of two registrations of one node speaks for it: the live
// one, then the one with the higher number (a wiped node's second life), then
// the one that is known, then any, but always the same.
func (r *roster) better(a, b entry) bool {
	if a.live() != b.live() {
		return a.live()
	}
	if a.Number != b.Number {
		return a.Number > b.Number
	}
	if k, ok := r.known[a.NodeID]; ok && (a.instance == k.instance) != (b.instance == k.instance) {
		return a.instance == k.instance
	}
	return a.instance < b.instance
}

// members are the members by number, this node among them whatever Consul says.
func (r *roster) members() []Member {
	all := []Member{r.self.Member}
	for _, k := range slices.SortedFunc(maps.Values(r.known), func(a, b *knownMember) int { return cmp.Compare(a.NodeID, b.NodeID) }) {
		all = append(all, k.Member)
	}
	slices.SortStableFunc(all, func(a, b Member) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// rivals finds a process that lives under this node's id. A registration looks
// alive for up to patience after its process died, so only one that outlives
// that is a rival.
type rivals struct {
	patience time.Duration
	seen     map[string]time.Time // by instance: when the first view that showed it alive was answered
}

// judge looks for rivals of self in a view. pending has yet to outlive
// patience, which ends at until; rival did. One at self's own address is this node before its restart, as no two can listen there;
// unless strict, which is for a node that was registered already.
func (r *rivals) judge(self entry, v view, strict bool) (pending, rival *entry, until time.Time) {
	seen := map[string]time.Time{}
	for i, e := range v.entries {
		if e.NodeID != self.NodeID || e.instance == self.instance || !e.live() || e.Address == self.Address && !strict {
			continue
		}
		first, ok := r.seen[e.instance]
		if !ok {
			first = v.answered
		}
		seen[e.instance] = first
		if end := first.Add(r.patience); v.asked.Before(end) {
			pending, until = &v.entries[i], end
		} else {
			rival = &v.entries[i]
		}
	}
	r.seen = seen
	return pending, rival, until
}

// interrupted tells that Consul could not be asked: checks may not have
// expired that should have.
func (r *rivals) interrupted() { r.seen = nil }
