package main

import (
	"crypto/tls"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/peer"
	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/hubsvc"
)

// readings are series that are read together from one state S, once a scrape.
type readings[S any] struct {
	read func() S
	rows []reading[S]
}

// reading is one of them: of a value, or of durations.
type reading[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*S) float64
	times func(*S) actors.Times
}

func newReadings[S any](read func() S) *readings[S] { return &readings[S]{read: read} }

func (r *readings[S]) add(name, help string, row reading[S]) *readings[S] {
	row.desc = prometheus.NewDesc("waggle_"+name, help, nil, nil)
	r.rows = append(r.rows, row)
	return r
}

func (r *readings[S]) gauge(name, help string, value func(*S) float64) *readings[S] {
	return r.add(name, help, reading[S]{kind: prometheus.GaugeValue, value: value})
}

func (r *readings[S]) counter(name, help string, value func(*S) float64) *readings[S] {
	return r.add(name, help, reading[S]{kind: prometheus.CounterValue, value: value})
}

func (r *readings[S]) histogram(name, help string, times func(*S) actors.Times) *readings[S] {
	return r.add(name, help, reading[S]{times: times})
}

// Describe implements prometheus.Collector.
func (r *readings[S]) Describe(to chan<- *prometheus.Desc) {
	for i := range r.rows {
		to <- r.rows[i].desc
	}
}

// Collect implements prometheus.Collector.
func (r *readings[S]) Collect(to chan<- prometheus.Metric) {
	s := r.read()
	for i := range r.rows {
		row := &r.rows[i]
		if row.times == nil {
			to <- prometheus.MustNewConstMetric(row.desc, row.kind, row.value(&s))
			continue
		}
		t := row.times(&s)
		buckets := map[float64]uint64{}
		for i, bound := range actors.TimeBounds {
			buckets[bound.Seconds()] = t.UpTo[i]
		}
		to <- prometheus.MustNewConstHistogram(row.desc, t.Count, t.Sum.Seconds(), buckets)
	}
}

// raftMetrics are the series of the log, the groups and the stores.
func raftMetrics(reg *prometheus.Registry, n *actors.Node) {
	type stats = actors.Stats
	reg.MustRegister(newReadings(n.Stats).
		gauge("raft_replicas", "Groups with a replica on this node.", func(s *stats) float64 { return float64(s.Replicas) }).
		gauge("raft_leaders", "Groups that this node leads.", func(s *stats) float64 { return float64(s.Leads) }).
		gauge("raft_without_leader", "Groups with a replica here whose leader is not known.", func(s *stats) float64 { return float64(s.WithoutLeader) }).
		counter("raft_leader_changes_total", "New leaders seen, of groups with a replica here.", func(s *stats) float64 { return float64(s.LeaderChanges) }).
		gauge("raft_waiting_proposals", "Writes that wait for their outcome.", func(s *stats) float64 { return float64(s.Waiting) }).
		gauge("raft_waiting_bytes", "Size of the writes that wait for their outcome.", func(s *stats) float64 { return float64(s.WaitingBytes) }).
		gauge("raft_apply_lag_entries", "Entries that are committed and not applied here.", func(s *stats) float64 { return float64(s.ApplyLag) }).
		histogram("raft_propose_seconds", "Time from a proposal to its outcome: in the log of a majority and applied, or refused.", func(s *stats) actors.Times { return s.Proposals }).
		histogram("log_flush_seconds", "Time of a flush of the node log, fsync included.", func(s *stats) actors.Times { return s.Flushes }).
		counter("log_flushed_bytes_total", "Bytes of entries written to the node log.", func(s *stats) float64 { return float64(s.FlushedBytes) }).
		histogram("checkpoint_seconds", "Time of writing a checkpoint of a partition.", func(s *stats) actors.Times { return s.Checkpoints }).
		gauge("checkpoint_age_seconds", "For how long the oldest change waits that no checkpoint has stored.", func(s *stats) float64 { return s.CheckpointAge.Seconds() }).
		gauge("images_sending", "Images of partitions on their way to other nodes.", func(s *stats) float64 { return float64(s.ImagesSending) }).
		counter("images_sent_total", "Images that other nodes took.", func(s *stats) float64 { return float64(s.ImagesSent) }).
		counter("images_failed_total", "Images that other nodes did not take.", func(s *stats) float64 { return float64(s.ImagesFailed) }).
		counter("images_received_total", "Images of other nodes that became the state of a partition here.", func(s *stats) float64 { return float64(s.ImagesReceived) }))
}

// indexMetrics are the series of what brings collections into memory.
func indexMetrics(reg *prometheus.Registry, g *grains.Client) {
	reg.MustRegister(newReadings(func() *grains.Client { return g }).
		gauge("index_loading", "Collections that are being brought into memory.", func(g **grains.Client) float64 { return float64((*g).Loading()) }).
		gauge("index_builders_busy", "Goroutines that build graphs now.", func(g **grains.Client) float64 { return float64((*g).Building()) }).
		histogram("index_activation_seconds", "Time to bring a collection into memory, the waiting for a turn included.", func(g **grains.Client) actors.Times { return (*g).Activations() }))
}

