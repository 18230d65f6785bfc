package grains

import (
	"context"
	"slices"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// byFilter reports whether a filter selects the points of a write.
func byFilter(w collection.Write) bool {
	s := selectionOf(&w)
	return s != nil && s.Filter != nil
}

// writeInTurn performs a batch in which filters select points: they have to see
// what the writes before them did, so it is several entries, in order, and not
// all or nothing. The first that fails is the last.
func (c *Client) writeInTurn(ctx context.Context, tc tenant.Context, name string, batch []collection.Write, o collection.WriteOptions) (collection.Answer, error) {
	if o.IdempotencyKey != "" {
		return collection.Answer{}, collection.Errorf(collection.InvalidArgument,
			"with an idempotency key the operations of a batch name their points by ids")
	}
	if len(batch) > collection.BatchOpsMax {
		return collection.Answer{}, collection.Errorf(collection.InvalidArgument,
			"%d operations in one request, at most %d are allowed", len(batch), collection.BatchOpsMax)
	}
	o.Wait = true
	var sum collection.Answer
	for len(batch) > 0 {
		var w collection.Write
		if n := slices.IndexFunc(batch, byFilter); n == 0 {
			w, batch = batch[0], batch[1:]
		} else {
			if n < 0 {
				n = len(batch)
			}
			w, batch = collection.Write{Batch: batch[:n]}, batch[n:]
		}
		answer, err := c.Write(ctx, tc, name, w, o)
		if err != nil {
			return sum, err
		}
		answer.Affected += sum.Affected
		sum = answer
	}
	return sum, nil
}

// selected are the points that a filter selected in one view.
type selected struct {
	info collection.Info // Changes: as of the view
	ids  []collection.PointID
}

// writeByFilter changes the points that pass w's filter. Apply knows no
// filters: the ids are read here, from one view, and apply passes over those
// that were written since, because what was written may not pass any more.
// Those are looked at again, in a newer view, until each was changed in the
// state that was looked at or does not pass. So a point that somebody wrote
// meanwhile, and was told so, is never lost to a filter that it does not pass.
// It is waited for even when the caller does not: there may be a next round.
func (c *Client) writeByFilter(ctx context.Context, tc tenant.Context, name string, w collection.Write, o collection.WriteOptions) (collection.Answer, error) {
	o.Wait = true
	filter := selectionOf(&w).Filter
	s, err := c.selectPoints(ctx, tc, name, filter)
	if err != nil {
		return collection.Answer{}, err
	}
	if o.IdempotencyKey != "" {
		return c.writeKeyed(ctx, tc, name, w, o, s)
	}
	first, affected := s.info.ID, 0
	for {
		answer, err := c.writeSelected(ctx, tc, w, o, s)
		affected += answer.Affected
		answer.Affected = affected
		if err != nil || len(answer.Moved) == 0 {
			return answer, err
		}
		if s, err = c.selectAmong(ctx, tc, name, filter, answer.Moved); err != nil {
			return answer, err
		}
		if answer.Moved = nil; s.info.ID != first || len(s.ids) == 0 {
			return answer, nil // the collection was replaced, or nothing passes
		}
	}
}

// writeKeyed is writeByFilter with an idempotency key: one entry, which is
// refused whole when one of its points was written since, and proposed anew.
func (c *Client) writeKeyed(ctx context.Context, tc tenant.Context, name string, w collection.Write, o collection.WriteOptions, s selected) (collection.Answer, error) {
	filter := selectionOf(&w).Filter
	for {
		if most := c.options.Limits.BatchPoints; len(s.ids) > most {
			return collection.Answer{}, collection.Errorf(collection.InvalidArgument,
				"the filter selects %d points; with an idempotency key a write may change at most %d", len(s.ids), most)
		}
		answer, err := c.writeSelected(ctx, tc, w, o, s)
		if collection.CodeOf(err) != collection.Aborted {
			return answer, err
		}
		if s, err = c.selectPoints(ctx, tc, name, filter); err != nil {
			return collection.Answer{}, err
		}
	}
}

// writeSelected makes one entry of as many points as an entry may hold, until
// there are none left; of none it makes one, so that the write has a number.
func (c *Client) writeSelected(ctx context.Context, tc tenant.Context, w collection.Write, o collection.WriteOptions, s selected) (collection.Answer, error) {
	w = copied(w)
	var sum collection.Answer
	for first := true; first || len(s.ids) > 0; first = false {
		n := min(len(s.ids), c.options.Limits.BatchPoints)
		*selectionOf(&w) = collection.Selection{IDs: s.ids[:n]}
		s.ids = s.ids[n:]
		answer, err := c.writeOnce(ctx, tc, s.info, w, o, s.info.Changes)
		if err != nil {
			return sum, err
		}
		answer.Affected += sum.Affected
		answer.Moved = append(sum.Moved, answer.Moved...)
		sum = answer
	}
	return sum, nil
}

// copied returns w with a selection of its own: the caller's is read again.
func copied(w collection.Write) collection.Write {
	switch {
	case w.Delete != nil:
		w.Delete = new(*w.Delete)
	case w.SetPayload != nil:
		w.SetPayload = new(*w.SetPayload)
	case w.OverwritePayload != nil:
		w.OverwritePayload = new(*w.OverwritePayload)
	case w.DeletePayload != nil:
		w.DeletePayload = new(*w.DeletePayload)
	case w.DeleteVectors != nil:
		w.DeleteVectors = new(*w.DeleteVectors)
	case w.ClearPayload != nil:
		w.ClearPayload = new(*w.ClearPayload)
	}
	return w
}

// selectPoints reads the ids of the points that pass the filter now.
func (c *Client) selectPoints(ctx context.Context, tc tenant.Context, name string, f *collection.Filter) (selected, error) {
	t, view, info, err := c.openInTurn(ctx, tc, name, scrollCost)
	if err != nil {
		return selected{}, err
	}
	defer t.leave()
	defer view.Close()
	if s, done, err := c.selectLive(t, tc, info, f); done || err != nil {
		return s, err
	}
	s := selected{info: info}
	err = matching(t, view, info, nil, f, func(rec collection.Record) (bool, error) {
		s.ids = append(s.ids, rec.ID())
		return true, nil
	})
	return s, err
}

// selectAmong is selectPoints for some ids only.
func (c *Client) selectAmong(ctx context.Context, tc tenant.Context, name string, f *collection.Filter, ids []collection.PointID) (selected, error) {
	t, view, info, err := c.openInTurn(ctx, tc, name, time.Duration(len(ids))*pointCost)
	if err != nil {
		return selected{}, err
	}
	defer t.leave()
	defer view.Close()
	s, match := selected{info: info}, f.Compile(info.Config)
	for i, id := range ids {
		if i%64 == 63 && t.Err() != nil {
			return selected{}, ctx.Err()
		}
		rec, _, there, err := collection.GetPoint(view, info.ID, id)
		if err != nil {
			return selected{}, err
		}
		if there && match.MatchesRecord(id, rec.PayloadBytes(), info.Config.Has(rec)) {
			s.ids = append(s.ids, id)
		}
	}
	return s, nil
}
