package httpedge_test

import (
	"maps"
	"slices"
)

// ask is a request that changes nothing.
type ask struct {
	op   string // the last part of its path; "" retrieves
	body map[string]any
}

// path is where an ask goes.
func (a ask) path() string {
	switch a.op {
	case "":
		return "/points"
	case "batch":
		return "/points/query/batch"
	}
	return "/points/" + a.op
}

func (m *maker) collection() *modelCollection { return m.model.resolve(m.name) }

func (m *maker) vectorNames() []string {
	return slices.Sorted(maps.Keys(m.collection().vectors))
}

func (m *maker) ask() ask {
	switch m.IntN(20) {
	case 0:
		return ask{"count", m.filtered(90)}
	case 1, 2:
		return ask{"scroll", m.scroll()}
	case 3:
		return ask{"", m.selected(map[string]any{"ids": m.ids(m.IntN(12))})}
	case 4:
		searches := list(1+m.IntN(3), func() any { return m.query(1, true) })
		return ask{"batch", map[string]any{"searches": searches}}
	case 5:
		return m.legacy()
	}
	return ask{"query", m.query(2, true)}
}

// ids are different.
func (m *maker) ids(n int) []any {
	out, taken := []any{}, map[pid]bool{}
	for range n {
		if id := m.id(); !taken[pidOf(id)] {
			taken[pidOf(id)] = true
			out = append(out, id)
		}
	}
	return out
}

func (m *maker) filtered(percent int) map[string]any {
	body := map[string]any{}
	if m.chance(percent) {
		f := m.filter(2, false)
		body["filter"] = f
		m.seen.filter(f, "", m.collection())
	}
	return body
}

// selected adds what of the points is wanted.
func (m *maker) selected(body map[string]any) map[string]any {
	if m.chance(40) {
		paths := list(1+m.IntN(3), func() any {
			return one(m, "n", "color", "deep", "deep.a", "deep.b.c", "items", "items[].a", "items[].items[].a", `"x y"`, "missing", "color.a", "rows[]")
		})
		body["with_payload"] = one[any](m, true, false, paths, map[string]any{"include": paths}, map[string]any{"exclude": paths})
	}
	if m.chance(25) {
		body["with_vector"] = true
		if names := m.vectorNames(); m.chance(50) && len(names) > 0 {
			body["with_vector"] = list(1, func() any { return one(m, names...) })
		}
	}
	return body
}

func (m *maker) scroll() map[string]any {
	body := m.selected(m.filtered(60))
	if m.chance(60) {
		body["limit"] = m.limit()
	}
	if m.chance(40) {
		body["offset"] = m.id()
	}
	return body
}

// limit is often at an edge.
func (m *maker) limit() int64 {
	n := int64(len(m.collection().points))
	return max(1, one(m, 1, 1, 2, 3, 5, 10, n-1, n, n+1, 1000))
}

// query is a query of so many levels of prefetches at most.
func (m *maker) query(depth int, root bool) map[string]any {
	q := m.filtered(35)
	if m.chance(70) {
		q["limit"] = m.limit()
	}
	if root {
		if m.selected(q); m.chance(25) {
			q["offset"] = one[int64](m, 0, 1, 2, 5, 100)
		}
	}
	if depth > 0 && m.chance(40) {
		n := 1 + m.IntN(3)
		q["prefetch"] = list(n, func() any { return m.query(depth-1, false) })
		if n == 1 && m.chance(30) {
			q["prefetch"] = q["prefetch"].([]any)[0]
		}
		if m.chance(60) {
			q["query"] = m.fusion(n)
			m.limitScores(q)
			return q
		}
	} else if m.chance(12) || len(m.vectorNames()) == 0 {
		return q // by ids
	}
	if names := m.vectorNames(); len(names) > 0 {
		m.target(q, one(m, names...))
		m.limitScores(q)
	}
	return q
}

func (m *maker) fusion(n int) map[string]any {
	switch m.IntN(4) {
	case 0:
		return map[string]any{"fusion": "dbsf"}
	case 1:
		return map[string]any{"fusion": "rrf"}
	case 2:
		return map[string]any{"rrf": map[string]any{"k": one[int64](m, 1, 2, 5, 60)}}
	}
	weights := list(n, func() any { return one(m, 0.0, 0.5, 1.0, 3.0) })
	rrf := map[string]any{"weights": weights}
	if m.chance(50) {
		rrf["k"] = one[int64](m, 1, 2, 5, 60)
	}
	return map[string]any{"rrf": rrf}
}

