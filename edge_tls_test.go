package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority issues certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newTestAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *authority) make(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.next++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.next), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// issue returns a certificate for 127.0.0.1 and its key, in PEM.
func (a *authority) issue(name string) (cert, key []byte) {
	a.t.Helper()
	c, k := a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// tlsRig is a listener under TLS whose files can be changed.
type tlsRig struct {
	t     *testing.T
	files ListenTLS
	tls   *clientTLS
	at    string
	log   bytes.Buffer
}

func newTLSRig(t *testing.T, cert, key, clients []byte) *tlsRig {
	t.Helper()
	dir := t.TempDir()
	r := &tlsRig{t: t, files: ListenTLS{CertFile: filepath.Join(dir, "c.pem"), KeyFile: filepath.Join(dir, "k.pem")}}
	if clients != nil {
		r.files.ClientCAFile = filepath.Join(dir, "a.pem")
		r.write(r.files.ClientCAFile, clients)
	}
	r.write(r.files.CertFile, cert)
	r.write(r.files.KeyFile, key)
	var err error
	if r.tls, err = newClientTLS(r.files, slog.New(slog.NewTextHandler(&r.log, nil))); err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := r.tls.over(plain)
	r.at = l.Addr().String()
	done := make(chan struct{})
	go func() { // greets everybody whose handshake succeeds
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if c.(*tls.Conn).Handshake() == nil {
				_, _ = io.WriteString(c, "hello")
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return r
}

// write replaces a file with a later time than before.
func (r *tlsRig) write(path string, b []byte) {
	r.t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		r.t.Fatal(err)
	}
	if r.tls != nil {
		r.tls.mu.Lock()
		r.tls.looked = time.Time{} // the next handshake looks
		r.tls.mu.Unlock()
	}
}

// greet returns whom the client meets, or why it is not let in.
func (r *tlsRig) greet(trusts *authority, own ...tls.Certificate) (string, error) {
	r.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(trusts.cert)
	c, err := tls.Dial("tcp", r.at, &tls.Config{RootCAs: pool, Certificates: own})
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err == nil && string(b) != "hello" {
		err = errors.New("not greeted")
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, err
}

func TestClientTLSReload(t *testing.T) {
	a, b := newTestAuthority(t, "a"), newTestAuthority(t, "b")
	first, firstKey := a.issue("first")
	r := newTLSRig(t, first, firstKey, nil)
	meets := func(trusts *authority, want string) {
		t.Helper()
		if got, err := r.greet(trusts); got != want || (err == nil) != (want != "") {
			t.Errorf("met %q, %v; want %q", got, err, want)
		}
	}
	meets(a, "first")
	meets(b, "")
	second, secondKey := b.issue("second")
	r.write(r.files.CertFile, second) // half of the change
	meets(a, "first")
	meets(a, "first")
	if n := strings.Count(r.log.String(), "the old ones stay in use"); n != 1 {
		t.Errorf("told %d times: %s", n, r.log.String())
	}
	r.write(r.files.KeyFile, secondKey)
	meets(b, "second")
	meets(a, "")
	if err := os.Remove(r.files.KeyFile); err != nil {
		t.Fatal(err)
	}
	r.write(r.files.CertFile, first)
	meets(b, "second")
	if strings.Contains(r.log.String(), "PRIVATE") {
		t.Error("a key in the log")
	}
}

func TestClientCertificates(t *testing.T) {
	a, b := newTestAuthority(t, "a"), newTestAuthority(t, "b")
	cert, key := a.issue("server")
	r := newTLSRig(t, cert, key, b.pem())
	pair := func(from *authority) tls.Certificate {
		c, k := from.issue("client")
		p, err := tls.X509KeyPair(c, k)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ofA, ofB := pair(a), pair(b)
	if _, err := r.greet(a, ofB); err != nil {
		t.Errorf("a client of the authority: %v", err)
	}
	for what, own := range map[string][]tls.Certificate{"none": nil, "of another authority": {ofA}} {
		if _, err := r.greet(a, own...); err == nil {
			t.Errorf("a client with a certificate %s was let in", what)
		}
	}
	r.write(r.files.ClientCAFile, a.pem())
	if _, err := r.greet(a, ofA); err != nil {
		t.Errorf("after the change: %v", err)
	}
	if _, err := r.greet(a, ofB); err == nil {
		t.Error("a client of the authority before")
	}
}

func TestClientTLSIsCheckedAtTheStart(t *testing.T) {
	a := newTestAuthority(t, "a")
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := a.issue("x")
	_, other := a.issue("y")
	c, k := file("c", cert), file("k", key)
	for what, files := range map[string]ListenTLS{
		"no file":       {CertFile: c, KeyFile: filepath.Join(dir, "none")},
		"another's key": {CertFile: c, KeyFile: file("o", other)},
		"no PEM":        {CertFile: file("n", []byte("nothing")), KeyFile: k},
		"no authority":  {CertFile: c, KeyFile: k, ClientCAFile: file("e", nil)},
	} {
		if _, err := newClientTLS(files, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "listen.tls: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, err := newClientTLS(ListenTLS{}, nil); got != nil || err != nil || got.over(nil) != nil {
		t.Errorf("without files: %v, %v", got, err)
	}
}
