package hnsw

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/hivehub/waggle/index"
)

func written(tb testing.TB, x *Index) []byte {
	tb.Helper()
	var out bytes.Buffer
	n, err := x.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		tb.Fatalf("wrote %d bytes of %d, error %v", n, out.Len(), err)
	}
	return out.Bytes()
}

// A graph that is read finds what it found when it was written, with points
// added, removed and waiting since.
func TestReadIsWritten(t *testing.T) {
	const n, dim, more = 3000, 16, 300
	r := rand.New(rand.NewPCG(1, 2))
	vectors := gaussians(r, n+more+50, dim, 10)
	for _, o := range []Options{{}, {Floats: true}} {
		x := New(dim, index.L2, o)
		fill(t, x, vectors[:n])
		buildAll(x, 2)
		for slot := range uint32(200) {
			x.Remove(7 * slot)
		}
		x.Publish()
		buildAll(x, 1) // these leave
		for slot := range uint32(20) {
			x.Remove(7*slot + 1)
		}
		x.Publish()
		buildAll(x, 1) // these are too few to
		file := written(t, x)

		l, err := Read(bytes.NewReader(file), dim, index.L2, o)
		if err != nil {
			t.Fatal(err)
		}
		removed := func(label int) bool {
			return label < 1400 && label%7 == 0 || label < 140 && label%7 == 1 || label%50 == 3
		}
		live := 0
		for label, v := range vectors[:n+more] {
			if removed(label) {
				continue
			}
			live++
			if _, err := l.Add(uint64(label), v); err != nil {
				t.Fatal(err)
			}
		}
		y := l.Done()
		if got := y.Waiting(); got < more-more/50-1 || got > more {
			t.Errorf("%d wait, added %d", got, more)
		}
		buildAll(y, 1)
		y.plan = func(int, int, int) way { return byWalk }
		v := y.View()
		if v.Len() != live {
			t.Errorf("%d vectors, want %d", v.Len(), live)
		}
		v.Release()
		if recall := recallOf(t, y, vectors[n+more:], 10, 50); recall < 0.97 {
			t.Errorf("recall %.3f", recall)
		}
		churn(t, y, r, slotsOf(y, live), make([][]float32, live), gaussians(r, live/2, dim, 10))
		checkGraph(t, y)
	}
}

func slotsOf(x *Index, live int) []uint32 {
	v := x.View()
	defer v.Release()
	var slots []uint32
	for slot := range v.Slots() {
		if _, ok := v.Label(slot); ok {
			slots = append(slots, slot)
		}
	}
	return slots[:live]
}

func smallFile(tb testing.TB) []byte {
	x := New(4, index.L2, small)
	fill(tb, x, gaussians(rand.New(rand.NewPCG(3, 4)), 100, 4, 3))
	buildAll(x, 1)
	return written(tb, x)
}

func TestDamageIsSeen(t *testing.T) {
	file := smallFile(t)
	for i := range file { // each byte, at one of its bits
		at := 8*i + i%8
		file[at/8] ^= 1 << (at % 8)
		if _, err := Read(bytes.NewReader(file), 4, index.L2, small); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d flipped: %v", at, err)
		}
		file[at/8] ^= 1 << (at % 8)
	}
	for n := 0; n < len(file); n += 5 {
		if _, err := Read(bytes.NewReader(file[:n]), 4, index.L2, small); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := Read(bytes.NewReader(file), 4, index.L2, small); err != nil {
		t.Fatal(err)
	}
}

func TestOtherGraphsAreRefused(t *testing.T) {
	file := smallFile(t)
	other := small
	other.M = 8
	for name, read := range map[string]func() (*Loading, error){
		"dimension": func() (*Loading, error) { return Read(bytes.NewReader(file), 5, index.L2, small) },
		"metric":    func() (*Loading, error) { return Read(bytes.NewReader(file), 4, index.Dot, small) },
		"M":         func() (*Loading, error) { return Read(bytes.NewReader(file), 4, index.L2, other) },
	} {
		if _, err := read(); !errors.Is(err, ErrOther) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestIndexWithoutGraphIsWritten(t *testing.T) {
	x := New(4, index.L2, Options{})
	fill(t, x, gaussians(rand.New(rand.NewPCG(5, 6)), 10, 4, 1))
	l, err := Read(bytes.NewReader(written(t, x)), 4, index.L2, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(1, make([]float32, 3)); !errors.Is(err, index.ErrDimension) {
		t.Errorf("a vector of another dimension: %v", err)
	}
	v := l.Done().View()
	defer v.Release()
	if v.Len() != 0 {
		t.Errorf("%d vectors", v.Len())
	}
}

var errDisk = errors.New("disk")

// failing fails after some bytes, both ways.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) { return f.move(len(p)) }
func (f *failing) Read(p []byte) (int, error)  { return f.move(len(p)) }

func (f *failing) move(n int) (int, error) {
	if n > f.left {
		return f.left, errDisk
	}
	f.left -= n
	return n, nil
}

func TestErrorsOfTheDiskAreReturned(t *testing.T) {
	x := New(4, index.L2, small)
	fill(t, x, gaussians(rand.New(rand.NewPCG(7, 8)), 2000, 4, 3))
	buildAll(x, 1)
	for _, left := range []int{0, 100, 70_000, 200_000} {
		if _, err := x.WriteTo(&failing{left}); !errors.Is(err, errDisk) {
			t.Errorf("writing, %d bytes: %v", left, err)
		}
	}
	if _, err := Read(&failing{0}, 4, index.L2, small); !errors.Is(err, errDisk) {
		t.Errorf("reading: %v", err)
	}
}

// FuzzRead: any bytes are an index or an error, also with right checksums.
func FuzzRead(f *testing.F) {
	f.Add(smallFile(f), false)
	f.Add(smallFile(f)[:200], true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, file []byte, mend bool) {
		if mend {
			file = mended(file)
		}
		l, err := Read(bytes.NewReader(file), 4, index.L2, small)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrOther) {
				t.Fatal(err)
			}
			return
		}
		x := l.Done()
		fill(t, x, gaussians(rand.New(rand.NewPCG(1, 2)), 10, 4, 3))
		buildAll(x, 1)
		x.plan = func(int, int, int) way { return byWalk }
		recallOf(t, x, [][]float32{{1, 2, 3, 4}}, 5, 20)
		if _, err := x.WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}

// mended writes the right checksums into a file of the smallest sections.
func mended(file []byte) []byte {
	if len(file) < 4*(headerWords+1) {
		return file
	}
	words := func(at int) int { return int(file[at]) | int(file[at+1])<<8 }
	slots, uppers := words(24), words(28)
	out := bytes.Clone(file)
	at := 0
	for section, n := range []int{headerWords, (slots + 31) / 32, 2 * slots, 32 * slots, 16 * uppers, 3 * slots} {
		for number := uint32(0); n > 0; number++ {
			size := min(4*n, blockBytes)
			if at+size+4 > len(out) {
				return out
			}
			sum := checksum(uint32(section), number, out[at:at+size])
			for i := range 4 {
				out[at+size+i] = byte(sum >> (8 * i))
			}
			at, n = at+size+4, n-size/4
		}
	}
	return out
}
