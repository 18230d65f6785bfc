package bandwidth

import "testing"

func TestSumReadsEveryValueOnce(t *testing.T) {
	for n := range 400 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(i + 1)
		}
		if got, want := Sum(x), float32(n*(n+1)/2); got != want {
			t.Fatalf("Sum of 1..%d = %g, want %g", n, got, want)
		}
	}
}
