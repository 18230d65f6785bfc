package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// without are the operations that no method is for, and what is there instead.
var without = map[string]string{
	"search_vectors":     "Collection.Search, with the collection in the path",
	"find_vector":        "Collection.Get, which needs no body",
	"change_vector":      "Collection.UpdateVector, which names the vector in the path",
	"remove_vector":      "Collection.DeleteVector, which names the vector in the path",
	"batch_insert_texts": "Collection.InsertTexts: the same by an older name",

	"upload_file":            "Collection.Upload sends a form, see TestUpload",
	"get_file_upload_config": "the limits are the server's to hold",
}

// calls is a call of each operation, the body that it sends ("" for none), and
// an answer with what the call makes of it.
var calls = map[string]struct {
	call         func(ctx context.Context, c *Client) (any, error)
	body, answer string
	want         any
}{
	"list_collections": {
		func(ctx context.Context, c *Client) (any, error) {
			all, err := c.Collections(ctx)
			return []any{len(all), all[0].Name, all[0].Dimension, all[0].Metric, all[0].CreatedAt.Unix()}, err
		},
		"", `{"collections":[{"name":"n","dimension":3,"metric":"dot","created_at":"1970-01-01T00:00:07Z"}]}`,
		[]any{1, "n", 3, MetricDot, int64(7)},
	},
	"create_collection": {
		func(ctx context.Context, c *Client) (any, error) {
			k, err := c.Create(ctx, NewCollection{Name: "a b", Dimension: 3, Metric: MetricDot, Text: &TextParams{StopWords: []string{"the"}}})
			return k.Name(), err
		},
		`{"name":"a b","dimension":3,"metric":"dot","text":{"stop_words":["the"]}}`, `{}`, "a b",
	},
	"get_collection_info": {
		func(ctx context.Context, c *Client) (any, error) {
			d, err := c.Collection("a b").Info(ctx)
			return d.VectorCount, err
		},
		"", `{"vector_count":18446744073709551615}`, uint64(math.MaxUint64),
	},
	"update_collection": {
		func(ctx context.Context, c *Client) (any, error) {
			d, err := c.Collection("a b").Update(ctx, &HNSW{M: 8}, nil)
			return d.HNSW, err
		},
		`{"hnsw":{"m":8}}`, `{"hnsw":{"m":8}}`, &HNSW{M: 8},
	},
	"delete_collection":  {func(ctx context.Context, c *Client) (any, error) { return nil, c.Collection("a b").Drop(ctx) }, "", `{}`, nil},
	"get_database_stats": {func(ctx context.Context, c *Client) (any, error) { return c.Stats(ctx) }, "", `{"vectors":7}`, Stats{Vectors: 7}},
	"import_vectors": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").Import(ctx, strings.NewReader("{}\n{}\n"), false)
		},
		"{}\n{}\n", `{"lines":2,"imported":2,"points":3,"failed":1,"errors":[{"line":1,"error":"e"}]}`,
		Imported{2, 2, 3, 1, []LineFault{{1, "e"}}},
	},
	"export_vectors": {
		func(ctx context.Context, c *Client) (any, error) {
			var ids strings.Builder
			for v, err := range c.Collection("a b").Export(ctx) {
				if ids.WriteString(v.ID + ";"); err != nil {
					ids.WriteString(err.Error())
				}
			}
			return ids.String(), nil
		},
		"", `{"id":"x","vector":[1]}` + "\n" + `{"id":"y"}` + "\n" + `{"id":"z`, "x;y;;the export broke off: unexpected EOF",
	},
	"get_usage": {
		func(ctx context.Context, c *Client) (any, error) { return c.UsageNow(ctx) },
		"", `{"plan":"pro","vectors":{"used":1,"limit":5},"storage_bytes":{"used":7}}`,
		UsageNow{Plan: "pro", Vectors: Share{1, new(int64(5))}, Storage: Share{Used: 7}},
	},
	"insert_vectors": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").InsertVectors(ctx, []Vector{
				{ID: "x", Values: []float32{1, -0.5}, Payload: map[string]any{"k": "<v>"}}, {Values: []float32{1}}, {Sparse: map[string]*Sparse{"s": {[]uint32{1}, []float32{2}}}},
			})
		},
		`{"collection":"a b","vectors":[{"vector":[1,-0.5],"id":"x","payload":{"k":"\u003cv\u003e"}},{"vector":[1]},{"sparse":{"s":{"indices":[1],"values":[2]}}}]}`,
		`{"vector_ids":["x","y","z"]}`,
		[]string{"x", "y", "z"},
	},
	"list_vectors": {
		func(ctx context.Context, c *Client) (any, error) { return c.Collection("a b").ListVectors(ctx, List{}) },
		"", `{"vectors":[{"id":"7","payload":{"n":9007199254740993}}],"total":1,"next_cursor":"8"}`,
		VectorPage{Vectors: []Vector{{ID: "7", Payload: map[string]any{"n": json.Number("9007199254740993")}}}, Total: 1, Next: "8"},
	},
	"get_vector": {
		func(ctx context.Context, c *Client) (any, error) { return c.Collection("a b").Get(ctx, "c/d") },
		"", `{"id":"c/d","vector":[1]}`,
		Vector{ID: "c/d", Values: []float32{1}},
	},
	"update_vector": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").UpdateVector(ctx, "c/d", Change{Payload: map[string]any{"k": nil}})
		},
		`{"payload":{"k":null}}`, `{"id":"c/d"}`,
		Vector{ID: "c/d"},
	},
	"batch_update": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("n").UpdateVectors(ctx, []VectorChange{{"x", Change{Values: []float32{1}}}})
		},
		`{"collection":"n","updates":[{"id":"x","vector":[1]}]}`, `{"missing":["x"]}`,
		[]string{"x"},
	},
	"delete_vector": {func(ctx context.Context, c *Client) (any, error) {
		return nil, c.Collection("a b").DeleteVector(ctx, "c/d")
	}, "", `{}`, nil},
	"batch_delete": {
		func(ctx context.Context, c *Client) (any, error) { return c.Collection("n").DeleteVectors(ctx, nil) },
		`{"collection":"n","ids":[]}`, `{"deleted":3}`, 3,
	},
	"delete_by_filter": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").DeleteWhere(ctx, Filter{Must: []Condition{Equals("k", 1)}})
		},
		`{"filter":{"must":[{"key":"k","match":{"value":1}}]}}`, `{"deleted":3}`, 3,
	},
	"bulk_update_metadata": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").UpdateWhere(ctx, Filter{Must: []Condition{Equals("k", 1)}}, map[string]any{"k": 2})
		},
		`{"filter":{"must":[{"key":"k","match":{"value":1}}]},"patch":{"k":2}}`, `{"updated":3}`, 3,
	},
	"copy_vectors": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").Copy(ctx, Transfer{Destination: "n", Filter: &Filter{}, Cursor: "7"})
		},
		`{"destination":"n","filter":{},"cursor":"7"}`, `{"copied":3,"missing":[],"next_cursor":"8"}`,
		Transferred{Copied: 3, Missing: []string{}, Next: "8"},
	},
	"move_vectors": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").Move(ctx, Transfer{Destination: "n", IDs: []string{"x"}})
		},
		`{"destination":"n","ids":["x"]}`, `{"copied":1,"moved":1}`,
		Transferred{Copied: 1, Moved: 1},
	},
	"search_collection": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").Search(ctx, VectorSearch{Values: []float32{1}, Limit: 3, Threshold: new(float32(0)), Shown: Shown{NoPayload: true, Vector: true}})
		},
		`{"vector":[1],"limit":3,"threshold":0,"with_payload":false,"with_vector":true}`,
		`{"results":[{"id":"x","vector":[1],"score":0.5}]}`,
		[]Hit{{Vector{ID: "x", Values: []float32{1}}, 0.5}},
	},
	"batch_search": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("n").SearchBatch(ctx, []VectorSearch{{Values: []float32{1}}, {Values: []float32{2}, Shown: Shown{Paths: []string{"a.b"}}}})
		},
		`{"collection":"n","queries":[{"vector":[1]},{"vector":[2],"payload":["a.b"]}]}`, `{"results":[[],[{"id":"x","score":1}]]}`,
		[][]Hit{{}, {{Vector{ID: "x"}, 1}}},
	},
	"insert_text": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("n").InsertText(ctx, Text{ID: "x", Text: "t", Payload: map[string]any{"k": 1}}, Chunking{Size: new(99)})
		},
		`{"collection":"n","id":"x","text":"t","payload":{"k":1},"chunk_size":99}`, `{"id":"x","vector_ids":["x#0"],"chunked":true}`,
		TextInserted{"x", []string{"x#0"}, true},
	},
	"insert_texts": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("n").InsertTexts(ctx, []Text{{Text: "t"}}, Chunking{Auto: new(false)})
		},
		`{"collection":"n","texts":[{"text":"t"}],"auto_chunk":false}`, `{"results":[{"client_id":"x","vector_ids":["x"],"chunked":false}]}`,
		[]TextInserted{{"x", []string{"x"}, false}},
	},
	"search_text": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").SearchText(ctx, TextSearch{Query: "q"})
		},
		`{"query":"q"}`, `{"results":[{"id":"x","score":2}]}`,
		[]Hit{{Vector{ID: "x"}, 2}},
	},
	"hybrid_search": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("a b").SearchHybrid(ctx, HybridSearch{Query: "q", Alpha: new(0.0), Limit: 5})
		},
		`{"query":"q","alpha":0,"final_k":5}`, `{"results":[{"id":"x","score":2}],"sources":["text"]}`,
		HybridHits{[]Hit{{Vector{ID: "x"}, 2}}, []string{"text"}},
	},
	"search_semantic": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("n").SearchSemantic(ctx, SemanticSearch{Query: "q", Rerank: true})
		},
		`{"collection":"n","query":"q","semantic_reranking":true}`, `{"results":[{"id":"x","score":2,"rerank_score":0}]}`,
		[]Found{{ID: "x", Score: 2, Rerank: new(0.0)}},
	},
	"contextual_search": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.Collection("n").SearchInContext(ctx, ContextSearch{Query: "q", Context: map[string]any{"k": 1}})
		},
		`{"collection":"n","query":"q","context_filters":{"k":1}}`, `{"results":[]}`,
		[]Found{},
	},
	"multi_collection_search": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.SearchCollections(ctx, MultiSearch{Query: "q", Collections: []string{"n"}, Each: 2})
		},
		`{"query":"q","collections":["n"],"max_per_collection":2}`, `{"results":[{"collection":"n","id":"x","score":2}]}`,
		[]Found{{Collection: "n", ID: "x", Score: 2}},
	},
	"search_intelligent": {
		func(ctx context.Context, c *Client) (any, error) {
			a, err := c.SearchIntelligent(ctx, IntelligentSearch{Query: "q", MMR: new(false)})
			return []any{a.Results, a.Forms[0].Queries[0].Text, a.Forms[0].Queries[0].Weight}, err
		},
		`{"query":"q","mmr_enabled":false}`, `{"results":[],"collections":[{"collection":"n","queries":[{"text":"q","kind":"query","weight":0.5}]}]}`,
		[]any{[]Found{}, "q", 0.5},
	},
	"embed_text": {
		func(ctx context.Context, c *Client) (any, error) { return c.Embed(ctx, "t") },
		`{"text":"t"}`, `{"embedding":[1,2]}`,
		[]float32{1, 2},
	},
	"get_embedding_endpoint": {
		func(ctx context.Context, c *Client) (any, error) { return c.GetEmbeddingEndpoint(ctx) },
		"", `{"url":"u","has_api_key":true}`,
		EmbeddingEndpoint{URL: "u", HasAPIKey: true},
	},
	"set_embedding_endpoint": {
		func(ctx context.Context, c *Client) (any, error) {
			return c.SetEmbeddingEndpoint(ctx, EmbeddingEndpoint{URL: "u", Model: "m", Dimension: 3, APIKey: "k", HasAPIKey: true, UpdatedAt: "x"})
		},
		`{"url":"u","model":"m","dimension":3,"api_key":"k"}`, `{"url":"u"}`,
		EmbeddingEndpoint{URL: "u"},
	},
	"delete_embedding_endpoint": {func(ctx context.Context, c *Client) (any, error) { return nil, c.DeleteEmbeddingEndpoint(ctx) }, "", `{}`, nil},
}

