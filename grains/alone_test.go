package grains

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/hnsw"
)

// A point that has nothing but its collection's first dense vector takes no more
// memory than in a collection that has nothing else either, and is found, shown,
// told from others by has_vector and deleted like them.
func TestPointsWithOneVectorTakeNoMore(t *testing.T) {
	config := collection.Config{
		Vectors: []collection.VectorParams{{Size: 2, Distance: collection.Euclid}},
		Sparse:  []collection.SparseParams{{Name: "s"}}, Text: []collection.TextParams{collection.DefaultText()},
	}
	l := newLiveIndex(collection.Info{Name: "c", Config: config}, "", func(*liveIndex) {})
	l.tables[0].dense = hnsw.New(2, index.L2, hnsw.Options{EfSearch: efSearchDefault})
	l.loading = false
	sparse := collection.NamedVector{Name: "s", Sparse: &collection.SparseVector{Indices: []uint32{1}, Values: []float32{1}}}
	var points []collection.Point
	for i := range uint64(40) {
		p := collection.Point{ID: collection.NumID(i), Payload: collection.Payload{"n": int64(i)}, Vector: []float32{float32(i), 0}}
		if i%4 == 1 {
			p.Vectors = []collection.NamedVector{sparse}
		}
		if i%4 == 2 {
			p.Vector = nil
		}
		points = append(points, p)
	}
	put := func(version uint64, old []uint64, points ...collection.Point) {
		t.Helper()
		events := make([]collection.Event, len(points))
		for i, p := range points {
			op, err := collection.Finalize(l.info, collection.Write{Upsert: []collection.Point{p}}, collection.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			rec := op.(collection.Upsert).Records[0]
			events[i] = collection.Event{Kind: collection.EventUpsert, ID: p.ID, Version: version + uint64(i), Record: rec.Bytes()}
			if old != nil {
				events[i].Old = old[i]
			}
		}
		l.Apply(version, events)
		if err := l.usable(); err != nil {
			t.Fatal(err)
		}
	}
	found := func(filter string) string {
		t.Helper()
		hits, err := l.search(t.Context(), &collection.Query{
			Limit: 99, Filter: mustFilter(t, filter), WithVector: collection.VectorSelector{All: true},
		}, []float32{0, 0})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(hits, func(a, b collection.Hit) int { return a.ID.Compare(b.ID) })
		var text strings.Builder
		for _, h := range hits {
			fmt.Fprint(&text, " ", h.ID, h.Vector, len(h.Vectors))
		}
		return text.String()
	}
	one := func(i uint64) *spread { p := l.places[1<<16+i]; return l.tables[p.table].row(p.slot).spread }
	put(1<<16, nil, points...)
	for i := range uint64(40) {
		if alone := i%4 == 0 || i%4 == 3; (one(i) == nil) != alone {
			t.Errorf("point %d: alone %v, spread %v", i, alone, one(i))
		}
	}
	want := ""
	for i := range 40 {
		if i%4 == 1 {
			want += fmt.Sprint(" ", i, []float32{float32(i), 0}, 1)
		}
	}
	if got := found(`{"must":[{"has_vector":"s"},{"has_vector":""}]}`); got != want {
		t.Errorf("with s:%s, want%s", got, want)
	}
	want = ""
	for i := range 40 {
		if i%4 == 0 || i%4 == 3 {
			want += fmt.Sprint(" ", i, []float32{float32(i), 0}, 0)
		}
	}
	if got := found(`{"must":[{"has_vector":""}],"must_not":[{"has_vector":"s"}]}`); got != want {
		t.Errorf("without s:%s, want%s", got, want)
	}
	// A point may come to be in one table, and no longer be.
	bytes := l.bytes.Load()
	swapped := []collection.Point{
		{ID: collection.NumID(0), Vector: []float32{0, 0}, Payload: points[0].Payload, Vectors: points[1].Vectors},
		{ID: collection.NumID(1), Vector: []float32{1, 0}, Payload: points[1].Payload},
	}
	put(2<<16, []uint64{1 << 16, 1<<16 + 1}, swapped...)
	if got := l.bytes.Load(); got != bytes {
		t.Errorf("%d bytes are counted, %d before", got, bytes)
	}
	if got := found(`{"must":[{"has_vector":"s"},{"has_id":[0,1]}]}`); got != " 0 [0 0] 1" {
		t.Errorf("with s:%s", got)
	}
	var gone []collection.Event
	for version := range l.places {
		gone = append(gone, collection.Event{Kind: collection.EventDelete, Old: version})
	}
	l.Apply(3<<16, gone)
	if got := l.bytes.Load(); got != 0 || found(`{"must_not":[{"has_id":[99]}]}`) != "" {
		t.Errorf("%d bytes of nothing", got)
	}
}
