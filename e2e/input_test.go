package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestBadInput sends what no request may be. Each is answered in the words of
// its surface, and nothing of it is stored.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	s.create("c")
	s.put("c", 1, map[string]any{"a": 1})
	scroll := func() string {
		return string(s.must("POST", "/collections/c/points/scroll", map[string]any{"limit": 100, "with_vector": true}))
	}
	before := scroll()

	one := func(format string, args ...any) string {
		return `{"points":[{"id":2,"vector":[1,2,3,4]},` + fmt.Sprintf(format, args...) + `]}`
	}
	upsert := func(body any, status int, text string) badCall {
		return badCall{"PUT", "/collections/c/points?wait=true", body, status, text}
	}
	query := func(body string, status int, text string) badCall {
		return badCall{"POST", "/collections/c/points/query", body, status, text}
	}
	calls := map[string]badCall{
		"no JSON":            upsert("vector", 400, "Format error in JSON body"),
		"half of it":         upsert(`{"points":[{"id":2,"vector":[1,2,3,4]}`, 400, "Format error in JSON body"),
		"nothing":            upsert("", 400, "Format error in JSON body"),
		"something after":    upsert(one(`{"id":3,"vector":[1,2,3,4]}`)+"x", 400, "Format error in JSON body"),
		"not an object":      upsert("[]", 400, "Format error in JSON body"),
		"no points":          upsert("{}", 400, "Format error in JSON body"),
		"invalid UTF-8":      upsert(one("{\"id\":3,\"vector\":[1,2,3,4],\"payload\":{\"a\":\"\xff\"}}"), 400, "Format error in JSON body"),
		"too deep":           upsert(one(`{"id":3,"vector":[1,2,3,4],"payload":{"a":%s1%s}}`, strings.Repeat("[", 100), strings.Repeat("]", 100)), 400, "Format error in JSON body"),
		"very deep":          upsert(strings.Repeat("[", 1_000_000), 400, "Format error in JSON body"),
		"short vector":       upsert(one(`{"id":3,"vector":[1,2,3]}`), 400, "expected dim: 4, got 3"),
		"long vector":        upsert(one(`{"id":3,"vector":[1,2,3,4,5]}`), 400, "expected dim: 4, got 5"),
		"empty vector":       upsert(one(`{"id":3,"vector":[]}`), 400, ""),
		"infinity":           upsert(one(`{"id":3,"vector":[1,2,3,1e999]}`), 400, "out of range"),
		"minus infinity":     upsert(one(`{"id":3,"vector":[1,2,3,-1e999]}`), 400, "out of range"),
		"over float32":       upsert(one(`{"id":3,"vector":[1,2,3,1e39]}`), 400, "out of range"),
		"NaN":                upsert(one(`{"id":3,"vector":[1,2,3,NaN]}`), 400, "Format error in JSON body"),
		"null in a vector":   upsert(one(`{"id":3,"vector":[1,2,3,null]}`), 400, "Format error in JSON body"),
		"word in a vector":   upsert(one(`{"id":3,"vector":[1,2,3,"4"]}`), 400, "Format error in JSON body"),
		"unknown vector":     upsert(one(`{"id":3,"vector":{"other":[1,2,3,4]}}`), 400, ""),
		"negative id":        upsert(one(`{"id":-1,"vector":[1,2,3,4]}`), 400, "valid point ID"),
		"broken id":          upsert(one(`{"id":1.5,"vector":[1,2,3,4]}`), 400, "valid point ID"),
		"id over 64 bits":    upsert(one(`{"id":18446744073709551616,"vector":[1,2,3,4]}`), 400, "valid point ID"),
		"id is no UUID":      upsert(one(`{"id":"three","vector":[1,2,3,4]}`), 400, "valid point ID"),
		"id is a list":       upsert(one(`{"id":[3],"vector":[1,2,3,4]}`), 400, ""),
		"no id":              upsert(one(`{"vector":[1,2,3,4]}`), 400, ""),
		"payload is a list":  upsert(one(`{"id":3,"vector":[1,2,3,4],"payload":[1]}`), 400, ""),
		"10,001 points":      upsert(manyPoints(10_001), 413, "more than 10000 points"),
		"too large":          upsert(strings.Repeat(" ", 33<<20), 413, "larger than allowed"),
		"too large, chunks":  upsert(io.LimitReader(spaces{}, 33<<20), 413, "larger than allowed"),
		"bad wait":           {"PUT", "/collections/c/points?wait=maybe", one(`{"id":3,"vector":[1,2,3,4]}`), 400, "wait"},
		"bad timeout":        {"PUT", "/collections/c/points?wait=true&timeout=0", one(`{"id":3,"vector":[1,2,3,4]}`), 422, "Validation error in query parameters"},
		"unknown collection": {"PUT", "/collections/nobody/points?wait=true", one(`{"id":3,"vector":[1,2,3,4]}`), 404, "Collection `nobody` doesn't exist!"},

		"query too short":     query(`{"query":[1,2,3]}`, 400, "expected dim: 4, got 3"),
		"query of infinity":   query(`{"query":[1,2,3,1e999]}`, 400, "out of range"),
		"query of no point":   query(`{"query":77}`, 404, ""),
		"limit 0":             query(`{"query":[1,2,3,4],"limit":0}`, 422, "Validation error in JSON body"),
		"limit too high":      query(`{"query":[1,2,3,4],"limit":10001}`, 422, "Validation error in JSON body"),
		"offset too high":     query(`{"query":[1,2,3,4],"limit":1,"offset":10000}`, 422, "Validation error in JSON body"),
		"unknown condition":   query(`{"query":[1,2,3,4],"filter":{"must":[{"key":"a","looks_like":1}]}}`, 422, "Validation error in JSON body: [filter.must[0]"),
		"too many conditions": query(`{"query":[1,2,3,4],"filter":{"must":[`+strings.Repeat(`{"key":"a","match":{"value":1}},`, 1024)+`{"key":"a","match":{"value":1}}]}}`, 422, "1024"),

		"delete without which":   {"POST", "/collections/c/points/delete?wait=true", `{}`, 400, "Format error in JSON body"},
		"delete by both":         {"POST", "/collections/c/points/delete?wait=true", `{"points":["x"],"filter":{}}`, 400, ""},
		"payload without which":  {"POST", "/collections/c/points/payload?wait=true", `{"payload":{"a":2}}`, 400, ""},
		"payload of nothing":     {"POST", "/collections/c/points/payload?wait=true", `{"points":[1]}`, 400, ""},
		"create it again":        {"PUT", "/collections/c", vectors(4, "Dot"), 409, "already exists"},
		"create without vectors": {"PUT", "/collections/d", `{"vectors":{"size":4}}`, 400, "distance"},
		"dimension 0":            {"PUT", "/collections/d", vectors(0, "Dot"), 422, "Validation error in JSON body"},
		"dimension 65,536":       {"PUT", "/collections/d", vectors(65_536, "Dot"), 422, "Validation error in JSON body"},
		"unknown distance":       {"PUT", "/collections/d", vectors(4, "Hamming"), 400, "Hamming"},
		"no such path":           {"GET", "/collections/c/nothing", nil, 404, ""},
		"no such method":         {"PATCH", "/collections/c/points", `{}`, 405, ""},
		"not built":              {"POST", "/collections/c/facet", `{"key": "a"}`, 501, "not supported yet"},
	}
	for name, bad := range map[string]string{
		"long":       strings.Repeat("n", 256),
		"long UTF-8": strings.Repeat("ä", 128),
		"control":    "a\x01b",
		"newline":    "a\nb",
		"bidi":       "a\u202eb",
		"slash":      "a/b",
		"not UTF-8":  "a\xffb",
	} {
		calls["name: "+name] = badCall{"PUT", "/collections/" + url.PathEscape(bad), vectors(4, "Dot"), 422, "Validation error in path parameters"}
	}
	for name, c := range calls {
		c.check(t, name, s.user, s.qdrant)
	}
	// The same handlers below /qdrant of the main listener.
	calls["short vector"].check(t, "on the main listener", s.user, s.http+"/qdrant")

	if after := scroll(); after != before {
		t.Errorf("the points have changed:\n%s\n%s", before, after)
	}
	if n := (user{s, tenantKey}).count("c"); n != 1 {
		t.Errorf("%d points", n)
	}
	if got := string(s.must("GET", "/collections", nil)); got != `{"collections":[{"name":"c"}]}` {
		t.Errorf("collections are %s", got)
	}
}

