package grains_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hivehub/waggle/actors/actorstest"
	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/grains"
)

// below is a filter of those with a smaller n.
func below(n float64) *collection.Filter {
	return &collection.Filter{Must: []collection.Condition{collection.Field{
		Key: mustPath("n"), Is: collection.Range{Bounds: collection.Bounds[float64]{LT: &n}},
	}}}
}

// activate has the payloads of a collection indexed, and returns when they are.
func (k *kit) activate(t *testing.T, name string, q collection.Query) {
	t.Helper()
	if _, err := k.client.PutPayloadIndex(t.Context(), k.tenant, name, collection.PayloadIndex{Field: "n", Type: "integer"}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.client.Query(t.Context(), k.tenant, name, q); err != nil {
		t.Fatal(err)
	}
	info, err := k.client.GetCollection(t.Context(), k.tenant, name)
	if err != nil {
		t.Fatal(err)
	}
	every := time.NewTicker(time.Millisecond)
	defer every.Stop()
	for late := time.After(20 * time.Second); !k.client.Surveyable(k.tenant, info.ID); {
		select {
		case <-every.C:
		case <-late:
			t.Fatal("the payloads are not indexed")
		}
	}
}

// Counts, pages and changes by filter are the same from the index as they are
// from the store: also of points that lack vectors.
func TestReadsFromTheIndex(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	m := newTree(t, k, "c")
	rng := rand.New(rand.NewPCG(3, 4))
	for from := uint64(0); from < 3000; from += 500 {
		var ids []uint64
		for i := range uint64(500) {
			ids = append(ids, (from+i)*7919%3000)
		}
		m.write(t, rng, ids...)
	}
	k.activate(t, "c", collection.Query{Nearest: new(m.draw(rng, "near")), Using: "near", Limit: 1})
	for i := range 60 {
		n := int64(rng.IntN(12))
		if i%4 == 0 {
			n = int64(rng.IntN(101))
		}
		var want []uint64
		for id := range uint64(3000) {
			if p, ok := m.points[id]; ok && p.Payload["n"].(int64) < n {
				want = append(want, id)
			}
		}
		if got, err := k.client.Count(ctx, k.tenant, "c", below(float64(n))); err != nil || got != uint64(len(want)) {
			t.Fatalf("counted %d, %v, want %d", got, err, len(want))
		}
		var got []uint64
		req := collection.ScrollRequest{Limit: 1 + rng.IntN(400), Filter: below(float64(n)), WithVector: collection.VectorSelector{All: true}, WithPayload: collection.PayloadSelector{All: true}}
		for more := true; more; {
			page, err := k.client.Scroll(ctx, k.tenant, "c", req)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.Points {
				id, _ := p.ID.Num()
				got = append(got, id)
				if w := m.points[id]; p.Payload["n"] != w.Payload["n"] || len(p.Vectors) != len(w.Vectors) || (p.Vector == nil) != (w.Vector == nil) {
					t.Fatalf("%+v, want %+v", p, w)
				}
			}
			more, req.Offset = page.Next != nil, page.Next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("n < %d, pages of %d: %v, want %v", n, req.Limit, got, want)
		}
		switch i % 10 {
		case 3:
			for _, id := range want[:len(want)/2] {
				m.write(t, rng, id)
			}
		case 7:
			w := collection.Write{Delete: &collection.Selection{Filter: below(2)}}
			if _, err := k.client.Write(ctx, k.tenant, "c", w, collection.WriteOptions{Wait: true}); err != nil {
				t.Fatal(err)
			}
			for id, p := range m.points {
				if p.Payload["n"].(int64) < 2 {
					delete(m.points, id)
				}
			}
		}
	}
}

// A point that was written, and said to be written, so that it does not pass a
// filter is never removed by it, although the ids come from an index that the
// writers are ahead of.
func TestRemovalByFilterFromTheIndexLosesNothing(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	k.create(t, "c", 2)
	write := func(id uint64, n int64) {
		p := point(id)
		p.Payload["n"] = n
		if err := k.upsert(ctx, "c", p); err != nil {
			t.Error(err)
		}
	}
	const points = 16
	for id := range uint64(points) {
		write(id, 50)
	}
	k.activate(t, "c", collection.Query{Nearest: &collection.Input{Dense: []float32{0, 0}}, Limit: 1})
	done := make(chan struct{})
	var writers, removers sync.WaitGroup
	for id := range uint64(points) {
		writers.Go(func() {
			for range 40 {
				write(id, 5)
				write(id, 50)
			}
		})
	}
	for range 4 {
		removers.Go(func() {
			w := collection.Write{Delete: &collection.Selection{Filter: below(10)}}
			for {
				if _, err := k.client.Write(context.Background(), k.tenant, "c", w, collection.WriteOptions{Wait: true}); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	removers.Wait()
	if n, err := k.client.Count(ctx, k.tenant, "c", nil); err != nil || n != points {
		t.Fatalf("%d points are left of %d, %v", n, points, err)
	}
}

// A query that looks at several vectors sees one state of all of them, while
// all points are replaced: whatever one vector's index finds is there in the
// other's.
func TestOneStateOfAllVectors(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	newTree(t, k, "c")
	const points = 40
	write := func(id uint64, x float32) error {
		return k.upsert(ctx, "c", collection.Point{
			ID: collection.NumID(id), Vector: []float32{1, x, 0, 0}, Payload: collection.Payload{"n": int64(1)},
			Vectors: []collection.NamedVector{
				{Name: "near", Dense: []float32{x, 0, 0, 0, 0, 0}},
				{Name: "words", Sparse: &collection.SparseVector{Indices: []uint32{1}, Values: []float32{1 + x}}},
			},
		})
	}
	for id := range uint64(points) {
		if err := write(id, 1); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		rng := rand.New(rand.NewPCG(5, 6))
		for range 600 {
			if err := write(rng.Uint64N(points), rng.Float32()); err != nil {
				t.Error(err)
			}
		}
	})
	words := &collection.Input{Sparse: &collection.SparseVector{Indices: []uint32{1}, Values: []float32{1}}}
	q := collection.Query{
		Prefetch: []collection.Query{{Prefetch: []collection.Query{{
			Nearest: &collection.Input{Dense: []float32{0, 0, 0, 0, 0, 0}}, Using: "near", Limit: points,
		}}, Nearest: words, Using: "words", Limit: points, Filter: below(2)}},
		Nearest: &collection.Input{Dense: []float32{1, 0, 0, 0}}, Limit: points,
		WithVector: collection.VectorSelector{All: true},
	}
	for range 3 {
		wg.Go(func() {
			for {
				hits, err := k.client.Query(ctx, k.tenant, "c", q)
				if err != nil || len(hits) != points {
					t.Errorf("%d hits of %d points, %v", len(hits), points, err)
					return
				}
				for _, h := range hits {
					if x := h.Vectors[0].Dense[0]; h.Vectors[1].Sparse.Values[0] != 1+x {
						t.Errorf("vectors of two states: %v", h.Vectors)
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
}

// The graphs of several vectors have a file each, and are there after a restart.
func TestGraphsOfSeveralVectorsSurviveRestart(t *testing.T) {
	const points, dim = 1400, graphDim
	dir := t.TempDir()
	start := func(builders int) *kit {
		return newKit(t, kitOptions{actors: actorstest.Options{Dir: dir}, grains: grains.Options{Builders: builders, IndexDir: dir + "/index"}})
	}
	k := start(2)
	ctx := t.Context()
	c := collection.Config{Vectors: []collection.VectorParams{
		{Name: "a", Size: dim, Distance: collection.Euclid}, {Name: "b", Size: dim, Distance: collection.Dot, Extra: map[string]any{"hnsw_config": map[string]any{"m": int64(8)}}},
	}}
	if err := k.client.CreateCollection(ctx, k.tenant, "g", c, collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < points; from += 100 {
		batch := make([]collection.Point, 100)
		for i := range batch {
			batch[i] = collection.Point{ID: collection.NumID(uint64(from + i)), Vectors: []collection.NamedVector{
				{Name: "a", Dense: clustered(rng, i%40, dim)}, {Name: "b", Dense: clustered(rng, i%40, dim)},
			}}
		}
		if err := k.upsert(ctx, "g", batch...); err != nil {
			t.Fatal(err)
		}
	}
	queries := map[string][]float32{"a": clustered(rng, 1, dim), "b": clustered(rng, 2, dim)}
	answers := func() string {
		t.Helper()
		var all strings.Builder
		for _, using := range []string{"a", "b"} {
			hits, err := k.client.Query(ctx, k.tenant, "g", collection.Query{Nearest: &collection.Input{Dense: queries[using]}, Using: using, Limit: 5})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hits {
				fmt.Fprint(&all, " ", h.ID)
			}
		}
		return all.String()
	}
	answers() // activates it
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for k.client.Waiting() > 0 {
		<-every.C
	}
	info, err := k.client.GetCollection(ctx, k.tenant, "g")
	if err != nil || info.Indexed != 2*points || info.Building {
		t.Fatalf("%d indexed, %v", info.Indexed, err)
	}
	want := answers()
	k.stopClient()
	k.Stop()
	if names := indexFileNames(t, dir); len(names) != 2 {
		t.Fatalf("index files: %v", names)
	}
	k = start(-1)
	if got := answers(); got != want {
		t.Errorf("found %s, before the restart %s", got, want)
	}
	if n := k.client.Waiting(); n != 0 {
		t.Errorf("%d vectors wait for their graphs", n)
	}
}

// LookupFrom takes the vector from another collection, whose points it does not
// leave out; what is not there is told in Qdrant's words.
func TestLookup(t *testing.T) {
	k, ctx := newKit(t, kitOptions{}), t.Context()
	k.create(t, "plain", 6)
	m := newTree(t, k, "c")
	rng := rand.New(rand.NewPCG(1, 2))
	for id := range uint64(30) {
		m.write(t, rng, id)
	}
	if _, err := k.client.Write(ctx, k.tenant, "c", collection.Write{DeleteVectors: &collection.VectorsChange{
		Selection: collection.Selection{IDs: []collection.PointID{collection.NumID(7)}}, Names: []string{"words"},
	}}, collection.WriteOptions{Wait: true}); err != nil {
		t.Fatal(err)
	}
	v := m.draw(rng, "near").Dense
	if err := k.upsert(ctx, "plain", collection.Point{ID: collection.NumID(3), Vector: v}); err != nil {
		t.Fatal(err)
	}
	by := collection.Query{Nearest: &collection.Input{Dense: v}, Using: "near", Limit: 30}
	want, err := k.client.Query(ctx, k.tenant, "c", by)
	if err != nil {
		t.Fatal(err)
	}
	by.Nearest = &collection.Input{ID: new(collection.NumID(3))}
	refused := func(code collection.Code, text string) {
		t.Helper()
		_, err := k.client.Query(ctx, k.tenant, "c", by)
		if wantCode(t, err, code); err.Error() != code.String()+": "+text {
			t.Errorf("%v, want %q", err, text)
		}
	}
	by.LookupFrom = &collection.LookupFrom{Collection: "plain"}
	refused(collection.InvalidArgument, "Vector with name near is not configured in this collection")
	by.LookupFrom.Collection = "none"
	refused(collection.NotFound, "Collection `none` doesn't exist!")
	by.LookupFrom = nil
	by.Nearest = &collection.Input{ID: new(collection.NumID(99))}
	refused(collection.NotFound, "No point with id 99 found")
	by.Using, by.Nearest = "words", &collection.Input{ID: new(collection.NumID(7))}
	refused(collection.NotFound, `Vector with name "words" for point not found`)

	c := treeConfig()
	c.Vectors = c.Vectors[:1]
	if err := k.client.CreateCollection(ctx, k.tenant, "other", c, collection.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := k.upsert(ctx, "other", collection.Point{ID: collection.NumID(3), Vectors: []collection.NamedVector{{Name: "near", Dense: v}}}); err != nil {
		t.Fatal(err)
	}
	got, err := k.client.Query(ctx, k.tenant, "c", collection.Query{
		Nearest: &collection.Input{ID: new(collection.NumID(3))}, Using: "near", Limit: 30, LookupFrom: &collection.LookupFrom{Collection: "other"},
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
}
