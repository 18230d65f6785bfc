package httpedge

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

const endpointKey = "sk-canary-endpoint-q7x"

// model is an endpoint in the form of OpenAI's, of dimension 16: a text's
// vector has a 1 for each word, at the word's place, so that texts with words
// in common are near.
type model struct {
	*httptest.Server
	requests, texts atomic.Int64
	fault           atomic.Pointer[func(w http.ResponseWriter) bool]
}

const modelDimension = 16

func newModel(t *testing.T) *model {
	t.Helper()
	m := &model{}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(m.Close)
	return m
}

// fail answers with status and what more headers says until good is called.
func (m *model) fail(status int, body string, headers ...string) {
	fault := func(w http.ResponseWriter) bool {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
	m.fault.Store(&fault)
}

func (m *model) serve(w http.ResponseWriter, r *http.Request) {
	m.requests.Add(1)
	if r.Header.Get("Authorization") != "Bearer "+endpointKey {
		http.Error(w, "wrong key "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	if fault := m.fault.Load(); fault != nil && (*fault)(w) {
		return
	}
	var q struct {
		Input []string
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	m.texts.Add(int64(len(q.Input)))
	type item struct {
		Index     int       `json:"index"`
		Embedding []float32 `json:"embedding"`
	}
	var items []item
	for i, text := range q.Input {
		items = append(items, item{i, wordVector(text)})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": items})
}

func wordVector(text string) []float32 {
	v := make([]float32, modelDimension)
	v[0] = 0.1
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' }) {
		h := fnv.New32a()
		_, _ = h.Write([]byte(word))
		v[1+h.Sum32()%(modelDimension-1)]++
	}
	return v
}

func (m *model) spec() string {
	return fmt.Sprintf(`{"url":%q,"model":"words","dimension":%d,"api_key":%q,"batch":8}`, m.URL+"/v1/embeddings?secret=canary-parameter", modelDimension, endpointKey)
}

// embedded is a world whose tenants may have endpoints on this machine.
type embedded struct {
	*world
	model                *model
	admin, writer, their string // keys of mine, mine, theirs
}

func newEmbedded(t *testing.T) *embedded {
	t.Helper()
	w := &embedded{world: newWorld(t), model: newModel(t)}
	for _, e := range []*edge{w.edge, w.other, w.through} {
		e.embed.TenantsPrivate = true
	}
	_, w.admin = w.key(w.mine, tenant.Admin, nil)
	_, w.writer = w.key(w.mine, tenant.ReadWrite, nil)
	_, w.their = w.key(w.theirs, tenant.Admin, nil)
	return w
}

func (w *embedded) ok(method, path, key, body string, status int) reply {
	w.t.Helper()
	got := w.send(method, w.main+path, key, body)
	if got.status != status {
		if got.status == 500 {
			w.t.Log(w.edge.logged.String())
		}
		w.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, got.status, got.text, status)
	}
	return got
}

func (r reply) hasCode(code string) {
	r.t.Helper()
	if !strings.Contains(r.text, `"code":"`+code+`"`) {
		r.t.Errorf("%d %s, want code %s", r.status, r.text, code)
	}
}

func TestEndpointOfATenant(t *testing.T) {
	w := newEmbedded(t)
	w.ok("GET", "/auth/embedding", w.admin, "", 404)
	w.ok("POST", "/embed", w.writer, `{"text":"red"}`, 409).hasCode("NO_EMBEDDING_ENDPOINT")
	w.ok("PUT", "/auth/embedding", w.writer, w.model.spec(), 403)
	_, narrowed := w.key(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"docs"}} })
	w.ok("PUT", "/auth/embedding", narrowed, w.model.spec(), 403)
	w.ok("DELETE", "/auth/embedding", narrowed, "", 403)

	put := w.ok("PUT", "/auth/embedding", w.admin, w.model.spec(), 200)
	got := w.ok("GET", "/api/v1/auth/embedding", w.admin, "", 200)
	for _, r := range []reply{put, got} {
		if strings.Contains(r.text, "canary") || !strings.Contains(r.text, `"has_api_key":true`) {
			t.Errorf("%s", r.text)
		}
	}
	w.ok("GET", "/auth/embedding", w.their, "", 404)
	w.ok("POST", "/embed", w.their, `{"text":"red"}`, 409)
	audit := w.ok("GET", "/auth/audit", w.admin, "", 200)
	if !strings.Contains(audit.text, "embedding.put") || strings.Contains(audit.text, "canary-endpoint") {
		t.Errorf("%s", audit.text)
	}

	var answer struct {
		Embedding []float32
		Dimension int
	}
	reply := w.send("POST", w.through.main+"/embed", w.writer, `{"text":"red fox"}`)
	if err := json.Unmarshal([]byte(reply.text), &answer); err != nil || !slices.Equal(answer.Embedding, wordVector("red fox")) || answer.Dimension != modelDimension {
		t.Errorf("%d %s %v", reply.status, reply.text, err)
	}
	w.ok("POST", "/embed", w.writer, `{"text":"red","model":"words"}`, 200)
	w.ok("POST", "/embed", w.writer, `{"text":"red","model":"other"}`, 400)
	w.ok("POST", "/embed", w.writer, `{"text":""}`, 400)
	w.ok("POST", "/embed", w.writer, `{"text":"red","encoding_format":"base64"}`, 400)

	w.ok("DELETE", "/auth/embedding", w.admin, "", 200)
	w.ok("POST", "/embed", w.writer, `{"text":"red"}`, 409)
	w.ok("DELETE", "/auth/embedding", w.admin, "", 404)
	w.secretsAreKept()
}

