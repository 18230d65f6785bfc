package peer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var demo = [16]byte{1, 2, 3}

// authority signs node certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// config is what a node of cluster would use; uris replace its identity.
func (a *authority) config(t testing.TB, cluster [16]byte, number uint32, name string, uris ...string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if uris == nil {
		uris = []string{fmt.Sprintf("waggle://%x/%d", cluster, number)}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientCAs: a.pool}
}

// book says where nodes are.
type book struct{ m sync.Map }

func (b *book) set(number uint32, address string) { b.m.Store(number, address) }

func (b *book) find(number uint32) (string, bool) {
	a, ok := b.m.Load(number)
	if !ok {
		return "", false
	}
	return a.(string), true
}

type raftGot struct {
	from  uint32
	group uint64
	m     *raftpb.Message
}

type messageGot struct {
	from    uint32
	payload []byte
}

// node is a transport under test and what it received.
type node struct {
	*Transport
	t        testing.TB
	address  string
	rafts    chan raftGot
	messages chan messageGot
	resets   chan uint32
	joined   chan net.Conn
	log      *lines
	accept   atomic.Pointer[func(from uint32, meta []byte, size int64) (Sink, error)]
}

// lines is a log that can be searched.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte(what))
}

// quick is standard with times that a test can wait for.
func quick() knobs {
	k := standard()
	k.retry.least, k.retry.most = 10*time.Millisecond, 100*time.Millisecond
	k.stall = time.Second
	return k
}

type setup struct {
	number  uint32
	cluster [16]byte
	tls     *tls.Config
	book    *book
	knobs   knobs
	rate    int64
	message func(from uint32, payload []byte)
}

func startNode(t testing.TB, s setup) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		t: t, address: listener.Addr().String(),
		rafts: make(chan raftGot, 10000), messages: make(chan messageGot, 10000),
		resets: make(chan uint32, 10000), joined: make(chan net.Conn, 10), log: &lines{},
	}
	if s.message == nil {
		s.message = func(from uint32, p []byte) { n.messages <- messageGot{from, p} }
	}
	if _, ok := s.book.find(s.number); !ok {
		s.book.set(s.number, n.address)
	}
	n.Transport = start(Options{
		Self: Identity{Number: s.number, Name: fmt.Sprintf("n%d", s.number)}, Cluster: s.cluster,
		Listener: listener, TLS: func() *tls.Config { return s.tls },
		Address: s.book.find,
		Join: func(c net.Conn) {
			n.joined <- c
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		},
		Raft:    func(from uint32, group uint64, m *raftpb.Message) { n.rafts <- raftGot{from, group, m} },
		Message: s.message,
		Accept: func(from uint32, meta []byte, size int64) (Sink, error) {
			if f := n.accept.Load(); f != nil {
				return (*f)(from, meta, size)
			}
			return nil, fmt.Errorf("nobody wants it")
		},
		Reset:    func(number uint32) { n.resets <- number },
		BulkRate: s.rate, Logger: slog.New(slog.NewTextHandler(n.log, nil)),
	}, s.knobs)
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) stop() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		n.t.Error(err)
	}
}

// pair starts nodes 1 and 2 and waits until each is connected to the other.
func pair(t testing.TB, k knobs) (a, b *node) {
	t.Helper()
	ca, addresses := newAuthority(t), &book{}
	a = startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: addresses, knobs: k})
	b = startNode(t, setup{number: 2, cluster: demo, tls: ca.config(t, demo, 2, "n2"), book: addresses, knobs: k})
	connect(t, a, b)
	return a, b
}

// proxied is pair with a proxy before each node, and so in each direction.
func proxied(t testing.TB, k knobs) (a, b *node, toA, toB *proxy) {
	t.Helper()
	ca, addresses := newAuthority(t), &book{}
	toA, toB = newProxy(t), newProxy(t)
	addresses.set(1, toA.address())
	addresses.set(2, toB.address())
	a = startNode(t, setup{number: 1, cluster: demo, tls: ca.config(t, demo, 1, "n1"), book: addresses, knobs: k})
	b = startNode(t, setup{number: 2, cluster: demo, tls: ca.config(t, demo, 2, "n2"), book: addresses, knobs: k})
	toA.target, toB.target = a.address, b.address
	connect(t, a, b)
	return a, b, toA, toB
}

func connect(t testing.TB, a, b *node) {
	t.Helper()
	_ = a.Send(b.self.number, []byte("hello"))
	eventually(t, "both are connected on all lanes", func() bool { return whole(a, b) && whole(b, a) })
}

// whole reports whether all lanes from a to b stand.
func whole(a, b *node) bool {
	p := a.peer(b.self.number)
	for _, l := range p.lanes {
		if !l.queue.isOpen() {
			return false
		}
	}
	return true
}

// eventually polls; the deadline is for a machine that is busy.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
		panic("unreachable")
	}
}

// say makes a raft message from node from to node to.
func say(kind raftpb.MessageType, from, to uint32, index uint64) *raftpb.Message {
	return &raftpb.Message{
		Type: kind.Enum(), From: new(uint64(from)<<32 | 7), To: new(uint64(to)<<32 | 8),
		Term: new(uint64(3)), Index: new(index),
	}
}

// store is a Sink in memory.
type store struct {
	mu        sync.Mutex
	buf       []byte
	writes    int
	aborted   chan struct{}
	committed bool
	answer    []byte
	err       error
	onWrite   func(off int64) error
}

func newStore() *store { return &store{aborted: make(chan struct{})} }

func (s *store) WriteAt(p []byte, off int64) (int, error) {
	if s.onWrite != nil {
		if err := s.onWrite(off); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if off != int64(len(s.buf)) {
		return 0, fmt.Errorf("write at %d, have %d", off, len(s.buf))
	}
	s.buf = append(s.buf, p...)
	s.writes++
	return len(p), nil
}

func (s *store) Commit(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = true
	return s.answer, s.err
}

func (s *store) Abort() { close(s.aborted) }

// into makes n accept every transfer into s.
func (n *node) into(s Sink) {
	f := func(uint32, []byte, int64) (Sink, error) { return s, nil }
	n.accept.Store(&f)
}
