package hubsvc

// The commands of the cluster's own state.

// NewAuthority is a certificate authority as its maker describes it.
type NewAuthority struct {
	Certificate []byte `msgpack:"c"`
	SealedKey   []byte `msgpack:"k"`
}

// NameMember gives a member its name and addresses, and the cluster its name,
// at the node's first start with cluster flags. Neither name changes
// afterwards; a repetition changes the addresses at most. A cluster that was
// born without an authority gets the one that comes along.
type NameMember struct {
	Number    uint32        `msgpack:"n"`
	Name      string        `msgpack:"nm"`
	Cluster   string        `msgpack:"c"`
	Address   string        `msgpack:"a"`
	HTTP      string        `msgpack:"h"`
	Authority *NewAuthority `msgpack:"ca,omitempty"`
}

// SetMemberAddress says where a member is now.
type SetMemberAddress struct {
	Number  uint32 `msgpack:"n"`
	Address string `msgpack:"a"`
	HTTP    string `msgpack:"h"`
}

// SetMemberState makes a member leave, stay after all, or be gone.
type SetMemberState struct {
	Number uint32      `msgpack:"n"`
	State  MemberState `msgpack:"s"`
}

// CreateJoinToken opens a token for one join.
type CreateJoinToken struct {
	Hash TokenHash `msgpack:"h"`
	TTL  int64     `msgpack:"t"` // ms
}

// JoinMember consumes a token and makes a member with a replica of the system
// group, which starts as a learner. The answer is a Joined.
type JoinMember struct {
	Token   TokenHash `msgpack:"tk"`
	Request TokenHash `msgpack:"q"` // SHA-256 of the joiner's public key: with it, a repetition is answered like the first
	Name    string    `msgpack:"nm"`
	Cluster string    `msgpack:"c"`
	Address string    `msgpack:"a"`
	HTTP    string    `msgpack:"h"`
	Replace bool      `msgpack:"r"` // the proposer knows that the member that has the name is not alive
}

// PlacementChange is a group's new placement. Every replica is either one that
// the group's placement has, or a NewReplica: a removed one never comes back.
type PlacementChange struct {
	Group    uint64    `msgpack:"g"`
	Expected uint64    `msgpack:"v"` // Placement.Version that it was decided on
	Replicas []Replica `msgpack:"r"`
}

// SetPlacements changes placements, all or none. It is refused when one of them
// has changed since it was read, so that two controllers cannot fight. The
// answer is the []Placement in the order of the changes.
type SetPlacements struct {
	Changes []PlacementChange `msgpack:"c"` // ordered by group
}

func (*NameMember) code() byte       { return 7 }
func (*SetMemberAddress) code() byte { return 8 }
func (*SetMemberState) code() byte   { return 9 }
func (*CreateJoinToken) code() byte  { return 10 }
func (*JoinMember) code() byte       { return 11 }
func (*SetPlacements) code() byte    { return 12 }

func newClusterOp(code byte) Op {
	switch code {
	case 7:
		return new(NameMember)
	case 8:
		return new(SetMemberAddress)
	case 9:
		return new(SetMemberState)
	case 10:
		return new(CreateJoinToken)
	case 11:
		return new(JoinMember)
	case 12:
		return new(SetPlacements)
	}
	return nil
}
