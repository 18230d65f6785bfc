package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// hubAPI answers what the commands of this file ask, and notes what they sent.
func hubAPI(t *testing.T) (sent func() []string) {
	t.Helper()
	var got []string
	answers := map[string]string{
		"GET /api/v1/tenants/t_1":         `{"tenant_id":"t_1","name":"acme","plan":"pro","status":"active","partition":5,"created_at":1700000000000}`,
		"PATCH /api/v1/tenants/t_1":       `{"tenant_id":"t_1","name":"acme","plan":"pro","status":"suspended","created_at":1700000000000}`,
		"GET /api/v1/tenants/t_1/erasure": `{"document":{"points":18446744073709551615},"signature":"s"}`,
		"GET /api/v1/plans": `{"plans":[{"name":"free","storage_bytes":52428800,"vector_count":10000,"collection_count":1,"requests_per_minute":60,"requests_per_hour":-1,"requests_per_day":1000},` +
			`{"name":"x","storage_bytes":1000,"vector_count":-1,"collection_count":0,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":-1}]}`,
		"GET /api/v1/plans/free":                      `{"name":"free","storage_bytes":52428800,"vector_count":10000,"collection_count":1,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":-1,"version":3}`,
		"PUT /api/v1/plans/free":                      `{"name":"free","storage_bytes":52428800,"vector_count":20000,"collection_count":1,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":-1}`,
		"PUT /api/v1/plans/new":                       `{"name":"new","storage_bytes":-1,"vector_count":-1,"collection_count":7,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":-1}`,
		"DELETE /api/v1/plans/x":                      `{}`,
		"POST /api/v1/access-keys":                    `{"key_id":"k_1","key":"hh_live_secret","permission":"READ_ONLY","kind":"tenant"}`,
		"GET /api/v1/access-keys/k_1":                 `{"key_id":"k_1","prefix":"hh_live_abcd","tenant_id":"t_1","kind":"tenant","permission":"READ_ONLY","collections":["a","b*"],"allowed_ips":["10.0.0.0/8"],"rate_limits":{"requests_per_minute":5,"requests_per_hour":-1,"requests_per_day":-1},"created_at":1700000000000,"expires_at":1700000001000}`,
		"POST /api/v1/access-keys/k_1/rotate":         `{"key_id":"k_2","key":"hh_live_new","old":{"key_id":"k_1","expires_at":1700000001000}}`,
		"GET /api/internal/vectorizer/user/t_1/quota": `{"tenant_id":"t_1","plan":"pro","version":9,"storage_bytes":1000,"vector_count":-1,"collection_count":0,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":-1,"usage":{"storage_bytes":250,"vector_count":7,"collection_count":1}}`,
		"GET /api/v1/cluster/usage":                   `{"tenant_id":"t_1","period_start":1698796800000,"period_end":1700000000000,"reported_at":1700000000000,"storage":{"used_bytes":40,"quota_bytes":-1,"percent":null},"collections":1,"vectors":2,"usage":{"api_requests":5,"vectors_inserted":2},"total":{"api_requests":9,"vectors_inserted":3,"byte_hours":18446744073709551615},"days":[]}`,
		"GET /hub/usage/statistics":                   `{"success":true,"stats":{"collections":[{"collection_id":"18446744073709551615","name":"docs","vectors":2,"storage":40,"usage":{"vectors_inserted":2,"search_count":7}},{"collection_id":"9","name":"","deleted":true,"usage":{}}]}}`,
		"GET /api/v1/audit":                           `{"entries":[{"id":"5.1","time":1700000000000,"tenant_id":"t_1","actor":"operator","address":"127.0.0.1","request_id":"r1","action":"key.create","target":"k_1","outcome":"ok","detail":""}]}`,
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, _ := io.ReadAll(r.Body)
		got = append(got, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(in)))
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"error":"there is no such thing","code":"NOT_FOUND"}`
		}
		io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("WAGGLE_URL", srv.URL)
	t.Setenv("WAGGLE_OPERATOR_KEY", operatorKey)
	t.Setenv("WAGGLE_KEY", tenantKey)
	return func() []string {
		defer func() { got = nil }()
		return got
	}
}

func TestHubCommands(t *testing.T) {
	sent := hubAPI(t)
	for _, tc := range []struct {
		args, text string
		sent       []string
	}{
		{
			"tenants show t_1",
			"WHAT       VALUE\ntenant     t_1\nname       acme\nplan       pro\nstatus     active\npartition  5\ncreated    2023-11-14T22:13:20Z",
			[]string{"GET /api/v1/tenants/t_1"},
		},
		{
			"tenants suspend t_1", "TENANT  NAME  PLAN  STATUS     CREATED\nt_1     acme  pro   suspended  2023-11-14T22:13:20Z",
			[]string{`PATCH /api/v1/tenants/t_1 {"status":"suspended"}`},
		},
		{
			"tenants resume t_1", "TENANT  NAME  PLAN  STATUS     CREATED\nt_1     acme  pro   suspended  2023-11-14T22:13:20Z",
			[]string{`PATCH /api/v1/tenants/t_1 {"status":"active"}`},
		},
		{
			"tenants plan t_1 pro", "TENANT  NAME  PLAN  STATUS     CREATED\nt_1     acme  pro   suspended  2023-11-14T22:13:20Z",
			[]string{`PATCH /api/v1/tenants/t_1 {"plan":"pro"}`},
		},
		{
			"tenants certificate t_1", "{\n  \"document\": {\n    \"points\": 18446744073709551615\n  },\n  \"signature\": \"s\"\n}",
			[]string{"GET /api/v1/tenants/t_1/erasure"},
		},
		{
			"plans list",
			"PLAN  STORAGE  VECTORS    COLLECTIONS  RATES\nfree  50MB     10000      1            60/min 1000/day\nx     1000     unlimited  0            unlimited",
			[]string{"GET /api/v1/plans"},
		},
		{
			"plans set free --vectors 20000", "PLAN  STORAGE  VECTORS  COLLECTIONS  RATES\nfree  50MB     20000    1            unlimited",
			[]string{"GET /api/v1/plans/free", `PUT /api/v1/plans/free {"name":"free","storage_bytes":52428800,"vector_count":20000,"collection_count":1,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":-1,"version":3}`},
		},
		{
			"plans set new --collections 7 --storage 2GB --vectors unlimited", "PLAN  STORAGE    VECTORS    COLLECTIONS  RATES\nnew   unlimited  unlimited  7            unlimited",
			[]string{"GET /api/v1/plans/new", `PUT /api/v1/plans/new {"name":"new","storage_bytes":2147483648,"vector_count":-1,"collection_count":7,"requests_per_minute":-1,"requests_per_hour":-1,"requests_per_day":-1}`},
		},
		{"plans delete x -y", "plan x deleted", []string{"DELETE /api/v1/plans/x"}},
		{
			"keys create --tenant t_1 --permission READ_ONLY --collections a,b* --ips 10.0.0.0/8,::1 --expires 2999-01-01 --per-minute 5 --name n --test",
			"ID   PERMISSION  KEY\nk_1  READ_ONLY   hh_live_secret",
			[]string{`POST /api/v1/access-keys {"tenant_id":"t_1","permission":"READ_ONLY","name":"n","collections":["a","b*"],"allowed_ips":["10.0.0.0/8","::1"],` +
				`"rate_limits":{"requests_per_minute":5,"requests_per_hour":-1,"requests_per_day":-1},"expires_at":32472144000000,"is_test":true}`},
		},
		{
			"keys create --kind mcp --tenant t_1", "ID   PERMISSION  KEY\nk_1  READ_ONLY   hh_live_secret",
			[]string{`POST /api/v1/access-keys {"tenant_id":"t_1","permission":"MCP","kind":"mcp"}`},
		},
		{
			"keys create --kind service --name gateway", "ID   PERMISSION  KEY\nk_1  READ_ONLY   hh_live_secret",
			[]string{`POST /api/v1/access-keys {"kind":"service","name":"gateway"}`},
		},
		{
			"keys show k_1",
			"WHAT         VALUE\nkey          k_1\nbegins with  hh_live_abcd...\nname         -\ntenant       t_1\nkind         tenant\npermission   READ_ONLY\n" +
				"collections  a, b*\nfrom         10.0.0.0/8\nrates        5/min\ncreated      2023-11-14T22:13:20Z\nrotated      -\nexpires      2023-11-14T22:13:21Z\nrevoked      -",
			[]string{"GET /api/v1/access-keys/k_1"},
		},
		{
			"keys rotate k_1 --grace 2d", "ID   KEY          OLD  OLD_ENDS\nk_2  hh_live_new  k_1  2023-11-14T22:13:21Z",
			[]string{`POST /api/v1/access-keys/k_1/rotate {"grace_seconds":172800}`},
		},
		{
			"quota show t_1",
			"tenant t_1, plan pro, rates unlimited\n" +
				"WHAT              USED  LIMIT      LEFT       SHARE\n" +
				"storage_bytes     250   1000       750        25.0%\n" +
				"vector_count      7     unlimited  unlimited  -\n" +
				"collection_count  1     0          0          -",
			[]string{"GET /api/internal/vectorizer/user/t_1/quota"},
		},
		{
			"usage t_1 --since 2023-11-01 --until 2023-11-14",
			"tenant t_1, 2023-11-01 to 2023-11-14, reported up to 2023-11-14T22:13:20Z: 1 collections, 2 vectors, 40 bytes\n" +
				"WHAT                 PERIOD  TOTAL\n" +
				"api_requests         5       9\nsearch_count         0       0\nvectors_scanned      0       0\nbytes_read           0       0\n" +
				"vectors_inserted     2       3\nvectors_deleted      0       0\nstorage_added        0       0\nstorage_freed        0       0\n" +
				"collections_created  0       0\ncollections_deleted  0       0\nbyte_hours           0       18446744073709551615",
			[]string{"GET /api/v1/cluster/usage?from=1698796800000&tenant_id=t_1&to=1699920000000"},
		},
		{
			"usage --collections",
			"ID                    NAME         VECTORS  BYTES  INSERTED  DELETED  SEARCHES  BYTE_HOURS\n" +
				"18446744073709551615  docs         2        40     2         0        7         0\n" +
				"9                     - (deleted)  0        0      0         0        0         0",
			[]string{"GET /hub/usage/statistics"},
		},
		{
			"audit list --tenant t_1 --action key.create --since 2023-11-14 --limit 5",
			"TIME                  TENANT  ACTOR     ADDRESS    ACTION      TARGET  OUTCOME  REQUEST  DETAIL\n" +
				"2023-11-14T22:13:20Z  t_1     operator  127.0.0.1  key.create  k_1     ok       r1       -",
			[]string{"GET /api/v1/audit?action=key.create&limit=1000&since=1699920000000&tenant_id=t_1"},
		},
	} {
		code, out, errs := waggle(t, strings.Fields(tc.args)...)
		if code != 0 || out != tc.text+"\n" {
			t.Errorf("%s: exit %d\n%s%s", tc.args, code, out, errs)
		}
		if got := sent(); !slices.Equal(got, tc.sent) {
			t.Errorf("%s: sent %q\nwant %q", tc.args, got, tc.sent)
		}
		code, out, errs = waggle(t, strings.Fields(tc.args+" --json")...)
		if code != 0 || !json.Valid([]byte(out)) || strings.Count(out, "\n") != 1 || errs != "" {
			t.Errorf("%s --json: exit %d\n%s%s", tc.args, code, out, errs)
		}
		sent()
	}
}

