package nodelog_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/raft/v3"

	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// fill writes n entries of a group, each in a batch of its own, of a page each.
func fill(t *testing.T, l *nodelog.Log, group, n uint64) {
	t.Helper()
	for range n {
		last, err := l.Group(group).LastIndex()
		must(t, err)
		must(t, l.Write([]nodelog.Append{{Group: group, Entries: entries(last+1, last+1, 1)}}))
	}
}

func first(t *testing.T, l *nodelog.Log, group uint64) uint64 {
	t.Helper()
	i, err := l.Group(group).FirstIndex()
	must(t, err)
	return i
}

// A segment of small() has room for ten batches of one page.
const perSegment = 10

// A segment is made of the spare, once, and holds what it is given; a spare
// that a crash left behind is not taken for one.
func TestSpare(t *testing.T) {
	d := disk.NewMem(1)
	l := open(t, d, small())
	want := model{}
	w := newWorkload(7)
	for l.WantsSpare() == false {
		batch := w.batch(want)
		must(t, l.Write(batch))
		want = want.with(batch)
	}
	must(t, l.Prepare())
	if l.WantsSpare() || !hasSpare(t, d) {
		t.Fatal("no spare was made, or a second is wanted")
	}
	for hasSpare(t, d) {
		batch := w.batch(want)
		must(t, l.Write(batch))
		want = want.with(batch)
	}
	must(t, l.Prepare())
	must(t, l.Close())
	l = open(t, d, small())
	if hasSpare(t, d) {
		t.Fatal("a spare of before the start is still there")
	}
	must(t, want.diff(l))
	must(t, l.Close())
}

func hasSpare(t *testing.T, d disk.Disk) bool {
	t.Helper()
	names, err := d.List(dir)
	must(t, err)
	return slices.Contains(names, "spare.new")
}

func TestCutKeepsEntries(t *testing.T) {
	d := disk.NewMem(1)
	l := open(t, d, small())
	fill(t, l, 1, 100)
	if l.Segments() != 100/perSegment || first(t, l, 1) != 1 {
		t.Fatalf("%d segments, first %d", l.Segments(), first(t, l, 1))
	}
	must(t, l.Cut(1, 50))
	must(t, l.Cut(1, 40)) // goes back on nothing
	fill(t, l, 1, 1)
	if first(t, l, 1) != 51 || l.Segments() != 6 {
		t.Fatalf("after a cut: %d segments, first %d", l.Segments(), first(t, l, 1))
	}
	must(t, l.Cut(1, 101))
	fill(t, l, 1, perSegment-1)
	must(t, l.Cut(1, 110))
	fill(t, l, 1, 1) // begins a segment, after entry 110
	before := first(t, l, 1)
	if before != 110-small().KeepEntries+1 || l.Segments() != 2 {
		t.Fatalf("after a full cut: %d segments, first %d", l.Segments(), before)
	}
	must(t, l.Close())
	l = open(t, d, small())
	wantBounds(t, l.Group(1), before, 111)
	wantEntries(t, l.Group(1), entries(before, 111, 1))
	if _, err := l.Group(1).Entries(before-1, 111, 0); !errors.Is(err, raft.ErrCompacted) {
		t.Fatalf("read of what was cut: %v", err)
	}
	must(t, l.Close())
}

func TestCutKeepsBytes(t *testing.T) {
	o := small()
	o.KeepEntries = 1000
	l := open(t, disk.NewMem(1), o)
	for i := range uint64(40) {
		e := entry(i+1, 1, strings.Repeat("x", 1000))
		must(t, l.Write([]nodelog.Append{{Group: 1, Entries: append(entries(0, 0, 1)[:0], e)}}))
		must(t, l.Cut(1, i+1))
	}
	// 4 KB are four such entries; the segment began before batch 31.
	if got := first(t, l, 1); got != 30-4+1 {
		t.Fatalf("first %d", got)
	}
}

