package collection

import (
	"encoding/binary"

	"github.com/hivehub/waggle/tenant"
)

// WaitingUsage returns the oldest reports that the hub has to be given, up to
// most of them, without ReportID and Source, which the store does not know. A
// report is the same on every replica and at every call.
func WaitingUsage(r Reader, most int) ([]tenant.UsageReport, error) {
	var reports []tenant.UsageReport
	var broken error
	if most <= 0 {
		return nil, nil
	}
	err := r.Scan(BucketCounters, []byte{rowReport}, []byte{rowReport + 1}, func(key, value []byte) bool {
		report, err := decodeReport(value)
		if err == nil {
			report.Sequence, err = collectionOf(key)
		}
		if broken = err; err != nil {
			return false
		}
		reports = append(reports, report)
		return len(reports) < most
	})
	if err == nil {
		err = broken
	}
	return reports, err
}

// DirtyWindows returns how many collections a cut would report: at least 1
// while there are some in a store of old that were never counted.
func DirtyWindows(r Reader) (int, error) {
	s, ok, err := readUsageSum(r)
	if err != nil {
		return 0, err
	}
	old := s.next != allCounted
	if !ok {
		clock, err := readClock(r)
		if err != nil {
			return 0, err
		}
		old = clock.next > 1
	}
	if old {
		return max(int(s.dirty), 1), nil
	}
	return int(s.dirty), nil
}

// scanDirty calls fn for the windows that the next cut looks at, in the order
// of their collections, until fn returns false.
func scanDirty(r Reader, fn func(id uint64, row dirtyRow) bool) error {
	var broken error
	err := r.Scan(BucketCounters, []byte{rowDirty}, []byte{rowDirty + 1}, func(key, value []byte) bool {
		id, err := collectionOf(key)
		if err != nil {
			broken = err
			return false
		}
		row, err := decodeDirty(value)
		if err != nil {
			broken = err
			return false
		}
		return fn(id, row)
	})
	if err == nil {
		err = broken
	}
	return err
}

// A report as it waits, little endian:
//
//	0   1     version, 1
//	1   8     start
//	9   8     end
//	17  4     number of entries
//	for each entry:
//	  0     1, t  length of the tenant's id, id
//	  ...   8     collection id
//	  ...   40    points inserted, points deleted, bytes added, bytes freed, byte-seconds
//	  ...   1     1: created, 2: deleted
//	  ...   16    points, bytes at the end
const reportEntryMin = 1 + 8 + 40 + 1 + 16

func encodeReport(r tenant.UsageReport) []byte {
	v := append(make([]byte, 0, 21+len(r.Entries)*(reportEntryMin+16)), rowVersion)
	v = binary.LittleEndian.AppendUint64(v, uint64(r.Start))
	v = binary.LittleEndian.AppendUint64(v, uint64(r.End))
	v = binary.LittleEndian.AppendUint32(v, uint32(len(r.Entries)))
	for _, e := range r.Entries {
		v = appendTenant(v, e.Tenant)
		for _, n := range [...]uint64{
			e.Collection, e.VectorsInserted, e.VectorsDeleted, e.StorageAdded, e.StorageFreed, e.ByteSeconds,
		} {
			v = binary.LittleEndian.AppendUint64(v, n)
		}
		v = append(v, byte(e.CollectionsCreated)|byte(e.CollectionsDeleted)<<1)
		v = binary.LittleEndian.AppendUint64(v, e.VectorCount)
		v = binary.LittleEndian.AppendUint64(v, e.StorageBytes)
	}
	return v
}

func decodeReport(b []byte) (tenant.UsageReport, error) {
	d := decoder{b: b}
	version := d.u8()
	r := tenant.UsageReport{Start: int64(d.u64()), End: int64(d.u64())}
	r.Entries = make([]tenant.UsageEntry, d.count(reportEntryMin))
	for i := range r.Entries {
		e := &r.Entries[i]
		e.Tenant, e.Collection = tenant.ID(d.take(int(d.u8()))), d.u64()
		e.VectorsInserted, e.VectorsDeleted, e.StorageAdded, e.StorageFreed = d.u64(), d.u64(), d.u64(), d.u64()
		e.ByteSeconds = d.u64()
		flags := uint64(d.u8())
		e.CollectionsCreated, e.CollectionsDeleted = flags&1, flags>>1
		d.bad = d.bad || flags > 3
		e.VectorCount, e.StorageBytes = d.u64(), d.u64()
	}
	if !d.done() || version != rowVersion {
		return tenant.UsageReport{}, corrupt("report of usage", b)
	}
	return r, nil
}
