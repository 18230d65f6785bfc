package collection

// Query asks for the points nearest to a vector. Exactly one of Vector and ID
// is set.
type Query struct {
	Vector         []float32
	ID             *PointID // the stored point whose vector is the query; left out of the answer
	Filter         *Filter  // nil: every point
	Limit          int
	Offset         int
	ScoreThreshold *float32 // nil: none; a lower bound, for Euclid and Manhattan an upper one
	WithPayload    PayloadSelector
	WithVector     bool
	Ef             int  // width of a graph search; 0: the collection's
	Exact          bool // scan, whatever index there is
}

// Hit is a point in the answer to a Query. Payload and Vector are nil unless
// asked for.
type Hit struct {
	ID      PointID
	Version uint64 // Info.Changes as the change that wrote it left it << 16 | its ordinal there
	Score   float32
	Payload Payload
	Vector  []float32
}

// PayloadSelector says which part of a payload is wanted. The zero value is
// none of it. Include and Exclude are paths; at most one of All, Include and
// Exclude is set.
type PayloadSelector struct {
	All     bool
	Include []string
	Exclude []string
}

// ScrollRequest asks for points in the order of their ids.
type ScrollRequest struct {
	Offset      *PointID // the first id that may be in the page; nil: from the start
	Limit       int
	Filter      *Filter
	WithPayload PayloadSelector
	WithVector  bool
}

// Page is the answer to a ScrollRequest. Next is the id of the next page's
// first point, nil at the end.
type Page struct {
	Points []Point
	Next   *PointID
}

// Info describes a collection and what is in it.
type Info struct {
	ID     uint64 // never used again
	Name   string
	Config Config
	Points uint64
	Bytes  uint64 // length of all records
	// Changes is how many entries have changed the points. It is the upper part
	// of the version of each point, see Hit.
	Changes uint64

	// What the grain of an active collection adds; not in the catalog.
	Indexed  uint64 // vectors in the graph
	Building bool   // more are on their way into it
}
