package httpedge

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hivehub/waggle/collection"
)

// pooledBodyMax is the largest buffer that is kept for the next request.
const pooledBodyMax = 1 << 20

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// readBody reads the whole body, once the route has been admitted: at most the
// limit, no slower than the lowest rate, and within what all requests together
// may hold. r.body is valid until the request ends: nothing may keep a part of
// it.
func (r *request) readBody() error {
	if _, err := r.encoding(); err != nil {
		return err
	}
	stream := r.http.RequestBodyStream()
	if stream == nil {
		return nil
	}
	limit := r.bodyLimit()
	if r.http.Request.Header.ContentLength() > limit { // guard lets an import pass
		return errTooLarge(limit)
	}
	announced := max(r.http.Request.Header.ContentLength(), 0) // 0 also when chunked
	r.pooled = bodies.Get().(*[]byte)
	buf := (*r.pooled)[:0]
	defer func() { *r.pooled = buf }()
	for {
		if err := r.readUntil(r.s.limits.BodyGrace + r.uploadTime(max(announced, len(buf)))); err != nil {
			return err
		}
		roomy, err := r.room(buf, announced)
		if err != nil {
			return err
		}
		buf = roomy
		n, err := stream.Read(buf[len(buf):r.held])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return errTooLarge(limit)
		case errors.Is(err, io.EOF):
			r.body, r.bodyDone = buf, true
			return nil
		case err != nil:
			return uploadError(err)
		}
	}
}

func (r *request) bodyLimit() int {
	if r.bodyMax > 0 {
		return r.bodyMax
	}
	return r.s.limits.Request.BodyBytes
}

// room returns buf with space up to r.held bytes, at least one: at first for
// all that is announced and one byte, to see the end, later for twice as much.
// What is held counts against the server's budget.
func (r *request) room(buf []byte, announced int) ([]byte, error) {
	size := max(announced+1, 4<<10)
	if r.held > 0 {
		size = min(2*r.held, r.bodyLimit()+1)
	}
	if len(buf) < r.held {
		return buf, nil
	}
	more := int64(size - r.held)
	if r.s.bodies.Add(more) > r.s.limits.BodyBytesAllMax {
		r.s.bodies.Add(-more)
		return nil, errBodiesFull
	}
	r.held = size
	if size > cap(buf) {
		buf = append(make([]byte, 0, size), buf...)
	}
	return buf, nil
}

// uploadTime is how long a body of n bytes takes at the lowest rate.
func (r *request) uploadTime(n int) time.Duration {
	return time.Duration(float64(n) / float64(r.s.limits.BodyRateMin) * float64(time.Second))
}

// readUntil lets the connection's reads fail d after the request's begin.
func (r *request) readUntil(d time.Duration) error {
	if err := r.http.Conn().SetReadDeadline(r.start.Add(d)); err != nil {
		return uploadError(err)
	}
	return nil
}

func uploadError(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &collection.Error{
			Code: collection.DeadlineExceeded, Reason: reasonSlowBody,
			Message: "the request body arrived too slowly", Err: err,
		}
	}
	return &collection.Error{Code: collection.InvalidArgument, Message: "the request body is broken off or badly framed", Err: err}
}

// settleBody leaves the connection at the start of the next request: what is
// left of the body is read away, so that a client that is still writing gets
// to see its answer. A body that is too long even for that, or broken, ends
// the connection: its rest must never be taken for a request.
func (r *request) settleBody() {
	stream := r.http.RequestBodyStream()
	if stream == nil || r.bodyDone {
		return
	}
	if r.readUntil(time.Since(r.start)+r.s.limits.BodyGrace) != nil {
		r.endConnection()
		return
	}
	buf := bodies.Get().(*[]byte)
	defer bodies.Put(buf)
	if cap(*buf) < 32<<10 {
		*buf = make([]byte, 32<<10)
	}
	room := (*buf)[:cap(*buf)]
	for left := 2 * r.s.limits.Request.BodyBytes; left > 0; {
		n, err := stream.Read(room)
		left -= n
		if err == io.EOF {
			return
		}
		if err != nil {
			break
		}
	}
	r.endConnection()
}

func (r *request) endConnection() { r.http.Response.Header.SetConnectionClose() }

func (r *request) releaseBody() {
	r.s.bodies.Add(int64(-r.held))
	if r.pooled == nil {
		return
	}
	if cap(*r.pooled) > pooledBodyMax {
		*r.pooled = nil
	}
	bodies.Put(r.pooled)
}

const (
	jsonMedia = "application/json"
	anyMedia  = "*/*" // of a body that nobody looks at
)

// checkMedia refuses a body of another type than the wanted one. A body that
// does not say what it is counts as what is wanted.
func (r *request) checkMedia(wanted string) error {
	if wanted == "" || wanted == anyMedia || r.forwarded != nil || r.http.RequestBodyStream() == nil {
		return nil
	}
	given, _, _ := bytes.Cut(r.http.Request.Header.ContentType(), []byte(";"))
	given = bytes.TrimSpace(given)
	if strings.EqualFold(text(given), wanted) || len(given) == 0 && (wanted == jsonMedia || wanted == ndjsonMedia || wanted == multipartMedia || r.http.Request.Header.ContentLength() == 0) {
		return nil
	}
	return &collection.Error{
		Code: collection.InvalidArgument, Reason: reasonMediaType,
		Message: "the body must be sent as Content-Type: " + wanted,
	}
}
