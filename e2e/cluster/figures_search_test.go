//go:build figures

package cluster

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	activeCollections = 20
	searchDimensions  = 128
	searchEvery       = 20 * time.Millisecond
)

// searched is one search: when it was sent, and how long it took.
type searched struct {
	sent time.Time
	took time.Duration
}

// searches measures what a kill does to searches in many active collections.
// Leaders move, so collections are activated elsewhere.
func (r figureRig) searches(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	var tenants []*tenantUser
	for i := range activeCollections {
		u, err := newTenant(r.nodes[i%len(r.nodes)], 200+i, rng)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.fillWide(u, r.nodes[i%len(r.nodes)], rng); err != nil {
			t.Fatal(err)
		}
		tenants = append(tenants, u)
	}
	wait(10*time.Second, nil) // builders and checkpoints
	survivors := r.nodes[:2]
	var mu sync.Mutex
	var all []searched
	failed := 0
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; wait(searchEvery, stop); i++ {
			body := fmt.Sprintf(`{"query":%s,"limit":10}`, randomVector(rng))
			wg.Go(func() {
				sent := time.Now()
				u := tenants[i%len(tenants)]
				err := call{key: u.key, method: "POST", url: survivors[i%2].qdrant + "/collections/wide/points/query", body: body, timeout: 30 * time.Second}.into(nil)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
				}
				all = append(all, searched{sent, time.Since(sent)})
			})
		}
	})
	wait(20*time.Second, nil)
	at := time.Now()
	r.nodes[2].kill()
	wait(time.Minute, nil)
	close(stop)
	wg.Wait()
	if err := r.nodes[2].member(""); err != nil {
		t.Fatal(err)
	}
	within := func(from, to time.Duration) string {
		var took []time.Duration
		for _, s := range all {
			if since := s.sent.Sub(at); since >= from && since < to {
				took = append(took, s.took)
			}
		}
		return spread(took)
	}
	tell("search in %d collections of %d x %d-d, before a kill: %s", activeCollections, *rows, searchDimensions, within(-10*time.Second, 0))
	tell("  0 to 5 s after it: %s", within(0, 5*time.Second))
	tell("  5 to 30 s after it: %s (goal p99 3x)", within(5*time.Second, 30*time.Second))
	tell("  30 to 60 s after it: %s (goal p99 1.2x); %d of %d searches failed", within(30*time.Second, time.Minute), failed, len(all))
}

// fillWide makes a collection of the tenant's and fills it.
func (r figureRig) fillWide(u *tenantUser, n *node, rng *rand.Rand) error {
	create := call{key: u.key, method: "PUT", url: n.qdrant + "/collections/wide", body: fmt.Sprintf(`{"vectors":{"size":%d,"distance":"Euclid"}}`, searchDimensions)}
	if err := create.into(nil); err != nil {
		return err
	}
	const batch = 500
	for first := 1; first <= *rows; first += batch {
		points := make([]string, batch)
		for i := range points {
			points[i] = fmt.Sprintf(`{"id":%d,"vector":%s}`, first+i, randomVector(rng))
		}
		put := call{key: u.key, method: "PUT", url: n.qdrant + "/collections/wide/points?wait=true", body: `{"points":[` + strings.Join(points, ",") + `]}`, timeout: time.Minute}
		if err := put.into(nil); err != nil {
			return err
		}
	}
	return nil
}

func randomVector(rng *rand.Rand) string {
	v := make([]string, searchDimensions)
	for i := range v {
		v[i] = fmt.Sprintf("%.3f", rng.NormFloat64())
	}
	return "[" + strings.Join(v, ",") + "]"
}
