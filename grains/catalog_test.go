package grains_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
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
	if existed, err := k.client.DeleteCollection(ctx, k.tenant, "now", collection.ChangeOptions{}); existed || err != nil {
		t.Fatal("deleted by its alias", err)
	}
	if _, err := k.client.DeleteCollection(ctx, k.tenant, "a", collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, k.upsert(ctx, "now", point(9)), collection.NotFound)
}

// A narrowed key follows no alias to a collection that it is not for, neither
// to read, to write, to look a point up, nor to change the alias.
func TestAliasesOfNarrowedKeys(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	for _, name := range []string{"mine", "theirs"} {
		k.create(t, name, 2)
		if err := k.upsert(ctx, name, point(1), point(2)); err != nil {
			t.Fatal(err)
		}
	}
	create := func(alias, target string) []collection.AliasAction {
		return []collection.AliasAction{{Kind: collection.AliasCreate, Alias: alias, Target: target}}
	}
	if err := k.client.UpdateAliases(ctx, k.tenant, append(create("mine-too", "theirs"), append(create("other", "mine"), create("mine-also", "mine")...)...)); err != nil {
		t.Fatal(err)
	}
	narrow := k.tenant
	narrow.Scope = &tenant.Scope{Collections: []string{"mine", "mine-too", "mine-also"}}
	refused := func(err error) {
		t.Helper()
		wantCode(t, err, collection.NotFound)
	}
	near := collection.Query{Nearest: &collection.Input{ID: new(collection.NumID(1))}, Limit: 1}
	for _, name := range []string{"mine-too", "theirs", "other"} {
		_, err := k.client.Query(ctx, narrow, name, near)
		refused(err)
		_, err = k.client.Write(ctx, narrow, name, collection.Write{Upsert: []collection.Point{point(3)}}, collection.WriteOptions{Wait: true})
		refused(err)
		from := near
		from.LookupFrom = &collection.LookupFrom{Collection: name}
		_, err = k.client.Query(ctx, narrow, "mine", from)
		refused(err)
		refused(k.client.UpdateCollection(ctx, narrow, name, collection.UpdateCollection{}, collection.ChangeOptions{}))
	}
	refused(k.client.UpdateAliases(ctx, narrow, create("mine-too", "theirs")))
	refused(k.client.UpdateAliases(ctx, narrow, create("mine-too", "mine"))) // it leads elsewhere now
	refused(k.client.UpdateAliases(ctx, narrow, create("third", "mine")))
	refused(k.client.UpdateAliases(ctx, narrow, []collection.AliasAction{{Kind: collection.AliasDelete, Alias: "mine-too"}}))
	over := []collection.AliasAction{{Kind: collection.AliasRename, Alias: "mine-also", Target: "mine-too"}}
	refused(k.client.UpdateAliases(ctx, narrow, over)) // it would be taken from theirs
	if list, err := k.client.ListAliases(ctx, narrow); err != nil || !slices.Equal(list, []collection.Alias{{Name: "mine-also", Collection: "mine"}}) {
		t.Errorf("aliases %v, %v", list, err)
	}
	if _, err := k.client.Query(ctx, narrow, "mine", near); err != nil {
		t.Error(err)
	}
}

// Declared fields are told of with the points that have them, whether the
// collection is active or not; where it is, its payloads are indexed.
func TestDeclaredFields(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	k.create(t, "c", 2)
	points := make([]collection.Point, 1200)
	for i := range points {
		points[i] = point(uint64(i))
		if i%3 == 0 {
			points[i].Payload = collection.Payload{"deep": map[string]any{"er": int64(1)}}
		}
		if i%4 == 0 {
			points[i].Vector = nil
		}
	}
	if err := k.upsert(ctx, "c", points...); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"parity", "deep.er", "none"} {
		if _, err := k.client.PutPayloadIndex(ctx, k.tenant, "c", collection.PayloadIndex{Field: field, Type: "keyword"}); err != nil {
			t.Fatal(err)
		}
	}
	want := []collection.FieldInfo{
		{PayloadIndex: collection.PayloadIndex{Field: "deep.er", Type: "keyword"}, Points: 400},
		{PayloadIndex: collection.PayloadIndex{Field: "none", Type: "keyword"}},
		{PayloadIndex: collection.PayloadIndex{Field: "parity", Type: "keyword"}, Points: 800},
	}
	check := func() {
		t.Helper()
		info, err := k.client.GetCollection(ctx, k.tenant, "c")
		if err != nil || !reflect.DeepEqual(info.Fields, want) {
			t.Fatalf("%+v, %v, want %+v", info.Fields, err, want)
		}
	}
	check()
	if _, err := k.nearest(ctx, "c", 0, 1, nil); err != nil { // activates it
		t.Fatal(err)
	}
	check()
	if _, err := k.client.DeletePayloadIndex(ctx, k.tenant, "c", "none"); err != nil {
		t.Fatal(err)
	}
	want = slices.Delete(want, 1, 2)
	check()
	_, err := k.client.PutPayloadIndex(ctx, k.tenant, "d", collection.PayloadIndex{Field: "x", Type: "keyword"})
	wantCode(t, err, collection.NotFound)
}

