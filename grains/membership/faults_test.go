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

func TestMembersComeAndDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		want := Member{NodeID: "n2", Number: 2, Address: "10.0.0.2:15010", HTTP: "127.0.0.1:8080", Version: "v1"}
		if got := nodes[0].Members()[1]; got != want {
			t.Errorf("member %+v, want %+v", got, want)
		}
		nodes[2].kill()
		pass(defaultTTL + time.Second)
		nodes[0].shows("n1 n2 n3?")
		pass(defaultGrace)
		nodes[0].shows("n1 n2")
		nodes[1].shows("n1 n2")
		if got := strings.Join(nodes[0].changes(), ", "); !strings.HasSuffix(got, "n1 n2 n3, n1 n2 n3?, n1 n2") {
			t.Errorf("OnChange got %q", got)
		}
		f.start(t, 3, nil)
		pass(time.Second)
		nodes[0].shows("n1 n2 n3")
	})
}

// TestConsulStalls is the fault that the bundled provider never got over: all
// checks expire at once.
func TestConsulStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		release := f.stall()
		for range 15 {
			pass(time.Second)
			nodes[0].shows("n1 n2 n3")
		}
		if nodes[0].Healthy() {
			t.Error("healthy without Consul")
		}
		release()
		for range 30 {
			pass(time.Second)
			for _, n := range nodes {
				if got := len(n.Members()); got != 3 {
					t.Fatalf("%s has %d members", n.self.NodeID, got)
				}
			}
		}
		for _, n := range nodes {
			n.shows("n1 n2 n3")
			if !n.Healthy() {
				t.Errorf("%s is not healthy after the stall", n.self.NodeID)
			}
		}
	})
}

func TestRegistrationLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		pass(defaultTTL / 2)
		f.change(func() { delete(f.services, "waggle-demo-n2") })
		pass(time.Second) // its watch saw it
		for _, n := range nodes {
			n.shows("n1 n2 n3")
			if !n.Healthy() {
				t.Errorf("%s is not healthy", n.self.NodeID)
			}
		}
	})
}

// TestNeverListed: Consul takes the registration and does not show it. The
// node tries again, calmly.
func TestNeverListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		f.change(func() { f.hidden, f.registered = "n2", 0 })
		pass(time.Minute)
		if f.registered < 2 || f.registered > 20 {
			t.Errorf("%d registrations in a minute", f.registered)
		}
		nodes[1].shows("n1 n2 n3")
	})
}

// TestListsHang: a connection that died without a word.
func TestListsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		nodes[0].link.hang(lists)
		pass(30 * time.Second)
		if nodes[0].Healthy() {
			t.Error("healthy without a list for 30 s")
		}
		nodes[0].link.hang("")
		pass(pauseMax + defaultCallTimeout)
		if !nodes[0].Healthy() {
			t.Error("not healthy with a list")
		}
	})
}

// TestOutageOfLists: the time of grace does not run while nobody can be seen
// coming back.
func TestOutageOfLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		nodes[1].link.refuse(everything)
		pass(defaultTTL)
		nodes[0].shows("n1 n2? n3")
		nodes[0].link.refuse(lists)
		pass(time.Minute)
		nodes[0].shows("n1 n2? n3")
		nodes[0].link.refuse("")
		pass(pauseMax)
		if !nodes[0].Healthy() {
			t.Error("not healthy with a list")
		}
		nodes[0].shows("n1 n2? n3")
		pass(defaultGrace)
		nodes[0].shows("n1 n3")
	})
}

// TestRefreshNotFound: the agent knows no check, and the list is from before.
func TestRefreshNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		f.mu.Lock()
		f.services["waggle-demo-n2"].Check.CheckID = "another"
		f.mu.Unlock()
		pass(defaultTTL / 3)
		f.mu.Lock()
		got := f.services["waggle-demo-n2"].Check.CheckID
		f.mu.Unlock()
		if want := nodes[1].consul.checkID(nodes[1].self); got != want {
			t.Errorf("check %q, want %q", got, want)
		}
	})
}

func TestConsulWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		nodes[2].link.refuse(everything) // it comes back late
		f.wipe()
		for range 12 {
			pass(time.Second)
			for _, n := range nodes {
				if got := len(n.Members()); got != 3 {
					t.Fatalf("%s has %d members", n.self.NodeID, got)
				}
			}
		}
		nodes[2].link.refuse("")
		pass(2 * defaultTTL)
		for _, n := range nodes {
			n.shows("n1 n2 n3")
			if !n.Healthy() {
				t.Errorf("%s is not healthy after the wipe", n.self.NodeID)
			}
		}
		if got := f.keys["waggle/demo/birth"]; got != clusterA {
			t.Errorf("birth key %q", got)
		}
	})
}

// TestConsulWipedForLong: a Consul that knows nobody drops nobody, however
// long it takes until it takes registrations again.
func TestConsulWipedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		for _, n := range nodes[1:] {
			n.link.refuse(everything)
		}
		f.wipe()
		f.change(func() { f.keys["waggle/demo/birth"] = clusterB })
		pass(5 * time.Minute)
		nodes[0].shows("n1 n2? n3?")
		if c := nodes[0].complaints(); len(c) != 1 || !errors.Is(c[0], ErrForeign) {
			t.Errorf("complaints %q, want ErrForeign once", c)
		}
	})
}

// TestConsulErrors: an outage of five minutes costs few calls and few lines.
func TestConsulErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		said := nodes[0].said()
		f.change(func() { f.status, f.calls = http.StatusInternalServerError, 0 })
		pass(5 * time.Minute)
		nodes[0].shows("n1 n2 n3")
		// Each node: 300 s by (2.5 to 5) and by (1.7 to 3.3), and the first ones.
		if f.calls > 3*(120+180+20) {
			t.Errorf("%d calls", f.calls)
		}
		if got := nodes[0].said() - said; got != 2 {
			t.Errorf("%d lines of log, want one for each of the two goroutines", got)
		}
		f.change(func() { f.status = 0 })
		pass(30 * time.Second)
		if !nodes[0].Healthy() {
			t.Error("not healthy after the outage")
		}
		nodes[0].shows("n1 n2 n3")
		if got := nodes[0].said() - said; got != 4 {
			t.Errorf("%d lines of log, want 4", got)
		}
	})
}

// TestNodeCutOff: the others drop it, it drops nobody, and it comes back.
func TestNodeCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		before := len(nodes[2].changes())
		nodes[2].link.refuse(everything)
		pass(time.Minute)
		nodes[0].shows("n1 n2")
		nodes[2].shows("n1 n2 n3")
		nodes[2].link.refuse("")
		pass(10 * time.Second)
		nodes[0].shows("n1 n2 n3")
		nodes[2].shows("n1 n2 n3")
		if got := nodes[2].changes(); len(got) != before {
			t.Errorf("changes of the list of the one cut off: %q", got[before:])
		}
	})
}

func TestPartialList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		f.change(func() { f.hidden = "n2" })
		pass(defaultGrace / 2)
		nodes[0].shows("n1 n2? n3")
		f.change(func() { f.hidden = "" })
		pass(time.Second)
		nodes[0].shows("n1 n2 n3")
		f.change(func() { f.hidden = "n2" })
		pass(defaultGrace + time.Second)
		nodes[0].shows("n1 n3")
		nodes[1].shows("n1 n2 n3")
		f.change(func() { f.hidden = "" })
		pass(time.Second)
		nodes[0].shows("n1 n2 n3")
	})
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		left := make(chan error, 1)
		go func() { left <- nodes[2].Leave(context.Background()) }()
		pass(300 * time.Millisecond)
		nodes[0].shows("n1 n2")
		nodes[1].shows("n1 n2")
		if err := <-left; err != nil {
			t.Error(err)
		}
		if nodes[2].Healthy() {
			t.Error("healthy after leaving")
		}
		if len(f.services) != 2 {
			t.Errorf("%d registrations, want 2", len(f.services))
		}
	})
}

func TestLeaveWithoutConsul(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		nodes := f.three(t)
		f.stall()
		start := time.Now()
		if err := nodes[2].Leave(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("leave: %v", err)
		}
		if d := time.Since(start); d > 2*defaultCallTimeout {
			t.Errorf("leaving took %s", d)
		}
	})
}

func TestStopDuringStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.stall()
		n := f.start(t, 1, nil)
		pass(time.Second)
		start := time.Now()
		if err := n.Stop(t.Context()); err != nil || time.Since(start) > 0 {
			t.Errorf("stop: %v after %s", err, time.Since(start))
		}
		if err := n.Claim(t.Context()); err == nil {
			t.Error("claimed after stop")
		}
	})
}
