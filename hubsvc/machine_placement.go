package hubsvc

import "math"

// The decisions about placement, and the writes of the cluster's own records.

func (a *apply) setPlacements(op *SetPlacements) (any, error) {
	placed := make([]Placement, 0, len(op.Changes))
	for _, c := range op.Changes {
		p, err := a.setPlacement(c)
		if err != nil {
			return nil, err
		}
		placed = append(placed, p)
	}
	return placed, nil
}

func (a *apply) setPlacement(c PlacementChange) (Placement, error) {
	if c.Group > uint64(a.cluster.Partitions) {
		return Placement{}, errorf(CodeNotFound, "there is no group %d", c.Group)
	}
	p, err := placementOf(a.tx, a.cluster, c.Group)
	if err != nil {
		return Placement{}, err
	}
	if p.Version != c.Expected {
		return Placement{}, errorf(CodeFailedPrecondition, "the placement of group %d is of version %d, not %d", c.Group, p.Version, c.Expected)
	}
	next := make([]Replica, 0, len(c.Replicas))
	kept := 0
	for _, r := range c.Replicas {
		known, ok := p.On(r.ID.Member())
		switch {
		case r.ID.Serial() == 0:
			if r.ID, err = a.placeReplica(r.ID.Member()); err != nil {
				return Placement{}, err
			}
		case !ok || known.ID != r.ID:
			return Placement{}, errorf(CodeFailedPrecondition, "group %d has no replica %s", c.Group, r.ID)
		default:
			kept++
		}
		next = append(next, r)
	}
	if kept == 0 {
		return Placement{}, errorf(CodeFailedPrecondition, "group %d would keep none of its replicas", c.Group)
	}
	p.Replicas = next
	return a.putPlacement(p)
}

// placeReplica makes a replica on a member that may have new ones.
func (a *apply) placeReplica(number uint32) (ReplicaID, error) {
	m, err := memberOf(a.tx, a.cluster, number)
	if err != nil {
		return 0, err
	}
	if m.State != MemberActive {
		return 0, errorf(CodeFailedPrecondition, "member %d is %s; it gets no new replica", number, m.State)
	}
	return a.newReplica(number)
}

// newReplica takes the next serial number.
func (a *apply) newReplica(number uint32) (ReplicaID, error) {
	s, err := settingsOf(a.tx)
	if err != nil {
		return 0, err
	}
	if s.Serial == math.MaxUint32 {
		return 0, errorf(CodeQuotaExceeded, "all replica ids have been used")
	}
	s.Serial++
	return NewReplica(number) | ReplicaID(s.Serial), a.putSettings(s)
}

func (a *apply) putPlacement(p Placement) (Placement, error) {
	p.Version = a.change.Index
	a.change.Placements = append(a.change.Placements, p)
	return p, a.tx.Put(Bucket, groupKey(p.Group), encodeRecord(p))
}

func (a *apply) putMember(m Member) (Member, error) {
	m.Updated = a.change.Index
	a.change.Members = append(a.change.Members, m)
	return m, a.tx.Put(Bucket, memberKey(m.Number), encodeRecord(m))
}

func (a *apply) putSettings(s settings) error {
	a.change.ClusterName = s.Name
	return a.tx.Put(Bucket, []byte{tagSettings}, encodeRecord(s))
}

// presentMember returns a member that is not gone.
func (a *apply) presentMember(number uint32) (Member, error) {
	m, err := memberOf(a.tx, a.cluster, number)
	if err == nil && m.State == MemberGone {
		err = errGone(m)
	}
	return m, err
}
