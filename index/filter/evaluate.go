package filter

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// Answer is what the index says of a filter: the slots that may pass, and
// those of them whose payload has to be asked. Doubt is nil when there are
// none. Both are the caller's.
type Answer struct {
	Maybe, Doubt []uint64
}

// Counts returns how many slots pass at least and at most.
func (a Answer) Counts() (least, most int) {
	most = ones(a.Maybe)
	return most - ones(a.Doubt), most
}

// Evaluate answers e among the slots of a bitmap, which a view has to see all
// the while. The answer's bitmaps are as long.
func (x *Index) Evaluate(e Expr, among []uint64) Answer {
	v := evaluation{x: x, among: among}
	return v.eval(e)
}

// What a look at a payload costs, in words of a bitmap read for a condition.
const askWords = 100

// evaluation is one call of Evaluate. Every answer in it lies within among.
type evaluation struct {
	x     *Index
	among []uint64
	spare [][]uint64
}

// room returns a bitmap with nothing in it.
func (v *evaluation) room() []uint64 {
	if n := len(v.spare); n > 0 {
		b := v.spare[n-1]
		v.spare = v.spare[:n-1]
		clear(b)
		return b
	}
	return make([]uint64, len(v.among))
}

func (v *evaluation) copyOf(b []uint64) []uint64 {
	c := v.room()
	copy(c, b)
	return c
}

// free takes bitmaps back.
func (v *evaluation) free(bitmaps ...[]uint64) {
	for _, b := range bitmaps {
		if b != nil {
			v.spare = append(v.spare, b)
		}
	}
}

func (v *evaluation) eval(e Expr) Answer {
	g, ok := e.(*Group)
	if !ok {
		return v.leaf(e)
	}
	out := Answer{Maybe: v.copyOf(v.among)}
	parts := g.parts()
	for i, p := range parts {
		parts[i].most = p.estimate(v.x)
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.most, b.most) })
	for i, p := range parts {
		if v.few(out.Maybe, len(parts)-i) {
			v.free(out.Doubt)
			return Answer{out.Maybe, v.copyOf(out.Maybe)}
		}
		v.and(&out, p.eval(v))
		if empty(out.Maybe) {
			break
		}
	}
	return out
}

// few reports whether asking those of a bitmap costs less than so many more
// conditions.
func (v *evaluation) few(b []uint64, conditions int) bool {
	budget := conditions * len(b) / askWords
	if budget == 0 {
		return empty(b)
	}
	n := 0
	for _, w := range b {
		if n += bits.OnesCount64(w); n > budget {
			return false
		}
	}
	return true
}

// part is one conjunct of a group: an expression, its negation, or a number of
// a list's.
type part struct {
	list  []Expr
	count uint64 // so many of the list
	not   bool
	most  int // about how many pass, at most
}

func (g *Group) parts() []part {
	parts := make([]part, 0, len(g.Must)+len(g.Not)+2)
	for i := range g.Must {
		parts = append(parts, part{list: g.Must[i : i+1], count: 1})
	}
	for i := range g.Not {
		parts = append(parts, part{list: g.Not[i : i+1], count: 1, not: true})
	}
	if len(g.Should) > 0 {
		parts = append(parts, part{list: g.Should, count: 1})
	}
	if len(g.Min) > 0 && g.MinCount > 0 {
		parts = append(parts, part{list: g.Min, count: g.MinCount})
	}
	return parts
}

func (p part) eval(v *evaluation) Answer {
	var out Answer
	switch {
	case len(p.list) == 1 && p.count == 1:
		out = v.eval(p.list[0])
	case p.count == 1:
		out = Answer{Maybe: v.room()}
		for _, e := range p.list {
			v.or(&out, v.eval(e))
		}
	case p.count > uint64(len(p.list)):
		return Answer{Maybe: v.room()}
	default:
		out = v.atLeast(p.list, p.count)
	}
	if p.not {
		v.not(&out)
	}
	return out
}

