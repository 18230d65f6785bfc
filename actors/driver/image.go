package driver

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/hivehub/waggle/persistence"
)

// ImageOrder asks for an image of this partition's store to be sent to a
// replica that needs what the log no longer holds. ImageSent tells the end of
// it, exactly once; until then there is no other order for that replica.
type ImageOrder struct {
	To   uint64
	Term uint64 // of this leader: what Install is to be told, beside this replica's id
	// Index is what the image must hold at least: before it, To was not a member
	// and would refuse it. When the store ends earlier, a checkpoint comes first.
	Index uint64
}

// images is what a replica has to do with images.
type images struct {
	out     map[uint64]bool // replicas with an order that has not ended
	pending *persistence.Meta
}

// order passes raft's wish for an image on.
func (d *Driver) order(m *raftpb.Message) {
	to := m.GetTo()
	if d.images.out[to] {
		return // ImageSent will let raft try again
	}
	d.images.out[to] = true
	d.work.Images = append(d.work.Images, ImageOrder{To: to, Term: m.GetTerm(), Index: d.membersAt})
}

// ImageSent tells that the image ordered for a replica was installed there, or
// was not: then another order may follow.
func (d *Driver) ImageSent(to uint64, ok bool) {
	if d.failed != nil {
		return
	}
	if !d.images.out[to] {
		panic(fmt.Sprintf("BUG: group %d: no image was ordered for replica %d", d.group, to))
	}
	delete(d.images.out, to)
	defer d.guard()
	status := raft.SnapshotFailure
	if ok {
		status = raft.SnapshotFinish
	}
	d.raft.ReportSnapshot(to, status)
}

// Stored tells what a checkpoint has brought into the store, before the log is
// cut by it.
func (d *Driver) Stored(m persistence.Meta) {
	if m.Applied > d.storage.stored.Applied {
		d.storage.stored = m
		d.appends.durable = max(d.appends.durable, m.Applied)
	}
}

// Install tells that a verified image, which the leader from has sent in its
// term, is on this node's disk under a name of its own. When it is accepted the
// next Ready holds the Append that makes the switch to it (see Append.Image),
// and no entries to be applied until that is done.
//
// It is refused when it is not ahead of this replica, when this replica is not
// a member in it, when the sender's term is over, and while another one is
// being installed. An image whose index is not above Status().Commit is refused
// for sure, and should be offered before its bytes are taken: the refusal tells
// the leader where this replica is, so that it need not try for ever.
func (d *Driver) Install(m persistence.Meta, from, term uint64) (accepted bool) {
	conf := &raftpb.ConfState{}
	if d.failed != nil || d.images.pending != nil || term == 0 || proto.Unmarshal(m.ConfState, conf) != nil {
		return false
	}
	defer d.guard()
	d.gather() // what was ready before is before it
	before := len(d.work.Appends)
	d.step(&raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), From: &from, To: new(d.replica), Term: &term,
		Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{ConfState: conf, Index: new(m.Applied), Term: new(m.Term)}},
	})
	d.gather()
	for _, a := range d.work.Appends[before:] {
		accepted = accepted || a.Image
	}
	if accepted {
		d.images.pending = &m
		d.members, d.membersAt = conf, m.Applied
	}
	return accepted
}

// installed ends an installation. What was handed out to be applied before it
// belongs to a state that is gone; its entries are in the image, and who waits
// for their outcome is not told it.
func (d *Driver) installed() {
	d.storage.stored, d.images.pending = *d.images.pending, nil
	out := d.applies.out
	d.applies.first, d.applies.out = d.applies.first+uint64(len(out)), nil
	for _, a := range out {
		d.deliver(a.responses)
	}
	d.proposals.abandon(true, d.notLeader())
}
