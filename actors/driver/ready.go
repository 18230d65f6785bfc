package driver

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// Work is what a replica wants done. Appends must be made durable in order and
// Applies applied in order, independently of each other. Messages are to be
// sent now; they may be lost.
type Work struct {
	Appends  []Append
	Applies  []Apply
	Messages []*raftpb.Message
	Images   []ImageOrder
}

// Append is what is to be written to the node log. AppendDone takes it back
// once it is durable, in the order of Ready.
type Append struct {
	nodelog.Append
	// Image: this is the switch to the image that Install was told of. Once it
	// is durable, and before AppendDone, the partition's store must be the image.
	Image  bool
	number uint64
}

// Apply is a run of committed entries. Applied takes it back with the outcome
// of each, in the order of Ready. Those that were out when the switch to an
// image was done are void: they need not be applied, and Applied ignores them.
type Apply struct {
	Entries   []persistence.CommittedEntry
	numbers   []uint64 // of the proposals that wait here for the entries; 0 = none
	responses []*raftpb.Message
	number    uint64
}

// appends keeps what is to be told once the appends that are out are durable.
type appends struct {
	hard    *raftpb.HardState // as raft has it, as of the last Ready
	first   uint64            // number of the first append that is out
	out     []outAppend
	commit  uint64 // commit index in the last append
	durable uint64 // commit index on the disk, there or in the store
}

// outAppend is an append that is out.
type outAppend struct {
	responses []*raftpb.Message // that it releases
	commit    uint64
	image     bool
}

// applies keeps what was handed out to be applied.
type applies struct {
	first uint64 // number of the first of out
	out   []Apply
}

// Ready returns what there is to do, or false. Proposals and reads that came
// since the last Ready go into the log and into one round here.
func (d *Driver) Ready() (w Work, ok bool) {
	if d.failed != nil {
		return Work{}, false
	}
	defer d.guard()
	d.gather()
	d.storeCommit()
	w, d.work = d.work, Work{}
	w.Messages, d.outbox = d.outbox, nil
	return w, len(w.Appends)+len(w.Applies)+len(w.Messages)+len(w.Images) > 0
}

// gather takes over what raft has ready.
func (d *Driver) gather() {
	for {
		d.lead()
		d.flush()
		d.askReads()
		if !d.raft.HasReady() {
			return
		}
		d.collect(d.raft.Ready())
	}
}

func (d *Driver) collect(rd raft.Ready) {
	for _, m := range rd.Messages {
		switch {
		case m.GetTo() == raft.LocalAppendThread:
			d.takeAppend(m)
		case m.GetTo() == raft.LocalApplyThread:
			d.takeApply(m)
		case m.GetType() == raftpb.MsgSnap:
			d.order(m)
		default:
			d.outbox = append(d.outbox, m)
		}
	}
	for _, s := range rd.ReadStates {
		d.reads.confirm(binary.LittleEndian.Uint64(s.RequestCtx), s.Index)
	}
}

