package tally

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/hivehub/waggle/tenant"
)

// Counts is what one request adds.
type Counts struct {
	Requests uint64 // that were answered
	Searches uint64
	Scanned  uint64 // vectors that searches compared
	Bytes    uint64 // of stored records that were read
}

// EntriesMax is how many entries a report has at most.
const EntriesMax = 1000

// Tally is an open file.
type Tally struct {
	active  atomic.Uint32 // number of the area that is counted in; noArea after Close
	areas   [2]area
	dropped atomic.Uint64
	damaged uint64

	claiming sync.Mutex // held while a slot is taken

	// Of the owner alone.
	header   header
	unsynced bool // the header may not be on the disk
	full     bool // the area that was frozen is still to be emptied
	mem      []byte
	file     string
	step     func(string) // of tests: the file is at a step
}

const noArea = 2

// area is one half of the file.
type area struct {
	slots []slot
	used  atomic.Int64
	// adding is how many calls of Add are in the area, spread by their keys so
	// that they do not meet.
	adding [adders]struct {
		n atomic.Int64
		_ [56]byte
	}
}

const adders = 32

// Add counts n for a collection of a tenant, or for the tenant alone with 0. It
// takes no lock but for the first count of a collection after a Cut, and does
// not allocate.
func (t *Tally) Add(id tenant.ID, collection uint64, n Counts) {
	asked := keyOf(id, collection)
	number := uint32(noArea)
	if id != "" && len(id) <= tenant.IDBytesMax {
		number = t.enter(asked)
	}
	if number == noArea {
		t.dropped.Add(1)
		return
	}
	a := &t.areas[number]
	if s, key := t.find(a, asked, id, collection); s == nil {
		t.dropped.Add(1)
	} else {
		for i, v := range [counters]uint64{n.Requests, n.Searches, n.Scanned, n.Bytes} {
			if v > 0 {
				s.add(key, i, v)
			}
		}
	}
	a.adding[uint32(asked)%adders].n.Add(-1)
}

// enter says in which area to count. Cut waits for whoever is in.
func (t *Tally) enter(key uint64) uint32 {
	for {
		number := t.active.Load()
		if number == noArea {
			return noArea
		}
		in := &t.areas[number].adding[uint32(key)%adders].n
		in.Add(1)
		if t.active.Load() == number {
			return number
		}
		in.Add(-1) // between the two a Cut went by
	}
}

// find returns the slot of a tenant's collection and its key, those of the
// tenant alone when no slot is left for collections, or nil.
func (t *Tally) find(a *area, key uint64, id tenant.ID, collection uint64) (*slot, uint64) {
	for i := uint32(key >> 32); ; i++ {
		s := &a.slots[i&uint32(len(a.slots)-1)]
		switch k := atomic.LoadUint64(&s.key); {
		case k == key && s.is(id, collection):
			return s, key
		case k != 0:
		case !a.room(collection):
			if collection == 0 {
				return nil, 0
			}
			return t.find(a, keyOf(id, 0), id, 0)
		default:
			if t.claim(a, s, key, id, collection) {
				return s, key
			}
			i-- // somebody else took it, for the same perhaps
		}
	}
}

// room reports whether an area takes one more. Some slots always stay free: a
// search for what is not there ends at one.
func (a *area) room(collection uint64) bool {
	most := len(a.slots) / 16 * 12
	if collection == 0 {
		most = len(a.slots) / 16 * 15
	}
	return a.used.Load() < int64(most)
}

// claim takes a free slot, unless somebody has.
func (t *Tally) claim(a *area, s *slot, key uint64, id tenant.ID, collection uint64) bool {
	t.claiming.Lock()
	defer t.claiming.Unlock()
	if atomic.LoadUint64(&s.key) != 0 || !a.room(collection) {
		return false
	}
	t.at("slot claimed")
	s.set(key, id, collection)
	a.used.Add(1)
	t.at("slot taken")
	return true
}

// Used is how many slots are counted in since the last Cut.
func (t *Tally) Used() int {
	if number := t.active.Load(); number != noArea {
		return int(t.areas[number].used.Load())
	}
	return 0
}

// Dropped is how many calls of Add had no place since Open.
func (t *Tally) Dropped() uint64 { return t.dropped.Load() }

// Damaged is how many slots, areas and files Open refused.
func (t *Tally) Damaged() uint64 { return t.damaged }

// Birth names the file among all that a node ever had.
func (t *Tally) Birth() uint64 { return t.header.birth }

// Frozen reports whether there are reports that wait for Done.
func (t *Tally) Frozen() bool { return t.header.frozen }

// Since is when the oldest count that no report was Done with may be from, in
// Unix milliseconds.
func (t *Tally) Since() int64 {
	if t.header.frozen {
		return t.header.frozenStart
	}
	return t.header.start
}

