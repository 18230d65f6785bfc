package httpedge

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

// adminOf makes an ADMIN key of the edge's tenant with further members, which
// the operator gives it.
func (e *edge) adminOf(members string) (key, id string) {
	e.t.Helper()
	made := e.op("POST", "/api/v1/access-keys", `{"tenant_id":"`+string(e.tenant)+`","permission":"ADMIN"`+members+`}`).is(201, "").json()
	return made["key"].(string), made["key_id"].(string)
}

func TestOwnKeys(t *testing.T) {
	e := newEdge(t, nil)
	admin := func(method, path, body string) reply { return e.send(method, e.main+path, e.keys["ADMIN"], body) }
	made := admin("POST", "/auth/keys", `{"permission":"READ_WRITE","name":"app","collections":["docs"],"expires_at":4102444800000}`).is(201, `"collections":["docs"]`).json()
	plain, id := made["key"].(string), made["key_id"].(string)
	if made["tenant_id"] != string(e.tenant) || made["expires_at"].(json.Number) != "4102444800000" {
		t.Errorf("%v", made)
	}
	if list := admin("GET", "/auth/keys", "").is(200, id); strings.Contains(list.text, plain) || strings.Contains(list.text, `"operator"`) {
		t.Errorf("%s", list.text)
	}
	admin("GET", "/auth/keys/"+id, "").is(200, `"name":"app"`)
	rotated := admin("POST", "/auth/keys/"+id+"/rotate", `{"grace_seconds":3600}`).is(201, `"collections":["docs"]`).json()
	e.send("GET", e.qdrant+"/collections", plain, "").is(200, "")
	e.send("GET", e.qdrant+"/collections", rotated["key"].(string), "").is(200, "")
	admin("POST", "/auth/keys/"+id+"/rotate", "").is(412, "")
	admin("POST", "/auth/keys/"+rotated["key_id"].(string)+"/rotate", `{"grace_seconds":7776001}`).is(400, "90 days")
	admin("DELETE", "/auth/keys/"+id, "").is(200, `"revoked_at":`)
	e.send("GET", e.qdrant+"/collections", plain, "").is(401, "")

	own := e.send("GET", e.main+"/auth/me", e.keys["ADMIN"], "").is(200, `"permissions":["ADMIN"]`).is(200, `"vector_count":500000`).json()["key_id"].(string)
	admin("DELETE", "/auth/keys/"+own, "").is(409, "another ADMIN key")
	admin("POST", "/auth/keys", `{"kind":"mcp"}`).is(201, `"permission":"MCP"`).is(201, `"key":"mcp_sk_`)
	admin("POST", "/auth/keys", `{"kind":"service","name":"x"}`).is(403, "operator key")
	admin("POST", "/auth/keys", `{"permission":"OPERATOR"}`).is(400, "")
	admin("POST", "/auth/keys", `{"permissions":["READ_ONLY","MCP"]}`).is(400, "")
	admin("POST", "/auth/keys", `{}`).is(400, "")
	admin("POST", "/auth/keys", `{"permission":"ADMIN","collections":["["]}`).is(400, "")
	admin("POST", "/auth/keys", `{"permission":"ADMIN","allowed_ips":["10.0.0.0/99"]}`).is(400, "")
	admin("POST", "/auth/keys", `{"permission":"ADMIN","tenant_id":"`+string(e.tenant)+`"}`).is(201, "")
	for _, other := range []string{"default", "t_aaaaaaaaaaaa"} {
		admin("POST", "/auth/keys", `{"permission":"ADMIN","tenant_id":"`+other+`"}`).is(403, "another tenant")
	}
	for _, key := range []string{"READ_WRITE", "READ_ONLY", "MCP", operator} {
		e.send("POST", e.main+"/auth/keys", e.keys[key], `{"permission":"READ_ONLY"}`).is(403, "")
	}
	e.send("GET", e.main+"/auth/me", e.keys[operator], "").is(200, `"is_operator":true`)
}

