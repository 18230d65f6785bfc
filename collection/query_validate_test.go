package collection

import (
	"math"
	"slices"
	"testing"
)

func nearest(limit int) Query {
	return Query{Nearest: &Input{Dense: []float32{1}}, Limit: limit}
}

// nested is a query of so many levels.
func nested(levels int) Query {
	q := nearest(1)
	for range levels - 1 {
		q = Query{Nearest: q.Nearest, Limit: 1, Prefetch: []Query{q}}
	}
	return q
}

func TestQueriesAtEachLimit(t *testing.T) {
	l := DefaultLimits()
	id, half, words := NumID(1), float32(0.5), &SparseVector{}
	with := func(change func(q *Query)) Query {
		q := nearest(10)
		change(&q)
		return q
	}
	rrf := func(prefetches int, f Fusion) Query {
		return Query{Fusion: &f, Limit: 1, Prefetch: slices.Repeat([]Query{nearest(1)}, prefetches)}
	}
	examples := func(n int) *Recommend {
		return &Recommend{Positive: []Input{{ID: &id}}, Negative: slices.Repeat([]Input{{Sparse: words}}, n-1)}
	}
	for i, q := range []Query{
		nearest(1), nearest(l.TopK),
		{Limit: 1},
		{Limit: 1, Offset: l.TopK - 1, Filter: &Filter{}},
		with(func(q *Query) { q.Offset = l.TopK - 10 }),
		with(func(q *Query) { q.Params = SearchParams{Ef: l.Ef, Quantization: QuantizationParams{Oversampling: 1}} }),
		with(func(q *Query) { q.MMR, q.ScoreThreshold = &MMR{Diversity: 1, Candidates: l.TopK}, &half }),
		with(func(q *Query) { q.MMR, q.Limit = &MMR{}, 1024 }),
		with(func(q *Query) { q.Nearest, q.LookupFrom = &Input{ID: &id}, &LookupFrom{Collection: "c"} }),
		{Recommend: examples(ExamplesMax), Limit: 1},
		nested(QueryDepthMax), rrf(PrefetchesMax, Fusion{Kind: FusionDBSF}), rrf(1, Fusion{Kind: FusionRRF, K: 1}),
		rrf(2, Fusion{Kind: FusionRRF, K: 2, Weights: []float64{0, 1e9}}),
		{Fusion: &Fusion{Kind: FusionDBSF}, Limit: l.TopK, Prefetch: slices.Repeat([]Query{nearest(l.TopK)}, queryHitsMax-1)},
	} {
		if err := q.Validate(l); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for i, q := range []Query{
		nearest(0), nearest(-1), nearest(l.TopK + 1),
		with(func(q *Query) { q.Offset = l.TopK - 9 }), with(func(q *Query) { q.Offset = -1 }), with(func(q *Query) { q.Offset = math.MaxInt }),
		with(func(q *Query) { q.Params.Ef = l.Ef + 1 }),
		with(func(q *Query) { q.Params.Quantization.Oversampling = 0.9 }),
		with(func(q *Query) { q.Params.Quantization.Oversampling = math.NaN() }),
		with(func(q *Query) { q.MMR = &MMR{Diversity: 1.1} }), with(func(q *Query) { q.MMR = &MMR{Diversity: float32(math.NaN())} }),
		with(func(q *Query) { q.MMR = &MMR{Candidates: l.TopK + 1} }), with(func(q *Query) { q.MMR = &MMR{Candidates: -1} }),
		with(func(q *Query) { q.MMR, q.Limit = &MMR{}, 1025 }),
		with(func(q *Query) { q.MMR, q.Limit = &MMR{Candidates: l.TopK}, 105 }),
		{Recommend: examples(ExamplesMax + 1), Limit: 1},
		nested(QueryDepthMax + 1), rrf(PrefetchesMax+1, Fusion{Kind: FusionDBSF}),
		rrf(1, Fusion{Kind: FusionRRF}), rrf(1, Fusion{Kind: FusionRRF, K: 2, Weights: []float64{-1}}),
		rrf(1, Fusion{Kind: FusionRRF, K: 2, Weights: []float64{math.NaN()}}),
		{Nearest: nearest(1).Nearest, Limit: 1, Prefetch: []Query{rrf(32, Fusion{Kind: FusionDBSF}), rrf(32, Fusion{Kind: FusionDBSF})}},
		{Fusion: &Fusion{Kind: FusionDBSF}, Limit: 1, Prefetch: slices.Repeat([]Query{nearest(l.TopK)}, queryHitsMax)},
		with(func(q *Query) { q.Prefetch = []Query{nearest(0)} }),
		with(func(q *Query) {
			q.Prefetch = []Query{{Limit: 1, Filter: &Filter{Must: make([]Condition, l.FilterNodes+1)}}}
		}),
	} {
		err := q.Validate(l)
		if CodeOf(err) != InvalidArgument || ReasonOf(err) != ReasonValidation {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestQueriesWhosePartsDoNotGoTogether(t *testing.T) {
	l := DefaultLimits()
	half := float32(0.5)
	two := []Query{nearest(1), nearest(1)}
	for text, q := range map[string]Query{
		"A query is needed to merge the prefetches. Can't have prefetches without defining a query.":         {Limit: 1, Prefetch: two},
		"A query is needed to use the score_threshold. Can't have score_threshold without defining a query.": {Limit: 1, ScoreThreshold: &half},
		"Fusion queries cannot be combined with the 'using' field.":                                          {Limit: 1, Fusion: &Fusion{Kind: FusionDBSF}, Using: "a", Prefetch: two},
		"cannot apply Fusion without prefetches":                                                             {Limit: 1, Fusion: &Fusion{Kind: FusionDBSF}},
		"At least one positive vector ID required with this strategy":                                        {Limit: 1, Recommend: &Recommend{Negative: []Input{{}}}},
		"the number of rrf weights (1) must be that of the prefetches (2)":                                   {Limit: 1, Prefetch: two, Fusion: &Fusion{Kind: FusionRRF, K: 2, Weights: []float64{1}}},
	} {
		err := q.Validate(l)
		wantText(t, err, InvalidArgument, text)
		wantError(t, err, InvalidArgument, ReasonBadRequest)
		inner := nearest(1)
		inner.Prefetch = []Query{q}
		wantText(t, inner.Validate(l), InvalidArgument, text)
	}
	id := NumID(1)
	for i, q := range []Query{
		{Limit: 1, Nearest: &Input{}},
		{Limit: 1, Nearest: &Input{ID: &id, Dense: []float32{1}}},
		{Limit: 1, MMR: &MMR{}},
		{Limit: 1, Nearest: &Input{ID: &id}, Fusion: &Fusion{}},
		{Limit: 1, Recommend: &Recommend{Positive: []Input{{}}}},
		{Limit: 1, Nearest: &Input{ID: &id}, Prefetch: []Query{{Limit: 1, Offset: 1}}},
		{Limit: 1, Nearest: &Input{ID: &id}, Prefetch: []Query{{Limit: 1, WithVector: VectorSelector{All: true}}}},
		{Limit: 1, Nearest: &Input{ID: &id}, Prefetch: []Query{{Limit: 1, WithPayload: PayloadSelector{Include: []string{}}}}},
	} {
		if err := q.Validate(l); CodeOf(err) != Internal {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestAverage(t *testing.T) {
	dense := func(v ...float32) Input { return Input{Dense: v} }
	sparse := func(indices []uint32, values ...float32) Input {
		return Input{Sparse: &SparseVector{Indices: indices, Values: values}}
	}
	for i, k := range []struct {
		positive, negative []Input
		want               Input
	}{
		{[]Input{dense(1, 2)}, nil, dense(1, 2)},
		{[]Input{dense(1, 2), dense(3, 6)}, nil, dense(2, 4)},
		{[]Input{dense(1, 2), dense(3, 6)}, []Input{dense(1, 0), dense(0, 1)}, dense(3.5, 7.5)},
		{[]Input{sparse([]uint32{1, 4}, 2, 4)}, nil, sparse([]uint32{1, 4}, 2, 4)},
		{[]Input{sparse([]uint32{1, 4}, 2, 4), sparse([]uint32{2, 4}, 6, 2)}, nil, sparse([]uint32{1, 2, 4}, 1, 3, 3)},
		{[]Input{sparse([]uint32{1, 4}, 2, 4)}, []Input{sparse([]uint32{0, 4, 9}, 1, 1, 3)}, sparse([]uint32{0, 1, 4, 9}, -1, 4, 7, -3)},
		{[]Input{sparse(nil)}, []Input{sparse(nil)}, sparse(nil)},
	} {
		got, err := Average(k.positive, k.negative)
		if err != nil || !slices.Equal(got.Dense, k.want.Dense) || (got.Sparse == nil) != (k.want.Sparse == nil) {
			t.Fatalf("%d: %v, %v", i, got, err)
		}
		if k.want.Sparse != nil && (!slices.Equal(got.Sparse.Indices, k.want.Sparse.Indices) || !slices.Equal(got.Sparse.Values, k.want.Sparse.Values)) {
			t.Fatalf("%d: %v, want %v", i, got.Sparse, k.want.Sparse)
		}
	}
	given := dense(1, 2)
	if _, err := Average([]Input{given, given}, []Input{given}); err != nil || !slices.Equal(given.Dense, []float32{1, 2}) {
		t.Fatal("the caller's vector was changed", err)
	}
	for text, lists := range map[string][2][]Input{
		"Positive vectors should not be empty with `average` strategy": {nil, {dense(1)}},
		"Can't average dense and sparse vectors together":              {{dense(1), sparse(nil)}, nil},
		"Vector dimension error: expected dim: 1, got 2":               {{dense(1)}, {dense(1, 2)}},
	} {
		_, err := Average(lists[0], lists[1])
		wantText(t, err, InvalidArgument, text)
	}
}
