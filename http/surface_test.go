package httpedge

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
)

// wrongs are requests and what they have to be answered with: "STATUS text".
type wrongs []struct{ method, path, body, want string }

// refused checks that each is, and that nothing of it reaches the engine.
func (list wrongs) refused(e *edge) {
	e.t.Helper()
	for _, c := range list {
		got := e.q(c.method, c.path, c.body)
		if text := fmt.Sprint(got.status, " ", got.qdrantError()); !strings.HasPrefix(text, c.want) {
			e.t.Errorf("%s %s %.100s\ngot  %s\nwant %s", c.method, c.path, c.body, text, c.want)
		}
	}
	if calls := e.engine.take(); calls != nil {
		e.t.Errorf("called %+v", calls)
	}
}

func ids(list ...uint64) *collection.Selection {
	s := collection.Selection{IDs: []collection.PointID{}}
	for _, n := range list {
		s.IDs = append(s.IDs, collection.NumID(n))
	}
	return &s
}

func TestVectorWrites(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.answer.Operation = 7
	a := []collection.NamedVector{{Name: "a", Dense: []float32{1}}}
	for _, c := range []struct {
		method, path, body string
		want               collection.Write
	}{
		{"PUT", "", `{"points":[{"id":1,"vector":{"a":[1]},"payload":{"k":1}}]}`, collection.Write{Upsert: []collection.Point{{ID: collection.NumID(1), Vectors: a, Payload: collection.Payload{"k": int64(1)}}}}},
		{"PUT", "/vectors", `{"points":[{"id":1,"vector":{"a":[1]}},{"id":2,"vector":[2],"payload":{"k":1}}]}`, collection.Write{UpdateVectors: []collection.Point{{ID: collection.NumID(1), Vectors: a}, {ID: collection.NumID(2), Vector: []float32{2}}}}},
		{"POST", "/vectors/delete", `{"points":[1,2],"vector":["a",""]}`, collection.Write{DeleteVectors: &collection.VectorsChange{Selection: *ids(1, 2), Names: []string{"a", ""}}}},
		{"POST", "/vectors/delete", `{"filter":{},"vectors":["a"],"points":null}`, collection.Write{DeleteVectors: &collection.VectorsChange{Selection: collection.Selection{Filter: &collection.Filter{}}, Names: []string{"a"}}}},
	} {
		e.q(c.method, "/collections/docs/points"+c.path+"?wait=true", c.body).resultIs(`{"operation_id":7,"status":"completed"}`)
		e.calledWith("write", c.want)
	}
	wrongs{
		{"PUT", "/collections/docs/points/vectors", `{}`, "400 Format error in JSON body: missing field `points`"},
		{"PUT", "/collections/docs/points/vectors", `{"points":[]}`, "422 Validation error in JSON body: [points: must specify points to update]"},
		{"PUT", "/collections/docs/points/vectors", `{"points":[{"id":1}]}`, "400 Format error in JSON body: missing field `vector`"},
		{"PUT", "/collections/docs/points/vectors", `{"points":[{"id":1,"vector":[1]}],"update_filter":{}}`, "501 Not implemented: update_filter"},
		{"POST", "/collections/docs/points/vectors/delete", `{"points":[1]}`, "400 Format error in JSON body: missing field `vector`"},
		{"POST", "/collections/docs/points/vectors/delete", `{"points":[1],"vector":[]}`, "422 Validation error in JSON body: [vector: must specify vector names to delete]"},
		{"POST", "/collections/docs/points/vectors/delete", `{"vector":["a"]}`, "400 Format error in JSON body: Either list of point ids or filter must be provided"},
		{"POST", "/collections/docs/points/vectors/delete", `{"points":[1],"vector":[` + repeated(`"a"`, 65) + `]}`, "422 Validation error in JSON body: [vector: more than 64 vectors]"},
		{"PUT", "/collections/docs/points", `{"points":[{"id":1,"vector":{"` + strings.Repeat("n", 256) + `":[1]}}]}`, "422 Validation error in JSON body: [vector: a name of 256 bytes, must be at most 255]"},
	}.refused(e)
}

