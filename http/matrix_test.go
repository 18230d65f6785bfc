package httpedge

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// The contract's table of permissions, and beside it which routes are of which
// row, both written down here once more: what is compared with them is the
// route table and what the edge does.

// row is a row of the contract's table.
type row string

const (
	rowPublic   row = "public"
	rowRead     row = "list, info, search, get"
	rowWrite    row = "insert, update"
	rowErase    row = "delete points"
	rowManage   row = "create, delete, alter collections, aliases, payload indexes"
	rowBackup   row = "backups: create, restore, delete"
	rowExport   row = "download or export, embed, own usage"
	rowUpload   row = "upload, import"
	rowAdmin    row = "keys, tenant settings, IP lists, audit of the own tenant"
	rowOperator row = "cluster and all-tenant operations"
	rowHub      row = "the hub's API"
	rowSelf     row = "what a key is taken for"
	rowUsage    row = "own usage, and for the operator anybody's"
)

// contract says who may: ADMIN, READ_WRITE, READ_ONLY, MCP.
var contract = map[row]string{
	rowRead: "yyyy", rowWrite: "yyny", rowErase: "yynn", rowManage: "yynn", rowBackup: "yynn", rowExport: "yyyn", rowUpload: "yynn",
	rowAdmin: "ynnn", rowOperator: "nnnn", rowHub: "nnnn", rowSelf: "yyyy",
	rowUsage: "yyyn",
}

// operations are the rows in the words of the code.
var operations = map[tenant.Operation]row{
	tenant.OpPublic: rowPublic, tenant.OpRead: rowRead, tenant.OpWrite: rowWrite, tenant.OpDeletePoints: rowErase,
	tenant.OpManageCollections: rowManage, tenant.OpBackup: rowBackup, tenant.OpDownload: rowExport, tenant.OpOwnUsage: rowExport,
	tenant.OpUpload: rowUpload, tenant.OpAdmin: rowAdmin, tenant.OpOperator: rowOperator, tenant.OpService: rowHub, tenant.OpSelf: rowSelf,
	tenant.OpUsage: rowUsage,
}

// rules put every route that there is, or that the contract announces, into a
// row. The first that matches "METHOD /path" on its surface decides. What none
// matches has no row, and the test fails: think about who may, and add it.
var rules = []struct {
	pattern string
	row     row
}{
	// Anybody.
	{`^native GET /(|health|health/live|health/ready|metrics|(api/v1/)?(openapi\.json|reference|reference\.js|reference\.css))$`, rowPublic},
	{`^native POST /(hub/validate-key|api/v1/cluster/keys/validate)$`, rowPublic},
	{`^qdrant GET /(|healthz|livez|readyz)$`, rowPublic},
	// The node's operator, and services.
	{`^operator \w+ /api/v1/cluster/`, rowOperator},
	{`^operator \w+ /hub/tenant/`, rowOperator},
	{`^operator \w+ /api/(v1/(tenants|plans|access-keys|audit|events|vectorizer/logs)|internal/vectorizer|mcp-servers)(/|$)`, rowHub},
	// A tenant's own.
	{`^native GET /auth/me$`, rowSelf},
	{`^native \w+ /(api/v1/)?auth/(keys|audit|logs|settings|allowed-ips|embedding)(/|$)`, rowAdmin},
	{`^native GET /hub/usage/\w+$`, rowExport},
	{`^native GET /api/v1/cluster/usage$`, rowUsage},
	{`^native GET /(api/v1/)?usage$`, rowExport},
	{`^native GET /hub/backups/:\w+/download$`, rowExport},
	{`^native POST /hub/backups/upload$`, rowUpload},
	{`^native \w+ /hub/backups(/|$)`, rowBackup},
	{`^native POST /(api/v1/)?embed$`, rowExport},
	{`^native POST /(api/v1/)?files/upload$`, rowUpload},
	{`^native GET /(api/v1/)?files/config$`, rowRead},
	{`^mcp POST /mcp$`, rowRead},
	// Qdrant's API.
	{`^qdrant POST /collections/:\w+/snapshots/upload$`, rowUpload},
	{`^qdrant GET /collections/:\w+/snapshots/:\w+$`, rowExport},
	{`^qdrant \w+ /(collections/:\w+/)?snapshots(/|$)`, rowBackup},
	{`^qdrant POST /collections/:\w+/points/(delete|batch|vectors/delete)$`, rowErase}, // a batch may delete
	{`^qdrant (PUT|POST) /collections/:\w+/points/payload(/delete|/clear)?$`, rowWrite},
	{`^qdrant PUT /collections/:\w+/points(/vectors)?$`, rowWrite},
	{`^qdrant POST /collections/:\w+/points(/(scroll|count|query|search|recommend|discover)(/batch|/groups|/matrix/\w+)?)?$`, rowRead},
	{`^qdrant POST /collections/:\w+/facet$`, rowRead},
	{`^qdrant (PUT|PATCH|POST|DELETE) /collections/(:\w+(/(index|vectors|shards)(/.*)?)?|aliases)$`, rowManage},
	{`^qdrant GET /`, rowRead},
	// Waggle's own words for the same; with and without a prefix.
	{`^native GET /(api/v1/)?collections/:\w+/export$`, rowExport},
	{`^native POST /(api/v1/)?collections/:\w+/import$`, rowUpload},
	{`^native POST /(api/v1/)?collections/:\w+/(search|search/text|hybrid_search|scroll|count|query|explain)$`, rowRead},
	{`^native POST /(api/v1/)?collections/:\w+/(rename|ttl|reindex|reencode)$`, rowManage},
	{`^native POST /(api/v1/)?(vector|search|batch_search|multi_collection_search|intelligent_search|semantic_search|contextual_search)$`, rowRead},
	{`^native POST /(api/v1/)?(insert|insert_texts|insert_vectors|batch_insert|batch_update|update)$`, rowWrite},
	{`^native (PUT|PATCH) /(api/v1/)?collections/:\w+/vectors/:\w+(/expiry)?$`, rowWrite},
	{`^native POST /(api/v1/)?collections/:\w+/vectors/(copy|bulk_update_metadata)$`, rowWrite},
	{`^native POST /(api/v1/)?(delete|batch_delete|collections/:\w+/vectors/(move|delete_by_filter))$`, rowErase},
	{`^native DELETE /(api/v1/)?collections/:\w+/vectors/:\w+$`, rowErase},
	{`^native (POST|PUT|PATCH|DELETE) /(api/v1/)?collections(/:\w+)?$`, rowManage},
	{`^native GET /(api/v1/)?(collections|stats)(/|$)`, rowRead},
}

