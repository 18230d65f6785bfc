package httpedge_test

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// try makes a request, and when the answer is wrong finds a small one whose
// answer is.
func (w *world) try(a ask) {
	w.seen.asks++
	fault := w.fault(a)
	if fault == "" {
		return
	}
	w.seen = newTally()
	for again := true; again; {
		again = false
		for _, body := range smaller(a.body) {
			less := ask{a.op, body.(map[string]any)}
			if f := w.faultOfLess(less); f != "" && kindOf(f) == kindOf(fault) {
				a, fault, again = less, f, true
				break
			}
		}
	}
	w.t.Errorf("run with -property.seed=%d: POST %s%s %s\n%s\nvectors %+v", w.seed, w.path(), a.path(), encode(a.body), fault, w.collection().vectors)
	for _, p := range w.collection().sorted() {
		if first, _, _ := strings.Cut(fault, "\n"); strings.Contains(first, string(p.id)) {
			w.t.Errorf("%s: %s %v", p.id, encode(p.payload), p.vectors)
		}
	}
}

// kindOf is a wrong status, or nothing for a wrong answer.
func kindOf(fault string) string {
	if !strings.HasPrefix(fault, "status ") {
		return ""
	}
	return fault[:len("status 200")]
}

// faultOfLess is fault, for a request that need not mean anything to the model.
func (w *world) faultOfLess(a ask) (fault string) {
	defer func() {
		if recover() != nil {
			fault = ""
		}
	}()
	return w.fault(a)
}

// fault says what is wrong with the answer to a request.
func (w *world) fault(a ask) (fault string) {
	status, result, text := w.node.send(w.t, "POST", w.path()+a.path(), encode(a.body))
	fault, err := w.compare(a, status, result)
	if bad := status >= 400 && status < 500; (err != nil) != bad || status != 200 && !bad {
		return fmt.Sprintf("status %d %s, want error %v", status, text, err)
	}
	if err != nil {
		w.seen.refused++
		return ""
	}
	if fault != "" {
		fault += "\n" + text
	}
	return fault
}

// compare compares an answer with the model's, and returns the model's error.
func (w *world) compare(a ask, status int, result any) (fault string, err error) {
	object, _ := result.(map[string]any)
	switch a.op {
	case "count":
		want := int64(0)
		for _, p := range w.collection().sorted() {
			if p.subject().passes(a.body["filter"]) {
				want++
			}
		}
		if object["count"] != want {
			return fmt.Sprintf("%v points, want %d", object["count"], want), nil
		}
		return "", nil
	case "scroll":
		return w.compareScroll(a.body, object), nil
	case "":
		want := []pid{}
		for _, id := range a.body["ids"].([]any) {
			if pid := pidOf(id); w.collection().points[pid] != nil {
				want = append(want, pid)
			}
		}
		points, _ := result.([]any)
		return w.comparePoints(a.body, points, want), nil
	case "batch":
		parts, _ := result.([]any)
		searches := a.body["searches"].([]any)
		if status == http.StatusOK && len(parts) != len(searches) {
			return fmt.Sprintf("%d answers", len(parts)), nil
		}
		for i, q := range searches {
			var part map[string]any
			if status == http.StatusOK {
				part, _ = parts[i].(map[string]any)
			}
			if f, e := w.compareHits(q.(map[string]any), part["points"]); f != "" || e != nil {
				fault, err = f, cmpError(err, e)
			}
		}
		return fault, err
	case "search", "recommend":
		return w.compareHits(modern(a), result)
	}
	return w.compareHits(a.body, object["points"])
}

func cmpError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// modern is the query that a legacy request is.
func modern(a ask) map[string]any {
	q := maps.Clone(a.body)
	if a.op == "search" {
		vector := q["vector"]
		if named, ok := vector.(map[string]any); ok {
			vector, q["using"] = named["vector"], named["name"]
		}
		q["query"] = vector
		return q
	}
	q["query"] = map[string]any{"recommend": map[string]any{"positive": q["positive"], "negative": q["negative"]}}
	return q
}

func (w *world) compareScroll(body, got map[string]any) string {
	from := pid("")
	if body["offset"] != nil {
		from = pidOf(body["offset"])
	}
	limit, want := whole(body["limit"], 10), []pid{}
	var next any
	for _, p := range w.collection().sorted() {
		if p.id < from || !p.subject().passes(body["filter"]) {
			continue
		}
		if len(want) == limit {
			next = p.id.json()
			break
		}
		want = append(want, p.id)
	}
	points, _ := got["points"].([]any)
	if got["next_page_offset"] != next {
		return fmt.Sprintf("next is %v, want %v", got["next_page_offset"], next)
	}
	return w.comparePoints(body, points, want)
}

