package hubsvc

import (
	"context"
	"slices"

	"github.com/hivehub/waggle/tenant"
)

// ReportUsage counts reports of this cluster itself: at most UsageReportsMax,
// with UsageEntriesMax entries in all, those of one source in their order. A
// report that was counted before is passed over.
func (e *Embedded) ReportUsage(ctx context.Context, reports []tenant.UsageReport) error {
	cluster, ok := e.Cluster()
	if !ok {
		return errUnborn
	}
	_, err := e.TakeUsage(ctx, cluster.ID.String(), reports)
	return err
}

// TakeUsage counts reports of anybody: see the command. FAILED_PRECONDITION
// says that a report is not the one that was counted under its number.
func (e *Embedded) TakeUsage(ctx context.Context, reporter string, reports []tenant.UsageReport) (UsageTaken, error) {
	taken, err := propose[UsageTaken](ctx, e, &TakeUsage{Reporter: reporter, Reports: reports})
	return taken, wrap(err, "take usage")
}

// UsageSum is what was used in all: of a tenant or a collection since it was
// made, or on a day. Usage.ByteSeconds counts until now and stays at its most
// where it would be more; ByteHours has room for it.
type UsageSum struct {
	tenant.Usage
	ByteHours    uint64
	VectorCount  uint64 // as reported last
	StorageBytes uint64
	At           int64 // when that was, unix ms; 0: never
}

// CollectionUsage is what was used of one collection.
type CollectionUsage struct {
	Collection uint64
	Deleted    bool
	UsageSum
}

// UsageDay is what was used on one day, in UTC.
type UsageDay struct {
	Start int64 // unix ms
	UsageSum
}

// UsageQuery selects of a tenant's usage.
type UsageQuery struct {
	Collection uint64 // 0: of all
	From, To   int64  // unix ms, whole days of UTC that this touches; To 0: until now
	After      uint64 // collections behind this one
	Limit      int    // of collections: 0 to UsagePageMax
}

// UsagePageMax is how many collections one answer has.
const UsagePageMax = 1000

// UsageStatistics is what is known of a tenant's usage. It is as of the last
// reports, apart from bytes over time, which go on at the level reported last.
type UsageStatistics struct {
	Total       UsageSum          // since the tenant was made
	Period      UsageSum          // of the days that were asked for, of all collections
	Days        []UsageDay        // those that are kept, oldest first
	Collections []CollectionUsage // in the order of their ids
	More        bool              // there are more of them
	LastRequest int64             // end of the last report that told of requests, unix ms; 0: none did
}

// UsageStatistics returns what was used by a tenant, or NOT_FOUND. Of one that
// was deleted only the total is left, as long as its certificate of erasure.
func (e *Embedded) UsageStatistics(ctx context.Context, id tenant.ID, q UsageQuery) (UsageStatistics, error) {
	if q.Limit < 0 || q.Limit > UsagePageMax {
		return UsageStatistics{}, errorf(CodeInvalidRequest, "limit is %d; must be 0 to %d", q.Limit, UsagePageMax)
	}
	if q.From < 0 || q.To < 0 || q.From > timeMaxMs || q.To > timeMaxMs || q.To != 0 && q.To < q.From {
		return UsageStatistics{}, errorf(CodeInvalidRequest, "from and to are times, in this order")
	}
	now := e.now().UnixMilli()
	s, err := read(ctx, e, func(r Reader) (UsageStatistics, error) { return usageStatistics(r, id, q, now) })
	return s, wrap(err, "usage statistics")
}

// UsageTotals returns the totals of tenants, in their order; zero for one that
// has used nothing yet.
func (e *Embedded) UsageTotals(ctx context.Context, ids []tenant.ID) ([]UsageSum, error) {
	now := e.now().UnixMilli()
	sums, err := read(ctx, e, func(r Reader) ([]UsageSum, error) {
		sums := make([]UsageSum, len(ids))
		for i, id := range ids {
			row, _, err := get[usageRow](r, recordKey(tagUsageTenant, id))
			if err != nil {
				return nil, err
			}
			sums[i] = row.sum(now)
		}
		return sums, nil
	})
	return sums, wrap(err, "usage of tenants")
}

// sum is the row as of now.
func (row *usageRow) sum(now int64) UsageSum {
	stored := row.Held.plus(held(row.Bytes, max(now-row.At, 0)))
	s := UsageSum{Usage: row.Usage, VectorCount: row.Points, StorageBytes: row.Bytes, At: row.At}
	s.ByteSeconds, s.ByteHours = stored.over(1000), stored.over(3600*1000)
	return s
}