// The key of another tenant, of the operator and of a service answers in the
// words of a key that nobody has.
func TestForeignKeysAreAbsent(t *testing.T) {
	e := newEdge(t, nil)
	_, _, foreign := e.newTenant("other")
	e.service("GET", "/api/v1/tenants", "")
	ids := []string{foreign}
	for _, k := range e.op("GET", "/api/v1/access-keys", "").json()["access_keys"].([]any) {
		if k := k.(map[string]any); k["kind"] == "operator" || k["kind"] == "service" {
			ids = append(ids, k["key_id"].(string))
		}
	}
	if len(ids) != 3 {
		t.Fatalf("%q", ids)
	}
	ids = append(ids, strings.Repeat("k", 64), strings.Repeat("k", 65), "%00", "a%2Fb")
	for _, c := range [][2]string{{"GET", "/auth/keys/ID"}, {"DELETE", "/auth/keys/ID"}, {"POST", "/auth/keys/ID/rotate"}} {
		ask := func(id string) reply {
			return e.send(c[0], e.main+strings.ReplaceAll(c[1], "ID", id), e.keys["ADMIN"], "")
		}
		absent := ask("k_aaaaaaaaaaaaaaaa").is(404, "NOT_FOUND").same()
		for _, id := range ids {
			if got := ask(id); got.same() != absent {
				t.Errorf("%s %s of %s: %s, absent: %s", c[0], c[1], id, got.same(), absent)
			}
		}
	}
	for _, id := range ids[:3] {
		e.op("GET", "/api/v1/access-keys/"+id, "").is(200, "").is(200, `"`+id+`"`)
		if k := e.op("GET", "/api/v1/access-keys/"+id, "").json(); k["revoked_at"] != nil || k["rotated_at"] != nil {
			t.Errorf("something was done to %v", k)
		}
	}
}

// Whoever has a narrowed key gets no wider one with it: not by asking for it,
// not by leaving the narrowing out, not by rotating another key.
func TestNarrowedAdmins(t *testing.T) {
	e := newEdge(t, nil)
	const narrow = `,"collections":["docs-*","notes"],"allowed_ips":["127.0.0.0/8","2001:db8::/32"],"rate_limits":{"requests_per_minute":1000,"requests_per_day":10000},"expires_at":4102444800000`
	key, _ := e.adminOf(narrow)
	ask := func(body string) reply { return e.send("POST", e.main+"/auth/keys", key, body) }
	for body, wider := range map[string]string{
		`{"permission":"READ_ONLY","collections":[]}`:                                      "collections",
		`{"permission":"READ_ONLY","collections":["*"]}`:                                   "collections",
		`{"permission":"READ_ONLY","collections":["docs-a","other"]}`:                      "collections",
		`{"permission":"READ_ONLY","collections":["docs-*x"]}`:                             "collections",
		`{"permission":"READ_ONLY","collections":["doc[s]-a"]}`:                            "collections",
		`{"permission":"READ_ONLY","collections":["notes2"]}`:                              "collections",
		`{"permission":"READ_ONLY","allowed_ips":[]}`:                                      "allowed_ips",
		`{"permission":"READ_ONLY","allowed_ips":["0.0.0.0/0"]}`:                           "allowed_ips",
		`{"permission":"READ_ONLY","allowed_ips":["126.0.0.0/7"]}`:                         "allowed_ips",
		`{"permission":"READ_ONLY","allowed_ips":["127.0.0.1","::1"]}`:                     "allowed_ips",
		`{"permission":"READ_ONLY","rate_limits":{"requests_per_minute":1001}}`:            "rate_limits",
		`{"permission":"READ_ONLY","rate_limits":{"requests_per_minute":5}}`:               "rate_limits",
		`{"permission":"READ_ONLY","rate_limits":{}}`:                                      "rate_limits",
		`{"permission":"READ_ONLY","expires_at":4102444800001}`:                            "expires_at",
		`{"permission":"READ_ONLY","expires_at":"2100-01-01T00:00:01Z"}`:                   "expires_at",
		`{"permission":"ADMIN","collections":[],"allowed_ips":["::/0"],"expires_at":null}`: "collections",
	} {
		ask(body).is(403, wider+": a key cannot give more than it has itself").is(403, `"member":"`+wider+`"`)
	}
	inherited := `"collections":["docs-*","notes"],"allowed_ips":["127.0.0.0/8","2001:db8::/32"],"rate_limits":{"requests_per_minute":1000,"requests_per_hour":-1,"requests_per_day":10000}`
	ask(`{"permission":"ADMIN"}`).is(201, inherited).is(201, `"expires_at":4102444800000`)
	ask(`{"permission":"READ_ONLY","collections":["docs-*","docs-a"],"allowed_ips":["127.0.0.1"],"rate_limits":{"requests_per_minute":9,"requests_per_hour":7,"requests_per_day":0},"expires_at":4102444700000}`).
		is(201, `"collections":["docs-*","docs-a"],"allowed_ips":["127.0.0.1"]`)

	for members, may := range map[string]bool{
		"": false, narrow: true, `,"collections":["notes"],"expires_at":4102444800000`: false,
		strings.ReplaceAll(narrow, "127.0.0.0/8", "127.0.0.1"): true, strings.ReplaceAll(narrow, "4102444800000", "4102444800001"): false,
	} {
		_, id := e.adminOf(members)
		got := e.send("POST", e.main+"/auth/keys/"+id+"/rotate", key, "")
		if may != (got.status == 201) || !may && got.status != 403 {
			t.Errorf("rotate a key with %q: %d %s", members, got.status, got.text)
		}
		// Ending a key gives nobody anything.
		e.send("DELETE", e.main+"/auth/keys/"+id, key, "").is(200, "")
	}
}

