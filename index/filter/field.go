package filter

import (
	"math"
	"strings"
)

// class is one of the sets that a field has besides those of its values.
type class uint8

const (
	present class = iota // has the field
	null                 // is null, or an array with a null in it
	bare                 // is null, or an array of nothing
	valued               // has a value that is not null
	several              // is an array of two or more
	deep                 // is an object, or an array: paths lead into it
	odd                  // has a value that is in no set: a long text, or not a number
	no
	yes
	classes
)

// field is the index of one field.
type field struct {
	sets    [classes]set
	texts   map[string]*set // not set: an assignment would keep the caller's text
	ints    ordered[int64]
	floats  ordered[float64] // and integers above the largest int64
	times   ordered[int64]   // of texts that are dates
	textMax int
	bytes   int
	dropped bool // it took too much: nothing is known
}

const (
	fieldBytes = 512
	textBytes  = 16 + 8 + setBytes + 16 // of a text in the map, besides itself
)

func newField(textMax int) *field {
	return &field{texts: map[string]*set{}, textMax: textMax, bytes: fieldBytes}
}

// change adds a slot with its values, or removes it.
func (f *field) change(slot uint32, in *rowField, values []Value, add bool) {
	in1 := func(c class) { f.bytes += f.sets[c].change(slot, add) }
	in1(present)
	if in.shape == Array {
		in1(deep)
		if len(values) >= 2 {
			in1(several)
		}
	}
	if len(values) == 0 || in.shape == Single && values[0].Kind == Null {
		in1(bare)
	}
	for i := range values {
		v := &values[i]
		if v.Kind == Null {
			in1(null)
			continue
		}
		in1(valued)
		if !f.changeValue(slot, v, add) {
			in1(odd)
		}
		if v.Kind == Other {
			in1(deep)
		}
	}
}

// changeValue reports whether the value can be found again by what it is. No
// condition asks for an object by what it is.
func (f *field) changeValue(slot uint32, v *Value, add bool) bool {
	switch v.Kind {
	case Bool:
		f.bytes += f.sets[no+class(v.Bits&1)].change(slot, add)
	case Int:
		f.bytes += f.ints.change(int64(v.Bits), slot, add)
	case Float:
		n := math.Float64frombits(v.Bits)
		if n != n {
			return false
		}
		f.bytes += f.floats.change(n, slot, add)
	case String:
		if v.Dated {
			f.bytes += f.times.change(int64(v.Bits), slot, add)
		}
		if len(v.Text) > f.textMax {
			return false
		}
		f.changeText(slot, v.Text, add)
	}
	return true
}

func (f *field) changeText(slot uint32, text string, add bool) {
	s, ok := f.texts[text]
	if !ok {
		if !add {
			return
		}
		s = new(set)
		f.texts[strings.Clone(text)] = s
		f.bytes += textBytes + len(text)
	}
	f.bytes += s.change(slot, add)
	if s.count == 0 {
		delete(f.texts, text)
		f.bytes -= textBytes + len(text)
	}
}
