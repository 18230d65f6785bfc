package httpedge

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

// result is the result of an answer in the envelope, which is checked.
func (r reply) result() string {
	r.t.Helper()
	var envelope struct {
		Result json.RawMessage
		Status string
		Time   json.Number
		Usage  json.RawMessage
	}
	if err := json.Unmarshal([]byte(r.text), &envelope); err != nil || r.status != 200 {
		r.t.Fatalf("%d %s: %v", r.status, r.text, err)
	}
	if envelope.Status != "ok" || !strings.Contains(string(envelope.Time), ".") || string(envelope.Usage) != "null" || string(envelope.Result) == "null" {
		r.t.Errorf("envelope: %s", r.text)
	}
	if r.header.Get("Content-Type") != "application/json" {
		r.t.Errorf("Content-Type %q", r.header.Get("Content-Type"))
	}
	return string(envelope.Result)
}

// qdrantError is the text of an error in Qdrant's envelope.
func (r reply) qdrantError() string {
	r.t.Helper()
	status, _ := r.json()["status"].(map[string]any)
	text, _ := status["error"].(string)
	return text
}

func (r reply) resultIs(want string) {
	r.t.Helper()
	if got := r.result(); got != want {
		r.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// only returns the one call that the engine got.
func (e *edge) only() call {
	e.t.Helper()
	calls := e.engine.take()
	if len(calls) != 1 {
		e.t.Fatalf("%d calls: %+v", len(calls), calls)
	}
	return calls[0]
}

func (e *edge) calledWith(op string, want any) {
	e.t.Helper()
	if c := e.only(); c.op != op || !reflect.DeepEqual(c.arg, want) {
		e.t.Errorf("called %s %+v\nwant %s %+v", c.op, c.arg, op, want)
	}
}

func TestServiceRoot(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Commit = strings.Repeat("a", 40) })
	for _, url := range []string{e.qdrant + "/", e.main + "/qdrant", e.main + "/qdrant/"} {
		v := e.send("GET", url, "", "").is(200, "").json()
		if v["version"] != qdrantVersion || !strings.HasPrefix(qdrantVersion, "1.18.") || v["title"] == "" || v["commit"] != strings.Repeat("a", 40) {
			t.Errorf("%s: %v", url, v)
		}
	}
	if v := e.send("GET", e.main+"/", "", "").json(); v["version"] != "9.8.7" || v["title"] != "waggle" {
		t.Errorf("%v", v)
	}
	e.send("GET", e.qdrant+"/healthz", "", "").is(200, "healthz check passed")
	e.send("GET", e.qdrant+"/livez/", "", "").is(200, "healthz check passed")
	e.send("GET", e.qdrant+"/readyz", "", "").is(200, "all shards are ready")
}

func TestCollections(t *testing.T) {
	e := newEdge(t, nil)
	e.q("GET", "/collections", "").resultIs(`{"collections":[]}`)
	e.engine.infos = []collection.Info{{Name: "a"}, {Name: `b"é`}}
	e.q("GET", "/collections/", "").resultIs(`{"collections":[{"name":"a"},{"name":"b\"é"}]}`)
	e.q("GET", "/collections/a/exists", "").resultIs(`{"exists":true}`)
	e.q("GET", "/collections/z/exists", "").resultIs(`{"exists":false}`)
	e.q("DELETE", "/collections/a?timeout=3", "").resultIs(`true`)
	e.q("DELETE", "/collections/z", "").resultIs(`false`)
	e.q("GET", "/collections/z", "").is(404, "{\"status\":{\"error\":\"Not found: Collection `z` doesn't exist!\"}")
	e.engine.take()
	e.q("PUT", "/collections/a", `{"vectors":{"size":4,"distance":"Dot"}}`).resultIs(`true`)
	e.calledWith("create", collection.Config{Vectors: []collection.VectorParams{{Size: 4, Distance: collection.Dot}}, Extra: map[string]any{}})
	e.engine.err = collection.Errorf(collection.AlreadyExists, "Collection `a` already exists!")
	e.q("PUT", "/collections/a", `{"vectors":{"size":4,"distance":"Dot"}}`).is(409, "Wrong input: Collection `a` already exists!")
}

