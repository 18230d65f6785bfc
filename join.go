package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/hivehub/waggle/actors"
	"github.com/hivehub/waggle/actors/peer"
	"github.com/hivehub/waggle/cli"
	"github.com/hivehub/waggle/grains/membership"
	"github.com/hivehub/waggle/hubsvc"
)

// A join is one question and one answer, each a line of JSON, over TLS. The
// joining node knows the cluster by the authority that its token pins; the
// cluster knows the node by the token's secret.
const (
	joinTimeout  = 30 * time.Second
	joinBytesMax = 1 << 20
)

// joinRequest is what a joining node asks with.
type joinRequest struct {
	Secret  []byte `json:"secret"` // of the token
	Cluster string `json:"cluster"`
	NodeID  string `json:"node_id"`
	Address string `json:"address"`
	HTTP    string `json:"http"`
	Request []byte `json:"request"` // PKCS #10, DER
}

// joinAnswer is a place in the cluster, or why there is none.
type joinAnswer struct {
	Error        string   `json:"error,omitempty"`
	Final        bool     `json:"final,omitempty"` // of the error: to ask again is of no use
	ClusterID    string   `json:"cluster_id"`
	Number       uint32   `json:"number"`
	Replica      uint64   `json:"replica"`
	Partitions   int      `json:"partitions"`
	Certificates [][]byte `json:"certificates"` // DER: the node's, the authority's
	Secret       []byte   `json:"secret"`       // of the cluster
	Peers        []peerAt `json:"peers"`
}

// join makes this empty node a member of the cluster: it waits for Consul to
// name members and asks them until one answers.
func join(ctx context.Context, c Config, httpAddress string, log *slog.Logger) (*joinAnswer, nodeKey, error) {
	token, err := hubsvc.ParseJoinToken(string(c.Cluster.JoinToken))
	if err != nil {
		return nil, nodeKey{}, fmt.Errorf("--join-token: %w", err)
	}
	key, err := newNodeKey(c.Cluster.NodeID)
	if err != nil {
		return nil, nodeKey{}, err
	}
	o := membershipOptions(c, log)
	o.ClusterID = token.Cluster.String()
	request := joinRequest{
		Secret: token.Secret(), Cluster: c.Cluster.Name, NodeID: c.Cluster.NodeID,
		Address: c.Cluster.address(), HTTP: httpAddress, Request: key.request,
	}
	for {
		members, _, err := membership.Discover(ctx, o)
		if err != nil {
			return nil, key, fmt.Errorf("find the cluster %q: %w", c.Cluster.Name, err)
		}
		strangers := 0
		for _, m := range members {
			answer, err := askToJoin(ctx, c, token, m.Address, request)
			switch stranger, isStranger := errors.AsType[*strangerError](err); {
			case isStranger:
				if strangers++; strangers == len(members) {
					return nil, key, fmt.Errorf("join the cluster %q: %w", c.Cluster.Name, stranger)
				}
			case err != nil:
				log.Warn("a member does not let this node join; asking another one", "member", m.NodeID, "err", err)
			case answer.Final:
				return nil, key, fmt.Errorf("join the cluster %q: %s", c.Cluster.Name, answer.Error)
			case answer.Error != "":
				log.Warn("a member cannot let this node join now; asking again", "member", m.NodeID, "err", answer.Error)
			default:
				return answer, key, nil
			}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, key, fmt.Errorf("join the cluster %q: %w", c.Cluster.Name, ctx.Err())
		}
	}
}

// strangerError says that who answers is not of the cluster that is to be joined.
type strangerError struct{ err error }

func (e *strangerError) Error() string {
	if refusal, ok := errors.AsType[*hubsvc.Error](e.err); ok {
		return refusal.Message
	}
	return e.err.Error()
}

func askToJoin(ctx context.Context, c Config, token hubsvc.JoinToken, address string, request joinRequest) (*joinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{peer.ProtocolJoin}, ServerName: "join." + c.Cluster.NodeID + ".any.waggle",
		InsecureSkipVerify: true, // VerifyConnection does it: by the token's pin, not by host names
		VerifyConnection: func(s tls.ConnectionState) error {
			if _, _, err := hubsvc.VerifyPinned(token, s.PeerCertificates, time.Now()); err != nil {
				return &strangerError{err}
			}
			return nil
		},
	}
	if c.Cluster.TLS.CA != "" {
		trusted := &certificates{place: &place{}, files: c.Cluster.TLS}
		files, err := trusted.load()
		if err != nil {
			return nil, err
		}
		config.VerifyConnection = verifyBy(files.RootCAs, token.Cluster)
	}
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return nil, err
	}
	var answer joinAnswer
	err = json.NewDecoder(io.LimitReader(conn, joinBytesMax)).Decode(&answer)
	return &answer, err
}

