package hubsvc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fleet is a cluster whose groups do at once what their placement says, when
// they are told to settle. Placement goes through the Machine.
type fleet struct {
	t       testing.TB
	tx      *memTxn
	machine *Machine
	dir     *Directory
	index   uint64
	members []PlanMember // not gone
	settled []bool
	movable int // PlanInput.MovesMax
	made    int // replicas of partitions placed by plans
}

func newFleet(t testing.TB, partitions uint32, movesMax int) *fleet {
	f := &fleet{t: t, tx: newMemTxn(), movable: movesMax, dir: NewDirectory(NewKeyHasher(testSecret), nil)}
	f.machine = NewMachine(f.dir.Observe)
	f.apply(&Birth{ClusterID: ClusterID{9}, Partitions: partitions, OperatorKey: someKey, TenantKey: otherKey})
	f.apply(&NameMember{Number: 1, Name: "n1", Cluster: "demo", Address: "h:1"})
	f.members = []PlanMember{{Number: 1, Alive: true}}
	f.settled = slices.Repeat([]bool{true}, int(partitions)+1)
	return f
}

func (f *fleet) apply(op Op) any {
	f.index++
	answer, err := f.machine.Apply(f.tx, f.index, EncodeCommand(Command{Time: 1, Op: op}))
	f.tx.end(err)
	if err != nil {
		f.t.Fatalf("%+v: %v", op, err)
	}
	return answer
}

func (f *fleet) join() uint32 {
	hash := TokenHash{byte(f.index), byte(f.index >> 8), 1}
	f.apply(&CreateJoinToken{Hash: hash, TTL: 1000})
	j := f.apply(&JoinMember{Token: hash, Name: fmt.Sprintf("n%d", f.index), Cluster: "demo", Address: "h:1"}).(Joined)
	f.members = append(f.members, PlanMember{Number: j.Member.Number, Alive: true})
	f.settled[SystemGroup] = false
	return j.Member.Number
}

func (f *fleet) set(number uint32, change func(*PlanMember)) {
	for i := range f.members {
		if f.members[i].Number == number {
			change(&f.members[i])
		}
	}
}

func (f *fleet) kill(number uint32) {
	f.set(number, func(m *PlanMember) { m.Alive, m.Swap = false, false })
}

func (f *fleet) leave(number uint32) {
	f.apply(&SetMemberState{Number: number, State: MemberLeaving})
	f.set(number, func(m *PlanMember) { m.Leaving = true })
}

func (f *fleet) gone(number uint32) {
	f.apply(&SetMemberState{Number: number, State: MemberGone})
	f.members = slices.DeleteFunc(f.members, func(m PlanMember) bool { return m.Number == number })
}

func (f *fleet) input() PlanInput {
	in := PlanInput{Members: f.members, MovesMax: f.movable}
	for g, p := range f.dir.Placements() {
		in.Groups = append(in.Groups, PlanGroup{Placement: p, Settled: f.settled[g]})
	}
	return in
}

func (f *fleet) alive(member uint32) bool {
	return slices.ContainsFunc(f.members, func(m PlanMember) bool { return m.Number == member && m.Alive })
}

// step plans once, checks the plan against what it promises, and applies it.
func (f *fleet) step() []PlacementChange {
	f.t.Helper()
	in := f.input()
	changes := Plan(in)
	slices.Reverse(in.Members)
	slices.Reverse(in.Groups)
	if diff := cmp.Diff(changes, Plan(in)); diff != "" {
		f.t.Fatalf("the order of the input matters:\n%s", diff)
	}
	slices.Reverse(in.Members)
	slices.Reverse(in.Groups)
	for _, c := range changes {
		f.check(in.Groups[c.Group], c)
	}
	if len(changes) == 0 {
		return nil
	}
	for _, p := range f.apply(&SetPlacements{Changes: changes}).([]Placement) {
		before := in.Groups[p.Group].Replicas
		if moved(before, p.Replicas) {
			f.settled[p.Group] = false
		}
		for _, r := range p.Replicas {
			if p.Group != SystemGroup && !slices.ContainsFunc(before, func(b Replica) bool { return b.ID == r.ID }) {
				f.made++
			}
		}
	}
	if n := f.moving(); n > f.movable && n > f.movingOf(in) {
		f.t.Fatalf("%d partitions are on the move, %d may", n, f.movable)
	}
	return changes
}

// moved says that more than the order of replicas differs.
func moved(a, b []Replica) bool {
	return len(a) != len(b) || slices.ContainsFunc(a, func(r Replica) bool { return !slices.Contains(b, r) })
}

func (f *fleet) moving() int {
	n := 0
	for _, s := range f.settled[1:] {
		if !s {
			n++
		}
	}
	return n
}

