package httpedge

import (
	"net/url"
	"unsafe"

	"github.com/hivehub/waggle/collection"
)

// text is b as a string without a copy: valid only while b is.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func unescape(raw string) (string, error) {
	s, err := url.PathUnescape(raw)
	if err != nil {
		return "", &collection.Error{
			Code: collection.InvalidArgument, Reason: reasonParameter,
			Message: "path parameters: " + err.Error(), Err: err,
		}
	}
	return s, nil
}
