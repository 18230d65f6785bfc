package driver_test

import (
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
)

// grown is a group that was born with one voter and has three.
func grown(t *testing.T) (one, two, three *replica) {
	t.Helper()
	one, two, three = born(t, 1, 1).lead(), joining(t, 2), joining(t, 3)
	for range 3 {
		one.propose("x")
		one.settle()
	}
	learners := one.change(nil, []uint64{2, 3}, nil)
	deliver(one, two, three)
	m := one.meta()
	one.Stored(m)
	for _, learner := range []*replica{two, three} {
		for len(one.images) == 0 {
			one.Tick()
			deliver(one, two, three)
		}
		slices.SortFunc(one.images, func(a, b driver.ImageOrder) int { return int(a.To) - int(b.To) })
		if !one.sendImage(learner, m) {
			t.Fatalf("the image at %d was refused: %+v", m.Applied, learner.Status())
		}
		deliver(one, two, three)
		one.ImageSent(learner.Status().Replica, true)
	}
	deliver(one, two, three)
	voters := one.change([]uint64{2, 3}, nil, nil)
	deliver(one, two, three)
	mustBe(t, learners, "")
	mustBe(t, voters, "")
	mustHave(t, []uint64{1, 2, 3}, nil, one, two, three)
	return one, two, three
}

func mustBe(t *testing.T, a *answer, text string) {
	t.Helper()
	if s := a.is(text, collection.OK, "", false); s != "" {
		t.Fatal(s)
	}
}

// mustHave fails unless all rs have these members, and for good.
func mustHave(t *testing.T, voters, learners []uint64, rs ...*replica) {
	t.Helper()
	for _, r := range rs {
		s := r.Status()
		if !slices.Equal(s.Voters, voters) || !slices.Equal(s.Learners, learners) || s.Joint() || s.Durable < s.MembersIndex {
			t.Fatalf("status %+v, want voters %v and learners %v", s, voters, learners)
		}
	}
}

