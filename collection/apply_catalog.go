package collection

import (
	"bytes"
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

func (a *applier) createCollection(op CreateCollection) (Answer, error) {
	nameKey := tenantKey(rowName, a.cmd.Tenant, op.Name)
	v, err := a.tx.Get(BucketCatalog, nameKey)
	if err != nil {
		return Answer{}, err
	}
	if v != nil {
		return Answer{}, Errorf(AlreadyExists, "Collection `%s` already exists!", op.Name)
	}
	if v, err = a.tx.Get(BucketCatalog, tenantKey(rowAlias, a.cmd.Tenant, op.Name)); err != nil {
		return Answer{}, err
	}
	if v != nil {
		return Answer{}, Errorf(InvalidArgument, "Can't create collection with name %s. Alias with the same name already exists", op.Name)
	}
	id := a.clock.next
	a.clock.next++
	a.usage.Collections++
	op.Config.CreatedAt = a.clock.time
	row, err := descriptor{tenant: a.cmd.Tenant, name: op.Name, config: op.Config}.encode()
	if err != nil {
		return Answer{}, err
	}
	if err := a.tx.Put(BucketCatalog, nameKey, binary.LittleEndian.AppendUint64(nil, id)); err != nil {
		return Answer{}, err
	}
	if err := a.tx.Put(BucketCatalog, collectionKey(rowDescriptor, id), row); err != nil {
		return Answer{}, err
	}
	none := newCounters(a.clock.time)
	if err := a.markDirty(id, &none); err != nil {
		return Answer{}, err
	}
	if err := a.tx.Put(BucketCounters, collectionKey(rowCollection, id), none.encode(nil)); err != nil {
		return Answer{}, err
	}
	record := Notice{Tenant: a.cmd.Tenant, Collection: id, Name: op.Name, Created: a.clock.time}
	return Answer{Collection: id}, a.tell(record)
}

func (a *applier) deleteCollection(op DeleteCollection) (Answer, error) {
	info, existed, err := LookupCollection(a.tx, a.cmd.Tenant, op.Name)
	if err != nil || !existed {
		return Answer{}, err
	}
	if err := a.dropCollection(info); err != nil {
		return Answer{}, err
	}
	return Answer{Collection: info.ID, Existed: true}, a.tell(Notice{
		Tenant: a.cmd.Tenant, Collection: info.ID, Name: op.Name, Created: info.Config.CreatedAt, Deleted: max(a.clock.time, 1), // 0 means there
	})
}

// dropCollection takes a collection and its counters away at once, and leaves
// its points to Purge.
func (a *applier) dropCollection(info Info) error {
	a.usage.Collections--
	a.usage.Points -= info.Points
	a.usage.Bytes -= info.Bytes
	if err := a.tx.Delete(BucketCatalog, tenantKey(rowName, a.cmd.Tenant, info.Name)); err != nil {
		return err
	}
	if err := a.tx.Delete(BucketCatalog, collectionKey(rowDescriptor, info.ID)); err != nil {
		return err
	}
	if err := a.lastWindow(info.ID); err != nil {
		return err
	}
	if err := a.tx.Delete(BucketCounters, collectionKey(rowCollection, info.ID)); err != nil {
		return err
	}
	if err := a.dropAliases(info.ID); err != nil {
		return err
	}
	if err := a.dropFields(info.ID); err != nil {
		return err
	}
	a.events = append(a.events, Event{Collection: info.ID, Kind: EventDrop})
	if info.Points == 0 {
		return nil
	}
	trash := trashRow{tenant: a.cmd.Tenant, bucket: BucketPoints, from: pointKey(nil, info.ID, 0)}
	return a.tx.Put(BucketCatalog, collectionKey(rowTrash, info.ID), trash.encode())
}

// dropTenant removes some of what the tenant has: collections first, which are
// counted, then what waits for the hub, idempotency keys and nonces. What was
// validated before the tenant was deleted and comes after this entry is
// refused, so that nothing of the tenant appears again. The hub is not told of
// the collections: it forgets them with the tenant.
func (a *applier) dropTenant(op DropTenant) (Answer, error) {
	before := a.usage
	names, err := listNames(a.tx, a.cmd.Tenant, op.Max)
	if err != nil {
		return Answer{}, err
	}
	for _, name := range names {
		info, _, err := LookupCollection(a.tx, a.cmd.Tenant, name)
		if err == nil {
			err = a.dropCollection(info)
		}
		if err != nil {
			return Answer{}, err
		}
	}
	if err := a.countErased(before); err != nil {
		return Answer{}, err
	}
	removed := len(names)
	waiting, err := a.outboxOf(a.cmd.Tenant, op.Max-removed)
	if err == nil {
		err = a.takeOut(waiting)
	}
	if err != nil {
		return Answer{}, err
	}
	removed += len(waiting)
	for _, list := range [...]func(tenant.ID, int) ([]agedKey, error){a.keysOf, a.noncesOf} {
		keys, err := list(a.cmd.Tenant, op.Max-removed)
		if err != nil {
			return Answer{}, err
		}
		for _, k := range keys {
			if err := a.forget(k); err != nil {
				return Answer{}, err
			}
		}
		removed += len(keys)
	}
	a.usage.Gone = true
	return Answer{Affected: removed, Existed: removed == op.Max}, nil
}

// purge removes the next rows of a deleted collection: its records, then its
// ids. A collection that is not in the trash has nothing to remove.
func (a *applier) purge(op Purge) (Answer, error) {
	answer := Answer{Collection: a.cmd.Collection}
	trashKey := collectionKey(rowTrash, a.cmd.Collection)
	v, err := a.tx.Get(BucketCatalog, trashKey)
	if v == nil || err != nil {
		return answer, err
	}
	trash, err := decodeTrash(v)
	if err != nil {
		return answer, err
	}
	keys, err := a.keysFrom(trash.bucket, trash.from, op.Max)
	if err != nil {
		return answer, err
	}
	for _, key := range keys {
		if err := a.tx.Delete(trash.bucket, key); err != nil {
			return answer, err
		}
	}
	answer.Affected = len(keys)
	switch {
	case len(keys) == op.Max:
		trash.from = keys[len(keys)-1]
	case trash.bucket == BucketPoints:
		trash.bucket, trash.from = BucketIDs, idKey(nil, a.cmd.Collection, PointID{})
	default:
		return answer, a.tx.Delete(BucketCatalog, trashKey)
	}
	answer.Existed = true
	return answer, a.tx.Put(BucketCatalog, trashKey, trash.encode())
}

// keysFrom returns up to most keys of the command's collection, from a key on.
func (a *applier) keysFrom(bucket byte, from []byte, most int) ([][]byte, error) {
	end := prefixEnd(binary.BigEndian.AppendUint64(nil, a.cmd.Collection))
	var keys [][]byte
	err := a.tx.Scan(bucket, from, end, func(key, _ []byte) bool {
		keys = append(keys, bytes.Clone(key))
		return len(keys) < most
	})
	return keys, err
}
