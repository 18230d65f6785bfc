package hubsvc

import (
	"cmp"
	"slices"
)

// PlanMember is a member that is not gone, as the controller sees it. Whoever
// is not among the members is gone.
type PlanMember struct {
	Number  uint32
	Leaving bool
	Alive   bool // it answers
	Swap    bool // it has not answered for so long that its replicas are to be replaced; means nothing beside Alive
}

// PlanGroup is what is wanted of a group so far.
type PlanGroup struct {
	Placement

	// Settled: the group's leader reports a configuration equal to the
	// Placement, and the replicas on members that are alive have caught up.
	Settled bool
}

// PlanInput is what a plan is made of.
type PlanInput struct {
	Members  []PlanMember
	Groups   []PlanGroup
	MovesMax int // partitions whose replicas may be on the move, those under way included
}

// Plan returns the next changes of placement, ordered by group: of partitions
// toward min(3, members) replicas each, whose numbers, and those of preferred
// leaders, differ by 1 at most between the members that are alive; of the
// system group toward three voters and a learner on every other member. It is
// a function of its input. Applied, settled and repeated, it comes to an end.
//
// It moves as little as it can: what is on a member that stays, stays, unless
// that is needed for the spread. A replica on a leaving member, or on one to be
// swapped, is replaced and not only removed, as long as three copies are
// due. A group has one voter or three, never two; with two members that is
// one voter and one learner. Of a group without a living majority
// nothing is changed, a change always keeps a replica on a living member,
// and a group that is on the move changes only to replace the dead.
func Plan(in PlanInput) []PlacementChange {
	p := newPlanner(in)
	p.repair()
	p.spreadReplicas()
	p.cut()
	p.spreadLeaders()
	var changes []PlacementChange
	for _, g := range p.groups {
		if !slices.Equal(g.next, g.Replicas) {
			changes = append(changes, PlacementChange{Group: g.Group, Expected: g.Version, Replicas: g.next})
		}
	}
	return changes
}

// planner is one run of Plan.
type planner struct {
	members []PlanMember // by number
	groups  []*planGroup // by group
	moved   []*planGroup // those set in motion by this run, in the order of need
	copies  int          // replicas that a partition should have
	left    int          // how many may be set in motion
}

type planGroup struct {
	PlanGroup
	next  []Replica // Replicas with what has been decided; replaced, never changed
	still bool      // settled, and not set in motion by this run
}

func newPlanner(in PlanInput) *planner {
	p := &planner{members: slices.Clone(in.Members), left: in.MovesMax}
	slices.SortFunc(p.members, func(a, b PlanMember) int { return cmp.Compare(a.Number, b.Number) })
	staying := 0
	for _, m := range p.members {
		if !m.Leaving {
			staying++
		}
	}
	p.copies = max(min(staying, VotersMax), 1)
	for _, g := range in.Groups {
		p.groups = append(p.groups, &planGroup{PlanGroup: g, next: g.Replicas, still: g.Settled})
		if !g.Settled && g.Group != SystemGroup {
			p.left--
		}
	}
	slices.SortFunc(p.groups, func(a, b *planGroup) int { return cmp.Compare(a.Group, b.Group) })
	return p
}

func (p *planner) member(number uint32) (PlanMember, bool) {
	i, ok := slices.BinarySearchFunc(p.members, number, func(m PlanMember, n uint32) int { return cmp.Compare(m.Number, n) })
	if !ok {
		return PlanMember{}, false
	}
	return p.members[i], true
}

// fit says that a member may get replicas.
func (m PlanMember) fit() bool { return m.Alive && !m.Leaving }

func (p *planner) fit(number uint32) bool {
	m, ok := p.member(number)
	return ok && m.fit()
}

func (p *planner) alive(r Replica) bool {
	m, ok := p.member(r.ID.Member())
	return ok && m.Alive
}

// stays says that a replica need not be replaced. In a group on the move
// whatever is alive stays: it may be the one that has the data.
func (p *planner) stays(g *planGroup, r Replica) bool {
	m, ok := p.member(r.ID.Member())
	if !ok || m.Swap && !m.Alive {
		return false
	}
	return !m.Leaving || !g.Settled && m.Alive
}

// led says that a majority of the voters is alive.
func (p *planner) led(replicas []Replica) bool {
	voters, alive := 0, 0
	for _, r := range replicas {
		if !r.Learner {
			voters++
			if p.alive(r) {
				alive++
			}
		}
	}
	return 2*alive > voters
}

// repair brings every group to the right number of replicas on members that
// stay; the groups with the fewest living replicas first.
func (p *planner) repair() {
	order := slices.Clone(p.groups)
	slices.SortStableFunc(order, func(a, b *planGroup) int { return cmp.Compare(p.living(a), p.living(b)) })
	for _, g := range order {
		if !p.led(g.next) {
			continue
		}
		if g.Group == SystemGroup {
			g.next = p.systemReplicas(g)
			continue
		}
		p.move(g, p.partitionReplicas(g))
	}
}

// living counts the replicas that are alive and stay.
func (p *planner) living(g *planGroup) int {
	n := 0
	for _, r := range g.Replicas {
		if p.alive(r) && p.stays(g, r) {
			n++
		}
	}
	return n
}

// move decides next for g, which sets it in motion if it is not.
func (p *planner) move(g *planGroup, next []Replica) {
	if slices.Equal(next, g.next) {
		return
	}
	if g.still {
		p.moved = append(p.moved, g)
		g.still = false
	}
	g.next = next
}

