package membership

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var clusterA, clusterB = strings.Repeat("a1", 16), strings.Repeat("b2", 16)

// node is a member under test and all that it said.
type node struct {
	t *testing.T
	*Membership
	link *link

	mu      sync.Mutex
	lists   []string // of OnChange
	foreign []error
	log     bytes.Buffer
}

func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(p)
}

// said counts the lines of the log.
func (n *node) said() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bytes.Count(n.log.Bytes(), []byte("\n"))
}

func (n *node) complaints() []error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.foreign)
}

func (n *node) changes() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lists)
}

// listed writes members as "n1 n2? n3": the question mark is for a lost one.
func listed(all []Member) string {
	var names []string
	for _, m := range all {
		name := m.NodeID
		if m.Lost {
			name += "?"
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func (n *node) list() string { return listed(n.Members()) }

func (f *fake) options(number uint32) Options {
	return Options{
		Address: "consul.test:8500", Token: fakeToken, Cluster: "demo", ClusterID: clusterA,
		NodeID: fmt.Sprintf("n%d", number), Number: number, Advertise: fmt.Sprintf("10.0.0.%d:15010", number),
		HTTP: "127.0.0.1:8080", Version: "v1",
	}
}

// start starts a node; edit may change its options.
func (f *fake) start(t *testing.T, number uint32, edit func(*Options)) *node {
	t.Helper()
	n := &node{t: t, link: &link{fake: f}}
	o := f.options(number)
	o.client = &http.Client{Transport: n.link}
	o.Logger = slog.New(slog.NewTextHandler(n, &slog.HandlerOptions{Level: slog.LevelInfo}))
	o.OnChange = func(all []Member) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.lists = append(n.lists, listed(all))
	}
	o.OnForeign = func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.foreign = append(n.foreign, err)
	}
	if edit != nil {
		edit(&o)
	}
	m, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	n.Membership = m
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", o.NodeID, &n.log)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.noToken) > 0 {
			t.Errorf("calls without the token: %q", f.noToken)
		}
	})
	return n
}

// kill ends a node without a word to Consul.
func (n *node) kill() {
	n.t.Helper()
	if err := n.Stop(n.t.Context()); err != nil && n.t.Context().Err() == nil {
		n.t.Errorf("stop: %v", err)
	}
	<-n.done
}

// three starts three nodes that know each other.
func (f *fake) three(t *testing.T) []*node {
	t.Helper()
	nodes := []*node{f.start(t, 1, nil), f.start(t, 2, nil), f.start(t, 3, nil)}
	pass(time.Second)
	for _, n := range nodes {
		if !n.Healthy() {
			t.Fatalf("%s is not healthy", n.self.NodeID)
		}
		n.shows("n1 n2 n3")
	}
	return nodes
}

func (n *node) shows(want string) {
	n.t.Helper()
	if got := n.list(); got != want {
		n.t.Errorf("%s lists %q, want %q", n.self.NodeID, got, want)
	}
}

// pass lets time pass in the bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