var ruleMatchers = func() (all []*regexp.Regexp) {
	for _, r := range rules {
		all = append(all, regexp.MustCompile(r.pattern))
	}
	return all
}()

// rowOf is the contract's row of a route, or "".
func rowOf(rt *route) row {
	for i, r := range rules {
		if ruleMatchers[i].MatchString(rt.name()) {
			return r.row
		}
	}
	return ""
}

// TestEveryRouteHasItsRow: nobody can add a route without saying who may, and
// not by the words of the route table alone.
func TestEveryRouteHasItsRow(t *testing.T) {
	s := New(Options{Nodes: silentNodes{}})
	for _, rt := range s.routes() {
		switch want := rowOf(&rt); {
		case want == "":
			t.Errorf("%s is in no row of the contract", rt.name())
		case operations[rt.op] != want:
			t.Errorf("%s: operation %d is %q, the contract says %q", rt.name(), rt.op, operations[rt.op], want)
		}
	}
	if got := rowOf(&route{method: "POST", path: "/collections/:name/points/burn", surface: surfaceQdrant}); got != "" {
		t.Errorf("a route that nobody has thought about is of row %q", got)
	}
}

// caller of the matrix: who he is and what he sends.
type suspect struct {
	name    string
	headers func(method, url, body string) []string
	refused int    // with this, wherever a key is needed; 0: it depends
	has     string // ADMIN, READ_WRITE, READ_ONLY, MCP: of a tenant; operator; service
	signs   bool   // a service's key beside a signature, which is not good unless has says more

	foreign, narrowed, suspended, mcp bool
}

func keyOf(key string) func(string, string, string) []string {
	return func(string, string, string) []string { return []string{"Api-Key", key} }
}

