package client

// Filter is a condition on points: all of Must, none of MustNot, and, when
// there are any, at least one of Should.
type Filter struct {
	Must    []Condition `json:"must,omitempty"`
	Should  []Condition `json:"should,omitempty"`
	MustNot []Condition `json:"must_not,omitempty"`
}

// Condition is one condition: make it with one of the functions below, or
// nest a Filter.
type Condition struct {
	*Filter
	Key   string    `json:"key,omitempty"`
	Match *Match    `json:"match,omitempty"`
	Range *Range    `json:"range,omitempty"`
	HasID []PointID `json:"has_id,omitzero"`
}

// Match holds when a payload's value equals Value, is among Any, or is not
// among Except. Set one. Values are strings, integers or bools.
type Match struct {
	Value  any   `json:"value,omitempty"`
	Any    []any `json:"any,omitzero"`
	Except []any `json:"except,omitzero"`
}

// Range holds when a payload's number lies between the bounds that are set.
type Range struct {
	GT  *float64 `json:"gt,omitempty"`
	GTE *float64 `json:"gte,omitempty"`
	LT  *float64 `json:"lt,omitempty"`
	LTE *float64 `json:"lte,omitempty"`
}

// Equals is the condition that the payload's key has the value.
func Equals(key string, value any) Condition {
	return Condition{Key: key, Match: &Match{Value: value}}
}

// OneOf is the condition that the payload's key has one of the values.
func OneOf(key string, values ...any) Condition {
	return Condition{Key: key, Match: &Match{Any: orEmpty(values)}}
}

// NoneOf is the condition that the payload's key has none of the values.
func NoneOf(key string, values ...any) Condition {
	return Condition{Key: key, Match: &Match{Except: orEmpty(values)}}
}

// InRange is the condition that the payload's key is a number in r.
func InRange(key string, r Range) Condition { return Condition{Key: key, Range: &r} }

// HasID is the condition that a point's id is among ids.
func HasID(ids ...PointID) Condition { return Condition{HasID: orEmpty(ids)} }
