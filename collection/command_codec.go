package collection

import (
	"encoding/binary"
	"math"

	"github.com/hivehub/waggle/tenant"
)

// A command in the log, little endian:
//
//	offset  size  field
//	0       1     version of the format: 1, or 2 with a nonce
//	1       1     kind of the operation
//	2       8     Time
//	10      8     Collection
//	18      8     Basis
//	26      32    Limits: Version, Vectors, Bytes, Collections
//	58      1, t  length of the tenant's id, id
//	...     1, k  length of the key, key
//	...     32    Hash, only when there is a key
//	...     1, n  length of the nonce, nonce, only in version 2
//	...     8     Claim, only in version 2
//	...     rest  the operation
//
// The operations ("bytes" is a length of 4 bytes and as many bytes, "ids" a
// number of 4 bytes and as many keys of AppendKey):
//
//	CreateCollection  name as bytes, configuration
//	DeleteCollection  name
//	Upsert            number (4), records as bytes
//	DeletePoints      ids
//	SetPayload        ids, path as bytes, payload
//	OverwritePayload  ids, payload
//	DeletePayload     ids, number (4), keys as bytes
//	ClearPayload      ids
//	DropTenant        Max (4)
//	Purge             Max (4)
//	CheckDigest       nothing
//	OutboxDone        Upto (8)
//	others            see appendLaterOp
//
// Records and payloads pass through as bytes: apply never decodes a vector.
const (
	commandVersion = 1
	commandNonced  = 2 // the version with a nonce: others are written as they always were
	commandHeader  = 58
	idKeyMin       = 9 // bytes of the shortest key of a PointID
)

// EncodeCommand appends c. It fails when a field is longer than the format
// can say, or a configuration holds a value that no payload may.
func EncodeCommand(dst []byte, c Command) ([]byte, error) {
	if len(c.Tenant) > math.MaxUint8 || len(c.Key) > math.MaxUint8 || len(c.Nonce) > math.MaxUint8 || c.Op == nil {
		return nil, Errorf(Internal, "command of tenant %q has no encoding", c.Tenant)
	}
	version := byte(commandVersion)
	if c.Nonce != "" {
		version = commandNonced
	}
	dst = append(dst, version, byte(c.Op.kind()))
	for _, field := range [...]uint64{
		uint64(c.Time), c.Collection, c.Basis,
		c.Limits.Version, uint64(c.Limits.Vectors), uint64(c.Limits.Bytes), uint64(c.Limits.Collections),
	} {
		dst = binary.LittleEndian.AppendUint64(dst, field)
	}
	dst = append(append(dst, byte(len(c.Tenant))), c.Tenant...)
	dst = append(append(dst, byte(len(c.Key))), c.Key...)
	if c.Key != "" {
		dst = append(dst, c.Hash[:]...)
	}
	if c.Nonce != "" {
		dst = append(append(dst, byte(len(c.Nonce))), c.Nonce...)
		dst = binary.LittleEndian.AppendUint64(dst, c.Claim)
	}
	return appendOp(dst, c.Op)
}

func appendOp(dst []byte, op Op) ([]byte, error) {
	switch op := op.(type) {
	case CreateCollection:
		return appendConfig(appendBytes(dst, op.Name), op.Config)
	case DeleteCollection:
		return append(dst, op.Name...), nil
	case Upsert:
		return appendRecords(dst, op.Records), nil
	case DeletePoints:
		return appendIDs(dst, op.IDs), nil
	case SetPayload:
		return append(appendBytes(appendIDs(dst, op.IDs), op.Path), op.Payload...), nil
	case OverwritePayload:
		return append(appendIDs(dst, op.IDs), op.Payload...), nil
	case DeletePayload:
		dst = binary.LittleEndian.AppendUint32(appendIDs(dst, op.IDs), uint32(len(op.Keys)))
		for _, key := range op.Keys {
			dst = appendBytes(dst, key)
		}
		return dst, nil
	case ClearPayload:
		return appendIDs(dst, op.IDs), nil
	case DropTenant:
		return binary.LittleEndian.AppendUint32(dst, uint32(op.Max)), nil
	case Purge:
		return binary.LittleEndian.AppendUint32(dst, uint32(op.Max)), nil
	case CheckDigest:
		return dst, nil
	case OutboxDone:
		return binary.LittleEndian.AppendUint64(dst, op.Upto), nil
	}
	return appendLaterOp(dst, op)
}

