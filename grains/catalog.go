package grains

import (
	"context"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// UpdateAliases changes the tenant's aliases: all actions in their order, or
// none.
func (c *Client) UpdateAliases(ctx context.Context, tc tenant.Context, actions []collection.AliasAction) error {
	r, err := c.enter(tc)
	if err != nil {
		return err
	}
	op := collection.UpdateAliases{Actions: actions}
	if err := op.Validate(c.options.Limits); err != nil {
		return err
	}
	_, err = c.decide(ctx, r, tc, collection.Command{Op: op})
	return asError(err)
}

// ListAliases returns the tenant's aliases in the order of their names.
func (c *Client) ListAliases(ctx context.Context, tc tenant.Context) ([]collection.Alias, error) {
	view, err := c.read(ctx, tc)
	if err != nil {
		return nil, asError(err)
	}
	defer view.Close()
	list, err := collection.ListAliases(view, tc.TenantID)
	return list, asError(err)
}