func TestBatches(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.answer.Operation = 9
	const all = `{"operations":[
		{"upsert":{"points":[{"id":1,"vector":[1]}]}}, {"upsert":{"batch":{"ids":[2],"vectors":[[2]]}}},
		{"delete":{"points":[1]}}, {"set_payload":{"payload":{"a":1},"points":[2],"key":"k"}}, {"overwrite_payload":{"payload":{},"points":[2]}},
		{"delete_payload":{"keys":["a"],"filter":{}}}, {"clear_payload":{"points":[2]}},
		{"update_vectors":{"points":[{"id":2,"vector":[3]}]}}, {"delete_vectors":{"points":[2],"vector":["a"]}}],"extra":1}`
	payload := collection.Payload{"a": int64(1)}
	want := collection.Write{Batch: []collection.Write{
		{Upsert: []collection.Point{{ID: collection.NumID(1), Vector: []float32{1}}}},
		{Upsert: []collection.Point{{ID: collection.NumID(2), Vector: []float32{2}}}},
		{Delete: ids(1)},
		{SetPayload: &collection.PayloadChange{Selection: *ids(2), Payload: payload, Path: "k"}},
		{OverwritePayload: &collection.PayloadChange{Selection: *ids(2), Payload: collection.Payload{}}},
		{DeletePayload: &collection.KeysChange{Selection: collection.Selection{Filter: &collection.Filter{}}, Keys: []string{"a"}}},
		{ClearPayload: ids(2)},
		{UpdateVectors: []collection.Point{{ID: collection.NumID(2), Vector: []float32{3}}}},
		{DeleteVectors: &collection.VectorsChange{Selection: *ids(2), Names: []string{"a"}}},
	}}
	answer := e.q("POST", "/collections/docs/points/batch?wait=true", all).result()
	if !strings.HasPrefix(answer, `[{"operation_id":1,"status":"completed"},{"operation_id":2,`) || !strings.HasSuffix(answer, `{"operation_id":9,"status":"completed"}]`) {
		t.Error(answer)
	}
	e.calledWith("write", want)
	e.engine.answer.Operation = 0
	e.q("POST", "/collections/docs/points/batch", `{"operations":[{"delete":{"points":[1]}},{"delete":{"points":[1]}}]}`).
		resultIs(`[{"operation_id":null,"status":"acknowledged"},{"operation_id":null,"status":"acknowledged"}]`)
	e.q("POST", "/collections/docs/points/batch", `{"operations":[]}`).resultIs(`[]`)
	e.engine.take()

	const path = "/collections/docs/points/batch"
	ops := func(n int) string { return `{"operations":[` + repeated(`{"clear_payload":{"points":[]}}`, n) + `]}` }
	points := func(n int) string { return `{"clear_payload":{"points":[` + repeated("1", n) + `]}}` }
	e.q("POST", path, ops(1000)).is(200, "")
	e.q("POST", path, `{"operations":[`+points(5000)+`,`+points(5000)+`]}`).is(200, "")
	e.engine.take()
	wrongs{
		{"POST", path, `{}`, "400 Format error in JSON body: missing field `operations`"},
		{"POST", path, `{"operations":[{}]}`, "400 Format error in JSON body: data did not match any variant of untagged enum UpdateOperation"},
		{"POST", path, `{"operations":[{"frobnicate":{}}]}`, "400 Format error in JSON body: data did not match any variant of untagged enum UpdateOperation"},
		{"POST", path, `{"operations":[{"delete":{"points":[1]}},{"set_payload":{"points":[1]}}]}`, "400 Format error in JSON body: missing field `payload`"},
		{"POST", path, ops(1001), "413 Bad request: more than 1000 operations in one request"},
		{"POST", path, `{"operations":[` + points(5000) + `,` + points(5001) + `]}`, "413 Bad request: more than 10000 points in one request"},
	}.refused(e)
}

