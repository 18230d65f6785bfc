package httpedge_test

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a filter of Qdrant's means, read from its JSON: as slow and as plain as
// can be, and of nothing that the product has.

// subject is what a condition is asked about. In a nested condition it is an
// object of an array, which has no id and no vector.
type subject struct {
	id      pid
	payload map[string]any
	vectors map[string]any
}

func (p *modelPoint) subject() subject { return subject{p.id, p.payload, p.vectors} }

func (s subject) passes(filter any) bool {
	f, _ := filter.(map[string]any)
	must, should, not := conditions(f["must"]), conditions(f["should"]), conditions(f["must_not"])
	if s.count(must) < len(must) || len(should) > 0 && s.count(should) == 0 || s.count(not) > 0 {
		return false
	}
	if least, ok := f["min_should"].(map[string]any); ok {
		of := conditions(least["conditions"])
		return len(of) == 0 || int64(s.count(of)) >= least["min_count"].(int64)
	}
	return true
}

// conditions is a list of them, or one that stands alone.
func conditions(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func (s subject) count(list []any) (n int) {
	for _, c := range list {
		if s.condition(c.(map[string]any)) {
			n++
		}
	}
	return n
}

func (s subject) condition(c map[string]any) bool {
	if key, ok := c["key"].(string); ok {
		return s.field(key, c)
	}
	if of, ok := c["is_empty"].(map[string]any); ok {
		return isEmpty(valuesAt(s.payload, of["key"].(string)))
	}
	if of, ok := c["is_null"].(map[string]any); ok {
		return slices.ContainsFunc(valuesAt(s.payload, of["key"].(string)), holdsNull)
	}
	if ids, ok := c["has_id"].([]any); ok {
		return slices.ContainsFunc(ids, func(id any) bool { return pidOf(id) == s.id })
	}
	if name, ok := c["has_vector"].(string); ok {
		_, has := s.vectors[name]
		return has
	}
	if of, ok := c["nested"].(map[string]any); ok {
		key := of["key"].(string)
		if !strings.HasSuffix(key, "[]") {
			key += "[]"
		}
		return slices.ContainsFunc(valuesAt(s.payload, key), func(v any) bool {
			object, ok := v.(map[string]any)
			return ok && subject{payload: object}.passes(of["filter"])
		})
	}
	return s.passes(c)
}

// field is a condition on the values at a key. Several predicates: one of them.
func (s subject) field(key string, c map[string]any) bool {
	values := valuesAt(s.payload, key)
	if is, ok := c["is_empty"].(bool); ok {
		return isEmpty(values) == is
	}
	if is, ok := c["is_null"].(bool); ok {
		return slices.ContainsFunc(values, holdsNull) == is
	}
	if of, ok := c["values_count"].(map[string]any); ok {
		return len(values) == 0 && within(0, of) || slices.ContainsFunc(values, func(v any) bool {
			return within(float64(elements(v)), of)
		})
	}
	return slices.ContainsFunc(values, func(v any) bool {
		if list, ok := v.([]any); ok {
			return slices.ContainsFunc(list, func(v any) bool { return accepts(c, v) })
		}
		return accepts(c, v)
	})
}

func isEmpty(values []any) bool {
	return !slices.ContainsFunc(values, func(v any) bool { return elements(v) > 0 })
}

func elements(v any) int {
	if list, ok := v.([]any); ok {
		return len(list)
	}
	if v == nil {
		return 0
	}
	return 1
}

func holdsNull(v any) bool {
	list, ok := v.([]any)
	return v == nil || ok && slices.Contains(list, nil)
}

// accepts reports whether one of a condition's predicates is true of one value.
func accepts(c map[string]any, v any) bool {
	if of, ok := c["match"].(map[string]any); ok && matches(of, v) {
		return true
	}
	if of, ok := c["range"].(map[string]any); ok && inRange(of, v) {
		return true
	}
	object, _ := v.(map[string]any)
	lon, okLon := number(object["lon"])
	lat, okLat := number(object["lat"])
	if !okLon || !okLat {
		return false
	}
	if of, ok := c["geo_bounding_box"].(map[string]any); ok {
		west, north := place(of["top_left"])
		east, south := place(of["bottom_right"])
		across := lon > west && lon < east
		if west > east {
			across = lon > west || lon < east
		}
		return across && lat < north && lat > south
	}
	if of, ok := c["geo_radius"].(map[string]any); ok {
		x, y := place(of["center"])
		radius, _ := number(of["radius"])
		return metres(x, y, lon, lat) < radius
	}
	if of, ok := c["geo_polygon"].(map[string]any); ok {
		if !inRing(of["exterior"], lon, lat) {
			return false
		}
		holes, _ := of["interiors"].([]any)
		return !slices.ContainsFunc(holes, func(ring any) bool { return inRing(ring, lon, lat) })
	}
	return false
}

func matches(of map[string]any, v any) bool {
	if want, ok := of["value"]; ok {
		return want == v // of the same type, and no float is a value to match
	}
	if text, ok := of["text"].(string); ok {
		s, isText := v.(string)
		return isText && strings.Contains(s, text)
	}
	if list, ok := of["any"].([]any); ok {
		return isScalar(v) && slices.Contains(list, v)
	}
	list, _ := of["except"].([]any)
	return v != nil && (!isScalar(v) || !slices.Contains(list, v))
}

func isScalar(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return false
	}
	return true
}

