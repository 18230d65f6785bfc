package nodelog_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// model is what a log must hold.
type model map[uint64]modelGroup

type modelGroup struct {
	origin  nodelog.Position // of the last start
	replica uint64
	start   nodelog.Position
	entries []*raftpb.Entry // from start on, nothing of it ever cut
	hard    *raftpb.HardState
	cut     uint64
}

func (g *modelGroup) last() uint64 { return g.start.Index + uint64(len(g.entries)) }

func (m model) with(batch []nodelog.Append) model {
	m = maps.Clone(m)
	for _, a := range batch {
		if a.Remove {
			delete(m, a.Group)
			continue
		}
		g := m[a.Group]
		if a.Start != nil {
			g.origin, g.start, g.entries, g.cut = *a.Start, *a.Start, nil, a.Start.Index
			if a.Replica != 0 && a.Replica != g.replica {
				g.replica, g.hard = a.Replica, nil
			}
		}
		if a.HardState != nil {
			g.hard = a.HardState
		}
		if len(a.Entries) > 0 {
			keep := a.Entries[0].GetIndex() - g.start.Index - 1
			g.entries = slices.Concat(g.entries[:keep], a.Entries)
		}
		m[a.Group] = g
	}
	return m
}

func (m model) withCut(group, index uint64) model {
	m = maps.Clone(m)
	g := m[group]
	g.cut = max(g.cut, index)
	m[group] = g
	return m
}

// diff returns how the log differs from the model, or nil. Of what was cut it
// may have any part.
func (m model) diff(l *nodelog.Log) error {
	if got, want := l.Groups(), slices.Sorted(maps.Keys(m)); !slices.Equal(got, want) {
		return fmt.Errorf("groups %v, want %v", got, want)
	}
	for id, want := range m {
		if err := want.diff(l.Group(id)); err != nil {
			return fmt.Errorf("group %d: %w", id, err)
		}
	}
	return nil
}

func (g *modelGroup) diff(got *nodelog.Group) error {
	first, err := got.FirstIndex()
	last, err2 := got.LastIndex()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if last != g.last() || first <= g.start.Index || first > max(g.cut, g.start.Index)+1 {
		return fmt.Errorf("bounds [%d, %d], want (%d, %d], cut at %d", first, last, g.start.Index, g.last(), g.cut)
	}
	if got.Replica() != g.replica || got.Start() != g.origin {
		return fmt.Errorf("replica %d from %v, want %d from %v", got.Replica(), got.Start(), g.replica, g.origin)
	}
	if hs := got.HardState(); !proto.Equal(hs, g.hard) {
		return fmt.Errorf("hard state %v, want %v", hs, g.hard)
	}
	want := g.entries[first-g.start.Index-1:]
	es, err := got.Entries(first, last+1, math.MaxUint64)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(es, want, sameEntry) {
		return fmt.Errorf("entries %v, want %v", es, want)
	}
	term := g.start.Term
	if before := first - g.start.Index - 1; before > 0 {
		term = g.entries[before-1].GetTerm()
	}
	for i := first - 1; i <= last; i++ {
		if i >= first {
			term = want[i-first].GetTerm()
		}
		if t, err := got.Term(i); err != nil || t != term {
			return fmt.Errorf("term of %d: %d, want %d; error %w", i, t, term, err)
		}
	}
	return nil
}

// workload makes random batches that follow on from a model.
type workload struct {
	rng    *rand.Rand
	groups uint64
}

func newWorkload(seed uint64) workload { return workload{rand.New(rand.NewPCG(seed, 1)), 5} }

func (w workload) batch(m model) []nodelog.Append {
	var batch []nodelog.Append
	for range 1 + w.rng.IntN(4) {
		a := w.append(m)
		m = m.with([]nodelog.Append{a})
		batch = append(batch, a)
	}
	return batch
}

func (w workload) append(m model) nodelog.Append {
	a := nodelog.Append{Group: 1 + w.rng.Uint64N(w.groups)}
	g := m[a.Group]
	if w.rng.IntN(25) == 0 {
		a.Remove = true
		return a
	}
	if w.rng.IntN(20) == 0 {
		a.Start = &nodelog.Position{Index: g.last() + w.rng.Uint64N(20), Term: 1 + w.rng.Uint64N(9)}
		a.Replica = w.rng.Uint64N(4)
		g = modelGroup{start: *a.Start, cut: a.Start.Index}
	}
	if w.rng.IntN(3) == 0 {
		a.HardState = hard(w.rng.Uint64N(100), w.rng.Uint64N(4), g.last())
	}
	if w.rng.IntN(8) == 0 {
		return a
	}
	first := g.last() + 1
	if floor := max(g.cut, g.start.Index) + 1; w.rng.IntN(6) == 0 {
		first = floor + w.rng.Uint64N(first-floor+1)
	}
	size := 300
	switch w.rng.IntN(60) {
	case 0:
		size = 70 << 10 // more than a segment
	case 1, 2, 3:
		size = 5000
	}
	term := 1 + w.rng.Uint64N(100)
	for i := range 1 + w.rng.Uint64N(6) {
		if w.rng.IntN(9) == 0 {
			term++
		}
		a.Entries = append(a.Entries, entry(first+i, term, w.text(w.rng.IntN(size))))
	}
	return a
}

