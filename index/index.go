// Package index is vector search as a pure leaf: it knows slots, labels and
// distances, and nothing of tenants, logs or files. Flat (package flat) scans
// exactly; the graph implements the same interface. Inside it a smaller
// distance is nearer, for every metric; scores exist only in answers.
package index

import (
	"cmp"
	"context"
	"errors"
	"io"
)

// Metric says how two vectors are compared.
type Metric uint8

// The metrics. Cosine expects vectors normalised by the caller and is then the
// negated dot product, as Dot is.
const (
	L2     Metric = iota + 1 // squared Euclidean distance
	Cosine                   // -dot of unit vectors
	Dot                      // -dot
	L1                       // Manhattan distance: the sum of absolute differences
)

// The errors of an index.
var (
	// ErrDimension is returned for a vector whose length is not the index's dimension.
	ErrDimension = errors.New("index: wrong dimension")
	// ErrFull is returned by Add when every slot is taken.
	ErrFull = errors.New("index: no slot left")
	// ErrRead is returned by a search whose vectors are in scratch space, and
	// cannot be read from there.
	ErrRead = errors.New("index: vectors cannot be read")
	// ErrWrite is returned by Add when the scratch space does not take the vector.
	ErrWrite = errors.New("index: vectors cannot be written")
)

// Scratch is where an index keeps what it wants out of memory: a file without
// a name, of use to nobody when the index is gone, which closes it. Reads may
// come beside each other and beside writes elsewhere in it.
type Scratch interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Allocate makes room for size bytes from the beginning on: a disk that is
	// full says so here. What was not written there reads as anything.
	Allocate(size int64) error
}

// Hit is one result: a slot, its label, and the distance to the query.
type Hit struct {
	Label    uint64
	Slot     uint32
	Distance float32
}

// Compare orders hits by distance, then label. Distances are numbers here.
func (h Hit) Compare(other Hit) int {
	switch {
	case h.Distance < other.Distance:
		return -1
	case h.Distance > other.Distance:
		return 1
	default:
		return cmp.Compare(h.Label, other.Label)
	}
}

// Query is one search. Vector has the index's dimension. Allow, when not nil,
// is a bitmap over slots (bit i%64 of word i/64): only slots in it may be
// found, and slots past its end are not in it. Ef is the width of a graph
// search and ignored where the search is exact; Exact asks for an exact one.
type Query struct {
	Vector []float32
	K      int
	Ef     int
	Exact  bool
	Linked bool // a graph may leave out what is not in it yet
	Allow  []uint64

	// Compared is set by Search: how many vectors it has compared with Vector, as
	// codes or as floats. It is a measure of the work; what is rescored, and what
	// lies between others that are wanted, counts too.
	Compared int
}

// View is an immutable state of an index: exactly the vectors published before
// it was taken. Searches run on it from any goroutine, beside writers. It pins
// memory until Release.
type View interface {
	// Search appends the K nearest to dst[:0], nearest first; equal distances
	// are ordered by label, and a distance that is not a number counts as
	// infinite. It checks ctx every 1,024 vectors and returns its error. K
	// larger than the number of vectors returns all of them, K below one none.
	Search(ctx context.Context, q *Query, dst []Hit) ([]Hit, error)
	// Len is the number of vectors in the view.
	Len() int
	// Slots is one past the highest slot the view can contain.
	Slots() uint32
	// Visible is the bitmap of the 64 slots from first on, a multiple of 64,
	// that are in the view.
	Visible(first uint32) uint64
	// Label returns the label of a slot and whether the slot is in the view.
	Label(slot uint32) (label uint64, ok bool)
	// Vector returns the vector in a slot of the view, nil for a slot that is
	// not in it. It must not be changed and is valid until Release.
	Vector(slot uint32) ([]float32, error)
	// Release ends the view. Only after it may the slots of vectors removed
	// since be used again. Releasing twice does nothing.
	Release()
}

// Index is a set of labelled vectors. One goroutine writes (Add, Remove,
// Publish); any number take views. What was added or removed becomes visible
// to new views all at once, by Publish.
type Index interface {
	// Add stores a copy of vector under label and returns its slot. Labels are
	// unique; a replaced point is a Remove and an Add under a new label.
	Add(label uint64, vector []float32) (slot uint32, err error)
	// Remove takes the vector in slot out of the index. A slot that holds none
	// is the caller's fault and panics.
	Remove(slot uint32)
	// Publish makes all changes since the last call visible to new views.
	Publish()
	// View returns the last published state.
	View() View
	// Bytes is the memory held, in bytes, without what is in scratch space. Any
	// goroutine may ask.
	Bytes() int64
}
