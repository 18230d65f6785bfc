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

// graphOptions are the graph's parameters: what the collection was created
// with, where it says something, and Waggle's defaults.
func graphOptions(c collection.Config) hnsw.Options {
	o := hnsw.Options{
		Threshold: max(1, exactBytesMax/(4*c.Vector().Size)),
		EfSearch:  efSearchDefault,
	}
	set, _ := c.Extra["hnsw_config"].(map[string]any)
	if m, ok := set["m"].(int64); ok {
		o.M = int(min(max(m, 2), 128))
		if m == 0 { // asked for no graph
			o.M, o.Threshold = 0, math.MaxInt
		}
	}
	if ef, ok := set["ef_construct"].(int64); ok && ef > 0 {
		o.EfConstruction = int(min(ef, efConstructionMax))
	}
	return o
}

// placedOptions are graphOptions for an index on this node: of a collection
// whose vectors were asked to be on disk they are in scratch space in the
// directory, if there is one.
func placedOptions(c collection.Config, dir string) hnsw.Options {
	o := graphOptions(c)
	if on := c.Vector().OnDisk; on != nil && *on && dir != "" {
		o.Scratch = func() (index.Scratch, error) { return scratch.Open(dir) }
	}
	return o
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

// describe says how far the graph is.
func (l *liveIndex) describe(info *collection.Info) {
	view := l.index.View()
	vectors, waiting := view.Len(), l.index.Waiting()
	view.Release()
	if vectors < graphOptions(l.info.Config).Threshold {
		return // searched exactly: there is nothing to build
	}
	info.Indexed, info.Building = uint64(max(0, vectors-waiting)), waiting > 0
}

// efSearchDefault is the width of a search that names none: recall@10 of 0.98
// and more on the sets that Waggle is measured with.
const efSearchDefault = 128
