package grains_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hivehub/waggle/collection"
)

const graphDim = 2048 // a graph from 1,280 vectors on

func indexFileNames(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "index", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// ids is what a query finds.
func (k *kit) ids(t testing.TB, name string, q collection.Query) map[collection.PointID]bool {
	t.Helper()
	hits, err := k.client.Query(t.Context(), k.tenant, name, q)
	if err != nil || len(hits) != q.Limit {
		t.Fatalf("%d hits, %v", len(hits), err)
	}
	ids := map[collection.PointID]bool{}
	for _, h := range hits {
		ids[h.ID] = true
	}
	return ids
}

// recall is how much of the exact answers the graph finds.
func (k *kit) recall(t testing.TB, name string, queries [][]float32) float64 {
	t.Helper()
	const topK = 10
	found := 0
	for _, v := range queries {
		exact := k.ids(t, name, collection.Query{Nearest: &collection.Input{Dense: v}, Limit: topK, Params: collection.SearchParams{Exact: true}})
		for id := range k.ids(t, name, collection.Query{Nearest: &collection.Input{Dense: v}, Limit: topK}) {
			if exact[id] {
				found++
			}
		}
	}
	return float64(found) / float64(topK*len(queries))
}

// After a restart the graph is there at once: what changed since its file was
// written is in the tail or gone, and searches find what they found.
func TestGraphSurvivesRestart(t *testing.T) {
	const points, more, gone = 2000, 100, 150
	dir := t.TempDir()
	k := kitOn(t, dir)
	k.create(t, "g", graphDim)
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() []float32 { return clustered(rng, rng.IntN(40), graphDim) }
	k.fill(t, "g", 0, points, draw)
	var queries [][]float32
	for range 50 {
		queries = append(queries, draw())
	}
	q := collection.Query{Nearest: &collection.Input{Dense: queries[0]}, Limit: 10}
	k.built(t, "g", q)
	before := k.recall(t, "g", queries)
	k.stopClient()
	if names := indexFileNames(t, dir); len(names) != 1 {
		t.Fatalf("index files: %v", names)
	}
	k.Stop()

	k = kitOn(t, dir) // written to, but not searched: the file stays as it is
	k.fill(t, "g", points, points+more, draw)
	var ids []collection.PointID
	for id := range uint64(gone) {
		ids = append(ids, collection.NumID(5*id))
	}
	if _, err := k.client.Write(t.Context(), k.tenant, "g", collection.Write{Delete: &collection.Selection{IDs: ids}}, collection.WriteOptions{Wait: true}); err != nil {
		t.Fatal(err)
	}
	k.stopClient()
	k.Stop()

	k = newStillKit(t, dir)
	k.ids(t, "g", q)
	if n := k.client.Waiting(); n != more {
		t.Errorf("%d vectors wait for the graph after a restart, %d were added", n, more)
	}
	for range queries {
		for id := range k.ids(t, "g", collection.Query{Nearest: &collection.Input{Dense: draw()}, Limit: 100}) {
			if n, _ := id.Num(); n < 5*gone && n%5 == 0 {
				t.Fatalf("point %v is found after it was deleted", id)
			}
		}
	}
	if after := k.recall(t, "g", queries); after < before-0.005 {
		t.Errorf("recall %.4f, before the restart %.4f", after, before)
	}
}

// A file with a flipped bit is worth a graph, not a collection.
func TestGraphWithDamagedFile(t *testing.T) {
	dir := t.TempDir()
	k := kitOn(t, dir)
	k.create(t, "g", graphDim)
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() []float32 { return clustered(rng, rng.IntN(40), graphDim) }
	k.fill(t, "g", 0, 1500, draw)
	q := collection.Query{Nearest: &collection.Input{Dense: draw()}, Limit: 10}
	k.built(t, "g", q)
	k.stopClient()
	k.Stop()
	name := indexFileNames(t, dir)[0]
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)/3] ^= 4
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	k = kitOn(t, dir)
	k.built(t, "g", q)
	if names := indexFileNames(t, dir); len(names) != 0 {
		t.Errorf("%v is still there", names)
	}
	if recall := k.recall(t, "g", [][]float32{q.Nearest.Dense}); recall < 0.9 {
		t.Errorf("recall %.2f", recall)
	}
}

