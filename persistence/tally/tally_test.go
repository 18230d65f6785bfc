package tally

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

func open(t testing.TB, slots uint32) *Tally {
	t.Helper()
	tally, err := Open(filepath.Join(t.TempDir(), "tally"), slots, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tally.Close() })
	return tally
}

// TestBesideCuts adds from many goroutines while areas are switched: nothing is
// lost or counted twice.
func TestBesideCuts(t *testing.T) {
	tally, hub := open(t, 256), newLedger()
	var wg sync.WaitGroup
	const each, writers = 50_000, 4
	for g := range writers {
		wg.Go(func() {
			for i := range each {
				tally.Add(tenant.ID(fmt.Sprint("t", i%5)), uint64(i%(7+g)), Counts{1, 2, 3, 4})
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if err := report(tally, hub, 2); err != nil {
			t.Fatal(err)
		}
	}
	const n = each * writers
	if got := sum(hub.total); got != (Counts{n, 2 * n, 3 * n, 4 * n}) {
		t.Errorf("%+v reported in %d reports", got, hub.last)
	}
	if tally.Dropped() != 0 {
		t.Errorf("%d dropped", tally.Dropped())
	}
}

// TestCutWaits: who is about to add to an area when it is frozen is in its report.
func TestCutWaits(t *testing.T) {
	tally := open(t, slotsMin)
	tally.Add("a", 1, Counts{Requests: 1})
	key := keyOf("a", 1)
	a := &tally.areas[tally.enter(key)]
	steps, done := make(chan string, 100), make(chan error, 1)
	tally.step = func(step string) { steps <- step }
	go func() { done <- tally.Cut(2) }()
	for <-steps != "area switched" {
	}
	select {
	case step := <-steps:
		t.Errorf("Cut did not wait: %s", step)
	case <-time.After(20 * time.Millisecond):
	}
	s, _ := tally.find(a, key, "a", 1)
	s.add(key, 0, 1)
	a.adding[uint32(key)%adders].n.Add(-1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if r := tally.Waiting(); len(r) != 1 || r[0].Entries[0].APIRequests != 2 {
		t.Errorf("%+v", r)
	}
}

// TestFull: when no slot is left for collections, tenants have the rest; what
// even they have no slot for is dropped, and counted as that.
func TestFull(t *testing.T) {
	tally, hub := open(t, slotsMin), newLedger()
	for i := range 100 {
		tally.Add("a", uint64(i+1), Counts{Requests: 1})
	}
	for i := range 100 {
		tally.Add(tenant.ID(fmt.Sprint("b", i)), 5, Counts{Requests: 1})
	}
	if err := report(tally, hub, 2); err != nil {
		t.Fatal(err)
	}
	const places, more = slotsMin / 16 * 12, slotsMin / 16 * 3 // of collections, and of tenants besides
	if got := hub.total["a 0"].Requests; got != 100-places {
		t.Errorf("%d without their collection, want %d", got, 100-places)
	}
	if got, want := tally.Dropped(), uint64(100-(more-1)); got != want {
		t.Errorf("%d dropped, want %d", got, want)
	}
	if got := sum(hub.total).Requests; got+tally.Dropped() != 200 {
		t.Errorf("%d reported and %d dropped of 200", got, tally.Dropped())
	}
	tally.Add("c", 1, Counts{Requests: 1}) // there is room again
	tally.Add(tenant.ID(make([]byte, 64)), 1, Counts{Requests: 1})
	if err := report(tally, hub, 3); err != nil {
		t.Fatal(err)
	}
	if hub.total["c 1"].Requests != 1 {
		t.Error("no room after a report")
	}
}

// TestReportsAreBounded: what was counted while the hub was away is several
// reports, which may be taken one by one.
func TestReportsAreBounded(t *testing.T) {
	tally, hub := open(t, 4096), newLedger()
	const n = 2*EntriesMax + 10
	for i := range n {
		tally.Add("a", uint64(i+1), Counts{Searches: 1})
	}
	if err := tally.Cut(2); err != nil {
		t.Fatal(err)
	}
	if got := len(tally.Waiting()); got != 3 || tally.Since() != 1 {
		t.Fatalf("%d reports since %d", got, tally.Since())
	}
	if err := hub.take(tally.Waiting()[0]); err != nil {
		t.Fatal(err)
	}
	if err := tally.Done(1); err != nil {
		t.Fatal(err)
	}
	if err := report(tally, hub, 3); err != nil {
		t.Fatal(err)
	}
	if hub.last != 3 || sum(hub.total).Searches != n || tally.Frozen() {
		t.Errorf("%d reports of %+v", hub.last, sum(hub.total))
	}
}

// TestClosed: whoever adds when the node has stopped finds no memory that is gone.
func TestClosed(t *testing.T) {
	tally := open(t, slotsMin)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				tally.Add("a", 1, Counts{Requests: 1})
			}
		})
	}
	for tally.Used() == 0 {
	}
	if err := tally.Close(); err != nil {
		t.Fatal(err)
	}
	for tally.Dropped() == 0 {
	}
	stop.Store(true)
	wg.Wait()
}

func TestAddAllocates(t *testing.T) {
	tally := open(t, slotsMin)
	tally.Add("acme", 7, Counts{1, 1, 1, 1})
	if n := testing.AllocsPerRun(100, func() { tally.Add("acme", 7, Counts{1, 1, 1, 1}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkAdd is four goroutines: of one tenant each, or all of the same.
func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct {
		name string
		same bool
		n    Counts
	}{
		{"request", false, Counts{Requests: 1}},
		{"search", false, Counts{Searches: 1, Scanned: 1000, Bytes: 640}},
		{"request/same", true, Counts{Requests: 1}},
		{"search/same", true, Counts{Searches: 1, Scanned: 1000, Bytes: 640}},
	} {
		b.Run(c.name, func(b *testing.B) {
			tally := open(b, Slots)
			var who atomic.Uint64
			b.ReportAllocs()
			b.SetParallelism(2) // of two cores
			b.RunParallel(func(pb *testing.PB) {
				id := tenant.ID("t_aaaaaaaaaaaa")
				if !c.same {
					id = tenant.ID(fmt.Sprint("t_aaaaaaaaaaa", who.Add(1)))
				}
				for pb.Next() {
					tally.Add(id, 42, c.n)
				}
			})
		})
	}
}
