package placement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/hubsvc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hive is a cluster whose groups are at once where they should be, unless it
// is told otherwise.
type hive struct {
	mu      sync.Mutex
	leads   bool
	away    map[uint32]bool
	stuck   map[uint64]bool // groups that stay where they are
	at      map[uint64][]hubsvc.Replica
	refuse  error
	keys    *hubsvc.Directory
	index   uint64
	serial  uint32
	changes int
	most    int // groups in one change
}

func newHive(partitions, members uint32) *hive {
	h := &hive{leads: true, away: map[uint32]bool{}, stuck: map[uint64]bool{}, at: map[uint64][]hubsvc.Replica{}, index: 1, serial: 1}
	h.keys = hubsvc.NewDirectory(hubsvc.NewKeyHasher(make([]byte, 32)), time.Now)
	h.keys.Observe(hubsvc.Change{Index: 1, Cluster: &hubsvc.Cluster{Partitions: partitions, Index: 1}})
	for n := uint32(2); n <= members; n++ {
		h.join(n)
	}
	for _, p := range h.keys.Placements() {
		h.at[p.Group] = p.Replicas
	}
	return h
}

func (h *hive) join(n uint32) { h.state(n, hubsvc.MemberActive) }

func (h *hive) state(n uint32, s hubsvc.MemberState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.index++
	h.keys.Observe(hubsvc.Change{Index: h.index, Members: []hubsvc.Member{{Number: n, Name: fmt.Sprint("n", n), State: s, Updated: h.index}}})
}

func (h *hive) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *hive) Leads() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leads
}

func (h *hive) Alive(n uint32) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.away[n]
}

func (h *hive) Topology() *hubsvc.Topology { return h.keys.Topology() }

// ReportsOf lets the first replica on a living member lead its group.
func (h *hive) ReportsOf(_ context.Context, n uint32) (all []driver.Status, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away[n] {
		return nil, errors.New("away")
	}
	for group, replicas := range h.at {
		s := driver.Status{Group: group, Term: 1, Role: driver.Leader}
		for _, r := range replicas {
			id := uint64(r.ID)
			if s.Replica == 0 && !h.away[r.ID.Member()] && !r.Learner {
				s.Replica = id
			}
			if r.Learner {
				s.Learners = append(s.Learners, id)
			} else {
				s.Voters = append(s.Voters, id)
			}
			s.Members = append(s.Members, driver.Member{Replica: id, Learner: r.Learner, Active: true, Flow: driver.Replicating})
		}
		if hubsvc.ReplicaID(s.Replica).Member() == n {
			all = append(all, s)
		}
	}
	return all, nil
}

func (h *hive) SetPlacements(_ context.Context, changes []hubsvc.PlacementChange) (done []hubsvc.Placement, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return nil, h.refuse
	}
	h.index++
	h.changes++
	h.most = max(h.most, len(changes))
	for _, c := range changes {
		p := hubsvc.Placement{Group: c.Group, Version: h.index}
		for _, r := range c.Replicas {
			if r.ID.Serial() == 0 {
				h.serial++
				r.ID += hubsvc.ReplicaID(h.serial)
			}
			p.Replicas = append(p.Replicas, r)
		}
		if !h.stuck[c.Group] {
			h.at[c.Group] = p.Replicas
		}
		done = append(done, p)
	}
	h.keys.Observe(hubsvc.Change{Index: h.index, Placements: done})
	return done, nil
}

// SetMemberState notes a member's state.
func (h *hive) SetMemberState(_ context.Context, n uint32, state hubsvc.MemberState) (hubsvc.Member, error) {
	h.state(n, state)
	m, _ := h.keys.Member(n)
	return m, nil
}

// on counts the replicas that are wanted on a member.
func (h *hive) on(n uint32) (count int) {
	for _, p := range h.keys.Placements() {
		if _, ok := p.On(n); ok {
			count++
		}
	}
	return count
}

