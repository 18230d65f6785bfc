package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const operatorKey = "hh_live_operator"

const tenantKey = "hh_live_tenant"

// api is the operator API with one tenant and one key in it.
func api(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(pattern string, status int, body string, wantIn string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			in, _ := io.ReadAll(r.Body)
			if r.Header.Get("Authorization") != "Bearer "+operatorKey {
				w.WriteHeader(401)
				io.WriteString(w, `{"error":"the access key is not valid","code":"AUTH_INVALID_KEY"}`)
				return
			}
			if string(in) != wantIn {
				t.Errorf("%s: sent %s, want %s", pattern, in, wantIn)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		})
	}
	answer("POST /api/v1/tenants", 201, `{"tenant_id":"t_1","name":"acme","plan":"pro","status":"active","created_at":1700000000000}`, `{"name":"acme","plan":"pro"}`)
	answer("GET /api/v1/tenants", 200, `{"tenants":[{"tenant_id":"default","name":"default","plan":"enterprise","status":"active","created_at":1700000000000},`+
		`{"tenant_id":"t_1","name":"acme","plan":"pro","status":"deleting","created_at":1700000001000}]}`, "")
	answer("DELETE /api/v1/tenants/t_1", 200, `{"tenant_id":"t_1","status":"deleting"}`, "")
	answer("DELETE /api/v1/tenants/t_2", 404, `{"error":"there is no tenant t_2","code":"NOT_FOUND"}`, "")
	answer("POST /api/v1/access-keys", 201, `{"key_id":"k_1","key":"hh_live_secret","permission":"READ_WRITE","tenant_id":"t_1"}`, `{"tenant_id":"t_1","permission":"READ_WRITE"}`)
	answer("GET /api/v1/access-keys", 200, `{"access_keys":[{"key_id":"k_0","prefix":"hh_live_abcd","tenant_id":"","operator":true,"created_at":1700000000000},`+
		`{"key_id":"k_1","prefix":"hh_live_efgh","tenant_id":"t_1","permission":"MCP","created_at":1700000000000,"revoked_at":1700000001000}]}`, "")
	answer("DELETE /api/v1/access-keys/k_1", 200, `{}`, "")
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// waggle runs a command line.
func waggle(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := NewRoot(&cobra.Command{Use: "serve", RunE: func(*cobra.Command, []string) error { return nil }})
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	code = Run(context.Background(), root)
	return code, out.String(), errs.String()
}

func TestCommands(t *testing.T) {
	t.Setenv("WAGGLE_URL", api(t))
	t.Setenv("WAGGLE_OPERATOR_KEY", operatorKey)
	for _, tc := range []struct{ args, json, text string }{
		{
			"tenants create acme --plan pro", `{"tenant_id":"t_1"}`,
			"TENANT  NAME  PLAN  STATUS  CREATED\nt_1     acme  pro   active  2023-11-14T22:13:20Z",
		},
		{
			"tenants list",
			`{"tenants":[{"tenant_id":"default","name":"default","plan":"enterprise","status":"active","partition":0,"created_at":1700000000000},` +
				`{"tenant_id":"t_1","name":"acme","plan":"pro","status":"deleting","partition":0,"created_at":1700000001000}]}`,
			"TENANT   NAME     PLAN        STATUS    CREATED\n" +
				"default  default  enterprise  active    2023-11-14T22:13:20Z\n" +
				"t_1      acme     pro         deleting  2023-11-14T22:13:21Z",
		},
		{"tenants delete t_1 --yes", `{"tenant_id":"t_1","status":"deleting"}`, "tenant t_1 deleted"},
		{
			"keys create --tenant t_1 --permission READ_WRITE", `{"key_id":"k_1","key":"hh_live_secret"}`,
			"ID   PERMISSION  KEY\nk_1  READ_WRITE  hh_live_secret",
		},
		{
			"keys list",
			`{"keys":[{"key_id":"k_0","prefix":"hh_live_abcd","tenant_id":"","kind":"","permission":"","operator":true,"collections":null,"allowed_ips":null,"created_at":1700000000000},` +
				`{"key_id":"k_1","prefix":"hh_live_efgh","tenant_id":"t_1","kind":"","permission":"MCP","collections":null,"allowed_ips":null,"created_at":1700000000000,"revoked_at":1700000001000}]}`,
			"ID   TENANT  PERMISSION  KEY              CREATED               EXPIRES  REVOKED\n" +
				"k_0  -       OPERATOR    hh_live_abcd...  2023-11-14T22:13:20Z  -        -\n" +
				"k_1  t_1     MCP         hh_live_efgh...  2023-11-14T22:13:20Z  -        2023-11-14T22:13:21Z",
		},
		{"keys revoke k_1", `{"key_id":"k_1","revoked":true}`, "key k_1 revoked"},
	} {
		if code, out, errs := waggle(t, strings.Fields(tc.args)...); code != 0 || out != tc.text+"\n" {
			t.Errorf("%s: exit %d\n%s%s", tc.args, code, out, errs)
		}
		if code, out, errs := waggle(t, strings.Fields(tc.args+" --json")...); code != 0 || out != tc.json+"\n" || errs != "" {
			t.Errorf("%s --json: exit %d\n%s%s", tc.args, code, out, errs)
		}
	}
}

