package cluster

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const signingSecret = "a secret of forty characters, or so, here"

// gateway is a service that acts for tenants.
type gateway struct{ key string }

// signed is a change that the gateway signs for a tenant, for whichever node:
// who has seen it can send it anywhere.
func (g gateway) signed(tenant, method, target, nonce, body string) call {
	const host = "waggle.example"
	stamp := fmt.Sprint(time.Now().Unix())
	sum := sha256.Sum256([]byte(body))
	mac := hmac.New(sha256.New, []byte(signingSecret))
	mac.Write([]byte(strings.Join([]string{method, target, host, stamp, nonce, tenant, hex.EncodeToString(sum[:])}, "\n")))
	return call{method: method, url: target, body: body, header: map[string]string{
		"Authorization": "Bearer " + g.key, "Host": host,
		"X-HiveHub-User-Id": tenant, "X-HiveHub-Timestamp": stamp, "X-HiveHub-Nonce": nonce,
		"X-HiveHub-Signature": hex.EncodeToString(mac.Sum(nil)),
	}}
}

// to sends it to a node.
func (c call) to(n *node) (answer, error) {
	c.url = n.qdrant + c.url
	return c.do()
}

// TestNonceEverywhere sends one signed change to all nodes at once, again and
// again: it takes effect once, and never again, also after its leader was
// killed.
func TestNonceEverywhere(t *testing.T) {
	found := newFindings()
	f := newFleet(t, found, fleetOptions{nodes: 3, env: append(slices.Clone(small), "HIVEHUB_SIGNING_SECRET="+signingSecret)})
	who, err := newTenant(f.nodes[0], 1, rand.New(rand.NewPCG(drawSeed(t), 2)))
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Key       string
		Partition int
	}
	if err := (call{key: operatorKey, method: "POST", url: f.nodes[0].http + "/api/v1/access-keys", body: `{"kind":"service","name":"gateway"}`}).into(&made); err != nil {
		t.Fatal(err)
	}
	g := gateway{made.Key}
	if err := (call{key: operatorKey, method: "GET", url: f.nodes[0].http + "/api/v1/tenants/" + who.id}).into(&made); err != nil {
		t.Fatal(err)
	}
	changes := 0
	// The number of an operation says how many there were.
	operations := func() (n int) {
		t.Helper()
		body := fmt.Sprintf(`{"points":[{"id":1,"vector":%v}]}`, strings.ReplaceAll(fmt.Sprint(make([]float32, dim)), " ", ","))
		var done struct {
			Operation int `json:"operation_id"`
		}
		if err := (call{key: who.key, method: "PUT", url: f.nodes[0].qdrant + "/collections/k/points?wait=true", body: body}).into(&done); err != nil {
			t.Fatal(err)
		}
		changes++
		return done.Operation
	}
	var last call
	for round := range 10 {
		last = g.signed(who.id, "POST", "/collections/k/points/payload?wait=true", fmt.Sprintf("nonce-of-round-%d", round), `{"payload":{"a":1},"points":[1]}`)
		var good, replayed atomic.Int32
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				a, err := last.to(f.nodes[i%3])
				switch {
				case err == nil && a.status == http.StatusOK:
					good.Add(1)
				case err == nil && a.status == http.StatusUnauthorized:
					replayed.Add(1)
				default:
					t.Errorf("%d %s, %v", a.status, a.body, err)
				}
			})
		}
		wg.Wait()
		changes++
		if n := operations(); good.Load() != 1 || replayed.Load() != 29 || n != changes {
			t.Fatalf("round %d: %d were answered as good, %d as repeated; %d changes, want %d", round, good.Load(), replayed.Load(), n, changes)
		}
	}
	leader, err := f.leader(fmt.Sprint(made.Partition))
	if err != nil {
		t.Fatal(err)
	}
	leader.kill()
	for _, n := range f.nodes {
		if n == leader {
			continue
		}
		err := poll(20*time.Second, func() error {
			a, err := last.to(n)
			if err == nil && a.status == http.StatusOK {
				t.Errorf("%s took a repeated change after a fail-over", n.name)
			}
			if err == nil && a.status != http.StatusUnauthorized {
				err = fmt.Errorf("%s: %d %s", n.name, a.status, a.body)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}