// badCall is a request, the status of its refusal and a part of its text.
type badCall struct {
	method, path string
	body         any
	status       int
	text         string
}

var qdrantError = regexp.MustCompile(`^\{"status":\{"error":"(?:[^"\\]|\\.)+"\},"time":[0-9.e-]+,"result":null\}$`)

func (c badCall) check(t *testing.T, name string, u user, base string) {
	t.Helper()
	a := u.send(call{method: c.method, url: base + c.path, body: c.body})
	if a.status != c.status || !qdrantError.Match(a.body) || !bytes.Contains(a.body, []byte(c.text)) {
		t.Errorf("%s: %d %.300s, want %d and %q", name, a.status, a.body, c.status, c.text)
	}
	if a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: Content-Type %q", name, a.header.Get("Content-Type"))
	}
}

// manyPoints is a batch of n points.
func manyPoints(n int) string {
	var b strings.Builder
	b.WriteString(`{"points":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"vector":[1,2,3,4]}`, i+1)
	}
	b.WriteString(`]}`)
	return b.String()
}

// spaces never end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestBatchLimit holds that the largest batch is not refused.
func TestBatchLimit(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	s.create("c")
	s.must("PUT", "/collections/c/points?wait=true", manyPoints(10_000))
	if n := s.count("c"); n != 10_000 {
		t.Errorf("%d points", n)
	}
}

