package collection

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// namedConfig has vectors of every kind, the default one not first.
func namedConfig() Config {
	return Config{
		Vectors: []VectorParams{{Name: "a", Size: 3, Distance: Cosine}, {Size: 2, Distance: Dot}, {Name: "b", Size: 1, Distance: Euclid}},
		Sparse:  []SparseParams{{Name: "s"}, {Name: "t", IDF: true}},
	}
}

// anyNamed draws a point of namedConfig, with each vector or without.
func anyNamed(t *rapid.T, id PointID) Point {
	p := Point{ID: id}
	dense := func(name string, n int) {
		if rapid.Bool().Draw(t, "has "+name) {
			v := rapid.SliceOfN(rapid.Float32Range(-9, 9), n, n).Draw(t, name)
			if name == "" {
				p.Vector = v
				return
			}
			p.Vectors = append(p.Vectors, NamedVector{Name: name, Dense: v})
		}
	}
	dense("a", 3)
	dense("", 2)
	dense("b", 1)
	for _, name := range []string{"s", "t"} {
		if rapid.Bool().Draw(t, "has "+name) {
			v := SparseVector{Indices: rapid.SliceOfNDistinct(rapid.Uint32(), 0, 5, rapid.ID).Draw(t, name)}
			for range v.Indices {
				v.Values = append(v.Values, rapid.Float32Range(-9, 9).Draw(t, "value"))
			}
			p.Vectors = append(p.Vectors, NamedVector{Name: name, Sparse: &v})
		}
	}
	if rapid.Bool().Draw(t, "payload") {
		p.Payload = Payload{"s": rapid.String().Draw(t, "text")}
	}
	return p
}

// asStored is a point as it should come back: vectors in their order, prepared.
func asStored(p Point, c Config) Point {
	p.Vectors = slices.Clone(p.Vectors)
	for i, v := range p.Vectors {
		switch {
		case v.Sparse != nil:
			s := sorted(*v.Sparse)
			p.Vectors[i].Sparse = &s
		default:
			ref, _ := c.Ref(v.Name)
			if c.Distance(ref) == Cosine {
				p.Vectors[i].Dense = normalised(v.Dense)
			}
		}
	}
	if len(p.Vectors) == 0 {
		p.Vectors = nil
	}
	return p
}

var samePoint = []cmp.Option{
	cmp.Comparer(func(a, b PointID) bool { return a == b }),
	cmp.Transformer("components", func(v SparseVector) map[uint32]float32 { // nil and empty are the same
		m := map[uint32]float32{}
		for i, index := range v.Indices {
			m[index] = v.Values[i]
		}
		return m
	}),
}

