package httpedge

import (
	"strconv"
	"time"

	"github.com/hivehub/waggle/collection"
)

// pointReader reads requests about points: into fresh values, with nothing of
// the body in them.
type pointReader struct {
	scanner
	limits collection.Limits
	length int // of the last vector: a good guess at the next one's
	points int // and ids, of all operations of the request
	nested int // prefetches of the query
}

func newPointReader(body []byte, l collection.Limits) *pointReader {
	return &pointReader{scanner: scanner{b: body, depthMax: l.JSONDepth}, limits: l}
}

// Bodies of more than bigBody bytes are decoded in their tenant's turn: what one
// of them takes is as much as some searches. The cost is an estimate.
const (
	bigBody    = 64 << 10
	decodeCost = 5 * time.Nanosecond // a byte
)

// decode reads the request's body as one JSON value with read.
func (r *request) decode(read func(p *pointReader) error) error {
	if len(r.body) > bigBody && r.tenant != "" {
		leave, err := r.s.engine.Turn(r.ctx, r.tenant, time.Duration(len(r.body))*decodeCost)
		if err != nil {
			return err
		}
		defer leave()
	}
	p := newPointReader(r.body, r.s.limits.Request)
	if err := read(p); err != nil {
		return err
	}
	return p.end()
}

// upsert reads the body of an upsert, in either form.
func (p *pointReader) upsert() ([]collection.Point, error) {
	var points []collection.Point
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "points":
			if !p.null() {
				points, err = p.pointList()
			}
			return err
		case "batch":
			if !p.null() {
				points, err = p.batch()
			}
			return err
		case "shard_key", "update_filter", "update_mode":
			return p.absent(string(key))
		}
		return p.skip()
	})
	if err == nil && points == nil {
		err = errFormat("data did not match any variant of untagged enum PointInsertOperations")
	}
	return points, err
}

func (p *pointReader) pointList() ([]collection.Point, error) {
	points := []collection.Point{}
	err := p.array(func() error {
		if err := p.one(); err != nil {
			return err
		}
		point, err := p.point()
		points = append(points, point)
		return err
	})
	return points, err
}

// one counts a point, or its id, of the request.
func (p *pointReader) one() error {
	if p.points == p.limits.BatchPoints {
		return p.tooMany()
	}
	p.points++
	return nil
}

func (p *pointReader) tooMany() error {
	return &collection.Error{
		Code: collection.InvalidArgument, Reason: collection.ReasonTooLarge,
		Message: "more than " + strconv.Itoa(p.limits.BatchPoints) + " points in one request",
	}
}

func (p *pointReader) point() (collection.Point, error) {
	var point collection.Point
	hasVector := false
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			point.ID, err = p.id()
			return err
		case "vector", "vectors":
			hasVector = true
			return p.pointVectors(&point)
		case "payload":
			point.Payload, err = p.payload()
			return err
		}
		return p.skip()
	})
	switch {
	case err != nil:
		return point, err
	case point.ID.IsZero():
		return point, p.fault("missing field `id`")
	case !hasVector:
		return point, p.fault("missing field `vector`")
	}
	return point, nil
}

// batch reads the form with one list each of ids, vectors and payloads.
func (p *pointReader) batch() ([]collection.Point, error) {
	var ids []collection.PointID
	var vectors [][]collection.NamedVector
	var payloads []collection.Payload
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "ids":
			ids, err = p.ids()
			return err
		case "vectors":
			vectors, err = p.columns()
			return err
		case "payloads":
			if !p.null() {
				payloads, err = p.payloads()
			}
			return err
		}
		return p.skip()
	})
	switch {
	case err != nil:
		return nil, err
	case ids == nil:
		return nil, p.fault("missing field `ids`")
	case vectors == nil:
		return nil, p.fault("missing field `vectors`")
	case payloads != nil && len(payloads) != len(ids):
		return nil, unequal(len(ids), "payloads", len(payloads))
	}
	points := make([]collection.Point, len(ids))
	for i, id := range ids {
		points[i].ID = id
		if payloads != nil {
			points[i].Payload = payloads[i]
		}
	}
	for _, column := range vectors {
		if len(column) != len(ids) {
			return nil, unequal(len(ids), "vectors", len(column))
		}
		for i := range points {
			if err := addTo(&points[i], column[i]); err != nil {
				return nil, err
			}
		}
	}
	return points, nil
}

func unequal(ids int, what string, n int) error {
	return errValue("batch: number of ids and " + what + " must be equal (" + strconv.Itoa(ids) + " != " + strconv.Itoa(n) + ")")
}

func (p *pointReader) payloads() ([]collection.Payload, error) {
	payloads := []collection.Payload{}
	err := p.array(func() error {
		if len(payloads) == p.limits.BatchPoints {
			return p.tooMany()
		}
		payload, err := p.payload()
		payloads = append(payloads, payload)
		return err
	})
	return payloads, err
}

func (p *pointReader) ids() ([]collection.PointID, error) {
	ids := []collection.PointID{}
	err := p.array(func() error {
		if err := p.one(); err != nil {
			return err
		}
		id, err := p.id()
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// id reads an unsigned integer or a string that is a UUID.
func (s *scanner) id() (collection.PointID, error) {
	if s.peek() == '"' {
		b, err := s.str()
		if err != nil {
			return collection.PointID{}, err
		}
		id, err := collection.ParseUUID(string(b))
		if err != nil {
			return id, s.badID(b)
		}
		return id, nil
	}
	raw, err := s.raw()
	if err != nil {
		return collection.PointID{}, err
	}
	n, err := strconv.ParseUint(text(raw), 10, 64)
	if err != nil || raw[0] == '+' {
		return collection.PointID{}, s.badID(raw)
	}
	return collection.NumID(n), nil
}

func (s *scanner) badID(value []byte) error {
	const most = 64
	if len(value) > most {
		value = value[:most]
	}
	s.i--
	return s.fault("value %s is not a valid point ID, valid values are either an unsigned integer or a UUID", value)
}

// payload reads an object; null is none.
func (s *scanner) payload() (collection.Payload, error) {
	if s.null() {
		return nil, nil
	}
	if s.peek() != '{' {
		return nil, s.mismatch("a map")
	}
	raw, err := s.raw()
	if err != nil {
		return nil, err
	}
	payload, err := collection.ParsePayload(raw)
	return payload, asFormat(err)
}

// filter reads a filter and checks it; null is none.
func (p *pointReader) filter() (*collection.Filter, error) {
	raw, err := p.raw()
	if err != nil {
		return nil, err
	}
	f, err := collection.ParseFilter(raw, p.limits)
	if err != nil {
		return nil, asFormat(err)
	}
	return f, f.Validate(p.limits)
}

// asFormat marks an error of a domain parser that says only that the input is
// wrong as one of the body's form.
func asFormat(err error) error {
	if err == nil {
		return nil
	}
	e := *asError(err)
	if e.Code == collection.InvalidArgument && e.Reason == collection.ReasonNone {
		e.Reason = reasonFormat
	}
	return &e
}

// absent refuses a member that is known and not built, unless it is null.
func (s *scanner) absent(name string) error {
	if s.null() {
		return nil
	}
	return collection.Errorf(collection.Unimplemented, "%s is not supported yet", name)
}
