package httpedge

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hivehub/waggle/tenant"
)

// FuzzForwardedFor: whatever clients and proxies write, the client is the
// nearest hop, or one that stands in the header; and not one that only a hop
// which nobody trusts has named.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.9", "1.2.3.4, 10.0.0.2", "10.0.0.2,10.0.0.3\n203.0.113.9", "[::1]:80, ::ffff:10.1.1.1", ",,,", "10.0.0.2:x"} {
		f.Add(seed)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	nearest := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, header string) {
		var lines [][]byte
		for line := range strings.SplitSeq(header, "\n") {
			lines = append(lines, []byte(line))
		}
		got := clientBehind(proxies, nearest, lines)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q: %v", header, got)
		}
		hops := strings.Split(strings.Join(strings.Split(header, "\n"), ","), ",")
		for i := len(hops) - 1; i >= 0; i-- {
			hop, ok := parseHop(strings.TrimSpace(hops[i]))
			if !ok || !trusted(proxies, hop) { // what stands further left is a claim
				if ok && got == hop {
					return
				}
				break
			}
			if got == hop {
				return
			}
		}
		if got != nearest {
			t.Errorf("%q: the client is %v", header, got)
		}
	})
}

// FuzzSignedHeaders: of all that can stand in the headers of a signed request
// only what was signed is proven.
func FuzzSignedHeaders(f *testing.F) {
	stamp := time.Now().Unix()
	good := tenant.SignedRequest{Method: "GET", Target: "/x?y=1", Host: "h", Timestamp: strconv.FormatInt(stamp, 10), Nonce: "0123456789abcdef", Tenant: "acme"}
	signature := tenant.Sign(edgeSecret, good)
	for _, c := range [][5]string{
		{"acme", good.Timestamp, good.Nonce, signature, "gateway"},
		{"acme ", good.Timestamp, good.Nonce, strings.ToUpper(signature), ""},
		{"other", good.Timestamp, good.Nonce, signature, ""},
		{"", "", "", "", ""},
		{"acme", "+" + good.Timestamp, good.Nonce, signature, "x"},
	} {
		f.Add(c[0], c[1], c[2], c[3], c[4])
	}
	s := New(Options{Access: Access{SigningSecret: edgeSecret}})
	f.Fuzz(func(t *testing.T, id, at, nonce, given, service string) {
		var c fasthttp.RequestCtx
		c.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, nil)
		c.Request.Header.SetMethod("GET")
		c.Request.SetRequestURI("/x?y=1")
		c.Request.Header.SetHost("h")
		for name, value := range map[string]string{headerUserID: id, headerTimestamp: at, headerNonce: nonce, headerSignature: given} {
			c.Request.Header.Set(name, value)
		}
		if service != "" {
			c.Request.Header.Set(headerService, service)
		}
		r := &request{s: s, http: &c}
		h, err := r.signedHeader(tenant.Context{Service: "gateway"})
		if err != nil {
			return
		}
		err = tenant.VerifySignature(edgeSecret, tenant.SignedRequest{
			Method: "GET", Target: "/x?y=1", Host: "h", Timestamp: h.timestamp, Nonce: h.nonce, Tenant: string(h.tenant),
		}, h.signature, time.Now())
		same := h.tenant == "acme" && h.timestamp == good.Timestamp && h.nonce == good.Nonce && strings.EqualFold(h.signature, signature)
		if err == nil && !same {
			t.Errorf("%q %q %q %q %q is proven", id, at, nonce, given, service)
		}
	})
}
