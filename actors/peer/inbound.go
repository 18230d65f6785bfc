package peer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

type inboundKey struct {
	number uint32
	lane   Lane
}

// accept takes connections until the listener is closed.
func (t *Transport) accept() {
	retry := t.knobs.retry
	for {
		raw, err := t.o.Listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			t.log.Error("accept a connection from a peer", "err", err)
			_ = pause(t.ctx, retry.next())
			continue
		}
		retry.reset()
		select {
		case t.handshakes <- struct{}{}:
			t.goroutines.Go(func() { t.receive(raw) })
		default:
			t.counters.refused.Add(1)
			_ = raw.Close()
		}
	}
}

// receive takes a connection through its handshake and serves it.
func (t *Transport) receive(raw net.Conn) {
	defer context.AfterFunc(t.ctx, func() { _ = raw.Close() })()
	defer func() { _ = raw.Close() }()
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive)
	}
	conn, in, err := t.admit(raw)
	<-t.handshakes
	switch {
	case err != nil:
		t.refused(raw.RemoteAddr().String(), err)
	case in == nil:
		t.join(conn)
	default:
		t.serve(in)
	}
}

// admit returns a peer's connection after its hello, or a nil inbound for one
// that wants to join.
func (t *Transport) admit(raw net.Conn) (*tls.Conn, *inbound, error) {
	if err := raw.SetDeadline(time.Now().Add(t.knobs.handshake)); err != nil {
		return nil, nil, err
	}
	conn := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: t.accepting})
	if err := conn.HandshakeContext(t.ctx); err != nil {
		return nil, nil, err
	}
	s := conn.ConnectionState()
	if s.NegotiatedProtocol == ProtocolJoin {
		return conn, nil, raw.SetDeadline(time.Time{})
	}
	other, err := identityOf(s.PeerCertificates[0])
	if err != nil {
		return nil, nil, err
	}
	in := &inbound{t: t, conn: conn, from: other.number}
	err = t.welcome(conn, other, func(l Lane) {
		in.lane = l
		t.register(in)
	})
	if err == nil {
		err = raw.SetDeadline(time.Time{})
	}
	if err != nil {
		t.unregister(in)
		return nil, nil, fmt.Errorf("%v: %w", other, err)
	}
	return conn, in, nil
}

// refused counts a connection that was not let in and tells of it, once a
// minute per host or foreign node.
func (t *Transport) refused(from string, err error) {
	if t.ctx.Err() != nil {
		return
	}
	t.counters.refused.Add(1)
	key, foreign := from, errors.Is(err, errForeign)
	if host, _, e := net.SplitHostPort(from); e == nil {
		key = host
	}
	if foreign {
		key = err.Error()
	}
	if !t.hush.may("refused " + key) {
		return
	}
	if foreign {
		t.log.Error("REFUSED a node of a FOREIGN cluster; this is "+t.self.String(), "from", from, "err", err)
		return
	}
	t.log.Warn("refused a connection between nodes", "from", from, "err", err)
}

func (t *Transport) join(conn net.Conn) {
	select {
	case t.joins <- struct{}{}:
		defer func() { <-t.joins }()
		t.o.Join(conn)
	default:
		t.counters.refused.Add(1)
	}
}

// inbound is a peer's connection that brings frames. It belongs to one
// goroutine.
type inbound struct {
	t     *Transport
	conn  *tls.Conn
	from  uint32
	lane  Lane
	pong  time.Time // the last
	whole assembler
}

// register makes in the connection of its peer and lane: a new one takes the
// old one's place.
func (t *Transport) register(in *inbound) {
	key := inboundKey{in.from, in.lane}
	t.mu.Lock()
	old := t.mu.inbound[key]
	t.mu.inbound[key] = in.conn.NetConn()
	t.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
}

func (t *Transport) unregister(in *inbound) {
	key := inboundKey{in.from, in.lane}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.inbound[key] == in.conn.NetConn() {
		delete(t.mu.inbound, key)
	}
}

// serve reads frames until the connection is lost.
func (t *Transport) serve(in *inbound) {
	if p := t.peer(in.from); p != nil {
		p.seen()
	}
	err := in.run()
	t.unregister(in)
	if t.ctx.Err() != nil {
		return
	}
	t.counters.lanes[in.lane].resets.Add(1)
	if t.hush.may(fmt.Sprintf("inbound %d %v", in.from, in.lane)) {
		t.log.Warn("connection from peer lost", "node", in.from, "lane", in.lane.String(), "err", err)
	}
	if in.lane == Heartbeats {
		t.resetCallback(in.from)
	}
}

func (in *inbound) run() error {
	f := frameReader{r: bufio.NewReaderSize(in, 64<<10), direction: carrying, lane: in.lane}
	c := &in.t.counters.lanes[in.lane]
	for {
		k, body, err := f.next()
		if err != nil {
			return err
		}
		c.bytesReceived.Add(uint64(headBytes + len(body)))
		if err := in.dispatch(k, body, c); err != nil {
			return fmt.Errorf("frame of kind %d: %w", k, err)
		}
	}
}

// Read reads from the connection and lets the dialler know that bytes arrive,
// so that a slow link is told from a dead one.
func (in *inbound) Read(p []byte) (int, error) {
	k := &in.t.knobs
	if err := in.conn.SetReadDeadline(time.Now().Add(k.pace[in.lane].silence)); err != nil {
		return 0, err
	}
	n, err := in.conn.Read(p)
	if now := time.Now(); n > 0 && now.Sub(in.pong) >= k.pong {
		in.pong = now
		w := frameWriter{conn: in.conn, timeout: k.pace[in.lane].write}
		w.frame(kindPong)
		if e := w.flush(); e != nil && err == nil {
			err = e
		}
	}
	return n, err
}

// dispatch hands out what a frame brings. An error ends the connection.
func (in *inbound) dispatch(k kind, body []byte, c *laneCounters) error {
	switch k {
	case kindPing:
		return nil // the bytes were the message
	case kindRaft:
		return decodeEnvelope(body, in.lane, func(group uint64, m *raftpb.Message) {
			c.received.Add(1)
			in.raft(group, m)
		})
	case kindMessage:
		c.received.Add(1)
		in.t.o.Message(in.from, bytes.Clone(body))
		return nil
	case kindPiece:
		payload, err := in.whole.add(body)
		if payload != nil {
			c.received.Add(1)
			in.t.o.Message(in.from, payload)
		}
		return err
	case kindStatus, kindResult:
		return in.t.sendings.dispatch(in.from, k, body)
	}
	if k == kindChunk {
		c.received.Add(1)
	}
	return in.t.dispatchArrival(in.from, k, body)
}

// raft passes a message on if it is from a replica of that node to one of this
// node: nobody speaks for others.
func (in *inbound) raft(group uint64, m *raftpb.Message) {
	if m.GetFrom()>>32 != uint64(in.from) || m.GetTo()>>32 != uint64(in.t.self.number) {
		in.t.counters.misdirected.Add(1)
		if in.t.hush.may(fmt.Sprintf("misdirected %d", in.from)) {
			in.t.log.Warn("raft message of replicas elsewhere", "node", in.from, "group", group, "from", m.GetFrom(), "to", m.GetTo())
		}
		return
	}
	in.t.o.Raft(in.from, group, m)
}
