//go:build !linux || race

package arena

import "unsafe"

// ChunkBytes is about the size of a chunk, all of it taken at once.
const ChunkBytes = 1 << 18

// HugePage is the size of a large page, if there were any.
const HugePage = 2 << 20

// Arena is the Go heap, where there is nothing better, and where the race
// detector watches.
type Arena struct {
	chunks [][]uint64
}

// Chunk returns zeroed memory.
func (a *Arena) Chunk(bytes int) (unsafe.Pointer, error) {
	c := make([]uint64, (bytes+7)/8)
	a.chunks = append(a.chunks, c)
	return unsafe.Pointer(&c[0]), nil
}

// WantHuge asks for large pages where there are any.
func WantHuge(unsafe.Pointer, int, int) {}

// Free lets go of all of it.
func (a *Arena) Free() { a.chunks = nil }
