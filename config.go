package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"time"

	"github.com/hivehub/waggle/collection"
	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
)

// Config is the configuration of a node. Each of its keys is one line of
// settings, and one of cluster.hcl, where the comments are.
type Config struct {
	DataDir    string
	SecretFile string // "" means the file `secret` in DataDir
	Partitions int    // at birth
	Listen     ListenConfig
	Log        LogConfig
	Hub        HubConfig
	Storage    StorageConfig
	Limits     httpedge.Limits
	Cluster    ClusterConfig
}

// ListenConfig says where the node listens.
type ListenConfig struct {
	Address       string
	QdrantAddress string // "off" for none
	BehindProxy   bool   // something in front does TLS
}

// LogConfig is the form of the log on standard error.
type LogConfig struct {
	Level  string
	Format string
}

// HubConfig says who knows the keys.
type HubConfig struct {
	Enabled         bool
	Mode            string
	TenantIsolation string
}

// StorageConfig bounds what lies between the log and the stores.
type StorageConfig struct {
	SegmentBytes       int64
	CheckpointBytes    int64
	CheckpointInterval time.Duration
	DeltaBytesMax      int64
}

// ClusterConfig is a node's part in a cluster of several. Without a name the
// node is alone.
type ClusterConfig struct {
	Name      string
	NodeID    string
	Listen    string // for the other nodes
	Advertise string // where they reach it; "" is Listen
	JoinToken string
	SwapAfter time.Duration
	Consul    ConsulConfig
	TLS       TLSConfig
}

// ConsulConfig is how Consul is reached.
type ConsulConfig struct {
	Address string
	Token   string
}

// TLSConfig names files that stand in for what the cluster's own authority
// issues: all three or none.
type TLSConfig struct {
	Cert, Key, CA string
}

// several reports whether the node is to be one of several.
func (c *ClusterConfig) several() bool { return c.Name != "" }

// address is where the other nodes reach this one.
func (c *ClusterConfig) address() string { return cmp.Or(c.Advertise, c.Listen) }

// off is the address of a listener that is not wanted.
const off = "off"

// DefaultConfig returns the configuration of a node that is given none.
func DefaultConfig() Config {
	return Config{
		DataDir:    "./data",
		Partitions: 64,
		Listen:     ListenConfig{Address: "127.0.0.1:15002", QdrantAddress: "127.0.0.1:6333"},
		Log:        LogConfig{Level: "info", Format: "text"},
		Hub:        HubConfig{Enabled: true, Mode: "embedded", TenantIsolation: "collection"},
		Storage: StorageConfig{
			SegmentBytes:       64 << 20,
			CheckpointBytes:    16 << 20,
			CheckpointInterval: 30 * time.Second,
			DeltaBytesMax:      256 << 20,
		},
		Limits:  httpedge.DefaultLimits(),
		Cluster: ClusterConfig{SwapAfter: 5 * time.Minute},
	}
}

// setting is one key: its path in the file, and where its value goes. Its
// environment variable is the path in upper case after WAGGLE_, with an
// underscore for each dot.
type setting struct {
	path   string
	target any // *string, *bool, *int, *int64 or *time.Duration
}

func (c *Config) settings() []setting {
	l, r := &c.Limits, &c.Limits.Request
	return []setting{
		{"data_dir", &c.DataDir},
		{"secret_file", &c.SecretFile},
		{"partitions", &c.Partitions},
		{"listen.address", &c.Listen.Address},
		{"listen.qdrant_address", &c.Listen.QdrantAddress},
		{"listen.behind_proxy", &c.Listen.BehindProxy},
		{"log.level", &c.Log.Level},
		{"log.format", &c.Log.Format},
		{"hub.enabled", &c.Hub.Enabled},
		{"hub.mode", &c.Hub.Mode},
		{"hub.tenant_isolation", &c.Hub.TenantIsolation},
		{"storage.segment_bytes", &c.Storage.SegmentBytes},
		{"storage.checkpoint_bytes", &c.Storage.CheckpointBytes},
		{"storage.checkpoint_interval", &c.Storage.CheckpointInterval},
		{"storage.delta_max_bytes", &c.Storage.DeltaBytesMax},
		{"limits.body_bytes", &r.BodyBytes},
		{"limits.json_depth", &r.JSONDepth},
		{"limits.dimension", &r.Dimension},
		{"limits.batch_points", &r.BatchPoints},
		{"limits.top_k", &r.TopK},
		{"limits.ef", &r.Ef},
		{"limits.filter_nodes", &r.FilterNodes},
		{"limits.name_length", &r.NameBytes},
		{"limits.idempotency_key_length", &r.KeyBytes},
		{"limits.connections", &l.Connections},
		{"limits.header_bytes", &l.HeaderBytes},
		{"limits.all_bodies_bytes", &l.BodyBytesAllMax},
		{"limits.upload_rate_bytes", &l.BodyRateMin},
		{"limits.upload_grace", &l.BodyGrace},
		{"limits.header_timeout", &l.HeaderTimeout},
		{"limits.idle_timeout", &l.IdleTimeout},
		{"limits.response_timeout", &l.ResponseTimeout},
		{"limits.read_deadline", &l.ReadDeadline},
		{"limits.write_deadline", &l.WriteDeadline},
		{"limits.deadline_max", &l.RequestedTimeMax},
		{"cluster.name", &c.Cluster.Name},
		{"cluster.node_id", &c.Cluster.NodeID},
		{"cluster.listen", &c.Cluster.Listen},
		{"cluster.advertise", &c.Cluster.Advertise},
		{"cluster.join_token", &c.Cluster.JoinToken},
		{"cluster.swap_after", &c.Cluster.SwapAfter},
		{"cluster.consul.address", &c.Cluster.Consul.Address},
		{"cluster.consul.token", &c.Cluster.Consul.Token},
		{"cluster.tls.cert", &c.Cluster.TLS.Cert},
		{"cluster.tls.key", &c.Cluster.TLS.Key},
		{"cluster.tls.ca", &c.Cluster.TLS.CA},
	}
}

