package nodelog

import "slices"

// reachBatches is how many batches before it a batch tells the groups of. A
// batch is a page at least, so a hole of 64 KB, in which flash is erased and
// arrays are striped, is within reach. The table has an element, of 16 bytes in
// header and trailer each, for a group that these batches have and this one
// has not: none for a lone writer, and few when all groups are busy.
//
// Rejected: all groups in every batch (16 KB with 1024 groups); a bound on the
// number of elements (after one batch with more groups, a hole of a page would
// put every group in doubt).
const reachBatches = 16

// recent knows the groups with a row in the last batches. The writer owns it.
type recent struct {
	groups []*Group // with planned.recent; those of before are dropped late
	gone   []latest // of groups that were removed and not made anew
	floor  uint64   // not all rows of the batches before it are known
	since  uint64   // the first batch that table is complete of
	table  []latest // for the batch being written
}

// plan makes the table of a batch with the given number. Groups with a row in
// the batch are left out: their rows say it.
func (r *recent) plan(number uint64) {
	r.since = max(1, r.floor)
	if number > reachBatches {
		r.since = max(r.since, number-reachBatches)
	}
	keep := r.groups[:0]
	r.table = r.table[:0]
	for _, g := range r.groups {
		p := &g.planned
		if p.batch < r.since {
			p.recent = false
			continue
		}
		keep = append(keep, g)
		if !p.writing {
			r.table = append(r.table, latest{group: g.id, batch: p.batch})
		}
	}
	r.groups = keep
	r.gone = slices.DeleteFunc(r.gone, func(v latest) bool { return v.batch < r.since })
	r.table = append(r.table, r.gone...)
}

// remove takes in a group that is removed by a row in a new batch. A row that
// makes it anew will have none before it.
func (r *recent) remove(g *Group, batch uint64) {
	g.planned.batch = 0
	r.gone = append(r.gone, latest{g.id, batch, true})
}

// add takes in a group whose latest row is in a new batch.
func (r *recent) add(g *Group) {
	if len(r.gone) > 0 {
		r.gone = slices.DeleteFunc(r.gone, func(v latest) bool { return v.group == g.id })
	}
	if !g.planned.recent {
		g.planned.recent = true
		r.groups = append(r.groups, g)
	}
}
