//go:build linux && !race

package arena

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// HugePage is the size of page that walks want: at a random place in hundreds
// of megabytes, finding a small page costs more than reading it.
const HugePage = 2 << 20

// ChunkBytes is about the size of a chunk: mostly a promise.
const ChunkBytes = 32 << 20

// Arena is memory outside the Go heap, where the collector neither scans it
// nor counts it, and where pages are as large as we ask for. It is given back
// all at once.
type Arena struct {
	mappings [][]byte
}

// Chunk returns zeroed memory. Pages come when they are first written.
func (a *Arena) Chunk(bytes int) (unsafe.Pointer, error) {
	m, err := unix.Mmap(-1, 0, bytes+HugePage, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	a.mappings = append(a.mappings, m)
	p := unsafe.Pointer(&m[0])
	return unsafe.Add(p, -int(uintptr(p))&(HugePage-1)), nil
}

// WantHuge asks for large pages between two places in a chunk, whether there are
// small ones or none. It is advice: an error means that they stay.
func WantHuge(chunk unsafe.Pointer, from, to int) {
	part := unsafe.Slice((*byte)(unsafe.Add(chunk, from)), (to-from+HugePage-1)&^(HugePage-1))
	_ = unix.Madvise(part, unix.MADV_HUGEPAGE)
	_ = unix.Madvise(part, unix.MADV_COLLAPSE)
}

// Free gives all of it back. Nobody may use it any more.
func (a *Arena) Free() {
	for _, m := range a.mappings {
		_ = unix.Munmap(m) // fails only for what is not mapped
	}
}
