package hubsvc

import "math"

// The decisions about members and their tokens.

var (
	errTokenUnknown = &Error{Code: CodeNotFound, Message: "the join token is not known to this cluster; make one with: waggle cluster token"}
	errTokenUsed    = &Error{Code: CodeFailedPrecondition, Message: "the join token has been used; make another with: waggle cluster token"}
	errTokenExpired = &Error{Code: CodeFailedPrecondition, Message: "the join token has expired; make another with: waggle cluster token"}
)

func (a *apply) nameMember(op *NameMember) (any, error) {
	m, err := a.presentMember(op.Number)
	if err != nil {
		return nil, err
	}
	if m.Name != "" && m.Name != op.Name {
		return nil, errorf(CodeFailedPrecondition, "this node is %q, member %d of the cluster; its node id cannot become %q", m.Name, m.Number, op.Name)
	}
	members, err := membersOf(a.tx, a.cluster)
	if err != nil {
		return nil, err
	}
	if other, ok := named(members, op.Name); ok && other.Number != m.Number {
		return nil, errTaken(other)
	}
	if err := a.nameCluster(op.Cluster); err != nil {
		return nil, err
	}
	if err := a.adopt(op.Authority); err != nil {
		return nil, err
	}
	m.Name = op.Name
	return a.moveMember(m, op.Address, op.HTTP)
}

// nameCluster stores the name the first time and compares it ever after.
func (a *apply) nameCluster(name string) error {
	s, err := settingsOf(a.tx)
	if err != nil || s.Name == name {
		return err
	}
	if s.Name != "" {
		return errWrongCluster(s.Name, name)
	}
	s.Name = name
	return a.putSettings(s)
}

// adopt takes an authority for a cluster that has none.
func (a *apply) adopt(n *NewAuthority) error {
	if n == nil {
		return nil
	}
	key := []byte{tagAuthority}
	if value, err := a.tx.Get(Bucket, key); err != nil || value != nil {
		return err
	}
	authority := Authority{Certificate: n.Certificate, SealedKey: n.SealedKey, Index: a.change.Index}
	a.change.Authority = &authority
	return a.tx.Put(Bucket, key, encodeRecord(authority))
}

func (a *apply) setMemberAddress(op *SetMemberAddress) (any, error) {
	m, err := a.presentMember(op.Number)
	if err != nil {
		return nil, err
	}
	return a.moveMember(m, op.Address, op.HTTP)
}

// moveMember stores m with its addresses, unless that changes nothing.
func (a *apply) moveMember(m Member, address, http string) (any, error) {
	m.Address, m.HTTP = address, http
	stored, err := memberOf(a.tx, a.cluster, m.Number)
	if err != nil || stored == m {
		return m, err
	}
	return a.putMember(m)
}

func (a *apply) setMemberState(op *SetMemberState) (any, error) {
	m, err := memberOf(a.tx, a.cluster, op.Number)
	if err != nil || m.State == op.State {
		return m, err
	}
	if m.State == MemberGone {
		return nil, errGone(m)
	}
	if op.State != MemberActive {
		if err := a.mustNotBeLast(m); err != nil {
			return nil, err
		}
	}
	m.State = op.State
	if err := a.audit("", ActionMemberState, m.Name, op.State.String()); err != nil {
		return nil, err
	}
	return a.putMember(m)
}

// mustNotBeLast refuses to go on without an active member beside m.
func (a *apply) mustNotBeLast(m Member) error {
	members, err := membersOf(a.tx, a.cluster)
	if err != nil {
		return err
	}
	for _, other := range members {
		if other.State == MemberActive && other.Number != m.Number {
			return nil
		}
	}
	return errorf(CodeFailedPrecondition, "member %d is the only active one", m.Number)
}

func (a *apply) createJoinToken(op *CreateJoinToken) (any, error) {
	key := tokenKey(op.Hash)
	if err := a.mustBeFree(key, "the join token already exists"); err != nil {
		return nil, err
	}
	if err := a.sweepTokens(); err != nil {
		return nil, err
	}
	if err := a.audit("", ActionMemberToken, "", ""); err != nil {
		return nil, err
	}
	t := joinToken{Hash: op.Hash, Expires: max(a.now, 0) + op.TTL, Index: a.change.Index}
	return t, a.tx.Put(Bucket, key, encodeRecord(t))
}

// sweepTokens forgets the tokens whose end is long past, and when there are
// too many, all that nobody can use. It refuses when too many are open.
func (a *apply) sweepTokens() error {
	tokens, err := list[joinToken](a.tx, tagToken)
	if err != nil {
		return err
	}
	full := len(tokens) >= JoinTokensMax
	left := len(tokens)
	for _, t := range tokens {
		closed := t.Member != 0 || t.Expires <= a.now
		longPast := t.Expires <= a.now-joinTokenKeptMs
		if !longPast && (!full || !closed) {
			continue
		}
		if err := a.tx.Delete(Bucket, tokenKey(t.Hash)); err != nil {
			return err
		}
		left--
	}
	if left >= JoinTokensMax {
		return errorf(CodeQuotaExceeded, "%d join tokens are open, the most there can be", left)
	}
	return nil
}

