package membership

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"
)

// pace is a jittered exponential back-off.
type pace struct{ next, most time.Duration }

// fail returns the pause after a failure: half of it is chance.
func (p *pace) fail() time.Duration {
	p.next = min(max(2*p.next, pauseMin), p.most)
	return p.next/2 + rand.N(p.next/2+1)
}

func (p *pace) reset() { p.next = 0 }

// sleep waits for d, or for ctx or wake, and tells whether ctx goes on.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// errWaiting: an earlier registration of this node has not expired yet.
var errWaiting = errors.New("waiting for an earlier registration to expire")

// kind sorts errors for the log, which tells of changes of kind only.
func kind(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrForeign):
		return "foreign"
	case errors.Is(err, ErrClash):
		return "clash"
	case errors.Is(err, errWaiting):
		return "waiting"
	}
	if s := status(err); s != 0 {
		return "status " + strconv.Itoa(s)
	}
	return "unreachable"
}

// news logs what a goroutine's work came to when that changes.
type news struct {
	log     *slog.Logger
	failing string // the message of a failure
	ok      string // of its end
	last    string
}

// tell takes the outcome of one try and returns whether it is of a new kind.
func (n *news) tell(err error) bool {
	k := kind(err)
	if k == n.last {
		return false
	}
	n.last = k
	switch k {
	case "":
		n.log.Info(n.ok)
	case "foreign", "clash":
		n.log.Error(n.failing, "err", err)
	case "waiting":
		n.log.Info(n.failing, "err", err)
	default:
		n.log.Warn(n.failing, "err", err)
	}
	return true
}
