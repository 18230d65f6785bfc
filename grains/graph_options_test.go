package grains

import (
	"math"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// A caller's numbers do not decide how much memory and time a vertex takes.
func TestGraphOptionsAreBounded(t *testing.T) {
	for _, set := range []map[string]any{
		{"m": int64(1), "ef_construct": int64(4)},
		{"m": int64(math.MaxInt64), "ef_construct": int64(math.MaxInt64)},
	} {
		c := collection.Config{
			Vectors: []collection.VectorParams{{Size: 1 << 16, Distance: collection.Cosine}},
			Extra:   map[string]any{"hnsw_config": set},
		}
		o := graphOptions(c, c.Vectors[0])
		if o.M < 2 || o.M > 128 || o.EfConstruction < 4 || o.EfConstruction > efConstructionMax {
			t.Errorf("%v: %+v", set, o)
		}
	}
}