// suspects is everybody of whom the contract speaks.
func (w *world) suspects() []suspect {
	w.t.Helper()
	hour := time.Now().Add(time.Hour)
	plain := func(id tenant.ID, p tenant.Permission, change func(*hubsvc.KeySpec)) string {
		_, key := w.key(id, p, change)
		return key
	}
	rotated := func(grace time.Duration) string {
		k, key := w.key(w.mine, tenant.ReadWrite, nil)
		_, _, _, err := w.hub.RotateKey(w.t.Context(), k.ID, grace)
		noError(w.t, err)
		return key
	}
	revoked, revokedKey := w.key(w.mine, tenant.Admin, nil)
	_, err := w.hub.RevokeKey(w.t.Context(), revoked.ID)
	noError(w.t, err)
	expired := plain(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.ExpiresAt = hour })
	inGrace, afterGrace := rotated(24*time.Hour), rotated(time.Hour)
	admin := plain(w.mine, tenant.Admin, nil)
	sleeper, sleepyReader := plain(w.asleep, tenant.Admin, nil), plain(w.asleep, tenant.ReadOnly, nil)
	_, err = w.hub.SuspendTenant(w.t.Context(), w.asleep)
	noError(w.t, err)
	typo := []byte(admin)
	typo[10] ^= 1
	w.ahead.Store(int64(2 * time.Hour)) // the ends of the above have passed

	list := func(headers ...string) func(string, string, string) []string {
		return func(string, string, string) []string { return headers }
	}
	sign := func(id tenant.ID, change func(*tenant.SignedRequest)) func(string, string, string) []string {
		return func(method, url, body string) []string { return w.signature(id, method, url, body, change) }
	}
	all := []suspect{
		{name: "no key", headers: list(), refused: 401},
		{name: "a malformed key", headers: keyOf("letmein"), refused: 401},
		{name: "a key of strange characters", headers: keyOf("hh_live_" + strings.Repeat("-", 40)), refused: 401},
		{name: "a wrong checksum", headers: keyOf(string(typo)), refused: 401},
		{name: "an unknown key", headers: keyOf("hh_live_" + strings.Repeat("x", 40)), refused: 401},
		{name: "another hub's key", headers: keyOf(tenant.NewKey()), refused: 401},
		{name: "an expired key", headers: keyOf(expired), refused: 401},
		{name: "a revoked key", headers: keyOf(revokedKey), refused: 401},
		{name: "a rotated key after its grace", headers: keyOf(afterGrace), refused: 401},
		{name: "two keys that differ", headers: list("Api-Key", admin, "Authorization", "Bearer "+w.keys[operator]), refused: 401},
		{name: "a bare service header", headers: list("X-HiveHub-Service", "gateway", "X-HiveHub-User-Id", string(w.mine)), refused: 401},
		{name: "a key in the query", headers: list("X-Original-Url", "/?api-key="+admin), refused: 401},
		{name: "a wrong address", headers: keyOf(plain(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{AllowedIPs: nowhere} })), refused: 403},

		{name: "a rotated key in its grace", headers: keyOf(inGrace), has: "READ_WRITE"},
		{name: "another tenant's ADMIN", headers: keyOf(plain(w.theirs, tenant.Admin, nil)), has: "ADMIN", foreign: true},
		{name: "an mcp_sk_ key", headers: keyOf(plain(w.mine, tenant.MCP, func(s *hubsvc.KeySpec) { s.Kind = tenant.KeyMCP })), has: "MCP", mcp: true},
		{name: "a key for another collection", has: "ADMIN", narrowed: true, headers: keyOf(plain(w.mine, tenant.Admin, func(s *hubsvc.KeySpec) { s.Scope = &tenant.Scope{Collections: []string{"other*"}} }))},
		{name: "a suspended ADMIN", headers: keyOf(sleeper), has: "ADMIN", suspended: true, foreign: true},
		{name: "a suspended reader", headers: keyOf(sleepyReader), has: "READ_ONLY", suspended: true, foreign: true},
		{name: "the operator", headers: keyOf(w.keys[operator]), has: "operator", foreign: true},

		{name: "a service's key alone", headers: list("Api-Key", w.service, "X-Service-Name", "gateway"), has: "service", foreign: true},
		{name: "a bad signature", has: "", signs: true, headers: sign(w.mine, func(r *tenant.SignedRequest) { r.Target += "x" })},
		{name: "signed for another tenant", has: "ADMIN", signs: true, foreign: true, headers: sign(w.theirs, nil)},
		{name: "signed for another tenant, sent for mine", has: "", signs: true, headers: sign(w.mine, func(r *tenant.SignedRequest) { r.Tenant = string(w.theirs) })},
		{name: "signed", has: "ADMIN", signs: true, headers: sign(w.mine, nil)},
	}
	for _, p := range []tenant.Permission{tenant.Admin, tenant.ReadWrite, tenant.ReadOnly, tenant.MCP} {
		all = append(all, suspect{name: string(p), headers: keyOf(plain(w.mine, p, nil)), has: string(p)})
	}
	return all
}

