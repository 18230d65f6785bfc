package tenant

import (
	"strings"
	"testing"
	"time"
)

// contractTable is the table of permissions as it was agreed, one row for
// each Operation; y and n in the order ADMIN, READ_WRITE, READ_ONLY, MCP.
const contractTable = `
list, info, search, get                                                     | y y y y
insert, update                                                              | y y n y
delete points                                                               | y y n n
create, delete, alter collections, aliases, payload indexes                 | y y n n
backups: create, restore, delete                                            | y y n n
download or export, embed, own usage                                        | y y y n
upload, import                                                              | y y n n
keys, tenant settings, IP lists, audit of the own tenant                    | y n n n
cluster and all-tenant operations                                           | n n n n
own usage                                                                   | y y y n
the hub's own routes                                                        | n n n n
what a key may know about itself                                            | y y y y
own usage, and the operator's question about anybody's                      | y y y n
`

const opLast = OpUsage

func TestPermissionTable(t *testing.T) {
	permissions := []Permission{Admin, ReadWrite, ReadOnly, MCP}
	rows := []Operation{
		OpRead, OpWrite, OpDeletePoints, OpManageCollections, OpBackup,
		OpDownload, OpUpload, OpAdmin, OpOperator, OpOwnUsage, OpService, OpSelf, OpUsage,
	}
	lines := strings.Split(strings.TrimSpace(contractTable), "\n")
	if len(lines) != len(rows) || int(opLast) != len(rows)+1 { // + OpPublic
		t.Fatalf("%d rows in the contract, %d operations walked, %d there are", len(lines), len(rows), opLast)
	}
	now := time.Now()
	for i, line := range lines {
		name, cells, _ := strings.Cut(line, "|")
		for j, cell := range strings.Fields(cells) {
			want := cell == "y"
			if got := Allowed(permissions[j], rows[i]); got != want {
				t.Errorf("%s: %s is %v, want %v", permissions[j], strings.TrimSpace(name), got, want)
			}
			c := Context{TenantID: "t", ValidatedAt: now, Permissions: permissions[j : j+1]}
			if got := c.May(rows[i]); got != want {
				t.Errorf("context of %s: %s is %v, want %v", permissions[j], strings.TrimSpace(name), got, want)
			}
		}
	}
}

func TestPermissionEdges(t *testing.T) {
	for _, p := range []Permission{"", "admin", "OPERATOR"} {
		for op := OpRead; op <= opLast+1; op++ {
			if Allowed(p, op) {
				t.Errorf("permission %q may do operation %d", p, op)
			}
		}
		if _, ok := ParsePermission(string(p)); ok {
			t.Errorf("permission %q parses", p)
		}
	}
	for _, p := range []Permission{Admin, ReadWrite, ReadOnly, MCP} {
		if got, ok := ParsePermission(string(p)); got != p || !ok {
			t.Errorf("%s parses as %q, %v", p, got, ok)
		}
		if Allowed(p, 0) || Allowed(p, opLast+1) {
			t.Errorf("%s may do what does not exist", p)
		}
	}
	both := Context{Permissions: []Permission{ReadOnly, MCP}}
	if !both.May(OpWrite) || !both.May(OpDownload) || both.May(OpDeletePoints) {
		t.Error("two permissions are not their union")
	}
}

// An operator manages tenants and reads none of them.
func TestOperatorContext(t *testing.T) {
	c := Context{KeyID: "k", IsOperator: true, ValidatedAt: time.Now()}
	if c.Valid() {
		t.Error("an operator's context is valid for tenant data")
	}
	for op := OpRead; op <= opLast; op++ {
		if got := c.May(op); got != (op == OpOperator || op == OpService || op == OpSelf || op == OpUsage) {
			t.Errorf("operation %d: %v", op, got)
		}
	}
	if (Context{}).Valid() || (Context{TenantID: "t"}).Valid() {
		t.Error("a context that nobody validated is valid")
	}
}

// A suspended tenant's ADMIN reads usage and exports; nobody does anything else.
func TestSuspendedContext(t *testing.T) {
	for _, p := range []Permission{Admin, ReadWrite, ReadOnly, MCP} {
		c := Context{TenantID: "t", ValidatedAt: time.Now(), Permissions: []Permission{p}, Suspended: true}
		for op := OpPublic; op <= opLast; op++ {
			want := op == OpPublic || p == Admin && (op == OpOwnUsage || op == OpUsage || op == OpDownload)
			if got := c.May(op); got != want {
				t.Errorf("%s, operation %d: %v", p, op, got)
			}
		}
	}
}

// A service's key opens the hub's routes; with a tenant beside it, that
// tenant's, and no others.
func TestServiceContext(t *testing.T) {
	bare := Context{Service: "gateway", KeyID: "k", ValidatedAt: time.Now()}
	for op := OpRead; op <= opLast; op++ {
		if got := bare.May(op); got != (op == OpService || op == OpSelf) {
			t.Errorf("bare, operation %d: %v", op, got)
		}
	}
	acting := bare
	acting.TenantID, acting.Permissions = "acme", []Permission{Admin}
	if bare.Valid() || !acting.Valid() || acting.May(OpService) || acting.May(OpOperator) || !acting.May(OpAdmin) {
		t.Error("a service that acts for a tenant is not its ADMIN, or more")
	}
}
