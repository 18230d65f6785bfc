// Package filter is the inverted index of payloads: which slots have which
// values in which fields. It answers a filter with bitmaps of slots: those that
// may pass, and those among them that only their payload can decide. So a
// condition that it knows nothing of costs a look at the candidates that all
// other conditions leave, never at the whole collection, and an answer does not
// depend on what is indexed.
//
// Slots are those of a vector index, and its promise is what keeps the two in
// step: a slot is used again only when no view is left in which it was visible.
// So a slot stays here until it is used again, the index has no views of its
// own, and what it says is right for every slot that a caller's view sees,
// whatever is written meanwhile. Of other slots it may say anything.
//
// Every field is indexed that a payload has at its top, up to the bounds of
// Options. What is past them is left to the payloads.
package filter

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

// Options are the bounds of an Index. A zero means the default.
type Options struct {
	FieldsMax int   // fields (64): later ones are not indexed
	BytesMax  int64 // memory (128 MB): past it the largest field is given up
	TextMax   int   // bytes of a text that is indexed (128): a longer one is known to be there
}

func (o Options) withDefaults() Options {
	if o.FieldsMax == 0 {
		o.FieldsMax = 64
	}
	if o.BytesMax == 0 {
		o.BytesMax = 128 << 20
	}
	if o.TextMax == 0 {
		o.TextMax = 128
	}
	return o
}

// Index is an inverted index of fields and ids. It may be used by several
// goroutines, of which no two write about the same slot.
type Index struct {
	options Options
	bytes   atomic.Int64

	// mu is held for one slot's change, and by readers for a small part of a
	// condition at a time.
	mu     sync.RWMutex
	fields map[string]*field
	closed bool // a field was refused, so that one that is not there may be in a payload
	ids    ids
}

// New returns an empty index.
func New(o Options) *Index {
	return &Index{options: o.withDefaults(), fields: map[string]*field{}, ids: newIDs()}
}

// Add takes what a slot has. id is a hash of the point's id: two points may
// have the same. The slot must not be in the index.
func (x *Index) Add(slot uint32, id uint64, r *Row) { x.change(slot, id, r, true) }

// Remove takes a slot out, given what was added. A slot that is not there
// changes nothing.
func (x *Index) Remove(slot uint32, id uint64, r *Row) { x.change(slot, id, r, false) }

// Bytes is about how much memory the index takes. Any goroutine may ask.
func (x *Index) Bytes() int64 { return x.bytes.Load() }

func (x *Index) change(slot uint32, id uint64, r *Row, add bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	bytes := x.ids.change(id, slot, add)
	for i := range r.fields {
		in := &r.fields[i]
		f, before := x.fields[in.name], 0
		switch {
		case f != nil:
			before = f.bytes
		case add:
			f = x.newField(in.name)
		}
		if f == nil || f.dropped {
			continue
		}
		f.change(slot, in, r.values[in.first:in.end], add)
		bytes += f.bytes - before
		if f.sets[present].count == 0 && !x.closed {
			bytes -= f.bytes
			delete(x.fields, in.name)
		}
	}
	if x.bytes.Add(int64(bytes)) > x.options.BytesMax {
		x.giveUp()
	}
}

// newField returns nil when there is no room for another.
func (x *Index) newField(name string) *field {
	if len(x.fields) == x.options.FieldsMax || len(name) > nameMax {
		x.closed = true
		return nil
	}
	f := newField(x.options.TextMax)
	x.fields[strings.Clone(name)] = f
	return f
}

// nameMax is how long the name of a field that is indexed may be.
const nameMax = 256

// giveUp drops the field that takes most. It stays dropped: its earlier values
// are not known any more.
func (x *Index) giveUp() {
	var largest *field
	for _, f := range x.fields {
		if !f.dropped && (largest == nil || f.bytes > largest.bytes) {
			largest = f
		}
	}
	if largest == nil {
		return
	}
	x.bytes.Add(-int64(largest.bytes))
	*largest = field{dropped: true}
}

// Kind is what a Value is.
type Kind uint8

// The kinds of values.
const (
	Null   Kind = iota
	Bool        // Bits is 0 or 1
	Int         // Bits is an int64
	Float       // Bits is a float64's
	String      // Text, and Bits a time in microseconds where it is Dated
	Other       // an object, or an array in an array
)

// Value is one value of a field.
type Value struct {
	Kind  Kind
	Dated bool
	Bits  uint64
	Text  string
}

// Shape is what the value of a field is made of.
type Shape uint8

// The shapes.
const (
	Single Shape = iota // one value
	Array               // its elements
)

// Row is what a payload has in its fields. It is made anew for each payload,
// in the same memory, and nothing of it is kept by the index.
type Row struct {
	fields []rowField
	values []Value
}

type rowField struct {
	name       string
	shape      Shape
	first, end int // of the values
}

// Reset empties the row, and keeps no text.
func (r *Row) Reset() {
	clear(r.fields)
	clear(r.values)
	r.fields, r.values = r.fields[:0], r.values[:0]
}

// Field begins a field, whose values follow.
func (r *Row) Field(name string, s Shape) {
	r.fields = append(r.fields, rowField{name, s, len(r.values), len(r.values)})
}

// Value adds a value to the field begun last.
func (r *Row) Value(v Value) {
	r.values = append(r.values, v)
	r.fields[len(r.fields)-1].end++
}

// Float64 is the value of a number.
func Float64(f float64) Value { return Value{Kind: Float, Bits: math.Float64bits(f)} }
