package grains

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index/hnsw"
)

// liveIndex is the index of an active collection: vectors by slot, and beside
// each slot the point's id and payload. Apply feeds it, entry by entry, before
// the entry is acknowledged; mu is held for that only. Searches take a view
// and no lock.
//
// A slot's row is written before the slot is published and overwritten only
// after every view that could see it is released, which is index.Index's
// promise; so rows need no lock either.
type liveIndex struct {
	info    collection.Info
	index   *hnsw.Index
	rows    atomic.Pointer[[]*rowChunk]
	dropped atomic.Bool // the collection is deleted
	ended   atomic.Bool // the grain is passivated
	reset   atomic.Bool // an image replaced the state that this is of
	queued  atomic.Bool // at the builders
	built   actors.Gate // a builder did something
	changed func(*liveIndex)
	bytes   atomic.Int64 // of payloads and rows
	keeping keeping

	payloads payloadIndex

	mu      sync.Mutex
	loading bool
	pending [][]collection.Event // entries that arrived while loading
	slots   map[uint64]uint32    // version -> slot
	failure error                // an event could not be taken: the index is not to be used
}

const rowsPerChunk = 1024

// slotsHint is how many slots there is room for from the start, at most: what a
// collection says of itself is no more than a hint.
const slotsHint = 1 << 20

type rowChunk [rowsPerChunk]row

// row is what a search needs of a point besides its vector.
type row struct {
	id      collection.PointID
	payload []byte // msgpack
}

// newLiveIndex returns an empty index, to be loaded. Vectors that are to be on
// disk are in scratch space in the directory. changed is called when there may
// be work for the builders.
func newLiveIndex(info collection.Info, dir string, changed func(*liveIndex)) *liveIndex {
	v := info.Config.Vector()
	l := &liveIndex{
		info: info, loading: true, slots: make(map[uint64]uint32, min(info.Points, slotsHint)), changed: changed,
		index: hnsw.New(v.Size, v.Distance.Metric(), placedOptions(info.Config, dir)),
	}
	l.rows.Store(&[]*rowChunk{})
	return l
}

// load fills the index: the graph of its file, the state right before the first
// event, by a range scan, then the events that arrived meanwhile. Vertices
// whose version is not in the state are removed; what has no vertex waits for
// the builders.
func (l *liveIndex) load(ctx context.Context, r *actors.Replica, files *indexFiles) error {
	view, err := r.Subscribe(l.info.ID, l)
	if err != nil {
		return err
	}
	defer view.Close()
	var add addFunc
	var done func()
	err = scanBeside(ctx, view, l.info.ID,
		func() { add, done = l.begin(files, fileKey{r.Group() - 1, l.info.ID}) },
		func(version uint64, rec collection.Record) error { return l.insert(version, rec, add) })
	if err != nil {
		r.Unsubscribe(l.info.ID)
		return err
	}
	done()
	if err := l.catchUp(); err != nil {
		r.Unsubscribe(l.info.ID)
		return err
	}
	return nil
}

// Reset tells that an image has replaced the state that the index is of: the
// grain makes room for another one.
func (l *liveIndex) Reset() {
	l.reset.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		l.failure = collection.Errorf(collection.Unavailable, "the partition's data was replaced on this node; retry")
	}
}

func (l *liveIndex) catchUp() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, events := range l.pending {
		l.take(events)
	}
	l.pending, l.loading = nil, false
	l.index.Publish()
	l.keeping.changes.Add(int64(l.index.Waiting()))
	l.keeping.since.Store(time.Now().UnixNano())
	l.changed(l)
	return l.failure
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
	l.index.Publish()
	l.changed(l)
}

func (l *liveIndex) take(events []collection.Event) {
	for i := range events {
		e := &events[i]
		if e.Kind == collection.EventDrop {
			l.dropped.Store(true)
			continue
		}
		if e.Kind == collection.EventConfig {
			continue // takes effect when the collection is next activated
		}
		l.remove(e.Old)
		l.keeping.changes.Add(1)
		if e.Kind != collection.EventUpsert {
			continue
		}
		rec, err := collection.DecodeRecord(e.Record)
		if err == nil {
			err = l.insert(e.Version, rec, l.index.Add)
		}
		if err != nil && l.failure == nil {
			l.failure = err
		}
	}
}

// insert adds a point; one without a vector is no concern of this index.
func (l *liveIndex) insert(version uint64, rec collection.Record, add addFunc) error {
	vector := rec.Vector()
	if vector == nil {
		return nil
	}
	slot, err := add(version, vector)
	if err != nil {
		return indexError(err)
	}
	l.slots[version] = slot
	payload := append([]byte(nil), rec.PayloadBytes()...)
	to, now := l.rowForWriting(slot), row{id: rec.ID(), payload: payload}
	l.payloads.replace(slot, to, &now)
	*to = now
	l.bytes.Add(int64(len(payload)))
	return nil
}

func (l *liveIndex) remove(version uint64) {
	slot, ok := l.slots[version]
	if !ok {
		return
	}
	delete(l.slots, version)
	l.bytes.Add(-int64(len(l.row(slot).payload)))
	l.index.Remove(slot)
}

func (l *liveIndex) rowForWriting(slot uint32) *row {
	chunks := *l.rows.Load()
	if n := int(slot/rowsPerChunk) + 1; n > len(chunks) {
		grown := append(chunks[:len(chunks):len(chunks)], new(rowChunk))
		l.rows.Store(&grown)
		chunks = grown
		l.bytes.Add(int64(rowsPerChunk) * 56)
	}
	return &chunks[slot/rowsPerChunk][slot%rowsPerChunk]
}

// row returns the row of a slot that the caller's view contains.
func (l *liveIndex) row(slot uint32) *row {
	return &(*l.rows.Load())[slot/rowsPerChunk][slot%rowsPerChunk]
}

// memory is what the index holds, in bytes.
func (l *liveIndex) memory() int64 { return l.index.Bytes() + l.bytes.Load() + l.payloads.bytes() }

// usable returns why the index must not be searched, or nil.
func (l *liveIndex) usable() error {
	if l.dropped.Load() {
		return notFound(l.info.Name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}
