package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// writes is the handler of a request that changes points: read, do, tell.
func (s *Server) writes(read func(*pointReader) (collection.Write, error)) handler {
	return func(r *request, tc tenant.Context) error {
		name, err := r.name()
		if err != nil {
			return err
		}
		options, err := r.writeOptions()
		if err != nil {
			return err
		}
		var w collection.Write
		err = r.decode(func(p *pointReader) (err error) {
			w, err = read(p)
			return err
		})
		if err != nil {
			return err
		}
		r.sends(&w)
		done, err := s.engine.Write(r.ctx, tc, name, w, options)
		if err != nil {
			return err
		}
		if w.Batch != nil {
			return r.answer(func(dst []byte) []byte { return appendUpdates(dst, done, options, len(w.Batch)) })
		}
		return r.answer(func(dst []byte) []byte { return appendUpdate(dst, done.Operation, options) })
	}
}

// appendUpdate tells the number of a change, and whether it is done. The number
// 0 is that of one which is accepted, and not yet in the log.
func appendUpdate(dst []byte, operation uint64, o collection.WriteOptions) []byte {
	dst = append(dst, `{"operation_id":`...)
	if operation == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendUint(dst, operation, 10)
	}
	if o.Wait {
		return append(dst, `,"status":"completed"}`...)
	}
	return append(dst, `,"status":"acknowledged"}`...)
}

// appendUpdates tells of n changes that were made together: each has a number of
// its own, and the answer is that of the last one. Where filters selected points
// there may have been more changes; then the earlier numbers are only near.
func appendUpdates(dst []byte, done collection.Answer, o collection.WriteOptions, n int) []byte {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		operation := done.Operation
		if before := uint64(n - 1 - i); operation > before {
			operation -= before
		}
		dst = appendUpdate(dst, operation, o)
	}
	return append(dst, ']')
}
