package driver

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/collection"
)

// Proposal is one entry to be decided. Done is called exactly once:
//   - with what apply made of the entry,
//   - with unavailable and Details outcome=unknown when leadership was lost
//     before the entry was known to be committed, so that it may or may not
//     take effect,
//   - with a refusal (not the leader, overloaded, failed): it will not.
type Proposal struct {
	Data []byte // not empty; copied
	Done func(collection.Outcome)
	// Committed is called, unless it is nil, when the entry is committed and handed
	// out to be applied.
	Committed func()
}

// waiter is a proposal on its way.
type waiter struct {
	number uint64
	bytes  uint64
	done   func(collection.Outcome)

	committed func() // may be nil
}

// proposals holds who waits. A leader's entries are committed in the order in
// which it proposed them, so everything here is a queue.
type proposals struct {
	number   uint64          // of the last proposal
	fresh    []waiter        // not yet given to raft: the next Ready does it, all in one step
	entries  []*raftpb.Entry // of fresh, one each
	logged   []waiter        // in raft's log
	handed   int             // the first so many of logged are committed and handed out to be applied
	bytes    uint64          // of all that wait
	bytesMax uint64
}

// Propose puts an entry into the log at the next Ready.
func (d *Driver) Propose(p Proposal) {
	if err := d.refuse(uint64(len(p.Data))); err != nil {
		p.Done(collection.Outcome{Err: err})
		return
	}
	w := d.proposals.admit(uint64(len(p.Data)), p.Done)
	w.committed = p.Committed
	data := make([]byte, 8+len(p.Data))
	binary.LittleEndian.PutUint64(data, w.number)
	copy(data[8:], p.Data)
	d.proposals.fresh = append(d.proposals.fresh, w)
	d.proposals.entries = append(d.proposals.entries, &raftpb.Entry{Data: data})
}

// refuse says why a proposal of n bytes is not taken now, or nil.
func (d *Driver) refuse(n uint64) error {
	if d.failed != nil {
		return d.failed
	}
	if d.term == 0 {
		d.lead()
	}
	if d.term == 0 {
		return d.notLeader()
	}
	if p := &d.proposals; p.waiting() > 0 && p.bytes+n > p.bytesMax {
		return &collection.Error{
			Code: collection.Unavailable, Reason: collection.ReasonOverload,
			Message: "too many writes wait for this partition; retry shortly",
		}
	}
	return nil
}

// flush gives raft all fresh proposals in one step. When raft takes them this
// replica leads, and still in the same term: it cannot be elected between two
// calls of Ready.
func (d *Driver) flush() {
	p := &d.proposals
	if len(p.fresh) == 0 {
		return
	}
	fresh, entries := p.fresh, p.entries
	p.fresh, p.entries = nil, nil
	if !d.append(fresh, entries) {
		p.refuse(fresh, d.notLeader())
	}
}

// append gives raft entries to put into the log; false = it does not lead, or
// is about to hand over. Who waits is noted first: raft may meet an unreadable
// log, and then everybody who is noted is answered.
func (d *Driver) append(ws []waiter, entries []*raftpb.Entry) bool {
	p := &d.proposals
	before := len(p.logged)
	p.logged = append(p.logged, ws...)
	err := d.raft.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(d.replica), Entries: entries})
	if errors.Is(err, raft.ErrProposalDropped) {
		p.logged = p.logged[:before]
		return false
	}
	d.must(err)
	return true
}

func (p *proposals) waiting() int { return len(p.fresh) + len(p.logged) }

func (p *proposals) admit(bytes uint64, done func(collection.Outcome)) waiter {
	p.number++
	p.bytes += bytes
	return waiter{number: p.number, bytes: bytes, done: done}
}

// hand notes that the entry of a proposal is committed. Nobody waits for an
// entry of an earlier leadership; one of this leadership is the next in line.
func (p *proposals) hand(number uint64) {
	if p.handed == len(p.logged) || p.logged[p.handed].number != number {
		panic(fmt.Sprintf("BUG: proposal %d was committed out of turn: %d of %d are handed out", number, p.handed, len(p.logged)))
	}
	if committed := p.logged[p.handed].committed; committed != nil {
		committed()
	}
	p.handed++
}

// complete answers the proposal that was handed out first.
func (p *proposals) complete(number uint64, o collection.Outcome) {
	if p.handed == 0 || p.logged[0].number != number {
		panic(fmt.Sprintf("BUG: proposal %d was applied out of turn: %d are handed out", number, p.handed))
	}
	w := p.logged[0]
	p.logged[0] = waiter{}
	p.logged = p.logged[1:]
	p.handed--
	p.bytes -= w.bytes
	w.done(o)
}

// abandon ends the waiting of a leadership that has ended. What is committed
// will be applied here and goes on waiting, unless the replica has failed.
func (p *proposals) abandon(failed bool, cause error) {
	keep := p.handed
	if failed {
		keep = 0
	}
	unknown, fresh := p.logged[keep:], p.fresh
	p.logged, p.handed = p.logged[:keep:keep], keep
	p.fresh, p.entries = nil, nil
	p.refuse(unknown, &collection.Error{
		Code:    collection.Unavailable,
		Message: "the write was not confirmed and may or may not have taken effect; retry it, with the same Idempotency-Key if there was one",
		Details: map[string]any{"outcome": "unknown"},
		Err:     cause,
	})
	p.refuse(fresh, cause)
}

// refuse answers proposals that are no longer in p's queues.
func (p *proposals) refuse(ws []waiter, err error) {
	for _, w := range ws {
		p.bytes -= w.bytes
	}
	for _, w := range ws {
		w.done(collection.Outcome{Err: err})
	}
}
