package hubsvc

import (
	"context"
	"time"
)

// JoinTokenTTL is how long a join token is good when nobody says otherwise.
const JoinTokenTTL = time.Hour

// NameMember names a member and the cluster, at a node's first start with
// cluster flags; see the command. The errors are FAILED_PRECONDITION for a name
// that differs from the one given before, ALREADY_EXISTS for one that is taken.
// The authority, if the cluster lacks one, is made here.
func (e *Embedded) NameMember(ctx context.Context, op NameMember) (Member, error) {
	op.Authority = nil
	if cluster, born := e.Cluster(); born && e.Topology().authority == nil {
		made, err := newAuthority(cluster.ID, e.sealing, e.now())
		if err != nil {
			return Member{}, err
		}
		op.Authority = made
	}
	m, err := propose[Member](ctx, e, &op)
	return m, wrap(err, "name member")
}

// SetMemberAddress says where a member is now.
func (e *Embedded) SetMemberAddress(ctx context.Context, number uint32, address, http string) (Member, error) {
	m, err := propose[Member](ctx, e, &SetMemberAddress{Number: number, Address: address, HTTP: http})
	return m, wrap(err, "set member address")
}

// SetMemberState changes a member's state. A member that is gone stays so, and
// one active member remains: FAILED_PRECONDITION.
func (e *Embedded) SetMemberState(ctx context.Context, number uint32, s MemberState) (Member, error) {
	m, err := propose[Member](ctx, e, &SetMemberState{Number: number, State: s})
	return m, wrap(err, "set member state")
}

// CreateJoinToken opens a token for one join and returns its text, which
// nobody can ask for again. ttl 0 means JoinTokenTTL.
func (e *Embedded) CreateJoinToken(ctx context.Context, ttl time.Duration) (string, error) {
	cluster, born := e.Cluster()
	authority := e.Topology().authority
	if !born {
		return "", errUnborn
	}
	if authority == nil {
		return "", errNoAuthority
	}
	if ttl == 0 {
		ttl = JoinTokenTTL
	}
	t := newJoinToken(cluster.ID, authority.sum)
	_, err := propose[joinToken](ctx, e, &CreateJoinToken{Hash: HashTokenSecret(t.Secret()), TTL: ttl.Milliseconds()})
	if err != nil {
		return "", wrap(err, "create join token")
	}
	return t.Reveal(), nil
}

// JoinMember consumes a token for a new member. The errors are NOT_FOUND for
// an unknown token, FAILED_PRECONDITION for a used or expired one and for a
// wrong cluster name, ALREADY_EXISTS for a name that is taken; none of the
// last two consumes the token.
func (e *Embedded) JoinMember(ctx context.Context, op JoinMember) (Joined, error) {
	j, err := propose[Joined](ctx, e, &op)
	return j, wrap(err, "join member")
}

// SetPlacements changes placements, all or none, each from the version that it
// was decided on: FAILED_PRECONDITION when one has changed since.
func (e *Embedded) SetPlacements(ctx context.Context, changes []PlacementChange) ([]Placement, error) {
	p, err := propose[[]Placement](ctx, e, &SetPlacements{Changes: changes})
	return p, wrap(err, "set placements")
}
