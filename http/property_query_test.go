package httpedge_test

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// What a query of Qdrant's means, read from its JSON: every level goes through
// all points.

// scored is a point in a list and its score there.
type scored struct {
	id    pid
	score float64
}

// ranking is what a part of a query finds.
type ranking struct {
	hits  []scored
	order bool    // the order says more than the scores: it may not be changed
	falls bool    // the smaller score is the better one
	slack float64 // how far apart scores may be that are the same but for rounding
	// vague says why it is not certain which points are in it: what comes next
	// depends on how equal scores were ordered, or on a rounding.
	vague string
}

func (r *ranking) near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= r.slack*max(1, math.Abs(a), math.Abs(b))
}

// sort puts the best first.
func (r *ranking) sort() {
	slices.SortFunc(r.hits, func(a, b scored) int {
		if r.falls {
			a, b = b, a
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id))
	})
}

// cut leaves the k best.
func (r *ranking) cut(k int) {
	if k >= len(r.hits) {
		return
	}
	if !r.order && k > 0 && r.near(r.hits[k-1].score, r.hits[k].score) {
		r.doubt("a limit among equal scores")
	}
	r.hits = r.hits[:k]
}

// tied reports whether its order is not certain.
func (r *ranking) tied() bool {
	for i := 1; i < len(r.hits) && !r.order; i++ {
		if r.near(r.hits[i-1].score, r.hits[i].score) {
			return true
		}
	}
	return false
}

func (r *ranking) doubt(why string) {
	if r.vague == "" {
		r.vague = why
	}
}

// threshold leaves the scores that are better than t; those of a fusion may be
// equal.
func (r *ranking) threshold(v any, fused bool) {
	given, ok := number(v)
	if !ok {
		return
	}
	t := float64(float32(given))
	r.hits = slices.DeleteFunc(r.hits, func(h scored) bool {
		exact := h.score == t && (r.slack == 0 || h.score*64 == math.Trunc(h.score*64))
		if r.near(h.score, t) && (r.slack > 0 && !exact) {
			r.doubt("a score at the threshold")
		}
		switch {
		case h.score == t:
			return !fused
		case r.falls:
			return h.score > t
		}
		return h.score < t
	})
}

// errBad is the error for a query that is refused.
type errBad struct{ why string }

func (e errBad) Error() string { return e.why }

// errWithout is the error for a point that has not the vector.
var errWithout = errors.New("the point has no such vector")

// asked is what holds for all levels of a query.
type asked struct {
	model    *model
	in       *modelCollection
	excluded map[pid]bool
}

// query answers a query. The ranking is not cut, but for MMR's.
func (m *model) query(name string, q map[string]any) (ranking, error) {
	a := asked{m, m.resolve(name), map[pid]bool{}}
	if a.in == nil {
		return ranking{}, errBad{"no such collection"}
	}
	a.exclude(q)
	return a.run(q, nil, whole(q["offset"], 0))
}

// exclude collects the points that a query names at any level.
func (a *asked) exclude(q map[string]any) {
	from := a.in
	if l, ok := q["lookup_from"].(map[string]any); ok {
		from = a.model.resolve(l["collection"].(string))
	}
	if from == a.in {
		for _, v := range inputs(q["query"]) {
			if isID(v) {
				a.excluded[pidOf(v)] = true
			}
		}
	}
	for _, p := range conditions(q["prefetch"]) {
		a.exclude(p.(map[string]any))
	}
}

// inputs is what a query compares with: vectors, and ids of points.
func inputs(v any) []any {
	object, ok := v.(map[string]any)
	switch {
	case v == nil || ok && object["fusion"] != nil || ok && object["rrf"] != nil:
		return nil
	case ok && object["nearest"] != nil:
		return []any{object["nearest"]}
	case ok && object["recommend"] != nil:
		r := object["recommend"].(map[string]any)
		return append(conditions(r["positive"]), conditions(r["negative"])...)
	}
	return []any{v}
}

func whole(v any, none int) int {
	if n, ok := v.(int64); ok {
		return int(n)
	}
	return none
}

