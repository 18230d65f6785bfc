package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// stage is a cluster `demo` of one member, n1, beside which others are started
// wrongly.
type stage struct {
	t      *testing.T
	binary string
	dir    string
	consul *consul
	n1     *process
	url    string // of n1

	running []*process // all that up has started
}

func newStage(t *testing.T) *stage {
	t.Helper()
	binary, err := waggle()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, binary: binary, dir: workDir(t)}
	s.consul = startConsul(t, s.dir, "127.0.0.1")
	s.born("n1")
	s.n1, s.url = s.up(s.serve("n1"))
	return s
}

// born makes a cluster in the data directory of a node.
func (s *stage) born(name string) {
	s.t.Helper()
	cmd := exec.Command(s.binary, "cluster", "init", "--data", s.data(name))
	cmd.Env = environ(bootstrapKeys, small)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("cluster init: %v: %s", err, out)
	}
}

func (s *stage) data(name string) string { return filepath.Join(s.dir, name) }

// serve is `waggle serve` as it is right for a node; args, which are stronger,
// make it wrong.
func (s *stage) serve(name string, args ...string) *exec.Cmd {
	all := []string{
		"serve", "--data", s.data(name), "--listen", "127.0.0.1:0", "--qdrant-listen", "off",
		"--node-id", name, "--cluster", "demo", "--consul", s.consul.address, "--cluster-listen", freeAddress("127.0.0.1"),
	}
	cmd := exec.Command(s.binary, append(all, args...)...)
	cmd.Env = environ(small)
	return cmd
}

// up starts a node that has to become ready, and returns where it answers.
func (s *stage) up(cmd *exec.Cmd) (*process, string) {
	s.t.Helper()
	log := filepath.Join(s.dir, "up.log")
	p, err := launch(cmd, log)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.kill)
	s.running = append(s.running, p)
	select {
	case line := <-p.first:
		if m := readyLine.FindStringSubmatch(line); m != nil {
			return p, "http://" + m[1]
		}
	case <-time.After(time.Minute):
	}
	s.t.Fatalf("%q is not ready; its log:\n%s", cmd.Args, tail(log, 2000))
	return nil, ""
}

