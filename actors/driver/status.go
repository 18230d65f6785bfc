package driver

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// Role is what a replica does in its group.
type Role uint8

// The roles. A learner is a follower.
const (
	Follower Role = iota
	Candidate
	Leader
)

// Status is a replica's view of its group. The slices are shared and not to be
// changed.
type Status struct {
	Group   uint64
	Replica uint64
	Role    Role
	Leader  uint64 // 0 = unknown
	Term    uint64
	Commit  uint64
	Applied uint64 // as Applied has told, not what the store holds

	// The members, as of the last entry handed out. While a change from one set
	// of voters to another is under way, VotersOutgoing are the earlier ones and
	// LearnersNext those of them who become learners at its end.
	Voters, VotersOutgoing, Learners, LearnersNext []uint64
	// MembersIndex is the index of the entry, or the image, that made them.
	MembersIndex uint64
	// Durable is the commit index that a restart begins with. A replica counts
	// votes by the members of MembersIndex for good when Durable has reached it;
	// until then a restart may take it back to earlier ones. So a member that
	// was removed is needed until every voter's Durable has reached the
	// MembersIndex of its removal.
	Durable uint64

	Transferee uint64   // whom this leader hands over to; 0 = nobody
	Members    []Member // what this leader knows of all members, itself included, by id; nil elsewhere

	Pending      int // proposals that wait for their outcome
	PendingBytes uint64
}

// Joint reports whether a change of voters is under way.
func (s *Status) Joint() bool { return len(s.VotersOutgoing) > 0 }

// Alone reports whether nobody else could lead: the replica is the only voter.
func (s *Status) Alone() bool { return len(s.Voters) == 1 && !s.Joint() && s.Voters[0] == s.Replica }

// Member is what a leader knows of a member.
type Member struct {
	Replica uint64
	Learner bool
	Match   uint64 // the last index known to be on its disk
	Active  bool   // it was heard from since the last check, one election timeout ago at most
	Flow    Flow
}

// Flow is how a leader sends its log to a member.
type Flow uint8

// The flows: one message at a time to find out where the member is; entries as
// they come; nothing, until the member has installed an image.
const (
	Probing Flow = iota
	Replicating
	AwaitingImage
)

// Status returns the state as of the last call of any method.
func (d *Driver) Status() Status {
	status := d.Brief()
	if status.Role == Leader {
		status.Members = d.progress()
	}
	return status
}

// Brief is Status without Members: it costs no allocation.
func (d *Driver) Brief() Status {
	s := d.raft.BasicStatus()
	return Status{
		Group: d.group, Replica: d.replica,
		Role: roleOf(s.RaftState), Leader: s.Lead,
		Term: s.GetTerm(), Commit: s.GetCommit(), Applied: s.Applied,
		Voters: d.members.GetVoters(), VotersOutgoing: d.members.GetVotersOutgoing(),
		Learners: d.members.GetLearners(), LearnersNext: d.members.GetLearnersNext(),
		MembersIndex: d.membersAt, Durable: d.appends.durable,
		Transferee: s.LeadTransferee,
		Pending:    d.proposals.waiting(), PendingBytes: d.proposals.bytes,
	}
}

func roleOf(s raft.StateType) Role {
	switch s {
	case raft.StateLeader:
		return Leader
	case raft.StateCandidate, raft.StatePreCandidate:
		return Candidate
	}
	return Follower
}

func (d *Driver) progress() []Member {
	members := make([]Member, 0, len(d.members.GetVoters())+len(d.members.GetLearners()))
	d.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		m := Member{Replica: id, Learner: p.IsLearner, Match: p.Match, Active: p.RecentActive}
		switch p.State {
		case tracker.StateReplicate:
			m.Flow = Replicating
		case tracker.StateSnapshot:
			m.Flow = AwaitingImage
		}
		members = append(members, m)
	})
	return members
}

// Matched returns the last index that this leader knows to be on the disk of a
// member. It is 0 for others and on a replica that does not lead.
func (d *Driver) Matched(member uint64) (index uint64) {
	if d.raft.BasicStatus().RaftState != raft.StateLeader {
		return 0
	}
	d.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id == member {
			index = p.Match
		}
	})
	return index
}
