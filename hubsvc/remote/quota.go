package remote

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// Quota returns what a tenant may use, or NOT_FOUND. While the hub is away what
// is known is good for the grace time.
func (h *Hub) Quota(ctx context.Context, id tenant.ID) (hubsvc.Quota, error) {
	q, _, err := h.quota(ctx, id)
	return q, err
}

// quota is Quota, and whether the hub has not confirmed the answer lately.
func (h *Hub) quota(ctx context.Context, id tenant.ID) (q hubsvc.Quota, stale bool, err error) {
	now := time.Now()
	known := h.memory.quota(id, now)
	good := known != nil && now.Sub(known.at) <= h.options.Cache.QuotaTTL+h.options.Cache.Grace
	if known != nil && now.Sub(known.at) <= h.options.Cache.QuotaTTL {
		return known.Quota, false, nil
	}
	if good {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, staleWait)
		defer cancel()
	}
	q, err = h.freshQuota(ctx, id)
	if err != nil && isAway(err) && good && h.memory.quota(id, now) == known {
		return known.Quota, true, nil
	}
	return q, false, err
}

// freshQuota asks the hub, whatever is known.
func (h *Hub) freshQuota(ctx context.Context, id tenant.ID) (hubsvc.Quota, error) {
	if _, err := tenant.ParseID(string(id)); err != nil {
		return hubsvc.Quota{}, errNoTenant
	}
	return h.quotas.do(ctx, id, h.run, func() (hubsvc.Quota, error) { return h.askQuota(id) })
}

func (h *Hub) askQuota(id tenant.ID) (q hubsvc.Quota, err error) {
	for range erasAtMost {
		era := h.memory.eraNow()
		err = h.client.ask(h.ctx, question{
			method: "GET", path: "/api/internal/vectorizer/user/" + url.PathEscape(string(id)) + "/quota?usage=false",
			decode: func(b []byte) (err error) { q, err = decodeQuota(b, id); return err },
		})
		known := &q
		if isNotFound(err) {
			known = nil
		} else if err != nil {
			break
		}
		if h.memory.learnQuota(id, known, era) {
			break
		}
	}
	return q, err
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*hubsvc.Error](err)
	return ok && e.Code == hubsvc.CodeNotFound
}

// servicePermissions are those of a service that acts for a tenant.
var servicePermissions = []tenant.Permission{tenant.Admin}

// ActFor returns the context of a request for a tenant that a service has
// signed; service is what Authenticate made of its key. The error is NOT_FOUND
// for a tenant that is not there.
func (h *Hub) ActFor(ctx context.Context, id tenant.ID, service tenant.Context, nonce string) (tenant.Context, error) {
	if service.Service == "" {
		return tenant.Context{}, errNoTenant
	}
	q, stale, err := h.quota(ctx, id)
	if err != nil {
		return tenant.Context{}, err
	}
	tc := service
	tc.TenantID, tc.TenantName, tc.Limits, tc.Rates = id, q.Name, q.Limits, someRates(q.Rates)
	tc.Permissions, tc.Suspended, tc.Nonce = servicePermissions, q.Suspended, nonce
	tc.Stale = tc.Stale || stale
	return tc, nil
}

// Limits returns what the hub says at this moment that a tenant may use. Whoever
// asks keeps the answer himself, and learns from Changed when it is another one.
func (h *Hub) Limits(ctx context.Context, id tenant.ID) (tenant.Limits, error) {
	q, err := h.freshQuota(ctx, id)
	return q.Limits, err
}

// changes are whose limits changed since Changed was asked last.
type changes struct {
	mu      sync.Mutex
	tenants map[tenant.ID]bool
	all     bool
	version uint64
	woken   chan struct{} // closed when there is something
}

// changedMost is how many tenants are told of one by one.
const changedMost = 10_000

// Changes are whose limits changed, up to a version.
type Changes struct {
	Tenants []tenant.ID
	All     bool // perhaps everybody's
	Last    uint64
}

// note takes over what happened; all says that anything may have.
func (c *changes) note(events []hubsvc.Event, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	any := all
	for _, e := range events {
		switch e.Kind {
		case hubsvc.EventKeyCreated, hubsvc.EventKeyRevoked, hubsvc.EventKeyRotated:
			continue
		}
		any = true
		if e.Tenant == "" {
			all = true
		} else {
			c.tenants[e.Tenant] = true
		}
	}
	if !any {
		return
	}
	if c.all = c.all || all || len(c.tenants) > changedMost; c.all {
		clear(c.tenants)
	}
	c.version++
	select {
	case <-c.woken:
	default:
		close(c.woken)
	}
}

// Changed waits until limits change, for one caller.
func (h *Hub) Changed(ctx context.Context, after uint64) (Changes, error) {
	c := &h.changes
	c.mu.Lock()
	woken := c.woken
	c.mu.Unlock()
	select {
	case <-woken:
	case <-ctx.Done():
		return Changes{Last: after}, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	found := Changes{All: c.all, Last: c.version}
	for id := range c.tenants {
		found.Tenants = append(found.Tenants, id)
	}
	c.all, c.woken = false, make(chan struct{})
	clear(c.tenants)
	return found, nil
}
