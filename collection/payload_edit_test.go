package collection

import (
	"reflect"
	"strings"
	"testing"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct{ payload, path, src, want string }{
		{`{"a":1,"b":2}`, ``, `{"b":3,"c":4}`, `{"a":1,"b":3,"c":4}`},
		{`null`, ``, `{"b":3}`, `{"b":3}`},
		{`{"a":1}`, ``, `{"a":null,"z":null}`, `{}`},
		{`{"a":{"x":1}}`, ``, `{"a":{"y":2}}`, `{"a":{"y":2}}`},
		{`{"a":{"x":1}}`, `a`, `{"y":2}`, `{"a":{"x":1,"y":2}}`},
		{`{"a":{"x":1}}`, `a`, `{"x":null}`, `{"a":{}}`},
		{`{}`, `a.b.c`, `{"x":1}`, `{"a":{"b":{"c":{"x":1}}}}`},
		{`null`, `a`, `{"x":1}`, `{"a":{"x":1}}`},
		{`{"a":5}`, `a`, `{"x":1}`, `{"a":{"x":1}}`},
		{`{"a":[{"x":1},2,{"y":3}]}`, `a[]`, `{"z":9}`, `{"a":[{"x":1,"z":9},{"z":9},{"y":3,"z":9}]}`},
		{`{"a":[{"x":1},{"x":2}]}`, `a[1]`, `{"z":9}`, `{"a":[{"x":1},{"x":2,"z":9}]}`},
		{`{"a":[{"x":1}]}`, `a[3]`, `{"z":9}`, `{"a":[{"x":1}]}`},
		{`{"a":{"x":1}}`, `a[]`, `{"z":9}`, `{"a":[]}`},
		{`{"a":1}`, `b[0]`, `{"z":9}`, `{"a":1,"b":[]}`},
		{`{"a":[{"b":[1]},{"b":2}]}`, `a[].b[]`, `{"z":9}`, `{"a":[{"b":[{"z":9}]},{"b":[]}]}`},
	} {
		p := payloadOf(t, c.payload)
		got, err := p.Merge(c.path, payloadOf(t, c.src))
		if err != nil || !reflect.DeepEqual(got, payloadOf(t, c.want)) {
			t.Errorf("%s + %s at %q = %s, %v; want %s", c.payload, c.src, c.path, got.AppendJSON(nil), err, c.want)
		}
		if !reflect.DeepEqual(p, payloadOf(t, c.payload)) {
			t.Errorf("%s was changed to %s", c.payload, p.AppendJSON(nil))
		}
	}
}

func TestWithout(t *testing.T) {
	for _, c := range []struct {
		payload string
		paths   []string
		want    string
	}{
		{`{"a":1,"b":2}`, []string{"a"}, `{"b":2}`},
		{`{"a":1,"b":2}`, []string{"a", "b", "c"}, `{}`},
		{`null`, []string{"a"}, `null`},
		{`{"a":{"x":1,"y":2}}`, []string{"a.x", "a.z.w"}, `{"a":{"y":2}}`},
		{`{"a":[{"x":1,"y":2},3,{"x":4}]}`, []string{"a[].x"}, `{"a":[{"y":2},3,{}]}`},
		{`{"a":[{"x":1},{"x":4}]}`, []string{"a[1].x"}, `{"a":[{"x":1},{}]}`},
		{`{"a":[1,2]}`, []string{"a[]"}, `{"a":[]}`},
		{`{"a":[1,2]}`, []string{"a[0]"}, `{"a":[1,2]}`},
		{`{"a":{"x":1}}`, []string{"a[]", "a[].x", "a[0]"}, `{"a":{"x":1}}`},
		{`{"a":5}`, []string{"a.x"}, `{"a":5}`},
	} {
		p := payloadOf(t, c.payload)
		got, err := p.Without(c.paths)
		if err != nil || !reflect.DeepEqual(got, payloadOf(t, c.want)) {
			t.Errorf("%s without %q = %s, %v; want %s", c.payload, c.paths, got.AppendJSON(nil), err, c.want)
		}
		if !reflect.DeepEqual(p, payloadOf(t, c.payload)) {
			t.Errorf("%s was changed to %s", c.payload, p.AppendJSON(nil))
		}
	}
}

