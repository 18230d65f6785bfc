package driver_test

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// desired is where the replicas of a group are to be, the preferred leader
// first: what the system group would hold. Nodes hear of it late.
type desired struct {
	version  int
	replicas []uint64
}

// on returns the desired replica of a node, 0 = none.
func (d desired) on(n *node) uint64 {
	for _, replica := range d.replicas {
		if replica>>32 == n.number {
			return replica
		}
	}
	return 0
}

// newReplica makes an id that was never in use.
func (w *world) newReplica(n *node) uint64 {
	w.serials++
	return n.number<<32 | w.serials
}

// move changes where a group is to be; nodes hear of it at different times.
func (w *world) move(h *history, replicas []uint64) {
	w.totals.Moves++
	h.desired = desired{h.desired.version + 1, replicas}
	w.note(0, h.group, "desired", replicas[0], uint64(len(replicas)))
	now := h.desired
	for _, n := range w.nodes {
		w.after(w.between(0, time.Second), func() {
			if p := &n.places[h.group-1]; p.desired.version < now.version {
				p.desired = now
			}
		})
	}
}

// rebalance wants a group elsewhere: on one node, on three, or on others.
func rebalance(n *node) {
	w := n.w
	h := w.histories[w.rng.IntN(len(w.histories))]
	nodes := slices.Clone(w.nodes)
	w.rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	size := 3
	if w.chance(25) {
		size = 1
	}
	if w.chance(50) { // change little
		slices.SortStableFunc(nodes, func(a, b *node) int {
			return min(1, int(h.desired.on(b))) - min(1, int(h.desired.on(a)))
		})
		if size == 3 && len(nodes) > 3 {
			i := w.rng.IntN(3)
			nodes[i], nodes[3] = nodes[3], nodes[i]
		}
	}
	var replicas []uint64
	for _, n := range nodes[:size] {
		replica := h.desired.on(n)
		if replica == 0 {
			replica = w.newReplica(n)
		}
		replicas = append(replicas, replica)
	}
	w.move(h, replicas)
}

// replaceLost gives every group that wants a replica on a disk that is gone a
// new one, there or elsewhere.
func (w *world) replaceLost() {
	for _, h := range w.histories {
		replicas := slices.Clone(h.desired.replicas)
		changed := false
		for i, replica := range replicas {
			if w.home(replica) != nil {
				continue
			}
			free := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool {
				return slices.ContainsFunc(replicas, func(r uint64) bool { return r>>32 == n.number })
			})
			replicas[i], changed = w.newReplica(free[w.rng.IntN(len(free))]), true
		}
		if changed {
			w.move(h, replicas)
		}
	}
}

// govern is the loop with which a node follows what is desired: it makes the
// replicas that are wanted here, asks leave for the others, and drives the
// groups that it leads.
func (n *node) govern() {
	n.after(n.w.between(50*time.Millisecond, 400*time.Millisecond), func() {
		for i, h := range n.w.histories {
			p := &n.places[i]
			wanted, m := p.desired.on(n), n.members[i]
			switch {
			case p.busy:
			case m == nil && wanted != 0:
				n.makeReplica(h, wanted)
			case m != nil && m.replica != wanted:
				m.askToGo()
			}
			if m != nil {
				m.report()
				m.reconcile(p.desired.replicas)
			}
		}
		n.govern()
	})
}

// makeReplica makes an empty replica, which waits for an image.
func (n *node) makeReplica(h *history, replica uint64) {
	p := &n.places[h.group-1]
	p.busy = true
	n.queue = append(n.queue, queued{driver.Joining(h.group, replica), func() {
		p.busy = false
		m, err := openMember(n, h)
		if err != nil {
			n.die(err)
			return
		}
		n.w.totals.Joined++
		n.w.note(n.id, h.group, "joins as", replica>>32, replica&0xffffffff)
		n.members[h.group-1] = m
		m.start()
	}})
	n.kick()
}

// askToGo asks the leader whether this replica's data may go.
func (m *member) askToGo() {
	w, g := m.node.w, m.history.group
	for _, n := range w.nodes {
		if !n.up || n.members[g-1] == nil || n.members[g-1].driver.Status().Role != driver.Leader {
			continue
		}
		w.network.call(m.node, n, func() {
			leader := n.members[g-1]
			if leader == nil {
				return
			}
			leader.mayGo(m.replica, func() {
				w.network.call(n, m.node, func() {
					if m.node.members[g-1] == m {
						m.remove()
					}
				})
			})
		})
	}
}

