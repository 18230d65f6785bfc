package driver_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
)

func TestNewbornStartsAtOne(t *testing.T) {
	a, meta := driver.Newborn(group, 1, []uint64{1, 2, 3})
	if a.Group != group || a.Start.Index != 1 || a.Start.Term != 1 || a.HardState.GetCommit() != 1 || meta.Applied != 1 || meta.Term != 1 {
		t.Fatalf("append %+v, meta %+v", a, meta)
	}
	s := born(t, 1, 1, 2, 3).Status()
	if s.Role != driver.Follower || s.Term != 1 || s.Applied != 1 || s.Commit != 1 || !slices.Equal(s.Voters, []uint64{1, 2, 3}) {
		t.Fatalf("status %+v", s)
	}
}

func TestNewRefusesLogThatDoesNotContinueTheStore(t *testing.T) {
	long := born(t, 1, 1).lead()
	for range 5 {
		long.propose("x")
		long.settle()
	}
	at := func(index uint64) persistence.Meta {
		term, _ := long.log.Term(index)
		_, meta := driver.Newborn(group, 1, []uint64{1})
		meta.Applied, meta.Term = index, term
		return meta
	}
	good, wrongTerm := at(4), at(4)
	wrongTerm.Term++
	long.log.cut(4)
	open(t, long.log, 1, good, nil) // continues exactly

	last, _ := long.log.LastIndex()
	beyond := good
	beyond.Applied = last + 1
	early := good
	early.Applied = 3
	shortened := *long.log
	shortened.entries = shortened.entries[:1]
	for name, c := range map[string]struct {
		log  *memLog
		meta persistence.Meta
	}{
		"log cut too early":         {long.log, early},
		"log ends before the store": {long.log, beyond},
		"other history":             {long.log, wrongTerm},
		"committed entries missing": {&shortened, good},
	} {
		_, err := driver.New(driver.Config{Group: group, Replica: 1, Log: c.log, Stored: c.meta})
		if collection.CodeOf(err) != collection.DataLoss {
			t.Errorf("%s: %v, want data_loss", name, err)
		}
	}
}

func TestSingleVoterCommitsOnlyWhatIsDurable(t *testing.T) {
	r := born(t, 1, 1).lead()
	a := r.propose("x")
	r.ready()
	before := r.Status().Commit
	if len(r.appends) != 1 || len(r.applies) != 0 {
		t.Fatalf("%d appends, %d applies before the flush, want 1 and 0", len(r.appends), len(r.applies))
	}
	for range 50 {
		r.Tick()
		r.ready()
	}
	if s := r.Status(); s.Commit != before || len(r.applies) != 0 || a.calls != 0 {
		t.Fatalf("commit %d, %d applies, %d answers without a flush", s.Commit, len(r.applies), a.calls)
	}
	r.flush()
	r.ready()
	if len(r.applies) != 1 || a.calls != 0 {
		t.Fatalf("%d applies, %d answers after the flush, want 1 and 0", len(r.applies), a.calls)
	}
	r.apply()
	if s := a.is("x", collection.OK, "", false); s != "" {
		t.Fatal(s)
	}
}

// A write costs one flush: the commit index that follows waits for the next.
func TestCommitIndexAloneIsNotWritten(t *testing.T) {
	r := born(t, 1, 1).lead()
	for range 3 {
		r.propose("x")
		r.ready()
		r.flush()
		r.settle()
		if len(r.appends) != 0 {
			t.Fatalf("%d appends after the write", len(r.appends))
		}
	}
	if commit, applied := r.log.hard.GetCommit(), r.Status().Applied; commit >= applied {
		t.Fatalf("commit %d on disk, applied %d; want it to lag", commit, applied)
	}
	// The store may be ahead of the commit index on disk.
	_, meta := driver.Newborn(group, 1, []uint64{1})
	meta.Applied = r.Status().Applied
	meta.Term, _ = r.log.Term(meta.Applied)
	again := open(t, r.log, 1, meta, nil)
	if s := again.Status(); s.Commit != meta.Applied {
		t.Fatalf("commit %d after the restart, want %d", s.Commit, meta.Applied)
	}
	again.lead()
}

func TestRestartAppliesTheRestOnce(t *testing.T) {
	r := born(t, 1, 1).lead()
	for _, text := range []string{"a", "b", "c"} {
		r.propose(text)
		r.settle()
	}
	_, meta := driver.Newborn(group, 1, []uint64{1})
	meta.Applied, meta.Term = r.applied[1].Index, r.applied[1].Term // "a"
	again := open(t, r.log, 1, meta, nil).lead()
	var texts []string
	for _, e := range again.applied {
		texts = append(texts, string(e.Data))
	}
	if got := strings.Join(texts, ","); got != "b,c," {
		t.Fatalf("applied %q after the restart, want b, c and the new leader's empty entry", got)
	}
}

