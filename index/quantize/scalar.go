// Package quantize maps float32 vectors to bytes so that they can be compared
// four times as fast: one byte a value, one scale for the whole index.
//
// With two terms beside each row of codes, for what it adds to a distance as a
// row and as a query, squared Euclidean distances and dot products are one dot
// product of the bytes (distance.CodeGather). Manhattan distances are computed
// on the same rows as they are (distance.L1CodeGather); the terms are zeros.
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
	metric index.Metric
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
	s := &Scalar{dim: dim, metric: metric}
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
		s.fit(values, sorted)
	}
	return s, s.usable()
}

// Params are a scalar as it is stored.
type Params struct {
	Zero, Step float32
	Origin     int32
}

// Params returns what New makes the same scalar of.
func (s *Scalar) Params() Params { return Params{s.zero, s.step, s.origin} }

// New returns a stored scalar, and false for parameters that Train never
// returns.
func New(metric index.Metric, dim int, p Params) (*Scalar, bool) {
	s := &Scalar{dim: dim, metric: metric, zero: p.Zero, step: p.Step, origin: p.Origin}
	finite := s.zero > -math.MaxFloat32/4 && s.zero < math.MaxFloat32/4 && s.step < math.MaxFloat32/4
	return s, finite && s.usable() && dim <= MaxDim && (s.origin == 0 || s.origin == 128)
}

// shifts reports whether distances stay the same when all values move by the
// same amount, so that no code has to stand for 0.
func (s *Scalar) shifts() bool { return s.metric == index.L2 || s.metric == index.L1 }

// usable reports whether codes differ by something.
func (s *Scalar) usable() bool { return s.step >= math.SmallestNonzeroFloat32*0x1p24 }

func wholeNumbers(values []float32) bool {
	for _, v := range values {
		if v != float32(math.Trunc(float64(v))) {
			return false
		}
	}
	return true
}

// For products, in which one value that is cut off may spoil the order, the
// range is larger than what was sampled by a share, and cutting has to make the
// error so much smaller.
const unsampled, cutWorth = 0.1, 4

// fit chooses the range: rare values are cut off when that makes the others so
// much finer that distances are nearer to true ones.
func (s *Scalar) fit(values, sorted []float32) {
	best := math.Inf(1)
	for _, cut := range []float64{0, 1e-5, 1e-4, 1e-3} {
		n := int(cut * float64(len(sorted)))
		low, high := sorted[n], sorted[len(sorted)-1-n]
		t := *s
		if s.shifts() {
			t.span(low, high)
		} else {
			t.span(low+low*unsampled, high+high*unsampled)
		}
		loss := t.loss(sorted)
		if !s.shifts() {
			loss = t.lossOfProducts(values)
			if n > 0 {
				loss *= cutWorth
			}
		}
		if loss < best {
			best, *s = loss, t
		}
	}
}

