package grains

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index/filter"
)

const (
	// payloadsMin is how many points a collection has at least for its payloads
	// to be indexed: to look at fewer takes less than a search.
	payloadsMin = 1000
	// payloadStep is how many slots a builder indexes before it gives way.
	payloadStep = 2048
)

// payloadIndex is the index of a table's payloads. Most collections are never
// searched with a filter and most that are cold must answer soon, so it is made
// when a filter first comes, by the builders, while searches still look at every
// payload; or at once where a field was declared.
//
// From begin on, whoever writes tells it of every change. What was there before
// is read from a view taken then: a slot in it is not used again until it is
// released, so nobody writes about one slot twice at a time. When all that is
// done the index knows every slot of every view taken later.
type payloadIndex struct {
	wanted  atomic.Bool
	growing atomic.Pointer[collection.FilterIndex] // told of changes; set under liveIndex.mu
	ready   atomic.Pointer[collection.FilterIndex] // the same, once complete

	fill sync.Mutex // held by the builder that fills it, for:
	view slots
	next uint32 // slot
}

// replace tells of a slot's new row, and of the one before it, for which the
// slot is not to be found any more.
func (p *payloadIndex) replace(slot uint32, old, now *row) {
	if x := p.growing.Load(); x != nil {
		x.Remove(slot, old.id, old.payload)
		x.Add(slot, now.id, now.payload)
	}
}

// bytes is the memory it takes.
func (p *payloadIndex) bytes() int64 {
	if x := p.growing.Load(); x != nil {
		return x.Bytes()
	}
	return 0
}

// wantPayloads has the payloads of all points indexed.
func (l *liveIndex) wantPayloads() {
	for _, t := range l.points() {
		t.wantPayloads()
	}
}

// indexable reports whether the table's payloads may have an index. The few
// points that a plain collection has without a vector are not worth one.
func (t *table) indexable() bool { return !t.live.plain || t.kind == denseTable }

// wantPayloads has the index made.
func (t *table) wantPayloads() {
	if t.indexable() && !t.payloads.wanted.Load() && !t.payloads.wanted.Swap(true) {
		t.live.changed(t.live)
	}
}

// indexPayloads does a builder's step, and reports whether there is more to do.
func (t *table) indexPayloads() (more bool) {
	p := &t.payloads
	if !p.wanted.Load() || p.ready.Load() != nil || !p.fill.TryLock() {
		return false
	}
	defer p.fill.Unlock()
	if p.ready.Load() != nil {
		return false
	}
	if p.view == nil {
		t.beginPayloads()
	}
	x := p.growing.Load()
	end := min(p.next+payloadStep, p.view.Slots())
	for ; p.next < end; p.next++ {
		if _, ok := p.view.Label(p.next); ok {
			r := t.row(p.next)
			x.Add(p.next, r.id, r.payload)
		}
	}
	if end < p.view.Slots() {
		return true
	}
	p.view.Release()
	p.view = nil
	p.ready.Store(x)
	return false
}

// beginPayloads takes a view with everything that the index is not told of.
func (t *table) beginPayloads() {
	t.live.mu.Lock()
	defer t.live.mu.Unlock()
	view := t.view()
	t.payloads.view = view.slots()
	t.payloads.growing.Store(collection.NewFilterIndex(filter.Options{}))
}

// allowed evaluates a filter into a bitmap of a view's slots.
func (t *table) allowed(ctx context.Context, v *tableView, f *collection.Filter) (collection.Selected, error) {
	if f == nil {
		return collection.Selected{}, nil
	}
	if v.payloads == nil && v.slots().Len() >= payloadsMin {
		t.wantPayloads()
	}
	return v.payloads.Select(ctx, f, t.live.info.Config, v.slots(), func(slot uint32) collection.Row {
		r := t.row(slot)
		asked := collection.Row{ID: r.id, Payload: r.payload}
		switch {
		case r.spread != nil:
			asked.Vectors = r.spread.has
		case t.kind == denseTable:
			asked.Vectors = 1
		}
		return asked
	})
}
