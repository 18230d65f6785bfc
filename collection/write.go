package collection

// Write is one change to the points of a collection, as a caller asks for it.
// Exactly one field is set.
type Write struct {
	Upsert           []Point // each replaces the whole point; of equal ids the last one stays
	UpdateVectors    []Point // each replaces the vectors that it has, of a point that is there; without payloads
	DeleteVectors    *VectorsChange
	Delete           *Selection
	SetPayload       *PayloadChange // merges into the payload
	OverwritePayload *PayloadChange // replaces the payload
	DeletePayload    *KeysChange
	ClearPayload     *Selection
	// Batch is writes in their order, all of them or none. Their selections are
	// by ids, and none is a batch.
	Batch []Write
}

// Selection names points by their ids or by a filter: exactly one is set. Ids
// that are not there are passed over.
type Selection struct {
	IDs    []PointID
	Filter *Filter
}

// PayloadChange is a payload for the selected points. Path, when not "", is
// where in their payload it goes.
type PayloadChange struct {
	Selection
	Payload Payload
	Path    string
}

// KeysChange is a list of payload paths to remove from the selected points.
type KeysChange struct {
	Selection
	Keys []string
}

// VectorsChange is a list of names of vectors to remove from the selected points.
type VectorsChange struct {
	Selection
	Names []string
}

// WriteOptions says how a Write is answered and how its repetition is known.
type WriteOptions struct {
	Wait bool // answer when applied; otherwise when the leader accepted it
	// IdempotencyKey, when not "", lets the write take effect at most once in
	// 24 hours. RequestHash tells a repetition from another request under the
	// same key.
	IdempotencyKey string
	RequestHash    [32]byte
}

// ChangeOptions are of a change of a collection as a whole. See WriteOptions for
// the first two.
type ChangeOptions struct {
	IdempotencyKey string
	RequestHash    [32]byte
	Match          *Tag // only if this is its configuration's; nil: whatever it is
}

// Answer is what apply answers to an entry.
type Answer struct {
	Operation  uint64 // number of the change in its collection, from 1; 0 for what changes no points
	Affected   int    // points (or, for a purge, rows) that the entry wrote or removed
	Collection uint64 // id of the collection that was created, deleted or written
	Existed    bool   // DeleteCollection: it was there. Purge, DropTenant: there is more to remove
	// Moved are points that a filter selected and that were written since: they
	// were left as they are. Never of a write with an idempotency key, which is
	// Aborted instead.
	Moved []PointID
}
