package driver_test

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
)

// three makes a group of three and lets the first of them lead.
func three(t *testing.T) (leader, second, third *replica) {
	t.Helper()
	leader, second, third = born(t, 1, 1, 2, 3), born(t, 2, 1, 2, 3), born(t, 3, 1, 2, 3)
	leader.Campaign()
	deliver(leader, second, third)
	if s := second.Status(); s.Leader != 1 {
		t.Fatalf("the second replica's status is %+v, want leader 1", s)
	}
	return leader, second, third
}

func TestFollowerRefuses(t *testing.T) {
	_, second, _ := three(t)
	write, read := second.propose("x"), second.read()
	if s := write.is(nil, collection.Unavailable, collection.ReasonNotLeader, false); s != "" {
		t.Error(s)
	}
	if e, _ := errors.AsType[*collection.Error](write.Err); e.Details["leader"] != uint64(1) {
		t.Errorf("the refusal names leader %v, want 1", e.Details["leader"])
	}
	if s := read.is(nil, collection.Unavailable, collection.ReasonNotLeader, false); s != "" {
		t.Error(s)
	}
}

func TestLostLeadershipAnswersEverybodyOnce(t *testing.T) {
	leader, second, third := three(t)
	committed := leader.propose("on a majority, not yet applied here")
	leader.ready()
	leader.flush()
	leader.ready()
	for _, m := range leader.sent {
		if m.GetTo() == 2 {
			second.Step(m)
		}
	}
	leader.sent = nil
	second.settle()
	for _, m := range second.sent {
		leader.Step(m)
	}
	second.sent = nil
	leader.ready()
	if len(leader.applies) != 1 {
		t.Fatalf("%d applies handed out, want 1", len(leader.applies))
	}
	lost := leader.propose("only in the leader's log")
	leader.ready()
	leader.sent = nil
	read := leader.read()

	for range 25 { // the others hear nothing from the leader
		second.Tick()
		third.Tick()
	}
	deliver(second, third)
	next := second
	if third.Status().Role == driver.Leader {
		next = third
	}
	kept := next.propose("of the next leader")
	deliver(second, third)
	next.Tick()
	next.Tick()
	next.settle()
	for _, m := range next.sent {
		if m.GetTo() == 1 {
			leader.Step(m)
		}
	}
	leader.ready() // it has stepped down and has not yet applied what it had committed
	if s := leader.Status(); s.Role != driver.Follower || s.Pending != 1 || committed.calls != 0 {
		t.Fatalf("the old leader's status is %+v, %d answers", s, committed.calls)
	}
	deliver(leader, second, third)
	for range 3 {
		next.Tick()
	}
	deliver(leader, second, third)

	if s := leader.Status(); s.Role != driver.Follower || s.Pending != 0 || s.PendingBytes != 0 {
		t.Fatalf("the old leader's status is %+v", s)
	}
	for name, s := range map[string]string{
		"committed": committed.is("on a majority, not yet applied here", collection.OK, "", false),
		"lost":      lost.is(nil, collection.Unavailable, "", true),
		"read":      read.is(nil, collection.Unavailable, collection.ReasonNotLeader, false),
		"kept":      kept.is("of the next leader", collection.OK, "", false),
	} {
		if s != "" {
			t.Errorf("%s: %s", name, s)
		}
	}
	if last := leader.applied[len(leader.applied)-1]; string(last.Data) != "of the next leader" {
		t.Errorf("the old leader applied %q last", last.Data)
	}
}

func TestLeaderWithoutMajorityStepsDown(t *testing.T) {
	leader, _, _ := three(t)
	logged, read := leader.propose("in the log"), leader.read()
	leader.settle()
	fresh := leader.propose("not yet in the log")
	for range 25 {
		leader.Tick()
	}
	leader.settle()
	if s := logged.is(nil, collection.Unavailable, "", true); s != "" {
		t.Error(s)
	}
	if s := fresh.is(nil, collection.Unavailable, collection.ReasonNotLeader, false); s != "" {
		t.Error(s)
	}
	if s := read.is(nil, collection.Unavailable, collection.ReasonNotLeader, false); s != "" {
		t.Error(s)
	}
}

func TestOverloadRefusesAndRecovers(t *testing.T) {
	a, meta := driver.Newborn(group, 1, []uint64{1})
	log := &memLog{}
	log.write(a)
	r := open(t, log, 1, meta, func(c *driver.Config) { c.MaxUncommittedBytes = 10 }).lead()
	first := r.propose("longer than the limit, and alone")
	second := r.propose("x")
	if s := second.is(nil, collection.Unavailable, collection.ReasonOverload, false); s != "" {
		t.Error(s)
	}
	r.settle()
	third, fourth := r.propose("12345"), r.propose("67890")
	fifth := r.propose("1")
	r.settle()
	for name, s := range map[string]string{
		"first": first.is("longer than the limit, and alone", collection.OK, "", false),
		"third": third.is("12345", collection.OK, "", false), "fourth": fourth.is("67890", collection.OK, "", false),
		"fifth": fifth.is(nil, collection.Unavailable, collection.ReasonOverload, false),
	} {
		if s != "" {
			t.Errorf("%s: %s", name, s)
		}
	}
}

func TestSingleVoterReadsAtOnce(t *testing.T) {
	r := born(t, 1, 1).lead()
	r.propose("x")
	r.settle()
	read := r.read()
	r.ready()
	if s := read.is(nil, collection.OK, "", false); s != "" || read.index != r.Status().Commit {
		t.Fatalf("%s; index %d, commit %d", s, read.index, r.Status().Commit)
	}
}

