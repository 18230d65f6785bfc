package grains

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/hnsw"
)

// liveOf is an active collection of its own, with a graph from few points on,
// and without builders.
func liveOf(dim int) *liveIndex {
	l := newLiveIndex(collection.Info{
		Name: "c", Config: collection.Config{Vectors: []collection.VectorParams{{Size: dim, Distance: collection.Euclid}}},
	}, "", func(*liveIndex) {})
	l.tables[0].dense = hnsw.New(dim, index.L2, hnsw.Options{EfSearch: efSearchDefault})
	l.loading = false
	return l
}

// put applies an entry: points, that may replace those of given versions.
func (l *liveIndex) put(tb testing.TB, version uint64, old []uint64, points ...collection.Point) {
	tb.Helper()
	events := make([]collection.Event, len(points))
	for i, p := range points {
		rec, err := collection.EncodeRecord(nil, p)
		if err != nil {
			tb.Fatal(err)
		}
		events[i] = collection.Event{Kind: collection.EventUpsert, ID: p.ID, Version: version + uint64(i), Record: rec}
		if old != nil {
			events[i].Old = old[i]
		}
	}
	l.Apply(version, events)
	if err := l.usable(); err != nil {
		tb.Fatal(err)
	}
}

// build does all that builders would.
func (l *liveIndex) build() {
	l.wantPayloads()
	for l.tables[0].indexPayloads() {
	}
	for l.tables[0].dense.Build(512) > 0 {
	}
}

// search answers a query for the nearest to a vector of a plain collection.
func (l *liveIndex) search(ctx context.Context, q *collection.Query, vector []float32) ([]collection.Hit, error) {
	p := planned{plan: plan{query: q, input: collection.Input{Dense: vector}, distance: l.info.Config.Vector().Distance}}
	p.need.add(0)
	return l.query(ctx, &p)
}

