package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

func (s *Server) upsertPoints(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(p *pointReader) (w collection.Write, err error) {
		w.Upsert, err = p.upsert()
		return w, err
	})
}

func (s *Server) deletePoints(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(p *pointReader) (w collection.Write, err error) {
		w.Delete, err = p.selector()
		return w, err
	})
}

func (s *Server) clearPayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(p *pointReader) (w collection.Write, err error) {
		w.ClearPayload, err = p.selector()
		return w, err
	})
}

func (s *Server) setPayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(p *pointReader) (w collection.Write, err error) {
		w.SetPayload, err = p.payloadChange()
		return w, err
	})
}

func (s *Server) overwritePayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(p *pointReader) (w collection.Write, err error) {
		w.OverwritePayload, err = p.payloadChange()
		return w, err
	})
}

func (s *Server) deletePayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(p *pointReader) (w collection.Write, err error) {
		w.DeletePayload, err = p.keysChange()
		return w, err
	})
}

// write is what every change of points is: read, do, tell.
func (s *Server) write(r *request, tc tenant.Context, read func(*pointReader) (collection.Write, error)) error {
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
	done, err := s.engine.Write(r.ctx, tc, name, w, options)
	if err != nil {
		return err
	}
	status := "acknowledged"
	if options.Wait {
		status = "completed"
	}
	return r.answer(func(dst []byte) []byte {
		dst = append(dst, `{"operation_id":`...)
		if done.Operation == 0 { // accepted, and not yet in the log
			dst = append(dst, "null"...)
		} else {
			dst = strconv.AppendUint(dst, done.Operation, 10)
		}
		return append(append(append(dst, `,"status":"`...), status...), `"}`...)
	})
}
