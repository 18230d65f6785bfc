package collection

import (
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

// The rows of a partition. Numbers are big endian in keys, so that they order,
// and little endian in values; "tenant" is the length of its id in one byte
// and the id, so that no tenant's rows can lie among another's.
//
//	BucketCatalog
//	  01                       clock: version 1 (1), time (8), next collection id (8), next sweep (8)
//	  02, tenant, name         collection id (8)
//	  03, collection id (8)    descriptor: version 1 (1), tenant, name (4 + n), configuration
//	  04, collection id (8)    trash: version 1 (1), tenant, bucket (1), key to go on from
//	  05, sequence (8)         outbox: version 1 (1), tenant, name (4 + n), collection id (8),
//	                           created (8), deleted (8)
//	  06                       outbox: last sequence (8), number of rows (8); none before the first
//	  07, tenant, alias        collection id (8)
//	  08, collection id (8), field  declared field: version 1 (1), type (1), field (4 + n), settings (4 + n)
//	BucketCounters
//	  01, tenant               points (8), bytes (8), collections (8), 01 when the tenant is gone;
//	                           none when all are 0
//	  02, collection id (8)    points (8), bytes (8), changes (8), window; stores of old have no window
//	  03, tenant               of a tenant that is gone, what was erased: collections (8), points (8), bytes (8)
//	  04, collection id (8)    dirty: version 1 (1), tenant, and of a deleted collection its window
//	  05, sequence (8)         report: version 1 (1), start (8), end (8), number (4), entries
//	  06                       usage: version 1 (1), last sequence (8), reports (8), dirty windows (8),
//	                           end of the last report (8), first collection not looked at (8)
//	BucketIdempotency
//	  01, tenant, key          hash (32), time (8), operation (8), affected (4), collection (8), existed (1)
//	  02, time (8), tenant, key  01
//	  03, tenant, nonce        time (8), claim (8)
//	  04, time (8), tenant, nonce  01
//	BucketPoints
//	  collection id (8), version (8)  record; the live points only
//	BucketIDs
//	  collection id (8), point id     version (8), length of the record (4)
//
// BucketTombstones stays empty until there are index files that have to learn
// what was deleted since they were written.
const (
	rowClock      byte = 1
	rowName       byte = 2
	rowDescriptor byte = 3
	rowTrash      byte = 4
	rowOutbox     byte = 5
	rowOutboxSum  byte = 6
	rowAlias      byte = 7
	rowField      byte = 8

	rowTenant     byte = 1
	rowCollection byte = 2
	rowErased     byte = 3
	rowDirty      byte = 4
	rowReport     byte = 5
	rowUsageSum   byte = 6

	rowKey       byte = 1
	rowKeyTime   byte = 2
	rowNonce     byte = 3
	rowNonceTime byte = 4

	rowVersion = 1 // of every row that begins with a version
)

// tenantKey is a key of one tenant: its row's kind, the tenant, and the rest.
func tenantKey(row byte, t tenant.ID, rest string) []byte {
	key := make([]byte, 0, 2+len(t)+len(rest))
	return append(appendTenant(append(key, row), t), rest...)
}

// appendTenant appends the length of t and t. A longer id than a length can
// say would be another tenant's: the command codec refuses it.
func appendTenant(dst []byte, t tenant.ID) []byte {
	if len(t) > 255 {
		panic("BUG: tenant id of more than 255 bytes: " + t)
	}
	return append(append(dst, byte(len(t))), t...)
}

// collectionKey is a key of one collection outside the point buckets.
func collectionKey(row byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 9), row), id)
}

// collectionOf reads the collection's id from a collectionKey.
func collectionOf(key []byte) (uint64, error) {
	if len(key) != 9 {
		return 0, corrupt("key of a collection", key)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// tenantOf reads the tenant and the rest from a tenantKey.
func tenantOf(key []byte) (t tenant.ID, rest string, err error) {
	if len(key) < 2 || len(key) < 2+int(key[1]) {
		return "", "", corrupt("key of a tenant", key)
	}
	n := 2 + int(key[1])
	return tenant.ID(key[2:n]), string(key[n:]), nil
}

// pointKey is the key of a record.
func pointKey(dst []byte, collection, version uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, collection), version)
}

// idKey is the key of a point's id. The zero id gives the start of the collection.
func idKey(dst []byte, collection uint64, id PointID) []byte {
	return id.AppendKey(binary.BigEndian.AppendUint64(dst, collection))
}

// sweepKey is the key of an idempotency key, or a nonce, in its order of time:
// row is rowKeyTime or rowNonceTime.
func sweepKey(row byte, time int64, t tenant.ID, key string) []byte {
	k := binary.BigEndian.AppendUint64([]byte{row}, uint64(time))
	return append(appendTenant(k, t), key...)
}

// prefixEnd is the first key after all that begin with prefix; nil when there
// is none.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// slab hands out small slices of few allocations. They are given away to the
// store and never come back.
type slab struct{ free []byte }

