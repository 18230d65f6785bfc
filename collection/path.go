package collection

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// PathStepsMax is the largest number of steps of a Path.
const PathStepsMax = 32

type stepKind uint8

const (
	stepKey   stepKind = iota // .key, in an object
	stepIndex                 // [3], in an array
	stepEach                  // [], every element of an array
)

// step is one step from a value to the values inside it.
type step struct {
	kind  stepKind
	key   string
	index int
}

// Path names values inside a payload: keys of objects and elements of arrays.
//
//	a.b          the value of b in the object a
//	a[].b        b of every object in the array a
//	a[0]         the first element of the array a
//	"x.y".b      a key that is not made of letters, digits, _ and - stands in quotes
//
// A step that does not fit the value it meets (a key in an array) names
// nothing. A Path of ParsePath has at least one step and begins with a key.
type Path []step

// ParsePath reads a path.
func ParsePath(s string) (Path, error) {
	var p Path
	rest := s
	for rest != "" || p == nil {
		next, after, ok := cutStep(rest, p == nil)
		if !ok || len(p) == PathStepsMax {
			return nil, Errorf(InvalidArgument, "Invalid json path: '%s'", clip(s))
		}
		p = append(p, next)
		rest = after
	}
	return p, nil
}

// cutStep reads one step from the front of s.
func cutStep(s string, first bool) (step, string, bool) {
	if first {
		return cutKey(s)
	}
	if rest, ok := strings.CutPrefix(s, "."); ok {
		return cutKey(rest)
	}
	if rest, ok := strings.CutPrefix(s, "[]"); ok {
		return step{kind: stepEach}, rest, true
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		digits, rest, closed := strings.Cut(rest, "]")
		n, err := strconv.ParseUint(digits, 10, 64)
		if !closed || err != nil || n > math.MaxInt {
			return step{}, "", false
		}
		return step{kind: stepIndex, index: int(n)}, rest, true
	}
	return step{}, "", false
}

// cutKey reads a bare or a quoted key from the front of s.
func cutKey(s string) (step, string, bool) {
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		key, rest, closed := strings.Cut(quoted, `"`)
		return step{key: key}, rest, closed && !strings.Contains(key, `\`)
	}
	n := bareKey(s)
	return step{key: s[:n]}, s[n:], n > 0
}

// bareKey returns the length of the bare key that s begins with.
func bareKey(s string) int {
	for i, r := range s {
		if r == utf8.RuneError || r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsNumber(r) {
			return i
		}
	}
	return len(s)
}

// String returns the path as ParsePath reads it.
func (p Path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch s.kind {
		case stepIndex:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case stepEach:
			b.WriteString("[]")
		case stepKey:
			if i > 0 {
				b.WriteByte('.')
			}
			if s.key != "" && bareKey(s.key) == len(s.key) {
				b.WriteString(s.key)
			} else {
				b.WriteString(`"` + s.key + `"`)
			}
		}
	}
	return b.String()
}

// elements returns p with a last step into the elements of an array, unless
// it ends in one.
func (p Path) elements() Path {
	if len(p) > 0 && p[len(p)-1].kind == stepEach {
		return p
	}
	return append(p[:len(p):len(p)], step{kind: stepEach})
}

// values returns every value that p names inside v.
func (p Path) values(v any) []any {
	if len(p) == 0 {
		return []any{v}
	}
	var found []any
	switch v := v.(type) {
	case map[string]any:
		if inner, ok := v[p[0].key]; ok && p[0].kind == stepKey {
			found = p[1:].values(inner)
		}
	case []any:
		for i, inner := range v {
			if p[0].fits(i) {
				found = append(found, p[1:].values(inner)...)
			}
		}
	}
	return found
}

// fits reports whether s is a step to the i-th element of an array.
func (s step) fits(i int) bool {
	return s.kind == stepEach || s.kind == stepIndex && s.index == i
}
