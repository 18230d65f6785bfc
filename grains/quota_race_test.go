package grains_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// Who races for how many places in how many rounds.
const (
	raceWriters = 200
	racePlaces  = 10
	raceRounds  = 100
	raceSeed    = 7 // points that are there before
)

// quotaRaces are what a tenant's writers may race for. seed prepares a tenant
// without limits, limits leaves room for racePlaces of try.
var quotaRaces = []struct {
	name   string
	seed   func(t testing.TB, k *kit)
	limits func(u collection.TenantUsage) tenant.Limits
	try    func(ctx context.Context, k *kit, writer uint64) error
	used   func(u collection.TenantUsage) uint64
}{
	{
		name: "points", seed: seedPoints, try: tryPoint,
		limits: func(u collection.TenantUsage) tenant.Limits {
			return tenant.Limits{Vectors: int64(u.Points) + racePlaces, Bytes: tenant.Unlimited, Collections: tenant.Unlimited}
		},
		used: func(u collection.TenantUsage) uint64 { return u.Points },
	},
	{
		name: "bytes", seed: seedPoints, try: tryPoint,
		limits: func(u collection.TenantUsage) tenant.Limits { // one byte less than eleven more take
			return tenant.Limits{Vectors: tenant.Unlimited, Bytes: int64(u.Bytes/raceSeed*(raceSeed+racePlaces+1)) - 1, Collections: tenant.Unlimited}
		},
		used: func(u collection.TenantUsage) uint64 { return u.Points },
	},
	{
		name: "collections", seed: seedPoints,
		limits: func(u collection.TenantUsage) tenant.Limits {
			return tenant.Limits{Vectors: tenant.Unlimited, Bytes: tenant.Unlimited, Collections: int64(u.Collections) + racePlaces}
		},
		try: func(ctx context.Context, k *kit, writer uint64) error {
			return k.client.CreateCollection(ctx, k.tenant, fmt.Sprint("w", writer), collection.Config{
				Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}},
			}, collection.ChangeOptions{})
		},
		used: func(u collection.TenantUsage) uint64 { return u.Collections },
	},
}

func seedPoints(t testing.TB, k *kit) {
	k.create(t, "c", 2)
	for id := range uint64(raceSeed) {
		if err := k.upsert(t.Context(), "c", racer(math.MaxUint32+id)); err != nil {
			t.Fatal(err)
		}
	}
}

func tryPoint(ctx context.Context, k *kit, writer uint64) error {
	return k.upsert(ctx, "c", racer(writer))
}

// racer is a point; all take as many bytes.
func racer(id uint64) collection.Point {
	return collection.Point{ID: collection.NumID(id), Vector: []float32{1, float32(id)}}
}

// Two hundred writers race for the last ten places of a quota, a hundred times
// over: exactly ten get one, the others are told why not, and the counters are
// a recount.
func TestQuotaRace(t *testing.T) {
	for _, race := range quotaRaces {
		t.Run(race.name, func(t *testing.T) {
			k := newKit(t, kitOptions{})
			for round := range raceRounds {
				k.tenant = actorstest.Tenant(tenant.ID(fmt.Sprint("round", round)))
				k.Hub.Set(tenant.Limits{Vectors: tenant.Unlimited, Bytes: tenant.Unlimited, Collections: tenant.Unlimited})
				race.seed(t, k)
				before, err := k.client.TenantUsage(t.Context(), k.tenant.TenantID)
				if err != nil {
					t.Fatal(err)
				}
				k.Hub.Set(race.limits(before))
				k.Quotas.Forget(k.tenant.TenantID)
				var won, lost atomic.Int32
				var wg sync.WaitGroup
				for writer := range uint64(raceWriters) {
					wg.Go(func() {
						switch err := race.try(t.Context(), k, writer); {
						case err == nil:
							won.Add(1)
						case collection.ReasonOf(err) == collection.ReasonQuota:
							lost.Add(1)
						default:
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if won.Load() != racePlaces || lost.Load() != raceWriters-racePlaces {
					t.Fatalf("round %d: %d won and %d were refused; want %d and %d", round, won.Load(), lost.Load(), racePlaces, raceWriters-racePlaces)
				}
				k.wantUsed(t, race.used(before)+racePlaces, race.used)
			}
		})
	}
}

// wantUsed compares the tenant's counters with what is wanted and with a recount.
func (k *kit) wantUsed(t testing.TB, want uint64, of func(collection.TenantUsage) uint64) {
	t.Helper()
	u, err := k.client.TenantUsage(t.Context(), k.tenant.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	if got := of(u); got != want {
		t.Fatalf("%d in use, want %d", got, want)
	}
	view, err := k.Node.Partition(k.Node.PartitionOf(k.tenant.TenantID)).View()
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	if counted, err := collection.Recount(view, k.tenant.TenantID); counted != u || err != nil {
		t.Fatalf("counters %+v, recount %+v, %v", u, counted, err)
	}
}

// What every answer pays for its header.
func BenchmarkStored(b *testing.B) {
	k := newKit(b, kitOptions{})
	seedPoints(b, k)
	b.ReportAllocs()
	for b.Loop() {
		if n, ok := k.client.Stored(k.tenant); n == 0 || !ok {
			b.Fatal(n, ok)
		}
	}
}
