package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
)

// query reads the body of a query. Nearest is nil when it asks for no nearest
// points.
func (p *pointReader) query() (collection.Query, error) {
	q := collection.Query{Limit: defaultLimit}
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "query":
			return p.queryTarget(&q)
		case "filter":
			q.Filter, err = p.filter()
			return err
		case "limit":
			return p.intTo(&q.Limit)
		case "offset":
			return p.intTo(&q.Offset)
		case "score_threshold":
			return p.float32To(&q.ScoreThreshold)
		case "with_payload":
			return p.payloadSelector(&q.WithPayload)
		case "with_vector", "with_vectors":
			return p.vectorSelector(&q.WithVector)
		case "params":
			return p.searchParams(&q)
		case "using":
			return p.using()
		case "prefetch":
			return p.noPrefetch()
		case "lookup_from", "shard_key":
			return p.absent(string(key))
		}
		return p.skip()
	})
	if err != nil {
		return q, err
	}
	if most := p.limits.Ef; q.Params.Ef > most {
		return q, errValue("params.hnsw_ef: value " + strconv.Itoa(q.Params.Ef) + " invalid, must be " + strconv.Itoa(most) + " or smaller")
	}
	return q, p.checkLimit(q.Limit, q.Offset)
}

// queryTarget reads what to search for: a vector, an id, or {"nearest": either}.
func (p *pointReader) queryTarget(q *collection.Query) error {
	if p.null() {
		return nil
	}
	if p.peek() != '{' {
		return p.nearest(q)
	}
	return p.object(func(key []byte) error {
		if string(key) == "nearest" {
			return p.nearest(q)
		}
		return p.absent("query." + string(key))
	})
}

func (p *pointReader) nearest(q *collection.Query) (err error) {
	q.Nearest = &collection.Input{}
	switch p.peek() {
	case '[':
		q.Nearest.Dense, err = p.dense()
		return err
	case '{':
		return collection.Errorf(collection.Unimplemented, "a query that is neither a dense vector nor an id is not supported yet")
	}
	id, err := p.id()
	q.Nearest.ID = &id
	return err
}

// searchParams reads how to search. What has no meaning here, as the settings
// of quantized vectors where there are none, is left aside.
func (p *pointReader) searchParams(q *collection.Query) error {
	if p.null() {
		return nil
	}
	return p.object(func(key []byte) error {
		switch string(key) {
		case "hnsw_ef":
			return p.intTo(&q.Params.Ef)
		case "exact":
			return p.boolTo(&q.Params.Exact)
		}
		return p.skip()
	})
}

func (p *pointReader) using() error {
	var name string
	if err := p.stringTo(&name); err != nil {
		return err
	}
	return p.defaultName([]byte(name))
}

// noPrefetch accepts that there is none.
func (p *pointReader) noPrefetch() error {
	if p.peek() != '[' {
		return p.absent("prefetch")
	}
	return p.array(func() error { return p.absent("prefetch") })
}
