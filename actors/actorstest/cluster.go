package actorstest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// ClusterOptions are what a test of several nodes may change.
type ClusterOptions struct {
	Nodes      uint32 // that are members from the start; only node 1 has replicas
	Partitions int    // default 1
	Machine    func(group uint64) collection.StateMachine
	Actors     actors.Options // the rest
	OnImage    func(number uint32, group uint64, state collection.View)
}

// Cluster is several nodes in one process, with a directory each, and without
// an edge or a hub: what they should have is what the test sets.
//
// Node 1 is born with replica 1.1 of every group; the others join with replica
// N.1 of the system group.
type Cluster struct {
	t       testing.TB
	options ClusterOptions
	Net     *Network
	dir     string

	mu       sync.Mutex
	topology *hubsvc.Directory // what is wanted
	version  uint64
	members  map[uint32]*Member
}

// Member is one node of a Cluster.
type Member struct {
	*actors.Node
	Number uint32
	Dir    string
	Disk   *Disk
	keys   *hubsvc.Directory // what it knows to be wanted
}

// StartCluster runs the nodes. They are stopped when the test ends.
func StartCluster(t testing.TB, o ClusterOptions) *Cluster {
	t.Helper()
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	if o.Machine == nil {
		o.Machine = func(uint64) collection.StateMachine { return Notes{} }
	}
	c := &Cluster{t: t, options: o, Net: NewNetwork(), dir: t.TempDir(), topology: newTopology(o.Partitions), version: 1, members: map[uint32]*Member{}}
	for number := uint32(1); number <= o.Nodes; number++ {
		c.Start(number)
	}
	t.Cleanup(func() {
		c.mu.Lock()
		members := c.members
		c.members = nil
		c.mu.Unlock()
		for number := range members {
			c.Net.Detach(number)
		}
		for _, m := range members {
			c.stop(m, false)
		}
		c.Net.Close()
		<-time.After(2 * time.Millisecond) // see Start
	})
	return c
}

func newTopology(partitions int) *hubsvc.Directory {
	d := hubsvc.NewDirectory(hubsvc.NewKeyHasher(make([]byte, 32)), time.Now)
	d.Observe(hubsvc.Change{Index: 1, Cluster: &hubsvc.Cluster{Partitions: uint32(partitions), Index: 1}})
	return d
}

// Start runs a node that is not running, with the disk that it had.
func (c *Cluster) Start(number uint32) *Member {
	c.t.Helper()
	m := &Member{Number: number, Dir: filepath.Join(c.dir, fmt.Sprint(number)), keys: newTopology(c.options.Partitions)}
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	m.keys.Observe(hubsvc.Change{Index: c.version, Placements: c.topology.Placements()})
	c.mu.Unlock()
	m.Disk = openDisk(c.t, m.Dir)
	o := c.options.Actors
	o.Dir, o.Disk, o.Machine, o.Partitions = m.Dir, m.Disk, c.options.Machine, c.options.Partitions
	o.TenantOf = func(uint64, []byte) tenant.ID { return "" }
	o.Logger = slog.New(slog.DiscardHandler)
	o.OnFatal = func(err error) { c.t.Errorf("node %d: fatal: %v", number, err) }
	o.Cluster = actors.ClusterOptions{Number: number, Network: c.Net.Of(number), Topology: m.keys}
	if number > 1 {
		o.Cluster.Joined = uint64(hubsvc.NewReplica(number)) + 1
	}
	if c.options.OnImage != nil {
		o.Cluster.OnImage = func(group uint64, state collection.View) { c.options.OnImage(number, group, state) }
	}
	var err error
	if m.Node, err = actors.Start(o); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.members[number] = m
	c.mu.Unlock()
	c.Net.Attach(m.Node)
	return m
}

// Stop ends a node as SIGTERM would. Kill leaves what is in memory behind.
func (c *Cluster) Stop(number uint32) { c.end(number, false) }

// Kill ends a node without a checkpoint.
func (c *Cluster) Kill(number uint32) { c.end(number, true) }

func (c *Cluster) end(number uint32, kill bool) {
	c.t.Helper()
	c.mu.Lock()
	m := c.members[number]
	delete(c.members, number)
	c.mu.Unlock()
	c.Net.Detach(number)
	c.stop(m, kill)
}

func (c *Cluster) stop(m *Member, kill bool) {
	c.t.Helper()
	m.Disk.Release()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if kill {
		cancel()
	}
	if err := m.Node.Stop(ctx); err != nil {
		c.t.Errorf("stop node %d: %v", m.Number, err)
	}
}

// Node returns a running node.
func (c *Cluster) Node(number uint32) *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[number]
}

// Nodes are those that run.
func (c *Cluster) Nodes() (all []*Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for number := uint32(1); len(all) < len(c.members); number++ {
		if m := c.members[number]; m != nil {
			all = append(all, m)
		}
	}
	return all
}

// Place says where a group should be, in order of preference, and tells every
// node that runs.
func (c *Cluster) Place(group uint64, replicas ...hubsvc.Replica) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	change := hubsvc.Change{Index: c.version, Placements: []hubsvc.Placement{{Group: group, Version: c.version, Replicas: replicas}}}
	c.topology.Observe(change)
	for _, m := range c.members {
		m.keys.Observe(change)
	}
}