func TestAliases(t *testing.T) {
	e := newEdge(t, nil)
	e.q("POST", "/collections/aliases?timeout=3", `{"actions":[{"create_alias":{"collection_name":"c","alias_name":"a"}},{"rename_alias":{"new_alias_name":"b","old_alias_name":"a","x":1}},{"delete_alias":{"alias_name":"b"}}]}`).resultIs("true")
	e.calledWith("alias", []collection.AliasAction{
		{Kind: collection.AliasCreate, Alias: "a", Target: "c"}, {Kind: collection.AliasRename, Alias: "a", Target: "b"}, {Kind: collection.AliasDelete, Alias: "b"},
	})
	e.q("GET", "/aliases", "").resultIs(`{"aliases":[]}`)
	e.engine.aliases = []collection.Alias{{Name: `a"`, Collection: "c"}, {Name: "b", Collection: "d e"}}
	e.q("GET", "/aliases", "").resultIs(`{"aliases":[{"alias_name":"a\"","collection_name":"c"},{"alias_name":"b","collection_name":"d e"}]}`)
	e.q("GET", "/collections/d%20e/aliases", "").resultIs(`{"aliases":[{"alias_name":"b","collection_name":"d e"}]}`)
	e.q("GET", "/collections/none/aliases", "").resultIs(`{"aliases":[]}`)
	e.engine.take()
	action := `{"delete_alias":{"alias_name":"a"}}`
	e.q("POST", "/collections/aliases", `{"actions":[`+repeated(action, 1000)+`]}`).is(200, "")
	e.engine.take()
	const wrong = "400 Format error in JSON body: data did not match any variant of untagged enum AliasOperations"
	wrongs{
		{"POST", "/collections/aliases", `{}`, "400 Format error in JSON body: missing field `actions`"},
		{"POST", "/collections/aliases", `{"actions":[{}]}`, wrong},
		{"POST", "/collections/aliases", `{"actions":[{"create_aliases":{}}]}`, wrong},
		{"POST", "/collections/aliases", `{"actions":[{"create_alias":{"alias_name":"a"}}]}`, wrong},
		{"POST", "/collections/aliases", `{"actions":[{"rename_alias":{"old_alias_name":"a"}}]}`, wrong},
		{"POST", "/collections/aliases", `{"actions":[{"create_alias":{"alias_name":"a/b","collection_name":"c"}}]}`, "422 Validation error in JSON body: [collection_name: "},
		{"POST", "/collections/aliases", `{"actions":[{"create_alias":{"alias_name":"` + strings.Repeat("a", 256) + `","collection_name":"c"}}]}`, "422 Validation error in JSON body: [collection_name: length 256"},
		{"POST", "/collections/aliases", `{"actions":[` + repeated(action, 1001) + `]}`, "413 Bad request: more than 1000 actions"},
		{"POST", "/collections/aliases?timeout=0", `{"actions":[]}`, "422 Validation error in query parameters: [timeout: value 0 invalid"},
	}.refused(e)
}

