package collection

import (
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hivehub/waggle/tenant"
)

// The model of what came with named vectors: see model.

// modelConfig has vectors that are stored as they are given.
func modelConfig() Config {
	return Config{
		Vectors: []VectorParams{{Name: "a", Size: 1, Distance: Dot}, {Size: 2, Distance: Euclid}},
		Sparse:  []SparseParams{{Name: "s"}},
	}
}

// anyModelPoint draws a point with some vectors, in the order of modelConfig.
func anyModelPoint(t *rapid.T, id PointID) Point {
	p := Point{ID: id}
	has := rapid.IntRange(0, 7).Draw(t, "vectors")
	x := rapid.SampledFrom([]float32{1, 2}).Draw(t, "component")
	if has&1 > 0 {
		p.Vectors = append(p.Vectors, NamedVector{Name: "a", Dense: []float32{x}})
	}
	if has&2 > 0 {
		p.Vector = []float32{x, 5}
	}
	if has&4 > 0 {
		v := SparseVector{Indices: []uint32{3, 7}[:int(x)], Values: []float32{x, 6}[:int(x)]}
		p.Vectors = append(p.Vectors, NamedVector{Name: "s", Sparse: &v})
	}
	return p
}

// modelBytes is how long a point's record is.
func modelBytes(p Point) int {
	n := 4 + 16
	if _, number := p.ID.Num(); number {
		n = 4 + 8
	}
	for _, v := range p.Vectors {
		n += 4 * len(v.Dense)
		if v.Sparse != nil {
			n += 8 * len(v.Sparse.Indices)
		}
	}
	n += 4 * len(p.Vector)
	vectors := len(p.Vectors)
	if p.Vector != nil {
		vectors++
	}
	if vectors > 1 || vectors == 1 && (p.Vector != nil || p.Vectors[0].Name != "a") {
		n += 8 * vectors
	}
	if len(p.Payload) > 0 {
		raw, err := AppendPayload(nil, p.Payload)
		if err != nil {
			panic(err)
		}
		n += len(raw)
	}
	return n
}

func modelRecordOf(p Point) Record {
	c := modelConfig()
	records, err := finalRecords(&c, []Point{p}, DefaultLimits())
	if err != nil {
		panic(err)
	}
	return records[0]
}

func modelPointOf(r Record) Point {
	p := Point{ID: r.ID()}
	p.Vector, p.Vectors = modelConfig().VectorsOf(r, VectorSelector{All: true})
	var err error
	if p.Payload, err = r.Payload(); err != nil {
		panic(err)
	}
	return p
}

func overlaidPoint(old, change Point) Point {
	if change.Vector != nil {
		old.Vector = change.Vector
	}
	var merged []NamedVector
	for _, name := range []string{"a", "s"} {
		for _, list := range [][]NamedVector{change.Vectors, old.Vectors} {
			if i := slices.IndexFunc(list, func(v NamedVector) bool { return v.Name == name }); i >= 0 {
				merged = append(merged, list[i])
				break
			}
		}
	}
	old.Vectors = merged
	return old
}

func lessVectors(p Point, refs []VectorRef) Point {
	var kept []NamedVector
	for _, v := range p.Vectors {
		if ref, _ := modelConfig().Ref(v.Name); !slices.Contains(refs, ref) {
			kept = append(kept, v)
		}
	}
	p.Vectors = kept
	if ref, _ := modelConfig().Ref(""); slices.Contains(refs, ref) {
		p.Vector = nil
	}
	return p
}

// forget takes a collection out of the catalog, and its aliases with it.
func (m *model) forget(id uint64) {
	m.ended(id)
	delete(m.live, id)
	for key, to := range m.aliases {
		if to == id {
			delete(m.aliases, key)
		}
	}
}

func (m *model) alias(t tenant.ID, op UpdateAliases) (Answer, string) {
	put := func(name string, to uint64) string {
		if m.find(t, name) != 0 {
			return "already_exists "
		}
		m.aliases[modelKey{t, name}] = to
		return ""
	}
	for _, a := range op.Actions {
		to, there := m.aliases[modelKey{t, a.Alias}]
		refusal := ""
		switch a.Kind {
		case AliasCreate:
			if to = m.find(t, a.Target); to == 0 {
				return Answer{}, "not_found "
			}
			refusal = put(a.Alias, to)
		case AliasDelete:
			delete(m.aliases, modelKey{t, a.Alias})
		case AliasRename:
			if !there {
				return Answer{}, "not_found "
			}
			delete(m.aliases, modelKey{t, a.Alias})
			refusal = put(a.Target, to)
		}
		if refusal != "" {
			return Answer{}, refusal
		}
	}
	return Answer{Affected: len(op.Actions)}, ""
}

