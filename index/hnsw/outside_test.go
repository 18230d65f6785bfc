package hnsw

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/indextest"
	"github.com/hivehub/waggle/index/scratch"
)

// faulty is a file without a name. While broken, nothing in it can be read;
// while full, it does not grow.
type faulty struct {
	*os.File
	broken, full atomic.Bool
	reads        atomic.Int64
	closed       chan struct{}
}

func (s *faulty) ReadAt(p []byte, off int64) (int, error) {
	s.reads.Add(1)
	if s.broken.Load() {
		return len(p) / 2, errDisk
	}
	return s.File.ReadAt(p, off)
}

func (s *faulty) Allocate(size int64) error {
	if s.full.Load() {
		return errDisk
	}
	return s.Truncate(size)
}

func (s *faulty) Close() error {
	defer close(s.closed)
	return s.File.Close()
}

func newFaulty(tb testing.TB) *faulty {
	tb.Helper()
	f, err := os.Create(filepath.Join(tb.TempDir(), "floats"))
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &faulty{File: f, closed: make(chan struct{})}
}

// outside are the options with vectors in a file of the test's.
func outside(tb testing.TB, o Options) Options {
	dir := tb.TempDir()
	o.Scratch = func() (index.Scratch, error) { return scratch.Open(dir) }
	return o
}

func TestConformanceOutside(t *testing.T) {
	var building sync.WaitGroup
	t.Cleanup(building.Wait)
	for name, wrap := range map[string]func(x *Index) index.Index{
		"beside": func(x *Index) index.Index { return beside{x, &building} },
		"tail":   func(x *Index) index.Index { return x },
		"graph":  func(x *Index) index.Index { return eager{x} },
	} {
		t.Run(name, func(t *testing.T) {
			o := outside(t, small)
			indextest.Run(t, func(dim int, metric index.Metric) index.Index { return wrap(planned(byWalk, dim, metric, o)) })
		})
	}
}

// lossy is vectors around centres that no bytes stand for exactly.
func lossy(n, dim int) [][]float32 { return gaussians(rand.New(rand.NewPCG(3, 4)), n, dim, 20) }

