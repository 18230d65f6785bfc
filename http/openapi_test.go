package httpedge

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is the OpenAPI document, as clients get it, with what it takes to
// hold answers against it.
type document struct {
	value    any
	compiler *jsonschema.Compiler
	server   *Server

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
}

const documentURL = "https://waggle.test/openapi.json"

var theDocument = sync.OnceValue(func() *document {
	d := &document{compiler: jsonschema.NewCompiler(), server: New(Options{}), schemas: map[string]*jsonschema.Schema{}}
	b, err := json.Marshal(d.server.openAPI())
	if err != nil {
		panic(err)
	}
	if d.value, err = jsonschema.UnmarshalJSON(bytes.NewReader(b)); err != nil {
		panic(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := d.compiler.AddResource(documentURL, d.value); err != nil {
		panic(err)
	}
	return d
})

// at returns the schema at a JSON pointer of the document.
func (d *document) at(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.schemas[pointer]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile(documentURL + "#" + pointer)
	d.schemas[pointer] = s
	return s, err
}

// operation finds the operation that a request reaches.
func (d *document) operation(method, path string) *native {
	given := strings.Split(strings.TrimPrefix(path, apiPrefix), "/")
	for _, n := range d.server.operations {
		words := strings.Split(n.path, "/")
		if n.method != method || len(words) != len(given) {
			continue
		}
		same := true
		for i, w := range words {
			same = same && (strings.HasPrefix(w, ":") || w == given[i])
		}
		if same {
			return n
		}
	}
	return nil
}

// pointer is a JSON pointer to what stands under some keys.
func pointer(keys ...string) string {
	for i, key := range keys {
		keys[i] = strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
	}
	return "/" + strings.Join(keys, "/")
}

// check holds an answer of the native API against the document.
func (d *document) check(method, path string, status int, body string) error {
	n := d.operation(method, path)
	if n == nil || n.answers != "" && status < 300 {
		return nil
	}
	if status == 304 && n.tagged && body == "" {
		return nil
	}
	at := pointer("components", "schemas", "Error")
	if status < 300 {
		at = pointer("paths", openPath(n.path), strings.ToLower(method), "responses", strconv.Itoa(status), "content", jsonMedia, "schema")
	}
	s, err := d.at(at)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// qdrantHosts are the listeners of tests where Qdrant's API is at the root.
var qdrantHosts sync.Map

// asDocumented fails a test for an answer of the native API that is not what the
// document says. Every request of this package's tests comes through here.
func asDocumented(t testing.TB, method, target string, got reply) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil || strings.HasPrefix(u.Path, qdrantPrefix) {
		return
	}
	if _, ok := qdrantHosts.Load(u.Host); ok {
		return
	}
	if err := theDocument().check(method, strings.TrimSuffix(u.EscapedPath(), "/"), got.status, got.text); err != nil {
		t.Errorf("%s %s answers %d %s, which is not what the document says: %v", method, u.Path, got.status, got.text, err)
	}
}

// TestDocumentIsOpenAPI holds the document against the schema of OpenAPI 3.1,
// and every schema in it against JSON Schema 2020-12.
func TestDocumentIsOpenAPI(t *testing.T) {
	raw, err := os.ReadFile("testdata/openapi-3.1-schema.json")
	noError(t, err)
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	noError(t, err)
	c := jsonschema.NewCompiler()
	noError(t, c.AddResource("https://spec.openapis.org/oas/3.1/schema/2022-10-07", v))
	s, err := c.Compile("https://spec.openapis.org/oas/3.1/schema/2022-10-07")
	noError(t, err)
	d := theDocument()
	if err := s.Validate(d.value); err != nil {
		t.Errorf("the document is not OpenAPI 3.1: %v", err)
	}
	for name := range d.value.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := d.at(pointer("components", "schemas", name)); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	ids := map[string]bool{}
	for _, n := range d.server.operations {
		if ids[n.id] {
			t.Errorf("the operation %s is there twice", n.id)
		}
		ids[n.id] = true
		if n.media == "" && n.answers == "" && !n.later {
			input, err := json.Marshal(n.inputSchema(d.server.limits.Request))
			noError(t, err)
			output, err := json.Marshal(n.outputSchema(d.server.limits.Request))
			noError(t, err)
			if strings.Contains(string(input), "$ref") || strings.Contains(string(output), "$ref") {
				t.Errorf("the schemas of %s as a tool refer to others: %s %s", n.id, input, output)
			}
		}
		if n.later {
			continue
		}
		at := pointer("paths", openPath(n.path), strings.ToLower(n.method), "responses", strconv.Itoa(n.status))
		if n.answers == "" {
			at += pointer("content", jsonMedia, "schema")
			if _, err := d.at(at); err != nil {
				t.Errorf("the answer of %s: %v", n.id, err)
			}
		}
	}
}

// The document is the same for everybody, needs no key, and holds nothing of a
// tenant.
func TestDocumentIsServed(t *testing.T) {
	e := newEdge(t, nil)
	first := e.send("GET", e.main+"/openapi.json", "", "").is(200, `"openapi":"3.1.0"`)
	if again := e.send("GET", e.main+"/api/v1/openapi.json", e.keys["ADMIN"], ""); again.text != first.text {
		t.Error("the document is not the same with a key")
	}
	page := e.send("GET", e.main+"/reference", "", "").is(200, `<script src="reference.js" defer>`)
	for _, word := range []string{"script-src 'self'", "default-src 'none'", "frame-ancestors 'none'"} {
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, word) {
			t.Errorf("the page's policy is %q, without %s", policy, word)
		}
	}
	if policy := first.header.Get("Content-Security-Policy"); strings.Contains(policy, "self") {
		t.Errorf("the document's policy is %q", policy)
	}
	for path, kind := range map[string]string{"/reference.js": "text/javascript", "/reference.css": "text/css"} {
		if got := e.send("GET", e.main+path, "", ""); got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, got.status, got.header.Get("Content-Type"))
		}
	}
	for _, elsewhere := range []string{"http://", "https://", "//"} {
		if body := strings.ReplaceAll(page.text, "<!doctype", ""); strings.Contains(body, `"`+elsewhere) {
			t.Errorf("the page loads something from elsewhere: %s", elsewhere)
		}
	}
}
