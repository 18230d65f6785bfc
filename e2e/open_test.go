package e2e

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openServer is a node that asks for no keys.
func openServer(t testing.TB, data string, env ...string) *server {
	t.Helper()
	cmd := serveCommand(data)
	cmd.Env = append(append(cmd.Env, "WAGGLE_HUB_TENANT_ISOLATION=none"), env...)
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatal(err)
	}
	s.key = ""
	return s
}

// TestWithoutKeys is the life of a node on a developer's machine, and what
// becomes of its data when it gets keys.
func TestWithoutKeys(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := openServer(t, data)
	s.create("notes")
	s.put("notes", 1, map[string]any{"n": 1})
	if n := s.count("notes"); n != 1 {
		t.Errorf("%d points", n)
	}
	if a := s.callMain("GET", "/api/v1/tenants", nil); a.status != http.StatusForbidden {
		t.Errorf("nobody lists tenants: %d %s", a.status, a.body)
	}
	// A page whose name was made to lead here.
	for _, host := range []string{"rebound.example", "127.0.0.1.nip.io", ""} {
		if got := rawGet(t, s.qdrant, "/collections/notes", "Host: "+host+"\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") || strings.Contains(got, "Euclid") {
			t.Errorf("Host %q: %.200s", host, got)
		}
	}
	for name, value := range map[string]string{"Origin": "https://evil.example", "Content-Type": "text/plain"} {
		a := user{s, ""}.send(call{method: "POST", url: s.qdrant + "/collections/notes/points/count", body: map[string]any{}, header: map[string]string{name: value}})
		if a.status != http.StatusForbidden && a.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s %s: %d %s", name, value, a.status, a.body)
		}
	}
	s.mustStop()

	// The hub switched off: no key is looked at, none is shown.
	s = openServer(t, data, "WAGGLE_HUB_ENABLED=false")
	if n := (user{s, "whatever"}).count("notes"); n != 1 {
		t.Errorf("%d points", n)
	}
	if a := s.operator().callMain("GET", "/api/v1/tenants", nil); a.status != http.StatusForbidden {
		t.Errorf("the operator's key without a hub: %d %s", a.status, a.body)
	}
	s.mustStop()

	// With keys, the data is the tenant `default`'s.
	s = start(t, data)
	if n := s.count("notes"); n != 1 {
		t.Errorf("%d points", n)
	}
	if a := (user{s, ""}).call("GET", "/collections", nil); a.status != http.StatusUnauthorized {
		t.Errorf("without a key: %d %s", a.status, a.body)
	}
	s.mustStop()
	for _, args := range [][]string{{"--listen", "0.0.0.0:0"}, {"--qdrant-listen", "[::]:0"}} {
		line := refused(t, append(small, "WAGGLE_HUB_TENANT_ISOLATION=none"), append([]string{"serve", "--data", data}, args...)...)
		if !strings.Contains(line, "can be reached from other machines") {
			t.Errorf("%q: %s", args, line)
		}
	}
}

func rawGet(t *testing.T, base, path, headers string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nConnection: close\r\n"+headers+"\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestGuessing is the rule about wrong keys with its defaults, and that no
// secret of the configuration comes back out of the process.
func TestGuessing(t *testing.T) {
	t.Parallel()
	const secret = "canary-signing-secret-0123456789abcdef"
	data := t.TempDir()
	cmd := serveCommand(data)
	cmd.Env = append(cmd.Env, "WAGGLE_LIMITS_AUTH_FAILURES=5", "HIVEHUB_SIGNING_SECRET="+secret, "WAGGLE_LOG_LEVEL=debug")
	s, err := launch(t, data, cmd)
	if err != nil {
		t.Fatal(err)
	}
	wrong := user{s, "hh_live_" + strings.Repeat("w", 40)}
	for range 5 {
		if a := wrong.call("GET", "/collections", nil); a.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if a := wrong.call("GET", "/collections", nil); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("the sixth: %d %v", a.status, a.header)
	}
	if a := s.call("GET", "/collections", nil); a.status != http.StatusOK {
		t.Errorf("the good key of the same address: %d %s", a.status, a.body)
	}
	bare := user{s, ""}.send(call{method: "GET", url: s.qdrant + "/collections", header: map[string]string{"X-HiveHub-Service": "hub", "X-HiveHub-User-Id": "default"}})
	if bare.status != http.StatusUnauthorized {
		t.Errorf("a bare service header: %d %s", bare.status, bare.body)
	}
	s.mustStop()
	if strings.Contains(s.stderr.String(), secret) || strings.Contains(s.stderr.String(), wrong.key) {
		t.Error("a secret in the log")
	}
	if strings.Contains(s.stderr.String(), "audit log does not") {
		t.Error("the hub did not take what the edge saw")
	}
	err = filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), secret) || strings.Contains(string(b), wrong.key) {
			t.Errorf("a secret in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