func (a *apply) joinMember(op *JoinMember) (any, error) {
	token, ok, err := get[joinToken](a.tx, tokenKey(op.Token))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errTokenUnknown
	}
	if token.Member != 0 {
		return a.joinedBefore(token, op)
	}
	if token.Expires <= a.now {
		return nil, errTokenExpired
	}
	replaced, err := a.admit(op)
	if err != nil {
		return nil, err
	}
	joined, err := a.newMember(op)
	if err != nil {
		return nil, err
	}
	joined.Replaced = replaced
	if err := a.audit("", ActionMemberJoin, op.Name, ""); err != nil {
		return nil, err
	}
	token.Member, token.Request = joined.Member.Number, op.Request
	return joined, a.tx.Put(Bucket, tokenKey(op.Token), encodeRecord(token))
}

// joinedBefore answers the repetition of a join whose answer was lost.
func (a *apply) joinedBefore(token joinToken, op *JoinMember) (any, error) {
	if op.Request == (TokenHash{}) || op.Request != token.Request {
		return nil, errTokenUsed
	}
	m, ok, err := get[Member](a.tx, memberKey(token.Member))
	if err != nil {
		return nil, err
	}
	if !ok || m.State == MemberGone || m.Name != op.Name {
		return nil, errTokenUsed
	}
	system, err := placementOf(a.tx, a.cluster, SystemGroup)
	if err != nil {
		return nil, err
	}
	replica, ok := system.On(m.Number)
	if !ok {
		return nil, errTokenUsed
	}
	return Joined{Member: m, Replica: replica.ID}, nil
}

// admit makes room for a member of op's name, and returns whom it replaces.
func (a *apply) admit(op *JoinMember) (replaced uint32, err error) {
	s, err := settingsOf(a.tx)
	if err != nil {
		return 0, err
	}
	if s.Name == "" {
		return 0, errorf(CodeFailedPrecondition, "the cluster has no name yet: start its first node with the cluster flags")
	}
	if s.Name != op.Cluster {
		return 0, errWrongCluster(s.Name, op.Cluster)
	}
	members, err := membersOf(a.tx, a.cluster)
	if err != nil {
		return 0, err
	}
	if old, ok := named(members, op.Name); ok {
		if !op.Replace {
			return 0, errTaken(old)
		}
		if err := a.mustNotBeLast(old); err != nil {
			return 0, err
		}
		old.State = MemberGone
		if _, err := a.putMember(old); err != nil {
			return 0, err
		}
		replaced = old.Number
	}
	return replaced, a.boundMembers(members, replaced)
}

// boundMembers keeps the records bounded: too many members are refused, and of
// those that are gone the one that has been so for longest is forgotten. The
// first stays, as its absence would mean that it is there.
func (a *apply) boundMembers(members []Member, replaced uint32) error {
	present, gone, oldest := 0, 0, Member{}
	for _, m := range members {
		if m.State != MemberGone && m.Number != replaced {
			present++
			continue
		}
		gone++
		if m.Number != FirstMember && m.Number != replaced && (oldest.Number == 0 || m.Updated < oldest.Updated) {
			oldest = m
		}
	}
	if present >= MembersMax {
		return errorf(CodeQuotaExceeded, "the cluster has %d members, the most it can have", present)
	}
	if gone <= goneMembersMax || oldest.Number == 0 {
		return nil
	}
	a.change.Forgotten = append(a.change.Forgotten, oldest.Number)
	return a.tx.Delete(Bucket, memberKey(oldest.Number))
}

// newMember makes the member and its learner of the system group.
func (a *apply) newMember(op *JoinMember) (Joined, error) {
	s, err := settingsOf(a.tx)
	if err != nil {
		return Joined{}, err
	}
	if s.Number == math.MaxUint32 {
		return Joined{}, errorf(CodeQuotaExceeded, "all member numbers have been used")
	}
	s.Number++
	if err := a.putSettings(s); err != nil {
		return Joined{}, err
	}
	m, err := a.putMember(Member{
		Number: s.Number, Name: op.Name, Address: op.Address, HTTP: op.HTTP,
		State: MemberActive, Created: a.change.Index,
	})
	if err != nil {
		return Joined{}, err
	}
	id, err := a.newReplica(m.Number)
	if err != nil {
		return Joined{}, err
	}
	system, err := placementOf(a.tx, a.cluster, SystemGroup)
	if err != nil {
		return Joined{}, err
	}
	system.Replicas = append(system.Replicas, Replica{ID: id, Learner: true})
	_, err = a.putPlacement(system)
	return Joined{Member: m, Replica: id}, err
}

// named returns the member that has a name and is not gone.
func named(members []Member, name string) (Member, bool) {
	for _, m := range members {
		if m.Name == name && m.State != MemberGone {
			return m, true
		}
	}
	return Member{}, false
}

func errTaken(m Member) error {
	return errorf(CodeAlreadyExists, "node id %q is that of member %d at %s; choose another with --node-id, or stop that one first", m.Name, m.Number, m.Address)
}

func errGone(m Member) error {
	return errorf(CodeFailedPrecondition, "member %d (%s) is gone from the cluster for good", m.Number, m.Name)
}

func errWrongCluster(is, given string) error {
	return errorf(CodeFailedPrecondition, "the cluster's name is %q, not %q", is, given)
}
