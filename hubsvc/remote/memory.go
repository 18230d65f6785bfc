package remote

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// grant is what the hub said of a key that is good. The key itself is not in it.
type grant struct {
	whose
	hash  hubsvc.KeyHash
	known bool // by its hash; else only by its id
	used  atomic.Int64

	outdated atomic.Bool // the tenant's limits are others since
}

// refusal is what the hub said of what is no good key.
type refusal struct {
	why  *hubsvc.Error
	at   time.Time
	used atomic.Int64
}

// quota is what the hub said of a tenant.
type quota struct {
	hubsvc.Quota
	at   time.Time
	used atomic.Int64
}

// memory is what this node knows of what the hub said. It may be used from
// anywhere.
//
// An answer that was under way while something changed may be from before the
// change. So whoever asks takes the era before, and what he was told is not
// remembered when the era is another one since.
type memory struct {
	options *CacheOptions

	mu struct {
		sync.RWMutex
		era      uint64
		keys     map[hubsvc.KeyHash]*grant
		ids      map[tenant.KeyID]*grant // all of keys, and those that are known by their id only
		tenants  map[tenant.ID]map[*grant]struct{}
		refusals map[hubsvc.KeyHash]*refusal
		quotas   map[tenant.ID]*quota

		ended  map[string]time.Time // ids of keys and of tenants that something ended
		closed time.Time            // when anything could have ended
	}
}

// endedMax is how many ids of what has ended are remembered.
const endedMax = 10_000

func newMemory(o *CacheOptions) *memory {
	m := &memory{options: o}
	m.mu.ended = map[string]time.Time{}
	m.forget()
	return m
}

// forget drops everything. mu is held, or m is new.
func (m *memory) forget() {
	m.mu.era++
	m.mu.keys, m.mu.ids = map[hubsvc.KeyHash]*grant{}, map[tenant.KeyID]*grant{}
	m.mu.tenants, m.mu.quotas = map[tenant.ID]map[*grant]struct{}{}, map[tenant.ID]*quota{}
	m.mu.refusals = map[hubsvc.KeyHash]*refusal{}
}

// reset drops everything, because events were missed.
func (m *memory) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget()
	m.mu.closed = time.Now()
	clear(m.mu.ended)
}

func (m *memory) eraNow() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mu.era
}

// key returns what is known of a key: a grant, a refusal that still counts, or
// neither.
func (m *memory) key(hash hubsvc.KeyHash, now time.Time) (*grant, *refusal) {
	m.mu.RLock()
	g, r := m.mu.keys[hash], m.mu.refusals[hash]
	m.mu.RUnlock()
	switch {
	case g != nil:
		g.used.Store(now.UnixNano())
		return g, nil
	case r != nil && now.Sub(r.at) < m.options.RefusedTTL:
		r.used.Store(now.UnixNano())
		return nil, r
	}
	return nil, nil
}

// id returns what is known of the key with an id.
func (m *memory) id(id tenant.KeyID, now time.Time) *grant {
	m.mu.RLock()
	g := m.mu.ids[id]
	m.mu.RUnlock()
	if g != nil {
		g.used.Store(now.UnixNano())
	}
	return g
}

// learnKey remembers what the hub said of a key, and reports whether nothing
// has changed since era.
func (m *memory) learnKey(hash hubsvc.KeyHash, w *whose, era uint64) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.era != era {
		return false
	}
	if m.options.Off {
		return true
	}
	m.drop(m.mu.keys[hash])
	if w.refusal != nil {
		evict(m.mu.refusals, m.refusalsMax(), func(r *refusal) int64 { return r.used.Load() }, func(h hubsvc.KeyHash, _ *refusal) { delete(m.mu.refusals, h) })
		r := &refusal{why: w.refusal, at: now}
		r.used.Store(now.UnixNano())
		m.mu.refusals[hash] = r
		return true
	}
	delete(m.mu.refusals, hash)
	m.keep(&grant{whose: *w, hash: hash, known: true}, now)
	return true
}

// learnID is learnKey for a key whose id was asked about.
func (m *memory) learnID(id tenant.KeyID, w *whose, era uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.era != era {
		return false
	}
	if m.options.Off {
		return true
	}
	before := m.mu.ids[id]
	m.drop(before)
	if w.refusal != nil {
		return true
	}
	g := &grant{whose: *w}
	if before != nil && before.known {
		g.hash, g.known = before.hash, true
	}
	m.keep(g, time.Now())
	return true
}

// refusalsMax bounds what a flood of wrong keys can fill.
func (m *memory) refusalsMax() int { return max(m.options.EntriesMax/10, 100) }

