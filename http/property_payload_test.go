package httpedge_test

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// maker makes random data and requests for a model. Everything it does follows
// from its seed.
type maker struct {
	*rand.Rand
	model *model
	name  string // of the collection that is asked about, or an alias of it
	seen  *tally
}

func one[T any](m *maker, of ...T) T { return of[m.IntN(len(of))] }

// chance is true so many times of a hundred.
func (m *maker) chance(percent int) bool { return m.IntN(100) < percent }

func (m *maker) word() string {
	return one(m, "", "red", "green", "redder", "Red", "blå", "x\"y\n", "2024-01-01")
}

func (m *maker) smallInt() int64 { return m.Int64N(5) - 1 }

func (m *maker) scalar() any {
	switch m.IntN(9) {
	case 0, 1:
		return m.smallInt()
	case 2, 3:
		return float64(m.IntN(10))/2 - 1
	case 4:
		return m.chance(50)
	case 5:
		return nil
	case 6:
		return one[any](m, int64(1)<<53+1, int64(-1)<<63, uint64(1)<<63+5, 1e300, -0.25)
	}
	return m.word()
}

// date is a date in one of the forms that are read, or nearly.
func (m *maker) date() string {
	t := time.Date(2024, time.Month(1+m.IntN(2)), 1+m.IntN(3), m.IntN(3), 0, m.IntN(2), 1000*m.IntN(2), time.UTC)
	if m.chance(30) {
		return t.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano)
	}
	return t.Format(one(m, time.RFC3339, time.RFC3339Nano, "2006-01-02", "2006-01-02T15:04:05", "2006-01-02 15:04"))
}

func (m *maker) placeOn() map[string]any {
	p := map[string]any{"lon": m.Float64()*8 - 4, "lat": m.Float64()*8 - 4}
	if m.chance(10) {
		p["lon"] = one(m, 179.5, -179.5) + m.Float64()*0.4
	}
	if m.chance(10) {
		p["lat"] = m.smallInt()
	}
	return p
}

func list(n int, of func() any) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = of()
	}
	return out
}

// item is an object as they are in arrays.
func (m *maker) item(depth int) any {
	if m.chance(10) {
		return m.scalar()
	}
	object := map[string]any{}
	if m.chance(70) {
		object["a"] = one[any](m, m.scalar(), m.word(), m.smallInt())
	}
	if m.chance(70) {
		object["b"] = one(m, m.scalar(), any(list(m.IntN(3), m.scalar)))
	}
	if m.chance(50) {
		object["geo"] = m.placeOn()
	}
	if depth > 0 && m.chance(50) {
		object["items"] = list(m.IntN(3), func() any { return m.item(depth - 1) })
	}
	return object
}

// payload is random, and nil for some points.
func (m *maker) payload() map[string]any {
	if m.chance(5) {
		return nil
	}
	fields := []struct {
		key string
		of  func() any
	}{
		{"n", func() any { return one[any](m, m.smallInt(), float64(m.IntN(10))/2-1) }},
		{"color", func() any { return m.word() }},
		{"a", m.scalar},
		{"b", func() any { return list(m.IntN(4), m.scalar) }},
		{"tags", func() any { return list(m.IntN(3), func() any { return m.word() }) }},
		{"items", func() any { return list(m.IntN(4), func() any { return m.item(1) }) }},
		{"deep", func() any { return map[string]any{"a": m.item(0), "b": map[string]any{"c": m.scalar()}} }},
		{"rows", func() any { return list(m.IntN(3), func() any { return list(m.IntN(3), m.scalar) }) }},
		{"geo", func() any { return m.oneOrMore(func() any { return m.placeOn() }) }},
		{"when", func() any { return m.oneOrMore(func() any { return m.date() }) }},
		{"x y", m.scalar},
	}
	p := map[string]any{}
	for _, f := range fields {
		if m.chance(60) {
			p[f.key] = f.of()
		}
	}
	return p
}

func (m *maker) oneOrMore(of func() any) any {
	if m.chance(60) {
		return of()
	}
	return list(m.IntN(3), of)
}

// key is a path that often leads somewhere.
func (m *maker) key() string {
	return one(m, "n", "color", "a", "b", "tags", "items", "deep", "rows", "geo", "when", `"x y"`, "missing",
		"deep.a", "deep.a.b", "deep.b.c", "deep.b", "items[].a", "items[].b", "items[0].a", "items[1].b[0]", "items[].b[]",
		"items[].items[].a", "items[0].items", "b[]", "b[0]", "b[2]", "tags[]", "tags[0]", "rows[]", "rows[][]", "rows[0][1]",
		"items.a", "color.a", "a[]", "deep[0]", "missing[].a", "items[7]")
}

// keyInside is a path in an item.
func (m *maker) keyInside() string {
	return one(m, "a", "b", "b[]", "b[0]", "geo", "items", "items[].a", "missing")
}

// filter is random; inside says that it stands in a nested condition.
func (m *maker) filter(depth int, inside bool) map[string]any {
	f := map[string]any{}
	for _, part := range []string{"must", "should", "must_not"} {
		if n := m.IntN(3); n > 0 && m.chance(50) {
			f[part] = m.conditions(n, depth, inside)
		}
	}
	if m.chance(25) {
		f["min_should"] = map[string]any{"conditions": m.conditions(m.IntN(4), depth, inside), "min_count": m.Int64N(4)}
	}
	if m.chance(5) {
		f["must"] = m.condition(depth, inside) // alone, not in a list
	}
	return f
}

