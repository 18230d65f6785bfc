package distance

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// codeLevel is the set of kernels for codes: at avx512 they need VNNI too.
var codeLevel = detectCode()

func detectCode() level {
	if chosen == avx512 && (!cpu.X86.HasAVX512VNNI || !cpu.X86.HasAVX512BW) {
		return avx2
	}
	return chosen
}

func codeGather(l level, q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	switch l {
	case avx512:
		codeGatherAVX512(q, c, numbers, out)
	case avx2:
		codeGatherAVX2(q, c, numbers, out)
	default:
		codeGatherReference(q, c, numbers, out)
	}
}

func l1CodeGather(l level, q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	switch l {
	case avx512:
		l1CodeGatherAVX512(q, c, numbers, out)
	case avx2:
		l1CodeGatherAVX2(q, c, numbers, out)
	default:
		l1CodeGatherReference(q, c, numbers, out)
	}
}

// Prefetch asks for the lines of n bytes at p. It never faults.
//
//go:noescape
func Prefetch(p unsafe.Pointer, n int)

//go:noescape
func codeGatherAVX512(q *CodeQuery, c *Codes, numbers []uint32, out []float32)

//go:noescape
func codeGatherAVX2(q *CodeQuery, c *Codes, numbers []uint32, out []float32)

//go:noescape
func l1CodeGatherAVX512(q *CodeQuery, c *Codes, numbers []uint32, out []float32)

//go:noescape
func l1CodeGatherAVX2(q *CodeQuery, c *Codes, numbers []uint32, out []float32)