// Voter is the replica number.serial; Learner likewise.
func Voter(number, serial uint32) hubsvc.Replica {
	return hubsvc.Replica{ID: hubsvc.NewReplica(number) + hubsvc.ReplicaID(serial)}
}

// Learner is a replica that follows and does not vote.
func Learner(number, serial uint32) hubsvc.Replica {
	r := Voter(number, serial)
	r.Learner = true
	return r
}

// Leader returns the node that leads a group with the highest term, nil when
// there is none.
func (c *Cluster) Leader(group uint64) (leader *Member) {
	var term uint64
	for _, m := range c.Nodes() {
		if r := m.Replicas()[group]; r.Leads() && r.Status().Term > term {
			leader, term = m, r.Status().Term
		}
	}
	return leader
}

// Await looks until ok holds; the test fails when that takes longer than a
// minute.
func (c *Cluster) Await(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not in time: %s\n%s", what, c.describe())
		}
	}
}

func (c *Cluster) describe() (text string) {
	for _, m := range c.Nodes() {
		for _, r := range m.Replicas() {
			s := r.Status()
			digest, at := r.Digest()
			text += fmt.Sprintf("node %d group %d: here %t, role %d, leader %x, term %d, commit %d, applied %d, digest %x, voters %x out %x learners %x, err %v\n",
				m.Number, r.Group(), r.Here(), s.Role, s.Leader, s.Term, s.Commit, at, digest[:4], s.Voters, s.VotersOutgoing, s.Learners, r.Err())
		}
	}
	return text
}

// AwaitMembers waits until the leader of a group and all of its replicas see
// exactly these voters and learners.
func (c *Cluster) AwaitMembers(group uint64, want ...hubsvc.Replica) {
	c.t.Helper()
	voters, learners := map[uint64]bool{}, map[uint64]bool{}
	for _, r := range want {
		if r.Learner {
			learners[uint64(r.ID)] = true
		} else {
			voters[uint64(r.ID)] = true
		}
	}
	c.Await(fmt.Sprintf("group %d at %v", group, want), func() bool {
		if c.Leader(group) == nil {
			return false
		}
		for _, w := range want {
			m := c.Node(w.ID.Member())
			if m == nil {
				continue
			}
			s := m.Replicas()[group].Status()
			if s.Replica != uint64(w.ID) || s.Joint() || !same(s.Voters, voters) || !same(s.Learners, learners) {
				return false
			}
		}
		return true
	})
}

func same(ids []uint64, want map[uint64]bool) bool {
	for _, id := range ids {
		if !want[id] {
			return false
		}
	}
	return len(ids) == len(want)
}

// Write proposes to whoever leads until that is acknowledged.
func (c *Cluster) Write(group uint64, note string) {
	c.t.Helper()
	c.Await("acknowledged: "+note, func() bool {
		leader := c.Leader(group)
		if leader == nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := leader.Replicas()[group].Propose(ctx, actors.Proposal{Data: []byte(note)})
		return err == nil
	})
}

// AwaitEqual waits until all replicas of a group on running nodes have applied
// the same entries, and fails the test when their digests differ then.
func (c *Cluster) AwaitEqual(group uint64) {
	c.t.Helper()
	digests := map[uint32][16]byte{}
	c.Await("equal indexes", func() bool {
		clear(digests)
		var first uint64
		for _, m := range c.Nodes() {
			r := m.Replicas()[group]
			if !r.Here() {
				continue
			}
			digest, at := r.Digest()
			if first == 0 {
				first = at
			}
			if at != first || at != r.Status().Commit {
				return false
			}
			digests[m.Number] = digest
		}
		return len(digests) > 0
	})
	var first [16]byte
	for _, d := range digests {
		first = d
	}
	for number, d := range digests {
		if d != first {
			c.t.Fatalf("node %d has another state at the same index\n%s", number, c.describe())
		}
	}
}

// Read returns the value that a node's replica has for a note, "" for none.
func (m *Member) Read(group uint64, key string) string {
	view, err := m.Replicas()[group].View()
	if err != nil {
		return ""
	}
	defer view.Close()
	value, err := view.Get(collection.BucketPoints, []byte(key))
	if err != nil {
		return err.Error()
	}
	return string(value)
}

// Files are the names in a node's partitions directory.
func (m *Member) Files() (names []string) {
	entries, _ := os.ReadDir(filepath.Join(m.Dir, "partitions"))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Notes is a state machine that keeps the last value of every key: an entry is
// KEY=VALUE. Its events are those of collection 1.
type Notes struct{}

// Apply implements collection.StateMachine.
func (Notes) Apply(tx collection.Txn, e collection.Entry) collection.Outcome {
	for i, b := range e.Data {
		if b == '=' {
			if err := tx.Put(collection.BucketPoints, e.Data[:i], e.Data[i+1:]); err != nil {
				return collection.Outcome{Err: err}
			}
			break
		}
	}
	return collection.Outcome{Answer: string(e.Data), Events: []collection.Event{{Collection: 1, Kind: collection.EventUpsert, Version: e.Index}}}
}
