package httpedge

import (
	"errors"
	"io"
	"time"

	"github.com/hivehub/waggle/collection"
)

// upload reads a body of any length up to the limit of imports, no slower than
// the lowest rate: only the time counts that is spent waiting for the client.
type upload struct {
	r      *request
	stream io.Reader
	read   int64
	waited time.Duration
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	begun := time.Now()
	allowed := u.r.s.limits.BodyGrace + time.Duration(float64(u.read)/float64(u.r.s.limits.BodyRateMin)*float64(time.Second))
	if err := u.r.readUntil(begun.Sub(u.r.start) + max(0, allowed-u.waited)); err != nil {
		return 0, err
	}
	n, err := u.stream.Read(p)
	u.read += int64(n)
	u.waited += time.Since(begun)
	switch {
	case u.read > u.r.s.limits.ImportBytes:
		return 0, errImportTooLarge(u.r.s.limits.ImportBytes)
	case errors.Is(err, io.EOF):
		u.r.bodyDone = true
	case err != nil:
		u.r.closes = true
		err = uploadError(err)
	}
	return n, err
}

// unpacked is what comes out of a decoder, up to the limit of imports.
type unpacked struct {
	io.Reader
	left int64
}

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if u.left -= int64(n); u.left < 0 {
		return 0, &collection.Error{
			Code: collection.InvalidArgument, Reason: collection.ReasonTooLarge, Message: "the body holds more than an import may",
		}
	}
	return n, err
}

func errImportTooLarge(limit int64) error {
	return &collection.Error{
		Code: collection.InvalidArgument, Reason: collection.ReasonTooLarge,
		Message: "the body is larger than that of an import may be", Details: map[string]any{"limit": limit},
	}
}