// What is mistyped costs no request, and the error says what to type.
func TestMistypedHubCommands(t *testing.T) {
	sent := hubAPI(t)
	for args, want := range map[string]string{
		"keys create --kind service":                     "a service key needs --name, the name that the service gives in X-Service-Name",
		"keys create --kind service --name x --tenant t": "a service key belongs to no tenant: leave out --tenant",
		"keys create --kind mcp":                         "whose key? give --tenant (waggle tenants list shows the ids)",
		"keys create --tenant t --expires soon":          `--expires: "soon" is no time such as 2030-12-31T23:59:59Z, no date such as 2030-12-31 and no span such as 90d or 12h`,
		"keys create --tenant t --expires 2001-01-01":    "--expires: 2001-01-01T00:00:00Z is not in the future",
		"keys rotate k_1 --grace -1h":                    `--grace: "-1h" is no span such as 7d, 12h or 0s`,
		"audit list --since yesterday":                   `--since: "yesterday" is no time such as 2030-12-31T23:59:59Z, no date such as 2030-12-31 and no span such as 90d or 12h`,
		"audit list --limit 0":                           "--limit: must be 1 or more",
		"tenants delete t_1":                             "this would delete tenant t_1 and everything it has: give --yes to do it",
		"plans delete x":                                 "this would delete plan x: give --yes to do it",
		"tenants list --operator-key-file /absent":       "operator key: open /absent: no such file or directory",
		"tenants plan t_1":                               "accepts 2 arg(s), received 1",
	} {
		code, out, errs := waggle(t, strings.Fields(args)...)
		if code != 1 || out != "" || errs != "waggle: "+want+"\n" {
			t.Errorf("%s: exit %d, %q, %q", args, code, out, errs)
		}
		if got := sent(); got != nil {
			t.Errorf("%s: sent %q", args, got)
		}
	}
	for args, want := range map[string]string{
		"plans set free --storage 5XB":   `waggle: --storage: "5XB" is neither a number nor unlimited`,
		"plans set free --storage -5MB":  `waggle: --storage: "-5MB" is no number of bytes such as 50MB`,
		"plans set free --vectors -1":    `waggle: --vectors: "-1" is neither a number nor unlimited`,
		"tenants certificate t_2":        "waggle: there is no such thing (NOT_FOUND, HTTP 404)",
		"keys show k_9":                  "waggle: there is no such thing (NOT_FOUND, HTTP 404)",
		"plans set free --storage 1TBTB": `waggle: --storage: "1TBTB" is no number of bytes such as 50MB`,
	} {
		if code, out, errs := waggle(t, strings.Fields(args)...); code != 1 || out != "" || errs != want+"\n" {
			t.Errorf("%s: exit %d, %q, %q", args, code, out, errs)
		}
		for _, s := range sent() {
			if !strings.HasPrefix(s, "GET ") {
				t.Errorf("%s: changed something: %q", args, s)
			}
		}
	}
}

