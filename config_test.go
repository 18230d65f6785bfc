package main

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func noEnv(string) string { return "" }

func envOf(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSampleIsTheDefaults(t *testing.T) {
	c, err := LoadConfig("cluster.hcl", noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), c); diff != "" {
		t.Errorf("cluster.hcl differs from the defaults:\n%s", diff)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

// A key that the sample does not show is a key that nobody finds.
func TestSampleHasEveryKey(t *testing.T) {
	src, err := os.ReadFile("cluster.hcl")
	if err != nil {
		t.Fatal(err)
	}
	file, diags := hclsyntax.ParseConfig(src, "cluster.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	root := file.Body.(*hclsyntax.Body)
	c := DefaultConfig()
	for _, s := range c.settings() {
		body, name := root, s.path
		for {
			block, rest, ok := strings.Cut(name, ".")
			if !ok {
				break
			}
			i := slices.IndexFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == block })
			if i < 0 {
				t.Fatalf("block %s of %s is missing", block, s.path)
			}
			body, name = body.Blocks[i].Body, rest
		}
		if body.Attributes[name] == nil {
			t.Errorf("%s is missing", s.path)
		}
	}
}

func TestConfigFileFaults(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"misspelt key", "\nlisten {\n  adress = \"x\"\n}", `:3: unknown key "adress"; did you mean "address"?`},
		{"misspelt block", `listn { address = "x" }`, `:1: unknown key "listn"; did you mean "listen"?`},
		{"misspelt attribute", `listn = "x"`, `:1: unknown key "listn"; did you mean "listen"?`},
		{"nothing near", `zzzzzzzz = 1`, `:1: unknown key "zzzzzzzz"`},
		{"block as attribute", `listen = "127.0.0.1:1"`, `:1: listen is a block: write listen { ... }`},
		{"attribute as block", `data_dir {}`, `:1: data_dir is not a block: write data_dir = ...`},
		{"twice", "log {}\nlog {}", `:2: log is here for the second time`},
		{"label", `log "x" {}`, `:1: log takes no label`},
		{"number", `partitions = "many"`, `:1: partitions: "many" is not a whole number`},
		{"fraction", `partitions = 16.5`, `:1: partitions: "16.5" is not a whole number`},
		{"bytes", `storage { segment_bytes = "64XB" }`, `:1: storage.segment_bytes: "64XB" is not a whole number such as 1048576 or "1MB"`},
		{"bytes too many", `storage { segment_bytes = "9999999999GB" }`, `:1: storage.segment_bytes: "9999999999GB" is not a whole number such as 1048576 or "1MB"`},
		{"duration", `storage { checkpoint_interval = 30 }`, `:1: storage.checkpoint_interval: "30" is not a duration such as "30s"`},
		{"bool", `hub { enabled = "maybe" }`, `:1: hub.enabled: "maybe" is neither true nor false`},
		{"list", `data_dir = ["a"]`, `:1: data_dir: must be a string, a number, true or false`},
		{"no list", `listen { cors_origins = "https://a" }`, `:1: listen.cors_origins: must be a list of strings, such as ["a", "b"]`},
		{"list of numbers", `listen { cors_origins = [1] }`, `:1: listen.cors_origins: must be a list of strings, such as ["a", "b"]`},
		{"null list", `listen { cors_origins = null }`, `:1: listen.cors_origins: must be a list of strings, such as ["a", "b"]`},
		{"null", `data_dir = null`, `:1: data_dir: must be a string, a number, true or false`},
		{"variable", `data_dir = home`, `:1: data_dir: Variables may not be used here.`},
		{"syntax", "\ndata_dir = {", `:2: `},
		{"all of them", "dat_dir = 1\nlogg {}", `:1: unknown key "dat_dir"; did you mean "data_dir"?` + "\n" + `:2: unknown key "logg"; did you mean "log"?`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := writeConfig(t, tc.text)
			_, err := LoadConfig(path, noEnv, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			got := strings.ReplaceAll(err.Error(), path, "")
			if got != tc.want && (tc.name != "syntax" || !strings.HasPrefix(got, tc.want)) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestConfigFileMissing(t *testing.T) {
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "no.hcl"), noEnv, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Every setting can be given in the environment, whatever its type.
func TestEveryKeyHasItsVariable(t *testing.T) {
	def := DefaultConfig()
	for i, s := range def.settings() {
		text := "7"
		switch s.target.(type) {
		case *bool:
			text = "1"
		case *time.Duration:
			text = "7s"
		case *[]string:
			text = "a, b"
		}
		c, err := LoadConfig("", envOf(map[string]string{envName(s.path): text}), nil)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
			continue
		}
		var want, got any
		switch s.target.(type) {
		case *string:
			want, got = text, *c.settings()[i].target.(*string)
		case *secretText:
			want, got = text, string(*c.settings()[i].target.(*secretText))
		case *[]string:
			want, got = "a|b", strings.Join(*c.settings()[i].target.(*[]string), "|")
		case *bool:
			want, got = true, *c.settings()[i].target.(*bool)
		case *int:
			want, got = 7, *c.settings()[i].target.(*int)
		case *int64:
			want, got = int64(7), *c.settings()[i].target.(*int64)
		case *float64:
			want, got = 7.0, *c.settings()[i].target.(*float64)
		case *time.Duration:
			want, got = 7*time.Second, *c.settings()[i].target.(*time.Duration)
		}
		if got != want {
			t.Errorf("%s is %v, want %v", s.path, got, want)
		}
	}
	_, err := LoadConfig("", envOf(map[string]string{"WAGGLE_PARTITIONS": "x"}), nil)
	if err == nil || err.Error() != `WAGGLE_PARTITIONS: "x" is not a whole number` {
		t.Errorf("got %v", err)
	}
}

func TestServePrecedence(t *testing.T) {
	path := writeConfig(t, "data_dir = \"file\"\nlisten {\n address = \"127.0.0.1:1\"\n qdrant_address = \"127.0.0.1:2\"\n}\npartitions = 128")
	env := map[string]string{"WAGGLE_LISTEN_ADDRESS": "127.0.0.1:3", "WAGGLE_LISTEN_QDRANT_ADDRESS": "127.0.0.1:4"}
	want := DefaultConfig()
	want.DataDir, want.Partitions = "file", 128
	want.Listen.Address, want.Listen.QdrantAddress = "127.0.0.1:3", "off"

	for name, args := range map[string][]string{
		"flag":     {"--config", path, "--qdrant-listen", "off"},
		"variable": {"--qdrant-listen", "off"},
	} {
		env["WAGGLE_CONFIG"] = path
		got, err := serveConfig(t, env, args)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("config by %s:\n%s", name, diff)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	for _, tc := range []struct {
		args []string
		env  map[string]string
		want string // "" accepts
	}{
		{args: []string{"--listen", "127.0.0.1:0"}},
		{args: []string{"--listen", "[::1]:0"}},
		{args: []string{"--listen", "localhost:0"}},
		{args: []string{"--listen", "15002"}, want: "is not HOST:PORT"},
		{args: []string{"--listen", "0.0.0.0:15002"}, want: "keys would cross the network in the clear"},
		{args: []string{"--listen", ":15002"}, want: "keys would cross the network in the clear"},
		{args: []string{"--listen", "10.0.0.1:15002"}, want: "keys would cross the network in the clear"},
		{args: []string{"--qdrant-listen", "0.0.0.0:6333"}, want: "listen.qdrant_address: "},
		{args: []string{"--listen", "0.0.0.0:15002"}, env: map[string]string{"WAGGLE_LISTEN_BEHIND_PROXY": "true"}},
		{args: append(several("127.0.0.1:1")[:2], several("127.0.0.1:1")[4:]...), want: "cluster.node_id: is empty; a node of a cluster needs it (--node-id)"},
		{args: several("127.0.0.1:1")[2:], want: "cluster.name: is empty"},
		{args: []string{"--consul", "127.0.0.1:8500", "--cluster", "c", "--node-id", "n"}, want: "cluster.listen: is empty"},
		{args: []string{"--join-token", "x", "--cluster", "c", "--node-id", "n", "--cluster-listen", "127.0.0.1:1"}, want: "cluster.consul.address: is empty"},
		{args: several("127.0.0.1:15010")},
		{args: several("15010"), want: `cluster.listen: "15010" is not HOST:PORT`},
		{args: several("0.0.0.0:15010"), want: "cluster.advertise: the other nodes cannot reach"},
		{args: append(several("0.0.0.0:15010"), "--cluster-advertise", "10.0.0.1:15010")},
		{args: several("127.0.0.1:15010"), env: map[string]string{"WAGGLE_CLUSTER_TLS_CERT": "c.pem"}, want: "cert, key and ca go together"},
		{args: several("127.0.0.1:15010"), env: map[string]string{"WAGGLE_CLUSTER_SWAP_AFTER": "0s"}, want: "cluster.swap_after: must be more than 0"},
		{env: map[string]string{"WAGGLE_PARTITIONS": "15"}, want: "partitions: is 15; must be 16 to 1024"},
		{env: map[string]string{"WAGGLE_PARTITIONS": "1025"}, want: "partitions: is 1025"},
		{env: map[string]string{"WAGGLE_PARTITIONS": "1024"}},
		{env: map[string]string{"WAGGLE_LOG_LEVEL": "loud"}, want: `log.level: "loud" is not one of`},
		{env: map[string]string{"WAGGLE_LOG_FORMAT": "xml"}, want: `log.format: "xml" is not one of`},
		{env: map[string]string{"WAGGLE_HUB_ENABLED": "false"}, want: "hub.enabled: "},
		{env: map[string]string{"WAGGLE_HUB_MODE": "remote"}, want: "hub.service_api_key: is empty"},
		{env: remoteNode()},
		{env: remoteNode("HIVEHUB_API_URL", "http://127.0.0.1:15004")},
		{env: remoteNode("HIVEHUB_API_URL", "http://hub.example.com"), want: "hub.api_url: keys would cross the network to hub.example.com in the clear"},
		{env: remoteNode("HIVEHUB_API_URL", "hub.example.com"), want: `hub.api_url: "hub.example.com" is not an address`},
		{env: remoteNode("WAGGLE_HUB_API_URL", "https://user:pass@hub.example.com"), want: "hub.api_url: "},
		{env: remoteNode("HIVEHUB_SERVICE_API_KEY", "hh_live_"+strings.Repeat("a", 40)), want: "hub.service_api_key: is not a service's key"},
		{env: remoteNode("WAGGLE_HUB_SERVICE_NAME", "a b"), want: `hub.service_name: is "a b"`},
		{env: remoteNode("WAGGLE_HUB_TENANT_ISOLATION", "none"), want: `hub.mode: with "remote" every request needs a key`},
		{env: remoteNode("WAGGLE_HUB_LISTEN", "127.0.0.1:15004"), want: `hub.listen: with mode = "remote" the hub is at https://api.hivehub.cloud`},
		{env: remoteNode("WAGGLE_HUB_RETRIES", "0"), want: "hub.retries: must be more than 0"},
		{env: remoteNode("WAGGLE_HUB_CACHE_ENABLED", "false")},
		{env: map[string]string{"WAGGLE_HUB_TENANT_ISOLATION": "storage"}, want: "not built yet"},
		{env: map[string]string{"WAGGLE_HUB_TENANT_ISOLATION": "none"}},
		{env: openNode("WAGGLE_HUB_ENABLED", "false")},
		{env: openNode("WAGGLE_HUB_ENABLED", "false", "WAGGLE_HUB_LISTEN", "127.0.0.1:15004"), want: "hub.listen: there is no hub"},
		{env: openNode("WAGGLE_LISTEN_BEHIND_PROXY", "true"), want: "listen.behind_proxy: a proxy would let others in"},
		{env: openNode("WAGGLE_LISTEN_TRUSTED_PROXIES", "127.0.0.1"), want: "listen.behind_proxy: a proxy would let others in"},
		{env: openNode("WAGGLE_LISTEN_TLS_CERT_FILE", "c", "WAGGLE_LISTEN_TLS_KEY_FILE", "k"), args: []string{"--listen", "0.0.0.0:1"}, want: "nobody needs a key"},
		{env: openNode("WAGGLE_HUB_LISTEN", "10.0.0.1:15004", "WAGGLE_LISTEN_TLS_CERT_FILE", "c", "WAGGLE_LISTEN_TLS_KEY_FILE", "k"), want: "hub.listen: "},
		{env: openNode(), args: several("127.0.0.1:15010"), want: "is for a node that is alone"},
		{env: map[string]string{"WAGGLE_HUB_LISTEN": "127.0.0.1:15004"}},
		{env: map[string]string{"WAGGLE_HUB_LISTEN": "15004"}, want: "hub.listen: "},
		{env: map[string]string{"WAGGLE_HUB_LISTEN": "0.0.0.0:15004"}, want: "hub.listen: "},
		{env: map[string]string{"WAGGLE_LISTEN_TLS_CERT_FILE": "c", "WAGGLE_LISTEN_TLS_KEY_FILE": "k"}, args: []string{"--listen", "0.0.0.0:1", "--qdrant-listen", "0.0.0.0:2"}},
		{env: map[string]string{"WAGGLE_LISTEN_TLS_CERT_FILE": "c"}, want: "cert_file and key_file go together"},
		{env: map[string]string{"WAGGLE_LISTEN_TLS_CLIENT_CA_FILE": "c"}, want: "client_ca_file only with them"},
		{env: map[string]string{"WAGGLE_LISTEN_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::7,::ffff:10.0.0.1"}},
		{env: map[string]string{"WAGGLE_LISTEN_TRUSTED_PROXIES": "10.0.0.0/33"}, want: `listen.trusted_proxies: "10.0.0.0/33"`},
		{env: map[string]string{"WAGGLE_LISTEN_TRUSTED_PROXIES": "proxy.local"}, want: `listen.trusted_proxies: "proxy.local"`},
		{env: map[string]string{"WAGGLE_LISTEN_TRUSTED_PROXIES": "::ffff:10.0.0.0/104"}, want: "listen.trusted_proxies"},
		{env: map[string]string{"WAGGLE_LISTEN_CORS_ORIGINS": "https://a.example,http://localhost:3000"}},
		{env: map[string]string{"WAGGLE_LISTEN_CORS_ORIGINS": "*"}, want: `listen.cors_origins: "*" is not an origin`},
		{env: map[string]string{"HIVEHUB_SIGNING_SECRET": strings.Repeat("s", 32)}},
		{env: map[string]string{"HIVEHUB_SIGNING_SECRET": strings.Repeat("s", 31)}, want: "hub.signing_secret: has 31 characters; it must have at least 32"},
		{env: map[string]string{"WAGGLE_LIMITS_AUTH_FAILURES": "1001"}, want: "limits.auth_failures: is 1001"},
		{env: map[string]string{"WAGGLE_LIMITS_AUTH_BLOCK": "0s"}, want: "limits.auth_block: must be more than 0"},
		{env: map[string]string{"WAGGLE_HUB_TENANT_ISOLATION": "some"}, want: "is not one of"},
		{env: map[string]string{"WAGGLE_LIMITS_TOP_K": "0"}, want: "limits.top_k: must be more than 0"},
		{env: map[string]string{"WAGGLE_STORAGE_SEGMENT_BYTES": "-1"}, want: "storage.segment_bytes: must be more than 0"},
		{env: map[string]string{"WAGGLE_LIMITS_IDLE_TIMEOUT": "0s"}, want: "limits.idle_timeout: must be more than 0"},
		{env: map[string]string{"WAGGLE_LIMITS_BATCH_POINTS": "65537"}, want: "limits.batch_points: is 65537"},
	} {
		_, err := serveConfig(t, tc.env, tc.args)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v %v: got %v, want %q", tc.args, tc.env, err, tc.want)
		}
		if err != nil && strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("%v %v: more than one line: %v", tc.args, tc.env, err)
		}
	}
	c := Config{}
	if got := strings.Count(c.Validate().Error(), "\n"); got < 10 {
		t.Errorf("the empty configuration has only %d faults", got+1)
	}
}

// remoteNode is the environment of a node whose hub is elsewhere, and more of it.
func remoteNode(more ...string) map[string]string {
	env := map[string]string{"WAGGLE_HUB_MODE": "remote", "HIVEHUB_SERVICE_API_KEY": "svc_" + strings.Repeat("a", 40)}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

// openNode is the environment of a node without keys, and more of it.
func openNode(more ...string) map[string]string {
	env := map[string]string{"WAGGLE_HUB_TENANT_ISOLATION": "none"}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

// serveConfig runs `waggle serve args` as far as its run function.
func serveConfig(t *testing.T, env map[string]string, args []string) (Config, error) {
	t.Helper()
	var got Config
	cmd := newServeCommand(envOf(env), func(_ context.Context, c Config) error {
		got = c
		return nil
	})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{}, args...)) // nil would be os.Args
	err := cmd.ExecuteContext(t.Context())
	return got, err
}

func TestSecret(t *testing.T) {
	c := DefaultConfig()
	c.DataDir = t.TempDir()
	path := filepath.Join(c.DataDir, "secret")

	if _, err := openSecret(c, true); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("born without a secret: %v", err)
	}
	made, err := openSecret(c, false)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, born := range []bool{false, true} {
		if again, err := openSecret(c, born); err != nil || again != made {
			t.Errorf("born %v: another secret, or %v", born, err)
		}
	}
	if strings.Contains(made.String(), hex.EncodeToString(made[:])) {
		t.Error("String shows the secret")
	}
	if string(made.derive("a")) == string(made.derive("b")) || len(made.derive("a")) != 32 {
		t.Error("purposes share a key")
	}

	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecret(c, true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "xyz", strings.Repeat("0", 63), strings.Repeat("0", 66)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openSecret(c, true); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") {
			t.Errorf("secret %q: %v", bad, err)
		}
	}

	c.SecretFile = filepath.Join(c.DataDir, "elsewhere")
	if _, err := openSecret(c, false); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("named file that is not there: %v", err)
	}
}

// several are the flags of a node of a cluster.
func several(listen string) []string {
	return []string{"--cluster", "c", "--node-id", "n1", "--consul", "127.0.0.1:8500", "--cluster-listen", listen}
}
