package membership

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

const (
	defaultTTL         = 10 * time.Second
	defaultGrace       = 10 * time.Second
	defaultCallTimeout = 2 * time.Second

	pauseMin = 100 * time.Millisecond
	pauseMax = 5 * time.Second
	// watchWait is how long a blocking query waits for a change. Longer ones
	// would notice a dead connection later, shorter ones cost nothing much.
	watchWait = 10 * time.Second
	// birthEvery is how often a registered node looks for the birth key.
	birthEvery = 30 * time.Second
	// leaveLinger is how long a leaving node stays listed, for the others'
	// blocking queries to see it say so.
	leaveLinger = 500 * time.Millisecond
	// reapAfter is when Consul removes a dead node's registration.
	reapAfter = 10 * time.Minute
)

// Options are what Start and Discover need. Discover uses Address, Token,
// Cluster, NodeID, Advertise, TTL, CallTimeout and Logger, and ClusterID when
// it is set.
type Options struct {
	Address string // of Consul's HTTP API: HOST:PORT, or a URL with http, https or unix
	// Token is the ACL token, sent with every call; empty: CONSUL_HTTP_TOKEN. It
	// has to allow service:write on waggle-<cluster>, node:read on all nodes and
	// key:write on waggle/<cluster>/birth.
	Token     string
	Cluster   string // the cluster's name
	ClusterID string // 32 hex digits
	NodeID    string // the node's name
	Number    uint32 // the node's number, at least 1
	Advertise string // HOST:PORT where the other nodes reach this one
	HTTP      string // HOST:PORT of the API, for people to see
	Version   string // of the program, for people to see

	TTL         time.Duration // Consul calls the node dead after that; refreshed each third of it. Default 10 s
	CallTimeout time.Duration // of one call. Default 2 s
	Grace       time.Duration // how long a member that Consul lost stays one. Default 10 s

	// OnChange gets the members after each change, in order, from one goroutine
	// that waits for it. It may keep the slice. Optional.
	OnChange func([]Member)
	// OnForeign gets what makes this node no rightful member, ErrForeign or
	// ErrClash wrapped with the facts, once each time it comes up. It may be
	// called by two goroutines at once and must not block. Optional.
	OnForeign func(error)
	Logger    *slog.Logger // default: nowhere

	client *http.Client // of tests
}

var (
	validName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`)
	validID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// defaults fills in what is zero.
func (o Options) defaults() Options {
	o.TTL = cmp.Or(o.TTL, defaultTTL)
	o.CallTimeout = cmp.Or(o.CallTimeout, defaultCallTimeout)
	o.Grace = cmp.Or(o.Grace, defaultGrace)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnChange == nil {
		o.OnChange = func([]Member) {}
	}
	if o.OnForeign == nil {
		o.OnForeign = func(error) {}
	}
	return o
}

// validate returns all that is wrong with the options of a member.
func (o Options) validate() error {
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(!validID.MatchString(o.ClusterID), "cluster id %q: want 32 hex digits", o.ClusterID)
	fault(!validName.MatchString(o.NodeID), "node id %q: want 1 to 63 letters, digits, - and _", o.NodeID)
	fault(o.Number == 0, "node number 0: numbers begin at 1")
	_, _, err := splitAddress(o.Advertise)
	fault(err != nil, "advertised address: %w", err)
	fault(len(o.HTTP) > metaMax, "http address of %d bytes: at most %d", len(o.HTTP), metaMax)
	fault(len(o.Version) > metaMax, "version of %d bytes: at most %d", len(o.Version), metaMax)
	return errors.Join(o.validateCluster(), errors.Join(faults...))
}

// validateCluster checks what Discover needs as well.
func (o Options) validateCluster() error {
	var faults []error
	if o.Address == "" {
		faults = append(faults, errors.New("consul address missing"))
	}
	if !validName.MatchString(o.Cluster) {
		faults = append(faults, fmt.Errorf("cluster name %q: want 1 to 63 letters, digits, - and _", o.Cluster))
	}
	if o.TTL < time.Second || o.CallTimeout <= 0 || o.Grace < 0 {
		faults = append(faults, fmt.Errorf("ttl %s, call timeout %s, grace %s: want at least 1s, more than 0, at least 0", o.TTL, o.CallTimeout, o.Grace))
	}
	return errors.Join(faults...)
}

// patience is how long a registration may look alive after its process died.
func (o Options) patience() time.Duration { return o.TTL + o.CallTimeout }

func (o Options) self() entry {
	return entry{
		Member:  Member{NodeID: o.NodeID, Number: o.Number, Address: o.Advertise, HTTP: o.HTTP, Version: o.Version},
		cluster: o.ClusterID,
	}
}

// splitAddress parses HOST:PORT, neither of them empty.
func splitAddress(s string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("%q: want HOST:PORT", s)
	}
	return host, int(n), nil
}
