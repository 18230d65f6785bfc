package httpedge

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hivehub/waggle/collection"
)

// sentBodyMax is the size up to which an answer is copied into the
// connection's own buffer; a larger one is given away.
const sentBodyMax = 64 << 10

// send answers with a JSON body. The slice is given away.
func (r *request) send(status int, body []byte) {
	h := &r.http.Response
	h.SetStatusCode(status)
	h.Header.SetContentType("application/json")
	if len(body) <= sentBodyMax {
		h.SetBody(body)
		return
	}
	h.SetBodyRaw(body)
}

func (r *request) elapsed() time.Duration { return time.Since(r.start) }

// appendSeconds writes d in seconds, always with a point.
func appendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendFloat(dst, d.Seconds(), 'f', 9, 64)
}

// appendString writes s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[from:i]...), "\ufffd"...)
		} else if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		} else if c == '"' || c == '\\' {
			dst = append(append(dst, s[from:i]...), '\\', c)
		} else {
			dst = append(append(dst, s[from:i]...), '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendVector writes numbers that clients with strict types read as floats.
func appendVector(dst []byte, v []float32) []byte {
	dst = append(dst, '[')
	for i, f := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = collection.AppendJSONFloat(dst, float64(f), 32)
	}
	return append(dst, ']')
}

// appendID writes a number or a hyphenated UUID.
func appendID(dst []byte, id collection.PointID) []byte {
	if n, ok := id.Num(); ok {
		return strconv.AppendUint(dst, n, 10)
	}
	return append(append(append(dst, '"'), id.String()...), '"')
}
