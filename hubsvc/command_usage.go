package hubsvc

import (
	"strings"

	"github.com/hivehub/waggle/tenant"
)

// The limits of the usage ledger.
const (
	UsageReportsMax = 100  // in one command
	UsageEntriesMax = 1000 // in one command
	UsageDays       = 400  // that are kept of a tenant

	reporterBytesMax    = 160
	usageIDBytesMax     = 64
	usageReportersMax   = 1024        // besides this cluster itself
	usageClustersMax    = 64          // reporters of one service
	usageSourcesMax     = 4096        // of one reporter: partitions, and nodes that there are or were
	usageIdleMs         = 400 * dayMs // after which a source is forgotten
	usageSweptEntry     = 4           // sources that an entry looks at for that
	usageSeenMax        = 128         // reports of one source whose content is remembered
	usageCollectionsMax = 100_000     // rows of one tenant; past that its totals alone
	usageGoneMax        = 1_000       // of these, of collections that were deleted

	usageCountMax = 1 << 53     // of anything in one entry but bytes over time, which are held against levels
	usageSlackMs  = 10 * 60_000 // by which a reporter's clock may differ
)

// TakeUsage counts reports, each once: a report is known by its reporter,
// source and sequence number. One that was counted before is passed over when
// it is the same, and refused when it is not. One that leaves others out is
// counted, and the gap is noted. The answer is a UsageTaken.
type TakeUsage struct {
	Reporter string               `msgpack:"rp"`
	Reports  []tenant.UsageReport `msgpack:"r"`
}

// UsageTaken is the answer to TakeUsage.
type UsageTaken struct {
	Counted  int // reports
	Repeated int // reports that had been counted before
	Gaps     int // how often reports were missing before one of these
	Ignored  int // entries of tenants that are not known
	Clipped  int // entries with more bytes over time than their levels and the hub's clock allow
}

func (*TakeUsage) code() byte { return 21 }

func (op *TakeUsage) validate() error {
	if err := validateShort("the reporter", op.Reporter, reporterBytesMax); err != nil {
		return err
	}
	if op.Reporter == "" || len(op.Reports) == 0 || len(op.Reports) > UsageReportsMax {
		return errorf(CodeInvalidRequest, "%d reports of usage; must be 1 to %d, of a reporter", len(op.Reports), UsageReportsMax)
	}
	entries := 0
	for i := range op.Reports {
		if err := validateReport(&op.Reports[i]); err != nil {
			return err
		}
		entries += len(op.Reports[i].Entries)
	}
	if entries > UsageEntriesMax {
		return errorf(CodeInvalidRequest, "%d entries of usage in one request; the most is %d", entries, UsageEntriesMax)
	}
	return nil
}

func validateReport(r *tenant.UsageReport) error {
	if err := validateShort("report_id", r.ReportID, usageIDBytesMax); err != nil {
		return err
	}
	if err := validateShort("source", r.Source, usageIDBytesMax); err != nil {
		return err
	}
	kind, name, _ := strings.Cut(r.Source, ":")
	if r.ReportID == "" || r.Sequence == 0 || name == "" || kind != "p" && kind != "n" {
		return errorf(CodeInvalidRequest, "a report of usage needs a report_id, a sequence from 1 on, and a source of the form p:PARTITION or n:NODE")
	}
	if len(r.Entries) == 0 {
		return errorf(CodeInvalidRequest, "report %d of %s has no entries", r.Sequence, r.Source)
	}
	if r.Start < 0 || r.End < r.Start || r.End > timeMaxMs {
		return errorf(CodeInvalidRequest, "report %d of %s is of no period", r.Sequence, r.Source)
	}
	for i := range r.Entries {
		if err := validateTenantID(r.Entries[i].Tenant); err != nil {
			return err
		}
		if err := validateEntry(&r.Entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// validateEntry refuses what nobody can have counted.
func validateEntry(e *tenant.UsageEntry) error {
	for _, n := range [...]uint64{
		e.VectorsInserted, e.VectorsDeleted, e.StorageAdded, e.StorageFreed, e.APIRequests, e.SearchCount,
		e.VectorsScanned, e.BytesRead, e.VectorCount, e.StorageBytes,
	} {
		if n > usageCountMax {
			return errorf(CodeInvalidRequest, "%d is more than anything in a report can be: %d", n, uint64(usageCountMax))
		}
	}
	most := uint64(1)
	if e.Collection == 0 {
		most = UsageEntriesMax
	}
	if e.CollectionsCreated > most || e.CollectionsDeleted > most {
		return errorf(CodeInvalidRequest, "%d collections created and %d deleted in an entry for %d", e.CollectionsCreated, e.CollectionsDeleted, most)
	}
	return nil
}

// timeMaxMs is the end of the year 9999.
const timeMaxMs = 253_402_300_799_999
