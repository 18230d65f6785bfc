package collection

import (
	"reflect"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for text, want := range map[string]Path{
		"foo":         {{key: "foo"}},
		"a.b":         {{key: "a"}, {key: "b"}},
		"a[].b":       {{key: "a"}, {kind: stepEach}, {key: "b"}},
		"a[0]":        {{key: "a"}, {kind: stepIndex}},
		`"x.y".b`:     {{key: "x.y"}, {key: "b"}},
		`""`:          {{key: ""}},
		"größe_1-x":   {{key: "größe_1-x"}},
		"a[][7]":      {{key: "a"}, {kind: stepEach}, {kind: stepIndex, index: 7}},
		`a."b[]"[12]`: {{key: "a"}, {key: "b[]"}, {kind: stepIndex, index: 12}},
	} {
		got, err := ParsePath(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParsePath(%q) = %v, %v; want %v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("ParsePath(%q).String() = %q", text, got.String())
		}
	}
	deep := "a" + strings.Repeat("[]", PathStepsMax-1)
	if _, err := ParsePath(deep); err != nil {
		t.Errorf("a path of %d steps: %v", PathStepsMax, err)
	}
	for _, text := range []string{
		"", ".", "a.", ".a", "a..b", "[0]", "[]", "a[", "a[x]", "a[-1]", "a[+1]", "a[1", "a b", "a]", `"a`, `"a\"b"`, "a[]b",
		"a[99999999999999999999]", "a\xffb", deep + "[]",
	} {
		if p, err := ParsePath(text); CodeOf(err) != InvalidArgument {
			t.Errorf("ParsePath(%q) = %v, %v; want invalid_argument", text, p, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"a.b", "a[].b", `"x.y"[3]`, "", "a[", `"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		again, err := ParsePath(p.String())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("ParsePath(%q) = %v, but %q reads as %v, %v", text, p, p.String(), again, err)
		}
	})
}
