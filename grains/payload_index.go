package grains

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/filter"
)

const (
	// payloadsMin is how many points a collection has at least for its payloads
	// to be indexed: to look at fewer takes less than a search.
	payloadsMin = 1000
	// payloadStep is how many slots a builder indexes before it gives way.
	payloadStep = 2048
)

// payloadIndex is the index of a live index's payloads. Most collections are
// never searched with a filter and most that are cold must answer soon, so it
// is made when a filter first comes, by the builders, while searches still look
// at every payload.
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
	view index.View
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

// wantPayloads has the index made if a collection of so many points is worth it.
func (l *liveIndex) wantPayloads(points int) {
	if points >= payloadsMin && !l.payloads.wanted.Load() && !l.payloads.wanted.Swap(true) {
		l.changed(l)
	}
}

// indexPayloads does a builder's step, and reports whether there is more to do.
func (l *liveIndex) indexPayloads() (more bool) {
	p := &l.payloads
	if !p.wanted.Load() || p.ready.Load() != nil || !p.fill.TryLock() {
		return false
	}
	defer p.fill.Unlock()
	if p.ready.Load() != nil {
		return false
	}
	if p.view == nil {
		l.beginPayloads()
	}
	x := p.growing.Load()
	end := min(p.next+payloadStep, p.view.Slots())
	for ; p.next < end; p.next++ {
		if _, ok := p.view.Label(p.next); ok {
			r := l.row(p.next)
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
func (l *liveIndex) beginPayloads() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.payloads.view = l.index.View()
	l.payloads.growing.Store(collection.NewFilterIndex(filter.Options{}))
}

// allowed evaluates a filter into a bitmap of the view's slots. payloads is
// what was ready before the view was taken, or nil.
func (l *liveIndex) allowed(
	ctx context.Context, payloads *collection.FilterIndex, view index.View, f *collection.Filter,
) (collection.Selected, error) {
	if f == nil {
		return collection.Selected{}, nil
	}
	if payloads == nil {
		l.wantPayloads(view.Len())
	}
	return payloads.Select(ctx, f, l.info.Config, view, func(slot uint32) collection.Row {
		r := l.row(slot)
		return collection.Row{ID: r.id, Payload: r.payload, Vectors: 1} // of a plain collection
	})
}