func run(t *testing.T, h *hive, o Options, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o.Cluster, o.Logger = h, slog.New(slog.DiscardHandler)
		c := Start(o)
		defer c.Stop()
		test(t)
	})
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Members that come get their share, in moves of which only so many are under
// way; then nothing changes any more.
func TestSpreads(t *testing.T) {
	h := newHive(8, 1)
	run(t, h, Options{SwapAfter: time.Minute, MovesMax: 3}, func(t *testing.T) {
		wait(5 * time.Second)
		if h.changes != 0 {
			t.Fatalf("a single member was changed %d times", h.changes)
		}
		h.join(2)
		h.join(3)
		wait(time.Minute)
		for _, n := range []uint32{1, 2, 3} {
			if got := h.on(n); got != 9 {
				t.Errorf("member %d has %d replicas of 9 groups", n, got)
			}
		}
		if h.most > 4 { // and the system group
			t.Errorf("%d groups began to move at once", h.most)
		}
		before := h.changes
		wait(5 * time.Minute)
		if h.changes != before {
			t.Errorf("%d changes of what is as it should be", h.changes-before)
		}
	})
}

// A group that does not come to where it should be holds no other one up, and
// is not moved on.
func TestUnsettled(t *testing.T) {
	h := newHive(4, 3)
	h.stuck[2] = true
	run(t, h, Options{SwapAfter: time.Hour, MovesMax: 2}, func(t *testing.T) {
		wait(time.Minute)
		for n := uint32(1); n <= 3; n++ {
			if got := h.on(n); got != 5 {
				t.Errorf("member %d has %d replicas", n, got)
			}
		}
		stuck, _ := h.keys.Placement(2)
		h.join(4)
		wait(time.Minute)
		if now, _ := h.keys.Placement(2); now.Version != stuck.Version {
			t.Errorf("a group on the move was moved on: %v, then %v", stuck, now)
		}
		if h.on(4) == 0 {
			t.Error("the others wait for it")
		}
	})
}

// A member that is away is replaced after so long, and not before. Whoever is
// back in between begins anew.
func TestSwapAfter(t *testing.T) {
	h := newHive(6, 4)
	run(t, h, Options{SwapAfter: time.Minute}, func(t *testing.T) {
		wait(30 * time.Second)
		has := h.on(2)
		if has < 4 {
			t.Fatalf("member 2 has %d replicas", has)
		}
		h.set(func() { h.away[2] = true })
		wait(55 * time.Second)
		h.set(func() { h.away[2] = false })
		wait(5 * time.Second)
		h.set(func() { h.away[2] = true })
		wait(55 * time.Second)
		if got := h.on(2); got != has {
			t.Errorf("after 55 s twice %d of %d replicas are left", got, has)
		}
		wait(30 * time.Second)
		if got := h.on(2); got > 1 {
			t.Errorf("after 85 s there are %d replicas", got)
		}
	})
}

// Who comes to lead knows nothing of how long members have been away.
func TestLostLeadershipClearsTimers(t *testing.T) {
	h := newHive(6, 4)
	run(t, h, Options{SwapAfter: time.Minute}, func(t *testing.T) {
		wait(30 * time.Second)
		has := h.on(2)
		h.set(func() { h.away[2] = true })
		wait(50 * time.Second)
		h.set(func() { h.leads = false })
		wait(5 * time.Minute)
		if got := h.on(2); got != has {
			t.Errorf("a node that does not lead changed %d replicas to %d", has, got)
		}
		h.set(func() { h.leads = true })
		wait(50 * time.Second)
		if got := h.on(2); got != has {
			t.Errorf("after 50 s of leading %d of %d replicas are left", got, has)
		}
		wait(30 * time.Second)
		if got := h.on(2); got > 1 {
			t.Errorf("after 80 s of leading there are %d replicas", got)
		}
	})
}

