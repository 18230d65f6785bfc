package hubsvc

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

func TestValidateRefuses(t *testing.T) {
	hub, _, first := bornHub(t)
	unknown := tenant.NewKey()
	for key, code := range map[string]Code{
		"":                                       CodeAuthMissing,
		"x":                                      CodeAuthInvalidFormat,
		"hh_live_" + strings.Repeat("a", 31):     CodeAuthInvalidFormat,
		first.Tenant + " ":                       CodeAuthInvalidFormat,
		first.Tenant[:len(first.Tenant)-1] + "~": CodeAuthInvalidFormat,
		mistyped(first.Tenant):                   CodeAuthInvalidFormat,
		unknown:                                  CodeAuthInvalidKey,
		"hh_live_" + strings.Repeat("a", 32):     CodeAuthInvalidKey,
		"mcp_sk_" + strings.Repeat("a", 32):      CodeAuthInvalidKey,
		"svc_" + strings.Repeat("a", 32):         CodeAuthInvalidKey,
	} {
		tc, err := hub.Validate(key)
		wantCode(t, err, code)
		if diff := cmp.Diff(tenant.Context{}, tc); diff != "" {
			t.Errorf("%q: a refused key has a context:\n%s", key, diff)
		}
		if len(key) > 20 && strings.Contains(err.Error(), key) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

// mistyped changes one character of an own key's secret.
func mistyped(key string) string {
	c := "a"
	if key[20] == 'a' {
		c = "b"
	}
	return key[:20] + c + key[21:]
}

// A key's context follows its tenant and the tenant's plan, with a version
// that grows.
func TestLimitsFollowThePlan(t *testing.T) {
	hub, _, _ := bornHub(t)
	a := mustCreate(t, hub, tenant.PlanFree)
	_, plain := mustKey(t, hub, a.ID, tenant.Admin)

	a.Plan, a.PlanIndex = tenant.PlanPro, 50
	hub.Observe(Change{Index: 50, Tenants: []Tenant{a}})
	want := tenant.Limits{Version: 50, Vectors: 500_000, Bytes: 5 << 30, Collections: 5}
	if tc, err := hub.Validate(plain); err != nil || tc.Limits != want {
		t.Errorf("changed tenant: %+v, %v", tc.Limits, err)
	}
	want = tenant.Limits{Version: 60, Vectors: 7, Bytes: 8, Collections: 9}
	hub.Observe(Change{Index: 60, Plans: []tenant.Plan{{Name: tenant.PlanPro, Limits: want}}})
	if tc, err := hub.Validate(plain); err != nil || tc.Limits != want {
		t.Errorf("changed plan: %+v, %v", tc.Limits, err)
	}
	if l, ok := hub.Limits(a.ID); !ok || l != want {
		t.Errorf("%+v, %v", l, ok)
	}
}

func TestLoadRefusesAnotherSecret(t *testing.T) {
	_, g, _ := bornHub(t)
	d := NewDirectory(NewKeyHasher([]byte("another")), time.Now)
	wantCode(t, d.Load(g.tx), CodeFailedPrecondition)
}

// A restarted node applies the end of its log again while it loads: what the
// view has must not be done twice, what it lacks must not be lost, and nobody
// is let in on half the state.
func TestObserveBeforeLoad(t *testing.T) {
	ctx := context.Background()
	hub, g, first := bornHub(t)
	var log []Change
	d := NewDirectory(hub.hasher, hub.now)
	g.machine = NewMachine(func(c Change) {
		log = append(log, c)
		d.Observe(c)
	})
	a := mustCreate(t, hub, tenant.PlanFree)
	k, revoked := mustKey(t, hub, a.ID, tenant.Admin)
	if _, err := hub.RevokeKey(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	view := &memTxn{work: maps.Clone(g.tx.state), index: g.tx.index}
	_, late := mustKey(t, hub, a.ID, tenant.Admin)
	if _, err := d.Validate(first.Tenant); err == nil {
		t.Error("let in before Load")
	} else {
		wantCode(t, err, CodeUnavailable)
	}

	if err := d.Load(view); err != nil {
		t.Fatal(err)
	}
	if len(log) != 4 {
		t.Fatalf("%d changes", len(log))
	}
	for _, key := range []string{first.Tenant, late} {
		if _, err := d.Validate(key); err != nil {
			t.Error(err)
		}
	}
	_, err := d.Validate(revoked)
	wantCode(t, err, CodeAuthInvalidKey)

	// A view that is older than what has been observed takes nothing back.
	if err := d.Load(view); err != nil {
		t.Error(err)
	}
	if _, err := d.Validate(late); err != nil {
		t.Error(err)
	}
}

// A view from before the birth leaves the directory to the birth.
func TestLoadBeforeBirth(t *testing.T) {
	hub, g := newHub(t)
	if err := hub.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	_, keys, err := hub.Birth(context.Background(), BirthOptions{Partitions: 64})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Validate(keys.Tenant); err != nil {
		t.Error(err)
	}
}

func TestLoadReportsDamage(t *testing.T) {
	for name, damage := range map[string]func(state map[string][]byte){
		"record version": func(s map[string][]byte) { s[string([]byte{tagCluster})][0] = 9 },
		"cut record":     func(s map[string][]byte) { k := "\x03default"; s[k] = s[k][:5] },
		"lost plan":      func(s map[string][]byte) { delete(s, "\x02enterprise") },
		"lost tenant":    func(s map[string][]byte) { delete(s, "\x03default") },
	} {
		_, g, _ := bornHub(t)
		damage(g.tx.work)
		d := NewDirectory(NewKeyHasher(testSecret), time.Now)
		err := d.Load(g.tx)
		if err == nil {
			t.Errorf("%s: loaded", name)
			continue
		}
		wantCode(t, err, CodeDataLoss)
	}
}

// After any history, a directory that watched it and one loaded from its
// outcome answer alike, and both as the history says.
func TestObservedEqualsLoaded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		hub, g, first := bornHub(t)
		owner := map[string]tenant.ID{first.Tenant: DefaultTenant} // good keys
		ids := map[string]tenant.KeyID{}
		tenants := []tenant.ID{DefaultTenant}
		plains := []string{first.Tenant}
		anyTenant := func() tenant.ID { return rapid.SampledFrom(tenants).Draw(rt, "tenant") }
		rt.Repeat(map[string]func(*rapid.T){
			"create tenant": func(rt *rapid.T) {
				plan := rapid.SampledFrom([]string{"free", "pro", "enterprise"}).Draw(rt, "plan")
				tenants = append(tenants, mustCreate(t, hub, plan).ID)
			},
			"create key": func(*rapid.T) {
				id := anyTenant()
				if k, plain, err := hub.CreateKey(ctx, KeySpec{Tenant: id, Permissions: []tenant.Permission{tenant.ReadWrite}}); err == nil {
					owner[plain], ids[plain] = id, k.ID
					plains = append(plains, plain)
				}
			},
			"revoke key": func(rt *rapid.T) {
				plain := rapid.SampledFrom(plains).Draw(rt, "key")
				if _, err := hub.RevokeKey(ctx, ids[plain]); err == nil {
					delete(owner, plain)
				}
			},
			"delete tenant": func(*rapid.T) {
				id := anyTenant()
				if _, err := hub.DeleteTenant(ctx, id); err == nil {
					for plain, o := range owner {
						if o == id {
							delete(owner, plain)
						}
					}
				}
			},
			"purge tenant": func(*rapid.T) { _ = hub.TenantPurged(ctx, anyTenant(), Erased{}) },
			"": func(rt *rapid.T) {
				loaded := NewDirectory(hub.hasher, hub.now)
				if err := loaded.Load(g.tx); err != nil {
					rt.Fatal(err)
				}
				for _, plain := range plains {
					a, errA := hub.Validate(plain)
					b, errB := loaded.Validate(plain)
					a.HubIndex, b.HubIndex = 0, 0 // a refused entry is applied, and observed by nobody
					if diff := cmp.Diff(a, b); diff != "" || !errors.Is(errA, errB) {
						rt.Fatalf("observed %v, loaded %v:\n%s", errA, errB, diff)
					}
					if a.TenantID != owner[plain] {
						rt.Fatalf("key of %q answers for %q", owner[plain], a.TenantID)
					}
				}
				for _, id := range tenants {
					la, oka := hub.Limits(id)
					lb, okb := loaded.Limits(id)
					pa, oka2 := hub.Partition(id)
					pb, okb2 := loaded.Partition(id)
					if la != lb || oka != okb || pa != pb || oka2 != okb2 {
						rt.Fatalf("tenant %s differs", id)
					}
				}
				if len(hub.mu.keys) != len(loaded.mu.keys) || len(hub.mu.keys) != len(owner)+1 {
					rt.Fatalf("%d keys observed, %d loaded, %d good", len(hub.mu.keys), len(loaded.mu.keys), len(owner)+1)
				}
			},
		})
	})
}

// Requests go on while keys come and go: run with -race.
func TestValidateBesideChanges(t *testing.T) {
	hub, _, first := bornHub(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if tc, err := hub.Validate(first.Tenant); err != nil || tc.TenantID != DefaultTenant {
					t.Errorf("%+v, %v", tc, err)
					return
				}
			}
		})
	}
	for range 200 {
		a := mustCreate(t, hub, tenant.PlanFree)
		_, plain := mustKey(t, hub, a.ID, tenant.Admin)
		if _, err := hub.DeleteTenant(context.Background(), a.ID); err != nil {
			t.Error(err)
		}
		_, err := hub.Validate(plain)
		wantCode(t, err, CodeAuthInvalidKey)
	}
	close(stop)
	wg.Wait()
}
