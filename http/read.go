package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// read decodes the body of a reading request and returns the collection's name.
func (r *request) read(decode func(*pointReader) error) (string, error) {
	name, err := r.name()
	if err != nil {
		return "", err
	}
	if err := r.checkConsistency(); err != nil {
		return "", err
	}
	return name, r.decode(decode)
}

func (s *Server) retrievePoints(r *request, tc tenant.Context) error {
	var q retrieval
	name, err := r.read(func(p *pointReader) (err error) {
		q, err = p.retrieval()
		return err
	})
	if err != nil {
		return err
	}
	points, err := s.engine.Retrieve(r.ctx, tc, name, q.ids, q.payload, q.vectors)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte { return appendPoints(dst, points, q.payload) })
}

func (s *Server) getPoint(r *request, tc tenant.Context) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	if err := r.checkConsistency(); err != nil {
		return err
	}
	given, err := r.param("id")
	if err != nil {
		return err
	}
	id, err := collection.ParseID(given)
	if err != nil {
		return collection.Errorf(collection.InvalidArgument, "Can not recognize %q as point id", given)
	}
	points, err := s.engine.Retrieve(r.ctx, tc, name, []collection.PointID{id}, wholePayload, collection.VectorSelector{All: true})
	if err != nil {
		return err
	}
	if len(points) == 0 {
		return collection.Errorf(collection.NotFound, "Point with id %s does not exists!", id)
	}
	return r.answer(func(dst []byte) []byte { return appendPoint(dst, points[0], wholePayload) })
}

func (s *Server) scrollPoints(r *request, tc tenant.Context) error {
	var req collection.ScrollRequest
	name, err := r.read(func(p *pointReader) (err error) {
		req, err = p.scroll()
		return err
	})
	if err != nil {
		return err
	}
	page, err := s.engine.Scroll(r.ctx, tc, name, req)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte {
		dst = appendPoints(append(dst, `{"points":`...), page.Points, req.WithPayload)
		dst = append(dst, `,"next_page_offset":`...)
		if page.Next == nil {
			dst = append(dst, "null"...)
		} else {
			dst = appendID(dst, *page.Next)
		}
		return append(dst, '}')
	})
}

func (s *Server) countPoints(r *request, tc tenant.Context) error {
	var filter *collection.Filter
	name, err := r.read(func(p *pointReader) (err error) {
		filter, err = p.count()
		return err
	})
	if err != nil {
		return err
	}
	n, err := s.engine.Count(r.ctx, tc, name, filter)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte {
		return append(strconv.AppendUint(append(dst, `{"count":`...), n, 10), '}')
	})
}

// appendPoints writes a list of records.
func appendPoints(dst []byte, points []collection.Point, want collection.PayloadSelector) []byte {
	dst = append(dst, '[')
	for i, p := range points {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendPoint(dst, p, want)
	}
	return append(dst, ']')
}

// appendPoint writes a record: what was not asked for is not there.
func appendPoint(dst []byte, p collection.Point, want collection.PayloadSelector) []byte {
	dst = appendID(append(dst, `{"id":`...), p.ID)
	dst = appendParts(dst, p.Payload, p.Vector, want)
	return append(dst, '}')
}

func appendParts(dst []byte, payload collection.Payload, vector []float32, want collection.PayloadSelector) []byte {
	if want.All || want.Include != nil || want.Exclude != nil {
		dst = append(dst, `,"payload":`...)
		if payload == nil {
			dst = append(dst, "{}"...)
		} else {
			dst = payload.AppendJSON(dst)
		}
	}
	if vector != nil {
		dst = appendVector(append(dst, `,"vector":`...), vector)
	}
	return dst
}
