package collection

import (
	"encoding/binary"
	"math"
	"strings"
	"unsafe"
)

// A payload is stored as msgpack (https://msgpack.org), written in one way
// only, so that equal payloads are equal bytes:
//
//	null, booleans   nil, false, true
//	int64, uint64    the shortest integer form; at least 0: an unsigned one
//	float64          float 64
//	string           the shortest str form
//	[]any            the shortest array form
//	map[string]any   the shortest map form; keys are str, ascending by bytes
//
// Readers take any width but no other types, and refuse keys out of order: a
// search for a key may stop at the first greater one.
const (
	mpNil, mpFalse, mpTrue                = 0xc0, 0xc2, 0xc3
	mpFloat64                             = 0xcb
	mpUint8, mpUint16, mpUint32, mpUint64 = 0xcc, 0xcd, 0xce, 0xcf
	mpInt8, mpInt16, mpInt32, mpInt64     = 0xd0, 0xd1, 0xd2, 0xd3
	mpStr8, mpStr16, mpStr32              = 0xd9, 0xda, 0xdb
	mpArray16, mpArray32                  = 0xdc, 0xdd
	mpMap16, mpMap32                      = 0xde, 0xdf
	mpFixMap, mpFixArray, mpFixStr        = 0x80, 0x90, 0xa0
	mpNegative                            = 0xe0
)

// AppendPayload appends the stored form of p; a nil payload is stored as an
// empty one. It refuses NaN, infinities and what is nested too deep.
func AppendPayload(dst []byte, p Payload) ([]byte, error) {
	return appendMap(dst, p, PayloadDepthMax)
}

func appendMap(dst []byte, object map[string]any, depthLeft int) ([]byte, error) {
	if depthLeft == 0 {
		return nil, errPayloadDepth()
	}
	var buf [16]string
	var err error
	dst = appendLength(dst, len(object), mpFixMap, 16, mpMap16)
	for _, key := range sortedKeys(buf[:0], object) {
		dst = appendString(dst, key)
		if dst, err = appendValue(dst, object[key], depthLeft-1); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func appendArray(dst []byte, list []any, depthLeft int) ([]byte, error) {
	if depthLeft == 0 {
		return nil, errPayloadDepth()
	}
	var err error
	dst = appendLength(dst, len(list), mpFixArray, 16, mpArray16)
	for _, v := range list {
		if dst, err = appendValue(dst, v, depthLeft-1); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func appendValue(dst []byte, v any, depthLeft int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, mpNil), nil
	case bool:
		if v {
			return append(dst, mpTrue), nil
		}
		return append(dst, mpFalse), nil
	case int64:
		if v < 0 {
			return appendNegative(dst, v), nil
		}
		return appendUnsigned(dst, uint64(v)), nil
	case uint64:
		return appendUnsigned(dst, v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, invalid("payload: %v is not a number that can be stored", v)
		}
		return binary.BigEndian.AppendUint64(append(dst, mpFloat64), math.Float64bits(v)), nil
	case string:
		return appendString(dst, v), nil
	case []any:
		return appendArray(dst, v, depthLeft)
	case map[string]any:
		return appendMap(dst, v, depthLeft)
	}
	return nil, Errorf(Internal, "payload: value of type %T", v)
}

func appendUnsigned(dst []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, mpUint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, mpUint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, mpUint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, mpUint64), n)
}

func appendNegative(dst []byte, n int64) []byte {
	switch {
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, mpInt8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, mpInt16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, mpInt32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, mpInt64), uint64(n))
}

func appendString(dst []byte, s string) []byte {
	if len(s) >= 32 && len(s) <= math.MaxUint8 {
		return append(append(dst, mpStr8, byte(len(s))), s...)
	}
	return append(appendLength(dst, len(s), mpFixStr, 32, mpStr16), s...)
}

// appendLength appends the head of a string, array or map of length n: one
// byte below fixEnd, else code16, or the code after it, and the length.
func appendLength(dst []byte, n int, fix byte, fixEnd int, code16 byte) []byte {
	switch {
	case n < fixEnd:
		return append(dst, fix|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, code16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code16+1), uint32(n))
}

// valueKind is the type of a payload value.
type valueKind uint8

const (
	kindNull valueKind = iota
	kindBool
	kindInt  // bits are an int64
	kindUint // bits are above the largest int64
	kindFloat
	kindString
	kindArray
	kindMap
)

// value is one payload value without what is inside it. For an array and a
// map bits is the number of elements.
type value struct {
	kind valueKind
	bits uint64
	text string
}

// readValue reads one value from the front of b, for an array or a map its
// head only; rest begins after it. The text is where it lies in b. What is
// not a payload value, or cut short, is not ok.
func readValue(b []byte) (v value, rest []byte, ok bool) {
	if len(b) == 0 {
		return value{}, nil, false
	}
	code, b := b[0], b[1:]
	switch {
	case code < mpFixMap:
		return value{kind: kindInt, bits: uint64(code)}, b, true
	case code < mpFixArray:
		return readContainer(b, kindMap, uint64(code&0x0f))
	case code < mpFixStr:
		return readContainer(b, kindArray, uint64(code&0x0f))
	case code < mpNil:
		return readText(b, uint64(code&0x1f))
	case code >= mpNegative:
		return value{kind: kindInt, bits: uint64(int64(int8(code)))}, b, true
	}
	return readWide(code, b)
}

