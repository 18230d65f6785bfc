package quantize

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/distance"
)

// coded is vectors and their rows in one chunk.
type coded struct {
	*Scalar
	codes distance.Codes
	exact bool
}

func encodeAll(t testing.TB, s *Scalar, vectors [][]float32) coded {
	t.Helper()
	const shift = 8
	shape := s.Shape()
	memory := make([]uint64, ((shape.Stride+shape.Extra)<<shift+distance.CodeBlock)/8+1)
	c := coded{Scalar: s, codes: s.Codes([]unsafe.Pointer{unsafe.Pointer(&memory[0])}, shift), exact: true}
	for i, v := range vectors {
		c.exact = s.Encode(&c.codes, uint32(i), v) == None && c.exact
	}
	return c
}

func (c coded) distance(a, b int) float32 {
	q := distance.CodeQuery{Values: slices.Repeat([]int8{77}, 1024)} // from an index of a larger dimension
	c.Query(&q, &c.codes, uint32(a))
	var out [1]float32
	gather := distance.CodeGather
	if c.metric == index.L1 {
		gather = distance.L1CodeGather
	}
	gather(&q, &c.codes, []uint32{uint32(b)}, out[:])
	return out[0]
}

func exact(metric index.Metric, a, b []float32) float64 {
	var sum float64
	for i := range a {
		switch metric {
		case index.L2:
			sum += float64(a[i]-b[i]) * float64(a[i]-b[i])
		case index.L1:
			sum += math.Abs(float64(a[i] - b[i]))
		default:
			sum -= float64(a[i]) * float64(b[i])
		}
	}
	return sum
}

func vectors(n, dim int, value func() float32) (all [][]float32, flat []float32) {
	for range n {
		v := make([]float32, dim)
		for i := range v {
			v[i] = value()
		}
		all, flat = append(all, v), append(flat, v...)
	}
	return all, flat
}

func TestWholeNumbersLoseNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, metric := range []index.Metric{index.L2, index.Cosine, index.Dot, index.L1} {
		for _, low := range []int{0, -128} {
			for _, dim := range []int{1, 3, 8, 64, 100, 784} {
				vs, flat := vectors(20, dim, func() float32 { return float32(low + r.IntN(256)) })
				s, ok := Train(metric, dim, flat)
				if !ok {
					t.Fatal("not trained")
				}
				c := encodeAll(t, s, vs)
				if !c.exact {
					t.Errorf("metric %d, from %d, dim %d: not exact", metric, low, dim)
				}
				for i := range vs {
					want := float32(exact(metric, vs[i], vs[7]))
					if got := c.distance(i, 7); got != want {
						t.Fatalf("metric %d, from %d, dim %d: distance %g, want %g", metric, low, dim, got, want)
					}
				}
			}
		}
	}
}

// Distances of codes are those of the vectors in other units. The error of a
// sum of dim roundings grows with the square root of dim.
func TestErrorIsSmall(t *testing.T) {
	var r *rand.Rand // begins anew with each case: their order is not fixed
	sources := map[string]func() float32{
		"normal":   func() float32 { return float32(r.NormFloat64()) },
		"positive": func() float32 { return r.Float32() },
		"far away": func() float32 { return 1000 + r.Float32() },
		"outliers": func() float32 { return float32(math.Pow(r.NormFloat64(), 5)) },
	}
	for name, source := range sources {
		for _, metric := range []index.Metric{index.L2, index.L1, index.Dot} {
			if metric == index.Dot && (name == "far away" || name == "outliers") {
				continue
			}
			const dim = 256
			r = rand.New(rand.NewPCG(3, 4))
			vs, flat := vectors(200, dim, source)
			s, ok := Train(metric, dim, flat)
			if !ok {
				t.Fatalf("%s: not trained", name)
			}
			c := encodeAll(t, s, vs)
			var wrong, size float64
			for i := range vs {
				want := exact(metric, vs[i], vs[0])
				got := float64(c.distance(0, i)) * float64(s.step)
				if metric != index.L1 {
					got *= float64(s.step)
				}
				wrong += (got - want) * (got - want)
				size += want * want
			}
			limit := 0.03
			if metric == index.L1 && name == "outliers" {
				limit = 0.05 // the many small values count for more
			}
			if relative := math.Sqrt(wrong / size); relative > limit {
				t.Errorf("%s, metric %d: distances are off by %.3f", name, metric, relative)
			}
		}
	}
}

// In products of vectors that are alike what is cut off adds up: nothing is cut
// where values are as large as they happen to be, in the sample and out of it.
// What is large in the same place in all vectors is off by the same in all.
func TestRangeOfProducts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const dim = 1536
	centres, _ := vectors(20, dim, func() float32 { return float32(r.NormFloat64()) })
	for _, apart := range []bool{false, true} {
		draw := func(n int) (all [][]float32, flat []float32) {
			all, flat = vectors(n, dim, func() float32 { return float32(r.NormFloat64()) / 2 })
			for i := range all {
				for j, c := range centres[i%len(centres)] {
					all[i][j] += c
				}
				if apart {
					all[i][7] = 60 + all[i][7]/1000
				}
				copy(flat[i*dim:], all[i])
			}
			return all, flat
		}
		_, sample := draw(200)
		s, ok := Train(index.Dot, dim, sample)
		if !ok {
			t.Fatal("not trained")
		}
		if apart && s.step > 10./127 {
			t.Errorf("step %g: all values are coarse for one that does not matter", s.step)
		}
		_, others := draw(500)
		for _, v := range others {
			if off := math.Abs(float64(v - s.zero - s.step*float32(code((v-s.zero)/s.step)))); off > float64(s.step) && !apart {
				t.Fatalf("%g is off by %g, the step is %g", v, off, s.step)
			}
		}
	}
}

func TestTrainRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, values := range map[string][]float32{
		"nothing": nil, "NaN": {1, nan, 0.5}, "Inf": {0.5, inf}, "-Inf": {0.5, -inf},
		"huge": {0.5, math.MaxFloat32}, "denormal": {0, math.SmallestNonzeroFloat32}, "one value": {0.5, 0.5},
	} {
		for _, metric := range []index.Metric{index.L2, index.L1, index.Dot} {
			s, ok := Train(metric, 1, values)
			if ok && (name != "one value" || metric != index.Dot) {
				t.Errorf("%s, metric %d: trained to %+v", name, metric, s)
			}
		}
	}
	if _, ok := Train(index.L2, MaxDim+1, make([]float32, MaxDim+1)); ok {
		t.Error("a dimension over MaxDim is trained")
	}
}

// Values that training did not see get the nearest code there is.
func TestEncodeTakesAnyValue(t *testing.T) {
	s, _ := Train(index.L2, 4, []float32{0, 1, 2, 255})
	v := []float32{float32(math.NaN()), -5, 300, float32(math.Inf(1))}
	c := encodeAll(t, s, [][]float32{v})
	if c.exact {
		t.Error("exact")
	}
	if got := *(*[4]uint8)(c.codes.At(0)); got != [4]uint8{0, 0, 255, 255} {
		t.Errorf("codes %v", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	_, v := vectors(1, 784, r.Float32)
	s, _ := Train(index.L2, 784, v)
	c := encodeAll(b, s, [][]float32{v})
	var q distance.CodeQuery
	b.Run("row", func(b *testing.B) {
		for b.Loop() {
			s.Encode(&c.codes, 0, v)
		}
	})
	b.Run("query", func(b *testing.B) {
		for b.Loop() {
			s.Query(&q, &c.codes, 0)
		}
	})
}
