package httpedge

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
)

func dense(v ...float32) *collection.Input { return &collection.Input{Dense: v} }

func byID(n uint64) *collection.Input {
	id := collection.NumID(n)
	return &collection.Input{ID: &id}
}

func sparse(index uint32, value float32) *collection.Input {
	return &collection.Input{Sparse: &collection.SparseVector{Indices: []uint32{index}, Values: []float32{value}}}
}

func TestQueries(t *testing.T) {
	e := newEdge(t, nil)
	u := must(collection.ParseUUID("f47ac10b58cc4372a5670e02b2c3d479"))
	half, yes := float32(.5), true
	rrf := func(k int, weights ...float64) *collection.Fusion {
		return &collection.Fusion{Kind: collection.FusionRRF, K: k, Weights: weights}
	}
	for body, want := range map[string]collection.Query{
		`{"query":[1,2]}`:                                                                                                            {Nearest: dense(1, 2), Limit: 10},
		`{"query":{"nearest":[1,2.0]},"using":""}`:                                                                                   {Nearest: dense(1, 2), Limit: 10},
		`{"query":{"nearest":[1,2],"mmr":null},"using":null}`:                                                                        {Nearest: dense(1, 2), Limit: 10},
		`{"query":3,"prefetch":[]}`:                                                                                                  {Nearest: byID(3), Limit: 10},
		`{"query":{"nearest":3},"prefetch":null,"lookup_from":null}`:                                                                 {Nearest: byID(3), Limit: 10},
		`{"query":"f47ac10b58cc4372a5670e02b2c3d479","with_payload":false,"with_vector":false}`:                                      {Nearest: &collection.Input{ID: &u}, Limit: 10},
		`{"limit":2,"offset":1,"filter":{},"query":null}`:                                                                            {Limit: 2, Offset: 1, Filter: &collection.Filter{}},
		`{"query":{"indices":[7],"values":[1.5]},"using":"s"}`:                                                                       {Nearest: sparse(7, 1.5), Using: "s", Limit: 10},
		`{"query":{"nearest":{"values":[1],"indices":[7]}}}`:                                                                         {Nearest: sparse(7, 1), Limit: 10},
		`{"query":{"nearest":1,"mmr":{}}}`:                                                                                           {Nearest: byID(1), MMR: &collection.MMR{Diversity: .5}, Limit: 10},
		`{"query":{"mmr":{"diversity":null,"candidates_limit":null},"nearest":1}}`:                                                   {Nearest: byID(1), MMR: &collection.MMR{Diversity: .5}, Limit: 10},
		`{"query":{"nearest":[1],"mmr":{"diversity":0.25,"candidates_limit":99}}}`:                                                   {Nearest: dense(1), MMR: &collection.MMR{Diversity: .25, Candidates: 99}, Limit: 10},
		`{"query":[1],"using":"image","lookup_from":{"collection":"other","vector":null},"with_vectors":["image","s"]}`:              {Nearest: dense(1), Using: "image", LookupFrom: &collection.LookupFrom{Collection: "other"}, Limit: 10, WithVector: collection.VectorSelector{Names: []string{"image", "s"}}},
		`{"query":{"recommend":{"positive":[1,[2]],"negative":null,"strategy":null}},"lookup_from":{"collection":"b","vector":"v"}}`: {Recommend: &collection.Recommend{Positive: []collection.Input{*byID(1), *dense(2)}}, LookupFrom: &collection.LookupFrom{Collection: "b", Vector: new("v")}, Limit: 10},
		`{"query":{"recommend":{"positive":[1],"negative":[{"indices":[1],"values":[2]}],"strategy":"average_vector"}}}`:             {Recommend: &collection.Recommend{Positive: []collection.Input{*byID(1)}, Negative: []collection.Input{*sparse(1, 2)}}, Limit: 10},
		`{"query":{"fusion":"rrf"},"prefetch":{"query":[1],"limit":7}}`:                                                              {Fusion: rrf(2), Prefetch: []collection.Query{{Nearest: dense(1), Limit: 7}}, Limit: 10},
		`{"query":{"rrf":{}},"prefetch":[{"query":[1],"using":"a"}]}`:                                                                {Fusion: rrf(2), Prefetch: []collection.Query{{Nearest: dense(1), Using: "a", Limit: 10}}, Limit: 10},
		`{"query":{"rrf":{"k":60,"weights":[3,0.5]}},"prefetch":[{"query":1},{"query":2,"score_threshold":0.5,"filter":{},"params":{"exact":true},"lookup_from":{"collection":"o"}}]}`: {
			Fusion: rrf(60, 3, .5), Limit: 10, Prefetch: []collection.Query{
				{Nearest: byID(1), Limit: 10},
				{Nearest: byID(2), Limit: 10, ScoreThreshold: &half, Filter: &collection.Filter{}, Params: collection.SearchParams{Exact: true}, LookupFrom: &collection.LookupFrom{Collection: "o"}},
			},
		},
		`{"query":[1],"prefetch":[{"prefetch":{"query":1},"query":{"fusion":"dbsf"}}]}`: {Nearest: dense(1), Limit: 10, Prefetch: []collection.Query{
			{Fusion: &collection.Fusion{Kind: collection.FusionDBSF}, Limit: 10, Prefetch: []collection.Query{{Nearest: byID(1), Limit: 10}}},
		}},
		`{"query":[1,2],"limit":5,"offset":2,"score_threshold":0.5,"filter":{},"params":{"hnsw_ef":128,"exact":true,"quantization":{"ignore":true,"rescore":true,"oversampling":2.5},"indexed_only":true,"acorn":{"enable":true}},"with_vector":true,"extra":{"x":[]}}`: {
			Nearest: dense(1, 2), Limit: 5, Offset: 2, ScoreThreshold: &half, Filter: &collection.Filter{}, WithVector: collection.VectorSelector{All: true},
			Params: collection.SearchParams{Ef: 128, Exact: true, IndexedOnly: true, Quantization: collection.QuantizationParams{Ignore: true, Rescore: &yes, Oversampling: 2.5}},
		},
		`{"query":[1],"params":{"quantization":{"ignore":null,"rescore":null,"oversampling":null}}}`: {Nearest: dense(1), Limit: 10},
	} {
		e.q("POST", "/collections/docs/points/query", body).resultIs(`{"points":[]}`)
		e.calledWith("query", want)
		e.q("POST", "/collections/docs/points/query/batch", `{"searches":[`+body+`]}`).resultIs(`[{"points":[]}]`)
		e.calledWith("query", want)
	}
	for body, want := range map[string]collection.PayloadSelector{
		`true`: {All: true}, `["a"]`: {Include: []string{"a"}}, `{"include":["a","b[].c"]}`: {Include: []string{"a", "b[].c"}},
		`{"exclude":["a"]}`: {Exclude: []string{"a"}}, `{"exclude":[]}`: {All: true, Exclude: []string{}}, `null`: {}, `false`: {},
	} {
		e.q("POST", "/collections/docs/points/query", `{"query":[1],"with_payload":`+body+`}`).result()
		e.calledWith("query", collection.Query{Nearest: dense(1), Limit: 10, WithPayload: want})
	}
}

