package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestCommandLine holds the client commands to the shapes that scripts rely on.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	env := []string{"WAGGLE_URL=" + s.http, "WAGGLE_OPERATOR_KEY=" + operatorKey}
	// do runs a command that has to work, and returns what it printed.
	do := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := run(t, env, args...)
		if code != 0 || strings.Contains(stderr, "waggle:") {
			t.Fatalf("waggle %q: exit code %d, %q, %q", args, code, stdout, stderr)
		}
		return stdout
	}
	match := func(what, text, pattern string) {
		t.Helper()
		if !regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(text) {
			t.Errorf("%s is %q, want %s", what, text, pattern)
		}
	}

	created := do("tenants", "create", "acme", "--plan", "pro", "--json")
	match("tenants create", created, `\{"tenant_id":"t_[a-z2-7]{12}"\}\n`)
	var tenant struct {
		ID string `json:"tenant_id"`
	}
	s.decode([]byte(created), &tenant)
	match("tenants create, as a table", do("tenants", "create", "other", "--plan", "free"),
		`TENANT +NAME +PLAN +STATUS +CREATED\nt_\w+ +other +free +active +\S+Z\n`)
	var list struct {
		Tenants []struct {
			ID     string `json:"tenant_id"`
			Name   string `json:"name"`
			Plan   string `json:"plan"`
			Status string `json:"status"`
		} `json:"tenants"`
	}
	s.decode([]byte(do("tenants", "list", "--json")), &list)
	if len(list.Tenants) != 3 || list.Tenants[0].ID != "default" || list.Tenants[1].ID != tenant.ID ||
		list.Tenants[1].Name != "acme" || list.Tenants[1].Plan != "pro" || list.Tenants[1].Status != "active" {
		t.Errorf("tenants list: %+v", list)
	}
	match("tenants list", do("tenants", "list"), `TENANT +NAME +PLAN +STATUS +CREATED\n(\S+ +\S+ +\S+ +active +\S+Z\n){3}`)

	// flags are stronger than the environment, and do without it
	createKey := []string{"keys", "create", "--tenant", tenant.ID, "--permission", "READ_WRITE", "--json"}
	made, stderr, code := run(t, []string{"WAGGLE_URL=http://127.0.0.1:1"}, append(createKey, "--url", s.http, "--operator-key", operatorKey)...)
	if code != 0 {
		t.Fatalf("keys create: %d %q", code, stderr)
	}
	match("keys create", made, `\{"key_id":"k_[a-z2-7]{16}","key":"hh_live_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}"\}\n`)
	var key struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	s.decode([]byte(made), &key)
	acme := user{s, key.Key}
	acme.create("c")
	var keys struct {
		Keys []map[string]any `json:"keys"`
	}
	raw := do("keys", "list", "--tenant", tenant.ID, "--json")
	s.decode([]byte(raw), &keys)
	if len(keys.Keys) != 1 || keys.Keys[0]["key_id"] != key.ID || keys.Keys[0]["permission"] != "READ_WRITE" || keys.Keys[0]["prefix"] != key.Key[:12] {
		t.Errorf("keys list: %s", raw)
	}
	match("keys list", do("keys", "list"), `(?s)ID +TENANT +PERMISSION +KEY +CREATED +EXPIRES +REVOKED\n.*`+key.ID+` +`+tenant.ID+` +READ_WRITE +`+key.Key[:12]+`\.\.\. .*`)
	if strings.Contains(raw, key.Key) {
		t.Error("a list shows a key")
	}
	match("keys revoke", do("keys", "revoke", key.ID, "--json"), `\{"key_id":"`+key.ID+`","revoked":true\}\n`)
	if a := acme.call("GET", "/collections", nil); a.status != 401 {
		t.Errorf("a revoked key: %d %s", a.status, a.body)
	}
	match("tenants delete", do("tenants", "delete", tenant.ID, "--yes", "--json"), `\{"tenant_id":"`+tenant.ID+`","status":"deleting"\}\n`)

	for args, want := range map[string]string{
		"tenants create x --plan gold":                `.*plan "gold".*HTTP 400\)`,
		"tenants delete t_aaaaaaaaaaaa --yes":         `.*no tenant.*NOT_FOUND, HTTP 404\)|there is no such tenant.*`,
		"keys create --tenant t_aaaaaaaaaaaa":         `.*NOT_FOUND, HTTP 404\)`,
		"keys create --tenant default --permission X": `.*HTTP 400\)`,
		"keys create":                              `whose key\? give --tenant .*`,
		"keys revoke k_aaaaaaaaaaaaaaaa":           `.*NOT_FOUND, HTTP 404\)`,
		"tenants list --url http://127.0.0.1:1":    `.*connection refused`,
		"tenants list --operator-key " + tenantKey: `.*operator key.* \(FORBIDDEN, HTTP 403\)`,
		"tenants list --operator-key hh_live_x":    `.*AUTH_INVALID_FORMAT, HTTP 401\); .*`,
		"tenants lst":                              `unknown command "lst" for "waggle tenants"`,
	} {
		match(args, refused(t, env, strings.Fields(args)...), want)
	}
	match("no key", refused(t, env[:1], "tenants", "list"), `no operator key: set WAGGLE_OPERATOR_KEY or give --operator-key-file`)
}

func TestVersionAndCompletion(t *testing.T) {
	t.Parallel()
	stdout, _, code := run(t, nil, "version")
	if code != 0 || !regexp.MustCompile(`^waggle \S+ \S+ go1\.\S+ \w+/\w+\n$`).MatchString(stdout) {
		t.Errorf("version: %d %q", code, stdout)
	}
	stdout, _, code = run(t, nil, "version", "--json")
	var v struct{ Version, Go string }
	if err := json.Unmarshal([]byte(stdout), &v); code != 0 || err != nil || v.Version == "" || v.Go == "" {
		t.Errorf("version --json: %d %q %v", code, stdout, err)
	}
	stdout, _, code = run(t, nil, "completion", "bash")
	if code != 0 || !strings.Contains(stdout, "complete -o default -F __start_waggle waggle") && !strings.Contains(stdout, "__start_waggle waggle") {
		t.Errorf("completion bash: %d %.200q", code, stdout)
	}
	stdout, _, _ = run(t, nil, "__complete", "tenants", "create", "x", "--plan", "")
	if !strings.HasPrefix(stdout, "free\npro\nenterprise\n") {
		t.Errorf("completion of --plan: %q", stdout)
	}
}
