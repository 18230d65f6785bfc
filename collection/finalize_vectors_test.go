package collection

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func sparseOf(n int) *SparseVector {
	v := &SparseVector{Indices: make([]uint32, n), Values: make([]float32, n)}
	for i := range v.Indices {
		v.Indices[i] = uint32(n - i)
	}
	return v
}

func TestFinalizeRefusesVectors(t *testing.T) {
	nan := float32(math.NaN())
	one := Selection{IDs: []PointID{NumID(1)}}
	upsert := func(vectors ...NamedVector) Write { return Write{Upsert: []Point{{ID: NumID(1), Vectors: vectors}}} }
	dense := func(name string, v ...float32) NamedVector { return NamedVector{Name: name, Dense: v} }
	sparse := func(name string, indices []uint32, values ...float32) NamedVector {
		return NamedVector{Name: name, Sparse: &SparseVector{Indices: indices, Values: values}}
	}
	for name, k := range map[string]struct {
		w      Write
		reason Reason
		text   string
	}{
		"no such vector":    {upsert(dense("x", 1)), "", "Not existing vector name error: x"},
		"dimension":         {upsert(dense("a", 1)), "", "Vector dimension error: expected dim: 3, got 1"},
		"empty":             {upsert(NamedVector{Name: "b", Dense: []float32{}}), "", "expected dim: 1, got 0"},
		"neither":           {upsert(NamedVector{Name: "b"}), "", "expected dim: 1, got 0"},
		"NaN":               {upsert(dense("a", 1, nan, 1)), ReasonValidation, "vector[1]"},
		"sparse for dense":  {upsert(sparse("a", nil)), "", "Conversion between sparse and regular vectors failed"},
		"dense for sparse":  {upsert(dense("s", 1)), "", "Conversion between sparse and regular vectors failed"},
		"neither sparse":    {upsert(NamedVector{Name: "s"}), "", "Conversion"},
		"lengths":           {upsert(sparse("s", []uint32{1, 2}, 1)), ReasonValidation, "values: must be the same length as indices"},
		"index twice":       {upsert(sparse("s", []uint32{2, 1, 2}, 1, 1, 1)), ReasonValidation, "indices: must be unique"},
		"sparse Inf":        {upsert(sparse("s", []uint32{2}, float32(math.Inf(-1)))), ReasonValidation, "not a finite number"},
		"vector twice":      {upsert(dense("b", 1), dense("b", 1)), ReasonValidation, "twice"},
		"too many":          {upsert(make([]NamedVector, VectorsMax+1)...), ReasonValidation, "65 vectors"},
		"too long":          {upsert(NamedVector{Name: "s", Sparse: sparseOf(SparseMax + 1)}), ReasonValidation, "at most 65535"},
		"update, no vector": {Write{UpdateVectors: []Point{{ID: NumID(1), Vectors: []NamedVector{dense("x", 1)}}}}, "", "Not existing vector name error: x"},
		"update, no id":     {Write{UpdateVectors: []Point{{Vector: []float32{1, 2}}}}, ReasonValidation, "points[0].id"},
		"delete nothing":    {Write{DeleteVectors: &VectorsChange{Selection: one}}, ReasonValidation, "must specify vector names to delete"},
		"delete other":      {Write{DeleteVectors: &VectorsChange{one, []string{"a", "x"}}}, "", "Not existing vector name error: x"},
		"delete of no id":   {Write{DeleteVectors: &VectorsChange{Selection{IDs: []PointID{{}}}, []string{"a"}}}, ReasonValidation, "points[0]"},
		"in a batch":        {Write{Batch: []Write{{Delete: &one}, upsert(dense("x", 1))}}, "", "Not existing vector name error: x"},
	} {
		_, err := Finalize(Info{Config: namedConfig()}, k.w, DefaultLimits())
		var e *Error
		if !errors.As(err, &e) || e.Code != InvalidArgument || e.Reason != k.reason || !strings.Contains(e.Message, k.text) {
			t.Errorf("%s: %v (%q)", name, err, ReasonOf(err))
		}
	}
	for name, w := range map[string]Write{
		"payload":         {UpdateVectors: []Point{{ID: NumID(1), Payload: Payload{}}}},
		"filter":          {DeleteVectors: &VectorsChange{Selection{Filter: &Filter{}}, []string{"a"}}},
		"filter in batch": {Batch: []Write{{Delete: &Selection{Filter: &Filter{}}}}},
		"batch in batch":  {Batch: []Write{{Batch: []Write{}}}},
	} {
		_, err := Finalize(Info{Config: namedConfig()}, w, DefaultLimits())
		if CodeOf(err) != Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The default vector, where there is none.
	_, err := Finalize(Info{}, Write{Upsert: []Point{{ID: NumID(1), Vector: []float32{1}}}}, DefaultLimits())
	wantText(t, err, InvalidArgument, "Not existing vector name error: ")
	if _, err := Finalize(Info{}, Write{Upsert: []Point{{ID: NumID(1)}}}, DefaultLimits()); err != nil {
		t.Fatal(err)
	}
}

func TestFinalizeVectorsAtEachLimit(t *testing.T) {
	info, l := Info{Config: namedConfig()}, DefaultLimits()
	points, ids := make([]Point, l.BatchPoints+1), make([]PointID, l.BatchPoints+1)
	for i := range points {
		ids[i] = NumID(uint64(i))
		points[i] = Point{ID: ids[i], Vectors: []NamedVector{{Name: "b", Dense: []float32{1}}}}
	}
	for n, refused := range map[int]bool{l.BatchPoints: false, l.BatchPoints + 1: true} {
		for _, w := range []Write{
			{UpdateVectors: points[:n]},
			{DeleteVectors: &VectorsChange{Selection{IDs: ids[:n]}, []string{"s", "s"}}},
			{Batch: []Write{{Upsert: points[:n-1]}, {Delete: &Selection{IDs: ids[:1]}}}},
			{Batch: []Write{{UpdateVectors: points[:1]}, {ClearPayload: &Selection{IDs: ids[:n-1]}}}},
		} {
			op, err := Finalize(info, w, l)
			if refused {
				wantError(t, err, InvalidArgument, ReasonTooLarge)
			} else if _, decoded := DecodeCommand(encode(t, command(1, op))); err != nil || decoded != nil {
				t.Fatal(err, decoded)
			}
		}
	}
	for n, refused := range map[int]bool{BatchOpsMax: false, BatchOpsMax + 1: true} {
		_, err := Finalize(info, Write{Batch: slices.Repeat([]Write{{Delete: &Selection{}}}, n)}, l)
		if (err != nil) != refused {
			t.Fatalf("%d operations: %v", n, err)
		}
	}
	l.BodyBytes = 3 * (12 + 8 + 4)
	for n, refused := range map[int]bool{3: false, 4: true} {
		for _, w := range []Write{{Upsert: points[:n]}, {Batch: []Write{{Upsert: points[:2]}, {UpdateVectors: points[2:n]}}}} {
			if _, err := Finalize(info, w, l); (err != nil) != refused {
				t.Fatalf("%d points: %v", n, err)
			}
		}
	}
	if _, err := Finalize(info, Write{Upsert: []Point{{ID: NumID(1), Vectors: []NamedVector{{Name: "s", Sparse: sparseOf(SparseMax)}}}}}, DefaultLimits()); err != nil {
		t.Fatal(err)
	}
}

func TestFinalizeLeavesWhatItIsGiven(t *testing.T) {
	v := SparseVector{Indices: []uint32{5, 1}, Values: []float32{1, 2}}
	a := []float32{3, 0, 4}
	op, err := Finalize(Info{Config: namedConfig()}, Write{Upsert: []Point{{ID: NumID(1), Vectors: []NamedVector{{Name: "s", Sparse: &v}, {Name: "a", Dense: a}}}}}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(v.Indices, []uint32{5, 1}) || !slices.Equal(v.Values, []float32{1, 2}) || !slices.Equal(a, []float32{3, 0, 4}) {
		t.Error("the caller's vectors were changed")
	}
	r := op.(Upsert).Records[0]
	if got, _ := r.Sparse(VectorRef{Kind: SparseKind}); !slices.Equal(got.Indices, []uint32{1, 5}) || !slices.Equal(got.Values, []float32{2, 1}) {
		t.Errorf("stored %v", got)
	}
	if !slices.Equal(r.Vector(), []float32{0.6, 0, 0.8}) {
		t.Errorf("stored %v", r.Vector())
	}
}

// What a search compares with; the words are Qdrant's.
func TestPrepare(t *testing.T) {
	c, id := namedConfig(), NumID(1)
	in, ref, err := c.Prepare("a", Input{Dense: []float32{0, 3, 4}})
	if err != nil || ref != (VectorRef{DenseKind, 0}) || !slices.Equal(in.Dense, []float32{0, 0.6, 0.8}) || c.Distance(ref) != Cosine {
		t.Fatal(in, ref, err)
	}
	in, ref, err = c.Prepare("t", Input{Sparse: &SparseVector{Indices: []uint32{2, 1}, Values: []float32{1, 2}}})
	if err != nil || ref != (VectorRef{SparseKind, 1}) || !slices.Equal(in.Sparse.Indices, []uint32{1, 2}) || c.Distance(ref) != Dot {
		t.Fatal(in, ref, err)
	}
	if in, ref, err = c.Prepare("b", Input{ID: &id}); err != nil || ref != (VectorRef{DenseKind, 2}) || in.ID != &id {
		t.Fatal(in, ref, err)
	}
	if _, _, err = c.Prepare("s", Input{Sparse: sparseOf(SparseQueryMax)}); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Prepare("s", Input{Sparse: sparseOf(SparseQueryMax + 1)})
	wantError(t, err, InvalidArgument, ReasonValidation)
	_, _, err = c.Prepare("", Input{Sparse: sparseOf(1)})
	wantText(t, err, InvalidArgument, "Conversion between sparse and regular vectors failed")
	_, _, err = c.Prepare("z", Input{ID: &id})
	wantText(t, err, InvalidArgument, "Vector with name `z` is not configured in this collection, available names: a, , b, s, t")
	_, _, err = testConfig().Prepare("z", Input{ID: &id})
	wantText(t, err, InvalidArgument, "Vector with name z is not configured in this collection")
	_, _, err = Config{}.Prepare("", Input{ID: &id})
	wantText(t, err, InvalidArgument, "Vectors are not configured in this collection")
	_, _, err = Config{Vectors: []VectorParams{{Name: "v"}}, Sparse: []SparseParams{{Name: "w"}}}.Prepare("", Input{ID: &id})
	wantText(t, err, InvalidArgument, "Collection requires specified vector name in the request, available names: v, w")
}