// keep adds a grant, in the place of another one if need be. mu is held.
func (m *memory) keep(g *grant, now time.Time) {
	evict(m.mu.ids, m.options.EntriesMax, func(g *grant) int64 { return g.used.Load() }, func(_ tenant.KeyID, g *grant) { m.drop(g) })
	m.drop(m.mu.ids[g.tc.KeyID])
	g.used.Store(now.UnixNano())
	m.mu.ids[g.tc.KeyID] = g
	if g.known {
		m.mu.keys[g.hash] = g
	}
	of := m.mu.tenants[g.tc.TenantID]
	if of == nil {
		of = map[*grant]struct{}{}
		m.mu.tenants[g.tc.TenantID] = of
	}
	of[g] = struct{}{}
}

// drop forgets a grant; nil is none. mu is held.
func (m *memory) drop(g *grant) {
	if g == nil {
		return
	}
	if m.mu.ids[g.tc.KeyID] == g {
		delete(m.mu.ids, g.tc.KeyID)
	}
	if g.known && m.mu.keys[g.hash] == g {
		delete(m.mu.keys, g.hash)
	}
	of := m.mu.tenants[g.tc.TenantID]
	delete(of, g)
	if len(of) == 0 {
		delete(m.mu.tenants, g.tc.TenantID)
	}
}

// evictAmong is how many entries are looked at to find one that was not used
// for long.
const evictAmong = 16

// evict makes room for one more entry below most: the one goes that was used
// longest ago among a few, which a map gives in no order.
func evict[K comparable, V any](of map[K]V, most int, used func(V) int64, drop func(K, V)) {
	if len(of) < most {
		return
	}
	var key K
	var oldest V
	least, seen := int64(math.MaxInt64), 0
	for k, v := range of {
		if u := used(v); u < least {
			key, oldest, least = k, v, u
		}
		if seen++; seen == evictAmong {
			break
		}
	}
	drop(key, oldest)
}

// quota returns what is known of a tenant, however old.
func (m *memory) quota(id tenant.ID, now time.Time) *quota {
	m.mu.RLock()
	q := m.mu.quotas[id]
	m.mu.RUnlock()
	if q != nil {
		q.used.Store(now.UnixNano())
	}
	return q
}

// learnQuota remembers what a tenant may use, nil that there is no such tenant,
// and reports whether nothing has changed since era.
func (m *memory) learnQuota(id tenant.ID, known *hubsvc.Quota, era uint64) bool {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.era != era {
		return false
	}
	delete(m.mu.quotas, id)
	if known == nil || m.options.Off {
		return true
	}
	evict(m.mu.quotas, m.options.EntriesMax, func(q *quota) int64 { return q.used.Load() }, func(id tenant.ID, _ *quota) { delete(m.mu.quotas, id) })
	q := &quota{Quota: *known, at: now}
	q.used.Store(now.UnixNano())
	m.mu.quotas[id] = q
	return true
}

// observe takes over what happened at the hub.
func (m *memory) observe(events []hubsvc.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.era++
	for _, e := range events {
		m.happened(e)
	}
}

func (m *memory) happened(e hubsvc.Event) {
	switch e.Kind {
	case hubsvc.EventKeyCreated:
		clear(m.mu.refusals)
	case hubsvc.EventKeyRevoked, hubsvc.EventKeyRotated:
		m.end(string(e.KeyID))
		m.drop(m.mu.ids[e.KeyID])
	case hubsvc.EventQuotaChanged:
		for id, q := range m.mu.quotas {
			if e.Tenant == id || e.Tenant == "" && (e.Plan == "" || e.Plan == q.Plan) {
				delete(m.mu.quotas, id)
			}
		}
		for _, g := range m.mu.ids {
			if e.Tenant == g.tc.TenantID || e.Tenant == "" && (e.Plan == "" || g.plan == "" || e.Plan == g.plan) {
				g.outdated.Store(true)
			}
		}
	case hubsvc.EventTenantSuspended, hubsvc.EventTenantResumed, hubsvc.EventTenantDeleted:
		m.end(string(e.Tenant))
		for g := range m.mu.tenants[e.Tenant] {
			m.drop(g)
		}
		delete(m.mu.quotas, e.Tenant)
		clear(m.mu.refusals)
	default: // of a later version of the hub: it may mean anything
		m.forget()
		m.mu.closed = time.Now()
	}
}

// end notes that an id is not what it was. mu is held.
func (m *memory) end(id string) {
	if len(m.mu.ended) >= endedMax {
		clear(m.mu.ended)
		m.mu.closed = time.Now()
	}
	m.mu.ended[id] = time.Now()
}

// mayStand reports whether what another node was told at a time can still be
// true, as far as the events tell.
func (m *memory) mayStand(tc *tenant.Context, now time.Time) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, key := m.mu.ended[string(tc.KeyID)]
	_, whole := m.mu.ended[string(tc.TenantID)]
	age := now.Sub(tc.ValidatedAt)
	return !key && !whole && tc.ValidatedAt.After(m.mu.closed) && age <= m.options.KeyTTL+m.options.Grace && age >= -time.Minute
}

// sizes are how many keys and tenants are known.
func (m *memory) sizes() (keys, tenants int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.mu.ids), len(m.mu.quotas)
}
