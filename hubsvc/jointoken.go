package hubsvc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// JoinToken lets one node into a cluster, and tells it by which certificate to
// know the cluster. As text:
//
//	wj1_ and, in base64url without padding, 80 bytes:
//	offset size
//	0      16   cluster id
//	16     32   SHA-256 of the authority's certificate
//	48     32   secret
type JoinToken struct {
	Cluster ClusterID
	CASum   [sha256.Size]byte
	secret  [32]byte
}

const (
	joinTokenPrefix = "wj1_"
	joinTokenBytes  = 80
)

var tokenEncoding = base64.RawURLEncoding.Strict()

func newJoinToken(cluster ClusterID, caSum [sha256.Size]byte) JoinToken {
	t := JoinToken{Cluster: cluster, CASum: caSum}
	rand.Read(t.secret[:])
	return t
}

// ParseJoinToken reads a token. The error, INVALID_REQUEST, does not show it.
func ParseJoinToken(text string) (JoinToken, error) {
	bad := errorf(CodeInvalidRequest, "the join token is malformed; it is %s and %d more characters, printed by: waggle cluster token", joinTokenPrefix, tokenEncoding.EncodedLen(joinTokenBytes))
	rest, ok := strings.CutPrefix(text, joinTokenPrefix)
	if !ok || len(rest) != tokenEncoding.EncodedLen(joinTokenBytes) {
		return JoinToken{}, bad
	}
	raw, err := tokenEncoding.DecodeString(rest)
	if err != nil || len(raw) != joinTokenBytes { // shorter: line breaks are skipped
		return JoinToken{}, bad
	}
	var t JoinToken
	n := copy(t.Cluster[:], raw)
	n += copy(t.CASum[:], raw[n:])
	copy(t.secret[:], raw[n:])
	return t, nil
}

// Reveal returns the token as text: whoever reads it can join.
func (t JoinToken) Reveal() string {
	raw := make([]byte, 0, joinTokenBytes)
	raw = append(raw, t.Cluster[:]...)
	raw = append(raw, t.CASum[:]...)
	raw = append(raw, t.secret[:]...)
	return joinTokenPrefix + tokenEncoding.EncodeToString(raw)
}

// Secret returns what a joiner shows to a node that VerifyPinned accepted;
// HashTokenSecret of it goes into JoinMember.
func (t JoinToken) Secret() []byte { return t.secret[:] }

// HashTokenSecret returns the hash that a token is stored by.
func HashTokenSecret(secret []byte) TokenHash { return sha256.Sum256(secret) }

// String keeps the secret out of logs.
func (t JoinToken) String() string { return "join token of cluster " + t.Cluster.String() }

// GoString does so for %#v.
func (t JoinToken) GoString() string { return t.String() }