func TestAppendsAreDoneInOrder(t *testing.T) {
	r := born(t, 1, 1).lead()
	r.propose("a")
	r.ready()
	r.propose("b")
	r.ready()
	if len(r.appends) != 2 {
		t.Fatalf("%d appends are out, want 2", len(r.appends))
	}
	defer func() {
		if p := recover(); p == nil || !strings.HasPrefix(p.(string), "BUG:") {
			t.Fatalf("panic %v, want BUG", p)
		}
	}()
	r.AppendDone(r.appends[1])
}

func TestStepIgnoresWhatIsNotSaid(t *testing.T) {
	r := born(t, 1, 1).lead()
	before := r.Status()
	for kind := range raftpb.MessageType_name {
		switch raftpb.MessageType(kind) {
		case raftpb.MsgProp, raftpb.MsgReadIndex, raftpb.MsgHup, raftpb.MsgSnap, raftpb.MsgTransferLeader, raftpb.MsgStorageApplyResp:
			r.Step(&raftpb.Message{Type: raftpb.MessageType(kind).Enum(), From: new(uint64(2)), To: new(uint64(1)), Entries: []*raftpb.Entry{{Data: []byte("intruder")}}})
		}
	}
	r.Step(&raftpb.Message{Type: raftpb.MsgVote.Enum(), From: new(uint64(2)), To: new(uint64(9)), Term: new(uint64(99))})
	r.Step(&raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: &before.Term})
	if r.ready() {
		t.Fatal("there is work after messages that should have been ignored")
	}
}

func TestUnreadableLogFailsTheReplicaOnly(t *testing.T) {
	r := born(t, 1, 1).lead()
	for range 3 {
		r.propose("x")
		r.settle()
	}
	_, meta := driver.Newborn(group, 1, []uint64{1})
	again := open(t, r.log, 1, meta, nil)
	r.log.fail = collection.Errorf(collection.DataLoss, "sector gone")
	read := &answer{}
	again.Campaign()
	for range 5 {
		again.ready()
		for len(again.appends) > 0 {
			again.flush()
		}
	}
	again.Read(driver.Read{Done: read.read})
	if err := again.Err(); collection.CodeOf(err) != collection.DataLoss {
		t.Fatalf("driver's error %v, want data_loss", err)
	}
	if s := read.is(nil, collection.DataLoss, "", false); s != "" {
		t.Fatal(s)
	}
}

func TestUnreadableLogAnswersWhoProposes(t *testing.T) {
	for name, propose := range map[string]func(*replica) *answer{
		"entry": func(r *replica) *answer { return r.propose("x") },
		"members": func(r *replica) *answer {
			a := &answer{}
			r.ProposeConfChange(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddLearnerNode.Enum(), NodeId: new(uint64(2))}}}, a.done)
			return a
		},
	} {
		r := born(t, 1, 1).lead()
		r.log.fail = collection.Errorf(collection.DataLoss, "sector gone")
		a := propose(r)
		r.ready()
		if s := a.is(nil, collection.Unavailable, "", true); s != "" || collection.CodeOf(r.Err()) != collection.DataLoss {
			t.Errorf("%s: %s; the driver's error is %v", name, s, r.Err())
		}
	}
}

func TestFailAnswersEverybodyOnce(t *testing.T) {
	r := born(t, 1, 1).lead()
	handed := r.propose("handed out to be applied")
	r.ready()
	r.flush()
	r.ready()
	logged := r.propose("in the log")
	r.ready()
	fresh := r.propose("not yet in the log")
	read := r.read()
	r.Fail(collection.Errorf(collection.DataLoss, "the partition is corrupt"))
	r.Fail(errors.New("a second failure"))
	late := r.propose("too late")
	lateRead := r.read()
	r.Tick()
	r.Campaign()
	r.flush()
	r.apply()
	if r.ready() {
		t.Fatal("a failed replica has work")
	}
	for name, s := range map[string]string{
		"handed": handed.is(nil, collection.Unavailable, "", true), "logged": logged.is(nil, collection.Unavailable, "", true),
		"fresh": fresh.is(nil, collection.DataLoss, "", false), "read": read.is(nil, collection.DataLoss, "", false),
		"late": late.is(nil, collection.DataLoss, "", false), "late read": lateRead.is(nil, collection.DataLoss, "", false),
	} {
		if s != "" {
			t.Errorf("%s: %s", name, s)
		}
	}
	if s := r.Status(); s.Pending != 0 || s.PendingBytes != 0 {
		t.Fatalf("status %+v, want nothing pending", s)
	}
}
