//go:build !race

// Under the race detector sync.Pool forgets at random, so nothing can be said
// about allocations.

package hubsvc

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

func TestValidateAllocatesNothing(t *testing.T) {
	hub, _, first := bornHub(t)
	scope, err := tenant.ParseScope([]string{"docs-*", "x"}, []string{"10.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	narrowed := KeySpec{Tenant: DefaultTenant, Permissions: []tenant.Permission{tenant.ReadOnly}, Scope: scope, ExpiresAt: hub.now().Add(time.Hour)}
	old, plain, err := hub.CreateKey(context.Background(), narrowed)
	if err != nil {
		t.Fatal(err)
	}
	_, next, _, err := hub.RotateKey(context.Background(), old.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, service, err := hub.CreateKey(context.Background(), KeySpec{Kind: tenant.KeyService, Name: "gw"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{first.Tenant, first.Operator, plain, next, service, mistyped(first.Tenant), "hh_live_" + strings.Repeat("a", 32), ""} {
		if n := testing.AllocsPerRun(1000, func() { _, _ = hub.Validate(key) }); n != 0 {
			t.Errorf("%q: %v allocations", tenant.ShownPrefix(key), n)
		}
	}
	tc, err := hub.Validate(plain)
	if err != nil {
		t.Fatal(err)
	}
	svc, err := hub.Validate(service)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddr("::ffff:10.0.0.1")
	n := testing.AllocsPerRun(1000, func() {
		if _, err := hub.Renew(tc); err != nil || !tc.MayCollection("docs-1") || tc.MayCollection("other") || !tc.Scope.AllowsAddress(at) || !tc.May(tenant.OpRead) {
			t.Error("refused")
		}
		if _, err := hub.ServiceContext(DefaultTenant, svc, someNonce); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations around it", n)
	}
}
