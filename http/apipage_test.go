package httpedge

import (
	flags "flag"
	"os"
	"strings"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

var updateAPI = flags.Bool("update-api", false, "write the table of operations into docs/api.md")

// TestAPIPage holds docs/api.md against the table of operations: each is there,
// with its permission row and who may.
func TestAPIPage(t *testing.T) {
	const path, begin, end = "../docs/api.md", "<!-- operations -->\n", "<!-- end of operations -->"
	raw, err := os.ReadFile(path)
	noError(t, err)
	before, rest, ok := strings.Cut(string(raw), begin)
	table, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the operations", path)
	}
	want := operationsTable(New(Options{}).operations)
	if table == want {
		return
	}
	if !*updateAPI {
		t.Fatalf("%s does not have the operations as they are; go test ./http -run TestAPIPage -update-api writes them:\n%s", path, want)
	}
	noError(t, os.WriteFile(path, []byte(before+begin+want+end+after), 0o644)) //nolint:gosec // a page for everybody
}

func operationsTable(all []*native) string {
	var b strings.Builder
	b.WriteString("| operation | request | what it does | permission row | ADMIN | READ_WRITE | READ_ONLY | MCP |\n|---|---|---|---|---|---|---|---|\n")
	for _, n := range all {
		b.WriteString("| `" + n.id + "` | `" + n.method + " " + openPath(n.path) + "` | " + n.summary + " | " + permissionRow(n.op))
		for _, p := range []tenant.Permission{tenant.Admin, tenant.ReadWrite, tenant.ReadOnly, tenant.MCP} {
			b.WriteString(" | " + map[bool]string{true: "yes", false: "no"}[tenant.Allowed(p, n.op)])
		}
		b.WriteString(" |\n")
	}
	return b.String()
}
