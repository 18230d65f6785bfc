package grains

import (
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// SaveDue writes the graphs that are due at a time.
func (c *Client) SaveDue(now time.Time) { c.saveDue(now) }

// Surveyable reports whether reads by a filter are answered from the index.
func (c *Client) Surveyable(tc tenant.Context, collection uint64) bool {
	x := c.surveyed(grainKey{tc.TenantID, collection})
	if x == nil {
		return false
	}
	x.end()
	return true
}

// LoadWithPanic loads a collection in a way that panics, and returns what came
// of it.
func (c *Client) LoadWithPanic(id tenant.ID, info collection.Info) error {
	live := newLiveIndex(info, c.files.dir, func(*liveIndex) {})
	live.tables = nil
	return c.guardedLoad(live, c.replicaOf(id))
}
