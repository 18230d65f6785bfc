package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const pieceHeadBytes = 4 + 4 + 4 // message, total, offset

func appendPieceHead(b []byte, message, total, offset uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, message)
	b = binary.LittleEndian.AppendUint32(b, total)
	return binary.LittleEndian.AppendUint32(b, offset)
}

// assembler puts the pieces of one payload after the other together. One
// connection has one: what a peer can make this node hold is one payload, and
// memory is taken as bytes arrive.
type assembler struct {
	message, total uint32
	buf            []byte
}

// add takes the body of a piece and returns the payload when it is complete.
// An error means that the peer does not keep to the protocol.
func (a *assembler) add(body []byte) ([]byte, error) {
	if len(body) <= pieceHeadBytes {
		return nil, errors.New("piece without bytes")
	}
	message, total, offset := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:]), binary.LittleEndian.Uint32(body[8:])
	body = body[pieceHeadBytes:]
	if offset == 0 && len(a.buf) == 0 {
		if total <= SmallBytesMax || total > PayloadBytesMax {
			return nil, fmt.Errorf("pieces of a payload of %d bytes", total)
		}
		a.message, a.total = message, total
	}
	if message != a.message || total != a.total || int64(offset) != int64(len(a.buf)) || int64(offset)+int64(len(body)) > int64(total) {
		return nil, fmt.Errorf("piece at %d of %d of message %d does not continue %d of %d of message %d",
			offset, total, message, len(a.buf), a.total, a.message)
	}
	a.buf = append(a.buf, body...)
	if len(a.buf) < int(total) {
		return nil, nil
	}
	whole := a.buf
	a.buf = nil
	return whole, nil
}
