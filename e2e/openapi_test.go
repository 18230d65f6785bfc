package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// openAPI is the document that a server serves, with which every answer of its
// native API in these tests is compared.
type openAPI struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by JSON pointer

	Paths map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]json.RawMessage `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
}

const openAPIURL = "https://waggle.test/openapi.json"

// known is the document of the first server that told it: all are of one binary.
var known struct {
	sync.Mutex
	document *openAPI
}

// documented returns the document; nil when the server has just been killed.
func (s *server) documented() *openAPI {
	s.t.Helper()
	known.Lock()
	defer known.Unlock()
	if known.document != nil {
		return known.document
	}
	a, err := call{method: "GET", url: s.http + "/openapi.json"}.do()
	if err != nil || a.status != http.StatusOK {
		return nil
	}
	d := &openAPI{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err == nil {
		err = json.Unmarshal(a.body, d)
	}
	if err == nil {
		d.compiler.DefaultDraft(jsonschema.Draft2020)
		err = d.compiler.AddResource(openAPIURL, value)
	}
	if err != nil || len(d.Paths) == 0 {
		s.t.Errorf("the OpenAPI document of %d paths: %v", len(d.Paths), err)
		return nil
	}
	known.document = d
	return d
}

// asDocumented fails the test for an answer of the native API that is not what
// the document says. What the document does not know is of another surface.
func (s *server) asDocumented(c call, a answer) {
	s.t.Helper()
	rest, native := strings.CutPrefix(c.url, s.http)
	u, err := url.Parse(rest)
	if !native || err != nil {
		return
	}
	d := s.documented()
	if d == nil {
		return
	}
	if err := d.check(c.method, strings.TrimPrefix(u.EscapedPath(), "/api/v1"), a); err != nil {
		s.t.Errorf("%s %s answers %d %.300s, which is not what the document says: %v", c.method, rest, a.status, a.body, err)
	}
}

func (d *openAPI) check(method, path string, a answer) error {
	template, ok := d.template(path)
	op, there := d.Paths[template][strings.ToLower(method)]
	if !ok || !there {
		return nil
	}
	keys := []string{"components", "schemas", "Error"}
	if a.status < 300 {
		status := strconv.Itoa(a.status)
		response, ok := op.Responses[status]
		if !ok {
			return fmt.Errorf("there is no answer %s", status)
		}
		if _, ok := response.Content["application/json"]; !ok {
			return nil
		}
		keys = []string{"paths", template, strings.ToLower(method), "responses", status, "content", "application/json", "schema"}
	}
	s, err := d.schema(keys)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// template is the path of the document that a request's path is one of.
func (d *openAPI) template(path string) (string, bool) {
	given := strings.Split(path, "/")
	if _, ok := d.Paths[path]; ok {
		return path, true
	}
	for template := range d.Paths {
		words := strings.Split(template, "/")
		same := len(words) == len(given)
		for i := 0; same && i < len(words); i++ {
			same = strings.HasPrefix(words[i], "{") || words[i] == given[i]
		}
		if same {
			return template, true
		}
	}
	return "", false
}

// TestAnswersAreAsDocumented: what a server answers is what its document says, and
// what differs would be noticed.
func TestAnswersAreAsDocumented(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	made := s.callMain("POST", "/api/v1/collections", map[string]any{"name": "notes", "dimension": 2})
	d := s.documented()
	if d == nil || made.status != http.StatusCreated {
		t.Fatalf("the document is %v; %d %s", d, made.status, made.body)
	}
	for _, path := range []string{"/collections", "/api/v1/collections/notes", "/stats", "/usage", "/collections/nobody", "/collections/notes/vectors"} {
		s.callMain("GET", path, nil)
	}
	s.callMain("POST", "/insert", map[string]any{"collection": "notes", "text": "bees", "vector": []int{1, 2}})
	s.callMain("POST", "/collections/notes/search/text", map[string]any{"query": "bees"})
	s.callMain("POST", "/search", map[string]any{"collection": "notes", "vector": []int{1, 2}})
	for _, wrong := range []answer{
		{status: http.StatusCreated, body: []byte(`{"collection":7}`)},
		{status: http.StatusCreated, body: []byte(`{"message":"x"`)},
		{status: http.StatusAccepted, body: made.body},
		{status: http.StatusBadRequest, body: []byte(`{"error":"x"}`)},
	} {
		if d.check("POST", "/collections", wrong) == nil {
			t.Errorf("%d %s is as documented", wrong.status, wrong.body)
		}
	}
	if err := d.check("POST", "/collections", made); err != nil {
		t.Error(err)
	}
}

func (d *openAPI) schema(keys []string) (*jsonschema.Schema, error) {
	var pointer strings.Builder
	for _, key := range keys {
		pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.schemas[pointer.String()]; s != nil {
		return s, nil
	}
	s, err := d.compiler.Compile(openAPIURL + "#" + pointer.String())
	d.schemas[pointer.String()] = s
	return s, err
}
