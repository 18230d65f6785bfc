package remote_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/hubsvc/remote"
	"github.com/hivehub/waggle/tenant"
)

// paper is a hub without a network, for tests of time: it answers about every
// key alike, and is away when it is told.
type paper struct {
	away  atomic.Bool
	asked atomic.Int64 // about keys
	valid atomic.Pointer[string]

	events atomic.Pointer[string] // nil: there are none, and the hub waits for them
	polls  atomic.Int64           // about events
}

const paperKey = "hh_live_paperpaperpaperpaperpaperpaperpaper"

func (p *paper) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.away.Load() {
		return nil, errors.New("away")
	}
	body := `{"events":[],"last":0,"reset":false}`
	switch {
	case r.URL.Path == validatePath:
		p.asked.Add(1)
		b, _ := io.ReadAll(r.Body)
		sum := sha256.Sum256(b) // a key of each its own
		body = strings.ReplaceAll(*p.valid.Load(), "k_1", "k_"+hex.EncodeToString(sum[:8]))
	case strings.HasSuffix(r.URL.Path, "/quota"):
		body = `{"tenant_id":"acme","plan":"pro","vector_count":5,"version":1}`
	case p.events.Load() != nil:
		p.polls.Add(1)
		body = *p.events.Load()
	case r.URL.Query().Get("wait") != "0":
		select {
		case <-time.After(10 * time.Second):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		if p.away.Load() {
			return nil, errors.New("away")
		}
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

func newPaper(t *testing.T, change func(*remote.Options)) (*paper, *remote.Hub) {
	t.Helper()
	p := &paper{}
	good := `{"valid":true,"tenant_id":"acme","tenant_name":"acme","key_id":"k_1","permissions":["ADMIN"]}`
	p.valid.Store(&good)
	own, _ := newEmbedded(t, "the node's secret")
	o := remote.Options{
		URL: "http://paper", ServiceKey: "svc_x", Transport: p, Own: own, Hasher: hubsvc.NewKeyHasher([]byte("the cache's secret")),
	}
	if change != nil {
		change(&o)
	}
	h, err := remote.New(o)
	noError(t, err)
	h.Start(func(context.Context, tenant.ID) error { return nil })
	t.Cleanup(h.Stop)
	synctest.Wait()
	return p, h
}

// pass lets time go by in a synctest bubble.
func pass(d time.Duration) { time.Sleep(d); synctest.Wait() } //nolint:forbidigo // the clock of the bubble

// While the hub is away a key is good for TTL and grace, without deletions after
// TTL, and for nothing later; a key that was never seen is good for nothing.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPaper(t, nil)
		was := time.Now()
		get := func() (tenant.Context, error) { return h.Authenticate(t.Context(), paperKey) }
		tc, err := get()
		noError(t, err)
		if !tc.MayDestroy() {
			t.Error("a fresh key may not delete")
		}
		_, err = h.Quota(t.Context(), "acme")
		noError(t, err)
		p.away.Store(true)
		for _, c := range []struct {
			at      time.Duration
			known   bool
			destroy bool
			quota   bool
		}{
			{59 * time.Second, true, true, true},
			{299 * time.Second, true, true, true},
			{301 * time.Second, true, false, true},
			{955 * time.Second, true, false, true}, // the limits are good for 60 s and 900
			{975 * time.Second, true, false, false},
			{1195 * time.Second, true, false, false},
			{1205 * time.Second, false, false, false},
			{3600 * time.Second, false, false, false},
		} {
			pass(c.at - time.Since(was))
			tc, err := get()
			if (err == nil) != c.known || c.known && tc.MayDestroy() != c.destroy || !c.known && code(err) != hubsvc.CodeUnavailable {
				t.Errorf("after %v: %+v, %v", c.at, tc, err)
			}
			if _, err := h.Quota(t.Context(), "acme"); (err == nil) != c.quota || err != nil && code(err) != hubsvc.CodeUnavailable {
				t.Errorf("the limits after %v: %v", c.at, err)
			}
			if _, err := h.Authenticate(t.Context(), "hh_live_"+strings.Repeat("n", 40)); code(err) != hubsvc.CodeUnavailable {
				t.Errorf("a key that was never seen, after %v: %v", c.at, err)
			}
			if _, err := h.Limits(t.Context(), "acme"); code(err) != hubsvc.CodeUnavailable {
				t.Errorf("limits to keep, after %v: %v", c.at, err)
			}
		}
		if h.Serves() {
			t.Error("the node says that it serves")
		}
		p.away.Store(false)
		pass(6 * time.Second)
		if tc, err := get(); err != nil || !tc.MayDestroy() || !h.Serves() {
			t.Errorf("the hub is back: %+v, %v", tc, err)
		}
	})
}

