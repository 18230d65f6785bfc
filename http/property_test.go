package httpedge_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
	httpedge "github.com/hivehub/waggle/http"
	"github.com/hivehub/waggle/hubsvc"
	"github.com/hivehub/waggle/tenant"
)

var (
	propertySeed    = flag.Uint64("property.seed", 0, "only this world of TestQdrantMeansTheSame")
	propertyQueries = flag.Int("property.queries", 12_000, "how many requests TestQdrantMeansTheSame makes")
)

const (
	roundsPerWorld = 8
	asksPerRound   = 40
)

// What Qdrant's API answers is what a model of it answers that is written from
// Qdrant's documents and knows nothing of the product: on random collections,
// changes and queries, over HTTP.
func TestQdrantMeansTheSame(t *testing.T) {
	if testing.Short() {
		*propertyQueries /= 10
	}
	n := startNode(t)
	seen := newTally()
	for seed := uint64(1); seen.asks < *propertyQueries; seed++ {
		if *propertySeed != 0 {
			seed = *propertySeed
		}
		w := newWorld(t, n, seed, seen)
		w.live()
		if t.Failed() || *propertySeed != 0 {
			return
		}
	}
	seen.report(t)
}

// report fails when the random requests were not about everything.
func (t *tally) report(tb *testing.T) {
	tb.Logf("%d requests: %d found nothing, %d were refused, %d could be answered in several ways %v; queries that found something: %v",
		t.asks, t.empty, t.refused, t.vague, t.doubts, t.kinds)
	if testing.Short() {
		return
	}
	for _, kind := range []string{
		"has_id", "has_vector", "is_empty", "is_null", "values_count", "match.value", "match.text", "match.any", "match.except",
		"range", "geo_bounding_box", "geo_radius", "geo_polygon", "nested", "filter", "match.valuerange",
	} {
		nested := 0
		for _, part := range []string{"must ", "should ", "must_not ", "min_should "} {
			if t.passed[part+kind] < 20 || t.failed[part+kind] < 20 {
				tb.Errorf("%s%s passed %d points and failed %d", part, kind, t.passed[part+kind], t.failed[part+kind])
			}
			inside := "nested " + part + kind
			if n := t.passed[inside] + t.failed[inside]; n < 20 {
				tb.Errorf("%s was tried on %d objects", inside, n)
			}
			nested += t.passed[inside]
		}
		if nested < 10 && kind != "has_id" && kind != "has_vector" {
			tb.Errorf("%s passed %d objects in nested conditions", kind, nested)
		}
	}
	for _, kind := range []string{"ids", "dense", "indices", "id", "recommend", "nearest", "mmr"} {
		for _, form := range []string{kind, kind + " of prefetches"} {
			if form != "ids of prefetches" && t.kinds[form] < 20 {
				tb.Errorf("%d queries of kind %q found something", t.kinds[form], form)
			}
		}
	}
	for _, kind := range []string{"rrf", "dbsf"} {
		if t.kinds[kind+" of prefetches"] < 50 {
			tb.Errorf("%d fusions by %s found something", t.kinds[kind+" of prefetches"], kind)
		}
	}
	if t.vague > t.asks/5 || t.empty < t.asks/100 || t.empty > t.asks/2 || t.refused > t.asks/5 {
		tb.Error("too many requests prove nothing")
	}
}

// node is one with an edge, and a tenant's key to it.
type node struct {
	url, key string
}

