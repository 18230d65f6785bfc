package httpedge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// The Model Context Protocol at /mcp: operations of the native API as tools for
// agents. It is stateless: every request is whole in itself, carries its key,
// and is answered with JSON, so that any node answers any of them and there is
// no session to be used under another key.

// mcpVersionHeader tells the protocol's version of all requests but the first.
const mcpVersionHeader = "Mcp-Protocol-Version"

// agents is what the edge keeps for MCP: a server of tools for each set of them
// that a key may use, and who is calling.
type agents struct {
	s       *Server
	rates   Rates
	handler *mcp.StreamableHTTPHandler
	tools   []tool // of all servers, ordered as mcpTools

	mu struct {
		sync.Mutex
		servers map[uint64]*mcp.Server // by the tools that they have, a bit each
		calling map[tenant.ID]int
	}
}

func newAgents(s *Server, rates Rates) *agents {
	a := &agents{s: s, rates: rates, tools: s.makeTools()}
	a.mu.servers, a.mu.calling = map[uint64]*mcp.Server{}, map[tenant.ID]int{}
	a.handler = mcp.NewStreamableHTTPHandler(func(req *http.Request) *mcp.Server {
		return a.server(&exchangeOf(req.Context()).tc)
	}, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true, MaxRequestBodyBytes: -1, Logger: slog.New(slog.DiscardHandler)})
	return a
}

func (s *Server) mcpRoutes() []route {
	return []route{{method: "POST", path: mcpPath, surface: surfaceMCP, op: tenant.OpRead, handle: s.mcp, logs: tenant.LogUnknown}}
}

// exchange is one HTTP request of an agent. The library answers its messages on
// goroutines of its own, and the request is one goroutine's: mu is held for as
// long as a tool uses it.
type exchange struct {
	r  *request
	tc tenant.Context

	mu    sync.Mutex
	ended bool // the request is not ours any more
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		panic("BUG: a tool was called past /mcp")
	}
	return x
}

func (x *exchange) end() {
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
}

// mcp answers the messages of an agent.
func (s *Server) mcp(r *request, tc tenant.Context) error {
	if err := r.checkMCP(); err != nil {
		return err
	}
	leave, err := s.agents.enter(tc.TenantID)
	if err != nil {
		return err
	}
	defer leave()
	x := &exchange{r: r, tc: tc}
	defer x.end()
	m, err := oneMessage(r.body)
	if err != nil {
		return err
	}
	if m.Method == "tools/call" && s.agents.forbids(&tc, m.Params.Name) {
		r.failedWith(faultOf(errForbidden).word)
		return r.sendRPCError(200, m.ID, rpcError(errForbidden, faultOf(errForbidden), r.id))
	}
	ctx := context.WithValue(r.ctx, exchangeKey{}, x)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, mcpPath, bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if v := r.header(mcpVersionHeader); v != "" {
		req.Header.Set(mcpVersionHeader, v)
	}
	w := &recording{header: http.Header{}}
	s.agents.handler.ServeHTTP(w, req)
	if err := r.ctx.Err(); err != nil {
		return err
	}
	return w.answer(r, m)
}

// agentMessage is what the edge has to know of one before the library reads it.
type agentMessage struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name string `json:"name"`
	} `json:"params"`
}

// oneMessage reads a body. The protocol has no lists of messages any more: in
// one, a request would be as much work as it is long.
func oneMessage(body []byte) (agentMessage, error) {
	var m agentMessage
	body = bytes.TrimSpace(body)
	switch err := json.Unmarshal(body, &m); {
	case len(body) > 0 && body[0] == '[':
		return agentMessage{}, collection.Errorf(collection.InvalidArgument, "a request holds one message, not a list of them")
	case err != nil && !json.Valid(body):
		return agentMessage{}, errFormat("the body is no JSON")
	case err != nil:
		return agentMessage{}, collection.Errorf(collection.InvalidArgument, "the body is no message of the protocol")
	}
	return m, nil
}

