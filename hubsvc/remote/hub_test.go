package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/hubsvc/remote"
	"github.com/hivehub/waggle/tenant"
)

func as(err error, target **hubsvc.Error) bool { return errors.As(err, target) }

// What the hub says of a key is what its own edge would.
func TestAuthenticate(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	scope, err := tenant.ParseScope([]string{"docs-*"}, []string{"10.0.0.0/8"})
	noError(t, err)
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	_, narrow, err := h.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: h.acme, Kind: tenant.KeyMCP, Scope: scope, ExpiresAt: expires})
	noError(t, err)
	for _, key := range []string{h.key, narrow, h.service} {
		want, err := h.Validate(key)
		noError(t, err)
		got, err := n.Authenticate(t.Context(), key)
		noError(t, err)
		if got.ValidatedAt.IsZero() {
			t.Error("no time of validation")
		}
		want.ValidatedAt, got.ValidatedAt, want.HubIndex = time.Time{}, time.Time{}, 0
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	for key, want := range map[string]hubsvc.Code{
		"": hubsvc.CodeAuthMissing, "x": hubsvc.CodeAuthInvalidFormat,
		"hh_live_" + strings.Repeat("a", 40): hubsvc.CodeAuthInvalidKey,
	} {
		if _, err := n.Authenticate(t.Context(), key); code(err) != want {
			t.Errorf("%q: %v, want %s", key, err, want)
		}
	}
	before := h.asked(validatePath)
	if tc, err := n.Authenticate(t.Context(), n.operator); err != nil || !tc.IsOperator {
		t.Errorf("the node's own operator: %+v, %v", tc, err)
	}
	if h.asked(validatePath) != before {
		t.Error("the hub was asked about the operator's key of the node")
	}
	_, own, err := n.own.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: hubsvc.DefaultTenant, Permissions: []tenant.Permission{tenant.Admin}})
	noError(t, err)
	if _, err := n.Authenticate(t.Context(), own); code(err) != hubsvc.CodeAuthInvalidKey {
		t.Errorf("a key of a tenant of the cluster's own hub: %v", err)
	}
	svc, err := n.Authenticate(t.Context(), h.service)
	noError(t, err)
	if tc, err := n.ActFor(t.Context(), h.acme, svc, "n"); err != nil || tc.TenantID != h.acme || tc.TenantName != "acme" || !tc.May(tenant.OpAdmin) || tc.Nonce != "n" {
		t.Errorf("a service for a tenant: %+v, %v", tc, err)
	}
	if _, err := n.ActFor(t.Context(), "nobody", svc, ""); code(err) != hubsvc.CodeNotFound {
		t.Errorf("a service for nobody: %v", err)
	}
}

// A thousand who come with one key ask the hub once.
func TestSingleFlight(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	enter, release := make(chan struct{}, 1000), make(chan struct{})
	h.breaks(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == validatePath {
			enter <- struct{}{}
			<-release
		}
		return false
	})
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 1000 {
		wg.Go(func() {
			if tc, err := n.Authenticate(t.Context(), h.key); err == nil && tc.TenantID == h.acme {
				good.Add(1)
			}
		})
	}
	<-enter
	close(release)
	wg.Wait()
	if asked := h.asked(validatePath); asked != 1 || good.Load() != 1000 {
		t.Errorf("the hub was asked %d times, %d of 1000 were let in", asked, good.Load())
	}
}

