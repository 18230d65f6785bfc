package hubsvc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/tenant"
)

func TestBirth(t *testing.T) {
	ctx := context.Background()
	hub, g := newHub(t)
	if _, born := hub.Cluster(); born {
		t.Error("born before birth")
	}
	_, err := hub.CreateTenant(ctx, TenantSpec{Name: "acme", Plan: "free"})
	wantCode(t, err, CodeUnavailable)

	cluster, keys, err := hub.Birth(ctx, BirthOptions{Partitions: 64})
	if err != nil {
		t.Fatal(err)
	}
	if got, born := hub.Cluster(); !born || got != cluster || cluster.Partitions != 64 || cluster.ID == (ClusterID{}) {
		t.Errorf("cluster is %+v, %v; born as %+v", got, born, cluster)
	}
	tc, err := hub.Validate(keys.Operator)
	if err != nil || !tc.IsOperator || tc.Valid() || !tc.May(tenant.OpOperator) || tc.May(tenant.OpRead) {
		t.Errorf("operator key: %+v, %v", tc, err)
	}
	tc, err = hub.Validate(keys.Tenant)
	want := tenant.Context{
		TenantID: "default", TenantName: "default", KeyID: tc.KeyID, Permissions: []tenant.Permission{tenant.Admin},
		Limits: tenant.Limits{Version: 2, Vectors: -1, Bytes: -1, Collections: -1}, ValidatedAt: hub.now(), HubIndex: 2,
	}
	if diff := cmp.Diff(want, tc); err != nil || diff != "" {
		t.Errorf("tenant key: %v\n%s", err, diff)
	}

	// A second birth changes nothing.
	state := g.tx.state
	_, _, err = hub.Birth(ctx, BirthOptions{Partitions: 64})
	wantCode(t, err, CodeAlreadyExists)
	if !cmp.Equal(state, g.tx.state) {
		t.Error("a refused birth left a trace")
	}
}

func TestBirthWithGivenKeys(t *testing.T) {
	given := BirthOptions{
		Partitions:  16,
		OperatorKey: "hh_live_" + strings.Repeat("o", 32),
		TenantKey:   "hh_test_" + strings.Repeat("t", 120),
	}
	hub, _ := newHub(t)
	_, keys, err := hub.Birth(context.Background(), given)
	if err != nil || keys != (FirstKeys{Operator: given.OperatorKey, Tenant: given.TenantKey}) {
		t.Fatalf("%+v, %v", keys, err)
	}
	if tc, err := hub.Validate(given.TenantKey); err != nil || !tc.IsTest || tc.TenantID != DefaultTenant {
		t.Errorf("%+v, %v", tc, err)
	}
	if tc, err := hub.Validate(given.OperatorKey); err != nil || !tc.IsOperator || tc.IsTest {
		t.Errorf("%+v, %v", tc, err)
	}

	good := "hh_live_" + strings.Repeat("a", 32)
	for name, o := range map[string]BirthOptions{
		"short":       {Partitions: 64, OperatorKey: "hh_live_x"},
		"wrong sum":   {Partitions: 64, TenantKey: good + "_abcdef"},
		"mcp key":     {Partitions: 64, TenantKey: "mcp_sk_" + strings.Repeat("a", 32)},
		"service key": {Partitions: 64, OperatorKey: "svc_" + strings.Repeat("a", 32)},
	} {
		hub, g := newHub(t)
		_, _, err := hub.Birth(context.Background(), o)
		wantCode(t, err, CodeAuthInvalidFormat)
		if err != nil && strings.Contains(err.Error(), "aaaa") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
		if g.index != 0 {
			t.Errorf("%s: reached the log", name)
		}
	}
	hub, _ = newHub(t)
	_, _, err = hub.Birth(context.Background(), BirthOptions{Partitions: 64, OperatorKey: good, TenantKey: good})
	wantCode(t, err, CodeInvalidRequest)
	for _, p := range []uint32{0, 15, 1025} {
		_, _, err = hub.Birth(context.Background(), BirthOptions{Partitions: p})
		wantCode(t, err, CodeInvalidRequest)
	}
}

