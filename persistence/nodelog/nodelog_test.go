package nodelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

const dir = "log"

// small makes every rule of the log act within a few batches.
func small() nodelog.Options {
	return nodelog.Options{
		SegmentBytes: 48 << 10, KeepBytes: 4 << 10, KeepEntries: 6, KeepTotal: 200 << 10, CacheBytes: 4 << 10,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t rapid.TB, d disk.Disk, o nodelog.Options) *nodelog.Log {
	t.Helper()
	l, err := nodelog.Open(d, dir, o)
	must(t, err)
	return l
}

func entry(index, term uint64, data string) *raftpb.Entry {
	kind := raftpb.EntryType(index % 3)
	e := &raftpb.Entry{Index: &index, Term: &term, Type: &kind}
	if data != "" {
		e.Data = []byte(data)
	}
	return e
}

// entries makes the entries [from, to] of a term, with data that names them.
func entries(from, to, term uint64) []*raftpb.Entry {
	var es []*raftpb.Entry
	for i := from; i <= to; i++ {
		es = append(es, entry(i, term, fmt.Sprintf("entry %d of term %d", i, term)))
	}
	return es
}

func hard(term, vote, commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: &term, Vote: &vote, Commit: &commit}
}

func sameEntry(a, b *raftpb.Entry) bool {
	return a.GetIndex() == b.GetIndex() && a.GetTerm() == b.GetTerm() && a.GetType() == b.GetType() && bytes.Equal(a.Data, b.Data)
}

func wantEntries(t rapid.TB, g *nodelog.Group, want []*raftpb.Entry) {
	t.Helper()
	if len(want) == 0 {
		return
	}
	got, err := g.Entries(want[0].GetIndex(), want[len(want)-1].GetIndex()+1, math.MaxUint64)
	must(t, err)
	if !slices.EqualFunc(got, want, sameEntry) {
		t.Fatalf("entries: got %v, want %v", got, want)
	}
}

func wantBounds(t rapid.TB, g *nodelog.Group, first, last uint64) {
	t.Helper()
	f, err := g.FirstIndex()
	must(t, err)
	l, err := g.LastIndex()
	must(t, err)
	if f != first || l != last {
		t.Fatalf("bounds [%d, %d], want [%d, %d]", f, l, first, last)
	}
}

func TestRoundTrip(t *testing.T) {
	m := disk.NewMem(1)
	l := open(t, m, small())
	must(t, l.Write([]nodelog.Append{
		{Group: 7, Start: &nodelog.Position{Index: 10, Term: 2}, HardState: hard(3, 1, 10), Entries: entries(11, 20, 3)},
		{Group: 2, Entries: entries(1, 3, 1)},
		{Group: 7, HardState: hard(4, 0, 12), Entries: entries(15, 16, 4)},
		{Group: 9, HardState: hard(1, 2, 3)},
	}))
	check := func() {
		t.Helper()
		if got := l.Groups(); !slices.Equal(got, []uint64{2, 7, 9}) {
			t.Fatalf("groups %v", got)
		}
		g := l.Group(7)
		wantBounds(t, g, 11, 16)
		wantEntries(t, g, slices.Concat(entries(11, 14, 3), entries(15, 16, 4)))
		for i, want := range map[uint64]uint64{10: 2, 11: 3, 14: 3, 15: 4, 16: 4} {
			if term, err := g.Term(i); err != nil || term != want {
				t.Fatalf("term of %d: %d, %v", i, term, err)
			}
		}
		if hs := g.HardState(); hs.GetTerm() != 4 || hs.GetVote() != 0 || hs.GetCommit() != 12 {
			t.Fatalf("hard state %v", hs)
		}
		wantEntries(t, l.Group(2), entries(1, 3, 1))
		if l.Group(2).HardState() != nil || l.Group(9).HardState().GetVote() != 2 {
			t.Fatal("hard states of other groups")
		}
		wantBounds(t, l.Group(9), 1, 0)
		wantBounds(t, l.Group(99), 1, 0)
	}
	check()
	must(t, l.Close())
	l = open(t, m, small())
	check()
	must(t, l.Write(nil))
	must(t, l.Write([]nodelog.Append{{Group: 7, Start: &nodelog.Position{Index: 50, Term: 9}}}))
	wantBounds(t, l.Group(7), 51, 50)
	l = open(t, m, small())
	wantBounds(t, l.Group(7), 51, 50)
	if l.Group(7).HardState().GetTerm() != 4 {
		t.Fatal("a start took the hard state away")
	}
}

