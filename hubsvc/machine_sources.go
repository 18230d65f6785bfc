package hubsvc

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"

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
	case !there:
		if err := a.newSource(reporter); err != nil {
			return false, 0, err
		}
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

// newSource counts one more source of a reporter. Each limit is of one reporter,
// or of one service: what one of them invents takes no room from the others.
func (a *apply) newSource(reporter string) error {
	key := recordKey(tagUsageReporter, reporter)
	row, there, err := get[usageReporter](a.tx, key)
	if err != nil {
		return err
	}
	if !there {
		if row.Sources, err = a.newReporter(reporter); err != nil {
			return err
		}
	}
	if row.Sources >= usageSourcesMax {
		return errorf(CodeQuotaExceeded, "%d sources of %s report usage, the most there can be", row.Sources, reporter)
	}
	row.Sources++
	a.ledger.UsageSources++
	return a.tx.Put(Bucket, key, encodeRecord(row))
}

// newReporter counts a reporter, and returns how many sources it has: a state of
// old has sources without reporters. This cluster itself always has room.
func (a *apply) newReporter(reporter string) (sources uint64, err error) {
	service, _, _ := strings.Cut(reporter, "/")
	of, err := firstKeys(a.tx, recordKey(tagUsageReporter, service+"/"), usageClustersMax)
	if err != nil {
		return 0, err
	}
	if reporter != a.cluster.ID.String() && (len(of) >= usageClustersMax || a.ledger.UsageReporters >= usageReportersMax) {
		return 0, errorf(CodeQuotaExceeded, "%d clusters of %s, and %d in all, report usage: the most there can be", len(of), service, a.ledger.UsageReporters)
	}
	a.ledger.UsageReporters++
	old, err := firstKeys(a.tx, usageSourceKey(tagUsageSource, reporter, ""), usageSourcesMax)
	return uint64(len(old)), err
}

// sweepSources looks at the next sources of all and forgets those that have
// been idle for long.
func (a *apply) sweepSources() error {
	var keys [][]byte
	prefix := []byte{tagUsageSource}
	from := prefix
	if len(a.ledger.UsageSwept) > 0 {
		from = append(bytes.Clone(a.ledger.UsageSwept), 0)
	}
	err := a.tx.Scan(Bucket, from, after(prefix), func(key, _ []byte) bool {
		keys = append(keys, bytes.Clone(key))
		return len(keys) < usageSweptEntry
	})
	if err != nil {
		return err
	}
	a.ledger.UsageSwept = nil
	if len(keys) == usageSweptEntry {
		a.ledger.UsageSwept = keys[len(keys)-1]
	}
	for _, key := range keys {
		source, _, err := get[usageSource](a.tx, key)
		switch {
		case err != nil:
			return err
		case source.At == 0: // of a state of old
			source.At = a.now
			err = a.tx.Put(Bucket, key, encodeRecord(source))
		case a.now-source.At > usageIdleMs:
			err = a.forgetSource(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetSource removes a source, and its reporter with the last one.
func (a *apply) forgetSource(key []byte) error {
	name, _, _ := strings.Cut(string(key[1:]), "\x00")
	seen, err := firstKeys(a.tx, append(append([]byte{tagUsageSeen}, key[1:]...), 0), usageSeenMax)
	if err != nil {
		return err
	}
	for _, k := range append(seen, key) {
		if err := a.tx.Delete(Bucket, k); err != nil {
			return err
		}
	}
	a.ledger.UsageSources--
	reporter := recordKey(tagUsageReporter, name)
	row, there, err := get[usageReporter](a.tx, reporter)
	if err != nil || !there {
		return err
	}
	if row.Sources--; row.Sources > 0 {
		return a.tx.Put(Bucket, reporter, encodeRecord(row))
	}
	a.ledger.UsageReporters--
	return a.tx.Delete(Bucket, reporter)
}
