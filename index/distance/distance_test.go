package distance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// kernel is one comparison at one level, with a float64 twin that also says
// how far a float32 sum in any order may be from it.
type kernel struct {
	level level
	name  string
	many  func(l level, query, rows, out []float32)
	exact func(a, b []float32) (value, tolerance float64)
}

func kernels() []kernel {
	var all []kernel
	for l := reference; l <= chosen; l++ {
		all = append(all,
			kernel{l, "dot", dotMany, exactDot},
			kernel{l, "l2", l2Many, exactL2},
			kernel{l, "l1", l1Many, exactL1})
	}
	return all
}

func (k kernel) String() string { return fmt.Sprintf("%s/%s", k.name, k.level) }

func exactDot(a, b []float32) (value, tolerance float64) {
	return exactSum(a, b, func(x, y float64) float64 { return x * y })
}

func exactL2(a, b []float32) (value, tolerance float64) {
	return exactSum(a, b, func(x, y float64) float64 { return (x - y) * (x - y) })
}

func exactL1(a, b []float32) (value, tolerance float64) {
	return exactSum(a, b, func(x, y float64) float64 { return math.Abs(x - y) })
}

// exactSum bounds the error by that of n float32 additions, plus n roundings
// among the denormals. Where a partial sum may overflow there is no bound.
func exactSum(a, b []float32, term func(x, y float64) float64) (value, tolerance float64) {
	var size float64
	for i := range a {
		t := term(float64(a[i]), float64(b[i]))
		value += t
		size += math.Abs(t)
	}
	if !(size < math.MaxFloat32/2) {
		return value, math.Inf(1)
	}
	n := float64(len(a) + 3)
	return value, n*size*0x1p-24 + n*math.SmallestNonzeroFloat32
}

// compare checks every row of one call against the twin, and against the same
// row compared alone: a distance must not depend on the row's place.
func (k kernel) compare(t *testing.T, query, rows []float32, n int) {
	t.Helper()
	dim := len(query)
	out := make([]float32, n+2) // a guard on each side
	out[0], out[n+1] = 17, 18
	k.many(k.level, query, rows, out[1:n+1])
	if out[0] != 17 || out[n+1] != 18 {
		t.Fatalf("%v dim %d rows %d: wrote outside out", k, dim, n)
	}
	for i, got := range out[1 : n+1] {
		row := rows[i*dim : (i+1)*dim]
		want, tolerance := k.exact(query, row)
		if !math.IsInf(tolerance, 0) && !(math.Abs(float64(got)-want) <= tolerance) {
			t.Fatalf("%v dim %d row %d/%d: got %g, want %g", k, dim, i, n, got, want)
		}
		var alone [1]float32
		k.many(k.level, query, row, alone[:])
		if math.Float32bits(alone[0]) != math.Float32bits(got) && !math.IsNaN(float64(got)) {
			t.Fatalf("%v dim %d row %d/%d: %g among others, %g alone", k, dim, i, n, got, alone[0])
		}
	}
}

func randomValues(r *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * scale)
	}
	return x
}

func TestKernelsAgreeWithReferenceAtAllLengths(t *testing.T) {
	scales := map[string]float64{"ordinary": 1, "denormal": 1e-40, "denormal products": 1e-22, "huge": 1e15, "overflowing": 1e20, "largest": 1e36}
	for name, scale := range scales {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for dim := range 131 {
				for _, n := range []int{0, 1, 2, 3, 4, 5, 9} {
					query, rows := randomValues(r, dim, scale), randomValues(r, n*dim, scale)
					for _, k := range kernels() {
						k.compare(t, query, rows, n)
					}
				}
			}
		})
	}
}

func TestKernelsAtOddOffsets(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, dim := range []int{1, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 128, 130, 768} {
		for offset := range 17 {
			query := randomValues(r, dim+offset, 1)[offset:]
			rows := randomValues(r, 6*dim+16-offset, 1)[16-offset:]
			for _, k := range kernels() {
				k.compare(t, query, rows, 6)
			}
		}
	}
}

// A masked load of the last values must not reach what lies behind them.
func TestValuesBehindTheRowsDoNotMatter(t *testing.T) {
	nan := float32(math.NaN())
	for dim := range 131 {
		query, rows := make([]float32, dim+64), make([]float32, 5*dim+64)
		for i := range query[dim:] {
			query[dim+i], rows[5*dim+i] = nan, nan
		}
		for _, k := range kernels() {
			k.compare(t, query[:dim], rows[:5*dim], 5)
		}
	}
}

func TestNaNAndInfinityPropagate(t *testing.T) {
	inf := float32(math.Inf(1))
	for dim := 1; dim <= 130; dim++ {
		for _, special := range []float32{float32(math.NaN()), inf, -inf} {
			for at := range dim {
				query, rows := make([]float32, dim), make([]float32, 5*dim)
				for i := range query {
					query[i] = 1
				}
				rows[3*dim+at] = special
				for _, k := range kernels() {
					var out [5]float32
					k.many(k.level, query, rows, out[:])
					if v := float64(out[3]); !math.IsNaN(v) && !math.IsInf(v, 0) {
						t.Fatalf("%v dim %d: %g at %d gave %g", k, dim, special, at, v)
					}
					if v := float64(out[2] + out[4]); math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatalf("%v dim %d: %g at %d spoiled another row", k, dim, special, at)
					}
				}
			}
		}
	}
}

func TestPairs(t *testing.T) {
	a, b := []float32{1, 2, 3}, []float32{4, -5, 6}
	if got := Dot(a, b); got != 12 {
		t.Errorf("Dot = %g, want 12", got)
	}
	if got := L2(a, b); got != 67 {
		t.Errorf("L2 = %g, want 67", got)
	}
	if got := L1(a, b); got != 13 {
		t.Errorf("L1 = %g, want 13", got)
	}
	if got := Dot(nil, nil) + L2(nil, nil) + L1(nil, nil); got != 0 {
		t.Errorf("empty vectors: %g, want 0", got)
	}
}

func TestWrongLengthsPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Dot([]float32{1, 2}, []float32{1})
}

func TestKernelsIsNamed(t *testing.T) {
	switch Kernels() {
	case "go", "avx2", "avx512":
		t.Logf("kernels: %s", Kernels())
	default:
		t.Errorf("unknown kernels %q", Kernels())
	}
}

func TestNothingIsAllocated(t *testing.T) {
	query, rows, out := make([]float32, 100), make([]float32, 300), make([]float32, 3)
	n := testing.AllocsPerRun(100, func() {
		DotMany(query, rows, out)
		L2Many(query, rows, out)
		L1Many(query, rows, out)
		out[0] = Dot(query, rows[:100]) + L2(query, rows[:100]) + L1(query, rows[:100])
	})
	if n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func FuzzKernels(f *testing.F) {
	f.Add(uint8(3), []byte("four or more rows of a few floats, any bits at all"))
	f.Add(uint8(0), []byte{})
	f.Fuzz(func(t *testing.T, dim uint8, data []byte) {
		values := make([]float32, len(data)/4)
		for i := range values {
			bits := uint32(data[4*i]) | uint32(data[4*i+1])<<8 | uint32(data[4*i+2])<<16 | uint32(data[4*i+3])<<24
			values[i] = math.Float32frombits(bits)
		}
		if len(values) < int(dim) || dim == 0 {
			return
		}
		query, rows := values[:dim], values[dim:]
		n := len(rows) / int(dim)
		for _, k := range kernels() {
			k.compare(t, query, rows[:n*int(dim)], n)
		}
	})
}