// mayGo calls yes when a replica is no member any more and every voter will
// remember that: until then a voter that restarts may need its vote. It is read
// like any other state, since a leader that is none any more knows nothing.
//
// A voter that is wanted no more and not heard from is not waited for: it may
// be dead, and the replica be in the way of the one that is to replace it.
// Should it live, it still counts the replica, which is as good as lost to it.
func (m *member) mayGo(replica uint64, yes func()) {
	if m.node.w.mutant == deleteTooEarly {
		if !slices.Contains(m.driver.Status().Voters, replica) {
			yes()
		}
		return
	}
	m.read(func() {
		s := m.driver.Status()
		if s.Role != driver.Leader || s.Joint() || slices.Contains(s.Voters, replica) || slices.Contains(s.Learners, replica) {
			return
		}
		m.reports[m.replica] = s.Durable
		excused := false
		for _, member := range s.Members {
			if member.Learner || m.reports[member.Replica] >= s.MembersIndex {
				continue
			}
			if member.Active || slices.Contains(present(m.place().desired.replicas, s), member.Replica) {
				return
			}
			excused = true
		}
		if excused {
			m.node.w.lost[replica] = true
		}
		yes()
	}, func(error) {})
}

// report tells the leader what this replica will remember.
func (m *member) report() {
	s := m.driver.Status()
	to := m.node.w.home(s.Leader)
	if to == nil || to == m.node {
		return
	}
	m.node.w.network.call(m.node, to, func() {
		if leader := to.members[m.history.group-1]; leader != nil {
			leader.reports[m.replica] = max(leader.reports[m.replica], s.Durable)
		}
	})
}

// remove takes the replica off the node: first the log forgets it, then the
// store goes.
func (m *member) remove() {
	n, g := m.node, m.history.group
	n.w.totals.Gone++
	n.w.note(n.id, g, "goes", m.replica>>32, m.replica&0xffffffff)
	m.gone = true
	m.driver.Fail(collection.Errorf(collection.Unavailable, "the replica has left this node"))
	n.members[g-1] = nil
	p := m.place()
	p.busy, p.replica = true, 0
	n.queue = append(n.queue, queued{nodelog.Append{Group: g, Remove: true}, func() {
		p.busy = false
		// Not all that the log does not name: another group's image may be waiting
		// for its switch.
		if err := n.disk.Remove(m.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.die(err)
		}
	}})
	n.kick()
	if n.w.chance(30) && !n.w.healed {
		n.w.after(n.w.between(0, 50*time.Millisecond), func() { wipe(n.w.nodes[n.w.rng.IntN(len(n.w.nodes))]) })
	}
}

// reconcile drives the group that this replica leads toward what is desired,
// one step at a time.
func (m *member) reconcile(want []uint64) {
	s := m.driver.Status()
	if s.Role != driver.Leader || s.Joint() || s.Transferee != 0 || m.changing {
		return
	}
	want = present(want, s)
	add := without(want, append(slices.Clone(s.Voters), s.Learners...))
	in, out := without(want, s.Voters), without(s.Voters, want)
	useless := without(s.Learners, want)
	switch {
	case len(useless) > 0: // first: one that was added in vain may be in the way on its node
		m.change(nil, nil, useless)
	case len(add) > 0:
		m.change(nil, add, nil)
	case len(in)+len(out) > 0:
		if m.caughtUp(s, want) && !m.handOver(s, want, 30) {
			m.change(in, out, nil)
		}
	case want[0] != m.replica:
		m.handOver(s, want[:1], 30)
	}
}

// present puts in place of a wanted replica the voter that is on its node,
// whatever its id: a node that is wanted again before it was left has the
// replica that it had, and cannot make another one beside it.
func present(want []uint64, s driver.Status) []uint64 {
	want = slices.Clone(want)
	for _, voter := range s.Voters {
		for i := range want {
			if want[i]>>32 == voter>>32 {
				want[i] = voter
			}
		}
	}
	return want
}

