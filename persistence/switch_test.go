package persistence

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
	"github.com/hivehub/waggle/persistence/nodelog"
)

// resettable is a recorder that is told of its end.
type resettable struct {
	recorder
	resets int
}

// Reset implements Resetter.
func (r *resettable) Reset() { r.resets++ }

// aheadPartition is where an image comes from: further on than its receiver.
func aheadPartition(t *testing.T, s Store) *Partition {
	t.Helper()
	p := openScript(t, s)
	for range 20 {
		apply(p, script(sput(2, "a", "of the image"), sput(6, "new", "1")))
	}
	checkpoint(t, p)
	return p
}

func TestSwitchStore(t *testing.T) {
	for _, kind := range storeKinds {
		t.Run(kind.name, func(t *testing.T) { testSwitch(t, kind.open(t), kind.open(t)) })
	}
}

func testSwitch(t *testing.T, openOld, openNew func() (Store, error)) {
	source := aheadPartition(t, must(openNew())(t))
	want, digest := readPartition(t, source), source.Digest()
	mustClose(t, source)

	old := must(openOld())(t)
	p := openScript(t, old)
	apply(p, script(sput(2, "a", "old"), sput(2, "b", "old")))
	checkpoint(t, p)
	apply(p, script(sput(2, "c", "delta")))
	before := readPartition(t, p)
	view := must(p.View())(t)
	image := must(p.Image())(t)
	imageBytes := readImage(t, image)
	sink, deaf := &resettable{}, &recorder{}
	must(p.Subscribe(1, sink))(t).Close()
	must(p.Subscribe(2, deaf))(t).Close()
	running, ok := p.BeginCheckpoint()
	if !ok {
		t.Fatal("no checkpoint")
	}
	apply(p, script(sput(2, "d", "after the checkpoint began")))
	if err := p.SwitchStore(openNew); err != nil {
		t.Fatal(err)
	}
	if err := running.Write(); err != nil {
		t.Fatal(err)
	}
	running.Finish()

	if at, _ := p.Applied(); at != 20 || p.Digest() != digest || p.DeltaBytes() != 0 {
		t.Fatalf("applied %d, digest %x, %d bytes", at, p.Digest(), p.DeltaBytes())
	}
	if diff := cmp.Diff(want, readPartition(t, p)); diff != "" {
		t.Fatal(diff)
	}
	if sink.resets != 1 {
		t.Fatalf("%d resets", sink.resets)
	}
	if _, err := p.Subscribe(1, &recorder{}); collection.CodeOf(err) != collection.AlreadyExists {
		t.Fatalf("subscribed before the owner has unsubscribed: %v", err)
	}
	apply(p, script(sevent(1), sevent(2)))
	if len(sink.got)+len(deaf.got) > 0 {
		t.Fatal("events after the end", sink.got, deaf.got)
	}
	p.Unsubscribe(1)
	must(p.Subscribe(1, sink))(t).Close()
	apply(p, script(sevent(1)))
	if len(sink.got) != 1 {
		t.Fatal(sink.got)
	}

	// The old state is there, and goes with the last who reads it.
	if diff := cmp.Diff(before, must(read(view))(t)); diff != "" {
		t.Fatal(diff)
	}
	view.Close()
	view.Close()
	if !storeThere(old) {
		t.Fatal("the old store went with its image open")
	}
	if diff := cmp.Diff(imageBytes, readImage(t, image)); diff != "" {
		t.Fatal("the old image moved")
	}
	image.Close()
	if storeThere(old) {
		t.Fatal("the old store is still there")
	}
	checkpoint(t, p)
	now := readPartition(t, p)
	mustClose(t, p)
	p = openScript(t, must(openNew())(t))
	if diff := cmp.Diff(now, readPartition(t, p)); diff != "" {
		t.Fatal(diff)
	}
	mustClose(t, p)
}

func storeThere(s Store) bool {
	switch s := s.(type) {
	case *boltStore:
		_, err := os.Stat(s.path)
		return err == nil
	case *memStore:
		f, err := s.disk.Open(s.name)
		if err == nil {
			_ = f.Close()
		}
		return err == nil
	}
	return false
}

