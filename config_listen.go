package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

// authFailuresMax bounds what is remembered of each address that guesses.
const authFailuresMax = 1000

// listens are the addresses for clients, by the path of their setting.
func (c *Config) listens() []struct{ path, address string } {
	all := []struct{ path, address string }{{"listen.address", c.Listen.Address}}
	if c.Listen.QdrantAddress != off {
		all = append(all, struct{ path, address string }{"listen.qdrant_address", c.Listen.QdrantAddress})
	}
	if c.Hub.Listen != off {
		all = append(all, struct{ path, address string }{"hub.listen", c.Hub.Listen})
	}
	return all
}

func (c *Config) validateListen() error {
	var faults []error
	for _, l := range c.listens() {
		faults = append(faults, c.validateAddress(l.path, l.address))
	}
	if t := c.Listen.TLS; (t.CertFile == "") != (t.KeyFile == "") || t.ClientCAFile != "" && !t.on() {
		faults = append(faults, errors.New("listen.tls: cert_file and key_file go together, and client_ca_file only with them"))
	}
	if _, err := c.Listen.proxies(); err != nil {
		faults = append(faults, err)
	}
	for _, origin := range c.Listen.CORSOrigins {
		if !httpedge.IsOrigin(origin) {
			faults = append(faults, fmt.Errorf("listen.cors_origins: %q is not an origin such as https://app.example.com", origin))
		}
	}
	return errors.Join(faults...)
}

// validateAddress refuses an address that others can reach while keys would
// cross the network in the clear, or while nobody needs one.
func (c *Config) validateAddress(path, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s: %q is not HOST:PORT", path, address)
	}
	switch {
	case isLoopback(address):
		return nil
	case c.Hub.TenantIsolation == isolationNone:
		return fmt.Errorf("%s: %q can be reached from other machines, and with tenant_isolation = %q nobody needs a key; listen on 127.0.0.1", path, address, isolationNone)
	case c.Listen.BehindProxy || c.Listen.TLS.on():
		return nil
	}
	return fmt.Errorf("%s: %q can be reached from other machines, and keys would cross the network in the clear; "+
		"set listen.tls, or listen on 127.0.0.1, or put a TLS proxy in front and set listen.behind_proxy = true", path, address)
}

// isLoopback reports whether only this machine reaches HOST:PORT.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// proxies are the addresses that are believed about whom they ask for.
func (l *ListenConfig) proxies() ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range l.TrustedProxies {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("listen.trusted_proxies: %q is neither an address nor ADDRESS/BITS", text)
		}
		all = append(all, p)
	}
	return all, nil
}

// parsePrefix takes one address for the network of it alone.
func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errors.New("not an address")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("an IPv4 network in the form of IPv6")
	}
	return p.Masked(), err
}

func (h *HubConfig) validate() error {
	var faults []error
	if err := oneOf("hub.mode", h.Mode, "embedded", "remote"); err != nil {
		faults = append(faults, err)
	} else if h.remote() {
		faults = append(faults, h.validateRemote())
	}
	if err := oneOf("hub.tenant_isolation", h.TenantIsolation, isolationNone, isolationCollection, isolationStorage); err != nil {
		faults = append(faults, err)
	} else if h.TenantIsolation == isolationStorage {
		faults = append(faults, fmt.Errorf(`hub.tenant_isolation: %q is not built yet; use %q`, h.TenantIsolation, isolationCollection))
	}
	if !h.Enabled && h.TenantIsolation != isolationNone {
		faults = append(faults, fmt.Errorf("hub.enabled: false goes only with tenant_isolation = %q: without the hub nobody knows a key", isolationNone))
	}
	if !h.Enabled && h.Listen != off {
		faults = append(faults, errors.New("hub.listen: there is no hub to ask with hub.enabled = false"))
	}
	if n := len(h.SigningSecret); n > 0 && n < tenant.SigningSecretMin {
		faults = append(faults, fmt.Errorf("hub.signing_secret: has %d characters; it must have at least %d", n, tenant.SigningSecretMin))
	}
	return errors.Join(faults...)
}

// validateRemote demands what a client of a hub elsewhere needs.
func (h *HubConfig) validateRemote() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	u, err := url.Parse(h.Remote.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(u.Path, "/"):
		fault("hub.api_url: %q is not an address such as https://hub.example.com", h.Remote.URL)
	case u.Scheme == "http" && !isLoopback(net.JoinHostPort(u.Hostname(), "80")):
		fault("hub.api_url: keys would cross the network to %s in the clear; use https", u.Host)
	}
	if h.Remote.ServiceKey == "" {
		fault(`hub.service_api_key: is empty; with mode = "remote" the node needs a service's key of the hub, best in HIVEHUB_SERVICE_API_KEY`)
	} else if form, err := tenant.ParseKey(string(h.Remote.ServiceKey)); err != nil || form.Kind != tenant.KeyService {
		fault("hub.service_api_key: is not a service's key, which begins with svc_")
	}
	if !serviceName.MatchString(h.Remote.ServiceName) {
		fault("hub.service_name: is %q; must be 1 to 64 of A-Z, a-z, 0-9, ., _ and -", h.Remote.ServiceName)
	}
	if !h.Enabled || h.TenantIsolation == isolationNone {
		fault(`hub.mode: with "remote" every request needs a key: hub.enabled = true and a tenant_isolation other than %q`, isolationNone)
	}
	if h.Listen != off {
		fault(`hub.listen: with mode = "remote" the hub is at %s, not here`, h.Remote.URL)
	}
	return errors.Join(faults...)
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// validateOpen holds a node that asks for no keys to this machine, alone.
func (c *Config) validateOpen() error {
	if c.Hub.TenantIsolation != isolationNone {
		return nil
	}
	var faults []error
	if c.Listen.BehindProxy || len(c.Listen.TrustedProxies) > 0 {
		faults = append(faults, fmt.Errorf("listen.behind_proxy: a proxy would let others in, and with tenant_isolation = %q nobody needs a key", isolationNone))
	}
	if c.Cluster.several() {
		faults = append(faults, fmt.Errorf("hub.tenant_isolation: %q is for a node that is alone", isolationNone))
	}
	return errors.Join(faults...)
}

// access is what the edge has to know of it; c is valid.
func (c *Config) access() httpedge.Access {
	proxies, err := c.Listen.proxies()
	if err != nil {
		panic(fmt.Sprintf("BUG: a configuration that was not validated: %v", err))
	}
	a := httpedge.Access{SigningSecret: []byte(c.Hub.SigningSecret), TrustedProxies: proxies, Origins: c.Listen.CORSOrigins}
	if c.Hub.TenantIsolation == isolationNone {
		a.Implicit, a.Keyless = hubsvc.DefaultTenant, !c.Hub.Enabled
	}
	return a
}
