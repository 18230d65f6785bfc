package httpedge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// api makes a request of the native API with an ADMIN key of mine, in turns at
// the node in charge and at one that is not, with and without the prefix.
func (w *world) api(method, path, body string) reply {
	w.t.Helper()
	if w.keys["ADMIN"] == "" {
		_, w.keys["ADMIN"] = w.key(w.mine, tenant.Admin, nil)
	}
	w.asked++
	door, prefix := w.edge, ""
	if w.asked%2 == 0 {
		door = w.through
	}
	if w.asked%4 < 2 {
		prefix = apiPrefix
	}
	return w.ask(method, door.main+prefix+path, body, "Api-Key", w.keys["ADMIN"])
}

func TestNativeCollections(t *testing.T) {
	w := newWorld(t)
	w.api("POST", "/collections", `{"name":"a b/c","dimension":3}`).is(400, `name: collection_name`)
	w.api("POST", "/collections", `{"name":"new","dimension":3,"metric":"euclidean","hnsw":{"m":24,"ef_construction":80},"quantization":{"type":"scalar"},"sparse":[{"name":"words","idf":true}]}`).
		is(201, `"collection":"new","dimension":3,"metric":"euclidean"`)
	w.api("POST", "/collections", `{"name":"new","dimension":3}`).is(409, `"code":"ALREADY_EXISTS"`)
	for _, part := range []string{`"dimension":3,"metric":"euclidean"`, `"hnsw":{"m":24,"ef_construction":80}`, `"quantization":{"type":"scalar"}`, `"sparse":[{"name":"words","idf":true}]`, `"vector_count":0`} {
		w.api("GET", "/collections/new", ``).is(200, part)
		w.api("GET", "/collections", ``).is(200, part)
	}
	// An ordinary collection: the other surface sees what it is.
	w.api("GET", "/qdrant/collections/new", ``)
	w.ask("GET", w.qdrant+"/collections/new", "", "Api-Key", w.keys["ADMIN"]).is(200, `"distance":"Euclid"`).is(200, `"m":24`).is(200, `"modifier":"idf"`)
	w.api("PATCH", "/collections/new", `{"hnsw":{"m":32}}`).is(200, `"hnsw":{"m":32,"ef_construction":80}`)
	w.api("PATCH", "/collections/new", `{}`).is(400, `nothing to change`)
	w.api("DELETE", "/collections/new", ``).is(200, `"collection":"new"`)
	w.api("DELETE", "/collections/new", ``).is(404, `"code":"NOT_FOUND"`)
	w.api("GET", "/collections/new", ``).is(404, `"code":"NOT_FOUND"`)
	// As clients of the predecessor write it.
	w.api("POST", "/collections", `{"name":"older","config":{"dimension":2,"metric":"DotProduct"}}`).is(201, `"metric":"dot"`)
	w.api("GET", "/stats", ``).is(200, `{"collections":2,"vectors":1,"storage_bytes":`)
}

