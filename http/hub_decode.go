package httpedge

import (
	"math"
	"strconv"
	"time"
)

// The bodies of the hub's API and of /auth. Members that are not known are
// skipped, null is absent, and another type than the documented one is refused.

// hubListMax is how many names, addresses or permissions one body may list.
const hubListMax = 100

// tenantRequest makes a tenant.
type tenantRequest struct {
	name, plan string
	partition  *uint64
}

func (p *pointReader) tenantRequest() (q tenantRequest, err error) {
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "name":
			return p.stringTo(&q.name)
		case "plan":
			return p.stringTo(&q.plan)
		case "partition":
			return p.uintTo(&q.partition)
		}
		return p.skip()
	})
	return q, err
}

// tenantChange is what a PATCH of a tenant changes; "" leaves it.
type tenantChange struct{ plan, status string }

func (p *pointReader) tenantChange() (q tenantChange, err error) {
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "plan":
			return p.stringTo(&q.plan)
		case "status":
			return p.stringTo(&q.status)
		}
		return p.skip()
	})
	switch {
	case err != nil:
	case q == tenantChange{}:
		err = errValue("nothing to change: give plan, status or both")
	case q.status != "" && q.status != "active" && q.status != "suspended":
		err = errValue("status: must be active or suspended")
	}
	return q, err
}

// ratesRequest are request rates; nil is absent.
type ratesRequest struct{ minute, hour, day *int64 }

func (p *pointReader) rate(key []byte, r *ratesRequest) (known bool, err error) {
	switch string(key) {
	case "requests_per_minute":
		return true, p.limitTo(&r.minute)
	case "requests_per_hour":
		return true, p.limitTo(&r.hour)
	case "requests_per_day":
		return true, p.limitTo(&r.day)
	}
	return false, nil
}

// planRequest is a plan; a limit that is nil is absent: there is none.
type planRequest struct {
	name                       string
	bytes, points, collections *int64
	rates                      ratesRequest
}

func (p *pointReader) planRequest() (q planRequest, err error) {
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "name":
			return p.stringTo(&q.name)
		case "storage_bytes":
			return p.limitTo(&q.bytes)
		case "vector_count":
			return p.limitTo(&q.points)
		case "collection_count":
			return p.limitTo(&q.collections)
		}
		if known, err := p.rate(key, &q.rates); known {
			return err
		}
		return p.skip()
	})
	return q, err
}

// keyRequest makes a key. A list that is nil is absent, which is not the same
// as an empty one: absent leaves it to the maker's own narrowing.
type keyRequest struct {
	tenant      string
	permissions []string
	kind, name  string
	collections []string
	addresses   []string
	rates       *ratesRequest
	expires     time.Time
	test        bool
}

func (p *pointReader) keyRequest() (q keyRequest, err error) {
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "tenant_id":
			return p.stringTo(&q.tenant)
		case "kind":
			return p.stringTo(&q.kind)
		case "name":
			return p.stringTo(&q.name)
		case "permission":
			var one string
			if err := p.stringTo(&one); err != nil || one == "" {
				return err
			}
			q.permissions = []string{one}
			return nil
		case "permissions":
			return p.stringsTo(&q.permissions)
		case "collections":
			return p.stringsTo(&q.collections)
		case "allowed_ips":
			return p.stringsTo(&q.addresses)
		case "rate_limits":
			return p.ratesTo(&q.rates)
		case "expires_at":
			return p.timeTo(&q.expires)
		case "is_test":
			return p.boolTo(&q.test)
		}
		return p.skip()
	})
	return q, err
}

func (p *pointReader) ratesTo(dst **ratesRequest) error {
	if p.null() {
		return nil
	}
	var r ratesRequest
	err := p.object(func(key []byte) error {
		if known, err := p.rate(key, &r); known {
			return err
		}
		return p.skip()
	})
	*dst = &r
	return err
}

