package httpedge

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
)

// op makes a request of the operator.
func (e *edge) op(method, path, body string) reply {
	e.t.Helper()
	return e.send(method, e.main+path, e.keys[operator], body)
}

// service makes a request with a service's key where services ask.
func (e *edge) service(method, path, body string) reply {
	e.t.Helper()
	if e.keys["SERVICE"] == "" {
		e.keys["SERVICE"] = e.op("POST", "/api/v1/access-keys", `{"kind":"service","name":"gateway"}`).is(201, `"kind":"service"`).json()["key"].(string)
	}
	return e.send(method, e.hubs+path, e.keys["SERVICE"], body, "X-Service-Name", "gateway")
}

// newTenant makes another tenant with an ADMIN key.
func (e *edge) newTenant(name string) (id, key, keyID string) {
	e.t.Helper()
	id = e.op("POST", "/api/v1/tenants", `{"name":"`+name+`","plan":"pro"}`).is(201, "").json()["tenant_id"].(string)
	made := e.op("POST", "/api/v1/access-keys", `{"tenant_id":"`+id+`","permission":"ADMIN"}`).is(201, "").json()
	return id, made["key"].(string), made["key_id"].(string)
}

// same is an answer without what differs in every one.
func (r reply) same() string {
	return strconv.Itoa(r.status) + strings.ReplaceAll(r.text, r.header.Get("X-Request-Id"), "")
}

func TestHubTenants(t *testing.T) {
	e := newEdge(t, nil)
	made := e.op("POST", "/api/v1/tenants", `{"name":"t","plan":"pro","partition":7}`).is(201, `"partition":7`).json()
	at := "/api/v1/tenants/" + made["tenant_id"].(string)
	e.op("GET", at, "").is(200, `"status":"active"`)
	e.op("PATCH", at, `{"status":"suspended"}`).is(200, `"status":"suspended"`).is(200, `"suspended_at":`)
	e.op("PATCH", at, `{"status":"suspended"}`).is(200, `"status":"suspended"`)
	e.op("PATCH", at, `{"status":"active","plan":"enterprise"}`).is(200, `"plan":"enterprise","status":"active"`)
	e.op("GET", at+"/erasure", "").is(412, "has not been deleted")
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"PATCH", at, `{"plan":"gold"}`, 400},
		{"PATCH", at, `{}`, 400},
		{"PATCH", at, `{"status":"deleting"}`, 400},
		{"PATCH", "/api/v1/tenants/nobody", `{"plan":"pro"}`, 404},
		{"GET", "/api/v1/tenants/nobody", "", 404},
		{"GET", "/api/v1/tenants/No%20Id", "", 404},
		{"GET", "/api/v1/tenants/nobody/erasure", "", 404},
		{"POST", "/api/v1/tenants", `{"name":"t","partition":99}`, 400},
		{"GET", "/api/v1/tenants?limit=0", "", 400},
		{"GET", "/api/v1/tenants?limit=1001", "", 400},
		{"GET", "/api/v1/tenants?cursor=x", "", 400},
		{"GET", "/api/v1/tenants?cursor=5", "", 400},
	} {
		e.op(c.method, c.path, c.body).is(c.status, `"code":"`)
	}
}

// Pages are the whole list in its order, whatever their size, and while it grows.
func TestHubPages(t *testing.T) {
	e := newEdge(t, nil)
	for i := range 5 {
		e.newTenant(fmt.Sprint("t", i))
	}
	walk := func(path, member string, grow bool) (ids []string) {
		cursor := ""
		for n := 0; ; n++ {
			page := e.op("GET", path+"limit=2&cursor="+url.QueryEscape(cursor), "").is(200, "").json()
			for _, item := range page[member].([]any) {
				id, ok := item.(map[string]any)["key_id"].(string)
				if !ok {
					id = item.(map[string]any)["tenant_id"].(string)
				}
				ids = append(ids, id)
			}
			next, more := page["next_cursor"].(string)
			if !more {
				return ids
			}
			if cursor = next; grow && n == 0 {
				e.newTenant("late")
			}
		}
	}
	whole := func(path, member string) (n int) {
		page := e.op("GET", path, "").json()
		if page["next_cursor"] != nil {
			t.Errorf("%s is not whole", path)
		}
		return len(page[member].([]any))
	}
	for path, member := range map[string]string{"/api/v1/tenants?": "tenants", "/api/v1/access-keys?": "access_keys"} {
		ids := walk(path, member, true)
		if unique := slices.Compact(slices.Sorted(slices.Values(ids))); len(unique) != len(ids) || len(ids) != whole(path, member) {
			t.Errorf("%s: %q", path, ids)
		}
	}
}

