// Package sparse is the inverted index: it finds the documents with the
// largest dot product, exactly, where documents and queries are vectors of few
// terms among very many. Sparse embeddings and texts are both that; how a
// shared term scores is the Scoring: the plain product, the product times the
// term's idf, or BM25.
//
// Every term has a list of postings sorted by slot: a B+tree whose leaves are
// blocks of up to 128 postings and whose references carry the extent of the
// values below them, from which a search bounds what a block can add to a
// score. Trees, and the map from terms to them, are copied on write: a view is
// a root, and counts in it are exact, because a removed document leaves its
// lists at once. What stands beside the lists (label, length) lies in chunks
// by slot, and a slot is used again only when no view can see what it held.
//
// A search runs on the goroutine that asks. Package sparse starts none, and
// never reads files or the clock.
package sparse

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/hivehub/waggle/index"
)

// termDegree is the degree of the map of terms: small, as each Publish copies
// the nodes on the way to every term changed since.
const termDegree = 8

// What a posting and a term take beside each other, measured, for Bytes.
const (
	postingBytes = 11
	termBytes    = 150
)

// Index is an inverted index. The writing methods (Add, Remove, Publish) belong
// to one goroutine; any number take views.
type Index struct {
	scoring Scoring

	// The writer's own.
	now      state    // with the changes not yet published
	forward  [][]byte // by slot: the terms of its document, as appendTerms wrote them
	freed    []uint32 // slots of removed documents, the one freed longest ago first
	oldest   uint64   // a lower bound of the oldest sequence number a view can have
	changed  bool     // since the last Publish
	postings int64
	held     int64 // bytes in forward and chunks

	bytes atomic.Int64

	mu struct {
		sync.Mutex
		published state
		pins      pins
	}
}

// state is what a Publish shows. Chunks are shared with the writer, who only
// appends to the slice or replaces it.
type state struct {
	seq    uint64
	live   int    // documents
	length uint64 // sum of the documents' lengths
	slots  uint32
	chunks []*chunk
	terms  *btree.Map[uint64, ref]
}

// New returns an empty index. A Scoring that Validate refuses is the caller's
// fault and panics.
func New(s Scoring) *Index {
	if err := s.Validate(); err != nil {
		panic(fmt.Sprintf("BUG: sparse: %v", err))
	}
	x := &Index{scoring: s, now: state{seq: 1, terms: btree.NewMap[uint64, ref](termDegree)}}
	x.mu.published.terms = x.now.terms.Copy()
	return x
}

// Add stores a document under label and returns its slot. Labels are unique; a
// replaced point is a Remove and an Add under a new label. A document without
// terms counts as one and is never found. The errors are those of Validate,
// ErrFrequency, and index.ErrFull. Nothing of d is kept.
func (x *Index) Add(label uint64, d Document) (uint32, error) {
	if err := d.Validate(); err != nil {
		return 0, err
	}
	if err := x.scoring.check(d.Values); err != nil {
		return 0, err
	}
	slot, err := x.takeSlot()
	if err != nil {
		return 0, err
	}
	c, row := x.now.at(slot)
	c.show(row, label, x.now.seq)
	c.lengths[row] = d.Length
	x.now.live++
	x.now.length += uint64(d.Length)
	e := x.editor()
	for i, term := range d.Terms {
		list, _ := x.now.terms.Get(term)
		e.insert(&list, posting{slot, d.Values[i]})
		x.now.terms.Set(term, list)
	}
	x.forward[slot] = appendTerms(nil, d.Terms)
	x.postings += int64(len(d.Terms))
	x.held += int64(cap(x.forward[slot]))
	x.noteChange()
	return slot, nil
}

