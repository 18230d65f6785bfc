package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// talk runs the bridge against a server with these lines as its input, and
// returns what it writes by the ids of the messages.
func talk(t *testing.T, h http.HandlerFunc, lines ...string) map[string]string {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	out := run(t, strings.NewReader(strings.Join(lines, "\n")+"\n"), "mcp", "--url", server.URL, "--key", "hh_live_key")
	answers := map[string]string{}
	for line := range strings.Lines(out) {
		var m struct{ ID json.RawMessage }
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		answers[string(m.ID)] = strings.TrimSpace(line)
	}
	return answers
}

func run(t *testing.T, in io.Reader, args ...string) string {
	t.Helper()
	var out strings.Builder
	root := NewRoot(newGroup("serve", ""))
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(&out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Every message gets its answer, each a line; the version that was agreed upon
// goes with what follows.
func TestBridge(t *testing.T) {
	var mu sync.Mutex
	versions := map[string]string{}
	answers := talk(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer hh_live_key" || req.URL.Path != "/mcp" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v", req.URL, req.Header)
		}
		var m rpcMessage
		if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		versions[m.Method] = req.Header.Get("Mcp-Protocol-Version")
		mu.Unlock()
		if m.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		fmt.Fprintf(w, "{\"jsonrpc\":\"2.0\",\n \"id\":%s,\"result\":{\"protocolVersion\":\"2025-06-18\",\"method\":%q}}\n", m.ID, m.Method)
	},
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`, ``,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":"a","method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call"}`, `nonsense`)
	if len(answers) != 4 || !strings.Contains(answers[`"a"`], "tools/list") || !strings.Contains(answers["2"], "tools/call") || !strings.Contains(answers["null"], "-32700") {
		t.Errorf("answers %v", answers)
	}
	if versions["initialize"] != "" || versions["tools/list"] != "2025-06-18" || versions["notifications/initialized"] != "2025-06-18" {
		t.Errorf("versions %v", versions)
	}
}

// Whatever stands at the address, who waits is told.
func TestBridgeFailures(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call"}`
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{401, `{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"wrong key","data":{"code":"AUTH_INVALID_KEY"}}}`, `"code":-32001`},
		{404, "<html>", "is there a Waggle?"},
		{500, "{}", "HTTP 500"},
		{200, "<html>", "no JSON"},
	} {
		answers := talk(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}, call, `{"jsonrpc":"2.0","method":"notifications/progress"}`)
		if len(answers) != 1 || !strings.Contains(answers["7"], c.want) {
			t.Errorf("%d %s: %v", c.status, c.body, answers)
		}
	}
}

// A message that the agent takes back is given up.
func TestBridgeCancel(t *testing.T) {
	begun, gone := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if !strings.Contains(string(body), "tools/call") {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		close(begun)
		<-req.Context().Done()
		close(gone)
	}))
	defer server.Close()
	in, agent := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		w := bufio.NewWriter(agent)
		say := func(line string) {
			fmt.Fprintln(w, line)
			_ = w.Flush()
		}
		say(`{"jsonrpc":"2.0","id":7,"method":"tools/call"}`)
		<-begun
		say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
		<-gone
		_ = agent.Close()
	})
	if out := run(t, in, "mcp", "--url", server.URL, "--key", "hh_live_key"); out != "" {
		t.Errorf("wrote %q", out)
	}
	wg.Wait()
}
