package httpedge

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// guessersMax is how many sources of wrong keys are known at once. When there
// are more, the one whose time ends first is forgotten: it may guess a few keys
// more, and no other pays for it.
const guessersMax = 100_000

// guesses knows where wrong keys come from. A source that has sent limit of
// them within window is blocked for as long as block. Only wrong keys are told
// to it, so a key that validates is never refused, wherever it comes from; and
// nothing is counted by key, or a stranger could lock its owner out.
//
// A source is an IPv4 address or the /64 of an IPv6 address: whoever has one
// address there has them all. Everything may be called from anywhere.
type guesses struct {
	limit         int
	window, block time.Duration
	any           atomic.Int64 // how many are blocked; some of them perhaps no more

	mu struct {
		sync.Mutex
		known   map[netip.Addr]*guesser
		trying  guesserList // by the time of their last failure
		blocked guesserList // by the beginning of their block
	}
}

// guesser is one source. It is in one of the two lists, each of which is in the
// order of ends.
type guesser struct {
	source     netip.Addr
	failures   []time.Time // the last ones, at most limit-1; none when blocked
	ends       time.Time   // when it can be forgotten: the block is over, or no failure counts any more
	in         *guesserList
	prev, next *guesser
}

func newGuesses(l *Limits) *guesses {
	g := &guesses{limit: l.AuthFailures, window: l.AuthWindow, block: l.AuthBlock}
	g.mu.known = map[netip.Addr]*guesser{}
	return g
}

// failed notes that a wrong key came from an address. It returns for how long
// the address is refused from before this key, or 0.
func (g *guesses) failed(from netip.Addr) time.Duration {
	source, now := sourceOf(from), time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(now)
	s := g.mu.known[source]
	if s == nil {
		s = g.remember(source)
	}
	if s.in == &g.mu.blocked {
		return s.ends.Sub(now)
	}
	for len(s.failures) > 0 && now.Sub(s.failures[0]) >= g.window {
		s.failures = s.failures[1:]
	}
	if len(s.failures)+1 >= g.limit {
		s.failures = nil
		g.mu.blocked.push(s, now.Add(g.block))
		g.any.Add(1)
		return 0
	}
	s.failures = append(s.failures, now)
	g.mu.trying.push(s, now.Add(g.window))
	return 0
}

// blocks reports whether an address is refused from. While none is, it costs
// next to nothing.
func (g *guesses) blocks(from netip.Addr) bool {
	if g.any.Load() == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(time.Now())
	s := g.mu.known[sourceOf(from)]
	return s != nil && s.in == &g.mu.blocked
}

// forget lets go of every source whose time is over.
func (g *guesses) forget(now time.Time) {
	for _, l := range []*guesserList{&g.mu.trying, &g.mu.blocked} {
		for l.first != nil && !now.Before(l.first.ends) {
			g.drop(l.first)
		}
	}
}

// remember makes a new source known, in the place of another one if need be.
func (g *guesses) remember(source netip.Addr) *guesser {
	if len(g.mu.known) >= guessersMax {
		oldest := g.mu.trying.first
		if b := g.mu.blocked.first; oldest == nil || b != nil && b.ends.Before(oldest.ends) {
			oldest = b
		}
		g.drop(oldest)
	}
	s := &guesser{source: source}
	g.mu.known[source] = s
	return s
}

func (g *guesses) drop(s *guesser) {
	if s.in == &g.mu.blocked {
		g.any.Add(-1)
	}
	s.in.remove(s)
	delete(g.mu.known, s.source)
}

// guesserList is a list of guessers that ends where the latest was pushed.
type guesserList struct{ first, last *guesser }

// push makes s the last of l, wherever it was before.
func (l *guesserList) push(s *guesser, ends time.Time) {
	if s.in != nil {
		s.in.remove(s)
	}
	s.in, s.ends, s.prev, s.next = l, ends, l.last, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

func (l *guesserList) remove(s *guesser) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.in, s.prev, s.next = nil, nil, nil
}

// sourceOf is the part of an address that one party holds.
func sourceOf(a netip.Addr) netip.Addr {
	a = plainAddress(a)
	if !a.Is6() {
		return a
	}
	prefix, err := a.Prefix(64)
	if err != nil {
		panic("BUG: an IPv6 address without a /64: " + a.String())
	}
	return prefix.Addr()
}

// plainAddress is a without a zone, and as IPv4 if it is one.
func plainAddress(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
