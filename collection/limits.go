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

// invalid is the error for a value outside its range.
func invalid(format string, args ...any) *Error {
	e := Errorf(InvalidArgument, format, args...)
	e.Reason = ReasonValidation
	return e
}
