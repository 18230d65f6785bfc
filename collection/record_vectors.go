package collection

import (
	"encoding/binary"
	"math"
	"slices"
	"unsafe"
)

// readTable checks the table of a record of version 2, and finds the first
// dense vector and the payload. That the indices of sparse vectors and the terms
// of texts ascend is Finalize's promise.
func (r *Record) readTable() error {
	n := int64(r.count())
	at := int64(r.head) + recordEntry*n
	if at > int64(len(r.raw)) {
		return Errorf(DataLoss, "record of %d bytes: cut short", len(r.raw))
	}
	var before VectorRef
	for i := range int(n) {
		ref, length := r.entry(i)
		if ref.Kind < DenseKind || ref.Kind > TextKind || ref.compare(before) <= 0 ||
			ref.Kind == DenseKind && length == 0 {
			return Errorf(DataLoss, "record of %d bytes: malformed table of vectors", len(r.raw))
		}
		size := ref.Kind.size(length)
		if at+size > int64(len(r.raw)) {
			return Errorf(DataLoss, "record of %d bytes: cut short", len(r.raw))
		}
		if ref.first() {
			r.vector, r.end = int32(at), int32(at+size)
		}
		at += size
		before = ref
	}
	r.payload = int32(at)
	return nil
}

// size is how many bytes so many components take, or terms.
func (k VectorKind) size(length uint32) int64 {
	switch k {
	case SparseKind:
		return 8 * int64(length)
	case TextKind:
		return textHead + textTerm*int64(length)
	}
	return 4 * int64(length)
}

// What a text takes in a record: its length, and for each term itself and how
// often it is there.
const (
	textHead = 4
	textTerm = 12
)

// count is the number of vectors of a record of version 2.
func (r Record) count() int { return int(binary.LittleEndian.Uint16(r.raw[2:])) }

// entry is a row of the table of a record of version 2.
func (r Record) entry(i int) (VectorRef, uint32) {
	e := r.raw[int(r.head)+recordEntry*i:]
	return VectorRef{Kind: VectorKind(e[2]), Number: binary.LittleEndian.Uint16(e)}, binary.LittleEndian.Uint32(e[4:])
}

// part is one vector of a record where it lies.
type part struct {
	ref   VectorRef
	bytes []byte
}

func (p part) length() int {
	if p.ref.Kind == TextKind {
		return (len(p.bytes) - textHead) / textTerm
	}
	return len(p.bytes) / int(p.ref.Kind.size(1))
}

func (p part) dense() []float32 { return floatsIn(p.bytes) }

func (p part) sparse() SparseVector {
	half := len(p.bytes) / 2
	return SparseVector{Indices: indicesIn(p.bytes[:half]), Values: floatsIn(p.bytes[half:])}
}

// indicesIn is floatsIn of unsigned integers.
func indicesIn(b []byte) []uint32 {
	if len(b) == 0 {
		return nil
	}
	at := unsafe.Pointer(&b[0])
	if littleEndian && uintptr(at)%4 == 0 {
		return unsafe.Slice((*uint32)(at), len(b)/4)
	}
	v := make([]uint32, 0, len(b)/4)
	for ; len(b) > 0; b = b[4:] {
		v = append(v, binary.LittleEndian.Uint32(b))
	}
	return v
}

// parts returns the vectors of a record in the order of their refs.
func (r Record) parts() []part {
	if r.raw[0] == recordVersion {
		if r.vector == r.end {
			return nil
		}
		return []part{{VectorRef{Kind: DenseKind}, r.raw[r.vector:r.end]}}
	}
	n := r.count()
	list, rest := make([]part, n), r.raw[int(r.head)+recordEntry*n:r.payload]
	for i := range list {
		ref, length := r.entry(i)
		size := ref.Kind.size(length)
		list[i], rest = part{ref, rest[:size]}, rest[size:]
	}
	return list
}

// find returns one vector of a record, and whether it has it.
func (r Record) find(ref VectorRef) (part, bool) {
	if r.raw[0] == recordVersion {
		return part{ref, r.raw[r.vector:r.end]}, ref.first() && r.end > r.vector
	}
	n := r.count()
	rest := r.raw[int(r.head)+recordEntry*n : r.payload]
	for i := range n {
		has, length := r.entry(i)
		size := has.Kind.size(length)
		if has == ref {
			return part{ref, rest[:size]}, true
		}
		rest = rest[size:]
	}
	return part{}, false
}