// Whoever gives up leaves the question to the others.
func TestGivingUpIsOnesOwn(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	enter, release := make(chan struct{}, 10), make(chan struct{})
	h.breaks(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == validatePath {
			enter <- struct{}{}
			<-release
		}
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := n.Authenticate(ctx, h.key); first <- err }()
	<-enter
	second := make(chan error, 1)
	go func() { _, err := n.Authenticate(t.Context(), h.key); second <- err }()
	cancel()
	if err := <-first; code(err) != hubsvc.CodeUnavailable {
		t.Errorf("who gave up: %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("who waited on: %v", err)
	}
}

// No answer that is not whole and right lets anybody in, and none of them says
// that a key is wrong.
func TestWrongAnswersAreNoAnswers(t *testing.T) {
	valid := `{"valid":true,"tenant_id":"t_victim","tenant_name":"v","key_id":"k_1","permissions":["ADMIN"],"collections":[],"allowed_ips":[],"expires_at":null,"is_test":false}`
	h := newHub(t)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"cut": cut,
		"500": status(500),
		"503": status(503),
		"401": status(401),
		"302": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return true
		},
		"204":      status(204),
		"404 page": func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true },
		"truncated": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, valid)
			return true
		},
		"half":      says(valid[:len(valid)-1]),
		"two":       says(valid + valid),
		"not JSON":  says("<html>yes</html>"),
		"empty":     says(""),
		"null":      says("null"),
		"true":      says("true"),
		"no valid":  says(`{"tenant_id":"t_victim","key_id":"k_1","permissions":["ADMIN"]}`),
		"a word":    says(strings.Replace(valid, "true", `"true"`, 1)),
		"no tenant": says(strings.Replace(valid, "t_victim", "", 1)),
		"bad id":    says(strings.Replace(valid, "t_victim", "../x", 1)),
		"no key id": says(strings.Replace(valid, "k_1", "", 1)),
		"no power":  says(strings.Replace(valid, `"ADMIN"`, "", 1)),
		"bad glob":  says(strings.Replace(valid, `"collections":[]`, `"collections":["["]`, 1)),
		"bad ip":    says(strings.Replace(valid, `"allowed_ips":[]`, `"allowed_ips":["everywhere"]`, 1)),
		"bad time":  says(strings.Replace(valid, `"expires_at":null`, `"expires_at":"soon"`, 1)),
		"long":      says(strings.Replace(valid, `"v"`, `"`+strings.Repeat("v", 70<<10)+`"`, 1)),
	} {
		n := h.client(func(o *remote.Options) { o.Timeout = 2 * time.Second; o.Retries = 1 })
		h.breaks(fault)
		tc, err := n.Authenticate(t.Context(), h.key)
		if code(err) != hubsvc.CodeUnavailable || tc.TenantID != "" {
			t.Errorf("%s: %+v, %v; want UNAVAILABLE", name, tc, err)
		}
		if strings.Contains(fmt.Sprint(err), h.key) || strings.Contains(fmt.Sprint(err), h.service) {
			t.Errorf("%s: the error holds a key: %v", name, err)
		}
		h.breaks(nil)
		n.Stop()
	}
	n := h.client(nil)
	h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Path == validatePath && says(valid)(w, r)
	})
	if tc, err := n.Authenticate(t.Context(), h.key); err != nil || tc.TenantID != "t_victim" {
		t.Errorf("the answer that is right: %+v, %v", tc, err) // or the table proves nothing
	}
}

// An answer that cannot be read, and a key of a later version, are the affair of
// who asked for it: the others ask on, whatever the page of events looks like.
func TestOneBadAnswerIsOnes(t *testing.T) {
	for name, answer := range map[string]struct {
		body string
		code hubsvc.Code
	}{
		"garbage":    {`{"valid":true,"key_id":""}`, hubsvc.CodeUnavailable},
		"permission": {`{"valid":true,"tenant_id":"acme","key_id":"k_1","permissions":["ADMIN","GOD"]}`, hubsvc.CodeForbidden},
		"kind":       {`{"valid":true,"tenant_id":"acme","key_id":"k_1","kind":"operator","permissions":["ADMIN"]}`, hubsvc.CodeForbidden},
	} {
		h := newHub(t)
		n := h.client(nil)
		h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == eventsPath {
				return says(`{"events":"none"}`)(w, r)
			}
			return r.URL.Path == validatePath && says(answer.body)(w, r)
		})
		h.server.CloseClientConnections()
		for i := range 10 {
			_, err := n.Authenticate(t.Context(), "hh_live_"+strings.Repeat(string(rune('a'+i)), 40))
			if code(err) != answer.code {
				t.Errorf("%s: %v", name, err)
			}
		}
		h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == eventsPath && says(`{"events":"none"}`)(w, r)
		})
		if _, err := n.Authenticate(t.Context(), h.key); err != nil {
			t.Errorf("%s: another key: %v", name, err)
		}
		// The hub goes and comes back, and its events still cannot be read.
		h.dies()
		eventually(t, 10*time.Second, func() error {
			_, _ = n.Authenticate(t.Context(), "hh_live_"+strings.Repeat("z", 40))
			if !n.State().Open {
				return errors.New("everybody still asks")
			}
			return nil
		})
		h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == eventsPath && says(`{"events":"none"}`)(w, r)
		})
		_, plain, err := h.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: h.acme, Permissions: []tenant.Permission{tenant.ReadOnly}})
		noError(t, err)
		eventually(t, 15*time.Second, func() error {
			_, err := n.Authenticate(t.Context(), plain)
			return err
		})
		n.Stop()
	}
}

