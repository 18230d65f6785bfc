package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// call is a request as the server saw it.
type call struct {
	Method, Path, Body, Auth string
}

// fake answers every request alike and keeps what it was asked.
func fake(t *testing.T, status int, answer string) (*Client, *call) {
	t.Helper()
	var last call
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		last = call{r.Method, r.URL.RequestURI(), string(body), r.Header.Get("Authorization")}
		media := map[bool]string{true: "application/x-ndjson", false: "application/json"}[strings.HasSuffix(r.URL.Path, "/import")]
		if (len(body) > 0) != (r.Header.Get("Content-Type") == media) {
			t.Errorf("%s %s: content type %q with %d bytes", r.Method, r.URL, r.Header.Get("Content-Type"), len(body))
		}
		w.Header().Set("X-Request-Id", "req-1")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	c, err := New(Options{URL: srv.URL + "/", Key: "K"})
	if err != nil {
		t.Fatal(err)
	}
	return c, &last
}

// Every method sends what the API wants and understands what it answers.
func TestMethods(t *testing.T) {
	ids := []PointID{NumID(math.MaxUint64), UUID("550e8400-e29b-41d4-a716-446655440000")}
	idsJSON := `[18446744073709551615,"550e8400-e29b-41d4-a716-446655440000"]`
	filter := &Filter{
		Must:    []Condition{Equals("a", false), HasID(ids[0])},
		Should:  []Condition{{Filter: &Filter{MustNot: []Condition{OneOf("b", "x", 1)}}}},
		MustNot: []Condition{InRange("c", Range{GTE: new(1.5)}), NoneOf("d")},
	}
	filterJSON := `{"must":[{"key":"a","match":{"value":false}},{"has_id":[18446744073709551615]}],` +
		`"should":[{"must_not":[{"key":"b","match":{"any":["x",1]}}]}],` +
		`"must_not":[{"key":"c","range":{"gte":1.5}},{"key":"d","match":{"except":[]}}]}`
	for _, tc := range []struct {
		name   string
		call   func(ctx context.Context, c *Client) (any, error)
		want   call
		answer string
		result any
	}{
		{
			"CreateTenant",
			func(ctx context.Context, c *Client) (any, error) { return c.CreateTenant(ctx, "Ä", "pro") },
			call{"POST", "/api/v1/tenants", `{"name":"Ä","plan":"pro"}`, ""},
			`{"tenant_id":"t","name":"Ä","plan":"pro","status":"active","created_at":5,"unknown":1}`,
			Tenant{ID: "t", Name: "Ä", Plan: "pro", Status: "active", CreatedAt: 5},
		},
		{
			"ListTenants",
			func(ctx context.Context, c *Client) (any, error) { return c.ListTenants(ctx) },
			call{"GET", "/api/v1/tenants?limit=1000", "", ""},
			`{"tenants":[{"tenant_id":"t"}]}`,
			[]Tenant{{ID: "t"}},
		},
		{
			"DeleteTenant",
			func(ctx context.Context, c *Client) (any, error) { return nil, c.DeleteTenant(ctx, "a/b") },
			call{"DELETE", "/api/v1/tenants/a%2Fb", "", ""},
			`{}`, nil,
		},
		{
			"CreateKey",
			func(ctx context.Context, c *Client) (any, error) {
				return c.CreateKey(ctx, NewKey{TenantID: "t", Permission: "MCP"})
			},
			call{"POST", "/api/v1/access-keys", `{"tenant_id":"t","permission":"MCP"}`, ""},
			`{"key_id":"k","key":"hh_live_x","permission":"MCP"}`,
			Key{ID: "k", Key: "hh_live_x", Permission: "MCP"},
		},
		{
			"ListKeys",
			func(ctx context.Context, c *Client) (any, error) { return c.ListKeys(ctx, "a&b") },
			call{"GET", "/api/v1/access-keys?limit=1000&tenant_id=a%26b", "", ""},
			`{"access_keys":[{"key_id":"k","prefix":"hh_live_x","revoked_at":7}]}`,
			[]Key{{ID: "k", Prefix: "hh_live_x", RevokedAt: 7}},
		},
		{
			"ListKeys of all",
			func(ctx context.Context, c *Client) (any, error) { return c.ListKeys(ctx, "") },
			call{"GET", "/api/v1/access-keys?limit=1000", "", ""},
			`{"access_keys":[]}`,
			[]Key{},
		},
		{
			"RevokeKey",
			func(ctx context.Context, c *Client) (any, error) { return nil, c.RevokeKey(ctx, "k") },
			call{"DELETE", "/api/v1/access-keys/k", "", ""},
			`{}`, nil,
		},
		{
			"CreateCollection",
			func(ctx context.Context, c *Client) (any, error) {
				return nil, c.CreateCollection(ctx, "a b", VectorParams{Size: 3, Distance: Dot})
			},
			call{"PUT", "/qdrant/collections/a%20b", `{"vectors":{"size":3,"distance":"Dot"}}`, ""},
			`{"result":true}`, nil,
		},
		{
			"DeleteCollection",
			func(ctx context.Context, c *Client) (any, error) { return c.DeleteCollection(ctx, "n") },
			call{"DELETE", "/qdrant/collections/n", "", ""},
			`{"result":true}`, true,
		},
		{
			"GetCollection",
			func(ctx context.Context, c *Client) (any, error) {
				info, err := c.GetCollection(ctx, "n")
				return []any{info.Status, info.PointsCount, info.Config.Params.Vectors}, err
			},
			call{"GET", "/qdrant/collections/n", "", ""},
			`{"result":{"status":"green","points_count":7,"config":{"params":{"vectors":{"size":3,"distance":"Cosine"}}}}}`,
			[]any{"green", uint64(7), VectorParams{3, Cosine}},
		},
		{
			"CollectionExists",
			func(ctx context.Context, c *Client) (any, error) { return c.CollectionExists(ctx, "n") },
			call{"GET", "/qdrant/collections/n/exists", "", ""},
			`{"result":{"exists":true}}`, true,
		},
		{
			"ListCollections",
			func(ctx context.Context, c *Client) (any, error) { return c.ListCollections(ctx) },
			call{"GET", "/qdrant/collections", "", ""},
			`{"result":{"collections":[{"name":"a"},{"name":"b"}]}}`,
			[]string{"a", "b"},
		},
		{
			"Upsert",
			func(ctx context.Context, c *Client) (any, error) {
				return nil, c.Upsert(ctx, "n", []Point{
					{ID: ids[0], Vector: []float32{1, -0.1, 1e-10, 3.4e38}, Payload: map[string]any{"k": "<v>"}},
					{ID: ids[1]},
				})
			},
			call{
				"PUT", "/qdrant/collections/n/points?wait=true",
				`{"points":[{"id":18446744073709551615,"vector":[1,-0.1,1e-10,3.4e+38],"payload":{"k":"\u003cv\u003e"}},` +
					`{"id":"550e8400-e29b-41d4-a716-446655440000"}]}`, "",
			},
			`{}`, nil,
		},
		{
			"Retrieve",
			func(ctx context.Context, c *Client) (any, error) {
				return c.Retrieve(ctx, "n", ids, Fields{Payload: true, Vector: true})
			},
			call{"POST", "/qdrant/collections/n/points", `{"with_payload":true,"with_vector":true,"ids":` + idsJSON + `}`, ""},
			`{"result":[{"id":18446744073709551615,"payload":{"n":9007199254740993},"vector":[1.0,2.5]}]}`,
			[]Point{{ID: ids[0], Payload: map[string]any{"n": json.Number("9007199254740993")}, Vector: []float32{1, 2.5}}},
		},
		{
			"Delete",
			func(ctx context.Context, c *Client) (any, error) { return nil, c.Delete(ctx, "n", nil) },
			call{"POST", "/qdrant/collections/n/points/delete?wait=true", `{"points":[]}`, ""},
			`{}`, nil,
		},
		{
			"DeleteByFilter",
			func(ctx context.Context, c *Client) (any, error) { return nil, c.DeleteByFilter(ctx, "n", *filter) },
			call{"POST", "/qdrant/collections/n/points/delete?wait=true", `{"filter":` + filterJSON + `}`, ""},
			`{}`, nil,
		},
		{
			"SetPayload",
			func(ctx context.Context, c *Client) (any, error) {
				return nil, c.SetPayload(ctx, "n", ids, map[string]any{"a": 1})
			},
			call{"POST", "/qdrant/collections/n/points/payload?wait=true", `{"payload":{"a":1},"points":` + idsJSON + `}`, ""},
			`{}`, nil,
		},
		{
			"DeletePayload",
			func(ctx context.Context, c *Client) (any, error) {
				return nil, c.DeletePayload(ctx, "n", ids, []string{"a"})
			},
			call{"POST", "/qdrant/collections/n/points/payload/delete?wait=true", `{"keys":["a"],"points":` + idsJSON + `}`, ""},
			`{}`, nil,
		},
		{
			"Scroll",
			func(ctx context.Context, c *Client) (any, error) {
				return c.Scroll(ctx, "n", ScrollRequest{Offset: &ids[1], Limit: 2})
			},
			call{
				"POST", "/qdrant/collections/n/points/scroll",
				`{"with_payload":false,"with_vector":false,"offset":"550e8400-e29b-41d4-a716-446655440000","limit":2}`, "",
			},
			`{"result":{"points":[{"id":1}],"next_page_offset":2}}`,
			Page{Points: []Point{{ID: NumID(1)}}, Next: new(NumID(2))},
		},
		{
			"Count",
			func(ctx context.Context, c *Client) (any, error) { return c.Count(ctx, "n", nil) },
			call{"POST", "/qdrant/collections/n/points/count", `{"exact":true}`, ""},
			`{"result":{"count":9}}`, uint64(9),
		},
		{
			"Query",
			func(ctx context.Context, c *Client) (any, error) {
				return c.Query(ctx, "n", QueryRequest{Vector: []float32{0.5}, Filter: filter, Limit: 3, ScoreThreshold: new(float32(0))})
			},
			call{
				"POST", "/qdrant/collections/n/points/query",
				`{"with_payload":false,"with_vector":false,"query":[0.5],"filter":` + filterJSON + `,"limit":3,"score_threshold":0}`, "",
			},
			`{"result":{"points":[{"id":4,"version":18446744073709551615,"score":0.25}]}}`,
			[]ScoredPoint{{Point: Point{ID: NumID(4)}, Version: math.MaxUint64, Score: 0.25}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, last := fake(t, 200, tc.answer)
			got, err := tc.call(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Auth = "Bearer K"
			if diff := cmp.Diff(tc.want, *last); diff != "" {
				t.Errorf("request:\n%s", diff)
			}
			if diff := cmp.Diff(tc.result, got, cmp.AllowUnexported(PointID{})); diff != "" {
				t.Errorf("result:\n%s", diff)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		status int
		answer string
		want   Error
		text   string
	}{
		{
			404, `{"error":"no tenant x","code":"NOT_FOUND","details":{"a":"b"},"request_id":"r2"}`,
			Error{404, "NOT_FOUND", "no tenant x", map[string]any{"a": "b"}, "r2", 0},
			"no tenant x (NOT_FOUND, HTTP 404)",
		},
		{
			422, `{"status":{"error":"Validation error"},"time":0.1,"result":null}`,
			Error{422, "", "Validation error", nil, "req-1", 0},
			"Validation error (HTTP 422)",
		},
		{401, "Must provide an API key\n", Error{401, "", "Must provide an API key", nil, "req-1", 0}, "Must provide an API key (HTTP 401)"},
		{502, "", Error{502, "", "Bad Gateway", nil, "req-1", 0}, "Bad Gateway (HTTP 502)"},
		{302, "", Error{302, "", "Found", nil, "req-1", 0}, "Found (HTTP 302)"},
		{500, strings.Repeat("x", 9999), Error{500, "", strings.Repeat("x", 500), nil, "req-1", 0}, strings.Repeat("x", 500) + " (HTTP 500)"},
	} {
		c, _ := fake(t, tc.status, tc.answer)
		_, err := c.ListTenants(t.Context())
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%d: %v", tc.status, err)
			continue
		}
		if diff := cmp.Diff(tc.want, *got); diff != "" || err.Error() != tc.text || StatusOf(err) != tc.status {
			t.Errorf("%d: %v\n%s", tc.status, err, diff)
		}
	}
	c, _ := fake(t, 200, "<html>")
	if _, err := c.ListTenants(t.Context()); err == nil || StatusOf(err) != 0 {
		t.Errorf("an answer that is not JSON: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.ListTenants(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "Bearer") {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUpsertRefusesWhatJSONCannotSay(t *testing.T) {
	c, last := fake(t, 200, "{}")
	for _, p := range []Point{
		{ID: NumID(7), Vector: []float32{1, float32(math.NaN())}},
		{ID: NumID(7), Vector: []float32{float32(math.Inf(-1))}},
		{ID: NumID(7), Payload: map[string]any{"f": math.NaN()}},
	} {
		if err := c.Upsert(t.Context(), "n", []Point{p}); err == nil || !strings.HasPrefix(err.Error(), "point 7: ") {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if last.Method != "" {
		t.Error("something was sent")
	}
}

func TestNewRefusesBadURLs(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:15002", "ftp://x", "http://", "http://x?a=b", "http://x#f", "::"} {
		if _, err := New(Options{URL: url}); err == nil {
			t.Errorf("%q accepted", url)
		}
	}
}

func TestPointID(t *testing.T) {
	var id PointID
	if n, ok := id.Num(); n != 0 || !ok || id.String() != "0" {
		t.Errorf("zero id is %v", id)
	}
	if n, ok := UUID("u").Num(); ok {
		t.Errorf("a UUID is the number %d", n)
	}
	for _, bad := range []string{`-1`, `1.5`, `18446744073709551616`, `true`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &id); err == nil {
			t.Errorf("%s is the id %s", bad, id)
		}
	}
}

func BenchmarkUpsertEncode(b *testing.B) {
	p := Point{ID: NumID(12345), Vector: make([]float32, 128)}
	for i := range p.Vector {
		p.Vector[i] = float32(i)/7 - 3
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = appendPoint(buf[:0], &p)
	}
}
