package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hivehub/waggle/client"
	"github.com/hivehub/waggle/tenant"
)

// auditList is an audit log of n rows of two tenants, as the API shows it.
func auditList(n int) (list []client.AuditEntry) {
	last := map[string][]byte{}
	for i := range n {
		e := tenant.AuditEntry{Index: uint64(i + 1), Time: int64(1000 + i), Tenant: []tenant.ID{"t_a", ""}[i%2], Actor: "operator", Action: "key.create", Target: "k_1", Outcome: "ok"}
		e.Chain = tenant.ChainAudit(last[e.Pool()], &e)
		last[e.Pool()] = e.Chain
		list = append(list, client.AuditEntry{
			ID: e.ID(), Time: e.Time, TenantID: string(e.Tenant), Actor: e.Actor, Action: e.Action, Target: e.Target, Outcome: e.Outcome, Chain: hex.EncodeToString(e.Chain),
		})
	}
	return list
}

// runCommand runs a command line and returns what it printed.
func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := NewRoot(newVersion())
	var out strings.Builder
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

// TestAuditVerify: the command finds what was done to a log, from the server and
// from a file, and misses the end only when nobody has noted it.
func TestAuditVerify(t *testing.T) {
	var list []client.AuditEntry
	asked := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.Header.Get("Authorization")
		at := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &at)
		body := map[string]any{"entries": list[at:min(at+7, len(list))]}
		if at+7 < len(list) {
			body["next_cursor"] = fmt.Sprint(at + 7)
		}
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("WAGGLE_URL", srv.URL)
	t.Setenv("WAGGLE_OPERATOR_KEY", operatorKey)
	good := auditList(40)
	head := good[39].Chain
	file := filepath.Join(t.TempDir(), "audit.json")
	check := func(what string, rows []client.AuditEntry, wrong string, more ...string) {
		t.Helper()
		list = rows
		b, err := json.Marshal(map[string]any{"entries": rows})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, from := range [][]string{nil, {"--file", file}} {
			text, err := runCommand(t, append(append([]string{"audit", "verify"}, from...), more...)...)
			if wrong == "" && (err != nil || !strings.Contains(text, head)) || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
				t.Errorf("%s %v: %q, %v", what, from, text, err)
			}
		}
	}
	with := func(change func([]client.AuditEntry) []client.AuditEntry) []client.AuditEntry {
		return change(append([]client.AuditEntry{}, good...))
	}
	check("whole", good, "")
	check("whole, with its end", good, "", "--head", head)
	check("changed", with(func(l []client.AuditEntry) []client.AuditEntry { l[20].Actor = "k_x"; return l }), "row 21 of the list, 21.0, of tenant t_a")
	check("missing", with(func(l []client.AuditEntry) []client.AuditEntry { return append(l[:20], l[21:]...) }), "row 22 of the list, 23.0, of tenant t_a")
	check("out of order", with(func(l []client.AuditEntry) []client.AuditEntry { l[20], l[22] = l[22], l[20]; return l }), "row 21 of the list")
	check("added", with(func(l []client.AuditEntry) []client.AuditEntry {
		return append(l[:21], append([]client.AuditEntry{l[20]}, l[21:]...)...)
	}), "row 22 of the list")
	check("cut off at its end", good[:30], "was noted before", "--head", head)
	if _, err := runCommand(t, "audit", "verify", "--key", "hh_live_mine"); err != nil || asked != "/auth/audit Bearer hh_live_mine" {
		t.Errorf("an ADMIN asked %q, %v", asked, err)
	}
	if _, err := runCommand(t, "audit", "verify", "--key", "hh_live_mine", "--tenant", "t_a"); err == nil {
		t.Error("a tenant's key and a tenant")
	}
}

// TestLogsCommand: what is asked of whom, pages, and what is shown.
func TestLogsCommand(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		asked = append(asked, fmt.Sprintf("%s %s %s %s", r.URL.Path, v.Get("operation_type"), v.Get("limit"), r.Header.Get("Authorization")))
		next, id := `,"next_cursor":"c"`, "a"
		if v.Get("cursor") != "" {
			next, id = `,"incomplete":["node-3"]`, "b"
		}
		fmt.Fprintf(w, `{"logs":[{"operation_id":%q,"operation":"POST /search","operation_type":"search","collection":"docs","timestamp":1700000000000,"duration_ms":1.25,"success":false,"error":"NOT_FOUND","metadata":{"status":"404","request_id":"r-1"}}]%s}`, id, next)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("WAGGLE_URL", srv.URL)
	t.Setenv("WAGGLE_OPERATOR_KEY", operatorKey)
	text, err := runCommand(t, "logs", "--tenant", "t_a", "--type", "search")
	want := "TIME                  TYPE    OPERATION     COLLECTION  STATUS  ERROR      MS   REQUEST\n"
	if err != nil || !strings.HasPrefix(text, want) || strings.Count(text, "r-1") != 2 || !strings.Contains(text, "incomplete: no answer from node-3") {
		t.Errorf("%v\n%s", err, text)
	}
	if want := "/api/v1/tenants/t_a/logs search 1000 Bearer " + operatorKey; len(asked) != 2 || asked[0] != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	asked = nil
	if _, err := runCommand(t, "logs", "--limit", "1"); err != nil || len(asked) != 1 || !strings.HasPrefix(asked[0], "/api/v1/cluster/logs  1 ") {
		t.Errorf("%q, %v", asked, err)
	}
	t.Setenv("WAGGLE_KEY", "hh_live_mine")
	asked = nil
	text, err = runCommand(t, "logs", "--json")
	var object struct{ Logs []client.Operation }
	if e := json.Unmarshal([]byte(text), &object); err != nil || e != nil || len(object.Logs) != 2 || !strings.HasSuffix(asked[0], "/auth/logs  1000 Bearer hh_live_mine") {
		t.Errorf("%v %v %q\n%s", err, e, asked, text)
	}
	for _, args := range []string{"logs --type everything", "logs --limit 0", "logs --since yesterday", "logs --key x --tenant t_a"} {
		if _, err := runCommand(t, strings.Fields(args)...); err == nil {
			t.Errorf("%s was taken", args)
		}
	}
}
