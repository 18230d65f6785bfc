package grains

import (
	"context"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// retryDrop is the pause before another try to drop a tenant's data.
const retryDrop = 5 * time.Second

// DeleteTenant deletes a tenant. When it returns no key leads to the tenant
// any more, on any node; its data goes in the background, and is gone for good
// after the next start at the latest.
func (c *Client) DeleteTenant(ctx context.Context, id tenant.ID) error {
	if _, err := c.options.Hub.DeleteTenant(ctx, id); err != nil {
		return err
	}
	c.dropSoon(id)
	return nil
}

// resumeDrops goes on with the deletions that a stop, or another leader of the
// hub, left undone.
func (c *Client) resumeDrops() {
	for _, id := range c.options.Hub.Deleting() {
		c.dropSoon(id)
	}
}

// dropSoon removes a deleted tenant's data and then its record at the hub, and
// tries again until both are gone or another node leads the hub.
func (c *Client) dropSoon(id tenant.ID) {
	if c.background.Err() != nil {
		return
	}
	if _, running := c.dropping.LoadOrStore(id, true); running {
		return
	}
	c.wg.Go(func() {
		defer c.dropping.Delete(id)
		for {
			erased, err := c.DropTenant(c.background, id)
			if err == nil {
				err = c.options.Hub.TenantPurged(c.background, id, erased)
			}
			if err == nil || c.background.Err() != nil || !c.node.SystemReplica().Leads() {
				return // in the last case whoever leads now goes on
			}
			c.log.Warn("the data of a deleted tenant stays for now", "tenant", id, "err", err)
			select {
			case <-time.After(retryDrop):
			case <-c.background.Done():
				return
			}
		}
	})
}
