package driver_test

import (
	"crypto/rand"
	"flag"
	mathrand "math/rand/v2"
	"testing"
)

// The simulation runs whole clusters of one to five nodes in one goroutine:
// drivers, node logs, partitions and the real state machine on disks in memory,
// with every source of chance seeded. Nodes crash at any disk operation and
// restart, messages are lost, doubled, reordered and late, disks are slow and
// fail, processes stop for a while. Groups move between the nodes, by the loop
// that their leaders run, replicas that are behind get images, leadership is
// handed over, and disks are wiped. Clients write and read, and retry with the
// same idempotency key until they know. sim_history_test.go says what is checked.
//
//	go test ./actors/driver -run Sim -seeds 2000        many
//	go test ./actors/driver -run Sim -seed 42 -seeds 1  one again
var (
	simSeeds = flag.Int("seeds", 60, "how many seeds the simulation runs")
	simSeed  = flag.Uint64("seed", 1, "the first of them")
)

func TestSim(t *testing.T) {
	var sum totals
	for i := range *simSeeds {
		seed := *simSeed + uint64(i)
		w := simulate(seed, sound)
		if w.violation != "" {
			t.Fatalf("seed %d: %s\n%s\nrepeat: go test ./actors/driver -run TestSim -seed %d -seeds 1", seed, w.violation, &w.trace, seed)
		}
		sum.add(w.totals)
	}
	t.Logf("%d seeds: %v", *simSeeds, sum)
	if *simSeeds >= 20 {
		sum.requireAll(t)
	}
}

// A failure can be repeated only if a seed always gives the same run.
func TestSimIsDeterministic(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		a, b := simulate(seed, sound), simulate(seed, sound)
		if a.trace.hash != b.trace.hash {
			t.Fatalf("seed %d gave two different runs\nthe first:\n%s\nthe second:\n%s", seed, &a.trace, &b.trace)
		}
	}
}

// simulate runs one seed to its end or to the first violation.
func simulate(seed uint64, m mutant) *world {
	// raft draws its election timeouts from here.
	before := rand.Reader
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	rand.Reader = mathrand.NewChaCha8(key)
	defer func() { rand.Reader = before }()

	w := newWorld(seed, m)
	w.run()
	return w
}
