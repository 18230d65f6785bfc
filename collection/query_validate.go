package collection

import (
	"fmt"
	"math"
	"strconv"
)

const (
	// QueryDepthMax is how deep prefetches may stand in one another; the query
	// itself is the first level.
	QueryDepthMax = 8
	// PrefetchesMax is how many prefetches a query may have in all.
	PrefetchesMax = 64
	// ExamplesMax is how many examples a Recommend may have.
	ExamplesMax = 1024
	// queryHitsMax is how many hits all parts of a query may ask for together,
	// times Limits.TopK.
	queryHitsMax = 8
	// mmrPairsMax bounds Candidates times Limit: so many vectors are compared.
	mmrPairsMax = 1 << 20
)

// Validate checks a query against the limits: what it may ask for whatever its
// collection is. What the vectors must be, Config.Prepare knows.
func (q *Query) Validate(l Limits) error {
	c := queryCheck{limits: l, prefetches: PrefetchesMax, hits: queryHitsMax * l.TopK}
	return c.query(q, "", QueryDepthMax)
}

type queryCheck struct {
	limits     Limits
	prefetches int // that may still come
	hits       int
}

// query checks a query at a path of the request.
func (c *queryCheck) query(q *Query, at string, depthLeft int) error {
	if depthLeft == 0 {
		return invalid("%sprefetch: nested deeper than %d levels", at, QueryDepthMax)
	}
	if c.prefetches -= len(q.Prefetch); c.prefetches < 0 {
		return invalid("%sprefetch: more than %d prefetches", at, PrefetchesMax)
	}
	for _, check := range []func(q *Query, at string) error{c.limit, c.kind, c.params} {
		if err := check(q, at); err != nil {
			return err
		}
	}
	if err := q.Filter.Validate(c.limits); err != nil {
		return err
	}
	for i := range q.Prefetch {
		p := &q.Prefetch[i]
		if p.Offset != 0 || !p.WithVector.None() || p.WithPayload.All || p.WithPayload.Include != nil || p.WithPayload.Exclude != nil {
			return Errorf(Internal, "a prefetch with parts that only a query has")
		}
		if err := c.query(p, fmt.Sprintf("%sprefetch[%d].", at, i), depthLeft-1); err != nil {
			return err
		}
	}
	return nil
}

func (c *queryCheck) limit(q *Query, at string) error {
	most := c.limits.TopK
	switch {
	case q.Limit < 1:
		return invalid("%slimit: value %d invalid, must be 1 or larger", at, q.Limit)
	case q.Limit > most:
		return invalid("%slimit: value %d invalid, must be %d or smaller", at, q.Limit, most)
	case q.Offset < 0 || q.Offset > most-q.Limit:
		return invalid("%soffset: value %d invalid, limit and offset together must be %d or smaller", at, q.Offset, most)
	}
	if c.hits -= q.Limit + q.Offset; c.hits < 0 {
		return invalid("%slimit: all limits together must be %d or smaller", at, queryHitsMax*most)
	}
	return nil
}

// kind checks what the query asks for. The words are Qdrant's.
func (c *queryCheck) kind(q *Query, at string) error {
	asked := 0
	for _, is := range []bool{q.Nearest != nil, q.Recommend != nil, q.Fusion != nil} {
		if is {
			asked++
		}
	}
	switch {
	case asked > 1 || q.MMR != nil && q.Nearest == nil:
		return Errorf(Internal, "a query of %d kinds", asked)
	case asked == 0 && len(q.Prefetch) > 0:
		return badRequest("A query is needed to merge the prefetches. Can't have prefetches without defining a query.")
	case asked == 0 && q.ScoreThreshold != nil:
		return badRequest("A query is needed to use the score_threshold. Can't have score_threshold without defining a query.")
	case q.Fusion != nil && q.Using != "":
		return badRequest("Fusion queries cannot be combined with the 'using' field.")
	case q.Fusion != nil:
		return q.Fusion.check(at, len(q.Prefetch))
	case q.Recommend != nil:
		return q.Recommend.check(at)
	case q.Nearest != nil:
		if err := q.Nearest.check(); err != nil || q.MMR == nil {
			return err
		}
		return q.MMR.check(at, q.Limit, c.limits.TopK)
	}
	return nil
}

func (f *Fusion) check(at string, prefetches int) error {
	if prefetches == 0 {
		return badRequest("cannot apply Fusion without prefetches")
	}
	if f.Kind == FusionDBSF {
		return nil
	}
	if f.Kind == FusionRRF && (f.K < 1 || f.K > math.MaxInt32) {
		return invalid("%squery.rrf.k: value %d invalid, must be 1 or larger", at, f.K)
	}
	if f.Weights != nil && len(f.Weights) != prefetches {
		return badRequest("the number of rrf weights (%d) must be that of the prefetches (%d)", len(f.Weights), prefetches)
	}
	for _, w := range f.Weights {
		if !(w >= 0 && w <= math.MaxFloat32) {
			return invalid("%squery.rrf.weights: value %v invalid, must be 0.0 or larger", at, w)
		}
	}
	return nil
}

func (r *Recommend) check(at string) error {
	if len(r.Positive) == 0 {
		return badRequest("At least one positive vector ID required with this strategy")
	}
	if n := len(r.Positive) + len(r.Negative); n > ExamplesMax {
		return invalid("%squery.recommend: %d examples, must be at most %d", at, n, ExamplesMax)
	}
	for _, list := range [][]Input{r.Positive, r.Negative} {
		for i := range list {
			if err := list[i].check(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *MMR) check(at string, limit, most int) error {
	if !(m.Diversity >= 0 && m.Diversity <= 1) {
		return invalid("%squery.mmr.diversity: value %v invalid, must be from 0.0 to 1.0", at, m.Diversity)
	}
	candidates := m.Candidates
	if candidates == 0 {
		candidates = limit
	}
	if candidates < 0 || candidates > most {
		return invalid("%squery.mmr.candidates_limit: value %d invalid, must be from 0 to %d", at, candidates, most)
	}
	if candidates*limit > mmrPairsMax {
		return invalid("%squery.mmr.candidates_limit: value %d invalid, times limit it must be %d or smaller", at, candidates, mmrPairsMax)
	}
	return nil
}

func (in *Input) check() error {
	set := 0
	for _, is := range []bool{in.Dense != nil, in.Sparse != nil, in.ID != nil, in.Text != nil, in.Terms != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return Errorf(Internal, "an input with %d values", set)
	}
	return nil
}

func (c *queryCheck) params(q *Query, at string) error {
	if most := c.limits.Ef; q.Params.Ef < 0 || q.Params.Ef > most {
		return invalid("%sparams.hnsw_ef: value %d invalid, must be %d or smaller", at, q.Params.Ef, most)
	}
	if o := q.Params.Quantization.Oversampling; o != 0 && !(o >= 1 && o <= math.MaxFloat32) {
		return invalid("%sparams.quantization.oversampling: value %s invalid, must be 1.0 or larger", at, strconv.FormatFloat(o, 'g', -1, 64))
	}
	return nil
}

// badRequest is the error for a request whose parts do not go together.
func badRequest(format string, args ...any) *Error {
	e := Errorf(InvalidArgument, format, args...)
	e.Reason = ReasonBadRequest
	return e
}
