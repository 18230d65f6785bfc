package driver

import (
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/collection"
)

// ProposeConfChange proposes a change of members; its Context belongs to the
// driver. Done is called as for a Proposal, with a zero outcome when the
// change has taken effect here. A change while another one is under way is
// refused with failed_precondition, and one that makes no sense for the present
// members (no voter left, two voters changed at once and not jointly) with
// invalid_argument.
func (d *Driver) ProposeConfChange(c *raftpb.ConfChangeV2, done func(collection.Outcome)) {
	err := d.refuse(0)
	if err == nil {
		err = d.permit(c)
	}
	if err != nil {
		done(collection.Outcome{Err: err})
		return
	}
	defer d.guard()
	d.flush() // what was proposed before is before it in the log
	p := &d.proposals
	w := p.admit(0, done)
	c.Context = binary.LittleEndian.AppendUint64(nil, w.number)
	data, err := proto.Marshal(c)
	d.must(err)
	entries := []*raftpb.Entry{{Type: raftpb.EntryConfChangeV2.Enum(), Data: data}}
	if !d.append([]waiter{w}, entries) {
		done(collection.Outcome{Err: d.notLeader()})
	} else if entries[0].GetType() != raftpb.EntryConfChangeV2 { // raft put an empty entry in its place
		p.logged = p.logged[:len(p.logged)-1]
		done(collection.Outcome{Err: collection.Errorf(collection.FailedPrecondition, "the members cannot be changed so now; a change may be under way")})
	}
}

// permit refuses what raft would take into the log and then panic over, on
// every replica. What it does refuse by itself is left to it.
func (d *Driver) permit(c *raftpb.ConfChangeV2) error {
	if len(d.members.GetVotersOutgoing()) > 0 || c.LeaveJoint() {
		return nil
	}
	changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	var err error
	changer.Tracker.Config, changer.Tracker.Progress, err = confchange.Restore(changer, d.members)
	d.must(err)
	if leave, joint := c.EnterJoint(); joint {
		_, _, err = changer.EnterJoint(leave, c.GetChanges()...)
	} else {
		_, _, err = changer.Simple(c.GetChanges()...)
	}
	if err != nil {
		return &collection.Error{Code: collection.InvalidArgument, Message: "the members cannot be changed so", Err: err}
	}
	return nil
}

// changeMembers makes a committed change effective. Its commit index must come
// to the disk, see Status.Durable.
func (d *Driver) changeMembers(e *raftpb.Entry) (number uint64, confState []byte) {
	if e.GetType() != raftpb.EntryConfChangeV2 {
		panic(fmt.Sprintf("BUG: group %d: entry %d is a %v, which nobody proposes", d.group, e.GetIndex(), e.GetType()))
	}
	c := &raftpb.ConfChangeV2{}
	d.must(proto.Unmarshal(e.GetData(), c))
	if len(c.GetContext()) == 8 { // raft's own, which leaves a joint configuration, has none
		number = binary.LittleEndian.Uint64(c.GetContext())
	}
	d.members, d.membersAt = d.raft.ApplyConfChange(c), e.GetIndex()
	d.reads.again()
	confState, err := proto.Marshal(d.members)
	d.must(err)
	return number, confState
}

// leaveJoint lets a leader that is stuck between two sets of voters go on. Raft
// proposes the end of a joint change when an entry was applied, and drops it
// while leadership is being handed over. When that comes to nothing, and nobody
// writes, there is no other entry: so there is an empty one.
func (d *Driver) leaveJoint() {
	if !d.members.GetAutoLeave() || len(d.appends.out) > 0 {
		return
	}
	s := d.raft.BasicStatus()
	if s.RaftState == raft.StateLeader && s.LeadTransferee == 0 && d.Matched(d.replica) == s.Applied {
		d.append(nil, []*raftpb.Entry{{}})
	}
}

// TransferLeader hands leadership over to a voter, once that has the whole log.
// Until then proposals are refused as by a replica that does not lead. It is
// given up after an election timeout, and does nothing on a replica that does
// not lead.
func (d *Driver) TransferLeader(to uint64) {
	if d.failed != nil || d.raft.BasicStatus().RaftState != raft.StateLeader || !slices.Contains(d.members.GetVoters(), to) {
		return
	}
	defer d.guard()
	d.flush() // what was proposed before goes with it
	d.raft.TransferLeader(to)
}

// ForgetLeader tells that the leader is believed to be gone: from now on this
// replica grants a pre-vote, to itself too (see Campaign), without waiting out
// the election timeout. A leader that still lives makes itself known again.
func (d *Driver) ForgetLeader() {
	if d.failed != nil {
		return
	}
	defer d.guard()
	d.must(d.raft.ForgetLeader())
}

// Unreachable tells that messages to a member were lost on their way: the
// leader finds out again where it is.
func (d *Driver) Unreachable(to uint64) {
	if d.failed != nil {
		return
	}
	defer d.guard()
	d.raft.ReportUnreachable(to)
}
