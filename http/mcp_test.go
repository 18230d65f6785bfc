package httpedge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// withKey sends a key with every request.
type withKey string

func (k withKey) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+string(k))
	return http.DefaultTransport.RoundTrip(req)
}

// agent is a client of the protocol with a key.
func (e *edge) agent(key string) *mcp.ClientSession {
	e.t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(e.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: e.main + mcpPath, HTTPClient: &http.Client{Transport: withKey(key)}, MaxRetries: -1,
	}, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = session.Close() })
	return session
}

func (e *edge) tools(key string) []string {
	e.t.Helper()
	list, err := e.agent(key).ListTools(e.t.Context(), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// toolCode calls a tool and returns the code of the protocol's error, 0 for
// none, and the answer. It does so by hand: Go's client takes some of the codes
// for its own.
func (e *edge) toolCode(key, name, arguments string) (int64, string) {
	e.t.Helper()
	r := e.send("POST", e.main+mcpPath, key, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`","arguments":`+arguments+`}}`, "Content-Type", "application/json")
	var answer struct{ Error struct{ Code int64 } }
	if err := json.Unmarshal([]byte(r.text), &answer); err != nil || r.status != 200 {
		e.t.Fatalf("%d %s: %v", r.status, r.text, err)
	}
	return answer.Error.Code, r.text
}

// A key is shown the tools that it may call, and no others; the others are not
// there for it.
func TestToolsOfKeys(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates = o.Rates })
	all := e.tools(e.keys["READ_WRITE"])
	for _, c := range []struct{ key, with, without string }{
		{"ADMIN", "create_collection delete_collection list_collections", ""},
		{"READ_WRITE", "create_collection list_collections", ""},
		{"READ_ONLY", "list_collections", "create_collection delete_collection insert_text delete_vector batch_delete update_vector"},
		{"MCP", "list_collections", "create_collection delete_collection delete_vector batch_delete"},
	} {
		got := e.tools(e.keys[c.key])
		for name := range strings.FieldsSeq(c.with) {
			if slices.Contains(all, name) && !slices.Contains(got, name) {
				t.Errorf("%s lacks %s: %q", c.key, name, got)
			}
		}
		for name := range strings.FieldsSeq(c.without) {
			if slices.Contains(got, name) {
				t.Errorf("%s is shown %s", c.key, name)
			}
		}
	}
	if code, text := e.toolCode(e.keys["READ_ONLY"], "create_collection", `{"name":"docs"}`); code != -32003 {
		t.Errorf("a tool that the key may not use: %s", text)
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("the engine was called: %v", calls)
	}
}

// What a tool does is what the operation does: same answer, same errors.
func TestToolCalls(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates = o.Rates })
	session := e.agent(e.keys["READ_WRITE"])
	call := func(name string, arguments any) (*mcp.CallToolResult, error) {
		return session.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: arguments})
	}
	result, err := call("create_collection", map[string]any{"name": "docs", "dimension": 4})
	if err != nil || result.IsError {
		t.Fatal(result, err)
	}
	if structured, err := json.Marshal(result.StructuredContent); err != nil || !strings.Contains(string(structured), `"collection":"docs"`) {
		t.Errorf("structured content %s, %v", structured, err)
	}
	if text := result.Content[0].(*mcp.TextContent).Text; !strings.Contains(text, `"collection":"docs"`) {
		t.Errorf("content %s", text)
	}
	if calls := e.engine.take(); len(calls) != 1 || calls[0].op != "create" || calls[0].tc.TenantID != e.tenant {
		t.Errorf("calls %+v", calls)
	}
	for _, wrong := range []struct {
		arguments any
		say       string
	}{
		{map[string]any{"name": "docs", "dimenson": 4}, "dimension"},
		{map[string]any{"dimension": 4}, "name"},
		{map[string]any{"name": "docs", "metric": "far"}, "metric"},
	} {
		result, err := call("create_collection", wrong.arguments)
		if err != nil || !result.IsError || !strings.Contains(result.Content[0].(*mcp.TextContent).Text, wrong.say) {
			t.Errorf("%v: %+v, %v", wrong.arguments, result, err)
		}
	}
	for _, c := range []struct {
		fails error
		code  int64
	}{
		{collection.Errorf(collection.NotFound, "no"), -32007},
		{&collection.Error{Code: collection.ResourceExhausted, Reason: collection.ReasonQuota, Message: "full"}, -32005},
		{&collection.Error{Code: collection.PermissionDenied, Reason: collection.ReasonTenantSuspended, Message: "no"}, -32003},
		{errors.New("a secret of ours"), -32603},
	} {
		e.engine.err = c.fails
		if code, text := e.toolCode(e.keys["READ_WRITE"], "create_collection", `{"name":"docs"}`); code != c.code || strings.Contains(text, "secret") {
			t.Errorf("%v: %s, want %d", c.fails, text, c.code)
		}
	}
}