func TestHubPlans(t *testing.T) {
	e := newEdge(t, nil)
	e.op("GET", "/api/v1/plans", "").is(200, `{"name":"free","storage_bytes":52428800,"vector_count":10000,"collection_count":1,"requests_per_minute":-1,`)
	first := e.op("PUT", "/api/v1/plans/team", `{"vector_count":5,"storage_bytes":-7,"requests_per_day":9}`).
		is(200, `"name":"team","storage_bytes":-1,"vector_count":5,"collection_count":-1,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":9`).json()
	e.op("PUT", "/api/v1/plans/team", `{"name":"team","vector_count":6}`).is(200, `"requests_per_day":-1`)
	after := e.op("GET", "/api/v1/plans/team", "").is(200, `"vector_count":6`).json()
	if a, b := after["version"].(json.Number), first["version"].(json.Number); len(a) < len(b) || len(a) == len(b) && a <= b {
		t.Errorf("version %s after %s", a, b)
	}
	e.op("PATCH", "/api/v1/tenants/"+string(e.tenant), `{"plan":"team"}`).is(200, `"plan":"team"`)
	e.op("DELETE", "/api/v1/plans/team", "").is(412, `"code":"PRECONDITION_FAILED"`)
	e.op("PATCH", "/api/v1/tenants/"+string(e.tenant), `{"plan":"pro"}`).is(200, "")
	e.op("DELETE", "/api/v1/plans/team", "").is(200, `{"deleted":true,"name":"team"}`)
	e.op("GET", "/api/v1/plans/team", "").is(404, "")
	e.op("DELETE", "/api/v1/plans/team", "").is(404, "")
	e.op("DELETE", "/api/v1/plans/enterprise", "").is(412, "")
	e.op("PUT", "/api/v1/plans/a", `{"name":"b"}`).is(400, "")
	e.op("PUT", "/api/v1/plans/Bad%20Name", `{}`).is(400, "")
}

// The quota tells what the tenant may and has, to whom it may concern.
func TestQuota(t *testing.T) {
	e := newEdge(t, nil)
	e.engine.usage = collection.TenantUsage{Points: 7, Bytes: 1 << 20, Collections: 9}
	e.op("GET", "/api/internal/vectorizer/user/"+string(e.tenant)+"/quota", "").
		is(200, `"plan":"pro","storage_bytes":5368709120,"vector_count":500000,"collection_count":5,`).
		is(200, `"usage":{"storage_bytes":1048576,"vector_count":7,"collection_count":9}`)
	e.op("GET", "/api/internal/vectorizer/user/nobody/quota", "").is(404, "")
	own := func(key, query string) reply { return e.send("GET", e.main+"/hub/usage/quota"+query, e.keys[key], "") }
	own("READ_ONLY", "").is(200, `"collections":{"limit":5,"used":9,"remaining":0}`).
		is(200, `"vectors":{"limit":500000,"used":7,"remaining":499993}`).is(200, `"success":true`)
	own("READ_ONLY", "?user_id="+string(e.tenant)).is(200, "")
	own("MCP", "").is(403, "")
	// Another tenant and one that nobody is are refused in the same words.
	id, _, _ := e.newTenant("other")
	if a, b := own("ADMIN", "?user_id="+id), own("ADMIN", "?user_id=t_aaaaaaaaaaaa"); a.status != 403 || a.same() != b.same() {
		t.Errorf("foreign %s, absent %s", a.text, b.text)
	}
	e.op("PATCH", "/api/v1/tenants/"+string(e.tenant), `{"status":"suspended"}`).is(200, "")
	own("ADMIN", "").is(200, "")
	own("READ_ONLY", "").is(403, "TENANT_SUSPENDED")
}