// Cut makes reports of what was counted since the last one. It does nothing
// while there are reports already, or when nothing was counted. An error is the
// disk's; the next Sync and Cut go on where it stopped.
func (t *Tally) Cut(now int64) error {
	if t.header.frozen {
		return t.settle()
	}
	if t.Used() == 0 {
		return nil
	}
	if err := t.free(); err != nil {
		return err
	}
	h, old := t.header, t.header.active
	h.frozen, h.frozenStart, h.frozenTo, h.start = true, h.start, max(now, h.start), max(now, h.start)
	h.active = 1 - old
	err := t.write(h)
	if !t.header.frozen {
		return err // nothing has changed
	}
	t.active.Store(uint32(h.active))
	t.at("area switched")
	t.areas[old].wait()
	if err != nil {
		return err
	}
	return t.settle()
}

// wait returns when nobody adds to the area any more. An Add never waits for
// anything but another one.
func (a *area) wait() {
	for i := range a.adding {
		for a.adding[i].n.Load() != 0 {
			runtime.Gosched()
		}
	}
}

// settle decides how many reports the frozen area is, when that is not decided.
func (t *Tally) settle() error {
	h := t.header
	if h.reports > 0 {
		return nil
	}
	if err := t.Sync(); err != nil { // what is shown must not change any more
		return err
	}
	h.reports = uint32(max(1, (len(t.entries())+EntriesMax-1)/EntriesMax))
	h.sum = xxhash.Sum64(t.areaBytes(1 - h.active))
	return t.write(h)
}

// entries are the frozen area's, in the order of the slots.
func (t *Tally) entries() []tenant.UsageEntry {
	a := &t.areas[1-t.header.active]
	list := make([]tenant.UsageEntry, 0, a.used.Load())
	type where struct {
		id         tenant.ID
		collection uint64
	}
	seen := make(map[where]int, a.used.Load()) // a slot that was emptied for its damage may have a successor
	for i := range a.slots {
		id, n, _ := a.slots[i].read()
		if id == "" || n == (Counts{}) {
			continue
		}
		at, ok := seen[where{id, a.slots[i].collection}]
		if !ok {
			at = len(list)
			seen[where{id, a.slots[i].collection}] = at
			list = append(list, tenant.UsageEntry{Tenant: id, Collection: a.slots[i].collection})
		}
		u := &list[at].Usage
		u.APIRequests += n.Requests
		u.SearchCount += n.Searches
		u.VectorsScanned += n.Scanned
		u.BytesRead += n.Bytes
	}
	return list
}

// Waiting returns the reports that the hub does not have, in order, without
// their Source and ReportID: these are of the cluster. There are none while the
// disk does not take what must be on it before.
func (t *Tally) Waiting() []tenant.UsageReport {
	h := &t.header
	if !h.frozen || t.unsynced {
		return nil
	}
	list := t.entries()
	reports := make([]tenant.UsageReport, 0, h.reports)
	for i := h.done; i < h.reports; i++ {
		from, to := min(int(i)*EntriesMax, len(list)), min(int(i+1)*EntriesMax, len(list))
		reports = append(reports, tenant.UsageReport{
			Sequence: h.sequence + uint64(i), Start: h.frozenStart, End: h.frozenTo, Entries: slices.Clip(list[from:to]),
		})
	}
	return reports
}

// Done says that the hub has the reports up to a sequence. When it has all, the
// area is free again. An error is the disk's; the next Cut goes on.
func (t *Tally) Done(upto uint64) error {
	h := t.header
	if !h.frozen || h.reports == 0 || upto < h.sequence {
		return nil
	}
	h.done = max(h.done, uint32(min(upto-h.sequence+1, uint64(h.reports))))
	if h.done < h.reports {
		return t.write(h)
	}
	h.sequence += uint64(h.reports)
	h.frozen, h.reports, h.done, h.sum, h.frozenStart, h.frozenTo = false, 0, 0, 0, 0, 0
	err := t.write(h)
	t.full = !t.header.frozen
	if err != nil {
		return err
	}
	return t.free()
}

// free empties the area that was frozen. Before it may be counted in again the
// disk has to know that it is frozen no more, and then that it is empty.
func (t *Tally) free() error {
	if !t.full {
		return nil
	}
	if err := t.Sync(); err != nil {
		return err
	}
	t.empty(1 - t.header.active)
	if err := t.Sync(); err != nil {
		return err
	}
	t.full = false
	return nil
}

// empty frees the slots of an area that nobody counts in.
func (t *Tally) empty(number uint8) {
	a := &t.areas[number]
	for i := range a.slots {
		if s := &a.slots[i]; *s != (slot{}) { // else a page would be written for nothing
			*s = slot{}
			t.at("slot emptied")
		}
	}
	a.used.Store(0)
}

// write makes a header the one that counts, and durable: else the next one would
// be written over the only copy that is on the disk.
func (t *Tally) write(h header) error {
	if t.unsynced {
		if err := t.Sync(); err != nil {
			return err
		}
	}
	h.generation++
	at := t.mem[h.generation%2*headerBytes:][:headerBytes]
	clear(at[:8]) // no copy in between is intact
	t.at("header begun")
	h.encode(at)
	t.header, t.unsynced = h, true
	t.at("header written")
	return t.Sync()
}

func (t *Tally) at(step string) {
	if t.step != nil {
		t.step(step)
	}
}