// What reaches no tool is answered in the protocol's words, too.
func TestMCPRefusals(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates = o.Rates })
	key := e.keys["READ_WRITE"]
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, c := range []struct {
		method, key, body string
		headers           []string
		status            int
		say               string
	}{
		{"POST", "", list, nil, 401, `"code":-32002`},
		{"POST", "hh_live_" + strings.Repeat("x", 40), list, nil, 401, `"code":-32001`},
		{"POST", e.keys[operator], list, nil, 403, `"code":-32003`},
		{"POST", key, "{", nil, 400, `"code":-32700`},
		{"POST", key, "[" + list + "," + list + "]", nil, 400, `"code":-32600`},
		{"POST", key, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}}`, nil, 200, `"code":-32602`},
		{"POST", key, list, []string{"Origin", "https://evil.example"}, 403, `"code":-32003`},
		{"POST", key, list, []string{"Content-Type", "text/plain"}, 415, `"code":-32600`},
		{"POST", key, list, []string{"Accept", "text/html"}, 406, `"code":-32600`},
		{"POST", key, list, []string{mcpVersionHeader, "1999-01-01"}, 400, `"code":-32600`},
		{"POST", key, `{"jsonrpc":"2.0","id":17,"method":"no/such"}`, nil, 400, `"id":17,"error":{"code":-32601`},
		{"POST", key, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil, 202, ""},
		{"POST", key, list, nil, 200, `"tools":[`},
		{"GET", key, "", nil, 405, "METHOD_NOT_ALLOWED"},
		{"DELETE", key, "", nil, 405, "METHOD_NOT_ALLOWED"},
	} {
		headers := c.headers
		if len(headers) == 0 || headers[0] != "Content-Type" {
			headers = append([]string{"Content-Type", "application/json"}, headers...)
		}
		r := e.send(c.method, e.main+mcpPath, c.key, c.body, headers...)
		if r.status != c.status || !strings.Contains(r.text, c.say) {
			t.Errorf("%s %v %.60s: %d %s, want %d %s", c.method, c.headers, c.body, r.status, r.text, c.status, c.say)
		}
	}
}

// A tenant's agents may call so many tools, however many of them there are and
// whatever their keys; other tenants' and other requests are not counted.
func TestMCPRates(t *testing.T) {
	e := newEdge(t, func(o *Options) {
		o.AgentRates = o.Rates
		o.Limits.MCPPerMinute, o.Limits.MCPPerHour = 3, 1000
	})
	for i, want := range []int64{0, 0, 0, -32004, -32004} {
		if code, text := e.toolCode(e.keys[[]string{"READ_WRITE", "MCP"}[i%2]], "list_collections", "{}"); code != want {
			t.Errorf("call %d: %s, want %d", i, text, want)
		}
	}
	if len(e.tools(e.keys["MCP"])) == 0 {
		t.Error("what calls no tool is refused")
	}
}

// A key that is for other collections reaches none by a tool, as it reaches
// none by a path.
func TestToolsOfNarrowedKeys(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates = o.Rates })
	_, key, err := e.hub.(*hubsvc.Embedded).CreateKey(t.Context(), hubsvc.KeySpec{
		Tenant: e.tenant, Permissions: []tenant.Permission{tenant.ReadWrite}, Name: "narrow", Scope: &tenant.Scope{Collections: []string{"logs-*"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if code, text := e.toolCode(key, "create_collection", `{"name":"docs"}`); code != -32003 {
		t.Error(text)
	}
	if calls := e.engine.take(); calls != nil {
		t.Errorf("calls %+v", calls)
	}
	if code, text := e.toolCode(key, "create_collection", `{"name":"logs-1"}`); code != 0 {
		t.Error(text)
	}
}

// So many requests of a tenant's agents run at a time; one more is told to wait.
func TestMCPConcurrent(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates, o.Limits.MCPConcurrent = o.Rates, 2 })
	block, here := make(chan struct{}), make(chan struct{}, 2)
	e.engine.do = func(context.Context) {
		select {
		case here <- struct{}{}:
			<-block
		default:
		}
	}
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_collections"}}`
	post := func() reply {
		return e.send("POST", e.main+mcpPath, e.keys["MCP"], call, "Content-Type", "application/json")
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { post().is(200, `"total_collections"`) })
	}
	for len(here) < cap(here) {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("the calls do not arrive")
		}
	}
	post().is(429, `"code":-32004`)
	close(block)
	wg.Wait()
	post().is(200, `"total_collections"`)
	if n := len(e.agents.mu.calling); n != 0 {
		t.Errorf("%d tenants still call", n)
	}
}