func TestNativeVectors(t *testing.T) {
	w := newWorld(t)
	made := w.api("POST", "/insert_vectors", `{"collection":"docs","vectors":[
		{"id":"über/mich #1","vector":[0.5,0.25],"payload":{"n":1}},
		{"id":"7","data":[1,0],"metadata":{"n":2}},
		{"id":"6BA7B810-9DAD-11D1-80B4-00C04FD430C8","embedding":[0,1]},
		{"payload":{"n":3}, "vector":[3,3]}]}`)
	made.is(201, `"inserted":4,"failed":0,"vector_ids":["über/mich #1","7",`)
	own := made.json()["vector_ids"].([]any)[3].(string)
	w.api("GET", "/collections/docs/vectors/%C3%BCber%2Fmich%20%231", ``).is(200, `"id":"über/mich #1","vector":[0.5,0.25],"payload":{"n":1}`)
	w.api("POST", "/vector", `{"collection":"docs","vector_id":"7"}`).is(200, `{"id":"7","vector":[1.0,0.0],"payload":{"n":2}`)
	w.api("GET", "/collections/docs/vectors/"+own, ``).is(200, `"vector":[3.0,3.0]`)
	// A u64 and a UUID are those of the other surface; the string is there, too.
	seen := w.ask("POST", w.qdrant+"/collections/docs/points/scroll", `{"limit":9}`, "Api-Key", w.keys["ADMIN"])
	for _, part := range []string{`"id":7,`, `"id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, `"_id":"über/mich #1"`} {
		seen.is(200, part)
	}
	// What is not there is not there: no made-up vector, no success.
	for _, c := range [][3]string{
		{"GET", "/collections/docs/vectors/nobody", ""},
		{"DELETE", "/collections/docs/vectors/nobody", ""},
		{"PUT", "/collections/docs/vectors/nobody", `{"vector":[1,1]}`},
		{"PUT", "/collections/docs/vectors/nobody", `{"payload":{"a":1}}`},
		{"POST", "/update", `{"collection":"docs","id":"nobody","payload":{"a":1}}`},
		{"POST", "/vector", `{"collection":"docs","id":"nobody"}`},
		{"POST", "/delete", `{"collection":"docs","id":"nobody"}`},
	} {
		w.api(c[0], c[1], c[2]).is(404, `"code":"NOT_FOUND"`)
	}
	// An update changes what is stored, and answers with that.
	w.api("PUT", "/collections/docs/vectors/7", `{"data":[2,2],"metadata":{"m":[1]}}`).is(200, `"vector":[2.0,2.0],"payload":{"m":[1],"n":2}`)
	w.api("POST", "/update", `{"collection":"docs","id":"7","payload":{"n":null}}`).is(200, `"vector":[2.0,2.0],"payload":{"m":[1]}`)
	w.api("GET", "/collections/docs/vectors/7", ``).is(200, `"vector":[2.0,2.0],"payload":{"m":[1]}`)
	w.api("POST", "/batch_update", `{"collection":"docs","updates":[{"id":"7","vector":[4,4]},{"id":"gone","vector":[1,1]},{"id":"über/mich #1","payload":{"n":9}}]}`).
		is(200, `"total_operations":3,"successful_operations":2,"failed_operations":1,"missing":["gone"]`)
	w.api("GET", "/collections/docs/vectors/7", ``).is(200, `"vector":[4.0,4.0],"payload":{"m":[1]}`)
	w.api("GET", "/collections/docs/vectors/%C3%BCber%2Fmich%20%231", ``).is(200, `"id":"über/mich #1","vector":[0.5,0.25],"payload":{"n":9}`)
	w.api("POST", "/batch_delete", `{"collection":"docs","vector_ids":["7","gone","7"]}`).is(200, `"count":3,"deleted":1,"failed":1`)
	w.api("DELETE", "/collections/docs/vectors/%C3%BCber%2Fmich%20%231", ``).is(200, `"id":"über/mich #1"`)
	w.api("GET", "/collections/docs/vectors/%C3%BCber%2Fmich%20%231", ``).is(404, ``)
	w.api("GET", "/collections/docs/vectors?limit=9", ``).is(200, `"total":3,`)
}

// TestNativeList: pages by a cursor hold every vector once, whatever the size
// of a page; so do pages by an offset.
func TestNativeList(t *testing.T) {
	w := newWorld(t)
	w.fill("docs", 23)
	for _, limit := range []int{1, 5, 24, 1000} {
		for _, how := range []string{"cursor", "offset"} {
			seen := map[string]bool{}
			at, pages := "", 0
			for ; pages < 30; pages++ {
				page := w.api("GET", fmt.Sprintf("/collections/docs/vectors?limit=%d&with_payload=false%s", limit, at), "").is(200, `"total":24`).json()
				for _, v := range page["vectors"].([]any) {
					id := v.(map[string]any)["id"].(string)
					if seen[id] {
						t.Errorf("%s is on two pages of %d", id, limit)
					}
					seen[id] = true
				}
				next, more := page["next_cursor"].(string)
				if how == "offset" {
					next, more = fmt.Sprint(len(seen)), len(page["vectors"].([]any)) > 0
				}
				if !more {
					break
				}
				at = "&" + how + "=" + next
			}
			if len(seen) != 24 || pages == 30 || !seen["s-1"] {
				t.Errorf("%d vectors on %d pages of %d by %s", len(seen), pages, limit, how)
			}
		}
	}
	w.api("GET", "/collections/docs/vectors?limit=1001", "").is(400, `limit: 1001, must be 1000 or less`)
	w.api("GET", "/collections/docs/vectors?offset=9999&limit=2", "").is(400, `too far`)
	w.api("GET", "/collections/docs/vectors?cursor=x", "").is(400, `cursor: must be the next_cursor`)
	w.api("GET", "/collections/docs/vectors?limt=3", "").is(400, `there is no parameter \"limt\", did you mean \"limit\"?`)
}

// fill stores n vectors under the ids s-0, s-1, ... beside what there is.
func (w *world) fill(name string, n int) {
	w.t.Helper()
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"id":"s-%d","vector":[%d,1],"payload":{"n":%d,"odd":%v}}`, i, i, i, i%2 == 1))
	}
	w.api("POST", "/insert_vectors", `{"collection":"`+name+`","vectors":[`+strings.Join(list, ",")+`]}`).is(201, fmt.Sprintf(`"inserted":%d`, n))
}

func TestNativeSearch(t *testing.T) {
	w := newWorld(t)
	w.fill("docs", 10)
	w.api("POST", "/search", `{"collection":"docs","vector":[1,0],"limit":2}`).is(200, `"results":[{"id":"s-9","payload":{"n":9,"odd":true},"score":9.0},{"id":"s-8",`)
	w.api("POST", "/collections/docs/search", `{"collection":"docs","vector":[1,0],"limit":1,"include_vector":true,"payload":["n"]}`).
		is(200, `"results":[{"id":"s-9","vector":[9.0,1.0],"payload":{"n":9},"score":9.0}],"query_type":"vector","collection":"docs","limit":1,"total_results":1`)
	w.api("POST", "/collections/docs/search", `{"collection":"other","vector":[1,0]}`).is(400, `collection: is not what the path says`)
	// The predecessor cut by limit before it filtered, and ignored thresholds.
	w.api("POST", "/search", `{"collection":"docs","vector":[1,0],"limit":1,"filter":{"must":[{"key":"n","range":{"lte":3}}]}}`).is(200, `[{"id":"s-3"`)
	w.api("POST", "/search", `{"collection":"docs","vector":[1,0],"threshold":7.5,"with_payload":false}`).is(200, `"results":[{"id":"s-9","score":9.0},{"id":"s-8","score":8.0}]`)
	w.api("POST", "/search", `{"collection":"docs","vector":[1,0],"score_threshold":100}`).is(200, `"results":[],`)
	w.api("POST", "/search", `{"collection":"docs","vector":[1,0],"limit":1,"offset":2}`).is(200, `"results":[{"id":"s-7",`)
	w.api("POST", "/batch_search", `{"collection":"docs","queries":[{"vector":[1,0],"limit":1},{"vector":[-1,0],"limit":1,"with_payload":false}]}`).
		is(200, `"results":[[{"id":"s-9",`).is(200, `[{"id":"s-0"`)
	w.api("POST", "/collections", `{"name":"sparse","sparse":[{"name":"words"}]}`).is(201, ``)
	w.api("POST", "/insert_vectors", `{"collection":"sparse","vectors":[{"id":"x","sparse":{"words":{"indices":[7,3],"values":[2,1]}}}]}`).is(201, ``)
	w.api("POST", "/search", `{"collection":"sparse","sparse":{"indices":[7],"values":[3]},"using":"words","with_vector":true}`).
		is(200, `[{"id":"x","sparse":{"words":{"indices":[3,7],"values":[1.0,2.0]}},"score":6.0}]`)
}

// TestNativeBadInput: what a request does not mean is refused, and named.
func TestNativeBadInput(t *testing.T) {
	w := newWorld(t)
	w.api("POST", "/collections", `{"name":"cos","dimension":2}`).is(201, ``)
	long := strings.Repeat("x", 257)
	deep := strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40)
	many := `"` + strings.Repeat(`a","`, 10_000) + `a"`
	for _, c := range []struct {
		status              int
		request, body, want string
	}{
		{400, "POST /collections", `{"name":"x","dimensoin":2}`, `there is no member \"dimensoin\", did you mean \"dimension\"?`},
		{400, "POST /collections", `{"name":"x","dimension":2,"dimension":3}`, `\"dimension\" is there twice`},
		{400, "POST /collections", `{"dimension":2}`, `name: is missing`},
		{400, "POST /collections", `{"name":null}`, `name: must not be null`},
		{400, "POST /collections", `{"name":"x","dimension":0}`, `dimension: 0, must be 1 or more`},
		{400, "POST /collections", `{"name":"x","dimension":65536}`, `dimension: 65536, must be 65535 or less`},
		{400, "POST /collections", `{"name":"x","dimension":2.5}`, `dimension: \"2.5\" is not an integer`},
		{400, "POST /collections", `{"name":"x","dimension":99999999999999999999}`, `is not an integer`},
		{400, "POST /collections", `{"name":"x","metric":"hamming"}`, `metric: \"hamming\" is not one of cosine`},
		{400, "POST /collections", `{"name":"x","quantization":{"type":"product"}}`, `quantization.type: \"product\" is not one of scalar`},
		{400, "POST /collections", `{"name":"x"`, `EOF`},
		{400, "POST /collections", `[]`, `expected a map`},
		{400, "POST /collections", `{"name":"x"} {}`, `trailing characters`},
		{400, "POST /collections", ``, `name: is missing`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[]}`, `vectors: 0 items, must be 1 or more`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,2]},{"vector":[1,"a"]}]}`, `vectors[1].vector: invalid type: string \"a\", expected f32`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1]}]}`, `expected dim: 2, got 1`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,2],"data":[1,2]}]}`, `is there twice`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,2],"payload":{"_id":"x"}}]}`, `vectors[0]: payload._id: is reserved`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,2],"metadata":{"_id":"x"}}]}`, `is reserved`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"id":"","vector":[1,2]}]}`, `an id of 0 bytes`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"id":"` + long + `","vector":[1,2]}]}`, `an id of 257 bytes`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"id":"a\nb","vector":[1,2]}]}`, `control character`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,2],"public_key":"k"}]}`, `there is no member \"public_key\"`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,2],"payload":` + deep + `}]}`, `recursion limit`},
		{400, "POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,2],"sparse":{"a":{"indices":[1],"values":[]}}}]}`, `same length`},
		{400, "POST /update", `{"collection":"docs","id":"1"}`, `nothing to change`},
		{400, "POST /update", `{"collection":"docs","id":"1","payload":{"_id":"x"}}`, `is reserved`},
		{400, "PUT /collections/docs/vectors/1", `{"id":"2","vector":[1,2]}`, `id: is not what the path says`},
		{413, "POST /batch_delete", `{"collection":"docs","ids":[` + many + `]}`, `"code":"PAYLOAD_TOO_LARGE"`},
		{400, "POST /batch_update", `{"collection":"docs","updates":[{"id":"1"}]}`, `updates[0]: there is nothing to change`},
		{400, "POST /search", `{"collection":"docs"}`, `exactly one must be given`},
		{400, "POST /search", `{"collection":"docs","vector":[1,2],"limit":0}`, `limit: 0, must be 1 or more`},
		{400, "POST /search", `{"collection":"docs","vector":[1,2],"limit":10001}`, `limit: 10001, must be 10000 or less`},
		{400, "POST /search", `{"collection":"docs","vector":[1,2],"limit":10000,"offset":1}`, `offset`},
		{400, "POST /search", `{"collection":"docs","vector":[1,2],"threshold":"x"}`, `threshold: invalid type`},
		{400, "POST /search", `{"collection":"docs","vector":[1,2],"filter":{"mst":[]}}`, `filter`},
		{404, "POST /search", `{"collection":"ghost","vector":[1,2]}`, `"code":"NOT_FOUND"`},
		{400, "POST /search", `{"collection":"docs","vector":[1,2],"using":"ghost"}`, `"code":"INVALID_REQUEST"`},
		{400, "POST /batch_search", `{"queries":[{"vector":[1,2]}]}`, `queries[0]: collection: is missing`},
		{413, "POST /batch_search", `{"collection":"docs","queries":[` + strings.Repeat(`{"vector":[1,2],"limit":10000},`, 10) + `{"vector":[1,2],"limit":1}]}`, `100000 vectors asked for`},
		{400, "POST /collections/docs/vectors/delete_by_filter", `{"filter":{}}`, `filter: must have a condition`},
		{400, "POST /collections/docs/vectors/delete_by_filter", `{}`, `filter: must have a condition`},
		{400, "POST /collections/docs/vectors/bulk_update_metadata", `{"filter":{"must":[{"has_id":[1]}]},"patch":{}}`, `patch: must have a member`},
		{400, "POST /collections/docs/vectors/bulk_update_metadata", `{"filter":{"must":[{"has_id":[1]}]},"patch":{"_id":"x"}}`, `is reserved`},
		{400, "POST /collections/docs/vectors/move", `{"destination":"docs","ids":["1"]}`, `is the collection itself`},
		{400, "POST /collections/docs/vectors/move", `{"destination":"cos","ids":["1"],"filter":{}}`, `exactly one must be given`},
		{404, "POST /collections/docs/vectors/copy", `{"destination":"ghost","ids":["1"]}`, `"code":"NOT_FOUND"`},
		{501, "POST /collections/docs/rename", `{"new_name":"x"}`, `alias`},
		{501, "PATCH /collections/docs/vectors/1/expiry", `{"expires_at":1}`, `"see":"docs/api.md"`},
		{400, "POST /delete?wait=false", `{"collection":"docs","id":"1"}`, `always waited for`},
		{400, "GET /collections/docs/vectors/" + long, ``, `an id of 257 bytes`},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		for range 2 { // here and through another node
			if got := w.api(method, path, c.body); got.status != c.status || !strings.Contains(got.text, c.want) {
				t.Errorf("%s %.100s: %d %s, want %d with %s", c.request, c.body, got.status, got.text, c.status, c.want)
			}
		}
	}
	w.ask("POST", w.main+"/search", `{"collection":"docs","vector":[1,2]}`, "Api-Key", w.keys["ADMIN"], "Content-Type", "text/plain").is(415, `"code":"UNSUPPORTED_MEDIA_TYPE"`)
	w.ask("POST", w.through.main+"/search", `{"collection":"docs","vector":[1,2]}`, "Api-Key", w.keys["ADMIN"], "Content-Type", "Application/JSON; charset=utf-8").is(200, ``)
	// Of what was refused nothing was done.
	w.api("GET", "/collections/docs/vectors", "").is(200, `"total":1,`)
	w.api("GET", "/stats", "").is(200, `"collections":2,"vectors":1`)
}

