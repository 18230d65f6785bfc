package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// discoverEvery is the longest pause between questions of a node that has
// nothing to do until they are answered.
const discoverEvery = 2 * time.Second

// Discover is for a node that is no member yet: it waits until Consul knows
// the cluster and a live member of it, and returns those members and the
// cluster's id. With a ClusterID it returns ErrForeign when Consul knows
// another one; with a NodeID it returns ErrClash when another process lives
// under it, at another address. It logs what it waits for at the start, and
// then once a minute. When ctx ends, its error says what it waited for.
func Discover(ctx context.Context, o Options) ([]Member, string, error) {
	o = o.defaults()
	if err := o.validateCluster(); err != nil {
		return nil, "", err
	}
	c, err := newConsul(o)
	if err != nil {
		return nil, "", err
	}
	defer c.close()
	d := discovery{o: o, consul: c, rivals: rivals{patience: o.patience()}}
	p := pace{most: discoverEvery}
	var told time.Time
	for {
		members, id, err := d.look(ctx)
		if err == nil || errors.Is(err, ErrForeign) || errors.Is(err, ErrClash) {
			return members, id, err
		}
		if ctx.Err() == nil && (told.IsZero() || time.Since(told) >= time.Minute) {
			told = time.Now()
			o.Logger.Info("waiting for the cluster's members", "cluster", o.Cluster, "consul", o.Address, "err", err)
		}
		if !sleep(ctx, p.fail(), nil) {
			return nil, "", fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

type discovery struct {
	o      Options
	consul *consul
	rivals rivals
}

// look asks once.
func (d *discovery) look(ctx context.Context) ([]Member, string, error) {
	id, err := d.consul.birth(ctx)
	if err != nil {
		d.rivals.interrupted()
		return nil, "", err
	}
	if id == "" {
		return nil, "", fmt.Errorf("consul at %s knows no cluster %q", d.o.Address, d.o.Cluster)
	}
	if d.o.ClusterID != "" {
		if err := d.consul.compare(id, d.o.ClusterID); err != nil {
			return nil, "", err
		}
	}
	v, err := d.consul.list(ctx, id, 0, 0)
	if err != nil {
		d.rivals.interrupted()
		return nil, "", err
	}
	if d.o.NodeID != "" {
		switch pending, rival, _ := d.rivals.judge(d.o.self(), v, false); {
		case rival != nil:
			return nil, "", d.consul.clash(d.o.self(), rival)
		case pending != nil:
			return nil, "", fmt.Errorf("node %q at %s: %w", pending.NodeID, pending.Address, errWaiting)
		}
	}
	r := newRoster(entry{}, 0)
	r.merge(v)
	members := r.members()[1:] // the first is this node, which is none
	// What is left of this node's earlier life cannot help it.
	members = slices.DeleteFunc(members, func(m Member) bool { return m.NodeID == d.o.NodeID })
	if len(members) == 0 {
		return nil, "", fmt.Errorf("consul at %s knows cluster %q, but none of its nodes is alive", d.o.Address, d.o.Cluster)
	}
	return members, id, nil
}
