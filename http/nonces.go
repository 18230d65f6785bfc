package httpedge

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hivehub/waggle/tenant"
)

const (
	// nonceTime is how long a nonce is remembered: a signed request is good from
	// the skew before its timestamp to the skew after it.
	nonceTime = 2 * tenant.SignatureSkew
	// noncesMax is how many are remembered, about 30 MB: 870 signed reads a
	// second, all the time. A nonce is never forgotten early: further reads are
	// refused.
	noncesMax = 1 << 19
)

// nonces are those of the signed requests that this node has answered and that
// changed nothing; the nonce of a change is remembered where the change is
// decided. Everything may be called from anywhere.
type nonces struct {
	mu struct {
		sync.Mutex
		seen  map[nonceKey]struct{}
		queue []usedNonce // in the order of their use; the first are at head
		head  int
	}
}

// nonceKey is the first half of the SHA-256 of service, NUL and nonce.
type nonceKey [16]byte

type usedNonce struct {
	key nonceKey
	at  time.Time
}

func newNonces() *nonces {
	n := &nonces{}
	n.mu.seen = map[nonceKey]struct{}{}
	return n
}

// use reports whether a nonce is new, and remembers it. full says that it could
// not be remembered.
func (n *nonces) use(service, nonce string) (fresh, full bool) {
	sum := sha256.Sum256([]byte(service + "\x00" + nonce))
	key, now := nonceKey(sum[:len(nonceKey{})]), time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forget(now)
	if _, used := n.mu.seen[key]; used {
		return false, false
	}
	if len(n.mu.seen) >= noncesMax {
		return false, true
	}
	n.mu.seen[key] = struct{}{}
	n.mu.queue = append(n.mu.queue, usedNonce{key, now})
	return true, false
}

func (n *nonces) forget(now time.Time) {
	for n.mu.head < len(n.mu.queue) && now.Sub(n.mu.queue[n.mu.head].at) > nonceTime {
		delete(n.mu.seen, n.mu.queue[n.mu.head].key)
		n.mu.head++
	}
	if n.mu.head > len(n.mu.queue)/2 {
		n.mu.queue = append(n.mu.queue[:0], n.mu.queue[n.mu.head:]...)
		n.mu.head = 0
	}
}
