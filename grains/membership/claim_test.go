package membership

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (n *node) claim(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return n.Claim(ctx)
}

func TestClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		n := f.start(t, 1, nil)
		if err := n.claim(time.Second); err != nil {
			t.Fatal(err)
		}
		if f.keys["waggle/demo/birth"] != clusterA {
			t.Errorf("keys %q", f.keys)
		}
	})
}

func TestClaimForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.keys["waggle/demo/birth"] = clusterB
		n := f.start(t, 1, nil)
		err := n.claim(time.Minute)
		if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), clusterA) || !strings.Contains(err.Error(), clusterB) {
			t.Errorf("claim: %v", err)
		}
		pass(10 * time.Minute)
		if c := n.complaints(); len(c) != 1 || !errors.Is(c[0], ErrForeign) {
			t.Errorf("complaints %q, want one", c)
		}
		if n.Healthy() || len(f.services) != 0 || f.keys["waggle/demo/birth"] != clusterB {
			t.Errorf("healthy %t, services %d, birth %s", n.Healthy(), len(f.services), f.keys["waggle/demo/birth"])
		}
		if got := n.said(); got != 2 {
			t.Errorf("%d lines of log, want 2", got)
		}
		f.change(func() { delete(f.keys, "waggle/demo/birth") }) // that cluster is no more
		pass(6 * time.Second)
		if !n.Healthy() {
			t.Error("not healthy after the name became free")
		}
	})
}

// TestBirthKeyTaken: somebody took the name of a cluster that runs.
func TestBirthKeyTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		f.change(func() { f.keys["waggle/demo/birth"] = clusterB })
		pass(5 * time.Minute)
		for _, n := range nodes {
			n.shows("n1 n2 n3")
			if c := n.complaints(); len(c) != 1 || n.Healthy() {
				t.Errorf("complaints %q, healthy %t", c, n.Healthy())
			}
		}
	})
}

func TestBirthKeyLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.three(t)
		f.change(func() { delete(f.keys, "waggle/demo/birth") })
		pass(birthEvery + defaultTTL)
		if f.keys["waggle/demo/birth"] != clusterA {
			t.Errorf("keys %q", f.keys)
		}
	})
}

func TestForeignRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		foreign, err := newConsul(f.options(9).with(&link{fake: f}))
		if err != nil {
			t.Fatal(err)
		}
		e := f.options(9).self()
		e.cluster, e.instance = clusterB, "x"
		if err := foreign.register(t.Context(), e, time.Minute); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		nodes[0].shows("n1 n2 n3")
		if c := nodes[0].complaints(); len(c) != 1 || !errors.Is(c[0], ErrForeign) {
			t.Errorf("complaints %q, want one", c)
		}
	})
}

func (o Options) with(l *link) Options {
	o = o.defaults()
	o.client = &http.Client{Transport: l}
	return o
}

func TestConsulAbsentAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		release := f.stall()
		n := f.start(t, 1, nil)
		err := n.claim(10 * time.Second)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "consul.test:8500") {
			t.Errorf("claim: %v", err)
		}
		n.shows("n1")
		release()
		if err := n.claim(5 * time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestNodeIDClash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		other := f.start(t, 7, func(o *Options) { o.NodeID = "n2" })
		start := time.Now()
		err := other.claim(time.Minute)
		if !errors.Is(err, ErrClash) || !strings.Contains(err.Error(), "10.0.0.2:15010") {
			t.Errorf("claim: %v", err)
		}
		if d := time.Since(start); d > 2*defaultTTL {
			t.Errorf("certain after %s", d)
		}
		pass(time.Minute)
		nodes[0].shows("n1 n2 n3")
		if got := nodes[0].Members()[1].Number; got != 2 || len(nodes[1].complaints()) > 0 || !nodes[1].Healthy() {
			t.Errorf("the first one suffers: number %d, complaints %q", got, nodes[1].complaints())
		}
		nodes[1].kill()
		pass(2 * defaultTTL)
		if err := other.claim(time.Second); err != nil {
			t.Errorf("claim after the other died: %v", err)
		}
		nodes[0].shows("n1 n3 n2")
	})
}

