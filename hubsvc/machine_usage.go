package hubsvc

import (
	"bytes"
	"strings"

	"github.com/hivehub/waggle/tenant"
)

// The usage ledger: what was reported, counted once.
//
// A report of a partition tells of each collection the level (points and
// bytes) at its end, and the byte-seconds since the report before. Between two
// reports a level stays, so that a collection that nobody changes needs no
// report: at every moment now its byte-seconds are Held + Bytes * (now - At). A
// tenant's row is the sum of its collections', as of its own At; that of a day
// is the part that fell into it, up to the day's last report, and what follows
// until the next row is level times time.

func (a *apply) takeUsage(op *TakeUsage) (any, error) {
	var taken UsageTaken
	clipped := a.ledger.UsageClipped
	for i := range op.Reports {
		r := &op.Reports[i]
		fresh, missing, err := a.claimReport(op.Reporter, r)
		if err != nil {
			return nil, err
		}
		if missing > 0 {
			taken.Gaps++
		}
		if !fresh {
			taken.Repeated++
			continue
		}
		taken.Counted++
		for j := range r.Entries {
			known, err := a.countEntry(op.Reporter, r, &r.Entries[j])
			if err != nil {
				return nil, err
			}
			if !known {
				taken.Ignored++
			}
		}
	}
	taken.Clipped = int(a.ledger.UsageClipped - clipped)
	if taken.Counted == 0 {
		return taken, nil
	}
	return taken, a.sweepSources()
}

// countEntry adds an entry to the totals. It reports false for a tenant of
// which nothing is known. Of one that is gone, whose last report comes after
// its data went, the totals stay with its certificate of erasure, for its last
// bill.
func (a *apply) countEntry(reporter string, r *tenant.UsageReport, e *tenant.UsageEntry) (known bool, err error) {
	totalKey := recordKey(tagUsageTenant, e.Tenant)
	total, kept, err := get[usageRow](a.tx, totalKey)
	if err != nil {
		return false, err
	}
	alive, err := a.tx.Get(Bucket, recordKey(tagTenant, e.Tenant))
	if err != nil || alive == nil && !kept {
		return false, err
	}
	addUsage(&total.Usage, &e.Usage)
	if e.APIRequests > 0 {
		total.Asked = max(total.Asked, min(r.End, a.now))
	}
	if alive == nil {
		return true, a.tx.Put(Bucket, totalKey, encodeRecord(total))
	}
	u := entryUsage{reporter: reporter, entry: e, end: min(r.End, a.now), writes: strings.HasPrefix(r.Source, "p:")}
	u.before, u.at, u.ahead = total.Bytes, total.At, r.End > a.now+usageSlackMs
	if u.writes {
		t, err := decodeRecord[Tenant](alive)
		if err != nil {
			return false, err
		}
		u.born = t.Created
		u.total(&total)
	}
	if e.Collection != 0 {
		if err := a.countCollection(&u, &total); err != nil {
			return false, err
		}
	}
	if err := a.countDay(&u, &total); err != nil {
		return false, err
	}
	return true, a.tx.Put(Bucket, totalKey, encodeRecord(total))
}

// entryUsage is the work on one entry.
type entryUsage struct {
	reporter string
	entry    *tenant.UsageEntry
	end      int64  // of the report, not after the hub's own time
	writes   bool   // the entry tells levels
	before   uint64 // the tenant's bytes before it
	at       int64  // and as of when
	shift    span   // what the entry adds to the tenant's bytes over time
	ahead    bool   // the reporter's clock is not that of the hub
	born     int64  // when the tenant was made
}

// stored is what the entry adds to the bytes over time of its collection, whose
// row is as it was before. It is no more than the levels allow from there to the
// end of the report, and some slack. A reporter whose clock is ahead cannot tell
// at all, neither now nor until its clock is right: it is the level that was
// known, by the hub's own clock.
func (u *entryUsage) stored(row *usageRow) (s span, clipped bool) {
	e, from := u.entry, row.At
	if from == 0 {
		from = u.born
	}
	past := max(u.end-from, 0)
	if u.ahead {
		return held(row.Bytes, past), true
	}
	peak := max(addCapped(row.Bytes, e.StorageAdded), addCapped(e.StorageBytes, e.StorageFreed))
	s, most := held(e.ByteSeconds, 1000), held(peak, past+usageSlackMs)
	if most.minus(s).High>>63 == 1 {
		return most, true
	}
	return s, false
}

// total takes the tenant's row to the end of the report at its old level.
func (u *entryUsage) total(t *usageRow) {
	if now := max(t.At, u.end); now > t.At {
		t.Held, t.At = t.Held.plus(held(t.Bytes, now-t.At)), now
	}
}

