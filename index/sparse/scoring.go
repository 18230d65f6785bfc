package sparse

import (
	"fmt"
	"math"
)

// Kind says what a shared term adds to a score.
type Kind uint8

// The kinds. N is the number of documents in the view, n of those with the
// term, q and v the values of query and document.
const (
	// Dot adds q*v.
	Dot Kind = iota + 1
	// IDF adds q*v*idf, idf = ln(1 + (N-n+0.5)/(n+0.5)).
	IDF
	// BM25 adds q*idf*v*(K1+1) / (v + K1*(1-B+B*length/average)), where v is the
	// term's frequency and average the mean length in the view (Robertson and
	// Zaragoza, The Probabilistic Relevance Framework, 2009).
	BM25
)

// Scoring is how an index scores. K1 and B are of BM25 only.
type Scoring struct {
	Kind Kind
	K1   float64 // how soon a term's frequency saturates: 0 to 1,000, usually 1.2
	B    float64 // how much the document's length counts: 0 to 1, usually 0.75
}

// Validate returns what is wrong with the scoring.
func (s Scoring) Validate() error {
	if s.Kind < Dot || s.Kind > BM25 {
		return fmt.Errorf("scoring of kind %d", s.Kind)
	}
	if s.Kind == BM25 && !(s.K1 >= 0 && s.K1 <= 1000 && s.B >= 0 && s.B <= 1) {
		return fmt.Errorf("BM25 with k1 %g, b %g", s.K1, s.B)
	}
	return nil
}

// check finds values that the scoring has no meaning for.
func (s Scoring) check(values []float32) error {
	if s.Kind != BM25 {
		return nil
	}
	for _, v := range values {
		if v <= 0 {
			return ErrFrequency
		}
	}
	return nil
}

// extent summarises postings so that what one of them can score is bounded.
// Where terms score by product, it is the greatest and the least value. For
// BM25 it is the greatest frequency and the least length/frequency, rounded
// down: the score falls with 1/frequency and with length/frequency, and with
// nothing else, so that the bound holds at every average length.
type extent struct {
	high, low float32
}

func (s Scoring) extent(value float32, length uint32) extent {
	if s.Kind != BM25 {
		return extent{value, value}
	}
	ratio := float64(length) / float64(value) * (1 - 1e-6)
	return extent{value, float32(min(ratio, math.MaxFloat32))}
}

func (a extent) with(b extent) extent {
	return extent{max(a.high, b.high), min(a.low, b.low)}
}

// scorer is a Scoring at one view: with N and the average length known.
type scorer struct {
	kind   Kind
	k1     float64
	n      float64
	fixed  float64 // K1*(1-B)
	factor float64 // K1*B/average
}

func (s Scoring) at(st *state) scorer {
	sc := scorer{kind: s.Kind, k1: s.K1, n: float64(st.live), fixed: s.K1 * (1 - s.B)}
	if st.length > 0 {
		sc.factor = s.K1 * s.B * float64(st.live) / float64(st.length)
	}
	return sc
}

// weight is what a query's value counts for a term that n documents have.
func (s *scorer) weight(value float32, n uint32) float64 {
	w := float64(value)
	if s.kind != Dot {
		w *= math.Log1p((s.n - float64(n) + 0.5) / (float64(n) + 0.5))
	}
	if s.kind == BM25 {
		w *= s.k1 + 1
	}
	return w
}

// score is what a posting adds.
func (s *scorer) score(weight float64, value float32, length uint32) float64 {
	v := float64(value)
	if s.kind == BM25 {
		return weight * v / (v + s.fixed + s.factor*float64(length))
	}
	return weight * v
}

// bound is at least what any posting in the extent adds, and at least 0: what
// a document without the term gets.
func (s *scorer) bound(weight float64, e extent) float64 {
	if s.kind == BM25 {
		return max(0, weight/(1+s.fixed/float64(e.high)+s.factor*float64(e.low)))
	}
	return max(0, weight*float64(e.high), weight*float64(e.low))
}
