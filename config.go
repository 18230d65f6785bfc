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
	"github.com/hivehub/waggle/grains"
	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/http/embedding"
	"github.com/hivehub/waggle/hubsvc"
)

// Config is the configuration of a node. Each of its keys is one line of
// settings, and one of cluster.hcl, where the comments are.
type Config struct {
	DataDir      string
	SecretFile   string // "" means the file `secret` in DataDir
	Partitions   int    // at birth
	Listen       ListenConfig
	Log          LogConfig
	Hub          HubConfig
	Storage      StorageConfig
	Search       grains.RunLimits
	Limits       httpedge.Limits
	Cluster      ClusterConfig
	Embedding    EmbeddingConfig
	Rerank       RerankConfig
	OperationLog OperationLogConfig
	Metrics      MetricsConfig
	Tracing      TracingConfig
}

// MetricsConfig says what is among the series.
type MetricsConfig struct {
	Tenants int // shown one by one to the operator
}

// ListenConfig says where the node listens.
type ListenConfig struct {
	Address        string
	QdrantAddress  string // "off" for none
	BehindProxy    bool   // something in front does TLS
	TrustedProxies []string
	CORSOrigins    []string
	TLS            ListenTLS
}

// ListenTLS names the files of the certificate that clients see: neither, or
// both of the first two.
type ListenTLS struct {
	CertFile, KeyFile string
	ClientCAFile      string // of the authorities of clients' certificates; "" asks for none
}

// on reports whether clients speak TLS with this node.
func (t *ListenTLS) on() bool { return t.CertFile != "" }

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
	Listen          string // of the hub's API for services; "off" for none
	SigningSecret   secretText
	Remote          RemoteHubConfig

	UsageReportInterval time.Duration
}

// RemoteHubConfig says how a hub outside of the cluster is asked.
type RemoteHubConfig struct {
	URL            string
	ServiceKey     secretText
	ServiceName    string
	TimeoutSeconds int
	Retries        int
	IdlePerHost    int
	Cache          HubCacheConfig
}

// HubCacheConfig says for how long what a hub outside of the cluster said is good.
type HubCacheConfig struct {
	Enabled      bool
	KeySeconds   int
	QuotaSeconds int
	GraceSeconds int // beyond that, while the hub does not answer
	EntriesMax   int
}

// The words of hub.mode.
const (
	modeEmbedded = "embedded"
	modeRemote   = "remote"
)

// remote reports whether the hub is outside of the cluster.
func (h *HubConfig) remote() bool { return h.Mode == modeRemote }

// secretText is a setting that no print shows.
type secretText string

// String implements fmt.Stringer.
func (secretText) String() string { return "(secret)" }

// GoString implements fmt.GoStringer.
func (secretText) GoString() string { return "(secret)" }

// MarshalText implements encoding.TextMarshaler, for JSON and slog.
func (secretText) MarshalText() ([]byte, error) { return []byte("(secret)"), nil } //nolint:unparam // the interface's

// The words of hub.tenant_isolation.
const (
	isolationNone       = "none"       // one tenant, no keys
	isolationCollection = "collection" // a namespace for each tenant
	isolationStorage    = "storage"
)

// StorageConfig bounds what lies between the log and the stores.
type StorageConfig struct {
	SegmentBytes       int64
	CheckpointBytes    int64
	CheckpointInterval time.Duration
	DeltaBytesMax      int64
}

// OperationLogConfig bounds what a node keeps of what it was asked for.
type OperationLogConfig struct {
	KeepBytes int64
	KeepFor   time.Duration
}

// ClusterConfig is a node's part in a cluster of several. Without a name the
// node is alone.
type ClusterConfig struct {
	Name      string
	NodeID    string
	Listen    string // for the other nodes
	Advertise string // where they reach it; "" is Listen
	JoinToken secretText
	SwapAfter time.Duration
	Consul    ConsulConfig
	TLS       TLSConfig
}

// ConsulConfig is how Consul is reached.
type ConsulConfig struct {
	Address string
	Token   secretText
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
		Hub: HubConfig{
			Enabled: true, Mode: modeEmbedded, TenantIsolation: isolationCollection, Listen: off, UsageReportInterval: 5 * time.Minute,
			Remote: RemoteHubConfig{
				URL: "https://api.hivehub.cloud", ServiceName: "waggle", TimeoutSeconds: 30, Retries: 3, IdlePerHost: 10,
				Cache: HubCacheConfig{Enabled: true, KeySeconds: 300, QuotaSeconds: 60, GraceSeconds: 900, EntriesMax: 100_000},
			},
		},
		Storage: StorageConfig{
			SegmentBytes:       64 << 20,
			CheckpointBytes:    16 << 20,
			CheckpointInterval: 30 * time.Second,
			DeltaBytesMax:      256 << 20,
		},
		Search:       grains.RunLimits{Waiting: 4096, WaitingPerTenant: 256},
		Limits:       httpedge.DefaultLimits(),
		Cluster:      ClusterConfig{SwapAfter: 5 * time.Minute},
		Embedding:    EmbeddingConfig{Batch: embedding.BatchDefault, Timeout: embedding.TimeoutDefault, CacheBytes: embedding.CacheBytesDefault},
		Rerank:       RerankConfig{Timeout: embedding.TimeoutDefault, Form: formDocuments},
		OperationLog: OperationLogConfig{KeepBytes: 256 << 20, KeepFor: 90 * 24 * time.Hour},
		Metrics:      MetricsConfig{Tenants: 20},
		Tracing:      TracingConfig{SampleRatio: 0.1},
	}
}

// setting is one key: its path in the file, and where its value goes. Its
// environment variable is the path in upper case after WAGGLE_, with an
// underscore for each dot.
type setting struct {
	path   string
	target any // *string, *secretText, *[]string, *bool, *int, *int64, *float64 or *time.Duration
}

