package hubsvc

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"time"
)

// SealKeyBytes is the length of the key that the authority's key is sealed with.
const SealKeyBytes = 32

// How long certificates are good. Both begin an hour early: clocks differ.
const (
	authorityYears  = 10
	certificateYear = 365 * 24 * time.Hour
	clockSkew       = time.Hour
)

// authority is an Authority whose certificate has been read.
type authority struct {
	Authority
	cert *x509.Certificate
	sum  [sha256.Size]byte // of the certificate: what join tokens pin
}

func openAuthority(a Authority) (*authority, error) {
	cert, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return nil, &Error{Code: CodeDataLoss, Message: "the certificate of the cluster's authority cannot be read", Err: err}
	}
	return &authority{Authority: a, cert: cert, sum: sha256.Sum256(a.Certificate)}, nil
}

// newAuthority makes a cluster's authority, its key sealed.
func newAuthority(id ClusterID, sealing []byte, now time.Time) (*NewAuthority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, authorityTemplate(id, now), authorityTemplate(id, now), key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the authority's key: %w", err)
	}
	defer clear(plain)
	return &NewAuthority{Certificate: cert, SealedKey: sealKey(sealing, plain, cert)}, nil
}

func authorityTemplate(id ClusterID, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: "waggle cluster " + id.String()},
		NotBefore: now.Add(-clockSkew), NotAfter: now.AddDate(authorityYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
}

// sealKey encrypts the authority's key, bound to its certificate.
//
//	offset size
//	0      1    version, 1
//	1      12   random nonce
//	13     -    AES-256-GCM of the PKCS #8 key, tag at its end; additional data: the certificate
func sealKey(sealing, plain, cert []byte) []byte {
	return sealer(sealing).Seal([]byte{1}, nil, plain, cert)
}

func unsealKey(sealing, sealed, cert []byte) ([]byte, error) {
	if len(sealed) < 1 || sealed[0] != 1 {
		return nil, errorf(CodeDataLoss, "the sealed key of the cluster's authority is not of version 1")
	}
	plain, err := sealer(sealing).Open(nil, nil, sealed[1:], cert)
	if err != nil {
		return nil, errorf(CodeFailedPrecondition, "the cluster secret does not open the key of the cluster's authority")
	}
	return plain, nil
}

func sealer(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return aead
		}
	}
	panic(fmt.Sprintf("BUG: sealing with a key of %d bytes: %v", len(key), err))
}

// CAPool returns a pool with the cluster's authority alone, and false while it
// is not known here.
func (d *Directory) CAPool() (*x509.CertPool, bool) {
	a := d.Topology().authority
	if a == nil {
		return nil, false
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool, true
}

// CACertificate returns the authority's certificate, DER, and false while it
// is not known here.
func (d *Directory) CACertificate() ([]byte, bool) {
	a := d.Topology().authority
	if a == nil {
		return nil, false
	}
	return a.Certificate, true
}

// IssueCertificate signs the certificate of a member, for one year, from a
// PKCS #10 request that proves the possession of the key; nothing else in the
// request counts. It returns the chain, DER: the member's certificate and the
// authority's. The member must be in the Directory, under this name.
func (e *Embedded) IssueCertificate(request []byte, number uint32, name string) ([][]byte, error) {
	t := e.Topology()
	m, ok := t.Member(number)
	if !ok || m.State == MemberGone || m.Name != name || name == "" {
		return nil, errorf(CodeFailedPrecondition, "%q is not member %d of the cluster; it gets no certificate", name, number)
	}
	if t.authority == nil {
		return nil, errNoAuthority
	}
	key, err := certifiable(request)
	if err != nil {
		return nil, err
	}
	cluster, _ := e.Cluster()
	id := NodeIdentity{Cluster: cluster.ID, Number: number, Name: name}
	leaf, err := t.authority.sign(e.sealing, id, key, e.now())
	if err != nil {
		return nil, err
	}
	return [][]byte{leaf, t.authority.Certificate}, nil
}

var errNoAuthority = &Error{Code: CodeFailedPrecondition, Message: "the cluster has no certificate authority yet: start its first node with the cluster flags"}

// certifiable returns the public key of a request.
func certifiable(request []byte) (any, error) {
	csr, err := x509.ParseCertificateRequest(request)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, &Error{Code: CodeInvalidRequest, Message: "the certificate request is not valid", Err: err}
	}
	switch key := csr.PublicKey.(type) {
	case ed25519.PublicKey:
		return key, nil
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P224() {
			return key, nil
		}
	}
	return nil, errorf(CodeInvalidRequest, "the certificate request has a key of type %s; must be ECDSA P-256 or better, or Ed25519", csr.PublicKeyAlgorithm)
}

func (a *authority) sign(sealing []byte, id NodeIdentity, key any, now time.Time) ([]byte, error) {
	signer, err := a.key(sealing)
	if err != nil {
		return nil, err
	}
	until := now.Add(certificateYear)
	if until.After(a.cert.NotAfter) {
		until = a.cert.NotAfter
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject:   pkix.Name{CommonName: id.Name},
		URIs:      []*url.URL{id.uri()},
		NotBefore: now.Add(-clockSkew), NotAfter: until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, a.cert, key, signer)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of member %d: %w", id.Number, err)
	}
	return leaf, nil
}

// key opens the authority's key.
func (a *authority) key(sealing []byte) (crypto.Signer, error) {
	plain, err := unsealKey(sealing, a.SealedKey, a.Certificate)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	signer, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, errorf(CodeDataLoss, "the key of the cluster's authority cannot be read")
	}
	return signer, nil
}
