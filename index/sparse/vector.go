package sparse

import (
	"errors"
	"math"
	"sort"
)

// Limits of one vector. A query is compared with every window of slots term by
// term, so that its limit is the lower one.
const (
	TermsMax      = 65_535 // of a document
	QueryTermsMax = 4_096
)

// The faults of a vector.
var (
	// ErrLengths is returned when there are more terms than values, or fewer.
	ErrLengths = errors.New("sparse: terms and values differ in number")
	// ErrUnsorted is returned when the terms do not ascend; Sort helps.
	ErrUnsorted = errors.New("sparse: terms are not sorted")
	// ErrDuplicate is returned when a term is there twice.
	ErrDuplicate = errors.New("sparse: a term is there twice")
	// ErrNotFinite is returned when a value is NaN or infinite.
	ErrNotFinite = errors.New("sparse: a value is not finite")
	// ErrTooManyTerms is returned past TermsMax and QueryTermsMax.
	ErrTooManyTerms = errors.New("sparse: too many terms")
	// ErrFrequency is returned when a document's value is not above zero where
	// the scoring is BM25: values are term frequencies there.
	ErrFrequency = errors.New("sparse: a term frequency is not above zero")
)

// Vector is a sparse vector: ascending terms, each once, and their values. A
// term of a sparse embedding is its index, a term of a text the hash of a word
// (TermOf). A value of zero is a value: the term is there.
type Vector struct {
	Terms  []uint64
	Values []float32
}

// Document is what is indexed. Length is the number of words of a text, for
// BM25 only. Where the scoring is BM25 the values are term frequencies.
type Document struct {
	Vector
	Length uint32
}

// Validate returns the first fault of a document's vector: ErrLengths,
// ErrTooManyTerms, ErrUnsorted, ErrDuplicate or ErrNotFinite.
func (v Vector) Validate() error { return v.validate(TermsMax) }

func (v Vector) validate(termsMax int) error {
	if len(v.Terms) != len(v.Values) {
		return ErrLengths
	}
	if len(v.Terms) > termsMax {
		return ErrTooManyTerms
	}
	for i := 1; i < len(v.Terms); i++ {
		if v.Terms[i] < v.Terms[i-1] {
			return ErrUnsorted
		}
		if v.Terms[i] == v.Terms[i-1] {
			return ErrDuplicate
		}
	}
	for _, value := range v.Values {
		if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
			return ErrNotFinite
		}
	}
	return nil
}

// Sort sorts the vector by term, in place. It returns ErrLengths when it
// cannot, and leaves duplicates for Validate to find.
func (v Vector) Sort() error {
	if len(v.Terms) != len(v.Values) {
		return ErrLengths
	}
	sort.Stable(byTerm(v))
	return nil
}

type byTerm Vector

func (v byTerm) Len() int           { return len(v.Terms) }
func (v byTerm) Less(i, j int) bool { return v.Terms[i] < v.Terms[j] }
func (v byTerm) Swap(i, j int) {
	v.Terms[i], v.Terms[j] = v.Terms[j], v.Terms[i]
	v.Values[i], v.Values[j] = v.Values[j], v.Values[i]
}
