package httpedge

import (
	"github.com/hivehub/waggle/collection"
)

// query reads the body of a query, and checks it.
func (p *pointReader) query() (collection.Query, error) {
	p.nested = 0
	q, err := p.queryTree(false)
	if err == nil {
		err = q.Validate(p.limits)
	}
	return q, err
}

// queryTree reads a query, or one of its prefetches.
func (p *pointReader) queryTree(prefetch bool) (collection.Query, error) {
	q := collection.Query{Limit: defaultLimit}
	err := p.object(func(key []byte) (err error) {
		switch string(key) {
		case "query":
			return p.queryTarget(&q)
		case "prefetch":
			return p.prefetches(&q)
		case "using":
			return p.stringTo(&q.Using)
		}
		known, err := p.searchMember(&q, key, prefetch)
		if err == nil && !known {
			err = p.skip()
		}
		return err
	})
	return q, err
}

// searchMember reads the member key of any request that finds points, if it is
// one.
func (p *pointReader) searchMember(q *collection.Query, key []byte, prefetch bool) (known bool, err error) {
	switch string(key) {
	case "filter":
		q.Filter, err = p.filter()
		return true, err
	case "params":
		return true, p.searchParams(&q.Params)
	case "score_threshold":
		return true, p.float32To(&q.ScoreThreshold)
	case "limit":
		return true, p.intTo(&q.Limit)
	case "lookup_from":
		return true, p.lookupFrom(q)
	}
	if prefetch {
		return false, nil
	}
	switch string(key) {
	case "offset":
		return true, p.intTo(&q.Offset)
	case "with_payload":
		return true, p.payloadSelector(&q.WithPayload)
	case "with_vector", "with_vectors":
		return true, p.vectorSelector(&q.WithVector)
	case "shard_key":
		return true, p.absent("shard_key")
	}
	return false, nil
}

// prefetches reads one query or a list of them.
func (p *pointReader) prefetches(q *collection.Query) error {
	add := func() error {
		if p.nested++; p.nested > collection.PrefetchesMax {
			return tooManyOf("prefetches", collection.PrefetchesMax)
		}
		inner, err := p.queryTree(true)
		q.Prefetch = append(q.Prefetch, inner)
		return err
	}
	switch {
	case p.null():
		return nil
	case p.peek() == '{':
		return add()
	}
	return p.array(add)
}

func (p *pointReader) lookupFrom(q *collection.Query) error {
	if p.null() {
		return nil
	}
	var from collection.LookupFrom
	err := p.object(func(key []byte) error {
		switch string(key) {
		case "collection":
			return p.stringTo(&from.Collection)
		case "vector":
			if p.null() {
				return nil
			}
			from.Vector = new(string)
			return p.stringTo(from.Vector)
		case "shard_key":
			return p.absent("lookup_from.shard_key")
		}
		return p.skip()
	})
	switch {
	case err != nil:
		return err
	case from.Collection == "":
		return p.fault("missing field `collection`")
	}
	q.LookupFrom = &from
	return collection.ValidateName(from.Collection, p.limits)
}

// searchParams reads how to search.
func (p *pointReader) searchParams(to *collection.SearchParams) error {
	if p.null() {
		return nil
	}
	return p.object(func(key []byte) error {
		switch string(key) {
		case "hnsw_ef":
			return p.intTo(&to.Ef)
		case "exact":
			return p.boolTo(&to.Exact)
		case "indexed_only":
			return p.boolTo(&to.IndexedOnly)
		case "quantization":
			return p.quantizationParams(&to.Quantization)
		}
		return p.skip()
	})
}

func (p *pointReader) quantizationParams(to *collection.QuantizationParams) error {
	if p.null() {
		return nil
	}
	return p.object(func(key []byte) error {
		switch string(key) {
		case "ignore":
			return p.boolTo(&to.Ignore)
		case "rescore":
			if p.null() {
				return nil
			}
			to.Rescore = new(bool)
			return p.boolTo(to.Rescore)
		case "oversampling":
			var given *float32
			if err := p.float32To(&given); err != nil || given == nil {
				return err
			}
			if to.Oversampling = float64(*given); to.Oversampling == 0 {
				return errValue("params.quantization.oversampling: value 0.0 invalid, must be 1.0 or larger")
			}
			return nil
		}
		return p.skip()
	})
}

// searches reads {"searches": list} with one for each.
func (p *pointReader) searches(one func() (collection.Query, error)) ([]collection.Query, error) {
	var list []collection.Query
	hits := p.limits.TopK * searchHitsMax
	err := p.object(func(key []byte) error {
		if string(key) != "searches" {
			return p.skip()
		}
		list = []collection.Query{}
		return p.array(func() error {
			if len(list) == searchesMax {
				return tooManyOf("searches", searchesMax)
			}
			q, err := one()
			if err != nil {
				return err
			}
			list = append(list, q)
			if hits -= asked(&q); hits < 0 {
				return tooManyOf("points asked for", p.limits.TopK*searchHitsMax)
			}
			return nil
		})
	})
	if err == nil && list == nil {
		err = p.fault("missing field `searches`")
	}
	return list, err
}

// asked is how many points a query and its prefetches ask for.
func asked(q *collection.Query) int {
	n := q.Limit + q.Offset
	for i := range q.Prefetch {
		n += asked(&q.Prefetch[i])
	}
	return n
}

const (
	searchesMax   = 1000 // queries of one request
	searchHitsMax = 10   // times TopK: what they may ask for together
)
