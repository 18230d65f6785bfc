// Package client is the Go client of Waggle's HTTP API: a tenant's collections,
// vectors, texts and searches, and the operator's tenants and keys.
//
// A Client speaks with one key, to one base URL. Every answer that is not a
// success is an *Error. It imports nothing else of Waggle, so a program that uses
// it pulls in the standard library alone.
//
// Client.Collection leads to the operations of the native API on one collection,
// whose ids are strings and which knows texts. The methods of Client that take a
// collection's name and points (Upsert, Query, Scroll, ...) speak Qdrant's API.
// A collection is the same through both.
//
// # Repetition
//
// Nothing is sent twice unless Options.Attempts says so. With it, a request that
// was refused with 429 or 503, or whose connection broke, is sent again if that
// cannot do harm: a search or another read, a change of what has an id to what is
// given (InsertVectors and InsertTexts with ids, updates, deletions), and any
// change under WithIdempotencyKey. Before it the client waits as long as
// Retry-After says.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// answerBytesMax bounds what is read of one answer.
const answerBytesMax = 1 << 30

// errorBytesMax bounds what is read of an answer that is no success.
const errorBytesMax = 1 << 20

// Options say where Waggle is and who asks.
type Options struct {
	URL  string // of the main listener, such as http://127.0.0.1:15002
	Key  string // an access key, or the operator key for tenants and keys; "" sends none
	HTTP *http.Client

	Attempts int           // how often a request is sent at most, where that is safe; 0 and 1: once
	WaitMax  time.Duration // between two attempts; who is told to wait longer gives up. 0: 30 s
}

// Client calls one Waggle. It is safe for concurrent use.
type Client struct {
	base string
	key  string
	http *http.Client

	attempts int
	waitMax  time.Duration
}

// New returns a client. Nothing is sent.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("URL %q is not of the form http://HOST:PORT", o.URL)
	}
	c := &Client{
		base: strings.TrimSuffix(u.String(), "/"), key: o.Key, http: o.HTTP,
		attempts: max(o.Attempts, 1), waitMax: cmp.Or(o.WaitMax, waitDefault),
	}
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

	RetryAfter time.Duration // how long to wait before another attempt; 0: the server does not say
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

// request is one request of the API.
type request struct {
	method, path string
	body         []byte // nil: none
	media        string // of the body; "": JSON
	accept       string // what is wanted; "": JSON
	again        bool   // sending it twice is as good as once
}

// call sends in as JSON, or nothing when it is nil, and decodes the answer
// into out, or drops it when out is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	return c.callAgain(ctx, method == http.MethodGet || method == http.MethodDelete, method, path, in, out)
}

// ask is call for what changes nothing, whatever its method.
func (c *Client) ask(ctx context.Context, path string, in, out any) error {
	return c.callAgain(ctx, true, http.MethodPost, path, in, out)
}

func (c *Client) callAgain(ctx context.Context, again bool, method, path string, in, out any) error {
	r := request{method: method, path: path, again: again}
	if in != nil {
		var err error
		if r.body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	return c.do(ctx, &r, out)
}

// do sends a request, again if need be, and decodes the answer.
func (c *Client) do(ctx context.Context, r *request, out any) error {
	var answer []byte
	err := c.repeat(ctx, r, func() error {
		resp, err := c.send(ctx, r, bytes.NewReader(r.body))
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }() // it has been read: nothing can be lost
		if answer, err = io.ReadAll(io.LimitReader(resp.Body, answerBytesMax)); err != nil {
			return fmt.Errorf("read answer to %s %s: %w", r.method, r.path, err)
		}
		return nil
	})
	if err != nil || out == nil {
		return err
	}
	// Numbers stay as they are: float64 would round ids and integers above 2^53.
	dec := json.NewDecoder(bytes.NewReader(answer))
	dec.UseNumber()
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("decode answer to %s %s: %w", r.method, r.path, err)
	}
	return nil
}

// send sends a request once, with that body, and returns an answer that is a
// success. Its body is the caller's to close.
func (c *Client) send(ctx context.Context, r *request, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if r.body != nil || r.media != "" {
		req.Header.Set("Content-Type", cmp.Or(r.media, "application/json"))
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok && r.method != http.MethodGet {
		req.Header.Set("Idempotency-Key", key)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err // has method, URL and cause, and not the key
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, errorBytesMax))
	if err != nil {
		return nil, fmt.Errorf("read answer to %s %s: %w", r.method, r.path, err)
	}
	return nil, answerError(resp, answer)
}

// answerError reads the three forms an error has: the native object, Qdrant's
// envelope, and plain text.
func answerError(resp *http.Response, answer []byte) error {
	e := &Error{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id")}
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
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
