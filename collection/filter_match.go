package collection

import (
	"fmt"
	"math"
	"slices"
)

// Matches reports whether a point passes the filter: its id, its payload and
// the names of its vectors. It says what a filter means, as plainly as can be;
// scans use Compile.
func (f *Filter) Matches(id PointID, payload Payload, vectors ...string) bool {
	if f == nil {
		return true
	}
	s := subject{id: id, payload: map[string]any(payload), vectors: vectors}
	must := s.count(f.Must) == len(f.Must)
	should := len(f.Should) == 0 || s.count(f.Should) > 0
	mustNot := s.count(f.MustNot) == 0
	min := f.MinShould == nil || len(f.MinShould.Conditions) == 0 ||
		uint64(s.count(f.MinShould.Conditions)) >= f.MinShould.Count
	return must && should && mustNot && min
}

// subject is what a condition is asked about: a point, or an object inside its
// payload, which has no id and no vector.
type subject struct {
	id      PointID
	payload map[string]any
	vectors []string
}

// count returns how many of the conditions pass.
func (s subject) count(conditions []Condition) (n int) {
	for _, c := range conditions {
		if s.passes(c) {
			n++
		}
	}
	return n
}

func (s subject) passes(c Condition) bool {
	switch c := c.(type) {
	case *Filter:
		return c.Matches(s.id, s.payload, s.vectors...)
	case Field:
		return slices.ContainsFunc(c.Key.values(s.payload), func(v any) bool { return accepts(c.Is, v) })
	case ValuesCount:
		found := c.Key.values(s.payload)
		return len(found) == 0 && c.contains(0) ||
			slices.ContainsFunc(found, func(v any) bool { return c.contains(uint64(elementCount(v))) })
	case IsEmpty:
		return !slices.ContainsFunc(c.Key.values(s.payload), func(v any) bool { return elementCount(v) > 0 })
	case IsNull:
		return slices.ContainsFunc(c.Key.values(s.payload), isNull)
	case HasID:
		return slices.Contains(c.IDs, s.id)
	case HasVector:
		return slices.Contains(s.vectors, c.Name)
	case Nested:
		return slices.ContainsFunc(c.Key.elements().values(s.payload), func(v any) bool {
			object, ok := v.(map[string]any)
			return ok && c.Filter.Matches(PointID{}, object)
		})
	}
	panic(fmt.Sprintf("BUG: filter condition of type %T", c))
}

// elementCount returns how many values v stands for.
func elementCount(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case []any:
		return len(v)
	}
	return 1
}

func isNull(v any) bool {
	elements, isArray := v.([]any)
	return v == nil || isArray && slices.Contains(elements, nil)
}

// accepts reports whether p accepts v or, when v is an array, an element of it.
func accepts(p Predicate, v any) bool {
	elements, isArray := v.([]any)
	if !isArray {
		elements = []any{v}
	}
	return slices.ContainsFunc(elements, func(e any) bool {
		if area, ok := p.(area); ok {
			place, ok := placeOf(e)
			return ok && area.contains(place)
		}
		return p.accepts(valueOf(e))
	})
}

// placeOf reads a place from an object with the numbers lon and lat.
func placeOf(v any) (GeoPoint, bool) {
	object, _ := v.(map[string]any)
	lon, okLon := valueOf(object["lon"]).float()
	lat, okLat := valueOf(object["lat"]).float()
	return GeoPoint{Lon: lon, Lat: lat}, okLon && okLat
}

// valueOf returns v as readValue would read it.
func valueOf(v any) value {
	switch v := v.(type) {
	case nil:
		return value{kind: kindNull}
	case bool:
		if v {
			return value{kind: kindBool, bits: 1}
		}
		return value{kind: kindBool}
	case int64:
		return value{kind: kindInt, bits: uint64(v)}
	case uint64:
		return value{kind: kindUint, bits: v}
	case float64:
		return value{kind: kindFloat, bits: math.Float64bits(v)}
	case string:
		return value{kind: kindString, text: v}
	case []any:
		return value{kind: kindArray, bits: uint64(len(v))}
	case map[string]any:
		return value{kind: kindMap, bits: uint64(len(v))}
	}
	panic(fmt.Sprintf("BUG: payload value of type %T", v))
}
