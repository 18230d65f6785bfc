package collection

import (
	"bytes"

	"github.com/hivehub/waggle/tenant"
)

// Resolve returns the tenant's collection that a name or an alias stands for,
// and whether there is one. Info.Name is the collection's own name.
func Resolve(r Reader, t tenant.ID, name string) (Info, bool, error) {
	info, ok, err := LookupCollection(r, t, name)
	if ok || err != nil {
		return info, ok, err
	}
	v, err := r.Get(BucketCatalog, tenantKey(rowAlias, t, name))
	if v == nil || err != nil {
		return Info{}, false, err
	}
	id, err := decodeNameRow(v)
	if err != nil {
		return Info{}, false, err
	}
	info, ok, err = GetCollectionByID(r, t, id)
	if err == nil && !ok {
		err = Errorf(DataLoss, "an alias leads to collection %d, which is not there", id)
	}
	return info, ok, err
}

// ListAliases returns the tenant's aliases in the order of their names.
func ListAliases(r Reader, t tenant.ID) ([]Alias, error) {
	rows, err := listAliases(r, t)
	if err != nil {
		return nil, err
	}
	names := map[uint64]string{}
	list := make([]Alias, len(rows))
	for i, row := range rows {
		name, seen := names[row.collection]
		if !seen {
			info, ok, err := GetCollectionByID(r, t, row.collection)
			if err == nil && !ok {
				err = Errorf(DataLoss, "an alias leads to collection %d, which is not there", row.collection)
			}
			if err != nil {
				return nil, err
			}
			name = info.Name
			names[row.collection] = name
		}
		list[i] = Alias{Name: row.name, Collection: name}
	}
	return list, nil
}

// ListPayloadIndexes returns the declared fields of a collection in the order of their
// names.
func ListPayloadIndexes(r Reader, collection uint64) ([]PayloadIndex, error) {
	prefix := collectionKey(rowField, collection)
	var list []PayloadIndex
	var broken error
	err := r.Scan(BucketCatalog, prefix, prefixEnd(prefix), func(key, value []byte) bool {
		d := decoder{b: value}
		version := d.u8()
		x, err := decodePayloadIndex(&d)
		if err == nil && (!d.done() || version != rowVersion || !bytes.Equal(key[len(prefix):], []byte(x.Field))) {
			err = corrupt("declared field", value)
		}
		if broken = err; err != nil {
			return false
		}
		list = append(list, x)
		return true
	})
	if err == nil {
		err = broken
	}
	return list, err
}
