// Package hnsw is the graph index: approximate search in a time that hardly
// grows with the number of vectors (Malkov and Yashunin, arXiv 1603.09320).
//
// It stands on the exact index (package flat), which keeps the vectors and
// says what a view sees. New vectors wait in a tail that every search scans,
// so that they are found as soon as they are published. Whoever has time calls
// Build, which moves them into the graph and takes removed ones out.
//
// The graph is walked on codes of one byte a value (package quantize); the
// nearest candidates are then compared as floats. Links, codes and what else a
// vertex has lie in slabs addressed by slot, outside the Go heap.
//
// Nothing waits for a lock in a search. Links are read and written as single
// words; a list read while it changes is a mix of old and new, and every slot
// in it is one that can be walked to: slots are used again only when no view
// is left that was taken while they could be reached, and builders hold views
// like everyone else. Builders lock the vertex whose list they change.
//
// Vectors may be in scratch space, so that only codes and links are resident:
// the walk does not need them, and what has to be compared as floats is read
// into memory. An error of such a read is the search's.
//
// The package starts no goroutines and never looks at the clock.
package hnsw

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/arena"
	"github.com/hivehub/waggle/index/flat"
	"github.com/hivehub/waggle/index/quantize"
)

// Options are the parameters of a graph. A zero means the default.
type Options struct {
	M              int  // links a new vertex makes on each level (16); it may come to have twice as many on the lowest
	EfConstruction int  // width of the searches for them (200)
	EfSearch       int  // width of searches that do not name one (64)
	Threshold      int  // vectors it takes to begin a graph (1,000): until then every search is exact
	Floats         bool // walk on floats instead of codes

	// Scratch, if set, opens the space where vectors are kept, out of memory. It
	// has no effect with Floats, or on vectors of more than quantize.MaxDim values,
	// for which there are no codes.
	Scratch func() (index.Scratch, error)
}

const (
	mMin, mMax = 2, 128
	levelsMax  = 16 // of links, the lowest included
)

func (o Options) withDefaults() Options {
	def := func(v *int, value int) {
		if *v == 0 {
			*v = value
		}
	}
	def(&o.M, 16)
	def(&o.EfConstruction, 200)
	def(&o.EfSearch, 64)
	def(&o.Threshold, 1000)
	return o
}

// Index is a graph index. The methods of index.Index that write belong to one
// goroutine; Build may be called beside it, by several.
type Index struct {
	dim     int
	metric  index.Metric
	options Options
	flat    *flat.Index
	arena   *arena.Arena
	plan    func(live, matches, ef int) way
	stalls  func() // see stall; nil but in tests

	// The writer's own, and of train, which stops the writer by writing.
	writing  sync.Mutex
	links    slab // M0 words a slot
	places   slab // a place a slot
	uppers   slab // M words for each level of a vertex above the lowest
	codes    slab // see quantize; empty until trained
	used     uint32
	uppersUp uint32 // upper rows given out, from 1 on
	added    []uint32
	removed  []uint32

	memory  atomic.Pointer[memory]
	entry   atomic.Uint64 // see entryPoint
	made    atomic.Int64  // vertices, ever
	passes  atomic.Int64  // begun and ended: odd while one is under way
	vectors atomic.Int64  // published
	leaving atomic.Int64  // published as removed, and their slots not yet freed
	gone    atomic.Int64  // places with the flag gone
	lossy   atomic.Bool   // a vector is not exactly its codes
	cut     atomic.Int64  // vectors outside the scale since it was chosen,
	trained atomic.Int64  // when there were so many
	bytes   atomic.Int64

	rising   sync.Mutex // held to change entry
	sweeping sync.Mutex // held by the one Build that takes vertices out, for pass
	pass     pass
	vertices [1024]sync.Mutex

	mu struct {
		sync.Mutex
		tail    []uint32 // published, and from the first that is not yet in the graph on
		taken   int      // of the tail, by builders
		removed []uint32 // published
		look    int      // how many of them, from the first on, are to be looked at
		oldest  uint64   // view when they were
		unsure  bool     // one that waited to be linked was among them
		unseen  []uint32 // vertices that were among them and that no view sees: the next pass takes them out
		free    []uint32 // out of the graph, for the writer
	}
}

