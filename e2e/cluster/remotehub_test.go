package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestRemoteHub: three nodes whose hub is a fourth waggle. A key of the hub is
// good through every node, also where the request goes on to the node in charge;
// a revocation and a smaller plan hold on all within a second or so; without the
// hub what is known goes on everywhere, and one that joins its nodes again after
// a kill serves nobody until the hub is back.
func TestRemoteHub(t *testing.T) {
	t.Parallel()
	found := newFindings()
	address := freeAddress("127.0.0.1")
	hubs := newFleet(t, found, fleetOptions{nodes: 1, env: append([]string{"WAGGLE_HUB_LISTEN=" + address}, small...)})
	hub := hubs.nodes[0]
	admin := func(method, path, body string, into any) {
		t.Helper()
		if err := (call{key: operatorKey, method: method, url: hub.http + path, body: body}).into(into); err != nil {
			t.Fatal(err)
		}
	}
	var made struct {
		Tenant string `json:"tenant_id"`
		ID     string `json:"key_id"`
		Key    string
	}
	admin("POST", "/api/v1/access-keys", `{"kind":"service","name":"waggle-eu"}`, &made)
	service := made.Key
	f := newFleet(t, found, fleetOptions{nodes: 3, env: slices.Concat(small, []string{
		"WAGGLE_HUB_MODE=remote", "HIVEHUB_API_URL=http://" + address, "HIVEHUB_SERVICE_API_KEY=" + service, "WAGGLE_HUB_TIMEOUT_SECONDS=2",
	})})
	asks := func(n *node, key, method, path, body string) error {
		a, err := call{key: key, method: method, url: n.qdrant + path, body: body}.do()
		if err == nil && a.status != 200 {
			err = fmt.Errorf("%s: %s %s: %d %s", n.name, method, path, a.status, a.body)
		}
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Of three tenants and three nodes most requests go on.
	var tenants []string
	var keys []string
	for i := range 3 {
		admin("POST", "/api/v1/tenants", fmt.Sprintf(`{"name":"t%d","plan":"pro"}`, i), &made)
		tenants = append(tenants, made.Tenant)
		admin("POST", "/api/v1/access-keys", fmt.Sprintf(`{"tenant_id":%q,"permission":"ADMIN"}`, made.Tenant), &made)
		keys = append(keys, made.Key)
		must(poll(30*time.Second, func() error {
			return asks(f.nodes[i], made.Key, "PUT", "/collections/docs", `{"vectors":{"size":2,"distance":"Dot"}}`)
		}))
	}
	everywhere := func(what string) {
		t.Helper()
		for i, key := range keys {
			for j, n := range f.nodes {
				must(asks(n, key, "PUT", "/collections/docs/points?wait=true", fmt.Sprintf(`{"points":[{"id":%d,"vector":[1,%d]}]}`, j, i)))
				if err := asks(n, key, "POST", "/collections/docs/points/search", `{"vector":[1,1],"limit":1}`); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
	}
	everywhere("with the hub")

	admin("POST", "/api/v1/access-keys", fmt.Sprintf(`{"tenant_id":%q,"permission":"READ_WRITE"}`, tenants[0]), &made)
	for _, n := range f.nodes {
		must(asks(n, made.Key, "GET", "/collections/docs", ""))
	}
	var ended struct{}
	admin("DELETE", "/api/v1/access-keys/"+made.ID, "", &ended)
	admin("PUT", "/api/v1/plans/tiny", `{"vector_count":3}`, &ended)
	admin("PATCH", "/api/v1/tenants/"+tenants[1], `{"plan":"tiny"}`, &ended)
	fresh := 1000 // ids of new points
	for _, n := range f.nodes {
		must(poll(5*time.Second, func() error {
			a, err := call{key: made.Key, method: "GET", url: n.qdrant + "/collections/docs"}.do()
			if err == nil && a.status != 401 {
				err = fmt.Errorf("%s: the revoked key: %d %s", n.name, a.status, a.body)
			}
			return err
		}))
		must(poll(5*time.Second, func() error {
			fresh++
			a, err := call{key: keys[1], method: "PUT", url: n.qdrant + "/collections/docs/points?wait=true", body: fmt.Sprintf(`{"points":[{"id":%d,"vector":[1,1]}]}`, fresh)}.do()
			if err == nil && a.status != 507 {
				err = fmt.Errorf("%s: past the plan: %d %s", n.name, a.status, a.body)
			}
			return err
		}))
	}

	hub.kill()
	keys[1] = keys[0] // whose plan has room
	everywhere("without the hub")
	last := f.nodes[2]
	last.kill()
	must(last.member(""))
	must(last.ready(time.Minute))
	for _, key := range keys {
		if a, err := (call{key: key, method: "GET", url: last.qdrant + "/collections/docs"}).do(); err != nil || a.status != 503 {
			t.Errorf("a node that started without the hub: %d %s, %v", a.status, a.body, err)
		}
	}
	must(hub.spawn())
	must(hub.ready(time.Minute))
	must(poll(30*time.Second, func() error { return asks(last, keys[2], "GET", "/collections/docs", "") }))
	must(f.waitWhole(time.Minute))
	everywhere("when the hub is back")
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}