// secretsAreKept: no log line has the endpoint's key.
func (w *embedded) secretsAreKept() {
	w.t.Helper()
	for _, e := range []*edge{w.edge, w.other, w.through} {
		if log := e.logged.String(); strings.Contains(log, "canary-endpoint") || strings.Contains(log, "canary-parameter") {
			w.t.Errorf("a secret of the endpoint is in the log: %s", log)
		}
	}
	metrics := w.send("GET", w.main+"/metrics", w.keys[operator], "")
	if strings.Contains(metrics.text, "canary-endpoint") {
		w.t.Error("a secret of the endpoint is in the metrics")
	}
}

func TestEndpointsAddressIsChecked(t *testing.T) {
	w := newEmbedded(t)
	w.edge.embed.TenantsPrivate = false
	put := func(url string) reply {
		return w.send("PUT", w.main+"/auth/embedding", w.admin, fmt.Sprintf(`{"url":%q,"model":"m","dimension":2}`, url))
	}
	for _, url := range []string{
		"http://api.example.com/", "https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
		"https://[::ffff:127.0.0.1]/", "https://[fd00:ec2::254]/", "https://100.64.0.1/", "https://[64:ff9b::7f00:1]/", "https://u:p@api.example.com/",
		"ftp://api.example.com/", "//api.example.com/", "api.example.com",
	} {
		if got := put(url); got.status != 400 {
			t.Errorf("%s: %d %s", url, got.status, got.text)
		}
	}
	if got := put("https://localhost/v1"); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.text) // a name is checked when it is dialled
	}
	w.ok("POST", "/embed", w.writer, `{"text":"red"}`, 502).hasCode("EMBEDDING_FAILED")
	if w.model.requests.Load() != 0 {
		t.Error("the endpoint was asked")
	}
}

