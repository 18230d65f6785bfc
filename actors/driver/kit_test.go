package driver_test

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// memLog is one group's log in memory; fail, when set, is what reading gives.
type memLog struct {
	hard    *raftpb.HardState
	start   nodelog.Position
	entries []*raftpb.Entry
	fail    error
}

func (l *memLog) write(a nodelog.Append) {
	if a.HardState != nil {
		l.hard = a.HardState
	}
	if a.Start != nil {
		l.start, l.entries = *a.Start, nil
	}
	if len(a.Entries) > 0 {
		keep := a.Entries[0].GetIndex() - l.start.Index - 1
		l.entries = append(l.entries[:keep:keep], a.Entries...)
	}
}

func (l *memLog) cut(index uint64) {
	term, _ := l.Term(index)
	l.entries = l.entries[index-l.start.Index:]
	l.start = nodelog.Position{Index: index, Term: term}
}

func (l *memLog) HardState() *raftpb.HardState { return l.hard }

func (l *memLog) Entries(lo, hi, _ uint64) ([]*raftpb.Entry, error) {
	if l.fail != nil {
		return nil, l.fail
	}
	if lo <= l.start.Index {
		return nil, raft.ErrCompacted
	}
	return append([]*raftpb.Entry(nil), l.entries[lo-l.start.Index-1:hi-l.start.Index-1]...), nil
}

func (l *memLog) Term(i uint64) (uint64, error) {
	switch last := l.start.Index + uint64(len(l.entries)); {
	case l.fail != nil:
		return 0, l.fail
	case i < l.start.Index:
		return 0, raft.ErrCompacted
	case i == l.start.Index:
		return l.start.Term, nil
	case i > last:
		return 0, raft.ErrUnavailable
	}
	return l.entries[i-l.start.Index-1].GetTerm(), nil
}

func (l *memLog) FirstIndex() (uint64, error) { return l.start.Index + 1, nil }
func (l *memLog) LastIndex() (uint64, error) {
	return l.start.Index + uint64(len(l.entries)), l.fail
}

// replica is a driver with its log and what it applied. Its disk and its state
// machine work when the test says so.
type replica struct {
	*driver.Driver
	t       testing.TB
	log     *memLog
	appends []driver.Append
	applies []driver.Apply
	sent    []*raftpb.Message
	images  []driver.ImageOrder
	applied []persistence.CommittedEntry
	busy    bool // settle does not apply
}

const group = 7

// born makes replica id of a newborn group of voters.
func born(t testing.TB, id uint64, voters ...uint64) *replica {
	t.Helper()
	a, meta := driver.Newborn(group, id, voters)
	log := &memLog{}
	log.write(a)
	return open(t, log, id, meta, nil)
}

// open starts a replica on a log, from what its store holds.
func open(t testing.TB, log *memLog, id uint64, meta persistence.Meta, change func(*driver.Config)) *replica {
	t.Helper()
	c := driver.Config{Group: group, Replica: id, Log: log, Stored: meta}
	if change != nil {
		change(&c)
	}
	d, err := driver.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &replica{Driver: d, t: t, log: log}
}

// ready takes what there is to do, without doing it.
func (r *replica) ready() bool {
	w, ok := r.Ready()
	r.appends = append(r.appends, w.Appends...)
	r.applies = append(r.applies, w.Applies...)
	r.sent = append(r.sent, w.Messages...)
	r.images = append(r.images, w.Images...)
	return ok
}

// flush makes the first append durable.
func (r *replica) flush() {
	r.t.Helper()
	if len(r.appends) == 0 {
		r.t.Fatal("no append to flush")
	}
	a := r.appends[0]
	r.appends = r.appends[1:]
	r.log.write(a.Append)
	r.AppendDone(a)
}

// apply applies the first run of entries; the answer is the entry's text.
func (r *replica) apply() {
	r.t.Helper()
	if len(r.applies) == 0 {
		r.t.Fatal("nothing to apply")
	}
	a := r.applies[0]
	r.applies = r.applies[1:]
	outcomes := make([]collection.Outcome, len(a.Entries))
	for i, e := range a.Entries {
		outcomes[i] = collection.Outcome{Answer: string(e.Data)}
		r.applied = append(r.applied, e)
	}
	r.Applied(a, outcomes)
}

// settle does the disk's and the state machine's work until there is none.
func (r *replica) settle() {
	r.t.Helper()
	for r.ready() || len(r.appends) > 0 || len(r.applies) > 0 && !r.busy {
		for len(r.appends) > 0 {
			r.flush()
		}
		for len(r.applies) > 0 && !r.busy {
			r.apply()
		}
	}
}