// A start with the hub away serves nobody, says so, and recovers by itself.
func TestColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &paper{}
		p.away.Store(true)
		_, h := newPaper(t, func(o *remote.Options) { o.Transport = p })
		good := `{"valid":true,"tenant_id":"acme","tenant_name":"acme","key_id":"k_1","permissions":["ADMIN"]}`
		p.valid.Store(&good)
		pass(time.Minute)
		said := tenant.Context{TenantID: "acme", KeyID: "k_1", Permissions: []tenant.Permission{tenant.Admin}, ValidatedAt: time.Now().Add(-time.Hour)}
		_, err := h.Authenticate(t.Context(), paperKey)
		_, err2 := h.Readmit(t.Context(), said)
		if code(err) != hubsvc.CodeUnavailable || code(err2) != hubsvc.CodeUnavailable || h.Serves() || h.State().Reason == "" {
			t.Errorf("%v, %v, %+v", err, err2, h.State())
		}
		p.away.Store(false)
		pass(6 * time.Second)
		if tc, err := h.Authenticate(t.Context(), paperKey); err != nil || tc.TenantID != "acme" || !h.Serves() {
			t.Errorf("%v, %+v", err, h.State())
		}
	})
}

// At 1,000 requests a second, with a hundred keys, for 20 minutes, less than 1 of
// 100 asks the hub.
func TestCallsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPaper(t, nil)
		requests := 0
		for range 20 * 60 {
			for j := range 1000 {
				key := fmt.Sprintf("hh_live_%040d", j%100)
				if _, err := h.Authenticate(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				requests++
			}
			pass(time.Second)
		}
		if asked := p.asked.Load(); asked*100 >= int64(requests) || asked < 3*100 {
			t.Errorf("the hub was asked %d times for %d requests", asked, requests)
		} else {
			t.Logf("the hub was asked %d times for %d requests", asked, requests)
		}
	})
}

// What is no key is asked about once in ten seconds; a flood of wrong keys fills
// only its own part.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPaper(t, func(o *remote.Options) { o.Cache.EntriesMax = 1000 })
		_, err := h.Authenticate(t.Context(), paperKey)
		noError(t, err)
		bad := `{"valid":false,"code":"AUTH_INVALID_KEY"}`
		p.valid.Store(&bad)
		wrong := "hh_live_" + strings.Repeat("w", 40)
		p.asked.Store(0)
		for range 100 {
			if _, err := h.Authenticate(t.Context(), wrong); code(err) != hubsvc.CodeAuthInvalidKey {
				t.Fatal(err)
			}
		}
		if p.asked.Load() != 1 {
			t.Errorf("asked %d times about one wrong key", p.asked.Load())
		}
		pass(11 * time.Second)
		_, _ = h.Authenticate(t.Context(), wrong)
		if p.asked.Load() != 2 {
			t.Errorf("asked %d times, ten seconds later", p.asked.Load())
		}
		for i := range 2000 {
			_, _ = h.Authenticate(t.Context(), fmt.Sprintf("hh_live_%040d", i))
		}
		before := p.asked.Load()
		if _, err := h.Authenticate(t.Context(), paperKey); err != nil || p.asked.Load() != before {
			t.Errorf("the good key went with the flood: %v", err)
		}
	})
}

// What is known is bounded.
func TestEntriesMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newPaper(t, func(o *remote.Options) { o.Cache.EntriesMax = 50 })
		for i := range 500 {
			good := fmt.Sprintf(`{"valid":true,"tenant_id":"acme","tenant_name":"acme","key_id":"id_%d","permissions":["ADMIN"]}`, i)
			p.valid.Store(&good)
			_, err := h.Authenticate(t.Context(), fmt.Sprintf("hh_live_%040d", i))
			noError(t, err)
		}
		if n := h.State().Keys; n != 50 {
			t.Errorf("%d keys are kept, want 50", n)
		}
	})
}

func cursorFile(t *testing.T) string { return filepath.Join(t.TempDir(), "hub-events") }
