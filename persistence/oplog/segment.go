package oplog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hivehub/waggle/tenant"
)

const (
	magicSegment = 0x4c504f57 // "WOPL"
	magicSeal    = 0x53504f57 // "WOPS"

	headerBytes = 4 + 2 + 2 + 8 + 8 + 4
	sealAt      = 2048
	sealBytes   = 4*4 + 3*8 + tenantBytes + 4
	recordsAt   = 4096

	// tenantBytes are the bits for the tenants in a segment.
	tenantBytes = 1024

	suffix = ".oplog"
)

// segment is one file. What changes is guarded by the Log's lock.
type segment struct {
	number uint64
	path   string
	base   uint32 // of the checksums

	end         int // of its records, in the file
	bytes       int64
	rows        int
	accepted    int // of them, by the hub or not for it
	first, last int64
	tenants     [tenantBytes]byte
	sealed      int64 // when; 0: it is open

	file   *os.File // while it is mapped
	data   []byte   // the mapping; nil when there is none
	synced int      // up to here
}

// tenantBit is the bit of a tenant in segment.tenants: FNV-1a.
func tenantBit[T string | []byte | tenant.ID](id T) (at int, bit byte) {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h ^= h >> 32
	return int(h>>3) % tenantBytes, 1 << (h & 7)
}

// note takes a row into what is known of the segment.
func (s *segment) note(id []byte, at int64) {
	if s.rows == 0 || at < s.first {
		s.first = at
	}
	if s.rows == 0 || at > s.last {
		s.last = at
	}
	i, bit := tenantBit(id)
	s.tenants[i] |= bit
	s.rows++
}

func (s *segment) mayHave(id tenant.ID) bool {
	i, bit := tenantBit(id)
	return s.tenants[i]&bit != 0
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, suffix))
}

// newSegment makes a file, reserves and maps it. It is durable, and empty.
func newSegment(dir string, number uint64, size int64) (s *segment, err error) {
	s = &segment{number: number, path: segmentPath(dir, number), end: recordsAt, bytes: size, synced: recordsAt}
	s.file, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.file.Close(), os.Remove(s.path))
		}
	}()
	if err = reserve(s.file, size); err != nil {
		return nil, fmt.Errorf("reserve %d bytes: %w", size, err)
	}
	var seed [8]byte
	rand.Read(seed[:])
	h := make([]byte, 0, headerBytes)
	h = le.AppendUint16(le.AppendUint16(le.AppendUint32(h, magicSegment), 1), 0)
	h = append(le.AppendUint64(h, number), seed[:]...)
	h = le.AppendUint32(h, crc32.Checksum(h, castagnoli))
	s.base = baseOf(le.Uint64(seed[:]))
	if _, err = s.file.WriteAt(h, 0); err != nil {
		return nil, err
	}
	if err = s.file.Sync(); err != nil {
		return nil, err
	}
	if err = syncDir(dir); err != nil {
		return nil, err
	}
	s.data, err = unix.Mmap(int(s.file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return s, os.NewSyscallError("mmap", err)
	}
	return s, s.touch()
}

// touch makes every page ready to be written to, so that no row pays for it.
func (s *segment) touch() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = errors.Join(errors.New("the disk does not give what it reserved"), unix.Munmap(s.data))
		}
	}()
	for at := recordsAt; at < len(s.data); at += recordsAt {
		s.data[at] = 0
	}
	return nil
}

// reserve falls back to setting the size where the file system cannot reserve.
func reserve(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP):
			return f.Truncate(size)
		default:
			return err
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sync writes the records between two offsets of the mapping to the disk.
func (s *segment) sync(from, to int) error {
	from &^= os.Getpagesize() - 1
	if to <= from {
		return nil
	}
	return os.NewSyscallError("msync", unix.Msync(s.data[from:to], unix.MS_SYNC))
}

// appendSeal is what the seal of the segment is.
func (s *segment) appendSeal(at int64) []byte {
	b := make([]byte, 0, sealBytes)
	b = le.AppendUint32(le.AppendUint32(b, magicSeal), uint32(s.end))
	b = le.AppendUint32(le.AppendUint32(b, uint32(s.rows)), 0)
	b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, uint64(s.first)), uint64(s.last)), uint64(at))
	b = append(b, s.tenants[:]...)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// takeSeal reads a seal, if there is a good one.
func (s *segment) takeSeal(b []byte) bool {
	if len(b) != sealBytes || le.Uint32(b) != magicSeal || le.Uint32(b[sealBytes-4:]) != crc32.Checksum(b[:sealBytes-4], castagnoli) {
		return false
	}
	end := int(le.Uint32(b[4:]))
	if end < recordsAt || int64(end) > s.bytes {
		return false // cut off by somebody else: what is there is walked
	}
	s.end, s.rows = end, int(le.Uint32(b[8:]))
	s.first, s.last, s.sealed = int64(le.Uint64(b[16:])), int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:]))
	copy(s.tenants[:], b[40:])
	return true
}

// openSegment reads what is known of a file of an earlier process. ok is false
// for one whose header is not good: nothing in it can be read. damaged is the
// number of places that cannot.
func openSegment(path string, number uint64) (s *segment, damaged int, ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, false, err
	}
	s = &segment{number: number, path: path, bytes: info.Size()}
	head := make([]byte, recordsAt)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, 0, false, nil // it was never made whole
	}
	h := head[:headerBytes]
	if le.Uint32(h) != magicSegment || le.Uint16(h[4:]) != 1 || le.Uint64(h[8:]) != number ||
		le.Uint32(h[headerBytes-4:]) != crc32.Checksum(h[:headerBytes-4], castagnoli) {
		return nil, 0, false, nil
	}
	s.base = baseOf(le.Uint64(h[16:]))
	if s.takeSeal(head[sealAt : sealAt+sealBytes]) {
		return s, 0, true, nil
	}
	body := make([]byte, max(s.bytes-recordsAt, 0))
	if _, err := f.ReadAt(body, recordsAt); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, false, err
	}
	damaged, end := walk(body, s.base, 0, func(_ int, r record) bool {
		s.note(r.tenant(), r.key().Time)
		return true
	})
	s.end = recordsAt + end
	return s, damaged, true, nil
}

// finish seals a segment that is not written to any more: the rows first, so
// that a seal never tells of rows that are not there.
func (s *segment) finish(now time.Time) (err error) {
	f := s.file
	if f == nil {
		if f, err = os.OpenFile(s.path, os.O_RDWR, 0); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := f.WriteAt(s.appendSeal(now.UnixMilli()), sealAt); err != nil {
		return err
	}
	return f.Sync()
}

// cut takes away what follows the records, once nobody has it mapped.
func (s *segment) cut() error { return os.Truncate(s.path, int64(s.end)) }

// unmap ends the mapping.
func (s *segment) unmap() error {
	if s.data == nil {
		return nil
	}
	err := errors.Join(unix.Munmap(s.data), s.file.Close())
	s.data, s.file = nil, nil
	return err
}
