// Package distance compares float32 vectors as fast as the machine reads
// them. Its kernels are assembly for AVX-512 and AVX2 on amd64 and plain Go
// everywhere else; which set is used is chosen once, at start.
//
// A distance depends on the two vectors only, never on whether they were
// compared alone or among many rows, nor on the place of the row: equal
// vectors always get equal distances. Between kernel sets the last bits
// differ, because sums are taken in another order.
//
// NaN and infinities follow IEEE 754 and never fault. The package owns no
// memory and never checks values.
package distance

import "fmt"

// level is a set of kernels. Each level needs what the ones before it need.
type level uint8

const (
	reference level = iota
	avx2
	avx512
)

var chosen = detect()

func (l level) String() string {
	return [...]string{reference: "go", avx2: "avx2", avx512: "avx512"}[l]
}

// Kernels names the set of kernels in use: "avx512", "avx2" or "go".
func Kernels() string { return chosen.String() }

// Dot is the dot product of a and b, which have the same length.
func Dot(a, b []float32) float32 {
	var out [1]float32
	DotMany(a, b, out[:])
	return out[0]
}

// L2 is the squared Euclidean distance of a and b, which have the same length.
func L2(a, b []float32) float32 {
	var out [1]float32
	L2Many(a, b, out[:])
	return out[0]
}

// L1 is the Manhattan distance of a and b, which have the same length: the sum
// of the absolute differences of their values.
func L1(a, b []float32) float32 {
	var out [1]float32
	L1Many(a, b, out[:])
	return out[0]
}

// DotMany sets out[i] to the dot product of query and the i-th row. Rows lie
// one after the other, each as long as query: len(rows) = len(out)*len(query).
func DotMany(query, rows, out []float32) {
	check(query, rows, out)
	dotMany(chosen, query, rows, out)
}

// L2Many sets out[i] to the squared Euclidean distance of query and the i-th
// row, under the same conditions as DotMany.
func L2Many(query, rows, out []float32) {
	check(query, rows, out)
	l2Many(chosen, query, rows, out)
}

// L1Many sets out[i] to the Manhattan distance of query and the i-th row, under
// the same conditions as DotMany.
func L1Many(query, rows, out []float32) {
	check(query, rows, out)
	l1Many(chosen, query, rows, out)
}

// check stands before kernels that would read past the end of a slice.
func check(query, rows, out []float32) {
	if len(rows) != len(out)*len(query) {
		panic(fmt.Sprintf("BUG: distance: %d rows of %d do not have %d values", len(out), len(query), len(rows)))
	}
}
