package actors

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

const (
	// reconcileTicks is how often a leader compares its group with its placement.
	reconcileTicks = 5
	// steadyRounds is how many such rounds the preferred leader must have been
	// ready before leadership goes to it: one that has just come back has other
	// things to do.
	steadyRounds = 6
	// caughtUpEntries is how far behind a learner may be that becomes a voter.
	caughtUpEntries = 128
)

// move is one step of a group toward its placement: a change of its members,
// or another leader.
type move struct {
	change   *raftpb.ConfChangeV2
	transfer uint64
}

// nextMove decides the next step from what the leader knows. It is a function
// of its arguments. The order of the steps is the safe one: learners that are
// of no use leave, because they may be in the way on their nodes; new replicas
// join as learners and catch up; all voters change in one joint step; and then
// those that were voters leave.
func nextMove(want []hubsvc.Replica, s driver.Status) move {
	if s.Joint() || s.Transferee != 0 || len(want) == 0 {
		return move{}
	}
	want = present(want, s)
	var all, voters []uint64
	for _, r := range want {
		all = append(all, uint64(r.ID))
		if !r.Learner {
			voters = append(voters, uint64(r.ID))
		}
	}
	if useless := without(s.Learners, all); len(useless) > 0 {
		return move{change: changeOf(raftpb.ConfChangeRemoveNode, useless[0])}
	}
	if add := without(all, slices.Concat(s.Voters, s.Learners)); len(add) > 0 {
		return move{change: changeOf(raftpb.ConfChangeAddLearnerNode, add[0])}
	}
	missing, extra := without(voters, s.Voters), without(s.Voters, voters)
	if len(missing)+len(extra) > 0 {
		return voterMove(voters, missing, extra, s)
	}
	return move{}
}

// present puts in place of a wanted replica the voter that is on its node,
// whatever its id: a node that is wanted again before it was left has the
// replica that it had, and cannot make another one beside it.
func present(want []hubsvc.Replica, s driver.Status) []hubsvc.Replica {
	want = slices.Clone(want)
	for i, r := range want {
		for _, v := range s.Voters {
			if memberOf(v) == r.ID.Member() {
				want[i].ID = hubsvc.ReplicaID(v)
			}
		}
	}
	return want
}

// voterMove changes all voters in one joint step, once all of them have caught
// up, those that vote already too: a change to voters who are away would be the
// last one. A leader that is to go hands over first, if it can.
func voterMove(voters, missing, extra []uint64, s driver.Status) move {
	for _, id := range voters {
		if id != s.Replica && !caughtUp(id, s) {
			return move{}
		}
	}
	if slices.Contains(extra, s.Replica) {
		for _, id := range voters {
			if slices.Contains(s.Voters, id) {
				return move{transfer: id}
			}
		}
	}
	change := &raftpb.ConfChangeV2{Transition: raftpb.ConfChangeTransitionJointImplicit.Enum()}
	for _, id := range missing {
		change.Changes = append(change.Changes, changeOf(raftpb.ConfChangeAddNode, id).Changes...)
	}
	for _, id := range extra {
		change.Changes = append(change.Changes, changeOf(raftpb.ConfChangeAddLearnerNode, id).Changes...)
	}
	return move{change: change}
}

// preferred is the replica that should lead instead of this one and is fit to:
// 0 when there is none.
func preferred(want []hubsvc.Replica, s driver.Status) uint64 {
	if len(want) == 0 || s.Joint() || s.Transferee != 0 {
		return 0
	}
	id := uint64(want[0].ID)
	if id == s.Replica || !slices.Contains(s.Voters, id) || !caughtUp(id, s) {
		return 0
	}
	return id
}

func caughtUp(id uint64, s driver.Status) bool {
	return slices.ContainsFunc(s.Members, func(m driver.Member) bool {
		return m.Replica == id && m.Active && m.Flow == driver.Replicating && m.Match+caughtUpEntries >= s.Commit
	})
}

func without(all, some []uint64) (rest []uint64) {
	for _, id := range all {
		if !slices.Contains(some, id) {
			rest = append(rest, id)
		}
	}
	return rest
}

func changeOf(kind raftpb.ConfChangeType, id uint64) *raftpb.ConfChangeV2 {
	return &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: kind.Enum(), NodeId: &id}}}
}

// reconcile takes the group one step toward where it should be.
func (a *replicaActor) reconcile() {
	a.handing.ticks++
	if a.ticks++; a.ticks%reconcileTicks != 0 || a.Err() != nil || !a.Leads() || a.handing.to != 0 {
		return
	}
	s := a.driver.Status()
	a.noteActive(s.Members)
	a.report.Store(&s)
	source := a.node.options.Cluster.Topology
	if source == nil {
		return
	}
	want, ok := source.Topology().Placement(a.group)
	if !ok {
		return
	}
	m := nextMove(want.Replicas, s)
	switch {
	case m.change != nil:
		a.steady = 0
		a.driver.ProposeConfChange(m.change, a.noteChange)
	case m.transfer != 0:
		a.transferTo(m.transfer)
	default:
		a.preferLeader(want.Replicas, s)
	}
}

// noteActive counts a member as active that was so a round ago: raft forgets
// who is active with every election timeout, right before one of two rounds.
func (a *replicaActor) noteActive(members []driver.Member) {
	before := a.active
	a.active = nil
	for i := range members {
		m := &members[i]
		if m.Active {
			a.active = append(a.active, m.Replica)
		}
		m.Active = m.Active || slices.Contains(before, m.Replica)
	}
}

// noteChange is told how a change of members ended. One that was refused is
// tried again, if it is still wanted.
func (a *replicaActor) noteChange(o collection.Outcome) {
	if o.Err != nil && a.Err() == nil {
		a.node.log.Debug("a change of members waits", "group", a.group, "err", o.Err)
	}
}

// preferLeader hands over to the preferred leader when that has been fit for a
// while.
func (a *replicaActor) preferLeader(want []hubsvc.Replica, s driver.Status) {
	to := preferred(want, s)
	if to == 0 {
		a.steady = 0
		return
	}
	if a.steady++; a.steady >= steadyRounds && a.node.network.Connected(memberOf(to)) {
		a.steady = 0
		a.transferTo(to)
	}
}
