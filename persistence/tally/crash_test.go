package tally

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// ledger is the hub's side: a report counts once, in its turn.
type ledger struct {
	last  uint64
	taken map[uint64]tenant.UsageReport
	total map[string]Counts
}

func newLedger() *ledger {
	return &ledger{taken: map[uint64]tenant.UsageReport{}, total: map[string]Counts{}}
}

func (l *ledger) clone() *ledger {
	c := newLedger()
	c.last = l.last
	maps.Copy(c.taken, l.taken)
	maps.Copy(c.total, l.total)
	return c
}

// take is strict: what comes again is the same, and nothing is left out.
func (l *ledger) take(r tenant.UsageReport) error {
	if was, ok := l.taken[r.Sequence]; ok {
		if !reflect.DeepEqual(was, r) {
			return fmt.Errorf("report %d was\n%+v\nand is\n%+v", r.Sequence, was, r)
		}
		return nil
	}
	if r.Sequence != l.last+1 {
		return fmt.Errorf("report %d after %d", r.Sequence, l.last)
	}
	if len(r.Entries) > EntriesMax || r.End < r.Start {
		return fmt.Errorf("report %+v", r)
	}
	l.last, l.taken[r.Sequence] = r.Sequence, r
	for _, e := range r.Entries {
		add(l.total, e.Tenant, e.Collection, Counts{e.APIRequests, e.SearchCount, e.VectorsScanned, e.BytesRead})
	}
	return nil
}

func add(to map[string]Counts, id tenant.ID, collection uint64, n Counts) {
	name := fmt.Sprint(id, " ", collection)
	c := to[name]
	to[name] = Counts{c.Requests + n.Requests, c.Searches + n.Searches, c.Scanned + n.Scanned, c.Bytes + n.Bytes}
}

func sum(m map[string]Counts) (s Counts) {
	for _, n := range m {
		s = Counts{s.Requests + n.Requests, s.Searches + n.Searches, s.Scanned + n.Scanned, s.Bytes + n.Bytes}
	}
	return s
}

// report makes reports of everything and has the hub take them.
func report(t *Tally, l *ledger, now int64) error {
	for range 2 { // of what was frozen, and of the rest
		if err := t.Cut(now); err != nil {
			return err
		}
		for _, r := range t.Waiting() {
			if err := l.take(r); err != nil {
				return err
			}
			if err := t.Done(r.Sequence); err != nil {
				return err
			}
		}
	}
	return nil
}

// memoryDir is a directory in memory where there is one: these tests play the
// disk themselves, and would wait for it thousands of times.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "tally")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// world is a tally at work, and what it was told. At every step it may crash.
type world struct {
	t        *testing.T
	dir      string
	rng      *rand.Rand
	tally    *Tally
	hub      *ledger
	added    map[string]Counts
	adding   Counts   // by the call that is under way
	versions [][]byte // of the file, since the last sync
	synced   Counts   // what cannot be lost with the machine
	crashes  int
	check    func(w *world, step string)
}

func newWorld(t *testing.T, seed uint64, check func(*world, string)) *world {
	w := &world{t: t, dir: memoryDir(t), rng: rand.New(rand.NewPCG(seed, 1)), hub: newLedger(), added: map[string]Counts{}, check: check}
	var err error
	if w.tally, err = Open(filepath.Join(w.dir, "tally"), slotsMin, 1); err != nil {
		t.Fatal(err)
	}
	w.versions = [][]byte{slices.Clone(w.tally.mem)}
	w.tally.step = w.at
	return w
}

func (w *world) at(step string) {
	now := slices.Clone(w.tally.mem)
	if step == "synced" {
		w.versions = w.versions[:0]
		w.synced = sum(w.added)
	}
	w.versions = append(w.versions, now)
	w.check(w, step)
}

