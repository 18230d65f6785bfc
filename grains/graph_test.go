package grains_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
)

// A collection past the size of an exact scan is searched through its graph:
// what was written before and while it is built is found, and Exact still is.
func TestGraph(t *testing.T) {
	const dim, points, topK = 768, 6000, 10 // 18 MB
	k := newKit(t, kitOptions{grains: grains.Options{Builders: 2}})
	ctx := t.Context()
	k.create(t, "g", dim)
	rng := rand.New(rand.NewPCG(1, 2))
	write := func(from, to int) {
		t.Helper()
		batch := make([]collection.Point, 0, to-from)
		for i := from; i < to; i++ {
			batch = append(batch, collection.Point{ID: collection.NumID(uint64(i)), Vector: clustered(rng, i%40, dim)})
		}
		if err := k.upsert(ctx, "g", batch...); err != nil {
			t.Fatal(err)
		}
	}
	write(0, points/2)
	query := func(v []float32, exact bool) []collection.Hit {
		t.Helper()
		hits, err := k.client.Query(ctx, k.tenant, "g", collection.Query{Nearest: &collection.Input{Dense: v}, Limit: topK, Params: collection.SearchParams{Exact: exact}})
		if err != nil || len(hits) != topK {
			t.Fatalf("%d hits, %v", len(hits), err)
		}
		return hits
	}
	query(clustered(rng, 0, dim), false) // activates it, and the builders begin
	for from := points / 2; from < points; from += 100 {
		write(from, from+100)
	}
	for k.client.Waiting() > 0 { // the builders work while this asks
		query(clustered(rng, 1, dim), false)
	}
	found := 0
	for i := range 50 {
		v := clustered(rng, i%40, dim)
		want := map[collection.PointID]bool{}
		for _, h := range query(v, true) {
			want[h.ID] = true
		}
		for _, h := range query(v, false) {
			if want[h.ID] {
				found++
			}
		}
	}
	if recall := float64(found) / (50 * topK); recall < 0.95 {
		t.Fatalf("recall@%d is %.3f, want at least 0.95", topK, recall)
	}
}

// clustered draws a vector near the centre of one of 40 clusters.
func clustered(rng *rand.Rand, cluster, dim int) []float32 {
	centre := rand.New(rand.NewPCG(uint64(cluster), 9))
	v := make([]float32, dim)
	for i := range v {
		v[i] = centre.Float32() + 0.2*rng.Float32()
	}
	return v
}

// A write to a collection whose graph is too far behind waits for the
// builders, and is refused when it may not.
func TestIndexBehind(t *testing.T) {
	const dim = 8192 // a graph from 320 vectors on; 640 may wait for it
	k := newKit(t, kitOptions{grains: grains.Options{Builders: -1, TailBytesMax: 1}})
	k.create(t, "g", dim)
	if _, err := k.client.Query(t.Context(), k.tenant, "g", collection.Query{Nearest: &collection.Input{Dense: make([]float32, dim)}, Limit: 1}); err != nil {
		t.Fatal(err)
	}
	full := false
	for i := range uint64(8) {
		batch := make([]collection.Point, 100)
		for j := range batch {
			batch[j] = collection.Point{ID: collection.NumID(100*i + uint64(j)), Vector: make([]float32, dim)}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if full = k.client.Waiting() >= 640; full {
			cancel() // may not wait for builders that never come
		}
		err := k.upsert(ctx, "g", batch...)
		cancel()
		if full != (collection.ReasonOf(err) == collection.ReasonIndexBehind) {
			t.Fatalf("with %d vectors waiting: %v", k.client.Waiting(), err)
		}
	}
	if !full {
		t.Fatalf("only %d vectors wait", k.client.Waiting())
	}
}
