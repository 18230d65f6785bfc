package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// hub is a LimitEvents in the test's hands.
type hub struct {
	events chan actors.LimitChanges

	mu      sync.Mutex
	limits  int64 // of vectors
	err     error
	hold    chan struct{} // not nil: answers, made already, wait
	asked   int
	failing bool // Changed
}

func (h *hub) Limits(ctx context.Context, _ tenant.ID) (tenant.Limits, error) {
	h.mu.Lock()
	h.asked++
	limits, err, hold := tenant.Limits{Vectors: h.limits}, h.err, h.hold
	h.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return tenant.Limits{}, ctx.Err()
		}
	}
	return limits, err
}

func (h *hub) Changed(ctx context.Context, _ uint64) (actors.LimitChanges, error) {
	h.mu.Lock()
	failing := h.failing
	h.mu.Unlock()
	if failing {
		return actors.LimitChanges{}, errors.New("the hub is away")
	}
	select {
	case c := <-h.events:
		return c, nil
	case <-ctx.Done():
		return actors.LimitChanges{}, ctx.Err()
	}
}

func (h *hub) set(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn()
}

func (h *hub) questions() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}

// quotas runs a test in fake time with quota actors over a hub.
func quotas(t *testing.T, o actors.QuotaOptions, test func(t *testing.T, q *actors.Quotas, h *hub)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		system := quietSystem()
		h := &hub{events: make(chan actors.LimitChanges), limits: 1}
		q := actors.NewQuotas(system, h, o)
		defer func() {
			q.Stop()
			system.Shutdown()
			time.Sleep(time.Second) //nolint:forbidigo // fake time, for the library's dead-letter throttle
		}()
		test(t, q, h)
	})
}

func wantVectors(t *testing.T, q *actors.Quotas, id tenant.ID, want int64) {
	t.Helper()
	if got, err := q.Limits(t.Context(), id); err != nil || got.Vectors != want {
		t.Fatalf("limits of %s: %+v, %v; want %d vectors", id, got, err, want)
	}
}

// A change that the hub tells of is known without waiting for the limits to
// grow old, for those whom it concerns.
func TestChangedLimitsAreKnownAtOnce(t *testing.T) {
	quotas(t, actors.QuotaOptions{}, func(t *testing.T, q *actors.Quotas, h *hub) {
		wantVectors(t, q, "a", 1)
		wantVectors(t, q, "b", 1)
		h.set(func() { h.limits = 2 })
		wantVectors(t, q, "a", 1)
		h.events <- actors.LimitChanges{Tenants: []tenant.ID{"a", "unknown here"}, Last: 1}
		synctest.Wait()
		wantVectors(t, q, "a", 2)
		wantVectors(t, q, "b", 1)
		h.events <- actors.LimitChanges{All: true, Last: 2}
		synctest.Wait()
		wantVectors(t, q, "b", 2)
		if n := q.Active(); n != 2 {
			t.Fatalf("%d tenants are known, of 2 that wrote", n)
		}
		// The hub's events fail for a while: what happened meanwhile is told later.
		h.set(func() { h.failing, h.limits = true, 3 })
		h.events <- actors.LimitChanges{Last: 3}
		time.Sleep(10 * time.Second) //nolint:forbidigo // fake time
		h.set(func() { h.failing = false })
		h.events <- actors.LimitChanges{Tenants: []tenant.ID{"a"}, Last: 4}
		synctest.Wait()
		wantVectors(t, q, "a", 3)
	})
}

// An answer that was on its way when the limits changed is not the last word.
func TestChangeDuringAQuestion(t *testing.T) {
	quotas(t, actors.QuotaOptions{}, func(t *testing.T, q *actors.Quotas, h *hub) {
		hold := make(chan struct{})
		h.set(func() { h.hold = hold })
		go func() { _, _ = q.Limits(t.Context(), "a") }()
		synctest.Wait()
		h.set(func() { h.limits, h.hold = 2, nil })
		h.events <- actors.LimitChanges{Tenants: []tenant.ID{"a"}, Last: 1}
		synctest.Wait()
		close(hold)
		synctest.Wait()
		wantVectors(t, q, "a", 2)
		if n := h.questions(); n != 2 {
			t.Fatalf("%d questions, want 2", n)
		}
	})
}