// run does n random things.
func (w *world) run(n int) {
	for i := range n {
		switch k := w.rng.IntN(20); {
		case k < 15:
			id, collection := tenant.ID(fmt.Sprint("t", w.rng.IntN(6))), uint64(w.rng.IntN(4))
			c := Counts{w.rng.Uint64N(3), w.rng.Uint64N(3), w.rng.Uint64N(1e6), w.rng.Uint64N(1e6)}
			w.adding = c
			w.tally.Add(id, collection, c)
			add(w.added, id, collection, c)
			w.adding = Counts{}
			w.at("added")
		case k < 16:
			w.must(w.tally.Sync())
		case k < 18:
			w.must(w.tally.Cut(int64(i + 2)))
		default:
			for _, r := range w.tally.Waiting() {
				w.must(w.hub.take(r))
				if w.at("report taken"); w.rng.IntN(4) > 0 {
					w.must(w.tally.Done(r.Sequence))
				}
			}
		}
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// after opens what a crash left and reports everything.
func (w *world) after(step string, file []byte) Counts {
	w.crashes++
	path := filepath.Join(w.dir, "crashed")
	w.must(os.WriteFile(path, file, 0o600))
	t, err := Open(path, slotsMin, 1)
	if err != nil {
		w.t.Fatalf("%s: %v", step, err)
	}
	defer t.Close()
	if t.Birth() != w.tally.Birth() || t.Damaged() != 0 {
		w.t.Fatalf("%s: birth %x, was %x, %d damaged", step, t.Birth(), w.tally.Birth(), t.Damaged())
	}
	hub := w.hub.clone()
	if err := report(t, hub, 1e6); err != nil {
		w.t.Fatalf("%s: %v", step, err)
	}
	return sum(hub.total)
}

func within(low, n, high Counts) bool {
	return low.Requests <= n.Requests && n.Requests <= high.Requests && low.Searches <= n.Searches && n.Searches <= high.Searches &&
		low.Scanned <= n.Scanned && n.Scanned <= high.Scanned && low.Bytes <= n.Bytes && n.Bytes <= high.Bytes
}

func plus(a, b Counts) Counts {
	return Counts{a.Requests + b.Requests, a.Searches + b.Searches, a.Scanned + b.Scanned, a.Bytes + b.Bytes}
}

// TestKilled ends the process at every step: what was counted is reported, all of
// it and once, and a report that the hub has comes again as it was.
func TestKilled(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t, seed, func(w *world, step string) {
			low := sum(w.added)
			if got := w.after(step, w.versions[len(w.versions)-1]); !within(low, got, plus(low, w.adding)) {
				w.t.Fatalf("killed at %q: %+v reported, %+v added", step, got, low)
			}
		})
		w.run(120)
		w.tally.step = nil
		if w.crashes < 300 || w.hub.last < 3 {
			t.Fatalf("%d crashes, %d reports", w.crashes, w.hub.last)
		}
		w.must(w.tally.Close())
	}
}

// TestMachineCrash loses the machine at every step: any sector is as it was at
// any time since it was synced last. What was synced is reported, nothing twice.
func TestMachineCrash(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t, seed, func(w *world, step string) {
			file := make([]byte, len(w.versions[0]))
			for at := 0; at < len(file); at += 512 {
				v := w.rng.IntN(len(w.versions))
				switch w.rng.IntN(3) {
				case 0:
					v = 0
				case 1:
					v = len(w.versions) - 1
				}
				copy(file[at:at+512], w.versions[v][at:])
			}
			high := plus(sum(w.added), w.adding)
			got := w.after(step, file)
			if !within(w.synced, got, high) {
				w.t.Fatalf("machine lost at %q: %+v reported, %+v synced, %+v added", step, got, w.synced, high)
			}
		})
		w.run(120)
		w.tally.step = nil
		w.must(w.tally.Close())
	}
}

// TestDamage changes the file of a tally: Open never panics, and what it reports
// was counted: of a slot all or nothing.
func TestDamage(t *testing.T) {
	w := newWorld(t, 3, func(*world, string) {})
	w.run(60)
	w.tally.step = nil
	good := slices.Clone(w.tally.mem)
	for i := areasBegin; i < len(good); i++ {
		if good[i] == 0 && i%7 != 0 {
			continue
		}
		bad := slices.Clone(good)
		bad[i] ^= 1 << w.rng.IntN(8)
		w.open(bad)
	}
	for range 200 { // sectors of something else
		bad := slices.Clone(good)
		for range 1 + w.rng.IntN(4) {
			at := areasBegin + w.rng.IntN((len(bad)-areasBegin)/512)*512
			for i := range 512 {
				bad[at+i] = byte(w.rng.Uint32())
			}
		}
		w.open(bad)
	}
	w.must(w.tally.Close())
}