func TestMembersGrowAndShrinkJointly(t *testing.T) {
	one, two, three := grown(t)
	last, _ := one.log.LastIndex()
	for _, m := range one.Status().Members {
		if m.Match != last || !m.Active || m.Learner || m.Flow != driver.Replicating {
			t.Fatalf("the leader at %d knows %+v", last, m)
		}
	}
	if one.Matched(2) != last || one.Matched(4) != 0 || two.Matched(3) != 0 || two.Status().Members != nil {
		t.Fatalf("matched %d of %d", one.Matched(2), last)
	}
	var conf raftpb.ConfState
	for _, e := range two.applied {
		if e.ConfState != nil {
			conf.Reset()
			if err := proto.Unmarshal(e.ConfState, &conf); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(conf.Voters, []uint64{1, 2, 3}) || len(conf.VotersOutgoing) != 0 {
		t.Fatalf("the last conf state applied is %v", &conf)
	}

	mustBeAfter := one.change(nil, []uint64{2, 3}, nil) // the leader stays alone
	deliver(one, two, three)
	mustBe(t, mustBeAfter, "")
	mustHave(t, []uint64{1}, []uint64{2, 3}, one, two, three)
	gone := one.change(nil, nil, []uint64{2, 3})
	deliver(one, two, three)
	mustBe(t, gone, "")
	mustHave(t, []uint64{1}, nil, one)
	alone := one.propose("alone")
	one.settle()
	mustBe(t, alone, "alone")
}

func TestDeadVoterIsSwappedInOneChange(t *testing.T) {
	one, two, _ := grown(t) // the third is dead from here on
	four := joining(t, 4)
	one.change(nil, []uint64{4}, nil)
	deliver(one, two, four)
	m := one.checkpoint()
	for len(one.images) == 0 {
		one.Tick()
		deliver(one, two, four)
	}
	if !one.sendImage(four, m) {
		t.Fatalf("the image was refused: %+v", four.Status())
	}
	deliver(one, two, four)
	one.ImageSent(4, true)
	swap := one.change([]uint64{4}, []uint64{3}, nil)
	deliver(one, two, four)
	mustBe(t, swap, "")
	mustHave(t, []uint64{1, 2, 4}, []uint64{3}, one, two, four)
	gone := one.change(nil, nil, []uint64{3})
	deliver(one, two, four)
	mustBe(t, gone, "")
	mustHave(t, []uint64{1, 2, 4}, nil, one, two, four)
}

// What raft would panic over when it is applied must not come into the log.
func TestSenselessChangesAreRefused(t *testing.T) {
	one, two, three := grown(t)
	for name, a := range map[string]*answer{
		"nobody left": one.change(nil, []uint64{1, 2, 3}, nil),
		"nobody here": one.change(nil, nil, []uint64{1, 2, 3}),
	} {
		if s := a.is(nil, collection.InvalidArgument, "", false); s != "" {
			t.Errorf("%s: %s", name, s)
		}
	}
	first, second := one.change(nil, []uint64{4}, nil), one.change(nil, []uint64{5}, nil)
	if s := second.is(nil, collection.FailedPrecondition, "", false); s != "" {
		t.Error(s)
	}
	follower := two.change(nil, []uint64{5}, nil)
	if s := follower.is(nil, collection.Unavailable, collection.ReasonNotLeader, false); s != "" {
		t.Error(s)
	}
	deliver(one, two, three)
	mustBe(t, first, "")
	mustHave(t, []uint64{1, 2, 3}, []uint64{4}, one, two, three)
}

// A restart begins with the commit index on the disk. If that was before a
// change of members, replicas would count votes by members that are gone.
func TestChangeOfMembersIsDurable(t *testing.T) {
	one, two, three := grown(t)
	for _, r := range []*replica{one, two, three} {
		s := r.Status()
		if commit := r.log.hard.GetCommit(); commit < s.MembersIndex || s.Durable < s.MembersIndex {
			t.Errorf("replica %d has commit index %d on its disk (it says %d), its members are of %d", s.Replica, commit, s.Durable, s.MembersIndex)
		}
	}
}

func TestLeadershipIsTransferred(t *testing.T) {
	one, two, three := grown(t)
	before := one.propose("before")
	one.TransferLeader(9) // no member: nothing happens
	two.TransferLeader(3) // does not lead: nothing happens
	one.TransferLeader(2)
	meanwhile := one.propose("meanwhile")
	if s := one.Status(); s.Transferee != 2 {
		t.Fatalf("status %+v, want a transfer to 2", s)
	}
	deliver(one, two, three)
	if s := two.Status(); s.Role != driver.Leader {
		t.Fatalf("status %+v, want a leader", s)
	}
	mustBe(t, before, "before")
	if s := meanwhile.is(nil, collection.Unavailable, collection.ReasonNotLeader, false); s != "" {
		t.Error(s)
	}
	after := two.propose("after")
	deliver(one, two, three)
	mustBe(t, after, "after")
}

func TestTransferIsGivenUp(t *testing.T) {
	one, two, three := grown(t)
	one.TransferLeader(3)
	for range 10 { // the third hears nothing
		one.Tick()
		deliver(one, two)
	}
	if s := one.Status(); s.Role != driver.Leader || s.Transferee != 0 {
		t.Fatalf("status %+v, want a leader that goes on", s)
	}
	a := one.propose("after")
	deliver(one, two, three)
	mustBe(t, a, "after")
}

// Raft drops the end of a joint change while it hands over, and would propose
// it again only when something else is applied.
func TestJointChangeEndsAfterTransferThatFailed(t *testing.T) {
	one, two, _ := grown(t)
	change := &answer{}
	one.ProposeConfChange(&raftpb.ConfChangeV2{
		Transition: raftpb.ConfChangeTransitionJointImplicit.Enum(),
		Changes:    []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(3))}},
	}, change.done)
	one.TransferLeader(3) // which hears nothing
	deliver(one, two)
	mustBe(t, change, "")
	if s := one.Status(); !s.Joint() {
		t.Fatalf("status %+v, want a joint change that waits", s)
	}
	for range 25 {
		one.Tick()
		deliver(one, two)
	}
	if s := one.Status(); s.Joint() || s.Role != driver.Leader {
		t.Fatalf("status %+v: the joint change has not ended", s)
	}
	mustHave(t, []uint64{1, 2}, []uint64{3}, one, two)
}

func TestForgottenLeaderIsReplacedAtOnce(t *testing.T) {
	_, two, three := grown(t) // the first is dead from here on
	two.Campaign()
	deliver(two, three)
	if s := two.Status(); s.Role == driver.Leader {
		t.Fatalf("status %+v: elected while the other heard from a leader", s)
	}
	two.ForgetLeader()
	three.ForgetLeader()
	two.Campaign()
	deliver(two, three)
	if s := two.Status(); s.Role != driver.Leader {
		t.Fatalf("status %+v, want a leader", s)
	}
}

func TestUnreachableMemberIsProbed(t *testing.T) {
	one, two, three := grown(t)
	one.Unreachable(2)
	if m := one.Status().Members[1]; m.Flow != driver.Probing {
		t.Fatalf("the leader knows %+v, want a probe", m)
	}
	for range 3 {
		one.Tick()
		deliver(one, two, three)
	}
	if m := one.Status().Members[1]; m.Flow != driver.Replicating {
		t.Fatalf("the leader knows %+v, want entries to flow", m)
	}
}

// The simulation found it: see reads.again.
func TestReadEndsWhenNobodyIsLeftToConfirmIt(t *testing.T) {
	one, two, three := grown(t)
	one.change(nil, []uint64{2, 3}, nil)
	read := one.read()
	one.ready() // the round is out
	rounds := one.sent
	one.sent = nil
	for _, m := range rounds {
		if m.GetType() != raftpb.MsgHeartbeat { // which are lost, as all later ones
			one.sent = append(one.sent, m)
		}
	}
	deliver(one, two, three)
	for range 5 {
		one.settle()
	}
	late := one.read()
	one.settle()
	for name, a := range map[string]*answer{"read": read, "late": late} {
		if s := a.is(nil, collection.OK, "", false); s != "" {
			t.Errorf("%s: %s", name, s)
		}
	}
}