func TestPayloadIndexes(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.answer.Operation = 3
	const path = "/collections/docs/index"
	index := func(field string, kind collection.FieldType, params map[string]any) collection.PayloadIndex {
		return collection.PayloadIndex{Field: field, Type: kind, Params: params}
	}
	for body, want := range map[string]collection.PayloadIndex{
		`{"field_name":"a","field_schema":"keyword"}`:      index("a", "keyword", nil),
		`{"field_name":"a.b[].c","field_type":"datetime"}`: index("a.b[].c", "datetime", nil),
		`{"field_schema":{"type":"integer","lookup":true,"range":false,"is_principal":null,"on_disk":true,"other":1},"field_name":"n"}`: index("n", "integer", map[string]any{"type": "integer", "lookup": true, "range": false, "on_disk": true}),
		`{"field_name":"t","field_schema":{"type":"text","tokenizer":"word","min_token_len":2,"lowercase":true,"stopwords":"english"}}`: index("t", "text", map[string]any{"type": "text", "tokenizer": "word", "min_token_len": int64(2), "lowercase": true, "stopwords": "english"}),
	} {
		e.q("PUT", path+"?wait=true&ordering=weak", body).resultIs(`{"operation_id":3,"status":"completed"}`)
		e.calledWith("put index", want)
	}
	for _, kind := range []string{"keyword", "integer", "float", "geo", "text", "bool", "datetime", "uuid"} {
		e.q("PUT", path, `{"field_name":"a","field_schema":"`+kind+`"}`).resultIs(`{"operation_id":3,"status":"acknowledged"}`)
		e.q("PUT", path, `{"field_name":"a","field_schema":{"type":"`+kind+`"}}`).is(200, "")
		e.engine.take()
	}
	e.q("DELETE", path+"/country.cities%5B%5D.name?wait=true", "").resultIs(`{"operation_id":3,"status":"completed"}`)
	e.calledWith("delete index", "country.cities[].name")
	wrongs{
		{"PUT", path, `{"field_schema":"keyword"}`, "400 Format error in JSON body: missing field `field_name`"},
		{"PUT", path, `{"field_name":"a"}`, "400 Bad request: Can't auto-detect payload field type, please specify `field_schema` in the request"},
		{"PUT", path, `{"field_name":"a","field_schema":null}`, "400 Bad request: Can't auto-detect"},
		{"PUT", path, `{"field_name":"a","field_schema":"string"}`, "400 Format error in JSON body: data did not match any variant of untagged enum PayloadFieldSchema"},
		{"PUT", path, `{"field_name":"a","field_schema":{}}`, "400 Format error in JSON body: data did not match any variant of untagged enum PayloadFieldSchema"},
		{"PUT", path, `{"field_name":"a","field_schema":{"type":"keyword","is_tenant":1}}`, "400 Format error in JSON body: field_schema.is_tenant: invalid type"},
		{"PUT", path, `{"field_name":"a","field_schema":{"type":"integer","lookup":false,"range":false}}`, "422 Validation error in JSON body: [field_schema.lookup: the 'lookup' and 'range' capabilities can't be both disabled]"},
		{"PUT", path, `{"field_name":"a","field_schema":{"type":"text","tokenizer":"magic"}}`, "400 Format error in JSON body: field_schema.tokenizer: unknown variant"},
		{"PUT", path, `{"field_name":"a..b","field_schema":"keyword"}`, "400 Format error in JSON body: Invalid json path"},
		{"PUT", path, `{"field_name":"","field_schema":"keyword"}`, "400 "},
		{"PUT", path, `{"field_name":"` + strings.Repeat("a", 1025) + `","field_schema":"keyword"}`, "422 Validation error in JSON body: [field_name: 1025 bytes"},
		{"PUT", path, `{"field_name":"a","field_schema":{"type":"text","stopwords":"` + strings.Repeat("a", 17_000) + `"}}`, "422 Validation error in JSON body: [field_schema: "},
		{"PUT", path + "?wait=1", `{"field_name":"a","field_schema":"keyword"}`, "400 Deserialize error in query parameters: wait"},
		{"DELETE", path + "/a..b", "", "400 Format error in JSON body: Invalid json path"},
	}.refused(e)
}

