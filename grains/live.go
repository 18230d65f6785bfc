package grains

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
)

// liveIndex is an active collection: a table for each of its vectors, and one
// of the points that the first of those does not have. Apply feeds it, entry by
// entry, before the entry is acknowledged; mu is held for that, and while views
// of several tables are taken, which then are of one state. A search of one
// vector takes no lock.
type liveIndex struct {
	info       collection.Info
	plain      bool // one dense vector without a name
	tables     []*table
	dropped    atomic.Bool // the collection is deleted
	ended      atomic.Bool // the grain is passivated
	reset      atomic.Bool // another index has to take its place
	configured atomic.Bool // the settings are others than when it was loaded
	queued     atomic.Bool // at the builders
	built      actors.Gate // a builder did something
	changed    func(*liveIndex)
	bytes      atomic.Int64          // of payloads, and of what points are in several tables
	failure    atomic.Pointer[error] // an event could not be taken: the index is not to be used

	mu      sync.Mutex
	loading bool
	pending [][]collection.Event // entries that arrived while loading
	places  map[uint64]place     // by version
	newest  uint64               // Info.Changes as of the last point that was written
}

// place is the first of the places of a point.
type place struct{ table, slot uint32 }

// slotsHint is how many slots there is room for from the start, at most: what a
// collection says of itself is no more than a hint.
const slotsHint = 1 << 20

// newLiveIndex returns an empty index, to be loaded. Vectors that are to be on
// disk are in scratch space in the directory. changed is called when there may
// be work for the builders.
func newLiveIndex(info collection.Info, dir string, changed func(*liveIndex)) *liveIndex {
	l := &liveIndex{
		info: info, plain: info.Config.Plain(), loading: true, changed: changed,
		places: make(map[uint64]place, min(info.Points, slotsHint)),
	}
	l.tables = newTables(l, dir)
	return l
}

// load fills the index: the graphs of its files, the state right before the
// first event, by a range scan, then the events that arrived meanwhile. Vertices
// whose version is not in the state are removed; what has no vertex waits for
// the builders.
func (l *liveIndex) load(ctx context.Context, r *actors.Replica, files *indexFiles) error {
	view, err := r.Subscribe(l.info.ID, l)
	if err != nil {
		return err
	}
	defer view.Close()
	complete := false
	defer func() {
		if !complete { // also in a panic: the next load has to subscribe
			r.Unsubscribe(l.info.ID)
		}
	}()
	err = scanBeside(ctx, view, l.info.ID,
		func() { l.begin(files, r.Group()-1) },
		func(version uint64, rec collection.Record) error { return l.insert(version, rec) })
	if err == nil {
		err = l.declared(view)
	}
	if err == nil {
		err = l.catchUp()
	}
	complete = err == nil
	return err
}

// declared has the payloads indexed if a field of theirs was declared.
func (l *liveIndex) declared(view collection.Reader) error {
	fields, err := collection.ListPayloadIndexes(view, l.info.ID)
	for _, t := range l.points() {
		if len(fields) > 0 && t.indexable() {
			t.payloads.wanted.Store(true) // the builders come when it is loaded
		}
	}
	return err
}

// Reset tells that an image has replaced the state that the index is of: the
// grain makes room for another one.
func (l *liveIndex) Reset() {
	l.reset.Store(true)
	l.fail(collection.Errorf(collection.Unavailable, "the partition's data was replaced on this node; retry"))
}

// fail makes the index useless. The first error stays.
func (l *liveIndex) fail(err error) { l.failure.CompareAndSwap(nil, &err) }

func (l *liveIndex) catchUp() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tables {
		if t.done != nil {
			t.done()
		}
		t.add, t.done = nil, nil
	}
	pending := l.pending
	l.pending, l.loading = nil, false
	for _, events := range pending {
		l.take(events)
	}
	now := time.Now()
	for _, t := range l.tables {
		t.loaded(now)
	}
	l.changed(l)
	return l.usable()
}

// Apply takes one entry's events. All of them become visible at once.
func (l *liveIndex) Apply(_ uint64, events []collection.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loading {
		l.pending = append(l.pending, events)
		return
	}
	l.take(events)
	for _, t := range l.tables {
		t.publish()
	}
	l.changed(l)
}

func (l *liveIndex) take(events []collection.Event) {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case collection.EventDrop:
			l.dropped.Store(true)
			continue
		case collection.EventConfig:
			l.configured.Store(true)
			continue
		}
		l.remove(e.Old)
		if e.Kind != collection.EventUpsert {
			continue
		}
		rec, err := collection.DecodeRecord(e.Record)
		if err == nil {
			err = l.insert(e.Version, rec)
		}
		if err != nil {
			l.fail(err)
		}
	}
}

