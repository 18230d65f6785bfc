package httpedge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// fill puts harmless values for the parameters of a route's path.
var fill = strings.NewReplacer(":name", "docs", ":id", "7", ":field", "city", ":vector", "v", ":snapshot", "s")

// TestEveryRegisteredRouteIsFromTheTable walks what the routers really serve.
func TestEveryRegisteredRouteIsFromTheTable(t *testing.T) {
	s := New(Options{})
	registered := func(app *fiber.App) (names []string) {
		for _, r := range app.GetRoutes() {
			names = append(names, r.Method+" "+r.Path)
		}
		slices.Sort(names)
		return names
	}
	var onMain, onQdrant []string
	for _, rt := range s.routes() {
		prefix := ""
		if rt.surface == surfaceQdrant {
			prefix = "/qdrant"
			onQdrant = append(onQdrant, rt.method+" "+rt.path)
		}
		onMain = append(onMain, rt.method+" "+prefix+rt.path)
	}
	for _, c := range []struct {
		app  *fiber.App
		want []string
	}{{s.mainApp(), onMain}, {s.qdrantApp(), onQdrant}} {
		slices.Sort(c.want)
		if got := registered(c.app); !slices.Equal(got, c.want) {
			t.Errorf("registered %q\nin the table %q", got, c.want)
		}
	}
	public := map[string]bool{}
	for _, rt := range s.routes() {
		if rt.op == tenant.OpPublic {
			public[rt.name()] = true
		}
	}
	for name := range publicRoutes {
		if !public[name] {
			t.Errorf("public route %q is not in the table", name)
		}
	}
}

// TestEveryRouteDemandsItsKey calls each route of both listeners with every
// kind of credential.
func TestEveryRouteDemandsItsKey(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.err = collection.Errorf(collection.Unavailable, "reached the engine")
	for _, rt := range e.routes() {
		urls := []string{e.main + fill.Replace(rt.path)}
		if rt.surface == surfaceQdrant {
			urls = []string{e.main + "/qdrant" + fill.Replace(rt.path), e.qdrant + fill.Replace(rt.path)}
		}
		for _, url := range urls {
			t.Run(rt.method+" "+url[strings.LastIndex(url, ":"):], func(t *testing.T) {
				e.t = t
				if rt.op == tenant.OpPublic && rt.method == "POST" {
					e.send(rt.method, url, "", "{}").is(401, "AUTH_MISSING")
					return
				}
				if rt.op == tenant.OpPublic {
					e.send(rt.method, url, "", "").is(200, "")
					return
				}
				e.checkRefusals(rt, url)
				e.checkPermissions(rt, url)
			})
		}
	}
	e.t = t
}

func (e *edge) checkRefusals(rt route, url string) {
	e.t.Helper()
	typo := e.keys["ADMIN"][:len(e.keys["ADMIN"])-1] + "~"
	for _, c := range []struct {
		what    string
		code    string
		headers []string
	}{
		{"no key", "AUTH_MISSING", nil},
		{"empty keys", "AUTH_MISSING", []string{"Api-Key", "", "X-Api-Key", ""}},
		{"a word", "AUTH_INVALID_FORMAT", []string{"Api-Key", "letmein"}},
		{"a malformed key", "AUTH_INVALID_FORMAT", []string{"X-Api-Key", typo}},
		{"an unknown key", "AUTH_INVALID_KEY", []string{"Authorization", "Bearer hh_live_" + strings.Repeat("x", 40)}},
		{"another scheme", "AUTH_INVALID_FORMAT", []string{"Authorization", "Basic " + e.keys["ADMIN"]}},
		{"no scheme", "AUTH_INVALID_FORMAT", []string{"Authorization", e.keys["ADMIN"]}},
		{"two keys", "AUTH_INVALID_FORMAT", []string{"Api-Key", e.keys["ADMIN"], "X-Api-Key", e.keys[operator]}},
		{"two keys of one name", "AUTH_INVALID_FORMAT", []string{"Api-Key", e.keys["ADMIN"], "Api-Key", e.keys[operator]}},
		{"two bearers", "AUTH_INVALID_FORMAT", []string{"Authorization", "Bearer " + e.keys["ADMIN"], "Authorization", "Bearer " + e.keys[operator]}},
		{"two places", "AUTH_INVALID_FORMAT", []string{"Api-Key", e.keys["ADMIN"], "Authorization", "Bearer " + e.keys["READ_ONLY"]}},
	} {
		got := e.send(rt.method, url, "", "{}", c.headers...)
		if got.status != 401 {
			e.t.Errorf("%s: %d %s, want 401", c.what, got.status, got.text)
		}
		want := `"code":"` + c.code + `"`
		if rt.surface == surfaceQdrant {
			want = "Invalid API key or JWT"
			if c.code == "AUTH_MISSING" {
				want = "Must provide an API key or an Authorization bearer token"
			}
			if got.text != want || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
				e.t.Errorf("%s: %q (%s)", c.what, got.text, got.header.Get("Content-Type"))
			}
		}
		got.is(401, want)
	}
	if calls := e.engine.take(); calls != nil {
		e.t.Errorf("refused, but called %+v", calls)
	}
}