// idf counts from the query on that comes after it was asked for.
func TestModifierTakesEffect(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	if err := k.client.CreateCollection(ctx, k.tenant, "c", treeConfig(), collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	for id := range uint64(10) {
		v := collection.SparseVector{Indices: []uint32{1}, Values: []float32{1}}
		if id == 0 {
			v = collection.SparseVector{Indices: []uint32{1, 2}, Values: []float32{1, 1}}
		}
		if err := k.upsert(ctx, "c", collection.Point{ID: collection.NumID(id), Vectors: []collection.NamedVector{{Name: "words", Sparse: &v}}}); err != nil {
			t.Fatal(err)
		}
	}
	score := func() float32 {
		t.Helper()
		hits, err := k.client.Query(ctx, k.tenant, "c", collection.Query{
			Using: "words", Limit: 1, Nearest: &collection.Input{Sparse: &collection.SparseVector{Indices: []uint32{2}, Values: []float32{1}}},
		})
		if err != nil || len(hits) != 1 {
			t.Fatal(hits, err)
		}
		return hits[0].Score
	}
	if s := score(); s != 1 {
		t.Fatal(s)
	}
	patch := func(idf bool) {
		t.Helper()
		if err := k.client.UpdateCollection(ctx, k.tenant, "c", collection.UpdateCollection{Sparse: []collection.VectorPatch{{Name: "words", IDF: &idf}}}, collection.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if patch(true); score() < 1.5 {
		t.Fatal("idf does not count")
	}
	if patch(false); score() != 1 {
		t.Fatal("idf still counts")
	}
}

// A batch of writes of which some name points by a filter sees each the ones
// before it.
func TestBatchInTurn(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	k.create(t, "c", 2)
	odd := &collection.Filter{Must: []collection.Condition{collection.Field{Key: mustPath("parity"), Is: collection.MatchString("odd")}}}
	batch := collection.Write{Batch: []collection.Write{
		{Upsert: []collection.Point{point(1), point(2), point(3), point(4)}},
		{Delete: &collection.Selection{Filter: odd}},
		{Upsert: []collection.Point{point(5)}},
		{SetPayload: &collection.PayloadChange{Selection: collection.Selection{Filter: odd}, Payload: collection.Payload{"parity": "none"}}},
		{Delete: &collection.Selection{IDs: []collection.PointID{collection.NumID(2)}}},
		{Delete: &collection.Selection{Filter: odd}},
	}}
	answer, err := k.client.Write(ctx, k.tenant, "c", batch, collection.WriteOptions{})
	if err != nil || answer.Affected != 4+2+1+1+1 {
		t.Fatal(answer, err)
	}
	if got, err := k.nearest(ctx, "c", 0, 10, nil); got != "[4 5]" || err != nil {
		t.Fatal(got, err)
	}
	_, err = k.client.Write(ctx, k.tenant, "c", batch, collection.WriteOptions{IdempotencyKey: "k"})
	wantCode(t, err, collection.InvalidArgument)
}

// A vector that the collection has not cannot be asked for, whatever reads.
func TestNoSuchVectorInAnAnswer(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	k.create(t, "c", 2)
	if err := k.upsert(ctx, "c", point(1)); err != nil {
		t.Fatal(err)
	}
	wrong := collection.VectorSelector{Names: []string{"", "x"}}
	_, err := k.client.Query(ctx, k.tenant, "c", collection.Query{Limit: 1, WithVector: wrong})
	wantCode(t, err, collection.InvalidArgument)
	_, err = k.client.Query(ctx, k.tenant, "c", collection.Query{Nearest: &collection.Input{ID: new(collection.NumID(1))}, Limit: 1, WithVector: wrong})
	wantCode(t, err, collection.InvalidArgument)
	_, err = k.client.Scroll(ctx, k.tenant, "c", collection.ScrollRequest{Limit: 1, WithVector: wrong})
	wantCode(t, err, collection.InvalidArgument)
	_, err = k.client.Retrieve(ctx, k.tenant, "c", []collection.PointID{collection.NumID(1)}, collection.PayloadSelector{}, wrong)
	wantCode(t, err, collection.InvalidArgument)
}
