package hubsvc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustECDSA(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t testing.TB, key any) []byte {
	t.Helper()
	// What the request asks for beside its key is ignored.
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"example.com"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func mustIssue(t testing.TB, hub *Embedded, number uint32, name string) (tls.Certificate, []*x509.Certificate) {
	t.Helper()
	key := mustECDSA(t, elliptic.P256())
	chain, err := hub.IssueCertificate(request(t, key), number, name)
	if err != nil {
		t.Fatal(err)
	}
	var certs []*x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, c)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key}, certs
}

func TestIssueCertificate(t *testing.T) {
	hub, _ := namedHub(t)
	_, certs := mustIssue(t, hub, 1, "n1")
	cluster, _ := hub.Cluster()
	leaf, now := certs[0], hub.now()
	if id, err := IdentityOf(leaf); err != nil || id != (NodeIdentity{Cluster: cluster.ID, Number: 1, Name: "n1"}) {
		t.Errorf("%+v, %v", id, err)
	}
	if got := leaf.URIs[0].String(); got != "waggle://"+cluster.ID.String()+"/1" || len(leaf.DNSNames) != 0 || leaf.IsCA {
		t.Errorf("%s, %v, CA %v", got, leaf.DNSNames, leaf.IsCA)
	}
	if d := leaf.NotAfter.Sub(now); d != 365*24*time.Hour || !leaf.NotBefore.Before(now) {
		t.Errorf("good from %v to %v", leaf.NotBefore, leaf.NotAfter)
	}
	pool, ok := hub.CAPool()
	if !ok {
		t.Fatal("no pool")
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
	ca, ok := hub.CACertificate()
	if !ok || !slices.Equal(ca, certs[1].Raw) || !certs[1].IsCA || certs[1].NotAfter.Before(now.AddDate(9, 11, 0)) {
		t.Errorf("authority %+v", certs[1])
	}
	other, _ := namedHub(t)
	foreign, _ := other.CAPool()
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: foreign, CurrentTime: now}); err == nil {
		t.Error("another cluster's authority accepts it")
	}
	// Near the authority's end, a certificate ends with it.
	hub.now = func() time.Time { return certs[1].NotAfter.Add(-time.Hour) }
	if _, late := mustIssue(t, hub, 1, "n1"); !late[0].NotAfter.Equal(certs[1].NotAfter) {
		t.Errorf("good to %v, the authority to %v", late[0].NotAfter, certs[1].NotAfter)
	}
}

