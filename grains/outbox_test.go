package grains_test

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// newTenant makes a tenant in the kit's hub, which is born for it, and acts for
// it from now on.
func (k *kit) newTenant(t testing.TB, name string) tenant.ID {
	t.Helper()
	if _, born := k.Embedded.Cluster(); !born {
		if _, _, err := k.Embedded.Birth(t.Context(), hubsvc.BirthOptions{Partitions: 16}); err != nil {
			t.Fatal(err)
		}
	}
	made, err := k.Embedded.CreateTenant(t.Context(), hubsvc.TenantSpec{Name: name, Plan: tenant.PlanEnterprise})
	if err != nil {
		t.Fatal(err)
	}
	k.tenant = actorstest.Tenant(made.ID)
	return made.ID
}

// wantHistory compares the hub's records with the catalog and with how many
// collections were deleted.
func (k *kit) wantHistory(t testing.TB, deleted int) {
	t.Helper()
	live, err := k.client.ListCollections(t.Context(), k.tenant)
	if err != nil {
		t.Fatal(err)
	}
	records, err := k.Embedded.ListCollectionRecords(t.Context(), k.tenant.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	gone := 0
	var there []hubsvc.CollectionRecord
	for _, r := range records {
		if r.Deleted == 0 {
			there = append(there, r)
		} else if gone++; r.Deleted < r.Created {
			t.Errorf("deleted before it was created: %+v", r)
		}
	}
	var want []hubsvc.CollectionRecord
	for _, c := range live {
		want = append(want, hubsvc.CollectionRecord{Tenant: k.tenant.TenantID, Collection: c.ID, Name: c.Name, Created: c.Config.CreatedAt})
	}
	byID := func(a, b hubsvc.CollectionRecord) int { return cmp.Compare(a.Collection, b.Collection) }
	slices.SortFunc(there, byID)
	slices.SortFunc(want, byID)
	if !slices.Equal(there, want) || gone != deleted {
		t.Fatalf("the hub knows %d deleted of %d, and of those that are there\n%+v\nwant\n%+v", gone, deleted, there, want)
	}
}

// churn makes and deletes collections, several at a time, and returns how many
// it deleted; the others stay.
func (k *kit) churn(t testing.TB, round int) int {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 5 {
				name := fmt.Sprint("churned-", w)
				k.create(t, name, 2)
				if existed, err := k.client.DeleteCollection(t.Context(), k.tenant, name, collection.ChangeOptions{}); err != nil || !existed {
					t.Error(existed, err)
				}
			}
			k.create(t, fmt.Sprint("stays-", round, "-", w), 2)
		})
	}
	wg.Wait()
	return 4 * 5
}

// However often collections come and go, and whenever the node stops, the hub
// ends up with exactly what was there.
func TestHubHasTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := kitOptions{actors: actorstest.Options{Dir: t.TempDir()}}
		k := newKit(t, o)
		k.newTenant(t, "acme")
		deleted := 0
		for round := range 4 {
			deleted += k.churn(t, round)
			if round == 0 {
				time.Sleep(time.Second) //nolint:forbidigo // fake time
				k.wantHistory(t, deleted)
			}
			acme := k.tenant // and stop with records in the outbox
			k.stopClient()
			k.Stop()
			k = newKit(t, o)
			k.tenant = acme
			time.Sleep(time.Duration(round) * 40 * time.Millisecond) //nolint:forbidigo // fake time
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // fake time
		k.wantHistory(t, deleted)
		k.wantOutbox(t, 0)
	})
}

// wantOutbox counts what waits for the hub in all partitions.
func (k *kit) wantOutbox(t testing.TB, want int) {
	t.Helper()
	n := 0
	for _, r := range k.Node.Replicas() {
		view, err := r.View()
		if err != nil {
			t.Fatal(err)
		}
		records, _, err := collection.Outbox(view, 1000)
		view.Close()
		if err != nil {
			t.Fatal(err)
		}
		n += len(records)
	}
	if n != want {
		t.Fatalf("%d records wait for the hub, want %d", n, want)
	}
}

