package httpedge_test

import (
	"fmt"
	"maps"
	"slices"
)

// routeOf says where each operation of a batch goes when it stands alone.
var routeOf = map[string][2]string{
	"upsert":            {"PUT", "/points?wait=true"},
	"delete":            {"POST", "/points/delete?wait=true"},
	"set_payload":       {"POST", "/points/payload?wait=true"},
	"overwrite_payload": {"PUT", "/points/payload?wait=true"},
	"delete_payload":    {"POST", "/points/payload/delete?wait=true"},
	"clear_payload":     {"POST", "/points/payload/clear?wait=true"},
	"update_vectors":    {"PUT", "/points/vectors?wait=true"},
	"delete_vectors":    {"POST", "/points/vectors/delete?wait=true"},
}

// config is random vectors of a collection: one without a name, several, or
// none.
func (m *maker) config() map[string]modelVector {
	dense := func() modelVector {
		return modelVector{size: 2 + m.IntN(4), distance: one(m, "Cosine", "Euclid", "Dot", "Manhattan"), grid: m.chance(40)}
	}
	out := map[string]modelVector{}
	switch m.IntN(8) {
	case 0:
		return out
	case 1, 2:
		out[""] = dense()
		return out
	case 3:
		out[""] = dense()
	}
	for _, name := range []string{"d1", "d2", "d3"}[m.IntN(2):] {
		out[name] = dense()
	}
	for _, name := range []string{"s1", "s2"} {
		if m.chance(70) {
			out[name] = modelVector{sparse: true, idf: m.chance(50)}
		}
	}
	return out
}

// configBody is a configuration as a request has it.
func configBody(vectors map[string]modelVector) map[string]any {
	dense, sparse := map[string]any{}, map[string]any{}
	for name, v := range vectors {
		switch {
		case v.idf:
			sparse[name] = map[string]any{"modifier": "idf"}
		case v.sparse:
			sparse[name] = map[string]any{}
		default:
			dense[name] = map[string]any{"size": int64(v.size), "distance": v.distance}
		}
	}
	body := map[string]any{"vectors": dense}
	if alone, ok := dense[""]; ok && len(dense) == 1 {
		body["vectors"] = alone
	}
	if len(sparse) > 0 {
		body["sparse_vectors"] = sparse
	}
	return body
}

// pointVectors is some of the vectors of a collection.
func (m *maker) pointVectors(percent int) any {
	out := map[string]any{}
	for _, name := range m.vectorNames() {
		if m.chance(percent) {
			out[name] = m.vector(m.collection().vectors[name])
		}
	}
	if alone, ok := out[""]; ok && len(out) == 1 && m.chance(70) {
		return alone
	}
	return out
}

func (m *maker) upsert(ids []any) map[string]any {
	if m.chance(80) {
		return map[string]any{"points": list(len(ids), func() any {
			p := map[string]any{"id": ids[0], "vector": m.pointVectors(80)}
			if ids = ids[1:]; m.chance(95) {
				p["payload"] = payloadOrNull(m.payload())
			}
			return p
		})}
	}
	columns := map[string]any{}
	for _, name := range m.vectorNames() {
		if m.chance(90) {
			columns[name] = list(len(ids), func() any { return m.vector(m.collection().vectors[name]) })
		}
	}
	batch := map[string]any{"ids": ids, "vectors": columns}
	if alone, ok := columns[""]; ok && len(columns) == 1 && m.chance(70) {
		batch["vectors"] = alone
	}
	if m.chance(70) {
		batch["payloads"] = list(len(ids), func() any { return payloadOrNull(m.payload()) })
	}
	return map[string]any{"batch": batch}
}

func payloadOrNull(p map[string]any) any {
	if p == nil {
		return nil
	}
	return p
}

// some selects points that are there, or by a filter.
func (m *maker) some() map[string]any {
	points := m.collection().sorted()
	if m.chance(25) || len(points) == 0 {
		return map[string]any{"filter": m.filter(2, false)}
	}
	ids := map[pid]any{}
	for range 1 + m.IntN(3) {
		p := one(m, points...)
		ids[p.id] = p.id.json()
	}
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		out = append(out, ids[id])
	}
	return map[string]any{"points": out}
}

