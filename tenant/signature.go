package tenant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// A service that acts for a tenant signs each request under a secret that it
// shares with the cluster and that is never sent. What is signed, in UTF-8,
// without a newline at the end:
//
//	METHOD            as on the request line
//	PATH?QUERY        as on the request line: encoded, with the query
//	HOST              as in the header Host
//	TIMESTAMP         seconds since 1970, decimal
//	NONCE             16 to 64 of [A-Za-z0-9_-], never used again
//	TENANT            the tenant's id
//	SHA-256 of BODY   64 lower-case hexadecimal digits; of no bytes if there is none
//
// The signature is the HMAC-SHA-256 of that in hexadecimal digits.

const (
	// SignatureSkew is how far a signed request's clock may be off.
	SignatureSkew = 300 * time.Second

	nonceMin = 16
	nonceMax = 64

	// SigningSecretMin is the least length of a signing secret.
	SigningSecretMin = 32
)

// The faults of a signed request.
var (
	ErrNoSigningSecret = errors.New("no signing secret is configured")
	ErrSignatureTime   = errors.New("the timestamp is not within 300 seconds of this node's clock")
	ErrNonceForm       = errors.New("the nonce must be 16 to 64 of A-Z, a-z, 0-9, _ and -")
	ErrSignature       = errors.New("the signature does not match the request")
)

// SignedRequest is what a signature covers.
type SignedRequest struct {
	Method    string
	Target    string // path with query, as on the request line
	Host      string
	Timestamp string
	Nonce     string
	Tenant    string
	Body      []byte
}

// Sign returns the signature of r. It panics without a secret: everybody can
// make a signature under none.
func Sign(secret []byte, r SignedRequest) string {
	if len(secret) == 0 {
		panic("BUG: sign without a secret")
	}
	return hex.EncodeToString(r.sum(secret))
}

// VerifySignature returns why signature does not prove that the holder of
// secret made r at about now, or nil. Whether the nonce was used before is for
// the caller to find out, after this. The signature is compared in constant
// time.
func VerifySignature(secret []byte, r SignedRequest, signature string, now time.Time) error {
	if len(secret) == 0 {
		return ErrNoSigningSecret
	}
	if err := CheckSignedForm(r.Timestamp, r.Nonce, now); err != nil {
		return err
	}
	var given [sha256.Size]byte
	if len(signature) != hex.EncodedLen(len(given)) {
		return ErrSignature
	}
	if _, err := hex.Decode(given[:], []byte(signature)); err != nil || !r.oneLineEach() {
		return ErrSignature
	}
	if !hmac.Equal(given[:], r.sum(secret)) {
		return ErrSignature
	}
	return nil
}

// CheckSignedForm is the part of VerifySignature that needs no body.
func CheckSignedForm(timestamp, nonce string, now time.Time) error {
	if !withinSkew(timestamp, now) {
		return ErrSignatureTime
	}
	if !ValidNonce(nonce) {
		return ErrNonceForm
	}
	return nil
}

// ValidNonce reports whether s has the form of a nonce.
func ValidNonce(s string) bool {
	if len(s) < nonceMin || len(s) > nonceMax {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isBase62(c) && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// withinSkew compares whole seconds. Only the shortest decimal form is a
// timestamp, so that there is one text for each moment.
func withinSkew(timestamp string, now time.Time) bool {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || at < 0 || strconv.FormatInt(at, 10) != timestamp {
		return false
	}
	off := now.Unix() - at
	const most = int64(SignatureSkew / time.Second)
	return -most <= off && off <= most
}

// oneLineEach reports whether no field can reach into the next one: two
// requests that differ then have two texts.
func (r *SignedRequest) oneLineEach() bool {
	for _, field := range [...]string{r.Method, r.Target, r.Host, r.Tenant} {
		if field == "" || strings.ContainsAny(field, "\r\n\x00") {
			return false
		}
	}
	return true
}

func (r *SignedRequest) sum(secret []byte) []byte {
	body := sha256.Sum256(r.Body)
	text := make([]byte, 0, 256)
	for _, field := range [...]string{r.Method, r.Target, r.Host, r.Timestamp, r.Nonce, r.Tenant} {
		text = append(append(text, field...), '\n')
	}
	text = hex.AppendEncode(text, body[:])
	mac := hmac.New(sha256.New, secret)
	mac.Write(text) // a hash never fails
	return mac.Sum(nil)
}