func TestSettings(t *testing.T) {
	e := newEdge(t, nil)
	yes, no := true, false
	e.q("PUT", "/collections/c", `{"vectors":{"b":{"size":2,"distance":"Dot","hnsw_config":{"m":4},"quantization_config":{"scalar":{"type":"int8","quantile":0.99}},"on_disk":false},"a":{"size":1,"distance":"Cosine"},"":{"size":3,"distance":"Euclid"}},
		"sparse_vectors":{"s":{},"t":{"modifier":"idf","index":{"on_disk":true,"full_scan_threshold":null}},"n":null}}`).resultIs("true")
	config := collection.Config{
		Vectors: []collection.VectorParams{
			{Size: 3, Distance: collection.Euclid},
			{Name: "a", Size: 1, Distance: collection.Cosine},
			{Name: "b", Size: 2, Distance: collection.Dot, OnDisk: &no, Extra: map[string]any{
				"hnsw_config": map[string]any{"m": int64(4)}, "quantization_config": map[string]any{"scalar": map[string]any{"type": "int8", "quantile": 0.99}},
			}},
		},
		Sparse: []collection.SparseParams{
			{Name: "n", Extra: map[string]any{}},
			{Name: "s", Extra: map[string]any{}},
			{Name: "t", IDF: true, Extra: map[string]any{"modifier": "idf", "index": map[string]any{"on_disk": true}}},
		},
		Extra: map[string]any{},
	}
	e.calledWith("create", config)
	e.engine.infos = []collection.Info{{Name: "c", Config: config, Points: 5, Indexed: 4, Building: true, Fields: []collection.FieldInfo{
		{PayloadIndex: collection.PayloadIndex{Field: `k"`, Type: "keyword"}, Points: 5},
		{PayloadIndex: collection.PayloadIndex{Field: "n[].x", Type: "integer", Params: map[string]any{"type": "integer", "lookup": true}}},
	}}}
	info := e.q("GET", "/collections/c", "").result()
	for _, part := range []string{
		`{"status":"yellow","optimizer_status":"ok","indexed_vectors_count":4,"points_count":5,"segments_count":1,`,
		`"vectors":{"":{"distance":"Euclid","size":3},"a":{"distance":"Cosine","size":1},"b":{"distance":"Dot","hnsw_config":{"m":4},"on_disk":false,"quantization_config":{"scalar":{"quantile":0.99,"type":"int8"}},"size":2}}`,
		`"sparse_vectors":{"n":{},"s":{},"t":{"index":{"on_disk":true},"modifier":"idf"}}`,
		`"payload_schema":{"k\"":{"data_type":"keyword","points":5},"n[].x":{"data_type":"integer","params":{"lookup":true,"type":"integer"},"points":0}}}`,
	} {
		if !strings.Contains(info, part) {
			t.Errorf("%s\nhas no %s", info, part)
		}
	}
	for _, body := range []string{`{}`, `{"vectors":{}}`, `{"vectors":null}`} {
		e.q("PUT", "/collections/c", body).resultIs("true")
	}
	e.engine.take()
	e.engine.infos[0] = collection.Info{Name: "c"}
	if info := e.q("GET", "/collections/c", "").result(); !strings.Contains(info, `"vectors":{},`) || strings.Contains(info, "sparse_vectors") {
		t.Error(info)
	}
	e.engine.take()

	e.q("PATCH", "/collections/c?timeout=2", `{"vectors":{"":{"on_disk":true},"b":{"hnsw_config":{"m":8},"quantization_config":"Disabled","size":7}},"sparse_vectors":{"s":{"modifier":"idf"},"t":{"modifier":"none","index":{"on_disk":false}}},
		"params":{"replication_factor":2,"read_fan_out_factor":1,"on_disk_payload":false,"x":1},"hnsw_config":{"ef_construct":64},"optimizers_config":{"indexing_threshold":0},"quantization_config":{"binary":{"always_ram":true}},"metadata":{"k":null},"strict_mode_config":{"enabled":true},"wal_config":{"wal_capacity_mb":1},"shard_number":9}`).resultIs("true")
	e.calledWith("update", collection.UpdateCollection{
		Settings: map[string]any{
			"replication_factor": int64(2), "read_fan_out_factor": int64(1), "on_disk_payload": false, "hnsw_config": map[string]any{"ef_construct": int64(64)},
			"optimizers_config": map[string]any{"indexing_threshold": int64(0)}, "quantization_config": map[string]any{"binary": map[string]any{"always_ram": true}},
			"metadata": map[string]any{"k": nil}, "strict_mode_config": map[string]any{"enabled": true},
		},
		Vectors: []collection.VectorPatch{{OnDisk: &yes}, {Name: "b", Settings: map[string]any{"hnsw_config": map[string]any{"m": int64(8)}, "quantization_config": "Disabled"}}},
		Sparse:  []collection.VectorPatch{{Name: "s", IDF: &yes, Settings: map[string]any{"modifier": "idf"}}, {Name: "t", IDF: &no, Settings: map[string]any{"modifier": "none", "index": map[string]any{"on_disk": false}}}},
	})
	e.q("PATCH", "/collections/c", `{}`).resultIs("true")
	if c := e.only(); !reflect.DeepEqual(c.arg, collection.UpdateCollection{Settings: map[string]any{}}) {
		t.Errorf("%+v", c.arg)
	}
}

