package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hivehub/waggle/hubsvc"
)

// place is a node's place in a cluster of several: who it is, how it proves
// that, and where the others were last. It is the file `node.json` in the data
// directory, for its owner alone: the key is in it. A node that was never given
// cluster flags has none.
type place struct {
	ClusterID   string   `json:"cluster_id"`
	Cluster     string   `json:"cluster"`
	NodeID      string   `json:"node_id"`
	Number      uint32   `json:"number"`
	Partitions  int      `json:"partitions"`
	Replica     uint64   `json:"system_replica"` // that it joined with; 0: the cluster was born here
	Started     bool     `json:"started"`        // there was a log: what this node has promised the others is in it
	Certificate string   `json:"certificate"`    // PEM, with the authority's behind it
	Key         string   `json:"key"`            // PEM
	Authority   string   `json:"authority"`      // PEM
	Peers       []peerAt `json:"peers"`          // as last seen, so that a restart needs nobody else

	path    string
	mu      sync.Mutex // held while Peers, Certificate and Key change
	renewed int64      // how often, since the start
}

// peerAt is where another node was last.
type peerAt struct {
	Number  uint32 `json:"number"`
	NodeID  string `json:"node_id"`
	Address string `json:"address"`
}

// clusterID is ClusterID as bytes.
func (p *place) clusterID() (id hubsvc.ClusterID, err error) {
	raw, err := hex.DecodeString(p.ClusterID)
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("%s: the cluster's id is malformed", p.path)
	}
	return hubsvc.ClusterID(raw), nil
}

// placePath is where the place of the node in a data directory is.
func placePath(dir string) string { return filepath.Join(dir, "node.json") }

// readPlace returns the place of the node in a data directory, nil when it has
// none.
func readPlace(dir string) (*place, error) {
	p := &place{path: placePath(dir)}
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, p)
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's place in the cluster, %s: %w", p.path, err)
	}
	return p, nil
}

// save leaves either the old file or the new one.
func (p *place) save() error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = replaceSynced(p.path, string(text)+"\n")
	}
	if err != nil {
		return fmt.Errorf("write the node's place in the cluster: %w", err)
	}
	return nil
}

// setPeers notes where the others are, when that has changed.
func (p *place) setPeers(peers []peerAt) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if samePeers(p.Peers, peers) {
		return nil
	}
	p.Peers = peers
	return p.save()
}

func samePeers(a, b []peerAt) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// peer returns where another node was last.
func (p *place) peer(number uint32) (peerAt, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.Peers {
		if at.Number == number {
			return at, true
		}
	}
	return peerAt{}, false
}

// renewBefore is how long before its end a certificate is made anew.
const renewBefore = 120 * 24 * time.Hour

// renew makes a new key and certificate when the present one ends soon, and
// reports whether it did. issue signs a PKCS #10 request: it returns the chain.
func (p *place) renew(now time.Time, issue func(request []byte) ([][]byte, error)) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	block, _ := pem.Decode([]byte(p.Certificate))
	if block == nil {
		return false, fmt.Errorf("%s: there is no certificate", p.path)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.NotAfter.Sub(now) > renewBefore {
		return false, err
	}
	key, err := newNodeKey(p.NodeID)
	if err != nil {
		return false, err
	}
	chain, err := issue(key.request)
	if err != nil {
		return false, err
	}
	p.Certificate, p.Key = pemOf("CERTIFICATE", chain...), key.pem
	p.renewed++
	return true, p.save()
}

// nodeKey is a new key for a node, and the request for its certificate.
type nodeKey struct {
	pem     string
	request []byte // DER
}

func newNodeKey(nodeID string) (nodeKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nodeKey{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: nodeID}}, key)
	if err != nil {
		return nodeKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return nodeKey{pem: pemOf("PRIVATE KEY", der), request: request}, err
}

func pemOf(kind string, ders ...[]byte) (text string) {
	for _, der := range ders {
		text += string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text
}

// certificates are what a node shows and whom it believes. Files of the
// operator's win over those of the cluster's own authority, and are read again
// when they change.
type certificates struct {
	place *place
	files TLSConfig

	mu     sync.Mutex
	read   [3]fileStamp
	loaded *tls.Config
}

// fileStamp tells whether a file has changed.
type fileStamp struct {
	modified int64
	size     int64
}

// config is asked for each handshake. When the files cannot be read it goes on
// with what it had.
func (c *certificates) config() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps, err := c.stamps()
	if err == nil && (c.loaded == nil || stamps != c.read) {
		var fresh *tls.Config
		if fresh, err = c.load(); err == nil {
			c.loaded, c.read = fresh, stamps
		}
	}
	return c.loaded
}

func (c *certificates) stamps() (stamps [3]fileStamp, err error) {
	if c.files.Cert == "" {
		c.place.mu.Lock()
		defer c.place.mu.Unlock()
		stamps[0].modified = c.place.renewed
		return stamps, nil
	}
	for i, path := range []string{c.files.Cert, c.files.Key, c.files.CA} {
		info, err := os.Stat(path)
		if err != nil {
			return stamps, err
		}
		stamps[i] = fileStamp{info.ModTime().UnixNano(), info.Size()}
	}
	return stamps, nil
}

func (c *certificates) load() (*tls.Config, error) {
	c.place.mu.Lock()
	cert, key, authority := []byte(c.place.Certificate), []byte(c.place.Key), []byte(c.place.Authority)
	c.place.mu.Unlock()
	if c.files.Cert != "" {
		var err error
		for _, f := range []struct {
			to   *[]byte
			path string
		}{{&cert, c.files.Cert}, {&key, c.files.Key}, {&authority, c.files.CA}} {
			if *f.to, err = os.ReadFile(f.path); err != nil {
				return nil, err
			}
		}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the node's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, errors.New("there is no certificate of an authority")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: pool, RootCAs: pool}, nil
}

// check reads the certificates once, so that wrong files are told at the start.
func (c *certificates) check() error {
	config, err := c.load()
	if err == nil && c.files.Cert != "" {
		err = c.place.proves(config)
	}
	if err != nil {
		return fmt.Errorf("cluster.tls: %w", err)
	}
	return nil
}

// proves returns why the certificate would not do for this node among others.
func (p *place) proves(config *tls.Config) error {
	chain := config.Certificates[0]
	rest := x509.NewCertPool()
	for _, der := range chain.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			rest.AddCert(c)
		}
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		o := x509.VerifyOptions{Roots: config.RootCAs, Intermediates: rest, KeyUsages: []x509.ExtKeyUsage{use}}
		if _, err := chain.Leaf.Verify(o); err != nil {
			return fmt.Errorf("the node's certificate is not one of the authority in ca: %w", err)
		}
	}
	who, err := hubsvc.IdentityOf(chain.Leaf)
	if err != nil {
		return err
	}
	if who.Cluster.String() != p.ClusterID || who.Number != p.Number || who.Name != p.NodeID {
		return fmt.Errorf("the certificate is that of node %d %q of the cluster %s; this is node %d %q of the cluster %s",
			who.Number, who.Name, who.Cluster, p.Number, p.NodeID, p.ClusterID)
	}
	return nil
}
