package tenant

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// Usage counts what was done in one collection of a tenant, or, with the
// collection 0, by the tenant outside of any. All counters only ever grow
// within a period; net values are derived from them.
type Usage struct {
	VectorsInserted    uint64 `json:"vectors_inserted" msgpack:"vi,omitempty"` // points that were not there before
	VectorsDeleted     uint64 `json:"vectors_deleted" msgpack:"vd,omitempty"`
	StorageAdded       uint64 `json:"storage_added" msgpack:"sa,omitempty"` // bytes of stored records
	StorageFreed       uint64 `json:"storage_freed" msgpack:"sf,omitempty"`
	CollectionsCreated uint64 `json:"collections_created" msgpack:"cc,omitempty"`
	CollectionsDeleted uint64 `json:"collections_deleted" msgpack:"cd,omitempty"`
	ByteSeconds        uint64 `json:"byte_seconds" msgpack:"bs,omitempty"` // stored bytes over time

	APIRequests    uint64 `json:"api_requests" msgpack:"ar,omitempty"`
	SearchCount    uint64 `json:"search_count" msgpack:"sc,omitempty"`
	VectorsScanned uint64 `json:"vectors_scanned" msgpack:"vs,omitempty"`
	BytesRead      uint64 `json:"bytes_read" msgpack:"br,omitempty"`
}

// UsageEntry is what one collection adds to a report.
type UsageEntry struct {
	Tenant     ID     `json:"tenant_id" msgpack:"tn"`
	Collection uint64 `json:"collection_id,string" msgpack:"c"` // 0: the tenant's own
	Usage
	// The levels at the end of the period, of write-side reports only.
	VectorCount  uint64 `json:"vector_count" msgpack:"nv,omitempty"`
	StorageBytes uint64 `json:"storage_bytes" msgpack:"nb,omitempty"`
}

// UsageReport is what one source counted in one period. It is decided once: the
// same ReportID always stands for the same report, however often it is sent.
type UsageReport struct {
	ReportID string       `json:"report_id" msgpack:"id"` // of the cluster, Source and Sequence
	Source   string       `json:"source" msgpack:"s"`     // "p:" and a partition, or "n:" and a node's id
	Sequence uint64       `json:"sequence" msgpack:"q"`   // 1, 2, 3 of one source
	Start    int64        `json:"period_start" msgpack:"b"`
	End      int64        `json:"period_end" msgpack:"e"` // Unix milliseconds
	Entries  []UsageEntry `json:"entries" msgpack:"r"`
}

// PartitionSource is the Source of what a partition counts.
func PartitionSource(partition uint64) string { return "p:" + strconv.FormatUint(partition, 10) }

// ReportID is the id of a source's report: the first half of a SHA-256 in hex.
func ReportID(cluster, source string, sequence uint64) string {
	sum := sha256.Sum256([]byte(cluster + "/" + source + "/" + strconv.FormatUint(sequence, 10)))
	return hex.EncodeToString(sum[:16])
}