// forbids reports whether there is a tool of this name that the key may not use.
func (a *agents) forbids(tc *tenant.Context, name string) bool {
	for i := range a.tools {
		if a.tools[i].shown.Name == name {
			return !tc.May(a.tools[i].does.op)
		}
	}
	return false
}

// checkMCP refuses what is no request of the protocol, and pages of origins that
// are not listed, also where a key is given: an agent is no page.
func (r *request) checkMCP() error {
	h := &r.http.Request.Header
	for _, origin := range h.PeekAll("Origin") {
		if !r.s.lists(origin) {
			return errOrigin
		}
	}
	if kind, _, _ := strings.Cut(r.header("Content-Type"), ";"); kind != "" && !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return &collection.Error{Code: collection.InvalidArgument, Reason: reasonMediaType, Message: "messages are sent as Content-Type: application/json"}
	}
	if accept := r.header("Accept"); accept != "" && !strings.Contains(accept, "application/json") && !strings.Contains(accept, "*/*") {
		return &collection.Error{Code: collection.InvalidArgument, Reason: reasonNotAcceptable, Message: "messages are answered as application/json: say so in Accept"}
	}
	return nil
}

// enter counts a request of a tenant's agents and refuses it when there are too
// many at once.
func (a *agents) enter(id tenant.ID) (leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if most := a.s.limits.MCPConcurrent; a.mu.calling[id] >= most {
		return nil, &collection.Error{
			Code: collection.ResourceExhausted, Reason: collection.ReasonRate,
			Message: fmt.Sprintf("%d requests of agents are under way, which is as many as there may be at once", most),
			Details: map[string]any{"retry_after_s": 1},
		}
	}
	a.mu.calling[id]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.mu.calling[id]--; a.mu.calling[id] == 0 {
			delete(a.mu.calling, id)
		}
	}, nil
}

// server has the tools that a key may use.
func (a *agents) server(tc *tenant.Context) *mcp.Server {
	var set uint64
	for i := range a.tools {
		if tc.May(a.tools[i].does.op) {
			set |= 1 << i
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if made := a.mu.servers[set]; made != nil {
		return made
	}
	made := mcp.NewServer(&mcp.Implementation{Name: "waggle", Title: "Waggle vector search", Version: a.s.version}, &mcp.ServerOptions{
		Instructions: "Collections of texts and vectors of one tenant. Make one with create_collection, fill it with insert_text, find with search.",
		Logger:       slog.New(slog.DiscardHandler),
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}},
		PageSize:     mcpToolsMax,
	})
	for i := range a.tools {
		if set&(1<<i) != 0 {
			t := &a.tools[i]
			made.AddTool(&t.shown, a.handle(t))
		}
	}
	a.mu.servers[set] = made
	return made
}

