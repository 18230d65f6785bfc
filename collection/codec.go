package collection

import "encoding/binary"

// decoder reads the fields of a binary format from the front of b. The first
// field that is not all there makes it bad; every later field is then zero, so
// that a format is read in one go and checked once.
type decoder struct {
	b   []byte
	bad bool
}

// take returns the next n bytes where they lie.
func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	field := d.b[:n:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) u8() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u16() int {
	if b := d.take(2); b != nil {
		return int(binary.LittleEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) u32() int {
	if b := d.take(4); b != nil {
		return int(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads how many items follow, each of at least size bytes: a number
// that the rest of b cannot hold is bad before memory is taken for it.
func (d *decoder) count(size int) int {
	n := d.u32()
	if n > len(d.b)/size {
		d.bad = true
		return 0
	}
	return n
}

// rest returns everything that is left.
func (d *decoder) rest() []byte { return d.take(len(d.b)) }

// done reports whether every field was there and nothing is left.
func (d *decoder) done() bool { return !d.bad && len(d.b) == 0 }

// appendBytes appends the length of b, 4 bytes little endian, and b.
func appendBytes[T ~string | ~[]byte](dst []byte, b T) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(b))), b...)
}
