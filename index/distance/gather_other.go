//go:build !amd64

package distance

import "unsafe"

const codeLevel = reference

func codeGather(_ level, q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	codeGatherReference(q, c, numbers, out)
}

func l1CodeGather(_ level, q *CodeQuery, c *Codes, numbers []uint32, out []float32) {
	l1CodeGatherReference(q, c, numbers, out)
}

// Prefetch asks for the lines of n bytes at p. It never faults.
func Prefetch(unsafe.Pointer, int) {}