// takeAppend decides whether something must be written. A commit index alone
// need not be durable and waits for the next append: it would cost a flush for
// every write. Responses that need nothing written need only what is out.
func (d *Driver) takeAppend(m *raftpb.Message) {
	a := &d.appends
	next := nodelog.Append{Entries: m.GetEntries()}
	if s := m.GetSnapshot(); s != nil {
		next.Start = &nodelog.Position{Index: s.GetMetadata().GetIndex(), Term: s.GetMetadata().GetTerm()}
		next.Replica = d.replica
	}
	durable := len(next.Entries) > 0 || next.Start != nil
	if m.Term != nil { // the hard state has changed
		durable = durable || m.GetTerm() != a.hard.GetTerm() || m.GetVote() != a.hard.GetVote()
		a.hard = &raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if durable {
		d.putOut(next, m.GetResponses())
	} else if n := len(a.out); n > 0 {
		a.out[n-1].responses = append(a.out[n-1].responses, m.GetResponses()...)
	} else {
		d.deliver(m.GetResponses())
	}
}

// putOut lets an append be written, with the hard state as it is.
func (d *Driver) putOut(next nodelog.Append, responses []*raftpb.Message) {
	a := &d.appends
	next.Group, next.HardState = d.group, a.hard
	image := next.Start != nil
	a.commit = a.hard.GetCommit()
	a.out = append(a.out, outAppend{responses: responses, commit: a.commit, image: image})
	d.work.Appends = append(d.work.Appends, Append{Append: next, Image: image, number: a.first + uint64(len(a.out)) - 1})
}

// storeCommit writes the commit index when members have changed by it.
func (d *Driver) storeCommit() {
	if d.membersAt > d.appends.commit {
		d.putOut(nodelog.Append{}, nil)
	}
}

// takeApply splits entries into what the partition applies and who waits for
// them. A change of members takes effect here, where it is committed and on
// this replica's disk.
func (d *Driver) takeApply(m *raftpb.Message) {
	entries := m.GetEntries()
	a := Apply{
		Entries:   make([]persistence.CommittedEntry, len(entries)),
		numbers:   make([]uint64, len(entries)),
		responses: m.GetResponses(),
		number:    d.applies.first + uint64(len(d.applies.out)),
	}
	for i, e := range entries {
		c := &a.Entries[i]
		c.Index, c.Term = e.GetIndex(), e.GetTerm()
		var number uint64
		if e.GetType() == raftpb.EntryNormal {
			number, c.Data = d.split(e)
		} else {
			number, c.ConfState = d.changeMembers(e)
		}
		if c.Term != d.term {
			continue
		}
		d.readable = true
		if number != 0 {
			d.proposals.hand(number)
			a.numbers[i] = number
		}
	}
	d.applies.out = append(d.applies.out, a)
	d.work.Applies = append(d.work.Applies, a)
}

// split takes a normal entry's data apart.
func (d *Driver) split(e *raftpb.Entry) (number uint64, data []byte) {
	data = e.GetData()
	if len(data) == 0 {
		return 0, nil
	}
	if len(data) < 8 {
		panic(fmt.Sprintf("BUG: group %d: entry %d has %d bytes", d.group, e.GetIndex(), len(data)))
	}
	return binary.LittleEndian.Uint64(data), data[8:]
}

// AppendDone tells that a is durable.
func (d *Driver) AppendDone(a Append) {
	if d.failed != nil {
		return
	}
	out := &d.appends
	if len(out.out) == 0 || a.number != out.first {
		panic(fmt.Sprintf("BUG: group %d: append %d is done before append %d", d.group, a.number, out.first))
	}
	done := out.out[0]
	out.out[0] = outAppend{}
	out.out = out.out[1:]
	out.first++
	out.durable = max(out.durable, done.commit)
	defer d.guard()
	if done.image {
		d.installed()
	}
	d.deliver(done.responses)
}

// Applied tells that a was applied, with one outcome for each of its entries.
func (d *Driver) Applied(a Apply, outcomes []collection.Outcome) {
	out := &d.applies
	if d.failed != nil || a.number < out.first {
		return
	}
	if len(out.out) == 0 || a.number != out.first {
		panic(fmt.Sprintf("BUG: group %d: run %d is applied before run %d", d.group, a.number, out.first))
	}
	if len(outcomes) != len(a.Entries) {
		panic(fmt.Sprintf("BUG: group %d: %d outcomes for %d entries", d.group, len(outcomes), len(a.Entries)))
	}
	out.out[0] = Apply{}
	out.out = out.out[1:]
	out.first++
	defer d.guard()
	d.deliver(a.responses)
	for i, number := range a.numbers {
		if number != 0 && d.failed == nil {
			d.proposals.complete(number, outcomes[i])
		}
	}
}

// deliver steps raft's messages to itself and keeps those to peers for the
// next Ready.
func (d *Driver) deliver(responses []*raftpb.Message) {
	for _, m := range responses {
		if m.GetTo() == d.replica {
			d.step(m)
		} else {
			d.outbox = append(d.outbox, m)
		}
	}
}
