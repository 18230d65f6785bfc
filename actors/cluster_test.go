package actors_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

// several runs a test of nodes in a bubble, whose clock nobody waits for.
func several(t *testing.T, o actorstest.ClusterOptions, test func(t *testing.T, c *actorstest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, actorstest.StartCluster(t, o)) })
}

func voter(number, serial uint32) hubsvc.Replica   { return actorstest.Voter(number, serial) }
func learner(number, serial uint32) hubsvc.Replica { return actorstest.Learner(number, serial) }

// onThree moves a group, born on node 1, to the nodes 1, 2 and 3.
func onThree(c *actorstest.Cluster, group uint64) {
	all := []hubsvc.Replica{voter(1, 1), voter(2, 2), voter(3, 2)}
	if group == actors.SystemGroup {
		all = []hubsvc.Replica{voter(1, 1), voter(2, 1), voter(3, 1)}
	}
	c.Place(group, all...)
	c.AwaitMembers(group, all...)
}

// A group grows from one node to three while it is written to. Nothing that
// was acknowledged is lost, and the replicas are equal.
func TestGrowToThree(t *testing.T) {
	for _, group := range []uint64{actors.SystemGroup, 1} {
		t.Run(fmt.Sprint("group ", group), func(t *testing.T) {
			several(t, actorstest.ClusterOptions{Nodes: 3}, func(t *testing.T, c *actorstest.Cluster) {
				for i := range 50 {
					c.Write(group, fmt.Sprintf("before%d=x", i))
				}
				stop := make(chan struct{})
				var writer sync.WaitGroup
				written := 0
				writer.Go(func() {
					for ; ; written++ {
						select {
						case <-stop:
							return
						case <-time.After(5 * time.Millisecond):
							c.Write(group, fmt.Sprintf("meanwhile%d=y", written))
						}
					}
				})
				onThree(c, group)
				close(stop)
				writer.Wait()
				c.AwaitEqual(group)
				if written < 10 {
					t.Errorf("only %d writes while the group grew", written)
				}
				for _, m := range c.Nodes() {
					for i := range written {
						if got := m.Read(group, fmt.Sprint("meanwhile", i)); got != "y" {
							t.Fatalf("node %d has %q of write %d", m.Number, got, i)
						}
					}
					if got := m.Read(group, "before49"); got != "x" {
						t.Fatalf("node %d has %q of what was written before", m.Number, got)
					}
				}
			})
		})
	}
}

// When the leader is killed another one leads within two election timeouts and
// has everything acknowledged. Whoever waited for the old one is told that the
// outcome is not known.
func TestLeaderLost(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 3}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		for i := range 20 {
			c.Write(1, fmt.Sprintf("k%d=v", i))
		}
		old := c.Leader(1)
		c.Net.Silence(1, 2)
		c.Net.Silence(1, 3)
		waiting := make(chan error, 1)
		go func() { _, err := propose(context.Background(), old.Replicas()[1], "", "lonely=1"); waiting <- err }()
		start := time.Now()
		c.Await("another leader", func() bool { l := c.Leader(1); return l != nil && l.Number != old.Number })
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("another node led after %v", took)
		}
		c.Write(1, "after=1")
		var e *collection.Error
		if err := <-waiting; !errors.As(err, &e) || e.Details["outcome"] != "unknown" {
			t.Errorf("a write on the leader that was cut off: %v, want an unknown outcome", err)
		}
		if err := old.Replicas()[1].ReadBarrier(t.Context(), ""); err == nil {
			t.Error("the leader that was cut off confirms a read")
		}
		c.Net.Heal()
		c.AwaitEqual(1)
		for _, m := range c.Nodes() {
			for i := range 20 {
				if got := m.Read(1, fmt.Sprint("k", i)); got != "v" {
					t.Fatalf("node %d lost write %d", m.Number, i)
				}
			}
			if m.Read(1, "lonely") != "" {
				t.Errorf("node %d has a write that only a deposed leader had", m.Number)
			}
		}
	})
}

