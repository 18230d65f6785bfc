package cluster

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestKeysEverywhere makes a tenant, a key and a collection through one node:
// all nodes know them within a second, and forget a revoked key within a
// second.
func TestKeysEverywhere(t *testing.T) {
	found := newFindings()
	f := newFleet(t, found, fleetOptions{nodes: 3})
	const soonest = time.Second
	ask := func(n *node, key string, status int) error {
		a, err := call{key: key, method: "GET", url: n.qdrant + "/collections/k"}.do()
		if err == nil && a.status != status {
			err = fmt.Errorf("%s answers %d %s, want %d", n.name, a.status, a.body, status)
		}
		return err
	}
	for i, n := range f.nodes {
		u, err := newTenant(n, i, rand.New(rand.NewPCG(1, uint64(i))))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range f.nodes {
			if err := poll(soonest, func() error { return ask(other, u.key, http.StatusOK) }); err != nil {
				t.Errorf("a key made on %s: %v", n.name, err)
			}
		}
		var listed struct {
			Keys []struct {
				ID string `json:"key_id"`
			} `json:"access_keys"`
		}
		if err := (call{key: operatorKey, method: "GET", url: n.http + "/api/v1/access-keys?tenant_id=" + u.id}).into(&listed); err != nil || len(listed.Keys) != 1 {
			t.Fatalf("keys of the tenant: %v, %v", listed, err)
		}
		if err := (call{key: operatorKey, method: "DELETE", url: n.http + "/api/v1/access-keys/" + listed.Keys[0].ID}).into(nil); err != nil {
			t.Fatal(err)
		}
		for _, other := range f.nodes {
			if err := poll(soonest, func() error { return ask(other, u.key, http.StatusUnauthorized) }); err != nil {
				t.Errorf("a key revoked on %s: %v", n.name, err)
			}
		}
	}
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}

// TestFindsRollback lets a single node lose what it has acknowledged, by
// putting an older copy of its data back while it is down. A harness that does
// not notice would notice no loss at all.
func TestFindsRollback(t *testing.T) {
	found := newFindings()
	found.quiet = true
	f := newFleet(t, found, fleetOptions{nodes: 1})
	w, err := newWorkload(f, 1, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	n := f.nodes[0]
	older := filepath.Join(f.dir, "older")
	w.start()
	for _, copied := range []way{{n.data, older}, {older, n.data}} {
		wait(2*time.Second, nil)
		n.kill()
		if copied.to == n.data {
			if err := n.wipe(); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.Command("cp", "-a", copied.from+"/.", copied.to).CombinedOutput(); err != nil {
			t.Fatalf("copy: %v: %s", err, out)
		}
		if err := n.member(""); err != nil {
			t.Fatal(err)
		}
		if err := n.ready(time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	w.end()
	_, during := found.all()
	w.settle()
	_, ledger := found.all()
	w.history.linear(found, time.Minute)
	if _, all := found.all(); ledger == during || all == ledger {
		t.Errorf("two seconds of writes are lost: %d violations during the run, %d of the ledger, %d of the history", during, ledger-during, all-ledger)
	}
}
