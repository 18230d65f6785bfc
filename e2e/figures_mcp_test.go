//go:build figures

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestFiguresMCP compares a search by an agent with the same one by the native
// API, in turns: what the protocol costs.
func TestFiguresMCP(t *testing.T) {
	t.Setenv("WAGGLE_LIMITS_MCP_PER_MINUTE", "1000000")
	t.Setenv("WAGGLE_LIMITS_MCP_PER_HOUR", "1000000")
	s := start(t, t.TempDir())
	_, u := s.newTenant("figures", "ADMIN")
	must := func(a answer, status int) {
		t.Helper()
		if a.status != status {
			t.Fatalf("%d %.300s", a.status, a.body)
		}
	}
	must(u.callMain("POST", "/collections", map[string]any{"name": "notes"}), http.StatusCreated)
	texts := make([]map[string]any, 1000)
	for i := range texts {
		texts[i] = map[string]any{"id": fmt.Sprint(i), "text": fmt.Sprintf("note %d about bees of hive %d in year %d", i, i%37, 1900+i%101)}
	}
	must(u.callMain("POST", "/insert_texts", map[string]any{"collection": "notes", "texts": texts}), http.StatusCreated)
	query := func(i int) string { return fmt.Sprintf("bees hive %d", i%37) }
	var native, agents []time.Duration
	for i := range 1000 {
		from := time.Now()
		must(u.callMain("POST", "/collections/notes/search/text", map[string]any{"query": query(i), "limit": 10}), http.StatusOK)
		native = append(native, time.Since(from))
		from = time.Now()
		must(u.callMain("POST", "/mcp", map[string]any{
			"jsonrpc": "2.0", "id": i, "method": "tools/call",
			"params": map[string]any{"name": "search", "arguments": map[string]any{"collection": "notes", "query": query(i), "limit": 10}},
		}), http.StatusOK)
		agents = append(agents, time.Since(from))
	}
	slices.Sort(native)
	slices.Sort(agents)
	fmt.Printf("figure: a search p50 %v natively, p50 %v as a tool\n", native[len(native)/2], agents[len(agents)/2])
}
