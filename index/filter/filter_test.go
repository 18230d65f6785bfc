package filter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// all is the bitmap of the slots below n.
func all(n int) []uint64 {
	b := make([]uint64, (n+63)/64)
	for i := range n {
		b[i/64] |= 1 << (i % 64)
	}
	return b
}

func rowOf(fields map[string]Value) *Row {
	r := &Row{}
	for name, v := range fields {
		r.Field(name, Single)
		r.Value(v)
	}
	return r
}

func text(s string) Value { return Value{Kind: String, Text: s} }

// wantAnswer compares an answer: the slots that pass for sure, and those in
// doubt.
func wantAnswer(t *testing.T, x *Index, e Expr, among []uint64, sure, doubt []uint32) {
	t.Helper()
	a := x.Evaluate(e, among)
	least, most := a.Counts()
	if least != len(sure) || most != len(sure)+len(doubt) {
		t.Errorf("%#v: %d to %d slots, want %d to %d", e, least, most, len(sure), len(sure)+len(doubt))
	}
	if a.Doubt == nil {
		a.Doubt = make([]uint64, len(among))
	}
	for i := range a.Maybe {
		a.Maybe[i] &^= a.Doubt[i]
	}
	if got := slotsOf(a.Maybe); !slices.Equal(got, sure) {
		t.Errorf("%#v: sure of %v, want %v", e, got, sure)
	}
	if got := slotsOf(a.Doubt); !slices.Equal(got, doubt) {
		t.Errorf("%#v: in doubt of %v, want %v", e, got, doubt)
	}
}

func TestFieldsPastTheBound(t *testing.T) {
	x := New(Options{FieldsMax: 2})
	x.Add(0, 1, rowOf(map[string]Value{"a": text("x")}))
	x.Add(1, 2, rowOf(map[string]Value{"b": text("x")}))
	among := all(2)
	wantAnswer(t, x, Match{Field: "c", Texts: []string{"x"}}, among, nil, nil) // nobody has it
	x.Remove(0, 1, rowOf(map[string]Value{"a": text("x")}))
	x.Add(0, 1, rowOf(map[string]Value{"c": text("x")})) // there is room again
	wantAnswer(t, x, Match{Field: "c", Texts: []string{"x"}}, among, []uint32{0}, nil)
	x.Remove(1, 2, rowOf(map[string]Value{"b": text("x")}))
	x.Add(1, 2, rowOf(map[string]Value{"b": text("y"), strings.Repeat("n", nameMax+1): text("x")}))
	wantAnswer(t, x, Match{Field: "a", Texts: []string{"x"}}, among, nil, []uint32{0, 1}) // a field was refused
	wantAnswer(t, x, Match{Field: "b", Texts: []string{"x"}}, among, nil, nil)
	wantAnswer(t, x, &Group{Not: []Expr{Match{Field: "b", Texts: []string{"y"}}}}, among, []uint32{0}, nil)
}

func TestMemoryPastTheBound(t *testing.T) {
	const most = 1 << 20
	x := New(Options{BytesMax: most})
	n := 0
	for ; n < 100_000; n++ {
		x.Add(uint32(n), uint64(n), rowOf(map[string]Value{"id": text(fmt.Sprint("number ", n)), "half": text([]string{"a", "b"}[n%2])}))
		if got := x.Bytes(); got > most && n < 20_000 {
			t.Fatalf("%d bytes after %d, the most is %d", got, n+1, most)
		}
		if x.fields["id"].dropped {
			break
		}
	}
	among := all(n)
	if least, most := x.Evaluate(Match{Field: "half", Texts: []string{"a"}}, among).Counts(); least != most || least != (n+1)/2 {
		t.Errorf("the small field: %d to %d of %d slots", least, most, n)
	}
	if least, most := x.Evaluate(Match{Field: "id", Texts: []string{"number 7"}}, among).Counts(); least != 0 || most != n {
		t.Errorf("the field that was given up: %d to %d slots, want 0 to %d", least, most, n)
	}
	x.Remove(7, 7, rowOf(map[string]Value{"id": text("number 7"), "half": text("b")}))
	if _, most := x.Evaluate(Match{Field: "half", Texts: []string{"b"}}, among).Counts(); most != n/2-1 {
		t.Errorf("%d slots after one was removed, want %d", most, n/2-1)
	}
}

