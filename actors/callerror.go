package actors

import (
	"bytes"
	"errors"
	"math"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

// wireError is an error on its way to another node: the domain's, or, with a
// Hub code, the hub's. What is wrapped stays on the node that met it.
type wireError struct {
	Code    uint8          `msgpack:"c"`
	Hub     string         `msgpack:"h,omitempty"`
	Reason  string         `msgpack:"r,omitempty"`
	Message string         `msgpack:"m"`
	Details map[string]any `msgpack:"d,omitempty"`
}

func appendError(dst []byte, err error) []byte {
	w := wireError{Code: uint8(collection.Internal), Message: "internal error"}
	var hub *hubsvc.Error
	var e *collection.Error
	switch {
	case errors.As(err, &hub):
		w.Hub, w.Message = string(hub.Code), hub.Message
	case errors.As(err, &e):
		w = wireError{Code: uint8(e.Code), Reason: string(e.Reason), Message: e.Message, Details: e.Details}
	}
	b, failed := msgpack.Marshal(w)
	if failed != nil { // details that have no encoding
		w.Details = nil
		b, failed = msgpack.Marshal(w)
	}
	if failed != nil {
		panic("BUG: an error without an encoding: " + failed.Error())
	}
	return append(dst, b...)
}

// decodeError reads what appendError wrote. What it cannot read is an error,
// too.
func decodeError(b []byte) error {
	var w wireError
	d := msgpack.NewDecoder(bytes.NewReader(b))
	d.UseLooseInterfaceDecoding(true) // numbers in details have two types, not one for each size
	if err := d.Decode(&w); err != nil || w.Code == 0 && w.Hub == "" || w.Code >= uint8(collection.CodeEnd) {
		return collection.Errorf(collection.Internal, "another node answered with an error that cannot be read")
	}
	if w.Hub != "" {
		return &hubsvc.Error{Code: hubsvc.Code(w.Hub), Message: w.Message}
	}
	for name, v := range w.Details {
		if n, ok := v.(uint64); ok && n <= math.MaxInt64 {
			w.Details[name] = int64(n)
		}
	}
	return &collection.Error{Code: collection.Code(w.Code), Reason: collection.Reason(w.Reason), Message: w.Message, Details: w.Details}
}
