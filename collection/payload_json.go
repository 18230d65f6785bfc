package collection

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// ParsePayload reads a JSON object. The JSON null is a nil Payload.
//
// A number without fraction and exponent is an int64, or a uint64 where an
// int64 is too small, and every other number a float64. Of equal keys the last
// one counts.
func ParsePayload(data []byte) (Payload, error) {
	v, err := parseJSON(data, PayloadDepthMax)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	}
	return nil, Errorf(InvalidArgument, "payload: invalid type: %s, expected a map", jsonTypeOf(v))
}

// UnmarshalJSON reads what ParsePayload reads.
func (p *Payload) UnmarshalJSON(data []byte) error {
	parsed, err := ParsePayload(data)
	*p = parsed
	return err
}

// jsonTypeOf names the type of v in an error message.
func jsonTypeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case int64, uint64:
		return "integer"
	case float64:
		return "floating point"
	case string:
		return "string"
	case []any:
		return "sequence"
	}
	return "map"
}

// MarshalJSON writes what AppendJSON appends.
func (p Payload) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// AppendJSON appends the payload as a JSON object with its keys in order, null
// for nil. A float64 always has a decimal point or an exponent, so that it is
// read back as one.
func (p Payload) AppendJSON(dst []byte) []byte {
	if p == nil {
		return append(dst, "null"...)
	}
	return appendObject(dst, p)
}

func appendObject(dst []byte, object map[string]any) []byte {
	var buf [16]string
	dst = append(dst, '{')
	for i, key := range sortedKeys(buf[:0], object) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, key), ':')
		dst = appendJSONValue(dst, object[key])
	}
	return append(dst, '}')
}

// sortedKeys appends the keys of object to dst, which is empty, in order.
func sortedKeys(dst []string, object map[string]any) []string {
	dst = slices.AppendSeq(dst, maps.Keys(object))
	slices.Sort(dst)
	return dst
}

func appendJSONValue(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case float64:
		return AppendJSONFloat(dst, v, 64)
	case string:
		return appendJSONString(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, inner := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONValue(dst, inner)
		}
		return append(dst, ']')
	case map[string]any:
		return appendObject(dst, v)
	}
	panic("BUG: payload value of type " + fmt.Sprintf("%T", v))
}

// AppendJSONFloat appends f, a float of the given number of bits, in the
// fewest digits that read back as f and with a decimal point or an exponent:
// clients with strict types refuse 1 where they expect 1.0. JSON has no
// NaN and no infinity; they are written as null.
func AppendJSONFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if abs := math.Abs(f); abs != 0 && (abs < 1e-5 || abs >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	if bytes.IndexByte(dst[start:], '.') < 0 {
		dst = append(dst, '.', '0')
	}
	return dst
}

// appendJSONString appends s in quotes. Bytes that are not UTF-8 become
// U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		r, size := utf8.RuneError, 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' || size > 1 {
			i += size
			continue
		}
		dst = append(dst, s[done:i]...)
		switch {
		case r == utf8.RuneError && c >= utf8.RuneSelf:
			dst = append(dst, "\ufffd"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}
