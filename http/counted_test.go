package httpedge

import (
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// counts is what an edge counts, by tenant.
type counts struct {
	mu sync.Mutex
	of map[tenant.ID]int
}

func (c *counts) add(id tenant.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[tenant.ID]int{}
	}
	c.of[id]++
}

func (c *counts) take() map[tenant.ID]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of
	c.of = nil
	return of
}

// TestRequestsAreCounted: every answer to a tenant counts once, on the node that
// the client asked, on every surface and whatever it says; unless it refuses the
// key or the rate.
func TestRequestsAreCounted(t *testing.T) {
	asked, there, n := twoNodes(t)
	here, elsewhere := &counts{}, &counts{}
	asked.Server.count, there.Server.count = here.add, elsewhere.add
	serve := n.answers[0]
	for _, c := range []struct {
		what           string
		method, url    string
		key, body      string
		refusal        error
		status, counts int
	}{
		{"native", "GET", asked.main + "/api/v1/collections", "READ_ONLY", "", nil, 200, 1},
		{"Qdrant's", "GET", asked.qdrant + "/collections", "READ_ONLY", "", nil, 200, 1},
		{"Qdrant's below its prefix", "PUT", asked.main + "/qdrant/collections/docs/points", "READ_WRITE", upsert, nil, 200, 1},
		{"self service", "GET", asked.main + "/auth/keys", "ADMIN", "", nil, 200, 1},
		{"a permission that is not there", "PUT", asked.qdrant + "/collections/docs/points", "READ_ONLY", upsert, nil, 403, 1},
		{"a body that is none", "PUT", asked.qdrant + "/collections/docs/points", "READ_WRITE", "{", nil, 400, 1},
		{"a panic", "GET", asked.qdrant + "/collections", "READ_ONLY", "", collection.Errorf(collection.Internal, "x"), 500, 1},
		{"a quota", "PUT", asked.qdrant + "/collections/docs/points", "READ_WRITE", upsert, &collection.Error{Code: collection.ResourceExhausted, Reason: collection.ReasonQuota, Message: "full"}, 507, 1},
		{"a rate", "GET", asked.qdrant + "/collections", "READ_ONLY", "", &collection.Error{Code: collection.ResourceExhausted, Reason: collection.ReasonRate, Message: "often"}, 429, 0},
		{"a wrong key", "GET", asked.qdrant + "/collections", "-", "", nil, 401, 0},
		{"no key", "GET", asked.qdrant + "/collections", "", "", nil, 401, 0},
		{"the operator", "GET", asked.main + "/api/v1/tenants", operator, "", nil, 200, 0},
		{"nothing there", "GET", asked.qdrant + "/nowhere", "READ_ONLY", "", nil, 404, 0},
		{"a probe", "GET", asked.main + "/health", "READ_ONLY", "", nil, 200, 0},
	} {
		if n.answers[0] = serve; c.refusal != nil {
			n.answers[0] = fails(c.refusal)
		}
		key := asked.keys[c.key]
		if c.key == "-" {
			key = "hh_live_" + strings.Repeat("x", 40)
		}
		r := asked.send(c.method, c.url, key, c.body)
		want := map[tenant.ID]int{asked.tenant: 1}
		if c.counts == 0 {
			want = nil
		}
		if got := here.take(); r.status != c.status || !maps.Equal(got, want) {
			t.Errorf("%s: %d %s, counted %v", c.what, r.status, r.text, got)
		}
		if got := elsewhere.take(); got != nil {
			t.Errorf("%s: counted %v on the node in charge", c.what, got)
		}
	}
}