// New returns an empty index for vectors of dim values.
func New(dim int, metric index.Metric, o Options) *Index {
	o = o.withDefaults()
	if o.M < mMin || o.M > mMax || o.EfConstruction < 1 || o.EfSearch < 1 || o.Threshold < 1 {
		panic(fmt.Sprintf("BUG: hnsw: options %+v", o))
	}
	a := &arena.Arena{}
	x := &Index{
		dim: dim, metric: metric, options: o, flat: newFlat(dim, metric, o), arena: a,
		links: newSlab(a, 2*o.M*4, 0), places: newSlab(a, placeBytes, 0), uppers: newSlab(a, o.M*4, 0),
		uppersUp: 1,
	}
	x.plan = func(live, matches, ef int) way { return choose(o.M, live, matches, ef) }
	x.memory.Store(&memory{})
	runtime.AddCleanup(x, (*arena.Arena).Free, a)
	return x
}

func newFlat(dim int, metric index.Metric, o Options) *flat.Index {
	if o.Scratch == nil || o.Floats || dim > quantize.MaxDim {
		return flat.New(dim, metric)
	}
	return flat.NewOutside(dim, metric, o.Scratch)
}

// Add implements index.Index. It also returns an error when the system has no
// more memory.
func (x *Index) Add(label uint64, vector []float32) (uint32, error) {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.reclaim()
	if x.used == slotsMax {
		return 0, index.ErrFull
	}
	if err := x.room(x.used); err != nil {
		return 0, fmt.Errorf("index: room for slot %d: %w", x.used, err)
	}
	slot, err := x.flat.Add(label, vector)
	if err != nil {
		return 0, err
	}
	if slot == x.used {
		x.newPlace(slot)
		x.used++
	} else {
		x.oldPlace(slot)
	}
	if m := x.memory.Load(); m.scalar != nil {
		x.encode(m, slot, vector)
	}
	x.added = append(x.added, slot)
	return slot, nil
}

// Remove implements index.Index.
func (x *Index) Remove(slot uint32) {
	x.flat.Hide(slot)
	x.removed = append(x.removed, slot)
}

// Publish implements index.Index.
func (x *Index) Publish() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flat.Publish()
	x.mu.tail = append(x.mu.tail, x.added...)
	x.mu.removed = append(x.mu.removed, x.removed...)
	x.mu.look = len(x.mu.removed)
	x.leaving.Add(int64(len(x.removed)))
	x.vectors.Add(int64(len(x.added) - len(x.removed)))
	x.added, x.removed = emptied(x.added), emptied(x.removed)
}

// emptied is the slice for other slots, unless it takes so much memory that
// the next ones will hardly need it.
func emptied(slots []uint32) []uint32 {
	if cap(slots) > 1<<14 {
		return nil
	}
	return slots[:0]
}

// View implements index.Index.
func (x *Index) View() index.View {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trim()
	return &view{View: x.flat.Pin(), index: x, tail: x.mu.tail}
}

// Bytes implements index.Index.
func (x *Index) Bytes() int64 { return x.flat.Bytes() + x.bytes.Load() }

// Waiting is the number of vectors in the tail. Any goroutine may ask.
func (x *Index) Waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trim()
	return len(x.mu.tail)
}

// Linked is the number of vectors in the graph: 0 until one is begun. Any
// goroutine may ask.
func (x *Index) Linked() int {
	if !x.memory.Load().ready {
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trim()
	return max(0, int(x.vectors.Load())-len(x.mu.tail))
}

// trim takes from the front of the tail what is in the graph.
func (x *Index) trim() {
	m, n := x.memory.Load(), 0
	for n < x.mu.taken && m.place(x.mu.tail[n]).is(linked|dropped) {
		n++
	}
	x.mu.tail, x.mu.taken = x.mu.tail[n:], x.mu.taken-n
	if len(x.mu.tail) == 0 {
		x.mu.tail = nil // or it would keep what it was cut from
	}
}

// reclaim hands the slots that are out of the graph back to flat.
func (x *Index) reclaim() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, slot := range x.mu.free {
		x.flat.Free(slot)
	}
	x.mu.free = x.mu.free[:0]
}

// level draws the highest level of a vertex. It depends on the slot only, so
// that a slot that is used again needs no other room than before.
func (x *Index) level(slot uint32) int {
	h := (uint64(slot) + 1) * 0x9E3779B97F4A7C15 // splitmix64
	h = (h ^ h>>30) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>27) * 0x94D049BB133111EB
	h ^= h >> 31
	uniform := (float64(h>>11) + 0.5) * 0x1p-53
	return min(int(-math.Log(uniform)/math.Log(float64(x.options.M))), levelsMax-1)
}
