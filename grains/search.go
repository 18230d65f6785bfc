package grains

import (
	"context"
	"slices"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index"
)

// search answers q from the live index: one immutable view from the filter to
// the last hit. vector has the collection's dimension and, for Cosine, unit
// length.
func (l *liveIndex) search(ctx context.Context, q *collection.Query, vector []float32) ([]collection.Hit, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	payloads := l.payloads.ready.Load() // before the view, of which it then knows every slot
	view := l.index.View()
	defer view.Release()
	selected, err := l.allowed(ctx, payloads, view, q.Filter)
	if err != nil {
		return nil, err
	}
	found, err := view.Search(ctx, &index.Query{
		Vector: vector, K: l.wanted(q, view), Ef: q.Params.Ef, Exact: q.Params.Exact, Allow: selected.Slots,
	}, nil)
	if err != nil {
		return nil, indexError(err)
	}
	return l.hits(q, view, found)
}

// wanted is how many hits to ask the index for: the page, and one more when
// the query's own point is to be left out.
func (l *liveIndex) wanted(q *collection.Query, view index.View) int {
	k := q.Limit + q.Offset
	if ownPoint(q) != nil {
		k++
	}
	return min(k, view.Len())
}

// ownPoint is the point whose vector is the query's, or nil.
func ownPoint(q *collection.Query) *collection.PointID {
	if q.Nearest == nil {
		return nil
	}
	return q.Nearest.ID
}

// hits turns what the index found into the answer's page.
func (l *liveIndex) hits(q *collection.Query, view index.View, found []index.Hit) ([]collection.Hit, error) {
	distance := l.info.Config.Vector().Distance
	want, err := q.WithPayload.Projection()
	if err != nil {
		return nil, err
	}
	out := make([]collection.Hit, 0, min(q.Limit, len(found)))
	skip, own := q.Offset, ownPoint(q)
	for _, f := range found {
		r := l.row(f.Slot)
		if own != nil && r.id == *own {
			continue
		}
		score := collection.Score(distance, f.Distance)
		if q.ScoreThreshold != nil && !distance.Passes(score, *q.ScoreThreshold) {
			break // nearest first: nothing after it passes either
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(out) == q.Limit {
			break
		}
		hit := collection.Hit{ID: r.id, Version: f.Label, Score: score}
		if hit.Payload, err = wantedPayload(r.payload, want); err != nil {
			return nil, err
		}
		if q.WithVector.Wants("") {
			vector, err := view.Vector(f.Slot)
			if err != nil {
				return nil, indexError(err)
			}
			hit.Vector = slices.Clone(vector)
		}
		out = append(out, hit)
	}
	return out, nil
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