// Remove takes the document in slot out of the index. A slot that holds none
// is the caller's fault and panics.
func (x *Index) Remove(slot uint32) {
	if slot >= x.now.slots {
		panic(fmt.Sprintf("BUG: sparse: remove of slot %d of %d", slot, x.now.slots))
	}
	c, row := x.now.at(slot)
	c.hide(row, x.now.seq)
	x.now.live--
	x.now.length -= uint64(c.lengths[row])
	e := x.editor()
	for term := range termsIn(x.forward[slot]) {
		list, _ := x.now.terms.Get(term)
		e.remove(&list, slot)
		if list.count == 0 {
			x.now.terms.Delete(term)
		} else {
			x.now.terms.Set(term, list)
		}
		x.postings--
	}
	x.held -= int64(cap(x.forward[slot]))
	x.forward[slot] = nil
	x.freed = append(x.freed, slot)
	x.noteChange()
}

// Publish makes all changes since the last call visible to new views, at once.
func (x *Index) Publish() {
	if !x.changed {
		return
	}
	x.changed = false
	shown := x.now
	shown.terms = x.now.terms.Copy()
	x.mu.Lock()
	x.mu.published = shown
	x.mu.Unlock()
	x.now.seq++
}

// View returns the last published state.
func (x *Index) View() *View {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.pins.add(x.mu.published.seq)
	return &View{state: x.mu.published, index: x}
}

// Bytes is about the memory held. Any goroutine may ask.
func (x *Index) Bytes() int64 { return x.bytes.Load() }

func (x *Index) noteChange() {
	x.changed = true
	x.bytes.Store(x.held + x.postings*postingBytes + int64(x.now.terms.Len())*termBytes)
}

// editor changes posting lists for the next Publish.
func (x *Index) editor() editor { return editor{owner: x.now.seq, extent: x.extentOf} }

// extentOf is the extent of one posting. The document's length must stand in
// its slot already, or still.
func (x *Index) extentOf(p posting) extent {
	c, row := x.now.at(p.slot)
	return x.scoring.extent(p.value, c.lengths[row])
}

// takeSlot returns the slot freed longest ago when no view can see what it
// held, else a new one.
func (x *Index) takeSlot() (uint32, error) {
	if len(x.freed) > 0 {
		c, row := x.now.at(x.freed[0])
		hidden := c.died[row].Load()
		if hidden > x.oldest {
			x.oldest = x.oldestView()
		}
		if hidden <= x.oldest {
			slot := x.freed[0]
			x.freed = x.freed[1:]
			return slot, nil
		}
	}
	if x.now.slots == slotsMax {
		return 0, index.ErrFull
	}
	slot := x.now.slots
	x.makeRoom(slot)
	x.now.slots++
	return slot, nil
}

// oldestView is the sequence number of the oldest view there is, or of the
// next one when there is none.
func (x *Index) oldestView() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.mu.pins) > 0 {
		return x.mu.pins[0].seq
	}
	return x.mu.published.seq
}

func (x *Index) unpin(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.pins.remove(seq)
}

// makeRoom gives the new slot a place. The first chunk starts small and
// doubles, because most collections are small. Published states keep the chunk
// that was replaced: what they can see in it is complete.
func (x *Index) makeRoom(slot uint32) {
	chunks := x.now.chunks
	switch number := int(slot / chunkSlots); {
	case slot == 0:
		chunks = []*chunk{newChunk(firstSlots)}
	case number == len(chunks):
		chunks = append(chunks, newChunk(chunkSlots))
	case number == 0 && int(slot) == len(chunks[0].labels):
		x.held -= chunks[0].bytes()
		chunks = []*chunk{chunks[0].grown()}
	default:
		x.forward = append(x.forward, nil)
		return
	}
	x.held += chunks[slot/chunkSlots].bytes()
	x.now.chunks = chunks
	x.forward = append(x.forward, nil)
}

// appendTerms encodes ascending terms: the first, then the differences, as
// uvarints.
func appendTerms(dst []byte, terms []uint64) []byte {
	var last uint64
	for _, term := range terms {
		dst = binary.AppendUvarint(dst, term-last)
		last = term
	}
	return dst
}

// termsIn yields what appendTerms encoded.
func termsIn(b []byte) func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		var term uint64
		for len(b) > 0 {
			step, n := binary.Uvarint(b)
			term += step
			b = b[n:]
			if !yield(term) {
				return
			}
		}
	}
}
