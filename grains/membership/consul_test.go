//go:build consul

package membership

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// These tests hold the package, and what the fake says of Consul, to a real
// one: CONSUL_BIN, which `make test-consul` sets.

// realConsul is one server on loopback.
type realConsul struct {
	t    *testing.T
	port int
	dir  string
	hcl  string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

func startReal(t *testing.T) *realConsul {
	t.Helper()
	return startRealWith(t, "")
}

// startRealWith adds to the server's configuration.
func startRealWith(t *testing.T, hcl string) *realConsul {
	t.Helper()
	if os.Getenv("CONSUL_BIN") == "" {
		t.Fatal("CONSUL_BIN is not set; run make test-consul")
	}
	c := &realConsul{t: t, hcl: hcl, port: freePorts(t), dir: t.TempDir()}
	c.run()
	t.Cleanup(func() {
		c.end()
		if t.Failed() {
			t.Logf("consul:\n%s", &c.log)
		}
	})
	return c
}

// freePorts returns the first of three free ports in a row.
func freePorts(t *testing.T) int {
	for range 100 {
		var held []net.Listener
		first := 0
		for i := range 3 {
			l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(first+min(first, 1)*i))
			if err != nil {
				break
			}
			held = append(held, l)
			if i == 0 {
				first = l.Addr().(*net.TCPAddr).Port
			}
		}
		for _, l := range held {
			l.Close()
		}
		if len(held) == 3 {
			return first
		}
	}
	t.Fatal("no three free ports in a row")
	return 0
}

func (c *realConsul) address() string { return "127.0.0.1:" + strconv.Itoa(c.port) }

// run starts the process on the directory and waits until it has a leader.
func (c *realConsul) run() {
	c.t.Helper()
	c.cmd = exec.Command(os.Getenv("CONSUL_BIN"), "agent", "-server", "-bootstrap-expect=1", "-data-dir="+c.dir,
		"-node=test", "-disable-host-node-id", "-bind=127.0.0.1", "-client=127.0.0.1", "-http-port="+strconv.Itoa(c.port),
		"-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1", "-server-port="+strconv.Itoa(c.port+1), "-serf-lan-port="+strconv.Itoa(c.port+2),
		"-serf-wan-port=-1", "-log-level=warn",
		"-hcl", "disable_update_check=true  ui_config{enabled=false}  performance{raft_multiplier=1}  connect{enabled=false}  "+c.hcl)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	within(c.t, time.Minute, "consul has a leader", func() bool {
		r, err := http.Get("http://" + c.address() + "/v1/status/leader")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(r.Body)
		return strings.Contains(b.String(), ":")
	})
}

func (c *realConsul) end() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

func (c *realConsul) signal(s os.Signal) {
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// within polls until ok, and returns how long that took.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-time.After(10 * time.Millisecond)
	}
	return time.Since(start)
}

func (c *realConsul) node(number uint32, edit func(*Options)) *node {
	return newFake().start(c.t, number, func(o *Options) {
		o.client, o.Address = nil, c.address()
		o.TTL, o.Grace = 3*time.Second, 3*time.Second
		if edit != nil {
			edit(o)
		}
	})
}

