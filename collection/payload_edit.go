package collection

import (
	"maps"
	"slices"
)

// payloadGrowthMax bounds the bytes that one edit adds to a payload: a path
// with [] in it puts its object in every element of an array.
const payloadGrowthMax = 32 << 20

// Merge returns p with the keys of src set in the object at path, or in p
// itself when path is "". A key whose value in src is null is removed. What
// path names and is not there is made: an object for a key; where an object
// or an array is needed and something else stands, it is replaced, by an
// empty array for [3] and []. An element [3] that is not there stays so.
// p and src are not changed.
func (p Payload) Merge(path string, src Payload) (Payload, error) {
	if path == "" {
		return merged(p, src), nil
	}
	steps, err := ParsePath(path)
	if err != nil {
		return nil, err
	}
	if err := checkGrowth(p, steps, src); err != nil {
		return nil, err
	}
	return mergedAt(map[string]any(p), steps, src).(map[string]any), nil
}

// checkGrowth refuses a merge that would make a payload too large to be held
// in memory, let alone stored.
func checkGrowth(p Payload, path Path, src Payload) error {
	last := len(path) - 1
	for last >= 0 && path[last].kind != stepEach {
		last--
	}
	if last < 0 {
		return nil // one place
	}
	places := len(path[:last+1].values(map[string]any(p)))
	encoded, err := AppendPayload(nil, src)
	if err != nil {
		return err
	}
	if places*len(encoded) > payloadGrowthMax {
		return tooLarge("payload: %s leads to %d places, too many for %d bytes each", path, places, len(encoded))
	}
	return nil
}

func mergedAt(v any, path Path, src Payload) any {
	if len(path) == 0 {
		object, _ := v.(map[string]any)
		return merged(object, src)
	}
	if path[0].kind == stepKey {
		object, _ := v.(map[string]any)
		object = cloneMap(object)
		object[path[0].key] = mergedAt(object[path[0].key], path[1:], src)
		return object
	}
	list, _ := v.([]any)
	list = append([]any{}, list...)
	for i := range list {
		if path[0].fits(i) {
			list[i] = mergedAt(list[i], path[1:], src)
		}
	}
	return list
}

func merged(object, src map[string]any) map[string]any {
	object = cloneMap(object)
	for key, v := range src {
		if v == nil {
			delete(object, key)
		} else {
			object[key] = v
		}
	}
	return object
}

// cloneMap is maps.Clone, with an empty map for nil.
func cloneMap(object map[string]any) map[string]any {
	if object == nil {
		return map[string]any{}
	}
	return maps.Clone(object)
}

// Without returns p without the values that paths name. A path that ends in []
// empties its array; one that ends in [3] removes nothing, since repeating it
// would remove another element. p is not changed.
func (p Payload) Without(paths []string) (Payload, error) {
	for _, path := range paths {
		steps, err := ParsePath(path)
		if err != nil {
			return nil, err
		}
		p, _ = withoutAt(map[string]any(p), steps).(map[string]any)
	}
	return p, nil
}

func withoutAt(v any, path Path) any {
	last := len(path) == 1
	switch v := v.(type) {
	case map[string]any:
		inner, ok := v[path[0].key]
		if path[0].kind != stepKey || !ok {
			return v
		}
		v = maps.Clone(v)
		if last {
			delete(v, path[0].key)
		} else {
			v[path[0].key] = withoutAt(inner, path[1:])
		}
		return v
	case []any:
		if last && path[0].kind == stepEach {
			return []any{}
		}
		if last {
			return v
		}
		v = slices.Clone(v)
		for i := range v {
			if path[0].fits(i) {
				v[i] = withoutAt(v[i], path[1:])
			}
		}
		return v
	}
	return v
}

// Projection is a PayloadSelector made ready to be applied to many payloads.
type Projection struct {
	all              bool
	include, exclude []Path
}

// Projection reads the selector's paths.
func (s PayloadSelector) Projection() (Projection, error) {
	include, err := parsePaths(s.Include)
	if err != nil {
		return Projection{}, err
	}
	exclude, err := parsePaths(s.Exclude)
	return Projection{all: s.All, include: include, exclude: exclude}, err
}

// parsePaths keeps nil apart from empty: no list of paths excludes nothing
// like an empty one does, but it does not select the rest.
func parsePaths(list []string) ([]Path, error) {
	if list == nil {
		return nil, nil
	}
	paths := make([]Path, len(list))
	for i, s := range list {
		p, err := ParsePath(s)
		if err != nil {
			return nil, err
		}
		paths[i] = p
	}
	return paths, nil
}

// None reports whether nothing is selected: the payload need not be decoded.
func (s Projection) None() bool { return !s.all && s.include == nil && s.exclude == nil }

// Apply returns the part of p that is selected: what the included paths name,
// or all that the excluded ones do not. On the way to what a path names,
// objects and arrays stay, if need be empty, and so does a value that the path
// would go further into.
func (s Projection) Apply(p Payload) Payload {
	switch {
	case s.all || p == nil:
		return p
	case s.include != nil:
		return included(map[string]any(p), s.include).(map[string]any)
	case s.exclude != nil:
		return excluded(map[string]any(p), s.exclude).(map[string]any)
	}
	return nil
}

func included(v any, paths []Path) any {
	if hasEmpty(paths) {
		return v
	}
	return project(v, paths, func(inner any, rest []Path) (any, bool) {
		if len(rest) == 0 {
			return nil, false
		}
		return included(inner, rest), true
	})
}

func excluded(v any, paths []Path) any {
	return project(v, paths, func(inner any, rest []Path) (any, bool) {
		if len(rest) == 0 {
			return inner, true
		}
		if hasEmpty(rest) {
			return nil, false
		}
		return excluded(inner, rest), true
	})
}

// project rebuilds v from the values inside it that pick keeps. pick is given
// what is left of the paths that lead to a value.
func project(v any, paths []Path, pick func(inner any, rest []Path) (any, bool)) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			rest := following(paths, func(s step) bool { return s.kind == stepKey && s.key == key })
			if kept, ok := pick(inner, rest); ok {
				out[key] = kept
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for i, inner := range v {
			rest := following(paths, func(s step) bool { return s.fits(i) })
			if kept, ok := pick(inner, rest); ok {
				out = append(out, kept)
			}
		}
		return out
	}
	return v
}

// following returns what is left of the paths whose first step fits.
func following(paths []Path, fits func(step) bool) []Path {
	var rest []Path
	for _, p := range paths {
		if fits(p[0]) {
			rest = append(rest, p[1:])
		}
	}
	return rest
}

func hasEmpty(paths []Path) bool {
	return slices.ContainsFunc(paths, func(p Path) bool { return len(p) == 0 })
}
