package tenant

import (
	"errors"
	"hash/crc32"
	"strings"
	"testing"
)

func TestNewKey(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		key := NewKey()
		form, err := ParseKey(key)
		if err != nil || form != (KeyForm{Kind: KeyTenant}) {
			t.Fatalf("%s: %+v, %v", key, form, err)
		}
		if seen[key] {
			t.Fatalf("%s twice", key)
		}
		seen[key] = true
	}
}

// The checksum is there for typing errors: no single wrong, missing, doubled
// or swapped character of an own key may pass as that shape.
func TestKeyChecksum(t *testing.T) {
	key := NewKey()
	for i := len(prefixLive); i < len(key); i++ {
		for _, c := range []byte(base62) {
			wrong := key[:i] + string(c) + key[i+1:]
			if wrong == key || i == len(prefixLive)+secretChars {
				continue // without its underscore it is not of the own shape
			}
			if _, err := ParseKey(wrong); !errors.Is(err, ErrKeySum) {
				t.Fatalf("%s for %s: %v", wrong, key, err)
			}
		}
		if i+1 < len(key) && key[i] != key[i+1] && key[i] != '_' && key[i+1] != '_' {
			swapped := key[:i] + key[i+1:i+2] + key[i:i+1] + key[i+2:]
			if _, err := ParseKey(swapped); !errors.Is(err, ErrKeySum) {
				t.Fatalf("%s for %s: %v", swapped, key, err)
			}
		}
	}
	if _, err := ParseKey(prefixTest + key[len(prefixLive):]); !errors.Is(err, ErrKeySum) {
		t.Errorf("live key as a test key: %v", err)
	}
}

// Keys are in use: what was a good sum must stay one. The sum is CRC-32 (IEEE)
// of "hh_live_" and 32 a, in base 62.
func TestKeySumIsFixed(t *testing.T) {
	head := "hh_live_" + strings.Repeat("a", secretChars)
	sum, n := "", crc32.ChecksumIEEE([]byte(head))
	for range sumChars {
		sum = base62[n%62:][:1] + sum
		n /= 62
	}
	if sum != "2k6Oab" {
		t.Errorf("sum is %s", sum)
	}
	if _, err := ParseKey(head + "_" + sum); err != nil {
		t.Error(err)
	}
}

func TestParseKey(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	tenantKey, testKey := KeyForm{Kind: KeyTenant}, KeyForm{Kind: KeyTenant, Test: true}
	for _, tc := range []struct {
		key  string
		form KeyForm
		err  error
	}{
		{"hh_live_" + a(32), tenantKey, nil},
		{"hh_live_" + a(120), tenantKey, nil},
		{"hh_test_" + a(32), testKey, nil},
		{"mcp_sk_" + a(32), KeyForm{Kind: KeyMCP}, nil},
		{"svc_" + a(32), KeyForm{Kind: KeyService}, nil},
		{"svc_vectorizer_" + a(32), KeyForm{Kind: KeyService}, nil},
		// Foreign keys that only end like ours.
		{"hh_live_" + a(40) + "_abcdef", tenantKey, nil},
		{"hh_live_" + a(31) + "_abcdef", tenantKey, nil},
		{"hh_live_" + a(15) + "_" + a(16) + "_abcdef", tenantKey, nil},
		{"hh_live_" + a(39), tenantKey, nil},
		{"hh_live_" + a(32) + "_abcdef", KeyForm{}, ErrKeySum},

		{"", KeyForm{}, ErrKeyForm},
		{"hh_live_", KeyForm{}, ErrKeyForm},
		{"hh_live_" + a(31), KeyForm{}, ErrKeyForm},
		{"hh_live_" + a(121), KeyForm{}, ErrKeyForm},
		{"hh_live_" + a(31) + "-", KeyForm{}, ErrKeyForm},
		{"hh_live_" + a(31) + "é", KeyForm{}, ErrKeyForm},
		{"hh_live_" + a(32) + "\n", KeyForm{}, ErrKeyForm},
		{"hh_live_" + a(16) + "\x00" + a(16), KeyForm{}, ErrKeyForm},
		{" hh_live_" + a(32), KeyForm{}, ErrKeyForm},
		{"HH_LIVE_" + a(32), KeyForm{}, ErrKeyForm},
		{"sk_" + a(40), KeyForm{}, ErrKeyForm},
		{a(48), KeyForm{}, ErrKeyForm},
	} {
		if form, err := ParseKey(tc.key); form != tc.form || !errors.Is(err, tc.err) {
			t.Errorf("%q: %+v, %v; want %+v, %v", tc.key, form, err, tc.form, tc.err)
		}
	}
}

func TestParseKeyAllocatesNothing(t *testing.T) {
	for _, key := range []string{NewKey(), "hh_live_x", "hh_live_" + strings.Repeat("a", 32) + "_abcdef"} {
		if n := testing.AllocsPerRun(100, func() { ParseKey(key) }); n != 0 {
			t.Errorf("%q: %v allocations", key, n)
		}
	}
}

func TestShownPrefix(t *testing.T) {
	if got := ShownPrefix("hh_live_0123456789"); got != "hh_live_0123" {
		t.Errorf("got %q", got)
	}
	if got := ShownPrefix("short"); got != "short" {
		t.Errorf("got %q", got)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(NewKey())
	f.Add("mcp_sk_" + strings.Repeat("_", 32))
	f.Fuzz(func(t *testing.T, key string) {
		form, err := ParseKey(key)
		if err != nil {
			if form != (KeyForm{}) {
				t.Errorf("%q: form %+v beside %v", key, form, err)
			}
			return
		}
		if len(key) > KeyBytesMax || form.Kind == 0 || strings.ContainsAny(key, "\x00\r\n -/") {
			t.Errorf("%q accepted", key)
		}
	})
}
