package grains_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// kit is a node with grains on it, and a tenant to act for.
type kit struct {
	*actorstest.Kit
	client     *grains.Client
	stopClient func()
	tenant     tenant.Context
}

type kitOptions struct {
	actors actorstest.Options
	grains grains.Options
	hub    func(*actorstest.Kit) *hubsvc.Embedded // in the place of the kit's
}

func newKit(t testing.TB, o kitOptions) *kit {
	t.Helper()
	k := &kit{Kit: actorstest.Start(t, o.actors), tenant: actorstest.Tenant("acme")}
	o.grains.Node, o.grains.Quotas, o.grains.Hub = k.Node, k.Quotas, k.Embedded
	if o.hub != nil {
		o.grains.Hub = o.hub(k.Kit)
	}
	o.grains.Logger = slog.New(slog.DiscardHandler)
	if o.grains.Limits == (collection.Limits{}) {
		o.grains.Limits = collection.DefaultLimits()
	}
	k.client = grains.New(o.grains)
	k.stopClient = sync.OnceFunc(k.client.Stop)
	t.Cleanup(k.stopClient)
	return k
}

// create makes an Euclidean collection of the kit's tenant.
func (k *kit) create(t testing.TB, name string, dim int) {
	t.Helper()
	err := k.client.CreateCollection(t.Context(), k.tenant, name, collection.Config{
		Vectors: []collection.VectorParams{{Size: dim, Distance: collection.Euclid}},
	}, collection.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// point is a 2-d point whose place tells its id.
func point(id uint64) collection.Point {
	return collection.Point{
		ID: collection.NumID(id), Vector: []float32{float32(id), 0},
		Payload: collection.Payload{"n": int64(id), "parity": []string{"even", "odd"}[id%2]},
	}
}

func (k *kit) upsert(ctx context.Context, name string, points ...collection.Point) error {
	_, err := k.client.Write(ctx, k.tenant, name, collection.Write{Upsert: points}, collection.WriteOptions{Wait: true})
	return err
}

// nearest returns the ids that a search finds, as text.
func (k *kit) nearest(ctx context.Context, name string, x float32, limit int, f *collection.Filter) (string, error) {
	hits, err := k.client.Query(ctx, k.tenant, name, collection.Query{Nearest: &collection.Input{Dense: []float32{x, 0}}, Limit: limit, Filter: f})
	ids := []string{}
	for _, h := range hits {
		ids = append(ids, h.ID.String())
	}
	return fmt.Sprint(ids), err
}

func wantCode(t *testing.T, err error, code collection.Code) {
	t.Helper()
	if got := collection.CodeOf(err); got != code {
		t.Fatalf("error %v has code %v, want %v", err, got, code)
	}
}
