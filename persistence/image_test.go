package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/disk"
)

// imageKind is one kind of store with the writer of its images; the tests
// below hold for every kind.
type imageKind struct {
	name   string
	open   func(t failer, d disk.Disk, dir, name string) (Store, error)
	verify func(disk.File) (Meta, error)
}

// The stores of bbolt are always in a directory of the system; their images
// may be taken in on any disk, from where open takes them to one.
var imageKinds = []imageKind{
	{"bolt", func(t failer, d disk.Disk, dir, name string) (Store, error) {
		f, err := d.Open(name)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, fmt.Sprint(rand.Uint64(), ".db"))
		return openBytes(path, readFile(t, f))
	}, verifyBoltImage},
	{"mem", func(_ failer, d disk.Disk, _, name string) (Store, error) {
		f, err := d.Open(name)
		if err != nil {
			return nil, err
		}
		_ = f.Close()
		return OpenMem(d, name)
	}, verifyMemImage},
}

func openBytes(path string, b []byte) (Store, error) {
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return nil, err
	}
	return openUnsynced(path)
}

func readFile(t failer, f disk.File) []byte {
	b := make([]byte, must(f.Size())(t))
	if n, err := f.ReadAt(b, 0); n < len(b) {
		t.Fatal(err)
	}
	return b
}

func readImage(t failer, i *Image) []byte {
	t.Helper()
	return must(io.ReadAll(io.NewSectionReader(i, 0, i.Size())))(t)
}

// imagePartition is a partition of several checkpoints, some pages free.
func imagePartition(t testing.TB, kind string) *Partition {
	t.Helper()
	var s Store
	if kind == "bolt" {
		s = must(openUnsynced(filepath.Join(t.TempDir(), "p.db")))(t)
	} else {
		s = must(OpenMem(disk.NewMem(1), "p.img"))(t)
	}
	p := openScript(t, s)
	for round := range uint64(4) {
		fillImage(t, p, round)
	}
	big := string(bytes.Repeat([]byte("big"), 100_000)) // leaves many pages free
	for _, s := range [][]byte{script(sput(7, "big", big)), script(sdel(7, "big")), script(sput(7, "small", "1"))} {
		apply(p, s)
		checkpoint(t, p)
	}
	return p
}

func fillImage(t testing.TB, p *Partition, round uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(round, 9))
	var steps []step
	for i := range uint64(50) {
		value := string(bytes.Repeat([]byte{byte(rng.Int())}, 1+rng.IntN(900)))
		steps = append(steps, sput(5, string(pointKey(1+i%2, (round+1)<<16|i)), value), sput(6, fmt.Sprint("id", rng.IntN(90)), value))
		if i%5 == 0 {
			steps = append(steps, sdel(6, fmt.Sprint("id", rng.IntN(90))), sput(3, "counter", value))
		}
	}
	if out := apply(p, script(steps...)); out[0].Err != nil {
		t.Fatal(out[0].Err)
	}
	checkpoint(t, p)
}

func writeImage(t failer, w *ImageWriter, b []byte) {
	const chunk = 10_000
	for at := len(b) / chunk * chunk; at >= 0; at -= chunk { // backwards: any order
		if part := b[at:min(at+chunk, len(b))]; len(part) > 0 {
			must(w.WriteAt(part, int64(at)))(t)
		}
	}
}

func eachImage(t *testing.T, test func(t *testing.T, k imageKind)) {
	for _, k := range imageKinds {
		t.Run(k.name, func(t *testing.T) { test(t, k) })
	}
}

func wantFiles(t *testing.T, d disk.Disk, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, must(d.List("."))(t)); diff != "" {
		t.Fatal(diff)
	}
}

