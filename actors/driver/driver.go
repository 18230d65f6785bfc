package driver

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence"
)

// Config is what a replica starts from.
type Config struct {
	Group   uint64
	Replica uint64    // this replica's id in the group; never reused
	Log     LogReader // beside the writer: it may be ahead of what AppendDone has told

	// Stored is what the store holds: entries are applied from the next one on.
	// A replica that joins and has no store yet has the zero Meta.
	Stored persistence.Meta

	ElectionTicks       int    // 0 = 10; randomised up to twice as many
	HeartbeatTicks      int    // 0 = 2
	MaxInflightBytes    uint64 // on the way to one follower, 0 = 16 MB
	MaxUncommittedBytes uint64 // of proposals not yet applied, 0 = 64 MB; at least one is always let in

	Logger *slog.Logger // nil = silent
}

const (
	messageBytesMax  = 1 << 20 // entries in one message to a follower
	applyingBytesMax = 8 << 20 // entries handed out to be applied, not yet Applied
	inflightMessages = 256
)

// Driver is one replica. See the package comment for its contract.
type Driver struct {
	group   uint64
	replica uint64
	raft    *raft.RawNode
	storage *storage
	failed  error

	members   *raftpb.ConfState // as of the last entry handed out; never changed in place
	membersAt uint64            // index of the entry or the image that made them

	term uint64 // the term this replica leads and takes proposals in; 0 = none
	// readable: an entry of term was committed, so that the commit index is
	// known to include everything that earlier leaders acknowledged.
	readable bool

	proposals proposals
	reads     reads
	appends   appends
	applies   applies
	images    images
	work      Work              // for the next Ready
	outbox    []*raftpb.Message // to peers, for the next Ready
}

// New makes the driver of a replica that was born (see Newborn), joins (see
// Joining) or restarts. It fails with data_loss when log and store do not fit
// together.
func New(c Config) (*Driver, error) {
	s, err := newStorage(c)
	if err != nil {
		return nil, fmt.Errorf("start group %d: %w", c.Group, err)
	}
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        c.Replica,
		ElectionTick:              cmp.Or(c.ElectionTicks, 10),
		HeartbeatTick:             cmp.Or(c.HeartbeatTicks, 2),
		Storage:                   s,
		Applied:                   c.Stored.Applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             messageBytesMax,
		MaxCommittedSizePerReady:  applyingBytesMax,
		MaxInflightMsgs:           inflightMessages,
		MaxInflightBytes:          cmp.Or(c.MaxInflightBytes, 16<<20),
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    logger{log.With("group", c.Group, "replica", c.Replica)},
	})
	if err != nil {
		return nil, fmt.Errorf("start group %d: %w", c.Group, err)
	}
	return &Driver{
		group: c.Group, replica: c.Replica,
		raft: node, storage: s, members: s.conf, membersAt: c.Stored.Applied,
		proposals: proposals{bytesMax: cmp.Or(c.MaxUncommittedBytes, 64<<20)},
		appends:   appends{hard: s.hard, commit: s.hard.GetCommit(), durable: s.hard.GetCommit()},
		images:    images{out: map[uint64]bool{}},
	}, nil
}

// Tick tells that one tick of time has passed.
func (d *Driver) Tick() {
	if d.failed != nil {
		return
	}
	defer d.guard()
	d.raft.Tick()
	d.leaveJoint()
}

// Campaign asks for an election now; the only voter of a group becomes its
// leader without waiting out the election timeout.
func (d *Driver) Campaign() {
	if d.failed != nil {
		return
	}
	defer d.guard()
	d.must(d.raft.Campaign())
}

// Step takes a message from a peer. Whatever is not for this replica, or is
// not said between replicas, is ignored. The message is given away.
func (d *Driver) Step(m *raftpb.Message) {
	if d.failed != nil || m.GetTo() != d.replica || !spoken(m.GetType()) {
		return
	}
	defer d.guard()
	if d.bareNotice(m) {
		return
	}
	d.step(m)
}

// bareNotice reports whether m says no more than that its sender knows a term
// that is no longer news here. Raft answers a message of a lower term with an
// accepting MsgAppResp at index 0. One that comes late, when this replica leads
// that very term, would be taken for the acknowledgement of an empty log: the
// leader would go back to index 1, which was given up long ago, and
// send an image that nobody needs. An empty replica has nothing to acknowledge:
// groups begin after 1.
func (d *Driver) bareNotice(m *raftpb.Message) bool {
	return m.GetType() == raftpb.MsgAppResp && m.GetIndex() == 0 && !m.GetReject() &&
		m.GetTerm() <= d.raft.BasicStatus().GetTerm()
}

// step gives raft a message. Not to know the sender is no fault: members go,
// this replica among them, while their messages are on the way.
func (d *Driver) step(m *raftpb.Message) {
	if err := d.raft.Step(m); !errors.Is(err, raft.ErrStepPeerNotFound) {
		d.must(err)
	}
}

// spoken reports whether replicas say t to each other. Proposals and reads are
// not forwarded: the deciding node is the proposing node.
func spoken(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp,
		raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgTimeoutNow:
		return true
	}
	return false
}

// Fail stops the replica for good: everything that waits is answered, what may
// be in the log with an unknown outcome and the rest with err, and nothing is
// taken any more. The first error is kept.
func (d *Driver) Fail(err error) {
	if d.failed != nil {
		return
	}
	d.failed = err
	d.resign(err)
}

// Err is what Fail was told, or the data_loss met when raft read its log.
func (d *Driver) Err() error { return d.failed }

// guard turns raft's panic over an unreadable log into a failed replica, so
// that one corrupt group never stops a node. Any other panic goes on.
func (d *Driver) guard() {
	if d.storage.err != nil {
		_ = recover()
		d.Fail(d.storage.err)
	}
}

// must panics for an error that raft cannot give here.
func (d *Driver) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("BUG: group %d replica %d: raft: %v", d.group, d.replica, err))
	}
}

// lead notes whether this replica leads, and in which term. A leadership that
// has ended, were it for a moment, ends everything that waited under it.
func (d *Driver) lead() {
	s := d.raft.BasicStatus()
	term := uint64(0)
	if s.RaftState == raft.StateLeader {
		term = s.GetTerm()
	}
	if term == d.term {
		return
	}
	d.term, d.readable = term, false
	d.resign(d.notLeader())
}

// resign answers everything that waited under a leadership that has ended.
func (d *Driver) resign(cause error) {
	d.proposals.abandon(d.failed != nil, cause)
	d.reads.abandon(cause)
}

// notLeader is the refusal of a replica that does not lead, or hands over.
func (d *Driver) notLeader() error {
	s := d.raft.BasicStatus()
	return &collection.Error{
		Code: collection.Unavailable, Reason: collection.ReasonNotLeader,
		Message: "this node does not lead the partition; retry",
		Details: map[string]any{"leader": cmp.Or(s.LeadTransferee, s.Lead)},
	}
}