// A service does the hub's work for tenants, and gets at no key that can do
// more than it can.
func TestServiceAtTheHub(t *testing.T) {
	e := newEdge(t, nil)
	e.service("GET", "/api/v1/tenants", "").is(200, string(e.tenant))
	made := e.service("POST", "/api/v1/access-keys", `{"tenant_id":"`+string(e.tenant)+`","permission":"ADMIN"}`).is(201, "").json()
	e.service("POST", "/api/v1/access-keys/"+made["key_id"].(string)+"/rotate", `{"grace_seconds":0}`).is(201, `"old":{"key_id":"`+made["key_id"].(string))
	e.service("POST", "/api/v1/access-keys", `{"kind":"service","name":"mine"}`).is(403, "operator key")

	var operators, services string
	for _, k := range e.op("GET", "/api/v1/access-keys", "").json()["access_keys"].([]any) {
		switch k := k.(map[string]any); k["kind"] {
		case "operator":
			operators = k["key_id"].(string)
		case "service":
			services = k["key_id"].(string)
		}
	}
	if list := e.service("GET", "/api/v1/access-keys", "").is(200, ""); strings.Contains(list.text, operators) || strings.Contains(list.text, services) {
		t.Errorf("a service sees %s", list.text)
	}
	absent := func(method, path string) string {
		return e.service(method, strings.ReplaceAll(path, "ID", "k_aaaaaaaaaaaaaaaa"), "").same()
	}
	for _, id := range []string{operators, services} {
		for _, c := range [][2]string{{"GET", "/api/v1/access-keys/ID"}, {"DELETE", "/api/v1/access-keys/ID"}, {"POST", "/api/v1/access-keys/ID/rotate"}} {
			got := e.service(c[0], strings.ReplaceAll(c[1], "ID", id), "").is(404, "")
			if got.same() != absent(c[0], c[1]) {
				t.Errorf("%s %s: %s", c[0], c[1], got.text)
			}
		}
	}
	// On the main listener a service's key is nobody's.
	for _, path := range []string{"/api/v1/tenants", "/api/v1/events", "/api/v1/audit"} {
		e.send("GET", e.main+path, e.keys["SERVICE"], "", "X-Service-Name", "gateway").is(403, "")
	}
}

