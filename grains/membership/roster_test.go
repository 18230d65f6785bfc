package membership

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// script reads a view from "n1 n2 n3-": - is critical, + leaving, # the number
// after it, @ the instance after it.
func scripted(line string) []entry {
	var all []entry
	for word := range strings.FieldsSeq(line) {
		e := entry{passing: true, cluster: clusterA}
		for strings.HasSuffix(word, "-") || strings.HasSuffix(word, "+") {
			e.passing = e.passing && !strings.HasSuffix(word, "-")
			e.leaving = e.leaving || strings.HasSuffix(word, "+")
			word = word[:len(word)-1]
		}
		name, instance, _ := strings.Cut(word, "@")
		name, number, _ := strings.Cut(name, "#")
		if number == "" {
			number = name[1:]
		}
		e.NodeID, e.Number, e.instance = name, uint32(number[0]-'0'), instance
		all = append(all, e)
	}
	return all
}

// TestRoster: each step is a view, when it was asked for and answered in
// seconds, and the members after it. Grace is ten seconds.
func TestRoster(t *testing.T) {
	type step struct {
		asked, answered int
		view, want      string
	}
	const down = "consul is away"
	for name, steps := range map[string][]step{
		"grace": {
			{0, 0, "n1 n2 n3", "n1 n2 n3"},
			{0, 5, "n1 n2", "n1 n2 n3?"},
			{14, 14, "n1 n2 n3-", "n1 n2 n3?"},
			{15, 15, "n1 n2", "n1 n2"},
		},
		"back in time": {
			{0, 0, "n1 n2", "n1 n2"},
			{0, 5, "n1", "n1 n2?"},
			{14, 14, "n1 n2", "n1 n2"},
			{14, 20, "n1 n2-", "n1 n2?"},
			{29, 29, "n1", "n1 n2?"},
			{30, 30, "n1", "n1"},
		},
		"a view from before the end judges nothing": {
			{0, 0, "n1 n2", "n1 n2"},
			{0, 5, "n1", "n1 n2?"},
			{14, 30, "n1", "n1 n2?"},
			{30, 30, "n1 n2", "n1 n2"},
		},
		"grace runs only while Consul knows this node": {
			{0, 0, "n1 n2", "n1 n2"},
			{0, 5, "", "n1 n2?"},
			{60, 60, "n1-", "n1 n2?"},
			{61, 61, "n1", "n1 n2?"},
			{70, 70, "n1", "n1 n2?"},
			{71, 71, "n1", "n1"},
		},
		"grace begins anew after an outage": {
			{0, 0, "n1 n2", "n1 n2"},
			{0, 5, "n1", "n1 n2?"},
			{6, 60, down, "n1 n2?"},
			{61, 61, "n1", "n1 n2?"},
			{70, 70, "n1", "n1 n2?"},
			{71, 71, "n1", "n1"},
		},
		"leaving": {
			{0, 0, "n1 n2@a n3@a", "n1 n2 n3"},
			{0, 1, "n1 n2@a+ n3@a-+", "n1"},
			{2, 2, "n1 n2@b", "n1 n2"},
		},
		"an earlier process's leave is not this one's": {
			{0, 0, "n1 n2@a+ n2@b", "n1 n2"},
			{0, 1, "n1 n2@a+ n2@b-", "n1 n2?"},
			{0, 2, "n1 n2@a+", "n1 n2?"},
		},
		"never seen alive": {
			{0, 0, "n1 n2- n3+", "n1"},
		},
		"second life after a wipe": {
			{0, 0, "n1 n2@a n3", "n1 n2 n3"},
			{0, 1, "n1 n2@a n2#5@b n3", "n1 n3 n2"},
			{1, 2, "n1 n2@a- n2#5@b n3", "n1 n3 n2"},
		},
		"only this node's own process counts": {
			{0, 0, "n1 n2", "n1 n2"},
			{0, 1, "n1@other", "n1 n2?"},
			{60, 60, "n1@other", "n1 n2?"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoster(scripted("n1")[0], 10*time.Second)
			start := time.Unix(1e9, 0)
			at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
			for i, s := range steps {
				before := listed(r.members())
				changed := before != s.want || name == "second life after a wipe" && i == 1
				if s.view == down {
					r.interrupted()
					continue
				}
				v := r.merge(view{entries: scripted(s.view), asked: at(s.asked), answered: at(s.answered)})
				if got := listed(r.members()); got != s.want {
					t.Fatalf("step %d: members %q, want %q", i, got, s.want)
				}
				if v.changed != changed {
					t.Errorf("step %d: changed %t, want %t", i, v.changed, changed)
				}
				if lost := strings.Contains(s.want, "?"); !lost && !v.again.IsZero() || lost && !r.since.IsZero() && v.again.IsZero() {
					t.Errorf("step %d: ask again at %s", i, v.again)
				}
			}
		})
	}
}

func TestPace(t *testing.T) {
	p := pace{most: pauseMax}
	for want := pauseMin; want < 4*pauseMax; want *= 2 {
		most := min(want, pauseMax)
		if got := p.fail(); got < most/2 || got > most {
			t.Errorf("pause %s, want %s to %s", got, most/2, most)
		}
	}
	p.reset()
	if got := p.fail(); got > pauseMin {
		t.Errorf("pause %s after a success", got)
	}
}

// FuzzEntry: whatever somebody registers under our name is refused or is a
// member that registers as the same.
func FuzzEntry(f *testing.F) {
	f.Add("10.0.0.1", 15010, clusterA, "n1", "1", "i", "h:1", "v", "", "passing")
	f.Add("::1", 1, clusterB, "n_2", "4294967295", "", "", "", "true", "critical")
	f.Add("", -1, "", "", "-1", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, address string, port int, cluster, node, number, instance, http, version, leaving, status string) {
		in := &api.ServiceEntry{
			Service: &api.AgentService{Address: address, Port: port, Meta: map[string]string{
				metaCluster: cluster, metaNode: node, metaNumber: number, metaInstance: instance,
				metaHTTP: http, metaVersion: version, metaLeaving: leaving,
			}},
			Checks: api.HealthChecks{{Status: status}},
		}
		e, err := parseEntry(in)
		if err != nil {
			return
		}
		host, p, err := splitAddress(e.Address)
		if err != nil || e.Number == 0 || !validName.MatchString(e.NodeID) || !validID.MatchString(e.cluster) {
			t.Fatalf("%+v: %v", e, err)
		}
		again, err := parseEntry(&api.ServiceEntry{
			Service: &api.AgentService{Address: host, Port: p, Meta: e.meta()},
			Checks:  in.Checks,
		})
		if err != nil || again != e {
			t.Fatalf("%+v registers as %+v, %v", e, again, err)
		}
	})
}