var (
	operationRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| `([A-Z]+) (/[^`]*)` \\| ([^|]*) \\|")
	parameter    = regexp.MustCompile(`\{\w+\}`)
)

// TestOperations holds that every operation of the native API that is built has
// a method, which sends what it should and understands the answer, or a reason
// why it has none.
func TestOperations(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := operationRow.FindAllStringSubmatch(string(page), -1)
	if len(rows) < 30 {
		t.Fatalf("docs/api.md has %d operations", len(rows))
	}
	known := map[string]bool{}
	for _, row := range rows {
		id, method, path, about := row[1], row[2], row[3], row[4]
		known[id] = true
		tc, there := calls[id]
		if without[id] != "" || strings.Contains(about, "Not built") {
			if there {
				t.Errorf("%s has a method, and a reason to have none", id)
			}
			continue
		}
		if !there {
			t.Errorf("%s has neither a method nor a reason to have none", id)
			continue
		}
		t.Run(id, func(t *testing.T) {
			c, last := fake(t, 200, tc.answer)
			got, err := tc.call(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			path = strings.NewReplacer("{name}", "a%20b", "{id}", "c%2Fd").Replace(path)
			if parameter.MatchString(path) {
				t.Fatalf("what is %s?", path)
			}
			if diff := cmp.Diff(call{method, "/api/v1" + path, tc.body, "Bearer K"}, *last); diff != "" {
				t.Errorf("request:\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("result:\n%s", diff)
			}
		})
	}
	for id := range calls {
		if !known[id] {
			t.Errorf("docs/api.md has no %s", id)
		}
	}
	for id := range without {
		if !known[id] {
			t.Errorf("docs/api.md has no %s", id)
		}
	}
}

// All follows the cursors to the end, stops when it is told to, and says what
// went wrong.
func TestAll(t *testing.T) {
	pages := []string{
		`{"vectors":[{"id":"1"},{"id":"2"}],"next_cursor":"3"}`, `{"vectors":[],"next_cursor":"4"}`, `{"vectors":[{"id":"4"}]}`,
	}
	var asked []string
	c := client(t, Options{}, func(n int, r *http.Request) *http.Response {
		asked = append(asked, r.URL.RawQuery)
		if n > len(pages) {
			return reply(500, "")
		}
		return reply(200, pages[n-1])
	})
	var got []string
	for v, err := range c.Collection("n").All(t.Context(), List{Limit: 2, Bare: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v.ID)
	}
	if diff := cmp.Diff([]string{"1", "2", "4"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"limit=2&with_vector=false", "cursor=3&limit=2&with_vector=false", "cursor=4&limit=2&with_vector=false"}, asked); diff != "" {
		t.Error(diff)
	}
	for v, err := range c.Collection("n").All(t.Context(), List{}) {
		if err == nil || StatusOf(err) != 500 {
			t.Errorf("%v, %v", v, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// client returns one whose n-th request gets what answer returns, or a broken
// connection for nil.
func client(t *testing.T, o Options, answer func(n int, r *http.Request) *http.Response) *Client {
	t.Helper()
	n := 0
	o.URL, o.HTTP = "http://x", &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		n++
		if resp := answer(n, r); resp != nil {
			return resp, nil
		}
		return nil, errors.New("broken")
	})}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reply is an answer with headers.
func reply(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for pair := range slices.Chunk(headers, 2) {
		h.Set(pair[0], pair[1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// What is sent again: only what may be, only where it was asked for, after the
// time that the server says, with the same body and key.
func TestRepetition(t *testing.T) {
	insert := func(id string) func(ctx context.Context, c *Client) error {
		return func(ctx context.Context, c *Client) error {
			_, err := c.Collection("n").InsertVectors(ctx, []Vector{{ID: id, Values: []float32{1}}})
			return err
		}
	}
	search := func(ctx context.Context, c *Client) error {
		_, err := c.Collection("n").SearchText(ctx, TextSearch{Query: "q"})
		return err
	}
	create := func(ctx context.Context, c *Client) error {
		_, err := c.Create(ctx, NewCollection{Name: "n"})
		return err
	}
	keyed := func(call func(ctx context.Context, c *Client) error) func(ctx context.Context, c *Client) error {
		return func(ctx context.Context, c *Client) error { return call(WithIdempotencyKey(ctx, "k1"), c) }
	}
	for _, tc := range []struct {
		name     string
		call     func(ctx context.Context, c *Client) error
		attempts int
		status   int
		body     string
		after    string // Retry-After
		want     int    // requests
		least    time.Duration
	}{
		{"off by default", search, 0, 503, "", "1", 1, 0},
		{"a search", search, 3, 503, "", "2", 3, 4 * time.Second},
		{"a rate", search, 2, 429, `{"error":"x","code":"RATE_LIMIT_EXCEEDED"}`, "5", 2, 5 * time.Second},
		{"a quota", search, 3, 429, `{"error":"x","code":"QUOTA_EXCEEDED"}`, "", 1, 0},
		{"too long", search, 3, 429, "", "31", 1, 0},
		{"a fault", search, 3, 500, "", "", 1, 0},
		{"a broken connection", search, 3, 0, "", "", 3, 300 * time.Millisecond},
		{"vectors with ids", insert("x"), 3, 503, "", "", 3, 300 * time.Millisecond},
		{"vectors without ids", insert(""), 3, 503, "", "", 1, 0},
		{"vectors without ids, under a key", keyed(insert("")), 3, 503, "", "", 3, 300 * time.Millisecond},
		{"a new collection", create, 3, 0, "", "", 1, 0},
		{"a new collection, under a key", keyed(create), 2, 0, "", "", 2, 100 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies, keys []string
				c := client(t, Options{Attempts: tc.attempts}, func(_ int, r *http.Request) *http.Response {
					body, _ := io.ReadAll(r.Body)
					bodies, keys = append(bodies, string(body)), append(keys, r.Header.Get("Idempotency-Key"))
					if tc.status == 0 {
						return nil
					}
					return reply(tc.status, tc.body, "Retry-After", tc.after)
				})
				began := time.Now()
				err := tc.call(t.Context(), c)
				if err == nil || StatusOf(err) != tc.status || len(bodies) != tc.want {
					t.Errorf("%d requests, %v", len(bodies), err)
				}
				if took := time.Since(began); took < tc.least || tc.least == 0 && took > 0 || took > tc.least+2*time.Second {
					t.Errorf("it took %v, at least %v are right", took, tc.least)
				}
				for i := range bodies {
					if bodies[i] != bodies[0] || bodies[i] == "" || keys[i] != keys[0] || (keys[i] == "k1") != strings.Contains(tc.name, "under a key") {
						t.Errorf("request %d: %s under %q", i, bodies[i], keys[i])
					}
				}
			})
		})
	}
	t.Run("it gets better", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := client(t, Options{Attempts: 5}, func(n int, _ *http.Request) *http.Response {
				if n < 3 {
					return reply(503, "")
				}
				return reply(200, `{}`)
			})
			if err := search(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c := client(t, Options{Attempts: 5}, func(int, *http.Request) *http.Response { return reply(503, "", "Retry-After", "9") })
			began := time.Now()
			if err := search(ctx, c); StatusOf(err) != 503 || time.Since(began) != time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
}

// TestUpload: a file goes as a form, with its name and where it belongs.
func TestUpload(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f, header, err := req.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		text, err := io.ReadAll(f)
		if err != nil || string(text) != "# Bees" || header.Filename != "notes/bees.md" && header.Filename != "bees.md" ||
			req.FormValue("collection_name") != "n" || req.FormValue("metadata") != `{"k":1}` || req.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("%q %v %v %v", text, header, req.Form, err)
		}
		fmt.Fprint(w, `{"filename":"notes/bees.md","chunks_created":2,"vector_ids":["a#0","a#1"]}`)
	}))
	defer server.Close()
	c, err := New(Options{URL: server.URL, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Collection("n").Upload(t.Context(), "notes/bees.md", strings.NewReader("# Bees"), map[string]any{"k": 1})
	if err != nil || got.Chunks != 2 || len(got.IDs) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}