func TestLongTexts(t *testing.T) {
	x := New(Options{TextMax: 4})
	for slot, s := range []string{"abcd", "abcde", "bc", "xyz12"} {
		x.Add(uint32(slot), 0, rowOf(map[string]Value{"f": text(s)}))
	}
	among := all(4)
	wantAnswer(t, x, Match{Field: "f", Texts: []string{"abcd"}}, among, []uint32{0}, nil)
	wantAnswer(t, x, Match{Field: "f", Texts: []string{"abcde", "bc"}}, among, []uint32{2}, []uint32{1, 3})
	wantAnswer(t, x, Match{Field: "f", Texts: []string{"abcde"}, Except: true}, among, []uint32{0, 2}, []uint32{1, 3})
	wantAnswer(t, x, Match{Field: "f", Texts: []string{"bc"}, Except: true}, among, []uint32{0, 1, 3}, nil)
	wantAnswer(t, x, Text{Field: "f", Part: "bc"}, among, []uint32{0, 2}, []uint32{1, 3})
	wantAnswer(t, x, &Group{Not: []Expr{Text{Field: "f", Part: "bc"}}}, among, nil, []uint32{1, 3})
	ids := IDs{[]uint64{0}} // which all of them may be
	wantAnswer(t, x, &Group{Should: []Expr{Text{Field: "f", Part: "bc"}, ids}}, among, []uint32{0, 2}, []uint32{1, 3})
	wantAnswer(t, x, &Group{Should: []Expr{ids, Text{Field: "f", Part: "bc"}}}, among, []uint32{0, 2}, []uint32{1, 3})
}

// Counting says for sure what is sure, and doubts the rest.
func TestAtLeast(t *testing.T) {
	const slots, conditions = 256, 9
	r := rand.New(rand.NewPCG(4, 5))
	for range 200 {
		x := New(Options{})
		list := make([]Expr, conditions)
		least, most := make([]int, slots), make([]int, slots)
		for c := range list {
			name := fmt.Sprint(c)
			if r.IntN(4) == 0 {
				list[c] = Ask{}
				for slot := range most {
					most[slot]++
				}
				continue
			}
			for slot := range slots {
				if r.IntN(2) == 0 {
					x.Add(uint32(slot), 0, rowOf(map[string]Value{name: text("x")}))
					least[slot]++
					most[slot]++
				}
			}
			list[c] = Match{Field: name, Texts: []string{"x"}}
		}
		count := r.IntN(conditions + 2)
		var sure, doubt []uint32
		for slot := range uint32(slots) {
			switch {
			case least[slot] >= count:
				sure = append(sure, slot)
			case most[slot] >= count:
				doubt = append(doubt, slot)
			}
		}
		wantAnswer(t, x, &Group{Min: list, MinCount: uint64(count)}, all(slots), sure, doubt)
	}
}

// Of conjuncts the one that most likely lets few pass is read first, and what
// it leaves is asked when that is cheaper than to read another.
func TestFewAreAsked(t *testing.T) {
	const slots = 64_000
	x := New(Options{})
	for slot := range uint32(slots) {
		x.Add(slot, uint64(slot), rowOf(map[string]Value{"n": {Kind: Int, Bits: uint64(slot)}, "s": text([]string{"a", "b"}[slot%2])}))
	}
	between := func(from, to float64) Expr {
		return Range{"n", func(v float64) bool { return v < from }, func(v float64) bool { return v > to }}
	}
	wide := between(0, slots)
	one := Match{Field: "n", Ints: []int64{5}}
	wantAnswer(t, x, &Group{Must: []Expr{wide, one}}, all(slots), nil, []uint32{5})
	wantAnswer(t, x, &Group{Must: []Expr{one}}, all(slots), []uint32{5}, nil)
	wantAnswer(t, x, &Group{Must: []Expr{IDs{[]uint64{3, 9}}, wide}, Should: []Expr{one, wide}}, all(slots), nil, []uint32{3, 9})
	if least, most := x.Evaluate(&Group{Must: []Expr{between(10, 40_009), Match{Field: "s", Texts: []string{"a"}}}}, all(slots)).Counts(); least != 20_000 || most != least {
		t.Errorf("%d to %d slots, want 20000", least, most)
	}
}

