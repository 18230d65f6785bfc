package httpedge

import (
	"encoding/binary"
	"math"
	"strconv"
)

// number reads a number and returns its bytes.
func (s *scanner) number() ([]byte, error) {
	s.space()
	from := s.i
	if s.at() == '-' {
		s.i++
	}
	switch {
	case s.at() == '0':
		s.i++
	case !s.digits():
		return nil, s.badNumber()
	}
	if s.at() >= '0' && s.at() <= '9' {
		return nil, s.badNumber()
	}
	if s.at() == '.' {
		if s.i++; !s.digits() {
			return nil, s.badNumber()
		}
	}
	if c := s.at(); c == 'e' || c == 'E' {
		s.i++
		if c := s.at(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return nil, s.badNumber()
		}
	}
	return s.b[from:s.i], nil
}

// at is the next byte, 0 at the end.
func (s *scanner) at() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) digits() bool {
	from := s.i
	for s.at() >= '0' && s.at() <= '9' {
		s.i++
	}
	return s.i > from
}

func (s *scanner) badNumber() error {
	if s.i == len(s.b) {
		return s.fault("EOF while parsing a value")
	}
	return s.fault("invalid number")
}

// float32 reads a number as the float32 nearest to it.
func (s *scanner) float32() (float32, error) {
	s.space()
	if f, n := scanFloat32(s.b[s.i:]); n > 0 {
		s.i += n
		return f, nil
	}
	if c := s.at(); c != '-' && (c < '0' || c > '9') {
		return 0, s.mismatch("f32")
	}
	digits, err := s.number()
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(text(digits), 32)
	if err != nil {
		s.i--
		return 0, s.fault("number out of range")
	}
	return float32(f), nil
}

// powers are the powers of ten that scanFloat32 needs; exact up to 10^22.
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35, 1e36, 1e37,
	1e38, 1e39, 1e40,
}

// smallestNormal is the least float32 with a full mantissa.
const smallestNormal = 0x1p-126

// scanFloat32 reads the number at the front of b and returns the float32
// nearest to it and its length, or 0 when it is no number or one of the few
// that need the slow way: more than 19 digits, beyond the normal float32s, or
// so near to the middle between two float32s that the error of the
// calculation could choose the wrong one.
//
// The calculation is in float64: digits as an integer, times or divided by a
// power of ten. Each of the three roundings is off by at most half a unit in
// the last place, so the result is less than 2 units from the truth; the middle
// between two float32s is a float64 whose low 29 bits are 1 and 28 zeros. If
// the result is 4 units or more from it, truth and result lie on the same side.
func scanFloat32(b []byte) (float32, int) {
	digits, exponent, n := scanDecimal(b)
	if n == 0 || n < len(b) && isNumberByte(b[n]) {
		return 0, 0
	}
	negative := b[0] == '-'
	if digits == 0 {
		if negative {
			return float32(math.Copysign(0, -1)), n
		}
		return 0, n
	}
	d := float64(digits)
	switch {
	case exponent < 0 && -exponent < len(powers):
		d /= powers[-exponent]
	case exponent >= 0 && exponent < len(powers):
		d *= powers[exponent]
	default:
		return 0, 0
	}
	const half = 1 << 28
	fromMiddle := int64(math.Float64bits(d)&(2*half-1)) - half
	if d < smallestNormal || d > math.MaxFloat32 || fromMiddle > -4 && fromMiddle < 4 {
		return 0, 0
	}
	if negative {
		d = -d
	}
	return float32(d), n
}

// isNumberByte reports whether c continues a number, which then is not one that
// scanDecimal has read to its end.
func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// scanDecimal splits the number at the front of b into digits * 10^exponent
// (without its sign) and returns its length; 0 when it is none or has more
// than 19 digits that count.
func scanDecimal(b []byte) (digits uint64, exponent, n int) {
	first := 0
	if len(b) > 0 && b[0] == '-' {
		first = 1
	}
	digits, i := scanDigits(b, first, 0)
	if i == first || b[first] == '0' && i > first+1 {
		return 0, 0, 0
	}
	count := i - first
	if i < len(b) && b[i] == '.' {
		point := i + 1
		from := point
		if digits == 0 { // zeros before the first digit do not count
			count = 0
			for from < len(b) && b[from] == '0' {
				from++
			}
		}
		if digits, i = scanDigits(b, from, digits); i == point {
			return 0, 0, 0
		}
		exponent = point - i
		count += i - from
	}
	if count > 19 {
		return 0, 0, 0
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		e, length := scanExponent(b[i+1:])
		if length == 0 {
			return 0, 0, 0
		}
		return digits, exponent + e, i + 1 + length
	}
	return digits, exponent, i
}

// scanDigits appends the digits at b[i:] to a number and returns the place
// after them. Past 19 digits the number means nothing.
func scanDigits(b []byte, i int, number uint64) (uint64, int) {
	for i+8 <= len(b) {
		v, ok := eightDigits(binary.LittleEndian.Uint64(b[i:]))
		if !ok {
			break
		}
		number = number*100_000_000 + v
		i += 8
	}
	for i < len(b) && b[i]-'0' <= 9 {
		number = number*10 + uint64(b[i]-'0')
		i++
	}
	return number, i
}

// scanExponent reads what follows an e: at most 4 digits.
func scanExponent(b []byte) (e, n int) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		n = 1
	}
	from := n
	for n < len(b) && b[n]-'0' <= 9 {
		e = e*10 + int(b[n]-'0')
		n++
		if n-from > 4 {
			return 0, 0
		}
	}
	if n == from {
		return 0, 0
	}
	if negative {
		e = -e
	}
	return e, n
}

// eightDigits reads eight decimal digits at once, the first in the lowest byte
// (the multiplications add neighbours: 8 digits, 4 pairs, 2 fours, 1 number).
func eightDigits(v uint64) (uint64, bool) {
	const high = 0xf0f0f0f0f0f0f0f0
	if v&high|(v+0x0606060606060606)&high>>4 != 0x3333333333333333 {
		return 0, false
	}
	v -= 0x3030303030303030
	v = v*10 + v>>8
	const mask, mul1, mul2 = 0x000000ff000000ff, 100 + 1_000_000<<32, 1 + 10_000<<32
	return (v&mask*mul1 + v>>16&mask*mul2) >> 32, true
}

// uint reads an unsigned integer.
func (s *scanner) uint() (uint64, error) {
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, s.mismatch("u64")
	}
	from := s.i
	digits, err := s.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text(digits), 10, 64)
	if err == nil {
		return n, nil
	}
	if digits[0] == '-' {
		s.i--
		return 0, s.fault("invalid value: integer `%s`, expected u64", digits)
	}
	s.i = from
	return 0, s.mismatch("u64")
}
