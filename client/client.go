// Package client is the Go client of Waggle's HTTP API: the operator's tenants
// and keys, and a tenant's collections, points and queries.
//
// A Client speaks with one key, to one base URL. It never retries and never
// guesses: every answer that is not a success is an *Error. It imports nothing
// else of Waggle, so a program that uses it pulls in the standard library alone.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// answerBytesMax bounds what is read of one answer.
const answerBytesMax = 1 << 30

// Options say where Waggle is and who asks.
type Options struct {
	URL  string // of the main listener, such as http://127.0.0.1:15002
	Key  string // an access key, or the operator key for tenants and keys; "" sends none
	HTTP *http.Client
}

// Client calls one Waggle. It is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client
}

// New returns a client. Nothing is sent.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("URL %q is not of the form http://HOST:PORT", o.URL)
	}
	c := &Client{base: strings.TrimSuffix(u.String(), "/"), key: o.Key, http: o.HTTP}
	if c.http == nil {
		// Two idle connections a host, net/http's own choice, would make every
		// third of many workers dial anew.
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		c.http = &http.Client{Transport: transport}
	}
	return c, nil
}

// Error is an answer that is not a success.
type Error struct {
	Status    int            // HTTP status
	Code      string         // the native API's word, such as NOT_FOUND; "" from the Qdrant API
	Message   string         // what the server says is wrong
	Details   map[string]any // further facts, depending on Code
	RequestID string         // names the request in the server's log
}

// Error returns the message, and the status.
func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("%s (HTTP %d)", e.Message, e.Status)
	}
	return fmt.Sprintf("%s (%s, HTTP %d)", e.Message, e.Code, e.Status)
}

// StatusOf returns the HTTP status of the *Error in err's chain, or 0.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// call sends in as JSON, or nothing when it is nil, and decodes the answer
// into out, or drops it when out is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	return c.send(ctx, method, path, body, out)
}

func (c *Client) send(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err // has method, URL and cause, and not the key
	}
	defer func() { _ = resp.Body.Close() }() // it has been read: nothing can be lost
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return fmt.Errorf("read answer to %s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return answerError(resp, answer)
	}
	if out == nil {
		return nil
	}
	// Numbers stay as they are: float64 would round ids and integers above 2^53.
	dec := json.NewDecoder(bytes.NewReader(answer))
	dec.UseNumber()
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("decode answer to %s %s: %w", method, path, err)
	}
	return nil
}

// answerError reads the three forms an error has: the native object, Qdrant's
// envelope, and plain text.
func answerError(resp *http.Response, answer []byte) error {
	e := &Error{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id")}
	var native struct {
		Error     string
		Code      string
		Details   map[string]any
		RequestID string `json:"request_id"`
	}
	var qdrant struct {
		Status struct{ Error string }
	}
	switch {
	case json.Unmarshal(answer, &native) == nil && native.Error != "":
		e.Message, e.Code, e.Details = native.Error, native.Code, native.Details
		if native.RequestID != "" {
			e.RequestID = native.RequestID
		}
	case json.Unmarshal(answer, &qdrant) == nil && qdrant.Status.Error != "":
		e.Message = qdrant.Status.Error
	default:
		e.Message = strings.TrimSpace(string(answer[:min(len(answer), 500)]))
	}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	return e
}
