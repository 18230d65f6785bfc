package httpedge

import (
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/hivehub/waggle/collection"
)

// The encodings of bodies.
const (
	encodingGzip = "gzip"
	encodingZstd = "zstd"
)

// zstdWindowMax is the largest window that a body may be compressed with: what a
// decoder holds beside what it has decoded. It is what RFC 8878 recommends that
// every decoder takes.
const zstdWindowMax = 8 << 20

// decoderBytes is what a decoder holds, counted as a part of the body.
var decoderBytes = map[string]int{encodingGzip: 64 << 10, encodingZstd: zstdWindowMax}

// encoding is how the body is compressed: "" for not at all. Whoever needs no
// key gets nothing decompressed.
func (r *request) encoding() (string, error) {
	switch given := strings.ToLower(strings.TrimSpace(string(r.http.Request.Header.ContentEncoding()))); given {
	case "", "identity":
		return "", nil
	case encodingGzip, encodingZstd:
		if r.row == nil || r.row.open == nil {
			return given, nil
		}
	}
	return "", &collection.Error{
		Code: collection.InvalidArgument, Reason: reasonMediaType,
		Message: "a body may be compressed as Content-Encoding: gzip or zstd, and in no other way",
	}
}

// decoder reads what src holds compressed. It starts no goroutine.
func decoder(encoding string, src io.Reader) (io.ReadCloser, error) {
	if encoding == encodingGzip {
		return gzip.NewReader(src)
	}
	d, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindowMax))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// decodingError says what is wrong with a compressed body: what the source could
// not give is an error of its own.
func decodingError(err error) error {
	if _, ok := errors.AsType[*collection.Error](err); ok {
		return err
	}
	text := "the body is not compressed as its Content-Encoding says"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		text = "the compressed body is broken off"
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		text = "the body is compressed with a window of more than 8 MB"
	}
	return &collection.Error{Code: collection.InvalidArgument, Message: text, Err: err}
}

// decompress puts what the body holds in its place, once nobody needs it any
// more as it was sent. What comes out counts against the limits of a body as if
// it had been sent so, and nothing is read beyond them.
func (r *request) decompress() error {
	encoding, err := r.encoding()
	if err != nil || encoding == "" || r.forwarded != nil || len(r.body) == 0 {
		return err
	}
	packed, sent, held := r.body, r.pooled, r.held
	r.body, r.pooled, r.held = nil, nil, 0
	defer func() {
		r.s.bodies.Add(int64(-held))
		if cap(*sent) <= pooledBodyMax {
			bodies.Put(sent)
		}
	}()
	r.pooled = bodies.Get().(*[]byte)
	buf := (*r.pooled)[:0]
	defer func() { *r.pooled = buf }()
	held += decoderBytes[encoding]
	if r.s.bodies.Add(int64(decoderBytes[encoding])) > r.s.limits.BodyBytesAllMax {
		return errBodiesFull
	}
	d, err := decoder(encoding, &sliceReader{b: packed})
	if err != nil {
		return decodingError(err)
	}
	defer d.Close() //nolint:errcheck // of memory
	for {
		if buf, err = r.room(buf, 0); err != nil {
			return err
		}
		n, err := d.Read(buf[len(buf):r.held])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > r.bodyLimit():
			return errTooLarge(r.bodyLimit())
		case errors.Is(err, io.EOF):
			r.body = buf
			return nil
		case err != nil:
			return decodingError(err)
		}
	}
}

// sliceReader reads a slice. It has no other method, so that no decoder keeps
// the slice.
type sliceReader struct{ b []byte }

// Read implements io.Reader.
func (s *sliceReader) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}
