package hubsvc

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// From one node to five and back to one.
func TestPlanGrowsAndShrinks(t *testing.T) {
	f := newFleet(t, 64, 4)
	f.converge()
	if f.wantPlacement(1, "1"); f.made != 0 {
		t.Errorf("%d replicas made on one node", f.made)
	}
	// What is made is what is needed: all copies on the second and third
	// member, a fair share on the fourth and fifth.
	for _, want := range []struct {
		made   int
		system string
	}{{64, "1 2l"}, {64, "1 2 3"}, {48, "1 2 3 4l"}, {38, "1 2 3 4l 5l"}} {
		before := f.made
		f.join()
		f.converge()
		f.wantEven()
		if got := f.made - before; got != want.made {
			t.Errorf("%d members: %d replicas made, want %d", len(f.members), got, want.made)
		}
		f.wantPlacement(SystemGroup, want.system)
	}
	for _, want := range []struct {
		leaves uint32
		made   int
		system string
	}{{1, 39, "2 3 4 5l"}, {5, 48, "2 3 4"}, {3, 0, "2 4l"}, {2, 0, "4"}} {
		before := f.made
		f.leave(want.leaves)
		f.converge()
		if len(f.members) > 2 {
			f.wantEven()
		}
		for _, p := range f.dir.Placements()[1:] {
			if _, ok := p.On(want.leaves); ok {
				t.Fatalf("member %d left, group %d is on %s", want.leaves, p.Group, show(p))
			}
		}
		f.gone(want.leaves)
		f.converge()
		f.wantEven()
		if got := f.made - before; got > want.made+1 || got < want.made-1 {
			t.Errorf("member %d left: %d replicas made, want %d", want.leaves, got, want.made)
		}
		f.wantPlacement(SystemGroup, want.system)
	}
}

// A dead member keeps what it has until it is to be swapped; then what it had
// moves, and hardly more.
func TestPlanSwapsTheDead(t *testing.T) {
	f := newFleet(t, 64, 8)
	for range 4 {
		f.join()
	}
	f.converge()
	replicas, _ := f.counts()
	before := f.made
	f.kill(3)
	if f.converge(); f.made != before {
		t.Errorf("%d replicas made at once", f.made-before)
	}
	f.set(3, func(m *PlanMember) { m.Swap = true })
	f.converge()
	f.wantPlacement(SystemGroup, "1 2 4 3l 5l")
	if got := f.made - before; got < replicas[3] || got > replicas[3]+replicas[3]/10 { // a few more for the spread
		t.Errorf("%d replicas made, member 3 had %d", got, replicas[3])
	}
	if _, ok := f.counts(); ok[3] != 0 {
		t.Error("the dead member is preferred")
	}
	f.gone(3)
	f.converge()
	f.wantEven()
}

// With nobody to take over, a dead member's replicas stay: two of three are a
// majority. A wiped one that joins again gets them back.
func TestPlanWipedNode(t *testing.T) {
	f := newFleet(t, 16, 100)
	f.join()
	f.join()
	f.converge()
	f.kill(3)
	f.set(3, func(m *PlanMember) { m.Swap = true })
	before := f.made
	f.converge()
	for _, p := range f.dir.Placements() {
		if _, ok := p.On(3); !ok || len(p.Replicas) != 3 {
			t.Fatalf("group %d: %s", p.Group, show(p))
		}
	}
	f.gone(3)
	f.join()
	f.converge()
	f.wantEven()
	if f.made-before != 16 {
		t.Errorf("%d replicas made", f.made-before)
	}
	f.wantPlacement(SystemGroup, "1 2 4")
}

func TestPlanLeavesTheLeaderlessAlone(t *testing.T) {
	f := newFleet(t, 16, 100)
	for range 4 {
		f.join()
	}
	f.converge()
	f.kill(1)
	f.kill(2)
	for _, n := range []uint32{1, 2} {
		f.set(n, func(m *PlanMember) { m.Swap = true })
	}
	for _, c := range f.step() { // step checks that none of them is leaderless
		if c.Group == SystemGroup {
			t.Error("the system group lost its majority and is changed")
		}
	}
}

