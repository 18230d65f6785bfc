package httpedge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/http/embedding"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// library is what the searches of the tests look in: by collection, the texts
// of its points, whose ids are 1, 2, ... and whose payload says their parity.
var library = map[string][]string{
	"animals": {
		"the red fox jumps over the lazy dog", "a red fox hunts rabbits at night", "rabbits eat grass in the meadow", "the lazy dog sleeps all day",
		"a red fox hunts rabbits at night", "foxes and wolves are canines like the dog", "owls hunt mice at night", "night falls over the meadow",
	},
	"cars":   {"a red sports car", "the electric car charges at night", "an old lazy engine", "red paint for cars"},
	"meant":  {"red fox", "lazy dog", "night owl", "green meadow"}, // by vectors alone
	"hybrid": {"red fox in the snow", "white snow at night", "a dog in the snow", "red dog"},
}

func newLibrary(t *testing.T) *embedded {
	t.Helper()
	w := newEmbedded(t)
	w.ok("PUT", "/auth/embedding", w.admin, w.model.spec(), 200)
	for name, texts := range library {
		w.shelve(w.mine, name, texts)
	}
	return w
}

func (w *embedded) shelve(id tenant.ID, name string, texts []string) {
	w.t.Helper()
	var c collection.Config
	if name != "meant" {
		c.Text = []collection.TextParams{collection.DefaultText()}
	}
	embeds := name == "meant" || name == "hybrid"
	if embeds {
		c.Vectors = []collection.VectorParams{{Size: modelDimension, Distance: collection.Cosine}}
		c.Extra = map[string]any{embeddingMember: embeddingParams{model: "words", dimension: modelDimension}.kept()}
	}
	ctx, tc := w.t.Context(), adminOf(id)
	noError(w.t, w.data.CreateCollection(ctx, tc, name, c, collection.ChangeOptions{}))
	var points []collection.Point
	for i, text := range texts {
		p := collection.Point{ID: collection.NumID(uint64(i + 1)), Payload: collection.Payload{"text": text, "odd": i%2 == 0, "n": int64(i + 1)}}
		if embeds {
			p.Vector = wordVector(text)
		}
		points = append(points, p)
	}
	_, err := w.data.Write(ctx, tc, name, collection.Write{Upsert: points}, collection.WriteOptions{Wait: true})
	noError(w.t, err)
}

// hitJSON is a hit as a client sees it.
type hitJSON struct {
	Collection string
	ID         string
	Score      float64
	Rerank     *float64 `json:"rerank_score"`
	Payload    map[string]any
}

func (h hitJSON) String() string { return h.Collection + "/" + h.ID }

type searchedJSON struct {
	Results     []hitJSON
	QueryType   string `json:"query_type"`
	Total       int    `json:"total_results"`
	Collections json.RawMessage
}

func (w *embedded) search(path, body string) searchedJSON {
	w.t.Helper()
	var a searchedJSON
	got := w.ok("POST", path, w.writer, body, 200)
	if err := json.Unmarshal([]byte(got.text), &a); err != nil || a.Total != len(a.Results) {
		w.t.Fatalf("%s: %v", got.text, err)
	}
	return a
}

func (a *searchedJSON) names() []string {
	var out []string
	for _, h := range a.Results {
		out = append(out, h.String())
	}
	return out
}

func (a *searchedJSON) kinds(t *testing.T) []string {
	t.Helper()
	var forms []struct{ Queries []variant }
	if err := json.Unmarshal(a.Collections, &forms); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range forms {
		for _, v := range f.Queries {
			out = append(out, v.Kind)
		}
	}
	return out
}

