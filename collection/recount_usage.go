package collection

// usage checks that exactly the windows with something in them are dirty, and
// that the reports are as many as are counted, under numbers that were given
// out.
func (v *verifier) usage() error {
	sum, _, err := readUsageSum(v.r)
	if err != nil {
		return err
	}
	dirty := map[uint64]dirtyRow{}
	if err := scanDirty(v.r, func(id uint64, row dirtyRow) bool { dirty[id] = row; return true }); err != nil {
		return err
	}
	if uint64(len(dirty)) != sum.dirty {
		return Errorf(DataLoss, "%d dirty windows, counted %d", len(dirty), sum.dirty)
	}
	for id, row := range dirty {
		if alive := v.known[id]; alive != (row.last == nil) {
			return Errorf(DataLoss, "the window of collection %d, alive %v, is its last: %v", id, alive, row.last != nil)
		}
	}
	for id, alive := range v.known {
		if !alive {
			continue
		}
		c, err := readCounters(v.r, id)
		if err != nil {
			return err
		}
		if _, marked := dirty[id]; marked != c.use.dirty || !marked && c.use.tallies != (tallies{}) {
			return Errorf(DataLoss, "the window of collection %d, dirty %v, holds %+v", id, marked, c.use)
		}
	}
	return v.reports(sum)
}

func (v *verifier) reports(sum usageSum) error {
	waiting, err := WaitingUsage(v.r, usageReportsMax+1)
	if err != nil {
		return err
	}
	last := uint64(0)
	for _, r := range waiting {
		if r.Start > r.End || r.End > sum.end || len(r.Entries) == 0 || len(r.Entries) > usageEntriesMax {
			return Errorf(DataLoss, "report %d of %d entries from %d to %d", r.Sequence, len(r.Entries), r.Start, r.End)
		}
		last = r.Sequence
	}
	if uint64(len(waiting)) != sum.reports || last > sum.last {
		return Errorf(DataLoss, "%d reports of usage up to %d, counted %d up to %d", len(waiting), last, sum.reports, sum.last)
	}
	return nil
}
