package client

import (
	"context"
	"net/url"
	"time"
)

// ClusterHealth says whether all is well with the cluster.
type ClusterHealth struct {
	Status            string   `json:"status"` // ok, degraded, unavailable
	Cluster           string   `json:"cluster"`
	ClusterID         string   `json:"cluster_id"`
	Node              string   `json:"node"` // the one that answered
	Leader            string   `json:"leader"`
	Nodes             int      `json:"nodes"`
	NodesAway         []string `json:"nodes_away"`
	Partitions        int      `json:"partitions"`
	WithoutLeader     int      `json:"partitions_without_leader"`
	WithMissingCopies int      `json:"partitions_with_missing_copies"`
	Consul            string   `json:"consul"`
}

// ClusterNode is a member of the cluster.
type ClusterNode struct {
	ID      string `json:"id"`
	Number  uint32 `json:"number"`
	Address string `json:"address"`
	HTTP    string `json:"http"`
	State   string `json:"state"`
	Alive   bool   `json:"alive"`
	Leads   int    `json:"leads"`
}

// ClusterPartition is a raft group, as the node that answered sees it.
type ClusterPartition struct {
	ID           any      `json:"id"` // a number, or "system"
	Leader       string   `json:"leader"`
	Preferred    string   `json:"preferred_leader"`
	Voters       []string `json:"voters"`
	Learners     []string `json:"learners"`
	AppliedIndex uint64   `json:"applied_index"`
	Digest       string   `json:"digest,omitempty"`
	Replica      string   `json:"replica,omitempty"`
	Error        string   `json:"error,omitempty"`
}

// ClusterHealth returns the state of the whole. It needs the operator key, as
// the other calls of this file do.
func (c *Client) ClusterHealth(ctx context.Context) (ClusterHealth, error) {
	var h ClusterHealth
	err := c.call(ctx, "GET", "/api/v1/cluster/health", nil, &h)
	return h, err
}

// ClusterNodes lists the members.
func (c *Client) ClusterNodes(ctx context.Context) ([]ClusterNode, error) {
	var body struct {
		Nodes []ClusterNode `json:"nodes"`
	}
	err := c.call(ctx, "GET", "/api/v1/cluster/nodes", nil, &body)
	return body.Nodes, err
}

// ClusterPartitions lists the raft groups, the system group first.
func (c *Client) ClusterPartitions(ctx context.Context) ([]ClusterPartition, error) {
	var body struct {
		Partitions []ClusterPartition `json:"partitions"`
	}
	err := c.call(ctx, "GET", "/api/v1/cluster/partitions", nil, &body)
	return body.Partitions, err
}

// CreateJoinToken makes a token with which one node can join, for ttl; 0 means
// the server's default, an hour. It cannot be asked for again.
func (c *Client) CreateJoinToken(ctx context.Context, ttl time.Duration) (string, error) {
	request := map[string]any{"ttl_seconds": int(ttl.Seconds())}
	var body struct {
		Token string `json:"token"`
	}
	err := c.call(ctx, "POST", "/api/v1/cluster/tokens", request, &body)
	return body.Token, err
}

// RemoveNode lets a node go: its replicas move to the others. It is gone when
// ClusterNodes is without it.
func (c *Client) RemoveNode(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/api/v1/cluster/nodes/"+url.PathEscape(id), nil, nil)
}
