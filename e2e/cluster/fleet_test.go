package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fleet is a cluster: its nodes, Consul, and the network between them.
type fleet struct {
	t       testing.TB
	options fleetOptions
	binary  string
	dir     string
	found   *findings
	net     network
	consul  *consul // nil for one node alone
	nodes   []*node
	disk    *node // the node that has a small disk of its own, or nil

	watching sync.WaitGroup
}

type fleetOptions struct {
	nodes     int // 1 = alone, without Consul
	smallDisk bool
	env       []string // of every node; nil = small
}

// network is what lies between the nodes.
type network interface {
	// place is the host that a node lives on.
	place(name string) (host string, err error)
	// node says where a new node listens for others, and what it advertises.
	node(name string) (listen, advertise string, err error)
	// consulHost is the host that Consul lives on.
	consulHost() string
	// command is a program on the node's host.
	command(name, program string, args ...string) *exec.Cmd
	// cut drops everything from one node to another, silently.
	cut(from, to string) (heal func(), err error)
}

func (f *fabric) place(string) (string, error) { return f.host, nil }
func (f *fabric) consulHost() string           { return f.host }
func (f *fabric) command(_, program string, args ...string) *exec.Cmd {
	return exec.Command(program, args...)
}

// newFleet starts a cluster and returns when every partition has a leader and
// all its voters. It ends with the test.
func newFleet(t testing.TB, found *findings, o fleetOptions) *fleet {
	t.Helper()
	if o.env == nil {
		o.env = small
	}
	f := &fleet{t: t, options: o, dir: workDir(t), found: found}
	if *netns {
		f.net = newNamespaces(t)
	} else {
		f.net = newFabric(t, "127.0.0.1")
	}
	t.Cleanup(f.watching.Wait)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	f.binary, err = waggle()
	must(err)
	if o.nodes > 1 {
		f.consul = startConsul(t, f.dir, f.net.consulHost())
	}
	for i := range o.nodes {
		n, err := f.newNode(fmt.Sprintf("n%d", i+1))
		must(err)
		f.nodes = append(f.nodes, n)
	}
	if o.smallDisk {
		last := f.nodes[o.nodes-1]
		must(last.smallDisk(t, "1g"))
		f.disk = last
	}
	first := f.nodes[0]
	first.env = append(first.env, bootstrapKeys...)
	must(first.spawn())
	must(first.ready(time.Minute))
	if o.nodes == 1 {
		return f
	}
	// The first member is a node that was served alone before.
	must(first.terminate())
	first.env = first.env[:len(first.env)-len(bootstrapKeys)]
	must(first.member(""))
	must(first.ready(time.Minute))
	for _, n := range f.nodes[1:] {
		token, err := f.token()
		must(err)
		must(n.member(token))
		must(n.ready(time.Minute))
	}
	must(f.waitWhole(2 * time.Minute))
	return f
}

func (f *fleet) newNode(name string) (*node, error) {
	n := &node{fleet: f, name: name, data: filepath.Join(f.dir, name), log: filepath.Join(f.dir, name+".log")}
	var err error
	if n.host, err = f.net.place(name); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(n.host, "127.") {
		n.env = []string{"WAGGLE_LISTEN_BEHIND_PROXY=true"} // so that it may listen there without TLS
	}
	n.http, n.qdrant = "http://"+freeAddress(n.host), "http://"+freeAddress(n.host)
	if n.listen, n.advertise, err = f.net.node(name); err != nil {
		return nil, err
	}
	f.t.Cleanup(func() {
		if p := n.process(); p != nil {
			n.kill()
		}
		if f.t.Failed() {
			f.t.Logf("log of %s:\n%s", name, tail(n.log, 3000))
		}
	})
	return n, nil
}

// token asks the nodes, one after the other, for a join token.
func (f *fleet) token() (string, error) {
	var errs []error
	for _, n := range f.nodes {
		if p := n.process(); p == nil || !p.alive() {
			continue
		}
		out, err := n.run(10*time.Second, "cluster", "token", "--json")
		var body struct{ Token string }
		if err == nil {
			err = json.Unmarshal([]byte(out), &body)
		}
		if err == nil && body.Token != "" {
			return body.Token, nil
		}
		errs = append(errs, fmt.Errorf("token from %s: %q, %w", n.name, out, err))
	}
	return "", errors.Join(errs...)
}

// partition is what a node says of its replica of a group.
type partition struct {
	ID       json.RawMessage `json:"id"`
	Leader   string          `json:"leader"`
	Voters   []string        `json:"voters"`
	Learners []string        `json:"learners"`
	Applied  uint64          `json:"applied_index"`
	Digest   string          `json:"digest"`
	Replica  string          `json:"replica"`
}