func TestFailures(t *testing.T) {
	url := api(t)
	t.Setenv("WAGGLE_URL", url)
	t.Setenv("WAGGLE_OPERATOR_KEY", operatorKey)
	for args, want := range map[string]string{
		"tenants delete t_2 --yes":                      "waggle: there is no tenant t_2 (NOT_FOUND, HTTP 404)\n",
		"tenants list --operator-key x":                 "waggle: the access key is not valid (AUTH_INVALID_KEY, HTTP 401); it has to be the operator key of this cluster\n",
		"tenants list --url 127.0.0.1:1":                "waggle: URL \"127.0.0.1:1\" is not of the form http://HOST:PORT\n",
		"tenants create":                                "waggle: accepts 1 arg(s), received 0\n",
		"tenants lst":                                   "waggle: unknown command \"lst\" for \"waggle tenants\"\n",
		"keys create":                                   "waggle: whose key? give --tenant (waggle tenants list shows the ids)\n",
		"keys list --tenat x":                           "waggle: unknown flag: --tenat\n",
		"tenants list --url http://127.0.0.1:1/ --json": "waggle: Get \"http://127.0.0.1:1/api/v1/tenants?limit=1000\": dial tcp 127.0.0.1:1: connect: connection refused\n",
	} {
		if code, out, errs := waggle(t, strings.Fields(args)...); code != 1 || out != "" || errs != want {
			t.Errorf("%s: exit %d, %q, %q", args, code, out, errs)
		}
	}
	t.Setenv("WAGGLE_OPERATOR_KEY", "")
	if code, _, errs := waggle(t, "keys", "list"); code != 1 || errs != "waggle: no operator key: set WAGGLE_OPERATOR_KEY or give --operator-key-file\n" {
		t.Errorf("without a key: exit %d, %q", code, errs)
	}
	// Flags are stronger than the environment.
	t.Setenv("WAGGLE_URL", "http://127.0.0.1:1")
	if code, _, errs := waggle(t, "keys", "list", "--url", url, "--operator-key", operatorKey); code != 0 {
		t.Errorf("with flags: exit %d, %q", code, errs)
	}
}

func TestVersion(t *testing.T) {
	code, out, _ := waggle(t, "version")
	if code != 0 || !strings.HasPrefix(out, "waggle "+version+" ") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d, %q", code, out)
	}
	code, out, _ = waggle(t, "version", "--json")
	var object map[string]string
	if err := json.Unmarshal([]byte(out), &object); code != 0 || err != nil || object["version"] != version {
		t.Errorf("exit %d, %q, %v", code, out, err)
	}
}

func TestCompletion(t *testing.T) {
	if code, out, _ := waggle(t, "completion", "bash"); code != 0 || !strings.Contains(out, "waggle") {
		t.Errorf("exit %d", code)
	}
	code, out, _ := waggle(t, "__complete", "keys", "create", "--permission", "READ")
	if code != 0 || !strings.Contains(out, "READ_WRITE\nREAD_ONLY\n") {
		t.Errorf("exit %d, %q", code, out)
	}
}
