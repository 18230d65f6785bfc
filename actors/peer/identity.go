package peer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// errForeign marks a certificate that belongs to no node of this cluster. It
// is told loudly: such nodes share an address list by mistake.
var errForeign = errors.New("not a node of this cluster")

// identityOf reads who a certificate is made out to. It says nothing about
// whether the certificate is genuine.
func identityOf(cert *x509.Certificate) (passport, error) {
	var found *url.URL
	for _, u := range cert.URIs {
		if u.Scheme == "waggle" {
			if found != nil {
				return passport{}, errors.New("certificate names two nodes")
			}
			found = u
		}
	}
	if found == nil {
		return passport{}, errors.New("certificate names no node")
	}
	p, err := parseIdentity(found.String())
	p.name = cert.Subject.CommonName
	if err == nil && (p.name == "" || len(p.name) > nameBytesMax) {
		err = errors.New("certificate has no usable common name")
	}
	return p, err
}

// parseIdentity reads waggle://<32 hex digits>/<number>, in exactly one spelling.
func parseIdentity(uri string) (passport, error) {
	var p passport
	rest, ok := strings.CutPrefix(uri, "waggle://")
	id, number, sep := strings.Cut(rest, "/")
	n, numberErr := strconv.ParseUint(number, 10, 32)
	if !ok || !sep || len(id) != 32 || numberErr != nil {
		return p, fmt.Errorf("%q is no waggle://<cluster>/<number>", uri)
	}
	if _, err := hex.Decode(p.cluster[:], []byte(id)); err != nil {
		return p, fmt.Errorf("%q is no waggle://<cluster>/<number>", uri)
	}
	p.number = uint32(n)
	if n == 0 || fmt.Sprintf("waggle://%x/%d", p.cluster, n) != uri {
		return p, fmt.Errorf("%q is not in its canonical spelling", uri)
	}
	return p, nil
}

// verify decides whether the other side of a handshake is a node of this
// cluster, and which.
func (t *Transport) verify(certs []*x509.Certificate, roots *x509.CertPool, use x509.ExtKeyUsage) (passport, error) {
	if len(certs) == 0 {
		return passport{}, errors.New("no certificate")
	}
	if roots == nil {
		return passport{}, errors.New("no pool to verify certificates against")
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	claimed, identityErr := identityOf(certs[0])
	_, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use}})
	switch {
	case identityErr == nil && claimed.cluster != t.self.cluster:
		return claimed, fmt.Errorf("%v: %w", claimed, errForeign)
	case err != nil:
		return claimed, fmt.Errorf("%v: %w", claimed, err)
	case identityErr != nil:
		return claimed, identityErr
	case claimed.number == t.self.number:
		return claimed, fmt.Errorf("%v has this node's own number", claimed)
	}
	return claimed, nil
}

// settings is a fresh copy of the caller's configuration with what is common
// to all handshakes. Sessions are not resumed: each connection proves itself.
func (t *Transport) settings() (*tls.Config, error) {
	base := t.o.TLS()
	if base == nil {
		return nil, errors.New("there is no TLS configuration")
	}
	c := base.Clone()
	c.MinVersion = tls.VersionTLS13
	c.GetConfigForClient = nil
	c.ClientSessionCache = nil
	c.SessionTicketsDisabled = true
	c.DynamicRecordSizingDisabled = true
	return c, nil
}

// dialling configures a handshake with node number; the certificate decides
// who is there, not the server name.
func (t *Transport) dialling(number uint32, lane Lane) (*tls.Config, error) {
	c, err := t.settings()
	if err != nil {
		return nil, err
	}
	roots := c.RootCAs
	if roots == nil {
		roots = c.ClientCAs
	}
	name := strconv.FormatUint(uint64(number), 10)
	if t.o.Name != nil {
		if n, ok := t.o.Name(number); ok {
			name = n
		}
	}
	c.NextProtos = []string{ProtocolPeer}
	c.ServerName = fmt.Sprintf("%v.%s.%s.waggle", lane, t.o.Self.Name, name)
	c.InsecureSkipVerify = true // VerifyConnection does it, without host names
	c.VerifyConnection = func(s tls.ConnectionState) error {
		other, err := t.verify(s.PeerCertificates, roots, x509.ExtKeyUsageServerAuth)
		if err == nil && other.number != number {
			err = fmt.Errorf("%v answers at the address of node %d", other, number)
		}
		return err
	}
	return c, nil
}

// accepting configures the handshake with whoever connected: peers show a
// certificate, joining nodes have none yet.
func (t *Transport) accepting(h *tls.ClientHelloInfo) (*tls.Config, error) {
	c, err := t.settings()
	if err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(h.SupportedProtos, ProtocolPeer):
		roots := c.ClientCAs
		c.NextProtos = []string{ProtocolPeer}
		c.ClientAuth = tls.RequireAnyClientCert // VerifyConnection does the rest
		c.VerifyConnection = func(s tls.ConnectionState) error {
			_, err := t.verify(s.PeerCertificates, roots, x509.ExtKeyUsageClientAuth)
			return err
		}
	case slices.Contains(h.SupportedProtos, ProtocolJoin) && t.o.Join != nil:
		c.NextProtos = []string{ProtocolJoin}
		c.ClientAuth = tls.NoClientCert
	default:
		return nil, fmt.Errorf("client speaks %q, none of it is spoken here", h.SupportedProtos)
	}
	return c, nil
}
