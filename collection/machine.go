package collection

// Entry is one committed entry of a partition's log, as apply sees it.
type Entry struct {
	Index uint64
	Data  []byte
}

// EventKind says what an Event tells the index of an active collection. It is
// a number in memory only: it is never stored and never crosses the wire.
type EventKind uint8

// The kinds of events.
const (
	EventUpsert EventKind = iota + 1 // a point was written: ID, Version, Old, Record
	EventDelete                      // a point is gone: ID, Old
	EventDrop                        // the collection is gone
	EventConfig                      // its settings or declared fields are others
)

// Event is one change of one collection, in the order of apply. It belongs to
// whoever receives it, except Record, which nobody may change.
type Event struct {
	Collection uint64
	Kind       EventKind
	ID         PointID
	Version    uint64 // of the point written
	Old        uint64 // version replaced or deleted; 0 = none
	Record     []byte // the encoded point
}

// Outcome is what applying one entry gave: an answer for the proposer, or the
// error that refused the entry, and the events that follow from its changes.
// A refused entry has no events.
type Outcome struct {
	Answer any
	Err    error
	Events []Event
}

// StateMachine decides entries. Apply must be a function of what tx holds and
// of the entry: no clock, no randomness, no map order, nothing of this node,
// so that every replica decides alike. It keeps no state outside tx. A key that
// it puts into BucketPoints ends in a version above all that it put there for
// the same collection before.
//
// An Outcome with Err refuses the entry: every change made through tx is
// rolled back and the error is the answer. An error with the code DataLoss
// stops the partition.
type StateMachine interface {
	Apply(tx Txn, e Entry) Outcome
}
