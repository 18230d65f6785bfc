package main

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/driver"
	"github.com/hivehub/waggle/collection"
	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
)

// clusterState answers the operator's questions about the cluster from what
// this node knows.
type clusterState struct {
	h    *neighbourhood // nil: this node is alone
	node *actors.Node
	hub  *hubsvc.Embedded
}

// notes are what the readiness probe says besides "ok".
func (h *neighbourhood) notes() map[string]any {
	if h.gone(h.place.Number) {
		return map[string]any{"node": "removed from the cluster: stop it"}
	}
	if h.consul.Healthy() {
		return nil
	}
	return map[string]any{"consul": "away: nodes cannot join or leave for now"}
}

// nameOf is a member's name, or its number while it has none.
func (s clusterState) nameOf(number uint32) string {
	if m, ok := s.hub.Member(number); ok && m.Name != "" {
		return m.Name
	}
	if number == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(number), 10)
}

func (s clusterState) names(replicas []uint64) []string {
	names := make([]string, 0, len(replicas))
	for _, id := range replicas {
		names = append(names, s.nameOf(hubsvc.ReplicaID(id).Member()))
	}
	return names
}

// ClusterHealth implements httpedge.Nodes.
func (s clusterState) ClusterHealth() httpedge.ClusterHealth {
	h := httpedge.ClusterHealth{Status: "ok", Consul: "none", Node: s.nameOf(s.node.Number()), NodesAway: []string{}}
	if c, born := s.hub.Cluster(); born {
		h.ClusterID = c.ID.String()
	}
	h.Cluster = s.hub.Topology().ClusterName()
	leader, _ := s.node.SystemReplica().Leader()
	h.Leader = s.nameOf(leader)
	for _, n := range s.ClusterNodes() {
		h.Nodes++
		if !n.Alive {
			h.NodesAway = append(h.NodesAway, n.ID)
		}
	}
	for _, p := range s.hub.Placements() {
		h.Partitions++
		s.judge(&h, p)
	}
	switch {
	case h.WithoutLeader > 0:
		h.Status = "unavailable"
	case h.WithMissingCopies > 0 || len(h.NodesAway) > 0:
		h.Status = "degraded"
	}
	if s.h != nil {
		if h.Consul = "ok"; !s.h.consul.Healthy() {
			h.Consul = "away"
		}
	}
	return h
}

// judge adds one group to the health of the whole.
func (s clusterState) judge(h *httpedge.ClusterHealth, p hubsvc.Placement) {
	r := s.node.Replicas()[p.Group]
	status := r.Status()
	if r.Here() && status.Leader == 0 {
		h.WithoutLeader++
	}
	missing := r.Here() && len(status.Voters)+len(status.Learners) < len(p.Replicas)
	for _, replica := range p.Replicas {
		missing = missing || !s.node.Connected(replica.ID.Member())
	}
	if missing {
		h.WithMissingCopies++
	}
}

// ClusterNodes implements httpedge.Nodes.
func (s clusterState) ClusterNodes() []httpedge.ClusterNode {
	leads := map[uint32]int{}
	for _, r := range s.node.Replicas() {
		number, _ := r.Leader()
		leads[number]++
	}
	nodes := []httpedge.ClusterNode{}
	for _, m := range s.hub.Members() {
		if m.State == hubsvc.MemberGone {
			continue
		}
		nodes = append(nodes, httpedge.ClusterNode{
			ID: s.nameOf(m.Number), Number: m.Number, Address: m.Address, HTTP: m.HTTP,
			State: m.State.String(), Alive: s.node.Connected(m.Number), Leads: leads[m.Number],
		})
	}
	return nodes
}

// ClusterPartitions implements httpedge.Nodes.
func (s clusterState) ClusterPartitions() []httpedge.ClusterPartition {
	all := make([]httpedge.ClusterPartition, 0, len(s.node.Replicas()))
	for _, r := range s.node.Replicas() {
		p := httpedge.ClusterPartition{ID: "system"}
		if g := r.Group(); g != actors.SystemGroup {
			p.ID = g - 1
		}
		if r.Here() {
			s.describe(&p, r, r.Status())
		} else {
			s.expect(&p, r.Group())
		}
		if want, ok := s.hub.Placement(r.Group()); ok {
			p.Preferred = s.nameOf(want.Replicas[0].ID.Member())
		}
		all = append(all, p)
	}
	return all
}

// describe says what the replica here knows.
func (s clusterState) describe(p *httpedge.ClusterPartition, r *actors.Replica, status driver.Status) {
	p.Leader = s.nameOf(hubsvc.ReplicaID(status.Leader).Member())
	p.Voters, p.Learners = s.names(status.Voters), s.names(status.Learners)
	p.Replica = hubsvc.ReplicaID(status.Replica).String()
	digest, applied := r.Digest()
	p.Digest, p.AppliedIndex = hex.EncodeToString(digest[:]), applied
	if err := r.Err(); err != nil {
		p.Error = err.Error()
	}
}

// expect says what should be, of a group that has no replica here.
func (s clusterState) expect(p *httpedge.ClusterPartition, group uint64) {
	placement, _ := s.hub.Placement(group)
	p.Voters, p.Learners = []string{}, []string{}
	for _, r := range placement.Replicas {
		name := s.nameOf(r.ID.Member())
		if r.Learner {
			p.Learners = append(p.Learners, name)
		} else {
			p.Voters = append(p.Voters, name)
		}
	}
}

// CreateJoinToken implements httpedge.Nodes.
func (s clusterState) CreateJoinToken(ctx context.Context, ttl time.Duration) (string, error) {
	return s.hub.CreateJoinToken(ctx, ttl)
}

// RemoveNode implements httpedge.Nodes. The placement controller does the rest.
func (s clusterState) RemoveNode(ctx context.Context, id string) error {
	m, ok := s.hub.MemberByName(id)
	if !ok {
		return collection.Errorf(collection.NotFound, "the cluster has no node %q", id)
	}
	_, err := s.hub.SetMemberState(ctx, m.Number, hubsvc.MemberLeaving)
	return err
}
