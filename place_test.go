package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/peer"
	"github.com/hivehub/waggle/hubsvc"
)

func TestPlaceRoundTrip(t *testing.T) {
	dir := t.TempDir()
	if p, err := readPlace(dir); p != nil || err != nil {
		t.Fatalf("an empty directory has the place %v, %v", p, err)
	}
	p := &place{
		ClusterID: strings.Repeat("ab", 16), Cluster: "demo", NodeID: "n2", Number: 2, Partitions: 16, Replica: 2<<32 | 7,
		Certificate: "c", Key: "k", Authority: "a", Peers: []peerAt{{1, "n1", "h:1"}}, path: placePath(dir),
	}
	if err := p.save(); err != nil {
		t.Fatal(err)
	}
	same := func() {
		t.Helper()
		got, err := readPlace(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got, cmp.AllowUnexported(place{}), cmpopts.IgnoreFields(place{}, "mu")); diff != "" {
			t.Error(diff)
		}
	}
	same()
	if info, err := os.Stat(p.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is in a file of mode %v, %v", info.Mode(), err)
	}
	if err := p.setPeers([]peerAt{{1, "n1", "h:9"}, {3, "n3", "h:3"}}); err != nil {
		t.Fatal(err)
	}
	same()
	if at, ok := p.peer(3); !ok || at.Address != "h:3" {
		t.Errorf("member 3 is at %v, %t", at, ok)
	}
	if _, ok := p.peer(4); ok {
		t.Error("a member that is none has an address")
	}
	if id, err := p.clusterID(); err != nil || id.String() != p.ClusterID {
		t.Errorf("cluster id %v, %v", id, err)
	}
	for _, bad := range []string{"", "xyz", "abab", strings.Repeat("ab", 17)} {
		if _, err := (&place{ClusterID: bad}).clusterID(); err == nil {
			t.Errorf("%q is a cluster id", bad)
		}
	}
}

