package cluster

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var races = flag.Int("races", 2, "how many rounds TestQuotas races, of each kind; every other one with a kill -9 of the leader")

// Who races for how many places.
const (
	raceWriters = 200
	racePlaces  = 10
	raceSeed    = 7 // points that are there before
)

// TestQuotas lets writers on all nodes race for the last places of a tenant's
// quota, while the leader of its data is killed: exactly as many as there are
// places get one.
func TestQuotas(t *testing.T) {
	found := newFindings()
	f := newFleet(t, found, fleetOptions{nodes: 3})
	rng := rand.New(rand.NewPCG(drawSeed(t), 0))
	for _, r := range []race{
		{kind: "vector_count", places: pointPlaces, try: (*racer).putPoint},
		{kind: "storage_bytes", places: bytePlaces, try: (*racer).putPoint},
		{kind: "collection_count", places: collectionPlaces, try: (*racer).putCollection},
	} {
		for round := range *races {
			if err := r.run(f, round, round%2 == 1, rng); err != nil {
				t.Fatalf("%s, round %d: %v", r.kind, round, err)
			}
		}
	}
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}

// race is a quota that is raced for.
type race struct {
	kind string
	// places is the limit that leaves racePlaces of try, of a tenant that stores
	// so many bytes in raceSeed points of one collection.
	places func(stored int) int
	try    func(r *racer, n *node, writer int) (answer, error)
}

func pointPlaces(int) int       { return raceSeed + racePlaces }
func bytePlaces(stored int) int { return stored/raceSeed*(raceSeed+racePlaces+1) - 1 }
func collectionPlaces(int) int  { return 1 + racePlaces }

// racer is a tenant whose writers race.
type racer struct {
	*tenantUser
	name string
}

func (r *racer) putPoint(n *node, writer int) (answer, error) {
	return call{
		key: r.key, method: "PUT", url: n.qdrant + "/collections/k/points?wait=true",
		header: map[string]string{"Idempotency-Key": fmt.Sprint("w", writer)},
		body:   map[string]any{"points": []any{map[string]any{"id": writer, "vector": make([]float32, dim)}}},
	}.do()
}

func (r *racer) putCollection(n *node, writer int) (answer, error) {
	body := map[string]any{"vectors": map[string]any{"size": dim, "distance": "Euclid"}}
	a, err := call{key: r.key, method: "PUT", url: n.qdrant + "/collections/w" + strconv.Itoa(writer), body: body}.do()
	if err == nil && a.status == http.StatusConflict {
		a.status = http.StatusOK // it is this writer's own, made by a try whose answer was lost
	}
	return a, err
}

// run makes a tenant, fills it up to racePlaces, and lets everybody race.
func (r *race) run(f *fleet, round int, kill bool, rng *rand.Rand) error {
	n := f.nodes[rng.IntN(len(f.nodes))]
	user, err := newTenant(n, round, rng)
	if err != nil {
		return err
	}
	who := &racer{tenantUser: user, name: fmt.Sprint(r.kind, "-", round)}
	var last answer
	for i := range raceSeed {
		if last, err = who.putPoint(n, 1000+i); err != nil {
			return err
		}
		if last.status != http.StatusOK {
			return fmt.Errorf("seed: %d %s", last.status, last.body)
		}
	}
	stored, err := strconv.Atoi(last.header.Get("X-Storage-Used"))
	if err != nil {
		return fmt.Errorf("X-Storage-Used of %v: %w", last.header, err)
	}
	limit := r.places(stored)
	if err := setPlan(n, who.id, who.name, map[string]any{r.kind: limit}); err != nil {
		return err
	}
	// A limit reaches writes a moment after it was set: see TestChangedPlan.
	wait(time.Second, nil)
	var home struct{ Partition int }
	if err := (call{key: operatorKey, method: "GET", url: n.http + "/api/v1/tenants/" + who.id}).into(&home); err != nil {
		return err
	}
	leader, err := f.leader(strconv.Itoa(home.Partition))
	if err != nil {
		return err
	}
	won, err := r.compete(f, who, leader, kill)
	if err != nil {
		return err
	}
	if kill {
		if err := leader.member(""); err != nil {
			return err
		}
		if err := leader.ready(time.Minute); err != nil {
			return err
		}
		if err := f.waitWhole(time.Minute); err != nil {
			return err
		}
	}
	if len(won) != racePlaces {
		return fmt.Errorf("%d of %d writers won, want %d (kill: %t): %v", len(won), raceWriters, racePlaces, kill, won)
	}
	return who.check(f, r.kind, limit)
}