// comparePoints compares points of which the payload is wanted unless it is not.
func (w *world) comparePoints(body map[string]any, got []any, want []pid) string {
	ids := []pid{}
	with := maps.Clone(body)
	if with["with_payload"] == nil {
		with["with_payload"] = true
	}
	for _, v := range got {
		p := v.(map[string]any)
		ids = append(ids, pidOf(p["id"]))
		if fault := w.comparePoint(with, p); fault != "" {
			return fault
		}
	}
	if !slices.Equal(ids, want) {
		return fmt.Sprintf("points %v, want %v", ids, want)
	}
	return ""
}

// comparePoint compares what of a point is wanted.
func (w *world) comparePoint(body, got map[string]any) string {
	id := pidOf(got["id"])
	p := w.collection().points[id]
	if p == nil {
		return fmt.Sprintf("no point %s", id)
	}
	payload, _ := got["payload"].(map[string]any)
	if payload == nil {
		payload = map[string]any{}
	}
	if want := chosen(p.payload, body["with_payload"]); body["with_payload"] == nil && len(payload) > 0 || body["with_payload"] != nil && !reflect.DeepEqual(payload, want) {
		return fmt.Sprintf("payload of %s is %s, want %s", id, encode(payload), encode(want))
	}
	named, ok := got["vector"].(map[string]any)
	if !ok && got["vector"] != nil {
		named = map[string]any{"": got["vector"]}
	}
	for name, v := range p.vectors {
		wanted := body["with_vector"] == true
		if names, ok := body["with_vector"].([]any); ok {
			wanted = slices.Contains(names, any(name))
		}
		if v, has := named[name]; has != wanted || has && !sameVector(v, p.vectors[name]) {
			return fmt.Sprintf("vector %q of %s is %v, want %v", name, id, v, p.vectors[name])
		}
		_ = v
		delete(named, name)
	}
	if len(named) > 0 {
		return fmt.Sprintf("%s has the vectors %v too", id, named)
	}
	return ""
}

func sameVector(got, want any) bool {
	if dense, ok := want.([]float32); ok {
		v, ok := floats(got)
		for i := range dense {
			ok = ok && len(v) == len(dense) && max(v[i]-dense[i], dense[i]-v[i]) < 1e-6
		}
		return ok
	}
	object, ok := got.(map[string]any)
	if !ok || !slices.IsSortedFunc(object["indices"].([]any), func(a, b any) int { return int(a.(int64) - b.(int64)) }) {
		return false
	}
	return maps.Equal(components(object), want.(sparseVector))
}

// compareHits compares the hits of a query.
func (w *world) compareHits(q map[string]any, result any) (fault string, err error) {
	r, err := w.model.query(w.name, q)
	if err != nil {
		return "", err
	}
	points, _ := result.([]any)
	got := []scored{}
	for _, v := range points {
		p := v.(map[string]any)
		score, _ := number(p["score"])
		got = append(got, scored{pidOf(p["id"]), float64(float32(score))})
		if fault := w.comparePoint(q, p); fault != "" {
			return fault, nil
		}
	}
	limit, offset := whole(q["limit"], 10), whole(q["offset"], 0)
	if len(got) == 0 {
		w.seen.empty++
	}
	if r.vague != "" {
		w.seen.vague++
		w.seen.doubts[r.vague]++
		return w.plausible(q, got, limit), nil
	}
	w.seen.query(q, len(got) > 0)
	if fault := r.same(got, limit, offset); fault != "" {
		return fmt.Sprintf("%s\nwant %v", fault, r.hits), nil
	}
	return "", nil
}

// plausible checks what holds of an answer whatever the order of equal scores.
func (w *world) plausible(q map[string]any, got []scored, limit int) string {
	seen := map[pid]bool{}
	for _, h := range got {
		if seen[h.id] || !w.collection().points[h.id].subject().passes(q["filter"]) {
			return fmt.Sprintf("%s is there twice, or does not pass the filter", h.id)
		}
		seen[h.id] = true
	}
	if len(got) > limit {
		return fmt.Sprintf("%d hits, more than %d", len(got), limit)
	}
	return ""
}

// same reports how an answer differs from the ranking: "" for not at all.
func (r *ranking) same(got []scored, limit, offset int) string {
	end := min(len(r.hits), offset+limit)
	want := r.hits[min(offset, end):end]
	if len(got) != len(want) {
		return fmt.Sprintf("%d hits, want %d", len(got), len(want))
	}
	scores := map[pid]float64{}
	for _, h := range r.hits {
		scores[h.id] = h.score
	}
	for i, h := range got {
		score, known := scores[h.id]
		switch {
		case !known:
			return fmt.Sprintf("hit %d is %s, which is none, or is there twice", i, h.id)
		case !r.near(h.score, score):
			return fmt.Sprintf("%s scores %v, want %v", h.id, h.score, score)
		case r.order && h.id != want[i].id || !r.order && !r.near(h.score, want[i].score):
			return fmt.Sprintf("hit %d is %s (%v), want %s (%v)", i, h.id, h.score, want[i].id, want[i].score)
		}
		delete(scores, h.id)
	}
	return ""
}