// readWide reads the value that code, a byte of 0xc0 to 0xdf, begins.
func readWide(code byte, b []byte) (value, []byte, bool) {
	size := wideSize[code-mpNil]
	if size < 0 || len(b) < int(size) {
		return value{}, nil, false
	}
	var n uint64
	for _, c := range b[:size] {
		n = n<<8 | uint64(c)
	}
	b = b[size:]
	switch code {
	case mpNil:
		return value{kind: kindNull}, b, true
	case mpFalse, mpTrue:
		return value{kind: kindBool, bits: uint64(code - mpFalse)}, b, true
	case mpFloat64:
		return value{kind: kindFloat, bits: n}, b, true
	case mpUint64:
		if n > math.MaxInt64 {
			return value{kind: kindUint, bits: n}, b, true
		}
	case mpInt8, mpInt16, mpInt32:
		shift := 64 - 8*uint(size)
		n = uint64(int64(n<<shift) >> shift)
	case mpStr8, mpStr16, mpStr32:
		return readText(b, n)
	case mpArray16, mpArray32:
		return readContainer(b, kindArray, n)
	case mpMap16, mpMap32:
		return readContainer(b, kindMap, n)
	}
	return value{kind: kindInt, bits: n}, b, true
}

// wideSize is how many bytes of number or length follow the codes 0xc0 to
// 0xdf; -1: the code is not one of a payload.
var wideSize = [mpNegative - mpNil]int8{
	0, -1, 0, 0, -1, -1, -1, -1, -1, -1, -1, 8, 1, 2, 4, 8,
	1, 2, 4, 8, -1, -1, -1, -1, -1, 1, 2, 4, 2, 4, 2, 4,
}

func readText(b []byte, n uint64) (value, []byte, bool) {
	if n > uint64(len(b)) {
		return value{}, nil, false
	}
	return value{kind: kindString, text: textOf(b[:n])}, b[n:], true
}

// textOf is b as a string, without a copy: b must not change while it is used.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// readContainer refuses a length that the rest of b cannot hold: every element
// takes a byte.
func readContainer(b []byte, kind valueKind, n uint64) (value, []byte, bool) {
	if n > uint64(len(b)) {
		return value{}, nil, false
	}
	return value{kind: kind, bits: n}, b, true
}

// skipValue passes over the value at the front of b and all that is inside it.
func skipValue(b []byte) (rest []byte, ok bool) {
	for left := uint64(1); left > 0; left-- {
		v, after, ok := readValue(b)
		if !ok {
			return nil, false
		}
		switch v.kind {
		case kindArray:
			left += v.bits
		case kindMap:
			left += 2 * v.bits
		}
		b = after
	}
	return b, true
}

// DecodePayload reads what AppendPayload appended; b must hold nothing else.
// No bytes at all are a nil payload. The payload shares nothing with b. An
// error has the code DataLoss.
func DecodePayload(b []byte) (Payload, error) {
	if len(b) == 0 {
		return nil, nil
	}
	v, rest, ok := decodeValue(b, PayloadDepthMax)
	object, isMap := v.(map[string]any)
	if !ok || !isMap || len(rest) > 0 {
		return nil, Errorf(DataLoss, "stored payload of %d bytes is malformed", len(b))
	}
	return object, nil
}

func decodeValue(b []byte, depthLeft int) (any, []byte, bool) {
	v, b, ok := readValue(b)
	if !ok {
		return nil, nil, false
	}
	switch v.kind {
	case kindBool:
		return v.bits == 1, b, true
	case kindInt:
		return int64(v.bits), b, true
	case kindUint:
		return v.bits, b, true
	case kindFloat:
		return math.Float64frombits(v.bits), b, true
	case kindString:
		return strings.Clone(v.text), b, true
	case kindArray:
		return decodeArray(b, v.bits, depthLeft)
	case kindMap:
		return decodeMap(b, v.bits, depthLeft)
	}
	return nil, b, true
}

func decodeArray(b []byte, n uint64, depthLeft int) (any, []byte, bool) {
	if depthLeft == 0 {
		return nil, nil, false
	}
	list := make([]any, n)
	var ok bool
	for i := range list {
		if list[i], b, ok = decodeValue(b, depthLeft-1); !ok {
			return nil, nil, false
		}
	}
	return list, b, true
}

func decodeMap(b []byte, n uint64, depthLeft int) (any, []byte, bool) {
	if depthLeft == 0 {
		return nil, nil, false
	}
	object := make(map[string]any, n)
	last := ""
	for i := range n {
		key, after, ok := readValue(b)
		if !ok || key.kind != kindString || i > 0 && key.text <= last {
			return nil, nil, false
		}
		last = strings.Clone(key.text)
		if object[last], b, ok = decodeValue(after, depthLeft-1); !ok {
			return nil, nil, false
		}
	}
	return object, b, true
}
