package hubsvc

import (
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

// The keys of the hub's tables.

func planKey(name string) []byte { return recordKey(tagPlan, name) }

func be64(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

func index64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

func appendAuditPosition(b []byte, e *AuditEntry) []byte {
	return binary.BigEndian.AppendUint16(be64(be64(b, uint64(e.Time)), e.Index), e.Ordinal)
}

func auditKey(e *AuditEntry) []byte { return appendAuditPosition([]byte{tagAudit}, e) }

func auditPoolPrefix(pool string) []byte { return append(recordKey(tagAuditOf, pool), 0) }

func auditPoolKey(pool string) []byte { return recordKey(tagAuditPool, pool) }

func eventKey(version uint64) []byte { return be64([]byte{tagEvent}, version) }

func nonceKey(service, nonce string) []byte {
	return append(append(recordKey(tagNonce, service), 0), nonce...)
}

func nonceUntilKey(until int64, service, nonce string) []byte {
	return append(be64([]byte{tagNonceUntil}, uint64(until)), nonceKey(service, nonce)[1:]...)
}

func collectionPrefix(tag byte, t tenant.ID) []byte { return append(recordKey(tag, t), 0) }

func collectionKey(t tenant.ID, id uint64) []byte {
	return be64(collectionPrefix(tagCollection, t), id)
}

func collectionGoneKey(t tenant.ID, index, id uint64) []byte {
	return be64(be64(collectionPrefix(tagCollectionGone, t), index), id)
}

// after is the first key behind all that begin with prefix, whose last byte
// is not 0xff.
func after(prefix []byte) []byte {
	to := append([]byte(nil), prefix...)
	to[len(to)-1]++
	return to
}

// firstKeys returns up to n keys that begin with prefix, in their order.
func firstKeys(r Reader, prefix []byte, n int) ([][]byte, error) {
	var keys [][]byte
	if n <= 0 {
		return nil, nil
	}
	err := r.Scan(Bucket, prefix, after(prefix), func(key, _ []byte) bool {
		keys = append(keys, append([]byte(nil), key...))
		return len(keys) < n
	})
	return keys, err
}

// ledgerOf returns the ledger; that of a state of old is made from the state.
func ledgerOf(r Reader) (ledger, error) {
	l, ok, err := get[ledger](r, []byte{tagLedger})
	if err != nil || ok {
		return l, err
	}
	tenants, err := list[Tenant](r, tagTenant)
	return ledger{Tenants: uint64(len(tenants)), EventFirst: 1}, err
}

func tenantOf(r Reader, id tenant.ID) (Tenant, error) {
	t, ok, err := get[Tenant](r, recordKey(tagTenant, id))
	if err == nil && !ok {
		err = errorf(CodeNotFound, "there is no tenant %s", id)
	}
	return t, err
}

func keyOf(r Reader, id tenant.KeyID) (Key, error) {
	k, ok, err := get[Key](r, recordKey(tagKey, id))
	if err == nil && !ok {
		err = errorf(CodeNotFound, "there is no key %s", id)
	}
	return k, err
}

func poolOf(r Reader, pool string) (auditPool, error) {
	p, _, err := get[auditPool](r, auditPoolKey(pool))
	return p, err
}

// collectionsOf returns the records of a tenant's collections, by id.
func collectionsOf(r Reader, t tenant.ID) ([]CollectionRecord, error) {
	from := collectionPrefix(tagCollection, t)
	return listRange[CollectionRecord](r, from, after(from))
}
