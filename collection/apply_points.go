package collection

import "bytes"

// target is the collection that an entry writes to, with its counters as the
// entry found it and as it leaves it.
type target struct {
	id            uint64
	before, after counters
}

// open finds the collection that the command names. One that was deleted, or
// is another tenant's, is not found.
func (a *applier) open() (target, error) {
	v, err := a.tx.Get(BucketCatalog, collectionKey(rowDescriptor, a.cmd.Collection))
	if err != nil {
		return target{}, err
	}
	if v != nil {
		owner, err := descriptorTenant(v)
		if err != nil {
			return target{}, err
		}
		if !bytes.Equal(owner, []byte(a.cmd.Tenant)) {
			v = nil
		}
	}
	if v == nil {
		return target{}, Errorf(NotFound, "collection %d does not exist", a.cmd.Collection)
	}
	c, err := readCounters(a.tx, a.cmd.Collection)
	return target{id: a.cmd.Collection, before: c, after: c}, err
}

// close stores what the entry changed in the collection's counters and adds it
// to the tenant's. The differences may be below zero: they wrap, as sums do.
func (a *applier) close(t *target) error {
	if t.after == t.before {
		return nil
	}
	a.usage.Points += t.after.points - t.before.points
	a.usage.Bytes += t.after.bytes - t.before.bytes
	return a.tx.Put(BucketCounters, collectionKey(rowCollection, t.id), t.after.encode(a.rows.take(16)))
}

// version numbers the changes of a partition: the entry's index, and the
// ordinal of the change in its entry.
func (a *applier) version(ordinal int) uint64 { return a.index<<16 | uint64(ordinal) }

func (a *applier) upsert(op Upsert) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	a.events = make([]Event, 0, len(op.Records))
	a.rows.free = make([]byte, pointRows*(len(op.Records)+1))
	for i, r := range op.Records {
		if err := a.put(&t, r, a.version(i)); err != nil {
			return Answer{}, err
		}
	}
	return Answer{Affected: len(op.Records), Collection: t.id}, a.close(&t)
}

// put writes one point in place of that of the same id.
func (a *applier) put(t *target, r Record, version uint64) error {
	key := idKey(a.rows.take(25), t.id, r.id)
	old, found, err := a.find(key)
	if err != nil {
		return err
	}
	if found {
		if err := a.removeRecord(t, old); err != nil {
			return err
		}
	}
	t.after.points++
	t.after.bytes += uint64(len(r.raw))
	if err := a.tx.Put(BucketPoints, pointKey(a.rows.take(16), t.id, version), r.raw); err != nil {
		return err
	}
	row := idRow{version: version, length: uint64(len(r.raw))}
	if err := a.tx.Put(BucketIDs, key, row.encode(a.rows.take(12))); err != nil {
		return err
	}
	a.events = append(a.events, Event{
		Collection: t.id, Kind: EventUpsert, ID: r.id, Version: version, Old: old.version, Record: r.raw,
	})
	return nil
}

// find returns where the id of that key leads, and whether it leads anywhere.
func (a *applier) find(key []byte) (idRow, bool, error) {
	v, err := a.tx.Get(BucketIDs, key)
	if v == nil || err != nil {
		return idRow{}, false, err
	}
	row, err := decodeIDRow(v)
	return row, err == nil, err
}

func (a *applier) removeRecord(t *target, old idRow) error {
	t.after.points--
	t.after.bytes -= old.length
	return a.tx.Delete(BucketPoints, pointKey(a.rows.take(16), t.id, old.version))
}

func (a *applier) deletePoints(op DeletePoints) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	for _, id := range op.IDs {
		key := idKey(a.rows.take(25), t.id, id)
		old, found, err := a.find(key)
		if err != nil {
			return Answer{}, err
		}
		if !found {
			continue
		}
		if err := a.removeRecord(&t, old); err != nil {
			return Answer{}, err
		}
		if err := a.tx.Delete(BucketIDs, key); err != nil {
			return Answer{}, err
		}
		a.events = append(a.events, Event{Collection: t.id, Kind: EventDelete, ID: id, Old: old.version})
	}
	return Answer{Affected: len(a.events), Collection: t.id}, a.close(&t)
}