func TestReadBounds(t *testing.T) {
	o := small()
	o.CacheBytes = 1 // all but the last append is read from the disk
	l := open(t, disk.NewMem(1), o)
	must(t, l.Write([]nodelog.Append{{Group: 1, Start: &nodelog.Position{Index: 4, Term: 1}, Entries: entries(5, 9, 1)}}))
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(10, 12, 2)}}))
	g := l.Group(1)
	size := uint64(36 + len(entries(5, 5, 1)[0].Data))
	for _, c := range []struct{ lo, hi, size, n uint64 }{
		{5, 13, math.MaxUint64, 8},
		{5, 5, 100, 0},
		{5, 13, 0, 1},
		{5, 13, size, 1},
		{5, 13, 2*size - 1, 1},
		{5, 13, 2 * size, 2},
		{7, 9, math.MaxUint64, 2},
		{8, 13, 3*size + 1, 3},
		{11, 12, 0, 1},
		{13, 13, 0, 0},
	} {
		got, err := g.Entries(c.lo, c.hi, c.size)
		must(t, err)
		if uint64(len(got)) != c.n || c.n > 0 && got[0].GetIndex() != c.lo {
			t.Errorf("Entries(%d, %d, %d): %v", c.lo, c.hi, c.size, got)
		}
	}
	refused := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	_, err := g.Entries(4, 6, 0)
	refused(err, raft.ErrCompacted)
	_, err = g.Entries(12, 14, 0)
	refused(err, raft.ErrUnavailable)
	_, err = g.Term(3)
	refused(err, raft.ErrCompacted)
	_, err = g.Term(13)
	refused(err, raft.ErrUnavailable)
	must(t, l.Close())
	_, err = g.Entries(5, 6, 0)
	refused(err, nodelog.ErrClosed)
	refused(l.Write([]nodelog.Append{{Group: 1}}), nodelog.ErrClosed)
	refused(l.Cut(1, 5), nodelog.ErrClosed)
	if g.Err() != nil {
		t.Error("reading a closed log stopped the group")
	}
}

func wantLost(t rapid.TB, g *nodelog.Group) {
	t.Helper()
	if collection.CodeOf(g.Err()) != collection.DataLoss {
		t.Fatalf("group is not lost: %v", g.Err())
	}
	_, err := g.LastIndex()
	_, err2 := g.Term(0)
	_, err3 := g.Entries(1, 2, 0)
	_, err4 := g.FirstIndex()
	for _, err := range []error{err, err2, err3, err4} {
		if collection.CodeOf(err) != collection.DataLoss {
			t.Fatalf("a lost group answers: %v", err)
		}
	}
}

func TestAppendThatDoesNotFollow(t *testing.T) {
	for name, a := range map[string]nodelog.Append{
		"gap":          {Group: 1, Entries: entries(7, 7, 1)},
		"cut":          {Group: 1, Entries: entries(2, 3, 1)},
		"inner gap":    {Group: 1, Entries: slices.Concat(entries(6, 6, 1), entries(8, 8, 1))},
		"after start":  {Group: 1, Start: &nodelog.Position{Index: 9, Term: 1}, Entries: entries(6, 6, 1)},
		"of new group": {Group: 2, Entries: entries(2, 2, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, disk.NewMem(1), small())
			must(t, l.Write([]nodelog.Append{{Group: 1, Start: &nodelog.Position{Index: 2, Term: 1}, Entries: entries(3, 5, 1)}}))
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			_ = l.Write([]nodelog.Append{a})
		})
	}
}
