package nodelog_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// place is where a batch is, and which groups it has rows of.
type place struct {
	file     string
	from, to int64
	groups   map[uint64]bool
	anew     map[uint64]bool // of them: begun anew, or removed
	removed  map[uint64]bool // of them: not there after the batch
}

// recorded is a log with its history: models[i] is acknowledged once
// places[:i] are written.
type recorded struct {
	disk   *disk.Mem
	places []place
	models []model
}

func record(t *testing.T, seed uint64, steps int) recorded {
	t.Helper()
	w := newWorkload(seed)
	r := recorded{disk: disk.NewMem(seed), models: []model{{}}}
	l := open(t, r.disk, small())
	for range steps {
		r.write(t, l, w.batch(r.acked()))
		group, index := w.cut(r.acked())
		if _, ok := r.acked()[group]; ok && w.rng.IntN(3) == 0 {
			must(t, l.Cut(group, index))
			r.models[len(r.models)-1] = r.acked().withCut(group, index)
		}
	}
	must(t, l.Close())
	return r
}

func (r *recorded) acked() model { return r.models[len(r.models)-1] }

func (r *recorded) write(t *testing.T, l *nodelog.Log, batch []nodelog.Append) {
	t.Helper()
	p := place{groups: map[uint64]bool{}, anew: map[uint64]bool{}, removed: map[uint64]bool{}}
	for _, a := range batch {
		p.groups[a.Group] = true
		p.removed[a.Group] = a.Remove
		if a.Start != nil && a.HardState != nil || a.Remove {
			p.anew[a.Group] = true
		}
	}
	before := ""
	if l.Segments() > 0 {
		before, p.from = l.Place()
	}
	must(t, l.Write(batch))
	if p.file, p.to = l.Place(); p.file != before {
		p.from = heads(t, r.disk, p.file)
	}
	r.places = append(r.places, p)
	r.models = append(r.models, r.acked().with(batch))
}

// heads returns where the two heads of a segment end.
func heads(t *testing.T, d *disk.Mem, file string) int64 {
	t.Helper()
	b := content(t, d, file)
	for at := int64(4096); ; at += 4096 {
		if bytes.Equal(b[:at], b[at:2*at]) {
			return 2 * at
		}
	}
}

func content(t *testing.T, d disk.Disk, name string) []byte {
	t.Helper()
	f, err := d.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	must(t, f.Close())
	return b
}

// lost opens the log and returns the groups that are lost. All others must be
// as in want, and no others be there.
func lost(t *testing.T, d disk.Disk, want model) []uint64 {
	t.Helper()
	return lostWith(t, d, want, small())
}

