package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// answer is a response as a client sees it.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call is one request.
type call struct {
	key     string // "" for none
	method  string
	url     string
	header  map[string]string
	body    any           // nil, a string or something for JSON
	timeout time.Duration // 0 = 10 s
}

var transport = &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}

func (c call) do() (answer, error) {
	var r io.Reader
	switch b := c.body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		r = bytes.NewReader(j)
	}
	if c.timeout == 0 {
		c.timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, r)
	if err != nil {
		return answer{}, err
	}
	// The transport must not send a request twice on its own.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	if c.key != "" {
		req.Header.Set("api-key", c.key)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// into is do for requests that have to succeed; it decodes "result", or
// without an envelope the whole body.
func (c call) into(v any) error {
	a, err := c.do()
	if err != nil {
		return fmt.Errorf("%s %s: %w", c.method, c.url, err)
	}
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		return fmt.Errorf("%s %s: %d %s", c.method, c.url, a.status, a.body)
	}
	var envelope struct{ Result json.RawMessage }
	raw := a.body
	if err := json.Unmarshal(a.body, &envelope); err != nil {
		return fmt.Errorf("%s %s: %w in %s", c.method, c.url, err, a.body)
	}
	if envelope.Result != nil {
		raw = envelope.Result
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s %s: %w in %s", c.method, c.url, err, a.body)
	}
	return nil
}
