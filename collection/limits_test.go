package collection

import (
	"strconv"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	l := DefaultLimits()
	for _, name := range []string{
		"a", "käse 1.2", "..", "a\\b", "日本", "🐝", strings.Repeat("x", 255), "\u00a0", "e\u0301",
	} {
		if err := ValidateName(name, l); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", strings.Repeat("x", 256), strings.Repeat("é", 128), "a/b", "/", "a\x00", "\n", "\x7f", "\u0085", "a\xff",
		"\u202e", "a\u200f", "\u2066x", "\u061c",
	} {
		err := ValidateName(name, l)
		if CodeOf(err) != InvalidArgument || ReasonOf(err) != ReasonValidation {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	l := DefaultLimits()
	config := func(size int, d Distance, extra map[string]any) Config {
		return Config{Vectors: []VectorParams{{Size: size, Distance: d}}, Extra: extra}
	}
	// An empty string encodes to maxExtraBytes less its letters: 6 of msgpack.
	fill := func(n int) map[string]any { return map[string]any{"a": strings.Repeat("x", n)} }
	room := maxExtraBytes - len("\x81\xa1a\xdaLL")
	for _, c := range []Config{
		config(1, Cosine, nil), config(l.Dimension, Euclid, nil), config(4, Dot, fill(room)), config(4, Manhattan, nil),
	} {
		if err := c.Validate(l); err != nil {
			t.Errorf("%v: %v", c.Vectors, err)
		}
	}
	for _, c := range []Config{
		config(0, Cosine, nil), config(-1, Cosine, nil), config(l.Dimension+1, Dot, nil), config(4, "", nil),
		config(4, "cosine", nil), config(4, Dot, fill(room+1)), config(4, Dot, map[string]any{"x": struct{}{}}),
	} {
		wantError(t, c.Validate(l), InvalidArgument, ReasonValidation)
	}
	many := func(dense, sparse int) (c Config) {
		for i := range dense {
			c.Vectors = append(c.Vectors, VectorParams{Name: strconv.Itoa(i), Size: 1, Distance: Dot})
		}
		for i := range sparse {
			c.Sparse = append(c.Sparse, SparseParams{Name: "s" + strconv.Itoa(i)})
		}
		return c
	}
	named := func(dense, sparse string) Config {
		return Config{Vectors: []VectorParams{{Name: dense, Size: 1, Distance: Dot}}, Sparse: []SparseParams{{Name: sparse}}}
	}
	settings := named("a", "b")
	settings.Vectors[0].Extra, settings.Sparse[0].Extra = fill(room/2), fill(room/2-9)
	for _, c := range []Config{
		{},
		many(VectorsMax, 0), many(0, VectorsMax), many(40, 24), named("", "b"), named("b", ""),
		named(strings.Repeat("x", VectorNameMax), "x"), settings,
	} {
		if err := c.Validate(l); err != nil {
			t.Errorf("%d, %d: %v", len(c.Vectors), len(c.Sparse), err)
		}
	}
	more := named("a", "b")
	more.Vectors[0].Extra, more.Sparse[0].Extra = fill(room), fill(1)
	for _, c := range []Config{
		many(VectorsMax+1, 0), many(40, 25), named("a", "a"), named("", ""), named(strings.Repeat("x", VectorNameMax+1), "x"),
		named("a", strings.Repeat("x", VectorNameMax+1)), named("\xff", "x"), more,
	} {
		wantError(t, c.Validate(l), InvalidArgument, ReasonValidation)
	}
	all := config(0, "x", fill(room+1)).Validate(l).Error()
	for _, part := range []string{"vectors.size", "vectors.distance", "settings"} {
		if !strings.Contains(all, part) {
			t.Errorf("%q does not name %s", all, part)
		}
	}
}

func TestDistances(t *testing.T) {
	for _, d := range distanceNumbers[1:] {
		if got, err := ParseDistance(string(d)); err != nil || got != d {
			t.Errorf("ParseDistance(%q) = %q, %v", d, got, err)
		}
	}
	if _, err := ParseDistance("L2"); CodeOf(err) != InvalidArgument {
		t.Error("L2 is a distance")
	}
	if _, known := Distance("").number(); known {
		t.Error("the empty distance has a number")
	}
}
