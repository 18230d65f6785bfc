package collection

import (
	"encoding/binary"
	"math"
	"slices"
)

// TextParams describes one text of a collection's points: the payload's member
// that is made of words, whenever a point or its payload is written, and how a
// search for words scores.
type TextParams struct {
	Name  string
	Field string // the member at the payload's root; what is there and is no string has no words
	// K1 and B are of BM25: how soon a word that comes often saturates, and how
	// much a long text counts for less.
	K1, B float64
	// StopWords are words that are left out, RunesMin and RunesMax how short and
	// how long the others are: see sparse.TokenizerOptions.
	StopWords          []string
	RunesMin, RunesMax int
}

// bytes is what it takes in a configuration, about.
func (p *TextParams) bytes() int {
	size := len(p.Name) + len(p.Field)
	for _, word := range p.StopWords {
		size += 4 + len(word)
	}
	return size
}

// appendText appends a text as it stands in a record.
func appendText(dst []byte, t *TextTerms) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, t.Length)
	for _, term := range t.Terms {
		dst = binary.LittleEndian.AppendUint64(dst, term)
	}
	for _, n := range t.Counts {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	return dst
}

// readTerms appends what appendText wrote to room.
func readTerms(b []byte, room TextTerms) TextTerms {
	n := (len(b) - textHead) / textTerm
	room.Length = binary.LittleEndian.Uint32(b)
	room.Terms, room.Counts = slices.Grow(room.Terms, n), slices.Grow(room.Counts, n)
	terms, counts := b[textHead:], b[textHead+8*n:]
	for i := range n {
		room.Terms = append(room.Terms, binary.LittleEndian.Uint64(terms[8*i:]))
		room.Counts = append(room.Counts, binary.LittleEndian.Uint32(counts[4*i:]))
	}
	return room
}

// Text returns the words of a text of the point, in room, and whether it has the
// text: one may be there and have no words.
func (r Record) Text(ref VectorRef, room TextTerms) (TextTerms, bool) {
	room.Terms, room.Counts, room.Length = room.Terms[:0], room.Counts[:0], 0
	if p, ok := r.find(ref); ok && ref.Kind == TextKind {
		return readTerms(p.bytes, room), true
	}
	return room, false
}

// HasText reports whether a point has a text.
func (r Record) HasText(ref VectorRef) bool {
	_, ok := r.find(ref)
	return ok && ref.Kind == TextKind
}

// TextChange is what a change of payloads makes of one text of the points: Part
// is the text as it stands in a record, nothing when the points have it no more.
type TextChange struct {
	Number uint16 // its place in Config.Text
	Part   []byte
}

// wellFormed reports whether a part is a text: one that another build or a
// damaged log holds could be read as nothing else later.
func (c *TextChange) wellFormed() bool {
	n := len(c.Part)
	return n == 0 || n >= textHead && (n-textHead)%textTerm == 0 && int64(n) < math.MaxInt32
}

// withTexts returns a new record of the same point with other texts, which are
// in the order of their numbers.
func (r Record) withTexts(changes []TextChange) (Record, error) {
	parts := make([]part, 0, len(changes)+1)
	for _, p := range r.parts() {
		changed := slices.ContainsFunc(changes, func(c TextChange) bool {
			return p.ref == VectorRef{Kind: TextKind, Number: c.Number}
		})
		if !changed {
			parts = append(parts, p)
		}
	}
	for _, c := range changes {
		if len(c.Part) > 0 {
			parts = append(parts, part{VectorRef{Kind: TextKind, Number: c.Number}, c.Part})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return a.ref.compare(b.ref) })
	return encodeParts(r.id, parts, r.PayloadBytes())
}
