package remote_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors/rates"
	"github.com/hivehub/waggle/collection"
	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/hubsvc/remote"
	"github.com/hivehub/waggle/tenant"
)

// shelf is an engine with one collection, which notes what is taken from it.
type shelf struct {
	httpedge.Engine // what the tests do not ask for
	taken           atomic.Int64
}

func (s *shelf) ListCollections(context.Context, tenant.Context) ([]collection.Info, error) {
	return []collection.Info{{Name: "docs"}}, nil
}

func (s *shelf) DeleteCollection(context.Context, tenant.Context, string, collection.ChangeOptions) (bool, error) {
	s.taken.Add(1)
	return true, nil
}

func (s *shelf) Write(context.Context, tenant.Context, string, collection.Write, collection.WriteOptions) (collection.Answer, error) {
	s.taken.Add(1)
	return collection.Answer{}, nil
}

func (s *shelf) Stored(tenant.Context) (uint64, bool) { return 0, false }

// door is an edge before n.
type door struct {
	t    *testing.T
	base string
	data *shelf
}

func (n *node) door(t *testing.T, limits httpedge.Limits) *door {
	t.Helper()
	d := &door{t: t, data: &shelf{}}
	edge := httpedge.New(httpedge.Options{Engine: d.data, Hub: n.Hub, Limits: limits, Rates: rates.New(100)})
	main := open(t)
	edge.Serve(main, nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		http.DefaultClient.CloseIdleConnections()
		noError(t, edge.Shutdown(ctx))
	})
	d.base = "http://" + main.Addr().String() + "/qdrant/collections"
	return d
}

