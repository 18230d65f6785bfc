package hubsvc

import (
	"math"
	"math/bits"
)

// span is bytes times milliseconds, in 128 bits: 64 are full after five hours
// of a terabyte. It is a number of two's complement, so that sums of
// differences are exact.
type span struct {
	High uint64 `msgpack:"h,omitempty"`
	Low  uint64 `msgpack:"l,omitempty"`
}

func (s span) plus(t span) span {
	low, carry := bits.Add64(s.Low, t.Low, 0)
	high, _ := bits.Add64(s.High, t.High, carry)
	return span{high, low}
}

func (s span) minus(t span) span {
	low, borrow := bits.Sub64(s.Low, t.Low, 0)
	high, _ := bits.Sub64(s.High, t.High, borrow)
	return span{high, low}
}

// held is so many bytes for so long; the time may be below zero.
func held(size uint64, ms int64) span {
	if ms < 0 {
		return span{}.minus(held(size, -ms))
	}
	high, low := bits.Mul64(size, uint64(ms))
	return span{high, low}
}

// over returns the whole units in s of so many milliseconds: 0 for less than
// nothing, and the most that can be said for more.
func (s span) over(ms uint64) uint64 {
	switch {
	case s.High>>63 == 1:
		return 0
	case s.High >= ms:
		return math.MaxUint64
	}
	n, _ := bits.Div64(s.High, s.Low, ms)
	return n
}
