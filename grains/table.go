package grains

import (
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/hnsw"
	"github.com/hivehub/waggle/index/sparse"
)

// table is the index of one vector of an active collection: the vectors by
// slot, and beside each slot the point's row. Three of its kinds have an index of
// documents: that of a sparse vector, that of a text, and the one of points that
// the first table does not have, whose documents are empty.
//
// A slot's row is written before the slot is published and overwritten only
// after every view that could see it is released, which is the promise of both
// kinds of index; so rows need no lock.
type table struct {
	live   *liveIndex
	number int // its place in live.tables
	ref    collection.VectorRef
	kind   tableKind
	dense  *hnsw.Index
	sparse *sparse.Index

	rows    atomic.Pointer[[]*rowChunk]
	bytes   atomic.Int64 // of rows
	keeping keeping

	payloads payloadIndex

	// While it is loaded: how points come in, and what ends that.
	add  addFunc
	done func()
	// What follows is room for the document that is added, guarded by live.mu.
	terms  []uint64
	text   collection.TextTerms
	counts []float32
}

// tableKind is what the points of a table have in common.
type tableKind uint8

const (
	denseTable  tableKind = iota // a dense vector
	sparseTable                  // a sparse vector
	textTable                    // a text
	bareTable                    // that they are not in the first table
)

// addFunc is hnsw.Index.Add, or of an index that is loaded.
type addFunc func(label uint64, vector []float32) (slot uint32, err error)

const rowsPerChunk = 1024

type rowChunk [rowsPerChunk]row

// row is what a search needs of a point besides the vector searched.
type row struct {
	id      collection.PointID
	payload []byte  // msgpack
	spread  *spread // nil of a point that is in this table alone
}

// spread is what a point is in all tables of its collection. It never changes.
type spread struct {
	has    collection.VectorSet
	slots  []uint32                  // by table; noSlot where it is not
	sparse []collection.SparseVector // by number; without components where it has none
}

const noSlot = ^uint32(0)

// newTables makes the empty tables of a collection: of its vectors, the dense
// ones, then the sparse ones and the texts, and of the points that the first one
// lacks.
// Vectors that are to be on disk are in scratch space in the directory.
func newTables(l *liveIndex, dir string) []*table {
	c := &l.info.Config
	tables := make([]*table, 0, len(c.Vectors)+len(c.Sparse)+len(c.Text)+1)
	put := func(t *table) {
		t.live, t.number = l, len(tables)
		t.rows.Store(&[]*rowChunk{})
		tables = append(tables, t)
	}
	for i := range c.Vectors {
		v := &c.Vectors[i]
		put(&table{
			kind: denseTable, ref: collection.VectorRef{Kind: collection.DenseKind, Number: uint16(i)},
			dense: hnsw.New(v.Size, v.Distance.Metric(), placedOptions(*c, *v, dir)),
		})
	}
	for i := range c.Sparse {
		put(&table{
			kind: sparseTable, ref: collection.VectorRef{Kind: collection.SparseKind, Number: uint16(i)},
			sparse: sparse.New(scoring(c.Sparse[i])),
		})
	}
	for i := range c.Text {
		put(&table{
			kind: textTable, ref: collection.VectorRef{Kind: collection.TextKind, Number: uint16(i)},
			sparse: sparse.New(sparse.Scoring{Kind: sparse.BM25, K1: c.Text[i].K1, B: c.Text[i].B}),
		})
	}
	put(&table{kind: bareTable, sparse: sparse.New(sparse.Scoring{Kind: sparse.Dot})})
	return tables
}

func scoring(p collection.SparseParams) sparse.Scoring {
	if p.IDF {
		return sparse.Scoring{Kind: sparse.IDF}
	}
	return sparse.Scoring{Kind: sparse.Dot}
}

// insert adds a point if it belongs here, without its row.
func (t *table) insert(version uint64, rec *collection.Record) (slot uint32, has bool, err error) {
	switch t.kind {
	case denseTable:
		vector := rec.Dense(t.ref)
		if vector == nil {
			return 0, false, nil
		}
		add := t.add
		if add == nil {
			add = t.dense.Add
		}
		slot, err = add(version, vector)
	case sparseTable:
		vector, ok := rec.Sparse(t.ref)
		if !ok {
			return 0, false, nil
		}
		t.terms = appendTerms(t.terms[:0], vector.Indices)
		slot, err = t.sparse.Add(version, sparse.Document{Vector: sparse.Vector{Terms: t.terms, Values: vector.Values}})
	case textTable:
		var ok bool
		if t.text, ok = rec.Text(t.ref, t.text); !ok {
			return 0, false, nil
		}
		t.counts = appendCounts(t.counts[:0], t.text.Counts)
		slot, err = t.sparse.Add(version, sparse.Document{
			Vector: sparse.Vector{Terms: t.text.Terms, Values: t.counts}, Length: t.text.Length,
		})
	default:
		if first := t.live.tables[0]; first != t && first.holds(rec) {
			return 0, false, nil
		}
		slot, err = t.sparse.Add(version, sparse.Document{})
	}
	return slot, err == nil, indexError(err)
}