// compete runs the writers until each has its answer, and returns who won. With
// kill the leader of the tenant's data dies when a few have theirs.
func (r *race) compete(f *fleet, who *racer, leader *node, kill bool) ([]int, error) {
	var (
		mu   sync.Mutex
		won  []int
		errs []error
		done atomic.Int32
		once sync.Once
		wg   sync.WaitGroup
	)
	for writer := range raceWriters {
		wg.Go(func() {
			ok, err := r.decide(f, who, writer)
			mu.Lock()
			if ok {
				won = append(won, writer)
			}
			if err != nil {
				errs = append(errs, err)
			}
			mu.Unlock()
			if done.Add(1) == racePlaces/2 && kill {
				once.Do(leader.kill)
			}
		})
	}
	wg.Wait()
	return won, errors.Join(errs...)
}

// decide asks node after node until one knows whether the writer has won.
func (r *race) decide(f *fleet, who *racer, writer int) (won bool, err error) {
	for try := range 200 {
		n := f.nodes[(writer+try)%len(f.nodes)]
		a, err := r.try(who, n, writer)
		switch {
		case err == nil && a.status == http.StatusOK:
			return true, nil
		case err == nil && a.status == http.StatusInsufficientStorage:
			return false, nil
		case err == nil && a.status != http.StatusServiceUnavailable && a.status != http.StatusRequestTimeout && a.status != http.StatusGatewayTimeout:
			return false, fmt.Errorf("writer %d: %d %s", writer, a.status, a.body)
		}
		wait(50*time.Millisecond, nil)
	}
	return false, fmt.Errorf("writer %d never got an answer", writer)
}

// check compares what is stored, as it is read and as it is counted, with the
// limit, through every node.
func (r *racer) check(f *fleet, kind string, limit int) error {
	for _, n := range f.nodes {
		var all struct {
			Collections []struct{ Name string }
		}
		var exact struct{ Count int }
		if err := (call{key: r.key, method: "GET", url: n.qdrant + "/collections"}).into(&all); err != nil {
			return err
		}
		if err := (call{key: r.key, method: "POST", url: n.qdrant + "/collections/k/points/count", body: `{"exact":true}`}).into(&exact); err != nil {
			return err
		}
		points, collections := raceSeed+racePlaces, 1
		if kind == "collection_count" {
			points, collections = raceSeed, limit
		}
		if exact.Count != points || len(all.Collections) != collections {
			return fmt.Errorf("%s has %d points in %d collections, want %d in %d", n.name, exact.Count, len(all.Collections), points, collections)
		}
		var counted struct {
			Usage struct {
				Bytes       int `json:"storage_bytes"`
				Points      int `json:"vector_count"`
				Collections int `json:"collection_count"`
			}
		}
		if err := (call{key: operatorKey, method: "GET", url: n.http + "/api/internal/vectorizer/user/" + r.id + "/quota"}).into(&counted); err != nil {
			return err
		}
		if u := counted.Usage; u.Points != points || u.Collections != collections || kind == "storage_bytes" && u.Bytes > limit {
			return fmt.Errorf("%s counts %+v, want %d points and %d collections", n.name, u, points, collections)
		}
	}
	return nil
}

// setPlan puts a tenant on a plan of its own.
func setPlan(n *node, id, name string, limits map[string]any) error {
	err := call{key: operatorKey, method: "PUT", url: n.http + "/api/v1/plans/" + name, body: limits}.into(nil)
	if err != nil {
		return err
	}
	return call{key: operatorKey, method: "PATCH", url: n.http + "/api/v1/tenants/" + id, body: map[string]any{"plan": name}}.into(nil)
}

