package grains

import (
	"context"
	"runtime"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

func (o *Options) ensureDefaults() {
	if o.IdleAfter == 0 {
		o.IdleAfter = 10 * time.Minute
	}
	if o.IndexBytesMax == 0 {
		o.IndexBytesMax = 4 << 30
	}
	if o.TailBytesMax == 0 {
		o.TailBytesMax = 128 << 20
	}
	if o.Builders == 0 {
		o.Builders = runtime.NumCPU()
	}
	if o.LoadsMax == 0 {
		o.LoadsMax = 2
	}
}

// Query returns the points that a query asks for, the best first. It activates
// the collection when it is idle, unless the query only lists points.
func (c *Client) Query(ctx context.Context, tc tenant.Context, name string, q collection.Query) ([]collection.Hit, error) {
	ctx, end := begin(ctx, "grain query")
	defer end()
	hits, err := c.query(ctx, tc, name, &planned{asked: q})
	return hits, asError(err)
}

func (c *Client) query(ctx context.Context, tc tenant.Context, name string, p *planned) ([]collection.Hit, error) {
	q := &p.asked
	if err := q.Validate(c.options.Limits); err != nil {
		return nil, err
	}
	view, info, err := c.open(ctx, tc, name)
	if err != nil {
		return nil, err
	}
	if err := info.Config.Check(q.WithVector); err != nil {
		view.Close()
		return nil, err
	}
	if listed(q) {
		defer view.Close()
		t, err := c.queue.enter(ctx, tc.TenantID, scrollCost)
		if err != nil {
			return nil, err
		}
		defer t.leave()
		return c.list(t, tc, view, info, q)
	}
	err = planOf(view, tc, &info, p)
	view.Close()
	if err != nil {
		return nil, err
	}
	h, live, err := c.acquire(ctx, tc, info)
	if err != nil {
		return nil, err
	}
	defer c.directory.release(h)
	t, err := c.queue.enter(ctx, tc.TenantID, live.cost(&p.plan))
	if err != nil {
		return nil, err
	}
	defer t.leave()
	hits, err := live.query(t, p)
	if err == nil {
		p.cost.Searches = 1
	}
	c.count(h.key, p.cost)
	return hits, err
}

// Turn waits for a turn of a tenant for work that is thought to take cost: it
// may wait for nothing while it has it. leave ends it.
func (c *Client) Turn(ctx context.Context, id tenant.ID, cost time.Duration) (leave func(), err error) {
	t, err := c.queue.enter(ctx, id, cost)
	if err != nil {
		return nil, asError(err)
	}
	return t.leave, nil
}

// RunStats are what the queue for the processors has done.
func (c *Client) RunStats() RunStats { return c.queue.stats() }

// listed reports whether a query asks for nothing: it lists points.
func listed(q *collection.Query) bool {
	return q.Nearest == nil && q.Recommend == nil && q.Fusion == nil
}

// list answers a query that asks for nothing with the points of the least ids,
// which score 1, as in Qdrant.
func (c *Client) list(ctx context.Context, tc tenant.Context, view collection.View, info collection.Info, q *collection.Query) ([]collection.Hit, error) {
	page, err := c.scroll(ctx, tc, view, info, &collection.ScrollRequest{
		Limit: q.Limit + q.Offset, Filter: q.Filter, WithPayload: q.WithPayload, WithVector: q.WithVector,
	})
	if err != nil {
		return nil, err
	}
	points := page.Points[min(q.Offset, len(page.Points)):]
	hits := make([]collection.Hit, len(points))
	for i, p := range points {
		hits[i] = collection.Hit{ID: p.ID, Score: 1, Payload: p.Payload, Vector: p.Vector, Vectors: p.Vectors}
	}
	return hits, nil
}

// acquire returns the index of a collection and the grain that has it, pinned.
// One that was made with settings that change answers makes room for another.
func (c *Client) acquire(ctx context.Context, tc tenant.Context, info collection.Info) (*handle, *liveIndex, error) {
	h := c.directory.acquire(grainKey{tc.TenantID, info.ID})
	live, err := c.activated(ctx, h, info)
	if err == nil && live.configured.Load() && live.outdated(info.Config) {
		live.reset.Store(true)
		c.directory.release(h)
		h = c.directory.acquire(grainKey{tc.TenantID, info.ID})
		live, err = c.activated(ctx, h, info)
	}
	if err != nil {
		c.directory.release(h)
		return nil, nil, err
	}
	return h, live, nil
}

// outdated reports whether a search would find something else with settings
// than with those that the index was made with.
func (l *liveIndex) outdated(c collection.Config) bool {
	for i := range c.Sparse {
		if c.Sparse[i].IDF != l.info.Config.Sparse[i].IDF {
			return true
		}
	}
	return false
}

// activated returns the grain's index, loading it when the grain has none.
func (c *Client) activated(ctx context.Context, h *handle, info collection.Info) (*liveIndex, error) {
	if live := h.live.Load(); live != nil {
		return live, nil
	}
	reply := make(chan error, 1)
	c.node.System().Root.Send(h.pid, &activate{info: info, reply: reply})
	select {
	case err := <-reply:
		if err != nil {
			return nil, err
		}
		return h.live.Load(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sweep passivates what is idle, and what is over the memory budget.
func (c *Client) sweep() {
	every := time.NewTicker(max(time.Second, c.options.IdleAfter/10))
	defer every.Stop()
	for {
		select {
		case <-every.C:
			c.Sweep()
			c.options.Quotas.Sweep()
		case <-c.background.Done():
			return
		}
	}
}

// Sweep passivates grains unused for IdleAfter, and the longest unused ones
// while all together hold more than IndexBytesMax. It runs by itself; calling
// it only makes it happen now. It returns how many were passivated.
func (c *Client) Sweep() int {
	total := c.IndexBytes()
	victims := c.directory.passivate(func(h *handle, idle time.Duration) bool {
		var held int64
		if live := h.live.Load(); live != nil {
			held = live.memory()
		}
		if idle < c.options.IdleAfter && (total <= c.options.IndexBytesMax || held == 0) {
			return false
		}
		total -= held
		return true
	})
	for _, h := range victims {
		c.saveRetired(c.background, h)
	}
	return len(victims)
}

// Waiting is how many vectors of active collections are searchable and not yet
// in their graphs.
func (c *Client) Waiting() int {
	c.directory.mu.Lock()
	defer c.directory.mu.Unlock()
	sum := 0
	for _, h := range c.directory.grains {
		if live := h.live.Load(); live != nil {
			sum += live.waiting()
		}
	}
	return sum
}

// IndexBytes is the memory that the indexes of active collections hold.
func (c *Client) IndexBytes() int64 {
	c.directory.mu.Lock()
	defer c.directory.mu.Unlock()
	var sum int64
	for _, h := range c.directory.grains {
		if live := h.live.Load(); live != nil {
			sum += live.memory()
		}
	}
	return sum
}
