package grains_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The life of a grain: writes do not load the index, the first search does,
// idleness puts it aside, and the next search finds everything again.
func TestActivateWritePassivateReactivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, kitOptions{grains: grains.Options{IdleAfter: time.Minute}})
		ctx := t.Context()
		k.create(t, "c", 2)
		expect := func(want string) {
			t.Helper()
			if got, err := k.nearest(ctx, "c", 0, 3, nil); err != nil || got != want {
				t.Fatalf("found %s (%v), want %s", got, err, want)
			}
		}
		if err := k.upsert(ctx, "c", point(1), point(2), point(3)); err != nil {
			t.Fatal(err)
		}
		if n := k.client.IndexBytes(); n != 0 {
			t.Fatalf("a write loaded an index of %d bytes", n)
		}
		expect("[1 2 3]")
		if err := k.upsert(ctx, "c", point(0)); err != nil {
			t.Fatal(err)
		}
		expect("[0 1 2]")
		if k.client.IndexBytes() == 0 {
			t.Fatal("a search loaded no index")
		}
		time.Sleep(2 * time.Minute) //nolint:forbidigo // fake time
		synctest.Wait()
		if k.client.Active() != 0 || k.client.IndexBytes() != 0 {
			t.Fatalf("after 2 idle minutes %d grains are active", k.client.Active())
		}
		time.Sleep(time.Hour) //nolint:forbidigo // fake time
		synctest.Wait()
		if n := k.Quotas.Active(); n != 0 {
			t.Fatalf("%d quota actors for tenants that are idle", n)
		}
		_, err := k.client.Write(ctx, k.tenant, "c", collection.Write{Delete: &collection.Selection{IDs: []collection.PointID{collection.NumID(1)}}}, collection.WriteOptions{Wait: true})
		if err != nil {
			t.Fatal(err)
		}
		expect("[0 2 3]")
	})
}

// Everything that was acknowledged is there after a stop and a start, and the
// counters are those of what is there.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	k := newKit(t, kitOptions{actors: actorstest.Options{Dir: dir}})
	k.create(t, "c", 2)
	for id := range uint64(50) {
		if err := k.upsert(t.Context(), "c", point(id)); err != nil {
			t.Fatal(err)
		}
	}
	k.stopClient()
	k.Kit.Stop()
	k2 := newKit(t, kitOptions{actors: actorstest.Options{Dir: dir}})
	info, err := k2.client.GetCollection(t.Context(), k2.tenant, "c")
	if err != nil || info.Points != 50 {
		t.Fatalf("%d points (%v), want 50", info.Points, err)
	}
	if got, err := k2.nearest(t.Context(), "c", 10, 1, nil); got != "[10]" {
		t.Fatalf("found %s (%v), want [10]", got, err)
	}
}

