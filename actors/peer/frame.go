package peer

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// kind says what the body of a frame is. The package comment draws them.
type kind uint8

const (
	kindHello kind = iota + 1
	kindRefused
	kindPing
	kindPong
	kindRaft
	kindMessage
	kindPiece
	kindBegin
	kindChunk
	kindEnd
	kindCancel
	kindStatus
	kindResult
)

const (
	headBytes = 5 // length and kind

	heartbeatBytesMax = 4 << 20  // one envelope on Heartbeats
	appendBytesMax    = 64 << 20 // one raft message
	envelopeBytes     = 1 << 20  // what an envelope of several messages aims at
	pieceBytes        = 128 << 10
	chunkBytes        = 256 << 10
	refusalBytesMax   = 512

	// writeBytes is how much one write under one deadline carries.
	writeBytes = 256 << 10
	// keepBytes is how much of a grown buffer is kept for the next frame.
	keepBytes = 1 << 20
)

// direction is the way a frame goes.
type direction uint8

const (
	opening  direction = iota // the hellos, both ways
	carrying                  // dialler to acceptor
	echoing                   // acceptor to dialler
)

// bodyMax is the limit of a body of kind k, -1 where it may not be at all.
func bodyMax(d direction, l Lane, k kind) int {
	switch {
	case d == opening && k == kindHello:
		return helloBytesMin + nameBytesMax
	case d == opening && k == kindRefused:
		return refusalBytesMax
	case d == carrying && k == kindPing, d == echoing && k == kindPong:
		return 0
	case d != carrying:
		return -1
	case l == Heartbeats && k == kindRaft:
		return heartbeatBytesMax
	case l == Appends && k == kindRaft:
		return envelopeHeadBytes + appendBytesMax
	case l == Requests && k == kindMessage:
		return SmallBytesMax
	case l == Bulk:
		return bulkBodyMax(k)
	}
	return -1
}

func bulkBodyMax(k kind) int {
	switch k {
	case kindPiece:
		return pieceHeadBytes + pieceBytes
	case kindBegin:
		return beginHeadBytes + MetaBytesMax
	case kindChunk:
		return chunkHeadBytes + chunkBytes
	case kindEnd:
		return endBytes
	case kindCancel:
		return cancelBytes
	case kindStatus:
		return statusBytes
	case kindResult:
		return resultHeadBytes + AnswerBytesMax
	}
	return -1
}

// frameReader cuts a stream into frames. It belongs to one goroutine.
type frameReader struct {
	r         io.Reader
	direction direction
	lane      Lane
	head      [headBytes]byte
	buf       []byte
}

// next returns the next frame. The body is valid until the next call.
func (f *frameReader) next() (kind, []byte, error) {
	if _, err := io.ReadFull(f.r, f.head[:]); err != nil {
		return 0, nil, err
	}
	length, k := binary.LittleEndian.Uint32(f.head[:]), kind(f.head[4])
	limit := bodyMax(f.direction, f.lane, k)
	if limit < 0 {
		return 0, nil, fmt.Errorf("frame of kind %d has no place here", k)
	}
	if length < 1 || int64(length)-1 > int64(limit) {
		return 0, nil, fmt.Errorf("frame of kind %d says %d bytes, the limit is %d", k, length, limit+1)
	}
	body, err := f.body(int(length) - 1)
	return k, body, err
}

// body reads n bytes. It never allocates more than twice what has arrived, and
// 64 KB.
func (f *frameReader) body(n int) ([]byte, error) {
	if cap(f.buf) > keepBytes && n <= keepBytes {
		f.buf = nil
	}
	f.buf = f.buf[:0]
	for len(f.buf) < n {
		have := len(f.buf)
		step := min(n-have, max(have, 64<<10, cap(f.buf)-have))
		f.buf = slices.Grow(f.buf, step)[:have+step]
		if _, err := io.ReadFull(f.r, f.buf[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return f.buf, nil
}

// frameWriter collects frames and writes them in one go. It belongs to one
// goroutine.
type frameWriter struct {
	conn    net.Conn
	timeout time.Duration // for writeBytes
	buf     []byte
}

// open begins a frame of kind k; what is appended to buf until close is its body.
func (w *frameWriter) open(k kind) (start int) {
	start = len(w.buf)
	w.buf = append(w.buf, 0, 0, 0, 0, byte(k))
	return start
}

func (w *frameWriter) close(start int) {
	binary.LittleEndian.PutUint32(w.buf[start:], uint32(len(w.buf)-start-4))
}

// frame collects a whole frame.
func (w *frameWriter) frame(k kind, body ...[]byte) {
	start := w.open(k)
	for _, b := range body {
		w.buf = append(w.buf, b...)
	}
	w.close(start)
}

// flush writes what was collected.
func (w *frameWriter) flush() error {
	err := w.write(w.buf)
	w.buf = w.buf[:0]
	if cap(w.buf) > keepBytes {
		w.buf = nil
	}
	return err
}

// write sends p with a deadline for each part of it, so that a large message
// on a slow link is no failure, and a link without any progress is.
func (w *frameWriter) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), writeBytes)
		if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
			return err
		}
		if _, err := w.conn.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