func mustFilter(tb testing.TB, text string) *collection.Filter {
	tb.Helper()
	f, err := collection.ParseFilter([]byte(text), collection.DefaultLimits())
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// far is the field that says how far a point is from a query.
func far(query int) string { return fmt.Sprintf("far%d", query) }

// filteredSet is a collection of points in clusters, with payloads to choose a
// share of them by: any, or those nearest to a query or farthest from it.
func filteredSet(tb testing.TB, n, dim, queries int) (l *liveIndex, vectors [][]float32, sorted [][]float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range queries {
		vectors = append(vectors, clustered(rng, dim))
	}
	sorted = make([][]float64, queries)
	l = liveOf(dim)
	var batch []collection.Point
	for i := range n {
		v := clustered(rng, dim)
		p := collection.Payload{"any": int64(rng.IntN(n)), "kind": []string{"a", "b"}[i%2]}
		for q := range queries {
			d := 0.0
			for j := range v {
				d += float64((v[j] - vectors[q][j]) * (v[j] - vectors[q][j]))
			}
			p[far(q)], sorted[q] = d, append(sorted[q], d)
		}
		if batch = append(batch, collection.Point{ID: collection.NumID(uint64(i)), Vector: v, Payload: p}); len(batch) == 1000 || i == n-1 {
			l.put(tb, uint64(i+2-len(batch)), nil, batch...)
			batch = batch[:0]
		}
	}
	for q := range queries {
		slices.Sort(sorted[q])
	}
	l.build()
	return l, vectors, sorted
}

// clustered draws a vector near one of 30 centres.
func clustered(rng *rand.Rand, dim int) []float32 {
	centre := rand.New(rand.NewPCG(rng.Uint64N(30), 3))
	v := make([]float32, dim)
	for i := range v {
		v[i] = float32(centre.NormFloat64() + 0.5*rng.NormFloat64())
	}
	return v
}

// shareOf is a filter that so many in 1,000 pass: any, those alike the query or
// those unlike it.
func shareOf(tb testing.TB, kind string, query, n int, sorted []float64, permille int) *collection.Filter {
	at := n * permille / 1000
	switch kind {
	case "alike":
		return mustFilter(tb, fmt.Sprintf(`{"must":{"key":"%s","range":{"lte":%v}}}`, far(query), sorted[at-1]))
	case "unlike":
		return mustFilter(tb, fmt.Sprintf(`{"must":{"key":"%s","range":{"gte":%v}}}`, far(query), sorted[n-at]))
	}
	return mustFilter(tb, fmt.Sprintf(`{"must":{"key":"any","range":{"lt":%d}}}`, at))
}

// Filters of every selectivity, alike the query, unlike it and independent of
// it: what is selected is known without a look at a payload, recall stays, and
// no match is missing while fewer than k are found.
func TestFilteredQueries(t *testing.T) {
	const n, dim, k, queries = 8_000, 24, 10, 6
	l, vectors, sorted := filteredSet(t, n, dim, queries)
	for _, permille := range []int{1, 5, 20, 100, 300, 600, 900, 1000} {
		for _, kind := range []string{"any", "alike", "unlike"} {
			found, wanted := 0, 0
			for q, vector := range vectors {
				f := shareOf(t, kind, q, n, sorted[q], permille)
				matches := l.checkSelected(t, f)
				query := &collection.Query{Filter: f, Limit: k, Params: collection.SearchParams{Exact: true}}
				truth, err := l.search(t.Context(), query, vector)
				if err != nil || len(truth) != min(k, matches) {
					t.Fatalf("%s, %d in 1000: %d hits of %d matches, error %v", kind, permille, len(truth), matches, err)
				}
				query.Params.Exact = false
				hits, err := l.search(t.Context(), query, vector)
				if err != nil || len(hits) != len(truth) {
					t.Fatalf("%s, %d in 1000: %d hits, want %d, error %v", kind, permille, len(hits), len(truth), err)
				}
				for _, h := range hits {
					if slices.ContainsFunc(truth, func(w collection.Hit) bool { return w.ID == h.ID }) {
						found++
					}
				}
				wanted += len(truth)
			}
			if recall := float64(found) / float64(wanted); recall < 0.95 {
				t.Errorf("%s, %d in 1000: recall %.3f", kind, permille, recall)
			}
		}
	}
}

// checkSelected compares what the index selects with a scan, and returns how
// many that are. No payload may be looked at for it.
func (l *liveIndex) checkSelected(tb testing.TB, f *collection.Filter) (matches int) {
	tb.Helper()
	t := l.tables[0]
	taken := t.view()
	defer taken.release()
	view := taken.slots()
	selected, err := t.allowed(context.Background(), &taken, f)
	if err != nil || selected.Asked > 0 {
		tb.Fatalf("%d payloads were looked at, error %v", selected.Asked, err)
	}
	taken.payloads = nil
	scanned, err := t.allowed(context.Background(), &taken, f)
	for i := range selected.Slots {
		selected.Slots[i] &= view.Visible(uint32(64 * i))
	}
	if err != nil || scanned.Asked != view.Len() || !slices.Equal(scanned.Slots, selected.Slots) {
		tb.Fatalf("a scan of %d payloads selects otherwise, error %v", scanned.Asked, err)
	}
	for slot := range view.Slots() {
		matches += int(selected.Slots[slot/64] >> (slot % 64) & 1)
	}
	return matches
}

// An index that is made while points are replaced and searched misses none of
// them, and shows no point with another's payload.
func TestPayloadIndexIsMadeBesideWrites(t *testing.T) {
	const n, dim, rounds = 3_000, 4, 20
	l := liveOf(dim)
	rng := rand.New(rand.NewPCG(5, 6))
	versions := make([]uint64, n)
	next := uint64(1)
	write := func(ids []int) {
		points, old := make([]collection.Point, len(ids)), make([]uint64, len(ids))
		for i, id := range ids {
			points[i] = collection.Point{
				ID: collection.NumID(uint64(id)), Vector: []float32{rng.Float32(), rng.Float32(), 0, 0},
				Payload: collection.Payload{"n": rng.Int64N(100), "even": id%2 == 0},
			}
			old[i], versions[id] = versions[id], next+uint64(i)
		}
		l.put(t, next, old, points...)
		next += uint64(len(ids))
	}
	for i := range n / 1000 {
		ids := make([]int, 1000)
		for j := range ids {
			ids[j] = 1000*i + j
		}
		write(ids)
	}
	f := mustFilter(t, `{"must":[{"key":"n","range":{"gte":20,"lt":60}},{"key":"even","match":{"value":true}}]}`)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // searches, the first of which wants the index
		for {
			hits, err := l.search(context.Background(), &collection.Query{Filter: f, Limit: 50, WithPayload: collection.PayloadSelector{All: true}}, make([]float32, dim))
			if err != nil || len(hits) != 50 {
				t.Errorf("%d hits, error %v", len(hits), err)
			}
			for _, h := range hits {
				if v, _ := h.Payload["n"].(int64); v < 20 || v >= 60 || h.Payload["even"] != true {
					t.Errorf("point %s with %v", h.ID, h.Payload)
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 2 { // builders
		wg.Go(func() {
			for {
				l.tables[0].indexPayloads()
				l.tables[0].dense.Build(64)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range rounds {
		write(rng.Perm(n)[:100])
	}
	close(stop)
	wg.Wait()
	l.build()
	if l.tables[0].payloads.bytes() == 0 || l.memory() < l.tables[0].dense.Bytes()+l.tables[0].payloads.bytes() {
		t.Errorf("the index takes %d bytes of %d", l.tables[0].payloads.bytes(), l.memory())
	}
	for range 5 {
		write(rng.Perm(n)[:500])
		l.build() // slots come free
		if matches := l.checkSelected(t, f); matches < n/8 {
			t.Errorf("%d matches", matches)
		}
	}
}

// A collection that is small, or never filtered, has no index of its payloads.
func TestPayloadIndexIsMadeWhenWanted(t *testing.T) {
	l := liveOf(2)
	offered := 0
	l.changed = func(*liveIndex) { offered++ }
	points := make([]collection.Point, payloadsMin-1)
	for i := range points {
		points[i] = collection.Point{ID: collection.NumID(uint64(i)), Vector: []float32{0, 1}, Payload: collection.Payload{"n": int64(i)}}
	}
	l.put(t, 1, nil, points...)
	check := func(f *collection.Filter, offers int, made bool) {
		t.Helper()
		offered = 0
		if _, err := l.search(t.Context(), &collection.Query{Filter: f, Limit: 1}, []float32{0, 0}); err != nil {
			t.Fatal(err)
		}
		for l.tables[0].indexPayloads() {
		}
		if got := l.tables[0].payloads.bytes() > 0; offered != offers || got != made {
			t.Errorf("offered to builders %d times, want %d; there is an index: %v, want %v", offered, offers, got, made)
		}
	}
	f := mustFilter(t, `{"must":{"key":"n","match":{"value":1}}}`)
	check(f, 0, false)
	l.put(t, 10_000, nil, collection.Point{ID: collection.NumID(10_000), Vector: []float32{0, 1}})
	check(nil, 0, false)
	check(f, 1, true)
	check(f, 0, true)
}

// BenchmarkFilteredQuery compares searches with a filter: looking at every
// payload, as before there was an index of them; with the index; and comparing
// all that match exactly.
func BenchmarkFilteredQuery(b *testing.B) {
	const n, dim, queries = 60_000, 128, 8
	l, vectors, sorted := filteredSet(b, n, dim, queries)
	ready := l.tables[0].payloads.ready.Load()
	for _, permille := range []int{1, 10, 100, 300, 1000} {
		for _, kind := range []string{"any", "alike", "unlike"} {
			for _, way := range []string{"scan", "planned", "exact"} {
				b.Run(fmt.Sprintf("%s/%d/%s", kind, permille, way), func(b *testing.B) {
					if l.tables[0].payloads.ready.Store(ready); way == "scan" {
						l.tables[0].payloads.ready.Store(nil)
					}
					i := 0
					filters := make([]*collection.Filter, queries)
					for q := range filters {
						filters[q] = shareOf(b, kind, q, n, sorted[q], permille)
					}
					for b.Loop() {
						query := &collection.Query{Filter: filters[i%queries], Limit: 10, Params: collection.SearchParams{Exact: way == "exact"}}
						if _, err := l.search(b.Context(), query, vectors[i%queries]); err != nil {
							b.Fatal(err)
						}
						i++
					}
				})
			}
		}
	}
}

// What points take is given back when they go: of each vector, and of points
// without any.
func TestMemoryIsGivenBack(t *testing.T) {
	c := collection.Config{
		Vectors: []collection.VectorParams{{Name: "a", Size: 2, Distance: collection.Euclid}, {Name: "b", Size: 3, Distance: collection.Dot}},
		Sparse:  []collection.SparseParams{{Name: "s"}},
	}
	info := collection.Info{Name: "c", Config: c}
	l := newLiveIndex(info, "", func(*liveIndex) {})
	l.loading = false
	named := []collection.NamedVector{
		{Name: "a", Dense: []float32{1, 2}},
		{Name: "b", Dense: []float32{1, 2, 3}},
		{Name: "s", Sparse: &collection.SparseVector{Indices: []uint32{1, 9}, Values: []float32{1, 2}}},
	}
	for round := range 3 {
		var events []collection.Event
		for i := range uint64(8) {
			p := collection.Point{ID: collection.NumID(i), Payload: collection.Payload{"n": int64(i)}}
			for n, v := range named {
				if i>>n&1 == 1 {
					p.Vectors = append(p.Vectors, v)
				}
			}
			op, err := collection.Finalize(info, collection.Write{Upsert: []collection.Point{p}}, collection.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			version := uint64(round)<<16 + i + 1
			rec := op.(collection.Upsert).Records[0]
			events = append(events, collection.Event{Kind: collection.EventUpsert, ID: p.ID, Version: version, Record: rec.Bytes()})
		}
		l.Apply(1, events)
		if err := l.usable(); err != nil {
			t.Fatal(err)
		}
		x := l.survey()
		for n, want := range []int{4, 4, 4, 4} { // the last are those without the first vector
			if got := x.views[n].slots().Len(); got != want {
				t.Errorf("table %d has %d points, want %d", n, got, want)
			}
		}
		x.end()
		if l.bytes.Load() == 0 || l.memory() <= l.bytes.Load() {
			t.Errorf("points take %d bytes of %d", l.bytes.Load(), l.memory())
		}
		for i := range events {
			events[i].Kind, events[i].Old = collection.EventDelete, events[i].Version
		}
		if l.Apply(2, events); l.bytes.Load() != 0 || len(l.places) != 0 {
			t.Errorf("%d bytes, %d places of no points", l.bytes.Load(), len(l.places))
		}
	}
}