// A key that was rotated gives no key that outlives it.
func TestRotatedAdminsGiveNothingForGood(t *testing.T) {
	e := newEdge(t, nil)
	key, id := e.adminOf("")
	old := e.send("POST", e.main+"/auth/keys/"+id+"/rotate", key, `{"grace_seconds":3600}`).is(201, "").json()["old"].(map[string]any)
	made := e.send("POST", e.main+"/auth/keys", key, `{"permission":"ADMIN"}`).is(201, "").json()
	if made["expires_at"] == nil || made["expires_at"] != old["expires_at"] {
		t.Errorf("made until %v by a key until %v", made["expires_at"], old["expires_at"])
	}
	e.send("POST", e.main+"/auth/keys", key, `{"permission":"ADMIN","expires_at":"2999-01-01T00:00:00Z"}`).is(403, "expires_at")
	_, other := e.adminOf("")
	e.send("POST", e.main+"/auth/keys/"+other+"/rotate", key, "").is(403, "expires_at")
}

// TestCoversPatterns holds what is decided about patterns against names: where a
// pattern is covered, no name that it allows is one that the grant does not.
func TestCoversPatterns(t *testing.T) {
	letters := []string{"", "a", "b", "ab", "ba", "aa", "abc", "a*b", "[a]", "a?", "é", `a\b`}
	patterns := []string{"a", "ab", "*", "a*", "*b", "?", "a?", "[ab]", "[^a]", `\*`, `a\*b`, "a*b", "é", "[a"}
	for _, has := range patterns {
		for _, wanted := range patterns {
			if !coversPattern([]string{has}, wanted) {
				continue
			}
			for _, name := range letters {
				h, w := &tenant.Scope{Collections: []string{has}}, &tenant.Scope{Collections: []string{wanted}}
				if w.AllowsCollection(name) && !h.AllowsCollection(name) {
					t.Errorf("%q is said to cover %q, but not %q", has, wanted, name)
				}
			}
		}
	}
	for _, c := range [][2]string{{"docs-*", "docs-a"}, {"*", "a b"}, {"a*", "a*"}} {
		if !coversPattern([]string{"x", c[0]}, c[1]) {
			t.Errorf("%q does not cover %q", c[0], c[1])
		}
	}
}

func TestCoversBlocks(t *testing.T) {
	for _, c := range []struct {
		has, wanted string
		covers      bool
	}{
		{"10.0.0.0/8", "10.1.0.0/16", true},
		{"10.0.0.0/8", "10.0.0.0/8", true},
		{"10.0.0.0/8", "10.0.0.0/7", false},
		{"10.0.0.0/8", "11.0.0.1/32", false},
		{"::/0", "10.0.0.1/32", false},
		{"0.0.0.0/0", "::1/128", false},
		{"2001:db8::/32", "2001:db8:1::/48", true},
	} {
		if got := coversBlock([]netip.Prefix{netip.MustParsePrefix(c.has)}, netip.MustParsePrefix(c.wanted)); got != c.covers {
			t.Errorf("%s covers %s: %v", c.has, c.wanted, got)
		}
	}
}

// Where no key is needed, a request without one still makes and ends none.
func TestNobodyMakesKeys(t *testing.T) {
	for _, keyless := range []bool{false, true} {
		e := newEdge(t, func(o *Options) { o.Access.Implicit, o.Access.Keyless = "default", keyless })
		id := e.send("GET", e.main+"/auth/keys", "", "").is(200, "").json()["access_keys"].([]any)[0].(map[string]any)["key_id"].(string)
		for _, c := range [][2]string{{"POST", "/auth/keys"}, {"POST", "/auth/keys/" + id + "/rotate"}, {"DELETE", "/auth/keys/" + id}} {
			e.send(c[0], e.main+c[1], "", `{"permission":"ADMIN"}`, "Content-Type", "application/json").is(403, "send an ADMIN key")
		}
		if k := e.send("GET", e.main+"/auth/keys/"+id, "", "").is(200, "").json(); k["revoked_at"] != nil || k["rotated_at"] != nil {
			t.Errorf("%v", k)
		}
	}
}
