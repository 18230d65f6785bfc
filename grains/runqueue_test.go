package grains

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// checkEach is how often the work of these tests looks at its context.
const checkEach = 100 * time.Microsecond

// work is a turn that takes d; it returns what it took of its slot.
func (q *runQueue) work(ctx context.Context, id tenant.ID, d time.Duration) (used time.Duration, err error) {
	t, err := q.enter(ctx, id, 50*time.Microsecond)
	if err != nil {
		return 0, err
	}
	defer t.leave()
	for used < d {
		<-time.After(min(checkEach, d-used))
		used += min(checkEach, d-used)
		if err := t.Err(); err != nil {
			return used, err
		}
	}
	return used, nil
}

// crowd are workers of a tenant that always want more.
type crowd struct {
	id      tenant.ID
	workers int
	cost    time.Duration
	used    atomic.Int64
	turns   atomic.Int64
}

func (c *crowd) run(ctx context.Context, q *runQueue, wg *sync.WaitGroup) {
	for range c.workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				used, _ := q.work(ctx, c.id, c.cost)
				c.used.Add(int64(used))
				c.turns.Add(1)
			}
		})
	}
}

// Tenants who always want more get equal times, whatever a piece of their work
// costs and however many they send, and the slots are never idle meanwhile.
func TestRunQueueIsFair(t *testing.T) {
	for _, slots := range []int{1, 2, 4} {
		for _, others := range []int{1, 3} {
			synctest.Test(t, func(t *testing.T) {
				q := newRunQueue(RunLimits{Slots: slots, Kept: -1, SlotsPerTenant: max(1, slots-1)})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				crowds := []*crowd{{id: "dear", workers: 64, cost: 10 * time.Millisecond}}
				for i := range others {
					crowds = append(crowds, &crowd{id: tenant.ID(fmt.Sprint("cheap-", i)), workers: 8, cost: 100 * time.Microsecond})
				}
				var wg sync.WaitGroup
				for _, c := range crowds {
					c.run(ctx, q, &wg)
				}
				wg.Wait()
				sum := int64(0)
				for _, c := range crowds {
					sum += c.used.Load()
				}
				if busy := float64(sum) / float64(slots) / float64(10*time.Second); busy < 0.98 {
					t.Errorf("%d slots, %d others: busy %.2f of the time", slots, others, busy)
				}
				for _, c := range crowds {
					if share := float64(c.used.Load()) * float64(len(crowds)) / float64(sum); share < 0.95 || share > 1.05 {
						t.Errorf("%d slots, %d others: %s has %.3f of its share", slots, others, c.id, share)
					}
				}
				checkEmpty(t, q)
			})
		}
	}
}

// Who wants little does not wait for another's backlog: with a slot that is kept
// for such, or that the other may not have, not at all, else until the one that runs has had its
// quantum.
func TestRunQueueLetsTheLittleFirst(t *testing.T) {
	for _, c := range []struct {
		limits RunLimits
		most   time.Duration
	}{
		{RunLimits{Slots: 1, Kept: -1, SlotsPerTenant: 1}, quantum + checkEach},
		{RunLimits{Slots: 2, Kept: -1, SlotsPerTenant: 2}, quantum + checkEach},
		{RunLimits{Slots: 3, Kept: -1, SlotsPerTenant: 2}, 0},
		{RunLimits{Slots: 1}, 0},
		{RunLimits{Slots: 2}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := newRunQueue(c.limits)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			aggressor := &crowd{id: "a", workers: 64, cost: 50 * time.Millisecond}
			aggressor.run(ctx, q, &wg)
			for range 500 {
				<-time.After(20 * time.Millisecond)
				begin := time.Now()
				turn, err := q.enter(ctx, "v", 300*time.Microsecond)
				if err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(begin); waited > c.most {
					t.Fatalf("%+v: waited %v", c.limits, waited)
				}
				<-time.After(300 * time.Microsecond)
				turn.leave()
			}
			cancel()
			wg.Wait()
			checkEmpty(t, q)
		})
	}
}