// A search sees either the old or the new point, never neither, while points
// are replaced and the collection is activated and put aside.
func TestReplaceUnderSearch(t *testing.T) {
	k := newKit(t, kitOptions{})
	ctx := t.Context()
	k.create(t, "c", 2)
	const points = 20
	for id := range uint64(points) {
		if err := k.upsert(ctx, "c", point(id)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		rng := rand.New(rand.NewPCG(1, 1))
		for range 300 {
			p := point(uint64(rng.IntN(points)))
			p.Vector[1] = rng.Float32()
			if err := k.upsert(ctx, "c", p); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				hits, err := k.client.Query(ctx, k.tenant, "c", collection.Query{Nearest: &collection.Input{Dense: []float32{0, 0}}, Limit: 2 * points})
				if err != nil || len(hits) != points {
					t.Errorf("%d hits (%v), want %d", len(hits), err, points)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A filter decides before the top k, on every path alike.
func TestFilter(t *testing.T) {
	k := newKit(t, kitOptions{})
	ctx := t.Context()
	k.create(t, "c", 2)
	points := make([]collection.Point, 2500)
	for i := range points {
		points[i] = point(uint64(i))
	}
	if err := k.upsert(ctx, "c", points...); err != nil {
		t.Fatal(err)
	}
	f, err := collection.ParseFilter([]byte(`{"must":[{"key":"parity","match":{"value":"odd"}},{"key":"n","range":{"gte":2490}}]}`), collection.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	const want = "[2491 2493 2495]"
	if got, err := k.nearest(ctx, "c", 0, 3, f); got != want {
		t.Fatalf("search found %s (%v), want %s", got, err, want)
	}
	page, err := k.client.Scroll(ctx, k.tenant, "c", collection.ScrollRequest{Limit: 3, Filter: f})
	if got := fmt.Sprint(page.Points[0].ID, page.Points[1].ID, page.Points[2].ID); err != nil || "["+got+"]" != want || page.Next == nil {
		t.Fatalf("scroll found %s (%v), want %s and a next page", got, err, want)
	}
	if n, err := k.client.Count(ctx, k.tenant, "c", f); n != 5 || err != nil {
		t.Fatalf("counted %d (%v), want 5", n, err)
	}
	if _, err := k.client.Write(ctx, k.tenant, "c", collection.Write{Delete: &collection.Selection{Filter: f}}, collection.WriteOptions{Wait: true}); err != nil {
		t.Fatal(err)
	}
	if n, err := k.client.Count(ctx, k.tenant, "c", nil); n != 2495 || err != nil {
		t.Fatalf("%d points left (%v), want 2495", n, err)
	}
}

// A change by filter that selects more than one entry holds is several entries.
func TestFilterPastOneEntry(t *testing.T) {
	limits := collection.DefaultLimits()
	limits.BatchPoints = 100
	k := newKit(t, kitOptions{grains: grains.Options{Limits: limits}})
	ctx := t.Context()
	k.create(t, "c", 2)
	for from := uint64(0); from < 250; from += 50 {
		points := make([]collection.Point, 50)
		for i := range points {
			points[i] = point(from + uint64(i))
		}
		if err := k.upsert(ctx, "c", points...); err != nil {
			t.Fatal(err)
		}
	}
	all := collection.Write{Delete: &collection.Selection{Filter: &collection.Filter{}}}
	_, err := k.client.Write(ctx, k.tenant, "c", all, collection.WriteOptions{Wait: true, IdempotencyKey: "x"})
	wantCode(t, err, collection.InvalidArgument)
	if _, err := k.client.Write(ctx, k.tenant, "c", all, collection.WriteOptions{Wait: true}); err != nil {
		t.Fatal(err)
	}
	if n, err := k.client.Count(ctx, k.tenant, "c", nil); n != 0 || err != nil {
		t.Fatalf("%d points left (%v), want 0", n, err)
	}
}

// No operation runs without a tenant, and none reaches another tenant's
// collection: it is as absent as one that never was.
func TestTenants(t *testing.T) {
	k := newKit(t, kitOptions{})
	k.create(t, "c", 2)
	for name, tc := range map[string]tenant.Context{"none": {}, "unvalidated": {TenantID: "acme"}} {
		for op, err := range everyOperation(t.Context(), k.client, tc, "c") {
			if collection.CodeOf(err) != collection.Unauthenticated {
				t.Errorf("%s context, %s: %v", name, op, err)
			}
		}
	}
	for op, err := range everyOperation(t.Context(), k.client, actorstest.Tenant("other"), "c") {
		absent := everyOperation(t.Context(), k.client, actorstest.Tenant("other"), "c")[op]
		if fmt.Sprint(err) != fmt.Sprint(absent) {
			t.Errorf("%s: foreign %v, absent %v", op, err, absent)
		}
		if op != "create" && op != "list" && op != "delete" && collection.CodeOf(err) != collection.NotFound {
			t.Errorf("foreign %s: %v", op, err)
		}
	}
	if _, err := k.client.GetCollection(t.Context(), k.tenant, "c"); err != nil {
		t.Fatalf("the owner's collection after a stranger's calls: %v", err)
	}
}

func everyOperation(ctx context.Context, c *grains.Client, tc tenant.Context, name string) map[string]error {
	all := map[string]error{}
	_, all["delete"] = c.DeleteCollection(ctx, tc, name, collection.ChangeOptions{})
	_, all["get"] = c.GetCollection(ctx, tc, name)
	_, all["list"] = c.ListCollections(ctx, tc)
	_, all["write"] = c.Write(ctx, tc, name, collection.Write{Upsert: []collection.Point{point(1)}}, collection.WriteOptions{Wait: true})
	_, all["retrieve"] = c.Retrieve(ctx, tc, name, []collection.PointID{collection.NumID(1)}, collection.PayloadSelector{}, collection.VectorSelector{})
	_, all["scroll"] = c.Scroll(ctx, tc, name, collection.ScrollRequest{Limit: 1})
	_, all["count"] = c.Count(ctx, tc, name, nil)
	_, all["query"] = c.Query(ctx, tc, name, collection.Query{Nearest: &collection.Input{Dense: []float32{1, 1}}, Limit: 1})
	return all
}

// A slow hub delays writes no longer than their deadline, and limits that are
// known go on to serve within their grace.
func TestSlowHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, kitOptions{actors: actorstest.Options{Quotas: actors.QuotaOptions{TTL: time.Minute, Grace: time.Hour}}})
		k.create(t, "c", 2)
		release := k.Hub.Hold()
		defer release()
		time.Sleep(2 * time.Minute) //nolint:forbidigo // fake time
		if err := k.upsert(t.Context(), "c", point(1)); err != nil {
			t.Fatalf("within the grace: %v", err)
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // fake time
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantCode(t, k.upsert(ctx, "c", point(2)), collection.Unavailable)
		if _, err := k.nearest(t.Context(), "c", 0, 1, nil); err != nil {
			t.Fatalf("a read asks for no limits: %v", err)
		}
		// What goes needs no limits, what grows needs them.
		gone := collection.Write{Delete: &collection.Selection{IDs: []collection.PointID{collection.NumID(1)}}}
		if a, err := k.client.Write(t.Context(), k.tenant, "c", gone, collection.WriteOptions{Wait: true}); a.Affected != 1 || err != nil {
			t.Fatalf("a deletion without limits: %+v, %v", a, err)
		}
		grown := collection.Write{SetPayload: &collection.PayloadChange{Payload: collection.Payload{"a": "b"}, Selection: *gone.Delete}}
		_, err := k.client.Write(t.Context(), k.tenant, "c", grown, collection.WriteOptions{Wait: true})
		wantCode(t, err, collection.Unavailable)
		release()
		if err := k.upsert(t.Context(), "c", point(2)); err != nil {
			t.Fatalf("after the hub is back: %v", err)
		}
	})
}

// While the disk holds the log back, what waits is bounded and the rest is
// refused at once; a write whose deadline passes says that its outcome is not
// known.
func TestAdmissionFull(t *testing.T) {
	k := newKit(t, kitOptions{actors: actorstest.Options{Actors: actors.Options{RequestsMax: 4}}})
	k.create(t, "c", 2)
	k.Disk.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	errs := make(chan error)
	for id := range uint64(6) {
		go func() { errs <- k.upsert(ctx, "c", point(id)) }()
	}
	reasons := map[collection.Reason]int{}
	for range 6 {
		err := <-errs
		wantCode(t, err, collection.Unavailable)
		reasons[collection.ReasonOf(err)]++
	}
	if reasons[collection.ReasonOverload] != 2 || reasons[collection.ReasonNone] != 4 {
		t.Fatalf("reasons %v, want 2 overloaded and 4 unknown", reasons)
	}
	k.Disk.Release()
	for {
		err := k.upsert(t.Context(), "c", point(9))
		if err == nil {
			break
		}
		if collection.ReasonOf(err) != collection.ReasonOverload { // while the four are still on their way
			t.Fatalf("after the disk is back: %v", err)
		}
	}
}

// Writing an idempotency key twice takes effect once.
func TestIdempotency(t *testing.T) {
	k := newKit(t, kitOptions{})
	k.create(t, "c", 2)
	o := collection.WriteOptions{Wait: true, IdempotencyKey: "once", RequestHash: [32]byte{1}}
	w := func() collection.Write { return collection.Write{Upsert: []collection.Point{point(1)}} }
	first, err := k.client.Write(t.Context(), k.tenant, "c", w(), o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := k.client.Write(t.Context(), k.tenant, "c", w(), o)
	if err != nil || !reflect.DeepEqual(again, first) {
		t.Fatalf("repeated: %v %v, want %v", again, err, first)
	}
	o.RequestHash = [32]byte{2}
	_, err = k.client.Write(t.Context(), k.tenant, "c", w(), o)
	if collection.ReasonOf(err) != collection.ReasonIdempotencyReused {
		t.Fatalf("another request under the key: %v", err)
	}
}

// A deleted collection is gone at once, its name is free, and its bytes follow.
func TestDeleteCollection(t *testing.T) {
	k := newKit(t, kitOptions{})
	ctx := t.Context()
	k.create(t, "c", 2)
	if err := k.upsert(ctx, "c", point(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.nearest(ctx, "c", 0, 1, nil); err != nil {
		t.Fatal(err)
	}
	if existed, err := k.client.DeleteCollection(ctx, k.tenant, "c", collection.ChangeOptions{}); !existed || err != nil {
		t.Fatal(existed, err)
	}
	_, err := k.nearest(ctx, "c", 0, 1, nil)
	wantCode(t, err, collection.NotFound)
	k.create(t, "c", 2)
	if got, err := k.nearest(ctx, "c", 0, 1, nil); got != "[]" || err != nil {
		t.Fatalf("a new collection of the old name has %s (%v)", got, err)
	}
}

// A load that panics leaves nothing behind that keeps the next one from loading.
func TestPanicInLoad(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	k.create(t, "c", 2)
	if err := k.upsert(ctx, "c", point(1)); err != nil {
		t.Fatal(err)
	}
	info, err := k.client.GetCollection(ctx, k.tenant, "c")
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, k.client.LoadWithPanic(k.tenant.TenantID, info), collection.Internal)
	k.ids(t, "c", collection.Query{Nearest: &collection.Input{Dense: []float32{1, 0}}, Limit: 1})
}
