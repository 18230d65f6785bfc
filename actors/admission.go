package actors

import (
	"sync/atomic"

	"github.com/hivehub/waggle/collection"
)

// admission bounds what waits in a replica's unbounded mailbox: it is asked
// before a message is posted and told when the work is done.
type admission struct {
	requests, requestsMax int64
	bytes, bytesMax       int64
}

// enter reserves room for one request of n bytes, or refuses it. A request
// larger than bytesMax is let in when nothing else waits.
func (a *admission) enter(n int) error {
	requests := atomic.AddInt64(&a.requests, 1)
	bytes := atomic.AddInt64(&a.bytes, int64(n))
	if requests <= a.requestsMax && (bytes <= a.bytesMax || requests == 1) {
		return nil
	}
	a.leave(n)
	return &collection.Error{
		Code: collection.Unavailable, Reason: collection.ReasonOverload,
		Message: "too many writes wait for this partition; retry shortly",
	}
}

func (a *admission) leave(n int) {
	atomic.AddInt64(&a.requests, -1)
	atomic.AddInt64(&a.bytes, -int64(n))
}
