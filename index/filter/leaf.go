package filter

import (
	"math"
	"slices"
	"strings"
)

// atOnce is how many values are looked up, and blocks of an order gone
// through, before a writer may come between.
const (
	atOnce       = 256
	blocksAtOnce = 16
)

// textsMax is how many different texts of a field are searched for a part. It
// takes as long as a writer may have to wait.
const textsMax = 4096

// leaf answers what is no group.
func (v *evaluation) leaf(e Expr) Answer {
	out := Answer{Maybe: v.room()}
	known := true
	switch e := e.(type) {
	case All:
		if e {
			copy(out.Maybe, v.among)
		}
	case Match:
		if e.Except {
			known = v.except(&e, &out)
		} else {
			known = v.match(&e, &out)
		}
	case Text:
		known = v.text(e, &out)
	case Range:
		known = v.numbers(&e, out.Maybe)
	case Times:
		s := span[int64]{e.Below, e.Above}
		known = goThrough(v, e.Field, s, out.Maybe, func(f *field) *ordered[int64] { return &f.times })
	case State:
		known = v.state(e, out.Maybe)
	case Count:
		known = v.count(e, &out)
	case IDs:
		v.ids(e.Hashes, out.Maybe)
		out.Doubt = v.copyOf(out.Maybe)
	case Inside:
		known = v.inside(e, &out)
	default:
		known = false
	}
	if !known {
		v.free(out.Doubt)
		copy(out.Maybe, v.among)
		out.Doubt = v.copyOf(v.among)
	}
	for i, w := range v.among {
		out.Maybe[i] &= w
		if out.Doubt != nil {
			out.Doubt[i] &= w
		}
	}
	return out
}

// under calls do with a field while nobody writes. The field is nil when no
// slot has it. It reports whether the field is known.
func (v *evaluation) under(name string, do func(f *field)) bool {
	v.x.mu.RLock()
	defer v.x.mu.RUnlock()
	f := v.x.fields[name]
	if f == nil && v.x.closed || f != nil && f.dropped {
		return false
	}
	do(f)
	return true
}

// match adds the slots with one of the values. Long texts are in no set: who
// asks for one is told of those that have any.
func (v *evaluation) match(m *Match, out *Answer) bool {
	known := v.under(m.Field, func(f *field) {
		if f != nil && slices.Contains(m.Bools, true) {
			f.sets[yes].addTo(out.Maybe)
		}
		if f != nil && slices.Contains(m.Bools, false) {
			f.sets[no].addTo(out.Maybe)
		}
	})
	long := false
	known = known && inTurn(v, m.Field, m.Texts, func(f *field, t string) {
		if s := f.texts[t]; s != nil {
			s.addTo(out.Maybe)
		}
		long = long || len(t) > f.textMax
	})
	known = known && inTurn(v, m.Field, m.Ints, func(f *field, n int64) {
		if s := f.ints.get(n); s != nil {
			s.addTo(out.Maybe)
		}
	})
	return known && (!long || v.under(m.Field, func(f *field) { v.doubtOdd(f, out) }))
}

// inTurn calls do with each of a list, some at a time, for a field that has
// slots. It reports whether the field is known.
func inTurn[T any](v *evaluation, name string, list []T, do func(f *field, one T)) bool {
	for some := range slices.Chunk(list, atOnce) {
		if !v.under(name, func(f *field) {
			for _, one := range some {
				if f != nil {
					do(f, one)
				}
			}
		}) {
			return false
		}
	}
	return true
}

// doubtOdd adds the slots with values that are in no set to those that may
// pass.
func (v *evaluation) doubtOdd(f *field, out *Answer) {
	if f == nil || f.sets[odd].count == 0 {
		return
	}
	out.Doubt = v.room()
	f.sets[odd].addTo(out.Doubt)
	for i, w := range out.Maybe {
		out.Doubt[i] &^= w
		out.Maybe[i] |= out.Doubt[i]
	}
}

// except is those with a value, less those with one of these. In an array
// there may be others beside these.
func (v *evaluation) except(m *Match, out *Answer) bool {
	these := Answer{Maybe: v.room()}
	known := v.match(m, &these)
	arrays := v.room()
	known = known && v.under(m.Field, func(f *field) {
		if f != nil {
			f.sets[valued].addTo(out.Maybe)
			f.sets[several].addTo(arrays)
		}
	})
	for i, w := range these.Maybe {
		doubt := w & arrays[i]
		if these.Doubt != nil {
			doubt |= these.Doubt[i]
		}
		arrays[i] = doubt & out.Maybe[i]
		out.Maybe[i] = out.Maybe[i]&^w | arrays[i]
	}
	out.Doubt = arrays
	v.free(these.Maybe, these.Doubt)
	return known
}

// text goes through all texts of the field, where they are not too many.
func (v *evaluation) text(t Text, out *Answer) bool {
	return v.under(t.Field, func(f *field) {
		switch {
		case f == nil:
		case len(f.texts) > textsMax:
			f.sets[valued].addTo(out.Maybe)
			out.Doubt = v.copyOf(out.Maybe)
		default:
			for text, s := range f.texts {
				if strings.Contains(text, t.Part) {
					s.addTo(out.Maybe)
				}
			}
			v.doubtOdd(f, out)
		}
	})
}