// change is an operation and its body.
func (m *maker) change() (op string, body map[string]any) {
	op = one(m, slices.Sorted(maps.Keys(routeOf))...)
	names := m.vectorNames()
	if len(names) == 0 && (op == "update_vectors" || op == "delete_vectors") {
		op = "upsert"
	}
	switch op {
	case "upsert":
		return op, m.upsert(m.ids(1 + m.IntN(8)))
	case "update_vectors":
		ids, ok := m.some()["points"].([]any)
		if !ok || m.chance(5) {
			ids = m.ids(2)
		}
		points := []any{}
		for _, id := range ids {
			name := one(m, names...)
			points = append(points, map[string]any{"id": id, "vector": map[string]any{name: m.vector(m.collection().vectors[name])}})
		}
		return op, map[string]any{"points": points}
	}
	body = m.some()
	switch op {
	case "delete":
		if _, ok := body["points"]; ok && m.chance(50) {
			body["points"] = m.ids(3) // some are not there
		}
	case "delete_vectors":
		body["vector"] = list(1, func() any { return one(m, names...) })
	case "set_payload":
		body["payload"] = payloadOrNull(m.payload())
		if body["payload"] == nil {
			body["payload"] = map[string]any{}
		}
		if m.chance(50) {
			body["key"] = one(m, "deep", "deep.a", "items[]", "items[0]", "items[0].b", "missing", "missing.a", "color.a", "b[1]", "missing[]")
			body["payload"] = map[string]any{one(m, "a", "b", "c"): m.scalar()}
		}
	case "overwrite_payload":
		body["payload"] = m.payload()
		if m.chance(5) || body["payload"] == nil || len(body["payload"].(map[string]any)) == 0 {
			body["payload"] = map[string]any{}
		}
	case "delete_payload":
		body["keys"] = list(1+m.IntN(2), func() any {
			return one(m, "n", "deep.a", "items[].a", "items[0].a", "items[]", "items[0]", "b[]", "missing.a", `"x y"`, "items[].b[]", "color.a")
		})
	}
	return op, body
}

// batch is several operations, none of which is refused.
func (m *maker) batch() []any {
	trial := &modelCollection{vectors: m.collection().vectors, points: map[pid]*modelPoint{}}
	for id, p := range m.collection().points {
		trial.points[id] = p.copied()
	}
	out := []any{}
	for range 1 + m.IntN(4) {
		op, body := m.change()
		if trial.change(op, copiedMap(body)) == nil {
			out = append(out, map[string]any{op: body})
		}
	}
	return out
}

func (p *modelPoint) copied() *modelPoint {
	return &modelPoint{p.id, maps.Clone(p.vectors), copiedMap(p.payload)}
}

// tally is what the random requests were about.
type tally struct {
	asks, vague, empty, refused int
	passed, failed              map[string]int // points, by kind of condition and where it stands
	kinds                       map[string]int // queries that found something, by what they ask
	doubts                      map[string]int
}

func newTally() *tally {
	return &tally{passed: map[string]int{}, failed: map[string]int{}, kinds: map[string]int{}, doubts: map[string]int{}}
}

// filter counts what the conditions of a filter say of the points.
func (t *tally) filter(f map[string]any, at string, in *modelCollection) {
	for _, part := range []string{"must", "should", "must_not", "min_should"} {
		list := conditions(f[part])
		if least, ok := f[part].(map[string]any); ok && part == "min_should" {
			list = conditions(least["conditions"])
		}
		for _, c := range list {
			t.condition(c.(map[string]any), at, part, in)
		}
	}
}

func (t *tally) condition(c map[string]any, at, part string, in *modelCollection) {
	kind := ""
	for _, name := range slices.Sorted(maps.Keys(c)) {
		switch inner := c[name].(type) {
		case map[string]any:
			kind += name
			if name == "match" {
				kind += "." + slices.Sorted(maps.Keys(inner))[0]
			}
			if name == "nested" {
				t.filter(inner["filter"].(map[string]any), "nested ", in)
			}
		default:
			if name != "key" {
				kind += name
			}
		}
	}
	if c["must"] != nil || c["should"] != nil || c["must_not"] != nil || c["min_should"] != nil || len(c) == 0 {
		kind = "filter"
		t.filter(c, at, in)
	}
	for _, p := range in.sorted() {
		s := p.subject()
		if at != "" {
			items := valuesAt(p.payload, "items[]")
			if len(items) == 0 {
				continue
			}
			object, _ := items[0].(map[string]any)
			s = subject{payload: object}
		}
		if key := fmt.Sprintf("%s%s %s", at, part, kind); s.condition(c) {
			t.passed[key]++
		} else {
			t.failed[key]++
		}
	}
}

// query counts what a query and its prefetches ask for.
func (t *tally) query(q map[string]any, found bool) {
	kind := "ids"
	switch v := q["query"].(type) {
	case map[string]any:
		for _, name := range []string{"fusion", "rrf", "recommend", "nearest", "indices"} {
			if v[name] == nil {
				continue
			}
			if kind = name; name == "fusion" {
				kind = v[name].(string)
			} else if v["mmr"] != nil {
				kind = "mmr"
			}
		}
	case []float32:
		kind = "dense"
	case nil:
	default:
		kind = "id"
	}
	if q["prefetch"] != nil {
		kind += " of prefetches"
	}
	if found {
		t.kinds[kind]++
	}
	for _, p := range conditions(q["prefetch"]) {
		t.query(p.(map[string]any), found)
	}
}
