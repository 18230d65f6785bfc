package collection

import (
	"bytes"
	"slices"
)

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
	t := target{id: a.cmd.Collection, before: c, after: c}
	t.after.changes++
	t.after.advance(a.clock.time)
	return t, err
}

// close stores what the entry changed in the collection's counters and adds it
// to the tenant's. The differences may be below zero: they wrap, as sums do.
func (a *applier) close(t *target) error {
	a.usage.Points += t.after.points - t.before.points
	a.usage.Bytes += t.after.bytes - t.before.bytes
	if t.after.use.tallies != t.before.use.tallies {
		if err := a.markDirty(t.id, &t.after); err != nil {
			return err
		}
	}
	return a.tx.Put(BucketCounters, collectionKey(rowCollection, t.id), t.after.encode(a.rows.take(counterRow)))
}

// version numbers the points that are written to a collection: the number of
// the change, and the ordinal in it. It is the collection's own count, not the
// log's, which would tell tenants how much their neighbours write.
func (t *target) version(ordinal int) uint64 { return t.after.changes<<16 | uint64(ordinal) }

// answer is what a change that affected so many points is answered with.
func (t *target) answer(affected int) Answer {
	return Answer{Operation: t.after.changes, Affected: affected, Collection: t.id}
}

// moved reports whether a point that a filter selected was written after the
// view that the filter saw, and notes it. Such a point is left alone: it may
// not pass the filter any more, and its writer was told that it is there.
func (a *applier) moved(id PointID, version uint64) bool {
	if a.cmd.Basis == 0 || version>>16 <= a.cmd.Basis {
		return false
	}
	a.passed = append(a.passed, id)
	return true
}

func (a *applier) upsert(op Upsert) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	a.events = slices.Grow(a.events, len(op.Records))
	a.rows.free = make([]byte, pointRows*len(op.Records)+counterRow)
	for i, r := range op.Records {
		if err := a.put(&t, r, t.version(i)); err != nil {
			return Answer{}, err
		}
	}
	return t.answer(len(op.Records)), a.close(&t)
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
	} else {
		t.after.use.inserted++
	}
	t.after.points++
	t.after.bytes += uint64(len(r.raw))
	t.after.use.added += uint64(len(r.raw))
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
	t.after.use.freed += old.length
	return a.tx.Delete(BucketPoints, pointKey(a.rows.take(16), t.id, old.version))
}

func (a *applier) deletePoints(op DeletePoints) (Answer, error) {
	t, err := a.open()
	if err != nil {
		return Answer{}, err
	}
	affected := 0
	for _, id := range op.IDs {
		key := idKey(a.rows.take(25), t.id, id)
		old, found, err := a.find(key)
		if err != nil {
			return Answer{}, err
		}
		if !found || a.moved(id, old.version) {
			continue
		}
		if err := a.removeRecord(&t, old); err != nil {
			return Answer{}, err
		}
		if err := a.tx.Delete(BucketIDs, key); err != nil {
			return Answer{}, err
		}
		affected++
		t.after.use.deleted++
		a.events = append(a.events, Event{Collection: t.id, Kind: EventDelete, ID: id, Old: old.version})
	}
	return t.answer(affected), a.close(&t)
}
