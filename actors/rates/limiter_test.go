package rates

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

func rates(minute, hour, day int64) *tenant.Rates {
	return &tenant.Rates{PerMinute: minute, PerHour: hour, PerDay: day}
}

func caller(id string, ofTenant, ofKey *tenant.Rates) tenant.RateCaller {
	return tenant.RateCaller{Tenant: tenant.ID(id), Key: tenant.KeyID("k-" + id), Rates: ofTenant, OfKey: ofKey}
}

const longAgo = -1000 * time.Hour

// naive is a bucket in whole numbers: its level is in tokens times the length of
// the window, so that a limit flows in each nanosecond.
type naive struct {
	limit, level int64
	window, at   time.Duration
}

func (n *naive) flow(now time.Duration) {
	n.level = min(n.limit*int64(n.window), n.level+n.limit*int64(now-n.at))
	n.at = now
}

// missing is how much is missing to one token; at most 0 when there is one.
func (n *naive) missing() int64 { return int64(n.window) - n.level }

// What a Limiter says is what buckets in whole numbers say, for a tenant and
// three of its keys at random times; and in no stretch of time anybody gets more
// than a full bucket and what flows in.
func TestLimiterAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := func(most int64) int64 {
			if r.IntN(3) == 0 {
				return tenant.Unlimited
			}
			return r.Int64N(most)
		}
		all := make([]*tenant.Rates, 4) // of the tenant, and of the keys
		models := make([][]*naive, len(all))
		taken := make([][]time.Duration, len(all))
		for i := range all {
			all[i] = rates(limit(40), limit(200), limit(300))
			for w := range tenant.RateWindow(tenant.RateWindows) {
				if n := all[i].Of(w); n >= 0 {
					models[i] = append(models[i], &naive{limit: n, level: n * int64(w.Length()), window: w.Length()})
				}
			}
		}
		l := New(10)
		now := time.Duration(0)
		for range 2000 {
			now += time.Duration(r.ExpFloat64() * float64(10*time.Second) * float64(r.IntN(4)))
			if r.IntN(500) == 0 {
				now += time.Hour
			}
			key := 1 + r.IntN(3)
			tc := caller("t", all[0], all[key])
			tc.Key = tenant.KeyID(strconv.Itoa(key))
			got := l.Take(tc, longAgo, now)
			must, close := true, false
			for _, i := range []int{0, key} {
				for _, n := range models[i] {
					n.flow(now)
					must = must && n.missing() <= 0
					close = close || n.missing() > -int64(n.window)/100_000 && n.missing() < int64(n.window)/100_000
				}
			}
			if got.Limited != (len(models[0])+len(models[key]) > 0) || got.Refused == must && !close {
				t.Fatalf("seed %d at %v: %+v, the model says %t", seed, now, got, must)
			}
			if got.Refused {
				continue
			}
			for _, i := range []int{0, key} {
				taken[i] = append(taken[i], now)
				for _, n := range models[i] {
					n.level -= int64(n.window)
				}
			}
		}
		for i, times := range taken {
			bounded(t, models[i], times)
		}
	}
}

func bounded(t *testing.T, buckets []*naive, times []time.Duration) {
	t.Helper()
	for _, n := range buckets {
		for first := 0; first < len(times); first += 7 {
			for last := first; last < len(times); last++ {
				most := float64(n.limit) + float64(times[last]-times[first])*float64(n.limit)/float64(n.window)
				if float64(last-first+1) > most+0.001 {
					t.Fatalf("%d requests in %v, the limit is %d in %v", last-first+1, times[last]-times[first], n.limit, n.window)
				}
			}
		}
	}
}

