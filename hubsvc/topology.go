package hubsvc

import (
	"cmp"
	"slices"
)

// Topology is who is in the cluster and what they should have, as of one entry
// of the system group. It is immutable, and what its methods return is shared:
// do not change it.
type Topology struct {
	version    uint64
	name       string
	members    []Member    // by number
	placements []Placement // by group
	authority  *authority  // nil without one
	changed    chan struct{}
}

// Version grows with every change: it is the log index of the last one. It is
// 0 before the birth is known.
func (t *Topology) Version() uint64 { return t.version }

// Changed is closed when there is a later Topology.
func (t *Topology) Changed() <-chan struct{} { return t.changed }

// ClusterName returns the cluster's name, "" until it is named.
func (t *Topology) ClusterName() string { return t.name }

// Members returns the members by number, those that are gone too.
func (t *Topology) Members() []Member { return t.members }

// Member returns a member.
func (t *Topology) Member(number uint32) (Member, bool) {
	i, ok := findMember(t.members, number)
	if !ok {
		return Member{}, false
	}
	return t.members[i], true
}

// MemberByName returns the member of a name that is not gone.
func (t *Topology) MemberByName(name string) (Member, bool) { return named(t.members, name) }

// Placements returns the placement of every group, the system group first.
func (t *Topology) Placements() []Placement { return t.placements }

// Placement returns the placement of a group.
func (t *Topology) Placement(group uint64) (Placement, bool) {
	if group >= uint64(len(t.placements)) {
		return Placement{}, false
	}
	return t.placements[group], true
}

func findMember(members []Member, number uint32) (int, bool) {
	return slices.BinarySearchFunc(members, number, func(m Member, n uint32) int { return cmp.Compare(m.Number, n) })
}

func newTopology() *Topology { return &Topology{changed: make(chan struct{})} }

// impliedTopology is what a birth alone brings about.
func impliedTopology(c Cluster) *Topology {
	t := newTopology()
	t.version = c.Index
	t.members = []Member{impliedMember(c)}
	t.placements = make([]Placement, c.Partitions+1)
	for g := range t.placements {
		t.placements[g] = impliedPlacement(c, uint64(g))
	}
	return t
}

// after returns the topology that c leads to, and false when c has none of it.
func (t *Topology) after(c Change) (*Topology, bool, error) {
	touched := c.Cluster != nil || c.ClusterName != "" || c.Authority != nil || len(c.Members)+len(c.Forgotten)+len(c.Placements) > 0
	if !touched {
		return t, false, nil
	}
	next := *t
	next.changed = make(chan struct{})
	if c.Cluster != nil {
		next = *impliedTopology(*c.Cluster)
	}
	next.version = max(next.version, c.Index)
	if c.ClusterName != "" {
		next.name = c.ClusterName
	}
	if c.Authority != nil {
		parsed, err := openAuthority(*c.Authority)
		if err != nil {
			return nil, false, err
		}
		next.authority = parsed
		next.version = max(next.version, c.Authority.Index)
	}
	next.setMembers(c)
	return &next, true, next.setPlacements(c.Placements)
}

func (t *Topology) setMembers(c Change) {
	if len(c.Members)+len(c.Forgotten) == 0 {
		return
	}
	members := slices.DeleteFunc(slices.Clone(t.members), func(m Member) bool { return slices.Contains(c.Forgotten, m.Number) })
	for _, m := range c.Members {
		t.version = max(t.version, m.Updated)
		if i, ok := findMember(members, m.Number); ok {
			members[i] = m
		} else {
			members = slices.Insert(members, i, m)
		}
	}
	t.members = members
}

func (t *Topology) setPlacements(changed []Placement) error {
	if len(changed) == 0 {
		return nil
	}
	t.placements = slices.Clone(t.placements)
	for _, p := range changed {
		if p.Group >= uint64(len(t.placements)) {
			return errorf(CodeDataLoss, "there is a placement of group %d of %d", p.Group, len(t.placements))
		}
		t.version = max(t.version, p.Version)
		t.placements[p.Group] = p
	}
	return nil
}

// Topology returns the cluster's members and placement as applied on this node,
// never nil. It costs an atomic load.
func (d *Directory) Topology() *Topology { return d.topology.Load() }

// Members returns Topology().Members().
func (d *Directory) Members() []Member { return d.Topology().Members() }

// Member returns Topology().Member(number).
func (d *Directory) Member(number uint32) (Member, bool) { return d.Topology().Member(number) }

// MemberByName returns Topology().MemberByName(name).
func (d *Directory) MemberByName(name string) (Member, bool) { return d.Topology().MemberByName(name) }

// Placements returns Topology().Placements().
func (d *Directory) Placements() []Placement { return d.Topology().Placements() }

// Placement returns Topology().Placement(group).
func (d *Directory) Placement(group uint64) (Placement, bool) { return d.Topology().Placement(group) }

// observeTopology publishes what c did to the topology. It is called under d.mu.
func (d *Directory) observeTopology(c Change) error {
	old := d.topology.Load()
	next, touched, err := old.after(c)
	if err != nil || !touched {
		return err
	}
	d.topology.Store(next)
	close(old.changed)
	return nil
}
