package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNoSecrets uses keys in every way, right and wrong, with the log at its
// most talkative, and then looks for them in everything that the process
// wrote and answered. Only the answer that makes a key and the file of the
// first keys may have one.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, hubPort := filepath.Join(dir, "data"), freePort(t)
	serve := func() *server {
		cmd := exec.Command(binary, slices.Concat([]string{"serve", "--data", data}, freePorts)...)
		cmd.Env = environ(append([]string{"WAGGLE_LOG_LEVEL=debug", "WAGGLE_HUB_LISTEN=127.0.0.1:" + hubPort, "HIVEHUB_SIGNING_SECRET=" + signingSecret}, small...))
		s, err := launch(t, data, cmd)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := serve()
	operator, tenant := firstKeys(t, filepath.Join(data, "first-keys"))
	secret, err := os.ReadFile(filepath.Join(data, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"operator key": operator, "tenant key": tenant, "cluster secret": strings.TrimSpace(string(secret)),
		"unknown key": "hh_live_unknownunknownunknownunknownunknownun", "malformed key": "hh_live_malformed-malformed-malformed-malformed",
		"unknown service key": "svc_serviceserviceserviceserviceserviceservice", "signing secret": signingSecret,
	}
	var answers bytes.Buffer
	s.key = tenant
	s.create("c")
	s.put("c", 1, nil)
	a := user{s, operator}.callMain("POST", "/api/v1/access-keys", map[string]any{"tenant_id": "default", "permission": "READ_WRITE"})
	var made struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	s.decode(a.body, &made)
	secrets["made key"] = made.Key

	nonces := useCredentials(s, user{s, operator}, secrets, &answers, "http://127.0.0.1:"+hubPort)

	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if !strings.HasSuffix(name, " key") {
			continue
		}
		key := secrets[name]
		for _, path := range []string{"/health", "/metrics", "/api/v1/tenants", "/api/v1/access-keys", "/api/v1/nothing", "/qdrant/collections", "/qdrant/collections/nobody", "/qdrant/telemetry"} {
			for _, header := range []map[string]string{{"api-key": key}, {"Authorization": "Bearer " + key}, {"Authorization": "Basic " + key}} {
				a := user{s, ""}.send(call{method: "GET", url: s.http + path, header: header})
				answers.Write(a.body)
				_ = a.header.Write(&answers)
			}
		}
		a := user{s, key}.call("PUT", "/collections/c/points?wait=true", "{broken")
		answers.Write(a.body)
	}
	a = user{s, operator}.callMain("DELETE", "/api/v1/access-keys/"+made.ID, nil)
	answers.Write(a.body)
	if a.status != http.StatusOK {
		t.Errorf("revoke: %d %s", a.status, a.body)
	}
	for _, args := range [][]string{
		{"tenants", "list"},
		{"keys", "list"},
		{"keys", "list", "--json"},
		{"audit", "list", "--json"},
		{"plans", "list"},
		{"tenants", "list", "--operator-key", tenant},
		{"tenants", "list", "--operator-key", made.Key},
		{"tenants", "list", "--operator-key", secrets["malformed key"]},
	} {
		stdout, stderr, _ := run(t, []string{"WAGGLE_URL=" + s.http, "WAGGLE_OPERATOR_KEY=" + operator}, args...)
		answers.WriteString(stdout + stderr)
	}
	s.kill()
	log := s.stderr.String()
	s = serve() // recovery may write what the first start did not
	s.mustStop()
	log += s.stderr.String()

	written := map[string][]byte{"answers": answers.Bytes(), "log": []byte(log)}
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "first-keys" && d.Name() != "secret" {
			written[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil || len(written) < 10 {
		t.Fatalf("%d things to look at, %v", len(written), err)
	}
	if !strings.Contains(log, "level=DEBUG") {
		t.Error("the log is not at its most talkative")
	}
	for where, text := range written {
		for name, value := range secrets {
			// a list may show the first 12 characters
			if bytes.Contains(text, []byte(value)) || bytes.Contains(text, []byte(value[12:])) {
				t.Errorf("%s has the %s", where, name)
			}
		}
		for _, nonce := range nonces { // those of changes are in the log of entries, and so in the store
			if stored := strings.HasPrefix(where, data); !stored && bytes.Contains(text, []byte(nonce)) {
				t.Errorf("%s has the nonce %s", where, nonce)
			}
		}
	}
}

const signingSecret = "canary-signing-secret-0123456789abcdef"

// freePort is one that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// useCredentials makes every kind of credential and uses it, right and wrong.
// It adds what must stay secret to secrets, signatures and a join token too, and
// what was answered, but for the answers that make a key, to answers. It returns
// the nonces that it used.
func useCredentials(s *server, operator user, secrets map[string]string, answers *bytes.Buffer, hub string) (nonces []string) {
	s.t.Helper()
	type key struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	create := func(name, url string, body any) (k key) {
		s.t.Helper()
		a := operator.callMain("POST", url, body)
		if s.decode(a.body, &k); a.status != http.StatusCreated || k.Key == "" {
			s.t.Fatalf("%s: %d %s", name, a.status, a.body)
		}
		secrets[name+" key"] = k.Key
		return k
	}
	ask := func(c call) answer {
		s.t.Helper()
		a := user{s, ""}.send(c)
		answers.Write(a.body)
		_ = a.header.Write(answers)
		return a
	}
	const keys = "/api/v1/access-keys"
	of := func(permission, kind string) map[string]any {
		return map[string]any{"tenant_id": "default", "permission": permission, "kind": kind, "name": kind + "-one"}
	}
	create("mcp", keys, of("MCP", "mcp"))
	rotated := create("rotated", keys, of("ADMIN", "tenant"))
	create("rotation's", keys+"/"+rotated.ID+"/rotate", map[string]any{"grace_seconds": 3600})
	service := create("service", keys, map[string]any{"kind": "service", "name": "gateway"})

	for _, bearer := range []string{service.Key, secrets["mcp key"], secrets["rotated key"]} {
		ask(call{method: "GET", url: hub + "/api/v1/audit", header: map[string]string{"Authorization": "Bearer " + bearer, "X-Service-Name": "gateway"}})
		ask(call{method: "POST", url: s.http + "/hub/validate-key", body: map[string]any{"key": bearer}})
		ask(call{method: "POST", url: s.http + "/hub/validate-key", body: `{"key":"` + bearer + `","broken`})
		ask(call{method: "GET", url: s.qdrant + "/collections/c?api-key=" + bearer})
		ask(call{method: "GET", url: s.qdrant + "/collections/" + bearer, header: map[string]string{"Authorization": "Digest " + bearer}})
	}
	for i, c := range []struct {
		method, target, body string
		status               int
	}{
		{"GET", "/collections", "", 200},
		{"PUT", "/collections/c/points?wait=true", `{"points":[{"id":7,"vector":[1,2,3,4]}]}`, 200},
		{"POST", "/collections/c/points/count", `{}`, 200},
		{"POST", "/collections/c/points/count", `{"filter":7}`, 400},
	} {
		nonce := fmt.Sprintf("canary-nonce-number-%d", i)
		nonces = append(nonces, nonce)
		signed := sign(s, service.Key, "default", c.method, c.target, nonce, c.body)
		secrets[fmt.Sprint("signature ", i)] = signed.header["X-HiveHub-Signature"]
		if a := ask(signed); a.status != c.status {
			s.t.Errorf("signed %s %s: %d %s", c.method, c.target, a.status, a.body)
		}
		ask(signed) // repeated
		signed.header["X-HiveHub-User-Id"] = "somebody"
		ask(signed) // of another tenant
		delete(signed.header, "X-HiveHub-Timestamp")
		ask(signed)
	}
	return nonces
}

// sign is a request of a service for a tenant, to the Qdrant listener.
func sign(s *server, key, tenant, method, target, nonce, body string) call {
	stamp := fmt.Sprint(time.Now().Unix())
	sum := sha256.Sum256([]byte(body))
	mac := hmac.New(sha256.New, []byte(signingSecret))
	mac.Write([]byte(strings.Join([]string{method, target, strings.TrimPrefix(s.qdrant, "http://"), stamp, nonce, tenant, hex.EncodeToString(sum[:])}, "\n")))
	return call{method: method, url: s.qdrant + target, body: body, header: map[string]string{
		"Authorization": "Bearer " + key, "X-HiveHub-User-Id": tenant, "X-HiveHub-Timestamp": stamp,
		"X-HiveHub-Nonce": nonce, "X-HiveHub-Signature": hex.EncodeToString(mac.Sum(nil)),
	}}
}
