package httpedge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hivehub/waggle/collection"
)

func decodeUpsert(text []byte, l collection.Limits) ([]collection.Point, error) {
	p := newPointReader(text, l)
	points, err := p.upsert()
	if err == nil {
		err = p.end()
	}
	return points, err
}

func TestUpsertForms(t *testing.T) {
	u := must(collection.ParseUUID("f47ac10b-58cc-4372-a567-0e02b2c3d479"))
	n, one := collection.NumID, []float32{1, 2}
	for text, want := range map[string][]collection.Point{
		`{"points":[]}`:                        {},
		`{"points":[{"id":1,"vector":[1,2]}]}`: {{ID: n(1), Vector: one}},
		`{"points":[{"id":18446744073709551615,"vector":[1,2.0],"payload":null}]}`:                                  {{ID: n(1<<64 - 1), Vector: one}},
		`{"points":[{"id":9007199254740993,"vector":{"":[1,2]},"payload":{}}]}`:                                     {{ID: n(9007199254740993), Vector: one, Payload: collection.Payload{}}},
		`{"points":[{"payload":{"a":1,"b":1.0},"vector":{},"id":7,"extra":[{"x":1}]}]}`:                             {{ID: n(7), Payload: collection.Payload{"a": int64(1), "b": 1.0}}},
		`{"points":[{"id":"F47AC10B58CC4372A5670E02B2C3D479","vector":[]}],"batch":null}`:                           {{ID: u, Vector: []float32{}}},
		`{"points":[{"id":"urn:uuid:f47ac10b-58cc-4372-a567-0e02b2c3d479","vector":[1,2]}],"shard_key":null,"x":1}`: {{ID: u, Vector: one}},
		`{"batch":{"ids":[1,"{f47ac10b-58cc-4372-a567-0e02b2c3d479}"],"vectors":[[1,2],[3,4]]}}`:                    {{ID: n(1), Vector: one}, {ID: u, Vector: []float32{3, 4}}},
		`{"batch":{"payloads":[null,{"k":"v"}],"vectors":{"":[[1,2],[1,2]]},"ids":[1,2],"y":0},"points":null}`:      {{ID: n(1), Vector: one}, {ID: n(2), Vector: one, Payload: collection.Payload{"k": "v"}}},
		`{"points":[{"id":1,"vector":{"a":[1],"":[1,2],"b":{"values":[2,1],"indices":[7,3]}}}]}`: {{ID: n(1), Vector: one, Vectors: []collection.NamedVector{
			{Name: "a", Dense: []float32{1}}, {Name: "b", Sparse: &collection.SparseVector{Indices: []uint32{7, 3}, Values: []float32{2, 1}}},
		}}},
		`{"points":[{"id":1,"vectors":{"":{"indices":[],"values":[]}}}]}`: {{ID: n(1), Vectors: []collection.NamedVector{{Sparse: &collection.SparseVector{Indices: []uint32{}, Values: []float32{}}}}}},
		`{"batch":{"ids":[1,2],"vectors":{"a":[[1],[2]],"s":[{"indices":[4294967295],"values":[1]},{"indices":[0],"values":[-1]}]}}}`: {
			{ID: n(1), Vectors: []collection.NamedVector{{Name: "a", Dense: []float32{1}}, {Name: "s", Sparse: &collection.SparseVector{Indices: []uint32{math.MaxUint32}, Values: []float32{1}}}}},
			{ID: n(2), Vectors: []collection.NamedVector{{Name: "a", Dense: []float32{2}}, {Name: "s", Sparse: &collection.SparseVector{Indices: []uint32{0}, Values: []float32{-1}}}}},
		},
		`{"batch":{"ids":[],"vectors":[]}}`: {},
	} {
		got, err := decodeUpsert([]byte(text), collection.DefaultLimits())
		if err != nil || got == nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v (%v)\nwant %+v", text, got, err, want)
		}
	}
}

func TestUpsertErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:                                     "EOF while parsing a value",
		`[]`:                                   "invalid type: sequence, expected a map",
		`{}`:                                   "data did not match any variant of untagged enum PointInsertOperations",
		`{"points":null}`:                      "data did not match any variant of untagged enum PointInsertOperations",
		`{"points":{}}`:                        "invalid type: map, expected a sequence",
		`{"points":[1]}`:                       "invalid type: integer `1`, expected a map",
		`{"points":[{"vector":[1]}]}`:          "missing field `id`",
		`{"points":[{"id":1}]}`:                "missing field `vector`",
		`{"points":[{"id":1,"vector":null}]}`:  "invalid type: null, expected a sequence",
		`{"points":[{"id":"1","vector":[1]}]}`: "value 1 is not a valid point ID, valid values are either an unsigned integer or a UUID",
		`{"points":[{"id":-1,"vector":[1]}]}`:  "value -1 is not a valid point ID",
		`{"points":[{"id":1.0,"vector":[1]}]}`: "value 1.0 is not a valid point ID",
		`{"points":[{"id":18446744073709551616,"vector":[1]}]}`:                      "value 18446744073709551616 is not a valid point ID",
		`{"points":[{"id":[],"vector":[1]}]}`:                                        "value [] is not a valid point ID",
		`{"points":[{"id":null,"vector":[1]}]}`:                                      "value null is not a valid point ID",
		`{"points":[{"id":1,"vector":"x"}]}`:                                         `invalid type: string "x", expected a sequence`,
		`{"points":[{"id":1,"vector":[1,"x"]}]}`:                                     `invalid type: string "x", expected f32`,
		`{"points":[{"id":1,"vector":[NaN]}]}`:                                       "expected value",
		`{"points":[{"id":1,"vector":[1e39]}]}`:                                      "number out of range",
		`{"points":[{"id":1,"vector":[null]}]}`:                                      "invalid type: null, expected f32",
		`{"points":[{"id":1,"vector":[[1]]}]}`:                                       "vectors of several vectors are not supported yet",
		`{"points":[{"id":1,"vector":{"a":[[1]]}}]}`:                                 "vectors of several vectors are not supported yet",
		`{"points":[{"id":1,"vector":{"a":null}}]}`:                                  "invalid type: null, expected a sequence",
		`{"points":[{"id":1,"vector":{"a":{"indices":[1]}}}]}`:                       "data did not match any variant of untagged enum Vector",
		`{"points":[{"id":1,"vector":{"a":{"indices":[1],"values":[]}}}]}`:           "vector.values: must be the same length as indices",
		`{"points":[{"id":1,"vector":{"a":{"indices":[4294967296],"values":[1]}}}]}`: "invalid value: integer `4294967296`, expected u32",
		`{"points":[{"id":1,"vector":{"a":{"indices":[-1],"values":[1]}}}]}`:         "invalid value: integer `-1`, expected u64",
		`{"points":[{"id":1,"vector":{"a":{"text":"x","model":"m"}}}]}`:              "vectors of a text are not made here",
		`{"batch":{"ids":[1],"vectors":[{"a":[1]}]}}`:                                "data did not match any variant of untagged enum Vector",
		`{"batch":{"ids":[1],"vectors":{"a":[[1]],"b":[]}}}`:                         "batch: number of ids and vectors must be equal (1 != 0)",
		`{"points":[{"id":1,"vector":[1],"payload":[]}]}`:                            "invalid type: sequence, expected a map",
		`{"points":[{"id":1,"vector":[1],"payload":"x"}]}`:                           `invalid type: string "x", expected a map`,
		`{"points":[{"id":1,"vector":[1,]}]}`:                                        "trailing comma",
		`{"points":[{"id":1,"vector":[1 2]}]}`:                                       "expected `,` or `]`",
		`{"points":[{"id":1,"vector":[1]}`:                                           "EOF while parsing a list",
		`{"points":[]} x`:                                                            "trailing characters",
		`{"points":[],"shard_key":"a"}`:                                              "shard_key is not supported yet",
		`{"points":[],"update_filter":{}}`:                                           "update_filter is not supported yet",
		`{"batch":{}}`:                                                               "missing field `ids`",
		`{"batch":{"ids":[1]}}`:                                                      "missing field `vectors`",
		`{"batch":{"ids":[1],"vectors":[]}}`:                                         "batch: number of ids and vectors must be equal (1 != 0)",
		`{"batch":{"ids":[1],"vectors":[[1]],"payloads":[]}}`:                        "batch: number of ids and payloads must be equal (1 != 0)",
		`{"points":[{"id":1,"vector":[1],"payload":` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40) + `}]}`: "recursion limit exceeded",
	} {
		points, err := decodeUpsert([]byte(text), collection.DefaultLimits())
		if !strings.HasPrefix(message(err), want) {
			t.Errorf("%s\ngot  %v %s\nwant %s", text, points, message(err), want)
		}
	}
}

