package driver_test

import (
	"testing"

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
	if leader := write.Err.(*collection.Error).Details["leader"]; leader != uint64(1) {
		t.Errorf("the refusal names leader %v, want 1", leader)
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
	a, meta := driver.Newborn(group, []uint64{1})
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
	_, meta := driver.Newborn(group, []uint64{1})
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
	leader, second, third := three(t)
	first := []*answer{leader.read(), leader.read()}
	leader.ready()
	rounds := len(leader.sent)
	late := []*answer{leader.read(), leader.read(), leader.read()}
	leader.ready()
	if rounds != 2 || len(leader.sent) != rounds {
		t.Fatalf("%d messages for the first round and %d with those who came later, want 2 and 2", rounds, len(leader.sent))
	}
	deliver(leader, second, third)
	for _, a := range append(first, late...) {
		if s := a.is(nil, collection.OK, "", false); s != "" {
			t.Error(s)
		}
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
