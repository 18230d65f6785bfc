package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// The lanes of the nodes' connections.
const (
	laneAppends = "appends"
	laneBulk    = "bulk"
)

// way is one direction between two nodes.
type way struct{ from, to string }

func (w way) back() way { return way{w.to, w.from} }

// laneWay is one lane of it.
type laneWay struct {
	lane string
	way
}

// fabric is a network of TCP proxies, one in front of each node, whose rules
// can be changed at any time. A way that is cut swallows nothing and answers
// nothing: bytes, ends and resets of connections wait until it is healed, as
// they do when packets are dropped and sent again; new connections come to
// nothing until then, because the proxy does not dial before the dialler's
// hello came through.
type fabric struct {
	host string

	mu        sync.Mutex
	changed   chan struct{} // closed and renewed when a rule changes
	cuts      map[way]int   // how many faults cut it
	rates     map[laneWay]int
	flips     map[laneWay]int  // after so many bytes one bit is turned
	carried   map[string]int64 // bytes by lane
	strangers []string         // server names that tell no dialler
	proxies   map[string]*proxy
	conns     map[*conn]bool

	stopping chan struct{}
	running  sync.WaitGroup
}

// proxy stands in front of one node.
type proxy struct {
	*fabric
	to       string // the node's name
	listener net.Listener
	upstream string
}

// conn is one connection through a proxy.
type conn struct {
	laneWay // in which it was dialled
	ends    [2]*net.TCPConn
}

func newFabric(t testing.TB, host string) *fabric {
	f := &fabric{
		host: host, changed: make(chan struct{}), cuts: map[way]int{}, rates: map[laneWay]int{}, flips: map[laneWay]int{},
		carried: map[string]int64{}, proxies: map[string]*proxy{}, conns: map[*conn]bool{}, stopping: make(chan struct{}),
	}
	t.Cleanup(f.stop)
	return f
}

// node puts a proxy in front of a node that is new and returns where the node
// has to listen and what it has to advertise.
func (f *fabric) node(name string) (listen, advertise string, err error) {
	p := &proxy{fabric: f, to: name, upstream: freeAddress(f.host)}
	if p.listener, err = net.Listen("tcp", freeAddress(f.host)); err != nil {
		return "", "", err
	}
	f.mu.Lock()
	f.proxies[name] = p
	f.mu.Unlock()
	f.running.Go(p.accept)
	return p.upstream, p.listener.Addr().String(), nil
}

func (f *fabric) stop() {
	close(f.stopping)
	f.mu.Lock()
	for _, p := range f.proxies {
		_ = p.listener.Close()
	}
	for c := range f.conns {
		c.close()
	}
	f.mu.Unlock()
	f.running.Wait()
}

// change changes the rules; all that waits looks at them again.
func (f *fabric) change(rule func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rule()
	close(f.changed)
	f.changed = make(chan struct{})
}

// cut lets nothing through from one node to another until healed, which is
// called once.
func (f *fabric) cut(from, to string) (heal func(), err error) {
	w := way{from, to}
	f.change(func() { f.cuts[w]++ })
	return func() { f.change(func() { f.cuts[w]-- }) }, nil
}

// throttle lets at most so many bytes a second through on one lane to a node
// from another.
func (f *fabric) throttle(lane, from, to string, rate int) (heal func()) {
	w := laneWay{lane, way{from, to}}
	f.change(func() { f.rates[w] = rate })
	return func() { f.change(func() { delete(f.rates, w) }) }
}

// flip turns one bit on a lane to a node from another, after so many bytes. It
// reports whether that happened when it is taken back.
func (f *fabric) flip(lane, from, to string, after int) (heal func() bool) {
	w := laneWay{lane, way{from, to}}
	f.change(func() { f.flips[w] = after })
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		_, waiting := f.flips[w]
		delete(f.flips, w)
		return !waiting
	}
}

// reset resets all connections between two nodes and says how many.
func (f *fabric) reset(a, b string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for c := range f.conns {
		if w := (way{a, b}); c.way == w || c.way == w.back() {
			c.reset()
			n++
		}
	}
	return n
}

// told is what went over the lanes, and server names that tell no dialler.
func (f *fabric) told() (carried map[string]int64, strangers []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.carried), append([]string(nil), f.strangers...)
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		p.running.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

const strangersListed = 20

