package hubsvc

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/hivehub/waggle/tenant"
)

const dayMs = 24 * 3600 * 1000

// usageRow sums what was reported of a tenant, of one of its collections, or of
// a tenant on one day. Usage.ByteSeconds stays 0: see Held.
type usageRow struct {
	Usage  tenant.Usage `msgpack:"u"`
	Points uint64       `msgpack:"p,omitempty"` // the level, as reported last
	Bytes  uint64       `msgpack:"b,omitempty"`
	At     int64        `msgpack:"t,omitempty"` // when that was, unix ms
	Held   span         `msgpack:"h"`           // bytes over time until At

	Collections uint64 `msgpack:"c,omitempty"` // of a tenant: how many rows its collections have
	Gone        uint64 `msgpack:"g,omitempty"` // of a tenant: how many of these are of deleted ones
	Deleted     bool   `msgpack:"d,omitempty"` // of a collection
	Asked       int64  `msgpack:"a,omitempty"` // of a tenant: end of the last report with requests
	Before      uint64 `msgpack:"o,omitempty"` // of a day: the bytes that were there when it began
}

// usageSource is how far the reports of one source were counted.
type usageSource struct {
	Last    uint64 `msgpack:"l"`
	At      int64  `msgpack:"t,omitempty"` // when that one came, unix ms of the log
	Gaps    uint64 `msgpack:"g,omitempty"` // how often reports were missing
	Missing uint64 `msgpack:"m,omitempty"` // and how many in all
	Told    int64  `msgpack:"a,omitempty"` // when the audit log had a row of that
}

// usageReporter is whoever has sources.
type usageReporter struct {
	Sources uint64 `msgpack:"s"`
}

func usageCollectionKey(t tenant.ID, id uint64, reporter string) []byte {
	return append(be64(collectionPrefix(tagUsageCollection, t), id), reporter...)
}

func usageDayKey(t tenant.ID, day uint32) []byte {
	return binary.BigEndian.AppendUint32(collectionPrefix(tagUsageDay, t), day)
}

func usageSourceKey(tag byte, reporter, source string) []byte {
	return append(append(recordKey(tag, reporter), 0), source...)
}

func usageSeenKey(reporter, source string, sequence uint64) []byte {
	return be64(append(usageSourceKey(tagUsageSeen, reporter, source), 0), sequence)
}

func dayOf(ms int64) uint32 { return uint32(ms / dayMs) }

// addUsage adds b to a; a counter that is full stays so.
func addUsage(a *tenant.Usage, b *tenant.Usage) {
	for _, c := range [...]struct {
		sum *uint64
		n   uint64
	}{
		{&a.VectorsInserted, b.VectorsInserted},
		{&a.VectorsDeleted, b.VectorsDeleted},
		{&a.StorageAdded, b.StorageAdded},
		{&a.StorageFreed, b.StorageFreed},
		{&a.CollectionsCreated, b.CollectionsCreated},
		{&a.CollectionsDeleted, b.CollectionsDeleted},
		{&a.APIRequests, b.APIRequests},
		{&a.SearchCount, b.SearchCount},
		{&a.VectorsScanned, b.VectorsScanned},
		{&a.BytesRead, b.BytesRead},
	} {
		*c.sum = addCapped(*c.sum, c.n)
	}
}

// subFloored is a - b, or nothing.
func subFloored(a, b uint64) uint64 { return a - min(a, b) }

// addCapped is a + b, or the most that can be said.
func addCapped(a, b uint64) uint64 {
	sum, over := bits.Add64(a, b, 0)
	if over != 0 {
		return math.MaxUint64
	}
	return sum
}
