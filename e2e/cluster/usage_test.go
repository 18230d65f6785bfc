package cluster

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var usageKills = flag.Int("usage-kills", 6, "how many kill -9 TestUsage makes")

const (
	usageTenants = 12
	usageWorkers = 2 // of each tenant
	usageNames   = 4 // collections that a tenant makes and drops
)

// TestUsage lets many tenants write, delete, search, make and drop collections
// through all nodes, while nodes, the hub's leader among them, are killed: in the
// end the hub's account of what every tenant and collection stores is what the
// stores hold, exactly, and requests are counted that were answered, and besides
// at most those that were under way when a node was killed.
func TestUsage(t *testing.T) {
	found := newFindings()
	f := newFleet(t, found, fleetOptions{nodes: 3, env: append([]string{"WAGGLE_HUB_USAGE_REPORT_INTERVAL=1s"}, small...)})
	seed := drawSeed(t)
	rng := rand.New(rand.NewPCG(seed, 5))
	var users []*meteredUser
	for i := range usageTenants {
		u, err := newTenant(f.nodes[i%3], i, rng)
		if err != nil {
			t.Fatal(err)
		}
		m := &meteredUser{tenantUser: u}
		m.answered.Add(1) // its collection was made
		users = append(users, m)
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i, u := range users {
		for worker := range usageWorkers {
			load.Go(func() { u.load(f, rand.New(rand.NewPCG(seed, uint64(100*i+worker))), stop) })
		}
	}
	began := time.Now()
	kills, err := killMany(f, *usageKills, rng)
	if err != nil {
		t.Error(err)
	}
	close(stop)
	load.Wait()
	lasted := time.Since(began)
	if err := f.waitWhole(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	var answered, unsure, counted, searches, points int64
	for _, u := range users {
		var r usageResult
		n := f.nodes[u.number%len(f.nodes)]
		err := poll(20*time.Second, func() (err error) {
			r, err = u.stores(n)
			return err
		})
		if err == nil {
			err = poll(20*time.Second, func() error { return u.requests(n, &r) })
		}
		if err != nil {
			t.Errorf("tenant %d: %v", u.number, err)
		}
		answered, unsure, counted = answered+u.answered.Load(), unsure+u.unsure.Load(), counted+r.requests
		searches, points = searches+r.searches, points+r.points
	}
	if most := int64(kills * usageTenants * usageWorkers); unsure > most {
		t.Errorf("%d requests were lost under way, of at most %d", unsure, most)
	}
	t.Logf("%d kills in %v: %d requests answered, %d lost under way, %d counted by the hub; %d searches, %d points in the end", kills, lasted.Round(time.Second), answered, unsure, counted, searches, points)
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}

// killMany kills nodes, every third time the hub's leader, and lets them come
// back. It returns how many it has killed.
func killMany(f *fleet, kills int, rng *rand.Rand) (killed int, err error) {
	for i := range kills {
		wait(time.Duration(rng.IntN(1500))*time.Millisecond, nil)
		victim := f.nodes[rng.IntN(len(f.nodes))]
		if i%3 == 0 {
			if leader, err := f.leader("system"); err == nil {
				victim = leader
			}
		}
		victim.kill()
		killed++
		wait(time.Duration(rng.IntN(1000))*time.Millisecond, nil)
		if err := victim.member(""); err != nil {
			return killed, err
		}
		if err := victim.ready(2 * time.Minute); err != nil {
			return killed, err
		}
		if i%10 == 9 { // else the longest away would never catch up
			if err := f.waitWhole(time.Minute); err != nil {
				return killed, err
			}
		}
	}
	return killed, nil
}

// meteredUser is a tenant that knows how many requests it has made.
type meteredUser struct {
	*tenantUser
	answered atomic.Int64
	unsure   atomic.Int64 // sent, and the connection ended before the answer
}

// do makes a request that no transport repeats, and counts it.
func (u *meteredUser) do(c call) (answer, error) {
	c.key = u.key
	a, err := c.do()
	dial, ok := errors.AsType[*net.OpError](err)
	switch {
	case err == nil && a.header.Get("X-Tenant-Id") == u.id:
		u.answered.Add(1)
	case err == nil: // it was not known whose the key is
	case ok && dial.Op == "dial":
	default:
		u.unsure.Add(1)
	}
	return a, err
}

// load asks for something at random until stop is closed, whatever the answers.
func (u *meteredUser) load(f *fleet, rng *rand.Rand, stop <-chan struct{}) {
	for wait(time.Duration(rng.IntN(20))*time.Millisecond, stop) {
		n := f.nodes[rng.IntN(len(f.nodes))]
		url := n.qdrant + "/collections/w" + strconv.Itoa(rng.IntN(usageNames))
		switch k := rng.IntN(20); {
		case k < 8:
			points := make([]any, 1+rng.IntN(5))
			for i := range points {
				points[i] = newPoint(u.tenantUser, rng.Uint64N(200), rng.Int64N(100), 100)
			}
			_, _ = u.do(call{method: "PUT", url: url + "/points?wait=true", body: map[string]any{"points": points}})
		case k < 10:
			_, _ = u.do(call{method: "POST", url: url + "/points/delete?wait=true", body: map[string]any{"points": []uint64{rng.Uint64N(200), rng.Uint64N(200)}}})
		case k < 17:
			_, _ = u.do(call{method: "POST", url: url + "/points/search", body: map[string]any{"vector": make([]float32, dim), "limit": 3}})
		case k < 19:
			_, _ = u.do(call{method: "PUT", url: url, body: map[string]any{"vectors": map[string]any{"size": dim, "distance": "Euclid"}}})
		default:
			_, _ = u.do(call{method: "DELETE", url: url})
		}
	}
}

// usageRow is what the hub knows of a tenant's or a collection's usage.
type usageRow struct {
	Inserted int64 `json:"vectors_inserted"`
	Deleted  int64 `json:"vectors_deleted"`
	Added    int64 `json:"storage_added"`
	Freed    int64 `json:"storage_freed"`
	Made     int64 `json:"collections_created"`
	Dropped  int64 `json:"collections_deleted"`
	Requests int64 `json:"api_requests"`
	Searches int64 `json:"search_count"`
	Scanned  int64 `json:"vectors_scanned"`
}

type usageResult struct{ requests, searches, points int64 }

// account is what the hub has counted for the tenant. To ask costs the tenant no
// request.
func (u *meteredUser) account(n *node) (usageRow, error) {
	var hub struct{ Total usageRow }
	err := call{key: operatorKey, method: "GET", url: n.http + "/api/v1/cluster/usage?tenant_id=" + u.id}.into(&hub)
	return hub.Total, err
}

// stores compares the hub's account with what is there, read through a node.
func (u *meteredUser) stores(n *node) (r usageResult, err error) {
	var listed struct{ Collections []struct{ Name string } }
	if err := u.get(n.qdrant+"/collections", "result", &listed); err != nil {
		return r, err
	}
	there := map[string]int64{}
	for _, c := range listed.Collections {
		var exact struct{ Count int64 }
		a, err := u.do(call{method: "POST", url: n.qdrant + "/collections/" + c.Name + "/points/count", body: `{"exact":true,"filter":{"must_not":[{"has_id":[999999]}]}}`})
		if err = decodeMember(a, err, "result", &exact); err != nil {
			return r, err
		}
		there[c.Name] = exact.Count
		r.points += exact.Count
	}
	if err := u.rows(n, there); err != nil {
		return r, err
	}
	var stored struct {
		Usage struct {
			Bytes  int64 `json:"storage_bytes"`
			Points int64 `json:"vector_count"`
		}
	}
	if err := (call{key: operatorKey, method: "GET", url: n.http + "/api/internal/vectorizer/user/" + u.id + "/quota"}).into(&stored); err != nil {
		return r, err
	}
	total, err := u.account(n)
	switch {
	case err != nil:
		return r, err
	case total.Inserted-total.Deleted != r.points || stored.Usage.Points != r.points:
		return r, fmt.Errorf("%d points are there, %d are counted: %+v", r.points, stored.Usage.Points, total)
	case total.Added-total.Freed != stored.Usage.Bytes:
		return r, fmt.Errorf("%d bytes are stored: %+v", stored.Usage.Bytes, total)
	case total.Made-total.Dropped != int64(len(there)):
		return r, fmt.Errorf("%d collections are there: %+v", len(there), total)
	}
	return r, nil
}

// requests compares the hub's account with the requests that were made.
func (u *meteredUser) requests(n *node, r *usageResult) error {
	total, err := u.account(n)
	r.requests, r.searches = total.Requests, total.Searches
	low, high := u.answered.Load(), u.answered.Load()+u.unsure.Load()
	switch {
	case err != nil:
		return err
	case total.Requests < low || total.Requests > high:
		return fmt.Errorf("%d requests answered and %d lost under way, the hub counts %d", low, high-low, total.Requests)
	case total.Searches == 0 || total.Scanned == 0 || total.Searches > total.Requests:
		return fmt.Errorf("searches: %+v", total)
	}
	return nil
}

// rows compares the hub's account of each collection with the points that are
// there: of a deleted one none.
func (u *meteredUser) rows(n *node, there map[string]int64) error {
	live, next := 0, ""
	for {
		var page struct {
			Collections []struct {
				ID      string `json:"collection_id"`
				Name    string
				Vectors int64
				Deleted bool
				Usage   usageRow
			}
			Next string `json:"next_cursor"`
		}
		if err := u.get(n.http+"/hub/usage/statistics?limit=1000&cursor="+next, "stats", &page); err != nil {
			return err
		}
		for _, c := range page.Collections {
			want := there[c.Name]
			if c.Deleted {
				want = 0
			} else {
				live++
			}
			if c.Vectors != want || c.Usage.Inserted-c.Usage.Deleted != want {
				return fmt.Errorf("collection %s, %q (deleted: %t) has %d points, the hub counts %d: %+v", c.ID, c.Name, c.Deleted, want, c.Vectors, c.Usage)
			}
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if live != len(there) {
		return fmt.Errorf("%d collections are there, %d by the hub's account", len(there), live)
	}
	return nil
}

func (u *meteredUser) get(url, member string, v any) error {
	a, err := u.do(call{method: "GET", url: url})
	return decodeMember(a, err, member, v)
}

// decodeMember reads one member of a good answer.
func decodeMember(a answer, err error, member string, v any) error {
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("%d %s", a.status, a.body)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &all); err != nil {
		return fmt.Errorf("%w in %s", err, a.body)
	}
	return json.Unmarshal(all[member], v)
}