// A damaged file is an error that names it, and never a node without a place:
// that one would be born anew.
func TestPlaceDamaged(t *testing.T) {
	dir := t.TempDir()
	p := &place{ClusterID: "x", NodeID: "n1", path: placePath(dir)}
	if err := p.save(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(text) - 2 {
		if err := os.WriteFile(p.path, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readPlace(dir); err == nil || !strings.Contains(err.Error(), p.path) {
			t.Fatalf("cut after %d bytes: %v, %v", n, got, err)
		}
	}
}

func TestPlaceCheck(t *testing.T) {
	p := &place{Cluster: "demo", NodeID: "n1"}
	c := Config{DataDir: "/d", Cluster: ClusterConfig{Name: "demo", NodeID: "n1"}}
	if err := p.check(c); err != nil {
		t.Error(err)
	}
	for part, change := range map[string]func(*Config){
		"--cluster demo --node-id n1": func(c *Config) { c.Cluster.Name = "" },
		"not to \"other\"":            func(c *Config) { c.Cluster.Name = "other" },
		"not to \"n9\"":               func(c *Config) { c.Cluster.NodeID = "n9" },
	} {
		other := c
		change(&other)
		if err := p.check(other); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %s", err, part)
		}
	}
}

// hubRows is a system group of one, in memory.
type hubRows struct {
	machine *hubsvc.Machine
	rows    map[string][]byte
	index   uint64
}

func (g *hubRows) Propose(_ context.Context, data []byte) (any, error) {
	g.index++
	return g.machine.Apply(g, g.index, data)
}
func (g *hubRows) ReadBarrier(context.Context) error    { return nil }
func (g *hubRows) View() (hubsvc.View, error)           { return g, nil }
func (g *hubRows) AppliedIndex() uint64                 { return g.index }
func (g *hubRows) Close()                               {}
func (g *hubRows) Get(_ byte, k []byte) ([]byte, error) { return g.rows[string(k)], nil }
func (g *hubRows) Put(_ byte, k, v []byte) error        { g.rows[string(k)] = v; return nil }
func (g *hubRows) Delete(_ byte, k []byte) error        { delete(g.rows, string(k)); return nil }
func (g *hubRows) Scan(_ byte, from, to []byte, fn func(k, v []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(g.rows)) {
		if k >= string(from) && (to == nil || k < string(to)) && !fn([]byte(k), g.rows[k]) {
			break
		}
	}
	return nil
}

// firstOf is the hub of a cluster demo, whose first member is n1 with its key
// and certificate.
func firstOf(t *testing.T) (*hubsvc.Embedded, *place) {
	t.Helper()
	keys := hubsvc.NewDirectory(hubsvc.NewKeyHasher(make([]byte, 32)), time.Now)
	group := &hubRows{machine: hubsvc.NewMachine(keys.Observe), rows: map[string][]byte{}}
	hub := hubsvc.NewEmbedded(keys, group, hubsvc.EmbeddedOptions{SealKey: make([]byte, hubsvc.SealKeyBytes)})
	if _, _, err := hub.Birth(t.Context(), hubsvc.BirthOptions{Partitions: 16}); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.NameMember(t.Context(), hubsvc.NameMember{Number: 1, Name: "n1", Cluster: "demo", Address: "h:1", HTTP: "h:2"}); err != nil {
		t.Fatal(err)
	}
	return hub, certified(t, hub)
}

// certified has a key and a certificate of n1.
func certified(t *testing.T, hub *hubsvc.Embedded) *place {
	t.Helper()
	const number, name = 1, "n1"
	key, err := newNodeKey(name)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := hub.IssueCertificate(key.request, number, name)
	if err != nil {
		t.Fatal(err)
	}
	cluster, _ := hub.Cluster()
	return &place{
		ClusterID: cluster.ID.String(), NodeID: name, Number: number, Key: key.pem,
		Certificate: pemOf("CERTIFICATE", chain...), Authority: pemOf("CERTIFICATE", chain[len(chain)-1]),
	}
}

// The operator's files win, are read again when they change, and a broken one
// leaves what was there; a wrong one is told at the start.
func TestCertificates(t *testing.T) {
	hub, p := firstOf(t)
	dir := t.TempDir()
	files := TLSConfig{Cert: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k"), CA: filepath.Join(dir, "a")}
	at := time.Now()
	write := func(from *place) {
		t.Helper()
		at = at.Add(time.Second)
		for path, text := range map[string]string{files.Cert: from.Certificate, files.Key: from.Key, files.CA: from.Authority} {
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := &certificates{place: p, files: files}
	if err := c.check(); err == nil || !strings.Contains(err.Error(), "cluster.tls") {
		t.Errorf("files that are not there: %v", err)
	}
	first, second, third := certified(t, hub), certified(t, hub), certified(t, hub)
	write(first)
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	shows := func(what string, want *place) {
		t.Helper()
		if leaf := pemOf("CERTIFICATE", c.config().Certificates[0].Certificate[0]); !strings.HasPrefix(want.Certificate, leaf) {
			t.Errorf("%s: another certificate is shown", what)
		}
	}
	shows("the operator's own", first)
	if same := c.config(); c.config() != same {
		t.Error("files that are as they were are read again")
	}
	write(second)
	shows("new files", second)
	write(&place{Certificate: "broken"})
	shows("a broken file", second)
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	shows("a file that is gone", second)
	write(third)
	shows("mended files", third)
}

// door is a member that hears who wants to join, and answers.
func door(t *testing.T, p *place, answer string) (address string, heard <-chan joinRequest) {
	t.Helper()
	config := (&certificates{place: p}).config().Clone()
	config.NextProtos = []string{peer.ProtocolJoin}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got := make(chan joinRequest, 1)
	go func() {
		defer close(got)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		line, err := bufio.NewReader(conn).ReadBytes('\n')
		var q joinRequest
		if err == nil && json.Unmarshal(line, &q) == nil {
			got <- q
			_, _ = io.WriteString(conn, answer)
		}
	}()
	return l.Addr().String(), got
}

func newToken(t *testing.T, hub *hubsvc.Embedded) hubsvc.JoinToken {
	t.Helper()
	text, err := hub.CreateJoinToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := hubsvc.ParseJoinToken(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// The secret of a token goes to a member of its cluster and to nobody else.
func TestAskToJoin(t *testing.T) {
	hub, p := firstOf(t)
	other, stranger := firstOf(t)
	c := Config{Cluster: ClusterConfig{Name: "demo", NodeID: "n2"}}
	right, wrong := newToken(t, hub), newToken(t, other)
	ask := func(p *place, with hubsvc.JoinToken, answer string) (*joinAnswer, *joinRequest, error) {
		t.Helper()
		address, heard := door(t, p, answer)
		a, err := askToJoin(t.Context(), c, with, address, joinRequest{Secret: with.Secret(), NodeID: "n2"})
		if q, ok := <-heard; ok {
			return a, &q, err
		}
		return a, nil, err
	}
	a, q, err := ask(p, right, `{"number":7,"peers":[{"number":1,"node_id":"n1","address":"h:1"}]}`+"\n")
	if err != nil || a.Number != 7 || len(a.Peers) != 1 || q == nil || !slices.Equal(q.Secret, right.Secret()) {
		t.Errorf("answer %+v, %v to %+v", a, err, q)
	}
	for name, c := range map[string]struct {
		p *place
		t hubsvc.JoinToken
	}{"a token of another cluster": {p, wrong}, "a member of another cluster": {stranger, right}} {
		if a, q, err := ask(c.p, c.t, "{}\n"); err == nil || q != nil {
			t.Errorf("%s: answer %+v to %+v", name, a, q)
		}
	}
	for _, answer := range []string{"", "\n", "nonsense\n", `{"number":"x"}` + "\n", `{"secret":"` + strings.Repeat("A", joinBytesMax) + `"}` + "\n"} {
		if a, _, err := ask(p, right, answer); err == nil {
			t.Errorf("%.20q is the answer %+v", answer, a)
		}
	}
}

// With the operator's own authority a member is known by that and by the
// cluster in its certificate.
func TestVerifyBy(t *testing.T) {
	hub, p := firstOf(t)
	other, stranger := firstOf(t)
	shown := func(p *place) tls.ConnectionState {
		t.Helper()
		pair, err := tls.X509KeyPair([]byte(p.Certificate), []byte(p.Key))
		if err != nil {
			t.Fatal(err)
		}
		var s tls.ConnectionState
		for _, der := range pair.Certificate {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			s.PeerCertificates = append(s.PeerCertificates, c)
		}
		return s
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.Authority))
	verify := verifyBy(roots, newToken(t, hub).Cluster)
	if err := verify(shown(p)); err != nil {
		t.Error(err)
	}
	if err := verify(shown(stranger)); err == nil {
		t.Error("a certificate of another authority is believed")
	}
	if err := verifyBy(roots, newToken(t, other).Cluster)(shown(p)); err == nil {
		t.Error("a member of another cluster is believed")
	}
}

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		err   error
		final bool
	}{
		{&hubsvc.Error{Code: hubsvc.CodeAlreadyExists, Message: "m"}, true},
		{&hubsvc.Error{Code: hubsvc.CodeInvalidRequest, Message: "m"}, true},
		{&hubsvc.Error{Code: hubsvc.CodeUnavailable, Message: "m"}, false},
		{errors.New("m"), false},
		{context.DeadlineExceeded, false},
	} {
		if got := refusal(c.err); got.Final != c.final || got.Error == "" {
			t.Errorf("%v: %+v", c.err, got)
		}
	}
}

// serveDoor asks a doorkeeper as a connection would.
func serveDoor(t *testing.T, d *doorkeeper, line string) joinAnswer {
	t.Helper()
	here, there := net.Pipe()
	go d.serve(there)
	defer func() { _ = here.Close() }()
	if _, err := io.WriteString(here, line+"\n"); err != nil {
		t.Fatal(err)
	}
	var a joinAnswer
	if err := json.NewDecoder(here).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

// What the doorkeeper lets in, and what it refuses for good.
func TestDoorkeeper(t *testing.T) {
	hub, _ := firstOf(t)
	keys := newKeyDirectory(&dataDir{})
	n, err := actors.Start(actors.Options{
		Dir: t.TempDir(), Partitions: 1, Logger: slog.New(slog.DiscardHandler), Machine: machineOf(hubState{Keys: keys, Limits: actors.NewHubLimits(keys)}), TenantOf: tenantOf,
		OnFatal: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.Background()) })
	d := &doorkeeper{node: n, hub: hub, log: slog.New(slog.DiscardHandler)}
	key, err := newNodeKey("n2")
	if err != nil {
		t.Fatal(err)
	}
	good := joinRequest{Secret: newToken(t, hub).Secret(), Cluster: "demo", NodeID: "n2", Address: "h:3", HTTP: "h:4", Request: key.request}
	ask := func(change func(*joinRequest)) joinAnswer {
		t.Helper()
		q := good
		change(&q)
		line, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		return serveDoor(t, d, string(line))
	}
	for name, change := range map[string]func(*joinRequest){
		"a wrong secret":             func(q *joinRequest) { q.Secret = make([]byte, 32) },
		"another cluster":            func(q *joinRequest) { q.Cluster = "other" },
		"no request":                 func(q *joinRequest) { q.Request = nil },
		"a name of a living node":    func(q *joinRequest) { q.NodeID = "n1" },
		"a name that no node has":    func(q *joinRequest) { q.NodeID = "N 2!" },
		"a request that was changed": func(q *joinRequest) { q.Request = slices.Clone(q.Request); q.Request[len(q.Request)-1] ^= 1 },
	} {
		if a := ask(change); a.Error == "" || !a.Final || len(a.Secret) != 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := serveDoor(t, d, "{nonsense"); a.Error == "" || !a.Final {
		t.Errorf("nonsense: %+v", a)
	}
	a := ask(func(*joinRequest) {})
	if a.Error != "" || a.Number != 2 || a.Partitions != 16 || len(a.Certificates) != 2 || hubsvc.ReplicaID(a.Replica).Member() != 2 || len(a.Peers) != 1 {
		t.Fatalf("answer %+v", a)
	}
	if again := ask(func(*joinRequest) {}); again.Number != 2 || again.Error != "" { // the answer was lost
		t.Errorf("the same request again: %+v", again)
	}
	if other := ask(func(q *joinRequest) { q.NodeID = "n3" }); other.Error == "" || !other.Final {
		t.Errorf("the same token for another node: %+v", other)
	}
}

// A certificate that ends soon is replaced before it does, and the next
// handshake shows the new one; one that is good for long stays.
func TestRenew(t *testing.T) {
	now := time.Now()
	issued := 0
	issue := func(request []byte) ([][]byte, error) {
		issued++
		return selfSigned(t, request, now.Add(365*24*time.Hour)), nil
	}
	p := &place{NodeID: "n1", path: filepath.Join(t.TempDir(), "node.json")}
	key, err := newNodeKey("n1")
	if err != nil {
		t.Fatal(err)
	}
	chain := selfSigned(t, key.request, now.Add(renewBefore-time.Hour))
	p.Certificate, p.Key, p.Authority = pemOf("CERTIFICATE", chain...), key.pem, pemOf("CERTIFICATE", chain[1])
	certs := &certificates{place: p}
	before := certs.config()
	for i, want := range []bool{true, false} {
		if done, err := p.renew(now, issue); err != nil || done != want {
			t.Fatalf("time %d: renewed %v (%v), want %v", i, done, err, want)
		}
	}
	after := certs.config()
	if issued != 1 || before == nil || after == nil || bytes.Equal(before.Certificates[0].Certificate[0], after.Certificates[0].Certificate[0]) {
		t.Fatalf("%d certificates were issued, and a handshake shows the old one", issued)
	}
	if kept, err := readPlace(filepath.Dir(p.path)); err != nil || kept.Certificate != p.Certificate || kept.Key != p.Key {
		t.Fatalf("the new certificate is not in the file (%v)", err)
	}
}

// selfSigned makes a chain for a request: a certificate that ends then, and
// that of an authority.
func selfSigned(t *testing.T, request []byte, end time.Time) [][]byte {
	t.Helper()
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end, IsCA: true, BasicConstraintsValid: true}
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: end}, authority, csr.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{leaf, root}
}
