package grains

import (
	"context"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/persistence/tally"
	"github.com/hivehub/waggle/tenant"
)

// GetCollection describes a collection: its settings, how far its graphs are,
// and its declared fields.
func (c *Client) GetCollection(ctx context.Context, tc tenant.Context, name string) (collection.Info, error) {
	view, info, err := c.open(ctx, tc, name)
	if err != nil {
		return info, asError(err)
	}
	defer view.Close()
	if live := c.directory.live(grainKey{tc.TenantID, info.ID}); live != nil {
		live.describe(&info)
	}
	return info, asError(c.fields(ctx, tc, view, &info))
}

// ListCollections describes the tenant's collections, in the order of their names.
func (c *Client) ListCollections(ctx context.Context, tc tenant.Context) ([]collection.Info, error) {
	view, err := c.read(ctx, tc)
	if err != nil {
		return nil, asError(err)
	}
	defer view.Close()
	infos, err := collection.ListCollections(view, tc.TenantID)
	return infos, asError(err)
}

// What work is thought to take before anything is known of it. What it took is
// counted afterwards.
const (
	pointCost  = 2 * time.Microsecond   // one point, by its id
	scrollCost = 100 * time.Microsecond // a page, or a count
)

// Retrieve returns the points of ids that are there, in the order of ids.
func (c *Client) Retrieve(ctx context.Context, tc tenant.Context, name string, ids []collection.PointID,
	payload collection.PayloadSelector, vectors collection.VectorSelector,
) ([]collection.Point, error) {
	t, view, info, err := c.openInTurn(ctx, tc, name, time.Duration(len(ids))*pointCost)
	if err != nil {
		return nil, asError(err)
	}
	defer t.leave()
	defer view.Close()
	if err := info.Config.Check(vectors); err != nil {
		return nil, asError(err)
	}
	want, err := payload.Projection()
	if err != nil {
		return nil, asError(err)
	}
	points := make([]collection.Point, 0, len(ids))
	var cost tally.Counts
	defer func() { c.count(grainKey{tc.TenantID, info.ID}, cost) }()
	for i, id := range ids {
		if i%64 == 63 && t.Err() != nil {
			return nil, asError(ctx.Err())
		}
		rec, _, ok, err := collection.GetPoint(view, info.ID, id)
		if err != nil {
			return nil, asError(err)
		}
		if !ok {
			continue
		}
		cost.Bytes += uint64(len(rec.Bytes()))
		p, err := pointOf(info.Config, rec, want, vectors)
		if err != nil {
			return nil, asError(err)
		}
		points = append(points, p)
	}
	return points, nil
}

// Scroll returns points in the order of their ids.
func (c *Client) Scroll(ctx context.Context, tc tenant.Context, name string, q collection.ScrollRequest) (collection.Page, error) {
	t, view, info, err := c.openInTurn(ctx, tc, name, scrollCost)
	if err != nil {
		return collection.Page{}, asError(err)
	}
	defer t.leave()
	defer view.Close()
	if err := info.Config.Check(q.WithVector); err != nil {
		return collection.Page{}, asError(err)
	}
	page, err := c.scroll(t, tc, view, info, &q)
	return page, asError(err)
}

func (c *Client) scroll(ctx context.Context, tc tenant.Context, view collection.View, info collection.Info, q *collection.ScrollRequest) (collection.Page, error) {
	page, done, err := c.scrollLive(ctx, grainKey{tc.TenantID, info.ID}, q)
	if done || err != nil {
		return page, err
	}
	want, err := q.WithPayload.Projection()
	if err != nil {
		return collection.Page{}, err
	}
	page = collection.Page{Points: []collection.Point{}}
	var cost tally.Counts
	defer func() { c.count(grainKey{tc.TenantID, info.ID}, cost) }()
	err = matching(ctx, view, info, q.Offset, q.Filter, func(rec collection.Record) (bool, error) {
		cost.Bytes += uint64(len(rec.Bytes()))
		if len(page.Points) == q.Limit {
			id := rec.ID()
			page.Next = &id
			return false, nil
		}
		p, err := pointOf(info.Config, rec, want, q.WithVector)
		page.Points = append(page.Points, p)
		return true, err
	})
	return page, err
}

// Count counts the points that pass the filter, exactly.
func (c *Client) Count(ctx context.Context, tc tenant.Context, name string, f *collection.Filter) (uint64, error) {
	t, view, info, err := c.openInTurn(ctx, tc, name, scrollCost)
	if err != nil {
		return 0, asError(err)
	}
	defer t.leave()
	defer view.Close()
	if f == nil {
		return info.Points, nil
	}
	n, done, err := c.countLive(t, grainKey{tc.TenantID, info.ID}, f)
	if done || err != nil {
		return n, asError(err)
	}
	var cost tally.Counts
	defer func() { c.count(grainKey{tc.TenantID, info.ID}, cost) }()
	err = matching(t, view, info, nil, f, func(rec collection.Record) (bool, error) {
		cost.Bytes += uint64(len(rec.Bytes()))
		n++
		return true, nil
	})
	return n, asError(err)
}

// matching calls fn with the points that pass the filter, in the order of
// their ids from offset on, until fn returns false. It looks at ctx every
// 128 points, each of which may have to be read from the disk.
func matching(ctx context.Context, r collection.Reader, info collection.Info, offset *collection.PointID, f *collection.Filter,
	fn func(collection.Record) (bool, error),
) error {
	match := func(collection.Record) bool { return true }
	if f != nil {
		compiled := f.Compile(info.Config)
		match = func(rec collection.Record) bool {
			return compiled.MatchesRecord(rec.ID(), rec.PayloadBytes(), info.Config.Has(rec))
		}
	}
	var failed error
	n := 0
	err := collection.ScanIDs(r, info.ID, offset, func(_ collection.PointID, version uint64) bool {
		if n++; n%128 == 0 {
			if failed = ctx.Err(); failed != nil {
				return false
			}
		}
		rec, ok, err := collection.GetPointByVersion(r, info.ID, version)
		if err == nil && !ok {
			err = collection.Errorf(collection.DataLoss, "a point is in the index of ids and not in the store")
		}
		if err != nil {
			failed = err
			return false
		}
		if !match(rec) {
			return true
		}
		more, err := fn(rec)
		failed = err
		return more && err == nil
	})
	if err == nil {
		err = failed
	}
	return err
}

func pointOf(c collection.Config, rec collection.Record, want collection.Projection, vectors collection.VectorSelector) (collection.Point, error) {
	p := collection.Point{ID: rec.ID()}
	var err error
	if p.Payload, err = wantedPayload(rec.PayloadBytes(), want); err != nil {
		return p, err
	}
	p.Vector, p.Vectors = c.VectorsOf(rec, vectors)
	return p, nil
}