// Graphs are written while their collections are active, too; the file of one
// that is deleted goes.
func TestIndexFileOfAnActiveCollection(t *testing.T) {
	dir := t.TempDir()
	k := kitOn(t, dir)
	begun := time.Now()
	k.create(t, "g", graphDim)
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() []float32 { return clustered(rng, rng.IntN(40), graphDim) }
	k.fill(t, "g", 0, 1500, draw)
	q := collection.Query{Nearest: &collection.Input{Dense: draw()}, Limit: 10}
	k.built(t, "g", q)
	k.client.SaveDue(time.Now())
	names := indexFileNames(t, dir)
	if early := time.Since(begun) < 5*time.Second; early && len(names) != 0 {
		t.Errorf("%v was written at once", names)
	}
	k.client.SaveDue(time.Now().Add(time.Minute))
	names = indexFileNames(t, dir)
	if len(names) != 1 {
		t.Fatalf("index files: %v", names)
	}
	k.client.SaveDue(time.Now().Add(time.Hour))
	if again := indexFileNames(t, dir); len(again) != 1 || again[0] != names[0] {
		t.Errorf("%v was written although nothing changed", again)
	}
	k.fill(t, "g", 0, 1, draw)
	k.built(t, "g", q)
	k.client.SaveDue(time.Now().Add(time.Minute))
	if again := indexFileNames(t, dir); len(again) != 1 || again[0] != names[0] {
		t.Errorf("%v was written for one vector", again)
	}
	k.client.SaveDue(time.Now().Add(time.Hour))
	if again := indexFileNames(t, dir); len(again) != 1 || again[0] == names[0] {
		t.Errorf("%v after an hour", again)
	}
	if _, err := k.client.DeleteCollection(t.Context(), k.tenant, "g", collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(10 * time.Second); len(indexFileNames(t, dir)) > 0; <-time.After(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%v stays", indexFileNames(t, dir))
		}
	}
}

// A node that is killed has the graph as it was written last, and the rest in
// the tail. What a killed process leaves is what its files hold: the test reads
// a copy of them.
func TestGraphSurvivesKill(t *testing.T) {
	const points, more = 1500, 60
	dir, left := t.TempDir(), t.TempDir()
	k := kitOn(t, dir)
	k.create(t, "g", graphDim)
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() []float32 { return clustered(rng, rng.IntN(40), graphDim) }
	k.fill(t, "g", 0, points, draw)
	q := collection.Query{Nearest: &collection.Input{Dense: draw()}, Limit: 10}
	k.built(t, "g", q)
	k.client.SaveDue(time.Now().Add(time.Minute))
	k.fill(t, "g", points-more, points+more, draw) // half of them replaced
	k.built(t, "g", q)
	queries := [][]float32{draw(), draw(), draw(), draw(), draw(), draw(), draw(), draw()}
	before := k.recall(t, "g", queries)
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}

	k = newStillKit(t, left)
	k.ids(t, "g", q)
	if n := k.client.Waiting(); n != 2*more {
		t.Errorf("%d vectors wait for the graph, %d came after it was written", n, 2*more)
	}
	if after := k.recall(t, "g", queries); after < before-0.005 {
		t.Errorf("recall %.4f, before %.4f", after, before)
	}
}

// A node that ends while a graph is built keeps what there is of it. The next
// one takes the points that were not linked yet behind all slots of the file.
func TestHalfAGraphSurvivesRestart(t *testing.T) {
	const points = 5000
	dir := t.TempDir()
	k := kitOn(t, dir)
	k.create(t, "g", graphDim)
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func() []float32 { return clustered(rng, rng.IntN(40), graphDim) }
	k.fill(t, "g", 0, points, draw)
	q := collection.Query{Nearest: &collection.Input{Dense: draw()}, Limit: 10}
	k.ids(t, "g", q) // activates it
	for every := time.NewTicker(time.Millisecond); ; <-every.C {
		if n := k.client.Waiting(); n < points-100 {
			break
		}
	}
	k.stopClient()
	if names := indexFileNames(t, dir); len(names) != 1 {
		t.Fatalf("index files: %v", names)
	}
	k.Stop()

	k = newStillKit(t, dir)
	q.Params.Exact = true
	k.ids(t, "g", q)
	if n := k.client.Waiting(); n == 0 || n == points {
		t.Errorf("%d of %d vectors wait: the graph was not half made", n, points)
	}
	q.Nearest = &collection.Input{ID: new(collection.NumID(points - 1))}
	k.ids(t, "g", q)
}
