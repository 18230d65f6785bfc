package scratch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// manyBytes are read by a system call: it takes less than the reading, and
// leaves nothing mapped behind what is read from one end to the other.
const manyBytes = 16 << 10

// segmentBytes is how much of a file is mapped at a time, there or not yet.
const segmentBytes = 1 << 30

// Space is scratch space. It is safe for any number of readers beside one
// writer.
type Space struct {
	file     *os.File
	segment  int64                    // bytes in each
	size     atomic.Int64             // allocated: what is before it may be read
	segments atomic.Pointer[[][]byte] // replaced when one comes
}

// Open makes scratch space on the disk of a directory.
func Open(dir string) (*Space, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	var f *os.File
	switch {
	case err == nil:
		f = os.NewFile(uintptr(fd), dir)
	case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR):
		if f, err = named(dir); err != nil {
			return nil, err
		}
	default:
		return nil, &os.PathError{Op: "open scratch space", Path: dir, Err: err}
	}
	s := &Space{file: f, segment: segmentBytes}
	s.segments.Store(&[][]byte{})
	return s, nil
}

// Allocate implements index.Scratch.
func (s *Space) Allocate(size int64) error {
	if err := s.reserve(size); err != nil {
		return os.NewSyscallError("fallocate", err)
	}
	segments := *s.segments.Load()
	for int64(len(segments))*s.segment < size {
		m, err := unix.Mmap(int(s.file.Fd()), int64(len(segments))*s.segment, int(s.segment), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return os.NewSyscallError("mmap", err)
		}
		_ = unix.Madvise(m, unix.MADV_RANDOM) // advice: it saves reading what is around
		segments = append(segments[:len(segments):len(segments)], m)
		s.segments.Store(&segments)
	}
	s.size.Store(max(s.size.Load(), size))
	return nil
}

// reserve falls back to setting the size where the file system cannot reserve.
func (s *Space) reserve(size int64) error {
	for {
		err := unix.Fallocate(int(s.file.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP) && size > s.size.Load():
			return s.file.Truncate(size)
		default:
			return err
		}
	}
}

// WriteAt implements io.WriterAt.
func (s *Space) WriteAt(p []byte, off int64) (int, error) { return s.file.WriteAt(p, off) }

// ReadAt implements io.ReaderAt.
func (s *Space) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off+int64(len(p)) > s.size.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	if len(p) >= manyBytes {
		return s.file.ReadAt(p, off)
	}
	segments := *s.segments.Load()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = readError(fault)
		}
	}()
	for n < len(p) {
		at := off + int64(n)
		n += copy(p[n:], segments[at/s.segment][at%s.segment:])
	}
	return n, nil
}

// readError is the error that a fault is. Any other panic goes on.
func readError(fault any) error {
	if f, ok := fault.(interface {
		error
		Addr() uintptr
	}); ok {
		return fmt.Errorf("scratch space: %w: %w", unix.EIO, f)
	}
	panic(fault)
}

// Close implements io.Closer. Nobody may be reading.
func (s *Space) Close() error {
	var errs []error
	for _, m := range *s.segments.Load() {
		errs = append(errs, os.NewSyscallError("munmap", unix.Munmap(m)))
	}
	s.segments.Store(&[][]byte{})
	s.size.Store(0)
	return errors.Join(append(errs, s.file.Close())...)
}
