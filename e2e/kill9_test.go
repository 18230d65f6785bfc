package e2e

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	kills = flag.Int("kills", 5, "how often TestKill9 kills the server")
	seed  = flag.Uint64("seed", 1, "seed of the random moments and writes")
)

// busyDisk makes checkpoints, log cuts and new segments happen all the time.
var busyDisk = []string{
	"WAGGLE_STORAGE_CHECKPOINT_BYTES=16KB", "WAGGLE_STORAGE_CHECKPOINT_INTERVAL=50ms", "WAGGLE_STORAGE_SEGMENT_BYTES=1MB",
}

// TestKill9 writes from several clients of several tenants, kills the server
// at random moments, sometimes once more while it recovers, and holds what is
// stored after each restart against what was acknowledged:
//   - every acknowledged change byte for byte, and nothing that nobody sent;
//   - a request that was cut off has taken effect as a whole or not at all;
//   - retried under its idempotency key it takes effect once, however often
//     and however late it comes;
//   - the collection's own count is what a scroll finds.
func TestKill9(t *testing.T) {
	rng := rand.New(rand.NewPCG(*seed, 1))
	data := t.TempDir()
	s := start(t, data)
	tenants := []*ledger{{key: tenantKey}}
	for i := range 2 {
		_, u := s.newTenant(fmt.Sprintf("tenant %d", i), "READ_WRITE")
		tenants = append(tenants, &ledger{key: u.key})
	}
	for i, l := range tenants {
		user{s, l.key}.must("PUT", "/collections/k", vectors(dim, "Euclid"))
		for n := range writersEach {
			l.writers = append(l.writers, newWriter(n, l.key, rand.New(rand.NewPCG(*seed, uint64(i*writersEach+n+2)))))
		}
	}
	acks := 0
	for round := range *kills {
		acks += writeAndKill(t, s, tenants, rng)
		if round%3 == 2 {
			killAtStart(t, data, rng)
		}
		s = restart(t, data, round)
		for i, l := range tenants {
			if err := l.settle(user{s, l.key}); err != nil {
				t.Fatalf("kill %d, tenant %d: %v", round, i, err)
			}
		}
	}
	points := 0
	for _, l := range tenants {
		for _, w := range l.writers {
			points += len(w.state)
		}
	}
	t.Logf("%d kills, %d points at the end, %d requests acknowledged", *kills, points, acks)
	if acks < *kills {
		t.Fatal("hardly anything was acknowledged: the test tests nothing")
	}
	loseOne(t, user{s, tenants[0].key}, tenants[0])
}

// loseOne removes an acknowledged point behind the ledger's back: a test that
// does not notice would notice no loss at all.
func loseOne(t *testing.T, u user, l *ledger) {
	t.Helper()
	for id := range l.writers[0].state {
		u.must("POST", "/collections/k/points/delete?wait=true", map[string]any{"points": []uint64{id}})
		if err := l.settle(u); !errors.Is(err, errLedger) {
			t.Fatalf("point %d is lost, and the check says %v", id, err)
		}
		return
	}
	t.Fatal("no point to lose")
}

// writeAndKill lets every writer write until the server is gone, which is a
// random number of acknowledgements and a random time later.
func writeAndKill(t *testing.T, s *server, tenants []*ledger, rng *rand.Rand) (acks int) {
	t.Helper()
	var acked atomic.Int64
	enough := make(chan struct{})
	after := int64(1 + rng.IntN(200))
	var wg sync.WaitGroup
	for _, l := range tenants {
		for _, w := range l.writers {
			wg.Go(func() {
				err := w.writeUntilCut(s.qdrant, func() {
					if acked.Add(1) == after {
						close(enough)
					}
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	select {
	case <-enough:
		<-time.After(time.Duration(rng.IntN(8000)) * time.Microsecond) // the random moment itself
	case <-time.After(20 * time.Second):
		t.Errorf("only %d requests acknowledged", acked.Load())
	}
	s.kill()
	wg.Wait()
	return int(acked.Load())
}

// restart starts the server on its data; every second time with stores and
// log as busy as can be.
func restart(t *testing.T, data string, round int) *server {
	t.Helper()
	cmd := serveCommand(data)
	if round%2 == 0 {
		cmd.Env = append(cmd.Env, busyDisk...)
	}
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatalf("restart after kill %d: %v", round, err)
	}
	return s
}

// killAtStart starts the server and kills it before long.
func killAtStart(t *testing.T, data string, rng *rand.Rand) {
	t.Helper()
	cmd := serveCommand(data)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Duration(rng.IntN(150)) * time.Millisecond) // the random moment itself
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// TestKillAtBirth kills a server at random moments of its first start. The
// next start finds nothing, or a part, or everything, and works with the keys
// that it is given.
func TestKillAtBirth(t *testing.T) {
	rng := rand.New(rand.NewPCG(*seed, 3))
	for range *kills {
		data := t.TempDir()
		killAtStart(t, data, rng)
		killAtStart(t, data, rng)
		s := start(t, data)
		s.create("c")
		s.put("c", 1, nil)
		if a := s.operator().callMain("GET", "/api/v1/tenants", nil); a.status != http.StatusOK {
			t.Errorf("operator key: %d %s", a.status, a.body)
		}
		s.kill()
	}
}