// A partition that met corrupt bytes runs again on the store of an image; a
// view of the old one that meets more of them does not stop it.
func TestSwitchMendsAPartition(t *testing.T) {
	d := disk.NewMem(1)
	mustClose(t, aheadPartition(t, must(OpenMem(d, "new"))(t)))
	p := openScript(t, must(OpenMem(d, "old"))(t))
	apply(p, script(sput(2, "a", "1")))
	view := must(p.view())(t)
	apply(p, script(step{Do: "lose"}))
	if p.Err() == nil {
		t.Fatal("not stopped")
	}
	if err := p.SwitchStore(func() (Store, error) { return OpenMem(d, "new") }); err != nil {
		t.Fatal(err)
	}
	_ = view.base.fail(corrupt("another"))
	view.Close()
	if out := apply(p, script(sput(2, "a", "2"))); out[0].Err != nil || p.Err() != nil {
		t.Fatal(out, p.Err())
	}
	mustClose(t, p)
}

// The record is durable and the store cannot be opened: nothing is applied to
// the old one any more.
func TestSwitchToNothing(t *testing.T) {
	p := memPartition(t)
	apply(p, script(sput(2, "a", "1")))
	if err := p.SwitchStore(func() (Store, error) { return nil, errStopped }); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if out := apply(p, script(sput(2, "a", "2"))); !errors.Is(out[0].Err, errStopped) {
		t.Fatal(out)
	}
	if _, err := p.View(); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
}

// TestSwitchCrashAtEveryOperation stops the whole way of an image, from its
// first byte to the removal of the old store, at every disk operation: what is
// opened again is the old state or the new, whole, and the old one only as
// long as the log's record of the switch was not acknowledged.
func TestSwitchCrashAtEveryOperation(t *testing.T) {
	source := aheadPartition(t, must(OpenMem(disk.NewMem(1), "source"))(t))
	i := must(source.Image())(t)
	image, meta := readImage(t, i), i.Meta()
	for n, done := 1, false; !done; n++ {
		for seed := range uint64(6) {
			d := disk.NewMem(seed)
			log, p := switchBefore(t, d)
			oldDigest := p.Digest()
			d.FailAt(n, errStopped)
			switched := switchRun(d, log, p, image)
			d.FailAt(0, nil)
			done = d.Ops() > 0 && switched && !fileThere(t, d, StoreFile(7, 1))
			_ = log.Close()
			d.Crash()
			got := switchAfter(t, d)
			if got != meta.Digest && (switched || got != oldDigest) {
				t.Fatalf("operation %d, seed %d, switched=%t: digest %x", n, seed, switched, got)
			}
		}
	}
}

func fileThere(t *testing.T, d disk.Disk, name string) bool {
	f, err := d.Open("stores/" + name)
	if err == nil {
		mustClose(t, f)
	}
	return err == nil
}

func switchBefore(t *testing.T, d disk.Disk) (*nodelog.Log, *Partition) {
	t.Helper()
	if err := d.MkdirAll("stores"); err != nil {
		t.Fatal(err)
	}
	log := must(nodelog.Open(d, "log", nodelog.Options{SegmentBytes: 64 << 10}))(t)
	hs := &raftpb.HardState{Term: new(uint64(1)), Vote: new(uint64(0)), Commit: new(uint64(1))}
	if err := log.Write([]nodelog.Append{{Group: 7, Replica: 3, Start: &nodelog.Position{Index: 1, Term: 1}, HardState: hs}}); err != nil {
		t.Fatal(err)
	}
	p := openScript(t, must(OpenMem(d, "stores/"+StoreFile(7, 1)))(t))
	apply(p, script(sput(2, "a", "old")))
	checkpoint(t, p)
	return log, p
}

