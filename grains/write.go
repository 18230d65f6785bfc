package grains

import (
	"context"
	"slices"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// CreateCollection makes a collection; the error is already_exists when the
// tenant has one of that name.
func (c *Client) CreateCollection(ctx context.Context, tc tenant.Context, name string, cfg collection.Config, o collection.ChangeOptions) error {
	r, err := c.enter(tc)
	if err != nil {
		return err
	}
	if err := collection.ValidateName(name, c.options.Limits); err != nil {
		return err
	}
	if err := cfg.Validate(c.options.Limits); err != nil {
		return err
	}
	_, err = c.decide(ctx, r, tc, collection.Command{Key: o.IdempotencyKey, Hash: o.RequestHash, Op: collection.CreateCollection{Name: name, Config: cfg}})
	if err == nil {
		c.outboxSoon(r)
	}
	return asError(err)
}

// DeleteCollection removes a collection and reports whether it was there. Its
// points are unreadable and uncounted at once; their bytes go behind it.
func (c *Client) DeleteCollection(ctx context.Context, tc tenant.Context, name string, o collection.ChangeOptions) (bool, error) {
	r, err := c.enter(tc)
	if err != nil {
		return false, err
	}
	cmd := collection.Command{Key: o.IdempotencyKey, Hash: o.RequestHash, Op: collection.DeleteCollection{Name: name}}
	if o.Match != nil {
		view, info, err := c.open(ctx, tc, name)
		if err != nil {
			return false, asError(err)
		}
		view.Close()
		cmd.Collection, cmd.Op = info.ID, collection.IfMatch{Tag: *o.Match, Op: collection.DeleteCollection{Name: info.Name}}
	}
	answer, err := c.decide(ctx, r, tc, cmd)
	if err != nil {
		return false, asError(err)
	}
	c.names.forget(tc.TenantID, name)
	if answer.Existed {
		c.directory.drop(grainKey{tc.TenantID, answer.Collection})
		c.purgeSoon(r)
		c.outboxSoon(r)
	}
	return answer.Existed, nil
}

// Write changes points. A write of more points than one entry may hold, which
// only a filter can name, is several entries; with an idempotency key it must
// fit into one.
func (c *Client) Write(ctx context.Context, tc tenant.Context, name string, w collection.Write, o collection.WriteOptions) (collection.Answer, error) {
	ctx, end := begin(ctx, "grain write")
	defer end()
	if tc.Nonce != "" && tc.Claim == 0 {
		tc.Claim = tenant.NewClaim() // the nonce is for all entries of this write
	}
	if slices.ContainsFunc(w.Batch, byFilter) {
		return c.writeInTurn(ctx, tc, name, w.Batch, o)
	}
	answer, err := c.write(ctx, tc, name, w, o)
	if collection.CodeOf(err) == collection.NotFound {
		// Nothing took effect. The name may stand for another collection now.
		if _, cached := c.names.get(tc.TenantID, name); cached {
			c.names.forget(tc.TenantID, name)
			answer, err = c.write(ctx, tc, name, w, o)
		}
	}
	return answer, asError(err)
}

func (c *Client) write(ctx context.Context, tc tenant.Context, name string, w collection.Write, o collection.WriteOptions) (collection.Answer, error) {
	r, err := c.enter(tc)
	if err != nil {
		return collection.Answer{}, err
	}
	if s := selectionOf(&w); s != nil && s.Filter != nil {
		return c.writeByFilter(ctx, tc, name, w, o)
	}
	info, err := c.named(ctx, tc, r, name)
	if err != nil {
		return collection.Answer{}, err
	}
	return c.writeOnce(ctx, tc, info, w, o, 0)
}

// named returns the record of a collection that is to be written to.
//
// That a collection of that name was deleted, apply sees; that an alias leads
// elsewhere now, or that there is a collection now, nobody does. So an alias,
// and what is not there, is looked up in a state that is known to be the last
// one, and not remembered.
func (c *Client) named(ctx context.Context, tc tenant.Context, r *actors.Replica, name string) (collection.Info, error) {
	if info, ok := c.names.get(tc.TenantID, name); ok && tc.MayCollection(name) {
		return info, nil
	}
	view, err := r.View()
	if err != nil {
		return collection.Info{}, err
	}
	info, err := lookup(view, tc, name)
	view.Close()
	switch {
	case err != nil && collection.CodeOf(err) != collection.NotFound:
		return info, err
	case err == nil && info.Name == name:
		c.names.put(tc.TenantID, info)
		return info, nil
	}
	view, info, err = c.open(ctx, tc, name)
	if err == nil {
		view.Close()
	}
	return info, err
}

// selectionOf is which points a write other than an upsert is about.
func selectionOf(w *collection.Write) *collection.Selection {
	switch {
	case w.Delete != nil:
		return w.Delete
	case w.SetPayload != nil:
		return &w.SetPayload.Selection
	case w.OverwritePayload != nil:
		return &w.OverwritePayload.Selection
	case w.DeletePayload != nil:
		return &w.DeletePayload.Selection
	case w.DeleteVectors != nil:
		return &w.DeleteVectors.Selection
	}
	return w.ClearPayload
}

// writeOnce makes a write final and puts it into the log as one entry, by way
// of the collection's grain.
//
// basis is that of the command: not 0 when a filter selected the points.
func (c *Client) writeOnce(ctx context.Context, tc tenant.Context, info collection.Info, w collection.Write, o collection.WriteOptions, basis uint64) (collection.Answer, error) {
	op, err := collection.Finalize(info, w, c.options.Limits)
	if err != nil {
		return collection.Answer{}, err
	}
	data, err := c.command(ctx, tc, collection.Command{
		Collection: info.ID, Basis: basis, Key: o.IdempotencyKey, Hash: o.RequestHash, Op: op,
	})
	if err != nil {
		return collection.Answer{}, err
	}
	h := c.directory.acquire(grainKey{tc.TenantID, info.ID})
	defer c.directory.release(h)
	if err := c.replicaOf(tc.TenantID).AwaitRoom(ctx); err != nil {
		return collection.Answer{}, err
	}
	if live := h.live.Load(); live != nil && (w.Upsert != nil || w.UpdateVectors != nil || w.Batch != nil) {
		if err := live.awaitBuilders(ctx, c.options.TailBytesMax); err != nil {
			return collection.Answer{}, err
		}
	}
	p := beginProposal(ctx)
	defer p.end()
	reply := make(chan collection.Outcome, 1)
	c.node.System().Root.Send(h.pid, &write{data: data, reply: reply, committed: p.committed()})
	if !o.Wait {
		return c.accepted(reply)
	}
	return answerOf(actors.Await(ctx, reply))
}

// accepted answers a write that is not waited for: a refusal that is known at
// once is told, anything later is not.
func (c *Client) accepted(reply <-chan collection.Outcome) (collection.Answer, error) {
	select {
	case o := <-reply:
		return answerOf(o.Answer, o.Err)
	default:
		return collection.Answer{}, nil
	}
}

// command encodes a command with what this node adds: the tenant, its limits,
// the nonce of its request and the time.
func (c *Client) command(ctx context.Context, tc tenant.Context, cmd collection.Command) ([]byte, error) {
	limits, err := c.options.Quotas.Limits(ctx, tc.TenantID)
	if err != nil && shrinks(cmd.Op) && ctx.Err() == nil {
		limits, err = tenant.Limits{}, nil // nothing may grow; what goes may go, also while the hub is away
	}
	if err != nil {
		return nil, err
	}
	cmd.Tenant, cmd.Limits, cmd.Time = tc.TenantID, limits, time.Now().UnixMilli()
	cmd.Nonce, cmd.Claim = tc.Nonce, tc.Claim
	return collection.EncodeCommand(make([]byte, 0, sizeOf(cmd.Op)), cmd)
}

// shrinks reports whether an operation only takes away.
func shrinks(op collection.Op) bool {
	switch op.(type) {
	case collection.DeletePoints, collection.DeleteCollection, collection.ClearPayload, collection.DeletePayload:
		return true
	}
	change, is := op.(collection.ChangeTexts)
	return is && shrinks(change.Op)
}

// sizeOf is about how many bytes a command of op takes.
func sizeOf(op collection.Op) int {
	size := 256
	switch op := op.(type) {
	case collection.Upsert:
		for _, r := range op.Records {
			size += len(r.Bytes()) + 4
		}
	case collection.UpdateVectors:
		for _, r := range op.Records {
			size += len(r.Bytes()) + 4
		}
	case collection.Batch:
		for _, one := range op.Ops {
			size += sizeOf(one)
		}
	}
	return size
}

// decide puts a command of no collection's grain into the log and waits.
func (c *Client) decide(ctx context.Context, r *actors.Replica, tc tenant.Context, cmd collection.Command) (collection.Answer, error) {
	data, err := c.command(ctx, tc, cmd)
	if err != nil {
		return collection.Answer{}, err
	}
	p := beginProposal(ctx)
	defer p.end()
	return answerOf(r.Propose(ctx, actors.Proposal{Tenant: tc.TenantID, Data: data, Committed: p.committed()}))
}

func answerOf(answer any, err error) (collection.Answer, error) {
	if err != nil {
		return collection.Answer{}, err
	}
	return answer.(collection.Answer), nil
}
