package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// queryPoints finds the nearest points. Without a query it lists points in the
// order of their ids, as Qdrant does.
func (s *Server) queryPoints(r *request, tc tenant.Context) error {
	var q collection.Query
	name, err := r.read(func(p *pointReader) (err error) {
		q, err = p.query()
		return err
	})
	if err != nil {
		return err
	}
	hits, err := s.hits(r, tc, name, &q)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte {
		dst = append(dst, `{"points":[`...)
		for i := range hits {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendHit(dst, &hits[i], q.WithPayload)
		}
		return append(dst, `]}`...)
	})
}

func (s *Server) hits(r *request, tc tenant.Context, name string, q *collection.Query) ([]collection.Hit, error) {
	if q.Nearest != nil {
		return s.engine.Query(r.ctx, tc, name, *q)
	}
	page, err := s.engine.Scroll(r.ctx, tc, name, collection.ScrollRequest{
		Limit: q.Limit + q.Offset, Filter: q.Filter, WithPayload: q.WithPayload, WithVector: q.WithVector,
	})
	if err != nil {
		return nil, err
	}
	points := page.Points[min(q.Offset, len(page.Points)):]
	hits := make([]collection.Hit, len(points))
	for i, p := range points {
		hits[i] = collection.Hit{ID: p.ID, Score: 1, Payload: p.Payload, Vector: p.Vector}
	}
	return hits, nil
}

func appendHit(dst []byte, h *collection.Hit, want collection.PayloadSelector) []byte {
	dst = appendID(append(dst, `{"id":`...), h.ID)
	dst = strconv.AppendUint(append(dst, `,"version":`...), h.Version>>16, 10)
	dst = collection.AppendJSONFloat(append(dst, `,"score":`...), float64(h.Score), 32)
	dst = appendParts(dst, h.Payload, h.Vector, want)
	return append(dst, '}')
}
