//go:build !linux || race

package hnsw

import "unsafe"

// chunkBytes is about the size of a chunk, all of it taken at once.
const chunkBytes = 1 << 18

// arena is the Go heap, where there is nothing better, and where the race
// detector watches.
type arena struct {
	chunks [][]uint64
}

func (a *arena) chunk(bytes int) (unsafe.Pointer, error) {
	c := make([]uint64, (bytes+7)/8)
	a.chunks = append(a.chunks, c)
	return unsafe.Pointer(&c[0]), nil
}

func wantHuge(unsafe.Pointer, int) {}

func (a *arena) free() { a.chunks = nil }
