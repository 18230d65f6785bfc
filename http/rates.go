package httpedge

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// Rates decides whether requests are within the rates of their tenants and
// keys. *rates.Limiter of package actors/rates is one.
type Rates interface {
	// Take takes one request from each of c's rates, or nothing. since is from when
	// on this node has decided about the tenant; both are times since one moment.
	Take(c tenant.RateCaller, since, now time.Duration) tenant.RateAnswer
}

// closed are the Rates of an edge that has none.
type closed struct{}

func (closed) Take(tenant.RateCaller, time.Duration, time.Duration) tenant.RateAnswer {
	return tenant.RateAnswer{Limited: true, Refused: true, Wait: time.Minute}
}

// The headers that tell how much of a rate is left: of that of the tenant's and
// the key's which has the fewest requests left, how many it allows in its
// window, how many are left, and in how many seconds it is whole again.
const (
	headerRateLimit     = "X-Ratelimit-Limit"
	headerRateRemaining = "X-Ratelimit-Remaining"
	headerRateReset     = "X-Ratelimit-Reset"
)

// rated reports whether requests of tc are counted against rates. Those of
// operators and of services in their own name never are.
func rated(tc *tenant.Context) bool {
	return tc.TenantID != "" && (tc.Rates.Limited() || tc.KeyRates.Limited())
}

// awayFromTenant reports whether a route may be answered by another node than
// the one that leads the tenant's partition.
func (rt *route) awayFromTenant() bool { return rt.ofHub || rt.anywhere }

// takeHere decides by the buckets of this node, if it is the one to decide. A
// request that was counted here already is not counted again.
func (r *request) takeHere(tc *tenant.Context) error {
	if r.counted || !rated(tc) {
		return nil
	}
	since := r.s.started
	if c := r.s.cluster; c != nil {
		_, local, _ := c.Leader(tc.TenantID)
		if !local {
			return nil // whoever leads will: there is nothing of the tenant's here
		}
		since = c.LedSince(tc.TenantID)
	}
	return r.take(tc, since)
}

// take decides by the buckets of this node.
func (r *request) take(tc *tenant.Context, since time.Time) error {
	a := r.s.rates.Take(tc.RateCaller(), since.Sub(r.s.started), time.Since(r.s.started))
	r.counted = true
	if !a.Refused {
		if a.Limited {
			r.rate = a.Left
			r.rateHeaders()
		}
		return nil
	}
	return errRate(&a)
}

func errRate(a *tenant.RateAnswer) error {
	of := "tenant"
	if a.OfKey {
		of = "key"
	}
	return &collection.Error{
		Code: collection.ResourceExhausted, Reason: collection.ReasonRate,
		Message: fmt.Sprintf("the %s may make %d requests in a %s, and has made them", of, a.Left.Limit, a.Window),
		Details: map[string]any{
			"limit": a.Left.Limit, "window": a.Window.String(), "of": of,
			"retry_after_s": seconds(a.Wait), "retry_after_ms": max(1, a.Wait.Milliseconds()), "reset_s": seconds(a.Left.Reset),
		},
	}
}

// seconds are those of d, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// takeAway decides about a request that is answered away from the node that
// leads the tenant's partition: that one is asked. While nobody is known to
// lead it, or it does not answer, the buckets of this node decide: so that a
// tenant has at most as many times its rate as there are nodes, and never none.
func (r *request) takeAway(tc *tenant.Context) error {
	if r.counted || !rated(tc) {
		return nil
	}
	if r.s.cluster == nil {
		return r.take(tc, r.s.started)
	}
	number, local, _ := r.s.cluster.Leader(tc.TenantID)
	if !local && number != 0 {
		answered, err := r.takeAt(number, tc)
		if answered {
			return err
		}
	}
	return r.take(tc, r.s.cluster.LedSince(tc.TenantID))
}

// takeAt asks another node, and reports whether that one has decided.
func (r *request) takeAt(number uint32, tc *tenant.Context) (answered bool, err error) {
	if err := r.s.shut.refuses(tc); err != nil {
		return true, err
	}
	b, err := msgpack.Marshal(&forwarded{Take: true, ID: r.id, Tenant: *tc, Address: r.address()})
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, hubWait)
	defer cancel()
	if b, err = r.s.cluster.Forward(ctx, number, b); err != nil {
		return collection.ReasonOf(err) == collection.ReasonRate, err
	}
	var a forwardedAnswer
	if msgpack.Unmarshal(b, &a) != nil {
		return false, nil
	}
	r.counted, r.rate = true, a.Rate
	r.rateHeaders()
	return true, nil
}