func (w workload) text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return string(b)
}

// cut returns a group of the model and how far it may be cut.
func (w workload) cut(m model) (group, index uint64) {
	group = 1 + w.rng.Uint64N(w.groups)
	g := m[group]
	return group, g.cut + w.rng.Uint64N(max(g.last(), g.cut)-g.cut+1)
}

func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorkload(rapid.Uint64().Draw(t, "seed"))
		d := disk.NewMem(rapid.Uint64().Draw(t, "disk"))
		want := model{}
		l := open(t, d, small())
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch w.rng.IntN(10) {
			default:
				batch := w.batch(want)
				must(t, l.Write(batch))
				want = want.with(batch)
			case 0, 1:
				group, index := w.cut(want)
				if _, ok := want[group]; ok {
					must(t, l.Cut(group, index))
					want = want.withCut(group, index)
				}
			case 2:
				must(t, l.Prepare())
			case 3:
				if w.rng.IntN(2) == 0 {
					d.Crash()
				}
				must(t, l.Close())
				l = open(t, d, small())
			}
			if err := want.diff(l); err != nil {
				t.Fatal(err)
			}
		}
	})
}

var errDisk = errors.New("disk is broken")

// run drives a log until the disk fails or the steps are done, and returns
// what is acknowledged and, after a failure, what may be there too.
func (w workload) run(d disk.Disk, acked model, steps int) (after, maybe model) {
	l, err := nodelog.Open(d, dir, small())
	if err != nil {
		return acked, acked
	}
	defer l.Close()
	for range steps {
		if w.rng.IntN(5) == 0 {
			group, index := w.cut(acked)
			if _, ok := acked[group]; ok && l.Cut(group, index) == nil {
				acked = acked.withCut(group, index)
			}
		}
		if w.rng.IntN(10) == 0 {
			_ = l.Prepare() // a spare that fails is only slower
		}
		batch := w.batch(acked)
		if err := l.Write(batch); err != nil {
			return acked, acked.with(batch)
		}
		acked = acked.with(batch)
	}
	return acked, acked
}

// check opens the log and returns which of the two it holds.
func check(t *testing.T, d disk.Disk, acked, maybe model) model {
	t.Helper()
	l := open(t, d, small())
	defer l.Close()
	err := acked.diff(l)
	if err == nil {
		return acked
	}
	if err2 := maybe.diff(l); err2 != nil {
		t.Fatalf("neither what was acknowledged: %v\nnor with the last batch: %v", err, err2)
	}
	return maybe
}

// The disk stops at every operation in turn, of a run, of the recovery after
// it, and of the run after that; each time power fails, or only the process
// dies and power fails later.
func TestCrashAtEveryOperation(t *testing.T) {
	const steps = 50
	count := disk.NewMem(0)
	newWorkload(1).run(count, model{}, steps)
	for n := 1; n <= count.Ops(); n++ {
		w, d := newWorkload(1), disk.NewMem(uint64(n))
		d.FailAt(n, errDisk)
		acked, maybe := w.run(d, model{}, steps)
		for round := range 4 {
			if d.FailAt(0, nil); (n+round)%2 == 0 {
				d.Crash()
			}
			if w.rng.IntN(2) == 0 { // stop in the middle of recovery, or soon after
				d.FailAt(1+w.rng.IntN(12), errDisk)
				if l, err := nodelog.Open(d, dir, small()); err == nil {
					must(t, l.Close())
				}
				if d.FailAt(0, nil); w.rng.IntN(2) == 0 {
					d.Crash()
				}
			}
			acked = check(t, d, acked, maybe)
			d.FailAt(1+w.rng.IntN(40), errDisk)
			acked, maybe = w.run(d, acked, 8)
		}
	}
}

func TestFailureIsFinal(t *testing.T) {
	for n := 1; n <= 2; n++ { // the write, the sync
		d := disk.NewMem(1)
		l := open(t, d, small())
		must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(1, 1, 1)}}))
		d.FailAt(n, errDisk)
		err := l.Write([]nodelog.Append{{Group: 1, Entries: entries(2, 2, 1)}})
		if !errors.Is(err, errDisk) {
			t.Fatalf("write on a broken disk: %v", err)
		}
		d.FailAt(0, nil)
		ops := d.Ops()
		if again := l.Write([]nodelog.Append{{Group: 1, Entries: entries(2, 2, 1)}}); !errors.Is(again, errDisk) {
			t.Fatalf("write after a failure: %v", again)
		}
		if !errors.Is(l.Cut(1, 1), errDisk) || d.Ops() != ops {
			t.Fatal("the log went on after a failure")
		}
		wantBounds(t, l.Group(1), 1, 1)
	}
}
