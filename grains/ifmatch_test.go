package grains_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// Of changes that all begin from one configuration one takes effect, and the
// others are told; a repeated change under one key takes effect once.
func TestChangesFromOneConfiguration(t *testing.T) {
	k := newKit(t, kitOptions{})
	config := collection.Config{Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}}}
	created := collection.ChangeOptions{IdempotencyKey: "create", RequestHash: [32]byte{1}}
	for range 2 {
		if err := k.client.CreateCollection(t.Context(), k.tenant, "docs", config, created); err != nil {
			t.Fatal(err)
		}
	}
	created.RequestHash[0]++
	wantCode(t, k.client.CreateCollection(t.Context(), k.tenant, "docs", config, created), collection.FailedPrecondition)
	wantCode(t, k.client.CreateCollection(t.Context(), k.tenant, "docs", config, collection.ChangeOptions{}), collection.AlreadyExists)

	tag := func() collection.Tag {
		info, err := k.client.GetCollection(t.Context(), k.tenant, "docs")
		if err != nil {
			t.Fatal(err)
		}
		tag, err := info.Config.Tag(info.ID)
		if err != nil {
			t.Fatal(err)
		}
		return tag
	}
	before := tag()
	var wg sync.WaitGroup
	var done atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			change := collection.UpdateCollection{Settings: map[string]any{"n": int64(i)}}
			err := k.client.UpdateCollection(t.Context(), k.tenant, "docs", change, collection.ChangeOptions{Match: &before})
			if err == nil {
				done.Add(1)
				return
			}
			wantCode(t, err, collection.FailedPrecondition)
		})
	}
	wg.Wait()
	if done.Load() != 1 || tag() == before {
		t.Errorf("%d of the changes took effect; the tag is another one: %t", done.Load(), tag() != before)
	}
	_, err := k.client.DeleteCollection(t.Context(), k.tenant, "docs", collection.ChangeOptions{Match: &before})
	wantCode(t, err, collection.FailedPrecondition)
	now := tag()
	if existed, err := k.client.DeleteCollection(t.Context(), k.tenant, "docs", collection.ChangeOptions{Match: &now}); err != nil || !existed {
		t.Errorf("%t, %v", existed, err)
	}
}
