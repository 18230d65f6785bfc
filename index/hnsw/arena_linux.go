//go:build linux && !race

package hnsw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of page that walks want: at a random place in hundreds
// of megabytes, finding a small page costs more than reading it.
const hugePage = 2 << 20

// chunkBytes is about the size of a chunk: mostly a promise.
const chunkBytes = 32 << 20

// arena is memory outside the Go heap, where the collector neither scans it
// nor counts it, and where pages are as large as we ask for. It is given back
// all at once.
type arena struct {
	mappings [][]byte
}

// chunk returns zeroed memory. Pages come when they are first written.
func (a *arena) chunk(bytes int) (unsafe.Pointer, error) {
	m, err := unix.Mmap(-1, 0, bytes+hugePage, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	a.mappings = append(a.mappings, m)
	p := unsafe.Pointer(&m[0])
	return unsafe.Add(p, -int(uintptr(p))&(hugePage-1)), nil
}

// wantHuge asks for large pages from here on. It is advice: an error means that
// the small ones stay.
func wantHuge(p unsafe.Pointer, bytes int) {
	bytes = (bytes + hugePage - 1) &^ (hugePage - 1)
	_ = unix.Madvise(unsafe.Slice((*byte)(p), bytes), unix.MADV_HUGEPAGE)
}

func (a *arena) free() {
	for _, m := range a.mappings {
		_ = unix.Munmap(m) // fails only for what is not mapped
	}
}
