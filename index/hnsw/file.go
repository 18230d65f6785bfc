package hnsw

import (
	"bufio"
	"errors"
	"io"
	"math"
	"runtime"

	"github.com/hivehub/waggle/index/quantize"
)

// A graph file holds labels and links: what is expensive to compute. Vectors
// are elsewhere, and the codes follow from them. All numbers are 32 bits wide,
// little-endian; 64-bit ones are two, the low one first.
//
//	header    magic "WGRA", version 1, dimension, metric, M, flags,
//	          slots, upper rows, entry slot + 1 (0: none),
//	          zero and step (float32) and origin of the codes
//	vertices  a bitmap of slots, 32 to a word
//	labels    two words a slot
//	links     2M words a slot: slots + 1, zeros behind the last
//	uppers    M words a row, the rows of one slot after those of the one before
//
// Each section is cut into blocks, see blockBytes; each block ends with a
// CRC-32C of its section's and its own number and what is in it. A flipped bit
// anywhere, a block in another's place and an end too soon are ErrCorrupt.
const (
	fileMagic   = 0x41524757
	fileVersion = 1

	flagReady  = 1 // a graph was begun
	flagCodes  = 2 // it is walked on codes
	flagsKnown = flagReady | flagCodes
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

// upperRows is the number of upper rows of that many slots.
func (x *Index) upperRows(slots uint32) uint32 {
	n := 0
	for slot := range slots {
		n += x.level(slot)
	}
	return uint32(n)
}
