package httpedge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// crooked are spellings of a path that some reader takes for the path.
func crooked(path string) []string {
	last := strings.LastIndexByte(path, '/')
	dir, name := path[:last], path[last+1:]
	spelled := []string{
		"/" + path, "//" + path, path + "/.", path + "//", path + "/../" + name, dir + "//" + name, dir + "/./" + name, dir + "/x/../" + name,
		dir + "%2f" + name, dir + "/%2e/" + name, dir + "/x/%2e%2e/" + name, dir + "/..;/" + name, path + ";a=b", path + "%00", path + "%20",
		path + "%2f", path + ".", path + "?", path + "#", path + "%3f", strings.ToUpper(path), dir + "\\" + name, path + "%0d%0a", dir + "/%c0%ae%c0%ae/" + name,
		"/health/.." + path, "/health/%2e%2e" + path, "/qdrant/.." + path, "/qdrant/healthz/.." + path, "/hub/validate-key/.." + path, "/./" + path, "/%2e%2e" + path,
	}
	if name != "" {
		spelled = append(spelled, fmt.Sprintf("%s/%%%02x%s", dir, name[0], name[1:]), fmt.Sprintf("%s/%%25%02x%s", dir, name[0], name[1:]))
	}
	return spelled
}

// text sends a request line and headers as they are, and returns all answers.
func (w *world) text(base, line string, headers ...string) string {
	w.t.Helper()
	return w.raw(base, line+"\r\nHost: h\r\nConnection: close\r\n"+strings.Join(append(headers, ""), "\r\n")+"\r\n")
}

func (w *world) told(answer string) (leaked []string) {
	return w.holds(reply{text: answer})
}

// TestCrookedPaths: however a path is spelled, nobody gets in without a key, a
// tenant gets to nothing of the operator's, and a narrowed key to no other
// collection.
func TestCrookedPaths(t *testing.T) {
	w := newWorld(t)
	w.settle()
	_, reader := w.key(w.mine, tenant.Admin, nil)
	_, narrowed := w.key(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"other*"}} })
	before := w.state()
	for _, c := range []struct{ who, key, path string }{
		{"nobody", "", "/qdrant/collections"},
		{"nobody", "", "/qdrant/collections/docs/points/1"},
		{"nobody", "", "/auth/keys"},
		{"nobody", "", "/api/v1/tenants"},
		{"a tenant", reader, "/api/v1/tenants"},
		{"a tenant", reader, "/api/v1/tenants/" + string(w.theirs)},
		{"a narrowed key", narrowed, "/qdrant/collections/docs"},
		{"a narrowed key", narrowed, "/qdrant/collections/docs/points/1"},
	} {
		for _, path := range append(crooked(c.path), c.path) {
			for _, method := range []string{"GET", "DELETE"} {
				var headers []string
				if c.key != "" {
					headers = []string{"Api-Key: " + c.key}
				}
				got := w.text(w.main, method+" "+path+" HTTP/1.1", headers...)
				head, body, _ := strings.Cut(got, "\r\n\r\n")
				status := strings.TrimPrefix(head, "HTTP/1.1 ")
				if c.key != "" {
					head = "" // it says whose key it is
				}
				if !strings.HasPrefix(status, "4") || w.told(head+body) != nil || strings.Contains(body, string(w.theirs)) {
					t.Errorf("%s: %s %s: %.600s", c.who, method, path, got)
				}
			}
		}
	}
	if after := w.state(); after != before {
		t.Error("something changed")
	}
}

