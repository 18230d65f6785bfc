package collection

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantText checks the words of an error, which clients compare.
func wantText(t *testing.T, err error, code Code, text string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || e.Message != text {
		t.Fatalf("error %v, want %s: %s", err, code, text)
	}
}

// createNamed makes a collection of alice's with namedConfig.
func (s *memStore) createNamed(t testing.TB, name string) uint64 {
	t.Helper()
	return s.do(t, command(0, CreateCollection{Name: name, Config: namedConfig()})).Collection
}

// final makes a write final for a collection of namedConfig.
func final(t testing.TB, w Write) Op {
	t.Helper()
	op, err := Finalize(Info{Config: namedConfig()}, w, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func (s *memStore) point(t testing.TB, c Config, collection uint64, id PointID) Point {
	t.Helper()
	rec, _, ok, err := GetPoint(s, collection, id)
	if err != nil || !ok {
		t.Fatalf("point %s: %v, %v", id, ok, err)
	}
	return unpack(t, c, rec)
}

func TestUpdateVectorsKeepsTheOthers(t *testing.T) {
	s, config := newMemStore(), namedConfig()
	c := s.createNamed(t, "x")
	words := &SparseVector{Indices: []uint32{9, 2}, Values: []float32{1, 2}}
	s.do(t, command(c, final(t, Write{Upsert: []Point{
		{ID: NumID(1), Vector: []float32{1, 2}, Payload: Payload{"k": "v"}, Vectors: []NamedVector{{Name: "s", Sparse: words}}},
	}})))
	answer := s.do(t, command(c, final(t, Write{UpdateVectors: []Point{
		{ID: NumID(1), Vectors: []NamedVector{{Name: "a", Dense: []float32{0, 3, 4}}}},
		{ID: NumID(1), Vector: []float32{7, 8}},
	}})))
	want := Point{ID: NumID(1), Vector: []float32{7, 8}, Payload: Payload{"k": "v"}, Vectors: []NamedVector{
		{Name: "a", Dense: []float32{0, 0.6, 0.8}}, {Name: "s", Sparse: &SparseVector{Indices: []uint32{2, 9}, Values: []float32{2, 1}}},
	}}
	if diff := cmp.Diff(want, s.point(t, config, c, NumID(1)), samePoint...); diff != "" || answer.Operation != 2 || answer.Affected != 2 {
		t.Fatal(answer, diff)
	}
	// A point that is not there: nothing of the entry takes effect.
	_, err := s.try(t, command(c, final(t, Write{UpdateVectors: []Point{{ID: NumID(1), Vector: []float32{0, 0}}, {ID: NumID(3), Vector: []float32{0, 0}}}})))
	wantText(t, err, NotFound, "No point with id 3 found")
	s.do(t, command(c, final(t, Write{DeleteVectors: &VectorsChange{Selection{IDs: []PointID{NumID(1)}}, []string{"", "s", "b", "s"}}})))
	want.Vector, want.Vectors = nil, want.Vectors[:1]
	if diff := cmp.Diff(want, s.point(t, config, c, NumID(1)), samePoint...); diff != "" {
		t.Fatal(diff)
	}
	_, err = s.try(t, command(c, final(t, Write{DeleteVectors: &VectorsChange{Selection{IDs: []PointID{NumID(1), UUID([16]byte{1})}}, []string{"a"}}})))
	wantText(t, err, NotFound, "No point with id 01000000-0000-0000-0000-000000000000 found")
	// One that a filter selected and that is gone by now is passed over.
	byFilter := command(c, final(t, Write{DeleteVectors: &VectorsChange{Selection{IDs: []PointID{NumID(1), NumID(7)}}, []string{"a"}}}))
	byFilter.Basis = 3
	if a := s.do(t, byFilter); a.Affected != 1 || s.point(t, config, c, NumID(1)).Vectors != nil {
		t.Fatalf("%+v", a)
	}
	// Another tenant's collection is not there.
	other := command(c, final(t, Write{UpdateVectors: []Point{{ID: NumID(1)}}}))
	other.Tenant = bob
	_, err = s.try(t, other)
	wantError(t, err, NotFound, ReasonNone)
}

func TestVectorsCountAgainstTheQuota(t *testing.T) {
	s := newMemStore()
	c := s.createNamed(t, "x")
	s.do(t, command(c, final(t, Write{Upsert: []Point{{ID: NumID(1)}}})))
	grow := command(c, final(t, Write{UpdateVectors: []Point{{ID: NumID(1), Vector: []float32{1, 2}}}}))
	grow.Limits.Bytes = 12 + 8 + 8 - 1
	_, err := s.try(t, grow)
	wantError(t, err, ResourceExhausted, ReasonQuota)
	grow.Limits.Bytes++
	s.do(t, grow)
	if u, _ := Usage(s, alice); u.Bytes != 28 || u.Points != 1 {
		t.Fatalf("%+v", u)
	}
	grow.Limits.Bytes, grow.Op = 0, final(t, Write{DeleteVectors: &VectorsChange{Selection{IDs: []PointID{NumID(1)}}, []string{""}}})
	s.do(t, grow)
	if u, _ := Usage(s, alice); u.Bytes != 12 {
		t.Fatalf("%+v", u)
	}
}

func alias(kind AliasKind, name, target string) AliasAction { return AliasAction{kind, name, target} }

func (s *memStore) alias(t testing.TB, actions ...AliasAction) error {
	t.Helper()
	_, err := s.try(t, command(0, UpdateAliases{Actions: actions}))
	return err
}

func TestAliases(t *testing.T) {
	s := newMemStore()
	x, y := s.create(t, "x"), s.create(t, "y")
	leads := func(name string, want uint64) {
		t.Helper()
		info, ok, err := Resolve(s, alice, name)
		if err != nil || ok != (want != 0) || info.ID != want {
			t.Fatalf("%s leads to %d (%v, %v), want %d", name, info.ID, ok, err, want)
		}
	}
	// A switch is one entry; an alias may be made again, to lead elsewhere.
	for _, step := range [][]AliasAction{
		{alias(AliasCreate, "p", "x"), alias(AliasCreate, "q", "y")},
		{alias(AliasDelete, "p", ""), alias(AliasCreate, "p", "y"), alias(AliasDelete, "gone", "")},
		{alias(AliasCreate, "p", "x"), alias(AliasRename, "q", "r"), alias(AliasRename, "p", "r"), alias(AliasCreate, "q", "y")},
	} {
		if err := s.alias(t, step...); err != nil {
			t.Fatal(err)
		}
	}
	leads("r", x)
	leads("q", y)
	leads("p", 0)
	if _, ok, err := Resolve(s, bob, "r"); ok || err != nil {
		t.Fatal("bob has alice's alias", err)
	}
	for _, k := range []struct {
		actions []AliasAction
		code    Code
		text    string
	}{
		{[]AliasAction{alias(AliasCreate, "n", "z")}, NotFound, "Collection `z` doesn't exist!"},
		{[]AliasAction{alias(AliasCreate, "n", "r")}, NotFound, "Collection `r` doesn't exist!"}, // an alias is none
		{[]AliasAction{alias(AliasCreate, "n", "x"), alias(AliasCreate, "y", "x")}, AlreadyExists, "Collection `y` already exists!"},
		{[]AliasAction{alias(AliasDelete, "r", ""), alias(AliasRename, "r", "s")}, NotFound, "Alias r does not exists!"},
		{[]AliasAction{alias(AliasRename, "r", "y")}, AlreadyExists, "Collection `y` already exists!"},
	} {
		wantText(t, s.alias(t, k.actions...), k.code, k.text) // and nothing changed
	}
	_, err := s.try(t, command(0, CreateCollection{Name: "r", Config: testConfig()}))
	wantText(t, err, InvalidArgument, "Can't create collection with name r. Alias with the same name already exists")
	if a := s.do(t, command(0, DeleteCollection{Name: "r"})); a.Existed {
		t.Fatal("a collection was deleted by its alias")
	}
	// With the collection its aliases go, and no others; the name is free.
	s.do(t, command(0, DeleteCollection{Name: "x"}))
	leads("r", 0)
	leads("q", y)
	leads("r", s.create(t, "r"))
	if list, err := ListAliases(s, alice); err != nil || !slices.Equal(list, []Alias{{"q", "y"}}) {
		t.Fatal(list, err)
	}
	// A tenant that is dropped leaves none.
	for s.do(t, command(0, DropTenant{Max: 1})).Existed {
	}
	if list, err := ListAliases(s, alice); err != nil || len(list) != 0 {
		t.Fatal(list, err)
	}
}

func TestAliasesAreBounded(t *testing.T) {
	s := newMemStore()
	s.create(t, "x")
	many := func(from, n int) (actions []AliasAction) {
		for i := range n {
			actions = append(actions, alias(AliasCreate, strconv.Itoa(from+i), "x"))
		}
		return actions
	}
	if err := s.alias(t, many(0, AliasesMax)...); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.alias(t, many(AliasesMax, 1)...), InvalidArgument, ReasonBadRequest)
	if err := s.alias(t, alias(AliasCreate, "n", "x"), alias(AliasRename, "5", "6")); err != nil {
		t.Fatal("as many as before:", err)
	}
}

func TestSettingsChange(t *testing.T) {
	s := newMemStore()
	on := true
	config := namedConfig()
	config.Extra = map[string]any{
		"hnsw_config": map[string]any{"m": int64(16), "ef_construct": int64(100)}, "quantization_config": map[string]any{"scalar": map[string]any{}},
		"metadata": map[string]any{"a": int64(1), "b": int64(2)}, "shard_number": int64(1),
	}
	config.Vectors[1].Extra = map[string]any{"quantization_config": map[string]any{"binary": map[string]any{}}}
	c := s.do(t, command(0, CreateCollection{Name: "x", Config: config})).Collection
	out := s.apply(encode(t, command(c, UpdateCollection{
		Settings: map[string]any{
			"hnsw_config": map[string]any{"m": int64(32), "ef_construct": nil, "on_disk": true}, "metadata": map[string]any{"a": nil, "c": "d"},
			"quantization_config": map[string]any{"product": map[string]any{}}, "shard_number": nil, "optimizers_config": map[string]any{"deleted_threshold": 0.5},
		},
		Vectors: []VectorPatch{{OnDisk: &on, Settings: map[string]any{"quantization_config": "Disabled", "hnsw_config": map[string]any{"m": int64(0)}}}},
		Sparse:  []VectorPatch{{Name: "s", IDF: &on, Settings: map[string]any{"index": map[string]any{"on_disk": true}}}},
	})))
	if out.Err != nil || len(out.Events) != 1 || out.Events[0].Kind != EventConfig || out.Events[0].Collection != c {
		t.Fatalf("%v, events %+v", out.Err, out.Events)
	}
	want := namedConfig()
	want.Extra = map[string]any{
		"hnsw_config": map[string]any{"m": int64(32), "ef_construct": int64(100), "on_disk": true}, "metadata": map[string]any{"b": int64(2), "c": "d"},
		"quantization_config": map[string]any{"product": map[string]any{}}, "shard_number": int64(1), "optimizers_config": map[string]any{"deleted_threshold": 0.5},
	}
	want.Vectors[1].OnDisk, want.Vectors[1].Extra = &on, map[string]any{"hnsw_config": map[string]any{"m": int64(0)}}
	want.Sparse[0].IDF, want.Sparse[0].Extra = true, map[string]any{"index": map[string]any{"on_disk": true}}
	info, _, err := Resolve(s, alice, "x")
	if diff := cmp.Diff(want, info.Config); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	other := command(c, UpdateCollection{})
	other.Tenant = bob
	_, err = s.try(t, other)
	wantError(t, err, NotFound, ReasonNone)
	_, err = s.try(t, command(c, UpdateCollection{Sparse: []VectorPatch{{Name: "a"}}}))
	wantText(t, err, InvalidArgument, "Sparse vector `a` is not specified in collection config")
	// Each change is within its limits; what they grow to has the same.
	half := strings.Repeat("x", maxExtraBytes/2)
	s.do(t, command(c, UpdateCollection{Settings: map[string]any{"p": half}}))
	_, err = s.try(t, command(c, UpdateCollection{Settings: map[string]any{"q": half}}))
	wantError(t, err, InvalidArgument, ReasonValidation)
}

func TestPayloadIndexesAreDeclared(t *testing.T) {
	s := newMemStore()
	x, y := s.create(t, "x"), s.create(t, "y")
	put := func(c uint64, field string, kind FieldType, params map[string]any) Command {
		return command(c, PutPayloadIndex{PayloadIndex{Field: field, Type: kind, Params: params}})
	}
	first := s.do(t, put(x, "a", "keyword", nil))
	again := s.do(t, put(x, "a", "keyword", nil)) // is well
	if first.Operation != 1 || again.Operation != 2 {
		t.Fatal(first, again)
	}
	params := map[string]any{"type": "integer", "range": true}
	s.do(t, put(x, "a", "integer", params))
	s.do(t, put(x, `"k.k".b[]`, "uuid", nil))
	s.do(t, put(y, "a", "text", nil))
	s.do(t, command(x, DeletePayloadIndex{Field: "nothing"}))
	want := []PayloadIndex{{Field: `"k.k".b[]`, Type: "uuid"}, {Field: "a", Type: "integer", Params: params}}
	if got, err := ListPayloadIndexes(s, x); err != nil || cmp.Diff(want, got) != "" {
		t.Fatal(err, cmp.Diff(want, got))
	}
	s.do(t, command(x, DeletePayloadIndex{Field: "a"}))
	if got, err := ListPayloadIndexes(s, x); err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	other := put(x, "b", "bool", nil)
	other.Tenant = bob
	_, err := s.try(t, other)
	wantError(t, err, NotFound, ReasonNone)
	for i := range PayloadIndexesMax - 1 {
		if out := s.apply(encode(t, put(x, fmt.Sprintf("f%d", i), "bool", nil))); out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	_, err = s.try(t, put(x, "more", "bool", nil))
	wantError(t, err, InvalidArgument, ReasonBadRequest)
	s.do(t, put(x, "f0", "float", nil))
	s.do(t, command(0, DeleteCollection{Name: "x"}))
	if got, err := ListPayloadIndexes(s, x); err != nil || got != nil {
		t.Fatal(got, err)
	}
	if got, err := ListPayloadIndexes(s, y); err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
}

func TestBatchIsAllOrNothing(t *testing.T) {
	s, config := newMemStore(), namedConfig()
	c := s.createNamed(t, "x")
	one := Selection{IDs: []PointID{NumID(1)}}
	out := s.apply(encode(t, command(c, final(t, Write{Batch: []Write{
		{Upsert: []Point{{ID: NumID(1), Vector: []float32{1, 2}}, {ID: NumID(2)}}},
		{SetPayload: &PayloadChange{Selection: one, Payload: Payload{"a": int64(1)}}},
		{UpdateVectors: []Point{{ID: NumID(1), Vectors: []NamedVector{{Name: "b", Dense: []float32{5}}}}}},
		{DeleteVectors: &VectorsChange{one, []string{""}}},
		{Delete: &Selection{IDs: []PointID{NumID(2), NumID(3)}}},
		{Upsert: []Point{{ID: NumID(2), Payload: Payload{"again": true}}}},
	}}))))
	if out.Err != nil || Verify(s) != nil {
		t.Fatal(out.Err, Verify(s))
	}
	if a := out.Answer.(Answer); a.Operation != 6 || a.Affected != 2+1+1+1+1+1 || a.Collection != c {
		t.Fatalf("%+v", a)
	}
	// Events in order, each replacing what the one before left.
	var versions []uint64
	for _, e := range out.Events {
		if e.Kind == EventUpsert {
			versions = append(versions, e.Version)
		}
	}
	if want := []uint64{1 << 16, 1<<16 | 1, 2 << 16, 3 << 16, 4 << 16, 6 << 16}; !slices.Equal(versions, want) || len(out.Events) != 7 {
		t.Fatalf("%d events, versions %x", len(out.Events), versions)
	}
	want := Point{ID: NumID(1), Vectors: []NamedVector{{Name: "b", Dense: []float32{5}}}, Payload: Payload{"a": int64(1)}}
	if diff := cmp.Diff(want, s.point(t, config, c, NumID(1)), samePoint...); diff != "" {
		t.Fatal(diff)
	}
	_, err := s.try(t, command(c, final(t, Write{Batch: []Write{
		{Upsert: []Point{{ID: NumID(9)}}},
		{UpdateVectors: []Point{{ID: NumID(8)}}},
	}})))
	wantText(t, err, NotFound, "No point with id 8 found")
	if a := s.do(t, command(c, Batch{})); a.Operation != 6 || a.Affected != 0 {
		t.Fatalf("%+v", a)
	}
	_, err = s.try(t, command(c+1, Batch{}))
	wantError(t, err, NotFound, ReasonNone)
	// What a batch makes of points counts once, at its end.
	swap := command(c, final(t, Write{Batch: []Write{{Upsert: []Point{{ID: NumID(9)}}}, {Delete: &one}}}))
	swap.Limits.Vectors = 2
	s.do(t, swap)
	swap.Op = final(t, Write{Batch: []Write{{Upsert: []Point{{ID: NumID(10)}}}, {Upsert: []Point{{ID: NumID(11)}}}}})
	_, err = s.try(t, swap)
	wantError(t, err, ResourceExhausted, ReasonQuota)
}

func TestChangesOfVectorsAreBounded(t *testing.T) {
	s := newMemStore()
	c := s.do(t, command(0, CreateCollection{Name: "x", Config: Config{Vectors: []VectorParams{{Size: 1 << 16, Distance: Dot}}, Sparse: []SparseParams{{Name: "s"}}}})).Collection
	raw, err := appendRecord(nil, NumID(1), []vectorValue{{ref: VectorRef{Kind: DenseKind}, dense: make([]float32, 1<<16)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := DecodeRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, command(c, Upsert{Records: []Record{r}}))
	// A short entry may name a large point often.
	many := slices.Repeat([]PointID{NumID(1)}, maxRewriteBytes/len(raw)+1)
	_, err = s.try(t, command(c, DeleteVectors{IDs: many, Vectors: []VectorRef{{SparseKind, 0}}}))
	wantError(t, err, InvalidArgument, ReasonTooLarge)
	batch := Batch{}
	for range 4 {
		batch.Ops = append(batch.Ops, DeleteVectors{IDs: many[:len(many)/4+1], Vectors: []VectorRef{{SparseKind, 0}}})
	}
	_, err = s.try(t, command(c, batch))
	wantError(t, err, InvalidArgument, ReasonTooLarge)
}
