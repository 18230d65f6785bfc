package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tlsAuthority is one that nobody knows but those who are told.
type tlsAuthority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newTLSAuthority(t *testing.T) *tlsAuthority {
	t.Helper()
	a := &tlsAuthority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *tlsAuthority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

// issue writes a certificate for 127.0.0.1 and its key over the two files, and
// returns it as one to use.
func (a *tlsAuthority) issue(serial int64, certFile, keyFile string) tls.Certificate {
	a.t.Helper()
	c, key := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "waggle"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(keyFile, "PRIVATE KEY", der)
	a.write(certFile, "CERTIFICATE", c.Raw)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

func (a *tlsAuthority) write(path, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// TestTLS runs a node that clients reach from other machines: with
// certificates of an authority of its own, for both sides.
func TestTLS(t *testing.T) {
	t.Parallel()
	authority, dir := newTLSAuthority(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	authority.issue(10, at("cert"), at("key"))
	authority.write(at("clients"), "CERTIFICATE", authority.cert.Raw)
	cmd := serveCommand(t.TempDir(), "--listen", "0.0.0.0:0")
	cmd.Env = append(cmd.Env, "WAGGLE_LISTEN_TLS_CERT_FILE="+at("cert"), "WAGGLE_LISTEN_TLS_KEY_FILE="+at("key"), "WAGGLE_LISTEN_TLS_CLIENT_CA_FILE="+at("clients"))
	s, err := launch(t, cmd.Args[3], cmd)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.http, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.cert)
	own := authority.issue(11, at("own"), at("own.key"))
	secure := func(c *tls.Config) *http.Client {
		return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: c}}
	}
	known := secure(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}})
	get := func(c *http.Client, base, key string) (*http.Response, error) {
		req, err := http.NewRequest("GET", base, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Api-Key", key)
		resp, err := c.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return resp, err
	}
	urls := []string{"https://127.0.0.1:" + port + "/qdrant/collections", strings.Replace(s.qdrant, "http://", "https://", 1) + "/collections"}
	for _, url := range urls {
		resp, err := get(known, url, tenantKey)
		if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Strict-Transport-Security"), "max-age=") {
			t.Fatalf("%s: %v, %v", url, resp, err)
		}
		if resp, err = get(known, url, ""); err != nil || resp.StatusCode != 401 {
			t.Errorf("a certificate stands in for a key: %v, %v", resp, err)
		}
		for what, c := range map[string]*http.Client{
			"a client without a certificate":    secure(&tls.Config{RootCAs: roots}),
			"a client that knows no authority":  secure(&tls.Config{Certificates: []tls.Certificate{own}}),
			"a client that speaks TLS 1.1":      secure(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, MaxVersion: tls.VersionTLS11}),
			"a client of its own certification": secure(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{newTLSAuthority(t).issue(11, at("x"), at("x.key"))}}),
		} {
			if resp, err := get(c, url, tenantKey); err == nil {
				t.Errorf("%s: %v", what, resp)
			}
		}
		if resp, err := get(client, strings.Replace(url, "https", "http", 1), tenantKey); err == nil && resp.StatusCode == 200 {
			t.Errorf("without TLS: %v", resp)
		}
	}

	// The certificate is changed while the node runs.
	authority.issue(12, at("cert"), at("key"))
	eventually(t, 10*time.Second, func() error {
		known.CloseIdleConnections()
		resp, err := get(known, urls[0], tenantKey)
		if err != nil {
			return err
		}
		if n := resp.TLS.PeerCertificates[0].SerialNumber.Int64(); n != 12 {
			return fmt.Errorf("certificate %d", n)
		}
		return nil
	})
	// A connection that waits for its next request does not hold up the end.
	if _, err := get(known, urls[1], tenantKey); err != nil {
		t.Error(err)
	}
	began := time.Now()
	if code := s.stop(); code != 0 || time.Since(began) > 8*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
	for _, key := range []string{"PRIVATE KEY", tenantKey} {
		if strings.Contains(s.stderr.String(), key) {
			t.Errorf("%.12s is in the log", key)
		}
	}
}
