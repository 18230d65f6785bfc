package hubsvc

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"github.com/hivehub/waggle/tenant"
)

// claimReport reports whether r is a new one of its source, and remembers it.
// One that was counted before must be the same; those that are too old to be
// remembered are taken for that. A source begins where its first report to this
// ledger does, and reports that are missing between two are noted and no more:
// they went to another hub, or to this one before its state was restored from a
// backup, and nobody will send them again. Refusing what comes behind them
// would lose that, too.
func (a *apply) claimReport(reporter string, r *tenant.UsageReport) (fresh bool, missing uint64, err error) {
	sourceKey := usageSourceKey(tagUsageSource, reporter, r.Source)
	source, there, err := get[usageSource](a.tx, sourceKey)
	if err != nil {
		return false, 0, err
	}
	sum := sha256.Sum256(encodeRecord(r))
	switch {
	case r.Sequence <= source.Last:
		seen, err := a.tx.Get(Bucket, usageSeenKey(reporter, r.Source, r.Sequence))
		if err == nil && seen != nil && !bytes.Equal(seen, sum[:16]) {
			err = errorf(CodeFailedPrecondition, "report %d of %s was counted with other content than this", r.Sequence, r.Source)
		}
		return false, 0, err
	case !there && a.ledger.UsageSources >= usageSourcesMax:
		return false, 0, errorf(CodeQuotaExceeded, "%d sources report usage, the most there can be", a.ledger.UsageSources)
	case !there:
		a.ledger.UsageSources++
	default:
		missing = r.Sequence - source.Last - 1
	}
	if missing > 0 {
		if err := a.noteGap(reporter, r, &source); err != nil {
			return false, 0, err
		}
	}
	if err := a.forgetSeen(reporter, r, source.Last); err != nil {
		return false, 0, err
	}
	if err := a.tx.Put(Bucket, usageSeenKey(reporter, r.Source, r.Sequence), sum[:16]); err != nil {
		return false, 0, err
	}
	source.Last, source.At = r.Sequence, a.now
	return true, missing, a.tx.Put(Bucket, sourceKey, encodeRecord(source))
}

// noteGap counts the reports between the last one of a source and r. The audit
// log has a row of it, one a day of each source: a source that counts in leaps
// pushes nothing out of it.
func (a *apply) noteGap(reporter string, r *tenant.UsageReport, source *usageSource) error {
	source.Gaps++
	source.Missing = addCapped(source.Missing, r.Sequence-source.Last-1)
	a.ledger.UsageGaps++
	if source.Told != 0 && a.now-source.Told < dayMs {
		return nil
	}
	source.Told = a.now
	return a.audit("", ActionUsageGap, reporter+" "+r.Source, fmt.Sprintf("reports %d to %d are missing", source.Last+1, r.Sequence-1))
}

// forgetSeen makes room for the content of r among those that are remembered:
// of the last usageSeenMax numbers, of which gaps have used up some.
func (a *apply) forgetSeen(reporter string, r *tenant.UsageReport, last uint64) error {
	if r.Sequence <= usageSeenMax || last == 0 {
		return nil
	}
	from := uint64(1)
	if last > usageSeenMax {
		from = last - usageSeenMax + 1
	}
	for n := from; n <= min(last, r.Sequence-usageSeenMax); n++ {
		if err := a.tx.Delete(Bucket, usageSeenKey(reporter, r.Source, n)); err != nil {
			return err
		}
	}
	return nil
}
