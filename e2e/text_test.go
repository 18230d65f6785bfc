package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// glosses returns what WordNet says of its words, as Debian's package
// wordnet-base has it: about 117,000 texts.
func glosses(t testing.TB, most int) []string {
	t.Helper()
	var list []string
	for _, name := range []string{"adj", "verb", "adv", "noun"} {
		b, err := os.ReadFile("/usr/share/wordnet/data." + name)
		if err != nil {
			t.Fatalf("%v: make deps-test installs wordnet-base", err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan() && len(list) < most; {
			if _, gloss, ok := strings.Cut(lines.Text(), " | "); ok {
				list = append(list, strings.TrimSpace(gloss))
			}
		}
	}
	return list
}

func wordsIn(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}

// texts is a collection of texts, and the same as a list.
type texts struct {
	user
	all map[string]string // by id
}

type textHit struct {
	ID    string
	Score float64
}

// ask searches, and returns the hits and the answer as it came.
func (x *texts) ask(query string, limit int) (hits []textHit, raw string) {
	x.s.t.Helper()
	a := x.callMain("POST", "/collections/glosses/search/text", map[string]any{"query": query, "limit": limit})
	if a.status != http.StatusOK {
		x.s.t.Fatalf("%q: %d %s", query, a.status, a.body)
	}
	var answer struct{ Results []textHit }
	x.decode(a.body, &answer)
	return answer.Results, string(a.body)
}

func (x *texts) put(from map[string]string) {
	x.s.t.Helper()
	var list []map[string]any
	for id, text := range from {
		x.all[id] = text
		list = append(list, map[string]any{"id": id, "text": text, "metadata": map[string]any{"length": len(text)}})
	}
	if a := x.callMain("POST", "/insert_texts", map[string]any{"collection": "glosses", "texts": list}); a.status != http.StatusCreated {
		x.s.t.Fatalf("%d %s", a.status, a.body)
	}
}

// scores are what BM25 gives, as it is written down, to every text that has a
// word of the query.
func (x *texts) scores(query string) map[string]float64 {
	const k1, b = 1.2, 0.75
	holders, total := map[string]float64{}, 0.0
	words := map[string][]string{}
	for id, text := range x.all {
		words[id] = wordsIn(text)
		total += float64(len(words[id]))
		for _, w := range slices.Compact(slices.Sorted(slices.Values(words[id]))) {
			holders[w]++
		}
	}
	n := float64(len(x.all))
	scores := map[string]float64{}
	for id, list := range words {
		for _, w := range wordsIn(query) {
			f := 0.0
			for _, other := range list {
				if other == w {
					f++
				}
			}
			if f > 0 {
				idf := math.Log(1 + (n-holders[w]+0.5)/(holders[w]+0.5))
				scores[id] += idf * f * (k1 + 1) / (f + k1*(1-b+b*float64(len(list))*n/total))
			}
		}
	}
	return scores
}

func (x *texts) check(query string, limit int) {
	x.s.t.Helper()
	want := x.scores(query)
	best := slices.SortedFunc(maps.Values(want), func(a, b float64) int { return cmp.Compare(b, a) })
	hits, _ := x.ask(query, limit)
	if len(hits) != min(limit, len(best)) {
		x.s.t.Fatalf("%q: %d hits of %d", query, len(hits), len(best))
	}
	for i, h := range hits {
		if math.Abs(h.Score-best[i]) > 1e-6*best[i] || math.Abs(h.Score-want[h.ID]) > 1e-6*best[i] {
			x.s.t.Fatalf("%q, hit %d: %s scores %v, want %v, the %d. best is %v", query, i, h.ID, h.Score, want[h.ID], i+1, best[i])
		}
	}
}

// Texts are found by what BM25 says, over WordNet, while they are replaced and
// deleted; and a restart changes no byte of an answer.
func TestTextSearch(t *testing.T) {
	data := t.TempDir()
	s := start(t, data)
	x := &texts{user: s.user, all: map[string]string{}}
	if a := x.callMain("POST", "/collections", map[string]any{"name": "glosses"}); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	all := glosses(t, 4000)
	batch := map[string]string{}
	for i, text := range all {
		if batch[fmt.Sprintf("g%d", i)] = text; len(batch) == 1000 {
			x.put(batch)
			batch = map[string]string{}
		}
	}
	some := func() string {
		words := wordsIn(all[rng.IntN(len(all))])
		return strings.Join(words[:min(len(words), 1+rng.IntN(5))], " ")
	}
	for range 3 {
		for range 5 {
			x.check(some(), 1+rng.IntN(30))
		}
		replaced, gone := map[string]string{}, []string{}
		for range 200 {
			replaced[fmt.Sprintf("g%d", rng.IntN(4200))] = all[rng.IntN(len(all))]
		}
		x.put(replaced)
		for range 100 {
			id := fmt.Sprintf("g%d", rng.IntN(4200))
			gone = append(gone, id)
			delete(x.all, id)
		}
		if a := x.callMain("POST", "/batch_delete", map[string]any{"collection": "glosses", "ids": gone}); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	queries, before := []string{}, []string{}
	for range 40 {
		q := some()
		_, raw := x.ask(q, 100)
		queries, before = append(queries, q), append(before, raw)
	}
	for _, end := range []func(*server){(*server).mustStop, (*server).kill} {
		end(s)
		s = start(t, data)
		x.user = s.user
		for i, q := range queries {
			if _, raw := x.ask(q, 100); raw != before[i] {
				t.Fatalf("%q: before the restart\n%s\nthen\n%s", q, before[i], raw)
			}
		}
		x.check(some(), 20)
	}
}