func (e *edge) checkPermissions(rt route, url string) {
	e.t.Helper()
	for holder, key := range e.keys {
		may := rt.op == tenant.OpOperator || rt.op == tenant.OpService || rt.op == tenant.OpSelf || rt.op == tenant.OpUsage
		if holder != operator {
			may = tenant.Allowed(tenant.Permission(holder), rt.op)
		}
		for _, header := range []string{"Api-Key", "X-Api-Key", "Authorization"} {
			value := key
			if header == "Authorization" {
				value = "bearer " + key
			}
			got := e.send(rt.method, url, "", "{}", header, value)
			if (got.status != 403) != may || got.status == 401 {
				e.t.Errorf("%s in %s: %d %s, allowed: %v", holder, header, got.status, got.text, may)
			}
		}
		for _, c := range e.engine.take() {
			if !may || c.op != "delete tenant" && c.tc.TenantID != e.tenant || c.op != "delete tenant" && c.tc.RequestID == "" {
				e.t.Errorf("%s called %+v", holder, c)
			}
		}
	}
}

// TestRowsThatWouldOpenADoor: no mistake in the table can be registered.
func TestRowsThatWouldOpenADoor(t *testing.T) {
	handle := func(*request, tenant.Context) error { return nil }
	open := func(*request) error { return nil }
	for what, rt := range map[string]route{
		"no operation":             {method: "GET", path: "/x", surface: surfaceNative, handle: handle},
		"no handler":               {method: "GET", path: "/x", surface: surfaceNative, op: tenant.OpRead},
		"open, not public":         {method: "GET", path: "/x", surface: surfaceNative, op: tenant.OpRead, open: open},
		"both":                     {method: "GET", path: "/", surface: surfaceNative, op: tenant.OpPublic, open: open, handle: handle},
		"public, not by name":      {method: "GET", path: "/x", surface: surfaceNative, op: tenant.OpPublic, open: open},
		"named, with a key":        {method: "GET", path: "/health", surface: surfaceNative, op: tenant.OpRead, handle: handle},
		"operator on another":      {method: "GET", path: "/x", surface: surfaceQdrant, op: tenant.OpOperator, handle: handle},
		"tenant on the operator's": {method: "GET", path: "/x", surface: surfaceOperator, op: tenant.OpRead, handle: handle},
		"no type for the log":      {method: "GET", path: "/x", surface: surfaceNative, op: tenant.OpRead, handle: handle},
		"a type that is none":      {method: "GET", path: "/collections", surface: surfaceNative, op: tenant.OpRead, handle: handle, logs: 99},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: registered", what)
				}
			}()
			New(Options{}).register(newApp(), "", rt)
		}()
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	e := newEdge(t, nil)
	e.send("GET", e.main+"/nowhere", "", "").is(404, `"code":"NOT_FOUND"`)
	e.send("POST", e.main+"/qdrant/nowhere", "", "{}").is(404, `{"status":{"error":"Not found: `)
	e.send("GET", e.qdrant+"/nowhere", "", "").is(404, `{"status":{"error":"Not found: `)
	e.send("PATCH", e.main+"/api/v1/tenants", "", "{}").is(405, `"code":"METHOD_NOT_ALLOWED"`)
	e.send("DELETE", e.qdrant+"/collections", "", "").is(405, `{"status":{"error":"`)
	e.send("GET", e.qdrant+"/api/v1/tenants", e.keys[operator], "").is(404, "")
	e.send("GET", e.qdrant+"/health", "", "").is(404, "")
	e.send("GET", e.main+"/collections/docs/exists", e.keys["ADMIN"], "").is(404, "") // of Qdrant's API alone
}