// estimate is about how many slots pass, at most.
func (p part) estimate(x *Index) int {
	if p.not {
		return math.MaxInt
	}
	most := 0
	for _, e := range p.list {
		n := x.estimate(e)
		if n > math.MaxInt/2-most {
			return math.MaxInt
		}
		most += n
	}
	return most / int(min(p.count, math.MaxInt32))
}

// and makes a pass what passes both. It takes b.
func (v *evaluation) and(a *Answer, b Answer) {
	for i := range a.Maybe {
		a.Maybe[i] &= b.Maybe[i]
	}
	switch {
	case a.Doubt == nil && b.Doubt != nil:
		a.Doubt, b.Doubt = b.Doubt, nil
	case a.Doubt != nil && b.Doubt != nil:
		for i := range a.Doubt {
			a.Doubt[i] |= b.Doubt[i]
		}
	}
	for i := range a.Doubt {
		a.Doubt[i] &= a.Maybe[i]
	}
	v.free(b.Maybe, b.Doubt)
}

// or makes a pass what passes one. It takes b.
func (v *evaluation) or(a *Answer, b Answer) {
	if a.Doubt == nil && b.Doubt != nil {
		a.Doubt = v.room()
	}
	for i := range a.Doubt {
		var doubt uint64
		if b.Doubt != nil {
			doubt = b.Doubt[i]
		}
		a.Doubt[i] = a.Doubt[i]&(doubt|^b.Maybe[i]) | doubt&^a.Maybe[i]
	}
	for i := range a.Maybe {
		a.Maybe[i] |= b.Maybe[i]
	}
	v.free(b.Maybe, b.Doubt)
}

// not makes a pass what did not.
func (v *evaluation) not(a *Answer) {
	for i, w := range v.among {
		a.Maybe[i] = w &^ a.Maybe[i]
		if a.Doubt != nil {
			a.Maybe[i] |= a.Doubt[i]
		}
	}
}

// atLeast passes what passes so many of a list. It counts in bitmaps, one for
// each binary digit: those that pass for sure, and those that may.
func (v *evaluation) atLeast(list []Expr, count uint64) Answer {
	digits := bits.Len(uint(len(list)))
	sure, maybe := make([][]uint64, digits), make([][]uint64, digits)
	for i := range digits {
		sure[i], maybe[i] = v.room(), v.room()
	}
	doubts := false
	for _, e := range list {
		a := v.eval(e)
		for i, w := range a.Maybe {
			add(maybe, i, w)
			if a.Doubt != nil {
				doubts, w = true, w&^a.Doubt[i]
			}
			add(sure, i, w)
		}
		v.free(a.Maybe, a.Doubt)
	}
	out := Answer{Maybe: v.room()}
	for i := range out.Maybe {
		out.Maybe[i] = reached(maybe, i, count)
	}
	if doubts {
		out.Doubt = v.room()
		for i := range out.Doubt {
			out.Doubt[i] = out.Maybe[i] &^ reached(sure, i, count)
		}
	}
	v.free(sure...)
	v.free(maybe...)
	return out
}

// add adds one to the numbers in word i that carry has a bit for.
func add(digits [][]uint64, i int, carry uint64) {
	for d := 0; carry != 0; d++ {
		digits[d][i], carry = digits[d][i]^carry, digits[d][i]&carry
	}
}

// reached has a bit for each number in word i that is count or greater.
func reached(digits [][]uint64, i int, count uint64) uint64 {
	greater, equal := uint64(0), ^uint64(0)
	for d := len(digits) - 1; d >= 0; d-- {
		if w := digits[d][i]; count>>d&1 == 1 {
			equal &= w
		} else {
			greater |= equal & w
			equal &^= w
		}
	}
	return greater | equal
}

func ones(bitmap []uint64) int {
	n := 0
	for _, w := range bitmap {
		n += bits.OnesCount64(w)
	}
	return n
}

func empty(bitmap []uint64) bool {
	for _, w := range bitmap {
		if w != 0 {
			return false
		}
	}
	return true
}