// serve carries one connection until both its ends are done.
func (p *proxy) serve(dialler *net.TCPConn) {
	c := &conn{ends: [2]*net.TCPConn{dialler, nil}}
	if !p.enter(c) {
		return
	}
	defer p.leave(c)
	name, hello, err := serverName(dialler)
	if err != nil {
		c.reset()
		return
	}
	lane, from, ok := parseServerName(name)
	p.mu.Lock()
	if !ok && len(p.strangers) < strangersListed {
		p.strangers = append(p.strangers, name)
	}
	c.laneWay = laneWay{lane, way{from, p.to}}
	p.mu.Unlock()
	if !p.open(c.way) {
		return
	}
	up, err := net.Dial("tcp", p.upstream)
	if err != nil {
		if p.open(c.way.back()) {
			c.reset()
		}
		return
	}
	p.mu.Lock()
	c.ends[1] = up.(*net.TCPConn)
	p.mu.Unlock()
	select {
	case <-p.stopping: // which has not seen this end
		c.close()
		return
	default:
	}
	for _, end := range c.ends { // a throttled lane is not hidden by buffers
		_ = end.SetReadBuffer(64 << 10)
		_ = end.SetWriteBuffer(64 << 10)
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(c.ends[1], io.MultiReader(bytes.NewReader(hello), dialler), dialler, c.laneWay) })
	both.Go(func() { p.pump(dialler, up, c.ends[1], laneWay{lane, c.way.back()}) })
	both.Wait()
}

func (f *fabric) enter(c *conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.stopping:
		c.close()
		return false
	default:
	}
	f.conns[c] = true
	return true
}

func (f *fabric) leave(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.close()
	delete(f.conns, c)
}

// pump carries one direction: bytes, the end, or a reset.
func (f *fabric) pump(to *net.TCPConn, from io.Reader, fromConn *net.TCPConn, w laneWay) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf[:f.chunk(w, len(buf))])
		if !f.open(w.way) {
			return
		}
		if n > 0 && !f.pass(w, buf[:n]) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				if f.open(w.back()) { // its end is told to whoever sends
					abort(fromConn)
				}
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite()
			return
		case err != nil:
			abort(to)
			return
		}
	}
}

// open waits until a way is not cut; false when the fabric stops.
func (f *fabric) open(w way) bool {
	for {
		f.mu.Lock()
		cut, changed := f.cuts[w] > 0, f.changed
		f.mu.Unlock()
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-f.stopping:
			return false
		}
	}
}

// chunk is how much to read at once: of a throttled lane a twentieth of a
// second, so that it flows evenly.
func (f *fabric) chunk(w laneWay, most int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rate := f.rates[w]; rate > 0 {
		return min(most, max(rate/20, 1))
	}
	return most
}

// pass does to bytes what the rules say, which may take its time.
func (f *fabric) pass(w laneWay, b []byte) bool {
	f.mu.Lock()
	rate := f.rates[w]
	f.carried[w.lane] += int64(len(b))
	if after, ok := f.flips[w]; ok {
		if after < len(b) {
			b[after] ^= 1
			delete(f.flips, w)
		} else {
			f.flips[w] = after - len(b)
		}
	}
	f.mu.Unlock()
	return rate == 0 || wait(time.Duration(len(b))*time.Second/time.Duration(rate), f.stopping)
}

func (c *conn) close() {
	for _, end := range c.ends {
		if end != nil {
			_ = end.Close()
		}
	}
}

func (c *conn) reset() {
	for _, end := range c.ends {
		if end != nil {
			abort(end)
		}
	}
}

// abort closes with a reset instead of an end.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// parseServerName takes `<lane>.<from>.<to>.waggle` apart. Whom the dialler
// means to reach is no matter here: it reaches whom the proxy stands for.
func parseServerName(name string) (lane, from string, ok bool) {
	part := strings.Split(name, ".")
	if len(part) != 4 || part[3] != "waggle" || part[0] == "" || part[1] == "" {
		return "?", "?", false
	}
	return part[0], part[1], true
}

var errPeeked = errors.New("peeked")

// serverName reads the TLS hello of a connection and returns the server name
// in it and all the bytes it has read.
func serverName(r io.Reader) (name string, read []byte, err error) {
	var seen bytes.Buffer
	peek := tls.Server(readOnly{Reader: io.TeeReader(r, &seen)}, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name = h.ServerName
			return nil, errPeeked
		},
	})
	if err := peek.HandshakeContext(context.Background()); !errors.Is(err, errPeeked) {
		return "", nil, err
	}
	return name, seen.Bytes(), nil
}

// readOnly is a connection that can only be read from.
type readOnly struct {
	net.Conn
	io.Reader
}

func (r readOnly) Read(b []byte) (int, error)       { return r.Reader.Read(b) }
func (r readOnly) Write(b []byte) (int, error)      { return len(b), nil }
func (r readOnly) Close() error                     { return nil }
func (r readOnly) SetDeadline(time.Time) error      { return nil }
func (r readOnly) SetReadDeadline(time.Time) error  { return nil }
func (r readOnly) SetWriteDeadline(time.Time) error { return nil }