// insert adds a point to the tables that it belongs to.
func (l *liveIndex) insert(version uint64, rec collection.Record) error {
	l.newest = max(l.newest, version>>16)
	now := row{id: rec.ID(), payload: append([]byte(nil), rec.PayloadBytes()...)}
	l.bytes.Add(int64(len(now.payload)))
	alone := l.alone(&rec)
	if !alone {
		now.spread = l.spreadOf(&rec)
		l.bytes.Add(now.spread.bytes())
	}
	first := true
	for n, t := range l.tables {
		slot, has, err := t.insert(version, &rec)
		if err != nil {
			return err
		}
		if !has {
			continue
		}
		if !l.loading {
			t.keeping.changes.Add(1)
		}
		if first {
			l.places[version] = place{uint32(n), slot}
			first = false
		}
		if alone {
			t.setRow(slot, &now)
			return nil
		}
		now.spread.slots[n] = slot
	}
	for n, slot := range now.spread.slots {
		if slot != noSlot {
			l.tables[n].setRow(slot, &now)
		}
	}
	return nil
}

// alone says whether a point is in one table and needs no spread: all of a plain
// collection are, and what has nothing but the first dense vector, as most
// points of most collections, of each of which a spread takes about a hundred
// bytes.
func (l *liveIndex) alone(rec *collection.Record) bool {
	return l.plain || l.tables[0].kind == denseTable && l.info.Config.Has(*rec) == 1
}

// spreadOf is what a point is in all tables, in none of them yet.
func (l *liveIndex) spreadOf(rec *collection.Record) *spread {
	s := &spread{has: l.info.Config.Has(*rec), slots: make([]uint32, len(l.tables))}
	for i := range s.slots {
		s.slots[i] = noSlot
	}
	for n := range l.info.Config.Sparse {
		v, ok := rec.Sparse(collection.VectorRef{Kind: collection.SparseKind, Number: uint16(n)})
		if !ok {
			continue
		}
		if s.sparse == nil {
			s.sparse = make([]collection.SparseVector, len(l.info.Config.Sparse))
		}
		s.sparse[n] = collection.SparseVector{Indices: slices.Clone(v.Indices), Values: slices.Clone(v.Values)}
	}
	return s
}

// bytes is the memory it takes.
func (s *spread) bytes() int64 {
	sum := int(unsafe.Sizeof(*s)) + 4*len(s.slots) + int(unsafe.Sizeof(collection.SparseVector{}))*len(s.sparse)
	for i := range s.sparse {
		sum += 8 * len(s.sparse[i].Indices)
	}
	return int64(sum)
}

func (l *liveIndex) remove(version uint64) {
	p, ok := l.places[version]
	if !ok {
		return
	}
	delete(l.places, version)
	t := l.tables[p.table]
	r := t.row(p.slot)
	l.bytes.Add(-int64(len(r.payload)))
	if r.spread == nil {
		t.remove(p.slot)
		return
	}
	l.bytes.Add(-r.spread.bytes())
	for n, slot := range r.spread.slots {
		if slot != noSlot {
			l.tables[n].remove(slot)
		}
	}
}

// points are the tables that together have every point, each once.
func (l *liveIndex) points() []*table {
	if len(l.tables) == 1 {
		return l.tables
	}
	return []*table{l.tables[0], l.tables[len(l.tables)-1]}
}

// memory is what the index holds, in bytes.
func (l *liveIndex) memory() int64 {
	sum := l.bytes.Load()
	for _, t := range l.tables {
		sum += t.memory()
	}
	return sum
}

// waiting is how many vectors are searchable and not yet in their graphs.
func (l *liveIndex) waiting() int {
	sum := 0
	for _, t := range l.tables {
		sum += t.waiting()
	}
	return sum
}

// usable returns why the index must not be searched, or nil.
func (l *liveIndex) usable() error {
	if l.dropped.Load() {
		return notFound(l.info.Name)
	}
	if failed := l.failure.Load(); failed != nil {
		return *failed
	}
	return nil
}

// follows reports whether a state that was taken before the call has all that
// was acknowledged before the state was.
func (l *liveIndex) follows() bool {
	return !l.dropped.Load() && !l.ended.Load() && !l.reset.Load() && l.failure.Load() == nil
}