func TestEndpointFails(t *testing.T) {
	w := newEmbedded(t)
	w.ok("PUT", "/auth/embedding", w.admin, w.model.spec(), 200)
	for _, c := range []struct {
		status       int
		body         string
		headers      []string
		want         int
		code, header string
	}{
		{429, "", []string{"Retry-After", "77"}, 503, "EMBEDDING_UNAVAILABLE", "77"},
		{400, "canary " + endpointKey, nil, 502, "EMBEDDING_FAILED", ""},
		{401, endpointKey, nil, 502, "EMBEDDING_FAILED", ""},
		{200, `{"data":[{"index":0,"embedding":[1,2]}]}`, nil, 502, "EMBEDDING_FAILED", ""},
		{200, `{"data":[{"index":0,"embed`, nil, 502, "EMBEDDING_FAILED", ""},
		{200, endpointKey, nil, 502, "EMBEDDING_FAILED", ""},
		{500, endpointKey, nil, 503, "EMBEDDING_UNAVAILABLE", ""},
	} {
		w.model.fail(c.status, c.body, c.headers...)
		got := w.ok("POST", "/embed", w.writer, `{"text":"red"}`, c.want)
		got.hasCode(c.code)
		if strings.Contains(got.text, "canary") || c.header != "" && got.header.Get("Retry-After") != c.header {
			t.Errorf("%s %q", got.text, got.header.Get("Retry-After"))
		}
	}
	w.secretsAreKept()
}

func TestCollectionKeepsItsModel(t *testing.T) {
	w := newEmbedded(t)
	w.ok("POST", "/collections", w.admin, `{"name":"none","embedding":{}}`, 409).hasCode("NO_EMBEDDING_ENDPOINT")
	w.ok("PUT", "/auth/embedding", w.admin, w.model.spec(), 200)
	for _, bad := range []string{`"embedding":{"model":"other"}`, `"embedding":{"dimension":3}`, `"embedding":{},"dimension":3`, `"embedding":{"modell":"words"}`} {
		w.ok("POST", "/collections", w.admin, `{"name":"bad",`+bad+`}`, 400)
	}
	w.ok("POST", "/collections", w.admin, `{"name":"own","dimension":16}`, 201)
	w.ok("POST", "/collections", w.admin, `{"name":"texts","embedding":{}}`, 201)
	ctx, tc := t.Context(), adminOf(w.mine)
	own, err := w.data.GetCollection(ctx, tc, "own")
	noError(t, err)
	texts, err := w.data.GetCollection(ctx, tc, "texts")
	noError(t, err)
	if texts.Config.Vector().Size != modelDimension {
		t.Errorf("%+v", texts.Config)
	}
	if list := w.ok("GET", "/collections", w.admin, "", 200); !strings.Contains(list.text, `"embedding":{"model":"words","dimension":16}`) {
		t.Errorf("%s", list.text)
	}
	if v, err := w.edge.embedTexts(ctx, tc, &own, []string{"red"}); v != nil || err != nil {
		t.Errorf("a collection of own vectors: %v %v", v, err)
	}
	if v, err := w.edge.embedTexts(ctx, tc, &texts, []string{"red", "fox"}); err != nil || len(v) != 2 || !slices.Equal(v[1], wordVector("fox")) {
		t.Errorf("%v %v", v, err)
	}
	// Another model, of as many values, is not mixed in.
	w.ok("PUT", "/auth/embedding", w.admin, strings.Replace(w.model.spec(), `"words"`, `"newer"`, 1), 200)
	asked := w.model.requests.Load()
	for _, make := range []func() error{
		func() error { _, err := w.edge.embedTexts(ctx, tc, &texts, []string{"red"}); return err },
		func() error { _, err := w.edge.embedQuery(ctx, tc, &texts, "red"); return err },
	} {
		if err := make(); asError(err).Reason != reasonEmbeddingDiffers || w.model.requests.Load() != asked {
			t.Errorf("%v", err)
		}
	}
	w.ok("DELETE", "/auth/embedding", w.admin, "", 200)
	if _, err := w.edge.embedTexts(ctx, tc, &texts, []string{"red"}); asError(err).Reason != reasonNoEmbedding {
		t.Errorf("%v", err)
	}
	// What one tenant set is not another's.
	if _, err := w.edge.embedTexts(ctx, tenant.Context{TenantID: w.theirs}, &collection.Info{Config: texts.Config}, []string{"red"}); asError(err).Reason != reasonNoEmbedding {
		t.Errorf("%v", err)
	}
}
