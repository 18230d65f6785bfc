package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// rig is a fabric with a TLS server behind the proxy of n2.
type rig struct {
	t         *testing.T
	f         *fabric
	address   string
	accepted  chan *tls.Conn // handshaken
	certified *tls.Config
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, f: newFabric(t, "127.0.0.1"), accepted: make(chan *tls.Conn, 10), certified: certified(t)}
	listen, advertise, err := r.f.node("n2")
	if err != nil {
		t.Fatal(err)
	}
	r.address = advertise
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s := tls.Server(c, r.certified)
			go func() {
				if s.Handshake() == nil {
					r.accepted <- s
				}
			}()
		}
	}()
	return r
}

func certified(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
}

// connect dials n2 under a server name and returns both ends.
func (r *rig) connect(name string) (dialler, accepted *tls.Conn) {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	s := <-r.accepted
	r.t.Cleanup(func() { s.Close() })
	return c, s
}

// arrives sends a word and says whether it is there within the time.
func (r *rig) arrives(from, to *tls.Conn, within time.Duration) bool {
	r.t.Helper()
	if _, err := from.Write([]byte("word")); err != nil {
		r.t.Fatal(err)
	}
	return r.reads(to, within)
}

func (r *rig) reads(to *tls.Conn, within time.Duration) bool {
	r.t.Helper()
	// The deadline is on the connection below: TLS remembers its own.
	got := make(chan bool, 1)
	go func() {
		b := make([]byte, 4)
		_, err := io.ReadFull(to, b)
		got <- err == nil && string(b) == "word"
	}()
	select {
	case ok := <-got:
		return ok
	case <-time.After(within):
		r.t.Cleanup(func() { to.NetConn().Close() })
		go func() { // what comes later is read by the goroutine above
			<-got
			r.accepted <- to
		}()
		return false
	}
}

const (
	soon = 5 * time.Second
	aBit = 200 * time.Millisecond
)

func TestFabricCarries(t *testing.T) {
	r := newRig(t)
	d, a := r.connect("appends.n1.n2.waggle")
	if !r.arrives(d, a, soon) || !r.arrives(a, d, soon) {
		t.Fatal("words do not arrive")
	}
	d.Close()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the end comes as %v", err)
	}
	carried, strangers := r.f.told()
	if carried[laneAppends] == 0 || len(strangers) > 0 {
		t.Errorf("carried %v, strangers %q", carried, strangers)
	}
	r.connect("n2.example")
	if _, strangers := r.f.told(); len(strangers) != 1 || strangers[0] != "n2.example" {
		t.Errorf("strangers %q", strangers)
	}
}

// TestFabricCut cuts one way: the other goes on, other nodes' connections go
// on, and what was sent meanwhile arrives in order when it is healed.
func TestFabricCut(t *testing.T) {
	r := newRig(t)
	d, a := r.connect("heartbeats.n1.n2.waggle")
	d3, a3 := r.connect("heartbeats.n3.n2.waggle")
	heal, _ := r.f.cut("n1", "n2")
	healAgain, _ := r.f.cut("n1", "n2")
	if r.arrives(d, a, aBit) {
		t.Fatal("a word goes through a cut")
	}
	if !r.arrives(a, d, soon) || !r.arrives(d3, a3, soon) || !r.arrives(a3, d3, soon) {
		t.Fatal("more is cut than one way")
	}
	heal()
	select {
	case <-r.accepted:
		t.Fatal("the first of two faults ends, and the second with it")
	case <-time.After(aBit):
	}
	healAgain()
	select {
	case <-r.accepted: // the late word
	case <-time.After(soon):
		t.Fatal("the word is lost")
	}
	if !r.arrives(d, a, soon) {
		t.Fatal("nothing after the heal")
	}
}

// TestFabricCutSilent holds that an end and a reset do not cross a cut either,
// and that a new connection comes to nothing.
func TestFabricCutSilent(t *testing.T) {
	for _, w := range []way{{"n1", "n2"}, {"n2", "n1"}} {
		r := newRig(t)
		d, a := r.connect("bulk.n1.n2.waggle")
		heal, _ := r.f.cut(w.from, w.to)
		closes, waits := d, a
		if w.from == "n2" {
			closes, waits = a, d
		}
		abort(closes.NetConn().(*net.TCPConn))
		ended := make(chan error, 1)
		go func() {
			_, err := waits.Read(make([]byte, 1))
			ended <- err
		}()
		dialled := make(chan error, 1)
		go func() {
			c, err := tls.Dial("tcp", r.address, &tls.Config{ServerName: "bulk.n1.n2.waggle", InsecureSkipVerify: true})
			if err == nil {
				c.Close()
			}
			dialled <- err
		}()
		select {
		case err := <-ended:
			t.Errorf("cut %v: the end comes through: %v", w, err)
		case err := <-dialled:
			t.Errorf("cut %v: a new connection comes to %v", w, err)
		case <-time.After(aBit):
		}
		heal()
		if err := <-ended; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a reset arrives as %v", err)
		}
		if err := <-dialled; err != nil {
			t.Errorf("dial after the heal: %v", err)
		}
	}
}

func TestFabricThrottle(t *testing.T) {
	r := newRig(t)
	d, a := r.connect("appends.n1.n2.waggle")
	db, ab := r.connect("bulk.n1.n2.waggle")
	heal := r.f.throttle(laneAppends, "n1", "n2", 64<<10)
	const size = 48 << 10
	copied := func(from, to *tls.Conn) time.Duration {
		t.Helper()
		began := time.Now()
		go from.Write(make([]byte, size))
		if _, err := io.CopyN(io.Discard, to, size); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	if took := copied(db, ab); took > 400*time.Millisecond {
		t.Errorf("another lane takes %v", took)
	}
	if took := copied(d, a); took < 600*time.Millisecond || took > 3*time.Second {
		t.Errorf("%d bytes at 64 KB/s take %v", size, took)
	}
	if took := copied(a, d); took > 400*time.Millisecond {
		t.Errorf("the other direction takes %v", took)
	}
	heal()
	if took := copied(d, a); took > 400*time.Millisecond {
		t.Errorf("after the heal it takes %v", took)
	}
}

func TestFabricReset(t *testing.T) {
	r := newRig(t)
	d, a := r.connect("appends.n1.n2.waggle")
	d3, a3 := r.connect("appends.n3.n2.waggle")
	if n := r.f.reset("n2", "n1"); n != 1 {
		t.Errorf("%d connections were reset", n)
	}
	for _, c := range []*tls.Conn{d, a} {
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a reset arrives as %v", err)
		}
	}
	if !r.arrives(d3, a3, soon) {
		t.Error("another node's connection is gone, too")
	}
}

// TestFabricFlip turns a bit. TLS notices: what the nodes see of a corrupt
// chunk is a connection that fails in the middle of it.
func TestFabricFlip(t *testing.T) {
	r := newRig(t)
	d, a := r.connect("bulk.n1.n2.waggle")
	taken := r.f.flip(laneBulk, "n1", "n2", 100_000)
	go d.Write(bytes.Repeat([]byte("x"), 300_000))
	n, err := io.Copy(io.Discard, a)
	if err == nil || n < 50_000 || n > 100_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if !taken() {
		t.Error("it says that nothing was turned")
	}
	if r.f.flip(laneBulk, "n1", "n2", 10)() {
		t.Error("it says that something was turned")
	}
}
