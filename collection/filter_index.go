package collection

import (
	"context"
	"hash/maphash"
	"math/bits"
	"sync"

	"github.com/hivehub/waggle/index/filter"
)

// FilterIndex answers filters over the points of an index by the slots they
// are in (see package filter). It may be used by several goroutines, of which
// no two write about the same slot. Every point in it has the default vector.
type FilterIndex struct {
	index *filter.Index
	seed  maphash.Seed
}

// filterRows are rows to be filled and read once.
var filterRows = sync.Pool{New: func() any { return new(filter.Row) }}

// NewFilterIndex returns an empty index.
func NewFilterIndex(o filter.Options) *FilterIndex {
	return &FilterIndex{index: filter.New(o), seed: maphash.MakeSeed()}
}

// Add takes a point: its slot, id, and payload as AppendPayload stored it.
// Nothing of the payload is kept.
func (x *FilterIndex) Add(slot uint32, id PointID, payload []byte) {
	row := filterRow(payload)
	x.index.Add(slot, maphash.Comparable(x.seed, id), row)
	row.Reset()
	filterRows.Put(row)
}

// Remove takes a point out that was added just so, before its slot is used
// again. Until then the point has to stay for the sake of those who see it.
// What was not added changes nothing.
func (x *FilterIndex) Remove(slot uint32, id PointID, payload []byte) {
	row := filterRow(payload)
	x.index.Remove(slot, maphash.Comparable(x.seed, id), row)
	row.Reset()
	filterRows.Put(row)
}

// Bytes is about how much memory the index takes. Any goroutine may ask.
func (x *FilterIndex) Bytes() int64 { return x.index.Bytes() }

// filterRow makes the row of a payload. What is malformed ends it: at the same
// place each time.
func filterRow(payload []byte) *filter.Row {
	r := filterRows.Get().(*filter.Row)
	v, b, ok := readValue(payload)
	if !ok || v.kind != kindMap {
		return r
	}
	for range v.bits {
		key, after, ok := readValue(b)
		if !ok || key.kind != kindString {
			return r
		}
		in, inner, ok := readValue(after)
		if !ok {
			return r
		}
		if b, ok = skipValue(after); !ok {
			return r
		}
		if in.kind != kindArray {
			r.Field(key.text, filter.Single)
			r.Value(filterValue(in))
			continue
		}
		r.Field(key.text, filter.Array)
		for range in.bits {
			e, _, _ := readValue(inner)
			r.Value(filterValue(e))
			inner, _ = skipValue(inner)
		}
	}
	return r
}

// filterValue is a value as the index takes it.
func filterValue(v value) filter.Value {
	switch v.kind {
	case kindNull:
		return filter.Value{Kind: filter.Null}
	case kindBool:
		return filter.Value{Kind: filter.Bool, Bits: v.bits}
	case kindInt:
		return filter.Value{Kind: filter.Int, Bits: v.bits}
	case kindUint, kindFloat:
		f, _ := v.float()
		return filter.Float64(f)
	case kindString:
		micros, ok := ParseDatetime(v.text)
		return filter.Value{Kind: filter.String, Text: v.text, Bits: uint64(micros), Dated: ok}
	}
	return filter.Value{Kind: filter.Other}
}

// Selected is what a filter lets pass.
type Selected struct {
	Slots []uint64 // a bitmap; slots that the view does not see may be in it, too
	Asked int      // points whose payload was read for it, as the index did not know
}

// Row is what a filter asks about a point.
type Row struct {
	ID      PointID
	Payload []byte // as AppendPayload stored it
	Vectors VectorSet
}

// SlotView is what Select asks of an index's view, see index.View.
type SlotView interface {
	Slots() uint32
	Visible(first uint32) uint64
}

// Select returns the slots of a view that pass f. The view may not be released
// meanwhile; row says what is in a slot that it sees. c is the collection's
// configuration; of a plain one every slot has the vector. A nil index knows
// nothing: every payload is read.
//
// Which slots a view sees is asked only where it matters: it takes longer than
// to evaluate a filter.
func (x *FilterIndex) Select(ctx context.Context, f *Filter, c Config, view SlotView, row func(slot uint32) Row) (Selected, error) {
	s := Selected{Slots: allSlots(view.Slots())}
	doubt := s.Slots
	if x != nil {
		answer := x.index.Evaluate(exprs{x, c.Plain()}.of(f), s.Slots)
		s.Slots, doubt = answer.Maybe, answer.Doubt
	}
	match := f.Compile(c)
	for i, w := range doubt {
		if w == 0 {
			continue
		}
		visible := view.Visible(uint32(64 * i))
		s.Slots[i] &= visible
		for w &= visible; w != 0; w &= w - 1 {
			if s.Asked++; s.Asked%1024 == 0 && ctx.Err() != nil {
				return Selected{}, ctx.Err()
			}
			r := row(uint32(64*i + bits.TrailingZeros64(w)))
			if !match.MatchesRecord(r.ID, r.Payload, r.Vectors) {
				s.Slots[i] &^= w & -w
			}
		}
	}
	return s, ctx.Err()
}

