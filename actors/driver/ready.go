package driver

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

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
}

// Append is what is to be written to the node log. AppendDone takes it back
// once it is durable, in the order of Ready.
type Append struct {
	nodelog.Append
	number uint64
}

// Apply is a run of committed entries. Applied takes it back with the outcome
// of each, in the order of Ready.
type Apply struct {
	Entries   []persistence.CommittedEntry
	numbers   []uint64 // of the proposals that wait here for the entries; 0 = none
	responses []*raftpb.Message
}

// appends keeps what is to be told once the appends that are out are durable.
type appends struct {
	hard  *raftpb.HardState   // as raft has it, as of the last Ready
	first uint64              // number of the first append that is out
	out   [][]*raftpb.Message // per append that is out, the responses that it releases
}

// Ready returns what there is to do, or false. Proposals and reads that came
// since the last Ready go into the log and into one round here.
func (d *Driver) Ready() (w Work, ok bool) {
	if d.failed != nil {
		return Work{}, false
	}
	defer d.guard()
	for {
		d.lead()
		d.flush()
		d.askReads()
		if !d.raft.HasReady() {
			break
		}
		d.collect(&w, d.raft.Ready())
	}
	w.Messages, d.outbox = d.outbox, nil
	return w, len(w.Appends)+len(w.Applies)+len(w.Messages) > 0
}

func (d *Driver) collect(w *Work, rd raft.Ready) {
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			if a, ok := d.takeAppend(m); ok {
				w.Appends = append(w.Appends, a)
			}
		case raft.LocalApplyThread:
			w.Applies = append(w.Applies, d.takeApply(m))
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
func (d *Driver) takeAppend(m *raftpb.Message) (Append, bool) {
	a := &d.appends
	durable := len(m.GetEntries()) > 0
	if m.Term != nil { // the hard state has changed
		durable = durable || m.GetTerm() != a.hard.GetTerm() || m.GetVote() != a.hard.GetVote()
		a.hard = &raftpb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if durable {
		a.out = append(a.out, m.GetResponses())
		return Append{
			Append: nodelog.Append{Group: d.group, HardState: a.hard, Entries: m.GetEntries()},
			number: a.first + uint64(len(a.out)) - 1,
		}, true
	}
	if n := len(a.out); n > 0 {
		a.out[n-1] = append(a.out[n-1], m.GetResponses()...)
	} else {
		d.deliver(m.GetResponses())
	}
	return Append{}, false
}

// takeApply splits entries into what the partition applies and who waits for
// them. A change of members takes effect here, where it is committed and on
// this replica's disk.
func (d *Driver) takeApply(m *raftpb.Message) Apply {
	entries := m.GetEntries()
	a := Apply{
		Entries:   make([]persistence.CommittedEntry, len(entries)),
		numbers:   make([]uint64, len(entries)),
		responses: m.GetResponses(),
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
	return a
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

func (d *Driver) changeMembers(e *raftpb.Entry) (number uint64, confState []byte) {
	if e.GetType() != raftpb.EntryConfChangeV2 {
		panic(fmt.Sprintf("BUG: group %d: entry %d is a %v, which nobody proposes", d.group, e.GetIndex(), e.GetType()))
	}
	c := &raftpb.ConfChangeV2{}
	d.must(proto.Unmarshal(e.GetData(), c))
	if len(c.GetContext()) == 8 { // raft's own, which leaves a joint configuration, has none
		number = binary.LittleEndian.Uint64(c.GetContext())
	}
	d.members = d.raft.ApplyConfChange(c)
	confState, err := proto.Marshal(d.members)
	d.must(err)
	return number, confState
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
	responses := out.out[0]
	out.out[0] = nil
	out.out = out.out[1:]
	out.first++
	defer d.guard()
	d.deliver(responses)
}

// Applied tells that a was applied, with one outcome for each of its entries.
func (d *Driver) Applied(a Apply, outcomes []collection.Outcome) {
	if d.failed != nil {
		return
	}
	if len(outcomes) != len(a.Entries) {
		panic(fmt.Sprintf("BUG: group %d: %d outcomes for %d entries", d.group, len(outcomes), len(a.Entries)))
	}
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