// open opens a damaged file and holds what it reports against what was added.
func (w *world) open(file []byte) {
	path := filepath.Join(w.dir, "damaged")
	w.must(os.WriteFile(path, file, 0o600))
	t, err := Open(path, slotsMin, 1)
	w.must(err)
	hub := w.hub.clone()
	if t.Birth() != w.tally.Birth() { // another source
		hub.last, hub.taken = 0, map[uint64]tenant.UsageReport{}
	}
	w.must(report(t, hub, 1e6))
	for name, n := range hub.total {
		if !within(Counts{}, n, w.added[name]) {
			w.t.Fatalf("%s: %+v reported, %+v added", name, n, w.added[name])
		}
	}
	if t.Damaged() == 0 && sum(hub.total) != sum(w.added) {
		w.t.Fatalf("%+v reported of %+v, and no damage", sum(hub.total), sum(w.added))
	}
	w.must(t.Close())
}

// TestSetAside: without a header there is nothing to go by. The new file has
// another birth, since its sequences begin anew.
func TestSetAside(t *testing.T) {
	for what, break_ := range map[string]func([]byte) []byte{
		"both headers":  func(b []byte) []byte { clear(b[:areasBegin]); return b },
		"a short file":  func(b []byte) []byte { return b[:len(b)-1] },
		"a long file":   func(b []byte) []byte { return append(b, 0) },
		"no file":       func([]byte) []byte { return nil },
		"another file":  func([]byte) []byte { return []byte("hello") },
		"only a header": func(b []byte) []byte { return b[:areasBegin] },
	} {
		w := newWorld(t, 4, func(*world, string) {})
		w.run(30)
		w.tally.step = nil
		path := filepath.Join(w.dir, "broken")
		w.must(os.WriteFile(path, break_(slices.Clone(w.tally.mem)), 0o600))
		got, err := Open(path, slotsMin, 7)
		w.must(err)
		if _, err := os.Stat(path + ".damaged"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got.Damaged() != 1 || got.Birth() == w.tally.Birth() || got.Used() != 0 || got.Since() != 7 {
			t.Errorf("%s: damaged %d, used %d, since %d", what, got.Damaged(), got.Used(), got.Since())
		}
		w.must(got.Close())
		w.must(w.tally.Close())
	}
}

func FuzzOpen(f *testing.F) {
	dir := memoryDir(f)
	path := filepath.Join(dir, "seed")
	seed, err := Open(path, slotsMin, 1)
	if err != nil {
		f.Fatal(err)
	}
	seed.Add("acme", 7, Counts{1, 2, 3, 4})
	f.Add(slices.Clone(seed.mem))
	_ = seed.Cut(2)
	seed.Add("acme", 8, Counts{1, 0, 0, 1 << 60})
	f.Add(slices.Clone(seed.mem))
	f.Add([]byte(magic))
	_ = seed.Close()
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(memoryDir(t), "tally")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Open(path, slotsMin, 1)
		if err != nil {
			t.Fatal(err)
		}
		got.Add("acme", 7, Counts{Requests: 1})
		total := map[string]Counts{}
		for range 2 {
			if err := got.Cut(9); err != nil {
				t.Fatal(err)
			}
			for _, r := range got.Waiting() {
				for _, e := range r.Entries {
					add(total, e.Tenant, e.Collection, Counts{Requests: e.APIRequests})
				}
				if err := got.Done(r.Sequence); err != nil {
					t.Fatal(err)
				}
			}
		}
		if total["acme 7"].Requests == 0 && got.Dropped() == 0 && total["acme 0"].Requests == 0 {
			t.Fatalf("what was added is not in %v", total)
		}
		if err := got.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