// verifyBy verifies a member's certificate by the operator's own authority.
func verifyBy(roots *x509.CertPool, cluster hubsvc.ClusterID) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		leaf := s.PeerCertificates[0]
		rest := x509.NewCertPool()
		for _, c := range s.PeerCertificates[1:] {
			rest.AddCert(c)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: rest, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
			return &strangerError{err}
		}
		who, err := hubsvc.IdentityOf(leaf)
		if err == nil && who.Cluster != cluster {
			err = fmt.Errorf("a node of the cluster %s answers, and the token is for %s", who.Cluster, cluster)
		}
		if err != nil {
			return &strangerError{err}
		}
		return nil
	}
}

// methodJoin hands a join on to the leader of the system group.
const methodJoin = "join"

// doorkeeper lets nodes in.
type doorkeeper struct {
	node   *actors.Node
	hub    *hubsvc.Embedded
	secret clusterSecret
	log    *slog.Logger
}

// serve answers one joining node.
func (d *doorkeeper) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(joinTimeout))
	line, err := bufio.NewReader(io.LimitReader(conn, joinBytesMax)).ReadBytes('\n')
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), joinTimeout)
	defer cancel()
	answer, err := d.decide(ctx, line)
	if err != nil {
		answer, _ = json.Marshal(refusal(err))
	}
	_, _ = conn.Write(append(answer, '\n')) // whoever does not hear it asks again
}

func refusal(err error) joinAnswer {
	var e *hubsvc.Error
	if errors.As(err, &e) {
		return joinAnswer{Error: e.Message, Final: e.Code != hubsvc.CodeUnavailable}
	}
	return joinAnswer{Error: err.Error()}
}

// decide answers here when this node leads the system group, else there.
func (d *doorkeeper) decide(ctx context.Context, request []byte) ([]byte, error) {
	system := d.node.SystemReplica()
	if number, _ := system.Leader(); !system.Leads() && number != 0 {
		return d.node.Call(ctx, number, methodJoin, request)
	}
	return d.admit(ctx, d.node.Number(), request)
}

// admit makes the member. It is an actors.Handler.
func (d *doorkeeper) admit(ctx context.Context, _ uint32, request []byte) ([]byte, error) {
	var q joinRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, &hubsvc.Error{Code: hubsvc.CodeInvalidRequest, Message: "a malformed request to join"}
	}
	csr, err := x509.ParseCertificateRequest(q.Request)
	if err != nil || csr.CheckSignature() != nil {
		return nil, &hubsvc.Error{Code: hubsvc.CodeInvalidRequest, Message: "a malformed request for a certificate"}
	}
	if old, taken := d.hub.MemberByName(q.NodeID); taken && d.node.Connected(old.Number) {
		return nil, &hubsvc.Error{
			Code: hubsvc.CodeAlreadyExists, Message: fmt.Sprintf("a node with the id %q is in the cluster and answers; choose another --node-id, or stop it", q.NodeID),
		}
	}
	joined, err := d.hub.JoinMember(ctx, hubsvc.JoinMember{
		Token: hubsvc.HashTokenSecret(q.Secret), Request: sha256.Sum256(csr.RawSubjectPublicKeyInfo),
		Name: q.NodeID, Cluster: q.Cluster, Address: q.Address, HTTP: q.HTTP, Replace: true,
	})
	if err != nil {
		return nil, err
	}
	chain, err := d.hub.IssueCertificate(q.Request, joined.Member.Number, q.NodeID)
	if err != nil {
		return nil, err
	}
	cluster, _ := d.hub.Cluster()
	d.log.Info("a node joined", "node", q.NodeID, "number", joined.Member.Number, "address", q.Address)
	return json.Marshal(joinAnswer{
		ClusterID: cluster.ID.String(), Number: joined.Member.Number, Replica: uint64(joined.Replica),
		Partitions: int(cluster.Partitions), Certificates: chain, Secret: d.secret[:],
		Peers: peersOf(d.hub.Topology(), joined.Member.Number),
	})
}

// peersOf lists the other members that have an address.
func peersOf(t *hubsvc.Topology, self uint32) []peerAt {
	peers := []peerAt{}
	for _, m := range t.Members() {
		if m.Number != self && m.State != hubsvc.MemberGone && m.Address != "" {
			peers = append(peers, peerAt{m.Number, m.Name, m.Address})
		}
	}
	return peers
}

func membershipOptions(c Config, log *slog.Logger) membership.Options {
	version, _ := cli.Version()
	return membership.Options{
		Address: c.Cluster.Consul.Address, Token: string(c.Cluster.Consul.Token),
		Cluster: c.Cluster.Name, NodeID: c.Cluster.NodeID, Advertise: c.Cluster.address(),
		Version: version, Logger: log,
	}
}
