package grains

import (
	"context"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index/distance"
)

// diverse chooses k of the candidates by maximal marginal relevance (Carbonell
// and Goldstein 1998): the most relevant one, then one after the other the one
// with the best balance of its own relevance and of how alike it is to one that
// was chosen. Scores stay what they are: how near to the query.
func (x *execution) diverse(ctx context.Context, p *plan, candidates []scored, k int) ([]scored, error) {
	if len(candidates) < 2 {
		return candidates[:min(k, len(candidates))], nil
	}
	vectors := make([]collection.Input, len(candidates))
	for i, s := range candidates {
		var err error
		if vectors[i], err = x.input(p.table, s.slot); err != nil {
			return nil, err
		}
	}
	rest := make([]marginal, len(candidates))
	for i := range rest {
		rest[i] = marginal{at: i, relevance: similarity(p.distance, &p.input, &vectors[i])}
	}
	out := make([]scored, 0, min(k, len(candidates)))
	for len(out) < k && len(rest) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		best, most := 0, float32(0)
		for i := range rest {
			if worth := rest[i].worth(p.query.MMR.Diversity, len(out) > 0); i == 0 || worth > most {
				best, most = i, worth
			}
		}
		chosen := rest[best].at
		out = append(out, candidates[chosen])
		rest = append(rest[:best], rest[best+1:]...)
		for i := range rest {
			alike := similarity(p.distance, &vectors[chosen], &vectors[rest[i].at])
			if len(out) == 1 || alike > rest[i].alike {
				rest[i].alike = alike
			}
		}
	}
	return out, nil
}

// marginal is a candidate that was not chosen yet.
type marginal struct {
	at        int
	relevance float32
	alike     float32 // to the chosen one that it is most alike
}

// worth is what choosing it next is worth. The first is chosen by relevance.
func (m *marginal) worth(diversity float32, chosen bool) float32 {
	if !chosen {
		return m.relevance
	}
	return (1-diversity)*m.relevance - diversity*m.alike
}

// input is the vector in a slot that the table's view contains.
func (x *execution) input(table int, slot uint32) (collection.Input, error) {
	t := x.live.tables[table]
	if t.kind == sparseTable {
		return collection.Input{Sparse: &t.row(slot).spread.sparse[t.ref.Number]}, nil
	}
	v, err := x.views[table].dense.Vector(slot)
	return collection.Input{Dense: v}, indexError(err)
}

// similarity is the larger, the nearer two vectors are.
func similarity(d collection.Distance, a, b *collection.Input) float32 {
	switch {
	case a.Sparse != nil:
		return product(a.Sparse, b.Sparse)
	case d == collection.Euclid:
		return -distance.L2(a.Dense, b.Dense)
	case d == collection.Manhattan:
		return -distance.L1(a.Dense, b.Dense)
	}
	return distance.Dot(a.Dense, b.Dense)
}

// product is the dot product of two sparse vectors.
func product(a, b *collection.SparseVector) float32 {
	var sum float32
	for i, j := 0, 0; i < len(a.Indices) && j < len(b.Indices); {
		switch {
		case a.Indices[i] < b.Indices[j]:
			i++
		case a.Indices[i] > b.Indices[j]:
			j++
		default:
			sum += a.Values[i] * b.Values[j]
			i, j = i+1, j+1
		}
	}
	return sum
}
