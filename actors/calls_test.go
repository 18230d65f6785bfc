package actors_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// pair runs a test with two nodes that call each other.
func pair(t *testing.T, test func(t *testing.T, c *actorstest.Cluster, one, two *actorstest.Member)) {
	t.Helper()
	several(t, actorstest.ClusterOptions{Nodes: 2}, func(t *testing.T, c *actorstest.Cluster) { test(t, c, c.Node(1), c.Node(2)) })
}

func TestCall(t *testing.T) {
	pair(t, func(t *testing.T, _ *actorstest.Cluster, one, two *actorstest.Member) {
		two.Handle("echo", func(ctx context.Context, from uint32, request []byte) ([]byte, error) {
			deadline, ok := ctx.Deadline()
			if left := time.Until(deadline); !ok || left <= 0 || left > 1100*time.Millisecond {
				t.Errorf("the handler has %v left of one second", left)
			}
			return fmt.Append(nil, from, string(request)), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, request := range []string{"", "hello"} {
			got, err := one.Call(ctx, 2, "echo", []byte(request))
			if want := fmt.Sprint("1", request); string(got) != want && err == nil || err != nil {
				t.Errorf("answer %q, %v; want %q", got, err, want)
			}
		}
	})
}

// Both kinds of errors come back as they were; what they wrap does not leave
// the node.
func TestCallErrors(t *testing.T) {
	pair(t, func(t *testing.T, _ *actorstest.Cluster, one, two *actorstest.Member) {
		for _, err := range []error{
			&collection.Error{Code: collection.NotFound, Message: "no such thing"},
			&collection.Error{Code: collection.Unavailable, Reason: collection.ReasonOverload, Message: "later"},
			&collection.Error{Code: collection.Unavailable, Message: "who knows", Details: map[string]any{"outcome": "unknown"}},
			&collection.Error{Code: collection.ResourceExhausted, Message: "slowly", Details: map[string]any{
				"retry_after_s": int64(5), "limit": int64(1 << 40), "below": int64(-3), "share": 0.5, "in": "body",
			}},
			&hubsvc.Error{Code: hubsvc.CodeAlreadyExists, Message: "taken"},
			&hubsvc.Error{Code: hubsvc.CodeUnavailable, Message: "later"},
		} {
			two.Handle("fail", func(context.Context, uint32, []byte) ([]byte, error) { return nil, fmt.Errorf("wrapped: %w", err) })
			_, got := one.Call(t.Context(), 2, "fail", nil)
			if !reflect.DeepEqual(got, err) {
				t.Errorf("%#v came back as %#v", err, got)
			}
		}
		two.Handle("fail", func(context.Context, uint32, []byte) ([]byte, error) {
			return nil, &collection.Error{Code: collection.ResourceExhausted, Details: map[string]any{"small": 5, "large": 1 << 40, "less": -3}}
		})
		_, err := one.Call(t.Context(), 2, "fail", nil)
		var e *collection.Error
		if want := map[string]any{"small": int64(5), "large": int64(1 << 40), "less": int64(-3)}; !errors.As(err, &e) || !reflect.DeepEqual(e.Details, want) {
			t.Errorf("details %#v, want %#v", e.Details, want)
		}
		const canary = "path /secret/canary"
		for _, err := range []error{
			errors.New(canary), &collection.Error{Code: collection.Internal, Message: "bad", Err: errors.New(canary)},
		} {
			two.Handle("fail", func(context.Context, uint32, []byte) ([]byte, error) { return nil, err })
			_, got := one.Call(t.Context(), 2, "fail", nil)
			if collection.CodeOf(got) != collection.Internal || bytes.Contains(fmt.Appendf(nil, "%+v", got), []byte("canary")) {
				t.Errorf("%v came back as %v", err, got)
			}
		}
	})
}

func TestCallThatCannotBeAnswered(t *testing.T) {
	pair(t, func(t *testing.T, c *actorstest.Cluster, one, two *actorstest.Member) {
		unknown := func(err error) bool {
			var e *collection.Error
			return errors.As(err, &e) && e.Code == collection.Unavailable && e.Details["outcome"] == "unknown"
		}
		if _, err := one.Call(t.Context(), 2, "nonsense", nil); collection.ReasonOf(err) != collection.ReasonNotLeader || unknown(err) {
			t.Errorf("an unknown method: %v", err)
		}
		two.Handle("panic", func(context.Context, uint32, []byte) ([]byte, error) { panic("a bug") })
		if _, err := one.Call(t.Context(), 2, "panic", nil); collection.CodeOf(err) != collection.Internal {
			t.Errorf("a panic: %v", err)
		}
		ended := make(chan error, 3)
		two.Handle("hang", func(ctx context.Context, _ uint32, _ []byte) ([]byte, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := one.Call(ctx, 2, "hang", nil); !unknown(err) {
			t.Errorf("an answer that does not come: %v", err)
		}
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the handler ended with %v, not by the caller's deadline", err)
		}
		if _, err := one.Call(ctx, 2, "hang", nil); !errors.Is(err, context.DeadlineExceeded) || unknown(err) {
			t.Errorf("a call whose time is over: %v", err)
		}
		lost := make(chan error, 1)
		go func() { _, err := one.Call(context.Background(), 2, "hang", nil); lost <- err }()
		synctest.Wait()
		start := time.Now()
		c.Net.Cut(1, 2)
		if err := <-lost; !unknown(err) || time.Since(start) > 0 {
			t.Errorf("a connection that breaks: %v after %v", err, time.Since(start))
		}
		if _, err := one.Call(t.Context(), 2, "hang", nil); collection.CodeOf(err) == collection.Unavailable && unknown(err) {
			t.Errorf("what was never sent is said to have an unknown outcome: %v", err)
		}
	})
}

// An answer that cannot be sent is told as such: nobody waits for it until the
// deadline.
func TestAnswerThatCannotBeSent(t *testing.T) {
	pair(t, func(t *testing.T, c *actorstest.Cluster, one, two *actorstest.Member) {
		two.Handle("huge", func(context.Context, uint32, []byte) ([]byte, error) {
			return make([]byte, actorstest.PayloadBytesMax+1), nil
		})
		start := time.Now()
		_, err := one.Call(t.Context(), 2, "huge", nil)
		var e *collection.Error
		if !errors.As(err, &e) || time.Since(start) > time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// A node answers so many calls at a time and refuses the others at once.
func TestCallOverload(t *testing.T) {
	pair(t, func(t *testing.T, _ *actorstest.Cluster, one, two *actorstest.Member) {
		release := make(chan struct{})
		two.Handle("slow", func(context.Context, uint32, []byte) ([]byte, error) { <-release; return nil, nil })
		const most = 4096
		var callers sync.WaitGroup
		failed := make(chan error, most)
		for range most {
			callers.Go(func() {
				if _, err := one.Call(t.Context(), 2, "slow", nil); err != nil {
					failed <- err
				}
			})
		}
		synctest.Wait()
		if _, err := one.Call(t.Context(), 2, "slow", nil); collection.ReasonOf(err) != collection.ReasonOverload {
			t.Errorf("one too many: %v", err)
		}
		close(release)
		callers.Wait()
		if len(failed) > 0 {
			t.Errorf("%d calls failed: %v", len(failed), <-failed)
		}
		if _, err := one.Call(t.Context(), 2, "slow", nil); err != nil {
			t.Errorf("room is not given back: %v", err)
		}
	})
}

// A node that stops ends what it answers.
func TestStopEndsCalls(t *testing.T) {
	pair(t, func(t *testing.T, c *actorstest.Cluster, one, two *actorstest.Member) {
		two.Handle("hang", func(ctx context.Context, _ uint32, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
		go func() { _, _ = one.Call(context.Background(), 2, "hang", nil) }()
		synctest.Wait()
		start := time.Now()
		c.Stop(2)
		if took := time.Since(start); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}

// An answer counts only when it comes from the node that was asked.
func TestAnswerOfAnother(t *testing.T) {
	pair(t, func(t *testing.T, _ *actorstest.Cluster, one, two *actorstest.Member) {
		release := make(chan struct{})
		two.Handle("slow", func(context.Context, uint32, []byte) ([]byte, error) { <-release; return []byte("true"), nil })
		answer := make(chan string, 1)
		go func() { got, _ := one.Call(t.Context(), 2, "slow", nil); answer <- string(got) }()
		synctest.Wait()
		for id := range byte(10) {
			one.ReceiveMessage(3, append([]byte{2, id, 0, 0, 0, 0, 0, 0, 0}, "forged"...))
		}
		close(release)
		if got := <-answer; got != "true" {
			t.Errorf("answer %q", got)
		}
	})
}

// lonely is the network of a node that can send and is heard by nobody.
type lonely struct{}

func (lonely) Raft(uint32, uint64, []*raftpb.Message) {}
func (lonely) Flush()                                 {}
func (lonely) Connected(uint32) bool                  { return true }
func (lonely) Send(uint32, []byte) error              { return nil }
func (lonely) Transfer(context.Context, uint32, []byte, int64, io.ReaderAt) ([]byte, error) {
	return nil, errors.New("nobody hears")
}

// Nothing that another node sends makes this one panic, and nothing that is
// made up gets past the door: the state stays what it was.
func FuzzReceive(f *testing.F) {
	n, err := actors.Start(actors.Options{
		Dir: f.TempDir(), Partitions: 1, Logger: slog.New(slog.DiscardHandler), OnFatal: func(err error) { f.Error(err) },
		Machine:  func(uint64) collection.StateMachine { return actorstest.Notes{} },
		TenantOf: func(uint64, []byte) tenant.ID { return "" },
		Cluster:  actors.ClusterOptions{Network: lonely{}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = n.Stop(ctx)
		<-time.After(2 * time.Millisecond)
	})
	before, _ := n.Partition(0).Digest()
	for _, method := range []string{"status", "reports", "leave", "other"} {
		m := append([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, byte(len(method))}, method...)
		f.Add(append(m, 1))
	}
	f.Add(append([]byte{1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 253}, make([]byte, 300)...)) // a name longer than a byte counts beside its head
	f.Add([]byte{2, 1, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Add([]byte{3, 1, 0, 0, 0, 0, 0, 0, 0, 0x81, 0xa1, 'c', 5})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		n.ReceiveMessage(2, bytes.Clone(b))
		if image, err := n.ReceiveTransfer(2, b, int64(len(b))); err == nil {
			image.Abort()
		}
		if after, _ := n.Partition(0).Digest(); after != before || n.Partition(0).Err() != nil {
			t.Fatal("the state changed")
		}
	})
}
