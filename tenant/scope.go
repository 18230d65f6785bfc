package tenant

import (
	"fmt"
	"net/netip"
	"path"
	"unicode/utf8"
)

// The limits of a Scope.
const (
	ScopeGlobsMax     = 32
	ScopeGlobBytesMax = 255
	ScopePrefixesMax  = 64
)

// Scope is what a key is narrowed to beside its permission. A nil Scope
// narrows nothing, and neither does a list that is empty. Scopes are shared
// and never change.
type Scope struct {
	// Collections are globs, of which one must match a collection's whole name
	// by the rules of path.Match.
	Collections []string `msgpack:"c,omitempty"`
	// AllowedIPs are where requests may come from. They are masked, and those
	// of IPv4 are written as such.
	AllowedIPs []netip.Prefix `msgpack:"ip,omitempty"`
}

// ParseScope makes a scope of globs and of addresses or CIDR blocks; nil when
// there are none.
func ParseScope(globs, addresses []string) (*Scope, error) {
	if len(globs)+len(addresses) == 0 {
		return nil, nil
	}
	if len(addresses) > ScopePrefixesMax {
		return nil, errScopePrefixes(len(addresses))
	}
	s := &Scope{Collections: append([]string(nil), globs...)}
	for _, text := range addresses {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, err
		}
		s.AllowedIPs = append(s.AllowedIPs, p)
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// parsePrefix reads an address or a CIDR block. That of a mapped IPv4 address
// is the IPv4 one.
func parsePrefix(text string) (netip.Prefix, error) {
	bad := fmt.Errorf("%.64q is neither an IP address nor a CIDR block", text)
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, bad
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		const mapped = 96
		if p.Bits() < mapped {
			return netip.Prefix{}, bad
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), nil
}

// Validate returns the fault of a scope that is not of the form that Scope
// documents, or passes a limit.
func (s *Scope) Validate() error {
	if s == nil {
		return nil
	}
	if len(s.Collections) > ScopeGlobsMax {
		return fmt.Errorf("a key is narrowed to %d collection patterns; there may be %d", len(s.Collections), ScopeGlobsMax)
	}
	if len(s.AllowedIPs) > ScopePrefixesMax {
		return errScopePrefixes(len(s.AllowedIPs))
	}
	for _, g := range s.Collections {
		if g == "" || len(g) > ScopeGlobBytesMax || !utf8.ValidString(g) {
			return fmt.Errorf("a collection pattern must be 1 to %d bytes of UTF-8", ScopeGlobBytesMax)
		}
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("the collection pattern %q is malformed", g)
		}
	}
	for _, p := range s.AllowedIPs {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("an allowed IP is not a masked block of addresses")
		}
	}
	return nil
}

func errScopePrefixes(n int) error {
	return fmt.Errorf("a key is narrowed to %d IP addresses or blocks; there may be %d", n, ScopePrefixesMax)
}

// AllowsCollection reports whether one of the patterns matches name. It
// allocates nothing.
func (s *Scope) AllowsCollection(name string) bool {
	if s == nil || len(s.Collections) == 0 {
		return true
	}
	for _, g := range s.Collections {
		if ok, err := path.Match(g, name); ok && err == nil {
			return true
		}
	}
	return false
}

// AllowsAddress reports whether one of the blocks holds a. An IPv4 address
// that is mapped into IPv6 counts as IPv4; a zone counts for nothing.
func (s *Scope) AllowsAddress(a netip.Addr) bool {
	if s == nil || len(s.AllowedIPs) == 0 {
		return true
	}
	a = a.Unmap().WithZone("")
	for _, p := range s.AllowedIPs {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
