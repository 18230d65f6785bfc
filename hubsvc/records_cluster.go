package hubsvc

import "fmt"

// The first member and its replica, which every group is born with. Both are
// implied by the birth record until a command changes them.
const (
	FirstMember  uint32    = 1
	FirstReplica ReplicaID = 1<<32 | 1
)

// SystemGroup is the number of the system group. Partition i is group i+1.
const SystemGroup uint64 = 0

// MemberState says what a member is to the cluster. Whether it answers just
// now is not known here.
type MemberState uint8

// The states. A leaving member keeps what it has until others have it; a
// gone one never comes back, and its number is never used again.
const (
	MemberActive MemberState = iota + 1
	MemberLeaving
	MemberGone
)

// String returns the state's word on the wire.
func (s MemberState) String() string {
	switch s {
	case MemberActive:
		return "active"
	case MemberLeaving:
		return "leaving"
	case MemberGone:
		return "gone"
	}
	return "unknown"
}

// Member is the record of a node. Its number is its identity: a wiped node that
// joins again under its name is another member.
type Member struct {
	Number  uint32      `msgpack:"n"`
	Name    string      `msgpack:"nm"` // the node's id of the configuration; "" until the first node is named
	Address string      `msgpack:"a"`  // host:port for the other nodes; "" likewise
	HTTP    string      `msgpack:"h"`  // host:port of its edge, or ""
	State   MemberState `msgpack:"s"`
	Created uint64      `msgpack:"i"` // log index of the join
	Updated uint64      `msgpack:"u"` // log index of the last change
}

// ReplicaID names a replica of a group for all time: the member's number in
// the upper half, a serial number that is never used twice in the lower.
// Serial 0 stands for one that is yet to be made.
type ReplicaID uint64

// NewReplica asks for a new replica on a member, see PlacementChange.
func NewReplica(member uint32) ReplicaID { return ReplicaID(member) << 32 }

// Member returns the number of the member that has the replica.
func (id ReplicaID) Member() uint32 { return uint32(id >> 32) }

// Serial returns the replica's own part of the id.
func (id ReplicaID) Serial() uint32 { return uint32(id) }

// String returns member.serial, as logs show it.
func (id ReplicaID) String() string { return fmt.Sprintf("%d.%d", id.Member(), id.Serial()) }

// Replica is one replica as a group should have it.
type Replica struct {
	ID      ReplicaID `msgpack:"id"`
	Learner bool      `msgpack:"l,omitempty"` // follows and never votes
}

// Placement is where a group's replicas should be, in order of preference: the
// first is a voter, and the preferred leader. The group's leader moves the group there.
//
// Invariant: one voter or three; at most one replica on a member.
type Placement struct {
	Group    uint64    `msgpack:"g"`
	Version  uint64    `msgpack:"v"` // log index of the last change
	Replicas []Replica `msgpack:"r"`
}

// On returns the replica on a member.
func (p Placement) On(member uint32) (Replica, bool) {
	for _, r := range p.Replicas {
		if r.ID.Member() == member {
			return r, true
		}
	}
	return Replica{}, false
}

// Authority is the cluster's certificate authority. The key can be opened with
// the cluster's secret alone.
type Authority struct {
	Certificate []byte `msgpack:"c"` // DER
	SealedKey   []byte `msgpack:"k"` // see sealKey
	Index       uint64 `msgpack:"i"`
}

// TokenHash is the SHA-256 of a join token's secret, all that is stored of it.
type TokenHash [32]byte

// joinToken is a token that was given out. It stays for a while after its end
// so that a second use can be told from a wrong token.
type joinToken struct {
	Hash    TokenHash `msgpack:"h"`
	Expires int64     `msgpack:"e"` // unix ms
	Member  uint32    `msgpack:"m"` // who joined with it, 0 while it is open
	Request TokenHash `msgpack:"q"` // JoinMember.Request of that join
	Index   uint64    `msgpack:"i"`
}

// Joined is the answer to JoinMember.
type Joined struct {
	Member   Member
	Replica  ReplicaID // of the system group, on the new member
	Replaced uint32    // the member that had the name before and is gone now, or 0
}

// settings are what the cluster's own commands keep beside the birth record.
type settings struct {
	Name   string `msgpack:"n"`  // of the cluster, "" until it is named
	Number uint32 `msgpack:"ln"` // last member number given
	Serial uint32 `msgpack:"ls"` // last replica serial given
}

// The state that a birth implies, so that clusters born before there were members have it too.

func impliedMember(c Cluster) Member {
	return Member{Number: FirstMember, State: MemberActive, Created: c.Index, Updated: c.Index}
}

func impliedPlacement(c Cluster, group uint64) Placement {
	return Placement{Group: group, Version: c.Index, Replicas: []Replica{{ID: FirstReplica}}}
}

func impliedSettings() settings {
	return settings{Number: FirstMember, Serial: FirstReplica.Serial()}
}