const admitted = 0

// want is what the contract says to a request: a status, or admitted.
func (c *suspect) want(rt *route, atHub bool) int {
	r := rowOf(rt)
	ofTenants := r != rowHub && r != rowOperator
	switch {
	case c.refused != 0:
		return c.refused
	case c.has == "operator":
		if !ofTenants || r == rowSelf || r == rowUsage {
			return admitted
		}
		return 403
	case c.has == "service" && !ofTenants:
		if r == rowHub && atHub {
			return admitted
		}
		return 403
	case c.has == "service", c.signs && c.has == "" && ofTenants:
		return 401
	case c.signs && r == rowHub && atHub:
		return 401 // a service names itself there
	}
	i := map[string]int{"ADMIN": 0, "READ_WRITE": 1, "READ_ONLY": 2, "MCP": 3}[c.has]
	may := c.has != "" && contract[r][i] == 'y'
	if c.mcp && rt.path != "/mcp" || c.narrowed && namesCanary(rt) {
		may = false
	}
	if c.suspended && (c.has != "ADMIN" || r != rowExport && r != rowUsage) {
		may = false
	}
	if may {
		return admitted
	}
	return 403
}

// place is a URL of a route.
type place struct {
	*route
	door  *edge
	base  string
	atHub bool
}

// places are all URLs of all routes: on each listener where a route is, and
// through a node that is not in charge.
func (w *world) places() (all []place) {
	for _, rt := range w.routes() {
		switch rt.surface {
		case surfaceQdrant:
			all = append(all, place{&rt, w.edge, w.main + qdrantPrefix, false}, place{&rt, w.edge, w.qdrant, false}, place{&rt, w.through, w.through.qdrant, false})
		case surfaceOperator:
			all = append(all, place{&rt, w.edge, w.main, false}, place{&rt, w.edge, w.hubs, true}, place{&rt, w.through, w.through.main, false})
		default:
			all = append(all, place{&rt, w.edge, w.main, false}, place{&rt, w.through, w.through.main, false})
		}
	}
	return all
}

func (p *place) String() string {
	return fmt.Sprintf("%s %s at %s", p.surface, p.method+" "+p.path, path.Base(p.base))
}

var parameter = regexp.MustCompile(`:\w+`)

// real fills a route's path with what there is, and ghost with what is not.
func (w *world) real(p *place) string {
	return p.base + parameter.ReplaceAllStringFunc(p.path, func(name string) string {
		before, _, _ := strings.Cut(p.path, name)
		switch {
		case name == ":name" && strings.Contains(before, "plans"):
			return "pro"
		case name == ":name":
			return canaryName
		case name != ":id":
			return "a"
		case strings.Contains(before, "keys"):
			return string(w.spare.ID)
		case strings.Contains(before, "tenants") || strings.Contains(before, "user"):
			return string(w.mine)
		case strings.Contains(before, "collection/"):
			return fmt.Sprint(w.number)
		}
		return "1"
	})
}

func ghost(p *place) string {
	return p.base + parameter.ReplaceAllStringFunc(p.path, func(name string) string {
		if before, _, _ := strings.Cut(p.path, name); name == ":id" && strings.Contains(before, "keys") {
			return "k_aaaaaaaaaaaaaaaa"
		}
		return "ghost"
	})
}