// Whoever waits as long as he is told gets in, and not before.
func TestWaitIsExact(t *testing.T) {
	for _, limit := range []int64{1, 7, 60, 999, 100_000} {
		l, tc, now := New(10), caller("t", rates(limit, -1, -1), nil), time.Duration(0)
		for range limit {
			if a := l.Take(tc, longAgo, now); a.Refused {
				t.Fatalf("limit %d: %+v", limit, a)
			}
		}
		for range 50 {
			a := l.Take(tc, longAgo, now)
			if !a.Refused || a.Wait <= 0 || a.Left.Remaining != 0 || a.Left.Limit != limit || a.Window != tenant.RateMinute {
				t.Fatalf("limit %d: %+v", limit, a)
			}
			if b := l.Take(tc, longAgo, now+a.Wait-a.Wait/1000-1); !b.Refused {
				t.Fatalf("limit %d: let in before %v", limit, a.Wait)
			}
			now += a.Wait
			if b := l.Take(tc, longAgo, now); b.Refused {
				t.Fatalf("limit %d: refused after %v: %+v", limit, a.Wait, b)
			}
		}
	}
}

// What a key may not do does not count against its tenant, nor the other way.
func TestRefusedTakesNothing(t *testing.T) {
	l := New(10)
	tc := caller("t", rates(10, -1, -1), rates(3, -1, -1))
	for i := range 100 {
		if a := l.Take(tc, longAgo, 0); a.Refused != (i >= 3) || a.Refused && !a.OfKey {
			t.Fatalf("%d: %+v", i, a)
		}
	}
	other := caller("t", tc.Rates, rates(100, -1, -1))
	other.Key = "other"
	for i := range 10 {
		if a := l.Take(other, longAgo, 0); a.Refused != (i >= 7) || a.Refused && a.OfKey {
			t.Fatalf("%d: %+v", i, a)
		}
	}
	third := caller("t", nil, other.OfKey)
	third.Key = "other"
	if a := l.Take(third, longAgo, 0); a.Refused || a.Left.Remaining != 92 {
		t.Fatalf("the key of refused requests: %+v", a)
	}
}

// A limit that is changed holds at once, and what was taken stays taken.
func TestChangedLimit(t *testing.T) {
	l := New(10)
	take := func(limit int64) tenant.RateAnswer { return l.Take(caller("t", rates(limit, -1, -1), nil), longAgo, 0) }
	for range 10 {
		take(10)
	}
	for _, step := range []struct {
		limit     int64
		refused   bool
		remaining int64
	}{{10, true, 0}, {15, false, 4}, {100, false, 88}, {20, false, 7}, {3, true, 0}, {0, true, 0}, {1000, false, 999}, {-1, false, 0}} {
		if a := take(step.limit); a.Refused != step.refused || a.Left.Remaining != step.remaining {
			t.Errorf("limit %d: %+v", step.limit, a)
		}
	}
}