func TestTenantLife(t *testing.T) {
	ctx := context.Background()
	hub, g, first := bornHub(t)
	a, b := mustCreate(t, hub, tenant.PlanFree), mustCreate(t, hub, tenant.PlanPro)
	if a.ID == b.ID || a.Name != b.Name {
		t.Errorf("tenants %+v and %+v", a, b)
	}
	if _, err := tenant.ParseID(string(a.ID)); err != nil {
		t.Error(err)
	}
	if p, ok := hub.Partition(a.ID); !ok || p != a.ID.Partition(64) {
		t.Errorf("partition %d, %v", p, ok)
	}
	wantLimits := tenant.Limits{Version: a.Index, Vectors: 10_000, Bytes: 50 << 20, Collections: 1}
	if l, ok := hub.Limits(a.ID); !ok || l != wantLimits {
		t.Errorf("limits %+v, %v", l, ok)
	}
	_, plain1 := mustKey(t, hub, a.ID, tenant.ReadWrite)
	_, plain2 := mustKey(t, hub, a.ID, tenant.ReadOnly)
	_, other := mustKey(t, hub, b.ID, tenant.MCP)
	for _, key := range []string{plain1, plain2} {
		if tc, err := hub.Validate(key); err != nil || tc.TenantID != a.ID || tc.Limits != wantLimits {
			t.Errorf("%+v, %v", tc, err)
		}
	}
	listed, err := hub.ListTenants(ctx)
	if err != nil || len(listed) != 3 || listed[0].ID != DefaultTenant || listed[1] != a || listed[2] != b {
		t.Errorf("tenants %+v, %v", listed, err)
	}
	if g.barriers != 1 {
		t.Errorf("a list took %d read barriers", g.barriers)
	}

	for range 2 { // the second changes nothing
		deleted, err := hub.DeleteTenant(ctx, a.ID)
		if err != nil || deleted.Status != Deleting {
			t.Errorf("%+v, %v", deleted, err)
		}
	}
	for _, key := range []string{plain1, plain2} {
		_, err := hub.Validate(key)
		wantCode(t, err, CodeAuthInvalidKey)
	}
	if _, err := hub.Validate(other); err != nil {
		t.Errorf("another tenant's key: %v", err)
	}
	if _, ok := hub.Limits(a.ID); ok {
		t.Error("a tenant being deleted has limits")
	}
	if _, ok := hub.Partition(a.ID); !ok {
		t.Error("a tenant being deleted has no partition, so its data cannot go")
	}
	if ids := hub.Deleting(); len(ids) != 1 || ids[0] != a.ID {
		t.Errorf("deleting %v", ids)
	}
	_, _, err = hub.CreateKey(ctx, KeySpec{Tenant: a.ID, Permissions: []tenant.Permission{tenant.Admin}})
	wantCode(t, err, CodeFailedPrecondition)
	wantCode(t, hub.TenantPurged(ctx, b.ID, Erased{}), CodeFailedPrecondition)

	if err := hub.TenantPurged(ctx, a.ID, Erased{}); err != nil {
		t.Error(err)
	}
	_, err = hub.DeleteTenant(ctx, a.ID)
	wantCode(t, err, CodeNotFound)
	_, err = hub.ListKeys(ctx, a.ID)
	wantCode(t, err, CodeNotFound)
	for key := range g.tx.state {
		if strings.Contains(key, string(a.ID)) && !slices.Contains([]byte{tagAuditOf, tagAuditPool, tagErasure, tagUsageTenant}, key[0]) {
			t.Errorf("a purged tenant left %q", key)
		}
	}
	if keys, err := hub.ListKeys(ctx, ""); err != nil || len(keys) != 3 {
		t.Errorf("keys %+v, %v", keys, err)
	}

	if _, err := hub.DeleteTenant(ctx, DefaultTenant); err != nil {
		t.Error(err)
	}
	_, err = hub.Validate(first.Tenant)
	wantCode(t, err, CodeAuthInvalidKey)
	if _, err := hub.Validate(first.Operator); err != nil {
		t.Errorf("the operator key went with the default tenant: %v", err)
	}
}

func TestKeyLife(t *testing.T) {
	ctx := context.Background()
	hub, g, _ := bornHub(t)
	a := mustCreate(t, hub, tenant.PlanFree)
	k, plain := mustKey(t, hub, a.ID, tenant.ReadOnly)
	if k.Prefix != plain[:12] || k.Permission != tenant.ReadOnly || k.Tenant != a.ID || k.Operator {
		t.Errorf("%+v", k)
	}
	for _, value := range g.tx.state {
		if strings.Contains(string(value), plain[13:]) {
			t.Fatal("the key is in the state")
		}
	}
	revoked, err := hub.RevokeKey(ctx, k.ID)
	if err != nil || revoked.Revoked == 0 {
		t.Errorf("%+v, %v", revoked, err)
	}
	_, err = hub.Validate(plain)
	wantCode(t, err, CodeAuthInvalidKey)
	if again, err := hub.RevokeKey(ctx, k.ID); err != nil || again != revoked {
		t.Errorf("%+v, %v", again, err)
	}
	if keys, err := hub.ListKeys(ctx, a.ID); err != nil || len(keys) != 1 || keys[0] != revoked {
		t.Errorf("%+v, %v", keys, err)
	}

	_, err = hub.RevokeKey(ctx, "k_absent")
	wantCode(t, err, CodeNotFound)
	all, _ := hub.ListKeys(ctx, "")
	_, err = hub.RevokeKey(ctx, all[0].ID)
	if !all[0].Operator && !all[1].Operator {
		t.Fatalf("%+v", all)
	}
	for _, k := range all {
		if k.Operator {
			_, err = hub.RevokeKey(ctx, k.ID)
		}
	}
	wantCode(t, err, CodeFailedPrecondition)
}

