package httpedge

import (
	"context"
	"net"
	"sync"

	"github.com/valyala/fasthttp"
)

// gate counts the requests under way and, once it drains, lets no more in.
type gate struct {
	mu struct {
		sync.Mutex
		n        int
		draining bool
	}
	empty chan struct{} // closed when draining and n is 0
}

func (g *gate) init() { g.empty = make(chan struct{}) }

// enter reports whether a request may begin; leave must follow when it may.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.draining {
		return false
	}
	g.mu.n++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.n--
	g.settle()
}

func (g *gate) settle() {
	if !g.mu.draining || g.mu.n > 0 {
		return
	}
	select {
	case <-g.empty:
	default:
		close(g.empty)
	}
}

// drain closes the gate and waits until nothing is under way, or for ctx.
func (g *gate) drain(ctx context.Context) error {
	g.mu.Lock()
	g.mu.draining = true
	g.settle()
	g.mu.Unlock()
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// conns knows the open connections and what each is doing, so that those which
// wait for a request can be closed at once and those which carry one are not.
type conns struct {
	mu struct {
		sync.Mutex
		state   map[net.Conn]fasthttp.ConnState
		closing bool
	}
	empty chan struct{} // closed when closing and there is none left
}

func (cs *conns) init() {
	cs.mu.state = make(map[net.Conn]fasthttp.ConnState)
	cs.empty = make(chan struct{})
}

// changed is the server's ConnState hook.
func (cs *conns) changed(c net.Conn, state fasthttp.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		delete(cs.mu.state, c)
		cs.settle()
	default:
		cs.mu.state[c] = state
		if cs.mu.closing && state != fasthttp.StateActive {
			_ = c.Close() // its worker finds out and reports it closed
		}
	}
}

func (cs *conns) settle() {
	if !cs.mu.closing || len(cs.mu.state) > 0 {
		return
	}
	select {
	case <-cs.empty:
	default:
		close(cs.empty)
	}
}

// drain closes the connections that carry no request, waits for the others to
// end, and closes them too when ctx ends first.
func (cs *conns) drain(ctx context.Context) error {
	cs.mu.Lock()
	cs.mu.closing = true
	cs.closeWhere(func(st fasthttp.ConnState) bool { return st != fasthttp.StateActive })
	cs.settle()
	cs.mu.Unlock()
	select {
	case <-cs.empty:
		return nil
	case <-ctx.Done():
	}
	cs.mu.Lock()
	cs.closeWhere(func(fasthttp.ConnState) bool { return true })
	cs.mu.Unlock()
	return ctx.Err()
}

func (cs *conns) closeWhere(which func(fasthttp.ConnState) bool) {
	for c, st := range cs.mu.state {
		if which(st) {
			_ = c.Close() // nothing more is to be said on it
		}
	}
}