// A slot that is kept is for one piece of work of a tenant that has used no more
// than its share: who always wants more gets nothing by it, however many they
// are, and work that does not give way makes nobody else wait.
func TestRunQueueKeepsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newRunQueue(RunLimits{Slots: 2, Kept: 2})
		var holders []*turn
		for range 2 {
			turn, err := q.enter(t.Context(), "a", time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			holders = append(holders, turn)
		}
		refused := func(id tenant.ID) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if turn, err := q.enter(ctx, id, 0); err == nil {
				turn.leave()
				t.Errorf("%s runs", id)
			}
		}
		refused("a") // has its slots
		little, err := q.enter(t.Context(), "v", 0)
		if err != nil {
			t.Fatal(err)
		}
		refused("v") // has one
		other, err := q.enter(t.Context(), "u", 0)
		if err != nil {
			t.Fatal(err)
		}
		refused("w") // none is left
		other.leave()
		<-time.After(time.Second)
		little.leave()
		refused("v") // has had more than its share
		for _, h := range holders {
			h.leave()
		}
		checkEmpty(t, q)
	})
	synctest.Test(t, func(t *testing.T) {
		q := newRunQueue(RunLimits{Slots: 2})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		crowds := []*crowd{{id: "dear", workers: 64, cost: 10 * time.Millisecond}}
		for i := range 3 {
			crowds = append(crowds, &crowd{id: tenant.ID(fmt.Sprint("cheap-", i)), workers: 8, cost: 100 * time.Microsecond})
		}
		var wg sync.WaitGroup
		for _, c := range crowds {
			c.run(ctx, q, &wg)
		}
		wg.Wait()
		sum := int64(0)
		for _, c := range crowds {
			sum += c.used.Load()
		}
		for _, c := range crowds {
			if share := float64(c.used.Load()) * float64(len(crowds)) / float64(sum); share < 0.9 || share > 1.1 {
				t.Errorf("%s has %.3f of its share", c.id, share)
			}
		}
		checkEmpty(t, q)
	})
}

// Nobody waits for ever: of many tenants with work of all sizes each has its
// turns.
func TestRunQueueStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newRunQueue(RunLimits{Slots: 2})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		crowds := make([]*crowd, 40)
		for i := range crowds {
			crowds[i] = &crowd{id: tenant.ID(fmt.Sprint(i)), workers: 1 + i%7, cost: time.Duration(1+i*i) * 50 * time.Microsecond}
			crowds[i].run(ctx, q, &wg)
		}
		wg.Wait()
		for _, c := range crowds {
			if used := time.Duration(c.used.Load()); c.turns.Load() < 3 || used < 600*time.Millisecond {
				t.Errorf("%s (%v each): %d turns, %v", c.id, c.cost, c.turns.Load(), used)
			}
		}
	})
}

// What waits is bounded, for a tenant and for all; past it the answer is a
// refusal of its own, at once. Whoever leaves makes room.
func TestRunQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newRunQueue(RunLimits{Slots: 1, Kept: -1, SlotsPerTenant: 1, Waiting: 25, WaitingPerTenant: 10})
		ctx, cancel := context.WithCancel(t.Context())
		holder, err := q.enter(t.Context(), "holder", 0)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var refused, over atomic.Int64
		for _, id := range []tenant.ID{"a", "b", "c"} {
			for range 20 {
				wg.Go(func() {
					_, err := q.enter(ctx, id, 0)
					switch {
					case collection.ReasonOf(err) == collection.ReasonBusy:
						refused.Add(1)
					case errors.Is(err, context.Canceled):
						over.Add(1)
					default:
						t.Errorf("%v", err)
					}
				})
			}
		}
		synctest.Wait()
		s := q.stats()
		if s.Waiting != 25 || refused.Load() != 35 || s.Refused != 35 || s.Running != 1 {
			t.Errorf("%d refused, %+v", refused.Load(), s)
		}
		cancel()
		wg.Wait()
		if over.Load() != 25 {
			t.Errorf("%d left", over.Load())
		}
		holder.leave()
		checkEmpty(t, q)
	})
}

