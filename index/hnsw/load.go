package hnsw

import (
	"bufio"
	"io"
	"math"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/quantize"
)

// Loading is an index read from a file, whose vertices still need their
// vectors. It belongs to one goroutine.
type Loading struct {
	x        *Index
	slots    map[uint64]uint32 // of vertices without a vector, by label
	vertices []uint32          // a bitmap, 32 slots to a word
	restored int
}

// Read reads a graph that WriteTo wrote, of an index with the same dimension,
// metric and M. Vectors come by Add; at last Done makes an index of it.
func Read(from io.Reader, dim int, metric index.Metric, o Options) (*Loading, error) {
	l := &Loading{x: New(dim, metric, o), slots: map[uint64]uint32{}}
	defer runtime.KeepAlive(l) // its slabs are not the collector's
	if err := l.read(&blockReader{r: bufio.NewReaderSize(from, blockBytes)}); err != nil {
		return nil, err
	}
	return l, nil
}

// Add gives the vertex with the label its vector, or adds a new one.
func (l *Loading) Add(label uint64, vector []float32) (slot uint32, err error) {
	slot, known := l.slots[label]
	if !known {
		return l.x.Add(label, vector)
	}
	if err := l.x.flat.Restore(slot, label, vector); err != nil {
		return 0, err
	}
	delete(l.slots, label)
	l.restored++
	return slot, nil
}

// Missing is the number of vertices that have no vector yet.
func (l *Loading) Missing() int { return len(l.slots) }

// Done publishes what was added. Vertices that got no vector are removed.
func (l *Loading) Done() *Index {
	x := l.x
	for _, slot := range l.slots {
		x.removed = append(x.removed, slot)
	}
	x.vectors.Add(int64(l.restored + len(x.removed)))
	x.trained.Store(x.vectors.Load())
	x.Publish()
	return x
}

// header is the first section, as it lies.
type header struct {
	Magic, Version, Dim, Metric, M, Flags uint32
	Slots, UpperRows, Entry               uint32
	Zero, Step, Origin                    uint32
}

const headerWords = 12

func (l *Loading) read(r *blockReader) error {
	r.begin(sectionHeader, headerWords)
	var h header
	for _, field := range []*uint32{
		&h.Magic, &h.Version, &h.Dim, &h.Metric, &h.M, &h.Flags,
		&h.Slots, &h.UpperRows, &h.Entry, &h.Zero, &h.Step, &h.Origin,
	} {
		var err error
		if *field, err = r.word(); err != nil {
			return err
		}
	}
	x := l.x
	if h.Magic != fileMagic || h.Version != fileVersion ||
		int(h.Dim) != x.dim || index.Metric(h.Metric) != x.metric || int(h.M) != x.options.M {
		return ErrOther
	}
	if h.Flags&^flagsKnown != 0 || h.Flags&flagReady == 0 && h.Slots > 0 || h.Slots > slotsMax {
		return ErrCorrupt
	}
	if h.Flags&flagReady == 0 {
		return nil
	}
	if h.Flags&flagCodes == 0 && x.flat.Outside() {
		return ErrOther // its walks need the vectors
	}
	x.lossy.Store(h.Flags&flagLossy != 0)
	if err := l.begin(&h); err != nil {
		return err
	}
	for _, section := range []func(*blockReader, *header) error{l.readVertices, l.readLabels, l.readLinks, l.readUppers, l.readCodes} {
		if err := section(r, &h); err != nil {
			return err
		}
	}
	l.enter(h.Entry)
	return nil
}

// begin settles how the graph is walked.
func (l *Loading) begin(h *header) error {
	m := *l.x.memory.Load()
	m.ready = true
	if h.Flags&flagCodes != 0 {
		scalar, ok := quantize.New(l.x.metric, l.x.dim, quantize.Params{
			Zero: math.Float32frombits(h.Zero), Step: math.Float32frombits(h.Step), Origin: int32(h.Origin),
		})
		if !ok {
			return ErrCorrupt
		}
		l.x.codes = newCodes(l.x.arena, scalar)
		m.scalar, m.codes = scalar, scalar.Codes(nil, l.x.codes.Shift)
	}
	l.x.memory.Store(&m)
	return nil
}