// A leader that hangs up is replaced at once and not after an election timeout.
func TestLeaderHangsUp(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 3}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.AwaitEqual(1)
		start := time.Now()
		c.Kill(1)
		c.Await("another leader", func() bool { return c.Leader(1) != nil })
		if took := time.Since(start); took > 900*time.Millisecond {
			t.Errorf("another node led after %v, not before the election timeout", took)
		}
	})
}

// Leadership goes to the preferred replica once that has been fit for a while,
// and nothing is lost on the way.
func TestPreferredLeader(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 3}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.Place(1, voter(2, 2), voter(1, 1), voter(3, 2))
		for i := 0; ; i++ {
			c.Write(1, fmt.Sprintf("k%d=v", i))
			if l := c.Leader(1); l != nil && l.Number == 2 {
				break
			}
			<-time.After(10 * time.Millisecond) // the clock stands still while anybody works
		}
		c.Kill(2)
		c.Write(1, "without=2")
		c.Start(2)
		c.Await("the preferred leader leads again", func() bool { l := c.Leader(1); return l != nil && l.Number == 2 })
		c.AwaitEqual(1)
	})
}

// A node that stops gives up what it leads, and returns when others lead it.
func TestHandOver(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 3, Partitions: 2}, func(t *testing.T, c *actorstest.Cluster) {
		for g := range uint64(3) {
			onThree(c, g)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		one := c.Leader(1)
		one.HandOver(ctx)
		if ctx.Err() != nil {
			t.Error("handing over took longer than it may")
		}
		for g := range uint64(3) {
			if one.Replicas()[g].Leads() {
				t.Errorf("group %d is still led by the node that stops", g)
			}
		}
		c.Stop(one.Number)
		start := time.Now()
		for g := range uint64(3) {
			c.Write(g, "after=1")
		}
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("after an orderly stop the first writes took %v", took)
		}
	})
}

// A node alone has nobody to hand over to, and does not wait.
func TestHandOverAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		newNode(t).HandOver(t.Context())
		if took := time.Since(start); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

func newNode(t *testing.T) *actors.Node {
	t.Helper()
	return start(t).Node
}

// resettable counts what a subscriber is told.
type resettable struct{ applied, resets atomic.Int32 }

func (r *resettable) Apply(uint64, []collection.Event) { r.applied.Add(1) }
func (r *resettable) Reset()                           { r.resets.Add(1) }

// A follower that was away until the log it needs is gone gets an image: its
// state is equal again, who follows its events is told that they ended, and
// who keeps copies sees the new state.
func TestFollowerBehindTheLog(t *testing.T) {
	type seen struct {
		number uint32
		group  uint64
	}
	var mu sync.Mutex
	images := map[seen]string{}
	o := actorstest.ClusterOptions{
		Nodes:  3,
		Actors: actors.Options{CheckpointBytes: 4 << 10, SegmentBytes: 16 << 10, KeepBytes: 1 << 10, CheckpointInterval: time.Second},
		OnImage: func(number uint32, group uint64, state collection.View) {
			value, _ := state.Get(collection.BucketPoints, []byte("last"))
			mu.Lock()
			defer mu.Unlock()
			images[seen{number, group}] = string(value)
		},
	}
	several(t, o, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.Write(1, "first=1")
		c.AwaitEqual(1)
		follower := c.Node(3)
		sink := &resettable{}
		view, err := follower.Replicas()[1].Subscribe(1, sink)
		if err != nil {
			t.Fatal(err)
		}
		view.Close()
		c.Net.Cut(3, 1)
		c.Net.Cut(3, 2)
		for i := range 200 {
			c.Write(1, fmt.Sprintf("k%d=%s", i%20, strings.Repeat("x", 300)))
		}
		c.Write(1, "last=2")
		<-time.After(5 * time.Second) // checkpoints, and with them cuts of the log
		before := c.Net.Transfers()
		c.Net.Heal()
		c.Await("the follower is equal", func() bool { return follower.Read(1, "last") == "2" })
		c.AwaitEqual(1)
		if c.Net.Transfers() == before {
			t.Fatal("the log was not cut: the follower got entries and no image")
		}
		if sink.resets.Load() != 1 {
			t.Errorf("the subscriber was reset %d times", sink.resets.Load())
		}
		mu.Lock()
		defer mu.Unlock()
		if got := images[seen{3, 1}]; got != "2" {
			t.Errorf("whoever keeps copies was shown %q of the image", got)
		}
		c.Kill(3) // what it took over is on its disk
		c.Start(3)
		c.AwaitEqual(1)
		if files := c.Node(3).Files(); len(files) != 1 { // the system group has no store there yet
			t.Errorf("files after the image and a restart: %v", files)
		}
	})
}

