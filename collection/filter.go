package collection

// Filter says which points a read or a write is about. A point passes when it
// passes every condition of Must, at least one of Should, none of MustNot, and
// MinShould. An empty list demands nothing, so the zero Filter and a nil one
// pass every point.
type Filter struct {
	Must, Should, MustNot []Condition
	MinShould             *MinShould
}

// MinShould demands that at least Count of Conditions pass.
type MinShould struct {
	Conditions []Condition
	Count      int
}

// Condition is one node of a filter: a *Filter, or one of the condition types
// of this package. The set is closed.
type Condition interface {
	condition()
}

func (*Filter) condition() {}
