package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestStartDefaults starts a node as a stranger does, with nothing but ports
// that are free here: data in ./data, first keys in a file for their owner
// alone, and those keys work.
func TestStartDefaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(binary, "serve")
	cmd.Dir = dir
	cmd.Env = environ([]string{"WAGGLE_LISTEN_ADDRESS=127.0.0.1:0", "WAGGLE_LISTEN_QDRANT_ADDRESS=127.0.0.1:0"})
	s, err := launch(t, "./data", cmd)
	if err != nil {
		t.Fatal(err)
	}
	operator, tenant := firstKeys(t, filepath.Join(dir, "data", "first-keys"))
	s.key = tenant
	s.create("c")
	s.put("c", 1, nil)
	if a := (user{s, operator}).callMain("GET", "/api/v1/tenants", nil); a.status != 200 {
		t.Errorf("operator key: %d %s", a.status, a.body)
	}
	s.mustStop()

	// Without a terminal the log says where the keys are, and not what they are.
	log := s.stderr.String()
	if !strings.Contains(log, "first-keys") || strings.Contains(log, operator) || strings.Contains(log, tenant) {
		t.Errorf("the log must name the file of the keys and no key:\n%s", log)
	}
	for name, want := range map[string]os.FileMode{".": 0o700, "secret": 0o600, "log": 0o700, "partitions": 0o700} {
		info, err := os.Stat(filepath.Join(dir, "data", name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("data/%s: mode %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "data", "partitions", "*.db")); len(files) != 65 {
		t.Errorf("%d stores, want 64 partitions and the system group", len(files))
	}
}

// firstKeys reads the file of a node's first keys.
func firstKeys(t *testing.T, path string) (operator, tenant string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v, want 0600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`^operator +(hh_live_\w+)\ntenant +(hh_live_\w+)\n$`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatalf("unexpected form of %s", path)
	}
	return m[1], m[2]
}

func TestReadyLineWithoutQdrant(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--qdrant-listen", "off")
	if s.qdrant != "http://off" {
		t.Errorf("ready line says qdrant=%s", s.qdrant)
	}
	if a := s.callMain("GET", "/qdrant/collections", nil); a.status != 200 {
		t.Errorf("the Qdrant API must still be below /qdrant: %d %s", a.status, a.body)
	}
}

// TestBootstrapKeysRefused starts with first keys that no edge would accept:
// nothing is born, and the next start with good ones works.
func TestBootstrapKeysRefused(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	args := slices.Concat([]string{"serve", "--data", data}, freePorts)
	const good = "hh_test_0123456789012345678901234567890123"
	for name, env := range map[string][]string{
		"short":    {"WAGGLE_BOOTSTRAP_OPERATOR_KEY=hh_live_short", "WAGGLE_BOOTSTRAP_TENANT_KEY=" + good},
		"alphabet": {"WAGGLE_BOOTSTRAP_TENANT_KEY=hh_live_0123456789-0123456789-0123456789"},
		"service":  {"WAGGLE_BOOTSTRAP_TENANT_KEY=svc_0123456789012345678901234567890123"},
		"mistyped": {"WAGGLE_BOOTSTRAP_OPERATOR_KEY=hh_live_01234567890123456789012345678901_000000"},
		"equal":    {"WAGGLE_BOOTSTRAP_OPERATOR_KEY=" + good, "WAGGLE_BOOTSTRAP_TENANT_KEY=" + good},
	} {
		line := refused(t, slices.Concat(small, env), args...)
		if !strings.Contains(line, "WAGGLE_BOOTSTRAP_") {
			t.Errorf("%s: %q does not name the variable", name, line)
		}
		for _, e := range env {
			if _, key, _ := strings.Cut(e, "="); strings.Contains(line, key) {
				t.Errorf("%s: %q has the key in it", name, line)
			}
		}
		if _, err := os.Stat(data); !os.IsNotExist(err) {
			t.Fatalf("%s: something was born: %v", name, err)
		}
	}
	s := start(t, data)
	s.create("c")
	if _, err := os.Stat(filepath.Join(data, "first-keys")); !os.IsNotExist(err) {
		t.Errorf("given keys must not be written down: %v", err)
	}
	// Once born, the keys in the environment do not count.
	s.mustStop()
	cmd := exec.Command(binary, args...)
	cmd.Env = environ([]string{"WAGGLE_BOOTSTRAP_TENANT_KEY=" + good})
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if a := (user{s, good}).call("GET", "/collections", nil); a.status != 401 {
		t.Errorf("a bootstrap key made itself valid on a node with data: %d %s", a.status, a.body)
	}
	s.must("GET", "/collections/c", nil)
}

// TestStartRefused holds that what is wrong with a start is said in one line.
func TestStartRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	running := start(t, t.TempDir())
	dir := t.TempDir()
	fresh := filepath.Join(dir, "data")
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	with := func(args ...string) []string {
		return slices.Concat([]string{"--data", fresh}, freePorts, args)
	}
	misspelt := file("misspelt.hcl", "# a comment\nlisten {\n  adress = \"127.0.0.1:1\"\n}\n")
	for name, tc := range map[string]struct {
		args []string
		env  []string
		want string // regular expression
	}{
		"port taken":            {args: with("--listen", taken.Addr().String()), want: regexp.QuoteMeta(taken.Addr().String()) + ` is taken .*--listen`},
		"qdrant port":           {args: with("--qdrant-listen", taken.Addr().String()), want: `is taken .*--qdrant-listen`},
		"directory locked":      {args: with("--data", running.data), want: regexp.QuoteMeta(running.data) + ` is in use by another waggle`},
		"data is a file":        {args: with("--data", misspelt), want: `data directory`},
		"misspelt key":          {args: with("--config", misspelt), want: `misspelt\.hcl:3: unknown key "adress"; did you mean "address"\?`},
		"not HCL":               {args: with("--config", file("broken.hcl", "listen {\n")), want: `broken\.hcl:1: `},
		"wrong type":            {args: with("--config", file("type.hcl", "partitions = \"many\"\n")), want: `type\.hcl:1: partitions.*`},
		"no config":             {args: with("--config", filepath.Join(dir, "absent.hcl")), want: `absent\.hcl: no such file`},
		"config is a directory": {args: with("--config", dir), want: `is a directory`},
		"environment":           {args: with(), env: []string{"WAGGLE_PARTITIONS=many"}, want: `^WAGGLE_PARTITIONS: "many"`},
		"unknown flag":          {args: with("--listn", "127.0.0.1:0"), want: `^unknown flag: --listn`},
		"surplus argument":      {args: with("now"), want: `"now"`},
		"open to others":        {args: with("--listen", "0.0.0.0:0"), want: `^listen\.address: "0\.0\.0\.0:0" .*behind_proxy`},
		"open to others 6":      {args: with("--qdrant-listen", "[::]:0"), want: `^listen\.qdrant_address: .*behind_proxy`},
		"not an address":        {args: with("--listen", "15002"), want: `^listen\.address: "15002" is not HOST:PORT`},
		"half a cluster":        {args: with("--node-id", "n1", "--cluster", "c", "--consul", "127.0.0.1:8500"), want: `^cluster\.listen: is empty; .*--cluster-listen`},
	} {
		line := refused(t, slices.Concat(bootstrapKeys, small, tc.env), append([]string{"serve"}, tc.args...)...)
		if !regexp.MustCompile(tc.want).MatchString(line) {
			t.Errorf("%s: %q, want %s", name, line, tc.want)
		}
	}
	if line := refused(t, nil, "serv"); line != `unknown command "serv" for "waggle"` {
		t.Errorf("misspelt command: %q", line)
	}
	// None of them was born, so a good start still finds an empty directory.
	if entries, _ := filepath.Glob(filepath.Join(fresh, "log", "*")); len(entries) > 0 {
		t.Errorf("a refused start left %q", entries)
	}
	start(t, fresh).create("c")
}

// TestBehindProxy is the one way to listen for others.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "proxy.hcl")
	if err := os.WriteFile(config, []byte("listen {\n  behind_proxy = true\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	cmd := exec.Command(binary, "serve", "--config", config, "--data", data, "--listen", "127.0.0.1:0", "--qdrant-listen", "0.0.0.0:0")
	cmd.Env = environ(slices.Concat(bootstrapKeys, small))
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatal(err)
	}
	s.must("GET", "/collections", nil)
}