// An image does not move while the store does, and is the store again where it
// arrives.
func TestImage(t *testing.T) {
	eachImage(t, func(t *testing.T, k imageKind) {
		p := imagePartition(t, k.name)
		want, digest, meta := readPartition(t, p), p.Digest(), p.base.Load().store.Meta()
		apply(p, script(sput(2, "not", "checkpointed")))
		i := must(p.Image())(t)
		if _, err := p.Image(); collection.CodeOf(err) != collection.Unavailable {
			t.Fatalf("a second image: %v", err)
		}
		before := readImage(t, i)
		for round := range uint64(5) {
			fillImage(t, p, 10+round)
		}
		if after := readImage(t, i); !bytes.Equal(before, after) {
			t.Fatal("the image moved")
		}
		if err := iotest.TestReader(io.NewSectionReader(i, 0, i.Size()), before); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(meta, i.Meta()); diff != "" || int64(len(before)) != i.Size() {
			t.Fatal(diff, len(before), i.Size())
		}
		i.Close()
		i.Close()
		must(p.Image())(t).Close()

		d := disk.NewMem(1)
		w := must(createImage(d, ".", 7, k.verify))(t)
		defer w.Abort()
		writeImage(t, w, before)
		if got := must(w.Finish())(t); cmp.Diff(meta, got) != "" {
			t.Fatal(cmp.Diff(meta, got))
		}
		wantFiles(t, d, StoreFile(7, meta.Applied))
		s := must(k.open(t, d, t.TempDir(), StoreFile(7, meta.Applied)))(t)
		q := openScript(t, s)
		if diff := cmp.Diff(want, readPartition(t, q)); diff != "" || must(q.Recount())(t) != digest {
			t.Fatal(diff)
		}
		fillImage(t, q, 30)
		mustClose(t, q)
		mustClose(t, p)

		w = must(createImage(d, ".", 7, k.verify))(t)
		writeImage(t, w, before)
		if _, err := w.Finish(); collection.CodeOf(err) != collection.AlreadyExists {
			t.Fatalf("an image in place of a store: %v", err)
		}
		wantFiles(t, d, StoreFile(7, meta.Applied))
	})
}

// The tail of an image is the same whether its blocks were read before or not.
func TestImageTailFirst(t *testing.T) {
	p := imagePartition(t, "bolt")
	i := must(p.Image())(t)
	tail := make([]byte, 100)
	must(i.ReadAt(tail, i.Size()-100))(t)
	if b := readImage(t, i); !bytes.Equal(b[len(b)-100:], tail) {
		t.Fatal("the tail differs")
	}
	i.Close()
	mustClose(t, p)
}

func TestImageOfNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		p := openScript(t, must(open())(t))
		if _, err := p.Image(); collection.CodeOf(err) != collection.FailedPrecondition {
			t.Fatal(err)
		}
		apply(p, script(sput(2, "a", "b")))
		checkpoint(t, p)
		must(p.Image())(t).Close()
		mustClose(t, p)
		if _, err := p.Image(); collection.CodeOf(err) != collection.Unavailable {
			t.Fatal(err)
		}
	})
}

// refused finishes an image that must not become a store.
func refused(t *testing.T, k imageKind, what string, b []byte) {
	t.Helper()
	d := disk.NewMem(1)
	w := must(createImage(d, ".", 7, k.verify))(t)
	must(w.WriteAt(b, 0))(t)
	if m, err := w.Finish(); collection.CodeOf(err) != collection.DataLoss {
		t.Fatalf("%s: %+v, %v", what, m, err)
	}
	wantFiles(t, d)
}

func TestDamagedImageIsRefused(t *testing.T) {
	eachImage(t, func(t *testing.T, k imageKind) {
		p := imagePartition(t, k.name)
		i := must(p.Image())(t)
		sound := readImage(t, i)
		i.Close()
		mustClose(t, p)
		rng := rand.New(rand.NewPCG(1, 1))
		for at := 0; at < len(sound); at += 1 + rng.IntN(len(sound)/1500) {
			b := bytes.Clone(sound)
			b[at] ^= 1 << rng.IntN(8)
			refused(t, k, fmt.Sprint("bit of byte ", at), b)
		}
		for range 300 {
			cut := rng.IntN(len(sound))
			refused(t, k, fmt.Sprint("cut at ", cut), sound[:cut])
		}
		refused(t, k, "twice", append(bytes.Clone(sound), sound...))
		refused(t, k, "more", append(bytes.Clone(sound), 0))
	})
}

// What the sender's own disk has damaged has good checksums in the image: the
// pages and values are looked at themselves.
func TestVerifyBolt(t *testing.T) {
	p := imagePartition(t, "bolt")
	i := must(p.Image())(t)
	sound := readImage(t, i)
	size := int64(p.base.Load().store.(*boltStore).db.Info().PageSize)
	free := i.r.(*boltImage).free
	sound = sound[:i.r.(*boltImage).size]
	i.Close()
	mustClose(t, p)
	meta := must(verifyBolt(bytes.NewReader(sound), int64(len(sound))))(t)
	rng := rand.New(rand.NewPCG(1, 1))
	found, missed := 0, 0
	for range 800 {
		b := bytes.Clone(sound)
		at := 2*size + rng.Int64N(int64(len(b))-2*size)
		if free[at/size] {
			continue
		}
		b[at] ^= 1 << rng.IntN(8)
		m, err := verifyBolt(bytes.NewReader(b), int64(len(b)))
		switch {
		case collection.CodeOf(err) == collection.DataLoss:
			found++
		case err != nil || cmp.Diff(m, meta) != "":
			t.Fatalf("bit of byte %d: %+v, %v", at, m, err)
		default: // it is where nothing is stored: what can be read is right
			missed++
			path := filepath.Join(t.TempDir(), "p.db")
			q := openScript(t, must(openBytes(path, b))(t))
			if got := must(q.Recount())(t); got != meta.Digest {
				t.Fatalf("bit of byte %d: digest %x", at, got)
			}
			mustClose(t, q)
		}
	}
	if found < missed {
		t.Errorf("%d damages found, %d not", found, missed)
	}
}

