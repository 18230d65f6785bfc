package actors_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a state machine that keeps nothing and answers the entry's data; an
// entry "panic" meets its bug.
type echo struct{}

func (echo) Apply(_ collection.Txn, e collection.Entry) collection.Outcome {
	if string(e.Data) == "panic" {
		panic("a bug in apply")
	}
	return collection.Outcome{Answer: string(e.Data)}
}

func start(t *testing.T) *actorstest.Kit {
	t.Helper()
	return actorstest.Start(t, actorstest.Options{
		Machine: func(uint64) collection.StateMachine { return echo{} },
	})
}

func propose(ctx context.Context, r *actors.Replica, id tenant.ID, data string) (any, error) {
	return r.Propose(ctx, actors.Proposal{Tenant: id, Data: []byte(data)})
}

// Whoever waits when leadership goes is told at once that the outcome is not
// known, though the entry may yet be committed; what comes after is refused.
func TestLeadershipLostInMidWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t)
		r := k.Node.Partition(0)
		if got, err := propose(t.Context(), r, "a", "one"); got != "one" || err != nil {
			t.Fatal(got, err)
		}
		k.Disk.Hold()
		results := make(chan error)
		for range 3 {
			go func() {
				_, err := propose(t.Context(), r, "a", "two")
				results <- err
			}()
		}
		synctest.Wait()
		if n := r.Status().Pending; n == 0 {
			t.Fatal("no proposal is pending")
		}
		r.Step(&raftpb.Message{
			Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(2)), To: new(uint64(hubsvc.FirstReplica)),
			Term: new(r.Status().Term + 1),
		})
		unknown := 0
		for range 3 {
			var e *collection.Error
			if err := <-results; !errors.As(err, &e) || e.Code != collection.Unavailable {
				t.Fatalf("answer %v, want unavailable", err)
			}
			if e.Details["outcome"] == "unknown" {
				unknown++
			} else if e.Reason != collection.ReasonNotLeader {
				t.Fatalf("answer %v, want an unknown outcome, or a refusal before the log", e)
			}
		}
		if unknown == 0 {
			t.Fatal("what was on its way to the disk was refused as if it could not have taken effect")
		}
		_, err := propose(t.Context(), r, "a", "three")
		if collection.ReasonOf(err) != collection.ReasonNotLeader {
			t.Fatalf("answer %v, want not leader", err)
		}
		if err := r.ReadBarrier(t.Context(), "a"); collection.CodeOf(err) != collection.Unavailable {
			t.Fatalf("a deposed leader confirms a read: %v", err)
		}
	})
}

// A panic in apply stops its partition, answers everybody who waits there, and
// leaves the others alone.
func TestPanicInApply(t *testing.T) {
	k := start(t)
	broken, other := k.Node.Partition(0), k.Node.Partition(1)
	_, err := propose(t.Context(), broken, "a", "panic")
	if err == nil {
		t.Fatal("an entry that apply could not decide was answered")
	}
	for _, err := range []error{broken.Err(), second(propose(t.Context(), broken, "a", "more")), broken.ReadBarrier(t.Context(), "a")} {
		if collection.CodeOf(err) != collection.Internal {
			t.Errorf("a stopped partition answers %v", err)
		}
	}
	if got, err := propose(t.Context(), other, "a", "fine"); got != "fine" || err != nil {
		t.Fatalf("another partition answers %v, %v", got, err)
	}
}

func second(_ any, err error) error { return err }

// A burst of one tenant delays another's write by one round, not by the burst.
func TestFairQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := start(t)
		r := k.Node.Partition(0)
		k.Disk.Hold()
		const burst = 40
		order := make(chan string, burst+1)
		post := func(id tenant.ID, size int) {
			reply := make(chan collection.Outcome, 1)
			r.Post(actors.Proposal{Tenant: id, Data: make([]byte, size)}, reply)
			go func() {
				<-reply
				order <- string(id)
			}()
		}
		for range burst {
			post("loud", 1<<20)
		}
		post("quiet", 10)
		synctest.Wait()
		k.Disk.Release()
		before := 0
		for id := range order {
			if id == "quiet" {
				break
			}
			before++
		}
		if before > burst/2 {
			t.Fatalf("%d of %d writes of the loud tenant came before the quiet one's", before, burst)
		}
		for before++; before <= burst; before++ {
			<-order
		}
	})
}

// A restart applies again what no checkpoint holds, and a node that is killed
// between a checkpoint and the cut of its log does not apply anything twice.
func TestRestartKeepsAppliedIndex(t *testing.T) {
	dir := t.TempDir()
	o := actorstest.Options{Dir: dir, Machine: func(uint64) collection.StateMachine { return echo{} }}
	k := actorstest.Start(t, o)
	for range 10 {
		if _, err := propose(t.Context(), k.Node.Partition(0), "a", "x"); err != nil {
			t.Fatal(err)
		}
	}
	_, before := k.Node.Partition(0).Digest()
	k.Stop()
	k = actorstest.Start(t, o)
	if err := k.Node.Partition(0).ReadBarrier(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if _, after := k.Node.Partition(0).Digest(); after != before+1 { // the new term's first entry
		t.Fatalf("applied index %d after the restart, %d before it", after, before)
	}
}
