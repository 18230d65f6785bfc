package driver

import "encoding/binary"

// Read asks for an index such that a state that has applied it contains
// everything acknowledged before the call. Done is called exactly once, with
// the index, or with unavailable when this replica does not lead.
type Read struct {
	Done func(index uint64, err error)
}

// reads holds who waits. One round is out at a time; everybody who comes
// meanwhile shares the next.
type reads struct {
	waiting []Read
	asked   []Read // in the round that is out
	round   uint64 // its number
}

// Read starts a read. On a leader that has not yet committed an entry of its
// term it waits for that, a single voter included: until then the commit index
// may lie before what an earlier leader acknowledged.
func (d *Driver) Read(r Read) {
	if d.failed != nil {
		r.Done(0, d.failed)
		return
	}
	if d.term == 0 {
		d.lead()
	}
	if d.term == 0 {
		r.Done(0, d.notLeader())
		return
	}
	d.reads.waiting = append(d.reads.waiting, r)
}

// askReads begins a round for all that wait, when none is out.
func (d *Driver) askReads() {
	r := &d.reads
	if !d.readable || len(r.asked) > 0 || len(r.waiting) == 0 {
		return
	}
	r.asked, r.waiting = r.waiting, nil
	r.round++
	d.raft.ReadIndex(binary.LittleEndian.AppendUint64(nil, r.round))
}

// again lets those who are asked for be asked for once more. Raft counts the
// answers to a round when one comes in: when the members change under it, and
// nobody is left who could answer, the round would never end.
func (r *reads) again() {
	r.waiting, r.asked = append(r.asked, r.waiting...), nil
	r.round++
}

// confirm ends a round; one of an earlier leadership has nobody waiting.
func (r *reads) confirm(round, index uint64) {
	if round != r.round {
		return
	}
	asked := r.asked
	r.asked = nil
	for _, read := range asked {
		read.Done(index, nil)
	}
}

func (r *reads) abandon(err error) {
	asked, waiting := r.asked, r.waiting
	r.asked, r.waiting = nil, nil
	r.round++ // an answer that is still on its way is not for the next round
	for _, read := range asked {
		read.Done(0, err)
	}
	for _, read := range waiting {
		read.Done(0, err)
	}
}
