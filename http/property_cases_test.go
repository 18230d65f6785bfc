package httpedge_test

import (
	"fmt"
	"testing"
)

// What random requests found once: each request, its status, and the ids that
// are the answer.
func TestQdrantCases(t *testing.T) {
	n := startNode(t)
	for _, step := range [][3]string{
		{"PUT", "/collections/c", `{"vectors":{"":{"size":1,"distance":"Dot"},"d":{"size":1,"distance":"Euclid"}}}`},
		{"PUT", "/collections/from", `{"vectors":{"":{"size":1,"distance":"Dot"}}}`},
		{"PUT", "/collections/c/points?wait=true", `{"points":[{"id":1,"vector":{"":[1],"d":[1]}},{"id":2,"vector":{"d":[2]}},{"id":3,"vector":{"d":[4]}}]}`},
		{"PUT", "/collections/from/points?wait=true", `{"points":[{"id":9,"vector":[4]}]}`},
	} {
		if status, _, text := n.send(t, step[0], step[1], step[2]); status != 200 {
			t.Fatal(step, text)
		}
	}
	for _, c := range []struct {
		query  string
		status int
		ids    string
	}{
		// A score that equals the threshold does not pass, but that of a fusion does.
		{`{"query":[0],"using":"d","score_threshold":2.0}`, 200, "[1]"},
		{`{"query":[1],"score_threshold":1.0}`, 200, "[]"},
		{`{"prefetch":{"query":[0],"using":"d"},"query":{"fusion":"rrf"},"score_threshold":0.5}`, 200, "[1]"},
		// The vector without a name is one that can be looked up.
		{`{"query":9,"using":"d","lookup_from":{"collection":"from","vector":""}}`, 200, "[3 2 1]"},
		{`{"query":9,"using":"d","lookup_from":{"collection":"from"}}`, 400, "[]"},
		// Where nothing is looked up, it does not matter where.
		{`{"query":{"recommend":{"positive":[[4]]}},"using":"d","lookup_from":{"collection":"from"}}`, 200, "[3 2 1]"},
		// An example without the vector does not count, and one that is not there is an error.
		{`{"query":{"recommend":{"positive":[[1],2]}}}`, 200, "[1]"},
		{`{"query":{"recommend":{"positive":[[1],7]}}}`, 404, "[]"},
	} {
		status, result, text := n.send(t, "POST", "/collections/c/points/query", c.query)
		ids := []any{}
		if object, ok := result.(map[string]any); ok {
			for _, p := range object["points"].([]any) {
				ids = append(ids, p.(map[string]any)["id"])
			}
		}
		if status != c.status || fmt.Sprint(ids) != c.ids {
			t.Errorf("%s: %d %s, want %d %s", c.query, status, text, c.status, c.ids)
		}
	}
}
