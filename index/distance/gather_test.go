package distance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// codeRows makes rows of random codes in small chunks, with random terms and
// something in the room between. Without padding the terms lie behind all rows.
func codeRows(r *rand.Rand, dim, n, padding int, twice bool) *Codes {
	const shift = 3
	values := (dim + 3) &^ 3
	c := &Codes{Rows: Rows{Shift: shift, Stride: values + padding}, Terms: values, TermStride: values + padding, Twice: twice}
	if padding == 0 {
		c.Terms, c.TermStride = values<<shift, 8
	}
	for first := 0; first < n; first += 1 << shift {
		chunk := make([]int32, ((1<<shift)*(values+padding+8)+CodeBlock)/4+1)
		bytes := unsafe.Slice((*uint8)(unsafe.Pointer(&chunk[0])), 4*len(chunk))
		for i := range bytes {
			bytes[i] = uint8(r.Uint32())
		}
		c.Chunks = append(c.Chunks, unsafe.Pointer(&chunk[0]))
	}
	return c
}

func codeQuery(r *rand.Rand, dim int) *CodeQuery {
	q := &CodeQuery{Values: make([]int8, (dim+CodeBlock-1)/CodeBlock*CodeBlock), Dim: dim, Base: int32(r.Uint32())}
	for i := range dim {
		q.Values[i] = int8(r.Uint32())
	}
	return q
}

// codeKernel is one comparison of codes.
type codeKernel struct {
	name      string
	gather    func(l level, q *CodeQuery, c *Codes, numbers []uint32, out []float32)
	reference func(q *CodeQuery, c *Codes, numbers []uint32, out []float32)
}

var codeKernels = []codeKernel{
	{"dot", codeGather, codeGatherReference},
	{"l1", l1CodeGather, l1CodeGatherReference},
}

func TestCodeKernelsEqualTheReference(t *testing.T) {
	for _, k := range codeKernels {
		t.Run(k.name, func(t *testing.T) { testCodeKernel(t, k) })
	}
}

func testCodeKernel(t *testing.T, k codeKernel) {
	r := rand.New(rand.NewPCG(1, 2))
	dims := []int{255, 256, 257, 320, 511, 512, 513, 768, 784, 1536, 4096}
	for dim := 1; dim <= 130; dim++ {
		dims = append(dims, dim)
	}
	for _, dim := range dims {
		for _, padding := range []int{0, 8, 20, 64} {
			c := codeRows(r, dim, 40, padding, padding == 20)
			q := codeQuery(r, dim)
			for _, n := range []int{0, 1, 2, 3, 7, 31, 64} {
				numbers := make([]uint32, n)
				for i := range numbers {
					numbers[i] = r.Uint32N(40)
				}
				want := make([]float32, n)
				k.reference(q, c, numbers, want)
				for l := reference; l <= codeLevel && n > 0; l++ {
					got := make([]float32, n+1)
					k.gather(l, q, c, numbers, got)
					if !slices.Equal(got[:n], want) || got[n] != 0 {
						t.Fatalf("%v, dim %d, %d rows: got %v, want %v and 0", l, dim, n, got, want)
					}
				}
			}
		}
	}
}

// The extremes: every product as large as it gets, over and over.
func TestCodeSumsDoNotSaturate(t *testing.T) {
	const dim = 32_768
	c := codeRows(rand.New(rand.NewPCG(3, 4)), dim, 1, 8, false)
	values := unsafe.Slice((*uint8)(c.At(0)), dim)
	for i := range values {
		values[i] = 255
	}
	c.TermsAt(0).Row = 7
	for _, v := range []int8{-128, 127} {
		q := &CodeQuery{Values: slices.Repeat([]int8{v}, dim), Base: 10}
		want := float32(17 - 255*dim*int(v))
		for l := reference; l <= codeLevel; l++ {
			var out [1]float32
			codeGather(l, q, c, []uint32{0}, out[:])
			if out[0] != want {
				t.Errorf("%v: %g, want %g", l, out[0], want)
			}
		}
	}
}