func usageStatistics(r Reader, id tenant.ID, q UsageQuery, now int64) (UsageStatistics, error) {
	var s UsageStatistics
	total, there, err := get[usageRow](r, recordKey(tagUsageTenant, id))
	if err != nil {
		return s, err
	}
	if !there {
		if _, err := tenantOf(r, id); err != nil {
			return s, err
		}
	}
	s.Total, s.LastRequest = total.sum(now), total.Asked
	days := usageDays{from: dayOf(q.From), to: dayOf(now), now: now}
	if q.To != 0 {
		days.to = min(days.to, dayOf(q.To))
	}
	if s.Days, s.Period, err = days.read(r, id); err != nil {
		return s, err
	}
	if q.Collection != 0 {
		q.After, q.Limit = q.Collection-1, 1
	}
	if q.Limit == 0 {
		return s, nil
	}
	if err := s.collections(r, id, q, now); err != nil {
		return s, err
	}
	if q.Collection != 0 {
		if s.More = false; len(s.Collections) != 1 || s.Collections[0].Collection != q.Collection {
			return s, errorf(CodeNotFound, "there is no such collection")
		}
	}
	return s, nil
}

// collections reads a page of collections. What several reporters told of one
// is added up.
func (s *UsageStatistics) collections(r Reader, id tenant.ID, q UsageQuery, now int64) error {
	prefix := collectionPrefix(tagUsageCollection, id)
	var bad error
	err := r.Scan(Bucket, be64(slices.Clone(prefix), q.After+1), after(prefix), func(key, value []byte) bool {
		var row usageRow
		if row, bad = decodeRecord[usageRow](value); bad != nil {
			return false
		}
		number, sum := index64(key[len(prefix):]), row.sum(now)
		if n := len(s.Collections); n > 0 && s.Collections[n-1].Collection == number {
			last := &s.Collections[n-1]
			last.add(&sum)
			last.Deleted = last.Deleted && row.Deleted
			return true
		}
		if s.More = len(s.Collections) == q.Limit; s.More {
			return false
		}
		s.Collections = append(s.Collections, CollectionUsage{Collection: number, Deleted: row.Deleted, UsageSum: sum})
		return true
	})
	if err == nil {
		err = bad
	}
	return err
}

func (s *UsageSum) add(t *UsageSum) {
	addUsage(&s.Usage, &t.Usage)
	s.ByteSeconds = addCapped(s.ByteSeconds, t.ByteSeconds)
	s.ByteHours = addCapped(s.ByteHours, t.ByteHours)
	s.VectorCount = addCapped(s.VectorCount, t.VectorCount)
	s.StorageBytes = addCapped(s.StorageBytes, t.StorageBytes)
	s.At = max(s.At, t.At)
}

// usageDays reads the days from one to another, both included.
type usageDays struct {
	from, to uint32
	now      int64
}

func (d usageDays) read(r Reader, id tenant.ID) ([]UsageDay, UsageSum, error) {
	var rows []usageRow
	var numbers []uint32
	var bad error
	prefix := collectionPrefix(tagUsageDay, id)
	err := r.Scan(Bucket, prefix, after(prefix), func(key, value []byte) bool {
		var row usageRow
		row, bad = decodeRecord[usageRow](value)
		rows, numbers = append(rows, row), append(numbers, dayNumber(key[len(prefix):]))
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	if err != nil || len(rows) == 0 {
		return nil, UsageSum{}, err
	}
	if d.to >= UsageDays {
		d.from = max(d.from, d.to-UsageDays+1)
	}
	var days []UsageDay
	var all usageRow
	level, points, next := rows[0].Before, uint64(0), 0
	for n := numbers[0]; n <= d.to || next < len(rows); n++ {
		start := int64(n) * dayMs
		row := usageRow{Bytes: level, Points: points, At: start}
		if next < len(rows) && numbers[next] == n {
			row = rows[next]
			next++
			if row.At == 0 { // nothing was reported of its level
				row.Bytes, row.Points, row.At = level, points, start
			}
		}
		row.Held = row.Held.plus(held(row.Bytes, max(min(start+dayMs, d.now)-row.At, 0)))
		level, points = row.Bytes, row.Points
		if row.At = start; n < d.from || n > d.to {
			continue
		}
		all.Held = all.Held.plus(row.Held)
		addUsage(&all.Usage, &row.Usage)
		all.Bytes, all.Points, all.At = row.Bytes, row.Points, d.now
		days = append(days, UsageDay{Start: start, UsageSum: row.sum(start)})
	}
	return days, all.sum(d.now), nil
}

func dayNumber(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
