package rates

import (
	"math"
	"sync"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// RowsMax is how many tenants, and how many keys, a Limiter knows by default.
const RowsMax = 100_000

// Limiter has the buckets of many tenants and keys.
type Limiter struct {
	mu struct {
		sync.Mutex
		tenants table[tenant.ID]
		keys    table[tenant.KeyID]
	}
}

// New returns a Limiter that knows rowsMax tenants and as many keys at a time;
// past that it forgets the one that asked longest ago.
func New(rowsMax int) *Limiter {
	l := &Limiter{}
	l.mu.tenants.init(rowsMax)
	l.mu.keys.init(rowsMax)
	return l
}

// Take takes a token of each of c's rates, or none. now is the time since
// some fixed moment, the same for all calls; it never goes back, and if it does
// the clock stands. since is when, on the same clock, this node began to
// decide about the tenant.
func (l *Limiter) Take(c tenant.RateCaller, since, now time.Duration) tenant.RateAnswer {
	var answer tenant.RateAnswer
	ofTenant, ofKey := c.Rates.Limited(), c.OfKey.Limited() && c.Key != ""
	if !ofTenant && !ofKey {
		return answer
	}
	answer.Limited = true
	answer.Left.Remaining = math.MaxInt64
	l.mu.Lock()
	defer l.mu.Unlock()
	var t, k *row
	if ofTenant {
		t = l.mu.tenants.row(c.Tenant, c.Rates, since, now)
		t.ask(&answer, false)
	}
	if ofKey {
		k = l.mu.keys.row(c.Key, c.OfKey, since, now)
		k.ask(&answer, true)
	}
	if answer.Refused {
		return answer
	}
	if t != nil {
		t.take(&answer.Left)
	}
	if k != nil {
		k.take(&answer.Left)
	}
	return answer
}

// token is what a bucket must hold to give one away: what is rounded on the way
// there does not make whoever has waited long enough wait again.
const token = 1 - 1e-6

// row has the buckets of one tenant or key.
type row struct {
	rates  tenant.Rates
	at     time.Duration // of levels
	levels [tenant.RateWindows]float64

	younger, older *row // asked later, and earlier
	id             string
}

// ask looks for a bucket without a token; of several, for the one that takes
// longest to have one.
func (r *row) ask(answer *tenant.RateAnswer, ofKey bool) {
	for w := range tenant.RateWindow(tenant.RateWindows) {
		limit := r.rates.Of(w)
		if limit < 0 || r.levels[w] >= token {
			continue
		}
		wait := w.Length()
		if limit > 0 {
			wait = max(1, fill(w, limit, 1-r.levels[w]))
		}
		if !answer.Refused || wait > answer.Wait {
			answer.Refused, answer.Window, answer.OfKey, answer.Wait = true, w, ofKey, wait
			answer.Left = tenant.RateLeft{Limit: limit, Reset: reset(w, limit, r.levels[w])}
		}
	}
}

// take takes a token of every bucket and says what is left, if that is less than
// what least says already.
func (r *row) take(least *tenant.RateLeft) {
	for w := range tenant.RateWindow(tenant.RateWindows) {
		limit := r.rates.Of(w)
		if limit < 0 {
			continue
		}
		r.levels[w]--
		left := int64(r.levels[w] + 1 - token)
		if left < least.Remaining || left == least.Remaining && limit < least.Limit {
			*least = tenant.RateLeft{Limit: limit, Remaining: left, Reset: reset(w, limit, r.levels[w])}
		}
	}
}

// reset is how long a bucket takes to be full; of one that never is, as long as
// its window.
func reset(w tenant.RateWindow, limit int64, level float64) time.Duration {
	if limit == 0 {
		return w.Length()
	}
	return fill(w, limit, float64(limit)-level)
}

// fill is how long n tokens take to flow into a bucket.
func fill(w tenant.RateWindow, limit int64, n float64) time.Duration {
	return time.Duration(math.Ceil(n * float64(w.Length()) / float64(limit)))
}

// share is the part of its limit that a bucket begins with when nobody knows
// what was taken before.
func share(w tenant.RateWindow, limit int64) float64 {
	if w == tenant.RateMinute {
		return float64(limit)
	}
	return max(min(float64(limit), 1), float64(limit)/10)
}

// unknown is the most that a bucket can be said to hold when nothing is known
// of what was taken before since.
func unknown(w tenant.RateWindow, limit int64, since, now time.Duration) float64 {
	flowed := float64(max(0, now-since)) * float64(limit) / float64(w.Length())
	return min(float64(limit), share(w, limit)+flowed)
}

// begin fills the buckets of a row that is new.
func (r *row) begin(rates *tenant.Rates, since, now time.Duration) {
	r.rates, r.at = *rates, now
	for w := range tenant.RateWindow(tenant.RateWindows) {
		r.levels[w] = unknown(w, rates.Of(w), since, now)
	}
}

// flow lets in what has come since the row was asked last. What another node
// may have given away between is not known.
func (r *row) flow(rates *tenant.Rates, since, now time.Duration) {
	foreign := r.at < since
	passed := float64(max(0, now-r.at))
	for w := range tenant.RateWindow(tenant.RateWindows) {
		limit, before := rates.Of(w), r.rates.Of(w)
		switch {
		case limit < 0:
			continue
		case before < 0:
			r.levels[w] = unknown(w, limit, since, now)
			continue
		}
		level := min(float64(before), r.levels[w]+passed*float64(before)/float64(w.Length()))
		if limit != before { // what was taken stays taken
			level = max(0, level+float64(limit-before))
		}
		if foreign {
			level = min(level, unknown(w, limit, since, now))
		}
		r.levels[w] = level
	}
	r.rates, r.at = *rates, max(r.at, now)
}

// table finds rows, and forgets the one that asked longest ago.
type table[K ~string] struct {
	rows map[K]*row
	most int
	ends row           // its older is the youngest, its younger the oldest
	lost time.Duration // nothing is known of what a row that is not here took before
}

func (t *table[K]) init(most int) {
	t.rows, t.most = map[K]*row{}, max(1, most)
	t.ends.older, t.ends.younger = &t.ends, &t.ends
	t.lost = math.MinInt64
}

// row returns the row of id as it is now, and makes it the youngest.
func (t *table[K]) row(id K, rates *tenant.Rates, since, now time.Duration) *row {
	r, ok := t.rows[id]
	switch {
	case ok && t.ends.older == r:
		r.flow(rates, since, now)
		return r
	case ok:
		r.flow(rates, since, now)
		r.leave()
	default:
		if r = t.room(); r == nil {
			r = new(row)
		}
		r.id = string(id)
		r.begin(rates, max(since, t.lost), now)
		t.rows[id] = r
	}
	r.older, r.younger = t.ends.older, &t.ends
	r.older.younger, t.ends.older = r, r
	return r
}

// room forgets the oldest row of a full table and returns it for another.
func (t *table[K]) room() *row {
	if len(t.rows) < t.most {
		return nil
	}
	r := t.ends.younger
	r.leave()
	t.lost = max(t.lost, r.at)
	delete(t.rows, K(r.id))
	return r
}

func (r *row) leave() { r.younger.older, r.older.younger = r.older, r.younger }
