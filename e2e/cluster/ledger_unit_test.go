package cluster

import (
	"maps"
	"testing"
)

// TestHold holds that the ledger notices what a database may do wrong.
func TestHold(t *testing.T) {
	u := &tenantUser{canary: canaryPrefix + "0000000000000001-"}
	other := &tenantUser{canary: canaryPrefix + "0000000000000002-"}
	w := &workload{history: newHistory(), found: newFindings()}
	all := map[uint64]point{}
	batch := func(acked bool, stamps ...int64) {
		var points []point
		for _, s := range stamps {
			p := newPoint(u, insertsBegin+uint64(s), s, fillOf(insertsBegin))
			points = append(points, p)
			all[p.ID] = p
		}
		w.inserts = append(w.inserts, insert{0, points, acked})
	}
	batch(true, 1, 2, 3)
	batch(false, 4, 5)
	w.history.add(record{register{0, 7}, 1, true, 70, 0, 1})
	all[7] = newPoint(u, 7, 70, fillOf(7))

	at := func(s uint64) uint64 { return insertsBegin + s }
	for name, tc := range map[string]struct {
		spoil func(map[uint64]point)
		wrong bool
	}{
		"as it was":               {func(map[uint64]point) {}, false},
		"unanswered, not there":   {func(m map[uint64]point) { delete(m, at(4)); delete(m, at(5)) }, false},
		"unanswered, half":        {func(m map[uint64]point) { delete(m, at(4)) }, true},
		"lost":                    {func(m map[uint64]point) { delete(m, at(2)) }, true},
		"all lost":                {func(m map[uint64]point) { clear(m) }, true},
		"surplus":                 {func(m map[uint64]point) { m[at(9)] = newPoint(u, at(9), 9, fillOf(at(9))) }, true},
		"surplus register":        {func(m map[uint64]point) { m[8] = newPoint(u, 8, 9, fillOf(8)) }, true},
		"vector":                  {func(m map[uint64]point) { p := m[at(1)]; p.Vector[3] += 1e-6; m[at(1)] = p }, true},
		"payload":                 {func(m map[uint64]point) { p := m[7]; p.Payload.Filler += "0"; m[7] = p }, true},
		"another tenant's":        {func(m map[uint64]point) { m[7] = newPoint(other, 7, 70, fillOf(7)) }, true},
		"swapped between two ids": {func(m map[uint64]point) { m[at(1)], m[at(2)] = m[at(2)], m[at(1)] }, true},
	} {
		got := maps.Clone(all)
		tc.spoil(got)
		if faults := w.hold(u, got, [2]int{len(got), len(got)}, 10, 11); (len(faults) > 0) != tc.wrong {
			t.Errorf("%s: %q", name, faults)
		}
	}
	for _, counts := range [][2]int{{5, 6}, {6, 5}} {
		if faults := w.hold(u, all, counts, 10, 11); len(faults) == 0 {
			t.Errorf("counts %v of %d points: not noticed", counts, len(all))
		}
	}
}

func TestForeign(t *testing.T) {
	u := &tenantUser{canary: canaryPrefix + "0000000000000001-"}
	own := `{"a":"` + u.canary + `","b":"` + u.canary + `"}`
	if got := u.foreign([]byte(own)); got != "" {
		t.Errorf("its own canary: %q", got)
	}
	if got := u.foreign([]byte(own + canaryPrefix + "0000000000000002-")); got == "" {
		t.Error("another's canary is not noticed")
	}
}

// TestDigests holds that two replicas that differ at an index are noticed.
func TestDigests(t *testing.T) {
	found := newFindings()
	found.quiet = true
	d := newDigests()
	say := func(node string, applied uint64, digest string) int {
		d.add(found, node, map[string]partition{"1": {Applied: applied, Digest: digest, Replica: "1"}})
		_, n := found.all()
		return n
	}
	if say("n1", 5, "a")+say("n2", 5, "a")+say("n2", 6, "b")+say("n2", 6, "b") != 0 || d.compared != 1 || d.absent {
		t.Errorf("equal replicas: %d violations, %d compared", found.count, d.compared)
	}
	if say("n3", 6, "c") != 1 {
		t.Error("two digests at one index: not noticed")
	}
	if say("n3", 7, ""); !d.absent {
		t.Error("no digest: not noticed")
	}
}
