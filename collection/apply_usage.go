package collection

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/hivehub/waggle/tenant"
)

const (
	// usageEntriesMax is how many collections one report holds.
	usageEntriesMax = 1000
	// usageReportsMax is how many reports wait for the hub: past it nothing is
	// cut, and what is used adds up in the windows.
	usageReportsMax = 1000
	// allCounted stands in a usageSum for a partition whose collections all have
	// windows.
	allCounted = math.MaxUint64
)

// tallies count what was done in a collection since the last cut.
type tallies struct {
	inserted, deleted uint64 // points
	added, freed      uint64 // bytes of records
	created           bool
}

// window is what is to be reported of a collection. It lies in the row of its
// counters, which every entry writes anyway; a row rowDirty tells the next cut
// that there is something in it. The bytes count over time without that: those
// of a collection that nobody changes are reported with its next change, and
// until then the hub, which knows the level, can tell.
//
//	0   8  points inserted
//	8   8  points deleted
//	16  8  bytes added
//	24  8  bytes freed
//	32  8  byte-seconds
//	40  2  bytes times milliseconds beyond them, 0 to 999
//	42  8  until when these count
//	50  1  1: created, 2: dirty, 4: counted, always set
type window struct {
	tallies

	byteSeconds, rest uint64
	since             int64 // log time
	dirty             bool  // there is a row rowDirty
	counted           bool  // not of a store of old, which has no windows
}

const (
	windowRow = 51

	flagCreated byte = 1
	flagDirty   byte = 2
	flagCounted byte = 4
)

func (w *window) encode(dst []byte) []byte {
	for _, n := range [...]uint64{w.inserted, w.deleted, w.added, w.freed, w.byteSeconds} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(w.rest))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(w.since))
	flags := flagCounted
	if w.created {
		flags |= flagCreated
	}
	if w.dirty {
		flags |= flagDirty
	}
	return append(dst, flags)
}

func decodeWindow(d *decoder) window {
	var w window
	w.inserted, w.deleted, w.added, w.freed, w.byteSeconds = d.u64(), d.u64(), d.u64(), d.u64(), d.u64()
	w.rest, w.since = uint64(d.u16()), int64(d.u64())
	flags := d.u8()
	w.created, w.dirty, w.counted = flags&flagCreated != 0, flags&flagDirty != 0, true
	d.bad = d.bad || w.rest > 999 || flags&^(flagCreated|flagDirty) != flagCounted
	return w
}

// newCounters are those of a collection that is made now.
func newCounters(now int64) counters {
	return counters{use: window{tallies: tallies{created: true}, since: now, counted: true}}
}

// advance counts the bytes that were there until now. A collection of a store
// of old counts from now on, with what it holds as what was put into it.
func (c *counters) advance(now int64) {
	w := &c.use
	if !w.counted {
		*w = window{tallies: tallies{inserted: c.points, added: c.bytes, created: true}, since: now, counted: true}
	}
	if now <= w.since {
		return
	}
	high, low := bits.Mul64(c.bytes, uint64(now-w.since))
	low, carry := bits.Add64(low, w.rest, 0)
	w.since = now
	if high += carry; high >= 1000 { // more than a counter can say
		w.byteSeconds = math.MaxUint64
		return
	}
	seconds, rest := bits.Div64(high, low, 1000)
	sum, over := bits.Add64(w.byteSeconds, seconds, 0)
	if over != 0 {
		sum = math.MaxUint64
	}
	w.byteSeconds, w.rest = sum, rest
}

// take returns what is to be reported, and begins anew.
func (w *window) take() tenant.Usage {
	u := tenant.Usage{
		VectorsInserted: w.inserted, VectorsDeleted: w.deleted, StorageAdded: w.added, StorageFreed: w.freed,
		ByteSeconds: w.byteSeconds,
	}
	if w.created {
		u.CollectionsCreated = 1
	}
	*w = window{rest: w.rest, since: w.since, counted: true}
	return u
}

// usageSum is what is kept of the reports besides their rows.
type usageSum struct {
	last    uint64 // sequence number given out last
	reports uint64 // that wait
	dirty   uint64 // windows
	end     int64  // of the last report; before the first, when counting began
	next    uint64 // the first collection that may be without a window; allCounted: none is
}

