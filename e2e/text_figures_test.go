//go:build figures

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFiguresText measures texts through the API on one node: WordNet's, the
// first 10,000 of them with nothing beside, then to 100,000 with a vector of 384
// values each, and searches of both kinds.
func TestFiguresText(t *testing.T) {
	const first, many, dim, batch = 10_000, 100_000, 384, 500
	all := glosses(t, many)
	cmd := serveCommand(t.TempDir())
	cmd.Env = environ(bootstrapKeys)
	s, err := launch(t, cmd.Args[3], cmd)
	if err != nil {
		t.Fatal(err)
	}
	c, rng := wire(4), rand.New(rand.NewPCG(7, 8))
	post := func(path string, body []byte) time.Duration {
		t.Helper()
		req, err := http.NewRequest("POST", s.http+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Api-Key", tenantKey)
		begun := time.Now()
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if took := time.Since(begun); resp.StatusCode < 300 {
			return took
		}
		t.Fatalf("%s: %d %s", path, resp.StatusCode, b)
		return 0
	}
	vector := func() []float32 {
		v := make([]float32, dim)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// load inserts texts, a batch after the other, each encoded beforehand.
	load := func(name string, texts []string, vectors, ids bool) time.Duration {
		var took time.Duration
		for from := 0; from < len(texts); from += batch {
			var list []map[string]any
			for i, text := range texts[from:min(from+batch, len(texts))] {
				one := map[string]any{"text": text}
				if ids {
					one["id"] = fmt.Sprintf("gloss-%d", from+i)
				}
				if vectors {
					one["vector"] = vector()
				}
				list = append(list, one)
			}
			took += post("/insert_texts", encode(map[string]any{"collection": name, "texts": list}))
		}
		return took
	}
	post("/collections", encode(map[string]any{"name": "ids"}))
	post("/collections", encode(map[string]any{"name": "plain"}))
	post("/collections", encode(map[string]any{"name": "both", "dimension": dim, "metric": "cosine"}))
	tell("insert of %d texts: %.0f/s", first, first/load("plain", all[:first], false, false).Seconds())
	tell("insert of %d texts under ids of the caller's: %.0f/s", first, first/load("ids", all[:first], false, true).Seconds())
	tell("insert of %d texts with vectors of %d values: %.0f/s", many, dim, many/load("both", all[:many], true, false).Seconds())
	awaitGraph(t, s, "both")
	search := func(what, path string, body func(words string) map[string]any) {
		var took []time.Duration
		for i := range 1200 {
			words := wordsIn(all[rng.IntN(many)])
			d := post(path, encode(body(strings.Join(words[:min(len(words), 4)], " "))))
			if i >= 200 {
				took = append(took, d)
			}
		}
		slices.Sort(took)
		tell("%s of %d texts, 4 words: p50 %.2f ms, p95 %.2f ms", what, many, milli(took[len(took)/2]), milli(took[len(took)*95/100]))
	}
	search("BM25, 10", "/collections/both/search/text", func(words string) map[string]any {
		return map[string]any{"query": words, "limit": 10}
	})
	search("hybrid, 10 (rrf)", "/collections/both/hybrid_search", func(words string) map[string]any {
		return map[string]any{"query": words, "vector": vector(), "final_k": 10}
	})
	search("hybrid, 10 (alpha)", "/collections/both/hybrid_search", func(words string) map[string]any {
		return map[string]any{"query": words, "vector": vector(), "final_k": 10, "algorithm": "alpha"}
	})
	tell("memory of the node: %.0f MB", s.rss())
}

func milli(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// awaitGraph waits until a collection's vectors are in its graph.
func awaitGraph(t *testing.T, s *server, name string) {
	t.Helper()
	eventually(t, 10*time.Minute, func() error {
		var info struct{ Status string }
		s.decode(s.callMain("GET", "/api/v1/collections/"+name, nil).body, &info)
		if info.Status != "ready" {
			return fmt.Errorf("the collection is %s", info.Status)
		}
		return nil
	})
}