// unpack reads everything of a record.
func unpack(t interface{ Fatal(...any) }, c Config, r Record) Point {
	p := Point{ID: r.ID()}
	p.Vector, p.Vectors = c.VectorsOf(r, VectorSelector{All: true})
	var err error
	if p.Payload, err = r.Payload(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNamedVectorsComeBack(t *testing.T) {
	c := namedConfig()
	rapid.Check(t, func(t *rapid.T) {
		given := anyNamed(t, anyID().Draw(t, "id"))
		given.Vectors = rapid.Permutation(given.Vectors).Draw(t, "order")
		records, err := finalRecords(&c, []Point{given}, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		raw := records[0].Bytes()
		want := asStored(given, c)
		slices.SortFunc(want.Vectors, func(a, b NamedVector) int {
			x, _ := c.Ref(a.Name)
			y, _ := c.Ref(b.Name)
			return x.compare(y)
		})
		for offset := range 4 { // read in place, or copied
			r, err := DecodeRecord(append(make([]byte, offset, offset+len(raw)), raw...)[offset:])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, unpack(t, c, r), samePoint...); diff != "" {
				t.Fatalf("offset %d: %s", offset, diff)
			}
			var has VectorSet
			for _, v := range want.Vectors {
				has |= c.Bit(v.Name)
			}
			if want.Vector != nil {
				has |= c.Bit("")
			}
			if c.Has(r) != has {
				t.Fatalf("has %b, want %b", c.Has(r), has)
			}
			checkParts(t, c, r, want)
		}
		// Version 1 is for the first dense vector alone, and for none.
		first := slices.ContainsFunc(want.Vectors, func(v NamedVector) bool { return v.Name == "a" })
		others := len(want.Vectors) > 0 && !first || len(want.Vectors) > 1 || want.Vector != nil
		if old := raw[0] == recordVersion; old == others {
			t.Fatalf("version %d of a point with %d vectors", raw[0], len(want.Vectors))
		}
	})
}

// checkParts reads each vector of a record alone.
func checkParts(t *rapid.T, c Config, r Record, want Point) {
	named := want.Vectors
	if want.Vector != nil {
		named = append(slices.Clone(named), NamedVector{Dense: want.Vector})
	}
	for _, v := range named {
		ref, _ := c.Ref(v.Name)
		if v.Sparse == nil {
			if !slices.Equal(r.Dense(ref), v.Dense) {
				t.Fatalf("%q: %v, want %v", v.Name, r.Dense(ref), v.Dense)
			}
			if _, ok := r.Sparse(ref); ok {
				t.Fatalf("%q is sparse, too", v.Name)
			}
			if ref.first() && (!slices.Equal(r.Vector(), v.Dense) || r.Dimension() != len(v.Dense)) {
				t.Fatalf("the first vector is %v", r.Vector())
			}
			continue
		}
		got, ok := r.Sparse(ref)
		if !ok || !slices.Equal(got.Indices, v.Sparse.Indices) || !slices.Equal(got.Values, v.Sparse.Values) || r.Dense(ref) != nil {
			t.Fatalf("%q: %v, %v, want %v", v.Name, got, ok, v.Sparse)
		}
	}
	if _, ok := r.Sparse(VectorRef{Kind: SparseKind, Number: 9}); ok || r.Dense(VectorRef{Kind: DenseKind, Number: 9}) != nil {
		t.Fatal("a vector that the point has not")
	}
}

// What is stored must stay readable: these bytes are written in stores.
func TestRecordsAreWrittenAsEver(t *testing.T) {
	c := namedConfig()
	id := UUID([16]byte{0xf4, 15: 0x79})
	for name, k := range map[string]struct {
		point  Point
		config Config
		want   string
	}{
		"number": {
			Point{ID: NumID(258), Vector: []float32{1, -0.5}, Payload: Payload{"a": int64(1)}},
			testConfig(),
			"01 01 0200 0000000000000102 0000803f 000000bf 81a16101",
		},
		"uuid":    {Point{ID: id, Vector: []float32{2}}, infoOf(1, Dot).Config, "01 02 0100 f4000000000000000000000000000079 00000040"},
		"nothing": {Point{ID: NumID(1)}, testConfig(), "01 01 0000 0000000000000001"},
		"first":   {Point{ID: NumID(1), Vectors: []NamedVector{{Name: "a", Dense: []float32{0, 2, 0}}}}, c, "01 01 0300 0000000000000001 00000000 0000803f 00000000"},
		"named": {
			Point{ID: NumID(1), Vector: []float32{1, 2}, Payload: Payload{"a": true}, Vectors: []NamedVector{
				{Name: "t", Sparse: &SparseVector{Indices: []uint32{7, 3}, Values: []float32{1, 2}}}, {Name: "s", Sparse: &SparseVector{}},
			}},
			c,
			"02 01 0300 0000000000000001 " + "0100 01 00 02000000 " + "0000 02 00 00000000 " + "0100 02 00 02000000 " +
				"0000803f 00000040 " + "03000000 07000000 00000040 0000803f " + "81a161c3",
		},
	} {
		records, err := finalRecords(&k.config, []Point{k.point}, DefaultLimits())
		if err != nil {
			t.Fatal(name, err)
		}
		want, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(k.want), []byte(" "), nil)))
		if err != nil || !bytes.Equal(records[0].Bytes(), want) {
			t.Errorf("%s: %x, want %s %v", name, records[0].Bytes(), k.want, err)
		}
	}
}