// readUsageSum also returns whether there is one: a store of old has none.
func readUsageSum(r Reader) (usageSum, bool, error) {
	v, err := r.Get(BucketCounters, []byte{rowUsageSum})
	if v == nil || err != nil {
		return usageSum{}, false, err
	}
	d := decoder{b: v}
	version := d.u8()
	s := usageSum{last: d.u64(), reports: d.u64(), dirty: d.u64(), end: int64(d.u64()), next: d.u64()}
	if !d.done() || version != rowVersion {
		return usageSum{}, false, corrupt("usage", v)
	}
	return s, true, nil
}

// usageSum returns that of the partition. The first one says whether there are
// collections of old.
func (a *applier) usageSum() (usageSum, error) {
	s, ok, err := readUsageSum(a.tx)
	if err != nil || ok {
		return s, err
	}
	before, err := readClock(a.tx)
	s.end = a.clock.time
	if before.next == 1 {
		s.next = allCounted
	}
	return s, err
}

func (a *applier) storeUsageSum(s usageSum) error {
	v := append(make([]byte, 0, 41), rowVersion)
	for _, n := range [...]uint64{s.last, s.reports, s.dirty, uint64(s.end), s.next} {
		v = binary.LittleEndian.AppendUint64(v, n)
	}
	return a.tx.Put(BucketCounters, []byte{rowUsageSum}, v)
}

// dirtyRow says whose a window is and, of a deleted collection, holds it.
type dirtyRow struct {
	tenant tenant.ID
	last   *window
}

func (r dirtyRow) encode() []byte {
	v := appendTenant([]byte{rowVersion}, r.tenant)
	if r.last != nil {
		v = r.last.encode(v)
	}
	return v
}

func decodeDirty(b []byte) (dirtyRow, error) {
	d := decoder{b: b}
	version := d.u8()
	r := dirtyRow{tenant: tenant.ID(d.take(int(d.u8())))}
	if len(d.b) > 0 {
		w := decodeWindow(&d)
		r.last = &w
	}
	if !d.done() || version != rowVersion {
		return dirtyRow{}, corrupt("window", b)
	}
	return r, nil
}

// markDirty has the next cut look at the collection's window. The caller
// stores c.
func (a *applier) markDirty(id uint64, c *counters) error {
	if c.use.dirty {
		return nil
	}
	c.use.dirty = true
	return a.putDirty(id, dirtyRow{tenant: a.cmd.Tenant}, true)
}

// putDirty stores a row, which counts when there was none before.
func (a *applier) putDirty(id uint64, row dirtyRow, counts bool) error {
	if counts {
		s, err := a.usageSum()
		if err != nil {
			return err
		}
		s.dirty++
		if err := a.storeUsageSum(s); err != nil {
			return err
		}
	}
	return a.tx.Put(BucketCounters, collectionKey(rowDirty, id), row.encode())
}

// lastWindow keeps what is to be reported of a collection that goes.
func (a *applier) lastWindow(id uint64) error {
	c, err := readCounters(a.tx, id)
	if err != nil {
		return err
	}
	c.advance(a.clock.time)
	c.use.deleted += c.points
	c.use.freed += c.bytes
	return a.putDirty(id, dirtyRow{tenant: a.cmd.Tenant, last: &c.use}, !c.use.dirty)
}