func (a *asked) run(q map[string]any, filters []any, offset int) (ranking, error) {
	filters = append(slices.Clone(filters), q["filter"])
	limit := whole(q["limit"], 10)
	var sources []ranking
	for _, p := range conditions(q["prefetch"]) {
		p := p.(map[string]any)
		r, err := a.run(p, filters, 0)
		if err != nil {
			return r, err
		}
		r.cut(whole(p["limit"], 10))
		sources = append(sources, r)
	}
	kind, _ := q["query"].(map[string]any)
	switch {
	case q["query"] == nil && len(sources) > 0:
		return ranking{}, errBad{"prefetches without a query"}
	case q["query"] == nil && q["score_threshold"] != nil:
		return ranking{}, errBad{"a threshold without a query"}
	case q["query"] == nil:
		return a.list(filters), nil
	case kind["fusion"] != nil || kind["rrf"] != nil:
		if len(sources) == 0 {
			return ranking{}, errBad{"a fusion without prefetches"}
		}
		r := fuse(kind, sources)
		r.threshold(q["score_threshold"], true)
		return r, nil
	}
	vector, err := a.vectorOf(q)
	if err != nil {
		return ranking{}, err
	}
	r, err := a.nearest(q, vector, filters, sources)
	if mmr, ok := kind["mmr"].(map[string]any); ok && err == nil {
		r.cut(whole(mmr["candidates_limit"], limit))
		return a.diverse(r, q, mmr, vector, limit+offset), nil
	}
	return r, err
}

// list is all points by their ids.
func (a *asked) list(filters []any) ranking {
	r := ranking{order: true}
	for _, p := range a.in.sorted() {
		if !a.excluded[p.id] && passesAll(p, filters) {
			r.hits = append(r.hits, scored{p.id, 1})
		}
	}
	return r
}

func passesAll(p *modelPoint, filters []any) bool {
	return !slices.ContainsFunc(filters, func(f any) bool { return !p.subject().passes(f) })
}

// nearest scores the points of the sources, or all.
func (a *asked) nearest(q map[string]any, vector any, filters []any, sources []ranking) (ranking, error) {
	name, _ := q["using"].(string)
	params, ok := a.in.vectors[name]
	if !ok {
		return ranking{}, errBad{"no such vector"}
	}
	r := ranking{falls: params.distance == "Euclid" || params.distance == "Manhattan", slack: params.slack()}
	if v, ok := floats(vector); ok && !integral(v) && r.slack == 0 {
		r.slack = rounding // the average of examples
	}
	among := map[pid]bool{}
	for _, s := range sources {
		if s.vague != "" {
			r.doubt(s.vague)
		}
		for _, h := range s.hits {
			among[h.id] = true
		}
	}
	weigh := a.in.weights(name, vector)
	for _, p := range a.in.sorted() {
		v, has := p.vectors[name]
		if !has || a.excluded[p.id] || len(sources) > 0 && !among[p.id] || !passesAll(p, filters) {
			continue
		}
		if score, shared := params.score(weigh, v); shared {
			r.hits = append(r.hits, scored{p.id, score})
		}
	}
	r.sort()
	r.threshold(q["score_threshold"], false)
	return r, nil
}

// vectorOf is what a query compares with.
func (a *asked) vectorOf(q map[string]any) (any, error) {
	name, _ := q["using"].(string)
	params, ok := a.in.vectors[name]
	if !ok {
		return nil, errBad{"no such vector"}
	}
	object, _ := q["query"].(map[string]any)
	if r, ok := object["recommend"].(map[string]any); ok {
		positive, err := a.resolveAll(q, params, conditions(r["positive"]))
		if err != nil {
			return nil, err
		}
		negative, err := a.resolveAll(q, params, conditions(r["negative"]))
		if err != nil {
			return nil, err
		}
		if len(positive) == 0 {
			return nil, errBad{"no positive examples"}
		}
		return params.normal(average(positive, negative)), nil
	}
	v, err := a.resolve(q, params, inputs(q["query"])[0])
	if err != nil {
		return nil, err
	}
	return params.normal(v), nil
}

