package httpedge

import "github.com/hivehub/waggle/collection"

// The older searches, each read into the query that it is.

// search reads a request for the nearest to one vector.
func (p *pointReader) search() (collection.Query, error) {
	q := collection.Query{Limit: -1}
	err := p.object(func(key []byte) error {
		if string(key) == "vector" {
			return p.searchVector(&q)
		}
		return p.legacyMember(&q, key)
	})
	if err == nil && q.Nearest == nil {
		err = p.fault("missing field `vector`")
	}
	return q, p.checkLegacy(&q, err)
}

// searchVector reads a list of numbers, or {"name", "vector"}.
func (p *pointReader) searchVector(q *collection.Query) error {
	var in collection.Input
	var err error
	if p.peek() == '[' {
		in.Dense, err = p.dense()
		q.Nearest = &in
		return err
	}
	named := false
	err = p.object(func(key []byte) (err error) {
		switch string(key) {
		case "name":
			named = true
			return p.stringTo(&q.Using)
		case "vector":
			if p.peek() == '{' {
				in.Sparse, err = p.sparse()
			} else {
				in.Dense, err = p.dense()
			}
			q.Nearest = &in
			return err
		}
		return p.skip()
	})
	if err == nil && (q.Nearest == nil || !named) {
		err = p.fault("data did not match any variant of untagged enum NamedVectorStruct")
	}
	return err
}

// recommendation reads a request for the nearest to examples.
func (p *pointReader) recommendation() (collection.Query, error) {
	q := collection.Query{Limit: -1, Recommend: &collection.Recommend{}}
	err := p.object(func(key []byte) error {
		if string(key) == "using" {
			return p.stringTo(&q.Using)
		}
		known, err := p.recommendMember(q.Recommend, key)
		if err == nil && !known {
			err = p.legacyMember(&q, key)
		}
		return err
	})
	return q, p.checkLegacy(&q, err)
}

func (p *pointReader) legacyMember(q *collection.Query, key []byte) error {
	if string(key) == "top" { // the older name of limit
		return p.intTo(&q.Limit)
	}
	known, err := p.searchMember(q, key, false)
	if err == nil && !known {
		err = p.skip()
	}
	return err
}

// checkLegacy checks what was read, if it was: these requests have to name a
// limit.
func (p *pointReader) checkLegacy(q *collection.Query, err error) error {
	switch {
	case err != nil:
		return err
	case q.Limit < 0:
		return p.fault("missing field `limit`")
	}
	return q.Validate(p.limits)
}
