package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// answer is a response as a client sees it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call is one request.
type call struct {
	key    string // "" for none
	method string
	url    string
	header map[string]string
	body   any // nil, a string, an io.Reader (sent in chunks) or something for JSON
}

var client = &http.Client{Timeout: 30 * time.Second}

func (c call) do() (answer, error) {
	var r io.Reader
	switch b := c.body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case io.Reader:
		r = b
	default:
		j, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		r = bytes.NewReader(j)
	}
	req, err := http.NewRequest(c.method, c.url, r)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("api-key", c.key)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// user is somebody with a key.
type user struct {
	s   *server
	key string
}

// call sends a request to the Qdrant listener.
func (u user) call(method, path string, body any) answer {
	u.s.t.Helper()
	return u.send(call{method: method, url: u.s.qdrant + path, body: body})
}

// callMain sends a request to the main listener.
func (u user) callMain(method, path string, body any) answer {
	u.s.t.Helper()
	return u.send(call{method: method, url: u.s.http + path, body: body})
}

func (u user) send(c call) answer {
	u.s.t.Helper()
	c.key = u.key
	a, err := c.do()
	if err != nil {
		u.s.t.Fatalf("%s %s: %v", c.method, c.url, err)
	}
	u.s.asDocumented(c, a)
	return a
}

// must is call for requests that have to succeed; it returns "result".
func (u user) must(method, path string, body any) json.RawMessage {
	u.s.t.Helper()
	a := u.call(method, path, body)
	if a.status != http.StatusOK {
		u.s.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	var envelope struct{ Result json.RawMessage }
	u.decode(a.body, &envelope)
	return envelope.Result
}

func (u user) decode(raw []byte, into any) {
	u.s.t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		u.s.t.Fatalf("%v in %s", err, raw)
	}
}

// create makes a collection of 4-dimensional vectors.
func (u user) create(name string) {
	u.s.t.Helper()
	u.must("PUT", "/collections/"+name, vectors(4, "Euclid"))
}

func vectors(size int, distance string) map[string]any {
	return map[string]any{"vectors": map[string]any{"size": size, "distance": distance}}
}

// put stores one point with a vector that depends on its id.
func (u user) put(collection string, id int, payload map[string]any) {
	u.s.t.Helper()
	u.must("PUT", "/collections/"+collection+"/points?wait=true", map[string]any{"points": []any{point(id, payload)}})
}

func point(id int, payload map[string]any) map[string]any {
	return map[string]any{"id": id, "vector": []float64{float64(id), 1, 2, 3}, "payload": payload}
}

// count counts exactly.
func (u user) count(collection string) int {
	u.s.t.Helper()
	var result struct{ Count int }
	u.decode(u.must("POST", "/collections/"+collection+"/points/count", map[string]any{"exact": true}), &result)
	return result.Count
}

func (s *server) operator() user { return user{s, operatorKey} }

// newTenant makes a tenant and a key of it.
func (s *server) newTenant(name, permission string) (id string, u user) {
	s.t.Helper()
	a := s.operator().callMain("POST", "/api/v1/tenants", map[string]any{"name": name, "plan": "enterprise"})
	var t struct {
		ID string `json:"tenant_id"`
	}
	s.decode(a.body, &t)
	if a.status != http.StatusCreated || t.ID == "" {
		s.t.Fatalf("create tenant: %d %s", a.status, a.body)
	}
	_, u = s.newKey(t.ID, permission)
	return t.ID, u
}

// newKey makes a key of a tenant.
func (s *server) newKey(tenantID, permission string) (id string, u user) {
	s.t.Helper()
	a := s.operator().callMain("POST", "/api/v1/access-keys", map[string]any{"tenant_id": tenantID, "permission": permission})
	var k struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	s.decode(a.body, &k)
	if a.status != http.StatusCreated || k.Key == "" {
		s.t.Fatalf("create key: %d %s", a.status, a.body)
	}
	return k.ID, user{s, k.Key}
}
