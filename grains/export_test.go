package grains

import "time"

// SaveDue writes the graphs that are due at a time.
func (c *Client) SaveDue(now time.Time) { c.saveDue(now) }