// clusterMetrics are the series of the hub and of the way to the other nodes.
func clusterMetrics(reg *prometheus.Registry, h *neighbourhood, n *actors.Node, hub *hubsvc.Embedded) {
	type state struct{ leader, members, connected, consul float64 }
	reg.MustRegister(newReadings(func() (s state) {
		if leader, _ := n.SystemReplica().Leader(); leader != 0 {
			s.leader = 1
		}
		for _, m := range hub.Members() {
			if m.State == hubsvc.MemberGone {
				continue
			}
			s.members++
			if m.Number == n.Number() || n.Connected(m.Number) {
				s.connected++
			}
		}
		if h == nil || h.consul.Healthy() {
			s.consul = 1
		}
		return s
	}).
		gauge("hub_leader_known", "1 while the leader of the system group is known: keys and tenants can be changed.", func(s *state) float64 { return s.leader }).
		gauge("cluster_members", "Nodes of the cluster.", func(s *state) float64 { return s.members }).
		gauge("cluster_members_connected", "Nodes of the cluster that this one reaches, itself included.", func(s *state) float64 { return s.connected }).
		gauge("consul_healthy", "1 while Consul answers, or when there is none.", func(s *state) float64 { return s.consul }))
	reg.MustRegister(lanes{h})
}

// lanes are the series of the connections between nodes, by their lane.
type lanes struct{ h *neighbourhood }

var laneSeries = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*peer.LaneStats) float64
}{
	{laneDesc("connections", "Connections to other nodes that this one has dialled."), prometheus.GaugeValue, func(s *peer.LaneStats) float64 { return float64(s.Connected) }},
	{laneDesc("queued_bytes", "What waits to be sent to other nodes."), prometheus.GaugeValue, func(s *peer.LaneStats) float64 { return float64(s.QueuedBytes) }},
	{laneDesc("sent_bytes_total", "Bytes sent to other nodes."), prometheus.CounterValue, func(s *peer.LaneStats) float64 { return float64(s.BytesSent) }},
	{laneDesc("received_bytes_total", "Bytes received from other nodes."), prometheus.CounterValue, func(s *peer.LaneStats) float64 { return float64(s.BytesReceived) }},
	{laneDesc("dropped_total", "Messages to other nodes that were dropped: the queue was full, or there was no connection."), prometheus.CounterValue, func(s *peer.LaneStats) float64 { return float64(s.Dropped) }},
	{laneDesc("resets_total", "Connections between nodes that were lost."), prometheus.CounterValue, func(s *peer.LaneStats) float64 { return float64(s.Resets) }},
}

func laneDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("waggle_peer_"+name, help, []string{"lane"}, nil)
}

// Describe implements prometheus.Collector.
func (lanes) Describe(to chan<- *prometheus.Desc) {
	for i := range laneSeries {
		to <- laneSeries[i].desc
	}
}

// Collect implements prometheus.Collector. A node that is alone has lanes on
// which nothing happens.
func (l lanes) Collect(to chan<- prometheus.Metric) {
	var s peer.Stats
	if l.h != nil {
		s = l.h.peers.Stats()
	}
	for i := range laneSeries {
		row := &laneSeries[i]
		for lane := range s.Lanes {
			to <- prometheus.MustNewConstMetric(row.desc, row.kind, row.value(&s.Lanes[lane]), peer.Lane(lane).String())
		}
	}
}

// certificateMetrics tell when the certificates end, by whom they are shown to.
func certificateMetrics(reg *prometheus.Registry, h *neighbourhood, clients *clientTLS) {
	end := func(of string, config func() *tls.Config) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "waggle", Name: "certificate_end_seconds",
			Help:        "When the certificate ends that is shown to clients or to the other nodes, in seconds since 1970; 0: there is none.",
			ConstLabels: prometheus.Labels{"of": of},
		}, func() float64 { return certificateEnd(config()) }))
	}
	end("clients", func() *tls.Config {
		if clients == nil {
			return nil
		}
		return clients.config()
	})
	end("nodes", func() *tls.Config {
		if h == nil {
			return nil
		}
		return h.certs.config()
	})
}

func certificateEnd(c *tls.Config) float64 {
	if c == nil || len(c.Certificates) == 0 || c.Certificates[0].Leaf == nil {
		return 0
	}
	return float64(c.Certificates[0].Leaf.NotAfter.UnixNano()) / float64(time.Second)
}

// diskMetrics are the series of the file system that the data is on.
func diskMetrics(reg *prometheus.Registry, dir string) {
	reg.MustRegister(newReadings(func() (s unix.Statfs_t) {
		if unix.Statfs(dir, &s) != nil {
			return unix.Statfs_t{} // it shows as full
		}
		return s
	}).
		gauge("disk_free_bytes", "What is left of the data directory's file system.", func(s *unix.Statfs_t) float64 { return float64(s.Bavail) * float64(s.Bsize) }).
		gauge("disk_size_bytes", "Size of the data directory's file system.", func(s *unix.Statfs_t) float64 { return float64(s.Blocks) * float64(s.Bsize) }))
}
