package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// queueBytesMax bounds what waits on a lane for one peer.
var queueBytesMax = [laneCount]int{Heartbeats: heartbeatBytesMax, Appends: 64 << 20, Requests: 16 << 20, Bulk: 128 << 20}

// controlBytesMax bounds the statuses and results that wait for one peer. They
// may be dropped: whoever misses one asks.
const controlBytesMax = 1 << 20

var errNoAddress = errors.New("has no address")

// peer is what goes to one other node: a lane each, with a goroutine each.
type peer struct {
	t      *Transport
	number uint32
	ctx    context.Context // ends with the transport, or when the node is forgotten
	cancel context.CancelFunc
	lanes  [laneCount]*lane
	bulk   bucket
}

// newPeer starts the lanes. The caller holds t.mu and has seen that t is not
// stopped.
func newPeer(t *Transport, number uint32) *peer {
	p := &peer{t: t, number: number, bulk: bucket{rate: t.o.BulkRate}}
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	for i := range p.lanes {
		l := &lane{t: t, peer: p, which: Lane(i), kick: make(chan struct{}, 1), chunks: make(chan sentChunk, 2)}
		l.queue.bytesMax, l.queue.wake = queueBytesMax[i], make(chan struct{}, 1)
		l.control.bytesMax, l.control.wake = controlBytesMax, l.queue.wake
		l.mu.changed = make(chan struct{})
		p.lanes[i] = l
	}
	for _, l := range p.lanes {
		t.goroutines.Go(l.run)
	}
	return p
}

