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
	return r.answer(func(dst []byte) []byte { return appendPoints(dst, points, &q.payload, &q.vectors) })
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
	points, err := s.engine.Retrieve(r.ctx, tc, name, []collection.PointID{id}, wholePayload, allVectors)
	if err != nil {
		return err
	}
	if len(points) == 0 {
		return collection.Errorf(collection.NotFound, "Point with id %s does not exists!", id)
	}
	return r.answer(func(dst []byte) []byte { return appendPoint(dst, &points[0], &wholePayload, &allVectors) })
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
		dst = appendPoints(append(dst, `{"points":`...), page.Points, &req.WithPayload, &req.WithVector)
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
func appendPoints(dst []byte, points []collection.Point, payload *collection.PayloadSelector, vectors *collection.VectorSelector) []byte {
	dst = append(dst, '[')
	for i := range points {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendPoint(dst, &points[i], payload, vectors)
	}
	return append(dst, ']')
}

// appendPoint writes a record: what was not asked for is not there.
func appendPoint(dst []byte, p *collection.Point, payload *collection.PayloadSelector, vectors *collection.VectorSelector) []byte {
	dst = appendID(append(dst, `{"id":`...), p.ID)
	dst = appendPayload(dst, p.Payload, payload)
	return append(appendVectors(dst, p.Vector, p.Vectors, vectors), '}')
}

func appendPayload(dst []byte, payload collection.Payload, want *collection.PayloadSelector) []byte {
	if !want.All && want.Include == nil && want.Exclude == nil {
		return dst
	}
	dst = append(dst, `,"payload":`...)
	if payload == nil {
		return append(dst, "{}"...)
	}
	return payload.AppendJSON(dst)
}

// appendVectors writes the vectors of a point: the one without a name as a list
// when there is no other, else all of them by their names.
func appendVectors(dst []byte, vector []float32, named []collection.NamedVector, want *collection.VectorSelector) []byte {
	if want.None() {
		return dst
	}
	dst = append(dst, `,"vector":`...)
	if vector != nil && len(named) == 0 {
		return appendVector(dst, vector)
	}
	dst = append(dst, '{')
	if vector != nil {
		dst = append(appendVector(append(dst, `"":`...), vector), ',')
	}
	for i := range named {
		v := &named[i]
		dst = append(appendString(dst, v.Name), ':')
		if v.Sparse != nil {
			dst = appendSparse(dst, v.Sparse)
		} else {
			dst = appendVector(dst, v.Dense)
		}
		dst = append(dst, ',')
	}
	if dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	return append(dst, '}')
}

func appendSparse(dst []byte, v *collection.SparseVector) []byte {
	dst = append(dst, `{"indices":[`...)
	for i, index := range v.Indices {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(index), 10)
	}
	return append(appendVector(append(dst, `],"values":`...), v.Values), '}')
}
