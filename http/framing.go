package httpedge

import (
	"bytes"

	"github.com/hivehub/waggle/collection"
)

var errFraming = &collection.Error{
	Code: collection.InvalidArgument, Message: "the length of the body is given in two ways, or in one that is not known",
}

// framed reports whether everybody reads the same body length from the headers
// (RFC 9112, 6.3): one Content-Length, or Transfer-Encoding: chunked, or
// neither. fasthttp takes the last of several lengths and any encoding for
// chunked; a proxy that reads them otherwise would take the rest of the body
// for the next request on its connection, which may be another tenant's.
func framed(raw []byte) bool {
	seen := false
	for line := range bytes.Lines(raw) {
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok || len(name) < len("Content-Length") {
			continue
		}
		encoding := bytes.EqualFold(name, []byte("Transfer-Encoding"))
		if !encoding && !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		if seen || encoding && !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
			return false
		}
		seen = true
	}
	return true
}
