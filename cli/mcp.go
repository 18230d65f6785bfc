package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// The bridge lets agents that start their tools as programs talk to a Waggle:
// messages come on standard input, a line each, and go to /mcp with a key.

const (
	// messageMax is the longest message, and the longest answer.
	messageMax = 32 << 20
	// messagesAtOnce is how many messages are under way at a time.
	messagesAtOnce = 8

	rpcServerError = -32000
)

func newMCP() *cobra.Command {
	var url string
	key := &accessKey{}
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Let an agent on this machine use a Waggle: MCP on standard input and output",
		Long: `Passes messages of the Model Context Protocol from standard input to a Waggle's
/mcp, and answers to standard output. Agents that start their tools as programs
run it. Take a key that may no more than the agent needs; the environment or a
file keeps it out of the list of processes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given, err := key.mustBeGiven()
			if err != nil {
				return err
			}
			b := bridge{
				url: strings.TrimSuffix(firstOf(url, os.Getenv("WAGGLE_URL"), defaultURL), "/") + "/mcp", key: given,
				out: cmd.OutOrStdout(), calls: map[string]context.CancelFunc{}, slots: make(chan struct{}, messagesAtOnce),
			}
			return b.run(cmd.Context(), cmd.InOrStdin())
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "Waggle's address (default $WAGGLE_URL, or "+defaultURL+")")
	key.bind(cmd.Flags())
	return cmd
}

// bridge is one agent's conversation.
type bridge struct {
	url, key string
	slots    chan struct{}

	mu      sync.Mutex // of all below
	out     io.Writer
	version string                        // of the protocol, once it is agreed upon
	calls   map[string]context.CancelFunc // by the ids of their messages
}

// rpcMessage is what the bridge has to know of a message.
type rpcMessage struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		RequestID json.RawMessage `json:"requestId"`
	} `json:"params"`
}

// run passes messages on until the input ends.
func (b *bridge) run(ctx context.Context, in io.Reader) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), messageMax)
	for lines.Scan() {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		text = bytes.Clone(text)
		var m rpcMessage
		if err := json.Unmarshal(text, &m); err != nil && text[0] != '[' {
			if err := b.write(rpcFailure(nil, -32700, "this is no JSON")); err != nil {
				return err
			}
			continue
		}
		if m.Method == "notifications/cancelled" {
			b.cancel(string(m.Params.RequestID))
		}
		if m.Method == "initialize" { // what comes after depends on its answer
			if err := b.pass(ctx, &m, text); err != nil {
				return err
			}
			continue
		}
		b.slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-b.slots }()
			// An agent that does not read any more closes the input, too.
			_ = b.pass(ctx, &m, text)
		})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	return nil
}

// pass sends one message and writes its answer, or why there is none.
func (b *bridge) pass(ctx context.Context, m *rpcMessage, message []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if id := string(m.ID); id != "" {
		b.mu.Lock()
		b.calls[id] = cancel
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			delete(b.calls, id)
			b.mu.Unlock()
		}()
	}
	answer, err := b.post(ctx, m, message)
	switch {
	case ctx.Err() != nil: // the agent has said that it does not want it
		return nil
	case err != nil && len(m.ID) > 0:
		return b.write(rpcFailure(m.ID, rpcServerError, err.Error()))
	case err != nil:
		return nil // nobody waits for an answer to a notification
	case len(answer) == 0:
		return nil
	}
	return b.write(answer)
}

func (b *bridge) cancel(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if stop := b.calls[id]; stop != nil {
		stop()
	}
}

func (b *bridge) post(ctx context.Context, m *rpcMessage, message []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+b.key)
	b.mu.Lock()
	if b.version != "" && m.Method != "initialize" {
		req.Header.Set("Mcp-Protocol-Version", b.version)
	}
	b.mu.Unlock()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err // has method, URL and cause, and not the key
	}
	defer func() { _ = resp.Body.Close() }() // it has been read: nothing can be lost
	answer, err := io.ReadAll(io.LimitReader(resp.Body, messageMax+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", b.url, err)
	}
	if len(answer) > messageMax {
		return nil, fmt.Errorf("the answer of %s is longer than %d bytes", b.url, messageMax)
	}
	return b.answer(resp, m, answer)
}

// answer makes the answer to a message of what HTTP brought: one line, and of a
// refusal the error with the message's id, which whoever refused did not read.
func (b *bridge) answer(resp *http.Response, m *rpcMessage, body []byte) ([]byte, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 && resp.StatusCode/100 == 2 {
		return nil, nil
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return nil, fmt.Errorf("%s answers HTTP %d and no JSON: is there a Waggle?", b.url, resp.StatusCode)
	}
	if resp.StatusCode/100 != 2 {
		var refusal struct {
			Error struct {
				Code    int64           `json:"code"`
				Message string          `json:"message"`
				Data    json.RawMessage `json:"data,omitempty"`
			} `json:"error"`
		}
		if json.Unmarshal(body, &refusal) != nil || refusal.Error.Message == "" {
			return nil, fmt.Errorf("%s answers HTTP %d", b.url, resp.StatusCode)
		}
		if len(m.ID) == 0 {
			return nil, nil
		}
		return json.Marshal(map[string]any{"jsonrpc": "2.0", "id": m.ID, "error": refusal.Error})
	}
	if m.Method == "initialize" {
		var agreed struct {
			Result struct {
				ProtocolVersion string `json:"protocolVersion"`
			} `json:"result"`
		}
		if json.Unmarshal(body, &agreed) == nil {
			b.mu.Lock()
			b.version = agreed.Result.ProtocolVersion
			b.mu.Unlock()
		}
	}
	return line.Bytes(), nil
}

func (b *bridge) write(message []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.out.Write(append(message, '\n'))
	return err
}

func rpcFailure(id json.RawMessage, code int, message string) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": map[string]any{"code": code, "message": message}})
	if err != nil {
		panic("BUG: a failure that is no JSON: " + err.Error())
	}
	return b
}
