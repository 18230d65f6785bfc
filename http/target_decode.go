package httpedge

import "github.com/hivehub/waggle/collection"

const (
	noTarget         = "Expected some form of vector, id, or a type of query"
	defaultRRFK      = 2
	defaultDiversity = 0.5
)

// target is what a query asks for, in the order in which the forms count when
// there is more than one.
type target struct {
	sparse    collection.SparseVector
	nearest   *collection.Input
	mmr       *collection.MMR
	recommend *collection.Recommend
	fusion    *collection.Fusion
	rrf       *collection.Fusion
}

// queryTarget reads what to look for: a vector, an id, or an object that says more.
func (p *pointReader) queryTarget(q *collection.Query) (err error) {
	if p.null() {
		return nil
	}
	if p.peek() != '{' {
		q.Nearest, err = p.input()
		return err
	}
	var t target
	if err := p.object(func(key []byte) error { return p.targetMember(&t, key) }); err != nil {
		return err
	}
	switch {
	case t.sparse.Indices != nil || t.sparse.Values != nil:
		q.Nearest = &collection.Input{Sparse: &t.sparse}
		return p.checkSparse(&t.sparse)
	case t.nearest != nil:
		q.Nearest, q.MMR = t.nearest, t.mmr
	case t.recommend != nil:
		q.Recommend = t.recommend
	case t.fusion != nil:
		q.Fusion = t.fusion
	case t.rrf != nil:
		q.Fusion = t.rrf
	default:
		return p.fault(noTarget)
	}
	return nil
}

func (p *pointReader) targetMember(t *target, key []byte) (err error) {
	switch string(key) {
	case "nearest":
		t.nearest, err = p.input()
		return err
	case "mmr":
		return p.mmr(&t.mmr)
	case "recommend":
		t.recommend, err = p.recommend()
		return err
	case "fusion":
		t.fusion, err = p.fusion()
		return err
	case "rrf":
		t.rrf, err = p.rrf()
		return err
	case "discover", "context", "order_by", "formula", "sample", "relevance_feedback":
		return p.absent("query." + string(key))
	}
	known, err := p.sparseMember(&t.sparse, key)
	if err == nil && !known {
		err = p.skip()
	}
	return err
}

// input reads a vector, or the id of a point that has it.
func (p *pointReader) input() (*collection.Input, error) {
	var in collection.Input
	var err error
	switch p.peek() {
	case '[':
		in.Dense, err = p.dense()
	case '{':
		in.Sparse, err = p.sparse()
	default:
		var id collection.PointID
		id, err = p.id()
		in.ID = &id
	}
	return &in, err
}

func (p *pointReader) mmr(to **collection.MMR) error {
	if p.null() {
		return nil
	}
	diversity := float32(defaultDiversity)
	given := &diversity
	var m collection.MMR
	err := p.object(func(key []byte) error {
		switch string(key) {
		case "diversity":
			return p.float32To(&given)
		case "candidates_limit":
			return p.intTo(&m.Candidates)
		}
		return p.skip()
	})
	m.Diversity = *given
	*to = &m
	return err
}

func (p *pointReader) fusion() (*collection.Fusion, error) {
	var word string
	if err := p.stringTo(&word); err != nil {
		return nil, err
	}
	switch word {
	case "rrf":
		return &collection.Fusion{Kind: collection.FusionRRF, K: defaultRRFK}, nil
	case "dbsf":
		return &collection.Fusion{Kind: collection.FusionDBSF}, nil
	}
	p.i--
	return nil, p.fault(noTarget)
}

func (p *pointReader) rrf() (*collection.Fusion, error) {
	f := collection.Fusion{Kind: collection.FusionRRF, K: defaultRRFK}
	err := p.object(func(key []byte) error {
		switch string(key) {
		case "k":
			return p.intTo(&f.K)
		case "weights":
			if p.null() {
				return nil
			}
			f.Weights = []float64{}
			return p.array(func() error {
				if len(f.Weights) == collection.PrefetchesMax {
					return tooManyOf("weights", collection.PrefetchesMax)
				}
				w, err := p.float32()
				f.Weights = append(f.Weights, float64(w))
				return err
			})
		}
		return p.skip()
	})
	return &f, err
}

func (p *pointReader) recommend() (*collection.Recommend, error) {
	var rec collection.Recommend
	err := p.object(func(key []byte) error {
		known, err := p.recommendMember(&rec, key)
		if err == nil && !known {
			err = p.skip()
		}
		return err
	})
	return &rec, err
}

// recommendMember reads the member key of examples, if it is one.
func (p *pointReader) recommendMember(rec *collection.Recommend, key []byte) (known bool, err error) {
	switch string(key) {
	case "positive":
		return true, p.examples(&rec.Positive)
	case "negative":
		return true, p.examples(&rec.Negative)
	case "strategy":
		return true, p.strategy()
	}
	return false, nil
}

func (p *pointReader) examples(to *[]collection.Input) error {
	if p.null() {
		return nil
	}
	return p.array(func() error {
		if len(*to) == collection.ExamplesMax {
			return tooManyOf("examples", collection.ExamplesMax)
		}
		in, err := p.input()
		*to = append(*to, *in)
		return err
	})
}

// strategy accepts the one way of using examples that there is.
func (p *pointReader) strategy() error {
	word := "average_vector"
	if err := p.stringTo(&word); err != nil {
		return err
	}
	switch word {
	case "average_vector":
		return nil
	case "best_score", "sum_scores":
		return collection.Errorf(collection.Unimplemented, "strategy %s is not supported yet, only average_vector is", word)
	}
	p.i--
	return p.fault("unknown variant `%s`, expected one of `average_vector`, `best_score`, `sum_scores`", describe([]byte(word)))
}
