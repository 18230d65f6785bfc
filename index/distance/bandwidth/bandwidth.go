// Package bandwidth reads memory as fast as one core can, and does nothing
// else with it: benchmarks compare a scan with it on the same bytes. Nothing
// in the server uses it.
package bandwidth

// Sum adds up x, with AVX-512 where the processor has it.
func Sum(x []float32) float32 { return sum(x) }

func sumGo(x []float32) float32 {
	var s float32
	for _, v := range x {
		s += v
	}
	return s
}