func TestSettingsErrors(t *testing.T) {
	e := newEdge(t, nil)
	vector := func(settings string) string { return `{"vectors":{"a":{"size":4,"distance":"Dot",` + settings + `}}}` }
	vectors := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"v%d":{},`, i)
		}
		return `{"sparse_vectors":{` + strings.TrimSuffix(b.String(), ",") + `}}`
	}
	e.q("PUT", "/collections/c", vectors(64)).is(200, "")
	e.q("PUT", "/collections/c", `{"sparse_vectors":{"`+strings.Repeat("n", 255)+`":{}}}`).is(200, "")
	e.engine.take()
	wrongs{
		{"PUT", "/collections/c", vectors(65), "422 Validation error in JSON body: [vectors: 65 vectors, must be at most 64]"},
		{"PUT", "/collections/c", `{"sparse_vectors":{"` + strings.Repeat("n", 256) + `":{}}}`, "422 Validation error in JSON body: [vectors: a name of 256 bytes"},
		{"PUT", "/collections/c", `{"vectors":{"a":{"size":4,"distance":"Dot"}},"sparse_vectors":{"a":{}}}`, "422 Validation error in JSON body: [vectors: the name \"a\" is there twice]"},
		{"PUT", "/collections/c", `{"sparse_vectors":[]}`, "400 Format error in JSON body: sparse_vectors: invalid type, expected a map"},
		{"PUT", "/collections/c", `{"sparse_vectors":{"s":7}}`, "400 Format error in JSON body: sparse_vectors.s: invalid type, expected a map"},
		{"PUT", "/collections/c", `{"sparse_vectors":{"s":{"modifier":"bm25"}}}`, "400 Format error in JSON body: sparse_vectors.s.modifier: unknown variant, expected one of `none`, `idf`"},
		{"PUT", "/collections/c", `{"sparse_vectors":{"s":{"index":{"datatype":"float16"}}}}`, "501 Not implemented: sparse_vectors.s.index.datatype float16"},
		{"PUT", "/collections/c", `{"vectors":{"a":7}}`, "400 Format error in JSON body: vectors.a: "},
		{"PUT", "/collections/c", `{"vectors":{"a":{"size":0,"distance":"Dot"}}}`, "422 Validation error in JSON body: [vectors.a.size: value 0 invalid, must be from 1 to 65535]"},
		{"PUT", "/collections/c", vector(`"datatype":"float16"`), "501 Not implemented: vectors.a.datatype float16"},
		{"PUT", "/collections/c", vector(`"datatype":"int4"`), "400 Format error in JSON body: vectors.a.datatype: unknown variant"},
		{"PUT", "/collections/c", vector(`"multivector_config":{"comparator":"max_sim"}`), "501 Not implemented: vectors.a.multivector_config"},
		{"PUT", "/collections/c", vector(`"hnsw_config":{"ef_construct":3}`), "422 Validation error in JSON body: [vectors.a.hnsw_config.ef_construct: value 3 invalid, must be 4 or larger]"},
		{"PUT", "/collections/c", vector(`"quantization_config":{}`), "400 Format error in JSON body: vectors.a.quantization_config: data did not match any variant of untagged enum QuantizationConfig"},
		{"PUT", "/collections/c", `{"quantization_config":{"scalar":{"type":"int8","quantile":0.4}}}`, "422 Validation error in JSON body: [quantization_config.scalar.quantile: value 0.4 invalid, must be from 0.5 to 1.0]"},
		{"PUT", "/collections/c", `{"quantization_config":{"scalar":{"type":"int4"}}}`, "400 Format error in JSON body: quantization_config.scalar.type: unknown variant"},
		{"PUT", "/collections/c", `{"quantization_config":"Disabled"}`, "400 Format error in JSON body: quantization_config: data did not match"},
		{"PATCH", "/collections/c", `[]`, "400 Format error in JSON body: invalid type: sequence, expected a map"},
		{"PATCH", "/collections/c", `{"params":[]}`, "400 Format error in JSON body: params: invalid type, expected a map"},
		{"PATCH", "/collections/c", `{"params":{"replication_factor":0}}`, "422 Validation error in JSON body: [params.replication_factor: value 0 invalid, must be 1 or larger]"},
		{"PATCH", "/collections/c", `{"hnsw_config":{"ef_construct":0}}`, "422 Validation error in JSON body: [hnsw_config.ef_construct: value 0 invalid, must be 4 or larger]"},
		{"PATCH", "/collections/c", `{"vectors":{"b":{"on_disk":"yes"}}}`, "400 Format error in JSON body: vectors.b.on_disk: invalid type, expected a boolean"},
		{"PATCH", "/collections/c", `{"quantization_config":"Off"}`, "400 Format error in JSON body: quantization_config: data did not match"},
		{"PATCH", "/collections/c?timeout=0", `{}`, "422 Validation error in query parameters: [timeout: value 0 invalid"},
	}.refused(e)
}