func TestL1OfCodesDoesNotSaturate(t *testing.T) {
	for _, dim := range []int{1, 63, 64, 65, 32_768} {
		c := codeRows(rand.New(rand.NewPCG(3, 4)), dim, 1, 8, false)
		values := unsafe.Slice((*uint8)(c.At(0)), dim)
		for i := range values {
			values[i] = 255
		}
		q := &CodeQuery{Values: make([]int8, (dim+CodeBlock-1)/CodeBlock*CodeBlock), Dim: dim}
		for l := reference; l <= codeLevel; l++ {
			var out [1]float32
			l1CodeGather(l, q, c, []uint32{0}, out[:])
			if want := float32(255 * dim); out[0] != want {
				t.Errorf("%v, dim %d: %g, want %g", l, dim, out[0], want)
			}
		}
	}
}

func TestFloatGatherEqualsTheRowsAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, dim := range []int{1, 3, 16, 100, 784} {
		const shift, n = 2, 10
		rows := &Rows{Shift: shift, Stride: 4 * dim}
		for range (n + 1<<shift - 1) >> shift {
			rows.Chunks = append(rows.Chunks, unsafe.Pointer(&randomValues(r, dim<<shift, 1)[0]))
		}
		query, out := randomValues(r, dim, 1), make([]float32, 20)
		numbers := make([]uint32, len(out))
		for i := range numbers {
			numbers[i] = r.Uint32N(n)
		}
		L2Gather(query, rows, numbers, out)
		for i, number := range numbers {
			if want := L2(query, rows.Floats(number, dim)); out[i] != want {
				t.Errorf("dim %d: l2 %g, want %g", dim, out[i], want)
			}
		}
		DotGather(query, rows, numbers, out)
		for i, number := range numbers {
			if want := Dot(query, rows.Floats(number, dim)); out[i] != want {
				t.Errorf("dim %d: dot %g, want %g", dim, out[i], want)
			}
		}
		L1Gather(query, rows, numbers, out)
		for i, number := range numbers {
			if want := L1(query, rows.Floats(number, dim)); out[i] != want {
				t.Errorf("dim %d: l1 %g, want %g", dim, out[i], want)
			}
		}
	}
}

func TestCodeGatherRefusesWrongLengths(t *testing.T) {
	c := codeRows(rand.New(rand.NewPCG(7, 8)), 8, 8, 8, false)
	for name, call := range map[string]func(){
		"no query":   func() { CodeGather(&CodeQuery{}, c, []uint32{1}, make([]float32, 1)) },
		"half block": func() { CodeGather(&CodeQuery{Values: make([]int8, 32)}, c, []uint32{1}, make([]float32, 1)) },
		"short out":  func() { CodeGather(&CodeQuery{Values: make([]int8, 64)}, c, []uint32{1, 2}, make([]float32, 1)) },
		"l1, no dimension": func() {
			L1CodeGather(&CodeQuery{Values: make([]int8, 64)}, c, []uint32{1}, make([]float32, 1))
		},
		"l1, a block short": func() {
			L1CodeGather(&CodeQuery{Values: make([]int8, 64), Dim: 65}, c, []uint32{1}, make([]float32, 1))
		},
		"l1, short out": func() {
			L1CodeGather(&CodeQuery{Values: make([]int8, 64), Dim: 8}, c, []uint32{1, 2}, make([]float32, 1))
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func BenchmarkCodeGather(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, dim := range []int{128, 784} {
		for _, n := range []int{1_000, 60_000} {
			c, q := codeRows(r, dim, n, 48, true), codeQuery(r, dim)
			numbers, out := make([]uint32, 32), make([]float32, 32)
			for l := reference; l <= codeLevel; l++ {
				for _, k := range codeKernels {
					b.Run(fmt.Sprintf("%dx%d/%v/%s", n, dim, l, k.name), func(b *testing.B) {
						for b.Loop() {
							for i := range numbers {
								numbers[i] = r.Uint32N(uint32(n))
							}
							k.gather(l, q, c, numbers, out)
						}
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(numbers)), "ns/row")
					})
				}
			}
		}
	}
}
