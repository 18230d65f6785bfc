// Package placement decides where the replicas of a cluster should be. The
// Controller runs on every node and works on the one that leads the system
// group: it looks at who is alive and what the groups report, lets hubsvc.Plan
// decide, and writes the result into the system group. It moves nothing itself:
// each group's leader takes its group there (see actors).
//
// Owns: how long each member has been away, since this node leads. Never: a
// decision that does not go through the system group's log, so that two
// controllers that both believe to lead cannot contradict each other: the later
// one's changes expect a version that is gone.
package placement

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/hubsvc"
)

// Cluster is what the controller sees and does; *actors.Node and
// *hubsvc.Embedded are its parts.
type Cluster interface {
	// Leads reports whether this node leads the system group.
	Leads() bool
	// Alive reports whether a member answers.
	Alive(number uint32) bool
	// ReportsOf returns the status of the groups that a member leads.
	ReportsOf(ctx context.Context, number uint32) ([]driver.Status, error)
	Topology() *hubsvc.Topology
	SetPlacements(ctx context.Context, changes []hubsvc.PlacementChange) ([]hubsvc.Placement, error)
	SetMemberState(ctx context.Context, number uint32, s hubsvc.MemberState) (hubsvc.Member, error)
}

// Options of a Controller.
type Options struct {
	Cluster   Cluster
	SwapAfter time.Duration // a member away for so long is replaced where another one can take its place
	MovesMax  int           // partitions on the move at a time; default 32
	Interval  time.Duration // between two looks; default 1 s
	Logger    *slog.Logger
}

// Controller is one goroutine, from Start to Stop.
type Controller struct {
	options Options
	away    map[uint32]time.Time // members that do not answer, since when
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// Start returns a running controller.
func Start(o Options) *Controller {
	if o.MovesMax == 0 {
		o.MovesMax = 32
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Controller{options: o, away: map[uint32]time.Time{}, cancel: cancel}
	c.done.Go(func() { c.run(ctx) })
	return c
}

// Stop ends the goroutine and waits for it.
func (c *Controller) Stop() {
	c.cancel()
	c.done.Wait()
}

func (c *Controller) run(ctx context.Context) {
	every := time.NewTicker(c.options.Interval)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
		if !c.options.Cluster.Leads() {
			clear(c.away)
			continue
		}
		c.look(ctx, time.Now())
	}
}

// look plans once.
func (c *Controller) look(ctx context.Context, now time.Time) {
	t := c.options.Cluster.Topology()
	members := c.members(t, now)
	if len(members) < 2 && !moving(t) {
		return // a single node is where everything is
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	groups := c.groups(ctx, t, members)
	changes := hubsvc.Plan(hubsvc.PlanInput{Members: members, Groups: groups, MovesMax: c.options.MovesMax})
	if len(changes) == 0 {
		c.letGo(ctx, members, groups)
		return
	}
	if _, err := c.options.Cluster.SetPlacements(ctx, changes); err != nil {
		c.options.Logger.Info("the placement was not changed; trying again", "groups", len(changes), "err", err)
		return
	}
	c.options.Logger.Info("placement changed", "groups", len(changes))
}

// letGo ends the membership of leaving members that nothing needs any more: the
// only replica that one has is a learner of the system group, by which it hears
// of this.
func (c *Controller) letGo(ctx context.Context, members []hubsvc.PlanMember, groups []hubsvc.PlanGroup) {
	for _, m := range members {
		if !m.Leaving || slices.ContainsFunc(groups, func(g hubsvc.PlanGroup) bool { return needs(g, m.Number) }) {
			continue
		}
		if _, err := c.options.Cluster.SetMemberState(ctx, m.Number, hubsvc.MemberGone); err != nil {
			c.options.Logger.Info("a node that leaves stays a member for now", "number", m.Number, "err", err)
			continue
		}
		c.options.Logger.Info("a node has left the cluster", "number", m.Number)
	}
}

// needs reports whether a group is or was on a member until others have it.
func needs(g hubsvc.PlanGroup, member uint32) bool {
	if r, on := g.On(member); on {
		return g.Group != hubsvc.SystemGroup || !r.Learner
	}
	return !g.Settled
}

// moving reports whether a group wants more than one replica although there is
// one member: others have left.
func moving(t *hubsvc.Topology) bool {
	return slices.ContainsFunc(t.Placements(), func(p hubsvc.Placement) bool { return len(p.Replicas) > 1 })
}

// members says who is alive, and who has been away for too long.
func (c *Controller) members(t *hubsvc.Topology, now time.Time) (members []hubsvc.PlanMember) {
	for _, m := range t.Members() {
		if m.State == hubsvc.MemberGone {
			delete(c.away, m.Number)
			continue
		}
		alive := c.options.Cluster.Alive(m.Number)
		if alive {
			delete(c.away, m.Number)
		} else if _, known := c.away[m.Number]; !known {
			c.away[m.Number] = now
		}
		members = append(members, hubsvc.PlanMember{
			Number: m.Number, Leaving: m.State == hubsvc.MemberLeaving, Alive: alive,
			Swap: !alive && now.Sub(c.away[m.Number]) >= c.options.SwapAfter,
		})
	}
	return members
}

// groups compares what is wanted with what the leaders report.
func (c *Controller) groups(ctx context.Context, t *hubsvc.Topology, members []hubsvc.PlanMember) []hubsvc.PlanGroup {
	reports := map[uint64]driver.Status{}
	for _, m := range members {
		if !m.Alive {
			continue
		}
		all, err := c.options.Cluster.ReportsOf(ctx, m.Number)
		if err != nil {
			continue // its groups count as not settled
		}
		for _, s := range all {
			if s.Group < uint64(len(t.Placements())) && s.Term >= reports[s.Group].Term {
				reports[s.Group] = s
			}
		}
	}
	groups := make([]hubsvc.PlanGroup, 0, len(t.Placements()))
	for _, p := range t.Placements() {
		s, known := reports[p.Group]
		groups = append(groups, hubsvc.PlanGroup{Placement: p, Settled: known && settled(p, s, members)})
	}
	return groups
}

// settled reports whether a group is where it should be: its members are those
// wanted, and those on members that are alive follow the log.
func settled(p hubsvc.Placement, s driver.Status, members []hubsvc.PlanMember) bool {
	if s.Joint() || len(s.Voters)+len(s.Learners) != len(p.Replicas) {
		return false
	}
	for _, r := range p.Replicas {
		in := s.Voters
		if r.Learner {
			in = s.Learners
		}
		if !slices.Contains(in, uint64(r.ID)) {
			return false
		}
		alive := slices.ContainsFunc(members, func(m hubsvc.PlanMember) bool { return m.Number == r.ID.Member() && m.Alive })
		follows := slices.ContainsFunc(s.Members, func(m driver.Member) bool {
			return m.Replica == uint64(r.ID) && (m.Replica == s.Replica || m.Flow == driver.Replicating)
		})
		if alive && !follows {
			return false
		}
	}
	return true
}
