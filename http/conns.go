package httpedge

import (
	"context"
	"crypto/tls"
	"fmt"
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

	open context.Context // ends when the gate drains
	shut context.CancelFunc
}

func (g *gate) init() {
	g.empty = make(chan struct{})
	g.open, g.shut = context.WithCancel(context.Background())
}

// untilDrain returns a context of a request that waits for something: it ends
// with the request's, and when the gate drains. stop must be called.
func (g *gate) untilDrain(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(g.open, cancel)
	return ctx, func() { release(); cancel() }
}

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

// running is how many requests are under way.
func (g *gate) running() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.n
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
	g.shut()
	g.settle()
	g.mu.Unlock()
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// conns knows the open connections and which of them carry a request, so that
// the others can be ended at once and those not.
type conns struct {
	mu struct {
		sync.Mutex
		busy    map[net.Conn]bool // every open connection: from a request's guard until its answer is sent
		closing bool
	}
	empty chan struct{} // closed when closing and there is none left
}

func (cs *conns) init() {
	cs.mu.busy = make(map[net.Conn]bool)
	cs.empty = make(chan struct{})
}

// begin marks a connection as one that carries a request.
func (cs *conns) begin(c net.Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.mu.busy[c] = true
}

// changed is the server's ConnState hook. It learns from it when a connection
// is new, when an answer is sent and when all is over; a new connection is
// called active before its first byte.
func (cs *conns) changed(c net.Conn, state fasthttp.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch state {
	case fasthttp.StateClosed, fasthttp.StateHijacked:
		delete(cs.mu.busy, c)
		cs.settle()
	case fasthttp.StateNew, fasthttp.StateIdle:
		cs.mu.busy[c] = false
		if cs.mu.closing {
			hangUp(c)
		}
	}
}

func (cs *conns) settle() {
	if !cs.mu.closing || len(cs.mu.busy) > 0 {
		return
	}
	select {
	case <-cs.empty:
	default:
		close(cs.empty)
	}
}

// drain ends the connections that carry no request, waits for the others to
// end, and ends them too when ctx is over first.
func (cs *conns) drain(ctx context.Context) error {
	cs.mu.Lock()
	cs.mu.closing = true
	cs.endAll(false)
	cs.settle()
	cs.mu.Unlock()
	select {
	case <-cs.empty:
		return nil
	case <-ctx.Done():
	}
	cs.mu.Lock()
	cs.endAll(true)
	cs.mu.Unlock()
	return ctx.Err()
}

func (cs *conns) endAll(evenBusy bool) {
	for c, busy := range cs.mu.busy {
		if evenBusy || !busy {
			hangUp(c)
		}
	}
}

// hangUp ends both directions and leaves it to the connection's worker, which
// finds out, to close it: fasthttp panics when it sets a deadline on a
// connection that somebody else has closed.
func hangUp(c net.Conn) {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		panic(fmt.Sprintf("BUG: a connection of type %T", c))
	}
	_ = tcp.CloseRead() // either fails only when the other side has gone
	_ = tcp.CloseWrite()
}
