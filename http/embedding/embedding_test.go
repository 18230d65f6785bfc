package embedding

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "sk-canary-0123456789"

// fakeEndpoint is an OpenAI-compatible server whose vectors are a function of
// the text. A fault, when it returns true, has answered instead.
type fakeEndpoint struct {
	*httptest.Server
	dimension int
	requests  atomic.Int64
	texts     atomic.Int64
	fault     atomic.Pointer[func(w http.ResponseWriter, r *http.Request, n int) bool]
}

func newFakeEndpoint(t *testing.T, dimension int) *fakeEndpoint {
	t.Helper()
	f := &fakeEndpoint{dimension: dimension}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeEndpoint) setFault(fn func(w http.ResponseWriter, r *http.Request, n int) bool) {
	f.fault.Store(&fn)
}

func (f *fakeEndpoint) serve(w http.ResponseWriter, r *http.Request) {
	n := f.requests.Add(1)
	if fault := f.fault.Load(); fault != nil && (*fault)(w, r, int(n)) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+testKey {
		http.Error(w, "Incorrect API key provided: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	var q struct {
		Model string
		Input []string
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.texts.Add(int64(len(q.Input)))
	type item struct {
		Index     int       `json:"index"`
		Embedding []float32 `json:"embedding"`
	}
	var items []item
	for i, text := range q.Input {
		items = append(items, item{i, vectorOf(text, f.dimension)})
	}
	slices.Reverse(items) // the order of an answer means nothing
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": items, "model": q.Model})
}

func vectorOf(text string, dimension int) []float32 {
	v := make([]float32, dimension)
	for i := range v {
		h := fnv.New32a()
		_, _ = fmt.Fprint(h, i, text)
		v[i] = float32(h.Sum32()%1000)/1000 + 0.001
	}
	return v
}

// tested is a client whose clock and sleeping are the test's.
type tested struct {
	*Client
	mu    sync.Mutex
	at    time.Time
	slept []time.Duration
}

func newTested(t *testing.T, f *fakeEndpoint) *tested {
	t.Helper()
	o := Options{}
	if f != nil {
		o.TLS = &tls.Config{RootCAs: f.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	}
	c := &tested{Client: New(o), at: time.Now()}
	c.now = func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.at
	}
	c.sleep = func(ctx context.Context, d time.Duration) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.slept = append(c.slept, d)
		c.at = c.at.Add(d)
		return ctx.Err()
	}
	t.Cleanup(c.Close)
	return c
}

func (c *tested) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (f *fakeEndpoint) endpoint() Endpoint {
	return Endpoint{URL: f.URL + "/v1/embeddings", Model: "m", APIKey: testKey, Dimension: f.dimension, AllowPrivate: true, Timeout: 5 * time.Second}
}

func kindOf(t *testing.T, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error is %T %v, want *Error", err, err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e), "canary") {
		t.Fatalf("the key is in %#v", e)
	}
	return e
}

func texts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("text %d", i)
	}
	return out
}

func TestEmbedKeepsOrderOverBatches(t *testing.T) {
	f := newFakeEndpoint(t, 8)
	c := newTested(t, f)
	e := f.endpoint()
	e.Batch = 7
	in := texts(100)
	got, err := c.Embed(t.Context(), e, in)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range in {
		if !slices.Equal(got[i], vectorOf(text, 8)) {
			t.Fatalf("vector %d is not that of %q", i, text)
		}
	}
	if n := f.requests.Load(); n != 15 {
		t.Errorf("%d requests for 100 texts in batches of 7", n)
	}
	if got, err := c.Embed(t.Context(), e, nil); err != nil || len(got) != 0 {
		t.Errorf("no texts: %v %v", got, err)
	}
}

func TestBatches(t *testing.T) {
	big := strings.Repeat("x", batchBytesMax)
	half := strings.Repeat("y", batchBytesMax/2)
	for _, in := range [][]string{nil, {"a"}, texts(9), {big, "a", big}, {half, half, "a", "b", half}, {big + "x"}} {
		var all []string
		for from, to := range batches(in, 4) {
			size := 0
			for _, s := range in[from:to] {
				size += len(s)
			}
			if to-from > 4 || to-from > 1 && size > batchBytesMax || to == from {
				t.Errorf("batch of %d texts and %d bytes", to-from, size)
			}
			all = append(all, in[from:to]...)
		}
		if !slices.Equal(all, in) {
			t.Errorf("batches lost or moved texts: %d of %d", len(all), len(in))
		}
	}
}