// handOver transfers leadership to one of the wanted voters, now and then.
func (m *member) handOver(s driver.Status, want []uint64, percent int) bool {
	w := m.node.w
	for _, to := range want {
		if slices.Contains(want, m.replica) || !slices.Contains(s.Voters, to) || !w.chance(percent) {
			continue
		}
		w.totals.Transfers++
		w.note(m.node.id, m.history.group, "hands over to", to>>32)
		m.driver.TransferLeader(to)
		m.pump()
		return true
	}
	return false
}

// without returns the ids that are not among others.
func without(ids, others []uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(ids), func(id uint64) bool { return slices.Contains(others, id) })
}

// caughtUp reports whether everybody who is to vote is there and can: a change
// to voters who are dead would be the last one.
func (m *member) caughtUp(s driver.Status, want []uint64) bool {
	for _, member := range s.Members {
		if slices.Contains(want, member.Replica) && (member.Flow != driver.Replicating || !member.Active || member.Match+20 < s.Commit) {
			return false
		}
	}
	return true
}

// change proposes one change of members: new voters, learners (voters that are
// to be no more, or new), and who goes.
func (m *member) change(voters, learners, gone []uint64) {
	w, s := m.node.w, m.driver.Status()
	c := &raftpb.ConfChangeV2{}
	for kind, ids := range [][]uint64{raftpb.ConfChangeAddNode: voters, raftpb.ConfChangeRemoveNode: gone, raftpb.ConfChangeAddLearnerNode: learners} {
		for _, id := range ids {
			c.Changes = append(c.Changes, &raftpb.ConfChangeSingle{Type: raftpb.ConfChangeType(kind).Enum(), NodeId: &id})
		}
	}
	next := append(without(s.Voters, learners), voters...)
	p := &changeInFlight{term: s.Term, halves: [][]uint64{s.Voters, next}}
	m.history.inFlight = append(m.history.inFlight, p)
	w.note(m.node.id, m.history.group, "changes members to", uint64(len(next)), uint64(len(c.Changes)))
	m.changing = true
	before := len(s.Voters)
	m.driver.ProposeConfChange(c, func(o collection.Outcome) {
		m.changing = false
		if e := o.Err; e != nil {
			if collection.CodeOf(e) == collection.Unavailable || collection.CodeOf(e) == collection.FailedPrecondition {
				return
			}
			w.fail("node %d group %d: a change of members was answered %v", m.node.id, m.history.group, e)
		}
		switch {
		case len(voters) > 0 && len(next) == before:
			w.totals.Swaps++
		case len(next) > before:
			w.totals.Grown++
		case len(next) < before:
			w.totals.Shrunk++
		}
	})
	m.pump()
}

// changeInFlight is a change of members that was proposed: it may take effect
// until an entry of a later term was decided.
type changeInFlight struct {
	term   uint64
	halves [][]uint64
}

// wipe takes a node's disk for good, if what remains can go on by all that raft
// promises.
func wipe(n *node) {
	w := n.w
	if !w.moving || w.healed || !w.canLose(n) {
		return
	}
	w.totals.Wipes++
	w.note(n.id, 0, "wiped", n.number)
	n.crash()
	n.disk = disk.NewMem(w.rng.Uint64())
	if w.mutant == reuseReplica {
		return
	}
	n.join()
	w.after(w.between(0, 4*time.Second), w.replaceLost)
}

// canLose reports whether every set of voters that may still be counted has a
// majority without the node: the decided one, those of changes in flight or to
// come, and what each voter would begin with after a restart.
func (w *world) canLose(n *node) bool {
	for _, h := range w.histories {
		halves := append(slices.Clone(h.conf(h.last())), h.desired.replicas)
		for _, c := range h.inFlight {
			halves = append(halves, c.halves...)
		}
		for _, other := range w.nodes {
			p := other.places[h.group-1]
			if len(p.desired.replicas) > 0 {
				halves = append(halves, p.desired.replicas)
			}
			if p.replica != 0 && p.durable > 0 {
				halves = append(halves, h.conf(p.durable)...)
			}
		}
		for _, half := range halves {
			left := 0
			for _, replica := range half {
				if !w.lost[replica] && w.home(replica) != nil && replica>>32 != n.number {
					left++
				}
			}
			if len(half) > 0 && left < len(half)/2+1 {
				return false
			}
		}
	}
	return true
}