func (p partition) name() string { return strings.Trim(string(p.ID), `"`) }

// partitions asks a node for its partitions, by name.
func (n *node) partitions(within time.Duration) (map[string]partition, error) {
	var body struct{ Partitions []partition }
	err := call{key: operatorKey, method: "GET", url: n.http + "/api/v1/cluster/partitions", timeout: within}.into(&body)
	all := map[string]partition{}
	for _, p := range body.Partitions {
		all[p.name()] = p
	}
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s has no partitions", n.name)
	}
	return all, err
}

// led returns nil when every partition has a leader: a node that says so
// itself, and that a majority names. Nodes that do not answer name nobody.
func (f *fleet) led() error {
	if f.consul == nil {
		return f.nodes[0].answers()
	}
	named := map[string]map[string]int{} // by partition, who is named how often
	for _, n := range f.nodes {
		all, err := n.partitions(time.Second)
		if err != nil {
			continue
		}
		for id, p := range all {
			if named[id] == nil {
				named[id] = map[string]int{}
			}
			named[id][p.Leader]++
			if p.Leader == n.name {
				named[id][p.Leader] += len(f.nodes)
			}
		}
	}
	if len(named) == 0 {
		return errors.New("no node answers")
	}
	for id, by := range named {
		delete(by, "")
		led := false
		for _, count := range by {
			led = led || count > len(f.nodes)+len(f.nodes)/2
		}
		if !led {
			return fmt.Errorf("partition %s has no leader", id)
		}
	}
	return nil
}

// whole returns nil when every node itself sees every partition with all nodes
// as voters, no learner, and a leader.
func (f *fleet) whole() error {
	if err := f.led(); err != nil {
		return err
	}
	for _, n := range f.nodes {
		all, err := n.partitions(time.Second)
		if err != nil {
			return err
		}
		for id, p := range all {
			if len(p.Voters) != len(f.nodes) || len(p.Learners) > 0 || p.Leader == "" || p.Applied == 0 {
				return fmt.Errorf("%s sees partition %s with voters %q, learners %q, leader %q, applied %d", n.name, id, p.Voters, p.Learners, p.Leader, p.Applied)
			}
		}
	}
	return nil
}

func (f *fleet) waitWhole(within time.Duration) error { return poll(within, f.whole) }

// leader is the node that leads a partition.
func (f *fleet) leader(id string) (*node, error) {
	for _, n := range f.nodes {
		if all, err := n.partitions(time.Second); err == nil && all[id].Leader == n.name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("nobody leads partition %s", id)
}

// digests are what replicas said of their contents, by group and applied
// index: what a group contains at an index is the same on every node.
type digests struct {
	mu       sync.Mutex
	seen     map[string]seenDigest
	compared int // pairs of different nodes
	absent   bool
}

type seenDigest struct{ digest, node string }

func newDigests() *digests { return &digests{seen: map[string]seenDigest{}} }

// add holds what a node says of its partitions against what was said before.
func (d *digests) add(found *findings, node string, all map[string]partition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, p := range all {
		if p.Replica == "" && p.Applied == 0 {
			continue // the node has none
		}
		if p.Digest == "" {
			d.absent = true
			continue
		}
		key := fmt.Sprint(id, " at ", p.Applied)
		was, ok := d.seen[key]
		switch {
		case !ok:
			d.seen[key] = seenDigest{p.Digest, node}
		case was.digest != p.Digest:
			found.add("partition %s: digest %s on %s, %s on %s", key, was.digest, was.node, p.Digest, node)
		case was.node != node:
			d.compared++
		}
	}
}

// sample asks all nodes again and again until stop is closed.
func (d *digests) sample(f *fleet, every time.Duration, stop <-chan struct{}) {
	for wait(every, stop) {
		for _, n := range f.nodes {
			if all, err := n.partitions(time.Second); err == nil {
				d.add(f.found, n.name, all)
			}
		}
	}
}

// settle waits until all nodes have applied the same, and compares that.
func (d *digests) settle(f *fleet, within time.Duration) error {
	return poll(within, func() error {
		applied := map[string]uint64{}
		for _, n := range f.nodes {
			all, err := n.partitions(time.Second)
			if err != nil {
				return err
			}
			d.add(f.found, n.name, all)
			for id, p := range all {
				if was, ok := applied[id]; ok && was != p.Applied {
					return fmt.Errorf("partition %s: applied %d on %s, %d elsewhere", id, p.Applied, n.name, was)
				}
				applied[id] = p.Applied
			}
		}
		return nil
	})
}