func (c *realConsul) three() []*node {
	c.t.Helper()
	var nodes []*node
	for i := range uint32(3) {
		n := c.node(i+1, nil)
		if err := n.claim(10 * time.Second); err != nil {
			c.t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.soon(5*time.Second, "n1 n2 n3")
	}
	return nodes
}

// soon waits until the node lists want.
func (n *node) soon(limit time.Duration, want string) time.Duration {
	n.t.Helper()
	return within(n.t, limit, fmt.Sprintf("%s lists %q", n.self.NodeID, want), func() bool { return n.list() == want })
}

func TestRealMembers(t *testing.T) {
	c := startReal(t)
	nodes := c.three()
	if got, want := nodes[0].Members()[1], nodes[1].self.Member; got != want {
		t.Errorf("member %+v, want %+v", got, want)
	}
	left := make(chan error, 1)
	go func() { left <- nodes[2].Leave(t.Context()) }()
	t.Logf("leave seen after %s", nodes[0].soon(time.Second, "n1 n2"))
	if err := <-left; err != nil {
		t.Error(err)
	}
	nodes[1].kill()
	t.Logf("death seen after %s", nodes[0].soon(10*time.Second, "n1 n2?"))
	t.Logf("dropped after %s", nodes[0].soon(10*time.Second, "n1"))
	again := c.node(2, nil)
	if err := again.claim(2 * time.Second); err != nil {
		t.Error(err)
	}
	nodes[0].soon(time.Second, "n1 n2")
	members, id, err := Discover(t.Context(), Options{Address: c.address(), Cluster: "demo", NodeID: "n4", Advertise: "h:1"})
	if err != nil || id != clusterA || listed(members) != "n1 n2" {
		t.Errorf("discovered %v, %s, %v", members, id, err)
	}
}

// policy is what a node's token has to allow, and all it needs.
const policy = `
service "waggle-demo" { policy = "write" }
node_prefix "" { policy = "read" }
key "waggle/demo/birth" { policy = "write" }
`

// TestRealToken: a Consul that denies everything to calls without the token.
func TestRealToken(t *testing.T) {
	const root = "0b6c8d1e-8a52-4f0e-9d55-3d2f5b1f7a10"
	c := startRealWith(t, `acl { enabled = true  default_policy = "deny"  tokens { initial_management = "`+root+`" } }`)
	client, err := api.NewClient(&api.Config{Address: c.address(), Token: root})
	if err != nil {
		t.Fatal(err)
	}
	var token *api.ACLToken
	within(t, 10*time.Second, "consul takes a policy", func() bool {
		if _, _, err = client.ACL().PolicyCreate(&api.ACLPolicy{Name: "waggle", Rules: policy}, nil); err != nil {
			return false
		}
		token, _, err = client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: "waggle"}}}, nil)
		return err == nil
	})
	var nodes []*node
	for i := range uint32(3) {
		nodes = append(nodes, c.node(i+1, func(o *Options) { o.Token = token.SecretID }))
		if err := nodes[i].claim(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	alwaysOK := time.Now().Add(4 * time.Second) // longer than the TTL
	within(t, 5*time.Second, "all are listed", func() bool { return healthy(nodes)() && time.Now().After(alwaysOK) })
	if err := nodes[2].Leave(t.Context()); err != nil {
		t.Error(err)
	}
	nodes[0].soon(time.Second, "n1 n2")
	without := c.node(4, func(o *Options) { o.Token = "4b1f0c53-5a0b-4a3d-8f8e-0d7c5d6d2a11" })
	if err := without.claim(time.Second); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("claim with a wrong token: %v", err)
	}
}

func TestRealRefusals(t *testing.T) {
	c := startReal(t)
	nodes := c.three()
	foreign := c.node(4, func(o *Options) { o.ClusterID = clusterB })
	if err := foreign.claim(5 * time.Second); !errors.Is(err, ErrForeign) {
		t.Errorf("second birth: %v", err)
	}
	clashing := c.node(5, func(o *Options) { o.NodeID = "n2" })
	if err := clashing.claim(10 * time.Second); !errors.Is(err, ErrClash) {
		t.Errorf("clash: %v", err)
	}
	nodes[0].shows("n1 n2 n3")
	if !nodes[1].Healthy() {
		t.Error("the first one suffers from the clash")
	}
}

// alwaysThree fails the test if a node drops a member before ok.
func alwaysThree(t *testing.T, nodes []*node, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	return within(t, limit, what, func() bool {
		for _, n := range nodes {
			if got := len(n.Members()); got != 3 {
				t.Fatalf("%s has %d members before: %s", n.self.NodeID, got, what)
			}
		}
		return ok()
	})
}

func healthy(nodes []*node) func() bool {
	return func() bool {
		for _, n := range nodes {
			if !n.Healthy() || n.list() != "n1 n2 n3" {
				return false
			}
		}
		return true
	}
}

func TestRealWiped(t *testing.T) {
	c := startReal(t)
	nodes := c.three()
	c.end()
	alwaysThree(t, nodes, 10*time.Second, "the outage is noticed", func() bool { return !nodes[0].Healthy() })
	c.dir = t.TempDir()
	c.run()
	took := alwaysThree(t, nodes, 20*time.Second, "all are back", healthy(nodes))
	t.Logf("all registered %s after the wiped Consul had a leader", took)
	client, err := api.NewClient(&api.Config{Address: c.address()})
	if err != nil {
		t.Fatal(err)
	}
	if pair, _, err := client.KV().Get("waggle/demo/birth", nil); err != nil || pair == nil || string(pair.Value) != clusterA {
		t.Errorf("birth key %v, %v", pair, err)
	}
	until := time.Now().Add(5 * time.Second) // more than TTL and grace have to find nobody
	alwaysThree(t, nodes, 6*time.Second, "time passes", func() bool { return time.Now().After(until) })
}

func TestRealStallAndRestart(t *testing.T) {
	c := startReal(t)
	nodes := c.three()
	c.signal(syscall.SIGSTOP)
	until := time.Now().Add(10 * time.Second)
	alwaysThree(t, nodes, 12*time.Second, "stalled", func() bool { return time.Now().After(until) })
	if nodes[0].Healthy() {
		t.Error("healthy without Consul")
	}
	c.signal(syscall.SIGCONT)
	t.Logf("healthy %s after the stall", alwaysThree(t, nodes, 20*time.Second, "all are back", healthy(nodes)))
	c.end()
	c.run() // with its data
	t.Logf("healthy %s after the restart", alwaysThree(t, nodes, 20*time.Second, "all are back", healthy(nodes)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := nodes[0].Stop(ctx); err != nil {
		t.Error(err)
	}
}