func TestEditsRefuse(t *testing.T) {
	p := payloadOf(t, `{"a":1}`)
	if _, err := p.Merge("a..b", p); CodeOf(err) != InvalidArgument {
		t.Errorf("bad path: %v", err)
	}
	if _, err := p.Without([]string{"a", "["}); CodeOf(err) != InvalidArgument {
		t.Errorf("bad path: %v", err)
	}
	if _, err := (PayloadSelector{Include: []string{""}}).Projection(); CodeOf(err) != InvalidArgument {
		t.Errorf("bad path: %v", err)
	}
	if _, err := (PayloadSelector{Exclude: []string{"a b"}}).Projection(); CodeOf(err) != InvalidArgument {
		t.Errorf("bad path: %v", err)
	}
}

// A short request must not fill the memory of every replica.
func TestMergeIntoManyElementsIsBounded(t *testing.T) {
	const places = 1_000
	p := Payload{"a": make([]any, places)}
	fits := Payload{"s": strings.Repeat("x", payloadGrowthMax/places-100)}
	if _, err := p.Merge("a[]", fits); err != nil {
		t.Errorf("below the bound: %v", err)
	}
	tooMuch := Payload{"s": strings.Repeat("x", payloadGrowthMax/places)}
	for _, path := range []string{"a[]", "a[].b", "a[].b.c"} {
		if _, err := p.Merge(path, tooMuch); ReasonOf(err) != ReasonTooLarge {
			t.Errorf("%s: %v, want too large", path, err)
		}
	}
	if _, err := p.Merge("a[1]", tooMuch); err != nil {
		t.Errorf("one place: %v", err)
	}
}

func TestProjection(t *testing.T) {
	const payload = `{"a":1,"b":{"x":1,"y":{"z":2}},"c":[{"x":1,"y":2},3,{"x":4}]}`
	some := func(paths ...string) []string { return append([]string{}, paths...) }
	for _, c := range []struct {
		selector PayloadSelector
		want     string
	}{
		{PayloadSelector{}, `null`},
		{PayloadSelector{All: true}, payload},
		{PayloadSelector{Include: some()}, `{}`},
		{PayloadSelector{Exclude: some()}, payload},
		{PayloadSelector{Include: some("a")}, `{"a":1}`},
		{PayloadSelector{Include: some("a", "b.y")}, `{"a":1,"b":{"y":{"z":2}}}`},
		{PayloadSelector{Include: some("b.y.z", "b.y")}, `{"b":{"y":{"z":2}}}`},
		{PayloadSelector{Include: some("b.nothing", "nothing")}, `{"b":{}}`},
		{PayloadSelector{Include: some("a.x")}, `{"a":1}`},
		{PayloadSelector{Include: some("c[].x")}, `{"c":[{"x":1},3,{"x":4}]}`},
		{PayloadSelector{Include: some("c[0]")}, `{"c":[{"x":1,"y":2}]}`},
		{PayloadSelector{Include: some("c.x")}, `{"c":[]}`},
		{PayloadSelector{Exclude: some("a", "c")}, `{"b":{"x":1,"y":{"z":2}}}`},
		{PayloadSelector{Exclude: some("b.y", "c[].x")}, `{"a":1,"b":{"x":1},"c":[{"y":2},3,{}]}`},
		{PayloadSelector{Exclude: some("c[1]", "a.x")}, `{"a":1,"b":{"x":1,"y":{"z":2}},"c":[{"x":1,"y":2},{"x":4}]}`},
		{PayloadSelector{Exclude: some("c[]")}, `{"a":1,"b":{"x":1,"y":{"z":2}},"c":[]}`},
	} {
		projection, err := c.selector.Projection()
		if err != nil {
			t.Errorf("%+v: %v", c.selector, err)
			continue
		}
		p := payloadOf(t, payload)
		if got := projection.Apply(p); !reflect.DeepEqual(got, payloadOf(t, c.want)) {
			t.Errorf("%+v: got %s, want %s", c.selector, got.AppendJSON(nil), c.want)
		}
		if projection.None() != (c.want == "null") || projection.Apply(nil) != nil {
			t.Errorf("%+v: None() = %v, of nil %v", c.selector, projection.None(), projection.Apply(nil))
		}
		if !reflect.DeepEqual(p, payloadOf(t, payload)) {
			t.Errorf("%+v changed the payload", c.selector)
		}
	}
}
