package hubsvc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/tenant"
)

// A key works until the moment it expires, and not at it.
func TestKeyExpires(t *testing.T) {
	hub, _, wait := timedHub(t)
	ctx := context.Background()
	a := mustCreate(t, hub, tenant.PlanFree)
	spec := KeySpec{Tenant: a.ID, Permissions: []tenant.Permission{tenant.Admin}, ExpiresAt: hub.now().Add(time.Minute)}
	k, plain, err := hub.CreateKey(ctx, spec)
	if err != nil || k.Expires != hub.now().Add(time.Minute).UnixMilli() {
		t.Fatalf("%+v, %v", k, err)
	}
	wait(time.Minute - time.Millisecond)
	if tc, err := hub.Validate(plain); err != nil || tc.Deprecated || !tc.ExpiresAt.Equal(spec.ExpiresAt) {
		t.Errorf("%+v, %v", tc, err)
	}
	wait(time.Millisecond)
	_, err = hub.Validate(plain)
	wantCode(t, err, CodeAuthKeyExpired)
	_, err = hub.Renew(tenant.Context{TenantID: a.ID, KeyID: k.ID})
	wantCode(t, err, CodeAuthKeyExpired)
	_, _, _, err = hub.RotateKey(ctx, k.ID, 0)
	wantCode(t, err, CodeFailedPrecondition)
	_, _, err = hub.CreateKey(ctx, spec) // in the past by now
	wantCode(t, err, CodeInvalidRequest)
}