// seen shortens the wait of lanes that are down: the node is there.
func (p *peer) seen() {
	for _, l := range p.lanes {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// reset closes all connections to the node.
func (p *peer) reset() {
	for _, l := range p.lanes {
		l.mu.Lock()
		if l.mu.conn != nil {
			_ = l.mu.conn.Close()
		}
		l.mu.Unlock()
	}
}

// lane keeps one connection to a peer and writes what is put into its queues.
// run is its goroutine; the queues and mu are for everybody.
type lane struct {
	t     *Transport
	peer  *peer
	which Lane

	queue   queue
	control queue          // on Bulk: frames about transfers, ahead of everything
	chunks  chan sentChunk // on Bulk: from Transfer, which waits for room
	kick    chan struct{}

	mu struct {
		sync.Mutex
		conn    net.Conn      // nil when down
		epoch   uint64        // counts connections and losses; odd while up
		changed chan struct{} // closed when epoch changes
	}
}

// state tells the epoch and what is closed when it ends.
func (l *lane) state() (epoch uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.epoch, l.mu.changed
}

// awaitUp waits for a connection and returns its epoch.
func (l *lane) awaitUp(ctx context.Context) (uint64, error) {
	for {
		epoch, changed := l.state()
		if epoch%2 == 1 {
			return epoch, ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (l *lane) turn(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.conn = conn
	l.mu.epoch++
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

func (l *lane) run() {
	retry, homeless := l.t.knobs.retry, time.Time{}
	for l.peer.ctx.Err() == nil {
		conn, err := l.connect()
		switch {
		case err == nil:
			homeless = time.Time{}
			began := time.Now()
			l.serve(conn)
			if time.Since(began) >= l.t.knobs.settled {
				retry.reset()
			}
		case errors.Is(err, errNoAddress) && l.which == Heartbeats:
			if homeless.IsZero() {
				homeless = time.Now()
			}
			if time.Since(homeless) >= l.t.knobs.forget {
				l.t.forget(l.peer)
			}
		default:
			l.complain(err)
		}
		l.rest(&retry)
	}
}

// rest waits for the next dial; a sign of the peer's life shortens it.
func (l *lane) rest(retry *backoff) {
	timer := time.NewTimer(retry.next())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.kick:
		retry.reset()
		_ = pause(l.peer.ctx, retry.next())
	case <-l.peer.ctx.Done():
	}
}

func (l *lane) complain(err error) {
	switch {
	case l.peer.ctx.Err() != nil:
	case errors.Is(err, errForeign):
		l.t.refused("dial", err)
	case l.t.hush.may(fmt.Sprintf("dial %d %v", l.peer.number, l.which)):
		l.t.log.Warn("no connection to peer", "node", l.peer.number, "lane", l.which.String(), "err", err)
	}
}

// connect dials, and returns a connection on which both sides said hello.
func (l *lane) connect() (*tls.Conn, error) {
	address, ok := l.t.o.Address(l.peer.number)
	if !ok {
		return nil, errNoAddress
	}
	config, err := l.t.dialling(l.peer.number, l.which)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: l.t.knobs.dial, KeepAliveConfig: keepAlive}
	raw, err := dialer.DialContext(l.peer.ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(l.peer.ctx, func() { _ = raw.Close() })()
	conn, err := l.shake(raw, config)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// keepAlive lets the kernel find dead hosts on connections that say nothing.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

func (l *lane) shake(raw net.Conn, config *tls.Config) (*tls.Conn, error) {
	if err := raw.SetDeadline(time.Now().Add(l.t.knobs.handshake)); err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(l.peer.ctx); err != nil {
		return nil, err
	}
	s := conn.ConnectionState()
	if s.NegotiatedProtocol != ProtocolPeer {
		return nil, fmt.Errorf("the other side speaks %q, not %q", s.NegotiatedProtocol, ProtocolPeer)
	}
	other, err := identityOf(s.PeerCertificates[0])
	if err != nil {
		return nil, err
	}
	if err := l.t.greet(conn, l.which, other); err != nil {
		return nil, err
	}
	return conn, raw.SetDeadline(time.Time{})
}

// serve writes to an established connection until it is lost.
func (l *lane) serve(conn *tls.Conn) {
	raw := conn.NetConn()
	defer context.AfterFunc(l.peer.ctx, func() { _ = raw.Close() })()
	select {
	case <-l.kick: // of before
	default:
	}
	l.queue.begin()
	l.control.begin()
	l.turn(raw)
	l.t.log.Debug("connected", "node", l.peer.number, "lane", l.which.String())
	if l.which == Bulk {
		l.t.arrivals.nudge(l.peer.number)
	}

	heard := &clock{began: time.Now()}
	ears := make(chan error, 1)
	l.t.goroutines.Go(func() {
		err := l.listen(conn, heard)
		ears <- err
		_ = raw.Close()
	})
	err := l.write(conn, heard, ears)
	_ = raw.Close()
	select {
	case other := <-ears:
		err = errors.Join(err, other)
	default: // write has taken it
	}
	l.turn(nil)
	l.counters().dropped.Add(uint64(l.queue.end() + l.control.end()))
	l.lost(err)
}

func (l *lane) counters() *laneCounters { return &l.t.counters.lanes[l.which] }

// lost tells about the end of an established connection.
func (l *lane) lost(err error) {
	if l.peer.ctx.Err() != nil {
		return
	}
	l.counters().resets.Add(1)
	if l.t.hush.may(fmt.Sprintf("lost %d %v", l.peer.number, l.which)) {
		l.t.log.Warn("connection to peer lost", "node", l.peer.number, "lane", l.which.String(), "err", err)
	}
	if l.which != Heartbeats {
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.peer.reset()
	}
	l.t.resetCallback(l.peer.number)
}

// clock notes when something happened last, by monotonic time: a step of the
// wall clock must not look like silence.
type clock struct {
	began time.Time
	last  atomic.Int64 // nanoseconds after began
}

func (c *clock) note() { c.last.Store(int64(time.Since(c.began))) }

func (c *clock) since() time.Duration { return time.Since(c.began) - time.Duration(c.last.Load()) }

// listen notes when the acceptor was heard, until the connection ends.
func (l *lane) listen(conn net.Conn, heard *clock) error {
	f := frameReader{r: conn, direction: echoing, lane: l.which}
	for {
		if err := conn.SetReadDeadline(time.Now().Add(l.t.knobs.pace[l.which].silence)); err != nil {
			return err
		}
		if _, _, err := f.next(); err != nil {
			return err
		}
		heard.note()
	}
}

// write sends what the queues hold, and a ping when the acceptor was not heard
// for a while. It returns listen's error when that comes first.
func (l *lane) write(conn net.Conn, heard *clock, ears <-chan error) error {
	p := l.t.knobs.pace[l.which]
	k := &link{lane: l, w: frameWriter{conn: conn, timeout: p.write}}
	k.epoch, _ = l.state()
	defer k.abandon()
	tick := time.NewTicker(p.ping / 2)
	defer tick.Stop()
	for {
		busy, err := k.round()
		if err != nil {
			return err
		}
		if busy {
			continue
		}
		select {
		case <-l.queue.wake:
		case c := <-l.chunks:
			err = k.chunk(c)
		case <-tick.C:
			if heard.since() >= p.ping {
				k.w.frame(kindPing)
				err = k.flush()
			}
		case err = <-ears:
		}
		if err != nil {
			return err
		}
	}
}
