package sparse

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hivehub/waggle/index"
)

// Query is one search: the K documents with the largest scores among those
// that share a term with Vector. Allow, when not nil, is a bitmap over slots
// (bit i%64 of word i/64): only slots in it may be found, and slots past its
// end are not in it.
type Query struct {
	Vector Vector
	K      int
	Allow  []uint64

	// Compared is set by Search: how many documents it gave a score.
	Compared int
}

// View is an immutable state of an index: exactly the documents published
// before it was taken. Searches run on it from any goroutine, beside writers.
// It pins memory until Release.
type View struct {
	state
	index    *Index
	released atomic.Bool
}

// Len is the number of documents in the view.
func (v *View) Len() int { return v.live }

// Slots is one past the highest slot the view can contain.
func (v *View) Slots() uint32 { return v.slots }

// Label returns the label of a slot and whether the slot is in the view.
func (v *View) Label(slot uint32) (label uint64, ok bool) {
	if slot >= v.slots {
		return 0, false
	}
	c, row := v.at(slot)
	if !c.visible(row, v.seq) {
		return 0, false
	}
	return c.labels[row], true
}

// Visible is the bitmap of the 64 slots from first on, a multiple of 64, that
// are in the view.
func (v *View) Visible(first uint32) uint64 {
	if first >= v.slots {
		return 0
	}
	c, row := v.at(first)
	var word uint64
	for i := range min(64, len(c.labels)-row, int(v.slots-first)) {
		if c.visible(row+i, v.seq) {
			word |= 1 << i
		}
	}
	return word
}

// Release ends the view. Only after it may the slots of documents removed
// since be used again. Releasing twice does nothing.
func (v *View) Release() {
	if !v.released.Swap(true) {
		v.index.unpin(v.seq)
	}
}

// Search appends the K best to dst[:0], best first; equal scores are ordered
// by label. A hit's Distance is its score negated, no greater than the largest
// float32. It checks ctx for every 4,096 slots and returns its
// error. K larger than the number of hits returns all of them, K below one
// none, and so does a query without terms. The errors of the query are those
// of Vector.Validate, with QueryTermsMax for TermsMax.
func (v *View) Search(ctx context.Context, q *Query, dst []index.Hit) ([]index.Hit, error) {
	if v.released.Load() {
		panic("BUG: sparse: search in a released view")
	}
	if err := q.Vector.validate(QueryTermsMax); err != nil {
		return dst[:0], err
	}
	q.Compared = 0
	if q.K < 1 || v.live == 0 {
		return dst[:0], nil
	}
	s := searches.Get().(*search)
	defer s.end()
	s.begin(v, q, dst)
	err := s.run(ctx)
	if q.Compared = s.compared; err != nil {
		return dst[:0], err
	}
	return s.best.sorted(), nil
}

// searches keeps the memory of searches, so that none allocates.
var searches = sync.Pool{New: func() any { return new(search) }}
