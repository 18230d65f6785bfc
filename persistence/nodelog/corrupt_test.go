package nodelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// place is where a batch is, and which groups it has rows of.
type place struct {
	file     string
	from, to int64
	groups   map[uint64]bool
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
	p := place{groups: map[uint64]bool{}}
	for _, a := range batch {
		p.groups[a.Group] = true
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
// as in want.
func lost(t *testing.T, d disk.Disk, want model) []uint64 {
	t.Helper()
	l := open(t, d, small())
	defer l.Close()
	ids, err := want.lost(l)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (m model) lost(l *nodelog.Log) (ids []uint64, err error) {
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

// one writes a batch per list of groups, an entry of each.
func (r *recorded) one(t *testing.T, l *nodelog.Log, groups ...uint64) {
	t.Helper()
	var batch []nodelog.Append
	for _, id := range groups {
		g := r.acked()[id]
		batch = append(batch, nodelog.Append{Group: id, Entries: entries(g.last()+1, g.last()+1, 1)})
	}
	r.write(t, l, batch)
}

func (p place) wipe(t *testing.T, d *disk.Mem) {
	t.Helper()
	must(t, d.Mutate(p.file, func(b []byte) []byte { clear(b[p.from:p.to]); return b }))
}

// With neither table readable, a group is spared when a later row or head
// shows that it had no part in the batch.
func TestUnreadableBatch(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2, 3)
	r.one(t, l, 2)
	r.one(t, l, 1)
	must(t, l.Close())
	r.places[1].wipe(t, r.disk)
	wantIDs(t, lost(t, r.disk, r.acked()), 2, 3) // nothing shows that 3 had no row

	l = open(t, r.disk, small())
	if collection.CodeOf(l.Group(77).Err()) != collection.DataLoss {
		t.Fatal("a group that may have been in the batch is taken for new")
	}
	for range 12 { // into the next segment
		r.one(t, l, 1)
	}
	if l.Segments() < 2 {
		t.Fatal("no new segment")
	}
	must(t, l.Close())
	wantIDs(t, lost(t, r.disk, r.acked()), 2, 3)
	l = open(t, r.disk, small())
	if err := l.Group(78).Err(); err != nil {
		t.Fatalf("a new group, after a head that names all: %v", err)
	}
	must(t, l.Close())
}

// What is lost stays so when the damaged segment is gone, until it starts anew.
func TestLostIsRemembered(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2)
	r.one(t, l, 2)
	r.one(t, l, 1)
	must(t, l.Close())
	r.places[1].wipe(t, r.disk)
	l = open(t, r.disk, small())
	first := r.places[0].file
	for range 60 {
		r.one(t, l, 1)
		must(t, l.Cut(1, r.acked()[1].entries[len(r.acked()[1].entries)-1].GetIndex()))
		r.models[len(r.models)-1] = r.acked().withCut(1, 1<<40)
	}
	if _, err := r.disk.Open(first); err == nil {
		t.Fatal("the damaged segment is still there")
	}
	must(t, l.Close())
	wantIDs(t, lost(t, r.disk, r.acked()), 2)
	l = open(t, r.disk, small())
	wantLost(t, l.Group(2))
	r.write(t, l, []nodelog.Append{{
		Group: 2, Start: &nodelog.Position{Index: 9, Term: 3}, HardState: hard(3, 1, 9), Entries: entries(10, 12, 3),
	}})
	must(t, l.Close())
	wantIDs(t, lost(t, r.disk, r.acked()))
}

func TestAppendToLostGroup(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1)
	r.one(t, l, 2)
	must(t, l.Close())
	r.places[0].wipe(t, r.disk)
	l = open(t, r.disk, small())
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	_ = l.Write([]nodelog.Append{{Group: 1, Entries: entries(2, 2, 1)}})
}

func TestMissingSegment(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2, 3)
	for range 10 {
		r.one(t, l, 1)
	}
	for range 10 {
		r.one(t, l, 2)
	}
	r.one(t, l, 3)
	must(t, l.Close())
	files, err := r.disk.List(dir)
	must(t, err)
	if len(files) < 3 {
		t.Fatalf("only %d segments", len(files))
	}
	missing := r.disk.Clone(1)
	must(t, missing.Remove(dir+"/"+files[1]))
	wantIDs(t, lost(t, missing, r.acked()), 1, 2)
	missing = r.disk.Clone(1)
	must(t, missing.Remove(dir+"/"+files[0]))
	wantIDs(t, lost(t, missing, r.acked()), 1, 2, 3)
}

