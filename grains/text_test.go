package grains_test

import (
	"bufio"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
)

// glosses returns what WordNet says of its nouns and verbs, as Debian's package
// wordnet-base has it.
func glosses(t testing.TB, most int) []string {
	t.Helper()
	var list []string
	for _, name := range []string{"verb", "noun"} {
		f, err := os.Open("/usr/share/wordnet/data." + name)
		if err != nil {
			t.Fatalf("%v: make deps-test installs wordnet-base", err)
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan() && len(list) < most; {
			if _, gloss, ok := strings.Cut(lines.Text(), " | "); ok {
				list = append(list, strings.TrimSpace(gloss))
			}
		}
	}
	return list
}

// textModel is texts searched by going through them, with the formula as it
// stands in the literature.
type textModel struct {
	texts  map[uint64]string
	writes map[uint64]int // by id: how many came before, which orders equal scores
	n      int
	k1, b  float64
}

func naiveWords(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
}

type naiveHit struct {
	id    uint64
	score float64
}

func (m *textModel) search(query string, passes func(id uint64) bool) []naiveHit {
	words, length := map[uint64]map[string]float64{}, 0.0
	holders := map[string]float64{}
	for id, text := range m.texts {
		words[id] = map[string]float64{}
		for _, w := range naiveWords(text) {
			words[id][w]++
			length++
		}
		for w := range words[id] {
			holders[w]++
		}
	}
	count := float64(len(m.texts))
	average := length / count
	var hits []naiveHit
	for id, text := range m.texts {
		score, found := 0.0, false
		for _, w := range naiveWords(query) {
			f := words[id][w]
			if f == 0 {
				continue
			}
			found = true
			idf := math.Log(1 + (count-holders[w]+0.5)/(holders[w]+0.5))
			score += idf * f * (m.k1 + 1) / (f + m.k1*(1-m.b+m.b*float64(len(naiveWords(text)))/average))
		}
		if found && passes(id) {
			hits = append(hits, naiveHit{id, score})
		}
	}
	slices.SortFunc(hits, func(a, b naiveHit) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(m.writes[a.id], m.writes[b.id]))
	})
	return hits
}

// agrees holds an answer against the model's: the same scores to one in a
// million, in their order, and the same points where scores differ by more.
func (m *textModel) agrees(t *testing.T, query string, got []collection.Hit, want []naiveHit, limit int) {
	t.Helper()
	if len(got) != min(limit, len(want)) {
		t.Fatalf("%q: %d hits, want %d", query, len(got), min(limit, len(want)))
	}
	scores := map[uint64]float64{}
	for _, h := range want {
		scores[h.id] = h.score
	}
	for i, h := range got {
		id, _ := h.ID.Num()
		for _, score := range []float64{want[i].score, scores[id]} {
			if math.Abs(float64(h.Score)-score) > 1e-6*score {
				t.Fatalf("%q, hit %d: point %d scores %v, want %v (there: %d)", query, i, id, h.Score, score, want[i].id)
			}
		}
	}
}

