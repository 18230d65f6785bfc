package peer

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

var other = [16]byte{9, 9}

// TestRefused: who is not the node it should be is let in by nobody, and told
// of once.
func TestRefused(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	for name, c := range map[string]struct {
		config  *tls.Config
		cluster [16]byte
		number  uint32
		loud    bool
	}{
		"foreign cluster, own CA":           {foreign.config(t, other, 2, "n2"), other, 2, true},
		"foreign cluster, same CA":          {ca.config(t, other, 2, "n2"), other, 2, true},
		"foreign CA, same cluster":          {foreign.config(t, demo, 2, "n2"), demo, 2, false},
		"hello of a cluster not its own":    {ca.config(t, demo, 2, "n2"), other, 2, false},
		"hello of a number not its own":     {ca.config(t, demo, 2, "n2"), demo, 3, false},
		"hello of a name not its own":       {ca.config(t, demo, 2, "n3"), demo, 2, false},
		"certificate without a node":        {ca.config(t, demo, 2, "n2", "https://example.com"), demo, 2, false},
		"certificate of two nodes":          {ca.config(t, demo, 2, "n2", "waggle://01020300000000000000000000000000/2", "waggle://01020300000000000000000000000000/3"), demo, 2, false},
		"certificate of this node's number": {ca.config(t, demo, 1, "n1"), demo, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			addresses := &book{}
			a := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: addresses, knobs: quick()})
			away := &book{}
			b := startNode(t, setup{number: c.number, cluster: c.cluster, tls: c.config, book: away, knobs: quick()})
			addresses.set(c.number, b.address)
			addresses.set(2, b.address)
			away.set(1, a.address)
			away.set(4, a.address)
			_ = a.Send(2, []byte("x"))
			_ = b.Send(1, []byte("x"))
			_ = b.Send(4, []byte("x"))
			refused := func() bool { return a.Stats().Refused > 2 || a.log.count("no connection to peer") > 0 }
			eventually(t, "refused", refused)
			if len(a.messages)+len(b.messages) != 0 || a.Connected(2) || b.Connected(1) {
				t.Fatal("was let in")
			}
			if c.loud {
				eventually(t, "told loudly", func() bool { return a.log.count("FOREIGN") > 0 && b.log.count("FOREIGN") > 0 })
				eventually(t, "tried often", func() bool { return a.Stats().Refused > 8 })
				if n := a.log.count("FOREIGN"); n > 2 {
					t.Fatalf("told %d times", n)
				}
			}
		})
	}
}

// At the address of node 2 there is node 3: nothing is said to it.
func TestAnotherNodeAtTheAddress(t *testing.T) {
	ca, addresses := newAuthority(t), &book{}
	a := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: addresses, knobs: quick()})
	c := startNode(t, setup{number: 3, cluster: demo, tls: ca.config(t, demo, 3, "n3"), book: addresses, knobs: quick()})
	addresses.set(2, c.address)
	_ = a.Send(2, []byte("x"))
	eventually(t, "noticed", func() bool { return a.log.count("answers at the address of node 2") > 0 })
	if a.Connected(2) {
		t.Fatal("connected to another node")
	}
}

// raw dials n as node 2 by hand.
func raw(t *testing.T, n *node, c *tls.Config) *tls.Conn {
	t.Helper()
	c = c.Clone()
	c.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", n.address, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.NetConn().Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

func TestHandshake(t *testing.T) {
	ca := newAuthority(t)
	n := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: &book{}, knobs: quick()})
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.2":         func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"no ALPN":         func(c *tls.Config) { c.NextProtos = nil },
		"another ALPN":    func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		"no certificate":  func(c *tls.Config) { c.Certificates = nil },
		"a foreign chain": func(c *tls.Config) { c.Certificates = newAuthority(t).config(t, demo, 2, "n2").Certificates },
	} {
		c := ca.config(t, demo, 2, "n2")
		c.InsecureSkipVerify, c.NextProtos = true, []string{ProtocolPeer}
		change(c)
		conn, err := tls.Dial("tcp", n.address, c)
		if err == nil { // TLS 1.3 tells a client late
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			if got, e := conn.Read(make([]byte, 1)); e == nil || got > 0 || strings.Contains(e.Error(), "timeout") {
				t.Errorf("%s: read %d bytes, %v", name, got, e)
			}
			_ = conn.NetConn().Close()
		}
	}
	plain, err := net.Dial("tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, _ = plain.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	_ = plain.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, _ = bytes.NewBuffer(nil).ReadFrom(plain)
	eventually(t, "all counted", func() bool { return n.Stats().Refused >= 6 })
}

func TestFalseHellos(t *testing.T) {
	ca := newAuthority(t)
	n := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: &book{}, knobs: quick()})
	config := ca.config(t, demo, 2, "n2")
	config.NextProtos = []string{ProtocolPeer}
	good := hello{passport: passport{demo, 2, "n2"}, version: helloVersion, lane: Bulk}
	for name, change := range map[string]func(*hello){
		"version": func(h *hello) { h.version++ },
		"lane":    func(h *hello) { h.lane = laneCount },
		"cluster": func(h *hello) { h.cluster = other },
		"number":  func(h *hello) { h.number = 5 },
		"name":    func(h *hello) { h.name = "n3" },
	} {
		conn, h := raw(t, n, config), good
		change(&h)
		w := frameWriter{conn: conn, timeout: time.Second}
		w.frame(kindHello, h.encode())
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		f := frameReader{r: conn, direction: opening}
		if k, body, err := f.next(); err != nil || k != kindRefused || len(body) == 0 {
			t.Errorf("%s: %d %q %v", name, k, body, err)
		}
	}
	conn := raw(t, n, config)
	w := frameWriter{conn: conn, timeout: time.Second}
	w.frame(kindHello, good.encode())
	_ = w.flush()
	f := frameReader{r: conn, direction: opening}
	if k, _, err := f.next(); err != nil || k != kindHello {
		t.Fatalf("a true hello: %d %v", k, err)
	}
}

