package httpedge

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/actors/rates"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// setRates gives the edge's tenant a plan with rates.
func (e *edge) setRates(minute, hour, day int64) {
	e.t.Helper()
	hub, unlimited := e.hub.(*hubsvc.Embedded), tenant.Limits{Vectors: -1, Bytes: -1, Collections: -1}
	_, err := hub.PutPlan(e.t.Context(), tenant.Plan{Name: "rated", Limits: unlimited, Rates: &tenant.Rates{PerMinute: minute, PerHour: hour, PerDay: day}})
	noError(e.t, err)
	_, err = hub.SetTenantPlan(e.t.Context(), e.tenant, "rated")
	noError(e.t, err)
}

func (e *edge) rateKey(r tenant.Rates) string {
	_, key := e.newKey(hubsvc.KeySpec{Tenant: e.tenant, Permissions: []tenant.Permission{tenant.ReadWrite}, Rates: &r})
	return key
}

func rateHeaders(r reply) [4]string {
	h := r.header
	return [4]string{h.Get("X-RateLimit-Limit"), h.Get("X-RateLimit-Remaining"), h.Get("X-RateLimit-Reset"), h.Get("Retry-After")}
}

// The node in charge counts, and every surface answers in its words what is
// left, through whichever node it was asked.
func TestRates(t *testing.T) {
	asked, there, n := twoNodes(t)
	for _, leads := range []bool{false, true} {
		n.leader = func(int) (uint32, bool) { return 2, leads }
		asked.setRates(2, -1, 5000)
		calls := func() int { return len(asked.engine.take()) + len(there.engine.take()) }
		calls()
		if got := rateHeaders(asked.q("GET", "/collections/docs/exists", "")); got != [4]string{"2", "1", "30", ""} {
			t.Errorf("leads %t: the first: %v", leads, got)
		}
		asked.engine.err = collection.Errorf(collection.NotFound, "no")
		asked.q("GET", "/collections/docs", "").is(404, "") // counts
		asked.engine.err = nil
		if c := calls(); c != 2 {
			t.Errorf("leads %t: %d calls", leads, c)
		}
		for range 3 {
			r := asked.q("PUT", "/collections/docs/points", upsert)
			r.is(429, `{"status":{"error":"Rate limiting exceeded: the tenant may make 2 requests in a minute, and has made them"},`)
			got := rateHeaders(r)
			if after, err := strconv.Atoi(got[3]); got[0] != "2" || got[1] != "0" || err != nil || after < 1 || after > 30 {
				t.Errorf("leads %t: refused: %v", leads, got)
			}
			r = asked.send("GET", asked.main+"/hub/usage/quota", asked.keys["ADMIN"], "")
			r.is(429, `"code":"RATE_LIMIT_EXCEEDED"`)
			if got := rateHeaders(r); got[3] == "" {
				t.Errorf("leads %t: native: %v", leads, got)
			}
		}
		if c := calls(); c != 0 {
			t.Errorf("leads %t: %d calls of refused requests", leads, c)
		}
		for name, r := range map[string]reply{
			"operator": asked.send("GET", asked.main+"/api/v1/tenants", asked.keys[operator], ""),
			"nobody":   asked.send("GET", asked.main+"/health", "", ""),
		} {
			if got := rateHeaders(r); r.status != 200 || got != [4]string{} {
				t.Errorf("leads %t: %s: %d %v", leads, name, r.status, got)
			}
		}
		asked.setRates(-1, -1, -1)
		if r := asked.q("GET", "/collections/docs/exists", ""); r.status != 200 || rateHeaders(r) != [4]string{} {
			t.Errorf("leads %t: without rates: %d %v", leads, r.status, rateHeaders(r))
		}
	}
	text := asked.send("GET", asked.main+"/metrics", "", "").text
	if want := `waggle_http_rate_refusals_total{of="tenant",window="minute"} 12`; !strings.Contains(text, want) {
		t.Errorf("no %s in the metrics", want)
	}
}

// A refusal by another node is repeated without asking it, until it would end or
// the rates are others; what this node counts itself it always looks at.
func TestRefusalIsRemembered(t *testing.T) {
	asked, _, n := twoNodes(t)
	asked.setRates(1, -1, -1)
	asked.q("GET", "/collections/docs/exists", "").is(200, "")
	asked.q("GET", "/collections/docs/exists", "").is(429, "")
	sent := len(n.sent)
	for range 5 {
		asked.q("GET", "/collections/docs/exists", "").is(429, "")
	}
	if time.Since(asked.started) < shutLongest && len(n.sent) != sent {
		t.Errorf("%d requests went to the node in charge", len(n.sent)-sent)
	}
	asked.setRates(10, -1, -1) // holds at once
	asked.q("GET", "/collections/docs/exists", "").is(200, "")
	asked.setRates(0, -1, -1)
	asked.q("GET", "/collections/docs/exists", "").is(429, "")
	if got := rateHeaders(asked.q("GET", "/collections/docs/exists", "")); got != [4]string{"0", "0", "60", "60"} {
		t.Errorf("a limit of 0: %v", got)
	}

	synctest.Test(t, testShut)
}