// target lets a query compare with something of a vector.
func (m *maker) target(q map[string]any, name string) {
	if name != "" || m.chance(20) {
		q["using"] = name
	}
	params := m.collection().vectors[name]
	switch m.IntN(8) {
	case 0, 1:
		q["query"] = map[string]any{"nearest": m.input(params)}
		if m.chance(80) {
			mmr := map[string]any{}
			if m.chance(80) {
				mmr["diversity"] = one(m, 0.0, 0.1, 0.5, 0.7, 1.0)
			}
			if m.chance(60) {
				mmr["candidates_limit"] = m.limit()
			}
			q["query"].(map[string]any)["mmr"] = mmr
		}
	case 2:
		recommend := map[string]any{"positive": m.inputs(1+m.IntN(3), params)}
		if m.chance(50) {
			recommend["negative"] = m.inputs(m.IntN(3), params)
		}
		if m.chance(30) {
			recommend["strategy"] = "average_vector"
		}
		q["query"] = map[string]any{"recommend": recommend}
	default:
		q["query"] = m.input(params)
	}
	if m.chance(15) {
		m.lookup(q, params)
	}
	switch m.IntN(6) {
	case 0:
		q["params"] = map[string]any{"exact": true}
	case 1:
		q["params"] = map[string]any{"hnsw_ef": int64(200), "quantization": map[string]any{"ignore": true}}
	}
}

func (m *maker) inputs(n int, params modelVector) []any {
	return list(n, func() any { return m.input(params) })
}

// input is a vector, or the id of a point, which mostly has one.
func (m *maker) input(params modelVector) any {
	if points := m.collection().sorted(); m.chance(30) && len(points) > 0 {
		for range 5 {
			p := one(m, points...)
			for name := range p.vectors {
				if m.collection().vectors[name] == params {
					return p.id.json()
				}
			}
		}
		return m.id()
	}
	return m.vector(params)
}

// vector is random, and for a grid one of few.
func (m *maker) vector(params modelVector) any {
	if params.sparse {
		indices, values := []any{}, []float32{}
		for _, i := range m.Perm(12)[:1+m.IntN(4)] {
			indices = append(indices, one[int64](m, int64(i), int64(i)<<28))
			values = append(values, m.Float32()*2-0.5)
		}
		return map[string]any{"indices": indices, "values": values}
	}
	v := make([]float32, params.size)
	for {
		for i := range v {
			if v[i] = m.Float32()*2 - 1; params.grid {
				v[i] = float32(m.IntN(7) - 3)
			}
		}
		if slices.ContainsFunc(v, func(x float32) bool { return x != 0 }) {
			return v
		}
	}
}

// lookup lets ids be those of another collection.
func (m *maker) lookup(q map[string]any, params modelVector) {
	from := one(m, slices.Sorted(maps.Keys(m.model.collections))...)
	look := map[string]any{"collection": from}
	for _, name := range slices.Sorted(maps.Keys(m.model.collections[from].vectors)) {
		other := m.model.collections[from].vectors[name]
		if other.sparse == params.sparse && other.size == params.size && m.chance(60) {
			look["vector"] = name
		}
	}
	q["lookup_from"] = look
}

// limitScores adds a threshold among the scores that there are.
func (m *maker) limitScores(q map[string]any) {
	if !m.chance(25) {
		return
	}
	r, err := m.model.query(m.name, q)
	if err != nil || len(r.hits) == 0 {
		return
	}
	score := one(m, r.hits...).score
	q["score_threshold"] = float64(float32(one(m, score, score+0.01, score-0.01, score*2)))
}

// legacy is a search or a recommendation in the old form.
func (m *maker) legacy() ask {
	names := m.vectorNames()
	if len(names) == 0 {
		return ask{"count", m.filtered(90)}
	}
	name := one(m, names...)
	params := m.collection().vectors[name]
	body := m.selected(m.filtered(50))
	body["limit"] = m.limit()
	if m.chance(25) {
		body["offset"] = m.Int64N(4)
	}
	if m.chance(50) {
		body["positive"] = m.inputs(1+m.IntN(2), params)
		body["negative"] = m.inputs(m.IntN(2), params)
		if name != "" {
			body["using"] = name
		}
		return ask{"recommend", body}
	}
	if body["vector"] = m.vector(params); name != "" || params.sparse {
		body["vector"] = map[string]any{"name": name, "vector": body["vector"]}
	}
	return ask{"search", body}
}
