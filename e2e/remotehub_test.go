package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// keyed makes one request with a key and returns status and body; 0 when nobody
// answers.
func keyed(t testing.TB, method, url, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// member reads one member of a JSON object, "" when there is none.
func member(body, name string) string {
	var v map[string]any
	if json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&v) != nil {
		return ""
	}
	s, _ := v[name].(string)
	return s
}

// hubProcess is a waggle that is the hub of others.
type hubProcess struct {
	*server
	t             testing.TB
	data, address string // where services ask
}

func (h *hubProcess) start() {
	h.t.Helper()
	cmd := serveCommand(h.data)
	cmd.Env = append(cmd.Env, "WAGGLE_HUB_LISTEN="+h.address)
	s, err := launch(h.t, h.data, cmd)
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = s
}

// must makes a request of the hub with the operator's key, which has to succeed.
func (h *hubProcess) must(method, path, body string) string {
	h.t.Helper()
	status, answer := keyed(h.t, method, h.http+path, operatorKey, body)
	if status < 200 || status > 299 {
		h.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// The first keys of the node, which are no keys of the hub.
const (
	nodeOperatorKey = "hh_live_nodeoperator00000000000000000000000000"
	nodeTenantKey   = "hh_live_nodetenant0000000000000000000000000000"
)

// remoteNode runs a waggle whose hub is h.
func (h *hubProcess) remoteNode(data, serviceKey string, env ...string) *server {
	h.t.Helper()
	cmd := exec.Command(binary, slices.Concat([]string{"serve", "--data", data}, freePorts)...)
	cmd.Env = environ(slices.Concat(small, env, []string{
		"WAGGLE_BOOTSTRAP_OPERATOR_KEY=" + nodeOperatorKey, "WAGGLE_BOOTSTRAP_TENANT_KEY=" + nodeTenantKey, "WAGGLE_HUB_MODE=remote",
		"HIVEHUB_API_URL=http://" + h.address, "HIVEHUB_SERVICE_API_KEY=" + serviceKey, "WAGGLE_HUB_TIMEOUT_SECONDS=2",
	}))
	s, err := launch(h.t, data, cmd)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// TestRemoteHub: one waggle is the hub of another. Without it nobody's data is
// served and /health says why; then life, with keys, quotas, revocations and the
// hub's death, is as with a hub inside.
func TestRemoteHub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hub := &hubProcess{t: t, data: filepath.Join(dir, "hub"), address: unusedAddress()}
	hub.start()
	acme := member(hub.must("POST", "/api/v1/tenants", `{"name":"acme","plan":"pro"}`), "tenant_id")
	key := func(permission string) (plain, id string) {
		made := hub.must("POST", "/api/v1/access-keys", fmt.Sprintf(`{"tenant_id":%q,"permission":%q}`, acme, permission))
		return member(made, "key"), member(made, "key_id")
	}
	admin, _ := key("ADMIN")
	service := member(hub.must("POST", "/api/v1/access-keys", `{"kind":"service","name":"waggle-eu"}`), "key")
	hub.kill()

	n := hub.remoteNode(filepath.Join(dir, "node"), service)
	ask := func(method, path, key, body string) (int, string) { return keyed(t, method, n.http+path, key, body) }
	for _, k := range []string{admin, "hh_live_" + strings.Repeat("x", 40), service} {
		if status, body := ask("GET", "/qdrant/collections", k, ""); status != 503 {
			t.Errorf("a start without the hub: %d %s", status, body)
		}
	}
	status, body := ask("GET", "/health", nodeOperatorKey, "")
	if status != 503 || !strings.Contains(body, "the hub at http://"+hub.address+" does not answer") || strings.Contains(body, service) {
		t.Errorf("health: %d %s", status, body)
	}
	if status, body := ask("GET", "/health", "", ""); status != 503 || strings.Contains(body, hub.address) {
		t.Errorf("health for anybody: %d %s", status, body)
	}

	hub.start()
	eventually(t, 20*time.Second, func() error {
		if status, body := ask("GET", "/qdrant/collections", admin, ""); status != 200 {
			return fmt.Errorf("%d %s", status, body)
		}
		status, body := ask("GET", "/health", nodeOperatorKey, "")
		if status != 200 || !strings.Contains(body, `"connected":true`) {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	want := func(status int, part, method, path, key, body string) {
		t.Helper()
		if got, text := ask(method, path, key, body); got != status || !strings.Contains(text, part) {
			t.Errorf("%s %s: %d %s, want %d with %s", method, path, got, text, status, part)
		}
	}
	points := func(from, n int) string {
		var list []string
		for i := from; i < from+n; i++ {
			list = append(list, fmt.Sprintf(`{"id":%d,"vector":[1,%d]}`, i, i))
		}
		return `{"points":[` + strings.Join(list, ",") + `]}`
	}
	const docs = "/qdrant/collections/docs"
	want(200, "", "PUT", docs, admin, `{"vectors":{"size":2,"distance":"Dot"}}`)
	want(200, "completed", "PUT", docs+"/points?wait=true", admin, points(0, 10))
	want(401, "", "GET", "/qdrant/collections", nodeTenantKey, "") // of the node's own hub
	want(412, hub.address, "GET", "/api/v1/tenants", nodeOperatorKey, "")
	want(401, "", "GET", "/api/v1/cluster/nodes", operatorKey, "") // the hub's operator is not this node's
	eventually(t, 10*time.Second, func() error {
		if list := hub.must("GET", "/api/internal/vectorizer/user/"+acme+"/collections", ""); !strings.Contains(list, `"name":"docs"`) {
			return fmt.Errorf("the hub does not know of the collection: %s", list)
		}
		return nil
	})

	// A key made by the tenant on the node is the hub's, and its end comes back.
	_, made := ask("POST", "/auth/keys", admin, `{"permission":"READ_WRITE"}`)
	app, appID := member(made, "key"), member(made, "key_id")
	want(200, "", "GET", docs, app, "")
	revoked := time.Now()
	hub.must("DELETE", "/api/v1/access-keys/"+appID, "")
	eventually(t, 5*time.Second, func() error {
		if status, body := ask("GET", docs, app, ""); status != 401 {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	if took := time.Since(revoked); took > time.Second {
		t.Errorf("the revoked key was good for %v", took)
	}

	// A smaller plan counts within a second, and is not passed.
	hub.must("PUT", "/api/v1/plans/tiny", `{"vector_count":12}`)
	hub.must("PATCH", "/api/v1/tenants/"+acme, `{"plan":"tiny"}`)
	eventually(t, 5*time.Second, func() error {
		if _, body := ask("GET", "/hub/usage/quota", admin, ""); !strings.Contains(body, `"plan":"tiny"`) {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	want(507, "", "PUT", docs+"/points?wait=true", admin, points(10, 3))
	want(200, "completed", "PUT", docs+"/points?wait=true", admin, points(10, 2))

	// The hub dies: what is known goes on, and nobody else gets in.
	reader, _ := key("READ_ONLY")
	hub.kill()
	want(200, "", "GET", docs, admin, "")
	want(200, "completed", "PUT", docs+"/points?wait=true", admin, points(0, 1))
	want(503, "", "GET", docs, reader, "")
	n.kill()
	n = hub.remoteNode(filepath.Join(dir, "node"), service)
	want(503, "", "GET", docs, admin, "")
	hub.start()
	eventually(t, 20*time.Second, func() error {
		if status, body := ask("POST", docs+"/points/count", reader, `{"exact":true}`); status != 200 || !strings.Contains(body, `"count":12`) {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})

	// A deletion at the hub takes the data here, also when the node was down.
	n.kill()
	hub.must("DELETE", "/api/v1/tenants/"+acme, "")
	n = hub.remoteNode(filepath.Join(dir, "node"), service)
	eventually(t, 20*time.Second, func() error {
		if !strings.Contains(n.stderr.String(), "the data of a tenant that the hub has deleted is gone") {
			return fmt.Errorf("nothing was erased")
		}
		return nil
	})
	want(401, "", "GET", docs, admin, "")
	for _, secret := range []string{service, admin, reader} {
		if strings.Contains(n.stderr.String(), secret) || strings.Contains(hub.stderr.String(), secret) {
			t.Error("a key is in a log")
		}
	}
}
