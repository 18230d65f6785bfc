package collection

import (
	"encoding/binary"
	"strconv"

	"github.com/google/uuid"
)

// The kinds of point ids. They are the first byte of an id's key, so unsigned
// integers sort before UUIDs.
const (
	idNumber byte = 1
	idUUID   byte = 2
)

// PointID names a point in its collection: an unsigned integer or a UUID. It
// is comparable. The zero PointID is no id, and sorts before every id.
type PointID struct {
	kind   byte
	hi, lo uint64 // a number is in lo; a UUID is hi, lo in its own byte order
}

// NumID is the id that is the number n.
func NumID(n uint64) PointID { return PointID{kind: idNumber, lo: n} }

// UUID is the id that is the UUID u.
func UUID(u [16]byte) PointID {
	return PointID{kind: idUUID, hi: binary.BigEndian.Uint64(u[:8]), lo: binary.BigEndian.Uint64(u[8:])}
}

// ParseUUID reads a UUID in any of its written forms: hyphenated, 32 digits,
// in braces, or as a URN.
func ParseUUID(s string) (PointID, error) {
	// Validate is stricter than Parse: Parse does not look at the braces.
	if err := uuid.Validate(s); err != nil {
		return PointID{}, Errorf(InvalidArgument, "%q is not a point id: neither an unsigned integer nor a UUID", clip(s))
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return PointID{}, Errorf(InvalidArgument, "%q is not a point id: neither an unsigned integer nor a UUID", clip(s))
	}
	return UUID(u), nil
}

// ParseID reads an id as it stands in a URL: decimal digits or a UUID.
func ParseID(s string) (PointID, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil && s[0] != '+' {
		return NumID(n), nil
	}
	return ParseUUID(s)
}

// clip shortens text of a caller's for an error message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// IsZero reports whether id is no id.
func (id PointID) IsZero() bool { return id.kind == 0 }

// Num returns the number that id is, and whether it is one.
func (id PointID) Num() (uint64, bool) { return id.lo, id.kind == idNumber }

// String returns the decimal number or the hyphenated UUID.
func (id PointID) String() string {
	switch id.kind {
	case idNumber:
		return strconv.FormatUint(id.lo, 10)
	case idUUID:
		return uuid.UUID(id.uuid()).String()
	}
	return ""
}

func (id PointID) uuid() (u [16]byte) {
	binary.BigEndian.PutUint64(u[:8], id.hi)
	binary.BigEndian.PutUint64(u[8:], id.lo)
	return u
}

// Compare orders ids as their keys are ordered: numbers, then UUIDs.
func (id PointID) Compare(other PointID) int {
	switch {
	case id == other:
		return 0
	case id.kind != other.kind:
		return order(uint64(id.kind), uint64(other.kind))
	case id.hi != other.hi:
		return order(id.hi, other.hi)
	}
	return order(id.lo, other.lo)
}

func order(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

// AppendKey appends the id's key: 0x01 and 8 bytes, or 0x02 and 16 bytes, big
// endian, so that keys order as ids do. The zero PointID appends nothing.
func (id PointID) AppendKey(dst []byte) []byte {
	switch id.kind {
	case idNumber:
		return binary.BigEndian.AppendUint64(append(dst, idNumber), id.lo)
	case idUUID:
		dst = binary.BigEndian.AppendUint64(append(dst, idUUID), id.hi)
		return binary.BigEndian.AppendUint64(dst, id.lo)
	}
	return dst
}

// DecodeID reads one key of AppendKey from the front of b and returns the rest.
func DecodeID(b []byte) (id PointID, rest []byte, err error) {
	switch {
	case len(b) >= 9 && b[0] == idNumber:
		return NumID(binary.BigEndian.Uint64(b[1:])), b[9:], nil
	case len(b) >= 17 && b[0] == idUUID:
		return UUID([16]byte(b[1:17])), b[17:], nil
	}
	return PointID{}, nil, Errorf(DataLoss, "point id: bad key of %d bytes", len(b))
}

// MarshalJSON writes a number or a string, as ids stand in bodies.
func (id PointID) MarshalJSON() ([]byte, error) {
	if id.kind == idNumber {
		return strconv.AppendUint(nil, id.lo, 10), nil
	}
	return strconv.AppendQuote(nil, id.String()), nil
}

// UnmarshalJSON reads an unsigned integer or a string that is a UUID; "1" in
// quotes is no id.
func (id *PointID) UnmarshalJSON(b []byte) error {
	s := string(b)
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		parsed, err := ParseUUID(s[1 : n-1])
		*id = parsed
		return err
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return Errorf(InvalidArgument, "%q is not a point id: neither an unsigned integer nor a UUID", clip(s))
	}
	*id = NumID(n)
	return nil
}

// Point is what a caller stores: an id, vectors and a payload (nil when it has
// none). Vector is the dense vector without a name, nil when it has none;
// Vectors are the others, nil when there are none.
type Point struct {
	ID      PointID
	Vector  []float32
	Vectors []NamedVector
	Payload Payload
}
