package collection

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// textConfig has two texts beside a vector.
func textConfig() Config {
	title := TextParams{Name: "titles", Field: "title", K1: 2, B: 0, StopWords: []string{"The"}, RunesMin: 1, RunesMax: 9}
	return Config{Vectors: []VectorParams{{Size: 2, Distance: Dot}}, Text: []TextParams{DefaultText(), title}}
}

// wordsOf counts the words of a payload's member, as the naive reader does: what
// it is given is small letters and spaces.
func wordsOf(payload Payload, field, stop string) (words map[string]uint32, length uint32, is bool) {
	text, is := payload[field].(string)
	words = map[string]uint32{}
	for word := range strings.FieldsSeq(text) {
		if word != stop {
			words[word]++
			length++
		}
	}
	return words, length, is
}

// checkTexts holds that the texts of a record are those of its payload.
func checkTexts(t interface{ Fatalf(string, ...any) }, c Config, rec Record) {
	payload, err := rec.Payload()
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i, stop := range []string{"-", "the"} {
		words, length, is := wordsOf(payload, c.Text[i].Field, stop)
		got, ok := rec.Text(VectorRef{Kind: TextKind, Number: uint16(i)}, TextTerms{})
		if ok != is || ok != rec.HasText(VectorRef{Kind: TextKind, Number: uint16(i)}) || got.Length != length || len(got.Terms) != len(words) || !slices.IsSorted(got.Terms) {
			t.Fatalf("payload %v has the text %d: %+v, %v", payload, i, got, ok)
		}
		for word, n := range words {
			if at, ok := slices.BinarySearch(got.Terms, termOf(word)); !ok || got.Counts[at] != n {
				t.Fatalf("payload %v has the text %d: %+v", payload, i, got)
			}
		}
		if has := c.Has(rec)&c.Bit(c.Text[i].Name) != 0; has != is {
			t.Fatalf("payload %v: has %b", payload, c.Has(rec))
		}
	}
}

// termOf is FNV-1a.
func termOf(word string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * 1099511628211
	}
	return h
}

func anyTextPayload(t *rapid.T) Payload {
	p := Payload{}
	for _, field := range []string{"text", "title", "k"} {
		text := rapid.StringMatching(`((the|a|b|c) ){0,4}`)
		switch rapid.IntRange(0, 4).Draw(t, field) {
		case 0, 1:
			p[field] = text.Draw(t, "words")
		case 2:
			p[field] = rapid.SampledFrom([]any{nil, int64(1), []any{"a"}, map[string]any{"text": "b"}}).Draw(t, "other")
		}
	}
	return p
}

func anyTextWrite(t *rapid.T) Write {
	id := func() PointID { return NumID(rapid.Uint64Range(1, 4).Draw(t, "id")) }
	s := Selection{IDs: []PointID{id(), id()}}
	path := rapid.SampledFrom([]string{"", "text", "title", "text.a", "text[0]", "k", "k.text"})
	switch rapid.IntRange(0, 8).Draw(t, "write") {
	case 0:
		return Write{SetPayload: &PayloadChange{s, anyTextPayload(t), path.Draw(t, "path")}}
	case 1:
		return Write{OverwritePayload: &PayloadChange{s, anyTextPayload(t), path.Draw(t, "path")}}
	case 2:
		keys := rapid.SliceOfN(rapid.SampledFrom([]string{"text", "title", "text.a", "text[]", "title[0]", "k", "k.text"}), 1, 3).Draw(t, "keys")
		return Write{DeletePayload: &KeysChange{s, keys}}
	case 3:
		return Write{ClearPayload: &s}
	case 4:
		return Write{UpdateVectors: []Point{{ID: id(), Vector: []float32{3, 4}}}}
	case 5:
		return Write{DeleteVectors: &VectorsChange{s, []string{""}}}
	case 6:
		return Write{Delete: &s}
	}
	p := Point{ID: id(), Payload: anyTextPayload(t)}
	if rapid.Bool().Draw(t, "vector") {
		p.Vector = []float32{1, 2}
	}
	return Write{Upsert: []Point{p}}
}

// Whatever is written, by whatever operation: a point's texts are those of its
// payload, and what they take is counted.
func TestTextsAreThoseOfThePayload(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, config := newMemStore(), textConfig()
		c := s.do(t, command(0, CreateCollection{Name: "x", Config: config})).Collection
		for range rapid.IntRange(1, 12).Draw(rt, "writes") {
			w := anyTextWrite(rt)
			if rapid.Bool().Draw(rt, "batch") {
				w = Write{Batch: []Write{w, anyTextWrite(rt)}}
			}
			op, err := Finalize(Info{Config: config}, w, DefaultLimits())
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := s.try(t, command(c, op)); err != nil && CodeOf(err) != NotFound {
				rt.Fatal(err)
			}
			var bytes uint64
			_ = ScanPoints(s, c, 0, func(_ uint64, rec Record) bool {
				checkTexts(rt, config, rec)
				bytes += uint64(len(rec.Bytes()))
				return true
			})
			if u, err := Usage(s, alice); err != nil || u.Bytes != bytes {
				rt.Fatalf("%d bytes are counted, %d are there", u.Bytes, bytes)
			}
		}
	})
}

func TestTextConfigGivesBackEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Config{CreatedAt: 7}
		for range rapid.IntRange(1, 3).Draw(t, "texts") {
			p := TextParams{
				Name: rapid.String().Draw(t, "name"), Field: rapid.String().Draw(t, "field"),
				K1: rapid.Float64Range(0, K1Max).Draw(t, "k1"), B: rapid.Float64Range(0, 1).Draw(t, "b"),
				RunesMin: rapid.IntRange(0, RunesMax).Draw(t, "min"), RunesMax: rapid.IntRange(0, RunesMax).Draw(t, "max"),
			}
			for range rapid.IntRange(0, 2).Draw(t, "words") {
				p.StopWords = append(p.StopWords, rapid.String().Draw(t, "word"))
			}
			want.Text = append(want.Text, p)
		}
		if rapid.Bool().Draw(t, "others") {
			want.Vectors, want.Sparse = namedConfig().Vectors, namedConfig().Sparse
			want.Extra = map[string]any{"a": int64(1)}
		}
		raw, err := appendConfig(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeConfig(raw)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		for n := range raw {
			if c, err := decodeConfig(raw[:n]); err == nil && cmp.Equal(c, want) {
				t.Fatalf("the first %d of %d bytes are the whole", n, len(raw))
			}
		}
	})
}

func TestTextParamsAreChecked(t *testing.T) {
	l := DefaultLimits()
	if err := (Config{Text: []TextParams{DefaultText()}}).Validate(l); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(c *Config){
		"name":       func(c *Config) { c.Text[0].Name = "" },
		"twice":      func(c *Config) { c.Text[1].Name = "text" },
		"no field":   func(c *Config) { c.Text[0].Field = "" },
		"field":      func(c *Config) { c.Text[0].Field = strings.Repeat("x", VectorNameMax+1) },
		"k1":         func(c *Config) { c.Text[0].K1 = -1 },
		"k1 large":   func(c *Config) { c.Text[0].K1 = K1Max + 1 },
		"k1 NaN":     func(c *Config) { c.Text[0].K1 = math.NaN() },
		"b":          func(c *Config) { c.Text[0].B = 1.1 },
		"words":      func(c *Config) { c.Text[0].StopWords = make([]string, StopWordsMax+1) },
		"a word":     func(c *Config) { c.Text[0].StopWords = []string{"\xff"} },
		"long words": func(c *Config) { c.Text[0].StopWords = []string{strings.Repeat("x", maxExtraBytes)} },
		"runes":      func(c *Config) { c.Text[0].RunesMin, c.Text[0].RunesMax = 3, 2 },
		"many":       func(c *Config) { c.Text = append(c.Text, make([]TextParams, VectorsMax)...) },
	} {
		c := textConfig()
		change(&c)
		wantError(t, c.Validate(l), InvalidArgument, ReasonValidation)
		_ = what
	}
}

func TestTextsAreBounded(t *testing.T) {
	info, l := Info{Config: textConfig()}, DefaultLimits()
	words := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteByte(' ')
			for ; i > 0; i /= 26 {
				b.WriteByte('a' + byte(i%26))
			}
			b.WriteByte('0')
		}
		return b.String()
	}
	write := func(n int) error {
		_, err := Finalize(info, Write{Upsert: []Point{{ID: NumID(1), Payload: Payload{"text": words(n)}}}}, l)
		return err
	}
	if err := write(SparseMax); err != nil {
		t.Fatal(err)
	}
	wantError(t, write(SparseMax+1), InvalidArgument, ReasonValidation)
	ask := func(text string) error {
		_, _, err := info.Config.Prepare("text", Input{Text: &text})
		return err
	}
	if err := ask(words(SparseQueryMax)); err != nil {
		t.Fatal(err)
	}
	wantError(t, ask(words(SparseQueryMax+1)), InvalidArgument, ReasonValidation)
	// What is compared with words is words, and a text is changed by the payload.
	word := "a"
	if _, ref, err := info.Config.Prepare("", Input{Text: &word}); err != nil || ref.Kind != TextKind {
		t.Fatalf("words for no vector in particular: %+v, %v", ref, err)
	}
	_, _, err := Config{Vectors: []VectorParams{{Size: 1, Distance: Dot}}}.Prepare("", Input{Text: &word})
	wantError(t, err, InvalidArgument, ReasonNone)
	_, _, err = info.Config.Prepare("text", Input{Dense: []float32{1}})
	wantError(t, err, InvalidArgument, ReasonNone)
	_, err = Finalize(info, Write{DeleteVectors: &VectorsChange{Selection{IDs: []PointID{NumID(1)}}, []string{"text"}}}, l)
	wantError(t, err, InvalidArgument, ReasonValidation)
	_, err = Finalize(info, Write{Upsert: []Point{{ID: NumID(1), Vectors: []NamedVector{{Name: "text", Dense: []float32{1}}}}}}, l)
	wantError(t, err, InvalidArgument, ReasonNone)
	if err := info.Config.Check(VectorSelector{Names: []string{"text"}}); CodeOf(err) != InvalidArgument {
		t.Fatal(err)
	}
}