func (m *maker) conditions(n, depth int, inside bool) []any {
	return list(n, func() any { return m.condition(depth, inside) })
}

func (m *maker) condition(depth int, inside bool) map[string]any {
	key := m.key()
	if inside {
		key = m.keyInside()
	}
	kinds := 17
	if depth == 0 {
		kinds = 15
	}
	switch kind := m.IntN(kinds); kind {
	case 0:
		return map[string]any{"has_id": list(m.IntN(8), func() any { return m.id() })}
	case 1:
		return map[string]any{"has_vector": one(m, append(m.vectorNames(), "other", "")...)}
	case 2:
		return one(m, map[string]any{"is_empty": map[string]any{"key": key}}, map[string]any{"key": key, "is_empty": m.chance(50)})
	case 3:
		if m.chance(50) {
			return map[string]any{"is_null": map[string]any{"key": key}}
		}
		return map[string]any{"key": one(m, "a", "b", "missing"), "is_null": m.chance(50)}
	case 4:
		return map[string]any{"key": key, "values_count": m.bounds(func() any { return m.Int64N(4) })}
	case 15:
		return m.filter(depth-1, inside)
	case 16:
		of := one(m, "items", "items", "items", "items[]", "deep.a.b", "rows", "b", "items[0].items", "missing")
		if inside {
			of = one(m, "items", "items[]", "b")
		}
		return map[string]any{"nested": map[string]any{"key": of, "filter": m.filter(depth-1, true)}}
	default:
		c := m.predicate(kind)
		if c["key"] = key; m.chance(60) {
			c["key"] = m.keyFor(c, inside)
		}
		return c
	}
}

// keyFor is a key that a predicate may be true of.
func (m *maker) keyFor(c map[string]any, inside bool) string {
	for _, area := range []string{"geo_bounding_box", "geo_radius", "geo_polygon"} {
		if c[area] != nil {
			return "geo"
		}
	}
	if inside {
		return one(m, "a", "b")
	}
	if r, ok := c["range"].(map[string]any); ok {
		for _, bound := range r {
			if _, ok := bound.(string); ok {
				return "when"
			}
		}
		return "n"
	}
	return one(m, "n", "color", "tags", "a", "b", "items[].a")
}

func (m *maker) predicate(kind int) map[string]any {
	values := func() any {
		if m.chance(50) {
			return list(m.IntN(4), func() any { return m.word() })
		}
		return list(m.IntN(4), func() any { return m.smallInt() })
	}
	if kind > 5 && m.chance(15) {
		kind = one(m, 5, 11, 13) // true of few values
	}
	switch kind {
	case 5:
		return map[string]any{"match": map[string]any{"value": one[any](m, m.word(), m.word(), m.smallInt(), m.chance(50), int64(1)<<53+1)}}
	case 6:
		return map[string]any{"match": map[string]any{"text": one(m, "", "r", "red", "Re", "å")}}
	case 7:
		return map[string]any{"match": map[string]any{"any": values()}}
	case 8:
		return map[string]any{"match": map[string]any{"except": values()}}
	case 9:
		return map[string]any{"range": m.bounds(func() any { return one[any](m, m.smallInt(), float64(m.IntN(10))/2-1, 1e18) })}
	case 10:
		return map[string]any{"range": m.bounds(func() any { return m.date() })}
	case 11:
		west, north := m.Float64()*6-4, m.Float64()*6-2
		box := map[string]any{
			"top_left":     map[string]any{"lon": west, "lat": north},
			"bottom_right": map[string]any{"lon": one(m, west+m.Float64()*8, -179.7+m.Float64()), "lat": north - m.Float64()*8},
		}
		return map[string]any{"geo_bounding_box": box}
	case 12:
		return map[string]any{"geo_radius": map[string]any{"center": m.placeOn(), "radius": m.Float64() * 600_000}}
	case 13:
		return map[string]any{"geo_polygon": m.polygon()}
	}
	// Two predicates: one of them.
	return map[string]any{"match": map[string]any{"value": m.word()}, "range": map[string]any{"gt": m.smallInt()}}
}

func (m *maker) polygon() map[string]any {
	ring := func(size float64) map[string]any {
		x, y := m.Float64()*4-2, m.Float64()*4-2
		corner := func(dx, dy float64) any { return map[string]any{"lon": x + dx*size, "lat": y + dy*size} }
		points := []any{corner(-1, -m.Float64()), corner(1, -1), corner(m.Float64(), 1)}
		if m.chance(30) {
			points = append(points, corner(0, 0)) // bent in
		}
		return map[string]any{"points": append(points, points[0])}
	}
	p := map[string]any{"exterior": ring(3)}
	if m.chance(40) {
		p["interiors"] = list(1+m.IntN(2), func() any { return ring(0.7) })
	}
	return p
}

// bounds is 1 to 3 of them, of one type.
func (m *maker) bounds(of func() any) map[string]any {
	b := map[string]any{}
	for range 1 + m.IntN(2) {
		b[one(m, "lt", "gt", "lte", "gte")] = of()
	}
	return b
}

// id is one of few: small and huge numbers, and UUIDs.
func (m *maker) id() any {
	n := m.Uint64N(40)
	switch {
	case n < 25:
		return int64(n)
	case n < 30:
		return int64(1<<53) + int64(n)
	case n < 33:
		return ^uint64(0) - n
	}
	return fmt.Sprintf("%08x-0000-4000-8000-00000000000%x", n*0x9e3779b1%(1<<32), n%16)
}
