package remote

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

const (
	// eventWait is how long the hub holds a question for events. A connection
	// that died without a word is noticed eventMargin later.
	eventWait   = 10 * time.Second
	eventMargin = 5 * time.Second
	// The pause before the hub is tried again, doubled each time.
	probePauseMin = 100 * time.Millisecond
	probePauseMax = 5 * time.Second
	// noEventsPause is the pause after an answer that is no page of events, from
	// a hub that is there.
	noEventsPause = 5 * time.Second
	// The pause after a page without events that the hub did not hold back, or
	// that begins anew: doubled each time.
	hastePauseMin = time.Second
	hastePauseMax = 5 * time.Second
)

// follow reads the hub's events until Stop. As long as the hub is away it is the
// one who tries, with a question that does not wait. A hub that answers at once,
// whatever there is, is not asked in a loop.
func (h *Hub) follow() {
	pause, wait, haste, reset := probePauseMin, time.Duration(0), hastePauseMin, false
	for h.ctx.Err() == nil {
		asked := time.Now()
		p, err := h.readEvents(wait, reset)
		if err == nil {
			h.client.link.close()
			held := wait == 0 || len(p.events) > 0 || time.Since(asked) >= hastePauseMin
			pause, wait, reset = probePauseMin, eventWait, p.reset
			if held && !reset {
				haste = hastePauseMin
				continue
			}
			sleep(h.ctx, haste)
			haste = min(2*haste, hastePauseMax)
			continue
		}
		if wait = 0; errors.As(err, new(garbled)) || !errors.As(err, new(retryable)) && h.client.link.state().Connected {
			h.client.link.close() // it answers, if not this
			pause = noEventsPause
		}
		sleep(h.ctx, pause/2+rand.N(pause/2))
		pause = min(2*pause, probePauseMax)
	}
}

// readEvents asks for what happened behind what is known, and takes it over. It
// returns when that is done and kept. again says that the page before was a reset.
func (h *Hub) readEvents(wait time.Duration, again bool) (p eventPage, err error) {
	after := h.cursor.version()
	path := "/api/v1/events?after=" + strconv.FormatUint(after, 10) + "&wait=" + strconv.Itoa(int(wait/time.Second))
	err = h.client.try(h.ctx, question{
		method: "GET", path: path, bytesMax: pageBytesMax,
		decode: func(b []byte) (err error) { p, err = decodeEvents(b, after); return err },
	}, wait+eventMargin)
	if err != nil {
		return p, err
	}
	if p.reset && !again {
		h.options.Logger.Warn("events of the hub were missed: everything is asked for anew", "hub", h.options.URL)
	}
	if p.reset {
		h.memory.reset()
	}
	if len(p.events) > 0 {
		h.memory.observe(p.events)
	}
	if p.reset || len(p.events) > 0 {
		h.changes.note(p.events, p.reset)
	}
	var deleted []tenant.ID
	for _, e := range p.events {
		if e.Kind == hubsvc.EventTenantDeleted && e.Tenant != "" {
			deleted = append(deleted, e.Tenant)
		}
	}
	if p.last == after && len(deleted) == 0 {
		return p, nil
	}
	if err := h.cursor.advance(p.last, deleted); err != nil {
		h.options.Logger.Error("how far the hub's events were read is not kept", "error", err)
		return p, err
	}
	return p, nil
}

// eraseAgain is the pause before another try to drop a tenant's data.
const eraseAgain = 5 * time.Second

// eraseDeleted drops the data of tenants that the hub has deleted, until Stop.
// An event is not enough for that: the hub has to confirm that there is no such
// tenant any more.
func (h *Hub) eraseDeleted(erase func(context.Context, tenant.ID) error) {
	for h.ctx.Err() == nil {
		woken := h.cursor.wake()
		left := false
		for _, id := range h.cursor.deletions() {
			if err := h.eraseOne(id, erase); err != nil && h.ctx.Err() == nil {
				left = true
				h.options.Logger.Warn("the data of a deleted tenant stays for now", "tenant", id, "error", err)
			}
		}
		var again <-chan time.Time
		if left {
			again = time.After(eraseAgain)
		}
		select {
		case <-woken:
		case <-again:
		case <-h.ctx.Done():
		}
	}
}

func (h *Hub) eraseOne(id tenant.ID, erase func(context.Context, tenant.ID) error) error {
	switch _, err := h.freshQuota(h.ctx, id); {
	case err == nil:
		h.options.Logger.Warn("the hub has a tenant that it said was deleted: its data stays", "tenant", id)
		return h.cursor.erased(id)
	case !isNotFound(err):
		return err
	}
	if err := erase(h.ctx, id); err != nil {
		return err
	}
	h.options.Logger.Info("the data of a tenant that the hub has deleted is gone", "tenant", id)
	return h.cursor.erased(id)
}

// Erases reports whether the hub says that there is no such tenant: another
// node of the cluster wants its data gone.
func (h *Hub) Erases(ctx context.Context, id tenant.ID) bool {
	_, err := h.freshQuota(ctx, id)
	return isNotFound(err)
}