func TestIssueCertificateRefuses(t *testing.T) {
	hub, _ := namedHub(t)
	mustJoin(t, hub, "n2")
	if _, err := hub.SetMemberState(context.Background(), 2, MemberGone); err != nil {
		t.Fatal(err)
	}
	good := request(t, mustECDSA(t, elliptic.P256()))
	for name, try := range map[string]struct {
		number uint32
		name   string
	}{"other name": {1, "n2"}, "no name": {1, ""}, "gone": {2, "n2"}, "absent": {3, "n3"}, "zero": {0, "n1"}} {
		if _, err := hub.IssueCertificate(good, try.number, try.name); err == nil {
			t.Error(name)
		} else {
			wantCode(t, err, CodeFailedPrecondition)
		}
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	forged := slices.Clone(good)
	forged[len(forged)-1] ^= 1
	for name, csr := range map[string][]byte{"rsa": request(t, weak), "p224": request(t, mustECDSA(t, elliptic.P224())), "forged": forged, "empty": nil, "cut": good[:50]} {
		if _, err := hub.IssueCertificate(csr, 1, "n1"); err == nil {
			t.Error(name)
		} else {
			wantCode(t, err, CodeInvalidRequest)
		}
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{ed, mustECDSA(t, elliptic.P384())} {
		if _, err := hub.IssueCertificate(request(t, key), 1, "n1"); err != nil {
			t.Errorf("%T: %v", key, err)
		}
	}
}

func TestAnotherSecretDoesNotUnseal(t *testing.T) {
	hub, g := namedHub(t)
	wrong := NewEmbedded(hub.Directory, g, EmbeddedOptions{SealKey: make([]byte, SealKeyBytes)})
	_, err := wrong.IssueCertificate(request(t, mustECDSA(t, elliptic.P256())), 1, "n1")
	wantMessage(t, err, CodeFailedPrecondition, "secret does not open")

	a := hub.Topology().authority
	for i := range a.SealedKey {
		bad := slices.Clone(a.SealedKey)
		bad[i] ^= 1
		if _, err := unsealKey(testSeal, bad, a.Certificate); err == nil {
			t.Fatalf("byte %d changed, and it opens", i)
		}
		if _, err := unsealKey(testSeal, a.SealedKey[:i], a.Certificate); err == nil {
			t.Fatalf("cut to %d bytes, and it opens", i)
		}
	}
	if _, err := unsealKey(testSeal, a.SealedKey, []byte("another certificate")); err == nil {
		t.Error("the key opens beside another certificate")
	}
	defer func() {
		if recover() == nil {
			t.Error("a short sealing key is taken")
		}
	}()
	NewEmbedded(hub.Directory, g, EmbeddedOptions{SealKey: make([]byte, 16)})
}

// Nothing in the state or the log opens the cluster: no key in clear, no token.
func TestNoSecretIsStored(t *testing.T) {
	hub, g := namedHub(t)
	a := hub.Topology().authority
	plain, err := unsealKey(testSeal, a.SealedKey, a.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := key.(*ecdsa.PrivateKey).Bytes()
	if err != nil || !strings.Contains(string(plain), string(scalar)) {
		t.Fatal(err)
	}
	text, err := hub.CreateJoinToken(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := ParseJoinToken(text)
	for key, value := range g.tx.state {
		for _, secret := range [][]byte{scalar, token.Secret(), []byte(text)} {
			if strings.Contains(key+string(value), string(secret)) {
				t.Errorf("a secret is in the record %q", key)
			}
		}
	}
	for _, shown := range []string{fmt.Sprint(token), fmt.Sprintf("%+v", token), fmt.Sprintf("%#v", token), fmt.Sprint(&token)} {
		if strings.Contains(shown, text[50:]) || strings.Contains(shown, "0x") {
			t.Errorf("printed as %s", shown)
		}
	}
}

// A cluster that was born before there were authorities gets one when it is named.
func TestNamingBringsTheAuthority(t *testing.T) {
	ctx := context.Background()
	hub, _ := newHub(t)
	birth := *commands[0].cmd.Op.(*Birth)
	birth.SecretSum = hub.hasher.SecretSum()
	if _, err := propose[Cluster](ctx, hub, &birth); err != nil {
		t.Fatal(err)
	}
	_, err := hub.CreateJoinToken(ctx, 0)
	wantMessage(t, err, CodeFailedPrecondition, "no certificate authority")
	if _, ok := hub.CAPool(); ok {
		t.Error("there is an authority")
	}
	op := NameMember{Number: 1, Name: "n1", Cluster: "demo", Address: "h:1"}
	if _, err := hub.NameMember(ctx, op); err != nil {
		t.Fatal(err)
	}
	first, _ := hub.CACertificate()
	mustIssue(t, hub, 1, "n1")
	if _, err := propose[Member](ctx, hub, &NameMember{Number: 1, Name: "n1", Cluster: "demo", Address: "h:2", Authority: &NewAuthority{[]byte{1}, []byte{1}}}); err != nil {
		t.Fatal(err)
	}
	if again, _ := hub.CACertificate(); !slices.Equal(first, again) {
		t.Error("the authority was replaced")
	}
}

func TestJoinToken(t *testing.T) {
	hub, _ := namedHub(t)
	text, err := hub.CreateJoinToken(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	token, err := ParseJoinToken(text)
	cluster, _ := hub.Cluster()
	ca, _ := hub.CACertificate()
	if err != nil || token.Cluster != cluster.ID || token.CASum != sha256.Sum256(ca) || token.Reveal() != text {
		t.Errorf("%+v, %v", token, err)
	}
	for _, bad := range []string{
		"", "wj1_", text[4:], "wj2_" + text[4:], text[:len(text)-1], text + "A", text + "=", " " + text,
		text[:50] + "\n" + text[50:], text[:50] + "\n" + text[51:], text[:50] + "+" + text[51:],
		"wj1_" + base64.StdEncoding.EncodeToString(make([]byte, 81)),
	} {
		_, err := ParseJoinToken(bad)
		wantCode(t, err, CodeInvalidRequest)
		if err != nil && strings.Contains(err.Error(), text[60:]) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

func FuzzParseJoinToken(f *testing.F) {
	f.Add(newJoinToken(ClusterID{1}, [32]byte{2}).Reveal())
	f.Add("wj1_")
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := ParseJoinToken(text); err == nil && token.Reveal() != text {
			t.Errorf("%q is read as %q", text, token.Reveal())
		}
	})
}

func FuzzParseIdentityURI(f *testing.F) {
	f.Add("waggle://000102030405060708090a0b0c0d0e0f/7")
	f.Add("waggle://000102030405060708090A0b0c0d0e0f/07")
	f.Fuzz(func(t *testing.T, text string) {
		id, number, err := parseIdentityURI(text)
		if err == nil && (NodeIdentity{Cluster: id, Number: number}).uri().String() != text {
			t.Errorf("%q is read as %s/%d", text, id, number)
		}
	})
}

func TestIdentityURI(t *testing.T) {
	hexed := "000102030405060708090a0b0c0d0e0f"
	for text, good := range map[string]bool{
		"waggle://" + hexed + "/1": true, "waggle://" + hexed + "/4294967295": true,
		"waggle://" + hexed + "/4294967296": false, "waggle://" + hexed + "/0": false, "waggle://" + hexed + "/01": false,
		"waggle://" + hexed + "/+1": false, "waggle://" + hexed + "/1/": false, "waggle://" + hexed + "/1?x": false,
		"waggle://" + hexed + "/": false, "waggle://" + hexed: false, "https://" + hexed + "/1": false,
		"waggle://" + strings.ToUpper(hexed) + "/1": false, "waggle://" + hexed[2:] + "/1": false, "waggle://x" + hexed[1:] + "/1": false,
		"waggle://u@" + hexed[2:] + "/1": false, "": false,
	} {
		if _, _, err := parseIdentityURI(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestVerifyPinned(t *testing.T) {
	hub, _ := namedHub(t)
	_, certs := mustIssue(t, hub, 1, "n1")
	text, err := hub.CreateJoinToken(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	token, _ := ParseJoinToken(text)
	id, ca, err := VerifyPinned(token, certs, hub.now())
	if err != nil || id.Name != "n1" || id.Number != 1 || !ca.Equal(certs[1]) {
		t.Errorf("%+v, %v", id, err)
	}
	other, _ := namedHub(t)
	_, foreign := mustIssue(t, other, 1, "n1")
	elsewhere := token
	elsewhere.Cluster[0] ^= 1
	for name, tc := range map[string]struct {
		token JoinToken
		shown []*x509.Certificate
		after time.Duration
		says  string
	}{
		"nothing shown":     {token, nil, 0, "authority is another"},
		"no authority":      {token, certs[:1], 0, "authority is another"},
		"foreign authority": {token, foreign, 0, "authority is another"},
		"foreign node":      {token, []*x509.Certificate{foreign[0], certs[1]}, 0, "not valid"},
		"authority alone":   {token, certs[1:], 0, "not a node's"},
		"expired":           {token, certs, 400 * 24 * time.Hour, "not valid"},
		"other cluster":     {elsewhere, certs, 0, "is of cluster"},
	} {
		_, _, err := VerifyPinned(tc.token, tc.shown, hub.now().Add(tc.after))
		if wantMessage(t, err, CodeFailedPrecondition, tc.says); err == nil {
			t.Error(name)
		}
	}
}

// The pieces fit together in a handshake: mutual between members, pinned
// between a joiner and a member.
func TestHandshakes(t *testing.T) {
	hub, _ := namedHub(t)
	mustJoin(t, hub, "n2")
	one, _ := mustIssue(t, hub, 1, "n1")
	two, _ := mustIssue(t, hub, 2, "n2")
	text, _ := hub.CreateJoinToken(context.Background(), 0)
	token, _ := ParseJoinToken(text)
	pool, _ := hub.CAPool()

	handshake := func(server, client *tls.Config) (seen *x509.Certificate) {
		t.Helper()
		server.Time, client.Time = hub.now, hub.now
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		s := tls.Server(a, server)
		failed := make(chan error, 1)
		go func() { failed <- s.Handshake() }()
		if err := tls.Client(b, client).Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if certs := s.ConnectionState().PeerCertificates; len(certs) > 0 {
			return certs[0]
		}
		return nil
	}
	verify := func(cs tls.ConnectionState) error {
		_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, CurrentTime: hub.now()})
		return err
	}
	seen := handshake(
		&tls.Config{Certificates: []tls.Certificate{one}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
		&tls.Config{Certificates: []tls.Certificate{two}, InsecureSkipVerify: true, VerifyConnection: verify},
	)
	if id, err := IdentityOf(seen); err != nil || id.Number != 2 || id.Name != "n2" {
		t.Errorf("%+v, %v", id, err)
	}
	var joined NodeIdentity
	handshake(
		&tls.Config{Certificates: []tls.Certificate{one}},
		&tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) (err error) {
			joined, _, err = VerifyPinned(token, cs.PeerCertificates, hub.now())
			return err
		}},
	)
	if diff := cmp.Diff("n1", joined.Name); diff != "" {
		t.Error(diff)
	}
}
