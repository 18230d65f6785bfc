package collection

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func infoOf(size int, d Distance) Info {
	return Info{ID: 1, Name: "c", Config: Config{Vectors: []VectorParams{{Size: size, Distance: d}}}}
}

func TestFinalizeNormalisesForCosineOnly(t *testing.T) {
	given := []float32{3, 0, 4, 0}
	for d, want := range map[Distance][]float32{Cosine: {0.6, 0, 0.8, 0}, Dot: given, Euclid: given, Manhattan: given} {
		op, err := Finalize(infoOf(4, d), Write{Upsert: []Point{{ID: NumID(1), Vector: given}}}, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if got := op.(Upsert).Records[0].Vector(); !slices.Equal(got, want) {
			t.Errorf("%s: stored %v, want %v", d, got, want)
		}
		if got, _, err := infoOf(4, d).Config.Prepare("", Input{Dense: given}); err != nil || !slices.Equal(got.Dense, want) {
			t.Errorf("%s: query %v, %v", d, got, err)
		}
	}
	if !slices.Equal(given, []float32{3, 0, 4, 0}) {
		t.Error("the caller's vector was changed")
	}
}

func TestNormalisedHasUnitLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float32Range(-math.MaxFloat32, math.MaxFloat32), 1, 50).Draw(t, "v")
		var norm float64
		for _, x := range normalised(v) {
			norm += float64(x) * float64(x)
		}
		zero := !slices.ContainsFunc(v, func(x float32) bool { return x != 0 })
		if zero && norm != 0 || !zero && math.Abs(norm-1) > 1e-6 {
			t.Fatalf("length² %v of %v", norm, v)
		}
	})
}

func TestFinalizeRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	filter := &Filter{}
	deep := Payload{}
	for range PayloadDepthMax {
		deep = Payload{"x": map[string]any(deep)}
	}
	one := Selection{IDs: []PointID{NumID(1)}}
	for name, c := range map[string]struct {
		w      Write
		code   Code
		reason Reason
		text   string
	}{
		"dimension":   {Write{Upsert: []Point{{ID: NumID(1), Vector: make([]float32, 3)}}}, InvalidArgument, ReasonNone, "Vector dimension error: expected dim: 4, got 3"},
		"empty":       {Write{Upsert: []Point{{ID: NumID(1), Vector: []float32{}}}}, InvalidArgument, ReasonNone, "Vector dimension error: expected dim: 4, got 0"},
		"NaN":         {Write{Upsert: []Point{{ID: NumID(1), Vector: []float32{0, nan, 0, 0}}}}, InvalidArgument, ReasonValidation, "vector[1]"},
		"Inf":         {Write{Upsert: []Point{{ID: NumID(1), Vector: []float32{0, 0, 0, -inf}}}}, InvalidArgument, ReasonValidation, "vector[3]"},
		"no id":       {Write{Upsert: []Point{{Vector: make([]float32, 4)}}}, InvalidArgument, ReasonValidation, "points[0].id"},
		"deep":        {Write{Upsert: []Point{{ID: NumID(1), Payload: deep}}}, InvalidArgument, ReasonValidation, "nested"},
		"no write":    {Write{}, Internal, ReasonNone, ""},
		"filter":      {Write{Delete: &Selection{Filter: filter}}, Internal, ReasonNone, ""},
		"zero id":     {Write{ClearPayload: &Selection{IDs: []PointID{{}}}}, InvalidArgument, ReasonValidation, "points[0]"},
		"bad path":    {Write{SetPayload: &PayloadChange{Selection: one, Path: "a..b"}}, InvalidArgument, ReasonNone, "a..b"},
		"bad key":     {Write{DeletePayload: &KeysChange{Selection: one, Keys: []string{"a", "["}}}, InvalidArgument, ReasonNone, "["},
		"set deep":    {Write{SetPayload: &PayloadChange{Selection: one, Payload: deep}}, InvalidArgument, ReasonValidation, "nested"},
		"set all":     {Write{SetPayload: &PayloadChange{Selection: Selection{Filter: filter}}}, Internal, ReasonNone, ""},
		"replace all": {Write{OverwritePayload: &PayloadChange{Selection: Selection{Filter: filter}}}, Internal, ReasonNone, ""},
		"delete all":  {Write{DeletePayload: &KeysChange{Selection: Selection{Filter: filter}}}, Internal, ReasonNone, ""},
	} {
		_, err := Finalize(infoOf(4, Cosine), c.w, DefaultLimits())
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code || e.Reason != c.reason || !strings.Contains(e.Message, c.text) {
			t.Errorf("%s: %v (%q)", name, err, ReasonOf(err))
		}
	}
	for _, v := range [][]float32{nil, make([]float32, 3), {nan, 0, 0, 0}} {
		if _, _, err := infoOf(4, Dot).Config.Prepare("", Input{Dense: v}); CodeOf(err) != InvalidArgument {
			t.Errorf("query %v: %v", v, err)
		}
	}
}

