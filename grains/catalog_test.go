package grains_test

import (
	"slices"
	"testing"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
)

// What an alias leads to is what is read and written by it, from the entry on
// that switched it; no other tenant has it.
func TestAliasesAreFollowed(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	k.create(t, "a", 2)
	k.create(t, "b", 2)
	for i, target := range []string{"a", "b", "a"} {
		err := k.client.UpdateAliases(ctx, k.tenant, []collection.AliasAction{{Kind: collection.AliasCreate, Alias: "now", Target: target}})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.upsert(ctx, "now", point(uint64(i))); err != nil {
			t.Fatal(err)
		}
		info, err := k.client.GetCollection(ctx, k.tenant, "now")
		if err != nil || info.Name != target {
			t.Fatalf("leads to %q, %v, want %q", info.Name, err, target)
		}
	}
	for name, want := range map[string]string{"a": "[0 2]", "b": "[1]", "now": "[0 2]"} {
		if got, err := k.nearest(ctx, name, 0, 10, nil); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
	list, err := k.client.ListAliases(ctx, k.tenant)
	if err != nil || !slices.Equal(list, []collection.Alias{{Name: "now", Collection: "a"}}) {
		t.Fatal(list, err)
	}
	stranger := actorstest.Tenant("other")
	_, err = k.client.GetCollection(ctx, stranger, "now")
	wantCode(t, err, collection.NotFound)
	if existed, err := k.client.DeleteCollection(ctx, k.tenant, "now"); existed || err != nil {
		t.Fatal("deleted by its alias", err)
	}
	if _, err := k.client.DeleteCollection(ctx, k.tenant, "a"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, k.upsert(ctx, "now", point(9)), collection.NotFound)
}