// The older searches are queries in other words.
func TestOlderSearches(t *testing.T) {
	e := newEdge(t, nil)
	half := float32(.5)
	recommend := func(in ...collection.Input) *collection.Recommend { return &collection.Recommend{Positive: in} }
	for _, c := range []struct {
		path, body string
		want       collection.Query
	}{
		{"search", `{"vector":[1,2],"limit":3}`, collection.Query{Nearest: dense(1, 2), Limit: 3}},
		{"search", `{"vector":{"name":"a","vector":[1]},"top":3,"offset":null,"score_threshold":0.5,"with_payload":true,"with_vector":["a"]}`, collection.Query{
			Nearest: dense(1), Using: "a", Limit: 3, ScoreThreshold: &half, WithPayload: wholePayload, WithVector: collection.VectorSelector{Names: []string{"a"}},
		}},
		{"search", `{"vector":{"vector":{"indices":[1],"values":[2]},"name":"s"},"limit":1,"params":{"exact":true},"filter":{}}`, collection.Query{
			Nearest: sparse(1, 2), Using: "s", Limit: 1, Filter: &collection.Filter{}, Params: collection.SearchParams{Exact: true},
		}},
		{"recommend", `{"positive":[1,[1]],"limit":3,"using":"a","lookup_from":{"collection":"o"}}`, collection.Query{
			Recommend: recommend(*byID(1), *dense(1)), Using: "a", Limit: 3, LookupFrom: &collection.LookupFrom{Collection: "o"},
		}},
		{"recommend", `{"positive":[1],"negative":[],"strategy":"average_vector","limit":3,"offset":2}`, collection.Query{Recommend: recommend(*byID(1)), Limit: 3, Offset: 2}},
	} {
		e.engine.hits = []collection.Hit{{ID: collection.NumID(9), Score: 2}}
		const hit = `{"id":9,"version":0,"score":2.0`
		one := e.q("POST", "/collections/docs/points/"+c.path, c.body).result()
		e.calledWith("query", c.want)
		both := e.q("POST", "/collections/docs/points/"+c.path+"/batch", `{"searches":[`+c.body+`,`+c.body+`]}`).result()
		if !strings.HasPrefix(one, "["+hit) || both != "["+one+","+one+"]" {
			t.Errorf("%s: %s\n%s", c.body, one, both)
		}
		if calls := e.engine.take(); len(calls) != 2 || !reflect.DeepEqual(calls[1].arg, c.want) {
			t.Errorf("%+v", calls)
		}
	}
}

