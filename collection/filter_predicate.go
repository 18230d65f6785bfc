package collection

import (
	"math"
	"slices"
	"strings"
)

func (m MatchString) accepts(v value) bool { return v.kind == kindString && v.text == string(m) }

func (m MatchInt) accepts(v value) bool { return v.kind == kindInt && int64(v.bits) == int64(m) }

func (m MatchBool) accepts(v value) bool { return v.kind == kindBool && v.bits == 1 == bool(m) }

func (m MatchText) accepts(v value) bool {
	return v.kind == kindString && strings.Contains(v.text, string(m))
}

func (m MatchAny) accepts(v value) bool { return m.has(v) }

func (m MatchExcept) accepts(v value) bool { return v.kind != kindNull && !m.has(v) }

func (s Values) has(v value) bool {
	switch v.kind {
	case kindString:
		return slices.Contains(s.Strings, v.text)
	case kindInt:
		return slices.Contains(s.Ints, int64(v.bits))
	}
	return false
}

func (r Range) accepts(v value) bool {
	f, ok := v.float()
	return ok && r.contains(f)
}

func (r DatetimeRange) accepts(v value) bool {
	if v.kind != kindString {
		return false
	}
	t, ok := ParseDatetime(v.text)
	return ok && r.contains(t)
}

// float returns the number v as a float.
func (v value) float() (float64, bool) {
	switch v.kind {
	case kindInt:
		return float64(int64(v.bits)), true
	case kindUint:
		return float64(v.bits), true
	case kindFloat:
		return math.Float64frombits(v.bits), true
	}
	return 0, false
}
