package httpedge

import (
	"bytes"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// Access says who is let in without asking the hub, and from where.
type Access struct {
	// SigningSecret proves the requests of services; empty: none is believed.
	SigningSecret []byte
	// TrustedProxies are believed when they say in X-Forwarded-For for whom
	// they ask. Without any, that header means nothing.
	TrustedProxies []netip.Prefix
	// Origins are those whose pages may read answers: SCHEME://HOST[:PORT].
	Origins []string
	// Implicit is the tenant of requests without a key; "": there are none. It
	// is for listeners that only this machine reaches, and it turns on the
	// guards against pages of foreign sites: see guardOpen.
	Implicit tenant.ID
	// Keyless means that no key is looked at: every request is Implicit's.
	Keyless bool
}

// IsOrigin reports whether s is what a browser sends as the Origin of a page on
// the web: SCHEME://HOST[:PORT] in lower case.
func IsOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && !strings.Contains(u.Host, "*") && u.Scheme+"://"+strings.ToLower(u.Host) == s
}

// door is what stands between strangers and the tenants.
type door struct {
	Access
	guesses   *guesses
	nonces    *nonces
	sightings *sightings
}

func newDoor(o *Options) door {
	return door{
		Access: o.Access, guesses: newGuesses(&o.Limits), nonces: newNonces(),
		sightings: newSightings(o.RecordAuth, o.Logger),
	}
}

// hopsMax is how many entries of X-Forwarded-For are looked at.
const hopsMax = 32

// address is where the request comes from: the other end of the connection or,
// as long as that is a trusted proxy, whoever it names.
func (r *request) address() netip.Addr {
	if r.caller.address.IsValid() {
		return r.caller.address
	}
	if r.forwarded != nil {
		return r.forwarded.Address
	}
	if tcp, ok := r.http.RemoteAddr().(*net.TCPAddr); ok {
		r.caller.address = plainAddress(tcp.AddrPort().Addr())
	}
	proxies := r.s.door.TrustedProxies
	if len(proxies) > 0 && trusted(proxies, r.caller.address) {
		r.caller.address = clientBehind(proxies, r.caller.address, r.http.Request.Header.PeekAll("X-Forwarded-For"))
	}
	return r.caller.address
}

// clientBehind walks from the right, where the nearest proxy writes: the first
// address that is no trusted proxy is the client's, and what stands left of it
// is what the client claims. It stops at what is no address.
func clientBehind(proxies []netip.Prefix, nearest netip.Addr, lines [][]byte) netip.Addr {
	hops := 0
	for _, line := range slices.Backward(lines) {
		for rest := line; ; {
			comma := bytes.LastIndexByte(rest, ',')
			hop, ok := parseHop(text(bytes.TrimSpace(rest[comma+1:])))
			if hops++; !ok || hops > hopsMax {
				return nearest
			}
			if nearest = hop; !trusted(proxies, hop) {
				return hop
			}
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
	return nearest
}

// parseHop reads an address, with or without a port.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return plainAddress(a), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return plainAddress(ap.Addr()), true
	}
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
		a, err := netip.ParseAddr(inner[:len(inner)-1])
		return plainAddress(a), err == nil && a.Is6()
	}
	return netip.Addr{}, false
}

func trusted(proxies []netip.Prefix, a netip.Addr) bool {
	for _, p := range proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

var (
	errHost = &collection.Error{
		Code: collection.PermissionDenied, Message: "without keys only this machine may ask: the Host must be localhost, 127.0.0.1 or [::1]",
	}
	errOrigin = &collection.Error{
		Code: collection.PermissionDenied, Message: "pages of this origin may not ask: list it in listen.cors_origins",
	}
	errNotJSON = &collection.Error{
		Code: collection.InvalidArgument, Reason: reasonMediaType, Message: "without keys a body must be sent as Content-Type: application/json",
	}
)

// guardOpen stands before every request where no key is needed. The port is
// open to this machine only, and so to every web page in a browser on it; what
// such a page can send is refused: a name of its own that it made resolve to
// this machine (the Host), a request from its own origin (the Origin), and a
// body of the few types that browsers send without asking first.
func (r *request) guardOpen() error {
	h := &r.http.Request.Header
	if !isLoopbackHost(text(h.Host())) || !isLoopbackHost(text(r.http.URI().Host())) {
		return errHost
	}
	for _, origin := range h.PeekAll("Origin") {
		if !r.s.lists(origin) {
			return errOrigin
		}
	}
	if h.ContentLength() == 0 || r.http.RequestBodyStream() == nil {
		return nil
	}
	kind, _, _ := bytes.Cut(h.ContentType(), []byte(";"))
	if !bytes.EqualFold(bytes.TrimSpace(kind), []byte("application/json")) {
		return errNotJSON
	}
	return nil
}

// isLoopbackHost takes the names that no name server is asked for, and literal
// addresses.
func isLoopbackHost(host string) bool {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return false
		}
		name = h
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Zone() == "" && a.Unmap().IsLoopback()
}

// lists reports whether pages of an origin may read answers.
func (s *Server) lists(origin []byte) bool { return slices.Contains(s.door.Origins, text(origin)) }

// preflight answers a browser that asks whether a page may send a request. It
// reports false for what is no such question of a listed origin. No key is
// looked at: a browser sends none.
func (r *request) preflight() bool {
	h := &r.http.Request.Header
	if len(r.s.door.Origins) == 0 || text(r.http.Method()) != fasthttp.MethodOptions ||
		len(h.Peek("Access-Control-Request-Method")) == 0 || !r.s.lists(h.Peek("Origin")) {
		return false
	}
	a := &r.http.Response.Header
	a.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
	a.Set("Access-Control-Allow-Headers", "Authorization, X-API-Key, api-key, Content-Type, Idempotency-Key, X-Timeout-Ms, X-Request-Id")
	a.Set("Access-Control-Max-Age", "600")
	r.http.Response.SetStatusCode(fasthttp.StatusNoContent)
	return true
}

// allowOrigin lets the page of a listed origin read the answer. With none
// listed no answer says a word about origins.
func (r *request) allowOrigin() {
	if len(r.s.door.Origins) == 0 {
		return
	}
	h := &r.http.Response.Header
	h.Set("Vary", "Origin")
	origins := r.http.Request.Header.PeekAll("Origin")
	if len(origins) != 1 || !r.s.lists(origins[0]) {
		return
	}
	h.SetBytesV("Access-Control-Allow-Origin", origins[0])
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, X-Tenant-Id, Retry-After, X-Storage-Used, X-Storage-Quota, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Api-Key-Deprecated, X-Api-Key-Expires")
}
