package httpedge

import (
	"context"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// Nodes is what the operator may ask about the cluster. What it says is what
// the node that is asked knows.
type Nodes interface {
	// ClusterHealth is one object about the whole.
	ClusterHealth() ClusterHealth
	// ClusterNodes lists the members that are not gone.
	ClusterNodes() []ClusterNode
	// ClusterPartitions lists every raft group, the system group first.
	ClusterPartitions() []ClusterPartition
	// CreateJoinToken makes a token that lets one node in, for ttl; 0: an hour.
	CreateJoinToken(ctx context.Context, ttl time.Duration) (string, error)
	// RemoveNode lets a member go: its replicas move to the others, and then it
	// is no member any more.
	RemoveNode(ctx context.Context, id string) error
}

// ClusterHealth says whether all is well.
type ClusterHealth struct {
	Status            string   `json:"status"` // ok, degraded (copies or nodes are missing), unavailable (data is)
	Cluster           string   `json:"cluster"`
	ClusterID         string   `json:"cluster_id"`
	Node              string   `json:"node"` // the one that answers
	Leader            string   `json:"leader"`
	Nodes             int      `json:"nodes"`
	NodesAway         []string `json:"nodes_away"`
	Partitions        int      `json:"partitions"`
	WithoutLeader     int      `json:"partitions_without_leader"`
	WithMissingCopies int      `json:"partitions_with_missing_copies"`
	Consul            string   `json:"consul"` // ok, away, or none
}

// ClusterNode is a member.
type ClusterNode struct {
	ID      string `json:"id"`
	Number  uint32 `json:"number"`
	Address string `json:"address"`
	HTTP    string `json:"http"`
	State   string `json:"state"` // active, leaving
	Alive   bool   `json:"alive"`
	Leads   int    `json:"leads"` // groups, as far as the node that answers knows
}

// ClusterPartition is a raft group as the node that answers sees it.
type ClusterPartition struct {
	ID           any      `json:"id"` // a number, or "system"
	Leader       string   `json:"leader"`
	Preferred    string   `json:"preferred_leader"`
	Voters       []string `json:"voters"`
	Learners     []string `json:"learners"`
	AppliedIndex uint64   `json:"applied_index"` // of the replica on that node
	Digest       string   `json:"digest,omitempty"`
	Replica      string   `json:"replica,omitempty"` // node.serial; "" when there is none on that node
	Error        string   `json:"error,omitempty"`
}

func (s *Server) clusterRoutes() []route {
	row := func(method, path string, h handler, anywhere bool) route {
		return route{method: method, path: path, surface: surfaceOperator, op: tenant.OpOperator, handle: h, anywhere: anywhere}
	}
	return []route{
		row("GET", "/api/v1/cluster/health", s.clusterHealth, true),
		row("GET", "/api/v1/cluster/nodes", s.clusterNodes, true),
		row("GET", "/api/v1/cluster/partitions", s.clusterPartitions, true),
		row("POST", "/api/v1/cluster/tokens", s.createJoinToken, false),
		row("DELETE", "/api/v1/cluster/nodes/:id", s.removeNode, false),
	}
}

func (s *Server) clusterHealth(r *request, _ tenant.Context) error {
	return r.sendJSON(200, s.nodes.ClusterHealth())
}

func (s *Server) clusterNodes(r *request, _ tenant.Context) error {
	return r.sendJSON(200, map[string]any{"nodes": s.nodes.ClusterNodes()})
}

func (s *Server) clusterPartitions(r *request, _ tenant.Context) error {
	return r.sendJSON(200, map[string]any{"partitions": s.nodes.ClusterPartitions()})
}

// removeNode answers when it is decided that the node goes; it is gone when the
// list of nodes is without it.
func (s *Server) removeNode(r *request, _ tenant.Context) error {
	id, err := r.param("id")
	if err != nil {
		return err
	}
	if err := s.nodes.RemoveNode(r.ctx, id); err != nil {
		return err
	}
	return r.sendJSON(200, map[string]string{"id": id, "state": "leaving"})
}

// createJoinToken makes a token; {"ttl_seconds": N} says for how long.
func (s *Server) createJoinToken(r *request, _ tenant.Context) error {
	var seconds int
	if len(r.body) > 0 {
		err := r.decode(func(p *pointReader) error {
			return p.object(func(key []byte) error {
				if string(key) == "ttl_seconds" {
					return p.intTo(&seconds)
				}
				return p.skip()
			})
		})
		if err != nil {
			return err
		}
	}
	if most := int((7 * 24 * time.Hour).Seconds()); seconds < 0 || seconds > most {
		return errValue("ttl_seconds: 1 to 604800, a week")
	}
	token, err := s.nodes.CreateJoinToken(r.ctx, time.Duration(seconds)*time.Second)
	if err != nil {
		return err
	}
	return r.sendJSON(201, map[string]string{"token": token})
}