func startNode(t *testing.T) *node {
	t.Helper()
	kit := actorstest.Start(t, actorstest.Options{})
	ctx := t.Context()
	if _, _, err := kit.Embedded.Birth(ctx, hubsvc.BirthOptions{Partitions: 16}); err != nil {
		t.Fatal(err)
	}
	owner, err := kit.Embedded.CreateTenant(ctx, hubsvc.TenantSpec{Name: "acme", Plan: tenant.PlanPro})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := kit.Embedded.CreateKey(ctx, hubsvc.KeySpec{Tenant: owner.ID, Permissions: []tenant.Permission{tenant.Admin}})
	if err != nil {
		t.Fatal(err)
	}
	engine := grains.New(grains.Options{
		Node: kit.Node, Quotas: kit.Quotas, Hub: kit.Embedded, Limits: collection.DefaultLimits(), Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(engine.Stop)
	s := httpedge.New(httpedge.Options{Engine: engine, Hub: kit.Embedded, Limits: httpedge.DefaultLimits(), Logger: slog.New(slog.DiscardHandler)})
	native, qdrant := listen(t), listen(t)
	s.Serve(native, qdrant)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return &node{"http://" + qdrant.Addr().String(), key}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// send returns the status and the result, or the text of a refusal.
func (n *node) send(t *testing.T, method, path, body string) (status int, result any, text string) {
	t.Helper()
	r, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Api-Key", n.key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, nil, string(b)
	}
	v, err := decode(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, v.(map[string]any)["result"], string(b)
}

// world is the product and the model, which live through the same.
type world struct {
	maker
	t    *testing.T
	node *node
	seed uint64
}

func newWorld(t *testing.T, n *node, seed uint64, seen *tally) *world {
	return &world{maker{rand.New(rand.NewPCG(seed, 0)), newModel(), "", seen}, t, n, seed}
}

func (w *world) live() {
	first, second := fmt.Sprintf("c%d", w.seed), fmt.Sprintf("c%d other", w.seed)
	for _, name := range []string{first, second} {
		w.name = name
		w.model.collections[name] = &modelCollection{vectors: w.config(), points: map[pid]*modelPoint{}}
		w.do("PUT", "/collections/"+url.PathEscape(name), configBody(w.collection().vectors))
		w.apply("upsert", w.upsert(w.ids(50)))
	}
	for round := range roundsPerWorld {
		w.rename(first, round)
		for range 1 + w.IntN(3) {
			w.alter()
		}
		if len(w.collection().points) < 15 {
			w.apply("upsert", w.upsert(w.ids(30)))
		}
		if w.compareAll(); w.t.Failed() {
			return
		}
		for range asksPerRound {
			if w.try(w.ask()); w.t.Failed() {
				return
			}
		}
	}
	for _, name := range []string{first, second} {
		w.do("DELETE", "/collections/"+url.PathEscape(name), nil)
	}
}

// rename lets an alias come, move and go.
func (w *world) rename(target string, round int) {
	alias := func(n int) string { return fmt.Sprintf("a%d-%d", w.seed, n) }
	var action map[string]any
	switch w.name = alias(round); round % 4 {
	case 0:
		action = map[string]any{"create_alias": map[string]any{"collection_name": target, "alias_name": w.name}}
	case 1:
		action = map[string]any{"rename_alias": map[string]any{"old_alias_name": alias(round - 1), "new_alias_name": w.name}}
		delete(w.model.aliases, alias(round-1))
	case 2:
		w.name = alias(round - 1)
		return
	default:
		action = map[string]any{"delete_alias": map[string]any{"alias_name": alias(round - 2)}}
		delete(w.model.aliases, alias(round-2))
		w.name = target
	}
	if w.name != target {
		w.model.aliases[w.name] = target
	}
	w.do("POST", "/collections/aliases", map[string]any{"actions": []any{action}})
}

// do makes a request that must succeed.
func (w *world) do(method, path string, body map[string]any) {
	w.t.Helper()
	if status, _, text := w.node.send(w.t, method, path, encode(body)); status != http.StatusOK {
		w.t.Fatalf("seed %d: %s %s %s: %d %s", w.seed, method, path, encode(body), status, text)
	}
}

func (w *world) path() string { return "/collections/" + url.PathEscape(w.name) }

// alter makes a random change.
func (w *world) alter() {
	if w.chance(80) {
		w.apply(w.change())
		return
	}
	operations := w.batch()
	w.do("POST", w.path()+"/points/batch?wait=true", map[string]any{"operations": operations})
	for _, v := range operations {
		for op, body := range v.(map[string]any) {
			if err := w.collection().change(op, body.(map[string]any)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.compareAfter("batch", map[string]any{"operations": operations})
}

func (w *world) apply(op string, body map[string]any) {
	route := routeOf[op]
	status, _, text := w.node.send(w.t, route[0], w.path()+route[1], encode(body))
	if err := w.collection().change(op, body); (err == nil) != (status == http.StatusOK) {
		w.t.Fatalf("seed %d: %s %s: %d %s\nwant error %v", w.seed, op, encode(body), status, text, err)
	}
	w.compareAfter(op, body)
}

// compareAfter finds what a change did otherwise than in the model.
func (w *world) compareAfter(op string, body map[string]any) {
	w.t.Helper()
	if w.compareAll(); w.t.Failed() {
		w.t.Fatalf("seed %d: after %s %s", w.seed, op, encode(body))
	}
}

// compareAll compares all points.
func (w *world) compareAll() {
	w.t.Helper()
	a := ask{"scroll", map[string]any{"limit": int64(1000), "with_vector": true}}
	if fault := w.fault(a); fault != "" {
		w.t.Errorf("seed %d: %s", w.seed, fault)
	}
}
