package actors

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// HubLimits is the LimitEvents of the embedded hub: it answers from the
// directory of this node, and tells of changes as they are applied here.
type HubLimits struct {
	keys   *hubsvc.Directory
	system atomic.Pointer[Replica]
	lost   atomic.Int64 // Unix nanoseconds since when nobody leads the hub, as far as anybody asked; 0: somebody does

	mu struct {
		sync.Mutex
		version uint64
		changed map[tenant.ID]bool // since Changed was asked last
		all     bool
		woken   chan struct{} // closed when there is something in changed
	}
}

// changedMost is how many tenants are told of one by one.
const changedMost = 10_000

// NewHubLimits returns the limits in a directory. Give Observe to the hub's
// Machine, behind the directory's own; call Reload behind the directory's;
// and Follow as soon as the node runs.
func NewHubLimits(keys *hubsvc.Directory) *HubLimits {
	h := &HubLimits{keys: keys}
	h.mu.changed, h.mu.woken = map[tenant.ID]bool{}, make(chan struct{})
	return h
}

// Follow says which replica the directory is filled from: while nobody leads
// it the directory may be old.
func (h *HubLimits) Follow(system *Replica) { h.system.Store(system) }

// Observe notes whose limits an applied command changed. It never waits.
func (h *HubLimits) Observe(c hubsvc.Change) {
	if len(c.Plans)+len(c.Tenants)+len(c.Purged) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.all = h.mu.all || len(c.Plans) > 0
	for _, t := range c.Tenants {
		h.mu.changed[t.ID] = true
	}
	for _, id := range c.Purged {
		h.mu.changed[id] = true
	}
	h.wake()
}

// Reload says that the directory is another one now.
func (h *HubLimits) Reload() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.all = true
	h.wake()
}

// wake tells whoever waits in Changed. mu is held.
func (h *HubLimits) wake() {
	if len(h.mu.changed) > changedMost || h.mu.all {
		h.mu.all = true
		clear(h.mu.changed)
	}
	h.mu.version++
	select {
	case <-h.mu.woken:
	default:
		close(h.mu.woken)
	}
}

// Changed implements LimitEvents, for one caller.
func (h *HubLimits) Changed(ctx context.Context, after uint64) (LimitChanges, error) {
	h.mu.Lock()
	woken := h.mu.woken
	h.mu.Unlock()
	select {
	case <-woken:
	case <-ctx.Done():
		return LimitChanges{Last: after}, ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := LimitChanges{All: h.mu.all, Last: h.mu.version}
	for id := range h.mu.changed {
		c.Tenants = append(c.Tenants, id)
	}
	h.mu.all, h.mu.woken = false, make(chan struct{})
	clear(h.mu.changed)
	return c, nil
}

var errHubWithoutLeader = errors.New("the system group has had no leader that this node knows for a minute")

// leaderless is how long the directory is taken for the truth while nobody is
// known to lead the hub: much longer than a fail-over takes.
const leaderless = time.Minute

// Limits returns the limits of the tenant's plan. When nobody has been known to
// lead the hub for long it fails, so that what is known grows old and is no
// longer good in the end.
func (h *HubLimits) Limits(_ context.Context, id tenant.ID) (tenant.Limits, error) {
	if r := h.system.Load(); r != nil {
		if leader, _ := r.Leader(); leader != 0 {
			h.lost.Store(0)
		} else if now := time.Now().UnixNano(); !h.lost.CompareAndSwap(0, now) && now-h.lost.Load() > int64(leaderless) {
			return tenant.Limits{}, errHubWithoutLeader
		}
	}
	limits, ok := h.keys.Limits(id)
	if !ok {
		return tenant.Limits{}, collection.Errorf(collection.NotFound, "there is no such tenant")
	}
	return limits, nil
}
