package e2e

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoSecrets uses keys in every way, right and wrong, with the log at its
// most talkative, and then looks for them in everything that the process
// wrote and answered. Only the answer that makes a key and the file of the
// first keys may have one.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	serve := func() *server {
		cmd := exec.Command(binary, slices.Concat([]string{"serve", "--data", data}, freePorts)...)
		cmd.Env = environ(append([]string{"WAGGLE_LOG_LEVEL=debug"}, small...))
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
		"service key": "svc_serviceserviceserviceserviceserviceservice",
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

	for _, key := range []string{operator, tenant, made.Key, secrets["unknown key"], secrets["malformed key"], secrets["service key"]} {
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
	}
}