func (l *Loading) isVertex(slot uint32) bool {
	return int(slot/32) < len(l.vertices) && l.vertices[slot/32]>>(slot%32)&1 == 1
}

func (l *Loading) readVertices(r *blockReader, h *header) error {
	words := (uint64(h.Slots) + 31) / 32
	r.begin(sectionVertices, words)
	for range words {
		word, err := r.word()
		if err != nil {
			return err
		}
		l.vertices = append(l.vertices, word)
	}
	if rest := h.Slots % 32; rest != 0 && l.vertices[len(l.vertices)-1]>>rest != 0 {
		return ErrCorrupt
	}
	return nil
}

// readLabels makes the slots, and vertices of those that were.
func (l *Loading) readLabels(r *blockReader, h *header) error {
	x := l.x
	r.begin(sectionLabels, 2*uint64(h.Slots))
	for slot := range h.Slots {
		low, err := r.word()
		if err != nil {
			return err
		}
		high, err := r.word()
		if err != nil {
			return err
		}
		if err := x.room(slot); err != nil {
			return err
		}
		if err := x.flat.Reserve(); err != nil {
			return err
		}
		x.newPlace(slot)
		x.used++
		label := uint64(high)<<32 | uint64(low)
		if !l.isVertex(slot) {
			x.flat.Free(slot)
			continue
		}
		if _, twice := l.slots[label]; twice {
			return ErrCorrupt
		}
		l.slots[label] = slot
		x.memory.Load().mark(slot, linked)
	}
	return nil
}

func (l *Loading) readLinks(r *blockReader, h *header) error {
	m := l.x.memory.Load()
	r.begin(sectionLinks, uint64(h.Slots)*uint64(2*h.M))
	for slot := range h.Slots {
		if err := l.readList(r, slot, 0, m.list(slot, 0)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loading) readUppers(r *blockReader, h *header) error {
	m := l.x.memory.Load()
	if h.UpperRows != l.x.uppersUp-1 {
		return ErrCorrupt
	}
	r.begin(sectionUppers, uint64(h.UpperRows)*uint64(h.M))
	for slot := range h.Slots {
		for level := 1; level <= l.x.level(slot); level++ {
			if err := l.readList(r, slot, level, m.list(slot, level)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Loading) readCodes(r *blockReader, h *header) error {
	m := l.x.memory.Load()
	if m.scalar == nil {
		return nil
	}
	shape := m.scalar.Shape()
	r.begin(sectionCodes, uint64(h.Slots)*uint64(shape.Stride+shape.Extra)/4)
	for slot := range h.Slots {
		if err := r.bytes(unsafe.Slice((*byte)(m.codes.At(slot)), shape.Stride)); err != nil {
			return err
		}
		if shape.Extra == 0 {
			continue
		}
		if err := r.bytes(unsafe.Slice((*byte)(unsafe.Pointer(m.codes.TermsAt(slot))), shape.Extra)); err != nil {
			return err
		}
	}
	return nil
}

// readList reads a list. It leaves out links to what was not a vertex when the
// file was begun: that was linked while it was written, or is on its way out.
func (l *Loading) readList(r *blockReader, slot uint32, level int, list []uint32) error {
	n, isVertex := 0, l.isVertex(slot)
	for range list {
		link, err := r.word()
		if err != nil {
			return err
		}
		if to := link - 1; link != 0 && to != slot && isVertex && l.isVertex(to) && (level == 0 || l.x.level(to) >= level) {
			atomic.StoreUint32(&list[n], link)
			n++
		}
	}
	return nil
}

// enter makes the entry point what the file says, or the best there is.
func (l *Loading) enter(entry uint32) {
	if entry != 0 && l.isVertex(entry-1) {
		l.x.enterAt(entry-1, l.x.level(entry-1))
		return
	}
	l.x.enterAtBest(l.x.memory.Load())
}