// A file holds the key alone, or is first-keys as the first start left it.
func TestOperatorKeyFile(t *testing.T) {
	sent := hubAPI(t)
	t.Setenv("WAGGLE_OPERATOR_KEY", "")
	for _, text := range []string{"K\n", "  K", "tenant   T\noperator K\n"} {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &session{file: file}
		if key, err := s.operatorKey(); key != "K" || err != nil {
			t.Errorf("%q: %q, %v", text, key, err)
		}
		t.Setenv("WAGGLE_OPERATOR_KEY_FILE", file)
		if key, err := (&session{}).operatorKey(); key != "K" || err != nil {
			t.Errorf("%q in the environment: %q, %v", text, key, err)
		}
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("tenant T\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := waggle(t, "plans", "list", "--operator-key-file", file); code != 1 || strings.Contains(errs, "T\n") || sent() != nil {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestSpans(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"90d": "2026-04-01T00:00:00Z", "12h": "2026-01-01T12:00:00Z", "2027-05-06": "2027-05-06T00:00:00Z", "2027-05-06T07:08:09+02:00": "2027-05-06T05:08:09Z",
	} {
		at, err := parseWhen(text, now, 1)
		if err != nil || at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v", text, at, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "99999d", "1w", "2026-13-01"} {
		if at, err := parseWhen(text, now, 1); err == nil {
			t.Errorf("%q is %v", text, at)
		}
	}
}

// Every command that an operator types has an example, and the example is one
// that the command takes.
func TestHelpHasExamples(t *testing.T) {
	hubAPI(t)
	root := NewRoot(&cobra.Command{Use: "serve"})
	for _, group := range root.Commands() {
		if !slices.Contains([]string{"tenants", "plans", "keys", "quota", "audit"}, group.Name()) {
			continue
		}
		for _, cmd := range group.Commands() {
			if cmd.Example == "" || cmd.Short == "" {
				t.Errorf("%s has no example", cmd.CommandPath())
			}
			for line := range strings.Lines(cmd.Example) {
				words := strings.Fields(strings.ReplaceAll(line, "'", ""))
				if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, ">") }); i >= 0 {
					words = words[:i]
				}
				found, rest, err := root.Find(words[1:])
				if err != nil || found != cmd {
					t.Errorf("%q runs %v, %v", line, found.CommandPath(), err)
					continue
				}
				if err := cmd.ParseFlags(rest); err != nil {
					t.Errorf("%q: %v", line, err)
				} else if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
	}
	if code, out, _ := waggle(t, "keys", "rotate", "--help"); code != 0 || !strings.Contains(out, "Examples:\n  waggle keys rotate ") {
		t.Errorf("%s", out)
	}
}

// An error names what was not there, and never the key.
func TestErrorsHoldNoKey(t *testing.T) {
	hubAPI(t)
	var errs bytes.Buffer
	for _, args := range []string{"tenants show nobody", "keys show nobody", "quota show nobody"} {
		root := NewRoot(&cobra.Command{Use: "serve"})
		root.SetArgs(strings.Fields(args))
		root.SetErr(&errs)
		if code := Run(context.Background(), root); code != 1 {
			t.Errorf("%s: exit %d", args, code)
		}
	}
	if text := fmt.Sprint(&errs); strings.Contains(text, operatorKey) {
		t.Error("an error shows the operator key")
	}
}
