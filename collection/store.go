package collection

// The keyspaces of a partition store. A bucket is one byte so that packages
// that do not know each other can share a store by the shape of its methods.
const (
	BucketMeta        byte = iota + 1 // store's own: applied index, term, conf state, digest (not in the digest)
	BucketCatalog                     // names, aliases, descriptors
	BucketCounters                    // per tenant and per collection
	BucketIdempotency                 // idempotency table and its time order
	BucketPoints                      // collection id, version -> point record
	BucketIDs                         // collection id, point id -> version, record bytes
	BucketTombstones                  // collection id, version -> point id
	BucketHub                         // the embedded hub; system group only
	BucketEnd                         // one past the last bucket
)

// Reader is a consistent read view of one partition at one applied index.
type Reader interface {
	// Get returns the value of key, or nil when it is absent. The slice must
	// not be changed and is valid until the view is closed. The error is
	// data_loss when the stored value fails its checksum, and final.
	Get(bucket byte, key []byte) ([]byte, error)
	// Scan calls fn for every key in [from, to) in ascending byte order until
	// fn returns false; a nil to means the end of the bucket. The slices are
	// valid only during the call of fn.
	Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error
}

// Txn is what one log entry is applied to: it reads its own writes, and all
// of its changes are kept or, when apply refuses the entry, none. Put and
// Delete copy neither key nor value: the caller gives them away. Values
// must not be empty.
type Txn interface {
	Reader
	Put(bucket byte, key, value []byte) error
	Delete(bucket byte, key []byte) error
}

// View is a Reader that must be closed.
type View interface {
	Reader
	// AppliedIndex is the log index of the last entry the view contains.
	AppliedIndex() uint64
	Close()
}