func TestFinalizeAtEachLimit(t *testing.T) {
	l := DefaultLimits()
	info := infoOf(1, Dot)
	points := make([]Point, l.BatchPoints+1)
	ids := make([]PointID, l.BatchPoints+1)
	for i := range points {
		ids[i] = NumID(uint64(i))
		points[i] = Point{ID: ids[i], Vector: []float32{1}}
	}
	for n, refused := range map[int]bool{l.BatchPoints: false, l.BatchPoints + 1: true} {
		for _, w := range []Write{
			{Upsert: points[:n]},
			{Delete: &Selection{IDs: ids[:n]}},
			{ClearPayload: &Selection{IDs: ids[:n]}},
			{SetPayload: &PayloadChange{Selection: Selection{IDs: ids[:n]}}},
			{OverwritePayload: &PayloadChange{Selection: Selection{IDs: ids[:n]}}},
			{DeletePayload: &KeysChange{Selection: Selection{IDs: ids[:n]}}},
		} {
			op, err := Finalize(info, w, l)
			if refused {
				wantError(t, err, InvalidArgument, ReasonTooLarge)
			} else if _, decoded := DecodeCommand(encode(t, command(1, op))); err != nil || decoded != nil {
				t.Fatal(err, decoded)
			}
		}
	}
	l.BodyBytes = 3 * 16
	if _, err := Finalize(info, Write{Upsert: points[:3]}, l); err != nil {
		t.Fatal(err)
	}
	_, err := Finalize(info, Write{Upsert: points[:4]}, l)
	wantError(t, err, InvalidArgument, ReasonTooLarge)
}

func TestFinalizeKeepsEveryKindOfWrite(t *testing.T) {
	s := Selection{IDs: []PointID{NumID(1)}}
	change := PayloadChange{Selection: s, Payload: Payload{"a": int64(1)}, Path: "b"}
	for _, c := range []struct {
		w    Write
		want opKind
	}{
		{Write{Upsert: []Point{}}, opUpsert},
		{Write{Upsert: []Point{{ID: NumID(1)}}}, opUpsert}, // a point may lack its vector
		{Write{Delete: &s}, opDeletePoints},
		{Write{SetPayload: &change}, opSetPayload},
		{Write{OverwritePayload: &change}, opOverwritePayload},
		{Write{DeletePayload: &KeysChange{Selection: s, Keys: []string{"a"}}}, opDeletePayload},
		{Write{ClearPayload: &s}, opClearPayload},
	} {
		op, err := Finalize(infoOf(4, Cosine), c.w, DefaultLimits())
		if err != nil || op.kind() != c.want {
			t.Errorf("%T, %v; want kind %d", op, err, c.want)
		}
	}
}

func TestScore(t *testing.T) {
	if zero := Score(Dot, 0); math.Signbit(float64(zero)) {
		t.Error("the score of a right angle is a negative zero")
	}
	for _, c := range []struct {
		d           Distance
		dist, score float32
		passes      float32
		fails       float32
	}{
		{Cosine, -0.5, 0.5, 0.4, 0.5},
		{Dot, 3, -3, -4, -3},
		{Euclid, 9, 3, 4, 3},
		{Manhattan, 9, 9, 10, 9},
		{Manhattan, 0, 0, 1, 0},
	} {
		if got := Score(c.d, c.dist); got != c.score {
			t.Errorf("%s: score %v, want %v", c.d, got, c.score)
		}
		if !c.d.Passes(c.score, c.passes) || c.d.Passes(c.score, c.fails) {
			t.Errorf("%s: threshold", c.d)
		}
	}
}
