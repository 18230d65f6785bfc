package embedding

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	const public, private, never = "public", "private", "never"
	for _, c := range []struct{ address, want string }{
		{"8.8.8.8", public},
		{"1.1.1.1", public},
		{"172.32.0.1", public},
		{"100.128.0.1", public},
		{"192.167.255.255", public},
		{"2606:4700::1111", public},
		{"2a00:1450:4001::1", public},
		{"::ffff:8.8.8.8", public},
		{"64:ff9b::808:808", public},

		{"127.0.0.1", private},
		{"127.255.255.254", private},
		{"10.0.0.1", private},
		{"172.16.0.1", private},
		{"172.31.255.255", private},
		{"192.168.1.1", private},
		{"100.64.0.1", private},
		{"100.127.255.255", private},
		{"198.18.0.1", private},
		{"::1", private},
		{"fc00::1", private},
		{"fd12:3456::1", private},
		{"::ffff:127.0.0.1", private},
		{"::ffff:10.1.2.3", private},
		{"64:ff9b::a00:1", private},
		{"64:ff9b::7f00:1", private},

		{"169.254.169.254", never},
		{"169.254.0.1", never},
		{"100.100.100.200", never},
		{"168.63.129.16", never},
		{"fd00:ec2::254", never},
		{"fd20:ce::254", never},
		{"fe80::1", never},
		{"fe80::1%eth0", never},
		{"::ffff:169.254.169.254", never},
		{"64:ff9b::a9fe:a9fe", never},
		{"0.0.0.0", never},
		{"::", never},
		{"255.255.255.255", never},
		{"224.0.0.1", never},
		{"240.0.0.1", never},
		{"ff02::1", never},
		{"192.0.0.1", never},
		{"192.0.2.1", never},
		{"198.51.100.1", never},
		{"203.0.113.1", never},
		{"192.88.99.1", never},
		{"2001:db8::1", never},
		{"2001::1", never},
		{"2002:7f00:1::", never},
		{"2002:a9fe:a9fe::1", never},
		{"64:ff9b:1::1", never},
		{"::7f00:1", never},
		{"::ffff:0:7f00:1", never},
		{"fec0::1", never},
		{"3fff::1", never},
		{"100::1", never},
	} {
		a := netip.MustParseAddr(c.address)
		got := never
		if checkAddress(a, false) == nil {
			got = public
		} else if checkAddress(a, true) == nil {
			got = private
		}
		if got != c.want {
			t.Errorf("%s is %s, want %s", c.address, got, c.want)
		}
		dialled := netip.AddrPortFrom(a, 443).String()
		if open := checkDial("tcp6", dialled, false) == nil; open != (c.want == public) {
			t.Errorf("dialling %s: %v", dialled, open)
		}
	}
	for _, network := range []string{"udp4", "unix", "tcp"} {
		if checkDial(network, "8.8.8.8:443", true) == nil {
			t.Errorf("%s is let through", network)
		}
	}
	if checkDial("tcp4", "name:443", true) == nil {
		t.Error("a name is let through")
	}
}

func TestValidate(t *testing.T) {
	good := Endpoint{URL: "https://api.example.com/v1/embeddings?api-version=1", Model: "m", APIKey: testKey, Dimension: 3}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Endpoint){
		"relative":           func(e *Endpoint) { e.URL = "/v1/embeddings" },
		"no host":            func(e *Endpoint) { e.URL = "https:///v1" },
		"port alone":         func(e *Endpoint) { e.URL = "https://:443/v1" },
		"file":               func(e *Endpoint) { e.URL = "file:///etc/passwd" },
		"http":               func(e *Endpoint) { e.URL = "http://api.example.com/v1" },
		"userinfo":           func(e *Endpoint) { e.URL = "https://user:" + testKey + "@api.example.com/" },
		"fragment":           func(e *Endpoint) { e.URL += "#x" },
		"loopback":           func(e *Endpoint) { e.URL = "https://127.0.0.1/" },
		"metadata":           func(e *Endpoint) { e.URL, e.AllowPrivate = "http://169.254.169.254/latest", true },
		"mapped":             func(e *Endpoint) { e.URL = "https://[::ffff:10.0.0.1]/" },
		"long url":           func(e *Endpoint) { e.URL += strings.Repeat("x", urlBytesMax) },
		"model of a line":    func(e *Endpoint) { e.Model = "a\nb" },
		"key of a line":      func(e *Endpoint) { e.APIKey = testKey + "\r\nX-Evil: 1" },
		"key with a space":   func(e *Endpoint) { e.APIKey = testKey + " x" },
		"dimension":          func(e *Endpoint) { e.Dimension = dimensionMax + 1 },
		"negative dimension": func(e *Endpoint) { e.Dimension = -1 },
		"batch":              func(e *Endpoint) { e.Batch = BatchMax + 1 },
		"timeout":            func(e *Endpoint) { e.Timeout = TimeoutMax + time.Second },
	} {
		e := good
		spoil(&e)
		err := e.Validate()
		if err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the key is in %q", name, err)
		}
	}
	private := Endpoint{URL: "http://127.0.0.1:8080/v1/embeddings", AllowPrivate: true}
	if err := private.Validate(); err != nil {
		t.Error(err)
	}
}

func TestSecretIsShownNowhere(t *testing.T) {
	e := Endpoint{APIKey: testKey}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", e.APIKey, "endpoint", e)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", e.APIKey, "endpoint", e)
	j, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	shown.WriteString(log.String() + string(j) + e.APIKey.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown.WriteString(fmt.Sprintf(verb, e) + fmt.Sprintf(verb, &e) + fmt.Sprintf(verb, e.APIKey))
	}
	if strings.Contains(shown.String(), "canary") || strings.Contains(strings.ToLower(shown.String()), fmt.Sprintf("%x", "canary")) {
		t.Errorf("the key is in %s", shown.String())
	}
}
