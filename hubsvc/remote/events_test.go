package remote_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/hubsvc/remote"
	"github.com/hivehub/waggle/tenant"
)

// What ends at the hub has ended on every client within a second, however warm
// its cache.
func TestRevocationReachesEveryClient(t *testing.T) {
	h := newHub(t)
	nodes := []*node{h.client(nil), h.client(nil)}
	for _, end := range []struct {
		name string
		do   func(k hubsvc.Key) error
		want hubsvc.Code
	}{
		{"revoked", func(k hubsvc.Key) error { _, err := h.RevokeKey(t.Context(), k.ID); return err }, hubsvc.CodeAuthInvalidKey},
		{"rotated", func(k hubsvc.Key) error { _, _, _, err := h.RotateKey(t.Context(), k.ID, 0); return err }, hubsvc.CodeAuthInvalidKey},
		{"suspended", func(hubsvc.Key) error { _, err := h.SuspendTenant(t.Context(), h.acme); return err }, ""},
		{"resumed", func(hubsvc.Key) error { _, err := h.ResumeTenant(t.Context(), h.acme); return err }, ""},
		{"deleted", func(hubsvc.Key) error { _, err := h.DeleteTenant(t.Context(), h.acme); return err }, hubsvc.CodeAuthInvalidKey},
	} {
		k, plain, err := h.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: h.acme, Permissions: []tenant.Permission{tenant.Admin}})
		noError(t, err)
		for _, n := range nodes {
			_, err := n.Authenticate(t.Context(), plain)
			noError(t, err)
			_, err = n.Quota(t.Context(), h.acme)
			noError(t, err)
		}
		start := time.Now()
		noError(t, end.do(k))
		for i, n := range nodes {
			eventually(t, 5*time.Second, func() error {
				tc, err := n.Authenticate(t.Context(), plain)
				if code(err) != end.want || err == nil && tc.Suspended != (end.name == "suspended") {
					return fmt.Errorf("%+v, %w", tc, errors.Join(err))
				}
				return nil
			})
			if took := time.Since(start); took > time.Second {
				t.Errorf("%s: known to client %d after %v", end.name, i, took)
			}
		}
	}
	for _, n := range nodes {
		eventually(t, 5*time.Second, func() error {
			if n.erased.Load() != h.acme {
				return errors.New("the data of the deleted tenant is still there")
			}
			return nil
		})
	}
}

// A changed plan is told to whoever keeps limits, and is in the next answers.
func TestQuotaChanges(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	tc, err := n.Authenticate(t.Context(), h.key)
	if err != nil || tc.Limits.Vectors != 500_000 {
		t.Fatalf("%+v, %v", tc.Limits, err)
	}
	start := time.Now()
	_, err = h.SetTenantPlan(t.Context(), h.acme, tenant.PlanFree)
	noError(t, err)
	c, err := n.Changed(t.Context(), 0)
	if err != nil || !c.All && (len(c.Tenants) != 1 || c.Tenants[0] != h.acme) || time.Since(start) > time.Second {
		t.Errorf("%+v, %v after %v", c, err, time.Since(start))
	}
	if l, err := n.Limits(t.Context(), h.acme); err != nil || l.Vectors != 10_000 {
		t.Errorf("%+v, %v", l, err)
	}
	if tc, err := n.Authenticate(t.Context(), h.key); err != nil || tc.Limits.Vectors != 10_000 {
		t.Errorf("%+v, %v", tc.Limits, err)
	}
	plan := tenant.Plan{Name: tenant.PlanFree, Limits: tenant.Limits{Vectors: 7, Bytes: 7, Collections: 7}, Rates: &tenant.Rates{PerMinute: 9, PerHour: -1, PerDay: -1}}
	_, err = h.PutPlan(t.Context(), plan)
	noError(t, err)
	eventually(t, time.Second, func() error {
		tc, err := n.Authenticate(t.Context(), h.key)
		if err != nil || tc.Limits.Vectors != 7 || tc.Rates == nil || tc.Rates.PerMinute != 9 || tc.KeyRates != nil {
			return fmt.Errorf("%+v, %w", tc, errors.Join(err))
		}
		return nil
	})
}

// An answer that was under way while the key ended is not remembered.
func TestAnswerFromBeforeAnEvent(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	k, plain, err := h.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: h.acme, Permissions: []tenant.Permission{tenant.Admin}})
	noError(t, err)
	var first atomic.Bool
	h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != validatePath || first.Swap(true) {
			return false
		}
		var b strings.Builder
		h.proxy.ServeHTTP(&kept{b: &b}, r) // the hub says yes, slowly
		version := n.State().Event
		if _, err := h.RevokeKey(t.Context(), k.ID); err != nil {
			t.Error(err)
		}
		eventually(t, 3*time.Second, func() error {
			if n.State().Event <= version {
				return errors.New("the event has not come")
			}
			return nil
		})
		return says(b.String())(w, r)
	})
	if tc, err := n.Authenticate(t.Context(), plain); code(err) != hubsvc.CodeAuthInvalidKey {
		t.Errorf("%+v, %v", tc, err)
	}
	if tc, err := n.Authenticate(t.Context(), plain); code(err) != hubsvc.CodeAuthInvalidKey {
		t.Errorf("and is remembered: %+v, %v", tc, err)
	}
}

// kept keeps an answer's body.
type kept struct {
	lost
	b *strings.Builder
}

func (k *kept) Write(b []byte) (int, error) { return k.b.Write(b) }

