package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// defaultLimit is how many points a scroll or a query returns that names no limit.
const defaultLimit = 10

var wholePayload = collection.PayloadSelector{All: true}

// read decodes the body of a reading request and returns the collection's name.
func (r *request) read(decode func(*scanner) error) (string, error) {
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
	var ids []collection.PointID
	payload, withVector := wholePayload, false
	name, err := r.read(func(sc *scanner) error {
		err := sc.object(func(key []byte) (err error) {
			switch string(key) {
			case "ids":
				ids, err = r.reader(sc).ids()
				return err
			case "with_payload":
				return sc.payloadSelector(&payload)
			case "with_vector", "with_vectors":
				return sc.vectorSelector(&withVector)
			case "shard_key":
				return sc.absent("shard_key")
			}
			return sc.skip()
		})
		if err == nil && ids == nil {
			err = sc.fault("missing field `ids`")
		}
		return err
	})
	if err != nil {
		return err
	}
	points, err := s.engine.Retrieve(r.ctx, tc, name, ids, payload, withVector)
	if err != nil {
		return err
	}
	return r.answer(func(dst []byte) []byte { return appendPoints(dst, points, payload) })
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
	points, err := s.engine.Retrieve(r.ctx, tc, name, []collection.PointID{id}, wholePayload, true)
	if err != nil {
		return err
	}
	if len(points) == 0 {
		return collection.Errorf(collection.NotFound, "Point with id %s does not exists!", id)
	}
	return r.answer(func(dst []byte) []byte { return appendPoint(dst, points[0], wholePayload) })
}

func (s *Server) scrollPoints(r *request, tc tenant.Context) error {
	req := collection.ScrollRequest{Limit: defaultLimit, WithPayload: wholePayload}
	name, err := r.read(func(sc *scanner) error {
		return sc.object(func(key []byte) (err error) {
			switch string(key) {
			case "offset":
				if !sc.null() {
					var id collection.PointID
					id, err = sc.id()
					req.Offset = &id
				}
				return err
			case "limit":
				return sc.intTo(&req.Limit)
			case "filter":
				req.Filter, err = sc.filter(r.s.limits.Request)
				return err
			case "with_payload":
				return sc.payloadSelector(&req.WithPayload)
			case "with_vector", "with_vectors":
				return sc.vectorSelector(&req.WithVector)
			case "order_by", "shard_key":
				return sc.absent(string(key))
			}
			return sc.skip()
		})
	})
	if err != nil {
		return err
	}
	if err := r.checkLimit(req.Limit, 0); err != nil {
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
	name, err := r.read(func(sc *scanner) error {
		return sc.object(func(key []byte) (err error) {
			switch string(key) {
			case "filter":
				filter, err = sc.filter(r.s.limits.Request)
				return err
			case "exact":
				var exact bool // a count is exact here in either case
				return sc.boolTo(&exact)
			case "shard_key":
				return sc.absent("shard_key")
			}
			return sc.skip()
		})
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

// checkLimit refuses to return no points, or more than the limit.
func (r *request) checkLimit(limit, offset int) error {
	most := r.s.limits.Request.TopK
	switch {
	case limit < 1:
		return errValue("limit: value 0 invalid, must be 1 or larger")
	case limit > most:
		return errValue("limit: value " + strconv.Itoa(limit) + " invalid, must be " + strconv.Itoa(most) + " or smaller")
	case offset > most-limit:
		return errValue("offset: value " + strconv.Itoa(offset) + " invalid, limit and offset together must be " + strconv.Itoa(most) + " or smaller")
	}
	return nil
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
