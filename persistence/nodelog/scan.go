package nodelog

import (
	"errors"
	"hash/crc32"
	"io"
	"slices"
)

// scanner finds the batches of a segment.
type scanner struct {
	seg *segment
	id  uint64 // of the log; 0 = not known yet
	buf []byte // the bytes from at on
	at  int64
	// broken is the first error of reading, brokenAt where it was last.
	// Bytes that cannot be read are as bad as bytes that are wrong.
	broken   error
	brokenAt int64
}

// block is a batch found by its header, or by its trailer when the header is
// bad.
type block struct {
	frame
	seg   *segment
	at    int64
	bad   bool   // not all of it is as it was written
	bytes []byte // what the file has of it; valid until the scanner goes on
	crc   uint32 // of the batch, when not bad
}

func (b *block) end() int64 { return b.at + int64(b.frame.bytes) }

// read returns n bytes at off, fewer at the end of the file. They are valid
// until the next call.
func (s *scanner) read(off int64, n int) []byte {
	n = int(max(0, min(int64(n), s.seg.bytes-off)))
	if off < s.at || off+int64(n) > s.at+int64(len(s.buf)) {
		s.fill(off, max(n, int(min(256<<10, s.seg.bytes-off))))
	}
	return s.buf[off-s.at:][:n]
}

func (s *scanner) fill(off int64, n int) {
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	s.buf, s.at = s.buf[:n], off
	if s.readFull(s.buf, off) == nil {
		return
	}
	for i := 0; i < n; i += pageBytes {
		page := s.buf[i:min(i+pageBytes, n)]
		if err := s.readFull(page, off+int64(i)); err != nil {
			s.broken, s.brokenAt = errors.Join(s.broken, err), off+int64(i)
			clear(page)
		}
	}
}

// readFull reads b whole. The file may have become shorter than it was.
func (s *scanner) readFull(b []byte, off int64) error {
	n, err := s.seg.file.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		clear(b[n:])
		return nil
	}
	return err
}

// next returns the first batch at off or later, or nil.
func (s *scanner) next(off int64) *block {
	for at := off; at < s.seg.bytes; at += pageBytes {
		if b := s.header(at); b != nil {
			return b
		}
		if b := s.trailer(at + pageBytes); b != nil && b.at >= off {
			return b
		}
	}
	return nil
}

// header returns the batch whose header is at at, or nil.
func (s *scanner) header(at int64) *block {
	f, t, ok := decodeFixed(s.read(at, fixedBytes), headerMagic)
	n := t.header()
	if !ok || s.id != 0 && f.id != s.id || int64(n) > s.seg.bytes-at {
		return nil
	}
	b := s.read(at, n)
	if le.Uint32(b[n-4:]) != crc32.Checksum(b[:n-4], castagnoli) {
		return nil
	}
	f.decodeTables(b[fixedBytes:], t)
	s.id = f.id
	whole := &block{frame: f, seg: s.seg, at: at, bytes: s.read(at, int(f.bytes))}
	whole.check()
	return whole
}

// check compares a batch found by its header with its trailer.
func (b *block) check() {
	b.bad = true
	if uint64(len(b.bytes)) < b.frame.bytes {
		return
	}
	t, body, crc, ok := decodeTrailer(b.bytes)
	if !ok || t.number != b.number || t.since != b.since || !slices.Equal(t.rows, b.rows) || !slices.Equal(t.latest, b.latest) {
		return
	}
	b.bad = body != crc32.Checksum(b.bytes[:len(b.bytes)-b.tables().trailer()], castagnoli)
	b.crc = crc
}

// trailer returns the batch whose trailer ends at end and whose header is bad,
// or nil.
func (s *scanner) trailer(end int64) *block {
	const fixed = fixedBytes + 8
	if end > s.seg.bytes {
		return nil
	}
	f, t, ok := decodeFixed(s.read(end-fixed, fixed), trailMagic)
	n := int64(t.trailer())
	if !ok || s.id != 0 && f.id != s.id || n > end || int64(f.bytes) > end {
		return nil
	}
	if f, _, _, ok = decodeTrailer(s.read(end-n, int(n))); !ok {
		return nil
	}
	s.id = f.id
	at := end - int64(f.bytes)
	return &block{frame: f, seg: s.seg, at: at, bad: true, bytes: s.read(at, int(f.bytes))}
}

// foreign says whether the segment was begun by another version of Waggle.
func (s *scanner) foreign() bool {
	b := s.read(0, fixedBytes)
	return len(b) == fixedBytes && le.Uint32(b) == headerMagic && le.Uint16(b[4:]) != version
}
