package httpedge

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

var edgeSecret = []byte("a signing secret of the edge's tests")

// signedEdge is an edge that believes signatures, and the key of a service.
func signedEdge(t *testing.T, change func(*Options)) (*edge, string) {
	t.Helper()
	e := newEdge(t, func(o *Options) {
		o.Access.SigningSecret = edgeSecret
		if change != nil {
			change(o)
		}
	})
	_, key, err := e.hub.(*hubsvc.Embedded).CreateKey(context.Background(), hubsvc.KeySpec{Kind: tenant.KeyService, Name: "gateway"})
	if err != nil {
		t.Fatal(err)
	}
	return e, key
}

// signed is a request of a service, to be changed before and after it is signed.
type signed struct {
	tenant.SignedRequest
	url     string
	headers map[string]string
}

func (e *edge) sign(key, method, path, body string, change func(*tenant.SignedRequest)) *signed {
	r := tenant.SignedRequest{
		Method: method, Target: path, Host: strings.TrimPrefix(e.qdrant, "http://"), Tenant: string(e.tenant),
		Timestamp: fmt.Sprint(time.Now().Unix()), Nonce: requestID(nil), Body: []byte(body),
	}
	if change != nil {
		change(&r)
	}
	return &signed{r, e.qdrant + path, map[string]string{
		"Authorization": "Bearer " + key, "X-HiveHub-Service": "gateway", "X-HiveHub-User-Id": r.Tenant,
		"X-HiveHub-Timestamp": r.Timestamp, "X-HiveHub-Nonce": r.Nonce, "X-HiveHub-Signature": tenant.Sign(edgeSecret, r),
	}}
}

func (e *edge) ask(s *signed) reply {
	e.t.Helper()
	req, err := http.NewRequest(s.Method, s.url, strings.NewReader(string(s.Body)))
	if err != nil {
		e.t.Fatal(err)
	}
	for name, value := range s.headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return reply{t: e.t, status: resp.StatusCode, header: resp.Header, text: string(b)}
}

func TestSignedRequests(t *testing.T) {
	e, key := signedEdge(t, nil)
	const body = `{"points":[1]}`
	read := e.sign(key, "POST", "/collections/docs/points/count?timeout=3", body, nil)
	got := e.ask(read).is(200, "")
	c := e.only()
	if c.tc.TenantID != e.tenant || c.tc.Service != "gateway" || c.tc.Nonce != "" || !c.tc.Valid() || c.tc.RequestID == "" || got.header.Get("X-Tenant-Id") != string(e.tenant) {
		t.Errorf("%+v", c.tc)
	}
	write := e.sign(key, "DELETE", "/collections/docs", "", nil)
	e.ask(write).is(200, "")
	if c := e.only(); c.tc.Nonce != write.Nonce || c.tc.Service != "gateway" {
		t.Errorf("%+v", c.tc)
	}
	// A change is refused where it is decided, so here it goes through again.
	e.ask(write).is(200, "")
	if c := e.only(); c.tc.Nonce != write.Nonce {
		t.Errorf("%+v", c.tc)
	}
	// A read is refused by the node that has answered it.
	e.ask(read).is(401, "Invalid API key")
	bodyless := e.sign(key, "GET", "/collections", "", nil)
	e.ask(bodyless).is(200, "")
	e.ask(bodyless).is(401, "")
	// The nonce is used, whatever else is signed with it.
	e.ask(e.sign(key, "GET", "/collections/x", "", func(r *tenant.SignedRequest) { r.Nonce = bodyless.Nonce })).is(401, "")
	e.engine.take()

	now := time.Now().Unix()
	for what, change := range map[string]func(*tenant.SignedRequest){
		"another method":         func(r *tenant.SignedRequest) { r.Method = "PUT" },
		"another host":           func(r *tenant.SignedRequest) { r.Host = "waggle.example" },
		"another path":           func(r *tenant.SignedRequest) { r.Target = "/collections/other/points/count?timeout=3" },
		"another query":          func(r *tenant.SignedRequest) { r.Target = "/collections/docs/points/count?timeout=4" },
		"no query":               func(r *tenant.SignedRequest) { r.Target = "/collections/docs/points/count" },
		"another body":           func(r *tenant.SignedRequest) { r.Body = []byte(`{"points":[2]}`) },
		"no body":                func(r *tenant.SignedRequest) { r.Body = nil },
		"301 seconds ago":        func(r *tenant.SignedRequest) { r.Timestamp = fmt.Sprint(now - 302) },
		"301 seconds ahead":      func(r *tenant.SignedRequest) { r.Timestamp = fmt.Sprint(now + 302) },
		"a time that is no time": func(r *tenant.SignedRequest) { r.Timestamp = "now" },
		"a short nonce":          func(r *tenant.SignedRequest) { r.Nonce = "short" },
		"no tenant's id":         func(r *tenant.SignedRequest) { r.Tenant = "../acme" },
	} {
		s := e.sign(key, "POST", "/collections/docs/points/count?timeout=3", body, change)
		s.Method, s.Body = "POST", []byte(body)
		e.ask(s).is(401, "Invalid API key")
		if calls := e.engine.take(); calls != nil {
			t.Errorf("signed for %s: called %+v", what, calls)
		}
	}
	e.ask(e.sign(key, "GET", "/collections", "", func(r *tenant.SignedRequest) { r.Tenant = "t_nobody" })).is(404, "")
}

