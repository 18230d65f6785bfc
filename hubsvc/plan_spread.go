package hubsvc

import (
	"cmp"
	"slices"
)

// The two balances of a plan. Both move from a member with more to one with
// fewer by at least 2, so each step lowers the sum of squares: they end, and
// they end with a difference of 1 at most.

// spreadReplicas evens the numbers of replicas between the members that are
// alive. With three or fewer, every member has every partition.
func (p *planner) spreadReplicas() {
	if p.copies < VotersMax {
		return
	}
	for p.moveReplica(true) || p.moveReplica(false) {
	}
}

// moveReplica moves one replica from the fullest member it can to the
// emptiest: one that has yet to be made, or one that is at rest.
func (p *planner) moveReplica(unmade bool) bool {
	load := p.load()
	order := make([]int, 0, len(p.members)) // the emptiest first
	for i, m := range p.members {
		if m.fit() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(load[a], load[b]) })
	for i := len(order) - 1; i > 0; i-- {
		for j := 0; load[order[i]]-load[order[j]] >= 2; j++ {
			from, to := p.members[order[i]].Number, p.members[order[j]].Number
			if g, at := p.movable(from, to, unmade); g != nil {
				next := slices.Clone(g.next)
				next[at].ID = NewReplica(to)
				p.move(g, next)
				return true
			}
		}
	}
	return false
}

// movable returns a partition that has such a replica on from, the farther
// from leadership the better, and none on to; and the replica's place.
func (p *planner) movable(from, to uint32, unmade bool) (best *planGroup, at int) {
	at = -1
	for _, g := range p.groups {
		i := place(g.next, from)
		if g.Group == SystemGroup || i <= at || place(g.next, to) >= 0 {
			continue
		}
		atRest := g.still && len(g.next) == VotersMax && p.led(g.next) && p.copyable(g, i)
		if unmade && g.next[i].ID.Serial() == 0 || !unmade && atRest {
			best, at = g, i
		}
	}
	return best, at
}

// copyable says that a living replica is left without the one at i.
func (p *planner) copyable(g *planGroup, i int) bool {
	for j, r := range g.next {
		if j != i && p.alive(r) {
			return true
		}
	}
	return false
}

func place(replicas []Replica, member uint32) int {
	return slices.IndexFunc(replicas, func(r Replica) bool { return r.ID.Member() == member })
}

// spreadLeaders evens the numbers of preferred leaders between the members that
// are alive, along paths: where the fullest shares no partition with the
// emptiest, one between them passes one on. When replicas are even, and every
// partition has three, a path exists as long as leaders are not.
func (p *planner) spreadLeaders() {
	for p.passLeader() {
	}
}

// handover is one step of a path: group g is led by another member of it.
type handover struct {
	from int // index of the member that the path came from
	g    *planGroup
}

func (p *planner) passLeader() bool {
	leads := make([]int, len(p.members))
	led := make([][]*planGroup, len(p.members))
	for _, g := range p.groups {
		if i, ok := p.index(g.next[0].ID.Member()); ok && g.Group != SystemGroup {
			leads[i]++
			led[i] = append(led[i], g)
		}
	}
	order := make([]int, 0, len(p.members)) // who leads most first
	for i, m := range p.members {
		if m.fit() {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(leads[b], leads[a]) })
	for _, start := range order {
		if leads[start]-leads[order[len(order)-1]] < 2 {
			break
		}
		if p.passFrom(start, leads, led) {
			return true
		}
	}
	return false
}

// passFrom looks breadth first for a member that leads at least 2 fewer than
// start, and passes one partition along the way to it.
func (p *planner) passFrom(start int, leads []int, led [][]*planGroup) bool {
	came := make([]handover, len(p.members))
	came[start].from = start
	queue := []int{start}
	seen := make([]bool, len(p.members))
	seen[start] = true
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if leads[start]-leads[at] >= 2 {
			return p.pass(came, start, at)
		}
		for _, g := range led[at] {
			for _, r := range g.next[1:] {
				to, ok := p.index(r.ID.Member())
				if ok && !seen[to] && p.mayLead(g, r) {
					seen[to], came[to] = true, handover{from: at, g: g}
					queue = append(queue, to)
				}
			}
		}
	}
	return false
}

// mayLead says that g may prefer r as its leader: a voter is a matter of order;
// of two replicas, the learner becomes the voter, which is a move.
func (p *planner) mayLead(g *planGroup, r Replica) bool {
	if !p.fit(r.ID.Member()) {
		return false
	}
	return !r.Learner || p.copies == 2 && len(g.next) == 2 && g.still && p.left > 0
}

func (p *planner) pass(came []handover, start, end int) bool {
	for at := end; at != start; at = came[at].from {
		g := came[at].g
		i := place(g.next, p.members[at].Number)
		next := slices.Concat(g.next[i:i+1], g.next[:i], g.next[i+1:])
		if !next[0].Learner {
			g.next = next
			continue
		}
		next[0].Learner, next[1].Learner = false, true
		p.move(g, next)
		p.left--
	}
	return true
}
