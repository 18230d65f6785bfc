package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
)

// defaultLimit is how many points a scroll or a query returns that names no limit.
const defaultLimit = 10

var (
	wholePayload = collection.PayloadSelector{All: true}
	allVectors   = collection.VectorSelector{All: true}
)

// retrieval asks for points by their ids.
type retrieval struct {
	ids     []collection.PointID
	payload collection.PayloadSelector
	vectors collection.VectorSelector
}

func (p *pointReader) retrieval() (retrieval, error) {
	q := retrieval{payload: wholePayload}
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "ids":
			q.ids, err = p.ids()
			return err
		case "with_payload":
			return p.payloadSelector(&q.payload)
		case "with_vector", "with_vectors":
			return p.vectorSelector(&q.vectors)
		case "shard_key":
			return p.absent("shard_key")
		}
		return p.skip()
	})
	if err == nil && q.ids == nil {
		err = p.fault("missing field `ids`")
	}
	return q, err
}

func (p *pointReader) scroll() (collection.ScrollRequest, error) {
	req := collection.ScrollRequest{Limit: defaultLimit, WithPayload: wholePayload}
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "offset":
			if p.null() {
				return nil
			}
			id, err := p.id()
			req.Offset = &id
			return err
		case "limit":
			return p.intTo(&req.Limit)
		case "filter":
			req.Filter, err = p.filter()
			return err
		case "with_payload":
			return p.payloadSelector(&req.WithPayload)
		case "with_vector", "with_vectors":
			return p.vectorSelector(&req.WithVector)
		case "order_by", "shard_key":
			return p.absent(string(key))
		}
		return p.skip()
	})
	if err != nil {
		return req, err
	}
	return req, p.checkLimit(req.Limit, 0)
}

// count reads which points to count. A count is exact here whatever was asked.
func (p *pointReader) count() (filter *collection.Filter, err error) {
	var exact bool
	err = p.object(func(key []byte) (err error) {
		switch string(key) {
		case "filter":
			filter, err = p.filter()
			return err
		case "exact":
			return p.boolTo(&exact)
		case "shard_key":
			return p.absent("shard_key")
		}
		return p.skip()
	})
	return filter, err
}

// checkLimit refuses to return no points, or more than the limit.
func (p *pointReader) checkLimit(limit, offset int) error {
	most := p.limits.TopK
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
