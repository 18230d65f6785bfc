package hubsvc

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// NodeIdentity is what a node's certificate says: the common name is the
// node's name, the one URI waggle://<cluster id in hex>/<member number>.
type NodeIdentity struct {
	Cluster ClusterID
	Number  uint32
	Name    string
}

const identityScheme = "waggle"

func (id NodeIdentity) uri() *url.URL {
	return &url.URL{Scheme: identityScheme, Host: id.Cluster.String(), Path: "/" + strconv.FormatUint(uint64(id.Number), 10)}
}

// IdentityOf reads the identity in a certificate. It does not verify the
// certificate. The error is INVALID_REQUEST.
func IdentityOf(cert *x509.Certificate) (NodeIdentity, error) {
	if len(cert.URIs) != 1 {
		return NodeIdentity{}, errorf(CodeInvalidRequest, "the certificate has %d URIs, a node's has one", len(cert.URIs))
	}
	cluster, number, err := parseIdentityURI(cert.URIs[0].String())
	if err != nil {
		return NodeIdentity{}, err
	}
	if err := ValidateNodeName("the certificate's common name", cert.Subject.CommonName); err != nil {
		return NodeIdentity{}, err
	}
	return NodeIdentity{Cluster: cluster, Number: number, Name: cert.Subject.CommonName}, nil
}

// parseIdentityURI accepts the one spelling that uri has.
func parseIdentityURI(text string) (id ClusterID, number uint32, err error) {
	bad := errorf(CodeInvalidRequest, "the certificate's URI is not that of a node")
	rest, ok := strings.CutPrefix(text, identityScheme+"://")
	host, path, cut := strings.Cut(rest, "/")
	if !ok || !cut || len(host) != hex.EncodedLen(len(id)) {
		return ClusterID{}, 0, bad
	}
	if _, err := hex.Decode(id[:], []byte(host)); err != nil || id.String() != host {
		return ClusterID{}, 0, bad
	}
	n, err := strconv.ParseUint(path, 10, 32)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != path {
		return ClusterID{}, 0, bad
	}
	return id, uint32(n), nil
}

// VerifyPinned verifies the certificates that a node showed to one that holds a
// join token and nothing else: the authority's certificate must be among them
// and be the one that the token pins, and the first must be of a node of the
// token's cluster. It returns who that is, and the authority's certificate.
// The error is FAILED_PRECONDITION.
func VerifyPinned(t JoinToken, shown []*x509.Certificate, now time.Time) (NodeIdentity, *x509.Certificate, error) {
	var ca *x509.Certificate
	for _, c := range shown {
		if sha256.Sum256(c.Raw) == t.CASum {
			ca = c
		}
	}
	if ca == nil {
		return NodeIdentity{}, nil, errorf(CodeFailedPrecondition, "the node that answered is not of the cluster that the join token is for: its certificate authority is another")
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := shown[0].Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return NodeIdentity{}, nil, &Error{Code: CodeFailedPrecondition, Message: "the certificate of the node that answered is not valid", Err: err}
	}
	id, err := IdentityOf(shown[0])
	if err != nil {
		return NodeIdentity{}, nil, &Error{Code: CodeFailedPrecondition, Message: "the certificate of the node that answered is not a node's", Err: err}
	}
	if id.Cluster != t.Cluster {
		return NodeIdentity{}, nil, errorf(CodeFailedPrecondition, "the node that answered is of cluster %s, the join token of %s", id.Cluster, t.Cluster)
	}
	return id, ca, nil
}