// However many writers wait, the hub is asked once.
func TestOneQuestionAtATime(t *testing.T) {
	quotas(t, actors.QuotaOptions{}, func(t *testing.T, q *actors.Quotas, h *hub) {
		hold := make(chan struct{})
		h.set(func() { h.hold = hold })
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { wantVectors(t, q, "a", 1) })
		}
		synctest.Wait()
		close(hold)
		wg.Wait()
		if n := h.questions(); n != 1 {
			t.Fatalf("%d questions", n)
		}
	})
}

// What the hub does not know any more may use nothing, at once; a hub that does
// not answer leaves what is known for its grace, and asks again at each write.
func TestLimitsFailClosed(t *testing.T) {
	o := actors.QuotaOptions{TTL: time.Minute, Grace: time.Hour}
	quotas(t, o, func(t *testing.T, q *actors.Quotas, h *hub) {
		wantVectors(t, q, "a", 1)
		h.set(func() { h.err = errors.New("the hub is away") })
		h.events <- actors.LimitChanges{Tenants: []tenant.ID{"a"}, Last: 1}
		synctest.Wait()
		wantVectors(t, q, "a", 1)
		time.Sleep(59 * time.Minute) //nolint:forbidigo // fake time
		wantVectors(t, q, "a", 1)
		time.Sleep(2 * time.Minute) //nolint:forbidigo // fake time
		if l, err := q.Limits(t.Context(), "a"); collection.CodeOf(err) != collection.Unavailable || l != (tenant.Limits{}) {
			t.Fatalf("after the grace: %+v, %v", l, err)
		}
		h.set(func() { h.err = nil; h.limits = 5 })
		wantVectors(t, q, "a", 5)
		h.set(func() { h.err = collection.Errorf(collection.NotFound, "no such tenant") })
		h.events <- actors.LimitChanges{Tenants: []tenant.ID{"a"}, Last: 2}
		synctest.Wait()
		if l, err := q.Limits(t.Context(), "a"); collection.CodeOf(err) != collection.NotFound || l != (tenant.Limits{}) {
			t.Fatalf("a tenant that is gone: %+v, %v", l, err)
		}
	})
}

// The limits of many tenants take a bounded place; who writes often keeps his.
func TestTenantsKnownAreBounded(t *testing.T) {
	quotas(t, actors.QuotaOptions{TenantsMax: 8}, func(t *testing.T, q *actors.Quotas, h *hub) {
		for i := range 100 {
			wantVectors(t, q, "often", 1)
			time.Sleep(time.Millisecond) //nolint:forbidigo // fake time
			wantVectors(t, q, tenant.ID(fmt.Sprint("t", i)), 1)
			if n := q.Active(); n > 8 {
				t.Fatalf("%d tenants are known", n)
			}
		}
		if n := h.questions(); n != 101 {
			t.Fatalf("%d questions for 101 tenants", n)
		}
	})
}

// The path of a write to limits that are known takes nothing.
func BenchmarkLimits(b *testing.B) {
	system := quietSystem()
	q := actors.NewQuotas(system, &hub{limits: 1, events: make(chan actors.LimitChanges)}, actors.QuotaOptions{})
	defer func() {
		q.Stop()
		system.Shutdown()
	}()
	if _, err := q.Limits(b.Context(), "a"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := q.Limits(b.Context(), "a"); err != nil {
			b.Fatal(err)
		}
	}
}