// TestCopiedNode: two processes with one node id, number and address, as from
// a copied directory. The second overwrites the first, which says so and does
// not fight.
func TestCopiedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		second := f.start(t, 2, nil)
		pass(time.Minute)
		if c := nodes[1].complaints(); len(c) != 1 || !errors.Is(c[0], ErrClash) || nodes[1].Healthy() {
			t.Errorf("complaints %q, healthy %t", c, nodes[1].Healthy())
		}
		if !second.Healthy() {
			t.Error("they fight for the registration")
		}
		nodes[0].shows("n1 n2 n3")
		if got := nodes[0].said(); got != 2 {
			t.Errorf("%d lines of log, want 2", got)
		}
	})
}

// TestOverwrittenUnseen: a process whose registration was overwritten, and that
// sees no list, does not keep the other one's alive.
func TestOverwrittenUnseen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		second := f.start(t, 2, nil)
		nodes[1].link.refuse(lists)
		pass(time.Second)
		second.kill()
		pass(defaultTTL)
		nodes[0].shows("n1 n2? n3")
	})
}

// TestRestart: a node that was killed comes back at once at its own address,
// and after the TTL at another one; a wiped one with a number of its own.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		nodes[1].kill()
		again := f.start(t, 8, func(o *Options) { o.NodeID, o.Advertise = "n2", "10.0.0.2:15010" })
		if err := again.claim(time.Second); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if got := nodes[0].Members()[2]; got.NodeID != "n2" || got.Number != 8 || got.Lost {
			t.Errorf("member %+v", got)
		}
		again.kill()
		moved := f.start(t, 8, func(o *Options) { o.NodeID = "n2" })
		if err := moved.claim(time.Second); err == nil {
			t.Error("no wait for the TTL of the one before")
		}
		if err := moved.claim(2 * defaultTTL); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		if got := nodes[0].Members()[2]; got.Address != "10.0.0.8:15010" {
			t.Errorf("member %+v", got)
		}
	})
}

func TestDiscover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		watch := &node{t: t, link: &link{fake: f}}
		o := f.options(4).with(watch.link)
		o.ClusterID, o.Number = "", 0
		o.Logger = f.start(t, 1, nil).o.Logger // any
		f.change(func() { f.status = http.StatusInternalServerError })
		type answer struct {
			members []Member
			id      string
			err     error
		}
		got := make(chan answer, 1)
		go func() {
			m, id, err := Discover(context.Background(), o)
			got <- answer{m, id, err}
		}()
		pass(5 * time.Minute)
		f.change(func() { f.status = 0 })
		if a := <-got; a.err != nil || listed(a.members) != "n1" || a.id != clusterA {
			t.Errorf("discovered %+v", a)
		}
	})
}

func TestDiscoverRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.three(t)
		discover := func(edit func(*Options)) error {
			o := f.options(4).with(&link{fake: f})
			edit(&o)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, _, err := Discover(ctx, o)
			return err
		}
		if err := discover(func(o *Options) { o.ClusterID = clusterB }); !errors.Is(err, ErrForeign) {
			t.Errorf("foreign cluster id: %v", err)
		}
		if err := discover(func(o *Options) { o.NodeID = "n2" }); !errors.Is(err, ErrClash) {
			t.Errorf("clashing node id: %v", err)
		}
		err := discover(func(o *Options) { o.Cluster = "other" })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `knows no cluster "other"`) {
			t.Errorf("wrong name: %v", err)
		}
	})
}

func TestOptions(t *testing.T) {
	_, err := Start(Options{Cluster: "a/b", TTL: time.Millisecond, Advertise: "host"})
	for _, want := range []string{"consul address", `"a/b"`, "cluster id", "node id", "number 0", "advertised", "ttl 1ms"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not tell of %s", err, want)
		}
	}
}
