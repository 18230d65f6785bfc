package grains

import (
	"sync"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// namesMax bounds the cache; past it, it begins anew.
const namesMax = 10_000

// nameCache remembers which collection a name meant, for writes only. It may
// be out of date: a write goes to the collection's id, and apply refuses it
// when that collection is gone, whatever has its name now. The caller then
// forgets the name and looks again. What is remembered of a collection, its
// id and its configuration, never changes.
type nameCache struct {
	mu    sync.RWMutex
	infos map[nameKey]collection.Info
}

type nameKey struct {
	tenant tenant.ID
	name   string
}

func (n *nameCache) get(id tenant.ID, name string) (collection.Info, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	info, ok := n.infos[nameKey{id, name}]
	return info, ok
}

func (n *nameCache) put(id tenant.ID, info collection.Info) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.infos == nil || len(n.infos) >= namesMax {
		n.infos = map[nameKey]collection.Info{}
	}
	n.infos[nameKey{id, info.Name}] = info
}

func (n *nameCache) forget(id tenant.ID, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.infos, nameKey{id, name})
}