// resolveAll is the vectors of examples. A point without one does not count.
func (a *asked) resolveAll(q map[string]any, params modelVector, list []any) (out []any, err error) {
	for _, v := range list {
		one, err := a.resolve(q, params, v)
		if errors.Is(err, errWithout) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// resolve is a vector, or that of the point whose id v is.
func (a *asked) resolve(q map[string]any, params modelVector, v any) (any, error) {
	name, _ := q["using"].(string)
	from := a.in
	if isID(v) {
		if l, ok := q["lookup_from"].(map[string]any); ok {
			if from = a.model.resolve(l["collection"].(string)); from == nil {
				return nil, errBad{"no such collection to look up from"}
			}
			if vector, ok := l["vector"].(string); ok {
				name = vector
			}
		}
		if _, ok := from.vectors[name]; !ok {
			return nil, errBad{"no such vector to look up"}
		}
		p := from.points[pidOf(v)]
		if p == nil {
			return nil, errBad{"no such point"}
		}
		if p.vectors[name] == nil {
			return nil, errWithout
		}
		v = p.vectors[name]
	}
	if dense, ok := floats(v); ok {
		if params.sparse || len(dense) != params.size {
			return nil, errBad{"a vector of another kind or size"}
		}
		return dense, nil
	}
	if !params.sparse {
		return nil, errBad{"a sparse vector for a dense one"}
	}
	return components(v), nil
}

// average is twice the mean of the positive examples less that of the negative.
func average(positive, negative []any) any {
	if _, ok := positive[0].([]float32); ok {
		out := make([]float32, len(positive[0].([]float32)))
		for i := range out {
			up, down := 0.0, 0.0
			for _, v := range positive {
				up += float64(v.([]float32)[i])
			}
			for _, v := range negative {
				down += float64(v.([]float32)[i])
			}
			up /= float64(len(positive)) // at the end: what cancels out is 0
			if out[i] = float32(up); len(negative) > 0 {
				out[i] = float32(2*up - down/float64(len(negative)))
			}
		}
		return out
	}
	out, twice := sparseVector{}, 1.0
	if len(negative) > 0 {
		twice = 2
	}
	for _, v := range positive {
		for i, x := range v.(sparseVector) {
			out[i] += twice * x / float64(len(positive))
		}
	}
	for _, v := range negative {
		for i, x := range v.(sparseVector) {
			out[i] -= x / float64(len(negative))
		}
	}
	return out
}

// diverse takes one candidate after the other, the best balance of what it is
// near to the query and far from those taken. lambda is what nearness counts.
func (a *asked) diverse(r ranking, q, mmr map[string]any, vector any, limit int) ranking {
	name, _ := q["using"].(string)
	params := a.in.vectors[name]
	lambda := 0.5
	if d, ok := number(mmr["diversity"]); ok {
		lambda = 1 - float64(float32(d))
	}
	r.order = true
	rest := slices.Clone(r.hits)
	r.hits = nil
	for len(rest) > 0 && len(r.hits) < limit {
		best, most, second := 0, math.Inf(-1), math.Inf(-1)
		for i, h := range rest {
			v := a.in.points[h.id].vectors[name]
			worth := params.alike(vector, v)
			if len(r.hits) > 0 {
				other := math.Inf(-1)
				for _, taken := range r.hits {
					other = max(other, params.alike(a.in.points[taken.id].vectors[name], v))
				}
				worth = lambda*worth - (1-lambda)*other
			}
			if worth > most {
				best, most, second = i, worth, most
			} else {
				second = max(second, worth)
			}
		}
		if most-second <= 1e-4*max(1, math.Abs(most)) {
			r.doubt("two of the same worth")
		}
		r.hits = append(r.hits, rest[best])
		rest = slices.Delete(rest, best, best+1)
	}
	return r
}

// fuse sums what each list makes of a point.
func fuse(kind map[string]any, sources []ranking) ranking {
	out := ranking{slack: rounding}
	sums := map[pid]float64{}
	for i, s := range sources {
		if s.vague != "" {
			out.doubt(s.vague)
		}
		scores := s.ranks(kind, i)
		if kind["fusion"] == "dbsf" {
			scores = s.spread(&out)
			out.slack = 2e-4
		} else if s.tied() {
			out.doubt("ranks of equal scores")
		}
		for j, h := range s.hits {
			sums[h.id] += scores[j]
		}
	}
	for id, sum := range sums {
		out.hits = append(out.hits, scored{id, sum})
	}
	out.sort()
	return out
}

// ranks is 1/((rank+1)/weight + k-1) for ranks from 0.
func (r *ranking) ranks(kind map[string]any, source int) []float64 {
	k, weight := 2, 1.0
	if rrf, ok := kind["rrf"].(map[string]any); ok {
		k = whole(rrf["k"], 2)
		if weights, ok := rrf["weights"].([]any); ok {
			weight, _ = number(weights[source])
		}
	}
	out := make([]float64, len(r.hits))
	for i := range out {
		if weight > 0 {
			out[i] = 1 / (float64(i+1)/weight + float64(k) - 1)
		}
	}
	return out
}

// spread puts the mean less 3 standard deviations at 0 and as many more at 1.
// It is the better the larger, also for distances.
func (r *ranking) spread(doubts *ranking) []float64 {
	out := make([]float64, len(r.hits))
	mean, squares, equal := 0.0, 0.0, true
	for _, h := range r.hits {
		mean += h.score / float64(len(r.hits))
		equal = equal && h.score == r.hits[0].score
	}
	for i := range out {
		out[i] = 0.5
		squares += (r.hits[i].score - mean) * (r.hits[i].score - mean)
	}
	if equal && (r.slack == 0 || len(r.hits) < 2) {
		return out
	}
	deviation := math.Sqrt(squares / float64(len(r.hits)-1))
	if deviation < 0.02*max(1, math.Abs(mean)) {
		doubts.doubt("scores close together")
		return out
	}
	for i, h := range r.hits {
		if out[i] = (h.score - (mean - 3*deviation)) / (6 * deviation); r.falls {
			out[i] = 1 - out[i]
		}
	}
	return out
}
