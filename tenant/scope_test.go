package tenant

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
	"testing"
)

func TestScopeAllows(t *testing.T) {
	s, err := ParseScope([]string{"docs-*", "exact", "[ab]?"}, []string{"10.1.2.3/8", "192.168.0.7", "2001:db8::1", "fd00::/8", "::ffff:172.16.5.4/108"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"docs-": true, "docs-1": true, "docs-é": true, "docs-a/b": false, "xdocs-1": false, "docs": false, "DOCS-1": false,
		"exact": true, "exact2": false, "inexact": false, "a1": true, "c1": false, "a": false, "": false,
	} {
		if got := s.AllowsCollection(name); got != want {
			t.Errorf("collection %q: %v", name, got)
		}
		if got := (Context{Scope: s}).MayCollection(name); got != want {
			t.Errorf("context, collection %q: %v", name, got)
		}
	}
	for text, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "::ffff:10.0.0.1": true, "11.0.0.0": false, "192.168.0.7": true, "192.168.0.8": false,
		"2001:db8::1": true, "2001:db8::2": false, "fd12::1": true, "fd12::1%eth0": true, "fe80::1": false, "::1": false,
		"172.16.0.1": true, "172.31.255.255": true, "172.32.0.0": false, "::ffff:172.20.0.1": true,
	} {
		if got := s.AllowsAddress(netip.MustParseAddr(text)); got != want {
			t.Errorf("address %s: %v", text, got)
		}
	}
	if s.AllowsAddress(netip.Addr{}) {
		t.Error("an address that is not known is allowed")
	}
	for _, all := range []*Scope{nil, {}} {
		if !all.AllowsCollection("x") || !all.AllowsAddress(netip.Addr{}) || all.Validate() != nil {
			t.Errorf("%+v narrows", all)
		}
	}
	if only, err := ParseScope(nil, []string{"10.0.0.0/8"}); err != nil || !only.AllowsCollection("x") || only.AllowsAddress(netip.IPv6Loopback()) {
		t.Errorf("%+v, %v", only, err)
	}
}

func TestScopeLimits(t *testing.T) {
	some := func(n int, format string) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return list
	}
	for _, tc := range []struct {
		what             string
		globs, addresses []string
		ok               bool
	}{
		{"nothing", nil, nil, true},
		{"patterns", some(ScopeGlobsMax, "c%d"), nil, true},
		{"patterns and one", some(ScopeGlobsMax+1, "c%d"), nil, false},
		{"long pattern", []string{strings.Repeat("a", ScopeGlobBytesMax)}, nil, true},
		{"longer pattern", []string{strings.Repeat("a", ScopeGlobBytesMax+1)}, nil, false},
		{"empty pattern", []string{""}, nil, false},
		{"malformed pattern", []string{"a["}, nil, false},
		{"escape at the end", []string{"a\\"}, nil, false},
		{"not UTF-8", []string{"a\xff"}, nil, false},
		{"addresses", nil, some(ScopePrefixesMax, "10.0.0.%d"), true},
		{"addresses and one", nil, some(ScopePrefixesMax+1, "10.0.0.%d"), false},
		{"no address", nil, []string{"localhost"}, false},
		{"with a port", nil, []string{"10.0.0.1:80"}, false},
		{"with a zone", nil, []string{"fe80::1%eth0"}, false},
		{"too long a block", nil, []string{"10.0.0.0/33"}, false},
		{"half a mapped one", nil, []string{"::ffff:10.0.0.0/90"}, false},
		{"empty", nil, []string{""}, false},
	} {
		s, err := ParseScope(tc.globs, tc.addresses)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.what, err)
		}
		if err != nil && s != nil || err == nil && s.Validate() != nil {
			t.Errorf("%s: %+v beside %v; %v", tc.what, s, err, s.Validate())
		}
	}
	if s, err := ParseScope(nil, nil); s != nil || err != nil {
		t.Errorf("nothing is %+v, %v", s, err)
	}
}

// What parses is valid, allows what path.Match and the block itself say, and no
// pattern takes long.
func FuzzScope(f *testing.F) {
	f.Add("docs-*", "docs-1", "10.0.0.0/8", "10.1.1.1")
	f.Add("[a-z]*\\*", "a*", "::ffff:1.2.3.4/120", "1.2.3.9")
	f.Add(strings.Repeat("*a", 100), strings.Repeat("a", 255), "fd00::/8", "fd00::1")
	f.Fuzz(func(t *testing.T, glob, name, block, address string) {
		s, err := ParseScope([]string{glob}, []string{block})
		if err != nil {
			return
		}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		if want, _ := path.Match(glob, name); s.AllowsCollection(name) != want {
			t.Errorf("%q on %q is not %v", glob, name, want)
		}
		if a, err := netip.ParseAddr(address); err == nil {
			mapped := netip.AddrFrom16(a.As16())
			if s.AllowsAddress(a) != s.AllowsAddress(mapped) {
				t.Errorf("%s differs from %s", a, mapped)
			}
		}
	})
}

func TestNewKeyOf(t *testing.T) {
	for _, form := range []KeyForm{{Kind: KeyTenant}, {Kind: KeyTenant, Test: true}, {Kind: KeyMCP}, {Kind: KeyService}} {
		key := NewKeyOf(form)
		if got, err := ParseKey(key); err != nil || got != form {
			t.Errorf("%+v: %s is %+v, %v", form, ShownPrefix(key), got, err)
		}
		last := "0"
		if strings.HasSuffix(key, "0") {
			last = "1"
		}
		if _, err := ParseKey(key[:len(key)-1] + last); err == nil {
			t.Errorf("%+v: a mistyped one passes", form)
		}
	}
}
