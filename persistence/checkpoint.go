package persistence

import "fmt"

// Checkpoint moves a frozen delta into the store. Write may run on any
// goroutine, beside Apply and views.
type Checkpoint struct {
	p       *Partition
	base    *base
	meta    Meta
	frozen  *delta
	written bool
}

// BeginCheckpoint freezes what was applied so far; Apply goes on in a new
// delta. It returns false when a checkpoint is running, when the store already
// has everything, and when the partition is corrupt.
func (p *Partition) BeginCheckpoint() (*Checkpoint, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.base.Load()
	if p.frozen != nil || p.meta.Applied == b.store.Meta().Applied || b.Err() != nil {
		return nil, false
	}
	meta := p.meta
	meta.Digest = p.digest.bytes()
	p.frozen, p.active = p.active, new(delta)
	return &Checkpoint{p: p, base: b, meta: meta, frozen: p.frozen}, true
}

// Write makes the frozen delta durable. An error is final for the partition's
// store: DataLoss stops the partition, and any other (a full or failing disk)
// is a reason to end the process, because the disk may have kept any part of
// what was written. It does nothing when the partition has switched to another
// store.
func (c *Checkpoint) Write() error {
	c.written = true
	if !c.base.acquire() {
		return nil
	}
	defer c.base.release()
	err := c.base.store.Commit(c.meta, c.frozen.changes())
	if err != nil && c.p.base.Load() == c.base {
		c.written = false
		return c.base.fail(fmt.Errorf("checkpoint at %d: %w", c.meta.Applied, err))
	}
	return nil
}

// Finish drops the frozen delta after a Write that succeeded, and returns the
// index up to which the log may be cut.
func (c *Checkpoint) Finish() (applied uint64) {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.written && p.base.Load() != c.base {
		return c.meta.Applied // abandoned: the log begins later
	}
	if !c.written || p.frozen != c.frozen {
		panic(fmt.Sprintf("BUG: checkpoint at %d finished, written=%t", c.meta.Applied, c.written))
	}
	p.frozen = nil
	p.deltaBytes.Store(p.bytes())
	p.publish()
	return c.meta.Applied
}
