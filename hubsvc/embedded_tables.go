package hubsvc

import (
	"bytes"
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// RecordAuth writes what an edge has seen into the audit log: at most
// AuthSeenMax records.
func (e *Embedded) RecordAuth(ctx context.Context, seen []AuthSeen) error {
	_, err := propose[int](ctx, e, &RecordAuth{Seen: seen})
	return wrap(err, "record authentication")
}

// RecordCollection tells the hub that collections were created or deleted: at
// most CollectionsInOneMax. Records may come again and in any order. Those of a
// tenant that is gone are passed over.
func (e *Embedded) RecordCollection(ctx context.Context, records ...CollectionRecord) error {
	_, err := propose[int](ctx, e, &RecordCollections{Records: records})
	return wrap(err, "record collections")
}

// ListCollectionRecords returns the hub's records of a tenant's collections, by
// id, and of those that were deleted the latest; or NOT_FOUND without the tenant.
func (e *Embedded) ListCollectionRecords(ctx context.Context, id tenant.ID) ([]CollectionRecord, error) {
	records, err := read(ctx, e, func(r Reader) ([]CollectionRecord, error) {
		if _, err := tenantOf(r, id); err != nil {
			return nil, err
		}
		return collectionsOf(r, id)
	})
	return records, wrap(err, "list collection records")
}

// CollectionRecord returns the record of one collection of a tenant, or
// NOT_FOUND, which says nothing about other tenants.
func (e *Embedded) CollectionRecord(ctx context.Context, id tenant.ID, number uint64) (CollectionRecord, error) {
	record, err := read(ctx, e, func(r Reader) (CollectionRecord, error) {
		record, ok, err := get[CollectionRecord](r, collectionKey(id, number))
		if err == nil && !ok {
			err = errorf(CodeNotFound, "there is no such collection")
		}
		return record, err
	})
	return record, wrap(err, "show collection record")
}

// AuditQuery selects rows of the audit log.
type AuditQuery struct {
	Tenant tenant.ID // "": of all
	From   int64     // unix ms
	To     int64     // unix ms, not included; 0: no end
	Action string    // "": any
	Cursor string    // "", or what the call before has returned
	Limit  int       // 1 to AuditPageMax; 0: that
}

// AuditPageMax is how many rows one call returns at most; it looks at ten
// times as many.
const AuditPageMax = 1000

// ListAudit returns rows of the audit log, oldest first, and the cursor of the
// next call, "" at the end. A page may be short or empty and have a next one.
// Where older rows have gone, the first page begins with a row that says so.
func (e *Embedded) ListAudit(ctx context.Context, q AuditQuery) ([]AuditEntry, string, error) {
	if q.Limit == 0 {
		q.Limit = AuditPageMax
	}
	if q.Limit < 0 || q.Limit > AuditPageMax {
		return nil, "", errorf(CodeInvalidRequest, "limit is %d; must be 1 to %d", q.Limit, AuditPageMax)
	}
	page := auditPage{query: q}
	if err := page.bounds(); err != nil {
		return nil, "", err
	}
	_, err := read(ctx, e, func(r Reader) (struct{}, error) { return struct{}{}, page.read(r) })
	if err != nil {
		return nil, "", wrap(err, "list audit")
	}
	return page.rows, page.next, nil
}

// auditPage is the work on one page.
type auditPage struct {
	query    AuditQuery
	prefix   []byte
	from, to []byte // keys
	rows     []AuditEntry
	next     string
}

const auditPositionBytes = 8 + 8 + 2

func (p *auditPage) bounds() error {
	p.prefix = []byte{tagAudit}
	if p.query.Tenant != "" {
		if err := validateTenantID(p.query.Tenant); err != nil {
			return err
		}
		p.prefix = auditPoolPrefix(string(p.query.Tenant))
	}
	p.from = be64(bytes.Clone(p.prefix), uint64(max(p.query.From, 0)))
	p.to = after(p.prefix)
	if p.query.To > 0 {
		p.to = be64(bytes.Clone(p.prefix), uint64(p.query.To))
	}
	if p.query.Cursor == "" {
		return nil
	}
	position, err := hex.DecodeString(p.query.Cursor)
	if err != nil || len(position) != auditPositionBytes {
		return errorf(CodeInvalidRequest, "the cursor is not one that this hub gave out")
	}
	cursor := append(append(bytes.Clone(p.prefix), position...), 0) // the first key behind it
	if bytes.Compare(cursor, p.from) > 0 {
		p.from = cursor
	}
	return nil
}

func (p *auditPage) read(r Reader) error {
	if p.query.Cursor == "" {
		if err := p.trimmed(r); err != nil {
			return err
		}
	}
	if bytes.Compare(p.from, p.to) >= 0 {
		return nil
	}
	var positions [][]byte
	seen := 0
	err := r.Scan(Bucket, p.from, p.to, func(key, _ []byte) bool {
		seen++
		positions = append(positions, bytes.Clone(key[len(p.prefix):]))
		return seen <= 10*AuditPageMax
	})
	if err != nil {
		return err
	}
	for i, position := range positions {
		if i == 10*AuditPageMax || len(p.rows) >= p.query.Limit {
			p.next = hex.EncodeToString(positions[i-1])
			return nil
		}
		row, ok, err := get[AuditEntry](r, append([]byte{tagAudit}, position...))
		if err != nil {
			return err
		}
		if !ok {
			return errorf(CodeDataLoss, "an audit row of a pool is not there")
		}
		if p.query.Action == "" || row.Action == p.query.Action {
			p.rows = append(p.rows, row)
		}
	}
	return nil
}

// trimmed puts a row in place of those that have gone from the range.
func (p *auditPage) trimmed(r Reader) error {
	var gone uint64
	var until int64
	if p.query.Tenant == "" {
		l, err := ledgerOf(r)
		if err != nil {
			return err
		}
		gone, until = l.AuditGone, l.AuditUntil
	} else {
		pool, err := poolOf(r, string(p.query.Tenant))
		if err != nil {
			return err
		}
		gone, until = pool.Gone, pool.Until
	}
	if gone == 0 || until < p.query.From || p.query.Action != "" && p.query.Action != ActionAuditTrimmed {
		return nil
	}
	p.rows = append(p.rows, AuditEntry{
		Time: until, Tenant: p.query.Tenant, Actor: Actor{}.String(), Action: ActionAuditTrimmed, Outcome: OutcomeOK,
		Detail: strconv.FormatUint(gone, 10) + " older rows have gone",
	})
	return nil
}

// EventsPageMax is how many events one call returns at most.
const EventsPageMax = 1000

// Events returns the events behind a version, oldest first, and the version
// to go on from. Without any it waits for one, at most for wait. reset says that
// events behind after have gone, or that this hub never had it: whatever the
// caller has cached may be wrong.
func (e *Embedded) Events(ctx context.Context, after uint64, wait time.Duration) (events []Event, last uint64, reset bool, err error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		if err := e.group.ReadBarrier(ctx); err != nil {
			return nil, 0, false, wrap(err, "events")
		}
		version, woken := e.lastEvent()
		if version != after || wait <= 0 {
			events, last, reset, err = e.eventsAfter(after)
			if len(events) > 0 || reset || err != nil || wait <= 0 {
				return events, last, reset, err
			}
			continue // observed, and not in a View yet: the barrier waits for it
		}
		select {
		case <-woken:
		case <-deadline.C:
			return nil, after, false, nil
		case <-ctx.Done():
			return nil, 0, false, wrap(ctx.Err(), "events")
		}
	}
}

func (e *Embedded) eventsAfter(after uint64) (events []Event, last uint64, reset bool, err error) {
	v, err := e.group.View()
	if err != nil {
		return nil, 0, false, wrap(err, "events")
	}
	defer v.Close()
	l, err := ledgerOf(v)
	if err != nil {
		return nil, 0, false, wrap(err, "events")
	}
	if after > l.Event || after+1 < l.EventFirst {
		after, reset = max(l.EventFirst, 1)-1, true
	}
	var bad error
	err = v.Scan(Bucket, eventKey(after+1), []byte{tagEvent + 1}, func(_, value []byte) bool {
		var ev Event
		if ev, bad = decodeRecord[Event](value); bad == nil {
			events = append(events, ev)
		}
		return bad == nil && len(events) < EventsPageMax
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, 0, false, wrap(err, "events")
	}
	last = after
	if n := len(events); n > 0 {
		last = events[n-1].Version
	}
	return events, last, reset, nil
}
