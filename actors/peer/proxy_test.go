package peer

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy stands before a node. It tells lanes apart by the server name of the
// ClientHello, as a firewall could.
type proxy struct {
	listener net.Listener
	target   string // set before the first connection
	wg       sync.WaitGroup

	mu struct {
		sync.Mutex
		links  map[*proxyLink]bool
		closed bool
		refuse bool // new connections are closed
	}
}

// proxyLink is one connection through the proxy.
type proxyLink struct {
	client, server net.Conn
	server0        string // the server name

	mu struct {
		sync.Mutex
		stalled chan struct{} // not nil while stalled; closed when it ends
		rate    int           // bytes/s from client to server, 0 = unlimited
		flip    bool          // spoil one bit of what comes next
	}
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	p.mu.links = map[*proxyLink]bool{}
	p.wg.Go(p.run)
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.mu.closed = true
		p.mu.Unlock()
		p.each("", (*proxyLink).cut)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) run() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	refuse := p.mu.refuse
	p.mu.Unlock()
	if refuse {
		return
	}
	_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
	hello, name := peek(client)
	_ = client.SetReadDeadline(time.Time{})
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	l := &proxyLink{client: client, server: server, server0: name}
	p.mu.Lock()
	p.mu.links[l] = true
	closed := p.mu.closed
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.mu.links, l)
		p.mu.Unlock()
	}()
	if _, err := server.Write(hello); err != nil || closed {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.copy(client, server, false)
		l.cut()
	}()
	l.copy(server, client, true)
	l.cut()
	<-done
}

// copy moves bytes with the faults of the moment.
func (l *proxyLink) copy(to, from net.Conn, upward bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.mu.Lock()
			stalled, rate := l.mu.stalled, l.mu.rate
			if l.mu.flip && upward {
				buf[n/2] ^= 4
				l.mu.flip = false
			}
			l.mu.Unlock()
			if stalled != nil {
				<-stalled
			}
			if rate > 0 && upward {
				<-time.After(time.Duration(n) * time.Second / time.Duration(rate))
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil { // a partition hides ends as well
			l.mu.Lock()
			stalled := l.mu.stalled
			l.mu.Unlock()
			if stalled != nil {
				<-stalled
			}
			return
		}
	}
}

func (l *proxyLink) cut() {
	_ = l.client.Close()
	_ = l.server.Close()
	l.resume()
}

func (l *proxyLink) stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stalled == nil {
		l.mu.stalled = make(chan struct{})
	}
}

func (l *proxyLink) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.stalled != nil {
		close(l.mu.stalled)
		l.mu.stalled = nil
	}
}

func (l *proxyLink) flip() {
	l.mu.Lock()
	l.mu.flip = true
	l.mu.Unlock()
}

func (l *proxyLink) throttle(rate int) {
	l.mu.Lock()
	l.mu.rate = rate
	l.mu.Unlock()
}

// each does f to all connections whose server name begins with lane, and says
// how many there are.
func (p *proxy) each(lane string, f func(*proxyLink)) int {
	p.mu.Lock()
	var links []*proxyLink
	for l := range p.mu.links {
		if strings.HasPrefix(l.server0, lane) {
			links = append(links, l)
		}
	}
	p.mu.Unlock()
	for _, l := range links {
		f(l)
	}
	return len(links)
}

func (p *proxy) setRefuse(refuse bool) {
	p.mu.Lock()
	p.mu.refuse = refuse
	p.mu.Unlock()
}

// peek reads a ClientHello and returns its bytes and server name.
func peek(c net.Conn) ([]byte, string) {
	r := &peeked{Conn: c}
	var name string
	_ = tls.Server(r, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, errors.New("enough")
	}}).Handshake()
	return r.read, name
}

type peeked struct {
	net.Conn
	read []byte
}

func (p *peeked) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.read = append(p.read, b[:n]...)
	return n, err
}

func (p *peeked) Write(b []byte) (int, error) { return len(b), nil }
func (p *peeked) Close() error                { return nil }

var _ io.ReadWriteCloser = (*peeked)(nil)
