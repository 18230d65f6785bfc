package peer

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// bucket lets a number of bytes through per second. The zero value has no limit.
type bucket struct {
	rate int64

	mu struct {
		sync.Mutex
		free time.Time // when everything that was let through is paid for
	}
}

// burst is how long a bucket saves up while nobody takes from it.
const burst = 50 * time.Millisecond

// wait returns when n bytes may go, or with ctx's error.
func (b *bucket) wait(ctx context.Context, n int) error {
	if b.rate <= 0 {
		return ctx.Err()
	}
	b.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-burst); b.mu.free.Before(earliest) {
		b.mu.free = earliest
	}
	due := b.mu.free.Sub(now)
	b.mu.free = b.mu.free.Add(time.Duration(float64(n) / float64(b.rate) * float64(time.Second)))
	b.mu.Unlock()
	return pause(ctx, due)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff gives the pauses between dials: doubling from least to most, each
// shortened by up to a half at random.
type backoff struct {
	least, most, now time.Duration
}

func (b *backoff) reset() { b.now = 0 }

func (b *backoff) next() time.Duration {
	b.now = min(max(2*b.now, b.least), b.most)
	return b.now/2 + rand.N(b.now/2+1)
}

// hush lets one log line per key and minute through. When more keys come than
// it remembers, it forgets them all: lines are then repeated, never lost.
type hush struct {
	mu struct {
		sync.Mutex
		last map[string]time.Time
	}
}

const (
	hushKeysMax = 1024
	hushFor     = time.Minute
)

func (h *hush) may(key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if last, ok := h.mu.last[key]; ok && now.Sub(last) < hushFor {
		return false
	}
	if h.mu.last == nil || len(h.mu.last) >= hushKeysMax {
		h.mu.last = map[string]time.Time{}
	}
	h.mu.last[key] = now
	return true
}
