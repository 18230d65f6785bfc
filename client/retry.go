package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	// waitDefault is how long a client waits at most between two attempts.
	waitDefault = 30 * time.Second
	// waitFirst is how long it waits after the first one, where the server does
	// not say; then twice as long, and so on.
	waitFirst = 200 * time.Millisecond
)

type idempotencyKey struct{}

// WithIdempotencyKey returns a context for one change: the server makes it at
// most once in 24 hours, however often it is sent with this key, and refuses
// another change with it. The key is 1 to 255 visible characters.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// repeat calls attempt until it succeeds, as often as is allowed and safe.
func (c *Client) repeat(ctx context.Context, r *request, attempt func() error) error {
	_, keyed := ctx.Value(idempotencyKey{}).(string)
	wait := min(waitFirst, c.waitMax)
	for n := 1; ; n++ {
		err := attempt()
		if err == nil || n >= c.attempts || !r.again && !keyed || ctx.Err() != nil {
			return err
		}
		pause := wait/2 + rand.N(wait/2+1) //nolint:gosec // it only keeps clients apart
		if e, ok := errors.AsType[*Error](err); ok {
			switch {
			case e.Status != http.StatusServiceUnavailable && (e.Status != http.StatusTooManyRequests || e.Code == codeQuota):
				return err
			case e.RetryAfter > c.waitMax:
				return err
			}
			pause = max(pause, e.RetryAfter)
		}
		wait = min(2*wait, c.waitMax)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// codeQuota is the code of a 429 that waiting does not help.
const codeQuota = "QUOTA_EXCEEDED"
