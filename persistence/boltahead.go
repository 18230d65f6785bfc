package persistence

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bbolt tells the system that its file is read at random, and so it is, but
// for scans: one page at a time, 10,000 vectors come from a disk in 600 ms,
// and in 30 ms when they are asked for ahead.
const (
	aheadFirst = 128 << 10
	aheadMost  = 8 << 20
)

// readAhead asks for the pages of the map that a scan is coming to. Keys that
// lie in order let it look further and further; a jump begins anew, so that
// little is read for nothing where they do not.
type readAhead struct {
	begin, end uintptr // asked for
	window     uintptr
}

// at tells that the scan is at a value in the map.
func (r *readAhead) at(value []byte) {
	if len(value) == 0 {
		return
	}
	at := uintptr(unsafe.Pointer(&value[0]))
	switch {
	case at < r.begin || at >= r.end:
		r.window = aheadFirst
		r.begin = at &^ uintptr(os.Getpagesize()-1)
		r.end = r.begin
	case at < r.end-r.window/2:
		return
	default:
		r.window = min(2*r.window, aheadMost)
	}
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.end, r.window, unix.MADV_WILLNEED) // advice
	r.end += r.window
}
