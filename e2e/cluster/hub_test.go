package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHubThroughEveryNode administers a tenant through each node in turn: its
// ADMIN makes, rotates and ends keys, a poll for events on each node sees what
// was done on another, the quota is that of the tenant's leader, and the audit
// log has the address and the id of each request, whichever node took it.
func TestHubThroughEveryNode(t *testing.T) {
	t.Parallel()
	found := newFindings()
	f := newFleet(t, found, fleetOptions{nodes: 3})
	who, err := newTenant(f.nodes[0], 1, rand.New(rand.NewPCG(drawSeed(t), 3)))
	if err != nil {
		t.Fatal(err)
	}
	operator := func(n *node, method, path, body string, into any) {
		t.Helper()
		if err := (call{key: operatorKey, method: method, url: n.http + path, body: body, timeout: 40 * time.Second}).into(into); err != nil {
			t.Fatalf("%s: %v", n.name, err)
		}
	}
	type key struct {
		ID  string `json:"key_id"`
		Key string
	}
	var admin key
	operator(f.nodes[0], "POST", "/api/v1/access-keys", fmt.Sprintf(`{"tenant_id":%q,"permission":"ADMIN"}`, who.id), &admin)
	var requests []string
	for i, n := range f.nodes {
		asked := f.nodes[(i+1)%len(f.nodes)]
		polled := make(chan []string, 1)
		var now struct{ Last json.Number }
		operator(n, "GET", "/api/v1/events?wait=0&after=0", "", &now)
		for page := now.Last; ; page = now.Last { // to the end
			operator(n, "GET", "/api/v1/events?wait=0&after="+now.Last.String(), "", &now)
			if now.Last == page {
				break
			}
		}
		go func() {
			var seen struct {
				Events []struct {
					KeyID string `json:"key_id"`
				}
			}
			var ids []string
			err := call{key: operatorKey, method: "GET", url: n.http + "/api/v1/events?wait=25&after=" + now.Last.String(), timeout: 40 * time.Second}.into(&seen)
			if err != nil {
				ids = append(ids, err.Error())
			}
			for _, e := range seen.Events {
				ids = append(ids, e.KeyID)
			}
			polled <- ids
		}()

		own := func(method, path, body, id string, into any) {
			t.Helper()
			requests = append(requests, id)
			c := call{key: admin.Key, method: method, url: asked.http + path, body: body, header: map[string]string{"X-Request-Id": id}}
			if err := c.into(into); err != nil {
				t.Fatalf("%s: %v", asked.name, err)
			}
		}
		var made, rotated key
		own("POST", "/auth/keys", `{"permission":"READ_ONLY","collections":["k"]}`, fmt.Sprint("make-", i), &made)
		if ids := <-polled; !slices.Contains(ids, made.ID) {
			t.Errorf("a poll on %s for what was done on %s: %q, want %s", n.name, asked.name, ids, made.ID)
		}
		own("POST", "/auth/keys/"+made.ID+"/rotate", `{"grace_seconds":0}`, fmt.Sprint("rotate-", i), &rotated)
		for what, c := range map[string]struct {
			key    string
			status int
		}{"new": {rotated.Key, 200}, "old": {made.Key, 401}} { // at once, on the node that was asked
			a, err := call{key: c.key, method: "GET", url: asked.qdrant + "/collections/k"}.do()
			if err != nil || a.status != c.status {
				t.Errorf("%s: the %s key: %d %s, %v", asked.name, what, a.status, a.body, err)
			}
		}
		var valid struct {
			Valid bool
			ID    string `json:"key_id"`
		}
		operator(n, "POST", "/api/v1/access-keys/validate", fmt.Sprintf(`{"access_key":%q}`, rotated.Key), &valid)
		if !valid.Valid || valid.ID != rotated.ID {
			t.Errorf("%s: %+v", n.name, valid)
		}
		own("DELETE", "/auth/keys/"+rotated.ID, "", fmt.Sprint("end-", i), nil)
		var quota struct{ Usage map[string]int }
		operator(n, "GET", "/api/internal/vectorizer/user/"+who.id+"/quota", "", &quota)
		if quota.Usage["collection_count"] != 1 {
			t.Errorf("%s: %v", n.name, quota)
		}
	}

	type row struct {
		Actor, Address string
		Request        string `json:"request_id"`
	}
	for _, n := range f.nodes {
		var log struct{ Entries []row }
		if err := (call{key: admin.Key, method: "GET", url: n.http + "/auth/audit"}).into(&log); err != nil {
			t.Fatal(err)
		}
		for _, id := range requests {
			i := slices.IndexFunc(log.Entries, func(r row) bool { return r.Request == id })
			if i < 0 || log.Entries[i].Actor != admin.ID || log.Entries[i].Address == "" {
				t.Errorf("%s: request %s is row %d of %+v", n.name, id, i, log.Entries)
			}
		}
	}
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}