func TestHits(t *testing.T) {
	e := newEdge(t, nil)
	u := must(collection.ParseUUID("f47ac10b58cc4372a5670e02b2c3d479"))
	e.engine.hits = []collection.Hit{
		{ID: collection.NumID(1), Version: 1 << 40, Score: 1},
		{ID: u, Score: 0.25, Payload: collection.Payload{"a": "b"}, Vector: []float32{2}},
		{ID: u, Vector: []float32{2}, Vectors: []collection.NamedVector{{Name: `q"`, Dense: []float32{-1}}, {Name: "s", Sparse: &collection.SparseVector{Indices: []uint32{1, 4294967295}, Values: []float32{.5, 1}}}}},
		{ID: u, Vectors: []collection.NamedVector{{Name: "s", Sparse: &collection.SparseVector{}}}},
	}
	e.q("POST", "/collections/docs/points/query", `{"query":[1],"with_payload":true,"with_vector":true}`).resultIs(`{"points":[` +
		`{"id":1,"version":16777216,"score":1.0,"payload":{},"vector":{}},` +
		`{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","version":0,"score":0.25,"payload":{"a":"b"},"vector":[2.0]},` +
		`{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","version":0,"score":0.0,"payload":{},"vector":{"":[2.0],"q\"":[-1.0],"s":{"indices":[1,4294967295],"values":[0.5,1.0]}}},` +
		`{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","version":0,"score":0.0,"payload":{},"vector":{"s":{"indices":[],"values":[]}}}]}`)
	e.q("POST", "/collections/docs/points/query", `{"query":[1],"limit":4}`).resultIs(`{"points":[{"id":1,"version":16777216,"score":1.0},` +
		`{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","version":0,"score":0.25},{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","version":0,"score":0.0},{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","version":0,"score":0.0}]}`)
}

// nested is a query with prefetches in one another, so many levels in all.
func nested(levels int) string {
	text := `{"query":1}`
	for range levels - 1 {
		text = `{"query":1,"prefetch":` + text + `}`
	}
	return text
}

func repeated(what string, n int) string {
	return strings.TrimSuffix(strings.Repeat(what+",", n), ",")
}