// What is applied to the hub here reaches the next write's limits: of a tenant,
// and with a plan those of everybody; also after an image; and a tenant that is
// gone has none.
func TestHubLimitsFollowTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := hubsvc.NewDirectory(hubsvc.NewKeyHasher(make([]byte, 32)), time.Now)
		limits := actors.NewHubLimits(keys)
		observe := func(c hubsvc.Change) {
			keys.Observe(c)
			limits.Observe(c)
		}
		system := quietSystem()
		q := actors.NewQuotas(system, limits, actors.QuotaOptions{})
		defer func() {
			q.Stop()
			system.Shutdown()
			time.Sleep(time.Second) //nolint:forbidigo // fake time
		}()
		small := tenant.Plan{Name: "small", Limits: tenant.Limits{Vectors: 1}}
		large := tenant.Plan{Name: "large", Limits: tenant.Limits{Vectors: 100}}
		a := hubsvc.Tenant{ID: "a", Plan: "small", Status: hubsvc.Active}
		b := hubsvc.Tenant{ID: "b", Plan: "large", Status: hubsvc.Active}
		observe(hubsvc.Change{Index: 1, Cluster: &hubsvc.Cluster{}, Plans: []tenant.Plan{small, large}, Tenants: []hubsvc.Tenant{a, b}})
		wantVectors(t, q, "a", 1)
		wantVectors(t, q, "b", 100)

		a.Plan = "large"
		observe(hubsvc.Change{Index: 2, Tenants: []hubsvc.Tenant{a}})
		synctest.Wait()
		wantVectors(t, q, "a", 100)
		large.Limits.Vectors = 50
		observe(hubsvc.Change{Index: 3, Plans: []tenant.Plan{large}})
		synctest.Wait()
		wantVectors(t, q, "a", 50)
		wantVectors(t, q, "b", 50)
		// An image brings changes that nobody observed one by one.
		large.Limits.Vectors = 7
		keys.Observe(hubsvc.Change{Index: 4, Plans: []tenant.Plan{large}})
		limits.Reload()
		synctest.Wait()
		wantVectors(t, q, "b", 7)
		a.Status = hubsvc.Deleting
		observe(hubsvc.Change{Index: 5, Tenants: []hubsvc.Tenant{a}})
		synctest.Wait()
		if l, err := q.Limits(t.Context(), "a"); collection.CodeOf(err) != collection.NotFound {
			t.Fatalf("a deleted tenant: %+v, %v", l, err)
		}
	})
}

// Limits of a directory that nothing comes to any more are not taken for new.
func TestHubLimitsWithoutALeader(t *testing.T) {
	several(t, actorstest.ClusterOptions{Nodes: 2}, func(t *testing.T, c *actorstest.Cluster) {
		keys := hubsvc.NewDirectory(hubsvc.NewKeyHasher(make([]byte, 32)), time.Now)
		plan := tenant.Plan{Name: "p", Limits: tenant.Limits{Vectors: 1}}
		a := hubsvc.Tenant{ID: "a", Plan: "p", Status: hubsvc.Active}
		keys.Observe(hubsvc.Change{Index: 1, Cluster: &hubsvc.Cluster{}, Plans: []tenant.Plan{plan}, Tenants: []hubsvc.Tenant{a}})
		limits := actors.NewHubLimits(keys)
		limits.Follow(c.Node(1).SystemReplica())
		if _, err := limits.Limits(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		limits.Follow(c.Node(2).Partition(0)) // a group without a replica here, so without a leader
		if _, err := limits.Limits(t.Context(), "a"); err != nil {
			t.Fatalf("in a fail-over: %v", err)
		}
		time.Sleep(2 * time.Minute) //nolint:forbidigo // fake time
		if l, err := limits.Limits(t.Context(), "a"); err == nil {
			t.Fatalf("limits %+v without a leader for minutes", l)
		}
		limits.Follow(c.Node(1).SystemReplica())
		if _, err := limits.Limits(t.Context(), "a"); err != nil {
			t.Fatalf("with a leader again: %v", err)
		}
	})
}

// What a refusal says of the quota comes over from another node as it was.
func TestQuotaRefusalBetweenNodes(t *testing.T) {
	pair(t, func(t *testing.T, _ *actorstest.Cluster, one, two *actorstest.Member) {
		refusal := &collection.Error{
			Code: collection.ResourceExhausted, Reason: collection.ReasonQuota, Message: "full",
			Details: map[string]any{"usage": map[string]any{"current": uint64(1 << 40), "quota": uint64(7), "requested": uint64(1), "available": uint64(0)}},
		}
		two.Handle("fail", func(context.Context, uint32, []byte) ([]byte, error) { return nil, refusal })
		_, err := one.Call(t.Context(), 2, "fail", nil)
		var got *collection.Error
		if !errors.As(err, &got) || got.Reason != collection.ReasonQuota {
			t.Fatal(err)
		}
		want, _ := json.Marshal(refusal.Details)
		if text, err := json.Marshal(got.Details); string(text) != string(want) || err != nil {
			t.Fatalf("details %s, %v, want %s", text, err, want)
		}
	})
}
