package httpedge_test

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// rounding is how far scores in float32 may be from the true ones, relative to
// what is larger than 1.
const rounding = 2e-5

// model is what a tenant has.
type model struct {
	collections map[string]*modelCollection
	aliases     map[string]string
}

func newModel() *model {
	return &model{collections: map[string]*modelCollection{}, aliases: map[string]string{}}
}

// resolve is the collection of a name or an alias, or nil.
func (m *model) resolve(name string) *modelCollection {
	if target, ok := m.aliases[name]; ok {
		name = target
	}
	return m.collections[name]
}

type modelCollection struct {
	vectors map[string]modelVector
	points  map[pid]*modelPoint
}

type modelPoint struct {
	id      pid
	vectors map[string]any // []float32 or sparseVector
	payload map[string]any
}

// modelVector is how a vector is configured.
type modelVector struct {
	size     int
	distance string // "" for a sparse one
	sparse   bool
	idf      bool
	grid     bool // its components are small integers: scores are exact
}

type sparseVector map[int64]float64

// sorted is the points by their ids.
func (c *modelCollection) sorted() []*modelPoint {
	out := make([]*modelPoint, 0, len(c.points))
	for _, id := range slices.Sorted(maps.Keys(c.points)) {
		out = append(out, c.points[id])
	}
	return out
}

func (v modelVector) slack() float64 {
	if v.grid && v.distance != "Cosine" && !v.sparse {
		return 0
	}
	return rounding
}

func integral(v []float32) bool {
	return !slices.ContainsFunc(v, func(x float32) bool { return x != float32(math.Trunc(float64(x))) })
}

// normal is a vector in the form of the stored ones.
func (v modelVector) normal(vector any) any {
	dense, ok := vector.([]float32)
	if !ok || v.distance != "Cosine" {
		return vector
	}
	sum := 0.0
	for _, x := range dense {
		sum += float64(x) * float64(x)
	}
	out := slices.Clone(dense)
	for i := range out {
		if sum > 0 {
			out[i] = float32(float64(out[i]) / math.Sqrt(sum))
		}
	}
	return out
}

// components is a sparse vector of a request.
func components(v any) sparseVector {
	if s, ok := v.(sparseVector); ok {
		return s
	}
	object := v.(map[string]any)
	values, _ := floats(object["values"])
	out := sparseVector{}
	for i, index := range object["indices"].([]any) {
		out[index.(int64)] = float64(values[i])
	}
	return out
}

// weights is a query's vector, with idf of what each index is worth by how many
// points have it.
func (c *modelCollection) weights(name string, vector any) any {
	query, ok := vector.(sparseVector)
	if !ok || !c.vectors[name].idf {
		return vector
	}
	out := sparseVector{}
	for index, x := range query {
		all, having := 0.0, 0.0
		for _, p := range c.points {
			if v, ok := p.vectors[name].(sparseVector); ok {
				all++
				if _, has := v[index]; has {
					having++
				}
			}
		}
		out[index] = x * math.Log((all-having+0.5)/(having+0.5)+1)
	}
	return out
}

// score is that of an answer. Sparse vectors that share no index have none.
func (v modelVector) score(query, stored any) (score float64, shared bool) {
	if v.sparse {
		for index, x := range query.(sparseVector) {
			if y, ok := stored.(sparseVector)[index]; ok {
				score, shared = score+x*y, true
			}
		}
		return score, shared
	}
	score = v.alike(query, stored)
	switch v.distance {
	case "Euclid":
		return float64(float32(math.Sqrt(-score))), true
	case "Manhattan":
		return 0 - score, true
	}
	return score, true
}

// alike is the larger, the nearer: the product, or less the distance, which of
// Euclid is its square.
func (v modelVector) alike(a, b any) (sum float64) {
	if v.sparse {
		sum, _ = v.score(a, b)
		return sum
	}
	y := b.([]float32)
	for i, x := range a.([]float32) {
		switch d := float64(x) - float64(y[i]); v.distance {
		case "Euclid":
			sum -= d * d
		case "Manhattan":
			sum -= math.Abs(d)
		default:
			sum += float64(x) * float64(y[i])
		}
	}
	return sum
}

// change does one operation of a batch, by its name there. The error is for one
// that is refused; nothing is changed then.
func (c *modelCollection) change(op string, body map[string]any) error {
	switch op {
	case "upsert":
		c.upsert(body)
	case "delete":
		for _, p := range c.selected(body) {
			delete(c.points, p.id)
		}
	case "update_vectors":
		for _, v := range body["points"].([]any) {
			if c.points[pidOf(v.(map[string]any)["id"])] == nil {
				return errBad{"no such point"}
			}
		}
		for _, v := range body["points"].([]any) {
			given := v.(map[string]any)
			maps.Copy(c.points[pidOf(given["id"])].vectors, c.stored(given["vector"]))
		}
	case "delete_vectors":
		ids, _ := body["points"].([]any)
		if slices.ContainsFunc(ids, func(id any) bool { return c.points[pidOf(id)] == nil }) {
			return errBad{"no such point"}
		}
		for _, p := range c.selected(body) {
			for _, name := range body["vector"].([]any) {
				delete(p.vectors, name.(string))
			}
		}
	default:
		c.changePayload(op, body)
	}
	return nil
}