func TestQueryLimits(t *testing.T) {
	e := newEdge(t, nil)
	fusion := func(n int) string {
		return `{"query":{"fusion":"rrf"},"prefetch":[` + repeated(`{"query":1}`, n) + `]}`
	}
	examples := func(n int) string { return `{"query":{"recommend":{"positive":[` + repeated("1", n) + `]}}}` }
	searches := func(n, limit int) string {
		return `{"searches":[` + repeated(fmt.Sprintf(`{"query":1,"limit":%d}`, limit), n) + `]}`
	}
	fused := func(n, prefetches int) string { return `{"searches":[` + repeated(fusion(prefetches), n) + `]}` }
	names := func(n int) string { return `{"query":1,"with_vector":[` + repeated(`"a"`, n) + `]}` }
	for _, c := range []struct{ path, at, past string }{
		{"query", nested(8), nested(9)},
		{"query", fusion(64), fusion(65)},
		{"query", examples(1024), examples(1025)},
		{"query", names(64), names(65)},
		{"query", `{"query":1,"limit":10000}`, `{"query":1,"limit":10001}`},
		{"query", `{"query":1,"limit":9999,"offset":1}`, `{"query":1,"limit":9999,"offset":2}`},
		{"query", `{"query":1,"limit":1}`, `{"query":1,"limit":0}`},
		{"query", `{"query":1,"params":{"hnsw_ef":10000}}`, `{"query":1,"params":{"hnsw_ef":10001}}`},
		{"query", `{"query":1,"params":{"quantization":{"oversampling":1}}}`, `{"query":1,"params":{"quantization":{"oversampling":0.99}}}`},
		{"query", `{"query":1,"params":{"quantization":{"oversampling":1}}}`, `{"query":1,"params":{"quantization":{"oversampling":0}}}`},
		{"query", `{"query":{"nearest":1,"mmr":{"diversity":1}}}`, `{"query":{"nearest":1,"mmr":{"diversity":1.01}}}`},
		{"query", `{"query":{"nearest":1,"mmr":{"candidates_limit":10000}}}`, `{"query":{"nearest":1,"mmr":{"candidates_limit":10001}}}`},
		{"query", `{"query":{"rrf":{"k":1}},"prefetch":{"query":1}}`, `{"query":{"rrf":{"k":0}},"prefetch":{"query":1}}`},
		{"query", `{"query":{"rrf":{"weights":[1]}},"prefetch":{"query":1}}`, `{"query":{"rrf":{"weights":[1,1]}},"prefetch":{"query":1}}`},
		{"query", `{"query":{"rrf":{"weights":[0]}},"prefetch":{"query":1}}`, `{"query":{"rrf":{"weights":[-1]}},"prefetch":{"query":1}}`},
		{"query", `{"query":{"fusion":"rrf"},"prefetch":[` + repeated(`{"query":1,"limit":10000}`, 7) + `]}`, `{"query":{"fusion":"rrf"},"prefetch":[` + repeated(`{"query":1,"limit":10000}`, 8) + `]}`},
		{"query", `{"query":1,"lookup_from":{"collection":"` + strings.Repeat("c", 255) + `"}}`, `{"query":1,"lookup_from":{"collection":"` + strings.Repeat("c", 256) + `"}}`},
		{"query/batch", searches(1000, 100), searches(1001, 1)},
		{"query/batch", fused(1000, 9), fused(1000, 10)}, // 1,000 of 10 and 9 times 10
		{"query/batch", searches(10, 10_000), searches(10, 10_000)[:len(searches(10, 10_000))-2] + `,{"query":1,"limit":1}]}`},
	} {
		e.q("POST", "/collections/docs/points/"+c.path, c.at).is(200, "")
		if calls := e.engine.take(); len(calls) == 0 {
			t.Errorf("%.80s: no call", c.at)
		}
		got := e.q("POST", "/collections/docs/points/"+c.path, c.past)
		if calls := e.engine.take(); calls != nil || got.status != 422 && got.status != 413 && got.status != 400 {
			t.Errorf("past the limit: %.80s\n%d %s, %d calls", c.past, got.status, got.text, len(calls))
		}
	}
}

