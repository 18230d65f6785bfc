package hubsvc

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// KeyHash is the HMAC-SHA-256 of a key. It is all that is stored of one.
type KeyHash [sha256.Size]byte

// KeyHasher computes KeyHashes under a secret of the cluster. It is safe for
// concurrent use and allocates nothing once warm.
type KeyHasher struct{ pool sync.Pool }

// hashState is one keyed HMAC, whose pads are computed once, and the
// buffers that would otherwise escape at every call of an interface.
type hashState struct {
	mac hash.Hash
	in  []byte
	out []byte
}

// NewKeyHasher returns a hasher under secret, which must be derived for this
// purpose alone and be the same on every node.
func NewKeyHasher(secret []byte) *KeyHasher {
	secret = append([]byte(nil), secret...)
	h := &KeyHasher{}
	h.pool.New = func() any { return &hashState{mac: hmac.New(sha256.New, secret)} }
	return h
}

// SecretSum tells two secrets apart and nothing about either.
func (h *KeyHasher) SecretSum() KeyHash { return h.Hash("secret sum") } // no key has this form

// Hash returns the HMAC of key.
func (h *KeyHasher) Hash(key string) KeyHash {
	s := h.pool.Get().(*hashState)
	s.mac.Reset()
	s.in = append(s.in[:0], key...)
	s.mac.Write(s.in) // a hash never fails
	s.out = s.mac.Sum(s.out[:0])
	sum := KeyHash(s.out)
	clear(s.in) // the plaintext does not outlive the call in the pool
	h.pool.Put(s)
	return sum
}
