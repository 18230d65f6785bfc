package hubsvc

import "encoding/binary"

// The cluster's own records, with what the birth implies where none is stored.

func memberKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{tagMember}, number)
}

func tokenKey(h TokenHash) []byte { return append([]byte{tagToken}, h[:]...) }

func groupKey(group uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tagPlacement}, group)
}

func settingsOf(r Reader) (settings, error) {
	s, ok, err := get[settings](r, []byte{tagSettings})
	if err == nil && !ok {
		s = impliedSettings()
	}
	return s, err
}

func memberOf(r Reader, c Cluster, number uint32) (Member, error) {
	m, ok, err := get[Member](r, memberKey(number))
	switch {
	case err != nil || ok:
		return m, err
	case number == FirstMember:
		return impliedMember(c), nil
	}
	return m, errorf(CodeNotFound, "there is no member %d", number)
}

// membersOf returns all members, by number.
func membersOf(r Reader, c Cluster) ([]Member, error) {
	members, err := list[Member](r, tagMember)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 || members[0].Number != FirstMember {
		members = append([]Member{impliedMember(c)}, members...)
	}
	return members, nil
}

func placementOf(r Reader, c Cluster, group uint64) (Placement, error) {
	p, ok, err := get[Placement](r, groupKey(group))
	if err == nil && !ok {
		p = impliedPlacement(c, group)
	}
	return p, err
}