// ask makes a request and returns status and body.
func (d *door) ask(method, path, key, body string) (int, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	noError(d.t, err)
	r.Header.Set("Api-Key", key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	noError(d.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	noError(d.t, err)
	return resp.StatusCode, string(b)
}

// TestStaleKeyDeletesNothing: while the hub has not confirmed a key lately it
// reads and writes, and every route that takes something away answers 503 and
// takes nothing; when the hub is back it deletes again.
func TestStaleKeyDeletesNothing(t *testing.T) {
	h := newHub(t)
	n := h.client(func(o *remote.Options) {
		o.Cache = remote.CacheOptions{KeyTTL: 300 * time.Millisecond, QuotaTTL: time.Minute, Grace: time.Minute}
	})
	d := n.door(t, httpedge.DefaultLimits())
	deletions := [][3]string{
		{"DELETE", "/docs", ""},
		{"POST", "/docs/points/delete?wait=true", `{"points":[1]}`},
		{"POST", "/docs/points/batch?wait=true", `{"operations":[{"delete":{"points":[1]}}]}`},
	}
	all := func(want int) error {
		for _, c := range deletions {
			if got, text := d.ask(c[0], c[1], h.key, c[2]); got != want {
				return fmt.Errorf("%s %s: %d %s, want %d", c[0], c[1], got, text, want)
			}
		}
		return nil
	}
	noError(t, all(200))
	d.data.taken.Store(0)
	h.dies()
	eventually(t, 5*time.Second, func() error {
		tc, err := n.Authenticate(t.Context(), h.key)
		if err == nil && tc.MayDestroy() {
			err = fmt.Errorf("the key is still fresh")
		}
		return err
	})
	noError(t, all(503))
	if taken := d.data.taken.Load(); taken != 0 {
		t.Errorf("%d things were taken away", taken)
	}
	for _, c := range [][3]string{{"GET", "", ""}, {"PUT", "/docs/points?wait=true", `{"points":[{"id":1,"vector":[1]}]}`}} {
		if got, text := d.ask(c[0], c[1], h.key, c[2]); got != 200 {
			t.Errorf("%s %s with a key that is not fresh: %d %s", c[0], c[1], got, text)
		}
	}
	h.breaks(nil)
	eventually(t, 15*time.Second, func() error { return all(200) })
}

// TestBlockedAddressCostsNoCalls: the hub is asked about the wrong keys of an
// address until it is blocked, and about none after that; a key that is known to
// be good is let in all the time.
func TestBlockedAddressCostsNoCalls(t *testing.T) {
	h := newHub(t)
	limits := httpedge.DefaultLimits()
	d := h.client(nil).door(t, limits)
	good := func() {
		t.Helper()
		if got, text := d.ask("GET", "", h.key, ""); got != 200 {
			t.Errorf("the good key: %d %s", got, text)
		}
	}
	good()
	was := h.asked(validatePath)
	for i := range 10 * limits.AuthFailures {
		want := 401
		if i >= limits.AuthFailures {
			want = 429
		}
		if got, text := d.ask("GET", "", fmt.Sprintf("hh_live_%040d", i), ""); got != want {
			t.Errorf("wrong key %d: %d %s, want %d", i, got, text, want)
		}
		good()
	}
	if asked := h.asked(validatePath) - was; asked > limits.AuthFailures {
		t.Errorf("the hub was asked %d times about wrong keys, %d are counted before the block", asked, limits.AuthFailures)
	}
}

// TestSlowHub: requests with known keys do not wait for a hub that is slow, new
// keys do, and one that is slower than its time limit is answered 503 in time.
func TestSlowHub(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	n := h.client(func(o *remote.Options) { o.Timeout, o.Retries = time.Second, 1 })
	limits := httpedge.DefaultLimits()
	limits.AuthFailures = 1000
	d := n.door(t, limits)
	if got, text := d.ask("GET", "", h.key, ""); got != 200 {
		t.Fatalf("%d %s", got, text)
	}
	var delay atomic.Int64
	h.breaks(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-time.After(time.Duration(delay.Load())):
		case <-r.Context().Done():
		}
		return false
	})
	wrong := 0
	for _, c := range []struct {
		delay time.Duration
		want  int // for a key that is not known
	}{{200 * time.Millisecond, 401}, {5 * time.Second, 503}} {
		delay.Store(int64(c.delay))
		wrong++
		unknown, began := make(chan int, 1), time.Now()
		go func() {
			got, _ := d.ask("GET", "", fmt.Sprintf("hh_live_%040d", wrong), "")
			unknown <- got
		}()
		for range 20 {
			if got, text := d.ask("GET", "", h.key, ""); got != 200 {
				t.Errorf("the known key, answers take %v: %d %s", c.delay, got, text)
			}
		}
		select {
		case got := <-unknown:
			if got != c.want || c.want == 401 && time.Since(began) < c.delay {
				t.Errorf("an unknown key, answers take %v: %d after %v", c.delay, got, time.Since(began))
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("an unknown key waits for more than 10 s")
		}
	}
	h.breaks(nil)
}

// TestFlappingHub: of a hub that fails two times of three, in every way, a known
// key notices nothing, a wrong one is never let in, and a revoked one ends.
func TestFlappingHub(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	n := h.client(func(o *remote.Options) {
		o.Timeout = time.Second
		o.Cache = remote.CacheOptions{KeyTTL: 20 * time.Millisecond, QuotaTTL: 20 * time.Millisecond, Grace: time.Minute}
	})
	limits := httpedge.DefaultLimits()
	limits.AuthFailures = 1_000_000
	d := n.door(t, limits)
	if got, text := d.ask("GET", "", h.key, ""); got != 200 {
		t.Fatalf("%d %s", got, text)
	}
	var calls atomic.Int64
	h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
		switch calls.Add(1) % 6 {
		case 0, 3:
			return false
		case 1:
			return cut(w, r)
		case 2:
			return says(`{"valid":tr`)(w, r)
		}
		return status(http.StatusBadGateway)(w, r)
	})
	for i := range 60 {
		if got, text := d.ask("GET", "", h.key, ""); got != 200 {
			t.Fatalf("request %d with the good key: %d %s", i, got, text)
		}
		if got, text := d.ask("GET", "", fmt.Sprintf("hh_live_%040d", i), ""); got != 401 && got != 503 {
			t.Fatalf("request %d with a wrong key: %d %s", i, got, text)
		}
	}
	if calls.Load() < 20 {
		t.Errorf("the hub was asked %d times only", calls.Load())
	}
	_, err := h.RevokeKey(t.Context(), h.keyID)
	noError(t, err)
	eventually(t, 30*time.Second, func() error {
		if got, text := d.ask("GET", "", h.key, ""); got != 401 {
			return fmt.Errorf("the revoked key: %d %s", got, text)
		}
		return nil
	})
	for i := range 50 {
		if got, text := d.ask("GET", "", h.key, ""); got == 200 {
			t.Fatalf("the revoked key is let in again, %d requests later: %s", i, text)
		}
	}
}

// TestRememberedByTenant: what is remembered of one tenant is never given out
// for another, however alike their keys and names are.
func TestRememberedByTenant(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	other, err := h.CreateTenant(t.Context(), hubsvc.TenantSpec{Name: "acme-2", Plan: tenant.PlanFree})
	noError(t, err)
	_, key, err := h.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: other.ID, Permissions: []tenant.Permission{tenant.ReadOnly}})
	noError(t, err)
	for range 20 {
		for _, c := range []struct {
			key, plan string
			id        tenant.ID
			admin     bool
		}{{h.key, tenant.PlanPro, h.acme, true}, {key, tenant.PlanFree, other.ID, false}} {
			tc, err := n.Authenticate(t.Context(), c.key)
			if err != nil || tc.TenantID != c.id || tc.May(tenant.OpAdmin) != c.admin {
				t.Fatalf("a key of %s: %+v, %v", c.id, tc, err)
			}
			if q, err := n.Quota(t.Context(), c.id); err != nil || q.Plan != c.plan {
				t.Fatalf("the quota of %s: %+v, %v", c.id, q, err)
			}
		}
	}
	if asked := h.asked(validatePath); asked > 10 { // events ask again
		t.Errorf("the hub was asked %d times: this tests no memory", asked)
	}
}