// newReranker scores documents by their length, the shortest best.
func newReranker(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Documents []string }
		_ = json.NewDecoder(r.Body).Decode(&q)
		var items []string
		for i, d := range q.Documents {
			items = append(items, fmt.Sprintf(`{"index":%d,"relevance_score":%g}`, i, 1/float64(1+len(d))))
		}
		_, _ = io.WriteString(w, `{"results":[`+strings.Join(items, ",")+`]}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func byLength(hits []hitJSON) bool {
	return slices.IsSortedFunc(hits, func(a, b hitJSON) int { return len(a.Payload["text"].(string)) - len(b.Payload["text"].(string)) })
}

func TestSemanticSearch(t *testing.T) {
	w := newLibrary(t)
	const path = "/semantic_search"
	all := w.search(path, `{"query":"red dog","collection":"meant","max_results":100}`)
	if len(all.Results) != 4 || all.QueryType != "semantic" || !slices.Contains(all.names()[:2], "meant/1") || !slices.Contains(all.names()[:2], "meant/2") {
		t.Errorf("%+v", all)
	}
	if one := w.search(path, `{"query":"red dog","collection":"meant","max_results":1}`); !slices.Equal(one.names(), all.names()[:1]) {
		t.Errorf("max_results: %v of %v", one.names(), all.names())
	}
	bar := all.Results[1].Score
	above := w.search(path, fmt.Sprintf(`{"query":"red dog","collection":"meant","similarity_threshold":%g}`, bar))
	if len(above.Results) != 1 && all.Results[0].Score > bar || len(above.Results) > 1 {
		t.Errorf("threshold %g: %+v", bar, above.Results)
	}
	odd := w.search(path, `{"query":"red dog","collection":"meant","filter":{"must":[{"key":"odd","match":{"value":true}}]}}`)
	if !slices.Equal(slices.Sorted(slices.Values(odd.names())), []string{"meant/1", "meant/3"}) {
		t.Errorf("%v", odd.names())
	}
	if hybrid := w.search(path, `{"query":"snow","collection":"hybrid"}`); hybrid.QueryType != "semantic" || len(hybrid.Results) != 4 {
		t.Errorf("%+v", hybrid)
	}
	w.ok("POST", path, w.writer, `{"query":"red","collection":"animals"}`, 409).hasCode("NO_EMBEDDING_ENDPOINT")
	w.ok("POST", path, w.writer, `{"query":"red","collection":"absent"}`, 404)
	w.ok("POST", path, w.their, `{"query":"red","collection":"meant"}`, 404)

	for _, name := range []string{"semantic_reranking", "cross_encoder_reranking"} {
		body := `{"query":"green meadow","collection":"meant","` + name + `":true}`
		if got := w.ok("POST", path, w.writer, body, 400); !strings.Contains(got.text, name) {
			t.Errorf("%s", got.text)
		}
		w.search(path, strings.Replace(body, "true", "false", 1))
		w.edge.embed.Rerank = embedding.Endpoint{URL: newReranker(t).URL, AllowPrivate: true}
		got := w.search(path, body)
		if !byLength(got.Results) || got.Results[0].Rerank == nil || got.Results[0].ID != "1" {
			t.Errorf("%+v", got.Results)
		}
		w.edge.embed.Rerank = embedding.Endpoint{}
	}
	w.ok("DELETE", "/auth/embedding", w.admin, "", 200)
	w.ok("POST", path, w.writer, `{"query":"red","collection":"meant"}`, 409).hasCode("NO_EMBEDDING_ENDPOINT")
}

func TestContextualSearch(t *testing.T) {
	w := newLibrary(t)
	const path = "/contextual_search"
	for name, kind := range map[string]string{"animals": "text", "hybrid": "hybrid", "meant": "semantic"} {
		search := func(more string) searchedJSON {
			return w.search(path, `{"query":"red dog night","collection":"`+name+`","max_results":100`+more+`}`)
		}
		all := search("")
		if all.QueryType != kind || len(all.Results) < 3 {
			t.Errorf("%s: %+v", name, all)
		}
		for filter, keep := range map[string]func(map[string]any) bool{
			`,"context_filters":{"odd":true}`:                                                   func(p map[string]any) bool { return p["odd"] == true },
			`,"context_filters":{"n":2}`:                                                        func(p map[string]any) bool { return p["n"] == 2.0 },
			`,"context_filters":{"n":[1,4]}`:                                                    func(p map[string]any) bool { return p["n"] == 1.0 || p["n"] == 4.0 },
			`,"context_filters":{"text":["red fox","red dog"]}`:                                 func(p map[string]any) bool { return p["text"] == "red fox" || p["text"] == "red dog" },
			`,"context_filters":{"n":[1,2,4],"odd":false}`:                                      func(p map[string]any) bool { return p["n"] == 2.0 || p["n"] == 4.0 },
			`,"filter":{"must":[{"key":"n","range":{"gte":3}}]}`:                                func(p map[string]any) bool { return p["n"].(float64) >= 3 },
			`,"context_filters":{"odd":true},"filter":{"must":[{"key":"n","range":{"gte":3}}]}`: func(p map[string]any) bool { return p["odd"] == true && p["n"].(float64) >= 3 },
			`,"context_filters":{"absent":1}`:                                                   func(map[string]any) bool { return false },
		} {
			var want []string
			for _, h := range all.Results {
				if keep(h.Payload) {
					want = append(want, h.String())
				}
			}
			got := search(filter)
			if !slices.Equal(slices.Sorted(slices.Values(got.names())), slices.Sorted(slices.Values(want))) {
				t.Errorf("%s %s: %v, want %v", name, filter, got.names(), want)
			}
		}
	}
	for _, bad := range []string{`"context_filters":{"a":{"gte":1}}`, `"context_filters":{"a":[1.5]}`, `"context_filters":{"a":null}`, `"context_filters":{"":1}`, `"context_weight":0.3`, `"context_reranking":true`, `"domain_expansion":true`} {
		name, _, _ := strings.Cut(strings.Trim(bad, `"`), `"`)
		if got := w.ok("POST", path, w.writer, `{"query":"red","collection":"animals",`+bad+`}`, 400); !strings.Contains(got.text, name) {
			t.Errorf("%s: %s", bad, got.text)
		}
	}
	w.edge.embed.Rerank = embedding.Endpoint{URL: newReranker(t).URL, AllowPrivate: true}
	if got := w.search(path, `{"query":"red dog night","collection":"animals","context_reranking":true}`); !byLength(got.Results) || len(got.Results) < 3 {
		t.Errorf("%+v", got.Results)
	}
	w.ok("POST", path, w.writer, `{"query":"red","collection":"docs"}`, 400) // neither words nor an endpoint
}

func TestMultiCollectionSearch(t *testing.T) {
	w := newLibrary(t)
	const path = "/multi_collection_search"
	got := w.search(path, `{"query":"red night","collections":["cars","animals","hybrid"]}`)
	each := map[string][]string{}
	for _, h := range got.Results {
		each[h.Collection] = append(each[h.Collection], h.ID)
	}
	if len(each) != 3 || got.Results[0].Collection != "cars" || got.Results[1].Collection != "animals" || got.Results[2].Collection != "hybrid" {
		t.Errorf("%v", got.names())
	}
	for name, ids := range each {
		alone := w.search("/contextual_search", `{"query":"red night","collection":"`+name+`","max_results":5}`)
		var want []string
		for _, h := range alone.Results {
			want = append(want, h.ID)
		}
		if len(ids) > 5 || !slices.Equal(ids, want) {
			t.Errorf("%s: %v, alone %v", name, ids, want)
		}
	}
	turned := w.search(path, `{"query":"red night","collections":["animals","cars","hybrid"]}`)
	if turned.Results[0].Collection != "animals" || len(turned.Results) != len(got.Results) {
		t.Errorf("%v", turned.names())
	}
	if one := w.search(path, `{"query":"red night","collections":["cars","animals","hybrid"],"max_per_collection":1}`); !slices.Equal(one.names(), got.names()[:3]) {
		t.Errorf("%v", one.names())
	}
	if two := w.search(path, `{"query":"red night","collections":["cars","animals","hybrid"],"max_total_results":2}`); !slices.Equal(two.names(), got.names()[:2]) {
		t.Errorf("%v", two.names())
	}
	for body, status := range map[string]int{
		`{"query":"red","collections":[]}`:                                         400,
		`{"query":"red","collections":["cars","cars"]}`:                            400,
		`{"query":"","collections":["cars"]}`:                                      400,
		`{"query":"red","collections":["cars","absent"]}`:                          404,
		`{"query":"red","collections":["cars"],"max_per_collection":0}`:            400,
		`{"query":"red","collections":["cars"],"max_total_results":1001}`:          400,
		`{"query":"red","collections":["cars"],"cross_collection_reranking":true}`: 400,
		`{"query":"red","collections":["cars"],"similarity_treshold":0.1}`:         400,
		`{"query":"red","collections":["` + strings.Repeat(`cars","`, 32) + `x"]}`: 400,
		`{"query":"` + strings.Repeat("x", 8193) + `","collections":["cars"]}`:     400,
	} {
		w.ok("POST", path, w.writer, body, status)
	}
	_, narrowed := w.key(w.mine, tenant.ReadOnly, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"cars"}} })
	for _, search := range []string{path, "/intelligent_search"} {
		w.ok("POST", search, narrowed, `{"query":"red","collections":["cars","animals"]}`, 403)
		w.ok("POST", search, narrowed, `{"query":"red","collections":["cars","absent"]}`, 403)
		w.ok("POST", search, narrowed, `{"query":"red","collections":["cars"]}`, 200)
		w.ok("POST", search, w.their, `{"query":"red","collections":["cars"]}`, 404)
	}
	w.edge.embed.Rerank = embedding.Endpoint{URL: newReranker(t).URL, AllowPrivate: true}
	if got := w.search(path, `{"query":"red night","collections":["cars","animals"],"cross_collection_reranking":true}`); !byLength(got.Results) || got.Results[0].Rerank == nil {
		t.Errorf("%+v", got.Results)
	}
}

func TestIntelligentSearch(t *testing.T) {
	w := newLibrary(t)
	const path = "/intelligent_search"
	plain := w.search(path, `{"query":"what does the red fox hunt","collections":["animals"],"domain_expansion":false,"mmr_enabled":false}`)
	if kinds := plain.kinds(t); !slices.Equal(kinds, []string{"query"}) {
		t.Errorf("%v", kinds)
	}
	wide := w.search(path, `{"query":"what does the red fox hunt","collections":["animals"],"mmr_enabled":false}`)
	if kinds := wide.kinds(t); kinds[0] != "query" || !slices.Contains(kinds, "content") || len(kinds) < 3 {
		t.Errorf("%v", kinds)
	}
	if len(wide.Results) < len(plain.Results) {
		t.Errorf("expansion lost hits: %v, %v", wide.names(), plain.names())
	}
	for _, a := range []searchedJSON{plain, wide} {
		if slices.Contains(a.names(), "animals/2") && slices.Contains(a.names(), "animals/5") {
			t.Errorf("one text twice: %v", a.names())
		}
	}
	same := w.search(path, `{"query":"what does the red fox hunt","collections":["animals"],"mmr_lambda":1}`)
	if !slices.Equal(same.names(), wide.names()) {
		t.Errorf("lambda 1: %v, without MMR %v", same.names(), wide.names())
	}
	first := func(a searchedJSON, n int) float64 {
		sum := 0.0
		for i := range n {
			for j := range i {
				words := func(h hitJSON) []uint64 { return someWords(h.Payload["text"].(string)) }
				sum += inCommon(words(a.Results[i]), words(a.Results[j]))
			}
		}
		return sum
	}
	unlike := w.search(path, `{"query":"what does the red fox hunt","collections":["animals"],"mmr_lambda":0}`)
	if unlike.names()[0] != same.names()[0] || first(unlike, 3) >= first(same, 3) {
		t.Errorf("lambda 0 is no more diverse: %v, %v", unlike.names(), same.names())
	}
	if three := w.search(path, `{"query":"what does the red fox hunt","collections":["animals"],"max_results":3}`); len(three.Results) != 3 {
		t.Errorf("%v", three.names())
	}

	all := w.search(path, `{"query":"red fox night","max_results":100}`)
	seen := map[string]bool{}
	for _, h := range all.Results {
		seen[h.Collection] = true
	}
	if len(seen) != 4 { // docs has neither words nor an endpoint
		t.Errorf("%v", seen)
	}
	_, narrowed := w.key(w.mine, tenant.ReadOnly, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"cars"}} })
	if got := w.ok("POST", path, narrowed, `{"query":"red fox night"}`, 200); strings.Contains(got.text, "animals") || !strings.Contains(got.text, "cars") {
		t.Errorf("%s", got.text)
	}
	if got := w.ok("POST", path, w.their, `{"query":"red fox night"}`, 200); strings.Contains(got.text, "red fox in") {
		t.Errorf("another tenant's: %s", got.text)
	}
	for _, bad := range []string{`"technical_focus":true`, `"mmr_lambda":1.5`, `"mmr_lambda":-1`, `"max_results":0`, `"max_results":101`, `"collections":["cars","cars"]`, `"technical_fokus":false`} {
		name, _, _ := strings.Cut(strings.Trim(bad, `"`), `"`)
		if got := w.ok("POST", path, w.writer, `{"query":"red",`+bad+`}`, 400); !strings.Contains(got.text, name) {
			t.Errorf("%s: %s", bad, got.text)
		}
	}
	w.search(path, `{"query":"?!","collections":["animals"]}`)
	w.search(path, `{"query":"red","collections":["cars"],"technical_focus":false}`)
}

func TestExpansion(t *testing.T) {
	kinds := func(list []variant) (out []string) {
		for _, v := range list {
			out = append(out, v.Kind+":"+v.Text)
		}
		return out
	}
	for _, c := range []struct {
		query      string
		rare, more []string
		want       []string
	}{
		{"fox", nil, nil, []string{"query:fox"}},
		{"the fox", nil, nil, []string{"query:the fox", "content:fox"}},
		{"Fox fox", []string{"fox"}, nil, []string{"query:Fox fox"}},
		{"what is it", nil, nil, []string{"query:what is it"}},
		{"the red fox", []string{"fox"}, []string{"night"}, []string{"query:the red fox", "content:red fox", "rare:fox", "feedback:red fox night"}},
		{"赤い狐", nil, nil, []string{"query:赤い狐"}},
	} {
		if got := kinds(variants(c.query, c.rare, c.more)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.query, got, c.want)
		}
	}
	if got := rarest([]string{"a", "b", "c", "d", "e"}, []float32{1, 5, 0, 3, 4}); !slices.Equal(got, []string{"b", "d", "e"}) {
		t.Errorf("%v", got)
	}
	if got := feedback([]string{"fox"}, []string{"fox night meadow", "night fox the", "meadow fox night owl"}); !slices.Equal(got, []string{"night", "meadow"}) {
		t.Errorf("%v", got)
	}
}

// Choosing among long texts ends with the request, and looks at the beginning of
// each only.
func TestDiverseEnds(t *testing.T) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "word%d ", i)
	}
	list := make([]found, 300)
	for i := range list {
		list[i] = found{text: text.String()[i:], score: 1}
	}
	if n := len(someWords(text.String())); n != comparedWords {
		t.Errorf("%d words are compared", n)
	}
	if got, err := diverse(t.Context(), list, 100, 0.5); err != nil || len(got) != 100 {
		t.Errorf("%d hits, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := diverse(ctx, list, 100, 0.5); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
