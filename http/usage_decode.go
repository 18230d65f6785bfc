package httpedge

import (
	"strconv"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// usageRequest is a batch of reports: one, which is the body itself, or a list
// of them under "reports".
type usageRequest struct {
	cluster string
	reports []tenant.UsageReport
}

// usageReader counts what all reports of a body hold, so that a body of more
// than the hub takes is refused before it is kept.
type usageReader struct {
	*pointReader
	entries int
}

func (p *pointReader) usageRequest() (q usageRequest, err error) {
	u := usageReader{pointReader: p}
	var one tenant.UsageReport
	single, list := false, false
	err = p.object(func(key []byte) error {
		switch string(key) {
		case "cluster_id":
			return p.stringTo(&q.cluster)
		case "reports":
			list = true
			return p.array(func() error {
				if len(q.reports) == hubsvc.UsageReportsMax {
					return errValue("reports: more than " + strconv.Itoa(hubsvc.UsageReportsMax))
				}
				r, err := u.report()
				q.reports = append(q.reports, r)
				return err
			})
		}
		known, err := u.reportMember(key, &one)
		single = single || known
		if known || err != nil {
			return err
		}
		return p.skip()
	})
	switch {
	case err != nil:
	case single == list:
		err = p.fault("expected one report, or a list of them under `reports`")
	case single:
		q.reports = []tenant.UsageReport{one}
	}
	return q, err
}

func (u *usageReader) report() (r tenant.UsageReport, err error) {
	err = u.object(func(key []byte) error {
		known, err := u.reportMember(key, &r)
		if known || err != nil {
			return err
		}
		return u.skip()
	})
	return r, err
}

func (u *usageReader) reportMember(key []byte, r *tenant.UsageReport) (known bool, err error) {
	switch string(key) {
	case "report_id":
		return true, u.stringTo(&r.ReportID)
	case "source":
		return true, u.stringTo(&r.Source)
	case "sequence":
		return true, u.countTo(&r.Sequence)
	case "period_start":
		return true, u.momentTo(&r.Start)
	case "period_end":
		return true, u.momentTo(&r.End)
	case "entries":
		return true, u.array(func() error {
			if u.entries++; u.entries > hubsvc.UsageEntriesMax {
				return errValue("entries: more than " + strconv.Itoa(hubsvc.UsageEntriesMax))
			}
			e, err := u.entry()
			r.Entries = append(r.Entries, e)
			return err
		})
	}
	return false, nil
}

func (u *usageReader) entry() (e tenant.UsageEntry, err error) {
	counters := map[string]*uint64{
		"vectors_inserted": &e.VectorsInserted, "vectors_deleted": &e.VectorsDeleted,
		"storage_added": &e.StorageAdded, "storage_freed": &e.StorageFreed,
		"collections_created": &e.CollectionsCreated, "collections_deleted": &e.CollectionsDeleted,
		"byte_seconds": &e.ByteSeconds, "api_requests": &e.APIRequests, "search_count": &e.SearchCount,
		"vectors_scanned": &e.VectorsScanned, "bytes_read": &e.BytesRead,
		"vector_count": &e.VectorCount, "storage_bytes": &e.StorageBytes,
	}
	err = u.object(func(key []byte) error {
		switch string(key) {
		case "tenant_id":
			var id string
			err := u.stringTo(&id)
			e.Tenant = tenant.ID(id)
			return err
		case "collection_id":
			var id *uint64
			if err := u.idTo(&id); err != nil || id == nil {
				return err
			}
			e.Collection = *id
			return nil
		}
		if counter, known := counters[string(key)]; known {
			return u.countTo(counter)
		}
		return u.skip()
	})
	return e, err
}

// countTo reads a number that is not below zero; null is 0.
func (p *pointReader) countTo(dst *uint64) error {
	var n *uint64
	if err := p.uintTo(&n); err != nil || n == nil {
		return err
	}
	*dst = *n
	return nil
}

// momentTo reads a time as timeTo does, in milliseconds.
func (p *pointReader) momentTo(dst *int64) error {
	var at time.Time
	err := p.timeTo(&at)
	*dst = msOf(at)
	return err
}
