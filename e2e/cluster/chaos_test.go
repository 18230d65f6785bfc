//go:build chaos

package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestChaos makes faults that overlap, while clients write and read through all
// nodes, and holds what they saw against what was promised:
//   - operations on a point are linearizable;
//   - every acknowledged write is there at the end, byte for byte, and a
//     request that was not answered took effect as a whole or not at all;
//   - a request repeated under its idempotency key takes effect once;
//   - counters equal a recount, through every node;
//   - replicas have equal digests at equal applied index;
//   - no answer holds another tenant's bytes;
//   - every partition has a leader soon after the last fault of a round;
//   - a node ends only when it is told to, or its disk is full.
func TestChaos(t *testing.T) {
	seed := drawSeed(t)
	found := newFindings()
	o := fleetOptions{nodes: 3, smallDisk: asRoot()}
	if *single {
		o.nodes = 1
	}
	if !o.smallDisk {
		fmt.Println("NOT ROOT: no small disks can be mounted, so no disk will be full")
	}
	f := newFleet(t, found, o)
	w, err := newWorkload(f, seed, 25*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	n := newNemesis(f, seed)
	among := n.among(t)
	d := newDigests()
	stop := make(chan struct{})
	f.watching.Go(func() { d.sample(f, 500*time.Millisecond, stop) })
	w.start()
	n.run(among, *faults, *limit)
	w.end()
	close(stop)
	if !*single {
		if err := f.waitWhole(repairWithin); err != nil {
			found.add("not whole at the end: %v", err)
		}
		if err := d.settle(f, 20*time.Second); err != nil {
			found.add("replicas do not come to rest: %v", err)
		}
	}
	r := report{seed: seed, nemesis: n, workload: w, digests: d}
	r.points = w.settle()
	r.decided = w.history.linear(found, time.Minute)
	r.print(t)
}

// among are the kinds of fault that can be made here, or those of -only.
func (n *nemesis) among(t *testing.T) (all []*kind) {
	for _, k := range kinds {
		switch {
		case *only != "" && !slices.Contains(strings.Split(*only, ","), k.name):
		case *single && (k.class != processes || k.destroys()):
		case k.can != nil && !k.can(n):
			t.Logf("%s cannot be made here", k.name)
		default:
			all = append(all, k)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no kind of fault is called %q", *only)
	}
	return all
}

// report is what a run tells.
type report struct {
	seed     uint64
	nemesis  *nemesis
	workload *workload
	digests  *digests
	points   int
	decided  int
}

func (r *report) print(t *testing.T) {
	w, n := r.workload, r.nemesis
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("\nseed %d, %v", r.seed, time.Since(w.found.began).Round(time.Second))

	made := map[string][]*fault{}
	for _, f := range n.made {
		made[f.kind.name] = append(made[f.kind.name], f)
	}
	line("\n%-24s %8s %14s", "fault", "times", "seconds in all")
	for _, k := range kinds {
		var lasted time.Duration
		for _, f := range made[k.name] {
			lasted += f.ended - f.began
		}
		line("%-24s %8d %14.1f", k.name, len(made[k.name]), lasted.Seconds())
	}

	total := 0
	line("\n%-24s %8s %14s %10s", "operation", "answered", "sent again", "unknown")
	for _, what := range slices.Sorted(maps.Keys(w.tally)) {
		y := w.tally[what]
		total += y.ok
		line("%-24s %8d %14d %10d", what, y.ok, y.again, y.unknown)
	}
	records := 0
	for _, all := range w.history.all {
		records += len(all)
	}
	line("\n%d registers with %d operations, %d decided; %d inserts; %d points read at the end", len(w.history.all), records, r.decided, len(w.inserts), r.points)
	if undecided := len(w.history.all) - r.decided; undecided > 0 {
		line("%d registers COULD NOT BE DECIDED", undecided)
	}
	if len(n.leaders) > 0 {
		slices.Sort(n.leaders)
		line("leaders everywhere after a round: p50 %v, worst %v, of %d rounds", quantile(n.leaders, 0.5).Round(time.Millisecond), quantile(n.leaders, 1).Round(time.Millisecond), len(n.leaders))
	}
	line("digests of different nodes at an equal index compared: %d", r.digests.compared)
	if r.digests.absent {
		line("SOME PARTITIONS TELL NO DIGEST: the replicas were not compared there")
	}
	if net, ok := w.fleet.net.(*fabric); ok && !*single {
		carried, strangers := net.told()
		line("bytes between nodes by lane: %v", carried)
		r.real(carried, strangers, len(made["corrupt image chunk"]))
	}
	list, violations := w.found.all()
	line("")
	for _, v := range list {
		line("VIOLATION %s", v)
	}
	fmt.Print(b.String())
	summary = fmt.Sprintf("e2e faults=%d operations=%d violations=%d\n", len(n.made), total, violations)
	if violations > 0 {
		t.Errorf("%d violations", violations)
	}
	if total < 20*len(n.made) {
		t.Errorf("%d operations are hardly any: the test tests nothing", total)
	}
}

// real holds that the faults of the network hit something.
func (r *report) real(carried map[string]int64, strangers []string, corrupted int) {
	found := r.workload.found
	if len(strangers) > 0 {
		found.add("connections whose server name tells no dialler, so that they cannot be cut: %q", strangers)
	}
	if carried[laneAppends] == 0 {
		found.add("nothing was carried on the lane %s: no partition was one", laneAppends)
	}
	if corrupted > 0 && r.nemesis.bits == 0 {
		found.add("no image came over the lane %s while one was to be corrupted", laneBulk)
	}
}