// A limit of 0 is for ever; no limit says nothing.
func TestNoneAndNothing(t *testing.T) {
	l := New(10)
	for _, now := range []time.Duration{0, time.Hour, 1000 * time.Hour} {
		if a := l.Take(caller("t", rates(-1, 0, -1), nil), longAgo, now); !a.Refused || a.Window != tenant.RateHour || a.Wait != time.Hour {
			t.Errorf("a limit of 0: %+v", a)
		}
	}
	for _, tc := range []tenant.RateCaller{caller("u", nil, nil), caller("u", rates(-1, -1, -1), rates(-1, -1, -1))} {
		if a := l.Take(tc, longAgo, 0); a != (tenant.RateAnswer{}) {
			t.Errorf("no limit: %+v", a)
		}
	}
	if n := len(l.mu.tenants.rows); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// A node that begins to decide does not know what was taken: it gives a tenth of
// an hour's or a day's limit, and what flows in from then on. What it knows from
// before it decides is not forgotten by it.
func TestAfterFailOver(t *testing.T) {
	count := func(l *Limiter, tc tenant.RateCaller, since, now time.Duration) (n int) {
		for !l.Take(tc, since, now).Refused {
			n++
		}
		return n
	}
	for _, c := range []struct {
		rates *tenant.Rates
		after time.Duration
		want  int
	}{
		{rates(-1, 1000, -1), 0, 100},
		{rates(-1, 1000, -1), 36 * time.Minute, 700},
		{rates(-1, 1000, -1), 2 * time.Hour, 1000},
		{rates(-1, -1, 2400), 0, 240},
		{rates(-1, -1, 2400), 12 * time.Hour, 1440},
		{rates(-1, -1, 3), 0, 1},
		{rates(60, -1, -1), 0, 60},
	} {
		l, since := New(10), 5*time.Hour
		if n := count(l, caller("t", c.rates, nil), since, since+c.after); n != c.want {
			t.Errorf("%+v, %v after: %d, want %d", *c.rates, c.after, n, c.want)
		}
	}
	l, tc := New(10), caller("t", rates(-1, 1000, -1), nil)
	count(l, tc, longAgo, 0) // takes all
	// Another node decides from one second on, and gives away what it likes. This
	// one is back a minute later.
	if n := count(l, tc, time.Minute, time.Minute); n != 1000/60 {
		t.Errorf("back after a minute: %d", n)
	}
	if n := count(l, tc, 10*time.Hour, 10*time.Hour); n != 100 {
		t.Errorf("back after hours: %d", n)
	}
}

// There are never more rows than there may be, and to be forgotten gives no
// more than a fail-over.
func TestRowsAreBounded(t *testing.T) {
	const most = 100
	l := New(most)
	greedy := caller("greedy", rates(-1, 1000, -1), nil)
	for !l.Take(greedy, longAgo, 0).Refused {
	}
	for i := range 10 * most {
		l.Take(caller(fmt.Sprint(i), rates(1000, -1, -1), rates(1000, -1, -1)), longAgo, time.Duration(i))
		l.Take(caller("in use", rates(100, -1, -1), nil), longAgo, time.Duration(i))
		if len(l.mu.tenants.rows) > most || len(l.mu.keys.rows) > most {
			t.Fatalf("%d tenants, %d keys", len(l.mu.tenants.rows), len(l.mu.keys.rows))
		}
	}
	if r := l.mu.tenants.rows["in use"]; r == nil || r.levels[tenant.RateMinute] > 1 {
		t.Errorf("whoever asks all the time was forgotten: %+v", r)
	}
	if l.mu.tenants.rows["greedy"] != nil {
		t.Fatal("the oldest is still there")
	}
	n := 0
	for !l.Take(greedy, longAgo, time.Millisecond).Refused {
		n++
	}
	if n > 101 {
		t.Errorf("%d more for having been forgotten", n)
	}
}

// A clock that goes back gives nothing and breaks nothing.
func TestClockGoesBack(t *testing.T) {
	l, tc := New(10), caller("t", rates(60, -1, -1), nil)
	for range 60 {
		l.Take(tc, longAgo, time.Hour)
	}
	if a := l.Take(tc, longAgo, 0); !a.Refused || a.Wait != time.Second {
		t.Errorf("%+v", a)
	}
	if a := l.Take(tc, longAgo, time.Hour+time.Second); a.Refused {
		t.Errorf("%+v", a)
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	l, tc := New(10), caller("t", rates(100, 1000, 10_000), rates(100, 1000, 10_000))
	now := time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += time.Millisecond
		l.Take(tc, longAgo, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, tenants := range []int{1, 1000, RowsMax} {
		b.Run(fmt.Sprint(tenants), func(b *testing.B) {
			l := New(RowsMax)
			tcs := make([]tenant.RateCaller, tenants)
			all := rates(1e6, 1e8, 1e9)
			for i := range tcs {
				tcs[i] = caller(fmt.Sprint(i), all, all)
				l.Take(tcs[i], longAgo, 0)
			}
			now, i := time.Duration(0), 0
			b.ReportAllocs()
			for b.Loop() {
				now += time.Microsecond
				l.Take(tcs[i%tenants], longAgo, now)
				i += 7919
			}
		})
	}
}