// graceRequest is the body of a rotation: nil leaves the grace time to the hub.
func (p *pointReader) graceRequest() (grace *time.Duration, err error) {
	err = p.object(func(key []byte) error {
		if string(key) != "grace_seconds" {
			return p.skip()
		}
		var seconds *uint64
		if err := p.uintTo(&seconds); err != nil || seconds == nil {
			return err
		}
		d := time.Duration(min(*seconds, math.MaxInt32)) * time.Second
		grace = &d
		return nil
	})
	return grace, err
}

// keyQuestion asks about a key: the key itself, or its id.
type keyQuestion struct{ key, id string }

// keyQuestion reads a request to validate a key, which has any of the names
// that clients give it; "" when there is none.
func (p *pointReader) keyQuestion() (q keyQuestion, err error) {
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "access_key", "api_key", "key":
			return p.stringTo(&q.key)
		case "key_id":
			return p.stringTo(&q.id)
		}
		return p.skip()
	})
	return q, err
}

// collectionRequest is the record of a created or deleted collection.
type collectionRequest struct {
	tenant  string
	id      *uint64
	name    string
	created time.Time
	deleted time.Time
}

func (p *pointReader) collectionRequest() (q collectionRequest, err error) {
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "tenant_id", "user_id":
			return p.stringTo(&q.tenant)
		case "collection_id":
			return p.idTo(&q.id)
		case "name":
			return p.stringTo(&q.name)
		case "created_at":
			return p.timeTo(&q.created)
		case "deleted_at":
			return p.timeTo(&q.deleted)
		}
		return p.skip()
	})
	if err == nil && q.id == nil {
		err = p.fault("missing field `collection_id`")
	}
	return q, err
}

// stringsTo reads a list of strings that is not null; an empty one is not nil.
func (p *pointReader) stringsTo(dst *[]string) error {
	if p.null() {
		return nil
	}
	list := []string{}
	err := p.array(func() error {
		if len(list) == hubListMax {
			return errValue("a list of more than " + strconv.Itoa(hubListMax))
		}
		b, err := p.str()
		list = append(list, string(b))
		return err
	})
	*dst = list
	return err
}

func (p *pointReader) uintTo(dst **uint64) error {
	if p.null() {
		return nil
	}
	n, err := p.uint()
	if err == nil {
		*dst = &n
	}
	return err
}

// idTo reads a number, also as a string of digits: JavaScript has no integers
// above 2^53.
func (p *pointReader) idTo(dst **uint64) error {
	if p.peek() != '"' {
		return p.uintTo(dst)
	}
	b, err := p.str()
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return p.fault("invalid value: expected a number")
	}
	*dst = &n
	return nil
}

// limitTo reads a limit: any integer; a negative one is no limit.
func (p *pointReader) limitTo(dst **int64) error {
	if p.null() {
		return nil
	}
	n, err := p.int64()
	if err == nil {
		*dst = &n
	}
	return err
}

func (p *pointReader) int64() (int64, error) {
	if c := p.peek(); c != '-' && (c < '0' || c > '9') {
		return 0, p.mismatch("i64")
	}
	digits, err := p.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0, p.fault("invalid value: expected an integer")
	}
	return n, nil
}

// timeTo reads a time as milliseconds since 1970 or in RFC 3339.
func (p *pointReader) timeTo(dst *time.Time) error {
	if p.null() {
		return nil
	}
	if p.peek() != '"' {
		ms, err := p.int64()
		if err != nil {
			return err
		}
		if ms < 0 || ms > timeMax.UnixMilli() {
			return p.fault("invalid value: expected milliseconds since 1970")
		}
		*dst = time.UnixMilli(ms)
		return nil
	}
	b, err := p.str()
	if err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, string(b))
	if err != nil || at.After(timeMax) || at.Unix() < 0 {
		return p.fault("invalid value: expected a time such as 2030-12-31T23:59:59Z")
	}
	*dst = at
	return nil
}

// timeMax is the last moment that RFC 3339 can write.
var timeMax = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
