package nodelog_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// reach is how many batches of which nothing can be read the next one makes up
// for.
const reach = 16

func newRecorded(seed uint64) recorded {
	return recorded{disk: disk.NewMem(seed), models: []model{{}}}
}

// live writes batches of a workload, of the groups that are not in stopped,
// and opens the log once in between, after a crash.
func (r *recorded) live(t *testing.T, w workload, o nodelog.Options, stopped map[uint64]bool) {
	t.Helper()
	for range 2 {
		l := open(t, r.disk, o)
		for range 30 {
			batch := slices.DeleteFunc(w.batch(r.acked()), func(a nodelog.Append) bool { return stopped[a.Group] })
			if len(batch) > 0 {
				r.write(t, l, batch)
			}
		}
		r.disk.Crash()
		must(t, l.Close())
	}
}

// hole wipes n batches that others follow, and returns the groups that had
// rows there, were still there after it, and did not begin anew since.
func (r *recorded) hole(t *testing.T, from, n int) map[uint64]bool {
	t.Helper()
	hit := map[uint64]bool{}
	for _, p := range r.places[from : from+n] {
		p.wipe(t, r.disk)
		maps.Copy(hit, p.groups)
		maps.DeleteFunc(hit, func(id uint64, _ bool) bool { return p.removed[id] })
	}
	for _, p := range r.places[from+n:] {
		maps.DeleteFunc(hit, func(id uint64, _ bool) bool { return p.anew[id] })
	}
	return hit
}

// A hole of batches stops the groups with rows in it and no other; and the same
// again, when the log has gone on.
func TestHole(t *testing.T) {
	o := small()
	o.SegmentBytes = 4 << 20
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w, r, stopped := newWorkload(seed), newRecorded(seed), map[uint64]bool{}
		w.groups = []uint64{5, 20, 60, 300}[seed%4]
		for begin := 0; begin < 100 && len(stopped) < int(w.groups); begin = len(r.places) {
			r.live(t, w, o, stopped)
			n := min(1+rng.IntN(reach), len(r.places)-begin-1)
			if n < 1 {
				continue
			}
			maps.Copy(stopped, r.hole(t, begin+rng.IntN(len(r.places)-begin-n), n))
			for range 2 {
				wantIDs(t, lostWith(t, r.disk, r.acked(), o), slices.Sorted(maps.Keys(stopped))...)
			}
		}
	}
}

// In small segments a hole may have heads in it, or be made up for by one. Of
// groups whose beginning is gone with older segments only heads tell.
func TestHoleOverSegments(t *testing.T) {
	spared, heads := 0, 0
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 8))
		w, r := newWorkload(seed), newRecorded(seed)
		w.groups = []uint64{5, 20, 60, 300}[seed%4]
		r.live(t, w, small(), nil)
		files, err := r.disk.List(dir)
		must(t, err)
		oldest := dir + "/" + files[0]
		first := slices.IndexFunc(r.places, func(p place) bool { return p.file == oldest })
		n := 1 + rng.IntN(min(len(r.places)-first-2, reach-4)) // beside the heads
		from := first + 1 + rng.IntN(len(r.places)-first-n-1)
		hit := r.hole(t, from, n)
		for i := from; first == 0 && i < from+n; i++ {
			if p := r.places[i]; p.file != r.places[i-1].file {
				heads++
				place{file: p.file, to: p.from}.wipe(t, r.disk)
			}
		}
		ids := lost(t, r.disk, r.acked())
		for _, id := range ids {
			if !hit[id] {
				t.Fatalf("seed %d: group %d is lost, in the hole were %v", seed, id, hit)
			}
		}
		spared += len(hit) - len(ids)
	}
	if spared == 0 || heads == 0 {
		t.Fatalf("heads made up for %d groups; holes had %d heads in them", spared, heads)
	}
}

func TestHoleOfOneBatch(t *testing.T) {
	r := newRecorded(1)
	l := open(t, r.disk, small())
	r.one(t, l, 0, 1, 2, 3)
	r.one(t, l, 2, 9)
	r.one(t, l, 1)
	must(t, l.Close())
	r.places[1].wipe(t, r.disk)
	wantIDs(t, lost(t, r.disk, r.acked()), 2, 9)

	l = open(t, r.disk, small())
	if got := l.Groups(); !slices.Equal(got, []uint64{0, 1, 2, 3, 9}) {
		t.Fatalf("groups %v", got)
	}
	for range 2 * reach { // over the next segments
		r.one(t, l, 1, 77)
	}
	must(t, l.Close())
	wantIDs(t, lost(t, r.disk, r.acked()), 2, 9)
}