// A replica is swapped for one on another node by the topology alone. The old
// one's files and log go, and not before every voter will remember that it is
// none any more.
func TestSwap(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 4}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		for i := range 30 {
			c.Write(1, fmt.Sprintf("k%d=v", i))
		}
		want := []hubsvc.Replica{voter(1, 1), voter(2, 2), voter(4, 9)}
		c.Place(1, want...)
		three := c.Node(3)
		c.Await("the replica on node 3 is gone", func() bool { return !three.Replicas()[1].Here() })
		for _, number := range []uint32{1, 2, 4} {
			s := c.Node(number).Replicas()[1].Status()
			if s.Durable < s.MembersIndex || slices.Contains(s.Voters, uint64(voter(3, 2).ID)) || s.Joint() {
				t.Errorf("the replica of node 3 went before node %d would remember it: %+v", number, s)
			}
		}
		c.AwaitMembers(1, want...)
		c.AwaitEqual(1)
		if got := c.Node(4).Read(1, "k29"); got != "v" {
			t.Errorf("the new replica has %q", got)
		}
		c.Await("its files are gone", func() bool {
			return !slices.ContainsFunc(three.Files(), func(name string) bool { return strings.HasPrefix(name, "0001") })
		})
		c.Stop(3)
		c.Start(3)
		if c.Node(3).Replicas()[1].Here() {
			t.Error("a replica that was removed is back after a restart")
		}
	})
}

// While a voter has not written down that a replica is none any more, that
// replica stays: after a restart the voter might count on it.
func TestSwapWaitsForVoters(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 4}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.Write(1, "k=v")
		c.AwaitEqual(1)
		c.Node(2).Disk.Hold()
		c.Place(1, voter(1, 1), voter(2, 2), voter(4, 9))
		c.Await("the group has left node 3", func() bool {
			s := c.Node(1).Replicas()[1].Status()
			return !s.Joint() && slices.Contains(s.Voters, uint64(voter(4, 9).ID)) && len(s.Learners) == 0
		})
		<-time.After(20 * time.Second)
		if !c.Node(3).Replicas()[1].Here() {
			t.Error("its replica is gone although a voter does not remember that it has left")
		}
		c.Node(2).Disk.Release()
		c.Await("it is gone", func() bool { return !c.Node(3).Replicas()[1].Here() })
		c.AwaitEqual(1)
	})
}

// The leader itself is swapped: it hands over and leaves.
func TestSwapOfTheLeader(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 4}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.Write(1, "k=v")
		want := []hubsvc.Replica{voter(4, 9), voter(2, 2), voter(3, 2)}
		c.Place(1, want...)
		c.Await("the first leader's replica is gone", func() bool { return !c.Node(1).Replicas()[1].Here() })
		c.AwaitMembers(1, want...)
		c.Await("the preferred leader leads", func() bool { l := c.Leader(1); return l != nil && l.Number == 4 })
		c.AwaitEqual(1)
	})
}

// Two nodes have one voter and a learner; the voter can be either of them.
func TestTwoNodes(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 2}, func(t *testing.T, c *actorstest.Cluster) {
		both := []hubsvc.Replica{voter(1, 1), learner(2, 2)}
		c.Place(1, both...)
		c.AwaitMembers(1, both...)
		c.Write(1, "k=v")
		c.AwaitEqual(1)
		c.Kill(2)
		c.Write(1, "alone=1") // a learner is never waited for
		c.Start(2)
		c.AwaitEqual(1)
		other := []hubsvc.Replica{voter(2, 2), learner(1, 1)}
		c.Place(1, other...)
		c.AwaitMembers(1, other...)
		c.Write(1, "moved=1")
		c.AwaitEqual(1)
	})
}