func (c *modelCollection) upsert(body map[string]any) {
	points, _ := body["points"].([]any)
	for _, v := range points {
		p := v.(map[string]any)
		c.put(pidOf(p["id"]), p["vector"], p["payload"])
	}
	batch, ok := body["batch"].(map[string]any)
	if !ok {
		return
	}
	for i, id := range batch["ids"].([]any) {
		var vector, payload any
		switch columns := batch["vectors"].(type) {
		case []any:
			vector = columns[i]
		case map[string]any:
			named := map[string]any{}
			for name, column := range columns {
				named[name] = column.([]any)[i]
			}
			vector = named
		}
		if payloads, ok := batch["payloads"].([]any); ok {
			payload = payloads[i]
		}
		c.put(pidOf(id), vector, payload)
	}
}

func (c *modelCollection) put(id pid, vector, payload any) {
	object, _ := payload.(map[string]any)
	c.points[id] = &modelPoint{id, c.stored(vector), copiedMap(object)}
}

// stored is the vectors of a request as they are kept.
func (c *modelCollection) stored(given any) map[string]any {
	named, ok := given.(map[string]any)
	if !ok {
		named = map[string]any{"": given}
	}
	out := map[string]any{}
	for name, v := range named {
		if dense, ok := floats(v); ok {
			out[name] = c.vectors[name].normal(dense)
		} else {
			out[name] = components(v)
		}
	}
	return out
}

// selected is the points that an operation names or filters.
func (c *modelCollection) selected(body map[string]any) (out []*modelPoint) {
	if ids, ok := body["points"].([]any); ok {
		for _, id := range ids {
			if p := c.points[pidOf(id)]; p != nil {
				out = append(out, p)
			}
		}
		return out
	}
	for _, p := range c.sorted() {
		if p.subject().passes(body["filter"]) {
			out = append(out, p)
		}
	}
	return out
}

func (c *modelCollection) changePayload(op string, body map[string]any) {
	given, _ := body["payload"].(map[string]any)
	for _, p := range c.selected(body) {
		switch op {
		case "clear_payload":
			p.payload = map[string]any{}
		case "overwrite_payload":
			p.payload = copiedMap(given)
		case "delete_payload":
			for _, path := range body["keys"].([]any) {
				remove(p.payload, steps(path.(string)))
			}
		case "set_payload":
			path, _ := body["key"].(string)
			set(p.payload, steps(path), given)
		default:
			panic("no operation " + op)
		}
	}
}

// set merges into what a path names, which is made where it is not there, and
// returns it. A null removes.
func set(v any, path []pathStep, given map[string]any) any {
	switch {
	case len(path) == 0:
		object, ok := v.(map[string]any)
		if !ok {
			object = map[string]any{}
		}
		for key, value := range given {
			if object[key] = copied(value); value == nil {
				delete(object, key)
			}
		}
		return object
	case path[0].key != "":
		object, ok := v.(map[string]any)
		if !ok {
			object = map[string]any{}
		}
		object[path[0].key] = set(object[path[0].key], path[1:], given)
		return object
	}
	list, ok := v.([]any)
	if !ok {
		return []any{}
	}
	for i := range list {
		if path[0].index < 0 || path[0].index == i {
			list[i] = set(list[i], path[1:], given)
		}
	}
	return list
}

// remove takes out what a path names, and returns what stays. An element of an
// array stays; all of them go.
func remove(v any, path []pathStep) any {
	switch v := v.(type) {
	case map[string]any:
		inner, ok := v[path[0].key]
		if !ok || path[0].key == "" {
			break
		}
		if len(path) == 1 {
			delete(v, path[0].key)
		} else {
			v[path[0].key] = remove(inner, path[1:])
		}
	case []any:
		if path[0].key != "" {
			break
		}
		if len(path) == 1 && path[0].index < 0 {
			return []any{}
		}
		for i := range v {
			if len(path) > 1 && (path[0].index < 0 || path[0].index == i) {
				v[i] = remove(v[i], path[1:])
			}
		}
	}
	return v
}

// chosen is the part of a payload that with_payload asks for.
func chosen(payload map[string]any, with any) map[string]any {
	include, exclude := []any(nil), []any(nil)
	switch with := with.(type) {
	case bool:
		if with {
			return payload
		}
		return map[string]any{}
	case []any:
		include = with
	case map[string]any:
		include, _ = with["include"].([]any)
		exclude, _ = with["exclude"].([]any)
	}
	keep := func(at string) bool {
		begins := func(a, b string) bool {
			return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(a, b+"[")
		}
		if include != nil {
			return slices.ContainsFunc(include, func(p any) bool { return begins(at, p.(string)) || begins(p.(string), at) })
		}
		return !slices.ContainsFunc(exclude, func(p any) bool { return begins(at, p.(string)) })
	}
	return picked(payload, "", keep).(map[string]any)
}

// picked is v without the values at paths that are not kept.
func picked(v any, at string, keep func(at string) bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			path := strings.TrimPrefix(at+"."+quoted(key), ".")
			if keep(path) {
				out[key] = picked(inner, path, keep)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, inner := range v {
			if keep(at + "[]") {
				out = append(out, picked(inner, at+"[]", keep))
			}
		}
		return out
	}
	return v
}

func quoted(key string) string {
	if strings.ContainsAny(key, " .") {
		return `"` + key + `"`
	}
	return key
}