// A turn whose time is over while it has given way has no slot any more, and
// takes none with it.
func TestRunQueueGivesWayForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newRunQueue(RunLimits{Slots: 1, Kept: -1, SlotsPerTenant: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		long, err := q.enter(ctx, "long", 0)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			short, err := q.enter(t.Context(), "short", 0)
			if err != nil {
				t.Error(err)
				return
			}
			<-time.After(time.Second) // and does not give way
			short.leave()
		})
		synctest.Wait()
		<-time.After(time.Millisecond)
		begin := time.Now()
		if err := long.Err(); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 4*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if err := long.Err(); err == nil {
			t.Error("it goes on")
		}
		long.leave()
		if s := q.stats(); s.Running != 1 || s.GaveWay != 1 {
			t.Errorf("%+v", s)
		}
		wg.Wait()
		checkEmpty(t, q)
	})
}

// Under everything at once no more run than may, and nothing is left over.
func TestRunQueueUnderLoad(t *testing.T) {
	q := newRunQueue(RunLimits{Slots: 3, Kept: 2, SlotsPerTenant: 2, Waiting: 50, WaitingPerTenant: 20})
	var running [8]atomic.Int32
	var all atomic.Int32
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for range 300 {
				n := rng.IntN(len(running))
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(2000))*time.Microsecond)
				turn, err := q.enter(ctx, tenant.ID(fmt.Sprint(n)), time.Duration(rng.IntN(1000))*time.Microsecond)
				if err == nil {
					for i := rng.IntN(300); i >= 0; i-- {
						if a, b := all.Add(1), running[n].Add(1); a > 5 || b > 2 {
							t.Errorf("%d at a time, %d of one tenant", a, b)
						}
						for range 1000 {
							rng.Uint64()
						}
						all.Add(-1)
						running[n].Add(-1)
						if turn.Err() != nil {
							break
						}
					}
					turn.leave()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	checkEmpty(t, q)
}

func checkEmpty(t *testing.T, q *runQueue) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.running != 0 || q.mu.waiting != 0 || len(q.mu.ready) != 0 || q.runs.Load() != 0 || q.waits.Load() != 0 {
		t.Errorf("left over: %d running, %d waiting, %d ready", q.mu.running, q.mu.waiting, len(q.mu.ready))
	}
	for id, o := range q.mu.tenants {
		if o.running != 0 || o.waiting != 0 || o.first != nil || o.place != -1 {
			t.Errorf("%s: %+v", id, o)
		}
	}
}

// The queue forgets tenants that are idle.
func TestRunQueueForgets(t *testing.T) {
	q := newRunQueue(RunLimits{})
	for i := range 3 * runTenantsMax {
		turn, err := q.enter(t.Context(), tenant.ID(fmt.Sprint(i)), time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		turn.leave()
		if len(q.mu.tenants) > runTenantsMax {
			t.Fatalf("%d tenants", len(q.mu.tenants))
		}
	}
}

func TestRunQueueAllocatesNothing(t *testing.T) {
	q := newRunQueue(RunLimits{})
	if n := testing.AllocsPerRun(1000, func() {
		turn, _ := q.enter(context.Background(), "t", time.Millisecond)
		turn.leave()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRunQueue(b *testing.B) {
	q := newRunQueue(RunLimits{})
	b.ReportAllocs()
	for b.Loop() {
		turn, err := q.enter(b.Context(), "t", time.Millisecond)
		if err != nil {
			b.Fatal(err)
		}
		if turn.Err() != nil {
			b.Fatal()
		}
		turn.leave()
	}
}
