package collection

import (
	"cmp"
	"fmt"
)

// filterJSONDepth is the depth of JSON that a filter of FilterDepthMax levels
// can need: four to get from a filter to one nested in it, and the points of a
// polygon's holes.
const filterJSONDepth = 4*FilterDepthMax + 8

// ParseFilter reads a filter in Qdrant's JSON. The JSON null is a nil filter;
// null is the same as absent wherever something may be absent. A field
// condition with several predicates passes when one of them does. Fields that
// mean nothing are ignored in a condition and refused in a filter, where they
// are most likely a condition that is not known here.
//
// The error is InvalidArgument, with ReasonValidation where the JSON is of the
// right form. What a filter's values may be is left to Validate, and so is its
// size; but of one that is too large no more is read than may be.
func ParseFilter(data []byte, l Limits) (*Filter, error) {
	r := jsonReader{data: string(data), depthMax: filterJSONDepth, guard: &filterGuard{left: l.FilterNodes, max: l.FilterNodes}}
	v, err := r.whole()
	if err != nil || v == nil {
		return nil, err
	}
	return parseFilter(node{v, "filter"}, FilterDepthMax)
}

// filterGuard stops a jsonReader where a filter gets larger than Validate
// would let it: reading all of it costs much more than its length. A nil one
// lets everything pass.
type filterGuard struct {
	left, max int    // conditions
	key       string // of the object around what is read next, past arrays
}

// enter says where what is read next stands.
func (g *filterGuard) enter(key string) {
	if g != nil {
		g.key = key
	}
}

func (g *filterGuard) current() string {
	if g == nil {
		return ""
	}
	return g.key
}

// object counts an object that stands where a condition does.
func (g *filterGuard) object() error {
	if g == nil {
		return nil
	}
	switch g.key {
	case "must", "should", "must_not", "conditions":
		if g.left--; g.left < 0 {
			return invalid("filter: filter has more than %d conditions", g.max)
		}
	}
	return nil
}

// element counts the elements of an array: before is how many came before.
func (g *filterGuard) element(before int) error {
	if g != nil && before >= FilterValuesMax {
		return invalid("filter.%s: more than %d values in a list", clip(g.key), FilterValuesMax)
	}
	return nil
}

// node is a JSON value and where it stands, for errors.
type node struct {
	v  any
	at string
}

func (n node) errorf(format string, args ...any) error {
	return Errorf(InvalidArgument, "%s: %s", n.at, fmt.Sprintf(format, args...))
}

// field returns a field of the object n, and whether it is there and not null.
func (n node) field(key string) (node, bool) {
	object, _ := n.v.(map[string]any)
	return node{object[key], n.at + "." + key}, object[key] != nil
}

// required returns a field that has to be there.
func (n node) required(key string) (node, error) {
	if _, ok := n.v.(map[string]any); !ok {
		return node{}, n.errorf("invalid type: %s, expected a map", jsonTypeOf(n.v))
	}
	inner, ok := n.field(key)
	if !ok {
		return node{}, n.errorf("missing field `%s`", key)
	}
	return inner, nil
}

