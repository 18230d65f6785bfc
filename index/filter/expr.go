package filter

// Expr is one node of a filter, as far as the index understands it. The set is
// closed: *Group, Match, Text, Range, Times, State, Count, IDs, Inside, All and
// Ask.
type Expr interface {
	expr()
}

// Group passes a slot that passes every one of Must, none of Not, at least one
// of Should and at least MinCount of Min. An empty list demands nothing.
type Group struct {
	Must, Not, Should, Min []Expr
	MinCount               uint64
}

// Match passes a slot with one of these values in a field. With Except it
// passes one with a value that is not null and none of these.
type Match struct {
	Field  string
	Texts  []string
	Ints   []int64
	Bools  []bool
	Except bool
}

// Text passes a slot with a text in a field that contains Part.
type Text struct{ Field, Part string }

// Range passes a slot with a number in a field that is neither Below nor
// Above; both agree with the order of numbers.
type Range struct {
	Field        string
	Below, Above func(float64) bool
}

// Times passes a slot with a date in a field that is neither Below nor Above,
// in microseconds.
type Times struct {
	Field        string
	Below, Above func(int64) bool
}

// Condition is what a State asks.
type Condition uint8

// The conditions.
const (
	IsNull  Condition = iota // null, or an array with a null in it
	IsEmpty                  // null, an array of nothing, or not there
)

// State passes a slot whose field is so.
type State struct {
	Field string
	Is    Condition
}

// Count passes a slot with so many values in a field: an array its length,
// null and what is not there none, all else one.
type Count struct {
	Field    string
	Contains func(n uint64) bool
}

// IDs may pass a slot with one of these hashes of ids.
type IDs struct{ Hashes []uint64 }

// Inside may pass a slot in whose field there is something inside: an object
// or an array. Only the payload can tell. Of all others it is known that they
// pass if Absent is set, and that they do not if it is not.
type Inside struct {
	Field  string
	Absent bool
}

// All passes every slot, or none.
type All bool

// Ask may pass any slot.
type Ask struct{}

func (*Group) expr() {}
func (Match) expr()  {}
func (Text) expr()   {}
func (Range) expr()  {}
func (Times) expr()  {}
func (State) expr()  {}
func (Count) expr()  {}
func (IDs) expr()    {}
func (Inside) expr() {}
func (All) expr()    {}
func (Ask) expr()    {}
