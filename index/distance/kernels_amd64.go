package distance

import "golang.org/x/sys/cpu"

// detect asks the processor, and through it the operating system, which has
// to save the wide registers.
func detect() level {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return avx512
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return avx2
	default:
		return reference
	}
}

// A switch and not a table of functions: the arguments of a call through a
// variable escape to the heap, and a predicted branch costs nothing.
func dotMany(l level, query, rows, out []float32) {
	switch l {
	case avx512:
		dotManyAVX512(query, rows, out)
	case avx2:
		dotManyAVX2(query, rows, out)
	default:
		dotManyReference(query, rows, out)
	}
}

func l2Many(l level, query, rows, out []float32) {
	switch l {
	case avx512:
		l2ManyAVX512(query, rows, out)
	case avx2:
		l2ManyAVX2(query, rows, out)
	default:
		l2ManyReference(query, rows, out)
	}
}

func l1Many(l level, query, rows, out []float32) {
	switch l {
	case avx512:
		l1ManyAVX512(query, rows, out)
	case avx2:
		l1ManyAVX2(query, rows, out)
	default:
		l1ManyReference(query, rows, out)
	}
}

//go:noescape
func dotManyAVX512(query, rows, out []float32)

//go:noescape
func l2ManyAVX512(query, rows, out []float32)

//go:noescape
func l1ManyAVX512(query, rows, out []float32)

//go:noescape
func dotManyAVX2(query, rows, out []float32)

//go:noescape
func l2ManyAVX2(query, rows, out []float32)

//go:noescape
func l1ManyAVX2(query, rows, out []float32)