// Dense returns a dense vector of the point, nil when it has none of that ref.
// It must not be changed, see Vector.
func (r Record) Dense(ref VectorRef) []float32 {
	if p, ok := r.find(ref); ok && ref.Kind == DenseKind {
		return p.dense()
	}
	return nil
}

// Sparse returns a sparse vector of the point, and whether it has it: a vector
// may be there and have no components. It must not be changed.
func (r Record) Sparse(ref VectorRef) (SparseVector, bool) {
	p, ok := r.find(ref)
	if !ok || ref.Kind != SparseKind {
		return SparseVector{}, false
	}
	return p.sparse(), true
}

// encodeParts returns the record of a point with these vectors, which are in
// the order of their refs, in the version that it has to have.
func encodeParts(id PointID, parts []part, payload []byte) (Record, error) {
	size := recordHeader + 16 + recordEntry*len(parts) + len(payload)
	for _, p := range parts {
		size += len(p.bytes)
	}
	if size > maxRecordBytes {
		return Record{}, tooLarge("point %s would grow too large", id)
	}
	raw := appendTable(make([]byte, 0, size), id, parts)
	for _, p := range parts {
		raw = append(raw, p.bytes...)
	}
	return DecodeRecord(append(raw, payload...))
}

// appendTable appends what stands before the vectors in a record: of version 1
// if that can say it.
func appendTable[T interface {
	of() VectorRef
	length() int
}](dst []byte, id PointID, vectors []T,
) []byte {
	switch {
	case len(vectors) == 0:
		return appendRecordHead(dst, recordVersion, 0, id)
	case len(vectors) == 1 && vectors[0].of().first() && vectors[0].length() <= math.MaxUint16:
		return appendRecordHead(dst, recordVersion, vectors[0].length(), id)
	}
	dst = appendRecordHead(dst, recordVersion2, len(vectors), id)
	for _, v := range vectors {
		ref := v.of()
		dst = binary.LittleEndian.AppendUint16(dst, ref.Number)
		dst = append(dst, byte(ref.Kind), 0)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v.length()))
	}
	return dst
}

func (p part) of() VectorRef { return p.ref }

// withVectors returns a new record of the same point in which the vectors of
// another stand in place of its own of the same refs.
func (r Record) withVectors(others Record) (Record, error) {
	mine, theirs := r.parts(), others.parts()
	merged := make([]part, 0, len(mine)+len(theirs))
	for len(mine) > 0 && len(theirs) > 0 {
		order := mine[0].ref.compare(theirs[0].ref)
		if order < 0 {
			merged, mine = append(merged, mine[0]), mine[1:]
			continue
		}
		if order == 0 {
			mine = mine[1:]
		}
		merged, theirs = append(merged, theirs[0]), theirs[1:]
	}
	return encodeParts(r.id, append(append(merged, mine...), theirs...), r.PayloadBytes())
}

// withoutVectors returns a new record of the same point without some vectors,
// and whether it had one of them.
func (r Record) withoutVectors(refs []VectorRef) (Record, bool, error) {
	parts := r.parts()
	kept := slices.DeleteFunc(parts, func(p part) bool { return slices.Contains(refs, p.ref) })
	if len(kept) == len(parts) {
		return r, false, nil
	}
	rec, err := encodeParts(r.id, kept, r.PayloadBytes())
	return rec, true, err
}

// vectorValue is a vector on its way into a record.
type vectorValue struct {
	ref    VectorRef
	dense  []float32
	sparse SparseVector
	text   *TextTerms // of a text, else nil
}

func (v vectorValue) of() VectorRef { return v.ref }
func (v vectorValue) length() int {
	if v.text != nil {
		return len(v.text.Terms)
	}
	return len(v.dense) + len(v.sparse.Indices)
}

// appendRecord appends the record of a point with these prepared vectors, which
// are in the order of their refs. The error is that of AppendPayload.
func appendRecord(dst []byte, id PointID, vectors []vectorValue, payload Payload) ([]byte, error) {
	dst = appendTable(dst, id, vectors)
	for _, v := range vectors {
		for _, i := range v.sparse.Indices {
			dst = binary.LittleEndian.AppendUint32(dst, i)
		}
		dst = appendFloats(appendFloats(dst, v.dense), v.sparse.Values)
		if v.text != nil {
			dst = appendText(dst, v.text)
		}
	}
	if len(payload) == 0 {
		return dst, nil
	}
	return AppendPayload(dst, payload)
}
