package embedding

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func FuzzEmbeddings(f *testing.F) {
	for _, s := range []string{
		`{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[-1e-3,2.5]}]}`,
		`{"data":[{"embedding":[1,2]},{"embedding":[3,4]}],"data":[{"index":1},{}]}`,
		`{"data":[{"index":0,"embedding":[ ]},{"index":1,"embedding":[[1],2]}]}`,
		`{"data":[{"index":0,"embedding":["1"]},{"index":1,"embedding":{"a":1}}]}`,
		`{"data":null}`, `[]`, `{"data":[{"index":0,"embedding":[1e400,2]},{}]}`,
	} {
		f.Add([]byte(s), 2, 2)
		f.Add([]byte(s), 2, 0)
	}
	f.Fuzz(func(t *testing.T, body []byte, n, dimension int) {
		n, dimension = min(max(n, 0), 100), min(max(dimension, 0), 100)
		got, err := decodeEmbeddings(body, n, dimension)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("an error as long as the answer: %q", err)
			}
			return
		}
		if len(got) != n {
			t.Fatalf("%d vectors for %d texts", len(got), n)
		}
		for _, v := range got {
			if len(v) == 0 || dimension > 0 && len(v) != dimension || len(v) != len(got[0]) {
				t.Fatalf("a vector of %d values", len(v))
			}
			for _, x := range v {
				if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
					t.Fatal("not a finite number")
				}
			}
		}
		// What was read, written and read again is the same.
		var items []string
		for _, v := range got {
			j, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, `{"embedding":`+string(j)+`}`)
		}
		again, err := decodeEmbeddings([]byte(`{"data":[`+strings.Join(items, ",")+`]}`), n, dimension)
		if err != nil || len(again) != n {
			t.Fatalf("%v", err)
		}
		for i := range again {
			for j := range again[i] {
				if again[i][j] != got[i][j] {
					t.Fatal("the number changed")
				}
			}
		}
	})
}

func FuzzRanking(f *testing.F) {
	f.Add([]byte(`{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0}]}`), 2)
	f.Add([]byte(`[{"index":0,"score":1e-9}]`), 1)
	f.Add([]byte(`[{"index":0,"score":null}]`), 1)
	f.Fuzz(func(t *testing.T, body []byte, n int) {
		n = min(max(n, 0), 100)
		got, err := decodeRanking(body, n)
		if err != nil {
			return
		}
		seen := map[int]bool{}
		for _, r := range got {
			if r.Index < 0 || r.Index >= n || seen[r.Index] || math.IsNaN(r.Score) || math.IsInf(r.Score, 0) {
				t.Fatalf("%+v of %d", r, n)
			}
			seen[r.Index] = true
		}
		if len(got) != n {
			t.Fatalf("%d of %d", len(got), n)
		}
	})
}
