package grains

import (
	"context"
	"math/bits"
	"slices"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// Reads of points by a filter are answered from the index where a collection is
// active and its payloads are indexed, and else from the store. Both are
// linearizable: the caller has passed the read barrier, and what is
// acknowledged is in the index.

// surveyed returns the work on all points of a collection, nil where it is not
// active or its payloads are not indexed.
func (c *Client) surveyed(k grainKey) *execution {
	l := c.directory.live(k)
	if l == nil {
		return nil
	}
	return l.survey()
}

// countLive is Count from the index. It reports whether there is one.
func (c *Client) countLive(ctx context.Context, k grainKey, f *collection.Filter) (n uint64, done bool, err error) {
	x := c.surveyed(k)
	if x == nil {
		return 0, false, nil
	}
	defer x.end()
	n, err = x.count(ctx, f)
	return n, true, err
}

// count counts the points that a filter lets pass.
func (x *execution) count(ctx context.Context, f *collection.Filter) (n uint64, err error) {
	for _, t := range x.live.points() {
		v := x.views[t.number].slots()
		s, err := x.selected(ctx, t.number, f)
		if err != nil {
			return 0, err
		}
		for i, word := range s.Slots {
			if word != 0 {
				n += uint64(bits.OnesCount64(word & v.Visible(uint32(64*i))))
			}
		}
	}
	return n, nil
}

// scanShare is how many points of the index are gone through in the time that
// one takes in the store.
const scanShare = 16

// scrollLive is Scroll from the index. It reports whether that was done: not
// without a filter, nor where the points that pass are so many that a page of
// them is found sooner by going through the store.
func (c *Client) scrollLive(ctx context.Context, k grainKey, q *collection.ScrollRequest) (page collection.Page, done bool, err error) {
	if q.Filter == nil {
		return page, false, nil
	}
	x := c.surveyed(k)
	if x == nil {
		return page, false, nil
	}
	defer x.end()
	matches, points := 0, 0
	for _, t := range x.live.points() {
		s, err := x.selected(ctx, t.number, q.Filter)
		if err != nil {
			return page, false, err
		}
		for _, word := range s.Slots {
			matches += bits.OnesCount64(word)
		}
		points += x.views[t.number].slots().Len()
	}
	if matches > 0 && scanShare*(q.Limit+1)*(points/matches) < matches {
		return page, false, nil
	}
	page, err = x.page(ctx, q)
	c.count(k, x.cost)
	return page, true, err
}

// page answers a scroll.
func (x *execution) page(ctx context.Context, q *collection.ScrollRequest) (collection.Page, error) {
	want, err := q.WithPayload.Projection()
	if err != nil {
		return collection.Page{}, err
	}
	found, err := x.first(ctx, q.Filter, q.Offset, q.Limit+1)
	if err != nil {
		return collection.Page{}, err
	}
	page := collection.Page{Points: make([]collection.Point, min(q.Limit, len(found)))}
	for i, s := range found {
		r := x.live.tables[s.table].row(s.slot)
		if i == q.Limit {
			next := r.id
			page.Next = &next
			break
		}
		p := &page.Points[i]
		if p.ID = r.id; !want.None() {
			x.cost.Bytes += uint64(len(r.payload))
			if p.Payload, err = wantedPayload(r.payload, want); err != nil {
				return collection.Page{}, err
			}
		}
		if p.Vector, p.Vectors, err = x.vectors(s, q.WithVector); err != nil {
			return collection.Page{}, err
		}
	}
	return page, nil
}

// selectLive is selectPoints from the index. What was written after the views
// were taken has a greater number than the newest point in them, so that is
// what tells apply which points to pass over.
func (c *Client) selectLive(ctx context.Context, tc tenant.Context, info collection.Info, f *collection.Filter) (s selected, done bool, err error) {
	x := c.surveyed(grainKey{tc.TenantID, info.ID})
	if x == nil {
		return s, false, nil
	}
	defer x.end()
	s.info = info
	s.info.Changes = x.newest
	err = x.eachMatch(ctx, f, func(t *table, slot uint32) { s.ids = append(s.ids, t.row(slot).id) })
	slices.SortFunc(s.ids, collection.PointID.Compare)
	return s, true, err
}
