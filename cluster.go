package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/fx"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/peer"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains/membership"
	"github.com/hivehub/waggle/grains/placement"
	"github.com/hivehub/waggle/hubsvc"
)

// standing is what a node is at its start.
type standing struct {
	place *place // nil: alone, or not named yet
	first bool   // it was alone until now, and is to be the first of several
}

// takePlace finds out who this node is. An empty node of a cluster joins it here.
func takePlace(ctx context.Context, c Config, dir *lockedDir, l *listeners, log *slog.Logger) (*standing, error) {
	p, err := readPlace(dir.path)
	if err != nil {
		return nil, err
	}
	switch {
	case p != nil && p.Started && !dir.born:
		return nil, fmt.Errorf("the log in %s is gone, and with it what this node has promised to the others: delete the directory and join with a new token", dir.path)
	case p != nil:
		return &standing{place: p}, p.check(c)
	case !c.Cluster.several():
		return &standing{}, nil
	case dir.born:
		return &standing{first: true}, nil
	case c.Cluster.JoinToken == "":
		return nil, errors.New("this node is empty and has no --join-token, so it cannot join: make a token on a node of the cluster (waggle cluster token); " +
			"or, for the first node of a new cluster: waggle cluster init --data " + dir.path)
	}
	answer, key, err := join(ctx, c, l.main.Addr().String(), log)
	if err != nil {
		return nil, err
	}
	if len(answer.Certificates) < 2 || len(answer.Secret) != len(clusterSecret{}) {
		return nil, errors.New("the cluster's answer is incomplete")
	}
	if err := writeSecret(secretPath(c), clusterSecret(answer.Secret)); err != nil {
		return nil, fmt.Errorf("write the cluster secret: %w", err)
	}
	p = &place{
		ClusterID: answer.ClusterID, Cluster: c.Cluster.Name, NodeID: c.Cluster.NodeID,
		Number: answer.Number, Partitions: answer.Partitions, Replica: answer.Replica,
		Certificate: pemOf("CERTIFICATE", answer.Certificates...), Key: key.pem,
		Authority: pemOf("CERTIFICATE", answer.Certificates[len(answer.Certificates)-1]),
		Peers:     answer.Peers, path: placePath(dir.path),
	}
	log.Info("joined", "cluster", p.Cluster, "cluster_id", p.ClusterID, "number", p.Number)
	return &standing{place: p}, p.save()
}

// check refuses to start a node as another one.
func (p *place) check(c Config) error {
	switch {
	case !c.Cluster.several():
		return fmt.Errorf("%s belongs to the node %s of the cluster %s: start it with --cluster %s --node-id %s and the other cluster flags",
			c.DataDir, p.NodeID, p.Cluster, p.Cluster, p.NodeID)
	case c.Cluster.Name != p.Cluster:
		return fmt.Errorf("%s belongs to the cluster %q, not to %q; check --cluster and --data", c.DataDir, p.Cluster, c.Cluster.Name)
	case c.Cluster.NodeID != p.NodeID:
		return fmt.Errorf("%s belongs to the node %q, not to %q; check --node-id and --data", c.DataDir, p.NodeID, c.Cluster.NodeID)
	}
	return nil
}

// options are the node's place among others, for its actors.
func (s *standing) options(net *network, hub hubState, log *slog.Logger) actors.ClusterOptions {
	if s.place == nil && !s.first {
		return actors.ClusterOptions{}
	}
	o := actors.ClusterOptions{Network: net, Topology: hub.Keys, OnImage: func(group uint64, state collection.View) {
		if group != actors.SystemGroup {
			return
		}
		if err := hub.Keys.Reload(state); err != nil {
			log.Error("the hub's state on this node cannot be used", "err", err)
		}
		hub.Limits.Reload()
	}}
	if s.place != nil {
		o.Number, o.Joined = s.place.Number, s.place.Replica
	}
	return o
}

// network is the way to the other nodes once it is open; until then there is
// nobody.
type network struct {
	open atomic.Pointer[peer.Transport]
}

func newNetwork() *network { return new(network) }

var errNoNetwork = collection.Errorf(collection.Unavailable, "this node is not connected to the others yet; retry")