// Messages of an agent go to the node in charge whole.
func TestMCPForward(t *testing.T) {
	asked, there, _ := twoNodes(t)
	asked.agents.rates, there.agents.rates = asked.rates, there.rates
	if _, err := asked.agent(asked.keys["MCP"]).CallTool(t.Context(), &mcp.CallToolParams{Name: "list_collections"}); err != nil {
		t.Fatal(err)
	}
	if calls := there.engine.take(); len(calls) != 1 || calls[0].op != "list" || calls[0].tc.TenantID != asked.tenant {
		t.Errorf("calls there %+v", calls)
	}
}

// A panic in a tool is an answer.
func TestMCPPanic(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates = o.Rates })
	e.engine.do = func(context.Context) { panic("of a tool") }
	if code, text := e.toolCode(e.keys["MCP"], "list_collections", "{}"); code != -32603 || strings.Contains(text, "of a tool") {
		t.Error(text)
	}
	if !strings.Contains(e.logged.String(), "panic in a tool") {
		t.Error("the log does not tell")
	}
}

// A request whose deadline passes gives the tool's work up, and nothing of it
// goes on with a request that is another's by then.
func TestMCPDeadline(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.AgentRates = o.Rates })
	e.engine.do = func(ctx context.Context) { <-ctx.Done() }
	r := e.send("POST", e.main+mcpPath, e.keys["MCP"], `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_collections"}}`,
		"Content-Type", "application/json", "X-Timeout-Ms", "50")
	r.is(504, "DEADLINE")
}

// The operation log says which tool was called, on which collection, and how it
// went.
func TestToolsAreLogged(t *testing.T) {
	l := &logbook{}
	e := newEdge(t, func(o *Options) { o.AgentRates, o.OperationLog = o.Rates, l })
	key := e.keys["READ_WRITE"]
	for _, c := range []struct{ arguments, code string }{{`{"name":"docs"}`, ""}, {`{"name":"docs","metric":"far"}`, "INVALID_REQUEST"}} {
		e.toolCode(key, "create_collection", c.arguments)
		rows := l.take()
		if len(rows) != 1 {
			t.Fatalf("%d rows", len(rows))
		}
		if o := rows[0]; o.Operation != "create_collection" || o.Type != tenant.LogCreateCollection || o.Surface != "mcp" || o.Code != c.code ||
			o.Failed != (c.code != "") || c.code == "" && o.Collection != "docs" {
			t.Errorf("%s: row %+v", c.arguments, o)
		}
	}
}