// An idle group does not make a busy one's segments stay for ever.
func TestKeepTotal(t *testing.T) {
	o := small()
	o.KeepTotal = 4 * o.SegmentBytes
	d := disk.NewMem(1)
	l := open(t, d, o)
	fill(t, l, 2, 3)
	must(t, l.Cut(2, 2))
	for range 10 {
		fill(t, l, 1, perSegment)
		last, err := l.Group(1).LastIndex()
		must(t, err)
		must(t, l.Cut(1, last))
	}
	if first(t, l, 2) != 3 {
		t.Fatalf("idle group begins at %d", first(t, l, 2))
	}
	if l.Segments() < 10 {
		t.Fatal("what is not in the store was removed")
	}
	must(t, l.Cut(2, 3))
	fill(t, l, 1, perSegment)
	wantBounds(t, l.Group(2), 4, 3)
	fill(t, l, 2, 1) // stays while it is in the last four segments
	must(t, l.Cut(2, 4))
	for n := 0; first(t, l, 2) == 4; n++ {
		if l.Segments() > 4 || n > 4*perSegment {
			t.Fatalf("%d segments stay for an idle group", l.Segments())
		}
		last, err := l.Group(1).LastIndex()
		must(t, err)
		must(t, l.Cut(1, last))
		if fill(t, l, 1, 1); first(t, l, 2) > 4 && n < 3*perSegment {
			t.Fatalf("what may stay is gone after %d batches", n)
		}
	}
	must(t, l.Close())
	l = open(t, d, o)
	wantBounds(t, l.Group(2), 5, 4)
	if term, err := l.Group(2).Term(4); err != nil || term != 1 {
		t.Fatalf("term before the first entry: %d, %v", term, err)
	}
	must(t, l.Close())
}

// A start goes back before what was cut: the cut no longer counts.
func TestStartForgetsCut(t *testing.T) {
	l := open(t, disk.NewMem(1), small())
	fill(t, l, 1, 5)
	must(t, l.Cut(1, 5))
	must(t, l.Write([]nodelog.Append{{Group: 1, Start: &nodelog.Position{Index: 2, Term: 1}}}))
	fill(t, l, 1, 3*perSegment)
	wantBounds(t, l.Group(1), 3, 3*perSegment+2)
}

func TestOversizedBatch(t *testing.T) {
	d := disk.NewMem(1)
	l := open(t, d, small())
	fill(t, l, 1, 2)
	big := entry(3, 1, strings.Repeat("big", 100<<10))
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: append(entries(0, 0, 1)[:0], big)}}))
	fill(t, l, 1, 2)
	must(t, l.Close())
	l = open(t, d, small())
	want := append(append(entries(1, 2, 1), big), entries(4, 5, 1)...)
	wantEntries(t, l.Group(1), want)
	must(t, l.Close())
}

// Entries that were overwritten stay on the disk, also between two that follow
// on from each other.
func TestOverwriteInOneBatch(t *testing.T) {
	o := small()
	o.CacheBytes = 1
	d := disk.NewMem(1)
	l := open(t, d, o)
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(1, 5, 1)}, {Group: 1, Entries: entries(4, 9, 1)}}))
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(10, 10, 1)}}))
	for range 2 {
		wantEntries(t, l.Group(1), entries(1, 10, 1))
		must(t, l.Close())
		l = open(t, d, o)
	}
	must(t, l.Close())
}

// Readers beside the writer see whole appends, from memory and from the disk,
// while segments come and go.
func TestReadBesideWrite(t *testing.T) {
	d, err := disk.OS(t.TempDir())
	must(t, err)
	l := open(t, d, small())
	var wg sync.WaitGroup
	done := make(chan struct{})
	for id := uint64(1); id <= 3; id++ {
		wg.Go(func() {
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
				}
				if err := readAll(l.Group(id)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range uint64(150) {
		var batch []nodelog.Append
		for id := uint64(1); id <= 3; id++ {
			batch = append(batch, nodelog.Append{Group: id, HardState: hard(i, 1, i), Entries: entries(2*i+1, 2*i+2, i)})
		}
		must(t, l.Write(batch))
		if i > 20 {
			must(t, l.Cut(1+i%3, 2*(i-20)))
		}
	}
	close(done)
	wg.Wait()
	must(t, l.Close())
}

func readAll(g *nodelog.Group) error {
	first, err := g.FirstIndex()
	last, err2 := g.LastIndex()
	if err := errors.Join(err, err2, g.Err()); err != nil || last < first {
		return err
	}
	g.HardState()
	es, err := g.Entries(first, last+1, math.MaxUint64)
	if errors.Is(err, raft.ErrCompacted) {
		return nil
	}
	if err != nil || uint64(len(es)) != last+1-first {
		return fmt.Errorf("entries [%d, %d]: %d, %w", first, last, len(es), err)
	}
	for i, e := range es {
		want := entries(first+uint64(i), first+uint64(i), (first+uint64(i)-1)/2)[0]
		if !sameEntry(e, want) {
			return fmt.Errorf("entry %v, want %v", e, want)
		}
	}
	return nil
}