// Raft implements actors.Network.
func (n *network) Raft(to uint32, group uint64, ms []*raftpb.Message) {
	if t := n.open.Load(); t != nil {
		t.Raft(to, group, ms)
	}
}

// Flush implements actors.Network.
func (n *network) Flush() {
	if t := n.open.Load(); t != nil {
		t.Flush()
	}
}

// Send implements actors.Network.
func (n *network) Send(to uint32, payload []byte) error {
	t := n.open.Load()
	if t == nil {
		return errNoNetwork
	}
	if err := t.Send(to, payload); err != nil {
		return &collection.Error{Code: collection.Unavailable, Message: "the node in charge cannot be reached at the moment; retry", Err: err}
	}
	return nil
}

// Transfer implements actors.Network.
func (n *network) Transfer(ctx context.Context, to uint32, meta []byte, size int64, r io.ReaderAt) ([]byte, error) {
	if t := n.open.Load(); t != nil {
		return t.Transfer(ctx, to, meta, size, r)
	}
	return nil, errNoNetwork
}

// Connected implements actors.Network.
func (n *network) Connected(number uint32) bool {
	t := n.open.Load()
	return t != nil && t.Connected(number)
}

// neighbourhood is a running node's part in its cluster: the transport, the
// registration in Consul, the placement controller, and who keeps them up to
// date. It is nil for a node that is alone.
type neighbourhood struct {
	c      Config
	place  *place
	node   *actors.Node
	hub    *hubsvc.Embedded
	http   string
	log    *slog.Logger
	net    *network
	peers  *peer.Transport
	certs  *certificates
	consul *membership.Membership
	listed atomic.Pointer[membership.Membership] // consul, for the transport, which runs before it is there
	plans  *placement.Controller

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Intervals and bounds of the neighbourhood.
const (
	claimTimeout  = 5 * time.Second  // for Consul's word at the start; the node goes on without it
	waitingNotice = 10 * time.Second // between two lines about what the start waits for
	bulkRate      = 256 << 20        // bytes/s of images and index files to one node: the rest of the network is for others
	renewInterval = time.Hour        // between two looks at the certificate
	tellInterval  = time.Second      // between two tries to tell the others this node's address
)

// household is what a node brings along when it joins the others.
type household struct {
	fx.In
	Config    Config
	Dir       *dataDir
	Standing  *standing
	Listeners *listeners
	Network   *network
	Node      *actors.Node
	Hub       *hubsvc.Embedded
	Log       *slog.Logger
}

// joinOthers opens the node to the others and waits until it can serve.
func joinOthers(ctx context.Context, lc fx.Lifecycle, own household) (*neighbourhood, error) {
	c, n, hub, log := own.Config, own.Node, own.Hub, own.Log
	if !c.Cluster.several() {
		return nil, nil
	}
	h := &neighbourhood{
		c: c, place: own.Standing.place, node: n, hub: hub, http: own.Listeners.main.Addr().String(), log: log, net: own.Network,
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if own.Standing.first {
		if err := h.becomeFirst(ctx); err != nil {
			return nil, err
		}
	}
	door := &doorkeeper{node: n, hub: hub, secret: own.Dir.secret, log: log}
	n.Handle(methodJoin, door.admit)
	n.Handle(methodAddress, h.takeAddress)
	if err := h.open(own.Listeners, door); err != nil {
		return nil, err
	}
	if !own.Standing.first {
		if err := h.register(ctx, h.place.ClusterID, h.place.Number); err != nil {
			return nil, err
		}
	}
	h.plans = placement.Start(placement.Options{Cluster: clusterView{n, hub}, SwapAfter: c.Cluster.SwapAfter, Logger: log})
	h.wg.Go(h.keepPeers)
	lc.Append(fx.StopHook(h.stop))
	return h, h.awaitCluster(ctx)
}

// becomeFirst names this node and the cluster, and makes the node's certificate.
// Consul is asked before: where it refuses the name, nothing has got that name.
func (h *neighbourhood) becomeFirst(ctx context.Context) error {
	born, _ := h.hub.Cluster()
	if err := h.register(ctx, born.ID.String(), h.node.Number()); err != nil {
		return err
	}
	member, err := h.hub.NameMember(ctx, hubsvc.NameMember{
		Number: h.node.Number(), Name: h.c.Cluster.NodeID, Cluster: h.c.Cluster.Name, Address: h.c.Cluster.address(), HTTP: h.http,
	})
	if err != nil {
		return fmt.Errorf("name this node: %w", err)
	}
	key, err := newNodeKey(member.Name)
	if err != nil {
		return err
	}
	chain, err := h.hub.IssueCertificate(key.request, member.Number, member.Name)
	if err != nil {
		return fmt.Errorf("make this node's certificate: %w", err)
	}
	cluster, _ := h.hub.Cluster()
	h.place = &place{
		ClusterID: cluster.ID.String(), Cluster: h.c.Cluster.Name, NodeID: member.Name, Number: member.Number, Partitions: h.node.Partitions(),
		Certificate: pemOf("CERTIFICATE", chain...), Key: key.pem, Authority: pemOf("CERTIFICATE", chain[len(chain)-1]),
		Peers: []peerAt{}, path: placePath(h.c.DataDir), Started: true,
	}
	h.log.Info("this node is the first of a cluster", "cluster", h.place.Cluster, "cluster_id", h.place.ClusterID)
	return h.place.save()
}

// open starts the transport.
func (h *neighbourhood) open(l *listeners, door *doorkeeper) error {
	h.certs = &certificates{place: h.place, files: h.c.Cluster.TLS}
	if err := h.certs.check(); err != nil {
		return err
	}
	id, err := h.place.clusterID()
	if err != nil {
		return err
	}
	h.peers = peer.Start(peer.Options{
		Self: peer.Identity{Number: h.place.Number, Name: h.place.NodeID}, Cluster: id,
		Listener: l.cluster, TLS: h.certs.config, Join: door.serve,
		Address: h.address, Name: h.name,
		Raft: func(from uint32, group uint64, m *raftpb.Message) {
			if !h.gone(from) {
				h.node.ReceiveRaft(from, group, m)
			}
		},
		Message: func(from uint32, payload []byte) {
			if !h.gone(from) {
				h.node.ReceiveMessage(from, payload)
			}
		},
		Accept: func(from uint32, meta []byte, size int64) (peer.Sink, error) {
			if h.gone(from) {
				return nil, fmt.Errorf("node %d is no member any more", from)
			}
			return h.node.ReceiveTransfer(from, meta, size)
		},
		Reset: h.node.PeerLost, BulkRate: bulkRate,
		Logger: h.log,
	})
	h.net.open.Store(h.peers)
	return nil
}

// address is where another node is: as Consul says while it answers, since a
// node that has moved can tell the hub only when it is reached; else as the hub
// knows; else where it was last.
func (h *neighbourhood) address(number uint32) (string, bool) {
	if h.gone(number) {
		return "", false
	}
	if consul := h.listed.Load(); consul != nil && consul.Healthy() {
		for _, m := range consul.Members() {
			if m.Number == number && !m.Lost {
				return m.Address, true
			}
		}
	}
	if m, ok := h.hub.Member(number); ok && m.Address != "" {
		return m.Address, true
	}
	at, ok := h.place.peer(number)
	return at.Address, ok
}

// gone reports whether a node is a member no more: its certificate is good, and
// nobody listens to it.
func (h *neighbourhood) gone(number uint32) bool {
	m, ok := h.hub.Member(number)
	return ok && m.State == hubsvc.MemberGone
}

func (h *neighbourhood) name(number uint32) (string, bool) {
	if m, ok := h.hub.Member(number); ok && m.Name != "" {
		return m.Name, true
	}
	at, ok := h.place.peer(number)
	return at.NodeID, ok
}

// register makes the node known to Consul. Without Consul a member goes on: the
// others' last addresses are on its disk.
func (h *neighbourhood) register(ctx context.Context, clusterID string, number uint32) error {
	o := membershipOptions(h.c, h.log)
	o.ClusterID, o.Number, o.HTTP = clusterID, number, h.http
	o.OnForeign = func(err error) { h.log.Error("this node has no place in Consul's cluster of this name", "err", err) }
	var err error
	if h.consul, err = membership.Start(o); err != nil {
		return err
	}
	h.listed.Store(h.consul)
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	err = h.consul.Claim(ctx)
	switch {
	case errors.Is(err, membership.ErrForeign), errors.Is(err, membership.ErrClash):
		return err
	case err != nil:
		h.log.Warn("Consul has not let this node in yet; it goes on, and other nodes can join later", "err", err)
	}
	return nil
}

// awaitCluster returns when the hub can be asked: its state is here, and
// somebody leads it.
func (h *neighbourhood) awaitCluster(ctx context.Context) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	notice := time.NewTicker(waitingNotice)
	defer notice.Stop()
	for {
		leader, _ := h.node.SystemReplica().Leader()
		_, born := h.hub.Cluster()
		if born && leader != 0 {
			return nil
		}
		if h.gone(h.place.Number) {
			return fmt.Errorf("this node, %q, was removed from the cluster; delete %s to let it join again", h.place.NodeID, h.c.DataDir)
		}
		select {
		case <-look.C:
		case <-notice.C:
			h.log.Info("waiting for the other nodes of the cluster", "hub_state_here", born, "hub_leader", leader)
		case <-ctx.Done():
			return errors.New("stopped while waiting for the other nodes of the cluster")
		}
	}
}

// keepPeers keeps what a restart will need, and lets the others know when this
// node has moved.
func (h *neighbourhood) keepPeers() {
	for {
		t := h.hub.Topology()
		if _, known := t.Member(h.place.Number); known { // else the hub's state is not here yet
			if err := h.place.setPeers(peersOf(t, h.place.Number)); err != nil {
				h.log.Warn("the other nodes' addresses are not kept for a restart", "err", err)
			}
		}
		if h.gone(h.place.Number) {
			h.log.Warn("this node was removed from the cluster: stop it; its data directory can be deleted")
			return
		}
		h.renew()
		away := h.greet(t)
		retry := time.After(renewInterval)
		if away {
			retry = time.After(tellInterval)
		}
		if m, ok := t.Member(h.place.Number); ok && (m.Address != h.c.Cluster.address() || m.HTTP != h.http) {
			h.tellAddress()
			retry = time.After(tellInterval)
		}
		select {
		case <-t.Changed():
		case <-retry:
		case <-h.ctx.Done():
			return
		}
	}
}

// renew keeps this node's certificate good. Every node has what it takes: the
// authority's key, sealed in the hub's state, and the cluster's secret.
func (h *neighbourhood) renew() {
	if h.c.Cluster.TLS.Cert != "" {
		return // the operator's own
	}
	done, err := h.place.renew(time.Now(), func(request []byte) ([][]byte, error) {
		return h.hub.IssueCertificate(request, h.place.Number, h.place.NodeID)
	})
	if err != nil {
		h.log.Warn("this node's certificate is not renewed yet", "err", err)
	}
	if done {
		h.log.Info("this node has a new certificate")
	}
}

// greet makes the way to members that are not connected, so that it is there
// before it is needed. It reports whether there are any.
func (h *neighbourhood) greet(t *hubsvc.Topology) (away bool) {
	for _, m := range t.Members() {
		if m.Number == h.place.Number || m.State == hubsvc.MemberGone || h.net.Connected(m.Number) {
			continue
		}
		away = true
		_ = h.net.Send(m.Number, nil) // refused while there is no way: asking makes one
	}
	return away
}

// stop tells Consul that this node leaves, and closes the way to the others.
func (h *neighbourhood) stop(ctx context.Context) error {
	h.plans.Stop()
	h.cancel()
	h.wg.Wait()
	return errors.Join(h.consul.Leave(ctx), h.peers.Stop(ctx))
}

// clusterView is what the placement controller sees and does.
type clusterView struct {
	*actors.Node
	*hubsvc.Embedded
}

// Leads implements placement.Cluster.
func (v clusterView) Leads() bool { return v.SystemReplica().Leads() }

// Alive implements placement.Cluster.
func (v clusterView) Alive(number uint32) bool { return v.Connected(number) }
