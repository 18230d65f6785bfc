package membership

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/hashicorp/consul/api"
)

// ErrForeign says that Consul knows another cluster under this cluster's name. Either
// the name is wrong, or a second cluster was born under it.
var ErrForeign = errors.New("another cluster has this name")

// ErrClash says that another process that lives is registered under this
// node's id.
var ErrClash = errors.New("another running node has this node id")

// Member is a node of the cluster.
type Member struct {
	NodeID  string // its name
	Number  uint32
	Address string // HOST:PORT for other nodes
	HTTP    string // HOST:PORT of its API
	Version string
	Lost    bool // Consul lost it, and its time of grace runs
}

// entry is one registration.
type entry struct {
	Member
	cluster  string // cluster id
	instance string // of the process, random
	leaving  bool
	passing  bool
}

// live tells that the registration is one of a member.
func (e entry) live() bool { return e.passing && !e.leaving }

// A registration's metadata. Consul allows values of up to 512 bytes.
const (
	metaCluster  = "cluster-id"
	metaNode     = "node-id"
	metaNumber   = "number"
	metaInstance = "instance"
	metaHTTP     = "http"
	metaVersion  = "version"
	metaLeaving  = "leaving"

	metaMax = 512
)

func (e entry) meta() map[string]string {
	m := map[string]string{
		metaCluster:  e.cluster,
		metaNode:     e.NodeID,
		metaNumber:   strconv.FormatUint(uint64(e.Number), 10),
		metaInstance: e.instance,
		metaHTTP:     e.HTTP,
		metaVersion:  e.Version,
	}
	if e.leaving {
		m[metaLeaving] = "true"
	}
	return m
}

// parseEntry reads a registration. It fails when that is not one of Waggle's.
func parseEntry(s *api.ServiceEntry) (entry, error) {
	if s == nil || s.Service == nil {
		return entry{}, errors.New("no service in it")
	}
	meta := s.Service.Meta
	number, err := strconv.ParseUint(meta[metaNumber], 10, 32)
	if err != nil || number == 0 {
		return entry{}, fmt.Errorf("service %q: node number %q", s.Service.ID, meta[metaNumber])
	}
	e := entry{
		Member: Member{
			NodeID: meta[metaNode], Number: uint32(number), HTTP: meta[metaHTTP], Version: meta[metaVersion],
			Address: net.JoinHostPort(s.Service.Address, strconv.Itoa(s.Service.Port)),
		},
		cluster: meta[metaCluster], instance: meta[metaInstance], leaving: meta[metaLeaving] != "",
	}
	if _, _, err := splitAddress(e.Address); err != nil || !validName.MatchString(e.NodeID) || !validID.MatchString(e.cluster) {
		return entry{}, fmt.Errorf("service %q: node id %q, cluster id %q, address %q", s.Service.ID, e.NodeID, e.cluster, e.Address)
	}
	status := s.Checks.AggregatedStatus()
	// Without checks nothing would ever tell that it died.
	e.passing = len(s.Checks) > 0 && (status == api.HealthPassing || status == api.HealthWarning)
	return e, nil
}