// BM25 is what the formula says, over real texts, while they are written,
// replaced, changed and removed, and after the index was read from the store.
func TestTextSearchEqualsNaive(t *testing.T) {
	k := newKit(t, kitOptions{grains: grains.Options{IdleAfter: time.Nanosecond}})
	text := collection.DefaultText()
	text.K1, text.B = 1.5, 0.6
	config := collection.Config{Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}}, Text: []collection.TextParams{text}}
	if err := k.client.CreateCollection(t.Context(), k.tenant, "t", config, collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	all := glosses(t, 3000)
	m := &textModel{texts: map[uint64]string{}, writes: map[uint64]int{}, k1: 1.5, b: 0.6}
	write := func(w collection.Write) {
		t.Helper()
		if _, err := k.client.Write(t.Context(), k.tenant, "t", w, collection.WriteOptions{Wait: true}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(id uint64) collection.Point {
		m.n++
		m.texts[id], m.writes[id] = all[rng.IntN(len(all))], m.n
		p := collection.Point{ID: collection.NumID(id), Payload: collection.Payload{"text": m.texts[id], "n": int64(id % 7)}}
		if rng.IntN(2) == 0 {
			p.Vector = []float32{float32(id), 1}
		}
		return p
	}
	check := func() {
		t.Helper()
		for range 12 {
			words := naiveWords(all[rng.IntN(len(all))])
			query := strings.Join(words[:min(len(words), 1+rng.IntN(5))], " ")
			q := collection.Query{Nearest: &collection.Input{Text: &query}, Limit: 1 + rng.IntN(20)}
			passes := func(uint64) bool { return true }
			if rng.IntN(2) == 0 {
				least := float64(rng.IntN(7))
				q.Filter = &collection.Filter{Must: []collection.Condition{collection.Field{Key: mustPath("n"), Is: collection.Range{Bounds: collection.Bounds[float64]{GTE: &least}}}}}
				passes = func(id uint64) bool { return float64(id%7) >= least }
			}
			hits, err := k.client.Query(t.Context(), k.tenant, "t", q)
			if err != nil {
				t.Fatal(err)
			}
			m.agrees(t, query, hits, m.search(query, passes), q.Limit)
		}
	}
	var points []collection.Point
	for id := range uint64(1500) {
		points = append(points, put(id))
	}
	write(collection.Write{Upsert: points})
	check()
	for range 4 {
		for range 60 {
			id := rng.Uint64N(1600)
			ids := collection.Selection{IDs: []collection.PointID{collection.NumID(id)}}
			switch rng.IntN(4) {
			case 0:
				delete(m.texts, id)
				write(collection.Write{Delete: &ids})
			case 1:
				if _, there := m.texts[id]; !there {
					continue
				}
				p := put(id)
				write(collection.Write{SetPayload: &collection.PayloadChange{Selection: ids, Payload: p.Payload}})
			case 2:
				delete(m.texts, id)
				write(collection.Write{DeletePayload: &collection.KeysChange{Selection: ids, Keys: []string{"text"}}})
			default:
				write(collection.Write{Upsert: []collection.Point{put(id)}})
			}
		}
		check()
		query := "a kind of person or thing that is in the water"
		before := hitsOf(t, k, query)
		k.client.Sweep()
		if after := hitsOf(t, k, query); before != after {
			t.Fatalf("before it was read from the store:\n%s\nthen:\n%s", before, after)
		}
		check()
	}
}

func hitsOf(t *testing.T, k *kit, query string) string {
	t.Helper()
	hits, err := k.client.Query(t.Context(), k.tenant, "t", collection.Query{Nearest: &collection.Input{Text: &query}, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(hits)
}

// A fusion by weights is that of the lists that its parts are by themselves.
func TestHybridIsItsParts(t *testing.T) {
	k := newKit(t, kitOptions{})
	config := collection.Config{Vectors: []collection.VectorParams{{Size: 4, Distance: collection.Cosine}}, Text: []collection.TextParams{collection.DefaultText()}}
	if err := k.client.CreateCollection(t.Context(), k.tenant, "t", config, collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	vector := func() []float32 {
		v := make([]float32, 4)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	var points []collection.Point
	for id, text := range glosses(t, 400) {
		p := collection.Point{ID: collection.NumID(uint64(id)), Payload: collection.Payload{"text": text}}
		if id%5 > 0 {
			p.Vector = vector()
		}
		if id%7 == 0 {
			p.Payload = nil
		}
		points = append(points, p)
	}
	if err := k.upsert(t.Context(), "t", points...); err != nil {
		t.Fatal(err)
	}
	ask := func(q collection.Query) []collection.Hit {
		t.Helper()
		hits, err := k.client.Query(t.Context(), k.tenant, "t", q)
		if err != nil || len(hits) == 0 {
			t.Fatalf("%d hits, %v", len(hits), err)
		}
		return hits
	}
	shares := func(hits []collection.Hit, stretched bool) map[collection.PointID]float64 {
		least, most := float64(hits[len(hits)-1].Score), float64(hits[0].Score)
		list := map[collection.PointID]float64{}
		for _, h := range hits {
			list[h.ID] = float64(h.Score)
			if stretched {
				list[h.ID] = (float64(h.Score) - least) / (most - least)
			}
		}
		return list
	}
	for _, alpha := range []float64{0, 0.3, 0.7, 1} {
		for kind, stretched := range map[collection.FusionKind]bool{collection.FusionWeighted: false, collection.FusionAlpha: true} {
			words := "move the body or part of it"
			dense := collection.Query{Nearest: &collection.Input{Dense: vector()}, Limit: 30}
			text := collection.Query{Nearest: &collection.Input{Text: &words}, Limit: 20}
			fused := ask(collection.Query{
				Prefetch: []collection.Query{dense, text}, Limit: 50,
				Fusion: &collection.Fusion{Kind: kind, Weights: []float64{alpha, 1 - alpha}},
			})
			near, worded := shares(ask(dense), stretched), shares(ask(text), stretched)
			for i, h := range fused {
				want := alpha*near[h.ID] + (1-alpha)*worded[h.ID]
				if math.Abs(float64(h.Score)-want) > 1e-6*max(1, want) || i > 0 && h.Score > fused[i-1].Score {
					t.Fatalf("%v of kind %d: %s scores %v, want %v", alpha, kind, h.ID, h.Score, want)
				}
				delete(near, h.ID)
				delete(worded, h.ID)
			}
			if len(near)+len(worded) > 0 {
				t.Fatalf("%d and %d points are in a list and not in the fused one", len(near), len(worded))
			}
		}
	}
	words, mmr := "move", &collection.MMR{Diversity: 0.5}
	_, err := k.client.Query(t.Context(), k.tenant, "t", collection.Query{Nearest: &collection.Input{Text: &words}, MMR: mmr, Limit: 5})
	wantCode(t, err, collection.InvalidArgument)
	// A point may be asked for by its own text, and is not in the answer.
	id := collection.NumID(1)
	for _, h := range ask(collection.Query{Nearest: &collection.Input{ID: &id}, Using: "text", Limit: 5}) {
		if h.ID == id {
			t.Fatal("the point itself is in the answer")
		}
	}
	// What has words and no vector is in no list of neighbours, and the other way round.
	for _, h := range ask(collection.Query{Nearest: &collection.Input{Dense: vector()}, Limit: 400}) {
		if n, _ := h.ID.Num(); n%5 == 0 {
			t.Fatalf("point %d has no vector", n)
		}
	}
}

// Where vectors are compared by distance, the nearest counts most in a sum of
// weights, and what only words have found counts nothing for it.
func TestHybridOfDistances(t *testing.T) {
	k := newKit(t, kitOptions{})
	for _, distance := range []collection.Distance{collection.Euclid, collection.Manhattan} {
		name := string(distance)
		config := collection.Config{Vectors: []collection.VectorParams{{Size: 1, Distance: distance}}, Text: []collection.TextParams{collection.DefaultText()}}
		if err := k.client.CreateCollection(t.Context(), k.tenant, name, config, collection.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		points := []collection.Point{{ID: collection.NumID(9), Payload: collection.Payload{"text": "bees"}}}
		for id := range 3 {
			points = append(points, collection.Point{ID: collection.NumID(uint64(id)), Vector: []float32{float32(id)}})
		}
		if err := k.upsert(t.Context(), name, points...); err != nil {
			t.Fatal(err)
		}
		words := "bees"
		hits, err := k.client.Query(t.Context(), k.tenant, name, collection.Query{
			Prefetch: []collection.Query{{Nearest: &collection.Input{Dense: []float32{0}}, Limit: 3}, {Nearest: &collection.Input{Text: &words}, Limit: 3}},
			Fusion:   &collection.Fusion{Kind: collection.FusionWeighted, Weights: []float64{1, 0}}, Limit: 4,
		})
		if err != nil || len(hits) != 4 || hits[0].Score != 1 || hits[1].Score != 0.5 || hits[0].ID != collection.NumID(0) || hits[3].ID != collection.NumID(9) {
			t.Errorf("%s: %+v, %v", distance, hits, err)
		}
	}
}