func TestCreateCollectionForms(t *testing.T) {
	e := newEdge(t, nil)
	dot4 := collection.VectorParams{Size: 4, Distance: collection.Dot}
	e.q("PUT", "/collections/a", `{"vectors":{"size":4,"distance":"Manhattan"}}`).resultIs(`true`)
	e.calledWith("create", collection.Config{Vectors: []collection.VectorParams{{Size: 4, Distance: collection.Manhattan}}, Extra: map[string]any{}})
	onDisk := true
	set := dot4
	set.OnDisk, set.Extra = &onDisk, map[string]any{"datatype": "float32"}
	for body, extra := range map[string]map[string]any{
		`{"vectors":{"":{"size":4,"distance":"Dot"}}}`: {},
		`{"vectors":{"size":4,"distance":"Dot","hnsw_config":null,"on_disk":true,"datatype":"float32","multivector_config":null},"hnsw_config":{"m":32,"ef_construct":null},"sparse_vectors":null,"unknown":[1]}`: {
			"hnsw_config": map[string]any{"m": int64(32)},
		},
		`{"vectors":{"size":4,"distance":"Dot"},"sparse_vectors":{},"on_disk_payload":false,"shard_number":1,"optimizers_config":{"deleted_threshold":0.5,"max_optimization_threads":"auto"},"quantization_config":{"scalar":{"type":"int8"}},"metadata":{"a":1.0}}`: {
			"on_disk_payload": false, "shard_number": int64(1), "metadata": map[string]any{"a": 1.0},
			"optimizers_config":   map[string]any{"deleted_threshold": 0.5, "max_optimization_threads": "auto"},
			"quantization_config": map[string]any{"scalar": map[string]any{"type": "int8"}},
		},
	} {
		e.q("PUT", "/collections/a", body).resultIs(`true`)
		want := dot4
		if strings.Contains(body, "on_disk\":true") {
			want = set
		}
		e.calledWith("create", collection.Config{Vectors: []collection.VectorParams{want}, Extra: extra})
	}
	for body, want := range map[string]string{
		``:              "400 Format error in JSON body: EOF while parsing a value at line 1 column 0",
		`[]`:            "400 Format error in JSON body: invalid type: sequence, expected a map at line 1 column 2",
		`{"vectors":7}`: "400 Format error in JSON body: vectors: ",
		`{"vectors":{"size":"4","distance":"Dot"}}`:                                                      "400 Format error in JSON body: vectors.size: ",
		`{"vectors":{"size":4}}`:                                                                         "400 Format error in JSON body: vectors.distance: ",
		`{"vectors":{"size":4,"distance":"Hamming"}}`:                                                    "400 Format error in JSON body: unknown variant `Hamming`, expected one of `Cosine`, `Euclid`, `Dot`, `Manhattan`",
		`{"vectors":{"size":0,"distance":"Dot"}}`:                                                        "422 Validation error in JSON body: [vectors.size: value 0 invalid, must be from 1 to 65535]",
		`{"vectors":{"size":65536,"distance":"Dot"}}`:                                                    "422 Validation error in JSON body: [vectors.size: value 65536 ",
		`{"vectors":{"size":-1,"distance":"Dot"}}`:                                                       "422 Validation error in JSON body: [vectors.size: value 0 ",
		`{"vectors":{"size":4,"distance":"Dot","multivector_config":{"comparator":"max_sim"}}}`:          "501 Not implemented: ",
		`{"vectors":{"size":4,"distance":"Dot","datatype":"uint8"}}`:                                     "501 Not implemented: ",
		`{"vectors":{"size":4,"distance":"Dot"},"init_from":{"collection":"other"}}`:                     "501 Not implemented: ",
		`{"vectors":{"size":4,"distance":"Dot"},"hnsw_config":{"ef_construct":0}}`:                       "422 Validation error in JSON body: [hnsw_config.ef_construct: value 0 invalid, must be 4 or larger]",
		`{"vectors":{"size":4,"distance":"Dot"},"hnsw_config":{"m":"16"}}`:                               "400 Format error in JSON body: hnsw_config.m: ",
		`{"vectors":{"size":4,"distance":"Dot"},"hnsw_config":{"m":1.5}}`:                                "400 Format error in JSON body: hnsw_config.m: ",
		`{"vectors":{"size":4,"distance":"Dot"},"hnsw_config":[]}`:                                       "400 Format error in JSON body: hnsw_config: ",
		`{"vectors":{"size":4,"distance":"Dot"},"on_disk_payload":1}`:                                    "400 Format error in JSON body: on_disk_payload: ",
		`{"vectors":{"size":4,"distance":"Dot"},"shard_number":0}`:                                       "422 Validation error in JSON body: [shard_number: value 0 invalid, must be 1 or larger]",
		`{"vectors":{"size":4,"distance":"Dot"},"optimizers_config":{"deleted_threshold":2}}`:            "422 Validation error in JSON body: [optimizers_config.deleted_threshold: value 2.0 invalid, must be from 0.0 to 1.0]",
		`{"vectors":{"size":4,"distance":"Dot"},"metadata":{"a":"` + strings.Repeat("x", 70_000) + `"}}`: "422 Validation error in JSON body: [collection settings: ",
	} {
		got := e.q("PUT", "/collections/a", body)
		status, text, _ := strings.Cut(want, " ")
		if fmt.Sprint(got.status) != status || !strings.HasPrefix(got.qdrantError(), text) {
			t.Errorf("%.120s\ngot  %d %s\nwant %s", body, got.status, got.text, want)
		}
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

func TestCollectionInfo(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.infos = []collection.Info{{Name: "plain", Points: 3, Config: collection.Config{Vectors: []collection.VectorParams{{Size: 4, Distance: collection.Cosine}}}}}
	const rest = `"wal_config":{"wal_capacity_mb":32,"wal_retain_closed":1,"wal_segments_ahead":0}},"payload_schema":{}}`
	const optimizer = `"optimizer_config":{"default_segment_number":0,"deleted_threshold":0.2,"flush_interval_sec":5,"indexing_threshold":10000,"max_optimization_threads":null,"max_segment_size":null,"memmap_threshold":null,"vacuum_min_vector_number":1000},`
	e.q("GET", "/collections/plain", "").resultIs(`{"status":"green","optimizer_status":"ok","indexed_vectors_count":0,"points_count":3,"segments_count":1,"config":{` +
		`"hnsw_config":{"ef_construct":100,"full_scan_threshold":10000,"m":16,"max_indexing_threads":0,"on_disk":false},` + optimizer +
		`"params":{"on_disk_payload":true,"replication_factor":1,"shard_number":1,"vectors":{"distance":"Cosine","size":4},"write_consistency_factor":1},"quantization_config":null,` + rest)

	// What a create request sets is what is shown.
	e.q("PUT", "/collections/set", `{"vectors":{"size":4,"distance":"Euclid","on_disk":true},"on_disk_payload":false,"hnsw_config":{"m":8,"payload_m":4},"quantization_config":{"binary":{}},"metadata":{"k":1.0}}`).resultIs(`true`)
	config := e.engine.take()[1].arg.(collection.Config)
	e.engine.infos = []collection.Info{{Name: "set", Config: config}}
	e.q("GET", "/collections/set", "").resultIs(`{"status":"green","optimizer_status":"ok","indexed_vectors_count":0,"points_count":0,"segments_count":1,"config":{` +
		`"hnsw_config":{"ef_construct":100,"full_scan_threshold":10000,"m":8,"max_indexing_threads":0,"on_disk":false,"payload_m":4},"metadata":{"k":1.0},` + optimizer +
		`"params":{"on_disk_payload":false,"replication_factor":1,"shard_number":1,"vectors":{"distance":"Euclid","on_disk":true,"size":4},"write_consistency_factor":1},"quantization_config":{"binary":{}},` + rest)
	if len(hnswDefaults) != 5 || hnswDefaults["m"] != int64(16) {
		t.Errorf("the defaults were changed: %v", hnswDefaults)
	}
}

func TestWrites(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.answer = collection.Answer{Operation: 42}
	ids := &collection.Selection{IDs: []collection.PointID{collection.NumID(1), collection.NumID(2)}}
	yes := func(key string) *collection.Filter {
		return must(collection.ParseFilter([]byte(`{"must":{"is_empty":{"key":"`+key+`"}}}`), collection.DefaultLimits()))
	}
	for _, c := range []struct {
		method, path, body string
		want               collection.Write
	}{
		{"PUT", "/points", `{"points":[{"id":1,"vector":[0.5]}]}`, collection.Write{Upsert: []collection.Point{{ID: collection.NumID(1), Vector: []float32{.5}}}}},
		{"POST", "/points/delete", `{"points":[1,2],"filter":null}`, collection.Write{Delete: ids}},
		{"POST", "/points/delete", `{"points":[]}`, collection.Write{Delete: &collection.Selection{IDs: []collection.PointID{}}}},
		{"POST", "/points/delete", `{"filter":{"must":{"is_empty":{"key":"a"}}},"points":null}`, collection.Write{Delete: &collection.Selection{Filter: yes("a")}}},
		{"POST", "/points/delete", `{"filter":{}}`, collection.Write{Delete: &collection.Selection{Filter: &collection.Filter{}}}},
		{"POST", "/points/payload/clear", `{"filter":{"must":{"is_empty":{"key":"a"}}},"points":[1,2]}`, collection.Write{ClearPayload: ids}},
		{"POST", "/points/payload", `{"points":[1,2],"payload":{"a":1},"key":"x.y"}`, collection.Write{SetPayload: &collection.PayloadChange{Selection: *ids, Payload: collection.Payload{"a": int64(1)}, Path: "x.y"}}},
		{"POST", "/points/payload", `{"filter":{"must":{"is_empty":{"key":"a"}}},"payload":{},"key":null}`, collection.Write{SetPayload: &collection.PayloadChange{Selection: collection.Selection{Filter: yes("a")}, Payload: collection.Payload{}}}},
		{"PUT", "/points/payload", `{"points":[1,2],"payload":{"a":1.0}}`, collection.Write{OverwritePayload: &collection.PayloadChange{Selection: *ids, Payload: collection.Payload{"a": 1.0}}}},
		{"POST", "/points/payload/delete", `{"keys":["a","b[].c"],"points":[1,2]}`, collection.Write{DeletePayload: &collection.KeysChange{Selection: *ids, Keys: []string{"a", "b[].c"}}}},
	} {
		e.q(c.method, "/collections/docs"+c.path+"?wait=true&ordering=strong&timeout=9", c.body).resultIs(`{"operation_id":42,"status":"completed"}`)
		got := e.only()
		if got.op != "write" || got.name != "docs" || !got.options.Wait || !reflect.DeepEqual(got.arg, c.want) {
			t.Errorf("%s %s: %+v\nwant %+v", c.path, c.body, got, c.want)
		}
		if got.deadline < 8*time.Second || got.deadline > 9*time.Second {
			t.Errorf("%s: deadline %s", c.path, got.deadline)
		}
	}
	e.q("PUT", "/collections/docs/points", `{"points":[]}`).resultIs(`{"operation_id":42,"status":"acknowledged"}`)
	if c := e.only(); c.options.Wait || c.arg.(collection.Write).Upsert == nil {
		t.Errorf("%+v", c)
	}
	e.engine.answer.Operation = 0
	e.q("PUT", "/collections/docs/points", `{"points":[]}`).resultIs(`{"operation_id":null,"status":"acknowledged"}`)
}

func TestWriteErrors(t *testing.T) {
	e := newEdge(t, nil)
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", "/points/delete", `{}`, 400, "Format error in JSON body: data did not match any variant of untagged enum PointsSelector"},
		{"POST", "/points/delete", `{"points":["a"]}`, 400, "Format error in JSON body: value a is not a valid point ID"},
		{"POST", "/points/delete", `{"points":[1],"shard_key":"x"}`, 501, "Not implemented: shard_key"},
		{"POST", "/points/delete", `{"filter":{"must":[{"frobnicate":1}]}}`, 400, "Format error in JSON body: "},
		{"POST", "/points/delete", `{"filter":[]}`, 400, "Format error in JSON body: "},
		{"POST", "/points/delete", `{"points":[1` + strings.Repeat(",1", 10_000) + `]}`, 413, "Bad request: "},
		{"POST", "/points/delete", `{"filter":{"must":[{"key":"a"}]}}`, 422, "Validation error in JSON body: ["},
		{"POST", "/points/delete", `{"filter":{"must":[` + strings.Repeat(`{"is_empty":{"key":"a"}},`, 1024) + `{"is_empty":{"key":"a"}}]}}`, 422, "Validation error in JSON body: ["},
		{"POST", "/points/payload", `{"points":[1]}`, 400, "Format error in JSON body: missing field `payload`"},
		{"POST", "/points/payload", `{"payload":{"a":1}}`, 400, "Format error in JSON body: Either list of point ids or filter must be provided"},
		{"POST", "/points/payload", `{"payload":{"a":1},"points":[1],"key":"a..b"}`, 400, "Format error in JSON body: Invalid json path: 'a..b'"},
		{"PUT", "/points/payload", `{"payload":[],"points":[1]}`, 400, "Format error in JSON body: invalid type: sequence, expected a map"},
		{"POST", "/points/payload/delete", `{"points":[1]}`, 400, "Format error in JSON body: missing field `keys`"},
		{"POST", "/points/payload/delete", `{"keys":["["],"points":[1]}`, 400, "Format error in JSON body: Invalid json path"},
		{"PUT", "/points?wait=maybe", `{"points":[]}`, 400, "Deserialize error in query parameters: "},
		{"PUT", "/points?ordering=total", `{"points":[]}`, 400, "Deserialize error in query parameters: "},
		{"PUT", "/points?timeout=0", `{"points":[]}`, 422, "Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]"},
		{"PUT", "/points?timeout=soon", `{"points":[]}`, 400, "Deserialize error in query parameters: "},
		{"PUT", "/points?timeout=-1", `{"points":[]}`, 400, "Deserialize error in query parameters: "},
	} {
		got := e.q(c.method, "/collections/docs"+c.path, c.body)
		if got.status != c.status || !strings.HasPrefix(got.qdrantError(), c.text) {
			t.Errorf("%s %.80s\ngot  %d %s\nwant %d %s", c.path, c.body, got.status, got.text, c.status, c.text)
		}
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	e := newEdge(t, nil)
	const path, body = "/collections/docs/points", `{"points":[]}`
	write := func(url, body string, headers ...string) collection.WriteOptions {
		e.send("PUT", e.qdrant+url, e.keys["ADMIN"], body, headers...).is(200, "")
		return e.only().options
	}
	first := write(path, body, "Idempotency-Key", "k1")
	if want := sha256.Sum256([]byte("PUT\n" + path + "\n" + body)); first.IdempotencyKey != "k1" || first.RequestHash != want {
		t.Errorf("%+v", first)
	}
	if again := write(path+"?wait=false", body, "Idempotency-Key", "k1"); again.RequestHash != first.RequestHash {
		t.Error("the same request has two hashes")
	}
	if other := write(path, body+" ", "Idempotency-Key", "k1"); other.RequestHash == first.RequestHash {
		t.Error("another body has the same hash")
	}
	if other := write("/collections/docs2/points", body, "Idempotency-Key", "k1"); other.RequestHash == first.RequestHash {
		t.Error("another path has the same hash")
	}
	e.send("PUT", e.main+"/qdrant"+path, e.keys["ADMIN"], body, "Idempotency-Key", "k1").is(200, "")
	if there := e.only().options; there.RequestHash != first.RequestHash {
		t.Error("the same request has another hash on the other listener")
	}
	if none := write(path, body); none != (collection.WriteOptions{}) {
		t.Errorf("%+v", none)
	}
	write(path, body, "Idempotency-Key", strings.Repeat("k", 255))
	e.send("PUT", e.qdrant+path, e.keys["ADMIN"], body, "Idempotency-Key", strings.Repeat("k", 256)).is(400, "Idempotency-Key is longer than 255 bytes")
}

func TestReads(t *testing.T) {
	e := newEdge(t, nil)
	u := must(collection.ParseUUID("f47ac10b58cc4372a5670e02b2c3d479"))
	big := collection.NumID(math.MaxUint64)
	e.engine.points = []collection.Point{
		{ID: big, Vector: []float32{1, -0.5, 1e-9, 0}, Payload: collection.Payload{"f": 10.0, "i": int64(10), "u": uint64(math.MaxUint64)}},
		{ID: u},
	}
	const records = `[{"id":18446744073709551615,"payload":{"f":10.0,"i":10,"u":18446744073709551615},"vector":[1.0,-0.5,1e-09,0.0]},{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","payload":{},"vector":{}}]`
	e.q("POST", "/collections/docs/points?consistency=majority", `{"ids":[18446744073709551615,"F47AC10B58CC4372A5670E02B2C3D479"],"with_vector":true}`).resultIs(records)
	e.calledWith("retrieve", retrieval{[]collection.PointID{big, u}, collection.PayloadSelector{All: true}, collection.VectorSelector{All: true}})
	e.q("POST", "/collections/docs/points", `{"ids":[1],"with_payload":false,"with_vector":[""]}`).resultIs(strings.ReplaceAll(strings.ReplaceAll(records, `"payload":{"f":10.0,"i":10,"u":18446744073709551615},`, ""), `,"payload":{}`, ""))
	e.calledWith("retrieve", retrieval{[]collection.PointID{collection.NumID(1)}, collection.PayloadSelector{}, collection.VectorSelector{Names: []string{""}}})

	e.q("GET", "/collections/docs/points/18446744073709551615", "").resultIs(strings.TrimPrefix(strings.Split(records, `,{"id":"`)[0], "["))
	e.calledWith("retrieve", retrieval{[]collection.PointID{big}, collection.PayloadSelector{All: true}, collection.VectorSelector{All: true}})
	e.q("GET", "/collections/docs/points/%7Bf47ac10b-58cc-4372-a567-0e02b2c3d479%7D", "").result()
	e.calledWith("retrieve", retrieval{[]collection.PointID{u}, collection.PayloadSelector{All: true}, collection.VectorSelector{All: true}})
	e.q("GET", "/collections/docs/points/abc", "").is(400, `Wrong input: Can not recognize \"abc\" as point id`)

	e.q("POST", "/collections/docs/points/scroll", `{}`).resultIs(`{"points":` + strings.NewReplacer(`,"vector":[1.0,-0.5,1e-09,0.0]`, "", `,"vector":{}`, "").Replace(records) + `,"next_page_offset":null}`)
	e.calledWith("scroll", collection.ScrollRequest{Limit: 10, WithPayload: collection.PayloadSelector{All: true}})
	e.engine.next = &u
	e.engine.points = nil
	e.q("POST", "/collections/docs/points/scroll", `{"offset":3,"limit":2,"filter":{},"with_payload":["a","b.c"],"with_vectors":true,"order_by":null}`).
		resultIs(`{"points":[],"next_page_offset":"f47ac10b-58cc-4372-a567-0e02b2c3d479"}`)
	three := collection.NumID(3)
	e.calledWith("scroll", collection.ScrollRequest{Offset: &three, Limit: 2, Filter: &collection.Filter{}, WithPayload: collection.PayloadSelector{Include: []string{"a", "b.c"}}, WithVector: collection.VectorSelector{All: true}})
	e.q("GET", "/collections/docs/points/5", "").is(404, "Not found: Point with id 5 does not exists!")
	e.engine.take()

	e.engine.count = 7
	e.q("POST", "/collections/docs/points/count", `{"filter":null,"exact":false}`).resultIs(`{"count":7}`)
	e.calledWith("count", (*collection.Filter)(nil))
}

func TestReadErrors(t *testing.T) {
	e := newEdge(t, nil)
	for _, c := range []struct {
		path, body string
		status     int
		text       string
	}{
		{"/points", `{}`, 400, "Format error in JSON body: missing field `ids`"},
		{"/points", `{"ids":[1],"with_payload":7}`, 400, "Format error in JSON body: invalid type: integer `7`, expected a boolean"},
		{"/points", `{"ids":[1],"with_payload":{}}`, 400, "Format error in JSON body: data did not match any variant of untagged enum PayloadSelector"},
		{"/points", `{"ids":[1],"with_payload":{"include":["a"],"exclude":["b"]}}`, 400, "Format error in JSON body: data did not match"},
		{"/points?consistency=most", `{"ids":[1]}`, 400, "Deserialize error in query parameters: "},
		{"/points?consistency=0", `{"ids":[1]}`, 422, "Validation error in query parameters: "},
		{"/points/scroll", ``, 400, "Format error in JSON body: EOF while parsing a value at line 1 column 0"},
		{"/points/scroll", `{"limit":0}`, 422, "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]"},
		{"/points/scroll", `{"limit":10001}`, 422, "Validation error in JSON body: [limit: value 10001 invalid, must be 10000 or smaller]"},
		{"/points/scroll", `{"limit":-1}`, 400, "Format error in JSON body: invalid value: integer `-1`, expected u64"},
		{"/points/scroll", `{"limit":"5"}`, 400, "Format error in JSON body: invalid type: string \"5\", expected u64"},
		{"/points/scroll", `{"order_by":"price"}`, 501, "Not implemented: order_by"},
		{"/points/scroll", `{"offset":"x"}`, 400, "Format error in JSON body: value x is not a valid point ID"},
		{"/points/count", `{"exact":"yes"}`, 400, "Format error in JSON body: "},
		{"/points/query", `{"query":[1],"limit":0}`, 422, "Validation error in JSON body: [limit: value 0 "},
		{"/points/query", `{"query":[1],"limit":9000,"offset":1001}`, 422, "Validation error in JSON body: [offset: "},
		{"/points/query", `{"query":[1],"params":{"hnsw_ef":10001}}`, 422, "Validation error in JSON body: [params.hnsw_ef: "},
		{"/points/query", `{"query":[1,null]}`, 400, "Format error in JSON body: invalid type: null, expected f32"},
		{"/points/query", `{"query":true}`, 400, "Format error in JSON body: value true is not a valid point ID"},
		{"/points/query", `{"query":[1],"score_threshold":"x"}`, 400, "Format error in JSON body: "},
		{"/points/query", `{"query":[1]`, 400, "Format error in JSON body: EOF while parsing an object"},
	} {
		got := e.q("POST", "/collections/docs"+c.path, c.body)
		if got.status != c.status || !strings.HasPrefix(got.qdrantError(), c.text) {
			t.Errorf("%s %s\ngot  %d %s\nwant %d %s", c.path, c.body, got.status, got.text, c.status, c.text)
		}
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

func TestDeadlines(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Limits.RequestedTimeMax = time.Minute })
	near := func(want time.Duration, path string, headers ...string) {
		t.Helper()
		e.send("GET", e.qdrant+path, e.keys["ADMIN"], "", headers...).is(200, "")
		if got := e.only().deadline; got > want || got < want-time.Second {
			t.Errorf("%s %q: deadline in %s, want %s", path, headers, got, want)
		}
	}
	near(5*time.Second, "/collections")
	near(2*time.Second, "/collections", "X-Timeout-Ms", "2000")
	near(7*time.Second, "/collections?timeout=7", "X-Timeout-Ms", "2000")
	near(time.Minute, "/collections?timeout=4000000")
	e.q("PUT", "/collections/docs/points", `{"points":[]}`).is(200, "")
	if d := e.only().deadline; d < 29*time.Second || d > 30*time.Second {
		t.Errorf("a write has %s", d)
	}
	for _, bad := range []string{"0", "-1", "1s", "99999999999"} {
		e.send("GET", e.qdrant+"/collections", e.keys["ADMIN"], "", "X-Timeout-Ms", bad).is(400, "Deserialize error in headers: X-Timeout-Ms")
	}
}

func TestLargeAnswers(t *testing.T) {
	e := newEdge(t, nil)
	vector := make([]float32, 500)
	for i := range vector {
		vector[i] = float32(i) / 7
	}
	for i := range 200 {
		e.engine.points = append(e.engine.points, collection.Point{ID: collection.NumID(uint64(i)), Vector: vector})
	}
	var page struct {
		Points []struct {
			ID     uint64
			Vector []float32
		}
	}
	text := e.q("POST", "/collections/docs/points/scroll", `{"with_vector":true}`).result()
	if err := json.Unmarshal([]byte(text), &page); err != nil || len(text) < 512<<10 {
		t.Fatalf("%d bytes: %v", len(text), err)
	}
	for i, p := range page.Points {
		if p.ID != uint64(i) || !reflect.DeepEqual(p.Vector, vector) {
			t.Fatalf("point %d: %+v", i, p)
		}
	}
}

// TestRequestsBesideEachOther: what is reused between requests mixes none.
func TestRequestsBesideEachOther(t *testing.T) {
	e := newEdge(t, nil)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("c-%d-%d", worker, i)
				body := fmt.Sprintf(`{"points":[{"id":%d,"vector":[%d],"payload":{"name":"%s"}}]}`, i, worker, name)
				e.send("PUT", e.qdrant+"/collections/"+name+"/points", e.keys["ADMIN"], body, "Idempotency-Key", name, "X-Request-Id", name).is(200, "")
			}
		})
	}
	wg.Wait()
	calls := e.engine.take()
	for _, c := range calls {
		p := c.arg.(collection.Write).Upsert[0]
		n, _ := p.ID.Num()
		if want := fmt.Sprintf("c-%g-%d", p.Vector[0], n); c.name != want || c.options.IdempotencyKey != want || c.tc.RequestID != want || p.Payload["name"] != want {
			t.Errorf("mixed: %+v", c)
		}
	}
	if len(calls) != 400 {
		t.Errorf("%d calls", len(calls))
	}
}
