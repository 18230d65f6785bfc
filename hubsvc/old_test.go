package hubsvc

import (
	"context"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hivehub/waggle/tenant"
)

// oldState is a state that a build wrote before tenants were suspended and keys
// narrowed: a birth, the tenant acme with a good and a revoked key, the
// tenant gone that is being deleted, and two members. It may never change.
var oldState = []struct{ key, value string }{
	{"01", "0185a26964c41009000000000000000000000000000000a170ce00000040a27373c4200800000000000000000000000000000000000000000000000000000000000000a174d300000000000003e8a169cf0000000000000001"},
	{"02656e7465727072697365", "0182a16eaa656e7465727072697365a16c84a176cf0000000000000001a16ed3ffffffffffffffffa162d3ffffffffffffffffa163d3ffffffffffffffff"},
	{"0266726565", "0182a16ea466726565a16c84a176cf0000000000000001a16ed30000000000002710a162d30000000003200000a163d30000000000000001"},
	{"0270726f", "0182a16ea370726fa16c84a176cf0000000000000001a16ed3000000000007a120a162d30000000140000000a163d30000000000000005"},
	{"0361636d65", "0188a26964a461636d65a16ea441636d65a2706ca370726fa173cc01a170ce0000000ca174d300000000000003e9a169cf0000000000000002a27069cf0000000000000002"},
	{"0364656661756c74", "0188a26964a764656661756c74a16ea764656661756c74a2706caa656e7465727072697365a173cc01a170ce00000016a174d300000000000003e8a169cf0000000000000001a27069cf0000000000000001"},
	{"03676f6e65", "0188a26964a4676f6e65a16ea4476f6e65a2706ca466726565a173cc03a170ce00000014a174d300000000000003eda169cf0000000000000006a27069cf0000000000000006"},
	{"046b5f31", "018aa26964a36b5f31a2746ea0a16fc3a168c4200102030000000000000000000000000000000000000000000000000000000000a2706da0a27078ac68685f6c6976655f61626364a27473c3a174d300000000000003e8a172d30000000000000000a169cf0000000000000001"},
	{"046b5f32", "018aa26964a36b5f32a2746ea764656661756c74a16fc2a168c4200400000000000000000000000000000000000000000000000000000000000000a2706da541444d494ea27078ac68685f6c6976655f65666768a27473c2a174d300000000000003e8a172d30000000000000000a169cf0000000000000001"},
	{"046b5f33", "018aa26964a36b5f33a2746ea461636d65a16fc2a168c4201e00000000000000000000000000000000000000000000000000000000000000a2706da541444d494ea27078ac68685f6c6976655f61616161a27473c2a174d300000000000003eaa172d30000000000000000a169cf0000000000000003"},
	{"046b5f34", "018aa26964a36b5f34a2746ea461636d65a16fc2a168c4202800000000000000000000000000000000000000000000000000000000000000a2706da9524541445f4f4e4c59a27078ac68685f746573745f62626262a27473c3a174d300000000000003eba172d300000000000003eca169cf0000000000000004"},
	{"050102030000000000000000000000000000000000000000000000000000000000", "6b5f31"},
	{"050400000000000000000000000000000000000000000000000000000000000000", "6b5f32"},
	{"051e00000000000000000000000000000000000000000000000000000000000000", "6b5f33"},
	{"06006b5f31", "01"},
	{"0661636d65006b5f33", "01"},
	{"0661636d65006b5f34", "01"},
	{"0664656661756c74006b5f32", "01"},
	{"07", "0183a16ea464656d6fa26c6ece00000002a26c73ce00000002"},
	{"0800000001", "0187a16ece00000001a26e6da26e31a161ae31302e302e302e313a3135303130a168ae31302e302e302e313a3135303032a173cc01a169cf0000000000000001a175cf0000000000000008"},
	{"0800000002", "0187a16ece00000002a26e6da26e32a161ae31302e302e302e323a3135303130a168a0a173cc01a169cf000000000000000aa175cf000000000000000a"},
	{"090700000000000000000000000000000000000000000000000000000000000000", "0185a168c4200700000000000000000000000000000000000000000000000000000000000000a165d3000000000036f270a16dce00000002a171c4200600000000000000000000000000000000000000000000000000000000000000a169cf0000000000000009"},
	{"0a0000000000000000", "0183a167cf0000000000000000a176cf000000000000000aa1729281a26964cf000000010000000182a26964cf0000000200000002a16cc3"},
}