func TestRemovedLeavesNothing(t *testing.T) {
	x := New(Options{})
	r := rand.New(rand.NewPCG(6, 7))
	rows := make([]*Row, 3_000)
	for slot := range rows {
		rows[slot] = rowOf(map[string]Value{
			"t": text(fmt.Sprint(r.IntN(500))), "i": {Kind: Int, Bits: r.Uint64N(900)}, "f": Float64(r.NormFloat64()),
			"d": {Kind: String, Text: "2024", Dated: true, Bits: r.Uint64N(900)}, "n": {Kind: Null}, "o": {Kind: Other},
		})
		x.Add(uint32(slot), r.Uint64N(10), rows[slot])
	}
	for range 2 { // the second time there is nothing to remove
		for _, slot := range r.Perm(len(rows)) {
			for id := range uint64(10) { // nine of which are not its own
				x.Remove(uint32(slot), id, rows[slot])
			}
		}
		if got := x.Bytes(); got != 0 || len(x.fields) != 0 {
			t.Errorf("%d bytes in %d fields are left", got, len(x.fields))
		}
	}
}

// benchmarked is an index of n slots with the fields of an ordinary
// application.
func benchmarked(n int) *Index {
	x := New(Options{})
	r := rand.New(rand.NewPCG(1, 2))
	var row Row
	for slot := range n {
		benchmarkRow(&row, r, slot)
		x.Add(uint32(slot), uint64(slot), &row)
	}
	return x
}

func benchmarkRow(row *Row, r *rand.Rand, slot int) {
	row.Reset()
	row.Field("tenant", Single)
	row.Value(text([]string{"acme", "other", "third"}[r.IntN(3)]))
	row.Field("url", Single)
	row.Value(text(fmt.Sprintf("https://example.org/page/%d", slot)))
	row.Field("price", Single)
	row.Value(Float64(r.Float64()))
	row.Field("year", Single)
	row.Value(Value{Kind: Int, Bits: uint64(2000 + r.IntN(25))})
	row.Field("tags", Array)
	row.Value(text([]string{"old", "new", "draft"}[r.IntN(3)]))
	row.Value(text([]string{"x", "y", "z"}[r.IntN(3)]))
}

func BenchmarkAdd(b *testing.B) {
	x := New(Options{BytesMax: 1 << 40})
	r := rand.New(rand.NewPCG(1, 2))
	var row Row
	slot := 0
	for b.Loop() {
		benchmarkRow(&row, r, slot)
		x.Add(uint32(slot), uint64(slot), &row)
		slot++
	}
	b.ReportMetric(float64(x.Bytes())/float64(slot), "bytes/slot")
}

func BenchmarkEvaluate(b *testing.B) {
	const n = 100_000
	x := benchmarked(n)
	among := all(n)
	half := Range{"price", func(v float64) bool { return v < 0.25 }, func(v float64) bool { return v > 0.75 }}
	for name, e := range map[string]Expr{
		"match":    Match{Field: "tenant", Texts: []string{"acme"}},
		"range":    half,
		"ordinary": &Group{Must: []Expr{Match{Field: "tenant", Texts: []string{"acme"}}, half}, Not: []Expr{Match{Field: "tags", Texts: []string{"old"}}}},
		"rare":     &Group{Must: []Expr{half, Match{Field: "url", Texts: []string{"https://example.org/page/77"}}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				x.Evaluate(e, among)
			}
		})
	}
}