// holds reports whether a point has the table's vector.
func (t *table) holds(rec *collection.Record) bool {
	switch t.kind {
	case denseTable:
		return rec.Dense(t.ref) != nil
	case textTable:
		return rec.HasText(t.ref)
	}
	_, ok := rec.Sparse(t.ref)
	return ok
}

// appendCounts appends how often words are in a text as values of a document.
func appendCounts(dst []float32, counts []uint32) []float32 {
	for _, n := range counts {
		dst = append(dst, float32(n))
	}
	return dst
}

// appendTerms appends the indices of a sparse vector as terms.
func appendTerms(dst []uint64, indices []uint32) []uint64 {
	for _, i := range indices {
		dst = append(dst, uint64(i))
	}
	return dst
}

func (t *table) remove(slot uint32) {
	if t.dense != nil {
		t.dense.Remove(slot)
	} else {
		t.sparse.Remove(slot)
	}
	t.keeping.changes.Add(1)
}

func (t *table) publish() {
	if t.dense != nil {
		t.dense.Publish()
	} else {
		t.sparse.Publish()
	}
}

// loaded ends the loading of the table, whose points are published.
func (t *table) loaded(now time.Time) {
	t.publish()
	t.keeping.changes.Add(int64(t.waiting()))
	t.keeping.since.Store(now.UnixNano())
}

// setRow writes the row of a slot that was just added.
func (t *table) setRow(slot uint32, now *row) {
	to := t.rowForWriting(slot)
	t.payloads.replace(slot, to, now)
	*to = *now
}

// rowForWriting makes room up to the slot. A graph's file may hold slots of
// vectors that were not linked yet, so a load does not take them in turn.
func (t *table) rowForWriting(slot uint32) *row {
	chunks := *t.rows.Load()
	if n := int(slot/rowsPerChunk) + 1; n > len(chunks) {
		grown := chunks[:len(chunks):len(chunks)]
		for len(grown) < n {
			grown = append(grown, new(rowChunk))
			t.bytes.Add(int64(unsafe.Sizeof(rowChunk{})))
		}
		t.rows.Store(&grown)
		chunks = grown
	}
	return &chunks[slot/rowsPerChunk][slot%rowsPerChunk]
}

// row returns the row of a slot that the caller's view contains.
func (t *table) row(slot uint32) *row {
	return &(*t.rows.Load())[slot/rowsPerChunk][slot%rowsPerChunk]
}

// waiting is how many vectors are not in the graph yet.
func (t *table) waiting() int {
	if t.dense == nil {
		return 0
	}
	return t.dense.Waiting()
}

// linked is how many are.
func (t *table) linked() int {
	if t.dense == nil {
		return 0
	}
	return t.dense.Linked()
}

// memory is what the table holds, in bytes.
func (t *table) memory() int64 {
	sum := t.bytes.Load() + t.payloads.bytes()
	if t.dense != nil {
		return sum + t.dense.Bytes()
	}
	return sum + t.sparse.Bytes()
}

// tableView is an immutable state of a table, or nothing. Exactly one of dense
// and sparse is set.
type tableView struct {
	dense    index.View
	sparse   *sparse.View
	payloads *collection.FilterIndex // what was ready before: it knows every slot of the view
}

// view returns the last published state.
func (t *table) view() tableView {
	v := tableView{payloads: t.payloads.ready.Load()}
	if t.dense != nil {
		v.dense = t.dense.View()
	} else {
		v.sparse = t.sparse.View()
	}
	return v
}

// slots is what a view of either kind says of its slots.
type slots interface {
	Len() int
	Slots() uint32
	Visible(first uint32) uint64
	Label(slot uint32) (label uint64, ok bool)
	Release()
}

func (v *tableView) slots() slots {
	if v.dense != nil {
		return v.dense
	}
	return v.sparse
}

func (v *tableView) taken() bool { return v.dense != nil || v.sparse != nil }

func (v *tableView) release() {
	if v.taken() {
		v.slots().Release()
	}
	*v = tableView{}
}
