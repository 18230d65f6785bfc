package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMCPClients lets agents of two tenants at once use every tool, by the
// protocol's own client: over HTTP, and as a program that it starts.
func TestMCPClients(t *testing.T) {
	t.Parallel()
	node, dir := clientsDir(t)
	s := start(t, t.TempDir())
	output := make([]string, 2)
	var wg sync.WaitGroup
	for i, name := range []string{"agents one", "agents two"} {
		id, admin := s.newTenant(name, "ADMIN")
		_, reader := s.newKey(id, "READ_ONLY")
		env := environ([]string{
			"MCP_URL=" + s.http + "/mcp", "QDRANT_API_KEY=" + admin.key, "TENANT=" + string(rune('1'+i)), "WAGGLE=" + binary,
			"READER_KEY=" + reader.key, "MCP_KEY=" + s.newAgent(id),
		})
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, node, "mcp.mjs")
			cmd.Dir, cmd.Env = dir, env
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("tenant %d: %v\n%s", i+1, err, withoutChecked(out.String()))
			}
			output[i] = out.String()
		})
	}
	wg.Wait()
	if !t.Failed() {
		for _, out := range output {
			clientSuite{}.covers(t, out)
		}
	}
}

// newAgent registers an agent of a tenant and returns its key.
func (s *server) newAgent(tenantID string) string {
	s.t.Helper()
	a := s.operator().callMain("POST", "/api/mcp-servers", map[string]any{
		"service": "tests", "name": "desk", "endpoint": s.http + "/mcp", "tenant_id": tenantID,
	})
	var made struct {
		Key string `json:"api_key"`
	}
	s.decode(a.body, &made)
	if a.status != http.StatusCreated || !strings.HasPrefix(made.Key, "mcp_sk_") {
		s.t.Fatalf("register an agent: %d %s", a.status, a.body)
	}
	return made.Key
}

// TestInspector looks at /mcp as people do who try a server out.
func TestInspector(t *testing.T) {
	t.Parallel()
	node, dir := clientsDir(t)
	s := start(t, t.TempDir())
	_, admin := s.newTenant("inspected", "ADMIN")
	inspect := func(key string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cli := filepath.Join(dir, "node_modules", ".bin", "mcp-inspector")
		cmd := exec.CommandContext(ctx, node, append([]string{cli, "--cli", s.http + "/mcp", "--transport", "http", "--header", "Authorization: Bearer " + key}, args...)...)
		cmd.Dir, cmd.Env = dir, environ([]string{"HOME=" + t.TempDir()})
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := inspect(admin.key, "--method", "tools/list")
	var list struct{ Tools []struct{ Name string } }
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list.Tools) < 20 {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err = inspect(admin.key, "--method", "tools/call", "--tool-name", "create_collection", "--tool-arg", "name=seen"); err != nil || !strings.Contains(out, `"seen"`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = inspect(admin.key, "--method", "tools/call", "--tool-name", "list_collections"); err != nil || !strings.Contains(out, `"seen"`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = inspect("hh_live_"+strings.Repeat("x", 40), "--method", "tools/list"); err == nil {
		t.Errorf("a wrong key lists tools:\n%s", out)
	}
}