func lostWith(t *testing.T, d disk.Disk, want model, o nodelog.Options) []uint64 {
	t.Helper()
	l := open(t, d, o)
	defer l.Close()
	ids, err := want.lost(l)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (m model) lost(l *nodelog.Log) (ids []uint64, err error) {
	for _, id := range l.Groups() {
		if _, ok := m[id]; ok {
			continue
		}
		if l.Group(id).Err() == nil {
			return nil, fmt.Errorf("group %d is there again", id)
		}
		ids = append(ids, id)
	}
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if l.Group(id).Err() != nil {
			ids = append(ids, id)
			continue
		}
		g := m[id]
		if err := g.diff(l.Group(id)); err != nil {
			return nil, fmt.Errorf("group %d: %w", id, err)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func wantIDs(t *testing.T, got []uint64, want ...uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("lost groups %v, want %v", got, want)
	}
}

func TestTornAtEveryPrefix(t *testing.T) {
	r := record(t, 5, 12)
	last := r.places[len(r.places)-1]
	whole := content(t, r.disk, last.file)
	before, after := r.models[len(r.models)-2], r.acked()
	batch := bytes.Clone(whole[last.from:last.to])
	rng := rand.New(rand.NewPCG(1, 1))
	try := func(torn []byte) {
		t.Helper()
		d := r.disk.Clone(1)
		must(t, d.Mutate(last.file, func(b []byte) []byte { copy(b[last.from:], torn); return b }))
		want := before
		if bytes.Equal(torn, batch) {
			want = after
		}
		l := open(t, d, small())
		if err := want.diff(l); err != nil {
			t.Fatal(err)
		}
		must(t, l.Close())
	}
	for n := range len(batch) + 1 {
		torn := make([]byte, len(batch))
		copy(torn, batch[:n])
		try(torn)
	}
	for range 500 {
		torn := bytes.Clone(batch)
		for s := 0; s < len(torn); s += disk.SectorBytes {
			if rng.IntN(2) == 0 {
				clear(torn[s : s+disk.SectorBytes])
			}
		}
		try(torn)
	}
}

// One flipped bit stops at most the one group whose records it is in; in the
// last batch it cannot be told from a torn write.
func TestFlippedBit(t *testing.T) {
	r := record(t, 6, 14)
	rng := rand.New(rand.NewPCG(2, 2))
	last := r.places[len(r.places)-1]
	files, err := r.disk.List(dir)
	must(t, err)
	damaged := 0
	for _, name := range files {
		name = dir + "/" + name
		whole := content(t, r.disk, name)
		for at := 0; at < len(whole); at += 1 + rng.IntN(60) {
			d := r.disk.Clone(1)
			must(t, d.Mutate(name, func(b []byte) []byte { b[at] ^= 1 << rng.IntN(8); return b }))
			want, hit := r.acked(), place{}
			for _, p := range r.places {
				if p.file == name && p.from <= int64(at) && int64(at) < p.to {
					hit = p
				}
			}
			if hit.to == last.to && hit.file == last.file {
				want = r.models[len(r.models)-2]
			}
			ids := lost(t, d, want)
			if len(ids) > 1 || len(ids) == 1 && !hit.groups[ids[0]] {
				t.Fatalf("bit of byte %d of %s: groups %v are lost, the batch has %v", at, name, ids, hit.groups)
			}
			damaged += len(ids)
		}
	}
	if damaged == 0 {
		t.Fatal("no flipped bit did any damage")
	}
}

// Any damage: no panic, and groups that are not lost are as they were when the
// last batch that is whole, or one after it, was written.
func TestAnyDamage(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		r := record(t, seed%7, 20)
		files, err := r.disk.List(dir)
		must(t, err)
		hit := map[int]bool{}
		for range 1 + rng.IntN(6) {
			name := dir + "/" + files[rng.IntN(len(files))]
			var from, to int
			must(t, r.disk.Mutate(name, func(b []byte) []byte { from, to, b = damage(rng, b); return b }))
			for i, p := range r.places {
				if p.file == name && int64(from) < p.to && int64(to) > p.from {
					hit[i] = true
				}
			}
		}
		l, err := nodelog.Open(r.disk, dir, small())
		if err != nil {
			continue // nothing can be read of it
		}
		k := len(r.places)
		_, err = r.models[k].lost(l)
		for ; err != nil && k > 0 && hit[k-1]; k-- {
			_, err = r.models[k-1].lost(l)
		}
		if err != nil {
			t.Fatalf("seed %d, damage to batches %v: %v", seed, hit, err)
		}
		must(t, l.Close())
	}
}

// damage changes a part of b and says which.
func damage(rng *rand.Rand, b []byte) (from, to int, after []byte) {
	if len(b) == 0 {
		return 0, 0, b
	}
	from = rng.IntN(len(b))
	switch rng.IntN(8) {
	case 0:
		return from, len(b), b[:from]
	case 1, 2:
		to = min(len(b), from+rng.IntN(20<<10))
		clear(b[from:to])
	case 3:
		to = min(len(b), from+rng.IntN(9<<10))
		for i := from; i < to; i++ {
			b[i] = byte(rng.Uint32())
		}
	case 4: // a page appears in the place of another
		from, to = from/4096*4096, min(len(b), from/4096*4096+4096)
		copy(b[from:to], b[rng.IntN(len(b)/4096+1)*4096:])
	default:
		to = from + 1
		b[from] ^= 1 << rng.IntN(8)
	}
	return from, to, b
}
