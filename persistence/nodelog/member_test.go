package nodelog_test

import (
	"bytes"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

const (
	mine   uint64 = 3<<32 | 7
	newest uint64 = 3<<32 | 9
)

func wantMember(t *testing.T, g *nodelog.Group, replica uint64, start nodelog.Position) {
	t.Helper()
	if g.Replica() != replica || g.Start() != start {
		t.Fatalf("replica %x from %v, want %x from %v", g.Replica(), g.Start(), replica, start)
	}
}

// begin makes a group begin anew at an index, as a replica's.
func (r *recorded) begin(t *testing.T, l *nodelog.Log, group, index, replica uint64, hs *raftpb.HardState) {
	t.Helper()
	r.write(t, l, []nodelog.Append{{Group: group, Start: &nodelog.Position{Index: index, Term: 2}, Replica: replica, HardState: hs}})
}

func (r *recorded) remove(t *testing.T, l *nodelog.Log, groups ...uint64) {
	t.Helper()
	var batch []nodelog.Append
	for _, id := range groups {
		batch = append(batch, nodelog.Append{Group: id, Remove: true})
	}
	r.write(t, l, batch)
}

// again opens the log anew, which must be what was acknowledged.
func (r *recorded) again(t *testing.T, l *nodelog.Log) *nodelog.Log {
	t.Helper()
	must(t, l.Close())
	l = open(t, r.disk, small())
	if err := r.acked().diff(l); err != nil {
		t.Fatal(err)
	}
	return l
}

// Whose a group is and where it began outlives cuts, the segment that said it,
// and restarts.
func TestReplicaStays(t *testing.T) {
	r := newRecorded(1)
	l := open(t, r.disk, small())
	start := nodelog.Position{Index: 5, Term: 2}
	r.begin(t, l, 1, 5, mine, hard(2, 1, 5))
	r.begin(t, l, 2, 0, newest, nil)
	first, _ := l.Place()
	for i := range uint64(8 * perSegment) {
		r.one(t, l, 1)
		must(t, l.Cut(1, 6+i))
		r.models[len(r.models)-1] = r.acked().withCut(1, 6+i)
		if i%7 == 0 {
			l = r.again(t, l)
		}
		wantMember(t, l.Group(1), mine, start)
	}
	if _, err := r.disk.Open(first); err == nil {
		t.Fatal("the segment with the start is still there")
	}
	l = r.again(t, l)
	wantMember(t, l.Group(2), newest, nodelog.Position{Term: 2})
	if l.Group(1).HardState().GetTerm() != 2 {
		t.Fatal("no hard state")
	}
	r.begin(t, l, 1, 200, 0, nil) // an image: the replica and what it promised stay
	wantMember(t, l.Group(1), mine, nodelog.Position{Index: 200, Term: 2})
	r.begin(t, l, 1, 300, mine, nil)
	if l.Group(1).HardState().GetTerm() != 2 {
		t.Fatal("a start took the hard state away from its own replica")
	}
	r.begin(t, l, 1, 0, newest, nil)
	if l.Group(1).HardState() != nil {
		t.Fatal("a replica has another one's hard state")
	}
	l = r.again(t, l)
	wantMember(t, l.Group(1), newest, nodelog.Position{Term: 2})
	must(t, l.Close())
}

// A stopped group names its replica, from rows and from heads.
func TestStoppedGroupNamesItsReplica(t *testing.T) {
	r := newRecorded(1)
	l := open(t, r.disk, small())
	r.begin(t, l, 1, 5, mine, nil)
	r.one(t, l, 1)
	r.one(t, l, 2)
	must(t, l.Close())
	r.hole(t, 1, 1)
	for range 4 * perSegment {
		l = open(t, r.disk, small())
		wantLost(t, l.Group(1))
		wantMember(t, l.Group(1), mine, nodelog.Position{Index: 5, Term: 2})
		last, err := l.Group(2).LastIndex()
		must(t, err)
		must(t, l.Cut(2, last)) // forgotten with each start
		r.one(t, l, 2)
		must(t, l.Close())
	}
	if _, err := r.disk.Open(r.places[0].file); err == nil {
		t.Fatal("the segment with the start is still there")
	}
	l = open(t, r.disk, small())
	r.begin(t, l, 1, 9, newest, hard(3, 0, 9))
	r.models[len(r.models)-1] = r.acked().withCut(2, 1<<40)
	l = r.again(t, l)
	wantMember(t, l.Group(1), newest, nodelog.Position{Index: 9, Term: 2})
	r.remove(t, l, 1)
	must(t, l.Close())
}

func TestRemove(t *testing.T) {
	r := newRecorded(1)
	l := open(t, r.disk, small())
	r.begin(t, l, 1, 5, mine, hard(2, 1, 5))
	r.one(t, l, 1, 2)
	r.remove(t, l, 1, 77)
	check := func() {
		t.Helper()
		if got := l.Groups(); !slices.Equal(got, []uint64{2}) {
			t.Fatalf("groups %v", got)
		}
		g := l.Group(1)
		wantMember(t, g, 0, nodelog.Position{})
		wantBounds(t, g, 1, 0)
		if g.HardState() != nil || g.Err() != nil {
			t.Fatal("something of a removed group is there")
		}
	}
	check()
	l = r.again(t, l)
	check()
	for range 3 * perSegment {
		r.one(t, l, 2)
	}
	l = r.again(t, l)
	check()
	r.begin(t, l, 1, 0, newest, nil)
	r.one(t, l, 1)
	l = r.again(t, l)
	wantMember(t, l.Group(1), newest, nodelog.Position{Term: 2})
	wantBounds(t, l.Group(1), 1, 1)

	// All of it in one batch, twice over.
	start := &nodelog.Position{Index: 40, Term: 4}
	r.write(t, l, []nodelog.Append{
		{Group: 1, Remove: true},
		{Group: 1, Start: start, Replica: mine},
		{Group: 1, Entries: entries(41, 42, 4)},
		{Group: 1, Remove: true},
		{Group: 1, Start: start, Replica: newest, Entries: entries(41, 44, 4)},
		{Group: 2, Remove: true},
	})
	l = r.again(t, l)
	wantBounds(t, l.Group(1), 41, 44)
	must(t, l.Close())
}

// A removal that nothing can be read of is known from the batch after it,
// whole or torn, or from a head; the group is neither there nor stopped.
func TestRemovedInAHole(t *testing.T) {
	made := func(t *testing.T, after int) (recorded, *nodelog.Log) {
		r := newRecorded(1)
		l := open(t, r.disk, small())
		r.one(t, l, 1, 2, 3)
		r.remove(t, l, 1)
		for range after {
			r.one(t, l, 2)
		}
		return r, l
	}
	t.Run("whole batch after it", func(t *testing.T) {
		r, l := made(t, 1)
		must(t, l.Close())
		r.hole(t, 1, 1)
		wantIDs(t, lost(t, r.disk, r.acked()))
	})
	t.Run("restart after it", func(t *testing.T) {
		r, l := made(t, 0)
		l = r.again(t, l)
		r.one(t, l, 2)
		must(t, l.Close())
		r.hole(t, 1, 1)
		wantIDs(t, lost(t, r.disk, r.acked()))
	})
	t.Run("torn batch after it", func(t *testing.T) {
		r, l := made(t, 1)
		must(t, l.Close())
		r.hole(t, 1, 1)
		p := r.places[2]
		must(t, r.disk.Mutate(p.file, func(b []byte) []byte { b[p.from+bytesIndex(b[p.from:], "entry 2 of")] ^= 1; return b }))
		for range 3 {
			wantIDs(t, lost(t, r.disk, r.models[2]))
		}
	})
	t.Run("torn batch after a whole one", func(t *testing.T) {
		r, l := made(t, 1)
		must(t, l.Close())
		p := r.places[2]
		must(t, r.disk.Mutate(p.file, func(b []byte) []byte { clear(b[p.to-512 : p.to]); return b }))
		for range 3 {
			wantIDs(t, lost(t, r.disk, r.models[2]))
		}
	})
	t.Run("made anew after it", func(t *testing.T) {
		r, l := made(t, 0)
		r.begin(t, l, 1, 8, newest, nil)
		r.one(t, l, 1)
		must(t, l.Close())
		r.hole(t, 1, 1)
		wantIDs(t, lost(t, r.disk, r.acked()))
	})
	t.Run("made anew in it", func(t *testing.T) {
		r, l := made(t, 0)
		r.begin(t, l, 1, 8, newest, nil)
		r.one(t, l, 2)
		must(t, l.Close())
		r.hole(t, 1, 2)
		wantIDs(t, lost(t, r.disk, r.acked()), 1)
	})
	t.Run("head after it", func(t *testing.T) {
		r, l := made(t, 3*perSegment)
		must(t, l.Close())
		hole := 0
		for ; r.places[hole+1].file == r.places[1].file; hole++ {
		}
		r.hole(t, 1, hole) // to the end of the segment
		wantIDs(t, lost(t, r.disk, r.acked()), 2)
	})
	t.Run("row in it", func(t *testing.T) { // it is hurt, but not its tables
		r, l := made(t, 1)
		must(t, l.Close())
		p := r.places[1]
		must(t, r.disk.Mutate(p.file, func(b []byte) []byte { clear(b[p.from : p.from+512]); return b }))
		wantIDs(t, lost(t, r.disk, r.acked()))
	})
}

func bytesIndex(b []byte, s string) int64 { return int64(bytes.Index(b, []byte(s))) }

// A group that was stopped can be removed and made anew.
func TestRemoveStoppedGroup(t *testing.T) {
	r := newRecorded(1)
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2)
	r.one(t, l, 2)
	must(t, l.Close())
	r.places[0].wipe(t, r.disk)
	l = open(t, r.disk, small())
	wantLost(t, l.Group(1))
	r.write(t, l, []nodelog.Append{
		{Group: 1, Remove: true},
		{Group: 1, Start: &nodelog.Position{}, Replica: newest},
		{Group: 1, Entries: entries(1, 1, 1)},
		{Group: 2, Remove: true},
	})
	l = r.again(t, l)
	must(t, l.Close())
}

func TestMemberAppendsThatPanic(t *testing.T) {
	for name, a := range map[string]nodelog.Append{
		"remove and start":      {Group: 1, Remove: true, Start: &nodelog.Position{}},
		"remove and entries":    {Group: 1, Remove: true, Entries: entries(2, 2, 1)},
		"remove and hard state": {Group: 1, Remove: true, HardState: hard(1, 1, 1)},
		"remove and replica":    {Group: 1, Remove: true, Replica: mine},
		"replica, no start":     {Group: 1, Replica: mine},
		"entry after a removal": {Group: 2, Entries: entries(2, 2, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, disk.NewMem(1), small())
			must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(1, 1, 1)}, {Group: 2, Entries: entries(1, 1, 1)}}))
			must(t, l.Write([]nodelog.Append{{Group: 2, Remove: true}}))
			defer func() {
				if recover() == nil {
					t.Fatal("no panic")
				}
			}()
			_ = l.Write([]nodelog.Append{a})
		})
	}
}
