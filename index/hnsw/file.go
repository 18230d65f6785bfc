package hnsw

import (
	"bufio"
	"errors"
	"io"
	"math"
	"runtime"
	"unsafe"

	"github.com/hivehub/waggle/index/quantize"
)

// A graph file holds labels, links and codes: what is expensive to compute.
// Vectors are elsewhere. All numbers are 32 bits wide, little-endian; 64-bit
// ones are two, the low one first.
//
//	header    magic "WGRA", version 2, dimension, metric, M, flags,
//	          slots, upper rows, entry slot + 1 (0: none),
//	          zero and step (float32) and origin of the codes
//	vertices  a bitmap of slots, 32 to a word
//	labels    two words a slot
//	links     2M words a slot: slots + 1, zeros behind the last
//	uppers    M words a row, the rows of one slot after those of the one before
//	codes     a row and its terms a slot, as package quantize lays them out
//
// Each section is cut into blocks, see blockBytes; each block ends with a
// CRC-32C of its section's and its own number and what is in it. A flipped bit
// anywhere, a block in another's place and an end too soon are ErrCorrupt.
const (
	fileMagic   = 0x41524757
	fileVersion = 2

	flagReady  = 1 // a graph was begun
	flagCodes  = 2 // it is walked on codes,
	flagLossy  = 4 // which are not exactly the vectors
	flagsKnown = flagReady | flagCodes | flagLossy
)

// The errors of Read.
var (
	// ErrCorrupt is returned for a file that is not as it was written.
	ErrCorrupt = errors.New("index: corrupt graph file")
	// ErrOther is returned for a file of another version, or of a graph with
	// another dimension, metric or M.
	ErrOther = errors.New("index: graph file of another kind")
)

const (
	sectionHeader uint32 = iota
	sectionVertices
	sectionLabels
	sectionLinks
	sectionUppers
	sectionCodes
)

// WriteTo writes the graph as it is, without what waits in the tail. Any
// goroutine may call it, beside the writer, builders and searches.
func (x *Index) WriteTo(to io.Writer) (int64, error) {
	v := x.flat.Pin() // what it sees keeps its slot and stays in the graph
	defer v.Release()
	defer runtime.KeepAlive(x) // its slabs are not the collector's
	entry, _, entered := x.entryPoint()
	m := x.memory.Load()
	slots := uint32(0)
	if m.ready {
		slots = v.Slots()
	}
	buffered := bufio.NewWriterSize(to, 1<<16)
	w := &blockWriter{w: buffered}
	w.header(x, m, slots, entry, entered && entry < slots)
	isVertex := func(slot uint32) bool { return v.Sees(slot) && m.place(slot).is(linked) }
	w.begin(sectionVertices)
	for first := uint32(0); first < slots; first += 32 {
		bits := uint32(0)
		for slot := first; slot < min(first+32, slots); slot++ {
			if isVertex(slot) {
				bits |= 1 << (slot - first)
			}
		}
		w.word(bits)
	}
	w.begin(sectionLabels)
	for slot := range slots {
		label, _ := v.Label(slot)
		w.word(uint32(label))
		w.word(uint32(label >> 32))
	}
	w.begin(sectionLinks)
	for slot := range slots {
		w.list(m.list(slot, 0))
	}
	w.begin(sectionUppers)
	for slot := range slots {
		for level := 1; level <= x.level(slot); level++ {
			w.list(m.list(slot, level))
		}
	}
	w.begin(sectionCodes)
	w.codes(m, slots, isVertex)
	w.end()
	if w.err == nil {
		w.err = buffered.Flush()
	}
	return w.n, w.err
}

func (w *blockWriter) header(x *Index, m *memory, slots, entry uint32, entered bool) {
	w.begin(sectionHeader)
	flags, params := uint32(0), quantize.Params{}
	if m.ready {
		flags |= flagReady
	}
	if m.scalar != nil {
		flags, params = flags|flagCodes, m.scalar.Params()
	}
	if x.lossy.Load() {
		flags |= flagLossy
	}
	if !entered {
		entry = math.MaxUint32
	}
	for _, word := range []uint32{
		fileMagic, fileVersion, uint32(x.dim), uint32(x.metric), uint32(x.options.M), flags,
		slots, x.upperRows(slots), entry + 1,
		math.Float32bits(params.Zero), math.Float32bits(params.Step), uint32(params.Origin),
	} {
		w.word(word)
	}
}

// codes writes the rows of vertices, and zeros for slots that may be written to
// meanwhile.
func (w *blockWriter) codes(m *memory, slots uint32, isVertex func(slot uint32) bool) {
	if m.scalar == nil {
		return
	}
	shape := m.scalar.Shape()
	none := make([]byte, shape.Stride+shape.Extra)
	for slot := range slots {
		if !isVertex(slot) {
			w.bytes(none)
			continue
		}
		w.bytes(unsafe.Slice((*byte)(m.codes.At(slot)), shape.Stride))
		if shape.Extra > 0 {
			w.bytes(unsafe.Slice((*byte)(unsafe.Pointer(m.codes.TermsAt(slot))), shape.Extra))
		}
	}
}

// upperRows is the number of upper rows of that many slots.
func (x *Index) upperRows(slots uint32) uint32 {
	n := 0
	for slot := range slots {
		n += x.level(slot)
	}
	return uint32(n)
}
