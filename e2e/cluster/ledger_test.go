package cluster

import (
	"fmt"
	"maps"
	"time"
)

// settle reads everything through every node at the end and holds it against
// what the clients were told: what is there becomes the last read of every
// register; every acknowledged insert is there byte for byte, and others whole
// or not at all; counts are what a scroll finds. It returns the points read.
func (w *workload) settle() (points int) {
	for _, n := range w.fleet.nodes {
		for _, u := range w.tenants {
			var all map[uint64]point
			var counts [2]int
			call := w.history.now()
			err := poll(20*time.Second, func() (err error) {
				call = w.history.now()
				all, counts, err = u.all(n)
				return err
			})
			if err != nil {
				w.found.add("read everything of tenant %d through %s: %v", u.number, n.name, err)
				continue
			}
			points += len(all)
			where := fmt.Sprintf("tenant %d through %s", u.number, n.name)
			for _, fault := range w.hold(u, all, counts, call, w.history.now()) {
				w.found.add("%s: %s", where, fault)
			}
		}
	}
	return points
}

// hold holds everything that a tenant has against the inserts, and adds the
// registers to the history.
func (w *workload) hold(u *tenantUser, all map[uint64]point, counts [2]int, call, ret time.Duration) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if counts[0] != len(all) || counts[1] != len(all) {
		fault("a scroll finds %d points, the exact count is %d, the collection's own %d", len(all), counts[0], counts[1])
	}
	for _, r := range w.history.registers(u.number) {
		w.history.add(record{r, 0, false, all[r.id].Payload.Stamp, call, ret})
	}
	rest := maps.Clone(all)
	for id, p := range all {
		if err := p.genuine(u); err != nil {
			fault("%v", err)
		}
		if id < insertsBegin {
			delete(rest, id)
			if _, ok := w.history.all[register{u.number, id}]; !ok {
				fault("point %d is there, and nobody wrote it", id)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.inserts {
		if b.tenant != u.number {
			continue
		}
		there := 0
		for _, p := range b.points {
			if all[p.ID] == p {
				there++
			}
			delete(rest, p.ID)
		}
		switch {
		case b.acked && there < len(b.points):
			fault("of %d points that were acknowledged together %d are there", len(b.points), there)
		case there != 0 && there != len(b.points):
			fault("of %d points that were sent together %d are there", len(b.points), there)
		}
	}
	for id := range rest {
		fault("point %d is there, and nobody inserted it", id)
	}
	return faults
}