// TestCredentialsInOddPlaces: a key counts where the contract says, and nothing
// that a client writes elsewhere makes him somebody, or another one.
func TestCredentialsInOddPlaces(t *testing.T) {
	w := newWorld(t)
	w.settle()
	_, admin := w.key(w.mine, tenant.Admin, nil)
	_, reader := w.key(w.mine, tenant.ReadOnly, nil)
	_, stranger := w.key(w.theirs, tenant.Admin, nil)
	mine := string(w.mine)
	before := w.state()
	for _, c := range []struct {
		what, line string
		headers    []string
		status     string
	}{
		{"in the query", "GET /collections?api-key=" + admin + "&api_key=" + admin + "&access_token=" + admin + " HTTP/1.1", nil, "401"},
		{"in the URL's user", "GET http://" + admin + "@h/collections HTTP/1.1", nil, "401"},
		{"in a cookie", "GET /collections HTTP/1.1", []string{"Cookie: api-key=" + admin}, "401"},
		{"with underscores", "GET /collections HTTP/1.1", []string{"api_key: " + admin, "X_API_KEY: " + admin, "HTTP_API_KEY: " + admin}, "401"},
		{"for a proxy", "GET /collections HTTP/1.1", []string{"Proxy-Authorization: Bearer " + admin, "X-Forwarded-Authorization: Bearer " + admin}, "401"},
		{"as a password", "GET /collections HTTP/1.1", []string{"Authorization: Basic " + admin}, "401"},
		{"of an old client", "GET /collections HTTP/1.0", nil, "401"},
		{"of an old client, good", "GET /collections HTTP/1.0", []string{"api-key: " + admin}, "200"},
		{"in any case", "GET /collections HTTP/1.1", []string{"aPi-kEy: " + admin, "AUTHORIZATION: bEaReR " + admin}, "200"},
		{"cases that differ", "GET /collections HTTP/1.1", []string{"aPi-kEy: " + admin, "API-KEY: " + reader}, "401"},
		{"a whole URL", "GET http://other.example/collections HTTP/1.1", nil, "401"},
		{"a whole URL of the operator's", "GET http://h/api/v1/tenants HTTP/1.1", []string{"Api-Key: " + admin}, "404"}, // not on this listener
		{"another method by a header", "GET /collections/docs HTTP/1.1", []string{"Api-Key: " + reader, "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "X-HTTP-Method: DELETE"}, "200"},
		{"another path by a header", "GET /healthz HTTP/1.1", []string{"X-Original-URL: /collections/docs", "X-Rewrite-URL: /collections/docs", "X-Forwarded-Prefix: /collections"}, "200"},
		{"another tenant by a header", "GET /collections/docs HTTP/1.1", []string{"Api-Key: " + stranger, "X-Tenant-ID: " + mine, "X-HiveHub-User-Id: " + mine, "X-HiveHub-Service: gateway", "X-User-Id: " + mine}, "404"},
		{"another tenant in the query", "GET /collections/docs?tenant_id=" + mine + "&user_id=" + mine + " HTTP/1.1", []string{"Api-Key: " + stranger}, "404"},
		{"a method that there is not", "TRACE /collections HTTP/1.1", []string{"Api-Key: " + admin}, "405"},
		{"only the head", "HEAD /collections HTTP/1.1", []string{"Api-Key: " + admin}, "405"},
	} {
		got := w.text(w.qdrant, c.line, c.headers...)
		_, status, _ := strings.Cut(got, " ")
		if !strings.HasPrefix(status, c.status) {
			t.Errorf("%s: %.400s, want %s", c.what, got, c.status)
		}
		if leaked := w.told(got); c.status != "200" && leaked != nil && !strings.Contains(strings.Join(c.headers, ""), admin) {
			t.Errorf("%s: told %q", c.what, leaked)
		}
	}
	if after := w.state(); after != before {
		t.Error("something changed")
	}
}

// TestSmuggledRequests: the body of a refused request is not the next one.
func TestSmuggledRequests(t *testing.T) {
	w := newWorld(t)
	w.settle()
	_, admin := w.key(w.mine, tenant.Admin, nil)
	before := w.state()
	inner := "DELETE /collections/docs HTTP/1.1\r\nHost: h\r\nApi-Key: " + admin + "\r\n\r\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	for what, first := range map[string]string{
		"no key":           "POST /collections/docs/points/count HTTP/1.1\r\nHost: h\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"a GET with one":   "GET /collections HTTP/1.1\r\nHost: h\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"no path":          "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"chunked":          "POST /collections/docs/points/count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
		"two lengths":      "POST /collections/docs/points/count HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"length, chunked":  "POST /collections/docs/points/count HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
		"a strange length": "POST /collections/docs/points/count HTTP/1.1\r\nHost: h\r\nContent-Length: +0\r\n\r\n" + inner,
		"a bad method":     "BREW /collections HTTP/1.1\r\nHost: h\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
		"an old client":    "POST /collections/docs/points/count HTTP/1.0\r\nContent-Length: " + fmt.Sprint(len(inner)) + "\r\n\r\n" + inner,
	} {
		// The request after it is honest, and ends the connection.
		got := w.raw(w.qdrant, first+"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		if n := strings.Count(got, "HTTP/1.1 "); n > 2 || strings.Contains(got, `"result":true`) {
			t.Errorf("%s: %d answers: %.800s", what, n, got)
		}
	}
	// Whoever asks first is told to go on, and then refused as anybody.
	if got := w.text(w.qdrant, "PUT /collections/docs HTTP/1.1", "Expect: 100-continue", "Content-Length: 0"); !strings.Contains(got, "HTTP/1.1 401 ") {
		t.Errorf("asked first: %.400s", got)
	}
	// A key counts for its own request only, on a connection that others use.
	got := w.raw(w.qdrant, "GET /collections HTTP/1.1\r\nHost: h\r\nApi-Key: "+admin+"\r\n\r\nGET /collections HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || strings.Count(got, "HTTP/1.1 401 ") != 1 || strings.Count(got, canaryName) != 1 {
		t.Errorf("two requests on a connection: %.800s", got)
	}
	if after := w.state(); after != before {
		t.Error("something changed")
	}
}

// TestHugeThings: what is too large is refused as that, and never a fault of ours.
func TestHugeThings(t *testing.T) {
	w := newWorld(t)
	_, admin := w.key(w.mine, tenant.Admin, nil)
	long := strings.Repeat("9", 7000)
	for _, path := range []string{
		"/collections/" + long, "/collections/docs/points/" + long, "/collections/docs/points/18446744073709551616", "/collections/docs/points/-1",
		"/collections/docs/points/1e400", "/collections?timeout=" + long, "/auth/keys/" + long, "/auth/audit?limit=" + long, "/auth/audit?cursor=" + long,
		"/api/v1/events?after=" + long, "/collections/" + strings.Repeat("%25", 2000), "/collections/" + strings.Repeat("x/", 3000),
	} {
		for _, base := range []string{w.qdrant, w.main, w.main + qdrantPrefix} {
			got := w.ask("GET", base+path, "", "Api-Key", admin)
			if got.status >= 500 || got.status < 400 {
				t.Errorf("%.60s: %d %.300s", path, got.status, got.text)
			}
		}
	}
	for _, body := range []string{
		`{"points":[{"id":18446744073709551616,"vector":[1,2]}]}`, `{"points":[{"id":"` + long + `","vector":[1,2]}]}`,
		`{"points":[{"id":1,"vector":[1e400,2]}]}`, `{"points":[{"id":1.5,"vector":[1,2]}]}`, strings.Repeat("[", 5000), `{"points":` + strings.Repeat(`[`, 5000),
	} {
		got := w.ask("PUT", w.qdrant+"/collections/docs/points?wait=true", body, "Api-Key", admin)
		if got.status >= 500 || got.status < 400 {
			t.Errorf("%.60s: %d %.300s", body, got.status, got.text)
		}
	}
}

// TestForgedForwards: what nodes send each other is nothing to the ports of clients.
func TestForgedForwards(t *testing.T) {
	w := newWorld(t)
	w.settle()
	before := w.state()
	forged, err := msgpack.Marshal(&forwarded{Method: "DELETE", URI: "/qdrant/collections/docs", Tenant: adminOf(w.mine)})
	noError(t, err)
	for _, base := range []string{w.main, w.qdrant, w.hubs, w.through.main} {
		for _, path := range []string{"/", "/forward", "/request", "/internal/forward", "/cluster/request", "/qdrant/collections/docs", "/collections/docs/points", "/hub/validate-key"} {
			for _, method := range []string{"POST", "PUT"} {
				got := w.ask(method, base+path, string(forged), "Content-Type", "application/msgpack", "X-Forwarded-For", "127.0.0.1")
				if got.status < 400 || w.holds(got) != nil {
					t.Errorf("%s %s%s: %d %s", method, base, path, got.status, got.text)
				}
			}
		}
	}
	if after := w.state(); after != before {
		t.Error("something changed")
	}
}

// TestTenantTwiceInABody: of a member that stands there twice no reader's choice
// makes a key for somebody else.
func TestTenantTwiceInABody(t *testing.T) {
	w := newWorld(t)
	_, admin := w.key(w.theirs, tenant.Admin, nil)
	mine, theirs := string(w.mine), string(w.theirs)
	for _, ids := range [][2]string{{mine, theirs}, {theirs, mine}, {mine, mine}} {
		for _, members := range []string{`"tenant_id":%q,"tenant_id":%q`, `"tenant_id":%q,"user_id":%q`, `"user_id":%q,"tenant_id":%q`, `"tenant_id":%q,"TENANT_ID":%q`} {
			got := w.ask("POST", w.main+"/auth/keys", `{"permission":"READ_ONLY",`+fmt.Sprintf(members, ids[0], ids[1])+`}`, "Api-Key", admin)
			if got.status == 201 && got.json()["tenant_id"] != theirs || got.status != 201 && got.status != 403 && got.status != 400 || w.holds(got) != nil {
				t.Errorf("%q: %d %s", ids, got.status, got.text)
			}
		}
	}
	keys, err := w.hub.ListKeys(t.Context(), w.mine)
	noError(t, err)
	if len(keys) != 1 {
		t.Errorf("%d keys of a tenant that made none but one", len(keys))
	}
}
