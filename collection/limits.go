package collection

import (
	"unicode"
	"unicode/utf8"
)

// Limits bounds what one request may ask for, so that no request can cost more
// than the node can pay. They are the node's; what a tenant may store in all
// is tenant.Limits.
type Limits struct {
	BodyBytes   int // a request's body, and the points of one batch as stored
	JSONDepth   int // nesting of a body
	Dimension   int // components of a vector
	BatchPoints int // points, or ids, of one write; at most MaxBatchPoints
	TopK        int // limit + offset of a query, limit of a scroll
	Ef          int // width of a graph search
	FilterNodes int // conditions and nested filters of one filter
	NameBytes   int // a collection's name
	KeyBytes    int // an idempotency key
}

// MaxBatchPoints is the highest BatchPoints that can be configured: the
// ordinal of a point in its log entry has 16 bits.
const MaxBatchPoints = 1 << 16

// DefaultLimits returns the limits of a node that configures none.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes:   32 << 20,
		JSONDepth:   32,
		Dimension:   65_535,
		BatchPoints: 10_000,
		TopK:        10_000,
		Ef:          10_000,
		FilterNodes: 1_024,
		NameBytes:   255,
		KeyBytes:    255,
	}
}

// ValidateName checks a collection's name: 1 to NameBytes bytes of valid UTF-8
// without '/', control characters or those that change the direction of text.
func ValidateName(name string, l Limits) error {
	if name == "" || len(name) > l.NameBytes {
		return invalid("collection_name: length %d invalid, must be from 1 to %d bytes", len(name), l.NameBytes)
	}
	if !utf8.ValidString(name) {
		return invalid("collection_name: not valid UTF-8")
	}
	for _, r := range name {
		if r == '/' || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return invalid("collection_name: character %U is not allowed", r)
		}
	}
	return nil
}

// Validate checks what the limits bound: the number of hits, and the width of
// the search.
func (q Query) Validate(l Limits) error {
	switch {
	case q.Limit < 1:
		return invalid("limit: value %d invalid, must be 1 or larger", q.Limit)
	case q.Offset < 0:
		return invalid("offset: value %d invalid, must be 0 or larger", q.Offset)
	case q.Offset > l.TopK || q.Limit > l.TopK-q.Offset:
		return invalid("limit: limit %d and offset %d together invalid, must be %d or smaller", q.Limit, q.Offset, l.TopK)
	case q.Ef < 0 || q.Ef > l.Ef:
		return invalid("params.hnsw_ef: value %d invalid, must be from 0 to %d", q.Ef, l.Ef)
	}
	return nil
}

// Validate checks the size of the page.
func (s ScrollRequest) Validate(l Limits) error {
	if s.Limit < 1 || s.Limit > l.TopK {
		return invalid("limit: value %d invalid, must be from 1 to %d", s.Limit, l.TopK)
	}
	return nil
}

// invalid is the error for a value outside its range.
func invalid(format string, args ...any) *Error {
	e := Errorf(InvalidArgument, format, args...)
	e.Reason = ReasonValidation
	return e
}