// Merging and removing on bytes is the same as on points.
func TestVectorsChangeInRecords(t *testing.T) {
	c := namedConfig()
	rapid.Check(t, func(t *rapid.T) {
		final := func(p Point) Record {
			records, err := finalRecords(&c, []Point{p}, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			return records[0]
		}
		old, change := anyNamed(t, NumID(1)), anyNamed(t, NumID(1))
		change.Payload = nil
		byName := map[string]NamedVector{}
		for _, p := range []Point{old, change} {
			if p.Vector != nil {
				byName[""] = NamedVector{Dense: p.Vector}
			}
			for _, v := range p.Vectors {
				byName[v.Name] = v
			}
		}
		whole := func() Point {
			p := Point{ID: NumID(1), Payload: old.Payload}
			for name, v := range byName {
				if name == "" {
					p.Vector = v.Dense
					continue
				}
				p.Vectors = append(p.Vectors, v)
			}
			return p
		}
		merged, err := final(old).withVectors(final(change))
		if want := final(whole()); err != nil || !bytes.Equal(merged.Bytes(), want.Bytes()) {
			t.Fatalf("%v: merged %x, want %x", err, merged.Bytes(), want.Bytes())
		}
		var refs []VectorRef
		had := false
		for _, name := range rapid.SliceOf(rapid.SampledFrom([]string{"a", "", "b", "s", "t"})).Draw(t, "removed") {
			ref, _ := c.Ref(name)
			refs = append(refs, ref)
			_, there := byName[name]
			had = had || there
			delete(byName, name)
		}
		less, changed, err := merged.withoutVectors(refs)
		if want := final(whole()); err != nil || changed != had || !bytes.Equal(less.Bytes(), want.Bytes()) {
			t.Fatalf("%v, %v: left %x, want %x", err, changed, less.Bytes(), want.Bytes())
		}
		if again, err := DecodeRecord(less.Bytes()); err != nil || cmp.Diff(again, less, cmp.AllowUnexported(Record{}, PointID{})) != "" {
			t.Fatalf("%v: a changed record is decoded otherwise", err)
		}
	})
}

func TestNamedRecordRefusesWhatIsMalformed(t *testing.T) {
	c := namedConfig()
	records, err := finalRecords(&c, []Point{{ID: NumID(1), Vector: []float32{1, 2}, Vectors: []NamedVector{
		{Name: "b", Dense: []float32{1}}, {Name: "s", Sparse: &SparseVector{Indices: []uint32{1}, Values: []float32{1}}},
	}}}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	raw := records[0].Bytes()
	for n := range raw {
		if _, err := DecodeRecord(raw[:n]); CodeOf(err) != DataLoss {
			t.Fatalf("the first %d of %d bytes: %v", n, len(raw), err)
		}
	}
	table := 12
	for what, change := range map[string]func(b []byte){
		"no kind":         func(b []byte) { b[table+2] = 0 },
		"unknown kind":    func(b []byte) { b[table+2] = 4 },
		"order":           func(b []byte) { b[table] = 2 },
		"twice":           func(b []byte) { copy(b[table+8:], b[table:table+8]) },
		"no components":   func(b []byte) { clear(b[table+4 : table+8]) },
		"length":          func(b []byte) { b[table+7] = 0xff },
		"length negative": func(b []byte) { copy(b[table+4:], []byte{0xff, 0xff, 0xff, 0xff}) },
		"many":            func(b []byte) { b[2], b[3] = 0xff, 0xff },
	} {
		bad := bytes.Clone(raw)
		change(bad)
		if _, err := DecodeRecord(bad); CodeOf(err) != DataLoss {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzNamedRecord(f *testing.F) {
	c := namedConfig()
	records, err := finalRecords(&c, []Point{
		{ID: NumID(1), Vector: []float32{1, 2}, Payload: Payload{"a": "b"}},
		{ID: UUID([16]byte{1}), Vectors: []NamedVector{{Name: "a", Dense: []float32{1, 2, 3}}, {Name: "s", Sparse: &SparseVector{Indices: []uint32{1, 9}, Values: []float32{1, 2}}}}},
		{ID: NumID(1), Vectors: []NamedVector{{Name: "t", Sparse: &SparseVector{}}}},
	}, DefaultLimits())
	if err != nil {
		f.Fatal(err)
	}
	texts := textConfig()
	more, err := finalRecords(&texts, []Point{{ID: NumID(1), Payload: Payload{"text": "one two two", "title": ""}, Vector: []float32{1, 2}}}, DefaultLimits())
	if err != nil {
		f.Fatal(err)
	}
	records = append(records, more...)
	for _, r := range records {
		for _, other := range records {
			f.Add(r.Bytes(), other.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		r, err := DecodeRecord(a)
		if err != nil {
			if CodeOf(err) != DataLoss {
				t.Fatal(err)
			}
			return
		}
		_, _ = c.VectorsOf(r, VectorSelector{All: true})
		_ = c.Has(r)
		for _, p := range r.parts() {
			if p.ref.Kind == TextKind {
				got, ok := r.Text(p.ref, TextTerms{})
				if raw := appendText(nil, &got); !ok || !bytes.Equal(raw, p.bytes) {
					t.Fatalf("%x: text %x, %x", a, p.bytes, raw)
				}
			}
		}
		same, err := encodeParts(r.id, r.parts(), r.PayloadBytes())
		if err != nil || len(same.parts()) != len(r.parts()) || !bytes.Equal(same.PayloadBytes(), r.PayloadBytes()) {
			t.Fatalf("%x became %x, %v", a, same.Bytes(), err)
		}
		other, err := DecodeRecord(b)
		if err != nil {
			return
		}
		merged, err := r.withVectors(other)
		if err != nil {
			return
		}
		for _, p := range other.parts() {
			if got, ok := merged.find(p.ref); !ok || !bytes.Equal(got.bytes, p.bytes) {
				t.Fatalf("%x and %x: %v is lost", a, b, p.ref)
			}
		}
		var refs []VectorRef
		for _, p := range merged.parts() {
			refs = append(refs, p.ref)
		}
		if bare, _, err := merged.withoutVectors(refs); err != nil || len(bare.parts()) != 0 || bare.id != r.id {
			t.Fatalf("%x without vectors is %x, %v", a, bare.Bytes(), err)
		}
	})
}

func TestNamedRecordLimits(t *testing.T) {
	if _, err := DecodeRecord(make([]byte, 0)); CodeOf(err) != DataLoss {
		t.Fatal(err)
	}
	// A first dense vector that version 1 cannot say has version 2.
	values := []vectorValue{{ref: VectorRef{Kind: DenseKind}, dense: make([]float32, math.MaxUint16+1)}}
	raw, err := appendRecord(nil, NumID(1), values, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := DecodeRecord(raw); err != nil || r.raw[0] != recordVersion2 || r.Dimension() != math.MaxUint16+1 {
		t.Fatalf("version %d, %v", raw[0], err)
	}
	big := part{VectorRef{Kind: DenseKind}, make([]byte, maxRecordBytes)}
	_, err = encodeParts(NumID(1), []part{big}, nil)
	wantError(t, err, InvalidArgument, ReasonTooLarge)
}
