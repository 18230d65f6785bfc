package httpedge

import (
	"bytes"

	"github.com/hivehub/waggle/collection"
)

var errFraming = &collection.Error{
	Code: collection.InvalidArgument, Message: "the headers are ambiguous: two lengths or hosts, an unknown transfer encoding, a folded line or a control character",
}

// framed reports whether everybody reads the same from the headers: one body
// length (RFC 9112, 6.3: one Content-Length, or Transfer-Encoding: chunked, or
// neither), one Host, no line that goes on in the next one and no control
// character. fasthttp takes the last of several lengths and hosts, any encoding
// for chunked, and folded lines; a proxy that reads them otherwise would take
// the rest of the body for the next request on its connection, which may be
// another tenant's, or see another key or another host than what is checked here.
func framed(raw []byte) bool {
	length, host := false, false
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
		if len(line) == 0 {
			continue // the end
		}
		if line[0] == ' ' || line[0] == '\t' || hasControl(line) {
			return false
		}
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			return false
		}
		switch {
		case bytes.EqualFold(name, []byte("Host")):
			if host {
				return false
			}
			host = true
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length {
				return false
			}
			length = true
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			if length || !bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
				return false
			}
			length = true
		}
	}
	return true
}

// hasControl looks for what no header may hold (RFC 9110, 5.5). A tab may be in
// a value.
func hasControl(line []byte) bool {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}
