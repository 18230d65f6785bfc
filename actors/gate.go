package actors

import "sync"

// gate lets any number of goroutines wait for an event that repeats.
type gate struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns a channel that the next broadcast closes.
func (g *gate) wait() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = make(chan struct{})
	}
	return g.next
}

// broadcast wakes everyone who waits.
func (g *gate) broadcast() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next != nil {
		close(g.next)
		g.next = nil
	}
}