// pointRows is how much the rows of one point take: its keys, its id's row and
// the key of what it replaces.
const pointRows = 72

// take returns an empty slice with room for n bytes.
func (s *slab) take(n int) []byte {
	if n > len(s.free) {
		s.free = make([]byte, max(n, 128))
	}
	piece := s.free[:0:n]
	s.free = s.free[n:]
	return piece
}

// clock is what a partition keeps besides its rows.
type clock struct {
	time  int64  // of the last entry: never goes back
	next  uint64 // id of the next collection
	sweep int64  // when the first idempotency key or nonce expires; 0: there is none
}

func readClock(r Reader) (clock, error) {
	v, err := r.Get(BucketCatalog, []byte{rowClock})
	if v == nil || err != nil {
		return clock{next: 1}, err
	}
	d := decoder{b: v}
	version := d.u8()
	c := clock{time: int64(d.u64()), next: d.u64(), sweep: int64(d.u64())}
	if version != rowVersion || !d.done() {
		return clock{}, corrupt("clock", v)
	}
	return c, nil
}

func (c clock) encode() []byte {
	v := append(make([]byte, 0, 25), rowVersion)
	v = binary.LittleEndian.AppendUint64(v, uint64(c.time))
	v = binary.LittleEndian.AppendUint64(v, c.next)
	return binary.LittleEndian.AppendUint64(v, uint64(c.sweep))
}

// counters are a collection's points, the length of their records, how many
// entries have changed it, and what is to be reported of it.
type counters struct {
	points, bytes, changes uint64

	use window
}

// counterRow is the length of encoded counters.
const counterRow = 24 + windowRow

func readCounters(r Reader, collection uint64) (counters, error) {
	v, err := r.Get(BucketCounters, collectionKey(rowCollection, collection))
	if err != nil {
		return counters{}, err
	}
	d := decoder{b: v}
	c := counters{points: d.u64(), bytes: d.u64(), changes: d.u64()}
	if len(d.b) > 0 {
		c.use = decodeWindow(&d)
	}
	if !d.done() {
		return counters{}, corrupt("counters of collection", v)
	}
	return c, nil
}

func (c counters) encode(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, c.points)
	dst = binary.LittleEndian.AppendUint64(dst, c.bytes)
	dst = binary.LittleEndian.AppendUint64(dst, c.changes)
	return c.use.encode(dst)
}

// TenantUsage is what a tenant has stored in a partition. What the limits are
// compared with.
type TenantUsage struct {
	Points      uint64
	Bytes       uint64 // length of all records
	Collections uint64
	Gone        bool // dropped: whatever of the tenant is still on its way is refused
}

func (u TenantUsage) encode() []byte {
	v := binary.LittleEndian.AppendUint64(make([]byte, 0, 25), u.Points)
	v = binary.LittleEndian.AppendUint64(v, u.Bytes)
	v = binary.LittleEndian.AppendUint64(v, u.Collections)
	if u.Gone {
		v = append(v, 1)
	}
	return v
}

// idRow is where a point id leads.
type idRow struct {
	version uint64
	length  uint64 // of the record
}

func (v idRow) encode(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, v.version)
	return binary.LittleEndian.AppendUint32(dst, uint32(v.length))
}

func decodeIDRow(b []byte) (idRow, error) {
	d := decoder{b: b}
	v := idRow{version: d.u64(), length: uint64(d.u32())}
	if !d.done() {
		return idRow{}, corrupt("point id", b)
	}
	return v, nil
}

// descriptor is a collection's row in the catalog.
type descriptor struct {
	tenant tenant.ID
	name   string
	config Config
}

func (c descriptor) encode() ([]byte, error) {
	v := appendBytes(appendTenant([]byte{rowVersion}, c.tenant), c.name)
	return appendConfig(v, c.config)
}

// descriptorTenant returns whose collection a descriptor describes, without
// decoding the rest.
func descriptorTenant(b []byte) ([]byte, error) {
	d := decoder{b: b}
	version := d.u8()
	t := d.take(int(d.u8()))
	if d.bad || version != rowVersion {
		return nil, corrupt("descriptor", b)
	}
	return t, nil
}

func decodeDescriptor(b []byte) (descriptor, error) {
	d := decoder{b: b}
	version := d.u8()
	c := descriptor{tenant: tenant.ID(d.take(int(d.u8()))), name: string(d.take(d.u32()))}
	rest := d.rest()
	if d.bad || version != rowVersion {
		return descriptor{}, corrupt("descriptor", b)
	}
	var err error
	c.config, err = decodeConfig(rest)
	return c, err
}

// corrupt is the error for a stored value that is none of ours although its
// checksum holds.
func corrupt(what string, b []byte) *Error {
	return Errorf(DataLoss, "%s: malformed row of %d bytes", what, len(b))
}
