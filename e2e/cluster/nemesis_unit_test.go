package cluster

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPlan holds what every round owes: no process has two faults, one node is
// left alone, at most one disk is destroyed, Consul has one fault, the full
// disk is the small one, and every kind comes before one comes for the third
// time.
func TestPlan(t *testing.T) {
	for seed := range uint64(200) {
		f := &fleet{nodes: []*node{{name: "n1"}, {name: "n2"}, {name: "n3"}}, net: &fabric{}}
		f.disk, f.found = f.nodes[2], newFindings()
		n := newNemesis(f, seed)
		made := map[string]int{}
		for planned := 0; planned < 60; {
			round := n.plan(kinds, min(2+n.rng.IntN(4), 60-planned))
			if len(round) == 0 {
				t.Fatalf("seed %d: an empty round", seed)
			}
			planned += len(round)
			hit, destroyed, consul := map[*node]bool{}, 0, 0
			for _, f := range round {
				made[f.kind.name]++
				switch f.kind.class {
				case registry:
					consul++
				case processes:
					if hit[f.on[0]] {
						t.Fatalf("seed %d: %s has two faults at once", seed, f.on[0].name)
					}
					hit[f.on[0]] = true
				case links:
				}
				if f.kind.destroys() {
					destroyed++
				}
				if f.kind.name == "full disk" && f.on[0].name != "n3" {
					t.Fatalf("seed %d: the disk of %s is full", seed, f.on[0].name)
				}
				if len(f.on) != 3 || f.on[0] == f.on[1] || f.on[1] == f.on[2] || f.on[0] == f.on[2] {
					t.Fatalf("seed %d: a fault on %v", seed, f.on)
				}
				if f.lasts < f.kind.least || f.lasts > f.kind.most {
					t.Fatalf("seed %d: %s lasts %v", seed, f.kind.name, f.lasts)
				}
			}
			if len(hit) > 2 || destroyed > 1 || consul > 1 {
				t.Fatalf("seed %d: %d processes, %d disks, %d faults of Consul in a round", seed, len(hit), destroyed, consul)
			}
		}
		for _, k := range kinds {
			if made[k.name] < 2 {
				t.Errorf("seed %d: %d times %s among 60", seed, made[k.name], k.name)
			}
		}
	}
}

// TestLedAndWhole holds that what the nodes say of their partitions is read
// right.
func TestLedAndWhole(t *testing.T) {
	row := func(leader, voters, learners string) string {
		list := func(names string) string {
			if names == "" {
				return "[]"
			}
			return `["` + strings.Join(strings.Split(names, ","), `","`) + `"]`
		}
		return fmt.Sprintf(`{"id":7,"leader":%q,"voters":%s,"learners":%s,"applied_index":5},{"id":"system","leader":"n1","voters":["n1","n2","n3"],"learners":null,"applied_index":9}`, leader, list(voters), list(learners))
	}
	const all = "n1,n2,n3"
	for name, tc := range map[string]struct {
		says       [3]string // "" = does not answer
		led, whole bool
	}{
		"well":                          {[3]string{row("n2", all, ""), row("n2", all, ""), row("n2", all, "")}, true, true},
		"a follower has not heard":      {[3]string{row("n2", all, ""), row("n2", all, ""), row("", all, "")}, true, false},
		"a leader and no majority":      {[3]string{row("", all, ""), row("n2", all, ""), row("", all, "")}, false, false},
		"the leader does not know":      {[3]string{row("n2", all, ""), row("", all, ""), row("n2", all, "")}, false, false},
		"two leaders, one is old":       {[3]string{row("n1", all, ""), row("n2", all, ""), row("n2", all, "")}, true, true},
		"a learner":                     {[3]string{row("n2", all, ""), row("n2", all, "n3"), row("n2", all, "")}, true, false},
		"two voters":                    {[3]string{row("n2", all, ""), row("n2", "n1,n2", ""), row("n2", all, "")}, true, false},
		"a wiped node that has nothing": {[3]string{row("n2", all, ""), row("n2", all, ""), row("", "", "")}, true, false},
		"one is away":                   {[3]string{row("n2", all, ""), row("n2", all, ""), ""}, true, false},
		"all are away":                  {[3]string{}, false, false},
	} {
		f := &fleet{consul: &consul{}}
		for i, says := range tc.says {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if says == "" {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				fmt.Fprintf(w, `{"partitions":[%s]}`, says)
			}))
			defer s.Close()
			f.nodes = append(f.nodes, &node{name: fmt.Sprintf("n%d", i+1), http: s.URL})
		}
		if err := f.led(); (err == nil) != tc.led {
			t.Errorf("%s: led says %v", name, err)
		}
		if err := f.whole(); (err == nil) != tc.whole {
			t.Errorf("%s: whole says %v", name, err)
		}
	}
}
