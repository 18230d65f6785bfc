package collection

// Query asks for points: those nearest to something, those that several other
// queries together prefer, or, if it says neither, those with the least ids. At
// most one of Nearest, Fusion and Recommend is set.
type Query struct {
	// Prefetch are queries whose hits are all that this one looks among, or
	// fuses. Their Offset, WithPayload and WithVector are not set.
	Prefetch []Query

	Nearest   *Input
	MMR       *MMR // of Nearest's hits, those that differ among each other
	Recommend *Recommend
	Fusion    *Fusion
	Using     string // the vector that is compared; "" is the default one
	// LookupFrom says where the points are whose ids Nearest and Recommend name;
	// nil: in the collection itself.
	LookupFrom *LookupFrom

	Filter         *Filter  // nil: every point
	ScoreThreshold *float32 // nil: none; see Distance.Passes. Of a fusion, the least score
	Params         SearchParams
	Limit          int
	Offset         int
	WithPayload    PayloadSelector
	WithVector     VectorSelector
}

// Input is a vector to compare with. Exactly one of its fields is set.
type Input struct {
	Dense  []float32
	Sparse *SparseVector
	ID     *PointID   // the stored point whose vector it is; left out of the answer
	Text   *string    // words
	Terms  *TextTerms // prepared words
}

// Fusion makes one list of hits of those of each prefetch.
type Fusion struct {
	Kind    FusionKind
	K       int       // of FusionRRF, at least 1
	Weights []float64 // nil, or one for each prefetch; FusionDBSF has none
}

// FusionKind is how lists of hits are fused.
type FusionKind uint8

// The kinds of fusion, see package index/fusion.
const (
	FusionRRF      FusionKind = iota + 1 // by ranks
	FusionDBSF                           // by scores, after making them alike
	FusionWeighted                       // by scores as they are, times their weights
	FusionAlpha                          // by scores between 0 and 1 of their list's least and best, times their weights
)

// MMR asks for hits that are near and unlike each other (maximal marginal
// relevance): the next one has the highest (1-Diversity)*score less
// Diversity*(similarity to the nearest of those before).
type MMR struct {
	Diversity  float32 // from 0 to 1
	Candidates int     // how many of the nearest to choose from; 0: Limit
}

// Recommend asks for points near to the average of Positive and away from that
// of Negative, see Average. Points that are named by id are left out of the
// answer.
type Recommend struct {
	Positive, Negative []Input
}

// LookupFrom names a vector of another collection.
type LookupFrom struct {
	Collection string
	Vector     *string // nil: that of the query's Using
}

// SearchParams says how to search.
type SearchParams struct {
	Ef           int  // width of a graph search; 0: the collection's
	Exact        bool // scan, whatever index there is
	IndexedOnly  bool // leave out what is not in the graph yet
	Quantization QuantizationParams
}

// QuantizationParams says how a search uses quantized vectors.
type QuantizationParams struct {
	Ignore       bool    // compare with the vectors themselves
	Rescore      *bool   // compare the best once more with the vectors themselves; nil: as is best
	Oversampling float64 // how many times Limit to compare once more; 0: as is best
}

// Hit is a point in the answer to a Query. Payload, Vector and Vectors are nil
// unless asked for.
type Hit struct {
	ID      PointID
	Version uint64 // Info.Changes as the change that wrote it left it << 16 | its ordinal there
	Score   float32
	Payload Payload
	Vector  []float32
	Vectors []NamedVector
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
	WithVector  VectorSelector
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

	Fields []FieldInfo // declared ones, ordered by name; nil unless asked for
}

// FieldInfo is a declared field, and how many points have a value there.
type FieldInfo struct {
	PayloadIndex
	Points uint64
}
