package embedding

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// AddressError refuses an address that an endpoint may not have.
type AddressError struct {
	Address netip.Addr
	Why     string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("the address %s is not allowed: %s", e.Address, e.Why)
}

// reach is how far from the open network an address is.
type reach uint8

const (
	reachPublic  reach = iota
	reachPrivate       // allowed where private endpoints are
	reachNever         // no endpoint lives there
)

type rangeRule struct {
	prefix netip.Prefix
	reach  reach
	why    string
}

// rules are IANA's special-purpose registries (RFC 6890 and its successors)
// and the addresses of clouds' own services. The first that holds decides.
var rules = []rangeRule{
	rule("100.100.100.200/32", reachNever, "a cloud's metadata"),
	rule("168.63.129.16/32", reachNever, "a cloud's own service"),
	rule("fd00:ec2::254/128", reachNever, "a cloud's metadata"),
	rule("fd20:ce::254/128", reachNever, "a cloud's metadata"),

	rule("0.0.0.0/8", reachNever, "this network"),
	rule("10.0.0.0/8", reachPrivate, "private"),
	rule("100.64.0.0/10", reachPrivate, "shared by a carrier"),
	rule("127.0.0.0/8", reachPrivate, "loopback"),
	rule("169.254.0.0/16", reachNever, "link-local"),
	rule("172.16.0.0/12", reachPrivate, "private"),
	rule("192.0.0.0/24", reachNever, "of protocols"),
	rule("192.0.2.0/24", reachNever, "documentation"),
	rule("192.88.99.0/24", reachNever, "a relay"),
	rule("192.168.0.0/16", reachPrivate, "private"),
	rule("198.18.0.0/15", reachPrivate, "for benchmarks"),
	rule("198.51.100.0/24", reachNever, "documentation"),
	rule("203.0.113.0/24", reachNever, "documentation"),
	rule("224.0.0.0/4", reachNever, "multicast"),
	rule("240.0.0.0/4", reachNever, "reserved or broadcast"),
	rule("0.0.0.0/0", reachPublic, ""),

	rule("::1/128", reachPrivate, "loopback"),
	rule("fc00::/7", reachPrivate, "private"),
	rule("fe80::/10", reachNever, "link-local"),
	rule("2001:db8::/32", reachNever, "documentation"),
	rule("2001::/23", reachNever, "of protocols"),
	rule("2002::/16", reachNever, "a relay"),
	rule("3fff::/20", reachNever, "documentation"),
	rule("2000::/3", reachPublic, ""),
	rule("::/0", reachNever, "not of the open network"),
}

// nat64 holds IPv4 addresses, which decide.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func rule(prefix string, r reach, why string) rangeRule {
	return rangeRule{prefix: netip.MustParsePrefix(prefix), reach: r, why: why}
}

// checkAddress refuses what an endpoint may not be at.
func checkAddress(a netip.Addr, private bool) error {
	if a.Zone() != "" {
		return &AddressError{Address: a, Why: "it has a zone"}
	}
	inner := a.Unmap()
	if nat64.Contains(inner) {
		b := inner.As16()
		inner = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, r := range rules {
		if !r.prefix.Contains(inner) {
			continue
		}
		if r.reach == reachNever || r.reach == reachPrivate && !private {
			return &AddressError{Address: a, Why: r.why}
		}
		return nil
	}
	return &AddressError{Address: a, Why: "not an address"}
}

// dialer returns a dialer whose Control sees the address that the socket is
// about to be connected to: after the name was resolved, so that a name that
// answers differently the second time gains nothing.
func dialer(private bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{
		Timeout: 10 * time.Second, KeepAlive: 30 * time.Second,
		Control: func(network, address string, _ syscall.RawConn) error {
			return checkDial(network, address, private)
		},
	}
	return d.DialContext
}

func checkDial(network, address string, private bool) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" {
		return &AddressError{Why: "only TCP to an IP address is"}
	}
	return checkAddress(to.Addr(), private)
}
