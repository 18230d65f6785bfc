package grains_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
)

// A write by filter looks, and then writes. What somebody else wrote in
// between, and was told so, is not lost to a filter that it does not pass.
func TestWriteByFilterLeavesWhatWasWrittenMeanwhile(t *testing.T) {
	k := newKit(t, kitOptions{actors: actorstest.Options{}})
	ctx := t.Context()
	k.create(t, "c", 2)
	pathN, err := collection.ParsePath("n")
	if err != nil {
		t.Fatal(err)
	}
	filter := &collection.Filter{Must: []collection.Condition{collection.Field{Key: pathN, Is: collection.MatchInt(1)}}}
	writes := map[string]func() collection.Write{
		"delete": func() collection.Write { return collection.Write{Delete: &collection.Selection{Filter: filter}} },
		"overwrite payload": func() collection.Write {
			return collection.Write{OverwritePayload: &collection.PayloadChange{
				Selection: collection.Selection{Filter: filter}, Payload: collection.Payload{"n": int64(3)},
			}}
		},
	}
	const points, rounds = 2000, 4
	for name, write := range writes {
		for _, key := range []string{"", "key"} {
			t.Run(name+key, func(t *testing.T) {
				for round := range rounds {
					all := make([]collection.Point, points)
					for i := range all {
						all[i] = collection.Point{ID: collection.NumID(uint64(i)), Vector: []float32{1, 0}, Payload: collection.Payload{"n": int64(1)}}
					}
					if err := k.upsert(ctx, "c", all...); err != nil {
						t.Fatal(err)
					}
					var wg sync.WaitGroup
					o := collection.WriteOptions{Wait: true}
					if key != "" {
						o.IdempotencyKey = fmt.Sprint(name, key, round)
					}
					wg.Go(func() {
						if _, err := k.client.Write(ctx, k.tenant, "c", write(), o); err != nil {
							t.Error(err)
						}
					})
					mine := changeSome(ctx, t, k, points, round)
					wg.Wait()
					for _, id := range mine {
						found, err := k.client.Retrieve(ctx, k.tenant, "c", []collection.PointID{id}, collection.PayloadSelector{All: true}, collection.VectorSelector{})
						if err != nil || len(found) != 1 || found[0].Payload["n"] != int64(2) {
							t.Fatalf("round %d: point %s was written and is now %v (%v)", round, id, found, err)
						}
					}
				}
			})
		}
	}
}

// changeSome writes every hundredth point so that it passes no more.
func changeSome(ctx context.Context, t *testing.T, k *kit, points, from int) (mine []collection.PointID) {
	t.Helper()
	for i := from; i < points; i += 100 {
		id := collection.NumID(uint64(i))
		err := k.upsert(ctx, "c", collection.Point{ID: id, Vector: []float32{1, 0}, Payload: collection.Payload{"n": int64(2)}})
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, id)
	}
	return mine
}