// listOf reads every element of an array.
func listOf[T any](n node, read func(node) (T, error)) ([]T, error) {
	elements, ok := n.v.([]any)
	if !ok {
		return nil, n.errorf("invalid type: %s, expected a sequence", jsonTypeOf(n.v))
	}
	out := make([]T, len(elements))
	for i, v := range elements {
		var err error
		if out[i], err = read(node{v, fmt.Sprintf("%s[%d]", n.at, i)}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scalarNode reads a value that has to be of the Go type T.
func scalarNode[T any](n node) (T, error) {
	v, ok := n.v.(T)
	if !ok {
		return v, n.errorf("invalid type: %s, expected a %s", jsonTypeOf(n.v), jsonTypeOf(v))
	}
	return v, nil
}

func parseFilter(n node, depthLeft int) (*Filter, error) {
	object, ok := n.v.(map[string]any)
	if !ok {
		return nil, n.errorf("invalid type: %s, expected struct Filter", jsonTypeOf(n.v))
	}
	if key, ok := unknownField(object); ok {
		return nil, n.errorf("unknown field `%s`, expected one of `should`, `min_should`, `must`, `must_not`", clip(key))
	}
	if depthLeft == 0 {
		return nil, invalid("%s: filter is nested deeper than %d levels", n.at, FilterDepthMax)
	}
	f := &Filter{}
	for _, part := range []struct {
		name string
		to   *[]Condition
	}{{"must", &f.Must}, {"should", &f.Should}, {"must_not", &f.MustNot}} {
		if inner, ok := n.field(part.name); ok {
			var err error
			if *part.to, err = parseConditions(inner, depthLeft-1); err != nil {
				return nil, err
			}
		}
	}
	if inner, ok := n.field("min_should"); ok {
		var err error
		if f.MinShould, err = parseMinShould(inner, depthLeft-1); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// unknownField returns the first field of object that a filter does not have.
func unknownField(object map[string]any) (string, bool) {
	var buf [8]string
	for _, key := range sortedKeys(buf[:0], object) {
		switch key {
		case "should", "min_should", "must", "must_not":
		default:
			return key, true
		}
	}
	return "", false
}

// parseConditions reads a list of conditions, or one that stands alone.
func parseConditions(n node, depthLeft int) ([]Condition, error) {
	if _, isList := n.v.([]any); !isList {
		n = node{[]any{n.v}, n.at}
	}
	return listOf(n, func(n node) (Condition, error) { return parseCondition(n, depthLeft) })
}

func parseMinShould(n node, depthLeft int) (*MinShould, error) {
	conditions, err := n.required("conditions")
	if err != nil {
		return nil, err
	}
	count, err := n.required("min_count")
	if err != nil {
		return nil, err
	}
	m := &MinShould{}
	if m.Count, err = parseCount(count); err != nil {
		return nil, err
	}
	m.Conditions, err = listOf(conditions, func(n node) (Condition, error) { return parseCondition(n, depthLeft) })
	return m, err
}

// parseCondition reads a condition. What it is shows in the first of these
// fields that it has.
func parseCondition(n node, depthLeft int) (Condition, error) {
	object, ok := n.v.(map[string]any)
	if !ok {
		return nil, n.unknownCondition()
	}
	if _, ok := object["key"]; ok {
		return parseField(n)
	}
	if inner, ok := n.field("is_empty"); ok {
		key, err := parseKey(inner)
		return IsEmpty{key}, err
	}
	if inner, ok := n.field("is_null"); ok {
		key, err := parseKey(inner)
		return IsNull{key}, err
	}
	if inner, ok := n.field("has_id"); ok {
		ids, err := listOf(inner, parseID)
		return HasID{ids}, err
	}
	if inner, ok := n.field("has_vector"); ok {
		name, err := scalarNode[string](inner)
		return HasVector{name}, err
	}
	if inner, ok := n.field("nested"); ok {
		return parseNested(inner, depthLeft)
	}
	if _, ok := unknownField(object); ok {
		return nil, n.unknownCondition()
	}
	return parseFilter(n, depthLeft)
}

func (n node) unknownCondition() error {
	return n.errorf(`Expected some form of condition, which can be a field condition (like {"key": ..., "match": ... }), or some other mentioned in the documentation`)
}

func parseNested(n node, depthLeft int) (Condition, error) {
	key, err := parseKey(n)
	if err != nil {
		return nil, err
	}
	inner, err := n.required("filter")
	if err != nil {
		return nil, err
	}
	f, err := parseFilter(inner, depthLeft)
	return Nested{key, f}, err
}

// parseKey reads the path in the field key of n.
func parseKey(n node) (Path, error) {
	key, err := n.required("key")
	if err != nil {
		return nil, err
	}
	s, err := scalarNode[string](key)
	if err != nil {
		return nil, err
	}
	p, err := ParsePath(s)
	if err != nil {
		return nil, n.errorf("Invalid json path: '%s'", clip(s))
	}
	return p, nil
}

func parseID(n node) (PointID, error) {
	switch v := n.v.(type) {
	case int64:
		if v >= 0 {
			return NumID(uint64(v)), nil
		}
	case uint64:
		return NumID(v), nil
	case string:
		if id, err := ParseUUID(v); err == nil {
			return id, nil
		}
	}
	return PointID{}, n.errorf("value %s is not a valid point ID, valid values are either an unsigned integer or a UUID",
		clip(string(appendJSONValue(nil, n.v))))
}

// parseCount reads a number of things.
func parseCount(n node) (uint64, error) {
	switch v := n.v.(type) {
	case int64:
		if v >= 0 {
			return uint64(v), nil
		}
	case uint64:
		return v, nil
	}
	return 0, n.errorf("invalid value: %s, expected usize", clip(string(appendJSONValue(nil, n.v))))
}

func parseBounds[T cmp.Ordered](n node, read func(node) (T, error)) (Bounds[T], error) {
	var b Bounds[T]
	if _, ok := n.v.(map[string]any); !ok {
		return b, n.errorf("invalid type: %s, expected a map", jsonTypeOf(n.v))
	}
	for _, bound := range []struct {
		name string
		to   **T
	}{{"lt", &b.LT}, {"gt", &b.GT}, {"lte", &b.LTE}, {"gte", &b.GTE}} {
		if inner, ok := n.field(bound.name); ok {
			v, err := read(inner)
			if err != nil {
				return b, err
			}
			*bound.to = &v
		}
	}
	return b, nil
}