// Both keys work in the time of grace, the old one marked; then one does. The
// new key is narrowed as the old one was.
func TestRotation(t *testing.T) {
	hub, g, wait := timedHub(t)
	ctx := context.Background()
	a := mustCreate(t, hub, tenant.PlanFree)
	scope, err := tenant.ParseScope([]string{"docs-*"}, []string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	spec := KeySpec{
		Tenant: a.ID, Permissions: []tenant.Permission{tenant.ReadOnly}, Kind: tenant.KeyMCP, Name: "bot", Scope: scope,
		Rates: &tenant.Rates{PerMinute: 9, PerHour: -1, PerDay: -1}, ExpiresAt: hub.now().Add(100 * 24 * time.Hour),
	}
	k, plain, err := hub.CreateKey(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	next, nextPlain, old, err := hub.RotateKey(ctx, k.ID, RotationGrace)
	if err != nil || old.Next != next.ID || old.Rotated == 0 || old.Revoked != 0 || plain == nextPlain || nextPlain[:7] != "mcp_sk_" {
		t.Fatalf("%+v, %+v, %v", next, old, err)
	}
	want := k
	want.ID, want.Hash, want.Prefix, want.Index = next.ID, next.Hash, next.Prefix, next.Index
	if d := diff(want, next); d != "" {
		t.Errorf("the new key differs from the old one:\n%s", d)
	}
	ends := hub.now().Add(RotationGrace)
	if tc, err := hub.Validate(plain); err != nil || !tc.Deprecated || !tc.ExpiresAt.Equal(ends) {
		t.Errorf("%+v, %v", tc, err)
	}
	if tc, err := hub.Validate(nextPlain); err != nil || tc.Deprecated || tc.MayCollection("x") || !tc.MayCollection("docs-1") || tc.Scope.AllowsAddress(netip.MustParseAddr("11.0.0.1")) {
		t.Errorf("%+v, %v", tc, err)
	}
	_, _, _, err = hub.RotateKey(ctx, k.ID, 0)
	wantCode(t, err, CodeFailedPrecondition) // once
	wait(RotationGrace)
	_, err = hub.Validate(plain)
	wantCode(t, err, CodeAuthKeyExpired)
	if _, err := hub.Validate(nextPlain); err != nil {
		t.Error(err)
	}

	// Without grace the old key is off when the call returns, here, in a loaded
	// directory, and in one that gets an image after it was away.
	b := mustCreate(t, hub, tenant.PlanFree)
	_, gone := mustKey(t, hub, b.ID, tenant.Admin)
	away := NewDirectory(hub.hasher, hub.now)
	if err := away.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	_, third, _, err := hub.RotateKey(ctx, next.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	loaded := NewDirectory(hub.hasher, hub.now)
	if err := loaded.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	if _, err := away.Validate(nextPlain); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.DeleteTenant(ctx, b.ID); err != nil {
		t.Fatal(err)
	}
	if err := hub.TenantPurged(ctx, b.ID, Erased{}); err != nil {
		t.Fatal(err)
	}
	if err := away.Reload(g.tx); err != nil {
		t.Fatal(err)
	}
	_, err = away.Validate(gone)
	wantCode(t, err, CodeAuthInvalidKey)
	wantSameDirectory(t, hub.Directory, away)
	for _, d := range []*Directory{hub.Directory, loaded, away} {
		_, err = d.Validate(nextPlain)
		wantCode(t, err, CodeAuthInvalidKey)
		if _, err := d.Validate(third); err != nil {
			t.Error(err)
		}
	}
	for _, grace := range []time.Duration{-1 * time.Millisecond, 90*24*time.Hour + time.Millisecond} {
		_, _, _, err = hub.RotateKey(ctx, k.ID, grace)
		wantCode(t, err, CodeInvalidRequest)
	}
}

// A grace never lets a key live longer than it would have.
func TestRotationKeepsAnEarlierEnd(t *testing.T) {
	hub, _, wait := timedHub(t)
	a := mustCreate(t, hub, tenant.PlanFree)
	k, plain, err := hub.CreateKey(context.Background(), KeySpec{Tenant: a.ID, Permissions: []tenant.Permission{tenant.Admin}, ExpiresAt: hub.now().Add(time.Minute), Test: true})
	if err != nil {
		t.Fatal(err)
	}
	next, nextPlain, old, err := hub.RotateKey(context.Background(), k.ID, time.Hour)
	if err != nil || old.Expires != k.Expires || next.Expires != k.Expires || nextPlain[:8] != "hh_test_" || !next.Test {
		t.Fatalf("%+v, %+v, %v", next, old, err)
	}
	wait(time.Minute)
	for _, key := range []string{plain, nextPlain} {
		_, err := hub.Validate(key)
		wantCode(t, err, CodeAuthKeyExpired)
	}
}

// The operator's key is rotated like any other; the last one that lasts stays.
func TestOperatorKeyIsRotated(t *testing.T) {
	hub, _, first := bornHub(t)
	ctx := context.Background()
	tc, err := hub.Validate(first.Operator)
	if err != nil {
		t.Fatal(err)
	}
	next, plain, _, err := hub.RotateKey(ctx, tc.KeyID, time.Hour)
	if err != nil || !next.Operator {
		t.Fatalf("%+v, %v", next, err)
	}
	for _, key := range []string{first.Operator, plain} {
		if tc, err := hub.Validate(key); err != nil || !tc.IsOperator {
			t.Errorf("%+v, %v", tc, err)
		}
	}
	_, err = hub.RevokeKey(ctx, next.ID)
	wantCode(t, err, CodeFailedPrecondition) // the other one is on its way out
	if _, err := hub.RevokeKey(ctx, tc.KeyID); err != nil {
		t.Error(err)
	}
	_, err = hub.Validate(first.Operator)
	wantCode(t, err, CodeAuthInvalidKey)
}

// A suspended tenant keeps keys, limits and place; its keys may do next to nothing.
func TestSuspension(t *testing.T) {
	hub, g, _ := timedHub(t)
	ctx := context.Background()
	a := mustCreate(t, hub, tenant.PlanFree)
	_, admin := mustKey(t, hub, a.ID, tenant.Admin)
	_, reader := mustKey(t, hub, a.ID, tenant.ReadOnly)
	for range 2 {
		if s, err := hub.SuspendTenant(ctx, a.ID); err != nil || s.Status != Suspended || s.Suspended == 0 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	loaded := NewDirectory(hub.hasher, hub.now)
	if err := loaded.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*Directory{hub.Directory, loaded} {
		tc, err := d.Validate(admin)
		if err != nil || !tc.Suspended || tc.May(tenant.OpRead) || tc.May(tenant.OpAdmin) || !tc.May(tenant.OpOwnUsage) || !tc.May(tenant.OpDownload) {
			t.Errorf("ADMIN: %+v, %v", tc, err)
		}
		if tc, err := d.Validate(reader); err != nil || tc.May(tenant.OpRead) || tc.May(tenant.OpOwnUsage) {
			t.Errorf("READ_ONLY: %+v, %v", tc, err)
		}
	}
	if _, ok := hub.Limits(a.ID); !ok {
		t.Error("a suspended tenant has no limits")
	}
	if b, err := hub.ResumeTenant(ctx, a.ID); err != nil || b != a {
		t.Errorf("resumed is %+v, was %+v; %v", b, a, err)
	}
	if tc, err := hub.Validate(reader); err != nil || tc.Suspended || !tc.May(tenant.OpRead) {
		t.Errorf("%+v, %v", tc, err)
	}
	if _, err := hub.DeleteTenant(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	_, err := hub.SuspendTenant(ctx, a.ID)
	wantCode(t, err, CodeFailedPrecondition)
	_, err = hub.ResumeTenant(ctx, a.ID)
	wantCode(t, err, CodeFailedPrecondition)
	_, err = hub.SuspendTenant(ctx, "absent")
	wantCode(t, err, CodeNotFound)
}

func TestServiceKey(t *testing.T) {
	hub, g, _ := timedHub(t)
	ctx := context.Background()
	a := mustCreate(t, hub, tenant.PlanPro)
	k, plain, err := hub.CreateKey(ctx, KeySpec{Kind: tenant.KeyService, Name: "gateway"})
	if err != nil || plain[:4] != "svc_" {
		t.Fatalf("%+v, %v", k, err)
	}
	svc, err := hub.Validate(plain)
	want := tenant.Context{KeyID: k.ID, Service: "gateway", ValidatedAt: hub.now(), HubIndex: g.index}
	if d := cmp.Diff(want, svc); err != nil || d != "" {
		t.Fatalf("%v\n%s", err, d)
	}
	tc, err := hub.ServiceContext(a.ID, svc, "0123456789abcdef")
	if err != nil || tc.TenantID != a.ID || tc.Nonce != "0123456789abcdef" || tc.Service != "gateway" || !tc.May(tenant.OpAdmin) || tc.May(tenant.OpOperator) || tc.Limits.Collections != 5 {
		t.Errorf("%+v, %v", tc, err)
	}
	if renewed, err := hub.Renew(tc); err != nil || cmp.Diff(tc, renewed) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(tc, renewed))
	}
	if renewed, err := hub.Renew(svc); err != nil || cmp.Diff(svc, renewed) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(svc, renewed))
	}
	for _, id := range []tenant.ID{"absent", ""} {
		_, err = hub.ServiceContext(id, svc, "")
		wantCode(t, err, CodeNotFound)
	}
	_, err = hub.ServiceContext(a.ID, tenant.Context{KeyID: "k"}, "")
	wantCode(t, err, CodeNotFound) // no service
	if _, err := hub.DeleteTenant(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	_, err1 := hub.ServiceContext(a.ID, svc, "")
	_, err2 := hub.ServiceContext("absent", svc, "")
	if err1 == nil || err2 == nil || err1.Error() != err2.Error() {
		t.Errorf("a tenant being deleted answers %v, an absent one %v", err1, err2)
	}
	if _, err := hub.RevokeKey(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err = hub.Validate(plain)
	wantCode(t, err, CodeAuthInvalidKey)
}

// A context that another node sent counts for no more than its key does here.
func TestRenewTrustsNothing(t *testing.T) {
	hub, _, _ := timedHub(t)
	ctx := context.Background()
	a, b := mustCreate(t, hub, tenant.PlanFree), mustCreate(t, hub, tenant.PlanFree)
	k, plain := mustKey(t, hub, a.ID, tenant.ReadOnly)
	good, err := hub.Validate(plain)
	if err != nil {
		t.Fatal(err)
	}
	good.RequestID = "r-1"
	forged := good
	forged.Permissions, forged.IsOperator, forged.Limits = []tenant.Permission{tenant.Admin}, true, tenant.Limits{Vectors: -1}
	forged.Service, forged.Scope = "gateway", &tenant.Scope{}
	got, err := hub.Renew(forged)
	if d := cmp.Diff(good, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for name, tc := range map[string]tenant.Context{
		"another tenant": {TenantID: b.ID, KeyID: k.ID},
		"no tenant":      {KeyID: k.ID, IsOperator: true},
		"unknown key":    {TenantID: a.ID, KeyID: "k_absent", IsOperator: true},
		"no key":         {TenantID: a.ID},
	} {
		if _, err := hub.Renew(tc); !errors.Is(err, errKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := hub.SuspendTenant(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := hub.Renew(good); err != nil || !got.Suspended {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := hub.DeleteTenant(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	_, err = hub.Renew(good)
	wantCode(t, err, CodeAuthInvalidKey)
}

// What a key may not be.
func TestKeySpecs(t *testing.T) {
	hub, g, _ := timedHub(t)
	before := g.index
	many := make([]string, tenant.ScopeGlobsMax+1)
	for i := range many {
		many[i] = fmt.Sprint("c", i)
	}
	admin := []tenant.Permission{tenant.Admin}
	for name, s := range map[string]KeySpec{
		"service with a tenant":      {Kind: tenant.KeyService, Name: "s", Tenant: "default"},
		"service with a permission":  {Kind: tenant.KeyService, Name: "s", Permissions: admin},
		"service without a name":     {Kind: tenant.KeyService},
		"service with an odd name":   {Kind: tenant.KeyService, Name: "A b"},
		"service with collections":   {Kind: tenant.KeyService, Name: "s", Scope: &tenant.Scope{Collections: []string{"x"}}},
		"service for tests":          {Kind: tenant.KeyService, Name: "s", Test: true},
		"MCP as ADMIN":               {Kind: tenant.KeyMCP, Tenant: "default", Permissions: admin},
		"two permissions":            {Tenant: "default", Permissions: []tenant.Permission{tenant.Admin, tenant.MCP}},
		"no permission":              {Tenant: "default"},
		"no tenant":                  {Permissions: admin},
		"unknown kind":               {Kind: 9, Tenant: "default", Permissions: admin},
		"name with a line":           {Tenant: "default", Permissions: admin, Name: "a\nb"},
		"too many patterns":          {Tenant: "default", Permissions: admin, Scope: &tenant.Scope{Collections: many}},
		"malformed pattern":          {Tenant: "default", Permissions: admin, Scope: &tenant.Scope{Collections: []string{"[a"}}},
		"block that is not masked":   {Tenant: "default", Permissions: admin, Scope: &tenant.Scope{AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}}},
		"block that is none":         {Tenant: "default", Permissions: admin, Scope: &tenant.Scope{AllowedIPs: []netip.Prefix{{}}}},
		"an end before the epoch":    {Tenant: "default", Permissions: admin, ExpiresAt: time.Unix(-5, 0)},
		"a name that is much longer": {Tenant: "default", Permissions: admin, Name: fmt.Sprintf("%0256d", 1)},
	} {
		_, plain, err := hub.CreateKey(context.Background(), s)
		if err == nil || plain != "" {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantCode(t, err, CodeInvalidRequest)
	}
	if d := g.index - before; d > 1 { // an end in the past is the log's business
		t.Errorf("%d of them reached the log", d)
	}
	for name, s := range map[string]KeySpec{
		"all patterns": {Tenant: "default", Permissions: admin, Scope: &tenant.Scope{Collections: many[1:]}, Name: fmt.Sprintf("%0255d", 1)},
		"MCP":          {Tenant: "default", Kind: tenant.KeyMCP},
		"service":      {Kind: tenant.KeyService, Name: "s", Scope: &tenant.Scope{AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}},
	} {
		if _, _, err := hub.CreateKey(context.Background(), s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
