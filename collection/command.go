package collection

import "github.com/hivehub/waggle/tenant"

// Command is one entry of a partition's log: an operation on behalf of a
// tenant, and everything that apply needs to decide it. Whatever depended on
// the proposing node (time, limits, normalised vectors, the ids that a filter
// selects) is in it as a value.
type Command struct {
	Tenant     tenant.ID     // "" only where no tenant is concerned: Purge, CheckDigest, OutboxDone, CutUsage, UsageDone
	Collection uint64        // the collection operated on; 0 where Op names it or there is none
	Basis      uint64        // Info.Changes when a filter selected Op's ids; 0: the caller named them
	Key        string        // idempotency key, "" for none; at most 255 bytes
	Hash       [32]byte      // hash of the request, when there is a Key
	Nonce      string        // of a signed request, "" for any other; at most 255 bytes
	Claim      uint64        // who uses the Nonce: the entries of one request share one, which is not 0
	Limits     tenant.Limits // what the tenant may use
	Time       int64         // the proposer's clock, Unix milliseconds
	Op         Op
}

// Op is what a Command does: one of the types below. The set is closed.
type Op interface {
	kind() opKind
}

// opKind is an Op's number in the log: append, never reorder.
type opKind byte

const (
	opCreateCollection opKind = iota + 1
	opDeleteCollection
	opUpsert
	opDeletePoints
	opSetPayload
	opOverwritePayload
	opDeletePayload
	opClearPayload
	opDropTenant
	opPurge
	opCheckDigest
	opOutboxDone
)

// The numbers of what came with named vectors.
const (
	opUpdateVectors opKind = iota + 32
	opDeleteVectors
	opUpdateAliases
	opUpdateCollection
	opPutPayloadIndex
	opDeletePayloadIndex
	opBatch
	opCutUsage
	opUsageDone
	opChangeTexts
	opIfMatch
)

// CreateCollection makes a collection. Config is valid and its CreatedAt is
// left to apply.
type CreateCollection struct {
	Name   string
	Config Config
}

// DeleteCollection takes a collection out of the catalog. Its points stop to
// exist and to count at once; their bytes go by Purge.
type DeleteCollection struct{ Name string }

// Upsert writes points. Each record replaces the point of its id.
type Upsert struct{ Records []Record }

// DeletePoints removes points.
type DeletePoints struct{ IDs []PointID }

// SetPayload merges an encoded payload into that of each point: at Path, or
// at its root when Path is "". A null removes its key.
type SetPayload struct {
	IDs     []PointID
	Payload []byte
	Path    string
}

// OverwritePayload replaces the payload of each point by an encoded one.
type OverwritePayload struct {
	IDs     []PointID
	Payload []byte
}

// DeletePayload removes the values at paths from the payload of each point.
type DeletePayload struct {
	IDs  []PointID
	Keys []string
}

// ClearPayload removes the payload of each point.
type ClearPayload struct{ IDs []PointID }

// DropTenant removes the tenant's collections, idempotency keys and nonces, and
// what the hub has not been told of it, at most Max (at least 1) of them. What
// it removed is counted, see Erased. It is proposed until the Answer says that nothing
// is left.
type DropTenant struct{ Max int }

// Purge removes up to Max (at least 1) rows of the deleted collection that the
// Command names. It is proposed until the Answer says that nothing is left.
type Purge struct{ Max int }

// CheckDigest changes nothing: it marks an index at which replicas compare
// their digests.
type CheckDigest struct{}

// OutboxDone removes what the outbox holds up to a sequence number, because
// the hub has it: at most outboxMost rows. What was removed before is no
// matter.
type OutboxDone struct{ Upto uint64 }

// UpdateVectors gives points that are there the vectors of the records in place
// of their own of the same refs; the others stay, and so do the payloads.
type UpdateVectors struct{ Records []Record }

// DeleteVectors removes vectors from points.
type DeleteVectors struct {
	IDs     []PointID
	Vectors []VectorRef
}

// UpdateAliases changes the tenant's aliases: all of the actions in their
// order, or none.
type UpdateAliases struct{ Actions []AliasAction }

// UpdateCollection changes settings of the collection that the Command names.
// Settings go over Config.Extra: what is an object on both sides is merged one
// level deep, and a null there changes nothing, except that in "metadata" it
// removes its key. "quantization_config" is replaced, and removed by "Disabled".
type UpdateCollection struct {
	Settings        map[string]any
	Vectors, Sparse []VectorPatch
}

// IfMatch performs Op, which changes or deletes the collection that the Command
// names, if its configuration is still the one of that tag.
type IfMatch struct {
	Tag Tag
	Op  Op
}

// Tag tells a configuration of a collection from its others, and from those of
// every other collection.
type Tag [16]byte

// PutPayloadIndex declares a field of the collection that the Command names, in
// place of what was declared of it before.
type PutPayloadIndex struct{ Index PayloadIndex }

// DeletePayloadIndex takes a declaration back. It may be gone before.
type DeletePayloadIndex struct{ Field string }

// Batch is operations on the points of the collection that the Command names,
// in their order, all of them or none. Each is a change with a number of its own.
type Batch struct{ Ops []Op }

// CutUsage freezes what the partition's collections have used since the last
// cut into a report that waits for the hub: at most usageEntriesMax
// collections, in the order of their ids. The answer's Affected is how many,
// its Operation the report's sequence number; Existed says that there are more.
// With usageReportsMax reports waiting it is refused (unavailable), and what
// was used goes on adding up.
type CutUsage struct{}

// UsageDone removes the reports up to a sequence number, because the hub has
// them. What was removed before is no matter.
type UsageDone struct{ Upto uint64 }

// ChangeTexts is a change of payloads, Op, that changes the points' texts, too:
// Texts, in the order of their numbers. Op is a SetPayload, an OverwritePayload,
// a DeletePayload or a ClearPayload.
type ChangeTexts struct {
	Op    Op
	Texts []TextChange
}

func (CreateCollection) kind() opKind   { return opCreateCollection }
func (DeleteCollection) kind() opKind   { return opDeleteCollection }
func (Upsert) kind() opKind             { return opUpsert }
func (DeletePoints) kind() opKind       { return opDeletePoints }
func (SetPayload) kind() opKind         { return opSetPayload }
func (OverwritePayload) kind() opKind   { return opOverwritePayload }
func (DeletePayload) kind() opKind      { return opDeletePayload }
func (ClearPayload) kind() opKind       { return opClearPayload }
func (DropTenant) kind() opKind         { return opDropTenant }
func (Purge) kind() opKind              { return opPurge }
func (CheckDigest) kind() opKind        { return opCheckDigest }
func (OutboxDone) kind() opKind         { return opOutboxDone }
func (UpdateVectors) kind() opKind      { return opUpdateVectors }
func (DeleteVectors) kind() opKind      { return opDeleteVectors }
func (UpdateAliases) kind() opKind      { return opUpdateAliases }
func (IfMatch) kind() opKind            { return opIfMatch }
func (UpdateCollection) kind() opKind   { return opUpdateCollection }
func (PutPayloadIndex) kind() opKind    { return opPutPayloadIndex }
func (DeletePayloadIndex) kind() opKind { return opDeletePayloadIndex }
func (Batch) kind() opKind              { return opBatch }
func (CutUsage) kind() opKind           { return opCutUsage }
func (UsageDone) kind() opKind          { return opUsageDone }
func (ChangeTexts) kind() opKind        { return opChangeTexts }
