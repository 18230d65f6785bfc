package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/hivehub/waggle/hubsvc"
)

// Sizes of the hub's answers; a longer one is none.
const (
	answerBytesMax = 64 << 10
	pageBytesMax   = 4 << 20
)

// question is one call of the hub's API.
type question struct {
	method, path string
	body         any  // sent as JSON; nil for none
	once         bool // is not sent again: it could take effect twice
	bytesMax     int64
	decode       func([]byte) error // of an answer 200 to 299
}

// The pause before another try: doubled each time, and drawn from all of it.
const (
	retryPause    = 50 * time.Millisecond
	retryPauseMax = 2 * time.Second
)

const (
	dialTimeout  = 5 * time.Second
	idleTimeout  = 90 * time.Second
	headerMax    = 64 << 10
	connsPerIdle = 8 // connections at once for each that is kept
)

func newTransport(o *Options) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns: o.IdleMax, MaxIdleConnsPerHost: o.IdleMax, MaxConnsPerHost: connsPerIdle * o.IdleMax,
		IdleConnTimeout: idleTimeout, MaxResponseHeaderBytes: headerMax,
		DisableCompression: true, ForceAttemptHTTP2: true,
	}
}

// client asks the hub. It may be used from anywhere.
type client struct {
	options *Options
	http    *http.Client
	link    link
	log     *slog.Logger
}

func newClient(o *Options) *client {
	return &client{options: o, log: o.Logger, http: &http.Client{
		Transport: o.Transport,
		// The service's key goes where the configuration says, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// errAway is in the chain of every error that says nothing but that the hub
// gave no answer.
var errAway = errors.New("the hub gave no answer")

// away makes the error for a caller: the cause stays in the log.
func away(cause error) error {
	return &hubsvc.Error{
		Code: hubsvc.CodeUnavailable, Message: "the hub cannot be asked at the moment; retry shortly",
		Err: fmt.Errorf("%w: %w", errAway, cause),
	}
}

// retryable marks failures of the network and of the server.
type retryable struct{ error }

func (e retryable) Unwrap() error { return e.error }

// garbled marks answers that cannot be read: the hub is there, and only who
// asked this has no answer.
type garbled struct{ error }

func (e garbled) Unwrap() error { return e.error }

// ask asks until there is an answer, Retries are used up or Timeout is over. Its
// errors are *hubsvc.Error, with errAway in the chain unless the hub refused.
func (c *client) ask(ctx context.Context, q question) error {
	if !c.link.allow() {
		return away(errors.New("it has been away for a while"))
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	each := c.options.Timeout / time.Duration(c.options.Retries+1)
	for try := 0; ; try++ {
		err := c.try(ctx, q, each)
		if err == nil {
			return nil
		}
		if !errors.As(err, new(retryable)) || q.once || try == c.options.Retries || !c.link.allow() || !sleep(ctx, backOff(try)) {
			return err
		}
	}
}

// backOff is the pause after a try, from nothing to twice the one before.
func backOff(try int) time.Duration {
	return rand.N(min(retryPause<<min(try, 10), retryPauseMax)) + time.Millisecond
}

// sleep returns false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try asks once, whatever the link says, and lets the link know.
func (c *client) try(ctx context.Context, q question, limit time.Duration) error {
	bound, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	status, body, err := c.exchange(bound, q)
	if err == nil && status >= http.StatusInternalServerError {
		err = fmt.Errorf("%s %s: status %d", q.method, q.path, status)
	}
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) { // not because nobody waits any more
			c.lost(err)
		}
		return away(retryable{err})
	}
	if status >= 300 {
		return c.refused(q, status, body)
	}
	if err := q.decode(body); err != nil {
		return c.unread(fmt.Errorf("%s %s: %w", q.method, q.path, err))
	}
	c.found("")
	return nil
}

func (c *client) lost(err error) {
	if c.link.failedTry(err.Error()) {
		c.log.Warn("the hub is away", "hub", c.options.URL, "error", err)
	}
}

// unread makes the error of an answer that cannot be read.
func (c *client) unread(err error) error {
	if c.link.unreadTry() {
		c.log.Warn("an answer of the hub cannot be read", "hub", c.options.URL, "error", err)
	}
	return away(garbled{err})
}

func (c *client) found(refused string) {
	if c.link.answered(refused) {
		c.log.Info("the hub answers", "hub", c.options.URL)
	}
}

// refused makes the error of an answer that is none of 200 to 299.
func (c *client) refused(q question, status int, body []byte) error {
	cause := fmt.Errorf("%s %s: status %d", q.method, q.path, status)
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		text := fmt.Sprintf("the hub refuses this node's service key (status %d)", status)
		c.found(text)
		return away(errors.New(text))
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed,
		http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
	case http.StatusTooManyRequests: // a limit of what is asked for is an answer, a rate is none
		if code, _, err := decodeRefusal(status, body); err != nil || code != hubsvc.CodeQuotaExceeded {
			c.found("")
			return away(cause)
		}
	default: // also redirects
		c.found("")
		return away(cause)
	}
	code, message, err := decodeRefusal(status, body)
	if err != nil {
		return c.unread(fmt.Errorf("%w: %w", cause, err))
	}
	c.found("")
	return &hubsvc.Error{Code: code, Message: message, Err: cause}
}

// exchange sends a question and returns the whole answer.
func (c *client) exchange(ctx context.Context, q question) (int, []byte, error) {
	var content io.Reader
	if q.body != nil {
		b, err := json.Marshal(q.body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, c.options.URL+q.path, content)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.options.ServiceKey)
	req.Header.Set("X-Service-Name", c.options.ServiceName)
	req.Header.Set("Accept", "application/json")
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	most := q.bytesMax
	if most == 0 {
		most = answerBytesMax
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("%s %s: read the answer: %w", q.method, q.path, err)
	case int64(len(body)) > most:
		return 0, nil, fmt.Errorf("%s %s: the answer is longer than %d bytes", q.method, q.path, most)
	}
	return resp.StatusCode, body, nil
}