func TestBothHeadsDamaged(t *testing.T) {
	r := record(t, 8, 3)
	d := r.disk.Clone(1)
	h := heads(t, d, r.places[0].file)
	must(t, d.Mutate(r.places[0].file, func(b []byte) []byte { b[100] ^= 1; b[h/2+9] ^= 1; return b }))
	l := open(t, d, small())
	if collection.CodeOf(l.Group(99).Err()) != collection.DataLoss {
		t.Fatal("a group that the head may have named is taken for new")
	}
	must(t, l.Close())
	must(t, d.Mutate(r.places[0].file, func(b []byte) []byte { return b[:0] }))
	l = open(t, d, small())
	if len(l.Groups()) != 0 {
		t.Fatal("groups in an empty log")
	}
	must(t, l.Close())
}

func TestUnknownVersion(t *testing.T) {
	r := record(t, 9, 25)
	last := r.places[len(r.places)-1]
	must(t, r.disk.Mutate(last.file, func(b []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("WNLh\x01"), []byte("WNLh\x02")), []byte("WNLt\x01"), []byte("WNLt\x02"))
	}))
	before := content(t, r.disk, last.file)
	if _, err := nodelog.Open(r.disk, dir, small()); err == nil {
		t.Fatal("a log of a later version is opened")
	}
	if !bytes.Equal(content(t, r.disk, last.file), before) {
		t.Fatal("a log of a later version is changed")
	}
}

// Damage that appears while the log is open stops the group that reads it.
func TestDamagedRead(t *testing.T) {
	o := small()
	o.CacheBytes = 1
	d := disk.NewMem(1)
	l := open(t, d, o)
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(1, 5, 1)}, {Group: 2, Entries: entries(1, 5, 1)}}))
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(6, 6, 1)}, {Group: 2, Entries: entries(6, 6, 1)}}))
	file, _ := l.Place()
	must(t, d.Mutate(file, func(b []byte) []byte { b[bytes.Index(b, []byte("entry 3 of"))] ^= 1; return b }))
	wantEntries(t, l.Group(2), entries(1, 6, 1))
	if _, err := l.Group(1).Entries(3, 5, 0); collection.CodeOf(err) != collection.DataLoss {
		t.Fatalf("read of a damaged entry: %v", err)
	}
	wantLost(t, l.Group(1))
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(7, 7, 1)}, {Group: 2, Entries: entries(7, 7, 1)}}))
	must(t, l.Close())
	l = open(t, d, o)
	wantLost(t, l.Group(1))
	wantEntries(t, l.Group(2), entries(1, 7, 1))
}

// badSectors is a disk that cannot read a range of a file.
type badSectors struct {
	disk.Disk
	from, to int64
}

type badFile struct {
	disk.File
	d *badSectors
}

var errRead = errors.New("input/output error")

func (d *badSectors) Open(name string) (disk.File, error) {
	f, err := d.Disk.Open(name)
	return badFile{f, d}, err
}

func (f badFile) ReadAt(b []byte, off int64) (int, error) {
	if off < f.d.to && off+int64(len(b)) > f.d.from {
		return 0, errRead
	}
	return f.File.ReadAt(b, off)
}

func TestUnreadableSectors(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1)
	r.one(t, l, 2)
	r.one(t, l, 1)
	must(t, l.Close())
	p := r.places[1]
	wantIDs(t, lost(t, &badSectors{r.disk, p.from, p.from + 512}, r.acked()), 2)
	p = r.places[2]
	before := content(t, r.disk, p.file)
	if _, err := nodelog.Open(&badSectors{r.disk, p.from, p.from + 512}, dir, small()); !errors.Is(err, errRead) {
		t.Fatalf("open with an unreadable end: %v", err)
	}
	if _, err := nodelog.Open(&badSectors{r.disk, 0, 1 << 40}, dir, small()); !errors.Is(err, errRead) {
		t.Fatalf("open of an unreadable disk: %v", err)
	}
	if !bytes.Equal(content(t, r.disk, p.file), before) {
		t.Fatal("what could not be read was cut")
	}
	wantIDs(t, lost(t, r.disk, r.acked()))
}

// The broken variant takes a torn batch for corruption.
func TestTrustTornBatch(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2)
	r.one(t, l, 1, 2)
	must(t, l.Close())
	file := r.places[1].file
	must(t, r.disk.Mutate(file, func(b []byte) []byte {
		i := bytes.LastIndex(b, []byte("entry 2 of term 1"))
		clear(b[i : i+512])
		return b
	}))
	o := small()
	o.TrustTornBatch = true
	l = open(t, r.disk.Clone(1), o)
	wantLost(t, l.Group(2))
	must(t, l.Close())
	l = open(t, r.disk, small())
	if err := r.models[1].diff(l); err != nil {
		t.Fatal(err)
	}
}
