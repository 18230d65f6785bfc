package remote

import (
	"sync"
	"time"
)

// failuresMax is how many tries in a row may fail until the hub counts as away:
// from then on nobody waits for it, until the one who follows its events has
// reached it again.
const failuresMax = 5

// unreadEvery is between two lines of the log about answers that cannot be read.
const unreadEvery = time.Minute

// link is the circuit breaker before the hub, and what is known of the way to it.
type link struct {
	mu       sync.Mutex
	failures int
	open     bool      // nobody but the probe asks
	since    time.Time // of the last change between reached and away
	reached  time.Time // last answer of the hub, of whatever kind; zero: never
	reason   string    // of the last failure; "" after an answer
	refused  string    // the hub does not take this node for a service
	calls    uint64    // tries
	failed   uint64
	said     time.Time // when the log last had an answer that cannot be read
}

// State is what is known of the way to the hub.
type State struct {
	Connected bool      // the last try was answered
	Open      bool      // requests do not wait for the hub at the moment
	Reached   time.Time // last answer; zero: never
	Since     time.Time // when it was last reached or lost
	Reason    string    // why not connected, or why not taken for a service
	Event     uint64    // version of the last event
	Keys      int       // known to be good
	Tenants   int       // whose limits are known
	Calls     uint64    // tries to ask the hub, since the start
	Failed    uint64    // of them
}

// allow reports whether the hub may be asked.
func (l *link) allow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.open
}

// answered notes that the hub is there, so that everybody may ask, and reports
// whether it was away.
func (l *link) answered(refused string) (back bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	now := time.Now()
	back = l.reached.IsZero() || l.reason != ""
	if back {
		l.since = now
	}
	l.reached, l.reason, l.failures, l.refused, l.open = now, "", 0, refused, false
	return back
}

// failedTry notes a try without an answer, and
// reports whether the hub counts as away from now on.
func (l *link) failedTry(reason string) (away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.failed++
	if l.reason == "" {
		l.since = time.Now()
	}
	l.reason = reason
	if l.failures++; l.failures < failuresMax || l.open {
		return false
	}
	l.open = true
	return true
}

// unreadTry notes a try with an answer that cannot be read, which says nothing
// about the way to the hub, and reports whether it is time to say so.
func (l *link) unreadTry() (say bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.failed++
	now := time.Now()
	if say = now.Sub(l.said) >= unreadEvery; say {
		l.said = now
	}
	return say
}

// close lets everybody ask again.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.failures = false, 0
}

func (l *link) state() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := State{
		Connected: !l.reached.IsZero() && l.reason == "", Open: l.open, Reached: l.reached, Since: l.since,
		Reason: l.reason, Calls: l.calls, Failed: l.failed,
	}
	switch {
	case s.Reason == "" && l.refused != "":
		s.Reason = l.refused
	case s.Reason == "" && l.reached.IsZero():
		s.Reason = "it has not been asked yet"
	}
	return s
}