func TestWrongCommandsDoNotReachTheLog(t *testing.T) {
	ctx := context.Background()
	hub, g, _ := bornHub(t)
	before := g.index
	for _, name := range []string{"", strings.Repeat("x", 256), "a\x00b", "a\nb", "a\x7fb", "a\u0085b", "a\u202eb", "a\u2066b", "\xff"} {
		_, err := hub.CreateTenant(ctx, TenantSpec{Name: name, Plan: "free"})
		wantCode(t, err, CodeInvalidRequest)
	}
	for _, p := range []tenant.Permission{"", "admin", "OPERATOR"} {
		_, _, err := hub.CreateKey(ctx, KeySpec{Tenant: DefaultTenant, Permissions: []tenant.Permission{p}})
		wantCode(t, err, CodeInvalidRequest)
	}
	_, err := hub.DeleteTenant(ctx, "../x")
	wantCode(t, err, CodeInvalidRequest)
	_, err = hub.RevokeKey(ctx, "")
	wantCode(t, err, CodeInvalidRequest)
	if g.index != before {
		t.Errorf("%d of them did", g.index-before)
	}
	_, err = hub.CreateTenant(ctx, TenantSpec{Name: "acme", Plan: "gold"})
	wantCode(t, err, CodeInvalidRequest)
	for _, name := range []string{"a", strings.Repeat("x", 255), "Ünïcödé 名前", "a b"} {
		if _, err := hub.CreateTenant(ctx, TenantSpec{Name: name, Plan: "free"}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestKeysOfATenantAreBounded(t *testing.T) {
	ctx := context.Background()
	hub, _, _ := bornHub(t)
	a := mustCreate(t, hub, tenant.PlanFree)
	var keys []Key
	for range KeysPerTenantMax {
		k, _ := mustKey(t, hub, a.ID, tenant.ReadOnly)
		keys = append(keys, k)
	}
	_, _, err := hub.CreateKey(ctx, KeySpec{Tenant: a.ID, Permissions: []tenant.Permission{tenant.ReadOnly}})
	wantCode(t, err, CodeQuotaExceeded)

	for _, k := range keys[5:7] {
		if _, err := hub.RevokeKey(ctx, k.ID); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		mustKey(t, hub, a.ID, tenant.ReadOnly)
	}
	_, _, err = hub.CreateKey(ctx, KeySpec{Tenant: a.ID, Permissions: []tenant.Permission{tenant.ReadOnly}})
	wantCode(t, err, CodeQuotaExceeded)
	listed, err := hub.ListKeys(ctx, a.ID)
	if err != nil || len(listed) != KeysPerTenantMax {
		t.Fatalf("%d keys, %v", len(listed), err)
	}
	for _, k := range listed {
		if k.Revoked != 0 {
			t.Errorf("revoked key %s is still listed", k.ID)
		}
	}
}

// What the group answers when it cannot decide reaches the caller as it is.
func TestGroupErrorsPass(t *testing.T) {
	ctx := context.Background()
	hub, g, _ := bornHub(t)
	g.err = errors.New("leadership lost")
	_, err1 := hub.CreateTenant(ctx, TenantSpec{Name: "a", Plan: "free"})
	_, err2 := hub.ListTenants(ctx)
	_, err3 := hub.DeleteTenant(ctx, DefaultTenant)
	_, _, err4 := hub.CreateKey(ctx, KeySpec{Tenant: DefaultTenant, Permissions: []tenant.Permission{tenant.Admin}})
	_, err5 := hub.ListKeys(ctx, "")
	_, err6 := hub.RevokeKey(ctx, "k")
	for i, err := range []error{err1, err2, err3, err4, err5, err6, hub.TenantPurged(ctx, DefaultTenant, Erased{})} {
		if !errors.Is(err, g.err) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}