// refused runs a node that has to end with exit code 1. It logs what it likes;
// the last line is the one for the operator.
func (s *stage) refused(t *testing.T, want string, cmd *exec.Cmd) {
	t.Helper()
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(40*time.Second, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	_ = cmd.Wait()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	last := lines[len(lines)-1]
	if code := cmd.ProcessState.ExitCode(); code != 1 || !regexp.MustCompile(`^waggle: .*`+want).MatchString(last) {
		t.Errorf("exit code %d and %q; want 1 and waggle: ...%s\nall of its log:\n%s", code, last, want, log.String()[max(0, log.Len()-2000):])
	}
	if n := strings.Count(log.String(), "\nwaggle: "); n > 1 {
		t.Errorf("%d lines for the operator, want one:\n%s", n, log.String())
	}
}

// waits runs a node that has to say what it waits for, and leaves it running.
func (s *stage) waits(t *testing.T, want string, cmd *exec.Cmd) *process {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	p, err := launch(cmd, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	err = poll(10*time.Second, func() error {
		if !p.alive() {
			return fmt.Errorf("it ended: %v", p.cmd.ProcessState)
		}
		if text := tail(log, 1<<20); !regexp.MustCompile(want).MatchString(text) {
			return fmt.Errorf("no %q in:\n%s", want, text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return p
}

func (s *stage) token(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(s.binary, append([]string{"cluster", "token", "--json", "--url", s.url}, args...)...)
	cmd.Env = environ([]string{"WAGGLE_OPERATOR_KEY=" + operatorKey})
	out, err := cmd.CombinedOutput()
	var body struct{ Token string }
	if err == nil {
		err = json.Unmarshal(out, &body)
	}
	if err != nil {
		t.Fatalf("make a token: %v: %s", err, out)
	}
	return body.Token
}

// spoilt is a token with one bit of a byte turned: 0 is in the cluster's id,
// 16 in the sum of its authority's certificate, 48 in the secret.
func spoilt(t *testing.T, token string, at int) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, "wj1_"))
	if err != nil {
		t.Fatal(err)
	}
	raw[at] ^= 1
	return "wj1_" + base64.RawURLEncoding.EncodeToString(raw)
}

// TestBadConfiguration starts nodes wrongly, each of which has to say so in one
// line and end with exit code 1, or to do what docs/cluster.md says.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	token := s.token(t)
	join := func(name, token string, args ...string) *exec.Cmd {
		return s.serve(name, append([]string{"--join-token", token}, args...)...)
	}
	t.Run("flags", func(t *testing.T) {
		for want, cmd := range map[string]*exec.Cmd{
			`cluster\.listen: is empty; .*--cluster-listen`:   join("x", token, "--cluster-listen", ""),
			`cluster\.consul\.address: is empty; .*--consul`:  join("x", token, "--consul", ""),
			`cluster\.node_id: is empty; .*--node-id`:         join("x", token, "--node-id", ""),
			`cluster\.node_id: is "x\.y"; .*a-z`:              join("x", token, "--node-id", "x.y"),
			`cluster\.name: is "Demo"; .*a-z`:                 join("x", token, "--cluster", "Demo"),
			`cluster\.advertise: .*cannot reach "0\.0\.0\.0:`: join("x", token, "--cluster-listen", "0.0.0.0:0"),
			`cluster\.listen: "15010" is not HOST:PORT`:       join("x", token, "--cluster-listen", "15010"),
			`127\.0\.0\.1:\d+ is taken .*--cluster-listen`:    join("x", token, "--cluster-listen", s.consul.address),
		} {
			s.refused(t, want, cmd)
		}
	})
	t.Run("tokens", func(t *testing.T) {
		brief := s.token(t, "--ttl", "1s")
		s.refused(t, `this node is empty and has no --join-token.*waggle cluster token.*waggle cluster init --data`, s.serve("x"))
		s.refused(t, `--join-token: .*malformed`, join("x", token[:20]))
		s.refused(t, `the join token is not known to this cluster`, join("x", spoilt(t, token, 48)))
		s.refused(t, `not of the cluster that the join token is for: its certificate authority is another`, join("x", spoilt(t, token, 16)))
		s.refused(t, `another cluster has this name: "demo" was born as`, join("x", spoilt(t, token, 0)))
		wait(time.Second, nil)
		s.refused(t, `the join token has expired`, join("x", brief))
	})
	t.Run("node id of a living node", func(t *testing.T) {
		// 13 s: a registration may outlive its process for so long
		s.refused(t, `another running node has this node id: .* calls itself "n1" too`, join("x", token, "--node-id", "n1"))
	})
	t.Run("unknown cluster", func(t *testing.T) {
		s.waits(t, `knows no cluster \\"other\\"`, join("x", token, "--cluster", "other"))
	})
	t.Run("second birth under a name", func(t *testing.T) {
		s.born("m1")
		s.refused(t, `another cluster has this name: "demo" was born as .*choose another cluster name`, s.serve("m1"))
		p, _ := s.up(s.serve("m1", "--cluster", "other")) // as it was told
		p.kill()
	})
	// None of these has used the token up.
	p, _ := s.up(join("n2", token))
	if _, err := p.terminate(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	t.Run("used token", func(t *testing.T) {
		s.refused(t, `the join token has been used; make another with: waggle cluster token`, join("x", token))
	})
	t.Run("another one's data", func(t *testing.T) {
		n2 := s.data("n2")
		s.refused(t, `belongs to the node "n2", not to "n3"; check --node-id and --data`, s.serve("n3", "--data", n2))
		s.refused(t, `belongs to the cluster "demo", not to "other"; check --cluster and --data`, s.serve("n2", "--cluster", "other"))
		alone := exec.Command(s.binary, "serve", "--data", n2, "--listen", "127.0.0.1:0", "--qdrant-listen", "off")
		alone.Env = environ(small)
		s.refused(t, `belongs to the node n2 of the cluster demo: start it with --cluster demo --node-id n2`, alone)
	})
	t.Run("certificates", s.certificates)
	t.Run("no Consul", s.withoutConsul)
}

// keys are what a node has in node.json, as files.
func (s *stage) keys(t *testing.T, name string) (cert, key, ca string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.data(name), "node.json"))
	var place struct{ Certificate, Key, Authority string }
	if err == nil {
		err = json.Unmarshal(raw, &place)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := func(kind, text string) string {
		path := filepath.Join(s.dir, name+"-"+kind+".pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return file("cert", place.Certificate), file("key", place.Key), file("ca", place.Authority)
}

// certificates gives n2 wrong files; m1 is of another cluster.
func (s *stage) certificates(t *testing.T) {
	cert1, key1, _ := s.keys(t, "n1")
	cert2, key2, ca2 := s.keys(t, "n2")
	certM, keyM, caM := s.keys(t, "m1")
	absent := filepath.Join(s.dir, "absent.pem")
	for want, files := range map[string][3]string{
		`cert, key and ca go together`:                                 {cert2, key2, ""},
		`cluster\.tls: open .*absent\.pem: no such file`:               {absent, key2, ca2},
		`private key does not match public key`:                        {cert2, key1, ca2},
		`there is no certificate of an authority`:                      {cert2, key2, key2},
		`not one of the authority in ca: x509: .*unknown authority`:    {certM, keyM, ca2},
		`the certificate is that of node 1 "m1" of .* is node 2 "n2"`:  {certM, keyM, caM},
		`the certificate is that of node 1 "n1" of .*; this is node 2`: {cert1, key1, ca2},
	} {
		cmd := s.serve("n2")
		cmd.Env = append(cmd.Env, "WAGGLE_CLUSTER_TLS_CERT="+files[0], "WAGGLE_CLUSTER_TLS_KEY="+files[1], "WAGGLE_CLUSTER_TLS_CA="+files[2])
		s.refused(t, want, cmd)
	}
	cmd := s.serve("n2")
	cmd.Env = append(cmd.Env, "WAGGLE_CLUSTER_TLS_CERT="+cert2, "WAGGLE_CLUSTER_TLS_KEY="+key2, "WAGGLE_CLUSTER_TLS_CA="+ca2)
	p, _ := s.up(cmd)
	p.kill()
}

// withoutConsul starts a member, which serves, and an empty node, which waits
// for Consul and then joins.
func (s *stage) withoutConsul(t *testing.T) {
	token := s.token(t)
	s.consul.kill()
	s.n1.kill()
	_, url := s.up(s.serve("n1"))
	a, err := call{key: tenantKey, method: "PUT", url: url + "/qdrant/collections/c", body: `{"vectors": {"size": 2, "distance": "Dot"}}`}.do()
	if err != nil || a.status != 200 {
		t.Errorf("a write without Consul: %d %s, %v", a.status, a.body, err)
	}
	if a, err := (call{key: operatorKey, method: "GET", url: url + "/api/v1/cluster/health"}).do(); err != nil || !strings.Contains(string(a.body), `"consul":"away"`) {
		t.Errorf("%s, %v; want it to say that Consul is away", a.body, err)
	}
	p := s.waits(t, `waiting for the cluster's members.*connection refused`, s.serve("n3", "--join-token", token))
	if err := s.consul.start(); err != nil {
		t.Fatal(err)
	}
	select {
	case line := <-p.first:
		if !readyLine.MatchString(line) {
			t.Errorf("no ready line but %q", line)
		}
	case <-time.After(30 * time.Second):
		t.Error("Consul is back, and the node has not joined after 30 s")
	}
}

// TestAllMoved starts every node of a cluster at another address than before:
// they find each other through Consul.
func TestAllMoved(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.up(s.serve("n2", "--join-token", s.token(t)))
	three, url := s.up(s.serve("n3", "--join-token", s.token(t)))
	voters := func(url string) error {
		var body struct{ Partitions []partition }
		if err := (call{key: operatorKey, method: "GET", url: url + "/api/v1/cluster/partitions"}).into(&body); err != nil {
			return err
		}
		for _, p := range body.Partitions {
			if len(p.Voters) != 3 || p.Leader == "" {
				return fmt.Errorf("partition %s has voters %q and the leader %q", p.name(), p.Voters, p.Leader)
			}
		}
		return nil
	}
	if err := poll(time.Minute, func() error { return voters(url) }); err != nil {
		t.Fatal(err)
	}
	for _, p := range s.running {
		p.kill()
	}
	if three.alive() {
		t.Fatal("n3 is not stopped")
	}
	var first []*process
	for _, name := range []string{"n1", "n2"} {
		first = append(first, s.waits(t, `registered in Consul`, s.serve(name)))
	}
	three, url = s.up(s.serve("n3"))
	for i, p := range first {
		select {
		case line := <-p.first:
			if !readyLine.MatchString(line) {
				t.Errorf("n%d: no ready line but %q", i+1, line)
			}
		case <-time.After(30 * time.Second):
			t.Errorf("n%d is not ready", i+1)
		}
	}
	if err := poll(30*time.Second, func() error { return voters(url) }); err != nil {
		t.Error(err)
	}
	a, err := call{key: tenantKey, method: "PUT", url: url + "/qdrant/collections/c", body: `{"vectors": {"size": 2, "distance": "Dot"}}`}.do()
	if err != nil || a.status != 200 {
		t.Errorf("a write after the move: %d %s, %v", a.status, a.body, err)
	}
	// A node that has noticed that it was removed says so when it is started again.
	remove := exec.Command(s.binary, "cluster", "remove", "n3", "--url", url)
	remove.Env = environ([]string{"WAGGLE_OPERATOR_KEY=" + operatorKey})
	if out, err := remove.CombinedOutput(); err != nil {
		t.Fatalf("remove n3: %v: %s", err, out)
	}
	err = poll(10*time.Second, func() error {
		if log := tail(filepath.Join(s.dir, "up.log"), 1<<20); !strings.Contains(log, "this node was removed from the cluster") {
			return errors.New("n3 does not notice that it was removed")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := three.terminate(20 * time.Second); err != nil {
		t.Error(err)
	}
	s.refused(t, `this node, "n3", was removed from the cluster; delete .*n3`, s.serve("n3"))
}

// TestOwnCertificates changes two nodes, one after the other, to certificates of
// the operator's authority, and lets a third one in that knows no other.
func TestOwnCertificates(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	two, _ := s.up(s.serve("n2", "--join-token", s.token(t)))
	cert1, key1, cluster := s.keys(t, "n1")
	cert2, key2, _ := s.keys(t, "n2")
	own := newAuthority(t, s)
	both := filepath.Join(s.dir, "both.pem")
	var text []byte
	for _, path := range []string{own.path, cluster} {
		part, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	if err := os.WriteFile(both, text, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(cmd *exec.Cmd, cert, key, ca string) *exec.Cmd {
		cmd.Env = append(cmd.Env, "WAGGLE_CLUSTER_TLS_CERT="+cert, "WAGGLE_CLUSTER_TLS_KEY="+key, "WAGGLE_CLUSTER_TLS_CA="+ca)
		return cmd
	}
	s.n1.kill()
	s.n1, s.url = s.up(with(s.serve("n1"), cert1, key1, both))
	two.kill()
	s.up(with(s.serve("n2"), cert2, key2, both))
	// The files change under the running nodes.
	own.issue(t, "n1", 1, cert1, key1)
	own.issue(t, "n2", 2, cert2, key2)
	cert3, key3 := filepath.Join(s.dir, "n3-cert.pem"), filepath.Join(s.dir, "n3-key.pem")
	own.issue(t, "n3", 9, cert3, key3)
	s.refused(t, `not of the cluster that the join token is for`, s.serve("n3", "--join-token", s.token(t)))
	s.refused(t, `the certificate is that of node 9 "n3" of .*; this is node 3 "n3"`, with(s.serve("n3", "--join-token", s.token(t)), cert3, key3, own.path))
	own.issue(t, "n3", 3, cert3, key3)
	s.up(with(s.serve("n3"), cert3, key3, own.path))
}

// authority is an operator's own.
type authority struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	cluster string
	path    string // of the certificate
}

func newAuthority(t *testing.T, s *stage) *authority {
	t.Helper()
	var place struct {
		ClusterID string `json:"cluster_id"`
	}
	raw, err := os.ReadFile(filepath.Join(s.data("n1"), "node.json"))
	if err == nil {
		err = json.Unmarshal(raw, &place)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cluster: place.ClusterID, path: filepath.Join(s.dir, "own-ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an operator"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.path, "CERTIFICATE", der)
	return a
}

// issue writes a node's certificate and a new key for it.
func (a *authority) issue(t *testing.T, name string, number int, certPath, keyPath string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(int64(number) + 1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		URIs:        []*url.URL{{Scheme: "waggle", Host: a.cluster, Path: fmt.Sprint("/", number)}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certPath, "CERTIFICATE", der)
	writePEM(t, keyPath, "PRIVATE KEY", pkcs8)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