// numbers adds the slots with a number in a range.
func (v *evaluation) numbers(r *Range, to []uint64) bool {
	ints := span[int64]{
		below: func(n int64) bool { return r.Below(float64(n)) },
		above: func(n int64) bool { return r.Above(float64(n)) },
	}
	floats := span[float64]{r.Below, r.Above}
	return goThrough(v, r.Field, ints, to, func(f *field) *ordered[int64] { return &f.ints }) &&
		goThrough(v, r.Field, floats, to, func(f *field) *ordered[float64] { return &f.floats })
}

// goThrough adds the slots of a span, some blocks at a time.
func goThrough[T int64 | float64](v *evaluation, name string, s span[T], to []uint64, order func(*field) *ordered[T]) bool {
	for more := true; more; {
		var last T
		known := v.under(name, func(f *field) {
			if more = f != nil; more {
				last, more = order(f).addTo(to, s, blocksAtOnce)
			}
		})
		if !known {
			return false
		}
		below := s.below
		s.below = func(n T) bool { return n <= last || below(n) }
	}
	return true
}

func (v *evaluation) state(s State, to []uint64) bool {
	return v.under(s.Field, func(f *field) {
		if s.Is == IsNull {
			if f != nil {
				f.sets[null].addTo(to)
			}
			return
		}
		bareOnes := v.room()
		if f != nil {
			f.sets[present].addTo(to)
			f.sets[bare].addTo(bareOnes)
		}
		for i, w := range v.among {
			to[i] = w&^to[i] | bareOnes[i]
		}
		v.free(bareOnes)
	})
}

// count knows none, one and more.
func (v *evaluation) count(c Count, out *Answer) bool {
	there, none, more := v.room(), v.room(), v.room()
	defer v.free(there, none, more)
	if !v.under(c.Field, func(f *field) {
		if f != nil {
			f.sets[present].addTo(there)
			f.sets[bare].addTo(none)
			f.sets[several].addTo(more)
		}
	}) {
		return false
	}
	zero, one := c.Contains(0), c.Contains(1)
	for i, w := range v.among {
		if zero {
			out.Maybe[i] |= w&^there[i] | none[i]
		}
		if one {
			out.Maybe[i] |= there[i] &^ none[i] &^ more[i]
		}
		out.Maybe[i] |= more[i]
	}
	if !c.Contains(2) || !c.Contains(math.MaxUint64) { // else all that are more
		out.Doubt = v.copyOf(more)
	}
	return true
}

func (v *evaluation) ids(hashes []uint64, to []uint64) {
	for len(hashes) > 0 {
		some := hashes[:min(atOnce, len(hashes))]
		hashes = hashes[len(some):]
		v.x.mu.RLock()
		for _, h := range some {
			v.x.ids.addTo(to, h)
		}
		v.x.mu.RUnlock()
	}
}

func (v *evaluation) inside(e Inside, out *Answer) bool {
	doubt := v.room()
	known := v.under(e.Field, func(f *field) {
		if f != nil {
			f.sets[deep].addTo(doubt)
		}
	})
	out.Doubt = doubt
	for i, w := range v.among {
		if e.Absent {
			out.Maybe[i] = w
		} else {
			out.Maybe[i] = doubt[i]
		}
	}
	return known
}

// estimate is about how many slots an expression passes, at most, as far as it
// is cheap to say.
func (x *Index) estimate(e Expr) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.estimateLocked(e)
}

func (x *Index) estimateLocked(e Expr) int {
	switch e := e.(type) {
	case *Group:
		most := math.MaxInt
		for _, inner := range e.Must {
			most = min(most, x.estimateLocked(inner))
		}
		return most
	case All:
		if !e {
			return 0
		}
	case IDs:
		return len(e.Hashes)
	case Match:
		return x.estimateMatch(&e)
	case Text:
		return x.count(e.Field, valued)
	case Range:
		return x.count(e.Field, valued)
	case Times:
		return x.count(e.Field, valued)
	case Inside:
		if !e.Absent {
			return x.count(e.Field, deep)
		}
	case State:
		if e.Is == IsNull {
			return x.count(e.Field, null)
		}
	}
	return math.MaxInt
}

// count is how many slots are in a set of a field.
func (x *Index) count(name string, c class) int {
	f := x.fields[name]
	if f == nil && x.closed || f != nil && f.dropped {
		return math.MaxInt
	}
	if f == nil {
		return 0
	}
	return int(f.sets[c].count)
}

func (x *Index) estimateMatch(m *Match) int {
	most := x.count(m.Field, valued)
	f := x.fields[m.Field]
	if f == nil || f.dropped || m.Except || len(m.Texts)+len(m.Ints) > atOnce {
		return most
	}
	n := 0
	for _, t := range m.Texts {
		if s := f.texts[t]; s != nil {
			n += int(s.count)
		}
	}
	for _, i := range m.Ints {
		if s := f.ints.get(i); s != nil {
			n += int(s.count)
		}
	}
	for _, b := range m.Bools {
		if b {
			n += int(f.sets[yes].count)
		} else {
			n += int(f.sets[no].count)
		}
	}
	return min(most, n)
}