// Replicas that were made and have no image yet answer nobody and elect nobody,
// however long they wait.
func TestEmptyReplicas(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 3}, func(t *testing.T, c *actorstest.Cluster) {
		for _, pair := range [][2]uint32{{1, 2}, {1, 3}} {
			c.Net.Silence(pair[0], pair[1])
		}
		c.Place(1, voter(2, 2), voter(3, 2), voter(1, 1))
		c.Await("empty replicas", func() bool { return c.Node(2).Replicas()[1].Here() && c.Node(3).Replicas()[1].Here() })
		<-time.After(time.Minute)
		for _, number := range []uint32{2, 3} {
			r := c.Node(number).Replicas()[1]
			if s := r.Status(); s.Role != 0 || s.Term != 0 || s.Leader != 0 {
				t.Errorf("the empty replica of node %d has a mind of its own: %+v", number, s)
			}
			if err := r.ReadBarrier(t.Context(), ""); collection.ReasonOf(err) != collection.ReasonNotLeader {
				t.Errorf("it answers a read with %v", err)
			}
		}
		c.Write(1, "k=v") // node 1 alone decides still
		c.Net.Heal()
		c.AwaitMembers(1, voter(2, 2), voter(3, 2), voter(1, 1))
		c.AwaitEqual(1)
	})
}

// A node that was away while a group left it removes what it has when it is
// back, and disturbs nobody.
func TestRestartWithTooMuch(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 4}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.Kill(3)
		want := []hubsvc.Replica{voter(1, 1), voter(2, 2), voter(4, 9)}
		c.Place(1, want...)
		c.AwaitMembers(1, want...)
		term := c.Leader(1).Replicas()[1].Status().Term
		c.Start(3)
		c.Await("it has left", func() bool { return !c.Node(3).Replicas()[1].Here() })
		c.Write(1, "k=v")
		if now := c.Leader(1).Replicas()[1].Status().Term; now != term {
			t.Errorf("the group went from term %d to %d because of a replica that it does not have", term, now)
		}
	})
}

// A replica that is wanted again under another id is made anew when the first
// one has left, and not before.
func TestNewReplicaOnTheSameNode(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 4}, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.Write(1, "k=v")
		c.Place(1, voter(1, 1), voter(2, 2), voter(4, 9))
		c.Await("it is gone", func() bool { return !c.Node(3).Replicas()[1].Here() })
		want := []hubsvc.Replica{voter(1, 1), voter(3, 10), voter(4, 9)}
		c.Place(1, want...)
		c.AwaitMembers(1, want...)
		c.AwaitEqual(1)
	})
}

// Messages are slow and a fifth of raft's are lost while a group moves from
// three nodes to three others, and nothing acknowledged is lost.
func TestMoveOverABadNetwork(t *testing.T) {
	o := actorstest.ClusterOptions{Nodes: 6, Actors: actors.Options{CheckpointBytes: 4 << 10, SegmentBytes: 16 << 10, KeepBytes: 4 << 10}}
	several(t, o, func(t *testing.T, c *actorstest.Cluster) {
		onThree(c, 1)
		c.Net.Worsen(40*time.Millisecond, 0.2)
		stop := make(chan struct{})
		var writer sync.WaitGroup
		written := 0
		writer.Go(func() {
			for ; ; written++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					c.Write(1, fmt.Sprintf("k%d=%s", written, strings.Repeat("x", 100)))
				}
			}
		})
		for i := range uint32(3) {
			list := []hubsvc.Replica{voter(1, 1), voter(2, 2), voter(3, 2)}
			for j := range i + 1 {
				list[j] = voter(4+j, 20)
			}
			c.Place(1, list...)
			c.AwaitMembers(1, list...)
		}
		close(stop)
		writer.Wait()
		c.Net.Worsen(0, 0)
		c.AwaitEqual(1)
		if written < 20 {
			t.Errorf("only %d writes", written)
		}
		for i := range written {
			if got := c.Node(5).Read(1, fmt.Sprint("k", i)); len(got) != 100 {
				t.Fatalf("write %d of %d is lost", i, written)
			}
		}
		for number := uint32(1); number <= 3; number++ {
			c.Await(fmt.Sprintf("node %d has left", number), func() bool { return !c.Node(number).Replicas()[1].Here() })
		}
	})
}