// Validate returns every fault of c.
func (c *Config) Validate() error {
	faults := []error{
		c.Listen.validate(),
		oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error"),
		oneOf("log.format", c.Log.Format, "text", "json"),
		c.Hub.validate(),
		c.positive(),
	}
	if c.DataDir == "" {
		faults = append(faults, errors.New("data_dir: is empty"))
	}
	if c.Partitions < hubsvc.PartitionsMin || c.Partitions > hubsvc.PartitionsMax {
		faults = append(faults, fmt.Errorf("partitions: is %d; must be %d to %d", c.Partitions, hubsvc.PartitionsMin, hubsvc.PartitionsMax))
	}
	if n := c.Limits.Request.BatchPoints; n > collection.MaxBatchPoints {
		faults = append(faults, fmt.Errorf("limits.batch_points: is %d; must be at most %d", n, collection.MaxBatchPoints))
	}
	return errors.Join(append(faults, c.Cluster.validate())...)
}

var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// validate demands what a node of several needs: all of it or nothing.
func (c *ClusterConfig) validate() error {
	needed := []struct{ path, flag, value string }{
		{"cluster.name", "--cluster", c.Name},
		{"cluster.node_id", "--node-id", c.NodeID},
		{"cluster.listen", "--cluster-listen", c.Listen},
		{"cluster.consul.address", "--consul", c.Consul.Address},
	}
	alone := ClusterConfig{SwapAfter: c.SwapAfter}
	if *c == alone {
		return nil
	}
	var faults []error
	for _, n := range needed {
		if n.value == "" {
			faults = append(faults, fmt.Errorf("%s: is empty; a node of a cluster needs it (%s)", n.path, n.flag))
		}
	}
	for _, n := range needed[:2] { // they are part of TLS server names
		if n.value != "" && !nodeName.MatchString(n.value) {
			faults = append(faults, fmt.Errorf("%s: is %q; must be 1 to 63 of a-z, 0-9 and -, the first and the last no - (%s)", n.path, n.value, n.flag))
		}
	}
	for _, a := range []struct{ path, address string }{{"cluster.listen", c.Listen}, {"cluster.advertise", c.Advertise}} {
		if _, _, err := net.SplitHostPort(a.address); a.address != "" && err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is not HOST:PORT", a.path, a.address))
		}
	}
	if host, _, err := net.SplitHostPort(c.address()); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		faults = append(faults, fmt.Errorf("cluster.advertise: the other nodes cannot reach %q; name this node's address (--cluster-advertise)", c.address()))
	}
	if t := c.TLS; t != (TLSConfig{}) && (t.Cert == "" || t.Key == "" || t.CA == "") {
		faults = append(faults, errors.New("cluster.tls: cert, key and ca go together"))
	}
	return errors.Join(faults...)
}

func (l *ListenConfig) validate() error {
	fault := l.validateAddress("listen.address", l.Address)
	if l.QdrantAddress != off {
		fault = errors.Join(fault, l.validateAddress("listen.qdrant_address", l.QdrantAddress))
	}
	return fault
}

// validateAddress refuses an address that others can reach while keys would
// cross the network in the clear.
func (l *ListenConfig) validateAddress(path, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %q is not HOST:PORT", path, address)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() || l.BehindProxy {
		return nil
	}
	return fmt.Errorf("%s: %q can be reached from other machines, and Waggle does not speak TLS yet; "+
		"listen on 127.0.0.1, or put a TLS proxy in front and set listen.behind_proxy = true", path, address)
}

func (h *HubConfig) validate() error {
	var faults []error
	if !h.Enabled {
		faults = append(faults, errors.New(`hub.enabled: false goes only with tenant_isolation = "none", which is not built yet`))
	}
	if err := oneOf("hub.mode", h.Mode, "embedded", "remote"); err != nil {
		faults = append(faults, err)
	} else if h.Mode != "embedded" {
		faults = append(faults, fmt.Errorf(`hub.mode: %q is not built yet; use "embedded"`, h.Mode))
	}
	if err := oneOf("hub.tenant_isolation", h.TenantIsolation, "none", "collection", "storage"); err != nil {
		faults = append(faults, err)
	} else if h.TenantIsolation != "collection" {
		faults = append(faults, fmt.Errorf(`hub.tenant_isolation: %q is not built yet; use "collection"`, h.TenantIsolation))
	}
	return errors.Join(faults...)
}

// positive holds for every number and duration there is: none of them has a
// meaning for 0.
func (c *Config) positive() error {
	var faults []error
	for _, s := range c.settings() {
		var ok bool
		switch t := s.target.(type) {
		case *int:
			ok = *t > 0
		case *int64:
			ok = *t > 0
		case *time.Duration:
			ok = *t > 0
		default:
			ok = true
		}
		if !ok {
			faults = append(faults, fmt.Errorf("%s: must be more than 0", s.path))
		}
	}
	return errors.Join(faults...)
}

func oneOf(path, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is not one of %q", path, value, words)
}
