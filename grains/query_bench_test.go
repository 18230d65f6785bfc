package grains_test

import (
	"math/rand/v2"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// BenchmarkQuery is one query at a time, in process, without payloads: what an
// answer takes and allocates.
func BenchmarkQuery(b *testing.B) {
	const points, dim = 5000, 32
	k := newKit(b, kitOptions{})
	k.create(b, "plain", dim)
	rng := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < points; from += 1000 {
		batch := make([]collection.Point, 1000)
		for i := range batch {
			batch[i] = collection.Point{ID: collection.NumID(uint64(from + i)), Vector: clustered(rng, i%40, dim)}
		}
		if err := k.upsert(b.Context(), "plain", batch...); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("plain", func(b *testing.B) {
		q := collection.Query{Nearest: &collection.Input{Dense: clustered(rng, 0, dim)}, Limit: 10}
		k.benchQuery(b, "plain", q)
	})
}

// BenchmarkQueryTree is queries of several vectors.
func BenchmarkQueryTree(b *testing.B) {
	k := newKit(b, kitOptions{})
	m := newTree(b, k, "tree")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var ids []uint64
		for range 100 {
			ids = append(ids, rng.Uint64N(10_000))
		}
		m.write(b, rng, ids...)
	}
	near, words := new(m.draw(rng, "near")), new(m.draw(rng, "words"))
	two := []collection.Query{{Nearest: near, Using: "near", Limit: 20}, {Nearest: words, Using: "words", Limit: 20}}
	for name, q := range map[string]collection.Query{
		"dense":   {Nearest: near, Using: "near"},
		"sparse":  {Nearest: words, Using: "words"},
		"hybrid":  {Prefetch: two, Fusion: &collection.Fusion{Kind: collection.FusionRRF, K: 2}},
		"rescore": {Prefetch: two, Nearest: near, Using: "near"},
		"mmr":     {Nearest: near, Using: "near", MMR: &collection.MMR{Diversity: 0.5, Candidates: 50}},
	} {
		b.Run(name, func(b *testing.B) {
			q.Limit = 10
			k.benchQuery(b, "tree", q)
		})
	}
}

func (k *kit) benchQuery(b *testing.B, name string, q collection.Query) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if hits, err := k.client.Query(b.Context(), k.tenant, name, q); err != nil || len(hits) != q.Limit {
			b.Fatal(len(hits), err)
		}
	}
}