// TestNativeMoves: what is copied and moved is in the one, the other or both,
// page by page, whichever way it was named.
func TestNativeMoves(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"from", "to", "cos", "small"} {
		w.api("POST", "/collections", `{"name":"`+name+`","dimension":2,"metric":"dot"}`).is(201, ``)
	}
	w.api("DELETE", "/collections/small", ``).is(200, ``)
	w.api("POST", "/collections", `{"name":"small","dimension":1}`).is(201, ``)
	w.fill("from", 20)
	rounds := func(op, selection string) (n int) {
		cursor := ""
		for range 20 {
			n++
			got := w.api("POST", "/collections/from/vectors/"+op, `{"destination":"to","limit":3,`+selection+cursor+`}`).is(200, `"source":"from"`).json()
			next, more := got["next_cursor"].(string)
			if !more {
				return n
			}
			cursor = `,"cursor":"` + next + `"`
		}
		t.Fatalf("%s of %s does not end", op, selection)
		return 0
	}
	count := func(name string, want int) {
		t.Helper()
		w.api("GET", "/collections/"+name+"/vectors?limit=1", "").is(200, fmt.Sprintf(`"total":%d,`, want))
	}
	if n := rounds("copy", `"filter":{"must":[{"key":"odd","match":{"value":true}}]}`); n != 4 {
		t.Errorf("10 vectors in %d rounds of 3", n)
	}
	count("to", 10)
	count("from", 20)
	w.api("GET", "/collections/to/vectors/s-3", "").is(200, `"vector":[3.0,1.0],"payload":{"n":3,"odd":true}`)
	w.api("POST", "/collections/from/vectors/move", `{"destination":"to","ids":["s-0","ghost","s-1"]}`).
		is(200, `"requested":3,"copied":2,"moved":2,"failed":1,"missing":["ghost"]}`)
	count("to", 11)
	count("from", 18)
	rounds("move", `"filter":{}`)
	count("to", 20)
	count("from", 0)
	w.api("GET", "/collections/to/vectors/s-0", "").is(200, `"payload":{"n":0,"odd":false}`)

	// What does not fit there stays here.
	w.api("POST", "/collections/to/vectors/move", `{"destination":"small","ids":["s-0"]}`).is(400, `expected dim: 1`)
	count("to", 20)
	// Two names of one collection: nothing is moved into itself, and lost.
	w.ask("POST", w.qdrant+"/collections/aliases", `{"actions":[{"create_alias":{"collection_name":"to","alias_name":"also"}}]}`, "Api-Key", w.keys["ADMIN"]).is(200, "true")
	w.api("POST", "/collections/to/vectors/move", `{"destination":"also","ids":["s-0"]}`).is(400, `is the collection itself`)
	count("to", 20)

	w.api("POST", "/collections/to/vectors/bulk_update_metadata", `{"filter":{"must":[{"key":"odd","match":{"value":true}}]},"patch":{"odd":null,"seen":true}}`).is(200, `"matched":10,"updated":10`)
	w.api("GET", "/collections/to/vectors/s-3", "").is(200, `"payload":{"n":3,"seen":true}`)
	w.api("POST", "/collections/to/vectors/delete_by_filter", `{"filter":{"must":[{"key":"seen","match":{"value":true}}]}}`).is(200, `"matched":10,"deleted":10`)
	count("to", 10)
}