func TestPlanScript(t *testing.T) {
	alive := func(n uint32) PlanMember { return PlanMember{Number: n, Alive: true} }
	leaving := func(n uint32) PlanMember { return PlanMember{Number: n, Alive: true, Leaving: true} }
	dead := func(n uint32) PlanMember { return PlanMember{Number: n} }
	swap := func(n uint32) PlanMember { return PlanMember{Number: n, Swap: true} }
	for _, tc := range []struct {
		name    string
		members []PlanMember
		group   uint64
		placed  string
		moving  bool
		moves   int
		want    string // "" for no change
	}{
		{"two members: a voter and a learner", []PlanMember{alive(1), alive(2)}, 1, "1", false, 1, "1 2l"},
		{"three: three voters", []PlanMember{alive(1), alive(2), alive(3)}, 1, "1", false, 1, "1 2 3"},
		{"third member is dead", []PlanMember{alive(1), alive(2), dead(3)}, 1, "1 2l", false, 1, ""},
		{"a dead learner is not made a voter", []PlanMember{alive(1), dead(2), alive(3)}, 1, "1 2l", false, 1, "1 2l 3l"},
		{"no moves left", []PlanMember{alive(1), alive(2)}, 1, "1", false, 0, ""},
		{"on the move", []PlanMember{alive(1), alive(2), alive(3)}, 1, "1 2l", true, 9, ""},
		{"on the move to the dead", []PlanMember{alive(1), swap(2), alive(3)}, 1, "1 2l", true, 0, "1 3l"},
		{"on the move from one that leaves", []PlanMember{leaving(1), swap(2), alive(3)}, 1, "1 2l", true, 0, "1 3l"},
		{"two voters are never planned", []PlanMember{alive(1), alive(2)}, 1, "1 2 3", false, 1, "1 2l"},
		{"gone with a replacement", []PlanMember{alive(1), alive(2), alive(4)}, 1, "3 1 2", false, 1, "1 2 4"},
		{"gone without one", []PlanMember{alive(1), alive(2), dead(4)}, 1, "1 2 3", false, 1, ""},
		{"leaving alone", []PlanMember{leaving(1)}, 1, "1", false, 1, ""},
		{"leaving with a successor: copy first", []PlanMember{leaving(1), alive(2)}, 1, "1", false, 1, "1 2l"},
		{"then hand over", []PlanMember{leaving(1), alive(2)}, 1, "1 2l", false, 1, "2"},
		{"leaving, three successors", []PlanMember{leaving(1), alive(2), alive(3), alive(4)}, 1, "1", false, 1, "1 2 3"},
		{"no majority", []PlanMember{alive(1), swap(2), swap(3), alive(4)}, 1, "1 2 3", false, 1, ""},
		{"an extra replica", []PlanMember{alive(1), alive(2), alive(3), alive(4)}, 1, "1 2 3 4l", false, 1, "1 2 3"},
		{"system: learner of a new member", []PlanMember{alive(1), alive(2)}, 0, "1", true, 0, "1 2l"},
		{"system: two members", []PlanMember{alive(1), alive(2)}, 0, "1 2l", false, 0, ""},
		{"system: third member", []PlanMember{alive(1), alive(2), alive(3)}, 0, "1 2l 3l", false, 0, "1 2 3"},
		{"system: not yet caught up", []PlanMember{alive(1), alive(2), alive(3)}, 0, "1 2l 3l", true, 0, ""},
		{"system: dead learner", []PlanMember{alive(1), alive(2), dead(3)}, 0, "1 2l 3l", false, 0, ""},
		{"system: gone learner", []PlanMember{alive(1), alive(2)}, 0, "1 2l 3l", false, 0, "1 2l"},
		{"system: dead voter", []PlanMember{alive(1), dead(2), alive(3), alive(4)}, 0, "1 2 3 4l", false, 0, ""},
		{"system: swap", []PlanMember{alive(1), swap(2), alive(3), alive(4)}, 0, "1 2 3 4l", false, 0, "1 3 4 2l"},
		{"system: leaving voter", []PlanMember{leaving(1), alive(2), alive(3), alive(4)}, 0, "1 2 3 4l", false, 0, "2 3 4 1l"},
		{"system: leaving sole voter", []PlanMember{leaving(1), alive(2)}, 0, "1 2l", false, 0, "2 1l"},
		{"system: leaving, two remain", []PlanMember{leaving(1), alive(2), alive(3)}, 0, "1 2 3", false, 0, "2 1l 3l"},
		{"system: gone voter, nobody else", []PlanMember{alive(1), alive(2), dead(4)}, 0, "1 2 3 4l", false, 0, ""},
	} {
		p := Placement{Group: tc.group, Version: 7}
		for i, word := range strings.Fields(tc.placed) {
			number, learner := strings.CutSuffix(word, "l")
			var n uint32
			fmt.Sscan(number, &n)
			p.Replicas = append(p.Replicas, Replica{ID: NewReplica(n) | ReplicaID(i+1), Learner: learner})
		}
		moves := tc.moves
		if tc.moving && tc.group != SystemGroup {
			moves++
		}
		changes := Plan(PlanInput{Members: tc.members, Groups: []PlanGroup{{Placement: p, Settled: !tc.moving}}, MovesMax: moves})
		got := ""
		for _, c := range changes {
			got = show(Placement{Replicas: c.Replicas})
			if err := c.validate(); err != nil || c.Expected != 7 || c.Group != tc.group {
				t.Errorf("%s: %+v, %v", tc.name, c, err)
			}
		}
		if got != tc.want {
			t.Errorf("%s: planned %q, want %q", tc.name, got, tc.want)
		}
	}
}