func TestPathsAreDecodedOnce(t *testing.T) {
	e := newEdge(t, nil)
	for path, want := range map[string]string{
		"/collections/a%20b/exists": "a b", "/collections/a%20b/exists/": "a b", "/collections/caf%C3%A9/exists": "café",
		"/collections/a.b-c_d/exists": "a.b-c_d", "/collections/a%2541/exists": "a%41", "/collections/a+b/exists": "a+b",
		"/collections/%7Bx%7D/exists": "{x}",
	} {
		e.q("GET", path, "").is(200, `{"exists":false}`)
		if calls := e.engine.take(); len(calls) != 1 || calls[0].name != want {
			t.Errorf("%s: %+v, want name %q", path, calls, want)
		}
	}
	e.engine.infos = []collection.Info{{Name: "ab", Config: collection.Config{Vectors: []collection.VectorParams{{Size: 1, Distance: collection.Dot}}}}}
	for _, path := range []string{"/collections/ab", "/collections/ab/", "/collections/%61b"} {
		e.q("GET", path, "").is(200, `"size":1`)
	}
	e.engine.take()
	for _, path := range []string{"/collections/a%2Fb/exists", "/collections/a%0Ab/exists", "/collections/%E2%80%AEx/exists", "/collections/%ff/exists", "/collections/" + strings.Repeat("n", 256) + "/exists"} {
		e.q("GET", path, "").is(422, "Validation error in path parameters: [collection_name: ")
	}
	e.q("GET", "/collections/"+strings.Repeat("n", 255)+"/exists", "").is(200, "")
	e.engine.take()
	if got := e.raw(e.qdrant, "GET /collections/%zz/exists HTTP/1.1\r\nHost: x\r\nConnection: close\r\nApi-Key: "+e.keys["ADMIN"]+"\r\n\r\n"); !strings.Contains(got, "Deserialize error in path parameters: ") {
		t.Errorf("bad escape: %s", got)
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	e := newEdge(t, nil)
	for _, c := range []struct {
		path, key string
		status    int
	}{{"/health", "", 200}, {"/nowhere", "", 404}, {"/qdrant/collections", "", 401}, {"/qdrant/collections", e.keys["READ_ONLY"], 200}, {"/qdrant/collections/x", e.keys["READ_ONLY"], 404}} {
		got := e.send("GET", e.main+c.path, c.key, "")
		got.is(c.status, "")
		for name, value := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got.header.Get(name) != value {
				t.Errorf("%s: %s is %q", c.path, name, got.header.Get(name))
			}
		}
		if len(got.header.Get("X-Request-Id")) != 32 || got.header.Get("Server") != "" {
			t.Errorf("%s: headers %v", c.path, got.header)
		}
		want := ""
		if c.key != "" {
			want = string(e.tenant)
		}
		if got.header.Get("X-Tenant-Id") != want {
			t.Errorf("%s: X-Tenant-ID is %q, want %q", c.path, got.header.Get("X-Tenant-Id"), want)
		}
	}
	if got := e.send("GET", e.main+"/health", "", "", "X-Request-Id", "mine-1.2_3"); got.header.Get("X-Request-Id") != "mine-1.2_3" {
		t.Errorf("request id %q", got.header.Get("X-Request-Id"))
	}
	for _, bad := range []string{"a b", `"`, strings.Repeat("x", 65)} {
		if got := e.send("GET", e.main+"/nowhere", "", "", "X-Request-Id", bad); len(got.header.Get("X-Request-Id")) != 32 {
			t.Errorf("request id %q was taken over", bad)
		}
	}
}

func TestNotYetBuiltOperations(t *testing.T) {
	e := newEdge(t, nil)
	for _, op := range notYet {
		want := fmt.Sprintf(`{"status":{"error":"Not implemented: %s `, op.method)
		e.send(op.method, e.qdrant+fill.Replace(op.path), e.keys["ADMIN"], "{}").is(http.StatusNotImplemented, want)
	}
}