func TestValidateKeys(t *testing.T) {
	e := newEdge(t, nil)
	made := e.op("POST", "/api/v1/access-keys", `{"tenant_id":"`+string(e.tenant)+`","permission":"READ_ONLY","collections":["a*","b"],"allowed_ips":["10.0.0.0/8","::1"],
		"rate_limits":{"requests_per_minute":5},"expires_at":"2030-12-31T23:59:59Z","is_test":true}`).is(201, "").json()
	ask := func(key string) reply {
		return e.service("POST", "/api/v1/access-keys/validate", `{"access_key":"`+key+`"}`).is(200, "")
	}
	whole := ask(made["key"].(string)).json()
	delete(whole, "validated_at")
	text, _ := json.Marshal(whole)
	want := `{"allowed_ips":["10.0.0.0/8","::1"],"collections":["a*","b"],"expires_at":"2030-12-31T23:59:59Z","is_test":true,"key_id":"` + made["key_id"].(string) +
		`","kind":"tenant","limits":{"collection_count":5,"requests_per_day":-1,"requests_per_hour":-1,"requests_per_minute":-1,"storage_bytes":5368709120,"vector_count":500000,"version":2},"permissions":["READ_ONLY"],"plan":"pro","rate_limits":{"requests_per_day":-1,"requests_per_hour":-1,"requests_per_minute":5},"tenant_id":"` + string(e.tenant) + `","tenant_name":"acme","valid":true}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	ask(e.keys["ADMIN"]).is(200, `"expires_at":null`).is(200, `"valid":true`)
	e.op("DELETE", "/api/v1/access-keys/"+made["key_id"].(string), "").is(200, "")
	e.service("GET", "/api/v1/tenants", "") // makes the service's key
	for key, code := range map[string]string{
		made["key"].(string): "AUTH_INVALID_KEY", "": "AUTH_MISSING", "x": "AUTH_INVALID_FORMAT",
		e.keys[operator]: "AUTH_INVALID_KEY",
	} {
		ask(key).is(200, `{"valid":false,"code":"`+code+`"`)
	}
	ask(e.keys["SERVICE"]).is(200, `{"valid":true,"kind":"service","service":"gateway","tenant_id":""`)
	byID := func(id string) reply {
		return e.service("POST", "/api/v1/access-keys/validate", `{"key_id":"`+id+`"}`).is(200, "")
	}
	byID(ask(e.keys["ADMIN"]).json()["key_id"].(string)).is(200, `"permissions":["ADMIN"]`)
	byID(made["key_id"].(string)).is(200, `{"valid":false,"code":"AUTH_INVALID_KEY"`) // revoked
	e.service("GET", "/api/internal/vectorizer/user/"+string(e.tenant)+"/quota?usage=false", "").is(200, `"tenant_name":"acme","status":"active"`)
	e.service("POST", "/api/v1/access-keys/validate", `{"access_key":7}`).is(400, "")
	e.op("PATCH", "/api/v1/tenants/"+string(e.tenant), `{"status":"suspended"}`).is(200, "")
	ask(e.keys["ADMIN"]).is(200, `"suspended":true`)
	e.service("GET", "/api/internal/vectorizer/user/"+string(e.tenant)+"/quota", "").is(200, `"status":"suspended"`).is(200, `"usage":{`)
}

// Anybody may ask whether a key that he has is good, in any of the forms that
// clients send it in, and a guesser is stopped as everywhere.
func TestValidateOwnKey(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Limits.AuthFailures = 3 })
	for _, path := range []string{"/hub/validate-key", "/api/v1/cluster/keys/validate"} {
		for _, body := range []string{`{"key":"K"}`, `{"api_key":"K"}`, `{"access_key":"K","x":1}`} {
			e.send("POST", e.main+path, "", strings.ReplaceAll(body, "K", e.keys["MCP"])).is(200, `"valid":true,"tenant_id":"`+string(e.tenant)+`"`)
		}
		e.send("POST", e.main+path, e.keys["READ_ONLY"], "").is(200, `"permissions":["READ_ONLY"]`)
		// The key in the body is the one that is asked about.
		e.send("POST", e.main+path, e.keys["READ_ONLY"], `{"key":"`+e.keys["MCP"]+`"}`).is(200, `"permissions":["MCP"]`)
		e.send("POST", e.main+path, "", `{}`).is(401, "AUTH_MISSING")
		e.send("POST", e.main+path, "", `{"key":"`+strings.Repeat("x", validateBodyMax)+`"}`).is(413, "")
		e.send("POST", e.main+path, "", `{"key":"`+e.keys[operator]+`"}`).is(200, `"valid":false`)
	}
	key := e.op("POST", "/api/v1/access-keys", `{"tenant_id":"`+string(e.tenant)+`","permission":"ADMIN","allowed_ips":["192.0.2.1"]}`).is(201, "").json()["key"].(string)
	e.send("POST", e.main+"/hub/validate-key", "", `{"key":"`+key+`"}`).is(200, `"valid":false,"code":"FORBIDDEN"`)
	for range 3 {
		e.send("POST", e.main+"/hub/validate-key", "", `{"key":"hh_live_`+strings.Repeat("x", 40)+`"}`).is(200, `{"valid":false,"code":"AUTH_INVALID_KEY"`)
	}
	e.send("POST", e.main+"/api/v1/cluster/keys/validate", "", `{"key":"hh_live_`+strings.Repeat("y", 40)+`"}`).is(429, "AUTH_RATE_LIMIT")
	e.send("POST", e.main+"/hub/validate-key", "", `{"key":"`+e.keys["MCP"]+`"}`).is(200, `"valid":true`)
}

func TestCollectionRecords(t *testing.T) {
	e := newEdge(t, nil)
	id := string(e.tenant)
	record := func(body string) reply { return e.service("POST", "/api/internal/vectorizer/collection", body) }
	record(`{"tenant_id":"`+id+`","collection_id":"18446744073709551615","name":"big","created_at":5}`).is(200, `{"recorded":true}`)
	record(`{"user_id":"`+id+`","collection_id":3,"name":"docs","created_at":5}`).is(200, "")
	record(`{"user_id":"`+id+`","collection_id":3,"name":"docs","created_at":5,"deleted_at":9}`).is(200, "")
	record(`{"user_id":"`+id+`","name":"docs"}`).is(400, "")
	record(`{"user_id":"`+id+`","collection_id":4}`).is(400, "")
	e.service("GET", "/api/internal/vectorizer/user/"+id+"/collections", "").is(200,
		`{"collections":[{"collection_id":"3","name":"docs","created_at":5,"deleted_at":9},{"collection_id":"18446744073709551615","name":"big","created_at":5}],"tenant_id":"`+id+`"}`)
	e.service("GET", "/api/internal/vectorizer/user/"+id+"/collections?limit=1", "").is(200, `"next_cursor":"3.c"`)
	e.service("GET", "/api/internal/vectorizer/user/nobody/collections", "").is(404, "")
	check := func(number, user string) reply {
		return e.service("GET", "/api/internal/vectorizer/collection/"+number+"/validate?userId="+user, "")
	}
	check("18446744073709551615", id).is(200, `"valid":true`).is(200, `"available":true`)
	check("3", id).is(200, `"valid":false`)
	e.engine.usage = collection.TenantUsage{Points: 500_000}
	check("18446744073709551615", id).is(200, `"available":false`)
	other, _, _ := e.newTenant("other")
	for _, c := range [][2]string{{"4", id}, {"3", other}, {"x", id}, {"3", "nobody"}} {
		check(c[0], c[1]).is(404, "NOT_FOUND")
	}
	check("3", "").is(400, "userId")
}

// A poll answers when something happens, not before and not much later.
func TestEvents(t *testing.T) {
	e := newEdge(t, nil)
	poll := func(query string) map[string]any { return e.op("GET", "/api/v1/events?"+query, "").is(200, "").json() }
	first := poll("after=0")
	last := first["last"].(json.Number).String()
	if n := len(first["events"].([]any)); n == 0 || first["reset"] != false {
		t.Fatalf("%v", first)
	}
	if none := poll("wait=0&after=" + last); len(none["events"].([]any)) != 0 || none["last"].(json.Number).String() != last {
		t.Errorf("%v", none)
	}
	got := make(chan map[string]any, 1)
	go func() { got <- poll("wait=20&after=" + last) }()
	for e.waiters.Load() == 0 {
		select {
		case v := <-got:
			t.Fatalf("answered %v", v)
		default:
			runtime.Gosched()
		}
	}
	_, _, keyID := e.newTenant("other")
	select {
	case v := <-got:
		event := v["events"].([]any)[0].(map[string]any)
		if event["kind"] != "key.created" || event["key_id"] != keyID || event["at"] == nil {
			t.Errorf("%v", event)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody woke the poll")
	}
	if far := poll("wait=0&after=18446744073709551615"); far["reset"] != true {
		t.Errorf("a version of the future: %v", far)
	}
	for _, query := range []string{"after=x", "after=-1", "wait=26", "wait=x"} {
		e.op("GET", "/api/v1/events?"+query, "").is(400, "")
	}
	e.waiters.Store(eventWaitersMax)
	e.op("GET", "/api/v1/events?after=0", "").is(503, "too many")
	e.waiters.Store(0)
	e.send("GET", e.main+"/api/v1/events?wait=20&after="+last+"00", e.keys[operator], "", "X-Timeout-Ms", "600").is(200, "")
}

// A poll does not hold the node's end up.
func TestEventsEndWithTheNode(t *testing.T) {
	e := newEdge(t, nil)
	last := e.op("GET", "/api/v1/events", "").json()["last"].(json.Number).String()
	got := make(chan reply, 1)
	go func() { got <- e.op("GET", "/api/v1/events?wait=25&after="+last, "") }()
	for e.waiters.Load() == 0 {
		runtime.Gosched()
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("shutdown took %v: %v", time.Since(began), err)
	}
	(<-got).is(503, "shutting down")
}

// Who did what from where under which request is in the audit log, and a tenant
// reads its own rows.
func TestAudit(t *testing.T) {
	e := newEdge(t, nil)
	id, key, keyID := e.newTenant("other")
	e.send("POST", e.main+"/auth/keys", key, `{"permission":"READ_ONLY","name":"mine"}`, "X-Request-Id", "find-me-1").is(201, "")
	e.send("DELETE", e.main+"/api/v1/tenants/"+string(e.tenant), e.keys[operator], "", "X-Request-Id", "find-me-2").is(200, "")
	rows := func(r reply) []map[string]any {
		t.Helper()
		var v struct{ Entries []map[string]any }
		if err := json.Unmarshal([]byte(r.is(200, "").text), &v); err != nil {
			t.Fatal(err)
		}
		return v.Entries
	}
	own := rows(e.send("GET", e.main+"/auth/audit", key, ""))
	for _, row := range own {
		if row["tenant_id"] != id {
			t.Errorf("another's row: %v", row)
		}
	}
	made := own[len(own)-1]
	for member, want := range map[string]any{"action": "key.create", "actor": keyID, "address": "127.0.0.1", "request_id": "find-me-1", "outcome": "ok"} {
		if made[member] != want {
			t.Errorf("%s is %v, want %v", member, made[member], want)
		}
	}
	all := rows(e.op("GET", "/api/v1/audit", ""))
	if len(all) <= len(own) {
		t.Errorf("the operator sees %d rows, the tenant %d", len(all), len(own))
	}
	some := rows(e.op("GET", "/api/v1/audit?action=tenant.create&tenant_id="+id, ""))
	if len(some) != 1 || some[0]["actor"] != "operator" || some[0]["target"] != id {
		t.Errorf("%v", some)
	}
	if late := rows(e.op("GET", "/api/v1/audit?since=2999-01-01T00:00:00Z", "")); len(late) != 0 {
		t.Errorf("%v", late)
	}
	page := e.op("GET", "/api/v1/audit?limit=2", "").is(200, "").json()
	next := e.op("GET", "/api/v1/audit?limit=1000&cursor="+page["next_cursor"].(string), "").is(200, "").json()
	if n := len(page["entries"].([]any)) + len(next["entries"].([]any)); n != len(all) {
		t.Errorf("%d rows in pages, %d at once", n, len(all))
	}
	for _, query := range []string{"since=x", "limit=0", "limit=1001", "cursor=zz", "until=-1"} {
		e.op("GET", "/api/v1/audit?"+query, "").is(400, "")
	}
	e.send("GET", e.main+"/auth/audit?tenant_id="+string(e.tenant), key, "").is(403, "")
	e.send("GET", e.main+"/auth/audit?tenant_id="+id, key, "").is(200, "")
}

// A registered MCP server has a key of one tenant that opens /mcp and nothing
// else.
func TestRegisterMCP(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates = o.Rates })
	body := func(tenant, name, endpoint string) string {
		return `{"service":"waggle","tenant_id":"` + tenant + `","name":"` + name + `","endpoint":"` + endpoint + `"}`
	}
	const endpoint = "https://waggle.example/mcp"
	for _, wrong := range []struct {
		body string
		want int
	}{
		{body("", "desk", endpoint), 400},
		{body(string(e.tenant), "", endpoint), 400},
		{body(string(e.tenant), "desk", "ftp://waggle.example"), 400},
		{body(string(e.tenant), "desk", "https://user:password@waggle.example"), 400},
		{body(string(e.tenant), "desk", "https://"+strings.Repeat("x", endpointMax)), 400},
		{body("t_nobody", "desk", endpoint), 404},
	} {
		e.op("POST", "/api/mcp-servers", wrong.body).is(wrong.want, "")
	}
	made := e.op("POST", "/api/mcp-servers", body(string(e.tenant), "desk", endpoint)).is(201, `"api_key":"mcp_sk_`).json()
	key := made["api_key"].(string)
	e.send("POST", e.main+mcpPath, key, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Content-Type", "application/json").is(200, "list_collections")
	e.send("GET", e.main+"/collections", key, "").is(403, "")
	e.op("DELETE", "/api/v1/access-keys/"+made["id"].(string), "").is(200, "")
	e.send("POST", e.main+mcpPath, key, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Content-Type", "application/json").is(401, "-32001")
}

// A request about keys goes to the node that leads the hub, with the address
// that it came from; one about the own quota to where the counters are.
func TestHubForwarded(t *testing.T) {
	asked, there, n := twoNodes(t)
	asked.send("POST", asked.main+"/api/v1/tenants", asked.keys[operator], `{"name":"new"}`, "X-Request-Id", "far-1").is(201, "")
	if n.tenants[0] != "" || len(n.waited) != 1 {
		t.Errorf("looked for the leader of %q, waited for %v", n.tenants, n.waited)
	}
	rows, _, err := there.hub.ListAudit(t.Context(), hubsvc.AuditQuery{Action: hubsvc.ActionTenantCreate})
	if err != nil || len(rows) == 0 {
		t.Fatalf("%v, %v", rows, err)
	}
	if row := rows[len(rows)-1]; row.Address != "127.0.0.1" || row.RequestID != "far-1" || row.Actor != "operator" {
		t.Errorf("%+v", row)
	}
	n.answers = []func(context.Context, []byte) ([]byte, error){fails(collection.Errorf(collection.Aborted, "seen"))}
	asked.send("POST", asked.main+"/auth/keys", asked.keys["ADMIN"], `{"permission":"READ_ONLY"}`).is(409, "seen")
	if last := n.tenants[len(n.tenants)-1]; last != "" {
		t.Errorf("looked for the leader of %q", last)
	}
	asked.send("GET", asked.main+"/hub/usage/quota", asked.keys["ADMIN"], "").is(409, "seen")
	if last := n.tenants[len(n.tenants)-1]; last != asked.tenant {
		t.Errorf("looked for the leader of %q", last)
	}
}
