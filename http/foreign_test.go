package httpedge

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// twin is a request for what somebody else has, and the same for what nobody has.
type twin struct {
	what            string
	method, body    string
	foreign, absent string // paths on the main listener
	key             string
	asks            tenant.ID
	creates         bool   // and so makes the name the asker's own
	other           string // the body about what nobody has; "": the same
}

const nobodysName = "none" // as long as canaryName

// twins are all routes of tenants with a name in them: asked by another
// tenant's ADMIN, and by a key of the owner that is not for this collection.
func (w *world) twins() (all []twin) {
	_, stranger := w.key(w.theirs, tenant.Admin, nil)
	_, narrowed := w.key(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"other*"}} })
	for _, rt := range w.routes() {
		p := place{route: &rt}
		if rt.surface == surfaceOperator || !strings.Contains(rt.path, ":name") && !strings.Contains(rt.path, ":id") {
			continue
		}
		if rt.surface == surfaceQdrant {
			p.base = qdrantPrefix
		}
		foreign := w.real(&p)
		t := twin{
			what: rt.name(), method: rt.method, body: w.bodyOf(&p), key: stranger, asks: w.theirs, foreign: foreign, absent: nobodys(w, foreign),
			creates: rt.op == tenant.OpManageCollections && rt.method == "PUT" && strings.HasSuffix(rt.path, ":name"),
		}
		if rt.method != "GET" && strings.Contains(rt.path, "/points") {
			t.foreign, t.absent = t.foreign+"?wait=true", t.absent+"?wait=true"
		}
		all = append(all, t)
		if strings.Contains(rt.path, ":name") {
			t.what, t.key, t.asks, t.creates = t.what+" by a narrowed key", narrowed, w.mine, false
			all = append(all, t)
		}
	}
	quota := twin{what: "quota", method: "GET", key: stranger, asks: w.theirs}
	quota.foreign, quota.absent = "/hub/usage/quota?user_id="+string(w.mine), "/hub/usage/quota?user_id=t_aaaaaaaaaaaa"
	makes := twin{what: "a key of another tenant", method: "POST", key: stranger, asks: w.theirs, foreign: "/auth/keys", absent: "/auth/keys"}
	makes.body = `{"permission":"ADMIN","tenant_id":"` + string(w.mine) + `"}`
	return append(append(all, quota, makes), w.bodyTwins(stranger, narrowed)...)
}

// bodyTwins are requests that name a collection in their bodies.
func (w *world) bodyTwins(stranger, narrowed string) (all []twin) {
	own := collection.Config{Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Dot}}}
	for _, id := range []tenant.ID{w.theirs, w.mine} {
		noError(w.t, w.data.CreateCollection(w.t.Context(), adminOf(id), "other", own, collection.ChangeOptions{}))
	}
	lookup := `{"query":1,"lookup_from":{"collection":"` + canaryName + `"}}`
	for what, c := range map[string][2]string{
		"an alias":                 {"/collections/aliases", `{"actions":[{"create_alias":{"collection_name":"` + canaryName + `","alias_name":"other-1"}}]}`},
		"an alias that is renamed": {"/collections/aliases", `{"actions":[{"rename_alias":{"old_alias_name":"` + canaryName + `","new_alias_name":"other-1"}}]}`},
		"a lookup":                 {"/collections/other/points/query", lookup},
		"a lookup in a prefetch":   {"/collections/other/points/query", `{"prefetch":` + lookup + `,"query":{"fusion":"rrf"}}`},
		"a lookup in a batch":      {"/collections/other/points/query/batch", `{"searches":[` + lookup + `]}`},
		"a recommendation":         {"/collections/other/points/recommend", `{"positive":[1],"limit":3,"lookup_from":{"collection":"` + canaryName + `"}}`},
	} {
		t := twin{what: what, method: "POST", body: c[1], key: stranger, asks: w.theirs, foreign: qdrantPrefix + c[0], absent: qdrantPrefix + c[0]}
		t.other = strings.ReplaceAll(t.body, canaryName, nobodysName)
		all = append(all, t)
		t.what, t.key, t.asks = t.what+" by a narrowed key", narrowed, w.mine
		all = append(all, t)
	}
	return all
}

// nobodys is a path for what is nobody's.
func nobodys(w *world, foreign string) string {
	return strings.NewReplacer("/"+canaryName, "/"+nobodysName, string(w.spare.ID), "k_aaaaaaaaaaaaaaaa").Replace(foreign)
}

// nameless is an answer without the names that were asked for.
func (w *world) nameless(text string) string {
	return timeless(strings.NewReplacer(canaryName, "NAME", nobodysName, "NAME", string(w.spare.ID), "ID", "k_aaaaaaaaaaaaaaaa", "ID", string(w.mine), "TENANT", "t_aaaaaaaaaaaa", "TENANT").Replace(text))
}

// TestForeignIsAbsent: what another tenant has, and what one's key is not for,
// answers exactly like what nobody has: status, body and headers, here and
// through another node, on every route that takes a name.
func TestForeignIsAbsent(t *testing.T) {
	w := newWorld(t)
	w.settle()
	twins := w.twins()
	if len(twins) < 60 {
		t.Errorf("only %d routes with a name", len(twins))
	}
	for _, c := range twins {
		for _, door := range []*edge{w.edge, w.through} {
			ask := func(path, body string) string {
				got := w.ask(c.method, door.main+path, body, "Api-Key", c.key, "X-Request-Id", "r")
				if c.creates {
					w.drop(c.asks, path)
				}
				if leaked := w.holds(got); leaked != nil && c.asks != w.mine {
					t.Errorf("%s: told %q: %s", c.what, leaked, got.text)
				}
				if got.status >= 500 && got.status != 501 || got.status == 401 {
					t.Errorf("%s: %d %s", c.what, got.status, got.text)
				}
				return fmt.Sprint(got.status, w.nameless(got.text), headersOf(got.header))
			}
			if foreign, absent := ask(c.foreign, c.body), ask(c.absent, cmp.Or(c.other, c.body)); foreign != absent {
				t.Errorf("%s: foreign %s\nabsent %s", c.what, foreign, absent)
			}
		}
	}
}

func headersOf(h http.Header) (all []string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name != "Date" && name != "Content-Length" { // the time in a body has as many digits as it has
			all = append(all, name+": "+strings.Join(h[name], ", "))
		}
	}
	return all
}

// drop takes away what a request for a path has made.
func (w *world) drop(id tenant.ID, path string) {
	name := canaryName
	if strings.Contains(path, nobodysName) {
		name = nobodysName
	}
	_, err := w.data.DeleteCollection(w.t.Context(), adminOf(id), name, collection.ChangeOptions{})
	noError(w.t, err)
}

// direct runs a request through the routes of a server without a connection,
// and says how long that took.
func (w *world) direct(method, path, body, key string) (status int, text string, took time.Duration) {
	var c fasthttp.RequestCtx
	c.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711}, nil)
	c.Request.Header.SetMethod(method)
	c.Request.SetRequestURI(path)
	c.Request.Header.Set("Api-Key", key)
	start := time.Now()
	r := &request{s: w.Server, http: &c, surface: surfaceNative, route: "none", start: start, ctx: w.base, id: "r", body: []byte(body), bodyDone: true}
	c.SetUserValue(requestKey{}, r)
	w.forwards(&c)
	took = time.Since(start)
	if r.cancel != nil {
		r.cancel()
	}
	return c.Response.StatusCode(), string(c.Response.Body()), took
}
