package collection

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/hivehub/waggle/tenant"
)

// Recount counts what the tenant has stored by reading all of it. It equals
// Usage at every applied index.
func Recount(r Reader, t tenant.ID) (TenantUsage, error) {
	infos, err := ListCollections(r, t)
	if err != nil {
		return TenantUsage{}, err
	}
	u := TenantUsage{Collections: uint64(len(infos))}
	for _, info := range infos {
		c, err := recount(r, info.ID)
		if err != nil {
			return TenantUsage{}, err
		}
		u.Points += c.points
		u.Bytes += c.bytes
	}
	return u, nil
}

// recount counts a collection's points, and fails when an id and a record do
// not belong to each other. Its changes are those that it can see.
func recount(r Reader, collection uint64) (counters, error) {
	var ids, records counters
	var newest uint64
	var broken, failed error
	err := ScanIDs(r, collection, nil, func(id PointID, version uint64) bool {
		rec, ok, err := GetPointByVersion(r, collection, version)
		if failed = err; failed == nil && (!ok || rec.id != id) {
			failed = Errorf(DataLoss, "collection %d: id %s leads to no record of its own", collection, id)
		}
		ids.points++
		ids.bytes += uint64(len(rec.raw))
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return counters{}, err
	}
	err = ScanPoints(r, collection, 0, func(version uint64, rec Record) bool {
		newest = version >> 16
		records.points++
		records.bytes += uint64(len(rec.raw))
		return true
	})
	if err == nil && ids != records {
		broken = Errorf(DataLoss, "collection %d: ids count %v, records %v", collection, ids, records)
	}
	if err == nil {
		err = broken
	}
	records.changes = newest
	return records, err
}

// Verify reads a whole partition and returns the first thing that contradicts
// another: a counter that is no recount, a name without a collection, points
// of no collection, an idempotency key outside the order of time. It is for
// tests and repairs: it takes as long as reading everything.
func Verify(r Reader) error {
	v := verifier{r: r, tenants: map[tenant.ID]TenantUsage{}, known: map[uint64]bool{}}
	for _, step := range []func() error{
		v.collections, v.names, v.tenantCounters, v.collectionCounters, v.strays, v.aliases, v.fields, v.idempotency, v.outbox,
		v.usage,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type verifier struct {
	r       Reader
	tenants map[tenant.ID]TenantUsage // as recounted
	known   map[uint64]bool           // collections; true: live, false: in the trash
}

// rows reads the rows of one kind.
func (v *verifier) rows(bucket, row byte) (keys, values [][]byte, err error) {
	err = v.r.Scan(bucket, []byte{row}, []byte{row + 1}, func(key, value []byte) bool {
		keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
		return true
	})
	return keys, values, err
}

func (v *verifier) collections() error {
	keys, values, err := v.rows(BucketCatalog, rowDescriptor)
	if err != nil {
		return err
	}
	for i, key := range keys {
		id, err := collectionOf(key)
		if err != nil {
			return err
		}
		d, err := decodeDescriptor(values[i])
		if err != nil {
			return err
		}
		info, ok, err := LookupCollection(v.r, d.tenant, d.name)
		if err != nil {
			return err
		}
		count, err := recount(v.r, id)
		if err != nil {
			return err
		}
		if !ok || info.ID != id || info.Points != count.points || info.Bytes != count.bytes || info.Changes < count.changes {
			return Errorf(DataLoss, "collection %d: catalog says %+v, the points are %+v", id, info, count)
		}
		v.known[id] = true
		u := v.tenants[d.tenant]
		u.Collections++
		u.Points += count.points
		u.Bytes += count.bytes
		v.tenants[d.tenant] = u
	}
	trash, _, err := v.rows(BucketCatalog, rowTrash)
	for _, key := range trash {
		id, err := collectionOf(key)
		if err != nil {
			return err
		}
		if v.known[id] {
			return Errorf(DataLoss, "collection %d is live and in the trash", id)
		}
		v.known[id] = false
	}
	return err
}

// names checks that there are as many names as collections; that each
// collection has its name is known.
func (v *verifier) names() error {
	keys, _, err := v.rows(BucketCatalog, rowName)
	live := 0
	for _, alive := range v.known {
		if alive {
			live++
		}
	}
	if err == nil && len(keys) != live {
		err = Errorf(DataLoss, "%d names for %d collections", len(keys), live)
	}
	return err
}

func (v *verifier) tenantCounters() error {
	keys, _, err := v.rows(BucketCounters, rowTenant)
	if err != nil {
		return err
	}
	counted := len(keys)
	for _, key := range keys {
		t, _, err := tenantOf(key)
		if err != nil {
			return err
		}
		u, err := Usage(v.r, t)
		if err != nil {
			return err
		}
		want := v.tenants[t]
		if want.Gone = u.Gone; u != want {
			return Errorf(DataLoss, "tenant %s: counters %+v, recount %+v", t, u, want)
		}
		if u == (TenantUsage{Gone: true}) {
			counted--
		}
	}
	if counted != len(v.tenants) {
		return Errorf(DataLoss, "%d tenants have counters, %d have collections", counted, len(v.tenants))
	}
	return nil
}

func (v *verifier) collectionCounters() error {
	keys, _, err := v.rows(BucketCounters, rowCollection)
	for _, key := range keys {
		id, err := collectionOf(key)
		if err != nil {
			return err
		}
		if !v.known[id] {
			return Errorf(DataLoss, "counters of collection %d, which is not there", id)
		}
	}
	return err
}

// aliases checks that each leads to a collection of its tenant, and has no
// collection's name.
func (v *verifier) aliases() error {
	keys, values, err := v.rows(BucketCatalog, rowAlias)
	if err != nil {
		return err
	}
	for i, key := range keys {
		t, name, err := tenantOf(key)
		if err != nil {
			return err
		}
		id, err := decodeNameRow(values[i])
		if err != nil {
			return err
		}
		_, ok, err := GetCollectionByID(v.r, t, id)
		if err != nil {
			return err
		}
		_, taken, err := LookupCollection(v.r, t, name)
		if err != nil {
			return err
		}
		if !ok || taken {
			return Errorf(DataLoss, "alias %q leads to collection %d (there: %v), a collection has its name: %v", name, id, ok, taken)
		}
	}
	return nil
}

// fields checks that each declared field is of a live collection.
func (v *verifier) fields() error {
	keys, _, err := v.rows(BucketCatalog, rowField)
	for _, key := range keys {
		if len(key) < 9 {
			return corrupt("declared field", key)
		}
		if id := binary.BigEndian.Uint64(key[1:]); !v.known[id] {
			return Errorf(DataLoss, "a declared field of collection %d, which is not there", id)
		}
	}
	for id, live := range v.known {
		if err == nil && live {
			_, err = ListPayloadIndexes(v.r, id)
		}
	}
	return err
}

// strays looks for points of collections that neither are nor were.
func (v *verifier) strays() error {
	for _, bucket := range []byte{BucketPoints, BucketIDs} {
		var stray error
		err := v.r.Scan(bucket, nil, nil, func(key, _ []byte) bool {
			if len(key) < 8 {
				stray = corrupt("key of a point", key)
			} else if id := binary.BigEndian.Uint64(key); !v.has(id) {
				stray = Errorf(DataLoss, "a point of collection %d, which is not there", id)
			}
			return stray == nil
		})
		if err == nil {
			err = stray
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) has(id uint64) bool {
	_, ok := v.known[id]
	return ok
}

// idempotency checks the keys and the nonces: each is in its order of time,
// nothing else is, and the clock knows when the first one expires, or earlier.
func (v *verifier) idempotency() error {
	keys, first, err := v.aged(rowKey, idempotencyMs, func(b []byte) (int64, error) {
		q, err := decodeRequest(b)
		return q.time, err
	})
	if err != nil {
		return err
	}
	nonces, firstNonce, err := v.aged(rowNonce, nonceMs, func(b []byte) (int64, error) {
		n, err := decodeNonce(b)
		return n.time, err
	})
	if err != nil {
		return err
	}
	clock, err := readClock(v.r)
	if err != nil {
		return err
	}
	if keys+nonces > 0 && (clock.sweep == 0 || clock.sweep > min(first, firstNonce)) {
		return Errorf(DataLoss, "%d idempotency keys and %d nonces, next sweep %d, the first expires at %d",
			keys, nonces, clock.sweep, min(first, firstNonce))
	}
	return nil
}

// aged checks one kind of rows that expire, and returns how many there are and
// when the first one does.
func (v *verifier) aged(row byte, lifeMs int64, timeOf func([]byte) (int64, error)) (n int, first int64, err error) {
	first = math.MaxInt64
	keys, values, err := v.rows(BucketIdempotency, row)
	if err != nil {
		return 0, 0, err
	}
	order, _, err := v.rows(BucketIdempotency, row+1)
	if err != nil {
		return 0, 0, err
	}
	for i, key := range keys {
		at, err := timeOf(values[i])
		if err != nil {
			return 0, 0, err
		}
		t, name, err := tenantOf(key)
		if err != nil {
			return 0, 0, err
		}
		k, err := v.r.Get(BucketIdempotency, sweepKey(row+1, at, t, name))
		if err != nil {
			return 0, 0, err
		}
		if k == nil {
			return 0, 0, Errorf(DataLoss, "%q of kind %d is not in the order of time", name, row)
		}
		first = min(first, at+lifeMs)
	}
	if len(keys) != len(order) {
		return 0, 0, Errorf(DataLoss, "%d rows of kind %d, %d in the order of time", len(keys), row, len(order))
	}
	return len(keys), first, nil
}

// outbox checks that the outbox's rows are as many as are counted, under
// numbers that were given out.
func (v *verifier) outbox() error {
	sum, err := readOutboxSum(v.r)
	if err != nil {
		return err
	}
	rows, last := uint64(0), uint64(0)
	err = scanOutbox(v.r, func(sequence uint64, _ Notice) bool {
		rows, last = rows+1, sequence
		return true
	})
	if err == nil && (rows != sum.rows || last > sum.last) {
		err = Errorf(DataLoss, "outbox of %d rows up to %d, counted %d up to %d", rows, last, sum.rows, sum.last)
	}
	return err
}
