package hubsvc

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/hivehub/waggle/tenant"
)

const endpointCanary = "sk-canary-in-the-log"

func endpointHub(t *testing.T) (*Embedded, *group) {
	t.Helper()
	hub, g, _ := bornHub(t)
	return NewEmbedded(hub.Directory, g, EmbeddedOptions{SealKey: testSeal, EndpointSealKey: bytes.Repeat([]byte{7}, SealKeyBytes)}), g
}

func TestEndpointOfATenant(t *testing.T) {
	hub, g := endpointHub(t)
	ctx := WithActor(context.Background(), Actor{KeyID: "k_admin"})
	spec := EndpointSpec{URL: "https://e.example/v1/embeddings", Model: "m", Key: endpointCanary, Dimension: 3, Batch: 5, TimeoutMs: 700}
	if _, err := hub.DeleteEndpoint(ctx, DefaultTenant); err == nil {
		t.Error("an endpoint that is not there was deleted")
	}
	if _, ok, err := hub.OpenEndpoint(DefaultTenant); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	if _, err := hub.PutEndpoint(ctx, DefaultTenant, spec); err != nil {
		t.Fatal(err)
	}
	for key, value := range g.tx.state {
		if bytes.Contains([]byte(key), []byte("canary")) || bytes.Contains(value, []byte("canary")) {
			t.Errorf("the key is readable at %x", key)
		}
	}
	if got, ok, err := hub.OpenEndpoint(DefaultTenant); got != spec || !ok || err != nil {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	if _, ok, err := hub.OpenEndpoint("another"); ok || err != nil {
		t.Errorf("another tenant has it: %v %v", ok, err)
	}
	rows, _, err := hub.ListAudit(ctx, AuditQuery{Tenant: DefaultTenant, Action: ActionEndpointPut, Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].Actor != "k_admin" {
		t.Errorf("%+v %v", rows, err)
	}

	// What a node loads is what another observed.
	loaded := NewDirectory(hub.hasher, time.Now)
	if err := loaded.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	wantSameDirectory(t, hub.Directory, loaded)

	spec.Key, spec.Model = "", "other"
	if _, err := hub.PutEndpoint(ctx, DefaultTenant, spec); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := hub.OpenEndpoint(DefaultTenant); got != spec || !ok || err != nil {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	if _, err := hub.DeleteEndpoint(ctx, DefaultTenant); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := hub.OpenEndpoint(DefaultTenant); ok {
		t.Error("it is still there")
	}
}

// A sealed key opens under its own tenant and URL alone: whoever could write
// records could not have a key sent elsewhere.
func TestSealedKeyIsBound(t *testing.T) {
	hub, _ := endpointHub(t)
	ctx := context.Background()
	r, err := hub.PutEndpoint(ctx, DefaultTenant, EndpointSpec{URL: "https://a.example/", Key: endpointCanary, Dimension: 3})
	if err != nil {
		t.Fatal(err)
	}
	moved := r
	moved.Endpoint.URL = "https://evil.example/"
	hub.observeEndpoints(Change{Endpoints: []EndpointRecord{moved}})
	_, ok, err := hub.OpenEndpoint(DefaultTenant)
	wantCode(t, err, CodeDataLoss)
	if ok {
		t.Error("it opened for another URL")
	}
	r.Tenant = "other"
	hub.observeEndpoints(Change{Endpoints: []EndpointRecord{r}})
	_, _, err = hub.OpenEndpoint("other")
	wantCode(t, err, CodeDataLoss)

	plain, _, _ := bornHub(t)
	_, err = plain.PutEndpoint(ctx, DefaultTenant, EndpointSpec{URL: "https://a.example/", Key: endpointCanary, Dimension: 3})
	wantCode(t, err, CodeFailedPrecondition)
}

func TestEndpointGoesWithItsTenant(t *testing.T) {
	hub, g := endpointHub(t)
	ctx := context.Background()
	made, err := hub.CreateTenant(ctx, TenantSpec{Name: "a", Plan: tenant.PlanEnterprise})
	if err != nil {
		t.Fatal(err)
	}
	spec := EndpointSpec{URL: "https://a.example/", Key: endpointCanary, Dimension: 3}
	if _, err := hub.PutEndpoint(ctx, made.ID, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.DeleteTenant(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := hub.OpenEndpoint(made.ID); ok || g.tx.state[string(endpointKey(made.ID))] != nil {
		t.Error("the endpoint of a deleted tenant is there")
	}
	if _, err := hub.PutEndpoint(ctx, made.ID, spec); err == nil {
		t.Error("a tenant that is being deleted got an endpoint")
	}
	if err := hub.TenantPurged(ctx, made.ID, Erased{}); err != nil {
		t.Fatal(err)
	}
	loaded := NewDirectory(hub.hasher, time.Now)
	if err := loaded.Load(g.tx); err != nil {
		t.Fatal(err)
	}
	wantSameDirectory(t, hub.Directory, loaded)
}
