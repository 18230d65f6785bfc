package embedding

import (
	"container/list"
	"crypto/sha256"
	"sync"
)

// cacheKey names a text of a tenant under an endpoint: never shared between
// tenants, so that the time of an answer tells nobody what another has asked.
type cacheKey struct {
	tenant   string
	endpoint [sha256.Size]byte
	text     [sha256.Size]byte
}

// entryOverhead is what an entry costs beside its vector, roughly.
const entryOverhead = 256

// cache holds vectors of queries, bounded by bytes; the one unused for longest
// goes. A vector in it is never changed.
type cache struct {
	bytesMax int
	mu       struct {
		sync.Mutex
		bytes int
		byKey map[cacheKey]*list.Element
		order *list.List // of *cached, the newest first
	}
}

type cached struct {
	key    cacheKey
	vector []float32
}

func (c *cached) bytes() int { return entryOverhead + len(c.key.tenant) + 4*len(c.vector) }

func newCache(bytesMax int) *cache {
	c := &cache{bytesMax: bytesMax}
	c.mu.byKey, c.mu.order = map[cacheKey]*list.Element{}, list.New()
	return c
}

func (c *cache) get(key cacheKey) ([]float32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.mu.byKey[key]
	if !ok {
		return nil, false
	}
	c.mu.order.MoveToFront(el)
	return el.Value.(*cached).vector, true
}

func (c *cache) put(key cacheKey, vector []float32) {
	item := &cached{key: key, vector: vector}
	if item.bytes() > c.bytesMax {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.mu.byKey[key]; ok {
		c.remove(el)
	}
	c.mu.byKey[key] = c.mu.order.PushFront(item)
	c.mu.bytes += item.bytes()
	for c.mu.bytes > c.bytesMax {
		c.remove(c.mu.order.Back())
	}
}

func (c *cache) remove(el *list.Element) {
	item := c.mu.order.Remove(el).(*cached)
	delete(c.mu.byKey, item.key)
	c.mu.bytes -= item.bytes()
}
