package grains_test

import (
	"slices"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// Scores of Manhattan are the distances: smaller is nearer, and the threshold
// is the largest. The nearest is another one than for Euclid.
func TestManhattan(t *testing.T) {
	k := newKit(t, kitOptions{})
	ctx := t.Context()
	err := k.client.CreateCollection(ctx, k.tenant, "m", collection.Config{
		Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Manhattan}},
	}, collection.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	points := []collection.Point{ // nearest first
		{ID: collection.NumID(2), Vector: []float32{-5, 0}},
		{ID: collection.NumID(1), Vector: []float32{3, 3}},
		{ID: collection.NumID(3), Vector: []float32{10, -10}},
	}
	scores := []float32{5, 6, 20}
	if err := k.upsert(ctx, "m", points...); err != nil {
		t.Fatal(err)
	}
	largest := float32(20)
	for _, c := range []struct {
		threshold *float32
		hits      int
	}{{nil, 3}, {&largest, 2}} {
		hits, err := k.client.Query(ctx, k.tenant, "m", collection.Query{
			Nearest: &collection.Input{Dense: []float32{0, 0}}, Limit: 10, ScoreThreshold: c.threshold, WithVector: collection.VectorSelector{All: true},
		})
		if err != nil || len(hits) != c.hits {
			t.Fatalf("%d hits, %v; want %d", len(hits), err, c.hits)
		}
		for i, h := range hits {
			if h.ID != points[i].ID || h.Score != scores[i] || !slices.Equal(h.Vector, points[i].Vector) {
				t.Errorf("hit %d is %+v, want point %v at %g", i, h, points[i].ID, scores[i])
			}
		}
	}
}