// handle calls a tool for whoever sent the request.
func (a *agents) handle(t *tool) mcp.ToolHandler {
	return func(ctx context.Context, call *mcp.CallToolRequest) (result *mcp.CallToolResult, err error) {
		x := exchangeOf(ctx)
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.ended {
			return nil, context.Canceled
		}
		defer func() {
			if p := recover(); p != nil {
				a.s.log.LogAttrs(ctx, slog.LevelError, "panic in a tool", slog.String("request_id", x.r.id), slog.String("tool", t.shown.Name),
					slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
				result, err = x.r.toolError(collection.Errorf(collection.Internal, "panic"))
			}
		}()
		answer, err := a.call(x, t, call.Params.Arguments)
		a.s.meter.called(t.shown.Name, err)
		if err != nil {
			return x.r.toolError(err)
		}
		return &mcp.CallToolResult{
			Content:           []mcp.Content{&mcp.TextContent{Text: string(answer)}},
			StructuredContent: json.RawMessage(answer),
		}, nil
	}
}

func (a *agents) call(x *exchange, t *tool, arguments json.RawMessage) ([]byte, error) {
	if err := a.take(x); err != nil {
		return nil, err
	}
	given, err := t.arguments(arguments)
	if err != nil {
		return nil, err
	}
	return t.does.call(x.r, x.tc, given)
}

// take counts a call against the rates of agents, which are a tenant's.
func (a *agents) take(x *exchange) error {
	l := &a.s.limits
	since := a.s.started
	if c := a.s.cluster; c != nil {
		since = c.LedSince(x.tc.TenantID)
	}
	answer := a.rates.Take(tenant.RateCaller{
		Tenant: x.tc.TenantID,
		Rates:  &tenant.Rates{PerMinute: int64(l.MCPPerMinute), PerHour: int64(l.MCPPerHour), PerDay: tenant.Unlimited},
	}, since.Sub(a.s.started), time.Since(a.s.started))
	if !answer.Refused {
		return nil
	}
	return &collection.Error{
		Code: collection.ResourceExhausted, Reason: collection.ReasonRate,
		Message: fmt.Sprintf("agents of this tenant may call tools %d times per %s", answer.Left.Limit, answer.Window),
		Details: map[string]any{"retry_after_s": int((answer.Wait + time.Second - 1) / time.Second)},
	}
}

// recording is the answer of the library as it writes it.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recording) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recording) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recording) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// answer gives r the library's answer. What it says in plain text of a request
// that it could not read becomes an error of the protocol.
func (w *recording) answer(r *request, m agentMessage) error {
	switch kind := w.header.Get("Content-Type"); {
	case w.body.Len() == 0 && w.status < 300:
		r.http.Response.SetStatusCode(fasthttp.StatusAccepted)
		return nil
	case strings.HasPrefix(kind, "application/json"):
		r.send(max(w.status, 200), w.body.Bytes())
		return nil
	}
	if w.status >= 500 {
		return collection.Errorf(collection.Internal, "the protocol's library answered %d", w.status)
	}
	e := collection.Errorf(collection.InvalidArgument, "%s", strings.TrimSpace(w.body.String()))
	answer := rpcError(e, faultOf(e), r.id)
	if strings.Contains(e.Message, "not handled") {
		answer.Code = jsonrpc.CodeMethodNotFound
	}
	r.failedWith(faultOf(e).word)
	return r.sendRPCError(w.status, m.ID, answer)
}

// toolError is the error of a call: one of the protocol's codes for what an
// agent cannot mend by other arguments, else a result that tells it what is
// wrong.
func (r *request) toolError(err error) (*mcp.CallToolResult, error) {
	e := asError(err)
	f := faultOf(e)
	r.logFault(e, err, f)
	r.failedWith(f.word)
	r.s.meter.failed(e, f.word)
	if f.mcp != 0 {
		return nil, rpcError(e, f, r.id)
	}
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: f.word + ": " + e.Message}}}, nil
}

func rpcError(e *collection.Error, f fault, id string) *jsonrpc.Error {
	message := e.Message
	if f.hide {
		message = "internal error"
	}
	data := append(append([]byte(`{"code":"`), f.word...), `","details":`...)
	data = append(append(data, details(e, f)...), `,"request_id":`...)
	code := f.mcp
	if code == 0 { // it is about the message, not the call
		code = jsonrpc.CodeInvalidRequest
	}
	return &jsonrpc.Error{Code: code, Message: message, Data: append(appendString(data, id), '}')}
}

// failMCP answers a request of which no message was answered.
func (r *request) failMCP(e *collection.Error, f fault) {
	answer := rpcError(e, f, r.id)
	if e.Reason == reasonFormat {
		answer.Code = jsonrpc.CodeParseError
	}
	if err := r.sendRPCError(f.native, nil, answer); err != nil {
		panic("BUG: an error that is no JSON: " + err.Error())
	}
}

// sendRPCError answers the message of an id, or none in particular.
func (r *request) sendRPCError(status int, id json.RawMessage, e *jsonrpc.Error) error {
	body, err := json.Marshal(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Error   *jsonrpc.Error  `json:"error"`
	}{"2.0", id, e})
	if err != nil {
		return err
	}
	r.send(status, body)
	return nil
}