// A hub whose events do not go on from where they were read makes the client
// forget all it knows.
func TestReset(t *testing.T) {
	h := newHub(t)
	n := h.client(nil)
	_, err := n.Authenticate(t.Context(), h.key)
	noError(t, err)
	h.breaks(func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Path == eventsPath && says(`{"events":[],"last":3,"reset":true}`)(w, r)
	})
	_, err = h.CreateTenant(t.Context(), hubsvc.TenantSpec{Name: "b", Plan: tenant.PlanFree})
	noError(t, err)
	h.server.CloseClientConnections()
	eventually(t, 15*time.Second, func() error {
		if s := n.State(); s.Keys != 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// How far events were read, and what they deleted, outlives the process; of
// another hub it means nothing; and an event alone deletes nothing that the hub
// still has.
func TestDeletionsSurviveRestarts(t *testing.T) {
	h := newHub(t)
	file := cursorFile(t)
	n := h.client(func(o *remote.Options) { o.File = file })
	n.Stop()
	_, err := h.DeleteTenant(t.Context(), h.acme)
	noError(t, err)
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), h.server.URL) {
		t.Fatalf("%s, %v", b, err)
	}
	// It read the event and stopped before anything was erased.
	pending := strings.Replace(string(b), `"deleted":null`, `"deleted":["`+string(h.acme)+`","default"]`, 1)
	noError(t, os.WriteFile(file, []byte(pending), 0o600))
	n = h.client(func(o *remote.Options) { o.File = file })
	eventually(t, 5*time.Second, func() error {
		if n.erased.Load() == tenant.ID("default") {
			t.Fatal("the data of a tenant is gone that the hub has")
		}
		b, err := os.ReadFile(file)
		if err != nil || n.erased.Load() != h.acme || !strings.Contains(string(b), `"deleted":[]`) {
			return fmt.Errorf("%v, %s, %w", n.erased.Load(), b, errors.Join(err))
		}
		return nil
	})
	noError(t, os.WriteFile(file, []byte(`{"hub":"https://other.example","version":999999,"deleted":["acme"]}`), 0o600))
	if n = h.client(func(o *remote.Options) { o.File = file }); n.State().Event >= 999_999 {
		t.Errorf("it goes on where another hub ended: %+v", n.State())
	}
	noError(t, os.WriteFile(file, []byte(`{"hub":`), 0o600))
	if _, err := remote.New(remote.Options{URL: h.server.URL, File: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that is cut short: %v", err)
	}
}

// A node in charge knows a key by its id, asks once, and takes another node's
// word only while the hub is away and no event speaks against it.
func TestReadmit(t *testing.T) {
	h := newHub(t)
	asked, leader := h.client(nil), h.client(nil)
	said, err := asked.Authenticate(t.Context(), h.key)
	noError(t, err)
	said.RequestID, said.Permissions = "r", []tenant.Permission{tenant.ReadOnly} // a lie
	before := h.asked(validatePath)
	for range 100 {
		tc, err := leader.Readmit(t.Context(), said)
		if err != nil || tc.Permissions[0] != tenant.Admin || tc.RequestID != "r" || tc.TenantID != h.acme {
			t.Fatalf("%+v, %v", tc, err)
		}
	}
	if n := h.asked(validatePath) - before; n != 1 {
		t.Errorf("the hub was asked %d times for 100 requests", n)
	}
	stolen := said
	stolen.TenantID = "other"
	if _, err := leader.Readmit(t.Context(), stolen); code(err) != hubsvc.CodeAuthInvalidKey {
		t.Errorf("another tenant than the key's: %v", err)
	}
	svc, err := asked.Authenticate(t.Context(), h.service)
	noError(t, err)
	acting, err := asked.ActFor(t.Context(), h.acme, svc, "nonce")
	noError(t, err)
	if tc, err := leader.Readmit(t.Context(), acting); err != nil || tc.Service != svc.Service || tc.TenantID != h.acme || tc.Nonce != "nonce" {
		t.Errorf("a service: %+v, %v", tc, err)
	}
	op, err := leader.Authenticate(t.Context(), leader.operator)
	noError(t, err)
	if tc, err := leader.Readmit(t.Context(), op); err != nil || !tc.IsOperator {
		t.Errorf("the operator: %+v, %v", tc, err)
	}
	disguised := said
	disguised.KeyID = op.KeyID // an id that is the operator's here, of a request that is none
	if tc, err := leader.Readmit(t.Context(), disguised); err == nil || tc.IsOperator {
		t.Errorf("a tenant's request with the id of the operator's key: %+v, %v", tc, err)
	}
	forged := tenant.Context{IsOperator: true, KeyID: "k_x", ValidatedAt: time.Now()}

	k, plain, err := h.CreateKey(t.Context(), hubsvc.KeySpec{Tenant: h.acme, Permissions: []tenant.Permission{tenant.Admin}})
	noError(t, err)
	ended, err := asked.Authenticate(t.Context(), plain)
	noError(t, err)
	version := leader.State().Event
	_, err = h.RevokeKey(t.Context(), k.ID)
	noError(t, err)
	eventually(t, time.Second, func() error {
		if leader.State().Event <= version {
			return errors.New("no event")
		}
		return nil
	})
	late := h.client(nil)
	said.ValidatedAt = time.Now()
	h.dies()
	if tc, err := late.Readmit(t.Context(), said); err != nil || tc.TenantID != h.acme || tc.Stale {
		t.Errorf("the hub is away: %+v, %v", tc, err)
	}
	if _, err := leader.Readmit(t.Context(), ended); code(err) != hubsvc.CodeUnavailable {
		t.Errorf("the hub is away, and the key was revoked: %v", err)
	}
	if _, err := late.Readmit(t.Context(), forged); err == nil {
		t.Error("another node made an operator")
	}
	said.ValidatedAt = time.Now().Add(-time.Hour)
	if _, err := late.Readmit(t.Context(), said); code(err) != hubsvc.CodeUnavailable {
		t.Errorf("what the other node was told an hour ago: %v", err)
	}
}
