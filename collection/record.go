package collection

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// A record is a point as it is logged and stored. Its length is what the point
// counts against the tenant's bytes.
//
//	offset  size     field
//	0       1        version of the format, 1
//	1       1        kind of the id: 1 number, 2 UUID
//	2       2        n, components of the vector (0: no vector), little endian
//	4       8 or 16  id, big endian
//	12, 20  4n       components, float32 little endian
//	...     rest     payload (see AppendPayload); empty: no payload
//
// The components stand at a multiple of four, so that they can be used where
// they lie. Its checksum is the store's and the log's.
const (
	recordVersion = 1
	recordHeader  = 4
	// maxRecordBytes bounds a record that payload changes let grow.
	maxRecordBytes = 32 << 20
)

// EncodeRecord appends the record of p. The vector has at most 65,535
// components; the error is that of AppendPayload.
func EncodeRecord(dst []byte, p Point) ([]byte, error) {
	if p.ID.IsZero() || len(p.Vector) > math.MaxUint16 {
		return nil, Errorf(Internal, "point %q with %d components has no record", p.ID.String(), len(p.Vector))
	}
	dst = append(dst, recordVersion, p.ID.kind)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(p.Vector)))
	if p.ID.kind == idUUID {
		dst = binary.BigEndian.AppendUint64(dst, p.ID.hi)
	}
	dst = binary.BigEndian.AppendUint64(dst, p.ID.lo)
	for _, x := range p.Vector {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	if len(p.Payload) == 0 {
		return dst, nil
	}
	return AppendPayload(dst, p.Payload)
}

// Record is an encoded point whose parts are read where they lie. It shares
// the bytes it was decoded from, which must not change while it is in use.
type Record struct {
	raw     []byte
	id      PointID
	vector  int // where the components begin
	payload int // where the payload begins
}

// DecodeRecord checks the outline of a record: the payload is not decoded.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) < recordHeader || b[0] != recordVersion {
		return Record{}, Errorf(DataLoss, "record of %d bytes: unknown version or cut short", len(b))
	}
	r := Record{raw: b}
	switch {
	case b[1] == idNumber && len(b) >= recordHeader+8:
		r.id, r.vector = NumID(binary.BigEndian.Uint64(b[recordHeader:])), recordHeader+8
	case b[1] == idUUID && len(b) >= recordHeader+16:
		r.id, r.vector = UUID([16]byte(b[recordHeader:])), recordHeader+16
	default:
		return Record{}, Errorf(DataLoss, "record of %d bytes: bad point id", len(b))
	}
	r.payload = r.vector + 4*int(binary.LittleEndian.Uint16(b[2:]))
	if r.payload > len(b) {
		return Record{}, Errorf(DataLoss, "record of %d bytes: cut short", len(b))
	}
	return r, nil
}

// Bytes returns the whole record.
func (r Record) Bytes() []byte { return r.raw }

// ID returns the point's id.
func (r Record) ID() PointID { return r.id }

// Dimension returns the number of components, 0 when the point has no vector.
func (r Record) Dimension() int { return (r.payload - r.vector) / 4 }

// Vector returns the point's vector, nil when it has none. It lies in the
// record where the machine can read it there, else it is a copy: it must not
// be changed.
func (r Record) Vector() []float32 {
	n := r.Dimension()
	if n == 0 {
		return nil
	}
	at := unsafe.Pointer(&r.raw[r.vector])
	if littleEndian && uintptr(at)%4 == 0 {
		return unsafe.Slice((*float32)(at), n)
	}
	return r.AppendVector(make([]float32, 0, n))
}

// AppendVector appends the components to dst.
func (r Record) AppendVector(dst []float32) []float32 {
	for b := r.raw[r.vector:r.payload]; len(b) > 0; b = b[4:] {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return dst
}

// PayloadBytes returns the encoded payload, empty when the point has none.
func (r Record) PayloadBytes() []byte { return r.raw[r.payload:] }

// Payload decodes the payload, nil when the point has none.
func (r Record) Payload() (Payload, error) {
	if r.payload == len(r.raw) {
		return nil, nil
	}
	return DecodePayload(r.raw[r.payload:])
}

// withPayload returns a new record of the same point with another payload.
func (r Record) withPayload(payload []byte) Record {
	raw := make([]byte, 0, r.payload+len(payload))
	raw = append(append(raw, r.raw[:r.payload]...), payload...)
	return Record{raw: raw, id: r.id, vector: r.vector, payload: r.payload}
}

// littleEndian is whether the machine stores float32 as records do.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