// otherNames are further environment variables of a setting, weaker than its own.
var otherNames = map[string]string{
	"hub.signing_secret":  "HIVEHUB_SIGNING_SECRET",
	"hub.api_url":         "HIVEHUB_API_URL",
	"hub.service_api_key": "HIVEHUB_SERVICE_API_KEY",
}

func (c *Config) settings() []setting {
	h := &c.Hub.Remote
	return append(append(c.endpointSettings(), c.limitSettings()...), []setting{
		{"data_dir", &c.DataDir},
		{"secret_file", &c.SecretFile},
		{"partitions", &c.Partitions},
		{"listen.address", &c.Listen.Address},
		{"listen.qdrant_address", &c.Listen.QdrantAddress},
		{"listen.behind_proxy", &c.Listen.BehindProxy},
		{"listen.trusted_proxies", &c.Listen.TrustedProxies},
		{"listen.cors_origins", &c.Listen.CORSOrigins},
		{"listen.tls.cert_file", &c.Listen.TLS.CertFile},
		{"listen.tls.key_file", &c.Listen.TLS.KeyFile},
		{"listen.tls.client_ca_file", &c.Listen.TLS.ClientCAFile},
		{"log.level", &c.Log.Level},
		{"log.format", &c.Log.Format},
		{"hub.enabled", &c.Hub.Enabled},
		{"hub.mode", &c.Hub.Mode},
		{"hub.tenant_isolation", &c.Hub.TenantIsolation},
		{"hub.listen", &c.Hub.Listen},
		{"hub.signing_secret", &c.Hub.SigningSecret},
		{"hub.api_url", &h.URL},
		{"hub.service_api_key", &h.ServiceKey},
		{"hub.service_name", &h.ServiceName},
		{"hub.timeout_seconds", &h.TimeoutSeconds},
		{"hub.retries", &h.Retries},
		{"hub.connection_pool.max_idle_per_host", &h.IdlePerHost},
		{"hub.cache.enabled", &h.Cache.Enabled},
		{"hub.cache.api_key_ttl_seconds", &h.Cache.KeySeconds},
		{"hub.cache.quota_ttl_seconds", &h.Cache.QuotaSeconds},
		{"hub.cache.grace_seconds", &h.Cache.GraceSeconds},
		{"hub.cache.max_entries", &h.Cache.EntriesMax},
		{"hub.usage_report_interval", &c.Hub.UsageReportInterval},
		{"storage.segment_bytes", &c.Storage.SegmentBytes},
		{"storage.checkpoint_bytes", &c.Storage.CheckpointBytes},
		{"storage.checkpoint_interval", &c.Storage.CheckpointInterval},
		{"storage.delta_max_bytes", &c.Storage.DeltaBytesMax},
		{"operation_log.keep_bytes", &c.OperationLog.KeepBytes},
		{"operation_log.keep_for", &c.OperationLog.KeepFor},
		{"metrics.tenants", &c.Metrics.Tenants},
		{"tracing.endpoint", &c.Tracing.Endpoint},
		{"tracing.sample_ratio", &c.Tracing.SampleRatio},
		{"search.slots", &c.Search.Slots},
		{"search.slots_per_tenant", &c.Search.SlotsPerTenant},
		{"search.queue", &c.Search.Waiting},
		{"search.queue_per_tenant", &c.Search.WaitingPerTenant},
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
	}...)
}

// limitSettings are those of what a request may hold and a client may do.
func (c *Config) limitSettings() []setting {
	l, r := &c.Limits, &c.Limits.Request
	return []setting{
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
		{"limits.import_bytes", &l.ImportBytes},
		{"limits.file_bytes", &l.FileBytes},
		{"limits.upload_rate_bytes", &l.BodyRateMin},
		{"limits.upload_grace", &l.BodyGrace},
		{"limits.header_timeout", &l.HeaderTimeout},
		{"limits.idle_timeout", &l.IdleTimeout},
		{"limits.response_timeout", &l.ResponseTimeout},
		{"limits.read_deadline", &l.ReadDeadline},
		{"limits.write_deadline", &l.WriteDeadline},
		{"limits.deadline_max", &l.RequestedTimeMax},
		{"limits.auth_failures", &l.AuthFailures},
		{"limits.auth_window", &l.AuthWindow},
		{"limits.auth_block", &l.AuthBlock},
		{"limits.mcp_per_minute", &l.MCPPerMinute},
		{"limits.mcp_per_hour", &l.MCPPerHour},
		{"limits.mcp_concurrent", &l.MCPConcurrent},
	}
}

// Validate returns every fault of c.
func (c *Config) Validate() error {
	faults := []error{
		c.validateListen(),
		oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error"),
		oneOf("log.format", c.Log.Format, "text", "json"),
		c.Hub.validate(),
		c.validateOpen(),
		c.Embedding.validate(),
		c.Rerank.validate(),
		c.Tracing.validate(),
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
	if n := c.Limits.AuthFailures; n > authFailuresMax {
		faults = append(faults, fmt.Errorf("limits.auth_failures: is %d; must be at most %d", n, authFailuresMax))
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

// automatic are the numbers of which 0 means that the node chooses.
var automatic = map[string]bool{"search.slots": true, "search.slots_per_tenant": true}

// positive holds for every number and duration there is, but the automatic ones
// and the dimension of an endpoint that is not there: none of them has a meaning
// for 0.
func (c *Config) positive() error {
	var faults []error
	for _, s := range c.settings() {
		var ok bool
		switch t := s.target.(type) {
		case *int:
			ok = *t > 0 || t == &c.Embedding.Dimension && c.Embedding.URL == "" || *t == 0 && automatic[s.path]
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