// What a deleted tenant had is counted once, however often its deletion is
// tried, its last row has gone when the count is given, and the certificate
// says it.
func TestErasureIsCounted(t *testing.T) {
	k := newKit(t, kitOptions{})
	id := k.newTenant(t, "acme")
	for _, name := range []string{"a", "b", "c"} {
		k.create(t, name, 2)
		for n := range uint64(5) {
			if err := k.upsert(t.Context(), name, point(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	stored, err := k.client.TenantUsage(t.Context(), id)
	if err != nil || stored.Points != 15 || stored.Collections != 3 || stored.Bytes == 0 {
		t.Fatal(stored, err)
	}
	if _, err := k.Embedded.DeleteTenant(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	want := hubsvc.Erased{Collections: 3, Points: 15, Bytes: stored.Bytes}
	for range 2 {
		erased, err := k.client.DropTenant(t.Context(), id)
		if erased != want || err != nil {
			t.Fatalf("erased %+v, %v, want %+v", erased, err, want)
		}
	}
	for _, r := range k.Node.Replicas() {
		view, err := r.View()
		if err != nil {
			t.Fatal(err)
		}
		for _, bucket := range []byte{collection.BucketPoints, collection.BucketIDs, collection.BucketIdempotency} {
			_ = view.Scan(bucket, nil, nil, func(key, _ []byte) bool {
				t.Errorf("bucket %d: a row %x is left", bucket, key)
				return true
			})
		}
		view.Close()
	}
	k.wantOutbox(t, 0)
	if err := k.client.DeleteTenant(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for k.Embedded.Deleting() != nil { // the background does it
		runtime.Gosched()
	}
	c, err := k.Embedded.Erasure(t.Context(), id)
	if err != nil || !strings.Contains(c.Document, fmt.Sprintf(`"collections":3,"points":15,"bytes":%d`, stored.Bytes)) {
		t.Fatalf("%+v, %v", c, err)
	}
}

// A nonce is used by one request, whatever entries that makes; by no other; and
// by one that was refused not at all.
func TestNonceOfARequest(t *testing.T) {
	k := newKit(t, kitOptions{})
	k.create(t, "c", 2)
	signed := k.tenant
	signed.Nonce = "n-1"
	write := func(tc tenant.Context, w collection.Write) error {
		_, err := k.client.Write(t.Context(), tc, "c", w, collection.WriteOptions{Wait: true})
		return err
	}
	var points []collection.Point
	for id := range uint64(25_000) {
		points = append(points, collection.Point{ID: collection.NumID(id), Vector: []float32{1, 0}})
	}
	for part := range slices.Chunk(points, 10_000) {
		if err := write(k.tenant, collection.Write{Upsert: part}); err != nil {
			t.Fatal(err)
		}
	}
	// A deletion by filter is three entries here.
	all := collection.Write{Delete: &collection.Selection{Filter: &collection.Filter{}}}
	if err := write(signed, all); err != nil {
		t.Fatal(err)
	}
	if n, err := k.client.Count(t.Context(), k.tenant, "c", nil); n != 0 || err != nil {
		t.Fatalf("%d points are left, %v", n, err)
	}
	replayed := func(err error) {
		t.Helper()
		wantCode(t, err, collection.Unauthenticated)
		if collection.ReasonOf(err) != collection.ReasonNonceReplayed {
			t.Fatal(err)
		}
	}
	if err := write(k.tenant, collection.Write{Upsert: points[:5]}); err != nil {
		t.Fatal(err)
	}
	replayed(write(signed, all))
	replayed(write(signed, collection.Write{Upsert: points[5:6]}))
	config := collection.Config{Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}}}
	replayed(k.client.CreateCollection(t.Context(), signed, "d", config, collection.ChangeOptions{}))
	_, err := k.client.DeleteCollection(t.Context(), signed, "c", collection.ChangeOptions{})
	replayed(err)
	if n, err := k.client.Count(t.Context(), k.tenant, "c", nil); n != 5 || err != nil {
		t.Fatalf("%d points, %v: a repetition changed something", n, err)
	}
	signed.Nonce = "n-2"
	wantCode(t, k.client.CreateCollection(t.Context(), signed, "c", config, collection.ChangeOptions{}), collection.AlreadyExists)
	if err := k.client.CreateCollection(t.Context(), signed, "d", config, collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	// What a node tries again by itself is the same request.
	signed.Nonce, signed.Claim = "n-3", tenant.NewClaim()
	o := collection.WriteOptions{Wait: true, IdempotencyKey: "key"}
	for range 2 {
		if _, err := k.client.Write(t.Context(), signed, "c", collection.Write{Upsert: points[:1]}, o); err != nil {
			t.Fatal(err)
		}
	}
}
