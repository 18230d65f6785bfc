package httpedge

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hivehub/waggle/tenant"
)

func prefixes(t *testing.T, texts ...string) (all []netip.Prefix) {
	t.Helper()
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// The client of a request is the last hop that no trusted proxy has vouched
// for: what a client writes itself into the header never counts.
func TestClientBehindProxies(t *testing.T) {
	proxies := prefixes(t, "10.0.0.0/8", "2001:db8:5::/48")
	for _, c := range []struct {
		nearest string
		lines   []string
		want    string
	}{
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9"},                        // spoofed by the client
		{"10.0.0.1", []string{"10.9.9.9, 203.0.113.9"}, "203.0.113.9"},                       // claims to be a proxy
		{"10.0.0.1", []string{"203.0.113.9, 10.0.0.2, 10.0.0.3"}, "203.0.113.9"},             // three proxies
		{"10.0.0.1", []string{"1.2.3.4", "203.0.113.9", "10.0.0.2"}, "203.0.113.9"},          // in several lines
		{"10.0.0.1", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},                              // a proxy asks for itself
		{"10.0.0.1", []string{"203.0.113.9:4711"}, "203.0.113.9"},                            // with a port
		{"10.0.0.1", []string{"[2001:db8:9::7]:4711"}, "2001:db8:9::7"},                      //
		{"10.0.0.1", []string{"[2001:db8:9::7]"}, "2001:db8:9::7"},                           //
		{"10.0.0.1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},                          // mapped
		{"10.0.0.1", []string{"203.0.113.9, ::ffff:10.0.0.2"}, "203.0.113.9"},                // a mapped proxy
		{"10.0.0.1", []string{"203.0.113.9, nonsense"}, "10.0.0.1"},                          // not an address: whoever sent it
		{"10.0.0.1", []string{"203.0.113.9, unknown, 10.0.0.2"}, "10.0.0.2"},                 //
		{"10.0.0.1", []string{""}, "10.0.0.1"},                                               //
		{"10.0.0.1", []string{"203.0.113.9,"}, "10.0.0.1"},                                   //
		{"10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},                                    //
		{"10.0.0.1", []string{"1.2.3.4" + strings.Repeat(",10.0.0.2", hopsMax)}, "10.0.0.2"}, // no end
		{"2001:db8:5::1", []string{"2001:db8:9::7"}, "2001:db8:9::7"},
	} {
		var lines [][]byte
		for _, l := range c.lines {
			lines = append(lines, []byte(l))
		}
		if got := clientBehind(proxies, address(t, c.nearest), lines); got != address(t, c.want) {
			t.Errorf("%s, %.80q: %s, want %s", c.nearest, c.lines, got, c.want)
		}
	}
}

// Nobody but a trusted proxy says for whom he asks.
func TestForwardedForIsIgnored(t *testing.T) {
	for _, c := range []struct {
		proxies []string
		want    bool // three of them are three sources
	}{{nil, false}, {[]string{"10.0.0.0/8"}, false}, {[]string{"127.0.0.0/8"}, true}} {
		e := newEdge(t, func(o *Options) {
			o.Limits.AuthFailures = 1
			o.Access.TrustedProxies = prefixes(t, c.proxies...)
		})
		unknown := "hh_live_" + strings.Repeat("x", 40)
		for i := range 3 {
			got := e.send("GET", e.qdrant+"/collections", unknown, "", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i))
			if apart := got.status == 401; apart != c.want && i > 0 {
				t.Errorf("proxies %q, client %d: %d", c.proxies, i, got.status)
			}
		}
	}
}

func TestGuessersAreBlocked(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Limits.AuthFailures = 5 })
	unknown := func(i int) string { return fmt.Sprintf("hh_live_%040d", i) }
	for i := range 5 {
		e.send("GET", e.qdrant+"/collections", unknown(i), "").is(401, "")
	}
	got := e.send("GET", e.main+"/api/v1/tenants", unknown(6), "").is(429, `"code":"AUTH_RATE_LIMIT"`)
	if s := got.header.Get("Retry-After"); s != "300" && s != "299" {
		t.Errorf("Retry-After %q", s)
	}
	e.send("GET", e.qdrant+"/collections", unknown(6), "").is(429, `{"status":{"error":"Rate limiting exceeded: `)
	e.send("GET", e.qdrant+"/collections", "not a key", "").is(429, "")
	// Every key that is good still is, and to ask without one is no guess.
	for holder, key := range e.keys {
		if holder == operator {
			e.send("GET", e.main+"/api/v1/tenants", key, "").is(200, "")
		} else {
			e.send("GET", e.qdrant+"/collections", key, "").is(200, "")
		}
	}
	e.send("GET", e.qdrant+"/collections", "", "").is(401, "Must provide")
	e.send("GET", e.main+"/health", unknown(7), "").is(200, `{"status":"ok"}`)
}

