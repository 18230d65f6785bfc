package embedding

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// The bounds of an answer.
const (
	answerBytesMax = 64 << 20
	answerExtra    = 16 << 10 // beside the numbers, once and for each item
	numberBytesMax = 32       // of one number in JSON, its comma and white space
)

// post sends body and returns the answer, up to most bytes of it. It asks
// again, later each time, while the endpoint has too much to do or does not
// answer, and stops when ctx would end before that.
func (c *Client) post(ctx context.Context, e *Endpoint, body any, most int) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, e.fault(KindInput, "the texts cannot be sent")
	}
	st := c.states.of(e.sum())
	for attempt := 1; ; attempt++ {
		answer, err := c.attempt(ctx, e, st, data, most)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f, ok := errors.AsType[*Error](err)
		if !ok || !f.again() || attempt == attemptsMax {
			return nil, err
		}
		pause := max(f.RetryAfter, backoff(attempt))
		if end, ok := ctx.Deadline(); ok && c.now().Add(pause).After(end) || pause > backoffMax {
			return nil, err // sooner said than waited for in vain
		}
		if err := c.sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// again reports whether another attempt may end otherwise.
func (e *Error) again() bool {
	return e.Kind == KindRate || e.Kind == KindUnavailable && !errors.Is(e.cause, errOpen)
}

// span begins the span of a request to an endpoint, if the caller is traced.
func span(ctx context.Context) (_ context.Context, end func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, func(error) {}
	}
	ctx, s := parent.TracerProvider().Tracer("waggle").Start(ctx, "embedding call", trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(err error) {
		if err != nil {
			s.SetStatus(codes.Error, "") // its text names the endpoint
		}
		s.End()
	}
}

// backoff is half fixed and half chance, so that those who failed together do
// not come back together.
func backoff(attempt int) time.Duration {
	d := min(backoffFirst<<(attempt-1), backoffMax)
	return d/2 + rand.N(d/2) //nolint:gosec // no secret
}

var errOpen = errors.New("the circuit is open")

// attempt sends one request and tells the circuit how it went.
func (c *Client) attempt(ctx context.Context, e *Endpoint, st *state, data []byte, most int) ([]byte, error) {
	slots := []chan struct{}{st.slots}
	if e.Owner != "" { // the node has few endpoints, which wait for nobody's
		slots = append(slots, c.owners.of(sha256.Sum256([]byte(e.Owner))).slots, c.all)
	}
	for _, slots := range slots {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if wait := st.admit(c.now()); wait > 0 {
		return nil, &Error{Kind: KindUnavailable, Host: e.Host(), RetryAfter: wait, Message: "it has failed too often and is left alone for a while", cause: errOpen}
	}
	o := unsure
	defer func() { st.settle(o, c.now()) }()
	begun := time.Now()
	ctx, end := span(ctx)
	answer, err := c.exchange(ctx, e, data, most)
	end(err)
	if c.observe != nil {
		c.observe(err, time.Since(begun))
	}
	f, failed := errors.AsType[*Error](err)
	switch {
	case err == nil || failed && f.Kind != KindUnavailable:
		o = alive
	case failed && ctx.Err() == nil:
		o = dead
	}
	return answer, err
}

func (c *Client) exchange(ctx context.Context, e *Endpoint, data []byte, most int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(data))
	if err != nil {
		return nil, e.fault(KindSettings, "its address cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "waggle")
	if e.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+string(e.APIKey))
	}
	client := &c.open
	if e.AllowPrivate {
		client = &c.private
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, e.networkFault(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := e.statusFault(res); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, e.networkFault(err)
	case len(body) > most:
		return nil, e.fault(KindAnswer, "its answer is longer than %d bytes", most)
	}
	return body, nil
}

// networkFault says what went wrong in words of ours: the texts of net/http
// hold the whole address.
func (e *Endpoint) networkFault(err error) *Error {
	f := e.fault(KindUnavailable, "it cannot be reached or did not answer to the end")
	var (
		address *AddressError
		cert    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &address):
		f.Kind, f.Message, f.cause = KindSettings, address.Error(), address
	case errors.As(err, &cert):
		f.Kind, f.Message = KindSettings, "its certificate cannot be trusted"
	case errors.Is(err, errRedirect):
		f.Kind, f.Message = KindSettings, errRedirect.Error()
	case errors.Is(err, errRedirects):
		f.Kind, f.Message = KindSettings, errRedirects.Error()
	case errors.Is(err, context.DeadlineExceeded):
		f.Message = "it did not answer in time"
	}
	return f
}

func (e *Endpoint) statusFault(res *http.Response) error {
	var f *Error
	switch status := res.StatusCode; {
	case status == http.StatusOK:
		return nil
	case status == http.StatusTooManyRequests:
		f = e.fault(KindRate, "it takes no more requests for now (429)")
		f.RetryAfter = retryAfter(res.Header.Get("Retry-After"))
	case status >= 500:
		f = e.fault(KindUnavailable, "it failed (%d)", status)
		f.RetryAfter = retryAfter(res.Header.Get("Retry-After"))
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		f = e.fault(KindSettings, "it refuses the key (%d)", status)
	default:
		f = e.fault(KindSettings, "it refuses the request (%d)", status)
	}
	f.Status = res.StatusCode
	return f
}

// retryAfterMax bounds what an endpoint may ask for.
const retryAfterMax = time.Hour

// retryAfter reads seconds or a date; 0 when it is neither.
func retryAfter(text string) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, retryAfterMax)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(min(time.Until(at), retryAfterMax), 0)
	}
	return 0
}
