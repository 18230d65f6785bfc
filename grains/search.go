package grains

import (
	"context"
	"math/bits"
	"slices"

	"github.com/hivehub/waggle/collection"
)

// hits makes the answer's page of what was found.
func (x *execution) hits(q *collection.Query, found []scored) ([]collection.Hit, error) {
	want, err := q.WithPayload.Projection()
	if err != nil {
		return nil, err
	}
	out := make([]collection.Hit, min(q.Limit, len(found)))
	for i := range out {
		s := found[i]
		r := x.live.tables[s.table].row(s.slot)
		hit := &out[i]
		hit.ID, hit.Version, hit.Score = r.id, s.label, s.score
		if !want.None() {
			x.cost.Bytes += uint64(len(r.payload))
		}
		if hit.Payload, err = wantedPayload(r.payload, want); err != nil {
			return nil, err
		}
		if hit.Vector, hit.Vectors, err = x.vectors(s, q.WithVector); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// vectors returns the wanted vectors of a point: the default one, and the others
// in the order of the configuration. There are views of the dense ones.
func (x *execution) vectors(s scored, want collection.VectorSelector) (vector []float32, named []collection.NamedVector, err error) {
	if want.None() {
		return nil, nil, nil
	}
	c := &x.live.info.Config
	for i := range c.Vectors {
		name := c.Vectors[i].Name
		slot := x.slotIn(i, s)
		if slot == noSlot || !want.Wants(name) {
			continue
		}
		v, err := x.views[i].dense.Vector(slot)
		if err != nil {
			return nil, nil, indexError(err)
		}
		x.cost.Bytes += 4 * uint64(len(v))
		if v = slices.Clone(v); name == "" {
			vector = v
		} else {
			named = append(named, collection.NamedVector{Name: name, Dense: v})
		}
	}
	spread := x.live.tables[s.table].row(s.slot).spread
	if spread == nil {
		return vector, named, nil
	}
	for i := range c.Sparse {
		name := c.Sparse[i].Name
		if want.Wants(name) && spread.slots[len(c.Vectors)+i] != noSlot {
			v := spread.sparse[i] // it never changes
			x.cost.Bytes += 8 * uint64(len(v.Indices))
			named = append(named, collection.NamedVector{Name: name, Sparse: &v})
		}
	}
	return vector, named, nil
}

// first returns the k points with the least ids, from an id on, that a filter
// lets pass. They score 1.
func (x *execution) first(ctx context.Context, f *collection.Filter, from *collection.PointID, k int) ([]scored, error) {
	type candidate struct {
		id collection.PointID
		scored
	}
	byID := func(a, b candidate) int { return a.id.Compare(b.id) }
	var list []candidate
	var last *collection.PointID // what comes after it is not among the first
	err := x.eachMatch(ctx, f, func(t *table, slot uint32) {
		id := t.row(slot).id
		if from != nil && id.Compare(*from) < 0 || last != nil && id.Compare(*last) > 0 || x.excluded(id) {
			return
		}
		label, _ := x.views[t.number].slots().Label(slot)
		list = append(list, candidate{id, scored{label: label, slot: slot, table: uint32(t.number), score: 1}})
		if len(list) >= 2*k+1024 {
			slices.SortFunc(list, byID)
			list = list[:k]
			last = new(collection.PointID)
			*last = list[k-1].id
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, byID)
	out := make([]scored, min(k, len(list)))
	for i := range out {
		out[i] = list[i].scored
	}
	return out, nil
}

// eachMatch calls fn with every point that a filter lets pass, each once. There
// are views of all points.
func (x *execution) eachMatch(ctx context.Context, f *collection.Filter, fn func(t *table, slot uint32)) error {
	for _, t := range x.live.points() {
		v := x.views[t.number].slots()
		s, err := x.selected(ctx, t.number, f)
		if err != nil {
			return err
		}
		for first := uint32(0); first < v.Slots(); first += 64 {
			if first%(1<<14) == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			word := ^uint64(0)
			if f != nil {
				word = s.Slots[first/64]
			}
			if word == 0 {
				continue
			}
			for word &= v.Visible(first); word != 0; word &= word - 1 {
				fn(t, first+uint32(bits.TrailingZeros64(word)))
			}
		}
	}
	return nil
}

// wantedPayload decodes the wanted part of a payload: nil when none is wanted,
// empty when there is none.
func wantedPayload(raw []byte, want collection.Projection) (collection.Payload, error) {
	if want.None() {
		return nil, nil
	}
	if len(raw) == 0 {
		return collection.Payload{}, nil
	}
	p, err := collection.DecodePayload(raw)
	if err != nil {
		return nil, err
	}
	return want.Apply(p), nil
}