// takeFor decides for another node.
func (r *request) takeFor() ([]byte, error) {
	tc, err := r.renewed()
	if err == nil {
		err = r.takeHere(&tc)
	}
	switch {
	case err != nil:
		return nil, err
	case rated(&tc) && !r.counted:
		return nil, errNobody
	}
	return msgpack.Marshal(&forwardedAnswer{Rate: r.rate})
}

// rateHeaders puts into the answer what is left; nothing where there are no
// rates.
func (r *request) rateHeaders() {
	if r.rate.Limit == 0 && r.rate.Reset == 0 {
		return
	}
	var digits [20]byte
	h := &r.http.Response.Header
	h.SetBytesV(headerRateLimit, strconv.AppendInt(digits[:0], r.rate.Limit, 10))
	h.SetBytesV(headerRateRemaining, strconv.AppendInt(digits[:0], r.rate.Remaining, 10))
	h.SetBytesV(headerRateReset, strconv.AppendInt(digits[:0], seconds(r.rate.Reset), 10))
}

// refusedByRate notes what a refusal says, whichever node decided it: in the
// answer's headers, in the metrics, and, of another node's, so that this one
// answers by itself as long as that one would refuse.
func (r *request) refusedByRate(tc *tenant.Context, e *collection.Error) {
	limit, _ := e.Details["limit"].(int64)
	reset, _ := e.Details["reset_s"].(int64)
	window, _ := e.Details["window"].(string)
	of, _ := e.Details["of"].(string)
	r.rate = tenant.RateLeft{Limit: limit, Reset: time.Duration(max(1, reset)) * time.Second}
	r.s.meter.rateRefused(of, window)
	if !r.counted {
		r.s.shut.note(tc, e)
	}
}

// shutMax is how many refusals of other nodes are remembered.
const shutMax = 10_000

// shut remembers who is refused by the node in charge, and until when. It is
// for as long as the tenant's and the key's rates are those of then.
type shut struct {
	mu struct {
		sync.Mutex
		until map[shutKey]refusal
	}
}

// shutKey is a tenant, or one of its keys.
type shutKey struct {
	tenant tenant.ID
	key    tenant.KeyID
}

type refusal struct {
	until time.Time
	rates tenant.Rates
	err   *collection.Error
}

func (s *shut) note(tc *tenant.Context, e *collection.Error) {
	ms, _ := e.Details["retry_after_ms"].(int64)
	k, rates := shutKey{tenant: tc.TenantID}, tc.Rates
	if e.Details["of"] == "key" {
		k.key, rates = tc.KeyID, tc.KeyRates
	}
	if ms <= 0 || rates == nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.until == nil {
		s.mu.until = map[shutKey]refusal{}
	}
	if _, there := s.mu.until[k]; !there && len(s.mu.until) >= shutMax {
		s.sweep(now)
	}
	// The node in charge may be another one soon, which knows less.
	d := min(time.Duration(ms)*time.Millisecond, shutLongest)
	s.mu.until[k] = refusal{until: now.Add(d), rates: *rates, err: e}
}

// shutLongest is how long this node refuses by itself before it asks again:
// whoever is in charge by then may decide otherwise.
const shutLongest = time.Second

// sweep makes room: what has ended goes, or else whatever a map gives first.
// mu is held.
func (s *shut) sweep(now time.Time) {
	for k, r := range s.mu.until {
		if !now.Before(r.until) {
			delete(s.mu.until, k)
		}
	}
	for k := range s.mu.until {
		if len(s.mu.until) < shutMax {
			return
		}
		delete(s.mu.until, k)
	}
}

// refuses returns the refusal that the node in charge would answer with, nil
// when it has to be asked.
func (s *shut) refuses(tc *tenant.Context) error {
	if !rated(tc) {
		return nil
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.until) == 0 {
		return nil
	}
	if e := s.of(shutKey{tenant: tc.TenantID}, tc.Rates, now); e != nil {
		return e
	}
	return s.of(shutKey{tc.TenantID, tc.KeyID}, tc.KeyRates, now)
}

func (s *shut) of(k shutKey, rates *tenant.Rates, now time.Time) error {
	r, ok := s.mu.until[k]
	if !ok {
		return nil
	}
	if rates == nil || *rates != r.rates || !now.Before(r.until) {
		delete(s.mu.until, k)
		return nil
	}
	return r.err
}