// cut takes back the moves that are too many. All are thought through first:
// where a copy is best made depends on those that will follow.
func (p *planner) cut() {
	for i, g := range p.moved {
		if i >= p.left {
			g.next, g.still = g.Replicas, true
		}
	}
	p.left -= min(len(p.moved), max(p.left, 0))
}

// partitionReplicas returns what a partition should have.
func (p *planner) partitionReplicas(g *planGroup) []Replica {
	var list, out []Replica
	for _, r := range g.next {
		if p.stays(g, r) {
			list = append(list, r)
		} else {
			out = append(out, r)
		}
	}
	if !g.Settled && len(out) == 0 {
		return g.next
	}
	want := p.copies
	if !slices.ContainsFunc(list, p.alive) { // keep one to copy from, until a copy has settled
		i := slices.IndexFunc(out, func(r Replica) bool { return p.alive(r) && !r.Learner })
		list = slices.Insert(list, 0, out[i])
		out = slices.Delete(out, i, i+1)
		want = max(want, 2)
	}
	list = p.shorten(g, list, want)
	for len(list) < want {
		number, ok := p.emptiest(list)
		if !ok {
			break
		}
		list = append(list, Replica{ID: NewReplica(number), Learner: true})
	}
	for _, r := range out { // nobody else can have it yet
		if len(list) < want && (p.alive(r) || !r.Learner) {
			list = append(list, r)
		}
	}
	return p.assignRoles(list)
}

// shorten removes what is too much, the least useful first, unless g is on the
// move.
func (p *planner) shorten(g *planGroup, list []Replica, want int) []Replica {
	for g.Settled && len(list) > want {
		worst, badness := 0, -1
		for i, r := range list {
			b := 0
			if !p.alive(r) {
				b += 2
			}
			if r.Learner {
				b++
			}
			if b >= badness {
				worst, badness = i, b
			}
		}
		list = slices.Delete(list, worst, worst+1)
	}
	return list
}

// emptiest returns the fit member with the fewest replicas that has none in list.
func (p *planner) emptiest(list []Replica) (uint32, bool) {
	load := p.load()
	best := -1
	for i, m := range p.members {
		has := slices.ContainsFunc(list, func(r Replica) bool { return r.ID.Member() == m.Number })
		if m.fit() && !has && (best < 0 || load[i] < load[best]) {
			best = i
		}
	}
	if best < 0 {
		return 0, false
	}
	return p.members[best].Number, true
}

// load counts the replicas of partitions on every member.
func (p *planner) load() []int {
	load := make([]int, len(p.members))
	for _, g := range p.groups {
		if g.Group == SystemGroup {
			continue
		}
		for _, r := range g.next {
			if i, ok := p.index(r.ID.Member()); ok {
				load[i]++
			}
		}
	}
	return load
}

func (p *planner) index(number uint32) (int, bool) {
	return slices.BinarySearchFunc(p.members, number, func(m PlanMember, n uint32) int { return cmp.Compare(m.Number, n) })
}

// assignRoles makes three of the replicas voters, if there are three that vote
// already or are alive to learn it, else one; and puts the voters first.
func (p *planner) assignRoles(list []Replica) []Replica {
	able := make([]Replica, 0, len(list)) // to vote, those who do so now first
	for _, r := range list {
		if !r.Learner {
			able = append(able, r)
		}
	}
	for _, r := range list {
		if r.Learner && p.alive(r) {
			able = append(able, r)
		}
	}
	if len(able) >= VotersMax {
		return withVoters(list, able[:VotersMax])
	}
	return withVoters(list, []Replica{p.soleVoter(able)})
}

// soleVoter chooses who votes alone: one that is fit, one that is alive, or the first.
func (p *planner) soleVoter(able []Replica) Replica {
	if i := slices.IndexFunc(able, func(r Replica) bool { return p.fit(r.ID.Member()) && r.ID.Serial() != 0 }); i >= 0 {
		return able[i]
	}
	if i := slices.IndexFunc(able, p.alive); i >= 0 {
		return able[i]
	}
	return able[0]
}

// withVoters returns list with exactly these voters, first and in list's order.
func withVoters(list, voters []Replica) []Replica {
	next := make([]Replica, 0, len(list))
	for _, learner := range []bool{false, true} {
		for _, r := range list {
			if slices.Contains(voters, r) != learner {
				next = append(next, Replica{ID: r.ID, Learner: learner})
			}
		}
	}
	return next
}

// systemReplicas returns what the system group should have: a replica on every
// member, up to three of them voters.
func (p *planner) systemReplicas(g *planGroup) []Replica {
	list := make([]Replica, 0, len(g.next))
	for _, r := range g.next {
		if _, known := p.member(r.ID.Member()); known || !r.Learner {
			list = append(list, r)
		}
	}
	for _, m := range p.members {
		if _, has := g.On(m.Number); m.fit() && !has {
			list = append(list, Replica{ID: NewReplica(m.Number), Learner: true})
		}
	}
	var stay, out, able []Replica
	for _, r := range list {
		switch {
		case !r.Learner && p.stays(g, r):
			stay = append(stay, r)
		case !r.Learner:
			out = append(out, r)
		case p.fit(r.ID.Member()):
			able = append(able, r)
		}
	}
	if !g.Settled && len(out) == 0 {
		return list
	}
	voters := slices.Concat(stay, able)
	if len(stay)+len(out) == VotersMax {
		voters = append(voters, out...)
	}
	if p.copies == VotersMax && len(voters) >= VotersMax {
		voters = voters[:VotersMax]
	} else {
		voters = []Replica{p.soleVoter(slices.Concat(stay, able, out))}
	}
	return slices.DeleteFunc(withVoters(list, voters), func(r Replica) bool {
		_, known := p.member(r.ID.Member())
		return r.Learner && !known
	})
}