func (f *fleet) movingOf(in PlanInput) int {
	n := 0
	for _, g := range in.Groups {
		if g.Group != SystemGroup && !g.Settled {
			n++
		}
	}
	return n
}

func (f *fleet) check(g PlanGroup, c PlacementChange) {
	f.t.Helper()
	if err := c.validate(); err != nil { // one voter or three, a voter first
		f.t.Fatal(err)
	}
	voters, living, kept := 0, 0, 0
	for _, r := range g.Replicas {
		if r.Learner {
			continue
		}
		voters++
		if f.alive(r.ID.Member()) {
			living++
		}
	}
	for _, r := range c.Replicas {
		before, had := g.On(r.ID.Member())
		if had && before.ID == r.ID && f.alive(r.ID.Member()) {
			kept++
		}
	}
	if 2*living <= voters {
		f.t.Fatalf("group %d has no leader, and is changed from %v to %v", g.Group, g.Replicas, c.Replicas)
	}
	if kept == 0 {
		f.t.Fatalf("group %d loses its last living replica: %v to %v", g.Group, g.Replicas, c.Replicas)
	}
	for _, r := range g.Replicas {
		if _, has := (Placement{Replicas: c.Replicas}).On(r.ID.Member()); !has && !g.Settled && f.alive(r.ID.Member()) {
			f.t.Fatalf("group %d is on the move and loses living %s", g.Group, r.ID)
		}
	}
}

// settle lets the groups that can reach their placement do so, those that pick chooses.
func (f *fleet) settle(pick func(group int) bool) {
	for g, p := range f.dir.Placements() {
		reachable := true
		for _, r := range p.Replicas {
			// The new ones of a dead member never catch up; that it was there
			// before is not known here, so a dead voter of three is let pass
			// when the others are the majority.
			reachable = reachable && (r.Learner || f.alive(r.ID.Member()) || len(p.Replicas) >= VotersMax)
		}
		if !f.settled[g] && reachable && pick(g) {
			f.settled[g] = true
		}
	}
}

// converge repeats plan and settle until there is nothing to do.
func (f *fleet) converge() {
	f.t.Helper()
	for range 10_000 {
		if len(f.step()) == 0 && !slices.Contains(f.settled, false) {
			return
		}
		f.settle(func(int) bool { return true })
	}
	f.t.Fatal("no end of plans")
}

func (f *fleet) counts() (replicas, leaders map[uint32]int) {
	replicas, leaders = map[uint32]int{}, map[uint32]int{}
	for _, m := range f.members {
		if m.fit() {
			replicas[m.Number], leaders[m.Number] = 0, 0
		}
	}
	for _, p := range f.dir.Placements()[1:] {
		leaders[p.Replicas[0].ID.Member()]++
		for _, r := range p.Replicas {
			replicas[r.ID.Member()]++
		}
	}
	return replicas, leaders
}

// wantEven checks the end of a cluster all of whose members are alive.
func (f *fleet) wantEven() {
	f.t.Helper()
	replicas, leaders := f.counts()
	for _, counts := range []map[uint32]int{replicas, leaders} {
		least, most := 1<<30, 0
		for _, n := range counts {
			least, most = min(least, n), max(most, n)
		}
		if most-least > 1 {
			f.t.Fatalf("replicas %v, leaders %v", replicas, leaders)
		}
	}
	fit := 0
	for _, m := range f.members {
		if m.fit() {
			fit++
		}
	}
	for _, p := range f.dir.Placements() {
		for _, r := range p.Replicas {
			m, ok := f.dir.Member(r.ID.Member())
			if !ok || m.State == MemberGone || p.Group != SystemGroup && m.State != MemberActive {
				f.t.Fatalf("group %d has a replica on member %d: %v", p.Group, r.ID.Member(), p.Replicas)
			}
		}
		if p.Group != SystemGroup && len(p.Replicas) != min(fit, 3) {
			f.t.Fatalf("group %d of a cluster of %d: %v", p.Group, fit, p.Replicas)
		}
		if p.Group == SystemGroup && len(p.Replicas) != len(f.members) {
			f.t.Fatalf("the system group of a cluster of %d: %v", len(f.members), p.Replicas)
		}
		voters := 0
		for _, r := range p.Replicas {
			if !r.Learner {
				voters++
			}
		}
		if fit >= 3 != (voters == 3) {
			f.t.Fatalf("group %d of a cluster of %d has %d voters: %v", p.Group, fit, voters, p.Replicas)
		}
	}
}

func show(p Placement) string {
	var parts []string
	for _, r := range p.Replicas {
		s := fmt.Sprint(r.ID.Member())
		if r.Learner {
			s += "l"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func (f *fleet) wantPlacement(group uint64, want string) {
	f.t.Helper()
	p, _ := f.dir.Placement(group)
	if show(p) != want {
		f.t.Errorf("group %d is placed on %q, want %q", group, show(p), want)
	}
}
