package actors

import "sync"

// Gate lets any number of goroutines wait for an event that repeats. The zero
// Gate is ready for use.
type Gate struct {
	mu   sync.Mutex
	next chan struct{}
}

// Wait returns a channel that the next broadcast closes.
func (g *Gate) Wait() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = make(chan struct{})
	}
	return g.next
}

// Broadcast wakes everyone who waits.
func (g *Gate) Broadcast() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next != nil {
		close(g.next)
		g.next = nil
	}
}
