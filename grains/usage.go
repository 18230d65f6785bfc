package grains

import (
	"context"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// TenantUsage returns what a tenant has stored, from the counters that its
// writes are decided by: what was acknowledged before the call is in it. It
// asks the node that leads the tenant's partition, and answers nothing for a
// tenant that is not there: whether there is one is the hub's to say.
func (c *Client) TenantUsage(ctx context.Context, id tenant.ID) (collection.TenantUsage, error) {
	number, local, _ := c.Leader(id)
	if local || number == 0 {
		u, err := c.usageHere(ctx, id)
		return u, asError(err)
	}
	b, err := c.node.Call(ctx, number, methodUsage, []byte(id))
	if err != nil {
		return collection.TenantUsage{}, asError(err)
	}
	var u collection.TenantUsage
	return u, asError(msgpack.Unmarshal(b, &u))
}

func (c *Client) usageHere(ctx context.Context, id tenant.ID) (collection.TenantUsage, error) {
	r := c.replicaOf(id)
	if err := r.ReadBarrier(ctx, id); err != nil {
		return collection.TenantUsage{}, err
	}
	view, err := r.View()
	if err != nil {
		return collection.TenantUsage{}, err
	}
	defer view.Close()
	return collection.Usage(view, id)
}

// answerUsage answers TenantUsage for another node.
func (c *Client) answerUsage(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	id, err := tenant.ParseID(string(request))
	if err != nil {
		return nil, collection.Errorf(collection.InvalidArgument, "not a tenant")
	}
	u, err := c.usageHere(ctx, id)
	if err != nil {
		return nil, err
	}
	return msgpack.Marshal(u)
}

// Stored returns what the tenant has stored as far as this node has applied
// it, which is the whole truth on the node that leads its partition, and false
// on a node that cannot say.
func (c *Client) Stored(tc tenant.Context) (bytes uint64, ok bool) {
	r, err := c.enter(tc)
	if err != nil {
		return 0, false
	}
	view, err := r.View()
	if err != nil {
		return 0, false
	}
	defer view.Close()
	u, err := collection.Usage(view, tc.TenantID)
	return u.Bytes, err == nil
}
