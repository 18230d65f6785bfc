package grains

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// purgeRows is how many rows one purge entry removes: about a megabyte of
// changes, so that others' writes wait for little.
const purgeRows = 1000

// purgeQueue are the partitions with something to purge, each once: what is
// asked for while a purge of the partition runs makes it run again.
type purgeQueue struct {
	queued []atomic.Bool // by partition
	next   chan uint64   // has room for every partition
}

func newPurgeQueue(partitions int) purgeQueue {
	return purgeQueue{queued: make([]atomic.Bool, partitions), next: make(chan uint64, partitions)}
}

func (q *purgeQueue) add(p uint64) {
	if !q.queued[p].Swap(true) {
		q.next <- p
	}
}

// taken says that what is asked for from now on is to be done again.
func (q *purgeQueue) taken(p uint64) { q.queued[p].Store(false) }

// purgeSoon asks for the bytes of deleted collections in r to be removed.
func (c *Client) purgeSoon(r *actors.Replica) { c.purge.add(r.Group() - 1) }

// purgeLoop removes the bytes of deleted collections: first what a stop left
// behind, then what is asked for.
func (c *Client) purgeLoop() {
	for p := range uint64(c.node.Partitions()) {
		c.purgePartition(c.node.Partition(p))
		c.sweepFiles(c.node.Partition(p))
	}
	for {
		select {
		case p := <-c.purge.next:
			c.purge.taken(p)
			c.purgePartition(c.node.Partition(p))
			c.sweepFiles(c.node.Partition(p))
		case <-c.background.Done():
			return
		}
	}
}

func (c *Client) purgePartition(r *actors.Replica) {
	for r.Leads() {
		trash, err := c.trash(r)
		if err != nil || len(trash) == 0 {
			c.logPurge(r, err)
			return
		}
		for _, t := range trash {
			err := c.proposeUntilDone(c.background, r, collection.Command{
				Tenant: t.Tenant, Collection: t.Collection, Op: collection.Purge{Max: purgeRows},
			})
			if err != nil {
				c.logPurge(r, err)
				return
			}
		}
	}
}

// logPurge tells of a purge that has to wait for the next start or deletion.
func (c *Client) logPurge(r *actors.Replica, err error) {
	if err != nil && c.background.Err() == nil {
		c.log.Warn("the bytes of deleted collections stay for now", "partition", r.Group()-1, "err", err)
	}
}

func (c *Client) trash(r *actors.Replica) ([]collection.Trash, error) {
	view, err := r.View()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	return collection.ListTrash(view)
}

// DropTenant removes everything a tenant has stored, here or on the node that
// leads its partition, and returns what that was. It is called for a tenant
// that no key leads to any more, by the operator's act, and may be repeated:
// the sum is kept in the partition.
func (c *Client) DropTenant(ctx context.Context, id tenant.ID) (hubsvc.Erased, error) {
	number, local, _ := c.Leader(id)
	if local || number == 0 {
		return c.dropHere(ctx, id)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := c.node.Call(ctx, number, methodDrop, []byte(id))
	if err != nil {
		return hubsvc.Erased{}, asError(err)
	}
	var erased hubsvc.Erased
	return erased, asError(msgpack.Unmarshal(b, &erased))
}

// dropHere returns when the last row of the tenant has gone.
func (c *Client) dropHere(ctx context.Context, id tenant.ID) (hubsvc.Erased, error) {
	r := c.replicaOf(id)
	err := c.proposeUntilDone(ctx, r, collection.Command{Tenant: id, Op: collection.DropTenant{Max: purgeRows}})
	if err != nil {
		return hubsvc.Erased{}, asError(err)
	}
	c.options.Quotas.Forget(id)
	c.directory.passivate(func(h *handle, _ time.Duration) bool { return h.key.tenant == id })
	c.purgeSoon(r) // goes on when this does not come to its end
	if err := c.purgeTenant(ctx, r, id); err != nil {
		return hubsvc.Erased{}, asError(err)
	}
	view, err := r.View()
	if err != nil {
		return hubsvc.Erased{}, asError(err)
	}
	defer view.Close()
	erased, err := collection.Erased(view, id)
	return hubsvc.Erased(erased), asError(err)
}

// purgeTenant removes the bytes of a tenant's deleted collections.
func (c *Client) purgeTenant(ctx context.Context, r *actors.Replica, id tenant.ID) error {
	for {
		trash, err := c.trash(r)
		if err != nil {
			return err
		}
		mine := slices.DeleteFunc(slices.Clone(trash), func(t collection.Trash) bool { return t.Tenant != id })
		if len(mine) == 0 && len(trash) < collection.ListTrashMax {
			return nil
		}
		if len(mine) == 0 {
			mine = trash // others' are in front
		}
		for _, t := range mine {
			err := c.proposeUntilDone(ctx, r, collection.Command{
				Tenant: t.Tenant, Collection: t.Collection, Op: collection.Purge{Max: purgeRows},
			})
			if err != nil {
				return err
			}
		}
	}
}

// proposeUntilDone repeats an entry that does a bounded part of its work until
// nothing is left.
func (c *Client) proposeUntilDone(ctx context.Context, r *actors.Replica, cmd collection.Command) error {
	for {
		cmd.Time = time.Now().UnixMilli()
		data, err := collection.EncodeCommand(nil, cmd)
		if err != nil {
			return err
		}
		answer, err := answerOf(r.Propose(ctx, actors.Proposal{Tenant: cmd.Tenant, Data: data}))
		if err != nil || !answer.Existed {
			return err
		}
	}
}