// TestNativeNarrowedKeys: a key for some collections names no other one, in a
// path or anywhere in a body, whether or not there is one; lists hold only its own.
func TestNativeNarrowedKeys(t *testing.T) {
	w := newWorld(t)
	_, key := w.key(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"own*"}} })
	for _, name := range []string{"own", "own2"} {
		w.ask("POST", w.main+"/collections", `{"name":"`+name+`","dimension":2}`, "Api-Key", key).is(201, ``)
	}
	w.ask("GET", w.main+"/collections", "", "Api-Key", key).is(200, `"total_collections":2`)
	w.ask("GET", w.main+"/stats", "", "Api-Key", key).is(200, `{"collections":2,"vectors":0,`)
	for _, name := range []string{canaryName, nobodysName} {
		for request, body := range map[string]string{
			"POST /collections":                   `{"name":"NAME","dimension":2}`,
			"POST /insert_vectors":                `{"collection":"NAME","vectors":[{"vector":[1,2]}]}`,
			"POST /search":                        `{"collection_name":"NAME","vector":[1,2]}`,
			"POST /batch_search":                  `{"collection":"own","queries":[{"vector":[1,2]},{"collection":"NAME","vector":[1,2]}]}`,
			"POST /collections/own/vectors/copy":  `{"destination":"NAME","filter":{}}`,
			"POST /collections/own/vectors/move":  `{"destination":"NAME","ids":["1"]}`,
			"POST /collections/NAME/vectors/copy": `{"destination":"own","filter":{}}`,
			"GET /collections/NAME/vectors":       ``,
			"POST /vector":                        `{"collection":"NAME","id":"1"}`,
			"POST /delete":                        `{"collection":"NAME","id":"1"}`,
		} {
			method, path, _ := strings.Cut(strings.ReplaceAll(request, "NAME", name), " ")
			for _, door := range []*edge{w.edge, w.through} {
				w.ask(method, door.main+path, strings.ReplaceAll(body, "NAME", name), "Api-Key", key).is(403, `"code":"FORBIDDEN"`)
			}
		}
	}
}

// TestNativeIDs: two strings are two points, and a string is the same point
// everywhere.
func TestNativeIDs(t *testing.T) {
	seen := map[collection.PointID]vectorID{}
	for _, id := range []vectorID{
		"7", "007", "+7", "7.0", " 7", "18446744073709551615", "18446744073709551616", "a", "A", "a ", "#", "/", "\u00e9", "e\u0301",
		"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b8109dad11d180b400c04fd430c8", "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
	} {
		point, kept := id.point()
		if other, taken := seen[point]; taken {
			t.Errorf("%q and %q are one point", id, other)
		}
		seen[point] = id
		payload := collection.Payload{}
		if kept {
			payload[idMember] = string(id)
		}
		if shown := shownID(point, payload); shown != id {
			t.Errorf("%q is shown as %q", id, shown)
		}
	}
	if a, _ := vectorID("a").point(); a.String() != "ca978112-ca1b-8dca-bac2-31b39a23dc4d" { // printf a | sha256sum, with version and variant
		t.Errorf("a is the point %s", a)
	}
	// A payload that claims another id than its point's is not believed.
	if shown := shownID(collection.NumID(1), collection.Payload{idMember: "a"}); shown != "1" {
		t.Errorf("the point 1 is shown as %q", shown)
	}
}