// TestChangedPlan: a plan that is changed, and another plan for a tenant, reach
// the writes through every node within a second.
func TestChangedPlan(t *testing.T) {
	const soonest = time.Second
	f := newFleet(t, newFindings(), fleetOptions{nodes: 3})
	who, err := newTenant(f.nodes[0], 1, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	r := &racer{tenantUser: who}
	writer := 0
	want := func(what string, status int) {
		t.Helper()
		began := time.Now()
		for _, n := range f.nodes {
			err := poll(soonest, func() error {
				writer++
				a, err := r.putPoint(n, writer)
				if err == nil && a.status != status {
					err = fmt.Errorf("%d %s, want %d", a.status, a.body, status)
				}
				return err
			})
			if err != nil {
				t.Errorf("%s, %s: %v", what, n.name, err)
			}
		}
		t.Logf("%s: known on every node after %v", what, time.Since(began))
	}
	want("no limit", http.StatusOK)
	for i, n := range f.nodes {
		name := fmt.Sprint("changed-", i)
		if err := setPlan(n, who.id, name, map[string]any{"vector_count": 0}); err != nil {
			t.Fatal(err)
		}
		want("another plan, without room", http.StatusInsufficientStorage)
		if err := (call{key: operatorKey, method: "PUT", url: n.http + "/api/v1/plans/" + name, body: map[string]any{"vector_count": 1000}}).into(nil); err != nil {
			t.Fatal(err)
		}
		want("the plan changed, with room", http.StatusOK)
	}
}

// TestHubHasTheHistory makes and deletes collections through all nodes while
// leaders die: the hub's records say in the end exactly what was made and what
// is gone.
func TestHubHasTheHistory(t *testing.T) {
	found := newFindings()
	f := newFleet(t, found, fleetOptions{nodes: 3})
	rng := rand.New(rand.NewPCG(drawSeed(t), 1))
	var users []*racer
	for i := range 4 {
		u, err := newTenant(f.nodes[i%3], i, rng)
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, &racer{tenantUser: u})
	}
	for _, victim := range []*node{nil, f.nodes[0], f.nodes[1]} { // n1 leads the hub at first
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for _, u := range users {
			wg.Go(func() { u.churn(f, stop) })
		}
		wait(time.Second, nil)
		if victim != nil {
			victim.kill()
		}
		wait(2*time.Second, nil)
		close(stop)
		wg.Wait()
		if victim == nil {
			continue
		}
		if err := victim.member(""); err != nil {
			t.Fatal(err)
		}
		if err := victim.ready(time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.waitWhole(time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		for _, n := range f.nodes {
			if err := poll(15*time.Second, func() error { return u.history(n) }); err != nil {
				t.Errorf("through %s: %v", n.name, err)
			}
		}
	}
	if list, n := found.all(); n > 0 {
		t.Errorf("%d violations: %q", n, list)
	}
}

// churn makes and deletes collections, whatever the answers are.
func (r *racer) churn(f *fleet, stop <-chan struct{}) {
	for i := 0; wait(5*time.Millisecond, stop); i++ {
		n := f.nodes[i%len(f.nodes)]
		_, _ = r.putCollection(n, i%5)
		if i%3 == 1 {
			_, _ = call{key: r.key, method: "DELETE", url: n.qdrant + "/collections/w" + strconv.Itoa((i+2)%5)}.do()
		}
	}
}

// history compares the hub's records with the collections that there are. The
// ids that a partition gave are each in one record, of some tenant.
func (r *racer) history(n *node) error {
	var all struct {
		Collections []struct{ Name string }
	}
	if err := (call{key: r.key, method: "GET", url: n.qdrant + "/collections"}).into(&all); err != nil {
		return err
	}
	var there, recorded []string
	for _, c := range all.Collections {
		there = append(there, c.Name)
	}
	var records struct {
		Collections []struct {
			Name    string
			Created int64 `json:"created_at"`
			Deleted int64 `json:"deleted_at"`
		}
		Next string `json:"next_cursor"`
	}
	deleted := 0
	for next := ""; ; next = records.Next {
		records.Next, records.Collections = "", nil
		if err := (call{key: operatorKey, method: "GET", url: n.http + "/api/internal/vectorizer/user/" + r.id + "/collections?cursor=" + next}).into(&records); err != nil {
			return err
		}
		for _, c := range records.Collections {
			switch {
			case c.Created == 0 || c.Deleted != 0 && c.Deleted < c.Created:
				return fmt.Errorf("a record says created at %d, deleted at %d", c.Created, c.Deleted)
			case c.Deleted != 0:
				deleted++
			default:
				recorded = append(recorded, c.Name)
			}
		}
		if records.Next == "" {
			break
		}
	}
	slices.Sort(recorded)
	slices.Sort(there)
	if !slices.Equal(recorded, there) || deleted == 0 {
		return fmt.Errorf("the hub has %q and %d that are deleted, there are %q", recorded, deleted, there)
	}
	return nil
}