// cutUsage moves the windows of the first dirty collections into a report.
func (a *applier) cutUsage() (Answer, error) {
	s, err := a.usageSum()
	if err != nil {
		return Answer{}, err
	}
	if s.reports >= usageReportsMax {
		return Answer{}, Errorf(Unavailable, "%d reports of usage wait for the hub; what is used adds up until it can be reached", s.reports)
	}
	if err := a.countOld(&s); err != nil {
		return Answer{}, err
	}
	report := tenant.UsageReport{Sequence: s.last + 1, Start: s.end, End: a.clock.time}
	var ids []uint64
	var rows []dirtyRow
	err = scanDirty(a.tx, func(id uint64, row dirtyRow) bool {
		ids, rows = append(ids, id), append(rows, row)
		return len(ids) < usageEntriesMax
	})
	if err != nil {
		return Answer{}, err
	}
	for i, id := range ids {
		e, err := a.cutWindow(id, rows[i])
		if err != nil {
			return Answer{}, err
		}
		report.Entries = append(report.Entries, e)
	}
	s.dirty -= uint64(len(ids))
	if len(ids) > 0 {
		s.last, s.reports, s.end = report.Sequence, s.reports+1, report.End
		if err := a.tx.Put(BucketCounters, collectionKey(rowReport, report.Sequence), encodeReport(report)); err != nil {
			return Answer{}, err
		}
	}
	return Answer{Operation: s.last, Affected: len(ids), Existed: s.dirty > 0 || s.next != allCounted}, a.storeUsageSum(s)
}

// cutWindow takes what one window holds.
func (a *applier) cutWindow(id uint64, row dirtyRow) (tenant.UsageEntry, error) {
	e := tenant.UsageEntry{Tenant: row.tenant, Collection: id}
	if row.last != nil {
		e.Usage = row.last.take()
		e.CollectionsDeleted = 1
		return e, a.tx.Delete(BucketCounters, collectionKey(rowDirty, id))
	}
	c, err := readCounters(a.tx, id)
	if err != nil {
		return e, err
	}
	c.advance(a.clock.time)
	e.Usage, e.VectorCount, e.StorageBytes = c.use.take(), c.points, c.bytes
	if err := a.tx.Put(BucketCounters, collectionKey(rowCollection, id), c.encode(nil)); err != nil {
		return e, err
	}
	return e, a.tx.Delete(BucketCounters, collectionKey(rowDirty, id))
}

// countOld opens the windows of some collections that a store of old has left
// without one.
func (a *applier) countOld(s *usageSum) error {
	if s.next == allCounted {
		return nil
	}
	var ids []uint64
	var broken error
	err := a.tx.Scan(BucketCounters, collectionKey(rowCollection, s.next), []byte{rowCollection + 1}, func(key, _ []byte) bool {
		id, err := collectionOf(key)
		ids, broken = append(ids, id), err
		return err == nil && len(ids) < usageEntriesMax
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return err
	}
	s.next = allCounted
	for i, id := range ids {
		opened, err := a.countOne(id)
		if err != nil {
			return err
		}
		if opened {
			s.dirty++
		}
		if i == usageEntriesMax-1 {
			s.next = id + 1
		}
	}
	return nil
}

// countOne opens the window of a collection that has none.
func (a *applier) countOne(id uint64) (opened bool, err error) {
	c, err := readCounters(a.tx, id)
	if err != nil || c.use.counted {
		return false, err
	}
	v, err := a.tx.Get(BucketCatalog, collectionKey(rowDescriptor, id))
	if err != nil {
		return false, err
	}
	owner, err := descriptorTenant(v)
	if err != nil {
		return false, err
	}
	row := dirtyRow{tenant: tenant.ID(bytes.Clone(owner))}
	c.advance(a.clock.time)
	c.use.dirty = true
	if err := a.putDirty(id, row, false); err != nil {
		return false, err
	}
	return true, a.tx.Put(BucketCounters, collectionKey(rowCollection, id), c.encode(nil))
}

// usageDone removes the reports that the hub has.
func (a *applier) usageDone(op UsageDone) (Answer, error) {
	s, ok, err := readUsageSum(a.tx)
	if err != nil || !ok {
		return Answer{}, err
	}
	var keys [][]byte
	err = a.tx.Scan(BucketCounters, []byte{rowReport}, []byte{rowReport + 1}, func(key, _ []byte) bool {
		if bytes.Compare(key, collectionKey(rowReport, op.Upto)) > 0 {
			return false
		}
		keys = append(keys, bytes.Clone(key))
		return true
	})
	if err != nil || len(keys) == 0 {
		return Answer{}, err
	}
	for _, key := range keys {
		if err := a.tx.Delete(BucketCounters, key); err != nil {
			return Answer{}, err
		}
	}
	s.reports -= uint64(len(keys))
	return Answer{Affected: len(keys)}, a.storeUsageSum(s)
}