// The probes say nothing to a wrong key, and so are no way around the counting.
func TestProbesCountGuesses(t *testing.T) {
	e := newEdge(t, func(o *Options) { o.Limits.AuthFailures = 2 })
	for _, path := range []string{"/health", "/metrics"} {
		e.send("GET", e.main+path, "hh_live_"+strings.Repeat("x", 40), "").is(200, "")
	}
	e.send("GET", e.qdrant+"/collections", "hh_live_"+strings.Repeat("y", 40), "").is(429, "")
}

func TestLoopbackHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost:15002": true, "127.0.0.1": true, "127.0.0.1:15002": true, "127.8.9.10:1": true,
		"[::1]": true, "[::1]:15002": true, "::1": true, "[::ffff:127.0.0.1]:1": true,
		"": false, ":15002": false, "localhost.": false, "localhost.example.com": false, "localhost.example.com:15002": false,
		"127.0.0.1.nip.io": false, "127.0.0.1.nip.io:80": false, "foo.localhost": false, "evil.example": false, "0.0.0.0:15002": false,
		"10.0.0.1": false, "[2001:db8::1]:1": false, "2130706433": false, "0x7f.1": false, "127.1": false, "0177.0.0.1": false,
		"127.0.0.1:80@evil.example": false, "127.0.0.1:x": false, "localhost:": false, "[::1%25lo]": false, "[fe80::1%lo]": false,
		"evil.example#localhost": false, "localhost,evil.example": false,
	} {
		if got := isLoopbackHost(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

func openEdge(t *testing.T, change func(*Options)) *edge {
	t.Helper()
	return newEdge(t, func(o *Options) {
		o.Access.Implicit = "default"
		if change != nil {
			change(o)
		}
	})
}

// Without keys every page in a browser on this machine can reach the port. What
// such a page can send is refused before anything is looked at.
func TestOpenNodeRefusesPages(t *testing.T) {
	e := openEdge(t, func(o *Options) { o.Access.Origins = []string{"https://app.example"} })
	port := e.main[strings.LastIndex(e.main, ":"):]
	body := `{"points":[1]}`
	post := func(headers string) string {
		return e.raw(e.main, "POST /qdrant/collections/docs/points/count HTTP/1.1\r\nConnection: close\r\n"+headers+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
	}
	for headers, status := range map[string]int{
		"Host: localhost" + port + "\r\nContent-Type: application/json\r\n":                                    200,
		"Host: [::1]\r\nContent-Type: Application/JSON; charset=utf-8\r\n":                                     200,
		"Host: localhost\r\nContent-Type: application/json\r\nOrigin: https://app.example\r\n":                 200,
		"Host: rebound.example" + port + "\r\nContent-Type: application/json\r\n":                              403,
		"Host: 127.0.0.1.nip.io\r\nContent-Type: application/json\r\n":                                         403,
		"Content-Type: application/json\r\n":                                                                   403,
		"Host: localhost\r\nHost: localhost\r\nContent-Type: application/json\r\n":                             400,
		"Host: localhost\r\nContent-Type: application/json\r\nOrigin: https://evil.example\r\n":                403,
		"Host: localhost\r\nContent-Type: application/json\r\nOrigin: null\r\n":                                403,
		"Host: localhost\r\nContent-Type: application/json\r\nOrigin: http://localhost" + port + "\r\n":        403,
		"Host: localhost\r\nContent-Type: application/json\r\nOrigin: https://app.example\r\nOrigin: null\r\n": 403,
		"Host: localhost\r\nContent-Type: text/plain\r\n":                                                      415,
		"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n":                               415,
		"Host: localhost\r\nContent-Type: text/plain; application/json\r\n":                                    415,
		"Host: localhost\r\nContent-Type: application/jsonp\r\n":                                               415,
		"Host: localhost\r\n": 415,
	} {
		got := post(headers)
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", status)) {
			t.Errorf("%q: want %d, got %.200s", headers, status, got)
		}
		if calls := e.engine.take(); (calls != nil) != (status == 200) {
			t.Errorf("%q: called %+v", headers, calls)
		}
	}
	// A whole URL on the request line names a host, too.
	for line, host := range map[string]string{"http://rebound.example": "localhost", "http://localhost": "rebound.example"} {
		got := e.raw(e.main, "GET "+line+"/health HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("%s, Host %s: %.200s", line, host, got)
		}
	}
	// A chunked body is a body.
	got := e.raw(e.main, "POST /qdrant/collections/docs/points/count HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 415 ") {
		t.Errorf("chunked: %.200s", got)
	}
}

func TestOpenNode(t *testing.T) {
	e := openEdge(t, nil)
	e.send("GET", e.qdrant+"/collections", "", "").is(200, "")
	c := e.only()
	if c.tc.TenantID != "default" || !c.tc.Valid() || !c.tc.May(tenant.OpManageCollections) || c.tc.IsOperator || c.tc.Service != "" || c.tc.RequestID == "" {
		t.Errorf("%+v", c.tc)
	}
	// A key counts as everywhere: it is not needed, but it is not ignored.
	e.send("GET", e.qdrant+"/collections", e.keys["READ_ONLY"], "").is(200, "")
	if c := e.only(); c.tc.TenantID != e.tenant {
		t.Errorf("%+v", c.tc)
	}
	e.send("GET", e.qdrant+"/collections", "hh_live_"+strings.Repeat("x", 40), "").is(401, "")
	e.send("GET", e.main+"/api/v1/tenants", "", "").is(403, "needs the operator key")
	e.send("GET", e.main+"/api/v1/tenants", e.keys[operator], "").is(200, "")
	e.send("GET", e.main+"/health", "", "").is(200, `{"status":"ok"}`)

	keyless := openEdge(t, func(o *Options) { o.Access.Keyless = true })
	for _, key := range []string{"", "anything", keyless.keys["READ_ONLY"], keyless.keys[operator]} {
		keyless.send("GET", keyless.qdrant+"/collections", key, "").is(200, "")
		if c := keyless.only(); c.tc.TenantID != "default" {
			t.Errorf("%+v", c.tc)
		}
		keyless.send("GET", keyless.main+"/api/v1/tenants", key, "").is(403, "")
	}
}

// With keys no answer says anything about origins, unless some are listed.
func TestCORS(t *testing.T) {
	const page = "https://app.example"
	preflight := []string{"Origin", page, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "api-key"}
	closed := newEdge(t, nil)
	for _, got := range []reply{
		closed.send("GET", closed.qdrant+"/collections", closed.keys["READ_ONLY"], "", "Origin", page).is(200, ""),
		closed.send("OPTIONS", closed.qdrant+"/collections", "", "", preflight...).is(405, ""),
	} {
		for name := range got.header {
			if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
				t.Errorf("closed: %s: %s", name, got.header.Get(name))
			}
		}
	}
	e := newEdge(t, func(o *Options) { o.Access.Origins = []string{"http://localhost:3000", page} })
	for _, c := range []struct {
		origin, key string
		status      int
		allowed     string
	}{
		{page, e.keys["READ_ONLY"], 200, page},
		{page, "", 401, page}, // the page may read why
		{"https://app.example.evil", e.keys["READ_ONLY"], 200, ""},
		{"https://APP.example", e.keys["READ_ONLY"], 200, ""},
		{"null", e.keys["READ_ONLY"], 200, ""},
	} {
		got := e.send("GET", e.qdrant+"/collections", c.key, "", "Origin", c.origin).is(c.status, "")
		if got.header.Get("Access-Control-Allow-Origin") != c.allowed || got.header.Get("Vary") != "Origin" || got.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", c.origin, got.header)
		}
	}
	e.engine.take()
	got := e.send("OPTIONS", e.qdrant+"/collections/x", "", "", preflight...).is(204, "")
	if got.header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "PUT") || !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "api-key") {
		t.Errorf("%v", got.header)
	}
	e.send("OPTIONS", e.qdrant+"/collections/x", "", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "PUT").is(405, "")
	e.send("OPTIONS", e.qdrant+"/collections/x", e.keys["ADMIN"], "").is(405, "")
	if calls := e.engine.take(); calls != nil {
		t.Errorf("called %+v", calls)
	}
}

func TestIsOrigin(t *testing.T) {
	for s, want := range map[string]bool{
		"https://app.example.com": true, "http://localhost:3000": true, "http://[::1]:8080": true,
		"": false, "*": false, "null": false, "app.example.com": false, "https://": false, "https://a/": false, "https://a/x": false,
		"https://A": false, "ftp://a": false, "https://a?x": false, "https://u@a": false, "https://a#x": false, "https://*.a": false,
	} {
		if IsOrigin(s) != want {
			t.Errorf("%q: %v, want %v", s, !want, want)
		}
	}
}
