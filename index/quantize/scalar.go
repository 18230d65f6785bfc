// Package quantize maps float32 vectors to bytes so that they can be compared
// four times as fast: one byte a value, one scale for the whole index.
//
// A row of codes is the values, and two int32 that save work when rows are
// compared: what this row adds as a row, and what it adds as a query. With
// them both metrics are one dot product of the bytes (distance.CodeGather).
// Vectors of whole numbers between 0 and 255, or -128 and 127, lose nothing.
//
// The package owns no memory but what it is given, and starts nothing.
package quantize

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
)

// MaxDim is the largest dimension whose distances fit the kernels' 32 bits.
const MaxDim = 32_768

// lineBytes is what memory is read in.
const lineBytes = 64

// Scalar says what a code stands for: value = zero + step*code. It is
// immutable, and safe for any number of goroutines.
type Scalar struct {
	dim    int
	l2     bool
	zero   float32
	step   float32
	origin int32 // for dot products: the code that stands for 0, 0 or 128
}

// Train chooses the scale for vectors like those in values, which holds any
// number of them one after the other. It returns false when no scale would do:
// a dimension over MaxDim, or values that are not finite, none, or too large.
func Train(metric index.Metric, dim int, values []float32) (*Scalar, bool) {
	if dim > MaxDim || len(values) == 0 {
		return nil, false
	}
	s := &Scalar{dim: dim, l2: metric == index.L2}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	low, high := sorted[0], sorted[len(sorted)-1] // NaN comes first, see slices.Sort
	if !(low > -math.MaxFloat32/4 && high < math.MaxFloat32/4) {
		return nil, false
	}
	switch whole := wholeNumbers(values); {
	case whole && low >= 0 && high <= 255:
		s.zero, s.step, s.origin = 0, 1, 0
	case whole && low >= -128 && high <= 127:
		s.zero, s.step, s.origin = -128, 1, 128
	default:
		s.fit(sorted)
	}
	return s, s.step >= math.SmallestNonzeroFloat32*0x1p24
}

func wholeNumbers(values []float32) bool {
	for _, v := range values {
		if v != float32(math.Trunc(float64(v))) {
			return false
		}
	}
	return true
}

// fit chooses the range: rare values are cut off when that makes the others so
// much finer that the mean squared error falls.
func (s *Scalar) fit(sorted []float32) {
	best := math.Inf(1)
	for _, cut := range []float64{0, 1e-5, 1e-4, 1e-3} {
		n := int(cut * float64(len(sorted)))
		t := *s
		t.span(sorted[n], sorted[len(sorted)-1-n])
		if loss := t.loss(sorted); loss < best {
			best, *s = loss, t
		}
	}
}

// span sets the range of values. For dot products 0 must be a code, at an end
// or in the middle.
func (s *Scalar) span(low, high float32) {
	switch {
	case s.l2:
		s.zero, s.step = low, (high-low)/255
	case low >= 0:
		s.zero, s.step, s.origin = 0, high/255, 0
	default:
		s.step = max(-low/128, high/127)
		s.zero, s.origin = -128*s.step, 128
	}
}

// loss is the sum of squared errors over some of the values.
func (s *Scalar) loss(values []float32) float64 {
	const most = 20_000
	var sum float64
	for i := 0; i < len(values); i += 1 + len(values)/most {
		c := code((values[i] - s.zero) / s.step)
		e := float64(values[i]) - float64(s.zero+s.step*float32(c))
		sum += e * e
	}
	return sum
}

// code is the nearest code, 0 for what is not a number.
func code(scaled float32) uint8 {
	rounded := scaled + 0.5
	switch {
	case rounded >= 256:
		return 255
	case rounded > 0:
		return uint8(int32(rounded))
	default:
		return 0
	}
}

// Bias is the offset of the first int32 in a row.
func (s *Scalar) Bias() int { return (s.dim + 3) &^ 3 }

// Stride is the bytes of a row: whole lines where these cost little, because a
// row that begins in the middle of a line ends in the middle of one more.
func (s *Scalar) Stride() int {
	packed := s.Bias() + 8
	whole := (packed + lineBytes - 1) / lineBytes * lineBytes
	if whole-packed <= packed/8 {
		return whole
	}
	return packed
}

// Codes describes rows in the chunks given, for distance.CodeGather.
func (s *Scalar) Codes(chunks []unsafe.Pointer, shift uint) distance.Codes {
	return distance.Codes{
		Rows: distance.Rows{Chunks: chunks, Shift: shift, Stride: s.Stride()},
		Bias: s.Bias(), Twice: s.l2,
	}
}

// Encode writes a row of Stride bytes, and reports whether the codes stand for
// exactly the values.
func (s *Scalar) Encode(row unsafe.Pointer, vector []float32) (exact bool) {
	codes := unsafe.Slice((*uint8)(row), s.dim)
	inverse := 1 / s.step
	exact = true
	var sum, squares int32
	for i, v := range vector[:len(codes)] {
		scaled := (v - s.zero) * inverse
		c := code(scaled)
		codes[i] = c
		exact = exact && float32(c) == scaled
		sum += int32(c)
		squares += int32(c) * int32(c)
	}
	terms := (*[2]int32)(unsafe.Add(row, s.Bias()))
	if s.l2 {
		*terms = [2]int32{squares - 256*sum, squares}
	} else {
		*terms = [2]int32{(s.origin - 128) * sum, s.origin*sum - int32(s.dim)*s.origin*s.origin}
	}
	return exact
}

// Reach is how far a code distance may be from a query for its vector to be as
// near, really, as one at the code distance given: but for one in a thousand.
//
// A value's error is even over a step, of variance 1/12; in the direction from
// one vector to the other the errors of both add up like one value's each. For
// dot products they add up along the vectors, which are taken to be as long as
// the query.
func (s *Scalar) Reach(q *distance.CodeQuery, to float32) float32 {
	const deviations = 3
	if s.l2 {
		root := math.Sqrt(max(float64(to), 0)) + deviations*2*math.Sqrt(2./12)
		return float32(root * root)
	}
	var squares float64
	for _, v := range q.Values[:s.dim] {
		centred := float64(int32(v) + 128 - s.origin)
		squares += centred * centred
	}
	return to + float32(deviations*2*math.Sqrt(2*squares/12))
}

// Query makes q the query that the row's vector is.
func (s *Scalar) Query(q *distance.CodeQuery, row unsafe.Pointer) {
	n := (s.dim + distance.CodeBlock - 1) / distance.CodeBlock * distance.CodeBlock
	q.Values = slices.Grow(q.Values[:0], n)[:n]
	codes := unsafe.Slice((*uint8)(row), s.dim)
	i := 0
	for ; i+8 <= len(codes); i += 8 {
		const flip = 0x8080808080808080 // code - 128 as a signed byte is the code with its top bit flipped
		word := (*[8]byte)(unsafe.Pointer(&q.Values[i]))
		binary.LittleEndian.PutUint64(word[:], binary.LittleEndian.Uint64(codes[i:])^flip)
	}
	for ; i < len(codes); i++ {
		q.Values[i] = int8(codes[i] ^ 0x80)
	}
	clear(q.Values[i:])
	q.Base = *(*int32)(unsafe.Add(row, s.Bias()+4))
}
