package nodelog_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

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

// A group whose lost batch a later head makes up for is whole.
func TestHeadMakesUp(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2)
	r.write(t, l, []nodelog.Append{{Group: 3, HardState: hard(4, 5, 6)}})
	for range 12 {
		r.one(t, l, 1)
	}
	must(t, l.Close())
	r.places[1].wipe(t, r.disk)
	wantIDs(t, lost(t, r.disk, r.acked()))
}

// A page in the place of another does not hide what is valid after it.
func TestMisplacedPage(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.write(t, l, []nodelog.Append{{Group: 1, Entries: append(entries(1, 1, 1), entry(2, 1, strings.Repeat("x", 9000)))}})
	r.one(t, l, 2)
	r.one(t, l, 3)
	r.one(t, l, 1, 2, 3)
	must(t, l.Close())
	from, to := r.places[0], r.places[1]
	must(t, r.disk.Mutate(to.file, func(b []byte) []byte { copy(b[to.from:to.to], b[from.from:]); return b }))
	wantIDs(t, lost(t, r.disk, r.acked()), 2)
}

// A batch that the disk lost, with another one of the same number in its
// place, is noticed.
func TestResurrectedBatch(t *testing.T) {
	r := recorded{disk: disk.NewMem(1), models: []model{{}}}
	l := open(t, r.disk, small())
	r.one(t, l, 1, 2)
	must(t, l.Close())
	other := r.disk.Clone(1)
	l = open(t, other, small())
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(2, 2, 9)}}))
	must(t, l.Close())
	l = open(t, r.disk, small())
	r.one(t, l, 1)
	r.one(t, l, 2)
	must(t, l.Close())
	p := r.places[1]
	old := content(t, other, p.file)[p.from:p.to]
	must(t, r.disk.Mutate(p.file, func(b []byte) []byte { copy(b[p.from:], old); return b }))
	wantIDs(t, lost(t, r.disk, r.acked()), 1)
}

func TestNothingCanBeRead(t *testing.T) {
	r := record(t, 3, 30)
	files, err := r.disk.List(dir)
	must(t, err)
	for _, name := range files {
		must(t, r.disk.Mutate(dir+"/"+name, func(b []byte) []byte { clear(b); return b }))
	}
	if _, err := nodelog.Open(r.disk, dir, small()); err == nil {
		t.Fatal("a log that was wiped is taken for new")
	}
	if now, err := r.disk.List(dir); err != nil || len(now) != len(files) {
		t.Fatalf("files of a log that cannot be read: %v, %v", now, err)
	}
}

// A crash between the two heads of a segment: recovery makes the second.
func TestSecondHeadIsRenewed(t *testing.T) {
	d := disk.NewMem(1)
	l := open(t, d, small())
	d.FailAt(4, errDisk) // after create, allocate and the first head
	if l.Write([]nodelog.Append{{Group: 1, Entries: entries(1, 1, 1)}}) == nil {
		t.Fatal("the second head was written")
	}
	d.FailAt(0, nil)
	must(t, l.Close())
	l = open(t, d, small())
	must(t, l.Write([]nodelog.Append{{Group: 1, Entries: entries(1, 1, 1)}}))
	file, end := l.Place()
	if b := content(t, d, file); !bytes.Equal(b[:4096], b[4096:8192]) || end != 3*4096 {
		t.Fatalf("the heads differ, or the first batch ends at %d", end)
	}
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
		return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("WNLh\x02"), []byte("WNLh\x03")), []byte("WNLt\x02"), []byte("WNLt\x03"))
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
