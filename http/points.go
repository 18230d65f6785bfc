package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// reader reads the points of the request's body.
func (r *request) reader(sc *scanner) *pointReader {
	return &pointReader{scanner: sc, limits: r.s.limits.Request}
}

func (s *Server) upsertPoints(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(sc *scanner) (w collection.Write, err error) {
		w.Upsert, err = r.reader(sc).upsert()
		return w, err
	})
}

func (s *Server) deletePoints(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(sc *scanner) (w collection.Write, err error) {
		w.Delete, err = r.reader(sc).selector()
		return w, err
	})
}

func (s *Server) clearPayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(sc *scanner) (w collection.Write, err error) {
		w.ClearPayload, err = r.reader(sc).selector()
		return w, err
	})
}

func (s *Server) setPayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(sc *scanner) (w collection.Write, err error) {
		w.SetPayload, err = r.reader(sc).payloadChange()
		return w, err
	})
}

func (s *Server) overwritePayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(sc *scanner) (w collection.Write, err error) {
		w.OverwritePayload, err = r.reader(sc).payloadChange()
		return w, err
	})
}

func (s *Server) deletePayload(r *request, tc tenant.Context) error {
	return s.write(r, tc, func(sc *scanner) (w collection.Write, err error) {
		w.DeletePayload, err = r.reader(sc).keysChange()
		return w, err
	})
}

// write is what every change of points is: read, do, tell.
func (s *Server) write(r *request, tc tenant.Context, read func(*scanner) (collection.Write, error)) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	options, err := r.writeOptions()
	if err != nil {
		return err
	}
	var w collection.Write
	err = r.decode(func(sc *scanner) (err error) {
		w, err = read(sc)
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
		dst = strconv.AppendUint(dst, done.Index, 10)
		return append(append(append(dst, `,"status":"`...), status...), `"}`...)
	})
}