// allSlots is the bitmap of the slots below n.
func allSlots(n uint32) []uint64 {
	b := make([]uint64, (int(n)+63)/64)
	for i := range b {
		b[i] = ^uint64(0)
	}
	if n%64 > 0 {
		b[len(b)-1] = 1<<(n%64) - 1
	}
	return b
}

// exprs makes expressions of filters.
type exprs struct {
	*FilterIndex
	plain bool // every slot has the default vector, and none has another
}

// of is a filter as far as the index understands it.
func (x exprs) of(f *Filter) filter.Expr {
	if f == nil {
		return filter.All(true)
	}
	g := &filter.Group{Must: x.all(f.Must), Should: x.all(f.Should), Not: x.all(f.MustNot)}
	if f.MinShould != nil {
		g.Min, g.MinCount = x.all(f.MinShould.Conditions), f.MinShould.Count
	}
	return g
}

func (x exprs) all(conditions []Condition) []filter.Expr {
	list := make([]filter.Expr, len(conditions))
	for i, c := range conditions {
		list[i] = x.condition(c)
	}
	return list
}

func (x exprs) condition(c Condition) filter.Expr {
	switch c := c.(type) {
	case *Filter:
		return x.of(c)
	case Field:
		if len(c.Key) > 1 {
			return filter.Inside{Field: c.Key[0].key}
		}
		return predicateExpr(c.Key[0].key, c.Is)
	case ValuesCount:
		if len(c.Key) > 1 {
			return filter.Inside{Field: c.Key[0].key, Absent: c.contains(0)}
		}
		return filter.Count{Field: c.Key[0].key, Contains: c.contains}
	case IsEmpty:
		if len(c.Key) > 1 {
			return filter.Inside{Field: c.Key[0].key, Absent: true}
		}
		return filter.State{Field: c.Key[0].key, Is: filter.IsEmpty}
	case IsNull:
		if len(c.Key) > 1 {
			return filter.Inside{Field: c.Key[0].key}
		}
		return filter.State{Field: c.Key[0].key, Is: filter.IsNull}
	case HasID:
		hashes := make([]uint64, len(c.IDs))
		for i, id := range c.IDs {
			hashes[i] = maphash.Comparable(x.seed, id)
		}
		return filter.IDs{Hashes: hashes}
	case HasVector:
		if x.plain {
			return filter.All(c.Name == "")
		}
		return filter.Ask{}
	case Nested:
		return filter.Inside{Field: c.Key[0].key}
	}
	return filter.Ask{}
}

// predicateExpr is what a predicate demands of the values of a field.
func predicateExpr(name string, p Predicate) filter.Expr {
	switch p := p.(type) {
	case MatchString:
		return filter.Match{Field: name, Texts: []string{string(p)}}
	case MatchInt:
		return filter.Match{Field: name, Ints: []int64{int64(p)}}
	case MatchBool:
		return filter.Match{Field: name, Bools: []bool{bool(p)}}
	case MatchText:
		return filter.Text{Field: name, Part: string(p)}
	case MatchAny:
		return filter.Match{Field: name, Texts: p.Strings, Ints: p.Ints}
	case MatchExcept:
		return filter.Match{Field: name, Texts: p.Strings, Ints: p.Ints, Except: true}
	case Range:
		return filter.Range{Field: name, Below: p.below, Above: p.above}
	case DatetimeRange:
		return filter.Times{Field: name, Below: p.below, Above: p.above}
	case area:
		return filter.Inside{Field: name}
	}
	return filter.Ask{}
}

// below reports whether v is under the bounds, above whether it is over them.
// What is not ordered is both: nothing is within a bound of NaN.
func (b Bounds[T]) below(v T) bool { return !Bounds[T]{GT: b.GT, GTE: b.GTE}.contains(v) }
func (b Bounds[T]) above(v T) bool { return !Bounds[T]{LT: b.LT, LTE: b.LTE}.contains(v) }