// TestBadKeys sends credentials that are none. Qdrant's surface answers in
// plain text, as its clients expect; Waggle's own with a code.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	own := func(header map[string]string) (int, string) {
		a := user{s, ""}.send(call{method: "GET", url: s.http + "/api/v1/tenants", header: header})
		var body struct {
			Error, Code string
			Request     string         `json:"request_id"`
			Details     map[string]any `json:"details"`
		}
		s.decode(a.body, &body)
		if body.Error == "" || body.Request == "" || body.Details == nil {
			t.Errorf("a native error of another shape: %s", a.body)
		}
		return a.status, body.Code
	}
	unknown := "hh_live_0000000000000000000000000000000000000000"
	for name, tc := range map[string]struct {
		header map[string]string
		code   string
		text   string
	}{
		"none":               {nil, "AUTH_MISSING", "Must provide an API key or an Authorization bearer token"},
		"unknown":            {map[string]string{"api-key": unknown}, "AUTH_INVALID_KEY", "Invalid API key or JWT"},
		"malformed":          {map[string]string{"api-key": "hh_live_short"}, "AUTH_INVALID_FORMAT", "Invalid API key or JWT"},
		"mistyped":           {map[string]string{"api-key": "hh_live_01234567890123456789012345678901_000000"}, "AUTH_INVALID_FORMAT", "Invalid API key or JWT"},
		"strange characters": {map[string]string{"api-key": tenantKey + "-"}, "AUTH_INVALID_FORMAT", "Invalid API key or JWT"},
		"another scheme":     {map[string]string{"Authorization": "Basic " + tenantKey}, "AUTH_INVALID_FORMAT", "Invalid API key or JWT"},
		"unknown bearer":     {map[string]string{"Authorization": "Bearer " + unknown}, "AUTH_INVALID_KEY", "Invalid API key or JWT"},
		"two keys":           {map[string]string{"Authorization": "Bearer " + tenantKey, "api-key": operatorKey}, "AUTH_INVALID_FORMAT", "Invalid API key or JWT"},
	} {
		if status, code := own(tc.header); status != http.StatusUnauthorized || code != tc.code {
			t.Errorf("%s: %d %s, want 401 %s", name, status, code, tc.code)
		}
		a := user{s, ""}.send(call{method: "GET", url: s.qdrant + "/collections", header: tc.header})
		if a.status != http.StatusUnauthorized || string(a.body) != tc.text {
			t.Errorf("%s: %d %s, want 401 %s", name, a.status, a.body, tc.text)
		}
	}
	for name, header := range map[string]map[string]string{
		"bearer":     {"Authorization": "Bearer " + tenantKey},
		"X-API-Key":  {"X-API-Key": tenantKey},
		"twice same": {"X-API-Key": tenantKey, "Authorization": "bearer " + tenantKey},
	} {
		if a := (user{s, ""}).send(call{method: "GET", url: s.qdrant + "/collections", header: header}); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	// The operator's surface refuses malformed bodies in its own words.
	a := s.operator().callMain("POST", "/api/v1/tenants", `{"name":`)
	if a.status != http.StatusBadRequest || !bytes.Contains(a.body, []byte(`"code":"INVALID_REQUEST"`)) {
		t.Errorf("half a tenant: %d %s", a.status, a.body)
	}
}

// TestIdempotencyKey is answered the same way twice, and refused for another
// request.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	s.create("c")
	put := func(id int, key string) answer {
		t.Helper()
		return s.send(call{
			method: "PUT", url: s.qdrant + "/collections/c/points?wait=true",
			header: map[string]string{"Idempotency-Key": key}, body: map[string]any{"points": []any{point(id, nil)}},
		})
	}
	strip := func(a answer) string { return timeField.ReplaceAllString(string(a.body), "") }
	first := put(1, "k")
	s.must("POST", "/collections/c/points/delete?wait=true", map[string]any{"points": []int{1}})
	if again := put(1, "k"); again.status != 200 || strip(again) != strip(first) || s.count("c") != 0 {
		t.Errorf("the repetition: %d %s, first was %s; %d points", again.status, again.body, first.body, s.count("c"))
	}
	if other := put(2, "k"); other.status != http.StatusUnprocessableEntity || s.count("c") != 0 {
		t.Errorf("another request under the key: %d %s; %d points", other.status, other.body, s.count("c"))
	}
	_, u := s.newTenant("other", "READ_WRITE")
	u.create("c")
	u.send(call{
		method: "PUT", url: s.qdrant + "/collections/c/points?wait=true",
		header: map[string]string{"Idempotency-Key": "k"}, body: map[string]any{"points": []any{point(3, nil)}},
	})
	if n := u.count("c"); n != 1 {
		t.Errorf("another tenant's request under the same key was not done: %d points", n)
	}
	if long := put(4, strings.Repeat("k", 256)); long.status != http.StatusBadRequest {
		t.Errorf("a long key: %d %s", long.status, long.body)
	}
}
