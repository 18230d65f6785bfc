package collection

import (
	"bytes"
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

// LookupCollection returns the tenant's collection of that name, and whether
// there is one.
func LookupCollection(r Reader, t tenant.ID, name string) (Info, bool, error) {
	v, err := r.Get(BucketCatalog, tenantKey(rowName, t, name))
	if v == nil || err != nil {
		return Info{}, false, err
	}
	id, err := decodeNameRow(v)
	if err != nil {
		return Info{}, false, err
	}
	info, ok, err := GetCollectionByID(r, t, id)
	if err == nil && !ok {
		err = Errorf(DataLoss, "collection %d has a name and no descriptor", id)
	}
	return info, ok, err
}

func decodeNameRow(v []byte) (uint64, error) {
	if len(v) != 8 {
		return 0, corrupt("collection name", v)
	}
	return binary.LittleEndian.Uint64(v), nil
}

// GetCollectionByID returns a collection of the tenant by its id, and whether
// there is one. Another tenant's collection is not there.
func GetCollectionByID(r Reader, t tenant.ID, id uint64) (Info, bool, error) {
	v, err := r.Get(BucketCatalog, collectionKey(rowDescriptor, id))
	if v == nil || err != nil {
		return Info{}, false, err
	}
	d, err := decodeDescriptor(v)
	if err != nil || d.tenant != t {
		return Info{}, false, err
	}
	c, err := readCounters(r, id)
	if err != nil {
		return Info{}, false, err
	}
	return Info{ID: id, Name: d.name, Config: d.config, Points: c.points, Bytes: c.bytes, Changes: c.changes}, true, nil
}

// ListCollections returns the tenant's collections in the order of their names.
func ListCollections(r Reader, t tenant.ID) ([]Info, error) {
	names, err := listNames(r, t, -1)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(names))
	for _, name := range names {
		info, _, err := LookupCollection(r, t, name)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// listNames returns up to most names of the tenant's collections, all for -1.
func listNames(r Reader, t tenant.ID, most int) ([]string, error) {
	prefix := tenantKey(rowName, t, "")
	var names []string
	err := r.Scan(BucketCatalog, prefix, prefixEnd(prefix), func(key, _ []byte) bool {
		if len(names) == most {
			return false
		}
		names = append(names, string(key[len(prefix):]))
		return true
	})
	return names, err
}

// GetPoint returns a point's record and its version, and whether it is there.
func GetPoint(r Reader, collection uint64, id PointID) (rec Record, version uint64, ok bool, err error) {
	v, err := r.Get(BucketIDs, idKey(nil, collection, id))
	if v == nil || err != nil {
		return Record{}, 0, false, err
	}
	row, err := decodeIDRow(v)
	if err != nil {
		return Record{}, 0, false, err
	}
	rec, ok, err = GetPointByVersion(r, collection, row.version)
	if err == nil && !ok {
		err = Errorf(DataLoss, "point %s has an id and no record", id)
	}
	return rec, row.version, ok, err
}

// GetPointByVersion returns the record written as version, and whether it is
// still the live one of its point.
func GetPointByVersion(r Reader, collection, version uint64) (Record, bool, error) {
	v, err := r.Get(BucketPoints, pointKey(nil, collection, version))
	if v == nil || err != nil {
		return Record{}, false, err
	}
	rec, err := DecodeRecord(v)
	return rec, err == nil, err
}

// ScanPoints calls fn for the live points of versions >= from, in the order of
// their versions, until fn returns false. A record is valid only during the
// call.
func ScanPoints(r Reader, collection, from uint64, fn func(version uint64, rec Record) bool) error {
	var broken error
	first, end := pointKey(nil, collection, from), prefixEnd(pointKey(nil, collection, 0)[:8])
	err := r.Scan(BucketPoints, first, end, func(key, value []byte) bool {
		rec, err := DecodeRecord(value)
		if err != nil || len(key) != 16 {
			broken = corrupt("point", value)
			return false
		}
		return fn(binary.BigEndian.Uint64(key[8:]), rec)
	})
	if err == nil {
		err = broken
	}
	return err
}

// ScanIDs calls fn for the points with ids >= from, in the order of their ids,
// until fn returns false. A nil from begins at the first.
func ScanIDs(r Reader, collection uint64, from *PointID, fn func(id PointID, version uint64) bool) error {
	var broken error
	start := idKey(nil, collection, PointID{})
	end := prefixEnd(start)
	if from != nil {
		start = idKey(nil, collection, *from)
	}
	err := r.Scan(BucketIDs, start, end, func(key, value []byte) bool {
		id, rest, err := DecodeID(key[8:])
		row, rowErr := decodeIDRow(value)
		if err != nil || rowErr != nil || len(rest) > 0 {
			broken = corrupt("point id", value)
			return false
		}
		return fn(id, row.version)
	})
	if err == nil {
		err = broken
	}
	return err
}

// Usage returns the tenant's counters.
func Usage(r Reader, t tenant.ID) (TenantUsage, error) {
	v, err := r.Get(BucketCounters, tenantKey(rowTenant, t, ""))
	if v == nil || err != nil {
		return TenantUsage{}, err
	}
	d := decoder{b: v}
	u := TenantUsage{Points: d.u64(), Bytes: d.u64(), Collections: d.u64()}
	if len(d.b) == 1 {
		u.Gone = true
		d.bad = d.u8() != 1
	}
	if !d.done() {
		return TenantUsage{}, corrupt("counters of tenant", v)
	}
	return u, nil
}

// Trash is a deleted collection whose bytes are still there.
type Trash struct {
	Tenant     tenant.ID
	Collection uint64
}

// ListTrashMax is how many collections ListTrash returns at most.
const ListTrashMax = 1024

// ListTrash returns deleted collections that are to be purged: not all when
// there are many.
func ListTrash(r Reader) ([]Trash, error) {
	var list []Trash
	var broken error
	err := r.Scan(BucketCatalog, []byte{rowTrash}, []byte{rowTrash + 1}, func(key, value []byte) bool {
		if len(list) == ListTrashMax {
			return false
		}
		row, rowErr := decodeTrash(value)
		id, err := collectionOf(key)
		if err != nil || rowErr != nil {
			broken = corrupt("trash", value)
			return false
		}
		list = append(list, Trash{Tenant: row.tenant, Collection: id})
		return true
	})
	if err == nil {
		err = broken
	}
	return list, err
}

// trashRow says whose a deleted collection was, and where its purge goes on:
// so that a purge does not walk again over what it removed.
type trashRow struct {
	tenant tenant.ID
	bucket byte
	from   []byte
}

func (t trashRow) encode() []byte {
	return append(append(appendTenant([]byte{rowVersion}, t.tenant), t.bucket), t.from...)
}

func decodeTrash(b []byte) (trashRow, error) {
	d := decoder{b: b}
	version := d.u8()
	t := trashRow{tenant: tenant.ID(d.take(int(d.u8()))), bucket: d.u8(), from: bytes.Clone(d.rest())}
	if d.bad || version != rowVersion || (t.bucket != BucketPoints && t.bucket != BucketIDs) {
		return trashRow{}, corrupt("trash", b)
	}
	return t, nil
}

// Outbox returns the oldest records that the hub has to be told, up to most of
// them, and the sequence number of the last.
func Outbox(r Reader, most int) (records []Notice, last uint64, err error) {
	err = scanOutbox(r, func(sequence uint64, c Notice) bool {
		records, last = append(records, c), sequence
		return len(records) < most
	})
	return records, last, err
}