// span sets the range of values. For dot products 0 must be a code, at an end
// or in the middle.
func (s *Scalar) span(low, high float32) {
	switch {
	case s.shifts():
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

// lossOfProducts is the variance of the errors of vectors' products with
// themselves, and so about with what is alike: what is cut off is off in the
// same direction in all of them, where it counts most. What all products are
// off by does not matter.
func (s *Scalar) lossOfProducts(values []float32) float64 {
	var sum, squares float64
	n := float64(len(values) / s.dim)
	for ; len(values) >= s.dim; values = values[s.dim:] {
		var off float64
		for _, v := range values[:s.dim] {
			c := code((v - s.zero) / s.step)
			off += float64(v) * (float64(v) - float64(s.zero+s.step*float32(c)))
		}
		sum, squares = sum+off, squares+off*off
	}
	return squares - sum*sum/n
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

// Shape is how rows of codes lie in chunks: Stride and Extra bytes for each.
//
// A row that begins in the middle of a line of memory ends in the middle of
// one more, so rows are whole lines where that costs little. The terms then
// have room behind the values, or they lie behind all rows of the chunk, so as
// not to begin another line.
type Shape struct {
	Stride, Extra int
}

// termBytes is the size of distance.Terms.
const termBytes = 8

// Shape is the shape of this scalar's rows.
func (s *Scalar) Shape() Shape {
	values := (s.dim + 3) &^ 3
	whole := (values + lineBytes - 1) / lineBytes * lineBytes
	switch {
	case whole-values > whole/8:
		return Shape{Stride: values + termBytes}
	case whole-values >= termBytes:
		return Shape{Stride: whole}
	default:
		return Shape{Stride: whole, Extra: termBytes}
	}
}

// Codes describes rows in the chunks given, for distance.CodeGather.
func (s *Scalar) Codes(chunks []unsafe.Pointer, shift uint) distance.Codes {
	shape := s.Shape()
	c := distance.Codes{
		Rows:  distance.Rows{Chunks: chunks, Shift: shift, Stride: shape.Stride},
		Terms: (s.dim + 3) &^ 3, TermStride: shape.Stride, Twice: s.metric == index.L2,
	}
	if shape.Extra > 0 {
		c.Terms, c.TermStride = shape.Stride<<shift, shape.Extra
	}
	return c
}

// Loss is what a row's codes lose.
type Loss uint8

const (
	// None means that distances of such codes are those of the vectors.
	None Loss = iota
	// Rounding means that values are off by half a step.
	Rounding
	// Cutting means that many values are outside the scale: vectors are not
	// what they were when it was trained.
	Cutting
)

// Encode writes a row and its terms.
func (s *Scalar) Encode(to *distance.Codes, number uint32, vector []float32) Loss {
	codes := unsafe.Slice((*uint8)(to.At(number)), s.dim)
	inverse := 1 / s.step
	exact, outside := s.step == 1, 0
	var sum, squares int32
	for i, v := range vector[:len(codes)] {
		scaled := (v - s.zero) * inverse
		c := code(scaled)
		codes[i] = c
		exact = exact && float32(c) == scaled
		if scaled < -1 || scaled > 256 {
			outside++
		}
		sum += int32(c)
		squares += int32(c) * int32(c)
	}
	var terms distance.Terms
	switch s.metric {
	case index.L2:
		terms = distance.Terms{Row: squares - 256*sum, Query: squares}
	case index.L1:
	default:
		terms = distance.Terms{Row: (s.origin - 128) * sum, Query: s.origin*sum - int32(s.dim)*s.origin*s.origin}
	}
	*to.TermsAt(number) = terms
	switch {
	case exact:
		return None
	case outside > s.dim/50:
		return Cutting
	default:
		return Rounding
	}
}

// Blur is by how much the codes of a query's neighbours may seem to be in
// another order than their vectors: for Reach.
//
// A value's error is even over a step, of variance 1/12. In the direction from
// one vector to the other the errors of both add up like one value's each, and
// two distances are in question. For Manhattan distances the errors of all
// values add up, in four vectors likewise: a difference is on average what it
// was before both sides were rounded. For dot products the errors add up along the
// vectors, which are taken to be as long as the query.
func (s *Scalar) Blur(q *distance.CodeQuery) float32 {
	const deviations, variance = 3.5, 4. / 12
	switch s.metric {
	case index.L1:
		return float32(deviations * math.Sqrt(variance*float64(s.dim)))
	case index.L2:
		return float32(deviations * math.Sqrt(variance))
	}
	var squares float64
	for _, v := range q.Values[:s.dim] {
		centred := float64(int32(v) + 128 - s.origin)
		squares += centred * centred
	}
	return float32(deviations * math.Sqrt(variance*squares))
}

// Reach is how far a code distance may be from a query for its vector to be as
// near, really, as one at the code distance given: but for one in some
// thousands.
func (s *Scalar) Reach(blur, to float32) float32 {
	if s.metric == index.L2 {
		root := math.Sqrt(max(float64(to), 0)) + float64(blur)
		return float32(root * root)
	}
	return to + blur
}

// Query makes q the query that the row's vector is, for the gather of the
// scalar's metric.
func (s *Scalar) Query(q *distance.CodeQuery, from *distance.Codes, number uint32) {
	n := (s.dim + distance.CodeBlock - 1) / distance.CodeBlock * distance.CodeBlock
	q.Values = slices.Grow(q.Values[:0], n)[:n]
	q.Dim, q.Base = s.dim, from.TermsAt(number).Query
	codes := unsafe.Slice((*uint8)(from.At(number)), s.dim)
	if s.metric == index.L1 {
		copy(unsafe.Slice((*uint8)(unsafe.Pointer(&q.Values[0])), n), codes)
		clear(q.Values[s.dim:])
		return
	}
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
}