// Whatever a service's request lacks, holds twice or contradicts, it is
// nobody's.
func TestSignedHeaders(t *testing.T) {
	e, key := signedEdge(t, nil)
	for what, change := range map[string]func(h map[string]string){
		"the tenant replaced":    func(h map[string]string) { h["X-HiveHub-User-Id"] = "default" },
		"the nonce replaced":     func(h map[string]string) { h["X-HiveHub-Nonce"] = strings.Repeat("n", 20) },
		"the time replaced":      func(h map[string]string) { h["X-HiveHub-Timestamp"] = fmt.Sprint(time.Now().Unix() - 5) },
		"another service's name": func(h map[string]string) { h["X-HiveHub-Service"] = "hub" },
		"no signature":           func(h map[string]string) { delete(h, "X-HiveHub-Signature") },
		"an empty signature":     func(h map[string]string) { h["X-HiveHub-Signature"] = "" },
		"no tenant":              func(h map[string]string) { delete(h, "X-HiveHub-User-Id") },
		"no nonce":               func(h map[string]string) { delete(h, "X-HiveHub-Nonce") },
		"no time":                func(h map[string]string) { delete(h, "X-HiveHub-Timestamp") },
		"only the bare name":     func(h map[string]string) { clear(h); h["X-HiveHub-Service"] = "gateway" },
		"the name and the tenant": func(h map[string]string) {
			clear(h)
			h["X-HiveHub-Service"], h["X-HiveHub-User-Id"] = "gateway", string(e.tenant)
		},
		"all but the key":     func(h map[string]string) { delete(h, "Authorization") },
		"an unknown key":      func(h map[string]string) { h["Authorization"] = "Bearer svc_" + strings.Repeat("x", 40) },
		"a tenant's key, too": func(h map[string]string) { h["Api-Key"] = e.keys["ADMIN"] },
	} {
		s := e.sign(key, "GET", "/collections", "", nil)
		change(s.headers)
		e.ask(s).is(401, "")
		if calls := e.engine.take(); calls != nil {
			t.Errorf("%s: called %+v", what, calls)
		}
	}
	// Twice: two readers might each take another one.
	for _, name := range []string{"X-HiveHub-User-Id", "X-HiveHub-Timestamp", "X-HiveHub-Nonce", "X-HiveHub-Signature", "X-HiveHub-Service"} {
		s := e.sign(key, "GET", "/collections", "", nil)
		var lines strings.Builder
		for _, n := range slices.Sorted(maps.Keys(s.headers)) {
			fmt.Fprintf(&lines, "%s: %s\r\n", n, s.headers[n])
		}
		fmt.Fprintf(&lines, "%s: %s\r\n", strings.ToUpper(name), s.headers[name])
		got := e.raw(e.qdrant, "GET /collections HTTP/1.1\r\nHost: "+s.Host+"\r\nConnection: close\r\n"+lines.String()+"\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 401 ") {
			t.Errorf("two %s: %.200s", name, got)
		}
	}
	// With a tenant's key the headers of services mean nothing.
	e.send("GET", e.qdrant+"/collections", e.keys["READ_ONLY"], "", "X-HiveHub-Service", "gateway", "X-HiveHub-User-Id", "default").is(200, "")
	if c := e.only(); c.tc.TenantID != e.tenant || c.tc.Service != "" {
		t.Errorf("%+v", c.tc)
	}
	// A request line with a whole URL has two hosts.
	s := e.sign(key, "GET", "/collections", "", nil)
	var lines strings.Builder
	for n, v := range s.headers {
		fmt.Fprintf(&lines, "%s: %s\r\n", n, v)
	}
	if got := e.raw(e.qdrant, "GET http://other.example/collections HTTP/1.1\r\nHost: "+s.Host+"\r\nConnection: close\r\n"+lines.String()+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 401 ") {
		t.Errorf("whole URL: %.200s", got)
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
	for _, secret := range []string{string(edgeSecret), s.headers["X-HiveHub-Signature"], key} {
		if strings.Contains(e.logged.String(), secret) {
			t.Errorf("%.12s... is in the log", secret)
		}
	}
}

// Without a secret no signature is good, least of all one under no secret.
func TestNoSecretNoService(t *testing.T) {
	e, key := signedEdge(t, func(o *Options) { o.Access.SigningSecret = nil })
	e.ask(e.sign(key, "GET", "/collections", "", nil)).is(401, "")
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

// A body that its signature does not cover is read only as far as every body
// is, and a request that cannot be good costs no upload.
func TestSignedBodyLimits(t *testing.T) {
	e, key := signedEdge(t, func(o *Options) { o.Limits.Request.BodyBytes = 1000 })
	long := strings.Repeat(" ", 1001)
	e.ask(e.sign(key, "POST", "/collections/docs/points/count", long, nil)).is(413, "")
	s := e.sign(key, "POST", "/collections/docs/points/count", "{}", nil)
	delete(s.headers, "X-HiveHub-Signature")
	s.Body = []byte(strings.Repeat(" ", 900))
	e.ask(s).is(401, "")
	if n := e.bodies.Load(); n != 0 {
		t.Errorf("%d bytes held", n)
	}
}

// A service's key by itself opens the hub's API on the hub's listener, and
// nothing else anywhere.
func TestServiceKeyAlone(t *testing.T) {
	e, key := signedEdge(t, nil)
	hub := openPort(t)
	e.ServeHub(hub)
	at := "http://" + hub.Addr().String()
	for _, url := range []string{e.main + "/qdrant/collections", e.qdrant + "/collections"} {
		e.send("GET", url, key, "", "X-Service-Name", "gateway").is(401, "")
	}
	for _, base := range []string{e.main, at} {
		e.send("GET", base+"/api/v1/tenants", "", "").is(401, "AUTH_MISSING")
		e.send("GET", base+"/api/v1/tenants", e.keys["ADMIN"], "").is(403, "FORBIDDEN")
		e.send("GET", base+"/api/v1/tenants", e.keys[operator], "").is(200, "tenants")
		e.send("GET", base+"/health/live", "", "").is(200, "")
	}
	e.send("GET", at+"/qdrant/collections", e.keys["ADMIN"], "").is(404, "")
	e.send("GET", at+"/collections", e.keys["ADMIN"], "").is(404, "")
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
	row := route{method: "GET", path: "/x", surface: surfaceOperator, op: tenant.OpService}
	for _, c := range []struct {
		atHub, operator bool
		name            string
		ok              bool
	}{
		{true, false, "waggle", true},
		{true, false, "", false},
		{true, false, "a b", false},
		{true, false, strings.Repeat("a", 65), false},
		{false, false, "waggle", false},
		{false, true, "", true},
		{true, true, "", true},
	} {
		r := testRequest(e.Server, "X-Service-Name", c.name, "Api-Key", map[bool]string{true: e.keys[operator], false: key}[c.operator])
		r.atHub = c.atHub
		if _, err := r.admit(&row); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The audit log knows of repetitions, wherever a nonce is decided.
func TestRepetitionsAreAudited(t *testing.T) {
	l := &ledger{}
	e, key := signedEdge(t, func(o *Options) { o.RecordAuth = l.record })
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/auth/keys", ""},
		{"POST", "/auth/keys", `{"permission":"READ_ONLY"}`},
	} {
		s := e.sign(key, c.method, c.path, c.body, func(r *tenant.SignedRequest) { r.Host = strings.TrimPrefix(e.main, "http://") })
		s.url = e.main + c.path
		if first := e.ask(s); first.status >= 300 {
			t.Fatalf("%s: %d %s", c.method, first.status, first.text)
		}
		e.ask(s).is(401, "AUTH_NONCE_REPLAYED")
		e.ask(s).is(401, "AUTH_NONCE_REPLAYED")
	}
	e.door.sightings.flush(t.Context())
	replayed := 0
	for _, r := range l.rows() {
		if r.Reason == "AUTH_NONCE_REPLAYED" && r.KeyID != "" {
			replayed += int(r.Count)
		}
	}
	if replayed != 4 {
		t.Errorf("%d repetitions are in the audit log, there were 4", replayed)
	}
}