// Beyond the reach of the batch after it, a hole stops the groups that no later
// row or head shows to have had no part in it.
func TestHoleBeyondReach(t *testing.T) {
	o := small()
	o.SegmentBytes = 1 << 20
	r := newRecorded(1)
	l := open(t, r.disk, o)
	r.one(t, l, 1, 2, 3, 4)
	for range reach + 1 {
		r.one(t, l, 2)
	}
	r.one(t, l, 1)
	r.one(t, l, 4)
	must(t, l.Close())
	r.hole(t, 1, reach+1)
	wantIDs(t, lostWith(t, r.disk, r.acked(), o), 2, 3) // nothing shows that 3 had no row

	l = open(t, r.disk, o)
	if !slices.Contains(l.Groups(), 2) {
		t.Fatal("a group that is lost is not listed")
	}
	wantLost(t, l.Group(77)) // it may have been in the hole
	for range 2 * reach {
		r.one(t, l, 1)
	}
	must(t, l.Close())
	wantIDs(t, lostWith(t, r.disk, r.acked(), o), 2, 3)

	o = small() // the next batch begins a segment
	l = open(t, r.disk, o)
	wantLost(t, l.Group(77))
	if !slices.Contains(l.Groups(), 77) {
		t.Fatal("a group that may be lost is not listed")
	}
	for range perSegment {
		r.one(t, l, 1)
	}
	if l.Segments() < 2 {
		t.Fatal("no new segment")
	}
	must(t, l.Close())
	wantIDs(t, lost(t, r.disk, r.acked()), 2, 3, 77)
	l = open(t, r.disk, o)
	wantLost(t, l.Group(77))
	if err := l.Group(78).Err(); err != nil {
		t.Fatalf("a new group, after a head that names all: %v", err)
	}
	must(t, l.Close())
}

// A torn batch tells of the hole before it, although its own rows are cut; and
// that is not forgotten, whenever power fails.
func TestHoleBeforeTornBatch(t *testing.T) {
	r := newRecorded(1)
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2, 3, 4)
	r.one(t, l, 2, 3)
	r.one(t, l, 2, 4, 5)
	must(t, l.Close())
	r.hole(t, 1, 1)
	p := r.places[2]
	for name, tear := range map[string]func(b []byte){
		"header":  func(b []byte) { clear(b[:512]) },
		"records": func(b []byte) { b[bytes.Index(b, []byte("entry 2 of"))] ^= 1 },
		"trailer": func(b []byte) { clear(b[len(b)-512:]) },
	} {
		t.Run(name, func(t *testing.T) {
			d := r.disk.Clone(1)
			must(t, d.Mutate(p.file, func(b []byte) []byte { tear(b[p.from:p.to]); return b }))
			for n := 1; ; n++ {
				d := d.Clone(uint64(n))
				d.FailAt(n, errDisk)
				l, err := nodelog.Open(d, dir, small())
				d.FailAt(0, nil)
				d.Crash()
				if err == nil {
					must(t, l.Close())
				}
				for range 2 {
					wantIDs(t, lost(t, d, r.models[2]), 2, 3)
				}
				if err == nil {
					break
				}
			}
		})
	}
}

// A log of which only a torn batch is left, not its first, is not taken for new.
func TestHoleBeforeAll(t *testing.T) {
	r := newRecorded(1)
	l := open(t, r.disk, small())
	r.one(t, l, 1)
	r.one(t, l, 1)
	must(t, l.Close())
	r.hole(t, 0, 1)
	file, last := r.places[1].file, r.places[1].to
	place{file: file, to: r.places[0].from}.wipe(t, r.disk)
	place{file: file, from: last - 512, to: last}.wipe(t, r.disk)
	if _, err := nodelog.Open(r.disk, dir, small()); err == nil {
		t.Fatal("a log that was wiped is taken for new")
	}
}
