package tenant

import (
	"crypto/rand"
	"errors"
	"hash/crc32"
	"strings"
	"unsafe"
)

// The form of a key:
//
//	prefix   hh_live_ | hh_test_  a tenant's key (an operator key looks the same)
//	         mcp_sk_              only at /mcp
//	         svc_                 a service
//	body     32 to 120 of [A-Za-z0-9_]
//
// The body of a key that Waggle made is 32 random base62 characters (190 bits),
// an underscore, and 6 base62 characters: the CRC-32 (IEEE) of everything before
// the underscore, most significant digit first. A key of exactly that shape
// with a wrong sum is a typing error and refused without a look-up. Any
// other body of the accepted form is somebody else's key and passes: it may
// be in the records of another hub, or have been given at bootstrap.
const (
	prefixLive    = "hh_live_"
	prefixTest    = "hh_test_"
	prefixMCP     = "mcp_sk_"
	prefixService = "svc_"

	bodyMin     = 32
	bodyMax     = 120
	secretChars = 32
	sumChars    = 6
	ownBody     = secretChars + 1 + sumChars

	// KeyBytesMax is the length of the longest key.
	KeyBytesMax = len(prefixLive) + bodyMax
	shownChars  = 12
	base62      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// The faults of a key's form.
var (
	ErrKeyForm = errors.New("key is malformed")
	ErrKeySum  = errors.New("key is mistyped: its checksum does not match")
)

// inBody holds the characters of a key's body.
var inBody = func() (in [256]bool) {
	for _, c := range []byte(base62 + "_") {
		in[c] = true
	}
	return in
}()

// KeyKind is what the prefix of a key says.
type KeyKind uint8

// The kinds of keys.
const (
	KeyTenant KeyKind = iota + 1
	KeyMCP
	KeyService
)

// String returns the kind's word on the wire.
func (k KeyKind) String() string {
	switch k {
	case KeyTenant:
		return "tenant"
	case KeyMCP:
		return "mcp"
	case KeyService:
		return "service"
	}
	return "unknown"
}

// KeyForm is what can be told from a key without looking it up.
type KeyForm struct {
	Kind KeyKind
	Test bool // hh_test_: reported in the context, changes nothing else
}

// ParseKey checks the form and, on a key that Waggle made, the checksum. It
// answers ErrKeyForm or ErrKeySum and allocates nothing.
func ParseKey(key string) (KeyForm, error) {
	form, prefix := keyKind(key)
	body := key[prefix:]
	if prefix == 0 || len(body) < bodyMin || len(body) > bodyMax {
		return KeyForm{}, ErrKeyForm
	}
	for i := range len(body) {
		if !inBody[body[i]] {
			return KeyForm{}, ErrKeyForm
		}
	}
	if isOwn(body) {
		sum := keySum(key[:len(key)-sumChars-1])
		if key[len(key)-sumChars:] != string(sum[:]) {
			return KeyForm{}, ErrKeySum
		}
	}
	return form, nil
}

// NewKey makes a tenant's key from the system's random source. It is shown
// once; what is stored is its HMAC.
func NewKey() string { return NewKeyOf(KeyForm{Kind: KeyTenant}) }

// NewKeyOf makes a key of a form, like NewKey.
func NewKeyOf(form KeyForm) string {
	prefix := prefixLive
	switch {
	case form.Kind == KeyMCP:
		prefix = prefixMCP
	case form.Kind == KeyService:
		prefix = prefixService
	case form.Test:
		prefix = prefixTest
	}
	b := append(make([]byte, 0, len(prefix)+ownBody), prefix...)
	b = appendRandom(b, secretChars)
	sum := keySum(string(b))
	return string(append(append(b, '_'), sum[:]...))
}

// ShownPrefix is as much of a key as may be written to a log or a list.
func ShownPrefix(key string) string { return key[:min(len(key), shownChars)] }

// KindOf is the kind of a key whose form ParseKey has accepted.
func KindOf(key string) KeyKind {
	form, _ := keyKind(key)
	return form.Kind
}

func keyKind(key string) (KeyForm, int) {
	switch {
	case strings.HasPrefix(key, prefixLive):
		return KeyForm{Kind: KeyTenant}, len(prefixLive)
	case strings.HasPrefix(key, prefixTest):
		return KeyForm{Kind: KeyTenant, Test: true}, len(prefixTest)
	case strings.HasPrefix(key, prefixMCP):
		return KeyForm{Kind: KeyMCP}, len(prefixMCP)
	case strings.HasPrefix(key, prefixService):
		return KeyForm{Kind: KeyService}, len(prefixService)
	}
	return KeyForm{}, 0
}

// isOwn reports whether body has the shape of a key made by NewKey: the one
// underscore stands before the sum.
func isOwn(body string) bool {
	return len(body) == ownBody && strings.IndexByte(body, '_') == secretChars &&
		strings.LastIndexByte(body, '_') == secretChars
}

// keySum looks at the string's own bytes: crc32 wants a slice, and to make one
// of a string allocates.
func keySum(s string) [sumChars]byte {
	var digits [sumChars]byte
	sum := crc32.ChecksumIEEE(unsafe.Slice(unsafe.StringData(s), len(s)))
	for i := sumChars - 1; i >= 0; i-- {
		digits[i] = base62[sum%62]
		sum /= 62
	}
	return digits
}

// appendRandom appends n base62 characters. A byte of 248 or more is drawn
// again, so that every character is equally likely.
func appendRandom(dst []byte, n int) []byte {
	var buf [2 * secretChars]byte
	for want := len(dst) + n; len(dst) < want; {
		rand.Read(buf[:]) // never fails: crypto/rand ends the process instead
		for _, r := range buf {
			if r < 248 && len(dst) < want {
				dst = append(dst, base62[r%62])
			}
		}
	}
	return dst
}

func isBase62(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