// switchRun installs the image, as far as the disk goes along, and says
// whether the switch was acknowledged.
func switchRun(d disk.Disk, log *nodelog.Log, p *Partition, image []byte) bool {
	w, err := CreateMemImage(d, "stores", 7)
	if err != nil {
		return false
	}
	defer w.Abort()
	if _, err := w.WriteAt(image, 0); err != nil {
		return false
	}
	meta, err := w.Finish()
	if err != nil {
		return false
	}
	if log.Write([]nodelog.Append{{Group: 7, Replica: 3, Start: &nodelog.Position{Index: meta.Applied, Term: meta.Term}}}) != nil {
		return false
	}
	_ = p.SwitchStore(func() (Store, error) { return OpenMem(d, "stores/"+StoreFile(7, meta.Applied)) })
	return true
}

// switchAfter starts again and returns the digest of the state.
func switchAfter(t *testing.T, d disk.Disk) [16]byte {
	t.Helper()
	log := must(nodelog.Open(d, "log", nodelog.Options{SegmentBytes: 64 << 10}))(t)
	defer mustClose(t, log)
	g := log.Group(7)
	if g.Err() != nil || g.Replica() != 3 || g.HardState().GetTerm() != 1 {
		t.Fatalf("group: %v, replica %d", g.Err(), g.Replica())
	}
	name := StoreFile(7, g.Start().Index)
	if err := SweepMemStores(d, "stores", map[string]bool{name: true}); err != nil {
		t.Fatal(err)
	}
	if names := must(d.List("stores"))(t); len(names) != 1 || names[0] != name {
		t.Fatalf("stores %v, the log names %s", names, name)
	}
	p := openScript(t, must(OpenMem(d, "stores/"+name))(t))
	return must(p.Recount())(t)
}

func TestStoreFiles(t *testing.T) {
	if got := StoreFile(7, 1); got != "0007-0000000000000001.db" {
		t.Fatal(got)
	}
	for _, name := range []string{StoreFile(0, 0), StoreFile(12345, 1<<63+5)} {
		group, start, ok := ParseStoreFile(name)
		if !ok || StoreFile(group, start) != name {
			t.Error(name, group, start, ok)
		}
	}
	for _, name := range []string{"", "0007.db", "7-0000000000000001.db", "0007-0000000000000001.db.new", "0007-000000000000000A.db"} {
		if _, _, ok := ParseStoreFile(name); ok {
			t.Error(name)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{StoreFile(1, 1), StoreFile(1, 5), StoreFile(2, 0), StoreFile(2, 9), StoreFile(3, 1), "0001.0.image", StoreFile(4, 1) + ".new", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := must(CreateImage(dir, 1))(t) // beside the one of before
	w.Abort()
	w.Abort()
	d := must(disk.OS(dir))(t)
	for _, step := range []struct {
		do   func() error
		want []string
	}{
		{func() error { return RemoveStore(dir, 2, 0) }, []string{"0001-0000000000000001.db", "0001-0000000000000005.db", "0001.0.image", "0002-0000000000000009.db", "0003-0000000000000001.db", "0004-0000000000000001.db.new", "notes.txt"}},
		{func() error { return SweepStores(dir, map[string]bool{StoreFile(1, 5): true, StoreFile(2, 9): true}) }, []string{"0001-0000000000000005.db", "0002-0000000000000009.db", "notes.txt"}},
		{func() error { return RemoveStores(dir, 2) }, []string{"0001-0000000000000005.db", "notes.txt"}},
		{func() error { return RemoveStores(dir, 2) }, []string{"0001-0000000000000005.db", "notes.txt"}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, d, step.want...)
	}
	if err := SweepStores(filepath.Join(dir, "notes.txt"), nil); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Fatal("a file was swept", err)
	}
}

// An image by way of the files of the system, from end to end.
func TestBoltImageOnFiles(t *testing.T) {
	p := imagePartition(t, "bolt")
	digest := p.Digest()
	i := must(p.Image())(t)
	dir := t.TempDir()
	w := must(CreateImage(dir, 7))(t)
	writeImage(t, w, readImage(t, i))
	meta := must(w.Finish())(t)
	i.Close()
	mustClose(t, p)
	if s, err := OpenBolt(filepath.Join(dir, StoreFile(7, meta.Applied))); err != nil {
		t.Fatal(err)
	} else if q := openScript(t, s); must(q.Recount())(t) != digest {
		t.Fatal("digest")
	} else {
		mustClose(t, q)
	}
}
