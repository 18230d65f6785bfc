package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// A secret is in no text that a Config can be made into, whoever prints it.
func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "canary-of-the-configuration-secret"
	env := map[string]string{}
	for _, name := range []string{"WAGGLE_HUB_SIGNING_SECRET", "WAGGLE_CLUSTER_JOIN_TOKEN", "WAGGLE_CLUSTER_CONSUL_TOKEN"} {
		env[name] = secret
	}
	c, err := LoadConfig("", envOf(env), nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Hub.SigningSecret) != secret || string(c.Cluster.JoinToken) != secret || string(c.Cluster.Consul.Token) != secret {
		t.Fatalf("not read: %d %d %d characters", len(c.Hub.SigningSecret), len(c.Cluster.JoinToken), len(c.Cluster.Consul.Token))
	}
	var texts strings.Builder
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&texts, form, c)
		fmt.Fprintf(&texts, form, &c)
		fmt.Fprintf(&texts, form, c.Hub.SigningSecret)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts.Write(b)
	for _, h := range []slog.Handler{slog.NewTextHandler(&texts, nil), slog.NewJSONHandler(&texts, nil)} {
		slog.New(h).Info("started", "config", c, "hub", c.Hub, "secret", c.Hub.SigningSecret)
	}
	fmt.Fprint(&texts, c.Validate())
	c.Hub.SigningSecret = secretText(secret[:20])
	fmt.Fprint(&texts, c.Validate())
	if at := strings.Index(texts.String(), secret[:20]); at >= 0 {
		t.Errorf("printed: ...%s", texts.String()[max(0, at-80):at])
	}
	for _, text := range []string{`hub { signing_secret = ["` + secret + `"] }`, `hub { signing_secret = ` + secret + ` }`, `hub { signing_secrets = "` + secret + `" }`, `hub { signing_secret "` + secret + `" {} }`} {
		if _, err := LoadConfig(writeConfig(t, text), noEnv, nil); err == nil || strings.Contains(err.Error(), secret) && !strings.Contains(text, "= "+secret) {
			t.Errorf("%v", err)
		}
	}
}

// Waggle's own variable is stronger than the one that it shares with the hub.
func TestSigningSecretsVariables(t *testing.T) {
	env := map[string]string{"HIVEHUB_SIGNING_SECRET": "shared"}
	for _, want := range []string{"shared", "own"} {
		c, err := LoadConfig("", envOf(env), nil)
		if err != nil || string(c.Hub.SigningSecret) != want {
			t.Errorf("%d characters, %v", len(c.Hub.SigningSecret), err)
		}
		env["WAGGLE_HUB_SIGNING_SECRET"] = "own"
	}
}

func TestAccessOfConfig(t *testing.T) {
	c := DefaultConfig()
	if a := c.access(); len(a.SigningSecret)+len(a.TrustedProxies)+len(a.Origins) != 0 || a.Implicit != "" || a.Keyless {
		t.Errorf("by default %+v", a)
	}
	path := writeConfig(t, "listen {\n trusted_proxies = [\"10.1.2.3/8\", \"::ffff:192.0.2.1\", \"2001:db8::1\"]\n cors_origins = [\"https://a\", \"https://b\"]\n}\nhub {\n tenant_isolation = \"none\"\n enabled = false\n}")
	c, err := LoadConfig(path, noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := c.access()
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")}
	if !slices.Equal(a.TrustedProxies, want) || !slices.Equal(a.Origins, []string{"https://a", "https://b"}) || a.Implicit != "default" || !a.Keyless {
		t.Errorf("%+v", a)
	}
}
