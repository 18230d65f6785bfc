package httpedge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// TestUnbornHubServesNobody: while no key can be checked no route serves
// anybody, whatever he sends; none fails open.
func TestUnbornHubServesNobody(t *testing.T) {
	e := newEdge(t, func(o *Options) {
		directory := hubsvc.NewDirectory(hubsvc.NewKeyHasher([]byte("another")), time.Now)
		o.Hub = hubsvc.NewEmbedded(directory, &memGroup{}, hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes)})
		o.Nodes = silentNodes{}
	})
	for _, rt := range e.routes() {
		base := e.main
		if rt.surface == surfaceQdrant {
			base += qdrantPrefix
		}
		url := base + parameter.ReplaceAllString(rt.path, "a")
		for holder, key := range e.keys {
			if got := e.send(rt.method, url, key, "{}"); rt.op != tenant.OpPublic && got.status != 503 {
				t.Errorf("%s with the %s key: %d %s", rt.name(), holder, got.status, got.text)
			}
		}
		if got := e.send(rt.method, url, "", "{}"); rt.op != tenant.OpPublic && got.status != 401 {
			t.Errorf("%s without a key: %d %s", rt.name(), got.status, got.text)
		}
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

// TestMCPIsNotOpen: at /mcp nobody gets anything without a key, with a key that
// is none, or with a service's header.
func TestMCPIsNotOpen(t *testing.T) {
	w := newWorld(t)
	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_collections","arguments":{"tenant_id":"` + string(w.mine) + `"}}}`
	for _, base := range []string{w.main, w.qdrant, w.hubs, w.main + qdrantPrefix, w.through.main} {
		for _, path := range []string{"/mcp", "/mcp/", "/mcp/sse", "/mcp/message", "/mcp/tools/call"} {
			for _, method := range []string{"GET", "POST", "DELETE"} {
				for _, key := range []string{"", "mcp_sk_" + strings.Repeat("x", 40), "hh_live_" + strings.Repeat("x", 40)} {
					got := w.ask(method, base+path, call, "Api-Key", key, "X-HiveHub-Service", "mcp", "X-HiveHub-User-Id", string(w.mine))
					if got.status < 400 || got.status >= 500 || w.holds(got) != nil || strings.Contains(got.text, canaryName) {
						t.Errorf("%s %s%s: %d %s", method, base, path, got.status, got.text)
					}
				}
			}
		}
	}
}

// TestCachesKnowTheirTenant: two tenants that use the same names, the same
// idempotency keys, the same nonces and the same connections, in turns, each
// get their own.
func TestCachesKnowTheirTenant(t *testing.T) {
	w := newWorld(t)
	type party struct{ id, key, word string }
	var parties []party
	for _, p := range []party{{id: string(w.mine), word: "ours"}, {id: string(w.theirs), word: "yours"}} {
		w.furnish(t, tenant.ID(p.id))
		_, p.key = w.key(tenant.ID(p.id), tenant.Admin, nil)
		parties = append(parties, p)
	}
	at := "/collections/" + canaryName + "/points"
	for round := range 20 {
		for i, p := range parties {
			for j, base := range []string{w.qdrant, w.through.qdrant} {
				body := fmt.Sprintf(`{"points":[{"id":1,"vector":[%d,%d],"payload":{"word":%q}}]}`, i+1, round, p.word)
				idempotent := []string{"Api-Key", p.key, "Idempotency-Key", fmt.Sprint("round-", round, base)}
				w.ask("PUT", base+at+"?wait=true", body, idempotent...).is(200, "completed")
				w.ask("PUT", base+at+"?wait=true", body, idempotent...).is(200, "completed")
				nonce := fmt.Sprintf("the-nonce-of-round-%d-%d", round, j)
				url := base + at + "/payload?wait=true"
				change := `{"points":[1],"payload":{"signed":"` + p.word + `"}}`
				w.ask("POST", url, change, w.signedWith(tenant.ID(p.id), nonce, "POST", url, change)...).is(200, "completed")
				for _, read := range []reply{
					w.ask("GET", base+at+"/1", "", "Api-Key", p.key),
					w.ask("POST", base+at+"/query", `{"query":[1,1],"with_payload":true}`, "Api-Key", p.key),
					w.ask("POST", base+at+"/scroll", `{}`, "Api-Key", p.key),
				} {
					read.is(200, `"word":"`+p.word+`"`).is(200, `"signed":"`+p.word+`"`)
					if strings.Contains(read.text, `"`+parties[1-i].word+`"`) || read.header.Get("X-Tenant-Id") != p.id {
						t.Fatalf("%s reads %s (%v)", p.word, read.text, read.header)
					}
				}
			}
		}
	}
}

// signedWith is signature with a nonce of the caller's.
func (w *world) signedWith(id tenant.ID, nonce, method, url, body string) []string {
	headers := w.signature(id, method, url, body, func(r *tenant.SignedRequest) { r.Nonce = nonce })
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "X-HiveHub-Nonce" {
			headers[i+1] = nonce
		}
	}
	return headers
}

