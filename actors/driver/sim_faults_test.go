package driver_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/hivehub/waggle/actors/driver"
)

// nemesis does something bad now and then until the world is healed.
func (w *world) nemesis() {
	w.after(w.between(w.faultEvery/2, w.faultEvery*3/2), func() {
		if w.healed {
			return
		}
		faults := []func(*node){(*node).crash, (*node).failDisk, (*node).failDisk, (*node).slowDisk, (*node).pause, (*node).skewClock, powerCut}
		if w.plan.nodes > 1 {
			faults = append(faults, isolate, isolate, lossy, handOver, reset)
		}
		if w.moving {
			faults = append(faults, rebalance, rebalance, rebalance, rebalance, wipe, wipe)
		}
		faults[w.rng.IntN(len(faults))](w.nodes[w.rng.IntN(len(w.nodes))])
		w.nemesis()
	})
}

// failDisk lets the disk fail at one of its next operations: the process ends
// in the middle of a flush or of a checkpoint, or soon after its next start.
func (n *node) failDisk() {
	at := 1 + n.w.rng.IntN(12)
	n.w.note(n.id, 0, "disk will fail", uint64(at))
	n.disk.FailAt(at, errDisk)
}

func (n *node) slowDisk() {
	n.w.totals.SlowDisks++
	n.slow = n.w.now + n.w.between(200*time.Millisecond, 4*time.Second)
	n.w.note(n.id, 0, "slow disk until", uint64(n.slow.Milliseconds()))
}

// pause stops the process for a while, as SIGSTOP does.
func (n *node) pause() {
	n.w.totals.Pauses++
	n.paused = n.w.now + n.w.between(100*time.Millisecond, 5*time.Second)
	n.w.note(n.id, 0, "paused until", uint64(n.paused.Milliseconds()))
}

// skewClock lets a node's time run at 3 to 1/5 times its speed for a while: a
// leader that is cut off then goes on believing that it leads.
func (n *node) skewClock() {
	n.w.totals.SkewedClocks++
	n.tempo = 33 + n.w.rng.IntN(468)
	until := n.w.between(time.Second, 10*time.Second)
	n.w.note(n.id, 0, "clock skewed until", uint64((n.w.now + until).Milliseconds()), uint64(n.tempo))
	n.w.after(until, func() { n.tempo = 100 })
}

// powerCut takes every node at once.
func powerCut(one *node) {
	for _, n := range one.w.nodes {
		n.crash()
	}
}

// isolate cuts a node off for a while, in both directions or in one; more often
// than not it is one that leads.
func isolate(n *node) {
	w := n.w
	for _, leader := range w.nodes {
		if leader.leads() && w.chance(50) {
			n = leader
		}
	}
	w.totals.Partitions++
	if w.chance(50) {
		n.skewClock()
	}
	in, out := w.chance(75), w.chance(75)
	for _, other := range w.nodes {
		if other != n {
			w.network.cut[[2]int{n.id, other.id}] = out || !in
			w.network.cut[[2]int{other.id, n.id}] = in
		}
	}
	until := w.between(300*time.Millisecond, 6*time.Second)
	w.note(n.id, 0, "cut off until", uint64((w.now + until).Milliseconds()))
	w.after(until, func() {
		for _, other := range w.nodes {
			delete(w.network.cut, [2]int{n.id, other.id})
			delete(w.network.cut, [2]int{other.id, n.id})
		}
	})
}

func lossy(n *node) {
	n.w.totals.Lossy++
	n.w.network.lossy = n.w.now + n.w.between(500*time.Millisecond, 6*time.Second)
	n.w.note(0, 0, "lossy network until", uint64(n.w.network.lossy.Milliseconds()))
}

// handOver transfers the leadership of a group, wherever that is, to anybody.
func handOver(n *node) {
	for _, leader := range n.w.nodes {
		for m := range leader.present() {
			if s := m.driver.Status(); s.Role == driver.Leader && len(s.Voters) > 1 && leader.paused <= n.w.now && n.w.chance(50) {
				m.handOver(s, s.Voters[:1], 100)
			}
		}
	}
}

// heal ends all faults. What is down restarts by itself.
func (w *world) heal() {
	w.healed = true
	w.note(0, 0, "healed")
	clear(w.network.cut)
	w.network.lossy = 0
	for _, n := range w.nodes {
		n.slow, n.paused, n.tempo = 0, min(n.paused, w.now), 100
		n.disk.FailAt(0, nil)
	}
	w.replaceLost()
}

// settled reports whether every client has what it wants and every replica has
// applied the whole history.
func (w *world) settled() bool { return w.unsettled() == "" }

func (w *world) unsettled() string {
	for _, n := range w.nodes {
		if !n.up {
			return fmt.Sprintf("node %d is down", n.id)
		}
		for i, h := range w.histories {
			m, wanted := n.members[i], h.desired.on(n)
			if (m != nil) != (wanted != 0) || n.places[i].busy {
				return fmt.Sprintf("node %d group %d: wanted is %x, there is %v", n.id, h.group, wanted, m.describe())
			}
			if m != nil && !m.settled() {
				return fmt.Sprintf("node %d group %d is not at %d: %v", n.id, h.group, h.last(), m.describe())
			}
		}
	}
	for _, c := range w.clients {
		if c.busy() {
			return fmt.Sprintf("tenant %s of group %d waits", c.tenant, c.history.group)
		}
	}
	return ""
}

// settled reports whether the replica has applied everything, among the members
// that are desired.
func (m *member) settled() bool {
	s, want := m.driver.Status(), m.history.desired
	at, _ := m.partition.Applied()
	return at == m.history.last() && s.Pending == 0 && !s.Joint() && len(s.Learners) == 0 &&
		len(s.Voters) == len(want.replicas) && slices.Contains(s.Voters, m.replica)
}

func (m *member) describe() string {
	if m == nil {
		return "nothing"
	}
	at, _ := m.partition.Applied()
	return fmt.Sprintf("replica %x at %d, %+v", m.replica, at, m.driver.Status())
}
