package httpedge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// FuzzNativeRequests: whatever is sent to an operation, it is read or refused as
// the caller's fault; what is read is JSON that the operation's schema allows,
// as far as its names are the present ones.
func FuzzNativeRequests(f *testing.F) {
	s := New(Options{})
	var all []*native
	for _, n := range s.operations {
		if n.media == "" {
			all = append(all, n)
		}
	}
	for i, n := range all {
		f.Add(uint8(i), nativeBodies[n.method+" "+n.path])
		f.Add(uint8(i), `{"name":"docs","id":"1","collection":"docs","vector":[1,2.5e3],"payload":{"a":[null]},"limit":3}`)
		f.Add(uint8(i), `{"collection":"docs","vectors":[{"id":7,"sparse":{"a":{"indices":[1],"values":[2]}}}]}`)
	}
	schemas := map[string]*jsonschema.Schema{}
	for _, n := range all {
		b, err := json.Marshal(n.inputSchema(s.limits.Request))
		noError(f, err)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		noError(f, err)
		c := jsonschema.NewCompiler()
		noError(f, c.AddResource("https://waggle.test/"+n.id, v))
		schemas[n.id], err = c.Compile("https://waggle.test/" + n.id)
		noError(f, err)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		n := all[int(which)%len(all)]
		r := &request{s: s}
		q := n.fresh()
		err := n.request.readArguments(r, &tenant.Context{}, []byte(body), q)
		if err != nil {
			var e *collection.Error
			if !errors.As(err, &e) || faultOf(e).native >= 500 && e.Code != collection.Unimplemented {
				t.Fatalf("%s %q: %v", n.id, body, err)
			}
			return
		}
		if body == "" {
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("%s read %q, which is no JSON", n.id, body)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		noError(t, err)
		if err := schemas[n.id].Validate(v); err != nil && !olderWords(n.request, v) {
			t.Fatalf("%s read %s, which its schema does not allow: %v", n.id, body, err)
		}
	})
}

// olderWords reports whether a request uses what is read and not in the schema:
// names and words of older clients, null for absent, numbers as ids, and the
// bounds in bytes of what a schema counts in characters.
func olderWords(s *shape, v any) bool {
	text := fmt.Sprint(v)
	for _, word := range []string{"<nil>"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	object, ok := v.(map[string]any)
	if !ok {
		return false
	}
	for name, value := range object {
		i, ok := s.members.byName[name]
		if !ok {
			return false
		}
		f := &s.members.fields[i]
		inner := f.shape
		if inner.t.Kind() == reflect.Pointer {
			inner = shapeOf(inner.t.Elem())
		}
		_, number := value.(json.Number)
		switch {
		case f.name != name, f.shape.t == reflect.TypeFor[metricName](), f.shape.t == reflect.TypeFor[vectorID]() && number:
			return true
		case inner.members != nil && olderWords(inner, value):
			return true
		}
		if list, ok := value.([]any); ok && inner.t.Kind() == reflect.Slice {
			element := shapeOf(inner.t.Elem())
			for _, one := range list {
				_, number := one.(json.Number)
				if element.members != nil && olderWords(element, one) || element.t == reflect.TypeFor[vectorID]() && number {
					return true
				}
			}
		}
	}
	return false
}

// BenchmarkNativeInsert is the decoding of a body of 10,000 vectors of 128.
func BenchmarkNativeInsert(b *testing.B) {
	s := New(Options{})
	var body strings.Builder
	body.WriteString(`{"collection":"docs","vectors":[`)
	for i := range 10_000 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"id":"doc-%d","vector":[`, i)
		for j := range 128 {
			if j > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, "%.7f", float32(i*j%997)/997)
		}
		body.WriteString(`],"payload":{"title":"a short text","n":3}}`)
	}
	body.WriteString(`]}`)
	raw := []byte(body.String())
	n := theDocument().operation("POST", "/insert_vectors")
	r := &request{s: s}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := n.request.readArguments(r, &tenant.Context{}, raw, n.fresh()); err != nil {
			b.Fatal(err)
		}
	}
}