// After a restart the commit index on disk may lie before an acknowledged
// write; a read must not be answered from it.
func TestNewLeaderReadsOnlyAfterItsFirstCommit(t *testing.T) {
	r := born(t, 1, 1).lead()
	r.propose("acknowledged")
	r.settle()
	acknowledged := r.Status().Applied
	_, meta := driver.Newborn(group, 1, []uint64{1})
	again := open(t, r.log, 1, meta, nil)
	again.Campaign()
	for again.Status().Role != driver.Leader {
		again.ready()
		again.flush()
	}
	read := again.read()
	again.ready()
	if read.calls != 0 {
		t.Fatalf("the read was answered with index %d, commit %d, before the leader's first entry was durable", read.index, again.Status().Commit)
	}
	again.settle()
	if s := read.is(nil, collection.OK, "", false); s != "" || read.index < acknowledged {
		t.Fatalf("%s; index %d, acknowledged %d", s, read.index, acknowledged)
	}
}

func TestWaitingReadsShareOneRound(t *testing.T) {
	leader, second, _ := three(t)
	first := []*answer{leader.read(), leader.read()}
	leader.ready()
	rounds := leader.sent
	leader.sent = nil
	late := []*answer{leader.read(), leader.read(), leader.read()}
	leader.ready()
	if len(rounds) != 2 || len(leader.sent) != 0 {
		t.Fatalf("%d messages for the first round and %d for those who came later, want 2 and 0", len(rounds), len(leader.sent))
	}
	acknowledge := func(sent []*raftpb.Message) {
		for _, m := range sent {
			if m.GetTo() == 2 {
				second.Step(m)
			}
		}
		second.settle()
		for _, m := range second.sent {
			leader.Step(m)
		}
		second.sent = nil
		leader.ready()
	}
	acknowledge(rounds)
	for _, a := range late { // the round was asked before they came
		if a.calls != 0 {
			t.Fatal("a read was answered by a round that is older than it")
		}
	}
	acknowledge(leader.sent)
	for _, a := range append(first, late...) {
		if s := a.is(nil, collection.OK, "", false); s != "" {
			t.Error(s)
		}
	}
}

// The simulation found it: see Driver.bareNotice.
func TestLateNoticeOfATermIsNoAcknowledgement(t *testing.T) {
	old, next, third := three(t)
	for range 3 {
		old.propose("x")
		deliver(old, next, third)
	}
	last, _ := old.log.LastIndex()
	for range 25 {
		third.Tick()
	}
	for range 25 {
		next.Tick()
	}
	deliver(next, third)
	if next.Status().Role != driver.Leader {
		t.Fatalf("status %+v, want a leader", next.Status())
	}
	// The old leader has yet to hear of it. What it once answered to an even
	// older message arrives now, with the term in which the next one leads.
	next.Step(&raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(next.Status().Term)})
	next.log.cut(last)
	next.propose("y")
	for range 10 {
		next.Tick()
		deliver(old, next, third)
	}
	if e := old.applied[len(old.applied)-1]; string(e.Data) != "y" {
		t.Fatalf("the old leader has applied %q last, want y", e.Data)
	}
}

// A vote is given away only when it is on the disk, also where the term was
// known before.
func TestVoteIsDurableBeforeItIsSent(t *testing.T) {
	_, second, third := three(t)
	ask := func(index uint64) *raftpb.Message {
		return &raftpb.Message{
			Type: raftpb.MsgVote.Enum(), From: new(uint64(2)), To: new(uint64(3)), Term: new(uint64(9)),
			LogTerm: new(second.Status().Term), Index: &index, Context: []byte("CampaignTransfer"), // whoever leads
		}
	}
	third.Step(ask(0)) // a log that is behind: only the term is learnt
	third.settle()
	if hard := third.log.hard; hard.GetTerm() != 9 || hard.GetVote() != 0 {
		t.Fatalf("hard state %v, want term 9 and no vote", hard)
	}
	third.sent = nil
	third.Step(ask(99))
	third.ready()
	if len(third.sent) != 0 || len(third.appends) != 1 {
		t.Fatalf("%d messages and %d appends before the flush, want 0 and 1", len(third.sent), len(third.appends))
	}
	third.settle()
	if vote := third.log.hard.GetVote(); vote != 2 || len(third.sent) != 1 {
		t.Fatalf("the vote on the disk is for %d, %d messages sent; want 2 and 1", vote, len(third.sent))
	}
}

func TestReadOfDeposedLeaderIsRefused(t *testing.T) {
	leader, second, third := three(t)
	read := leader.read()
	leader.ready()
	leader.sent = nil
	for range 25 {
		second.Tick()
		third.Tick()
	}
	deliver(second, third)
	next := second
	if third.Status().Role == driver.Leader {
		next = third
	}
	for range 3 {
		next.Tick()
	}
	deliver(leader, second, third)
	if s := read.is(nil, collection.Unavailable, collection.ReasonNotLeader, false); s != "" {
		t.Fatal(s)
	}
}

// A Done may call the driver again.
func TestDoneMayPropose(t *testing.T) {
	r := born(t, 1, 1).lead()
	left := 100
	var next func(collection.Outcome)
	next = func(o collection.Outcome) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if left--; left > 0 {
			r.Propose(driver.Proposal{Data: []byte("x"), Done: next})
		}
	}
	r.Propose(driver.Proposal{Data: []byte("x"), Done: next})
	r.settle()
	if left != 0 {
		t.Fatalf("%d proposals were not answered", left)
	}
}
