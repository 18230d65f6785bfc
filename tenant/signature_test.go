package tenant

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	signSecret = []byte("a signing secret of the tests, 32+")
	signNow    = time.Unix(1_800_000_000, 999_999_999)
)

func signedSample() SignedRequest {
	return SignedRequest{
		Method: "PUT", Target: "/qdrant/collections/a%20b/points?wait=true", Host: "waggle.example:15002",
		Timestamp: "1800000000", Nonce: "0123456789abcdef", Tenant: "t_acme", Body: []byte(`{"points":[]}`),
	}
}

// Services in other languages compute it: the text that is signed stays as it
// is. Made with: printf '...' | openssl dgst -sha256 -hmac SECRET
func TestSignatureIsFixed(t *testing.T) {
	const want = "487ff73856993c3bebd285ad0725e3ffc9dfcf9456355d8122816d05b7cb74f7"
	if got := Sign(signSecret, signedSample()); got != want {
		t.Errorf("signature is %s, want %s", got, want)
	}
	if err := VerifySignature(signSecret, signedSample(), want, signNow); err != nil {
		t.Error(err)
	}
	if err := VerifySignature(signSecret, signedSample(), strings.ToUpper(want), signNow); err != nil {
		t.Errorf("upper case: %v", err)
	}
}

// Whatever of the request is another than what was signed, the signature is
// no good.
func TestSignatureCoversTheRequest(t *testing.T) {
	good := Sign(signSecret, signedSample())
	for name, change := range map[string]func(*SignedRequest){
		"method":         func(r *SignedRequest) { r.Method = "POST" },
		"path":           func(r *SignedRequest) { r.Target = "/qdrant/collections/a%20c/points?wait=true" },
		"query":          func(r *SignedRequest) { r.Target = "/qdrant/collections/a%20b/points?wait=false" },
		"no query":       func(r *SignedRequest) { r.Target = "/qdrant/collections/a%20b/points" },
		"decoded path":   func(r *SignedRequest) { r.Target = "/qdrant/collections/a b/points?wait=true" },
		"host":           func(r *SignedRequest) { r.Host = "other.example:15002" },
		"port":           func(r *SignedRequest) { r.Host = "waggle.example" },
		"timestamp":      func(r *SignedRequest) { r.Timestamp = "1800000001" },
		"nonce":          func(r *SignedRequest) { r.Nonce = "0123456789abcdeg" },
		"tenant":         func(r *SignedRequest) { r.Tenant = "t_other" },
		"body":           func(r *SignedRequest) { r.Body = []byte(`{"points":[1]}`) },
		"no body":        func(r *SignedRequest) { r.Body = nil },
		"shifted fields": func(r *SignedRequest) { r.Method, r.Target = "PUT\n"+r.Target, r.Host; r.Host = "x" },
		"no host":        func(r *SignedRequest) { r.Host = "" },
	} {
		r := signedSample()
		change(&r)
		if err := VerifySignature(signSecret, r, good, signNow); !errors.Is(err, ErrSignature) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	for name, signature := range map[string]string{
		"none": "", "short": good[:63], "long": good + "0", "no hex": "z" + good[1:], "one bit": flipped(good), "zeros": strings.Repeat("0", 64),
	} {
		if err := VerifySignature(signSecret, signedSample(), signature, signNow); !errors.Is(err, ErrSignature) {
			t.Errorf("signature %s: %v", name, err)
		}
	}
	if err := VerifySignature([]byte(string(signSecret)+"x"), signedSample(), good, signNow); !errors.Is(err, ErrSignature) {
		t.Errorf("another secret: %v", err)
	}
}

func flipped(signature string) string {
	last := "0"
	if strings.HasSuffix(signature, "0") {
		last = "1"
	}
	return signature[:len(signature)-1] + last
}

// A newline in a field would let one text stand for two requests: what is
// signed for a tenant must not be good for another.
func TestSignatureFieldsCannotMerge(t *testing.T) {
	one := signedSample()
	one.Target, one.Host = "/a\nwaggle.example", "b"
	other := signedSample()
	other.Target, other.Host = "/a", "waggle.example\nb"
	if Sign(signSecret, one) != Sign(signSecret, other) {
		t.Fatal("the texts differ; the test is about equal ones")
	}
	for _, r := range []SignedRequest{one, other} {
		if err := VerifySignature(signSecret, r, Sign(signSecret, r), signNow); !errors.Is(err, ErrSignature) {
			t.Errorf("target %q, host %q: %v", r.Target, r.Host, err)
		}
	}
}

func TestSignatureTime(t *testing.T) {
	for _, tc := range []struct {
		timestamp string
		ok        bool
	}{
		{"1800000000", true},
		{"1799999700", true}, // 300 s ago
		{"1799999699", false},
		{"1800000300", true}, // 300 s ahead
		{"1800000301", false},
		{"0", false},
		{"", false},
		{"+1800000000", false},
		{"01800000000", false},
		{"1800000000 ", false},
		{"1800000000.5", false},
		{"1800000000000", false}, // milliseconds
		{"-9223372036854775808", false},
		{"9223372036854775807", false},
		{"9223372036854775808", false},
	} {
		r := signedSample()
		r.Timestamp = tc.timestamp
		err := VerifySignature(signSecret, r, Sign(signSecret, r), signNow)
		if tc.ok && err != nil || !tc.ok && !errors.Is(err, ErrSignatureTime) {
			t.Errorf("timestamp %q: %v, want ok %v", tc.timestamp, err, tc.ok)
		}
	}
}

func TestNonceForm(t *testing.T) {
	for nonce, ok := range map[string]bool{
		"0123456789abcdef": true, "0123456789abcde": false, strings.Repeat("Z", 64): true, strings.Repeat("Z", 65): false,
		"____----____----": true, "0123456789abcde ": false, "0123456789abcd\n0": false, "0123456789abcdé": false, "": false,
	} {
		r := signedSample()
		r.Nonce = nonce
		err := VerifySignature(signSecret, r, Sign(signSecret, r), signNow)
		if ValidNonce(nonce) != ok || ok != (err == nil) || !ok && !errors.Is(err, ErrNonceForm) {
			t.Errorf("nonce %q: %v, want ok %v", nonce, err, ok)
		}
	}
}

// A node without a secret believes nobody, not everybody.
func TestNoSigningSecret(t *testing.T) {
	for _, secret := range [][]byte{nil, {}} {
		if err := VerifySignature(secret, signedSample(), strings.Repeat("0", 64), signNow); !errors.Is(err, ErrNoSigningSecret) {
			t.Errorf("verified under no secret: %v", err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("signed under no secret")
		}
	}()
	Sign(nil, signedSample())
}

func FuzzVerifySignature(f *testing.F) {
	s := signedSample()
	f.Add(s.Method, s.Target, s.Host, s.Timestamp, s.Nonce, s.Tenant, s.Body, Sign(signSecret, s))
	f.Add("", "", "", strconv.Itoa(1<<40), "", "", []byte(nil), "")
	f.Fuzz(func(t *testing.T, method, target, host, timestamp, nonce, id string, body []byte, signature string) {
		r := SignedRequest{method, target, host, timestamp, nonce, id, body}
		if err := VerifySignature(signSecret, r, signature, signNow); err == nil && !strings.EqualFold(signature, Sign(signSecret, r)) {
			t.Errorf("%+v verified by %q", r, signature)
		}
		own := Sign(signSecret, r)
		err := VerifySignature(signSecret, r, own, signNow)
		wellFormed := ValidNonce(nonce) && withinSkew(timestamp, signNow) && r.oneLineEach()
		if wellFormed != (err == nil) {
			t.Errorf("%+v: %v, well formed: %v", r, err, wellFormed)
		}
		if err == nil && VerifySignature(append(signSecret, 'x'), r, own, signNow) == nil {
			t.Error("verified under another secret")
		}
	})
}