func appendRecords(dst []byte, records []Record) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(records)))
	for _, r := range records {
		dst = appendBytes(dst, r.raw)
	}
	return dst
}

func appendIDs(dst []byte, ids []PointID) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(ids)))
	for _, id := range ids {
		dst = id.AppendKey(dst)
	}
	return dst
}

// DecodeCommand reads what EncodeCommand wrote. Records and payloads share b.
func DecodeCommand(b []byte) (Command, error) {
	if len(b) < commandHeader || b[0] != commandVersion && b[0] != commandNonced {
		return Command{}, Errorf(DataLoss, "command of %d bytes: unknown version or cut short", len(b))
	}
	d := decoder{b: b[2:]}
	c := Command{Time: int64(d.u64()), Collection: d.u64(), Basis: d.u64()}
	c.Limits = tenant.Limits{
		Version: d.u64(), Vectors: int64(d.u64()), Bytes: int64(d.u64()), Collections: int64(d.u64()),
	}
	c.Tenant = tenant.ID(d.take(int(d.u8())))
	c.Key = string(d.take(int(d.u8())))
	if c.Key != "" {
		copy(c.Hash[:], d.take(len(c.Hash)))
	}
	if b[0] == commandNonced {
		c.Nonce = string(d.take(int(d.u8())))
		c.Claim = d.u64()
		d.bad = d.bad || c.Nonce == ""
	}
	var err error
	if c.Op, err = decodeOp(&d, opKind(b[1])); err != nil {
		return Command{}, err
	}
	if !d.done() {
		return Command{}, Errorf(DataLoss, "command of %d bytes, operation %d: malformed", len(b), b[1])
	}
	return c, nil
}

// decodeOp reads the operation. What is cut short shows in d; an error is that
// of a part with a format of its own.
func decodeOp(d *decoder, kind opKind) (Op, error) {
	switch kind {
	case opCreateCollection:
		op := CreateCollection{Name: string(d.take(d.u32()))}
		config, err := decodeConfig(d.rest())
		op.Config = config
		return op, err
	case opDeleteCollection:
		return DeleteCollection{Name: string(d.rest())}, nil
	case opUpsert:
		records, err := decodeRecords(d)
		return Upsert{Records: records}, err
	case opDeletePoints:
		ids, err := decodeIDs(d)
		return DeletePoints{IDs: ids}, err
	case opSetPayload:
		ids, err := decodeIDs(d)
		return SetPayload{IDs: ids, Path: string(d.take(d.u32())), Payload: d.rest()}, err
	case opOverwritePayload:
		ids, err := decodeIDs(d)
		return OverwritePayload{IDs: ids, Payload: d.rest()}, err
	case opDeletePayload:
		ids, err := decodeIDs(d)
		return DeletePayload{IDs: ids, Keys: decodeKeys(d)}, err
	case opClearPayload:
		ids, err := decodeIDs(d)
		return ClearPayload{IDs: ids}, err
	case opDropTenant:
		return DropTenant{Max: decodeMax(d)}, nil
	case opPurge:
		return Purge{Max: decodeMax(d)}, nil
	case opCheckDigest:
		return CheckDigest{}, nil
	case opOutboxDone:
		return OutboxDone{Upto: d.u64()}, nil
	}
	return decodeLaterOp(d, kind)
}

func decodeRecords(d *decoder) ([]Record, error) {
	n := d.count(4 + recordHeader)
	if n > MaxBatchPoints {
		return nil, Errorf(DataLoss, "command with %d records", n)
	}
	records := make([]Record, n)
	for i := range records {
		r, err := DecodeRecord(d.take(d.u32()))
		if err != nil {
			return nil, err
		}
		records[i] = r
	}
	return records, nil
}

func decodeIDs(d *decoder) ([]PointID, error) {
	n := d.count(idKeyMin)
	if n > MaxBatchPoints {
		return nil, Errorf(DataLoss, "command with %d ids", n)
	}
	ids := make([]PointID, n)
	for i := range ids {
		id, rest, err := DecodeID(d.b)
		if err != nil {
			return nil, err
		}
		ids[i], d.b = id, rest
	}
	return ids, nil
}

func decodeKeys(d *decoder) []string {
	keys := make([]string, d.count(4))
	for i := range keys {
		keys[i] = string(d.take(d.u32()))
	}
	return keys
}

func decodeMax(d *decoder) int {
	n := d.u32()
	d.bad = d.bad || n < 1
	return n
}