func TestQueryErrors(t *testing.T) {
	e := newEdge(t, nil)
	for _, c := range []struct{ path, body, want string }{
		{"query", `{"query":{}}`, "400 Format error in JSON body: Expected some form of vector, id, or a type of query at line 1 column 12"},
		{"query", `{"query":{"frobnicate":1}}`, "400 Format error in JSON body: Expected some form of vector, id, or a type of query"},
		{"query", `{"query":{"fusion":"sum"},"prefetch":{"query":1}}`, "400 Format error in JSON body: Expected some form of vector, id, or a type of query"},
		{"query", `{"query":{"fusion":null}}`, "400 Format error in JSON body: Expected some form of vector"},
		{"query", `{"query":{"indices":[1]}}`, "400 Format error in JSON body: "},
		{"query", `{"query":{"indices":[1],"values":[1,2]}}`, "422 Validation error in JSON body: [vector.values: must be the same length as indices]"},
		{"query", `{"query":{"fusion":"rrf"}}`, "400 Bad request: cannot apply Fusion without prefetches"},
		{"query", `{"prefetch":{"query":[1]}}`, "400 Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query."},
		{"query", `{"score_threshold":0.5}`, "400 Bad request: A query is needed to use the score_threshold. Can't have score_threshold without defining a query."},
		{"query", `{"query":{"recommend":{"negative":[1]}}}`, "400 Bad request: At least one positive vector ID required with this strategy"},
		{"query", `{"query":{"recommend":{"positive":[1],"strategy":"best_score"}}}`, "501 Not implemented: strategy best_score is not supported yet"},
		{"query", `{"query":{"recommend":{"positive":[1],"strategy":"worst"}}}`, "400 Format error in JSON body: unknown variant"},
		{"query", `{"query":{"order_by":"price"}}`, "501 Not implemented: query.order_by is not supported yet"},
		{"query", `{"query":{"sample":"random"}}`, "501 Not implemented: query.sample"},
		{"query", `{"query":{"formula":{}}}`, "501 Not implemented: query.formula"},
		{"query", `{"query":{"discover":{"target":1,"context":[]}}}`, "501 Not implemented: query.discover"},
		{"query", `{"query":{"context":[]}}`, "501 Not implemented: query.context"},
		{"query", `{"query":{"text":"x","model":"m"}}`, "501 Not implemented: "},
		{"query", `{"query":{"nearest":{"text":"x","model":"m"}}}`, "501 Not implemented: "},
		{"query", `{"query":[[1]]}`, "501 Not implemented: vectors of several vectors"},
		{"query", `{"query":1,"shard_key":"a"}`, "501 Not implemented: shard_key"},
		{"query", `{"query":1,"lookup_from":{}}`, "400 Format error in JSON body: missing field `collection`"},
		{"query", `{"query":1,"lookup_from":{"collection":"a","shard_key":"k"}}`, "501 Not implemented: lookup_from.shard_key"},
		{"query", `{"query":1,"prefetch":7}`, "400 Format error in JSON body: invalid type: integer `7`, expected a sequence"},
		{"query", `{"query":{"nearest":1,"mmr":7}}`, "400 Format error in JSON body: invalid type: integer `7`, expected a map"},
		{"query/batch", `{}`, "400 Format error in JSON body: missing field `searches`"},
		{"query/batch", `{"searches":[{"query":1},{"query":1,"limit":0}]}`, "422 Validation error in JSON body: [limit: value 0 invalid"},
		{"search", `{"vector":[1]}`, "400 Format error in JSON body: missing field `limit`"},
		{"search", `{"limit":1}`, "400 Format error in JSON body: missing field `vector`"},
		{"search", `{"vector":{"vector":[1]},"limit":1}`, "400 Format error in JSON body: data did not match any variant of untagged enum NamedVectorStruct"},
		{"search", `{"vector":[1],"limit":0}`, "422 Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]"},
		{"recommend", `{"positive":[1]}`, "400 Format error in JSON body: missing field `limit`"},
		{"recommend", `{"limit":1}`, "400 Bad request: At least one positive vector ID required with this strategy"},
		{"recommend", `{"positive":[1],"limit":1,"strategy":"sum_scores"}`, "501 Not implemented: strategy sum_scores is not supported yet"},
		{"query?timeout=0", `{"query":1}`, "422 Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]"},
		{"search/batch?consistency=none", `{"searches":[]}`, "400 Deserialize error in query parameters: consistency"},
	} {
		got := e.q("POST", "/collections/docs/points/"+c.path, c.body)
		if text := fmt.Sprint(got.status, " ", got.qdrantError()); !strings.HasPrefix(text, c.want) {
			t.Errorf("%s %s\ngot  %s\nwant %s", c.path, c.body, text, c.want)
		}
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}
