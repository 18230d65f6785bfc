package grains

import (
	"context"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// The methods that nodes call each other by, see actors.Node.Call.
const (
	// MethodRequest carries a tenant's or the operator's request to the node that
	// is in charge of it.
	MethodRequest = "request"
	// methodDrop asks the leader of a tenant's partition to drop its data. The
	// request is the tenant's id, the answer a hubsvc.Erased.
	methodDrop = "drop"
	// methodUsage asks the leader of a tenant's partition what it has stored. The
	// request is the tenant's id, the answer a collection.TenantUsage.
	methodUsage = "usage"
)

// callTimeout bounds a call of the background to another node.
const callTimeout = 10 * time.Second

// Leader returns the node that is in charge of a tenant's data, or of the hub
// for "": local when it is this one, 0 when nobody is known. next is closed
// when that may have changed.
func (c *Client) Leader(id tenant.ID) (number uint32, local bool, next <-chan struct{}) {
	r := c.node.SystemReplica()
	if id != "" {
		r = c.replicaOf(id)
	}
	number, next = r.Leader()
	switch failed := r.Failure() != nil; {
	case failed || !r.Here():
		number = c.neighbour(r)
		return number, failed && number == 0, next // nobody else: say what is wrong here
	default:
		return number, number == c.node.Number() && r.Leads(), next
	}
}

// neighbour is a node that has a replica of a group that has none here that
// works. Who leads it is not known here, so they take turns.
func (c *Client) neighbour(r *actors.Replica) uint32 {
	if c.options.Topology == nil {
		return 0
	}
	p, _ := c.options.Topology.Topology().Placement(r.Group())
	var there []uint32
	for _, other := range p.Replicas {
		if m := other.ID.Member(); m != c.node.Number() && c.node.Connected(m) {
			there = append(there, m)
		}
	}
	if len(there) == 0 {
		return 0
	}
	return there[int(c.turn.Add(1))%len(there)]
}

// Forward hands a request to another node's edge.
func (c *Client) Forward(ctx context.Context, number uint32, request []byte) ([]byte, error) {
	return c.node.Call(ctx, number, MethodRequest, request)
}

// HubIndex is the log index up to which this node has applied the hub's entries.
func (c *Client) HubIndex() uint64 {
	_, index := c.node.SystemReplica().Digest()
	return index
}

// AwaitHub returns when this node has applied the hub's entries up to index:
// what was done on another node is known here then.
func (c *Client) AwaitHub(ctx context.Context, index uint64) error {
	return c.node.SystemReplica().AwaitApplied(ctx, index)
}

// answerDrop drops a tenant's data for another node.
func (c *Client) answerDrop(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	id, err := tenant.ParseID(string(request))
	if err != nil {
		return nil, collection.Errorf(collection.InvalidArgument, "not a tenant")
	}
	if !c.options.Hub.Erases(ctx, id) {
		return nil, collection.Errorf(collection.Unavailable, "the tenant is not being deleted, as far as is known here")
	}
	erased, err := c.dropHere(ctx, id)
	if err != nil {
		return nil, err
	}
	return msgpack.Marshal(erased)
}

// LedSince is from when on this node has led a tenant's partition, as far as it
// does; where it always has, since it started.
func (c *Client) LedSince(id tenant.ID) time.Time {
	if since, ok := c.led.Load(c.replicaOf(id).Group()); ok {
		return since.(time.Time)
	}
	return c.started
}

// nowLeads begins what the leader of a group does in the background.
func (c *Client) nowLeads(group uint64) {
	c.led.Store(group, time.Now())
	if group == actors.SystemGroup {
		c.resumeDrops()
		return
	}
	c.purge.add(group - 1)
	c.outbox.add(group - 1)
}
