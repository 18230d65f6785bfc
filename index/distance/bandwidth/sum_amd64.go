package bandwidth

import "golang.org/x/sys/cpu"

func sum(x []float32) float32 {
	if !cpu.X86.HasAVX512F {
		return sumGo(x)
	}
	blocks := len(x) &^ 127
	return sumAVX512(x[:blocks]) + sumGo(x[blocks:])
}

// sumAVX512 adds up x, whose length is a multiple of 128.
//
//go:noescape
func sumAVX512(x []float32) float32
