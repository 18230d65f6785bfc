package collection

import (
	"cmp"
)

// FilterDepthMax is how deep filters and nested conditions may stand in one
// another; the filter itself is the first level.
const FilterDepthMax = 32

// FilterValuesMax is the largest number of values in one condition: of a list
// of MatchAny and MatchExcept, ids of HasID, points of a GeoPolygon.
const FilterValuesMax = 65_536

// Filter says which points a read or a write is about. A point passes when it
// passes every condition of Must, at least one of Should, none of MustNot, and
// MinShould. An empty list demands nothing, so the zero Filter and a nil one
// pass every point.
type Filter struct {
	Must, Should, MustNot []Condition
	MinShould             *MinShould
}

// MinShould demands that at least Count of Conditions pass, if there are any.
type MinShould struct {
	Conditions []Condition
	Count      uint64
}

// Condition is one node of a filter: a *Filter, or one of the types Field,
// ValuesCount, IsEmpty, IsNull, HasID, HasVector and Nested. The set is closed.
type Condition interface {
	condition()
}

// Field passes a point when Is accepts a value at Key. An array there stands
// for its elements; an array in that array stands for itself.
type Field struct {
	Key Path
	Is  Predicate
}

// ValuesCount passes a point when a value at Key has so many elements: an
// array its length, null 0, everything else 1. A missing field counts 0.
type ValuesCount struct {
	Key Path
	Bounds[uint64]
}

// IsEmpty passes a point when every value at Key is null or an empty array,
// hence also when there is none.
type IsEmpty struct{ Key Path }

// IsNull passes a point when a value at Key is null or an array with a null
// in it.
type IsNull struct{ Key Path }

// HasID passes the points with these ids.
type HasID struct{ IDs []PointID }

// HasVector passes the points that have a vector of this name. "" is the
// default vector.
type HasVector struct{ Name string }

// Nested passes a point when one object in the array at Key passes Filter,
// whose keys begin at that object. An object has no id and no vector.
type Nested struct {
	Key    Path
	Filter *Filter
}

func (*Filter) condition()     {}
func (Field) condition()       {}
func (ValuesCount) condition() {}
func (IsEmpty) condition()     {}
func (IsNull) condition()      {}
func (HasID) condition()       {}
func (HasVector) condition()   {}
func (Nested) condition()      {}

// Predicate is what a Field demands of one value: MatchString, MatchInt,
// MatchBool, MatchText, MatchAny, MatchExcept, Range, DatetimeRange, GeoBox,
// GeoRadius or GeoPolygon. The set is closed.
type Predicate interface {
	// accepts reports whether v passes. An area is asked about points instead.
	accepts(v value) bool
}

// MatchString accepts an equal string.
type MatchString string

// MatchInt accepts an equal integer, never a float.
type MatchInt int64

// MatchBool accepts an equal boolean.
type MatchBool bool

// MatchText accepts a string that contains this one, upper and lower case kept
// apart: what Qdrant does for a field without a full-text index. Where such an
// index is, it is the index's tokens that are looked for.
type MatchText string

// MatchAny accepts a string of Strings or an integer of Ints. Empty lists
// accept nothing.
type MatchAny struct{ Values }

// MatchExcept accepts every value but null, the strings of Strings and the
// integers of Ints.
type MatchExcept struct{ Values }

// Values is a set of strings and integers.
type Values struct {
	Strings []string
	Ints    []int64
}

// Range accepts a number within the bounds. Integers are compared as floats.
type Range struct{ Bounds[float64] }

// DatetimeRange accepts a string that is a date and time (see ParseDatetime)
// within the bounds, which are Unix times in microseconds.
type DatetimeRange struct{ Bounds[int64] }

// Bounds is a range of values. A nil bound is none.
type Bounds[T cmp.Ordered] struct {
	LT, GT, LTE, GTE *T
}

// contains reports whether v is within the bounds.
func (b Bounds[T]) contains(v T) bool {
	return (b.LT == nil || v < *b.LT) && (b.GT == nil || v > *b.GT) &&
		(b.LTE == nil || v <= *b.LTE) && (b.GTE == nil || v >= *b.GTE)
}