func inRange(of map[string]any, v any) bool {
	for _, bound := range of {
		if _, ok := bound.(string); !ok {
			continue
		}
		text, ok := v.(string)
		at, known := moment(text)
		return ok && known && within(at, datesOf(of))
	}
	x, ok := number(v)
	return ok && within(x, of)
}

func datesOf(of map[string]any) map[string]any {
	out := map[string]any{}
	for name, bound := range of {
		at, _ := moment(bound.(string))
		out[name] = at
	}
	return out
}

// moment is a date in microseconds.
func moment(s string) (float64, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(form, s); err == nil {
			return float64(t.UnixMicro()), true
		}
	}
	return 0, false
}

func within(x float64, bounds map[string]any) bool {
	for name, bound := range bounds {
		b, ok := number(bound)
		if ok && (name == "lt" && x >= b || name == "lte" && x > b || name == "gt" && x <= b || name == "gte" && x < b) {
			return false
		}
	}
	return true
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func place(v any) (lon, lat float64) {
	object, _ := v.(map[string]any)
	lon, _ = number(object["lon"])
	lat, _ = number(object["lat"])
	return lon, lat
}

// metres is the way on a ball: the angle between two unit vectors.
func metres(lon1, lat1, lon2, lat2 float64) float64 {
	unit := func(lon, lat float64) (x, y, z float64) {
		lon, lat = lon*math.Pi/180, lat*math.Pi/180
		return math.Cos(lat) * math.Cos(lon), math.Cos(lat) * math.Sin(lon), math.Sin(lat)
	}
	x1, y1, z1 := unit(lon1, lat1)
	x2, y2, z2 := unit(lon2, lat2)
	cross := math.Hypot(math.Hypot(y1*z2-z1*y2, z1*x2-x1*z2), x1*y2-y1*x2)
	return 6371008.8 * math.Atan2(cross, x1*x2+y1*y2+z1*z2)
}

// inRing counts how often a ray to the east crosses the ring.
func inRing(ring any, lon, lat float64) bool {
	points := ring.(map[string]any)["points"].([]any)
	in := false
	for i := 1; i < len(points); i++ {
		x1, y1 := place(points[i-1])
		x2, y2 := place(points[i])
		if y1 > lat != (y2 > lat) && lon < x1+(lat-y1)/(y2-y1)*(x2-x1) {
			in = !in
		}
	}
	return in
}

// pathStep is a key, or with none an index, or with -1 all of an array.
type pathStep struct {
	key   string
	index int
}

// steps reads a path.
func steps(path string) (out []pathStep) {
	for path != "" {
		switch {
		case strings.HasPrefix(path, "[]"):
			out, path = append(out, pathStep{index: -1}), path[2:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			n, _ := strconv.Atoi(path[1:end])
			out, path = append(out, pathStep{index: n}), path[end+1:]
		case path[0] == '"':
			end := strings.IndexByte(path[1:], '"') + 1
			out, path = append(out, pathStep{key: path[1:end]}), path[end+1:]
		case path[0] == '.':
			path = path[1:]
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			out, path = append(out, pathStep{key: path[:end]}), path[end:]
		}
	}
	return out
}

// valuesAt returns what a path names in an object.
func valuesAt(object map[string]any, path string) []any {
	found := []any{object}
	for _, step := range steps(path) {
		var next []any
		for _, v := range found {
			switch v := v.(type) {
			case map[string]any:
				if inner, ok := v[step.key]; ok && step.key != "" {
					next = append(next, inner)
				}
			case []any:
				if step.key != "" {
					continue
				}
				for i, inner := range v {
					if step.index < 0 || step.index == i {
						next = append(next, inner)
					}
				}
			}
		}
		found = next
	}
	return found
}