func mustFind(tb testing.TB, x index.Index, q index.Query) []index.Hit {
	tb.Helper()
	v := x.View()
	defer v.Release()
	hits, err := v.Search(context.Background(), &q, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return hits
}

// Where vectors are makes no difference to what is found, before there is a
// graph, with one, with holes in it, and after it was in a file.
func TestOutsideFindsTheSame(t *testing.T) {
	const n, dim = 2500, 24
	vectors := lossy(n+60, dim)
	for name, metric := range map[string]index.Metric{"l2": index.L2, "dot": index.Dot, "l1": index.L1} {
		t.Run(name, func(t *testing.T) {
			inside, out := New(dim, metric, Options{}), New(dim, metric, outside(t, Options{}))
			same := func(when string) {
				t.Helper()
				allow := make([]uint64, (n+63)/64)
				for i := range allow {
					allow[i] = 0x8421_0842_1084_2108
				}
				for i, query := range vectors[n:] {
					q := index.Query{Vector: query, K: 10, Ef: 50, Exact: i%5 == 0}
					if i%3 == 0 {
						q.Allow = allow
					}
					if want, got := mustFind(t, inside, q), mustFind(t, out, q); !slices.Equal(want, got) {
						t.Fatalf("%s, query %d: found %v, in memory %v", when, i, got, want)
					}
				}
			}
			each := func(f func(x *Index)) { f(inside); f(out) }
			each(func(x *Index) { fill(t, x, vectors[:n]) })
			same("scanned")
			each(func(x *Index) { buildAll(x, 1) })
			same("walked")
			each(func(x *Index) {
				for slot := uint32(0); slot < n; slot += 3 {
					x.Remove(slot)
				}
				x.Publish()
				buildAll(x, 1)
				for i := range 200 {
					if _, err := x.Add(uint64(n+i), vectors[i]); err != nil {
						t.Fatal(err)
					}
				}
				x.Publish()
				buildAll(x, 1)
			})
			same("replaced")
			reload := func(x *Index, o Options) *Index {
				var file bytes.Buffer
				if _, err := x.WriteTo(&file); err != nil {
					t.Fatal(err)
				}
				l, err := Read(&file, dim, metric, o)
				if err != nil {
					t.Fatal(err)
				}
				v := x.View()
				defer v.Release()
				for slot := range v.Slots() {
					label, ok := v.Label(slot)
					if !ok {
						continue
					}
					vector, err := v.Vector(slot)
					if err == nil {
						_, err = l.Add(label, vector)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				return l.Done()
			}
			inside, out = reload(inside, Options{}), reload(out, outside(t, Options{}))
			same("loaded")
		})
	}
}

// A disk that cannot be read is an error of each search that wants to, and of
// nothing else.
func TestOutsideReadFails(t *testing.T) {
	const n, dim = 2000, 24
	vectors := lossy(n+1, dim)
	s := newFaulty(t)
	x := New(dim, index.L2, Options{Scratch: func() (index.Scratch, error) { return s, nil }})
	fill(t, x, vectors[:n])
	search := func(q index.Query) error {
		q.Vector, q.K = vectors[n], 10
		v := x.View()
		defer v.Release()
		hits, err := v.Search(context.Background(), &q, nil)
		if err != nil && len(hits) > 0 {
			t.Errorf("%d hits beside the error", len(hits))
		}
		return err
	}
	few := []uint64{0xff00ff, 0, 1}
	for _, when := range []string{"before there is a graph", "with a graph"} {
		for name, q := range map[string]index.Query{"plain": {}, "exact": {Exact: true}, "filtered": {Allow: few}} {
			s.broken.Store(true)
			if err := search(q); !errors.Is(err, index.ErrRead) || !errors.Is(err, errDisk) {
				t.Errorf("%s, %s: error %v", when, name, err)
			}
			s.broken.Store(false)
			if err := search(q); err != nil {
				t.Errorf("%s, %s, repaired: error %v", when, name, err)
			}
		}
		v := x.View()
		s.broken.Store(true)
		if _, err := v.Vector(7); !errors.Is(err, index.ErrRead) {
			t.Errorf("%s: a vector: error %v", when, err)
		}
		v.Release()
		if buildAll(x, 1); when == "before there is a graph" && x.Linked() > 0 {
			t.Error("a graph of vectors that cannot be read")
		}
		s.broken.Store(false)
		if buildAll(x, 1); x.Waiting() > 0 {
			t.Errorf("%s: %d vectors wait although the disk works", when, x.Waiting())
		}
	}
}

// A graph that cannot get better codes keeps those it has.
func TestOutsideReadFailsWhenCodesAreOutgrown(t *testing.T) {
	const n, dim = 1500, 16
	vectors := lossy(3*n, dim)
	s := newFaulty(t)
	x := New(dim, index.L2, Options{Scratch: func() (index.Scratch, error) { return s, nil }})
	fill(t, x, vectors[:n])
	buildAll(x, 1)
	before := x.memory.Load().scalar
	for _, v := range vectors[n:] {
		for i := range v {
			v[i] = 50 + 10*v[i]
		}
	}
	fill(t, x, vectors[n:])
	s.broken.Store(true)
	buildAll(x, 1)
	s.broken.Store(false)
	if x.memory.Load().scalar != before {
		t.Error("the scale changed without a look at the vectors")
	}
	if x.Waiting() > 0 {
		t.Errorf("%d vectors wait", x.Waiting())
	}
	if hits := mustFind(t, x, index.Query{Vector: vectors[5], K: 1}); hits[0].Distance != 0 {
		t.Errorf("nearest to a vector is %+v", hits)
	}
}

// A disk that is full, or fails, is an error of Add; the slot is the next one's.
func TestOutsideWriteFails(t *testing.T) {
	const dim = 1 << 12
	s := newFaulty(t)
	opened := errDisk
	x := New(dim, index.L2, Options{Scratch: func() (index.Scratch, error) { return s, opened }})
	vector := make([]float32, dim)
	add := func() error {
		vector[0]++
		_, err := x.Add(uint64(vector[0]), vector)
		x.Publish()
		return err
	}
	if err := add(); !errors.Is(err, index.ErrWrite) {
		t.Fatalf("no scratch space: %v", err)
	}
	opened = nil
	added, refused := 0, 0
	for range 400 { // a megabyte is 64 of them
		s.full.Store(true)
		err := add()
		if s.full.Store(false); err != nil {
			if refused++; !errors.Is(err, index.ErrWrite) || !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			err = add()
		}
		if err != nil {
			t.Fatal(err)
		}
		added++
	}
	if refused < 3 {
		t.Fatalf("the disk was full %d times", refused)
	}
	v := x.View()
	defer v.Release()
	if v.Len() != added || v.Slots() != uint32(added) {
		t.Errorf("%d vectors in %d slots, %d were added", v.Len(), v.Slots(), added)
	}
	if hits := mustFind(t, x, index.Query{Vector: vector, K: added}); len(hits) != added {
		t.Errorf("%d of %d found", len(hits), added)
	}
}

// Codes that stand for their vectors exactly need no vectors.
func TestOutsideReadsNothingWhereBytesLoseNothing(t *testing.T) {
	const n, dim = 1500, 16
	s := newFaulty(t)
	x := New(dim, index.L2, Options{Scratch: func() (index.Scratch, error) { return s, nil }})
	r := rand.New(rand.NewPCG(1, 2))
	vectors := make([][]float32, n)
	for i := range vectors {
		vectors[i] = make([]float32, dim)
		for j := range vectors[i] {
			vectors[i][j] = float32(r.IntN(256))
		}
	}
	fill(t, x, vectors)
	buildAll(x, 1)
	before := s.reads.Load()
	mustFind(t, x, index.Query{Vector: vectors[3], K: 10})
	if n := s.reads.Load() - before; n != 0 {
		t.Errorf("%d reads", n)
	}
}

// Vectors that nothing can be learnt from still leave the tail, and are found.
func TestOutsideWithoutAScale(t *testing.T) {
	const n, dim = 1200, 8
	for name, value := range map[string]float32{"zeros": 0, "all alike": 0.37, "huge": 3e38} {
		x := New(dim, index.L2, outside(t, Options{}))
		vectors := make([][]float32, n)
		for i := range vectors {
			vectors[i] = make([]float32, dim)
			for j := range vectors[i] {
				vectors[i][j] = value
			}
		}
		fill(t, x, vectors)
		if buildAll(x, 2); x.Waiting() > 0 {
			t.Errorf("%s: %d wait", name, x.Waiting())
		}
		if hits := mustFind(t, x, index.Query{Vector: vectors[0], K: 20}); len(hits) != 20 || hits[0].Distance != 0 {
			t.Errorf("%s: found %v", name, hits)
		}
	}
}

// A graph that was walked on floats is none where these are not in memory.
func TestOutsideRefusesAGraphWithoutCodes(t *testing.T) {
	const n, dim = 1100, 8
	x := New(dim, index.L2, Options{Floats: true})
	fill(t, x, lossy(n, dim))
	buildAll(x, 1)
	var file bytes.Buffer
	if _, err := x.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&file, dim, index.L2, outside(t, Options{})); !errors.Is(err, ErrOther) {
		t.Errorf("error %v", err)
	}
}

func TestOutsideIsClosedWithTheIndex(t *testing.T) {
	s := newFaulty(t)
	func() {
		v := viewOf(t, Options{Scratch: func() (index.Scratch, error) { return s, nil }})
		defer v.Release()
		for range 3 {
			runtime.GC()
		}
		hits, err := v.Search(context.Background(), &index.Query{Vector: []float32{0, 0}, K: 10}, nil)
		if err != nil || len(hits) != 10 {
			t.Fatalf("%d hits, %v, in a view that outlives the index", len(hits), err)
		}
	}()
	for closed := false; !closed; {
		runtime.GC()
		select {
		case <-s.closed:
			closed = true
		default:
			runtime.Gosched()
		}
	}
}

// viewOf is a view of an index that nothing else refers to.
func viewOf(tb testing.TB, o Options) index.View {
	x := New(2, index.L2, o)
	fill(tb, x, lossy(10, 2))
	return x.View()
}