// growth is what routes are asked for that needs room.
var growth = []struct{ route, body string }{
	{"PUT /collections/:name", `{"vectors":{"size":2,"distance":"Dot"}}`},
	{"PUT /collections/:name/points", `{"points":[{"id":2,"vector":[1,1]}]}`},
	{"PUT /collections/:name/points", `{"batch":{"ids":[2,3],"vectors":[[1,1],[2,2]]}}`},
	{"PUT /collections/:name/points", `{"points":[{"id":1,"vector":[1,2],"payload":{"a":"` + canaryPayload + ` and more"}}]}`},
	{"POST /collections/:name/import", `{"id":2,"vector":[1,1]}`},
	{"POST /collections/:name/points/payload", `{"points":[1],"payload":{"more":"of it"}}`},
	{"PUT /collections/:name/points/payload", `{"points":[1],"payload":{"a":"` + canaryPayload + ` and more"}}`},
	{"POST /collections/:name/points/batch", `{"operations":[{"upsert":{"points":[{"id":2,"vector":[1,1]}]}}]}`},
	{"POST /collections/:name/points/batch", `{"operations":[{"set_payload":{"points":[1],"payload":{"more":"of it"}}}]}`},
	{"POST /collections", `{"name":"ghost","dimension":2}`},
	{"POST /insert_vectors", `{"collection":"docs","vectors":[{"vector":[1,1]}]}`},
	{"POST /insert_vectors", `{"collection":"docs","vectors":[{"id":"1","vector":[1,1],"payload":{"a":"` + canaryPayload + ` and more"}}]}`},
	{"POST /update", `{"collection":"docs","id":"1","payload":{"more":"of it"}}`},
	{"POST /batch_update", `{"collection":"docs","updates":[{"id":"1","payload":{"more":"of it"}}]}`},
	{"PUT /collections/:name/vectors/:id", `{"payload":{"more":"of it"}}`},
	{"POST /collections/:name/vectors/bulk_update_metadata", `{"filter":{"must":[{"has_id":[1]}]},"patch":{"more":"of it"}}`},
}

// TestQuotaOnEveryRoute: a tenant that has exactly what its plan allows gets
// nothing more through any route, here or through another node, signed or not.
func TestQuotaOnEveryRoute(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	whole, err := w.data.TenantUsage(ctx, w.mine)
	noError(t, err)
	_, err = w.hub.PutPlan(ctx, tenant.Plan{Name: "tight", Limits: tenant.Limits{Vectors: 1, Bytes: int64(whole.Bytes), Collections: 1}})
	noError(t, err)
	tight, err := w.hub.CreateTenant(ctx, hubsvc.TenantSpec{Name: "tight", Plan: "tight"})
	noError(t, err)
	w.furnish(t, tight.ID)
	_, key := w.key(tight.ID, tenant.Admin, nil)
	full := func(what string) {
		t.Helper()
		if u, err := w.data.TenantUsage(ctx, tight.ID); err != nil || u != whole {
			t.Fatalf("%s: usage is %+v, was %+v, %v", what, u, whole, err)
		}
	}
	full("at the beginning")
	refused := 0
	for _, p := range w.places() {
		frees := p.method == "DELETE" || strings.HasSuffix(p.path, "/delete") || strings.HasSuffix(p.path, "/clear") ||
			p.surface == surfaceNative && rowOf(p.route) == rowErase
		if p.surface == surfaceOperator || frees {
			continue
		}
		bodies := []string{w.bodyOf(&p)}
		url := w.real(&p)
		if strings.HasSuffix(p.path, "/batch") {
			bodies = nil
		}
		for _, g := range growth {
			if g.route != p.method+" "+strings.TrimPrefix(p.path, apiPrefix) {
				continue
			}
			if p.surface == surfaceQdrant && strings.HasSuffix(p.path, ":name") {
				url = ghost(&p)
			}
			status, word := 507, "Quota exceeded: "
			if p.surface == surfaceNative {
				status, word = 429, `"code":"QUOTA_EXCEEDED"`
			}
			for _, headers := range [][]string{{"Api-Key", key}, w.signature(tight.ID, p.method, url+"?wait=true", g.body, nil)} {
				w.ask(p.method, url+"?wait=true", g.body, headers...).is(status, word)
				refused++
			}
			bodies = nil
		}
		for _, body := range bodies { // of a route that needs none, as far as is known
			if p.surface == surfaceQdrant && p.method != "GET" {
				url += "?wait=true"
			}
			w.ask(p.method, url, body, "Api-Key", key)
		}
		full(p.String())
	}
	if refused < 2*3*len(growth) {
		t.Errorf("%d requests were refused, of %d kinds on three ways", refused, len(growth))
	}
}
