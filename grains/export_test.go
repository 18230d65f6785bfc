package grains

import (
	"time"

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