// countCollection adds the entry to its collection's row, and what it changes
// of the level to the tenant's.
func (a *apply) countCollection(u *entryUsage, total *usageRow) error {
	e := u.entry
	key := usageCollectionKey(e.Tenant, e.Collection, u.reporter)
	row, there, err := get[usageRow](a.tx, key)
	if err != nil {
		return err
	}
	var stored span
	if u.writes {
		var clipped bool
		if stored, clipped = u.stored(&row); clipped {
			a.ledger.UsageClipped++
		}
	}
	if !there && total.Collections >= usageCollectionsMax {
		if u.writes {
			u.shift = stored
			total.Held = total.Held.plus(stored)
		}
		return nil
	}
	if !there {
		total.Collections++
	}
	addUsage(&row.Usage, &e.Usage)
	if u.writes {
		u.shift = stored.plus(held(e.StorageBytes, total.At-u.end)).minus(held(row.Bytes, total.At-row.At))
		total.Held = total.Held.plus(u.shift)
		total.Bytes = addCapped(subFloored(total.Bytes, row.Bytes), e.StorageBytes)
		total.Points = addCapped(subFloored(total.Points, row.Points), e.VectorCount)
		row.Held = row.Held.plus(stored)
		row.Bytes, row.Points, row.At = e.StorageBytes, e.VectorCount, u.end
	}
	gone := e.CollectionsDeleted > 0 && !row.Deleted
	row.Deleted = row.Deleted || gone
	if err := a.tx.Put(Bucket, key, encodeRecord(row)); err != nil || !gone {
		return err
	}
	return a.collectionGone(key, total)
}

// collectionGone keeps the row of a deleted collection, and forgets the oldest
// past the limit: its share of the totals stays.
func (a *apply) collectionGone(key []byte, total *usageRow) error {
	t, rest, _ := bytes.Cut(key[1:], []byte{0})
	prefix := collectionPrefix(tagUsageGone, tenant.ID(t))
	if err := a.tx.Put(Bucket, append(be64(bytes.Clone(prefix), a.change.Index), rest...), []byte{1}); err != nil {
		return err
	}
	if total.Gone++; total.Gone <= usageGoneMax {
		return nil
	}
	oldest, err := firstKeys(a.tx, prefix, 1)
	if err != nil {
		return err
	}
	for _, k := range oldest {
		total.Gone--
		total.Collections--
		if err := a.tx.Delete(Bucket, append(collectionPrefix(tagUsageCollection, tenant.ID(t)), k[len(prefix)+8:]...)); err != nil {
			return err
		}
		if err := a.tx.Delete(Bucket, k); err != nil {
			return err
		}
	}
	return nil
}

// countDay adds the entry to the tenant's day: the one on which the report
// ends, and bytes over time to the day up to which the tenant's are known.
func (a *apply) countDay(u *entryUsage, total *usageRow) error {
	at := u.end
	if u.writes {
		at = total.At
	}
	key := usageDayKey(u.entry.Tenant, dayOf(at))
	row, there, err := get[usageRow](a.tx, key)
	if err != nil {
		return err
	}
	if !there {
		row.Before = u.before
		if err := a.forgetDays(u.entry.Tenant, dayOf(at)); err != nil {
			return err
		}
	}
	addUsage(&row.Usage, &u.entry.Usage)
	if u.writes {
		from := max(u.at, int64(dayOf(at))*dayMs)
		row.Held = row.Held.plus(held(u.before, at-from)).plus(u.shift)
		row.Bytes, row.Points, row.At = total.Bytes, total.Points, at
	}
	return a.tx.Put(Bucket, key, encodeRecord(row))
}

// forgetDays removes some days that are too long before one: more than are added.
func (a *apply) forgetDays(t tenant.ID, day uint32) error {
	keys, err := firstKeys(a.tx, collectionPrefix(tagUsageDay, t), 2)
	if err != nil || day < UsageDays {
		return err
	}
	oldest := usageDayKey(t, day-UsageDays+1)
	for _, key := range keys {
		if bytes.Compare(key, oldest) < 0 {
			if err := a.tx.Delete(Bucket, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeUsage ends the row of a tenant whose data is gone. What was used since
// its last reports is still to come; for its bytes over time, which the hub has
// counted on, that is no matter any more.
func (a *apply) closeUsage(t tenant.ID, keep bool) error {
	key := recordKey(tagUsageTenant, t)
	total, there, err := get[usageRow](a.tx, key)
	if err != nil {
		return err
	}
	if !keep {
		return a.tx.Delete(Bucket, key)
	}
	if there {
		total.Held = total.Held.plus(held(total.Bytes, a.now-total.At))
	}
	total.At, total.Bytes, total.Points, total.Collections, total.Gone = a.now, 0, 0, 0, 0
	return a.tx.Put(Bucket, key, encodeRecord(total))
}