// lead makes the only voter the leader.
func (r *replica) lead() *replica {
	r.t.Helper()
	r.Campaign()
	r.settle()
	if s := r.Status(); s.Role != driver.Leader {
		r.t.Fatalf("status %+v, want a leader", s)
	}
	return r
}

// deliver settles every replica and carries messages until there are none;
// those to or from a replica that is not among rs are lost.
func deliver(rs ...*replica) {
	byID := map[uint64]*replica{}
	for _, r := range rs {
		byID[r.Status().Replica] = r
	}
	for busy := true; busy; {
		busy = false
		for _, r := range rs {
			r.settle()
			sent := r.sent
			r.sent = nil
			for _, m := range sent {
				if to := byID[m.GetTo()]; to != nil {
					to.Step(proto.Clone(m).(*raftpb.Message))
					busy = true
				}
			}
		}
	}
}

// answer collects what a Done was told, and how often.
type answer struct {
	collection.Outcome
	index uint64
	calls int
}

func (a *answer) done(o collection.Outcome) { a.Outcome, a.calls = o, a.calls+1 }

func (a *answer) read(index uint64, err error) { a.index, a.Err, a.calls = index, err, a.calls+1 }

func (r *replica) propose(text string) *answer {
	a := &answer{}
	r.Propose(driver.Proposal{Data: []byte(text), Done: a.done})
	return a
}

func (r *replica) read() *answer {
	a := &answer{}
	r.Read(driver.Read{Done: a.read})
	return a
}

// is says in what a differs from one call with the wanted outcome, or nothing.
func (a *answer) is(answer any, code collection.Code, reason collection.Reason, unknown bool) string {
	var details map[string]any
	if e, ok := errors.AsType[*collection.Error](a.Err); ok {
		details = e.Details
	}
	if a.calls == 1 && a.Answer == answer && collection.CodeOf(a.Err) == code && collection.ReasonOf(a.Err) == reason &&
		(details["outcome"] == "unknown") == unknown {
		return ""
	}
	return fmt.Sprintf("%d calls, answer %v, error %v, details %v; want one call, %v, %v %v, unknown %v",
		a.calls, a.Answer, a.Err, details, answer, code, reason, unknown)
}

// joining makes a replica that has nothing yet.
func joining(t testing.TB, id uint64) *replica {
	t.Helper()
	log := &memLog{}
	log.write(driver.Joining(group, id))
	return open(t, log, id, persistence.Meta{}, nil)
}

// meta is what a store with everything that was applied would hold.
func (r *replica) meta() persistence.Meta {
	r.t.Helper()
	s := r.Status()
	conf, err := proto.Marshal(&raftpb.ConfState{
		Voters: s.Voters, VotersOutgoing: s.VotersOutgoing, Learners: s.Learners, LearnersNext: s.LearnersNext, AutoLeave: new(s.Joint()),
	})
	term, err2 := r.log.Term(s.Applied)
	if err != nil || err2 != nil {
		r.t.Fatal(err, err2)
	}
	return persistence.Meta{Applied: s.Applied, Term: term, ConfState: conf}
}

// checkpoint brings what was applied into the store, and gives the log up.
func (r *replica) checkpoint() persistence.Meta {
	m := r.meta()
	r.Stored(m)
	r.log.cut(m.Applied)
	return m
}

// change proposes a change of members: voters and learners to be, and who goes.
func (r *replica) change(voters, learners, gone []uint64) *answer {
	a := &answer{}
	c := &raftpb.ConfChangeV2{}
	add := func(t raftpb.ConfChangeType, ids []uint64) {
		for _, id := range ids {
			c.Changes = append(c.Changes, &raftpb.ConfChangeSingle{Type: t.Enum(), NodeId: &id})
		}
	}
	add(raftpb.ConfChangeAddNode, voters)
	add(raftpb.ConfChangeAddLearnerNode, learners)
	add(raftpb.ConfChangeRemoveNode, gone)
	r.ProposeConfChange(c, a.done)
	return a
}

// sendImage does what the first order of r asks for, and reports whether the
// image was accepted.
func (r *replica) sendImage(to *replica, m persistence.Meta) bool {
	r.t.Helper()
	if len(r.images) == 0 || r.images[0].To != to.Status().Replica {
		r.t.Fatalf("the orders are %+v, want one for replica %d", r.images, to.Status().Replica)
	}
	order := r.images[0]
	r.images = r.images[1:]
	return to.Install(m, r.Status().Replica, order.Term)
}