// Whatever happens to the members, every plan keeps its promises; and when all
// is well again, plans come to an end with an even cluster.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, 16, rapid.IntRange(1, 20).Draw(rt, "moves"))
		number := func(rt *rapid.T) uint32 { return rapid.SampledFrom(f.members).Draw(rt, "member").Number }
		stayers := func() (n int) {
			for _, m := range f.members {
				if !m.Leaving {
					n++
				}
			}
			return n
		}
		rt.Repeat(map[string]func(*rapid.T){
			"join": func(*rapid.T) {
				if len(f.members) < 7 {
					f.join()
				}
			},
			"kill":   func(rt *rapid.T) { f.kill(number(rt)) },
			"swap":   func(rt *rapid.T) { f.set(number(rt), func(m *PlanMember) { m.Swap = !m.Alive }) },
			"revive": func(rt *rapid.T) { f.set(number(rt), func(m *PlanMember) { m.Alive, m.Swap = true, false }) },
			"leave": func(rt *rapid.T) {
				if n := number(rt); stayers() > 1 {
					if m, _ := f.dir.Member(n); m.State == MemberActive {
						f.leave(n)
					}
				}
			},
			"step": func(*rapid.T) { f.step() },
			"settle": func(rt *rapid.T) {
				mask := rapid.Uint32().Draw(rt, "groups")
				f.settle(func(g int) bool { return mask>>g&1 == 1 })
			},
			"": func(*rapid.T) {},
		})
		for i := range f.members {
			f.members[i].Alive, f.members[i].Swap = true, false
		}
		f.converge()
		f.wantEven()
		if len(f.step()) != 0 {
			rt.Fatal("a converged cluster is changed")
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	f := newFleet(b, 1024, 1024)
	for range 6 {
		f.join()
	}
	in := f.input()
	for b.Loop() {
		Plan(in)
	}
}
