package grains

import (
	"errors"
	"math"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/hnsw"
	"github.com/hivehub/waggle/index/scratch"
)

// exactBytesMax is how much a collection's vectors may take before a graph is
// built: up to there an exact scan takes less than a millisecond and its
// recall is 1.
const exactBytesMax = 10 << 20

// efConstructionMax bounds the search for a new vertex's neighbours: what it
// takes grows with the square of its width, and builders serve all tenants.
const efConstructionMax = 4096

// graphOptions are a graph's parameters: what the vector was created with, or
// the collection, where one says something, and Waggle's defaults.
//
// Another m or ef_construct takes effect when the collection is activated the
// next time: a graph of another m is then built anew, beside searches.
func graphOptions(c collection.Config, v collection.VectorParams) hnsw.Options {
	o := hnsw.Options{
		Threshold: max(1, exactBytesMax/(4*v.Size)),
		EfSearch:  efSearchDefault,
	}
	for _, extra := range []map[string]any{c.Extra, v.Extra} {
		set, _ := extra["hnsw_config"].(map[string]any)
		if m, ok := set["m"].(int64); ok {
			o.M = int(min(max(m, 2), 128))
			o.Threshold = max(1, exactBytesMax/(4*v.Size))
			if m == 0 { // asked for no graph
				o.M, o.Threshold = 0, math.MaxInt
			}
		}
		if ef, ok := set["ef_construct"].(int64); ok && ef > 0 {
			o.EfConstruction = int(min(ef, efConstructionMax))
		}
	}
	return o
}

// placedOptions are graphOptions for an index on this node: vectors that were
// asked to be on disk are in scratch space in the directory, if there is one.
func placedOptions(c collection.Config, v collection.VectorParams, dir string) hnsw.Options {
	o := graphOptions(c, v)
	if v.OnDisk != nil && *v.OnDisk && dir != "" {
		o.Scratch = func() (index.Scratch, error) { return scratch.Open(dir) }
	}
	return o
}

// options are the parameters of the table's graph.
func (t *table) options() hnsw.Options {
	c := t.live.info.Config
	return graphOptions(c, c.Vectors[t.ref.Number])
}

// indexError is the caller's error for one of the index.
func indexError(err error) error {
	switch {
	case errors.Is(err, index.ErrRead):
		return &collection.Error{Code: collection.DataLoss, Message: "vectors of the collection cannot be read from this node's disk", Err: err}
	case errors.Is(err, index.ErrWrite):
		return &collection.Error{Code: collection.Unavailable, Message: "vectors of the collection cannot be written to this node's disk; retry", Err: err}
	}
	return err
}

// describe says how far the graphs are. The counts are sums over all vectors.
func (l *liveIndex) describe(info *collection.Info) {
	for _, t := range l.tables {
		if t.dense == nil {
			continue
		}
		view := t.dense.View()
		vectors, waiting := view.Len(), t.dense.Waiting()
		view.Release()
		if vectors < t.options().Threshold {
			continue // searched exactly: there is nothing to build
		}
		info.Indexed += uint64(max(0, vectors-waiting))
		info.Building = info.Building || waiting > 0
	}
}

// efSearchDefault is the width of a search that names none: recall@10 of 0.98
// and more on the sets that Waggle is measured with.
const efSearchDefault = 128
