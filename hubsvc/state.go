package hubsvc

import (
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/tenant"
)

// Bucket is the keyspace of the hub in the system group's store, the number of
// collection.BucketHub.
const Bucket byte = 8

// Reader, Txn and View have the shapes of the interfaces of the same names in
// package collection, where their contracts are.
type (
	// Reader is a consistent read view of the system group.
	Reader interface {
		Get(bucket byte, key []byte) ([]byte, error)
		Scan(bucket byte, from, to []byte, fn func(key, value []byte) bool) error
	}
	// Txn is what one entry is applied to.
	Txn interface {
		Reader
		Put(bucket byte, key, value []byte) error
		Delete(bucket byte, key []byte) error
	}
	// View is a Reader that must be closed.
	View interface {
		Reader
		AppliedIndex() uint64
		Close()
	}
)

// The keys of the bucket begin with a byte that says what is behind them. A
// value is a version byte and a msgpack map of the record's fields; that of
// the two indexes is bare.
//
//	0x01                          Cluster
//	0x02 plan name                tenant.Plan
//	0x03 tenant id                Tenant
//	0x04 key id                   Key
//	0x05 key hash (32)            -> key id, while the key is good
//	0x06 tenant id 0x00 key id    -> 0x01; tenant id "" for operator keys
//	0x07                          settings
//	0x08 number (4, big endian)   Member; the first is implied by the birth
//	0x09 SHA-256 of secret (32)   joinToken
//	0x0a group (8, big endian)    Placement; until it changes, implied by the birth
//	0x0b                          Authority
//	0x0c                          ledger
//	0x0d time (8) index (8) ordinal (2)            AuditEntry; big endian, as below
//	0x0e pool 0x00 time (8) index (8) ordinal (2)  -> 0x01; pool: see auditPoolOf
//	0x0f pool                                      auditPool
//	0x10 version (8)                               Event
//	0x11 service 0x00 nonce                        nonceRow
//	0x12 until (8) service 0x00 nonce              -> 0x01
//	0x13 tenant id 0x00 collection (8)             CollectionRecord
//	0x14 tenant id 0x00 index (8) collection (8)   -> 0x01; of the deleted ones
//	0x15 tenant id                                 collectionCount
//	0x16 tenant id                                 erasureRecord
//	0x17 index (8)                                 -> tenant id, of erasureRecords
//	0x18 tenant id                                 -> 0x01; purged, and rows left under 0x13 to 0x15, 0x1b to 0x1d
//	0x19 tenant id                                 EndpointRecord
//	0x1a tenant id                                        usageRow
//	0x1b tenant id 0x00 collection (8) reporter           usageRow
//	0x1c tenant id 0x00 index (8) collection (8) reporter -> 0x01; of the deleted ones
//	0x1d tenant id 0x00 days since 1970 (4)               usageRow
//	0x1e reporter 0x00 source                             usageSource
//	0x1f reporter 0x00 source 0x00 sequence (8)           -> 16 bytes of the report's SHA-256
//	0x20 reporter                                         usageReporter
const (
	tagCluster byte = iota + 1
	tagPlan
	tagTenant
	tagKey
	tagHash
	tagTenantKey
	tagSettings
	tagMember
	tagToken
	tagPlacement
	tagAuthority
	tagLedger
	tagAudit
	tagAuditOf
	tagAuditPool
	tagEvent
	tagNonce
	tagNonceUntil
	tagCollection
	tagCollectionGone
	tagCollectionCount
	tagErasure
	tagErasureOrder
	tagSweep
	tagEndpoint
	tagUsageTenant
	tagUsageCollection
	tagUsageGone
	tagUsageDay
	tagUsageSource
	tagUsageSeen
	tagUsageReporter

	recordVersion = 1
)

func recordKey[S ~string](tag byte, name S) []byte { return append([]byte{tag}, name...) }

func hashKey(h KeyHash) []byte { return append([]byte{tagHash}, h[:]...) }

func tenantKeyPrefix(t tenant.ID) []byte {
	return append(recordKey(tagTenantKey, t), 0)
}

func tenantKeyKey(t tenant.ID, k tenant.KeyID) []byte {
	return append(tenantKeyPrefix(t), k...)
}

func encodeRecord(record any) []byte {
	b, err := msgpack.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("BUG: encode hub record %T: %v", record, err)) // plain structs into memory
	}
	return append([]byte{recordVersion}, b...)
}

func decodeRecord[R any](value []byte) (R, error) {
	var r R
	if len(value) == 0 || value[0] != recordVersion {
		return r, errorf(CodeDataLoss, "hub record %T is not of version %d", r, recordVersion)
	}
	if err := msgpack.Unmarshal(value[1:], &r); err != nil {
		return r, &Error{Code: CodeDataLoss, Message: fmt.Sprintf("hub record %T", r), Err: err}
	}
	if old, ok := any(&r).(interface{ defaults() }); ok {
		old.defaults()
	}
	return r, nil
}

// get returns the record at key, and whether there is one.
func get[R any](r Reader, key []byte) (R, bool, error) {
	var none R
	value, err := r.Get(Bucket, key)
	if err != nil || value == nil {
		return none, false, err
	}
	rec, err := decodeRecord[R](value)
	return rec, err == nil, err
}

// list returns every record whose key begins with tag, in key order.
func list[R any](r Reader, tag byte) ([]R, error) {
	return listRange[R](r, []byte{tag}, []byte{tag + 1})
}

// listRange returns the records of [from, to), in key order.
func listRange[R any](r Reader, from, to []byte) ([]R, error) {
	var (
		records []R
		bad     error
	)
	err := r.Scan(Bucket, from, to, func(_, value []byte) bool {
		var rec R
		rec, bad = decodeRecord[R](value)
		records = append(records, rec)
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, err
	}
	return records, nil
}

// keyIDsOf returns the ids of t's keys, revoked ones too, in their order; the
// operator's for "".
func keyIDsOf(r Reader, t tenant.ID) ([]tenant.KeyID, error) {
	var ids []tenant.KeyID
	from := tenantKeyPrefix(t)
	to := append(recordKey(tagTenantKey, t), 1)
	err := r.Scan(Bucket, from, to, func(key, _ []byte) bool {
		ids = append(ids, tenant.KeyID(key[len(from):]))
		return true
	})
	return ids, err
}

// keysOf returns the records of the keys that keyIDsOf names.
func keysOf(r Reader, t tenant.ID) ([]Key, error) {
	ids, err := keyIDsOf(r, t)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, 0, len(ids))
	for _, id := range ids {
		k, ok, err := get[Key](r, recordKey(tagKey, id))
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, errorf(CodeDataLoss, "key %s of tenant %s has no record", id, t)
		}
		keys = append(keys, k)
	}
	return keys, nil
}