func TestParallelismIsBounded(t *testing.T) {
	f := newFakeEndpoint(t, 2)
	var out, most atomic.Int64
	release := make(chan struct{})
	f.setFault(func(_ http.ResponseWriter, _ *http.Request, n int) bool {
		for now := out.Add(1); ; {
			m := most.Load()
			if now <= m || most.CompareAndSwap(m, now) {
				break
			}
		}
		if n == parallelMax {
			close(release)
		}
		<-release
		out.Add(-1)
		return false
	})
	e := f.endpoint()
	e.Batch = 1
	if _, err := newTested(t, f).Embed(t.Context(), e, texts(40)); err != nil {
		t.Fatal(err)
	}
	if m := most.Load(); m != parallelMax {
		t.Errorf("%d requests at once, want %d", m, parallelMax)
	}
}

func TestFaultsOfTheEndpoint(t *testing.T) {
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, r *http.Request, _ int) bool {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.ReplaceAll(body, "KEY", r.Header.Get("Authorization")))
			return true
		}
	}
	for _, c := range []struct {
		name     string
		fault    func(http.ResponseWriter, *http.Request, int) bool
		kind     Kind
		requests int64
	}{
		{"unauthorized echoes the key", answer(401, "bad key KEY"), KindSettings, 1},
		{"bad request", answer(400, "KEY"), KindSettings, 1},
		{"not found", answer(404, "KEY"), KindSettings, 1},
		{"server error", answer(500, "KEY"), KindUnavailable, attemptsMax},
		{"not JSON, with the key", answer(200, "KEY"), KindAnswer, 1},
		{"half an answer", answer(200, `{"data":[{"index":0,"embedding":[1,2`), KindAnswer, 1},
		{"one vector of two", answer(200, `{"data":[{"index":0,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"an index twice", answer(200, `{"data":[{"index":0,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"an index too large", answer(200, `{"data":[{"index":0,"embedding":[1,2]},{"index":2,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"wrong dimension", answer(200, `{"data":[{"index":0,"embedding":[1,2,3]},{"index":1,"embedding":[1,2,3]}]}`), KindAnswer, 1},
		{"dimensions differ", answer(200, `{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1,2,3]}]}`), KindAnswer, 1},
		{"NaN", answer(200, `{"data":[{"index":0,"embedding":[1,NaN]},{"index":1,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"null in a vector", answer(200, `{"data":[{"index":0,"embedding":[1,null]},{"index":1,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"null for a vector", answer(200, `{"data":[{"index":0,"embedding":null},{"index":1,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"out of range", answer(200, `{"data":[{"index":0,"embedding":[1,1e39]},{"index":1,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"base64", answer(200, `{"data":[{"index":0,"embedding":"AAAA"},{"index":1,"embedding":[1,2]}]}`), KindAnswer, 1},
		{"endless", answer(200, strings.Repeat(" ", 1<<20)), KindAnswer, 1},
		{"cut off", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"data":[`)
			panic(http.ErrAbortHandler)
		}, KindUnavailable, attemptsMax},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeEndpoint(t, 2)
			f.setFault(c.fault)
			got, err := newTested(t, f).Embed(t.Context(), f.endpoint(), texts(2))
			if e := kindOf(t, err); e.Kind != c.kind || got != nil {
				t.Errorf("kind %d %v and %v, want kind %d", e.Kind, e, got, c.kind)
			}
			if n := f.requests.Load(); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	f := newFakeEndpoint(t, 2)
	c := newTested(t, f)
	f.setFault(func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(429)
		return true
	})
	if _, err := c.Embed(t.Context(), f.endpoint(), texts(1)); err != nil {
		t.Fatal(err)
	}
	if len(c.slept) != 1 || c.slept[0] != 3*time.Second {
		t.Errorf("slept %v, want 3 s once", c.slept)
	}

	// What is too long to wait for is told at once.
	f.setFault(func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(429)
		return true
	})
	before := f.requests.Load()
	_, err := c.Embed(t.Context(), f.endpoint(), texts(1))
	if e := kindOf(t, err); e.Kind != KindRate || e.RetryAfter != 100*time.Second || f.requests.Load() != before+1 {
		t.Errorf("%+v after %d requests", e, f.requests.Load()-before)
	}
}

func TestDeadEndpointFailsFast(t *testing.T) {
	f := newFakeEndpoint(t, 2)
	c := newTested(t, f)
	broken := func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.WriteHeader(503)
		return true
	}
	f.setFault(broken)
	for range 2 {
		_, err := c.Embed(t.Context(), f.endpoint(), texts(1))
		kindOf(t, err)
	}
	asked := f.requests.Load()
	if asked != failuresMax {
		t.Errorf("%d requests before the circuit opened, want %d", asked, failuresMax)
	}
	_, err := c.Embed(t.Context(), f.endpoint(), texts(1))
	if e := kindOf(t, err); e.Kind != KindUnavailable || e.RetryAfter <= 0 || f.requests.Load() != asked {
		t.Errorf("an open circuit asked again, or says %+v", e)
	}
	other := f.endpoint()
	other.Model = "another"
	_, err = c.Embed(t.Context(), other, texts(1))
	kindOf(t, err)
	if f.requests.Load() == asked {
		t.Error("the circuit of one endpoint holds another back")
	}
	c.pass(openForMax)
	asked = f.requests.Load()
	_, err = c.Embed(t.Context(), f.endpoint(), texts(1)) // the probe, in vain
	kindOf(t, err)
	if n := f.requests.Load() - asked; n != 1 {
		t.Errorf("%d probes, want 1", n)
	}
	c.pass(openForMax)
	f.setFault(func(http.ResponseWriter, *http.Request, int) bool { return false })
	for range 2 {
		if _, err := c.Embed(t.Context(), f.endpoint(), texts(1)); err != nil {
			t.Fatalf("the circuit does not close: %v", err)
		}
	}
}

func TestTimeLimits(t *testing.T) {
	f := newFakeEndpoint(t, 2)
	c := newTested(t, f)
	f.setFault(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
		<-r.Context().Done()
		return true
	})
	e := f.endpoint()
	e.Timeout = 30 * time.Millisecond
	_, err := c.Embed(t.Context(), e, texts(1))
	if e := kindOf(t, err); e.Kind != KindUnavailable || f.requests.Load() != attemptsMax {
		t.Errorf("%v after %d requests", e, f.requests.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.setFault(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
		return true
	})
	other := f.endpoint()
	other.Model, other.Batch = "other", 1
	if _, err := c.Embed(ctx, other, texts(20)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRedirects(t *testing.T) {
	f, elsewhere := newFakeEndpoint(t, 2), newFakeEndpoint(t, 2)
	c := newTested(t, f)
	for _, to := range []struct {
		name, location string
		status         int
		good           bool
	}{
		{"same origin", "/v2/embeddings", 307, true},
		{"same origin, method kept", f.URL + "/v2/embeddings", 308, true},
		{"method lost", "/v2/embeddings", 302, false},
		{"another host", elsewhere.URL + "/v1/embeddings", 307, false},
		{"plain", "http" + strings.TrimPrefix(f.URL, "https") + "/v2/embeddings", 307, false},
		{"for ever", "/v1/embeddings", 307, false},
	} {
		f.setFault(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.URL.Path != "/v1/embeddings" {
				return false
			}
			w.Header().Set("Location", to.location)
			w.WriteHeader(to.status)
			return true
		})
		_, err := c.Embed(t.Context(), f.endpoint(), texts(1))
		if to.good != (err == nil) {
			t.Errorf("%s: %v", to.name, err)
		}
		if !to.good && kindOf(t, err).Kind != KindSettings {
			t.Errorf("%s: %v", to.name, err)
		}
	}
	if n := elsewhere.requests.Load(); n != 0 {
		t.Errorf("the other host got %d requests", n)
	}
}

func TestNameOfAPrivateAddressIsRefusedWhenDialled(t *testing.T) {
	f := newFakeEndpoint(t, 2)
	c := newTested(t, f)
	e := f.endpoint()
	e.AllowPrivate = false
	e.URL = "https://localhost" + e.URL[strings.LastIndex(e.URL, ":"):]
	if err := e.Validate(); err != nil {
		t.Fatalf("a name says nothing before it is resolved: %v", err)
	}
	_, err := c.Embed(t.Context(), e, texts(1))
	if got := kindOf(t, err); got.Kind != KindSettings || !strings.Contains(got.Message, "loopback") {
		t.Errorf("%+v", got)
	}
	if n := f.requests.Load(); n != 0 {
		t.Errorf("%d requests went out", n)
	}
	// A connection made for an endpoint that may be private serves no other.
	if _, err := c.Embed(t.Context(), f.endpoint(), texts(1)); err != nil {
		t.Fatal(err)
	}
	e.URL = f.URL + "/v1/embeddings"
	if _, err := c.Embed(t.Context(), e, texts(1)); err == nil {
		t.Error("a pooled connection to a private address was used")
	}
}

func TestNoProxyOfTheEnvironment(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	for _, h := range []*http.Client{&c.open, &c.private} {
		tr := h.Transport.(*http.Transport)
		if tr.Proxy != nil || tr.TLSClientConfig.InsecureSkipVerify || tr.TLSClientConfig.MinVersion < tls.VersionTLS12 {
			t.Error("a proxy, or TLS that is not what it should be")
		}
	}
}

func TestUnknownCertificate(t *testing.T) {
	f := newFakeEndpoint(t, 2)
	c := newTested(t, nil)
	_, err := c.Embed(t.Context(), f.endpoint(), texts(1))
	if e := kindOf(t, err); e.Kind != KindSettings || f.requests.Load() != 0 {
		t.Errorf("%+v", e)
	}
}

func TestQueryCache(t *testing.T) {
	f := newFakeEndpoint(t, 4)
	c := newTested(t, f)
	e := f.endpoint()
	ask := func(tenant, text string, e Endpoint) []float32 {
		t.Helper()
		v, err := c.EmbedQuery(t.Context(), tenant, e, text)
		if err != nil || !slices.Equal(v, vectorOf(text, 4)) {
			t.Fatalf("%v %v", v, err)
		}
		return v
	}
	clear(ask("a", "x", e)) // the caller's own
	ask("a", "x", e)
	if n := f.requests.Load(); n != 1 {
		t.Errorf("%d requests for one text", n)
	}
	ask("b", "x", e)
	ask("a", "y", e)
	other := e
	other.Model = "other"
	ask("a", "x", other)
	if n := f.requests.Load(); n != 4 {
		t.Errorf("%d requests, want 4: tenants, texts and models share nothing", n)
	}
}

func TestCacheIsBoundedByBytes(t *testing.T) {
	c := newCache(10 * (entryOverhead + 4*8))
	for i := range 100 {
		c.put(cacheKey{text: [32]byte{byte(i)}}, make([]float32, 8))
		if c.mu.bytes > c.bytesMax || len(c.mu.byKey) != c.mu.order.Len() {
			t.Fatalf("%d bytes of %d", c.mu.bytes, c.bytesMax)
		}
		_, _ = c.get(cacheKey{}) // the first is used again and again
	}
	if _, ok := c.get(cacheKey{}); !ok {
		t.Error("what was used last went first")
	}
	c.put(cacheKey{text: [32]byte{1, 1}}, make([]float32, 8<<10))
	if c.mu.order.Len() != 10 {
		t.Errorf("%d entries, want 10", c.mu.order.Len())
	}
}

func TestStatesAreBounded(t *testing.T) {
	s := newStates()
	first := s.of([32]byte{1})
	for i := range endpointsMax + 10 {
		s.of([32]byte{2, byte(i), byte(i >> 8)})
		if s.of([32]byte{1}) != first {
			t.Fatal("a state in use was forgotten")
		}
	}
	if n := s.mu.order.Len(); n != endpointsMax || len(s.mu.byKey) != n {
		t.Errorf("%d states", n)
	}
}

func TestRerank(t *testing.T) {
	f := newFakeEndpoint(t, 2)
	c := newTested(t, f)
	for _, form := range []struct {
		texts bool
		body  string
	}{
		{false, `{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1},{"index":2,"relevance_score":0.9}]}`},
		{true, `[{"index":0,"score":0.1},{"index":2,"score":0.9},{"index":1,"score":0.9}]`},
	} {
		f.setFault(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			var q map[string]any
			_ = json.NewDecoder(r.Body).Decode(&q)
			_, texts := q["texts"]
			_, documents := q["documents"]
			if texts != form.texts || documents == form.texts || (q["model"] == nil) != form.texts {
				t.Errorf("request has %v", q)
			}
			_, _ = io.WriteString(w, form.body)
			return true
		})
		e := f.endpoint()
		e.Texts = form.texts
		got, err := c.Rerank(t.Context(), e, "q", []string{"a", "b", "c"})
		if err != nil || len(got) != 3 || got[0].Index != 1 || got[1].Index != 2 || got[2].Index != 0 {
			t.Errorf("%v %v", got, err)
		}
		if _, err = c.Rerank(t.Context(), e, "q", []string{"a", "b"}); kindOf(t, err).Kind != KindAnswer {
			t.Errorf("three scores for two documents: %v", err)
		}
	}
}
