package collection

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// A record is a point as it is logged and stored. Its length is what the point
// counts against the tenant's bytes. Most points have one vector, the first
// dense one of their collection, or none:
//
//	offset  size     field
//	0       1        version of the format, 1
//	1       1        kind of the id: 1 number, 2 UUID
//	2       2        n, components of the vector (0: no vector), little endian
//	4       8 or 16  id, big endian
//	12, 20  4n       components, float32 little endian
//	...     rest     payload (see AppendPayload); empty: no payload
//
// Every other point has version 2, little endian but for the id:
//
//	0       1        version of the format, 2
//	1       1        kind of the id
//	2       2        n, number of vectors
//	4       8 or 16  id, big endian
//	12, 20  8n       for each vector, in the order of kinds and numbers:
//	  0       2        number: its place among its kind in the configuration
//	  2       1        kind: 1 dense, 2 sparse, 3 text
//	  3       1        0
//	  4       4        length: components that are there, or terms
//	...     ...      for each vector its components, float32; of a sparse one
//	                 the indices before them, uint32, ascending; of a text the
//	                 number of its words (4), its terms, uint64, ascending, and
//	                 how often each is there, uint32
//	...     rest     payload
//
// The components stand at a multiple of four, so that they can be used where
// they lie. Its checksum is the store's and the log's.
const (
	recordVersion  = 1
	recordVersion2 = 2
	recordHeader   = 4
	recordEntry    = 8 // of the table of version 2
	// maxRecordBytes bounds a record that changes of payload or vectors let grow.
	maxRecordBytes = 32 << 20
)

// EncodeRecord appends the record of a point without named vectors. The vector
// has at most 65,535 components; the error is that of AppendPayload.
func EncodeRecord(dst []byte, p Point) ([]byte, error) {
	if p.ID.IsZero() || len(p.Vector) > math.MaxUint16 || p.Vectors != nil {
		return nil, Errorf(Internal, "point %q with %d components and %d named vectors has no record",
			p.ID.String(), len(p.Vector), len(p.Vectors))
	}
	dst = appendRecordHead(dst, recordVersion, len(p.Vector), p.ID)
	dst = appendFloats(dst, p.Vector)
	if len(p.Payload) == 0 {
		return dst, nil
	}
	return AppendPayload(dst, p.Payload)
}

func appendRecordHead(dst []byte, version byte, n int, id PointID) []byte {
	dst = append(dst, version, id.kind)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
	if id.kind == idUUID {
		dst = binary.BigEndian.AppendUint64(dst, id.hi)
	}
	return binary.BigEndian.AppendUint64(dst, id.lo)
}

func appendFloats(dst []byte, v []float32) []byte {
	for _, x := range v {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst
}

// Record is an encoded point whose parts are read where they lie. It shares
// the bytes it was decoded from, which must not change while it is in use.
type Record struct {
	raw []byte
	id  PointID
	// Offsets into raw. The first dense vector's components are between vector
	// and end: nothing when the point has none.
	vector, end int32
	head        int32 // where what follows the id begins
	payload     int32
}

// DecodeRecord checks the outline of a record: the payload is not decoded.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) < recordHeader || b[0] != recordVersion && b[0] != recordVersion2 || len(b) > math.MaxInt32 {
		return Record{}, Errorf(DataLoss, "record of %d bytes: unknown version or cut short", len(b))
	}
	r := Record{raw: b}
	switch {
	case b[1] == idNumber && len(b) >= recordHeader+8:
		r.id, r.head = NumID(binary.BigEndian.Uint64(b[recordHeader:])), recordHeader+8
	case b[1] == idUUID && len(b) >= recordHeader+16:
		r.id, r.head = UUID([16]byte(b[recordHeader:])), recordHeader+16
	default:
		return Record{}, Errorf(DataLoss, "record of %d bytes: bad point id", len(b))
	}
	if b[0] == recordVersion2 {
		return r, r.readTable()
	}
	r.vector = r.head
	r.end = r.head + 4*int32(binary.LittleEndian.Uint16(b[2:]))
	r.payload = r.end
	if int(r.payload) > len(b) {
		return Record{}, Errorf(DataLoss, "record of %d bytes: cut short", len(b))
	}
	return r, nil
}

// Bytes returns the whole record.
func (r Record) Bytes() []byte { return r.raw }

// ID returns the point's id.
func (r Record) ID() PointID { return r.id }

// Dimension returns the number of components of the first dense vector, 0 when
// the point has none.
func (r Record) Dimension() int { return int(r.end-r.vector) / 4 }

// Vector returns the point's first dense vector, nil when it has none. It lies
// in the record where the machine can read it there, else it is a copy: it must
// not be changed.
func (r Record) Vector() []float32 {
	if r.vector == r.end {
		return nil
	}
	return floatsIn(r.raw[r.vector:r.end])
}

// floatsIn reads floats where they lie, if the machine can, else from a copy.
func floatsIn(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	at := unsafe.Pointer(&b[0])
	if littleEndian && uintptr(at)%4 == 0 {
		return unsafe.Slice((*float32)(at), len(b)/4)
	}
	v := make([]float32, 0, len(b)/4)
	for ; len(b) > 0; b = b[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return v
}

// PayloadBytes returns the encoded payload, empty when the point has none.
func (r Record) PayloadBytes() []byte { return r.raw[r.payload:] }

// Payload decodes the payload, nil when the point has none.
func (r Record) Payload() (Payload, error) {
	if int(r.payload) == len(r.raw) {
		return nil, nil
	}
	return DecodePayload(r.raw[r.payload:])
}

// withPayload returns a new record of the same point with another payload.
func (r Record) withPayload(payload []byte) Record {
	raw := make([]byte, 0, int(r.payload)+len(payload))
	r.raw = append(append(raw, r.raw[:r.payload]...), payload...)
	return r
}

// littleEndian is whether the machine stores float32 as records do.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