func oldTxn(t *testing.T) *memTxn {
	t.Helper()
	tx := newMemTxn()
	for _, row := range oldState {
		key, err1 := hex.DecodeString(row.key)
		value, err2 := hex.DecodeString(row.value)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		tx.work[string(key)] = value
	}
	tx.end(nil)
	tx.index = 10
	return tx
}

// Records of old are read as what they were.
func TestOldRecords(t *testing.T) {
	tx := oldTxn(t)
	k3, err := keyOf(tx, "k_3")
	want := Key{ID: "k_3", Tenant: "acme", Hash: KeyHash{30}, Permission: tenant.Admin, Prefix: "hh_live_aaaa", Created: 1002, Index: 3, Kind: tenant.KeyTenant}
	if diff := diff(want, k3); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	k4, err := keyOf(tx, "k_4")
	want = Key{ID: "k_4", Tenant: "acme", Hash: KeyHash{40}, Permission: tenant.ReadOnly, Prefix: "hh_test_bbbb", Test: true, Created: 1003, Revoked: 1004, Index: 4, Kind: tenant.KeyTenant}
	if diff := diff(want, k4); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	gone, err := tenantOf(tx, "gone")
	if diff := cmp.Diff(Tenant{ID: "gone", Name: "Gone", Plan: "free", Status: Deleting, Partition: gone.ID.Partition(64), Created: 1005, Index: 6, PlanIndex: 6}, gone); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	plans, err := list[tenant.Plan](tx, tagPlan)
	if err != nil || len(plans) != 3 {
		t.Fatalf("%+v, %v", plans, err)
	}
	for _, p := range plans {
		if r := p.Rates.OrUnlimited(); r != (tenant.Rates{PerMinute: -1, PerHour: -1, PerDay: -1}) {
			t.Errorf("plan %s has the rates %+v", p.Name, r)
		}
	}
}

// The machine goes on where a build of old stopped, and what it writes is what
// a directory loads.
func TestOldStateGoesOn(t *testing.T) {
	tx := oldTxn(t)
	d := NewDirectory(NewKeyHasher(testSecret), time.Now)
	wantCode(t, d.Load(tx), CodeFailedPrecondition) // the state's secret is another one's; it is loaded all the same
	g := &group{tx: tx, machine: NewMachine(d.Observe), index: 10}
	hub := NewEmbedded(d, g, EmbeddedOptions{SealKey: testSeal})
	ctx := context.Background()
	before, err := hub.ListTenants(ctx)
	if err != nil || len(before) != 3 {
		t.Fatalf("%+v, %v", before, err)
	}
	if err := hub.TenantPurged(ctx, "gone", Erased{Points: 3}); err != nil {
		t.Error(err)
	}
	if c, err := hub.Erasure(ctx, "gone"); err != nil || len(c.Signature) != 0 || c.Certificate != "" {
		t.Errorf("a cluster without an authority signed %+v, %v", c, err)
	}
	if r, _, _, err := hub.RotateKey(ctx, "k_3", time.Hour); err != nil || r.Permission != tenant.Admin || r.Kind != tenant.KeyTenant {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := hub.SuspendTenant(ctx, "acme"); err != nil {
		t.Error(err)
	}
	l, err := ledgerOf(tx)
	if err != nil || l.Tenants != 2 || l.Event != 2 || l.Time < 1009 {
		t.Errorf("%+v, %v", l, err)
	}
	loaded := NewDirectory(d.hasher, time.Now)
	_ = loaded.Load(tx)
	wantSameDirectory(t, d, loaded)
}
