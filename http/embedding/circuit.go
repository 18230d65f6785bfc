package embedding

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// When an endpoint is left alone.
const (
	failuresMax  = 5               // in a row open the circuit
	openFor      = 5 * time.Second // at first; doubled while the probe fails
	openForMax   = time.Minute     // at most
	endpointsMax = 10_000          // whose state is kept; the one unused for longest goes
	slotsEach    = 8               // requests at once to one endpoint, and to all that a tenant sets one after the other
	slotsAll     = 64              // to those of all tenants
)

// state is what a Client knows of one endpoint: how many requests are out, and
// whether it is alive. After failuresMax failures in a row it is left alone
// for a while, then one request at a time probes it.
type state struct {
	key   [sha256.Size]byte
	slots chan struct{}

	mu struct {
		sync.Mutex
		failures int
		pause    time.Duration
		until    time.Time // open before
		probing  bool
	}
}

// admit returns how long the endpoint is still left alone, 0 when it may be
// asked. Whoever was admitted must call settle.
func (s *state) admit(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failures < failuresMax {
		return 0
	}
	if wait := s.mu.until.Sub(now); wait > 0 {
		return wait
	}
	if s.mu.probing {
		return time.Second
	}
	s.mu.probing = true
	return 0
}

// outcome of one attempt, for the circuit.
type outcome uint8

const (
	alive  outcome = iota // it answered, whatever it answered
	dead                  // no answer, or one of 500 and above
	unsure                // the caller went away
)

func (s *state) settle(o outcome, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.probing = false
	switch o {
	case alive:
		s.mu.failures, s.mu.pause = 0, 0
	case dead:
		s.mu.failures++
		if s.mu.failures >= failuresMax {
			s.mu.pause = min(max(2*s.mu.pause, openFor), openForMax)
			s.mu.until = now.Add(s.mu.pause)
		}
	}
}

// states are the states of endpoints, the least recently used first to go.
type states struct {
	mu struct {
		sync.Mutex
		byKey map[[sha256.Size]byte]*list.Element
		order *list.List // of *state, the newest first
	}
}

func newStates() *states {
	s := &states{}
	s.mu.byKey, s.mu.order = map[[sha256.Size]byte]*list.Element{}, list.New()
	return s
}

func (s *states) of(key [sha256.Size]byte) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if el, ok := s.mu.byKey[key]; ok {
		s.mu.order.MoveToFront(el)
		return el.Value.(*state)
	}
	st := &state{key: key, slots: make(chan struct{}, slotsEach)}
	s.mu.byKey[key] = s.mu.order.PushFront(st)
	if s.mu.order.Len() > endpointsMax {
		last := s.mu.order.Back()
		delete(s.mu.byKey, s.mu.order.Remove(last).(*state).key)
	}
	return st
}
