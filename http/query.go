package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// queryPoints finds the nearest points. Without a query it lists points in the
// order of their ids, as Qdrant does.
func (s *Server) queryPoints(r *request, tc tenant.Context) error {
	q := queryReader{Query: collection.Query{Limit: defaultLimit}}
	name, err := r.read(func(sc *scanner) error {
		q.pointReader = r.reader(sc)
		return q.read()
	})
	if err != nil {
		return err
	}
	if err := q.check(r); err != nil {
		return err
	}
	hits, err := s.hits(r, tc, name, &q.Query)
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
	if q.Vector != nil || q.ID != nil {
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
	dst = strconv.AppendUint(append(dst, `,"version":`...), h.Version, 10)
	dst = collection.AppendJSONFloat(append(dst, `,"score":`...), float64(h.Score), 32)
	dst = appendParts(dst, h.Payload, h.Vector, want)
	return append(dst, '}')
}

// queryReader reads the body of a query.
type queryReader struct {
	collection.Query
	*pointReader
}

func (q *queryReader) read() error {
	return q.object(func(key []byte) (err error) {
		switch string(key) {
		case "query":
			return q.query()
		case "filter":
			q.Filter, err = q.filter(q.limits)
			return err
		case "limit":
			return q.intTo(&q.Limit)
		case "offset":
			return q.intTo(&q.Offset)
		case "score_threshold":
			return q.float32To(&q.ScoreThreshold)
		case "with_payload":
			return q.payloadSelector(&q.WithPayload)
		case "with_vector", "with_vectors":
			return q.vectorSelector(&q.WithVector)
		case "params":
			return q.params()
		case "using":
			var name string
			if err := q.stringTo(&name); err != nil {
				return err
			}
			return q.defaultName([]byte(name))
		case "prefetch":
			return q.prefetch()
		case "lookup_from", "shard_key":
			return q.absent(string(key))
		}
		return q.skip()
	})
}

func (q *queryReader) check(r *request) error {
	if err := r.checkLimit(q.Limit, q.Offset); err != nil {
		return err
	}
	if most := r.s.limits.Request.Ef; q.Ef > most {
		return errValue("params.hnsw_ef: value " + strconv.Itoa(q.Ef) + " invalid, must be " + strconv.Itoa(most) + " or smaller")
	}
	return nil
}

// query reads what to search for: a vector, an id, or {"nearest": either}.
func (q *queryReader) query() error {
	switch q.peek() {
	case 'n':
		if q.null() {
			return nil
		}
	case '{':
		return q.object(func(key []byte) error {
			if string(key) == "nearest" {
				return q.target()
			}
			return q.absent("query." + string(key))
		})
	}
	return q.target()
}

func (q *queryReader) target() (err error) {
	switch q.peek() {
	case '[':
		q.Vector, err = q.dense()
		return err
	case '{':
		return collection.Errorf(collection.Unimplemented, "a query that is neither a dense vector nor an id is not supported yet")
	}
	id, err := q.id()
	q.ID = &id
	return err
}

// params reads how to search. What has no meaning here, as the settings of
// quantized vectors where there are none, is left aside.
func (q *queryReader) params() error {
	if q.null() {
		return nil
	}
	return q.object(func(key []byte) error {
		switch string(key) {
		case "hnsw_ef":
			return q.intTo(&q.Ef)
		case "exact":
			return q.boolTo(&q.Exact)
		}
		return q.skip()
	})
}

// prefetch accepts that there is none.
func (q *queryReader) prefetch() error {
	if q.peek() != '[' {
		return q.absent("prefetch")
	}
	return q.array(func() error { return q.absent("prefetch") })
}