// A leaving member is emptied, and a refused change is tried again.
func TestLeaving(t *testing.T) {
	h := newHive(6, 4)
	run(t, h, Options{SwapAfter: time.Hour}, func(t *testing.T) {
		wait(30 * time.Second)
		h.set(func() { h.refuse = errors.New("the version has changed") })
		h.state(3, hubsvc.MemberLeaving)
		wait(10 * time.Second)
		if h.on(3) == 0 {
			t.Fatal("a refused change took effect")
		}
		if m, _ := h.keys.Member(3); m.State != hubsvc.MemberLeaving {
			t.Fatal("a member that others need is let go")
		}
		on3 := func(p hubsvc.Placement) bool { _, on := p.On(3); return on && p.Group != hubsvc.SystemGroup }
		slow := h.keys.Placements()[slices.IndexFunc(h.keys.Placements(), on3)].Group
		h.set(func() { h.refuse = nil; h.stuck[slow] = true })
		wait(time.Minute)
		if m, _ := h.keys.Member(3); m.State != hubsvc.MemberLeaving {
			t.Error("a member is let go whose data has not arrived elsewhere")
		}
		p, _ := h.keys.Placement(slow)
		h.set(func() { delete(h.stuck, slow); h.at[slow] = p.Replicas })
		wait(time.Minute)
		if got := h.on(3); got > 1 {
			t.Errorf("a leaving member has %d replicas", got)
		}
		if m, _ := h.keys.Member(3); m.State != hubsvc.MemberGone {
			t.Error("a member that nobody needs stays")
		}
	})
}

func TestSettled(t *testing.T) {
	id := func(n uint32) uint64 { return uint64(hubsvc.NewReplica(n)) + 1 }
	r := func(n uint32) hubsvc.Replica { return hubsvc.Replica{ID: hubsvc.ReplicaID(id(n))} }
	l := func(n uint32) hubsvc.Replica {
		return hubsvc.Replica{ID: hubsvc.ReplicaID(id(n)), Learner: true}
	}
	follows := func(n uint32, f driver.Flow) driver.Member { return driver.Member{Replica: id(n), Flow: f} }
	alive := []hubsvc.PlanMember{{Number: 1, Alive: true}, {Number: 2, Alive: true}, {Number: 3, Alive: true}}
	dead := []hubsvc.PlanMember{{Number: 1, Alive: true}, {Number: 2, Alive: true}, {Number: 3}}
	two := driver.Status{
		Replica: id(1), Voters: []uint64{id(1)}, Learners: []uint64{id(2)},
		Members: []driver.Member{follows(1, driver.Probing), follows(2, driver.Replicating)},
	}
	three := driver.Status{
		Replica: id(1), Voters: []uint64{id(1), id(2), id(3)},
		Members: []driver.Member{follows(1, driver.Probing), follows(2, driver.Replicating), follows(3, driver.AwaitingImage)},
	}
	joint := two
	joint.VotersOutgoing = []uint64{id(2)}
	for _, c := range []struct {
		name    string
		want    []hubsvc.Replica
		s       driver.Status
		members []hubsvc.PlanMember
		settled bool
	}{
		{"voter and learner", []hubsvc.Replica{r(1), l(2)}, two, alive, true},
		{"the other way round", []hubsvc.Replica{r(2), l(1)}, two, alive, false},
		{"one too many", []hubsvc.Replica{r(1)}, two, alive, false},
		{"one too few", []hubsvc.Replica{r(1), l(2), l(3)}, two, alive, false},
		{"a change under way", []hubsvc.Replica{r(1), l(2)}, joint, alive, false},
		{"one waits for its image", []hubsvc.Replica{r(1), r(2), r(3)}, three, alive, false},
		{"and its node is dead", []hubsvc.Replica{r(1), r(2), r(3)}, three, dead, true},
	} {
		if got := settled(hubsvc.Placement{Replicas: c.want}, c.s, c.members); got != c.settled {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