// A question is asked again after errors of the network and the server, and
// never when it could take effect twice.
func TestRetries(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	lose := func(times int64, path string) *atomic.Int64 {
		var left atomic.Int64
		left.Store(times)
		h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path || left.Add(-1) < 0 {
				return false
			}
			h.proxy.ServeHTTP(lost{}, r) // the hub does it, and the reply is lost
			return cut(w, r)
		})
		return &left
	}
	lose(2, validatePath)
	if _, err := n.Authenticate(t.Context(), h.key); err != nil || h.asked(validatePath) != 3 {
		t.Errorf("two lost replies: %v after %d tries", err, h.asked(validatePath))
	}
	lose(1, "/api/v1/access-keys")
	before, err := h.ListKeys(t.Context(), h.acme)
	noError(t, err)
	spec := hubsvc.KeySpec{Tenant: h.acme, Permissions: []tenant.Permission{tenant.ReadOnly}}
	if _, _, err := n.CreateKey(t.Context(), spec); code(err) != hubsvc.CodeUnavailable {
		t.Errorf("a key whose answer was lost: %v", err)
	}
	after, err := h.ListKeys(t.Context(), h.acme)
	noError(t, err)
	if len(after) != len(before)+1 {
		t.Errorf("%d keys were made, want 1", len(after)-len(before))
	}
	lose(1, "/api/internal/vectorizer/collection")
	noError(t, n.RecordCollection(t.Context(), hubsvc.CollectionRecord{Tenant: h.acme, Collection: 7, Name: "docs", Created: 5}))
	records, err := n.ListCollectionRecords(t.Context(), h.acme)
	if err != nil || len(records) != 1 || records[0].Collection != 7 {
		t.Errorf("records: %+v, %v", records, err)
	}
}

// lost takes an answer to nowhere.
type lost struct{}

func (lost) Header() http.Header         { return http.Header{} }
func (lost) Write(b []byte) (int, error) { return len(b), nil }
func (lost) WriteHeader(int)             {}

// After five failures nobody waits for the hub, and a hub that is back is found.
func TestBreaker(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	h.dies()
	eventually(t, 5*time.Second, func() error {
		_, err := n.Authenticate(t.Context(), h.key)
		if code(err) != hubsvc.CodeUnavailable {
			t.Fatalf("a hub that is away: %v", err)
		}
		if !n.State().Open {
			return errors.New("everybody still asks")
		}
		return nil
	})
	before := h.asked(validatePath)
	start := time.Now()
	for range 100 {
		if _, err := n.Authenticate(t.Context(), h.key); code(err) != hubsvc.CodeUnavailable {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); h.asked(validatePath) != before || took > time.Second {
		t.Errorf("the hub was asked %d more times, in %v", h.asked(validatePath)-before, took)
	}
	h.breaks(nil)
	eventually(t, 15*time.Second, func() error {
		_, err := n.Authenticate(t.Context(), h.key)
		return err
	})
}

// An address that guesses costs the hub nothing, and does not keep out a key
// that is known to be good.
func TestKnownOnly(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	ctx := hubsvc.KnownOnly(t.Context())
	if _, err := n.Authenticate(ctx, h.key); code(err) != hubsvc.CodeAuthInvalidKey || h.asked(validatePath) != 0 {
		t.Errorf("a key that is not known: %v, the hub was asked %d times", err, h.asked(validatePath))
	}
	if tc, err := n.Authenticate(ctx, n.operator); err != nil || !tc.IsOperator {
		t.Errorf("the operator: %v", err)
	}
	if _, err := n.Authenticate(t.Context(), h.key); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Authenticate(ctx, h.key); err != nil {
		t.Errorf("a key that is known: %v", err)
	}
}