// A key that is missing shows in the digest only; a bit of the meta record, in
// its checksum only.
func TestVerifyFindsEach(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() (Store, error)) {
		s := must(open())(t)
		p := openScript(t, s)
		apply(p, script(sput(2, "a", "1"), sput(2, "b", "1")))
		checkpoint(t, p)
		if err := s.Commit(s.Meta(), seq(del(2, "b"))); err != nil {
			t.Fatal(err)
		}
		i := must(p.Image())(t)
		k := imageKinds[1]
		if _, ok := s.(*boltStore); ok {
			k = imageKinds[0]
		}
		refused(t, k, "key missing", readImage(t, i))
		i.Close()
		mustClose(t, p)
	})
	s := must(openUnsynced(filepath.Join(t.TempDir(), "p.db")))(t)
	conf := []byte("a configuration")
	p := must(OpenPartition(s, scriptMachine{}, PartitionOptions{Start: Meta{Applied: 1, Term: 1, ConfState: conf}}))(t)
	i := must(p.Image())(t)
	b := readImage(t, i)[:i.r.(*boltImage).size]
	i.Close()
	mustClose(t, p)
	must(verifyBolt(bytes.NewReader(b), int64(len(b))))(t)
	b = bytes.ReplaceAll(b, conf, []byte("b configuration"))
	if _, err := verifyBolt(bytes.NewReader(b), int64(len(b))); collection.CodeOf(err) != collection.DataLoss {
		t.Fatal(err)
	}
}

func FuzzVerifyBolt(f *testing.F) {
	_, sound, _, _ := boltStates(f, 3)
	f.Add(uint32(2*testPage), []byte{1})
	f.Add(uint32(4*testPage+16), []byte{255, 255, 255})
	f.Add(uint32(5*testPage+20), []byte{255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		b := bytes.Clone(sound)
		copy(b[int(at)%len(b):], change)
		if _, err := verifyBolt(bytes.NewReader(b), int64(len(b))); err != nil && collection.CodeOf(err) != collection.DataLoss {
			t.Error(err)
		}
	})
}

func FuzzImageWriter(f *testing.F) {
	p := imagePartition(f, "bolt")
	i := must(p.Image())(f)
	sound := readImage(f, i)
	i.Close()
	f.Add(sound[len(sound)-boltImageFooter:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range imageKinds {
			w := must(createImage(disk.NewMem(1), ".", 7, k.verify))(t)
			must(w.WriteAt(b, 0))(t)
			if _, err := w.Finish(); err != nil && collection.CodeOf(err) != collection.DataLoss {
				t.Error(err)
			}
		}
	})
}

// Taking an image in stops at every operation: the store has its name whole or
// not at all, and nothing of an image that failed stays when the disk works.
func TestInstallCrashAtEveryOperation(t *testing.T) {
	eachImage(t, func(t *testing.T, k imageKind) {
		p := imagePartition(t, k.name)
		i := must(p.Image())(t)
		image, name := readImage(t, i), StoreFile(7, i.Meta().Applied)
		digest := i.Meta().Digest
		i.Close()
		mustClose(t, p)
		for n, done := 1, false; !done; n++ {
			for seed := range uint64(4) {
				d := disk.NewMem(seed)
				d.FailAt(n, errStopped)
				err := takeIn(d, k, image)
				done = err == nil
				d.FailAt(0, nil)
				d.Crash()
				s, err := k.open(t, d, t.TempDir(), name)
				if errors.Is(err, fs.ErrNotExist) && !done {
					continue
				}
				if err != nil {
					t.Fatalf("operation %d, done=%t: %v", n, done, err)
				}
				q := openScript(t, s)
				if got := must(q.Recount())(t); got != digest {
					t.Fatalf("operation %d: digest %x", n, got)
				}
				mustClose(t, q)
				if err := SweepMemStores(d, ".", map[string]bool{name: true}); err != nil {
					t.Fatal(err)
				}
				wantFiles(t, d, name)
			}
		}
	})
}

var errStopped = errors.New("disk stopped")

func takeIn(d disk.Disk, k imageKind, image []byte) error {
	w, err := createImage(d, ".", 7, k.verify)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.WriteAt(image, 0); err != nil {
		return err
	}
	_, err = w.Finish()
	return err
}
