package hubsvc

import (
	"context"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

// What a key asks for is refused from its revocation on in the order of the
// log, whatever the edge that let it in knew. A key that has been rotated works
// on in its grace.
func TestRevokedKeysDecideNothing(t *testing.T) {
	hub, g, _ := timedHub(t)
	acme, err := hub.CreateTenant(t.Context(), TenantSpec{Name: "acme", Plan: "pro"})
	if err != nil {
		t.Fatal(err)
	}
	admin := KeySpec{Tenant: acme.ID, Permissions: []tenant.Permission{tenant.Admin}}
	newKey := func(ctx context.Context) (Key, error) {
		k, _, err := hub.CreateKey(ctx, admin)
		return k, err
	}
	stolen, err := newKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := WithActor(t.Context(), Actor{KeyID: stolen.ID})
	other, err := newKey(by)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := hub.RotateKey(t.Context(), stolen.ID, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := newKey(by); err != nil {
		t.Errorf("in its grace: %v", err)
	}
	if _, err := hub.RevokeKey(t.Context(), stolen.ID); err != nil {
		t.Fatal(err)
	}
	before := len(g.tx.state)
	_, err = newKey(by)
	wantCode(t, err, CodeAuthInvalidKey)
	_, _, _, err = hub.RotateKey(by, other.ID, 0)
	wantCode(t, err, CodeAuthInvalidKey)
	_, err = hub.RevokeKey(by, other.ID)
	wantCode(t, err, CodeAuthInvalidKey)
	if after := len(g.tx.state); after != before {
		t.Errorf("%d rows became %d", before, after)
	}
}

// A nonce outlives every moment at which some node would take its signature
// again, if clocks differ by less than a minute: those of the edges and those
// of the leaders.
func TestNonceOutlivesItsSignature(t *testing.T) {
	tx := newMemTxn()
	apply := machineOn(t, tx)
	const minute = 60_000
	life := 2 * tenant.SignatureSkew.Milliseconds()
	c := Command{Time: minute, Op: &SetTenantPlan{ID: DefaultTenant, Plan: "pro"}, Actor: Actor{Service: "gw", Nonce: someNonce}}
	_, err := apply(c)
	tx.keep(t, err)
	c.Time += life + 2*minute - 1
	_, err = apply(c)
	wantCode(t, err, CodeNonceReplayed)
}
