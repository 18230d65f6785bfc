package grains

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/cluster"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/tenant"
)

// Kind is the name of the collection grain's kind.
const Kind = "collection"

// grainKey is a grain's identity.
type grainKey struct {
	tenant     tenant.ID
	collection uint64
}

// String is the identity as the actor library knows it.
func (k grainKey) String() string {
	return string(k.tenant) + "/" + strconv.FormatUint(k.collection, 10)
}

func parseIdentity(s string) (grainKey, bool) {
	id, number, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(number, 10, 64)
	return grainKey{tenant: tenant.ID(id), collection: n}, ok && err == nil && id != ""
}

// handle is one activated grain. Between acquire and release it is pinned: it
// is not passivated, so that no message is posted to an actor that stops.
type handle struct {
	key      grainKey
	replica  *actors.Replica // of its partition; set by spawn
	pid      *actor.PID
	pins     int  // guarded by directory.mu
	retired  bool // out of the directory; stopped with its last pin. Guarded by directory.mu
	lastUsed time.Time
	live     atomic.Pointer[liveIndex] // nil until the collection was searched
}

// stale reports whether the index does not follow the partition any more.
func (h *handle) stale() bool {
	live := h.live.Load()
	return live != nil && live.reset.Load()
}

// retire ends the subscription of the index. Nothing may be loading.
func (h *handle) retire() {
	if live := h.live.Load(); live != nil {
		live.ended.Store(true)
		h.replica.Unsubscribe(h.key.collection)
	}
}

// directory is this node's identity lookup: which grains are active here. mu
// guards the map and the pins.
type directory struct {
	spawn func(*handle) *actor.PID
	stop  func(*handle)
	now   func() time.Time

	mu     sync.Mutex
	grains map[grainKey]*handle
}

var _ cluster.IdentityLookup = (*directory)(nil)

// acquire returns the grain, spawned if need be, and pins it. One whose index is
// not continued, because an image replaced the partition's state, makes room
// for another.
func (d *directory) acquire(k grainKey) *handle {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.grains[k]
	if h != nil && h.stale() {
		d.discardLocked(h)
		h = nil
	}
	if h == nil {
		h = &handle{key: k}
		h.pid = d.spawn(h)
		d.grains[k] = h
	}
	h.pins++
	h.lastUsed = d.now()
	return h
}

// pin pins a grain once more; false when it is no longer the active one.
func (d *directory) pin(h *handle) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.grains[h.key] != h {
		return false
	}
	h.pins++
	return true
}

// removeLocked takes a grain out: the next one of its key can subscribe at
// once, however long this one takes to stop.
func (d *directory) removeLocked(h *handle) {
	delete(d.grains, h.key)
	h.retire()
}

// discardLocked takes a grain out that may be pinned.
func (d *directory) discardLocked(h *handle) {
	d.removeLocked(h)
	h.retired = true
	if h.pins == 0 {
		d.stop(h)
	}
}

func (d *directory) release(h *handle) {
	d.mu.Lock()
	h.pins--
	last := h.retired && h.pins == 0
	d.mu.Unlock()
	if last {
		d.stop(h)
	}
}

// passivate stops the unpinned grains that want picks, in the order of their
// last use, and returns them. want sees every active grain's age and memory.
func (d *directory) passivate(want func(h *handle, idle time.Duration) bool) []*handle {
	d.mu.Lock()
	var victims []*handle
	now := d.now()
	for _, h := range d.byLastUse() {
		if h.pins == 0 && want(h, now.Sub(h.lastUsed)) {
			d.removeLocked(h)
			victims = append(victims, h)
		}
	}
	d.mu.Unlock()
	for _, h := range victims {
		d.stop(h)
	}
	return victims
}

// everyGrain is for passivate.
func everyGrain(*handle, time.Duration) bool { return true }

// all returns the active grains.
func (d *directory) all() []*handle {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byLastUse()
}

// byLastUse returns the active grains, the longest unused first.
func (d *directory) byLastUse() []*handle {
	all := make([]*handle, 0, len(d.grains))
	for _, h := range d.grains {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *handle) int {
		return cmp.Or(a.lastUsed.Compare(b.lastUsed), cmp.Compare(a.key.collection, b.key.collection))
	})
	return all
}

// drop forgets a collection that was deleted; it stops when the last pin goes
// or, at the latest, with the sweep.
func (d *directory) drop(k grainKey) {
	d.mu.Lock()
	h := d.grains[k]
	if h != nil && h.pins == 0 {
		d.removeLocked(h)
	} else {
		h = nil
	}
	d.mu.Unlock()
	if h != nil {
		d.stop(h)
	}
}

// live returns the index of a collection, nil when it has none in memory. It
// activates nothing and counts as no use.
func (d *directory) live(k grainKey) *liveIndex {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.grains[k]; h != nil {
		return h.live.Load()
	}
	return nil
}

// active is how many grains are active.
func (d *directory) active() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.grains)
}

// Get is the library's way in: identity to PID, activating the grain. An
// unknown kind or malformed identity has no PID.
func (d *directory) Get(id *cluster.ClusterIdentity) *actor.PID {
	k, ok := parseIdentity(id.GetIdentity())
	if !ok || id.GetKind() != Kind {
		return nil
	}
	h := d.acquire(k)
	defer d.release(h)
	return h.pid
}

// RemovePid does nothing: a PID ends with its grain, never by a caller's word.
func (d *directory) RemovePid(*cluster.ClusterIdentity, *actor.PID) {}

// Setup does nothing: placement is read from the groups, not from members.
func (d *directory) Setup(*cluster.Cluster, []string, bool) {}

// Shutdown passivates every unpinned grain. It may be called twice.
func (d *directory) Shutdown() {
	d.passivate(everyGrain)
}