func testShut(t *testing.T) {
	var s shut
	tc := tenant.Context{TenantID: "t", KeyID: "k", Rates: &tenant.Rates{PerMinute: 60}}
	refuse := func(of string, ms int64) *collection.Error {
		return &collection.Error{Details: map[string]any{"of": of, "retry_after_ms": ms}}
	}
	wait := func(d time.Duration) { <-time.After(d) }
	s.note(&tc, refuse("tenant", 100))
	other := tc
	other.KeyID = "another"
	wait(99 * time.Millisecond)
	if s.refuses(&other) == nil {
		t.Error("a tenant is refused for less long than it was told")
	}
	wait(time.Millisecond)
	if s.refuses(&tc) != nil {
		t.Error("a tenant is refused for longer than it was told")
	}
	tc.KeyRates = tc.Rates
	s.note(&tc, refuse("key", 1e9))
	if s.refuses(&other) != nil || s.refuses(&tc) == nil {
		t.Error("a key is refused for its tenant, or not at all")
	}
	wait(shutLongest)
	if s.refuses(&tc) != nil {
		t.Error("the node in charge is never asked again")
	}
	for i := range 2 * shutMax {
		tc.KeyID = tenant.KeyID(strconv.Itoa(i))
		s.note(&tc, refuse("key", 1000))
	}
	if len(s.mu.until) > shutMax {
		t.Errorf("%d refusals are remembered", len(s.mu.until))
	}
}

// What a key may not do does not count against its tenant.
func TestRatesOfKeys(t *testing.T) {
	e := newEdge(t, nil)
	e.setRates(5, -1, -1)
	key := e.rateKey(tenant.Rates{PerMinute: 1, PerHour: -1, PerDay: -1})
	exists := func(key string) reply { return e.send("GET", e.qdrant+"/collections/docs/exists", key, "") }
	exists(key).is(200, "")
	for range 10 {
		exists(key).is(429, "the key may make 1 requests in a minute")
	}
	for range 4 {
		exists(e.keys["READ_ONLY"]).is(200, "")
	}
	exists(e.keys["READ_ONLY"]).is(429, "the tenant may make 5 requests in a minute")
}

// What is answered away from the node in charge counts there, too; while nobody
// is, here.
func TestRatesAway(t *testing.T) {
	asked, _, n := twoNodes(t)
	asked.setRates(4, -1, -1)
	me := func() reply { return asked.send("GET", asked.main+"/auth/me", asked.keys["ADMIN"], "") }
	keys := func() reply { return asked.send("GET", asked.main+"/auth/keys", asked.keys["ADMIN"], "") }
	if got := rateHeaders(me()); got[0] != "4" || got[1] != "3" {
		t.Errorf("anywhere: %v", got)
	}
	if got := rateHeaders(keys()); got[0] != "4" || got[1] != "2" {
		t.Errorf("where the hub is: %v", got)
	}
	asked.q("GET", "/collections/docs/exists", "").is(200, "")
	me().is(200, "")
	me().is(429, "RATE_LIMIT_EXCEEDED")
	keys().is(429, "RATE_LIMIT_EXCEEDED")
	n.leader = func(int) (uint32, bool) { return 0, false }
	asked.setRates(2, -1, -1)
	me().is(200, "")
	me().is(200, "")
	me().is(429, "RATE_LIMIT_EXCEEDED")

	n.leader, n.answers = elsewhere, []func(context.Context, []byte) ([]byte, error){fails(notLeader)}
	asked.setRates(3, -1, -1)
	me().is(200, "")
	me().is(429, "RATE_LIMIT_EXCEEDED")
}

// An edge without a counter lets nobody in who has rates.
func TestRatesUncounted(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Rates = nil })
	e.q("GET", "/collections/docs/exists", "").is(200, "")
	e.setRates(1000, -1, -1)
	e.q("GET", "/collections/docs/exists", "").is(429, "")
}

// A node that has just begun to lead begins with a part of the hour's.
func TestRatesAfterFailOver(t *testing.T) {
	n := &neighbours{leader: func(int) (uint32, bool) { return 1, true }, since: time.Now()}
	e := newEdge(t, func(o *Options) { o.Cluster, o.Rates = n, rates.New(10) })
	e.setRates(-1, 30, -1)
	for i, left := range []string{"2", "1", "0"} {
		if got := rateHeaders(e.q("GET", "/collections/docs/exists", "")); got[0] != "30" || got[1] != left {
			t.Errorf("%d: %v", i, got)
		}
	}
	e.q("GET", "/collections/docs/exists", "").is(429, "")
}

// Counting costs a rated request nothing to speak of, another nothing at all.
func TestRatesAllocateNothing(t *testing.T) {
	e := newEdge(t, nil)
	r := &request{s: e.Server, http: newContext("GET", "/")}
	tc := tenant.Context{TenantID: "t", KeyID: "k"}
	for _, tc.Rates = range []*tenant.Rates{nil, {PerMinute: 1e9, PerHour: 1e9, PerDay: 1e9}} {
		if n := testing.AllocsPerRun(100, func() {
			r.counted = false
			noError(t, r.takeHere(&tc))
		}); n != 0 {
			t.Errorf("%+v: %v allocations", tc.Rates, n)
		}
	}
}