func TestUpsertLimits(t *testing.T) {
	l := collection.DefaultLimits()
	l.BatchPoints, l.Dimension = 3, 4
	point := func(dim int) string {
		return `{"id":1,"vector":[` + strings.Trim(strings.Repeat("1,", dim), ",") + `]}`
	}
	list := func(points ...string) []byte { return []byte(`{"points":[` + strings.Join(points, ",") + `]}`) }
	for _, ok := range [][]byte{list(point(4), point(4), point(4)), []byte(`{"batch":{"ids":[1,2,3],"vectors":[[1],[1],[1]],"payloads":[{},{},{}]}}`)} {
		if _, err := decodeUpsert(ok, l); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for text, want := range map[string]collection.Reason{
		string(list(point(1), point(1), point(1), point(1))): collection.ReasonTooLarge,
		string(list(point(5))):                               collection.ReasonValidation,
		`{"batch":{"ids":[1,2,3,4]}}`:                        collection.ReasonTooLarge,
		`{"batch":{"vectors":[[1],[1],[1],[1]]}}`:            collection.ReasonTooLarge,
		`{"batch":{"payloads":[null,null,null,null]}}`:       collection.ReasonTooLarge,
		`{"batch":{"vectors":{"":[[1,1,1,1,1]]}}}`:           collection.ReasonValidation,
	} {
		if _, err := decodeUpsert([]byte(text), l); collection.ReasonOf(err) != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestDecodedPointsAreTheirOwn: the body's memory is used again.
func TestDecodedPointsAreTheirOwn(t *testing.T) {
	text := []byte(`{"points":[{"id":1,"vector":[1,2],"payload":{"key":"value","é":["x",{"y":"z"}]}}]}`)
	points, err := decodeUpsert(text, collection.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v", points)
	for i := range text {
		text[i] = 'X'
	}
	if after := fmt.Sprintf("%+v", points); after != before {
		t.Errorf("changed with the body: %s, was %s", after, before)
	}
}

// The reference: the same body through encoding/json.
type rawObject map[string]json.RawMessage

func referenceUpsert(text []byte) ([]collection.Point, error) {
	var body rawObject
	if err := unmarshalObject(text, &body); err != nil {
		return nil, err
	}
	for _, key := range []string{"shard_key", "update_filter", "update_mode"} {
		if raw, ok := body[key]; ok && !isNull(raw) {
			return nil, errors.New(key)
		}
	}
	points, batch := body["points"], body["batch"]
	switch {
	case points != nil && !isNull(points):
		var list []rawObject
		if err := json.Unmarshal(points, &list); err != nil {
			return nil, err
		}
		out := make([]collection.Point, len(list))
		for i, raw := range list {
			if err := referencePoint(raw, &out[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case batch != nil && !isNull(batch):
		return referenceBatch(batch)
	}
	return nil, errors.New("neither")
}

func unmarshalObject(text []byte, into *rawObject) error {
	if err := json.Unmarshal(text, into); err != nil {
		return err
	}
	if *into == nil {
		return errors.New("null")
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func referencePoint(raw rawObject, p *collection.Point) (err error) {
	if raw["vectors"] != nil {
		if raw["vector"] != nil {
			return errors.New("both")
		}
		raw["vector"] = raw["vectors"]
	}
	if raw == nil || raw["id"] == nil || raw["vector"] == nil {
		return errors.New("missing")
	}
	if p.ID, err = referenceID(raw["id"]); err != nil {
		return err
	}
	if err = referenceVectors(raw["vector"], p); err != nil {
		return err
	}
	if raw["payload"] != nil {
		p.Payload, err = collection.ParsePayload(raw["payload"])
	}
	return err
}

// referenceVectors reads the vectors of a point, by name in the order of the
// names.
func referenceVectors(raw json.RawMessage, p *collection.Point) (err error) {
	if raw[0] != '{' {
		p.Vector, err = referenceVector(raw)
		return err
	}
	var named rawObject
	if err := json.Unmarshal(raw, &named); err != nil {
		return err
	}
	for name, inner := range named {
		if err := referenceNamed(name, inner, p); err != nil {
			return err
		}
	}
	sortVectors(p)
	return nil
}

func sortVectors(p *collection.Point) {
	slices.SortFunc(p.Vectors, func(a, b collection.NamedVector) int { return strings.Compare(a.Name, b.Name) })
}

func referenceNamed(name string, raw json.RawMessage, p *collection.Point) error {
	v := collection.NamedVector{Name: name}
	var err error
	switch {
	case len(name) > collection.VectorNameMax:
		return errors.New("name")
	case raw[0] == '{':
		v.Sparse, err = referenceSparse(raw)
	default:
		v.Dense, err = referenceVector(raw)
	}
	switch {
	case err != nil:
		return err
	case name == "" && v.Sparse == nil:
		p.Vector = v.Dense
	case len(p.Vectors) == collection.VectorsMax:
		return errors.New("vectors")
	default:
		p.Vectors = append(p.Vectors, v)
	}
	return nil
}

func referenceSparse(raw json.RawMessage) (*collection.SparseVector, error) {
	var object rawObject
	if err := unmarshalObject(raw, &object); err != nil {
		return nil, err
	}
	for _, key := range []string{"text", "image", "object", "model"} {
		if object[key] != nil {
			return nil, errors.New(key)
		}
	}
	var indices []*uint32
	if object["indices"] == nil || object["values"] == nil {
		return nil, errors.New("missing")
	}
	if err := json.Unmarshal(object["indices"], &indices); err != nil || indices == nil || slices.Contains(indices, nil) {
		return nil, errors.New("indices")
	}
	v := collection.SparseVector{Indices: make([]uint32, len(indices))}
	for i := range indices {
		v.Indices[i] = *indices[i]
	}
	values, err := referenceVector(object["values"])
	if v.Values = values; err == nil && len(values) != len(indices) {
		err = errors.New("lengths")
	}
	return &v, err
}

func referenceID(raw json.RawMessage) (collection.PointID, error) {
	if raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return collection.PointID{}, err
		}
		return collection.ParseUUID(s)
	}
	var n *uint64
	if err := json.Unmarshal(raw, &n); err != nil || n == nil {
		return collection.PointID{}, fmt.Errorf("id: %w", err)
	}
	return collection.NumID(*n), nil
}

func referenceVector(raw json.RawMessage) ([]float32, error) {
	var numbers []json.Number
	if raw[0] != '[' || bytes.ContainsAny(raw, `"`) || bytes.Contains(raw, []byte("null")) {
		return nil, errors.New("no vector")
	}
	if err := json.Unmarshal(raw, &numbers); err != nil {
		return nil, err
	}
	v := make([]float32, len(numbers))
	for i, n := range numbers {
		f, err := strconv.ParseFloat(string(n), 32)
		if err != nil {
			return nil, err
		}
		v[i] = float32(f)
	}
	return v, nil
}

func referenceBatch(raw json.RawMessage) ([]collection.Point, error) {
	var b rawObject
	if err := unmarshalObject(raw, &b); err != nil {
		return nil, err
	}
	var ids, payloads []json.RawMessage
	if b["ids"] == nil || json.Unmarshal(b["ids"], &ids) != nil || ids == nil {
		return nil, errors.New("ids")
	}
	if p := b["payloads"]; p != nil && !isNull(p) {
		if err := json.Unmarshal(p, &payloads); err != nil || len(payloads) != len(ids) {
			return nil, errors.New("payloads")
		}
	}
	points := make([]collection.Point, len(ids))
	for i := range ids {
		var err error
		if points[i].ID, err = referenceID(ids[i]); err != nil {
			return nil, err
		}
		if payloads != nil {
			if points[i].Payload, err = collection.ParsePayload(payloads[i]); err != nil {
				return nil, err
			}
		}
	}
	if b["vectors"] == nil || isNull(b["vectors"]) {
		return nil, errors.New("vectors")
	}
	columns := rawObject{"": b["vectors"]}
	if b["vectors"][0] == '{' {
		columns = rawObject{}
		if err := json.Unmarshal(b["vectors"], &columns); err != nil {
			return nil, err
		}
	}
	if len(columns) > collection.VectorsMax {
		return nil, errors.New("vectors")
	}
	for name, raw := range columns {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || list == nil || len(list) != len(ids) {
			return nil, errors.New("vectors")
		}
		if len(name) > collection.VectorNameMax && len(list) > 0 {
			return nil, errors.New("name")
		}
		for i := range list {
			if err := referenceNamed(name, list[i], &points[i]); err != nil {
				return nil, err
			}
		}
	}
	for i := range points {
		sortVectors(&points[i])
	}
	return points, nil
}

// ambiguous reports whether an object of text has a key twice, where the two
// decoders may choose differently, or both forms of an upsert at once.
func ambiguous(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	type level struct {
		keys  map[string]bool // nil: an array
		value bool            // the next token is a value
	}
	var stack []*level
	for {
		tok, err := d.Token()
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
		var top *level
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		if key, ok := tok.(string); ok && top != nil && top.keys != nil && !top.value {
			if top.keys[key] || len(stack) == 1 && (key == "points" || key == "batch") && (top.keys["points"] || top.keys["batch"]) {
				return true
			}
			top.keys[key], top.value = true, true
			continue
		}
		if top != nil {
			top.value = false
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, &level{keys: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, &level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
	}
}

func FuzzUpsert(f *testing.F) {
	for _, seed := range []string{
		`{"points":[{"id":1,"vector":[0.1,-2e3,3],"payload":{"a":[1,1.0,null,{"b":"c"}]}},{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","vector":{"":[1]}}]}`,
		`{"batch":{"ids":[1,2],"vectors":[[1],[2]],"payloads":[null,{}]}}`, `{"points":[{"id":1,"vectors":{"a":[1],"b":{"indices":[7,3],"values":[1,2]}}}]}`,
		`{"batch":{"ids":[1],"vectors":{"a":[[1]],"b":[{"indices":[1],"values":[2.5]}]}}}`, `{"batch":{"ids":[],"vectors":{"":[]}}}`,
		`{"points":[{"id":1,"vector":{}}],"shard_key":null}`, `{"points":null}`, `[]`, `{"points":[{"id":1,"vector":[1]}`, "{\"points\":[{\"id\":1,\"vector\":[1],\"\xff\":1}]}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decodeUpsert(text, collection.DefaultLimits())
		if ambiguous(text) || !utf8.Valid(text) || loneSurrogate(text) || strings.HasPrefix(message(err), "recursion limit") {
			return
		}
		want, wantErr := referenceUpsert(text)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, reference: %v", text, err, wantErr)
		}
		for i := range got {
			sortVectors(&got[i])
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\ngot  %+v\nwant %+v", text, got, want)
		}
	})
}

// decoders are all the others.
var decoders = map[string]func(*pointReader) error{
	"selector":      func(p *pointReader) error { _, err := p.selector(); return err },
	"payloadChange": func(p *pointReader) error { _, err := p.payloadChange(); return err },
	"keysChange":    func(p *pointReader) error { _, err := p.keysChange(); return err },
	"retrieval":     func(p *pointReader) error { _, err := p.retrieval(); return err },
	"scroll":        func(p *pointReader) error { _, err := p.scroll(); return err },
	"count":         func(p *pointReader) error { _, err := p.count(); return err },
	"query":         func(p *pointReader) error { _, err := p.query(); return err },
	"queries":       func(p *pointReader) error { _, err := p.searches(p.query); return err },
	"search":        func(p *pointReader) error { _, err := p.search(); return err },
	"recommend":     func(p *pointReader) error { _, err := p.recommendation(); return err },
	"batch":         func(p *pointReader) error { _, err := p.batchWrite(); return err },
	"updateVectors": func(p *pointReader) error { _, err := p.updateVectors(); return err },
	"deleteVectors": func(p *pointReader) error { _, err := p.vectorsChange(); return err },
	"aliases":       func(p *pointReader) error { _, err := p.aliasActions(); return err },
	"payloadIndex": func(p *pointReader) error {
		x, err := p.payloadIndex()
		if err == nil && x.Validate() == nil {
			appendInfo(nil, &collection.Info{Fields: []collection.FieldInfo{{PayloadIndex: x}}})
		}
		return err
	},
	"patch": func(p *pointReader) error {
		body, err := p.payload()
		if err != nil {
			return err
		}
		_, err = readPatch(body)
		return err
	},
	"config": func(p *pointReader) error {
		body, err := p.payload()
		if err != nil {
			return err
		}
		config, err := readConfig(body)
		if err == nil && config.Validate(p.limits) == nil {
			appendInfo(nil, &collection.Info{Config: config})
		}
		return err
	},
}

// FuzzDecoders: no body crashes a decoder, an accepted one is JSON, and a
// refused one is the caller's fault.
func FuzzDecoders(f *testing.F) {
	for _, seed := range []string{
		`{"points":[1,"f47ac10b-58cc-4372-a567-0e02b2c3d479"],"filter":{"must":[{"key":"a","match":{"value":1}}]},"payload":{"a":[1,2.5]},"key":"a.b[0]","keys":["a"],"shard_key":null}`,
		`{"ids":[1],"with_payload":{"include":["a"]},"with_vector":[""],"offset":1,"limit":3,"order_by":null,"exact":true}`,
		`{"query":{"nearest":[1,2]},"using":"","prefetch":[],"params":{"hnsw_ef":1,"exact":true},"score_threshold":0.5,"with_payload":["a"]}`,
		`{"vectors":{"":{"size":4,"distance":"Cosine","on_disk":true}},"hnsw_config":{"m":1,"ef_construct":4},"optimizers_config":{"deleted_threshold":0.1}}`,
		`{"query":1,"with_payload":{"exclude":[]}}`, `null`, `{`, ``,
		`{"query":{"rrf":{"k":1,"weights":[1,0.5]}},"prefetch":[{"query":{"fusion":"dbsf"},"prefetch":{"query":{"indices":[1],"values":[2]},"using":"s"}},{"query":{"nearest":1,"mmr":{"diversity":0.5,"candidates_limit":3}},"lookup_from":{"collection":"a","vector":"b"}}]}`,
		`{"searches":[{"vector":{"name":"a","vector":[1]},"limit":1},{"vector":[1],"top":1,"positive":[1],"query":{"recommend":{"positive":[[1]],"negative":[2],"strategy":"average_vector"}}}]}`,
		`{"operations":[{"upsert":{"points":[]}},{"delete_vectors":{"points":[1],"vector":["a"]}},{"update_vectors":{"points":[{"id":1,"vector":[1]}]}},{"clear_payload":{"filter":{}}}]}`,
		`{"actions":[{"create_alias":{"alias_name":"a","collection_name":"b"}},{"delete_alias":{"alias_name":"a"}},{"rename_alias":{"old_alias_name":"a","new_alias_name":"b"}}]}`,
		`{"field_name":"a.b[]","field_schema":{"type":"integer","lookup":true,"range":false}}`, `{"field_name":"a","field_schema":"keyword"}`,
		`{"vectors":{"a":{"on_disk":true,"quantization_config":"Disabled"}},"sparse_vectors":{"s":{"modifier":"idf","index":{"on_disk":true}}},"params":{"replication_factor":2}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, decode := range decoders {
			p := newPointReader(text, collection.DefaultLimits())
			err := decode(p)
			if err == nil {
				err = p.end()
			}
			if err == nil && !json.Valid(text) {
				t.Fatalf("%s accepted %q", name, text)
			}
			if code := collection.CodeOf(err); err != nil && code != collection.InvalidArgument && code != collection.Unimplemented {
				t.Fatalf("%s of %q: %v", name, text, err)
			}
		}
	})
}

// upsertBody is what a client sends: n points of dim numbers in the digits of
// Python's and JavaScript's floats.
func upsertBody(n, dim int, payload string) []byte {
	r := rand.New(rand.NewPCG(7, uint64(dim)))
	b := []byte(`{"points":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(append(b, `{"id":`...), int64(i), 10), `,"vector":[`...)
		for j := range dim {
			if j > 0 {
				b = append(b, ", "...)
			}
			b = strconv.AppendFloat(b, r.NormFloat64()/8, 'g', -1, 64)
		}
		b = append(append(append(b, `],"payload":`...), payload...), '}')
	}
	return append(b, `]}`...)
}

func BenchmarkUpsertDecode(b *testing.B) {
	for _, c := range []struct {
		n, dim  int
		payload string
	}{{100, 128, "null"}, {100, 128, `{"city":"Berlin","year":2024,"price":11.5,"tags":["a","b"]}`}, {1000, 768, "null"}} {
		text := upsertBody(c.n, c.dim, c.payload)
		b.Run(fmt.Sprintf("%dx%d/payload=%d", c.n, c.dim, len(c.payload)), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decodeUpsert(text, collection.DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.n*c.dim), "ns/number")
		})
	}
}
