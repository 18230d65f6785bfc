package peer

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

const (
	beginHeadBytes  = 8 + 8     // id, size
	chunkHeadBytes  = 8 + 8 + 4 // id, offset, checksum
	endBytes        = 8 + 8     // id, sum
	cancelBytes     = 8         // id
	statusBytes     = 8 + 8 + 8 + 1
	resultHeadBytes = 8 + 1 // id, code

	// windowBytes is how far a sender may be ahead of what is written.
	windowBytes = 16 * chunkBytes
)

// The flags of a status.
const (
	// flagResume: go on at have, whatever was sent before.
	flagResume uint8 = 1 << iota
	// flagSpoiled: the chunk at have had a wrong checksum. Always with flagResume.
	flagSpoiled
	// flagUnknown: there is no such transfer; begin again.
	flagUnknown
	// flagEnded: everything is here, the result follows.
	flagEnded
)

// The codes of a result.
const (
	resultDone uint8 = iota
	resultRefused
	resultCorrupt
)

var (
	errMalformed = errors.New("malformed frame of a transfer")
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
)

// begin, chunk, end, status and result are the bodies of transfer frames. Byte
// slices in decoded ones alias the body.
type begin struct {
	id   uint64
	size int64
	meta []byte
}

type chunk struct {
	id     uint64
	offset int64
	sum    uint32
	data   []byte
}

type end struct{ id, sum uint64 }

type status struct {
	id          uint64
	have, limit int64
	flags       uint8
}

type result struct {
	id     uint64
	code   uint8
	answer []byte
}

func (m begin) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, m.id)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.size))
	return append(b, m.meta...)
}

func decodeBegin(b []byte) (begin, error) {
	if len(b) < beginHeadBytes || len(b) > beginHeadBytes+MetaBytesMax {
		return begin{}, errMalformed
	}
	size := binary.LittleEndian.Uint64(b[8:])
	if size > math.MaxInt64-windowBytes {
		return begin{}, errMalformed
	}
	return begin{id: binary.LittleEndian.Uint64(b), size: int64(size), meta: b[beginHeadBytes:]}, nil
}

// appendHead appends a chunk without its bytes.
func (m chunk) appendHead(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.id)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.offset))
	return binary.LittleEndian.AppendUint32(b, m.sum)
}

func decodeChunk(b []byte) (chunk, error) {
	if len(b) <= chunkHeadBytes || len(b) > chunkHeadBytes+chunkBytes {
		return chunk{}, errMalformed
	}
	offset := binary.LittleEndian.Uint64(b[8:])
	if offset > math.MaxInt64-windowBytes {
		return chunk{}, errMalformed
	}
	return chunk{id: binary.LittleEndian.Uint64(b), offset: int64(offset), sum: binary.LittleEndian.Uint32(b[16:]), data: b[chunkHeadBytes:]}, nil
}

func (m end) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.id)
	return binary.LittleEndian.AppendUint64(b, m.sum)
}

func decodeEnd(b []byte) (end, error) {
	if len(b) != endBytes {
		return end{}, errMalformed
	}
	return end{id: binary.LittleEndian.Uint64(b), sum: binary.LittleEndian.Uint64(b[8:])}, nil
}

func decodeCancel(b []byte) (uint64, error) {
	if len(b) != cancelBytes {
		return 0, errMalformed
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (m status) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, m.id)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.have))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.limit))
	return append(b, m.flags)
}

func decodeStatus(b []byte) (status, error) {
	if len(b) != statusBytes {
		return status{}, errMalformed
	}
	m := status{
		id:    binary.LittleEndian.Uint64(b),
		have:  int64(binary.LittleEndian.Uint64(b[8:])),
		limit: int64(binary.LittleEndian.Uint64(b[16:])),
		flags: b[24],
	}
	if m.have < 0 || m.limit < m.have {
		return status{}, errMalformed
	}
	return m, nil
}

func (m result) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, m.id)
	b = append(b, m.code)
	return append(b, m.answer...)
}

func decodeResult(b []byte) (result, error) {
	if len(b) < resultHeadBytes || len(b) > resultHeadBytes+AnswerBytesMax || b[8] > resultCorrupt {
		return result{}, errMalformed
	}
	return result{id: binary.LittleEndian.Uint64(b), code: b[8], answer: b[resultHeadBytes:]}, nil
}
