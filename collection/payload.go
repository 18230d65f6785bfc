package collection

// PayloadDepthMax is how deep a payload may nest; the payload itself is the
// first level.
const PayloadDepthMax = 32

// Payload is what a caller stores beside a vector: a JSON object. The values
// are nil, bool, int64, uint64 (only above the largest int64), float64, string,
// []any and map[string]any, nested to at most PayloadDepthMax. A number keeps
// the form it was written in: 10 is an int64 and 10.0 a float64, and they do
// not match each other.
//
// A Payload is read-only once it is made: edits and selections return new
// payloads that share what they do not change.
type Payload map[string]any

func errPayloadDepth() error {
	return invalid("payload: nested deeper than %d levels", PayloadDepthMax)
}
