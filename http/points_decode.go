package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
)

// pointReader reads requests about points: into fresh values, with nothing of
// the body in them.
type pointReader struct {
	scanner
	limits collection.Limits
	length int // of the last vector: a good guess at the next one's
}

func newPointReader(body []byte, l collection.Limits) *pointReader {
	return &pointReader{scanner: scanner{b: body, depthMax: l.JSONDepth}, limits: l}
}

// decode reads the request's body as one JSON value with read.
func (r *request) decode(read func(p *pointReader) error) error {
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
				points, err = p.points()
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

func (p *pointReader) points() ([]collection.Point, error) {
	points := []collection.Point{}
	err := p.array(func() error {
		if len(points) == p.limits.BatchPoints {
			return p.tooMany()
		}
		point, err := p.point()
		points = append(points, point)
		return err
	})
	return points, err
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
		case "vector":
			hasVector = true
			point.Vector, err = p.pointVector()
			return err
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
	var vectors [][]float32
	var payloads []collection.Payload
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "ids":
			ids, err = p.ids()
			return err
		case "vectors":
			vectors, err = p.batchVectors()
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
	case len(vectors) != len(ids):
		return nil, errValue("batch: number of ids and vectors must be equal (" + strconv.Itoa(len(ids)) + " != " + strconv.Itoa(len(vectors)) + ")")
	case payloads != nil && len(payloads) != len(ids):
		return nil, errValue("batch: number of ids and payloads must be equal (" + strconv.Itoa(len(ids)) + " != " + strconv.Itoa(len(payloads)) + ")")
	}
	points := make([]collection.Point, len(ids))
	for i, id := range ids {
		points[i] = collection.Point{ID: id, Vector: vectors[i]}
		if payloads != nil {
			points[i].Payload = payloads[i]
		}
	}
	return points, nil
}

// batchVectors reads a list of vectors, or {"": list}.
func (p *pointReader) batchVectors() (vectors [][]float32, err error) {
	if p.peek() != '{' {
		return p.vectors()
	}
	err = p.object(func(name []byte) (err error) {
		if err = p.defaultName(name); err == nil {
			vectors, err = p.vectors()
		}
		return err
	})
	return vectors, err
}

func (p *pointReader) vectors() ([][]float32, error) {
	vectors := [][]float32{}
	err := p.array(func() error {
		if len(vectors) == p.limits.BatchPoints {
			return p.tooMany()
		}
		v, err := p.dense()
		vectors = append(vectors, v)
		return err
	})
	return vectors, err
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
		if len(ids) == p.limits.BatchPoints {
			return p.tooMany()
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

// pointVector reads a point's vector: a list of numbers, or {"": list}, or {}
// for none.
func (p *pointReader) pointVector() (v []float32, err error) {
	if p.peek() != '{' {
		return p.dense()
	}
	err = p.object(func(name []byte) (err error) {
		if err = p.defaultName(name); err == nil {
			v, err = p.dense()
		}
		return err
	})
	return v, err
}

// defaultName refuses the name of a vector that no collection has yet: there
// is one vector, and its name is "".
func (s *scanner) defaultName(name []byte) error {
	if len(name) == 0 {
		return nil
	}
	return collection.Errorf(collection.InvalidArgument, "Not existing vector name error: %s", name)
}

// dense reads a list of numbers.
func (p *pointReader) dense() ([]float32, error) {
	v := make([]float32, 0, p.length)
	err := p.array(func() error {
		f, err := p.float32()
		if err == nil && len(v) == p.limits.Dimension {
			err = errValue("vector: length must be from 1 to " + strconv.Itoa(p.limits.Dimension))
		}
		v = append(v, f)
		return err
	})
	p.length = len(v)
	return v, err
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
