package hubsvc

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// After any history of tokens, joins and states: one token admitted at most
// one member, numbers and replica ids are never given twice, names are held by
// one, two machines have the same bytes, and a loaded directory equals one
// that watched.
func TestMembersModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		hub, g := newHub(t)
		observe := g.machine
		twin := newMemTxn()
		twinMachine := NewMachine(nil)
		now := int64(1000)
		apply := func(op Op) (any, error) {
			data := EncodeCommand(Command{Time: now, Op: op})
			g.index++
			answer, err := observe.Apply(g.tx, g.index, data)
			g.tx.end(err)
			other, errTwin := twinMachine.Apply(twin, g.index, data)
			twin.end(errTwin)
			if diff := cmp.Diff(answer, other) + cmp.Diff(g.tx.state, twin.state); diff != "" || (err == nil) != (errTwin == nil) {
				rt.Fatalf("%T: %v, %v\n%s", op, err, errTwin, diff)
			}
			return answer, err
		}
		if _, err := apply(commands[0].cmd.Op); err != nil {
			rt.Fatal(err)
		}
		expires, used := map[TokenHash]int64{}, map[TokenHash]uint32{}
		given := map[ReplicaID]uint64{} // replica to group
		lastNumber := uint32(1)
		name := rapid.SampledFrom([]string{"n1", "n2", "n3"})
		token := rapid.Custom(func(rt *rapid.T) TokenHash { return TokenHash{byte(rapid.IntRange(1, 6).Draw(rt, "token"))} })
		number := rapid.Uint32Range(1, 6)
		rt.Repeat(map[string]func(*rapid.T){
			"time": func(rt *rapid.T) { now += rapid.Int64Range(0, 500).Draw(rt, "ms") },
			"name": func(rt *rapid.T) {
				_, _ = apply(&NameMember{Number: number.Draw(rt, "number"), Name: name.Draw(rt, "name"), Cluster: "demo", Address: "h:1"})
			},
			"token": func(rt *rapid.T) {
				h := token.Draw(rt, "token")
				if _, err := apply(&CreateJoinToken{Hash: h, TTL: 700}); err == nil {
					expires[h] = now + 700
				}
			},
			"state": func(rt *rapid.T) {
				_, _ = apply(&SetMemberState{Number: number.Draw(rt, "number"), State: MemberState(rapid.IntRange(1, 3).Draw(rt, "state"))})
			},
			"join": func(rt *rapid.T) {
				h := token.Draw(rt, "token")
				request := TokenHash{byte(rapid.IntRange(0, 2).Draw(rt, "request"))}
				answer, err := apply(&JoinMember{Token: h, Request: request, Name: name.Draw(rt, "name"), Cluster: "demo", Address: "h:1", Replace: rapid.Bool().Draw(rt, "replace")})
				if err != nil {
					if e, ok := expires[h]; !ok && !errors.Is(err, errTokenUnknown) || ok && used[h] == 0 && e <= now && !errors.Is(err, errTokenExpired) {
						rt.Fatalf("%v", err)
					}
					return
				}
				j := answer.(Joined)
				if e, ok := expires[h]; !ok || used[h] == 0 && e <= now || used[h] != 0 && used[h] != j.Member.Number {
					rt.Fatalf("token %x admitted %+v, before that %d", h[0], j, used[h])
				}
				if used[h] == 0 {
					if j.Member.Number != lastNumber+1 {
						rt.Fatalf("member %d after %d", j.Member.Number, lastNumber)
					}
					lastNumber = j.Member.Number
				}
				used[h] = j.Member.Number
			},
			"place": func(rt *rapid.T) {
				p, _ := hub.Placement(uint64(rapid.IntRange(0, 3).Draw(rt, "group")))
				next := append([]Replica{}, p.Replicas...)
				if n := len(next); n > 1 && rapid.Bool().Draw(rt, "drop") {
					next = next[:n-1]
				} else {
					next = append(next, Replica{ID: NewReplica(number.Draw(rt, "number")), Learner: true})
				}
				expected := p.Version - uint64(rapid.IntRange(0, 1).Draw(rt, "stale"))
				_, err := apply(&SetPlacements{Changes: []PlacementChange{{Group: p.Group, Expected: expected, Replicas: next}}})
				if err == nil && expected != p.Version {
					rt.Fatal("a stale change was applied")
				}
			},
			"": func(rt *rapid.T) {
				holders := map[string]uint32{}
				for _, m := range hub.Members() {
					if m.State != MemberGone && m.Name != "" {
						if other, ok := holders[m.Name]; ok {
							rt.Fatalf("%q is the name of %d and %d", m.Name, other, m.Number)
						}
						holders[m.Name] = m.Number
					}
				}
				for _, p := range hub.Placements() {
					for _, r := range p.Replicas {
						if group, ok := given[r.ID]; ok && group != p.Group && r.ID != FirstReplica {
							rt.Fatalf("replica %s is of groups %d and %d", r.ID, group, p.Group)
						}
						given[r.ID] = p.Group
					}
				}
				loaded := NewDirectory(hub.hasher, hub.now)
				_ = loaded.Load(g.tx) // refuses the secret of the list of commands; the topology is there all the same
				wantSameTopology(rt, hub.Topology(), loaded.Topology())
			},
		})
	})
}