func (mc *modelCollection) batch(c Command, batch Batch) (Answer, string) {
	sum := Answer{Collection: c.Collection, Operation: mc.changes}
	for _, op := range batch.Ops {
		c.Op = op
		one, refusal := mc.change(c)
		if refusal != "" {
			return Answer{}, refusal
		}
		one.Affected += sum.Affected
		one.Moved = append(sum.Moved, one.Moved...)
		sum = one
	}
	return sum, ""
}

func (mc *modelCollection) set(id uint64, op UpdateCollection) (Answer, string) {
	for _, p := range op.Vectors {
		if p.Name != "" && p.Name != "a" {
			return Answer{}, "invalid_argument "
		}
	}
	if x, ok := op.Settings["x"].(map[string]any); ok && x["y"] != nil {
		mc.setting = x["y"]
	}
	return Answer{Collection: id}, ""
}

func (mc *modelCollection) declare(c Command) Answer {
	mc.changes++
	switch op := c.Op.(type) {
	case PutPayloadIndex:
		mc.fields[op.Index.Field] = op.Index
	case DeletePayloadIndex:
		delete(mc.fields, op.Field)
	}
	return Answer{Collection: c.Collection, Operation: mc.changes}
}

// anyNamedOp draws an operation that came with named vectors, other than a batch.
func anyNamedOp(t *rapid.T, kind int, ids func() []PointID) Op {
	switch kind {
	case 9:
		op := UpdateVectors{}
		for _, id := range ids() {
			op.Records = append(op.Records, modelRecordOf(anyModelPoint(t, id)))
		}
		return op
	case 10:
		ref := rapid.SampledFrom([]VectorRef{{DenseKind, 0}, {DenseKind, 1}, {SparseKind, 0}, {SparseKind, 1}})
		return DeleteVectors{IDs: ids(), Vectors: rapid.SliceOfN(ref, 0, 2).Draw(t, "refs")}
	case 11:
		op := UpdateAliases{}
		name := rapid.SampledFrom([]string{"x", "y", "xy", "z"})
		for range rapid.IntRange(0, 3).Draw(t, "actions") {
			op.Actions = append(op.Actions, AliasAction{
				Kind:  rapid.SampledFrom([]AliasKind{AliasCreate, AliasCreate, AliasDelete, AliasRename}).Draw(t, "kind"),
				Alias: name.Draw(t, "alias"), Target: name.Draw(t, "target"),
			})
		}
		return op
	}
	field := rapid.SampledFrom([]string{"f", "g"}).Draw(t, "field")
	switch rapid.IntRange(0, 2).Draw(t, "setting") {
	case 0:
		return PutPayloadIndex{PayloadIndex{Field: field, Type: rapid.SampledFrom(fieldTypes[1:]).Draw(t, "type")}}
	case 1:
		return DeletePayloadIndex{Field: field}
	}
	op := UpdateCollection{Settings: map[string]any{"x": map[string]any{"y": rapid.SampledFrom([]any{nil, int64(1), "z"}).Draw(t, "y")}}}
	if rapid.Bool().Draw(t, "of a vector") {
		op.Vectors = []VectorPatch{{Name: rapid.SampledFrom([]string{"", "a", "s"}).Draw(t, "name"), Settings: map[string]any{"k": "v"}}}
	}
	return op
}

// compareCatalog holds aliases, settings and declared fields against the model.
func compareCatalog(t *rapid.T, s *memStore, m *model) {
	for _, id := range []tenant.ID{"a", "ab"} {
		var want []Alias
		for key, to := range m.aliases {
			if key.tenant == id {
				want = append(want, Alias{key.key, m.live[to].name})
				info, ok, err := Resolve(s, id, key.key)
				if err != nil || !ok || info.ID != to || info.Name != m.live[to].name {
					t.Fatalf("alias %q: %+v, %v, %v", key.key, info, ok, err)
				}
			}
		}
		slices.SortFunc(want, func(a, b Alias) int { return strings.Compare(a.Name, b.Name) })
		got, err := ListAliases(s, id)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("tenant %s: aliases %v, %v, want %v", id, got, err, want)
		}
		for _, name := range []string{"x", "y", "xy", "z"} {
			_, alias := m.aliases[modelKey{id, name}]
			if _, ok, err := Resolve(s, id, name); err != nil || ok != (alias || m.find(id, name) != 0) {
				t.Fatalf("tenant %s: %q resolves: %v, %v", id, name, ok, err)
			}
		}
	}
	for id, mc := range m.live {
		info, _, err := GetCollectionByID(s, mc.tenant, id)
		if err != nil {
			t.Fatal(err)
		}
		set, _ := info.Config.Extra["x"].(map[string]any)
		if set["y"] != mc.setting {
			t.Fatalf("setting %v, want %v", set["y"], mc.setting)
		}
		fields, err := ListPayloadIndexes(s, id)
		if err != nil || len(fields) != len(mc.fields) {
			t.Fatalf("declared %v, %v, want %v", fields, err, mc.fields)
		}
		for _, x := range fields {
			if diff := cmp.Diff(mc.fields[x.Field], x); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}