// nativeBodies are bodies with which the operations of the native API do
// something.
var nativeBodies = map[string]string{
	"PUT /auth/embedding":           `{"url":"https://stolen.example/v1/embeddings","model":"stolen","dimension":2,"api_key":"stolen"}`,
	"POST /intelligent_search":      `{"query":"stolen"}`,
	"POST /semantic_search":         `{"query":"stolen","collection":"` + canaryName + `"}`,
	"POST /contextual_search":       `{"query":"stolen","collection":"` + canaryName + `"}`,
	"POST /multi_collection_search": `{"query":"stolen","collections":["` + canaryName + `"]}`,
	"POST /embed":                   `{"text":"stolen"}`,
	"POST /collections":             `{"name":"stolen","dimension":2,"metric":"dot"}`,
	"PATCH /collections/:name":      `{"hnsw":{"m":20}}`,
	"POST /insert_vectors":          `{"collection":"` + canaryName + `","vectors":[{"id":"1","vector":[0,0],"payload":{"stolen":true}}]}`,
	"POST /vector":                  `{"collection":"` + canaryName + `","id":"1"}`,
	"POST /update":                  `{"collection":"` + canaryName + `","id":"1","payload":{"stolen":true}}`,
	"POST /delete":                  `{"collection":"` + canaryName + `","id":"1"}`,
	"POST /batch_update":            `{"collection":"` + canaryName + `","updates":[{"id":"1","vector":[0,0]}]}`,
	"POST /batch_delete":            `{"collection":"` + canaryName + `","ids":["1"]}`,
	"POST /search":                  `{"collection":"` + canaryName + `","vector":[1,2],"with_vector":true}`,
	"POST /batch_search":            `{"collection":"` + canaryName + `","queries":[{"vector":[1,2]}]}`,

	"POST /insert":       `{"collection":"` + canaryName + `","id":"1","text":"stolen"}`,
	"POST /insert_texts": `{"collection":"` + canaryName + `","texts":[{"id":"1","text":"stolen"}]}`,
	"POST /batch_insert": `{"collection":"` + canaryName + `","texts":[{"id":"1","text":"stolen"}]}`,

	"POST /collections/:name/search/text":                  `{"query":"a word"}`,
	"POST /collections/:name/hybrid_search":                `{"query":"a word","vector":[1,2],"with_vector":true}`,
	"POST /collections/:name/search":                       `{"vector":[1,2],"with_vector":true}`,
	"PUT /collections/:name/vectors/:id":                   `{"payload":{"stolen":true}}`,
	"POST /collections/:name/vectors/move":                 `{"ids":["1"],"destination":"` + canaryName + `2"}`,
	"POST /collections/:name/vectors/copy":                 `{"ids":["1"],"destination":"` + canaryName + `2"}`,
	"POST /collections/:name/import":                       `{"id":"1","vector":[0,0],"payload":{"stolen":true}}`,
	"POST /collections/:name/vectors/delete_by_filter":     `{"filter":{"must":[{"has_id":[1]}]}}`,
	"POST /collections/:name/vectors/bulk_update_metadata": `{"filter":{"must":[{"has_id":[1]}]},"patch":{"stolen":true}}`,
}

// namesCanary reports whether the request that the matrix sends of a route is
// about the collection of that name.
func namesCanary(rt *route) bool {
	body := nativeBodies[rt.method+" "+strings.TrimPrefix(rt.path, apiPrefix)]
	return strings.Contains(rt.path, ":name") || rt.surface == surfaceNative && strings.Contains(body, canaryName)
}

// bodyOf is a body with which a route does something.
func (w *world) bodyOf(p *place) string {
	switch name := p.method + " " + p.path; {
	case p.method == "GET":
		return ""
	case p.surface == surfaceMCP:
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_collections"}}`
	case strings.HasSuffix(name, "PUT /collections/:name"):
		return `{"vectors":{"size":2,"distance":"Dot"}}`
	case strings.HasSuffix(name, "PUT /collections/:name/points"):
		return `{"points":[{"id":1,"vector":[0,0],"payload":{"stolen":true}}]}`
	case strings.HasSuffix(name, "PUT /collections/:name/points/vectors"):
		return `{"points":[{"id":1,"vector":[0,0]}]}`
	case strings.HasSuffix(name, "/points/batch"):
		return `{"operations":[{"delete":{"points":[1]}}]}`
	case strings.HasSuffix(name, "/index"):
		return `{"field_name":"a","field_schema":"keyword"}`
	case strings.HasSuffix(name, "/aliases"):
		return `{"actions":[{"create_alias":{"collection_name":"` + canaryName + `","alias_name":"stolen"}}]}`
	case p.surface == surfaceNative:
		if body, ok := nativeBodies[p.method+" "+strings.TrimPrefix(p.path, apiPrefix)]; ok {
			return body
		}
	case strings.HasPrefix(p.path, "/collections"):
		return `{"points":[1],"ids":[1],"payload":{"stolen":1},"keys":["a"],"query":[1,2],"vector":[1,2],"with_payload":true,"with_vector":true,"limit":3,"params":{}}`
	case strings.HasSuffix(name, "/rotate"):
		return `{"grace_seconds":0}`
	case strings.HasSuffix(name, "/tenants/:id"):
		return `{"status":"suspended"}`
	case strings.HasSuffix(name, "vectorizer/collection"):
		return `{"tenant_id":"` + string(w.mine) + `","collection_id":"999","name":"stolen","created_at":1}`
	}
	return `{"permission":"ADMIN","tenant_id":"` + string(w.mine) + `","name":"stolen","vector_count":1}`
}