// Frames that have no place on their lane end the connection and nothing else.
func TestBadFrames(t *testing.T) {
	ca, addresses := newAuthority(t), &book{}
	n := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: addresses, knobs: quick()})
	config := ca.config(t, demo, 2, "n2")
	config.NextProtos = []string{ProtocolPeer}
	snap, _ := appendEnvelope(nil, 1, &raftpb.Message{Type: raftpb.MsgApp.Enum(), Snapshot: &raftpb.Snapshot{Data: []byte("x")}})
	for name, c := range map[string]struct {
		lane  Lane
		bytes []byte
	}{
		"unknown kind":     {Bulk, []byte{1, 0, 0, 0, 99}},
		"empty":            {Bulk, []byte{0, 0, 0, 0, byte(kindPing)}},
		"huge":             {Requests, []byte{255, 255, 255, 255, byte(kindMessage)}},
		"one too large":    {Requests, []byte{2, 0, 1, 0, byte(kindMessage)}},
		"raft on requests": {Requests, []byte{1, 0, 0, 0, byte(kindRaft)}},
		"message on bulk":  {Bulk, []byte{1, 0, 0, 0, byte(kindMessage)}},
		"hello again":      {Bulk, []byte{1, 0, 0, 0, byte(kindHello)}},
		"pong":             {Bulk, []byte{1, 0, 0, 0, byte(kindPong)}},
		"empty piece":      {Bulk, []byte{1, 0, 0, 0, byte(kindPiece)}},
		"short begin":      {Bulk, []byte{1, 0, 0, 0, byte(kindBegin)}},
		"short envelope":   {Appends, []byte{2, 0, 0, 0, byte(kindRaft), 1}},
		"an image":         {Appends, append([]byte{byte(len(snap) + 1), 0, 0, 0, byte(kindRaft)}, snap...)},
	} {
		conn := raw(t, n, config)
		w := frameWriter{conn: conn, timeout: time.Second}
		w.frame(kindHello, hello{passport: passport{demo, 2, "n2"}, version: helloVersion, lane: c.lane}.encode())
		_ = w.flush()
		f := frameReader{r: conn, direction: opening}
		if _, _, err := f.next(); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(c.bytes); err != nil {
			t.Fatal(err)
		}
		for err := error(nil); err == nil; { // pongs may come first
			if _, err = conn.Read(make([]byte, 100)); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("%s: the connection stays", name)
			}
		}
	}
	if len(n.rafts)+len(n.messages) != 0 {
		t.Fatal("something was passed on")
	}
}

func TestJoin(t *testing.T) {
	ca := newAuthority(t)
	n := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: &book{}, knobs: quick()})
	conn := raw(t, n, &tls.Config{NextProtos: []string{ProtocolJoin}})
	got := receive(t, "a joining node", n.joined)
	if _, err := got.Write([]byte("welcome")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 7)
	if _, err := conn.Read(b); err != nil || string(b) != "welcome" {
		t.Fatalf("%q %v", b, err)
	}
	// Stop ends it although the client stays.
	n.stop()
}

func TestParseIdentity(t *testing.T) {
	const good = "waggle://01020300000000000000000000000000/4294967295"
	if p, err := parseIdentity(good); err != nil || p.cluster != demo || p.number != 1<<32-1 {
		t.Fatalf("%v %v", p, err)
	}
	for _, bad := range []string{
		"", "waggle://", "waggle:///2", "http://01020300000000000000000000000000/2",
		"waggle://010203000000000000000000000000/2", "waggle://0102030000000000000000000000000g/2",
		"waggle://01020300000000000000000000000000/0", "waggle://01020300000000000000000000000000/02",
		"waggle://01020300000000000000000000000000/+2", "waggle://01020300000000000000000000000000/2/",
		"waggle://01020300000000000000000000000000/4294967296", "waggle://0102030000000000000000000000000A/2",
		"waggle://01020300000000000000000000000000/2?x", "waggle://01020300000000000000000000000000",
	} {
		if p, err := parseIdentity(bad); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
}

// A peer has one connection per lane here; a new one ends the old one.
func TestNewConnectionTakesOver(t *testing.T) {
	ca := newAuthority(t)
	n := startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: &book{}, knobs: quick()})
	config := ca.config(t, demo, 2, "n2")
	config.NextProtos = []string{ProtocolPeer}
	var conns [2]*tls.Conn
	for i := range conns {
		conns[i] = raw(t, n, config)
		w := frameWriter{conn: conns[i], timeout: time.Second}
		w.frame(kindHello, hello{passport: passport{demo, 2, "n2"}, version: helloVersion, lane: Bulk}.encode())
		_ = w.flush()
		f := frameReader{r: conns[i], direction: opening}
		if _, _, err := f.next(); err != nil {
			t.Fatal(err)
		}
	}
	_ = conns[0].SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conns[0].Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Fatalf("the old connection stays: %v", err)
	}
}
