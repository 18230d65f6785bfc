package grains

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/persistence/oplog"
	"github.com/hivehub/waggle/tenant"
)

// TestLogsOfAllNodes: a query finds the rows of every node, in one order and
// each once, in pages of any size, of one tenant alone; of a node that does not
// answer it says so, and goes on when it is back.
func TestLogsOfAllNodes(t *testing.T) {
	c := actorstest.StartCluster(t, actorstest.ClusterOptions{Nodes: 3})
	nodes := []LogNode{{1, "one"}, {2, "two"}, {3, "three"}}
	logs := map[uint32]*Logs{}
	for _, n := range nodes {
		l, err := oplog.Open(oplog.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Stop(context.Background()) })
		logs[n.Number] = NewLogs(c.Node(n.Number).Node, l, func() []LogNode { return nodes })
	}
	const n = 300
	for i := range n {
		o := tenant.LoggedOperation{Tenant: "mine", Operation: "GET /x", Type: tenant.LogSearch, Time: int64(1000 + i/2), Collection: "canary"}
		copy(o.ID[:], fmt.Sprintf("%016d", i))
		logs[uint32(i%3+1)].Append(&o)
		if i%10 == 0 { // sent again, to another node
			logs[uint32((i+1)%3+1)].Append(&o)
		}
		o.Tenant, o.Collection = "theirs", "foreign"
		o.ID[0] = 'x'
		logs[uint32(i%3+1)].Append(&o)
	}
	ask := func(from uint32, limit int) (ids []string, away []string) {
		t.Helper()
		q := tenant.LogQuery{Tenant: "mine", Limit: limit}
		for {
			p, err := logs[from].Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			away = p.Away
			for _, o := range p.Rows {
				if o.Tenant != "mine" || o.Collection != "canary" {
					t.Fatalf("a row of another tenant: %+v", o)
				}
				ids = append(ids, string(o.ID[:]))
			}
			if !p.More {
				return ids, away
			}
			q.After = p.Rows[len(p.Rows)-1].LogKey()
		}
	}
	deadline := time.After(20 * time.Second)
	for _, from := range []uint32{1, 2, 3} {
		for _, limit := range []int{1000, 37} {
			ids, away := ask(from, limit)
			for len(away) > 0 { // the nodes are still connecting
				select {
				case <-deadline:
					t.Fatalf("away: %q", away)
				default:
					ids, away = ask(from, limit)
				}
			}
			if len(ids) != n || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != n {
				t.Errorf("node %d, pages of %d: %d rows", from, limit, len(ids))
			}
		}
	}
	c.Net.Cut(1, 3)
	if ids, away := ask(1, 1000); !slices.Equal(away, []string{"three"}) || len(ids) < n*2/3 || len(ids) >= n {
		t.Errorf("without a node: %d rows, away %q", len(ids), away)
	}
	c.Net.Heal()
	if ids, away := ask(1, 1000); len(away) > 0 || len(ids) != n {
		t.Errorf("with the node back: %d rows, away %q", len(ids), away)
	}
}
