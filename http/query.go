package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// queries is the handler of a request for points, in one of its forms: decode
// reads it, begin and end stand around the hits.
func (s *Server) queries(decode func(*pointReader) (collection.Query, error), begin, end string) handler {
	return func(r *request, tc tenant.Context) error {
		var q collection.Query
		name, err := r.read(func(p *pointReader) (err error) {
			q, err = decode(p)
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
			return append(appendHits(append(dst, begin...), hits, &q), end...)
		})
	}
}

// batches is queries for a list of requests: all are answered, or none.
func (s *Server) batches(decode func(*pointReader) (collection.Query, error), begin, end string) handler {
	return func(r *request, tc tenant.Context) error {
		var list []collection.Query
		name, err := r.read(func(p *pointReader) (err error) {
			list, err = p.searches(func() (collection.Query, error) { return decode(p) })
			return err
		})
		if err != nil {
			return err
		}
		answers := []byte{'['}
		for i := range list {
			hits, err := s.hits(r, tc, name, &list[i])
			if err != nil {
				return err
			}
			if i > 0 {
				answers = append(answers, ',')
			}
			answers = append(appendHits(append(answers, begin...), hits, &list[i]), end...)
		}
		return r.answer(func(dst []byte) []byte { return append(append(dst, answers...), ']') })
	}
}

func (s *Server) hits(r *request, tc tenant.Context, name string, q *collection.Query) ([]collection.Hit, error) {
	r.asksFor(q.Limit)
	if err := mayLookup(&tc, q); err != nil {
		return nil, err
	}
	return s.engine.Query(r.ctx, tc, name, *q)
}

// mayLookup refuses a query that looks for vectors in a collection that the key
// is not for.
func mayLookup(tc *tenant.Context, q *collection.Query) error {
	if tc.Scope == nil {
		return nil
	}
	if q.LookupFrom != nil {
		if err := mayCollection(tc, q.LookupFrom.Collection); err != nil {
			return err
		}
	}
	for i := range q.Prefetch {
		if err := mayLookup(tc, &q.Prefetch[i]); err != nil {
			return err
		}
	}
	return nil
}

func appendHits(dst []byte, hits []collection.Hit, q *collection.Query) []byte {
	dst = append(dst, '[')
	for i := range hits {
		if i > 0 {
			dst = append(dst, ',')
		}
		h := &hits[i]
		dst = appendID(append(dst, `{"id":`...), h.ID)
		dst = strconv.AppendUint(append(dst, `,"version":`...), h.Version>>16, 10)
		dst = collection.AppendJSONFloat(append(dst, `,"score":`...), float64(h.Score), 32)
		dst = appendPayload(dst, h.Payload, &q.WithPayload)
		dst = append(appendVectors(dst, h.Vector, h.Vectors, &q.WithVector), '}')
	}
	return append(dst, ']')
}
