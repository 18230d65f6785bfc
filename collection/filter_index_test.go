package collection

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/hivehub/waggle/index"
	"github.com/hivehub/waggle/index/filter"
)

// indexed is a FilterIndex and the points in it.
type indexed struct {
	*FilterIndex
	seenView
	config Config
	rows   []Row
}

// seenView is a view of the slots in a bitmap.
type seenView struct {
	index.View
	seen []uint64
}

func (v seenView) Slots() uint32               { return uint32(64 * len(v.seen)) }
func (v seenView) Visible(first uint32) uint64 { return v.seen[first/64] }

// only takes from a selection what the view does not see.
func (v seenView) only(s Selected) Selected {
	for i := range s.Slots {
		s.Slots[i] &= v.seen[i]
	}
	return s
}

func newIndexed(o filter.Options, slots int) *indexed {
	return &indexed{NewFilterIndex(o), seenView{seen: make([]uint64, (slots+63)/64)}, testConfig(), make([]Row, slots)}
}

func (x *indexed) row(slot uint32) Row { return x.rows[slot] }

// put fills a slot with another point.
func (x *indexed) put(tb testing.TB, slot uint32, id PointID, p Payload) {
	payload, err := AppendPayload(nil, p)
	if err != nil {
		tb.Fatal(err)
	}
	x.Remove(slot, x.rows[slot].ID, x.rows[slot].Payload)
	x.rows[slot] = Row{ID: id, Payload: payload, Vectors: 1}
	x.Add(slot, id, payload)
	x.seen[slot/64] |= 1 << (slot % 64)
}

// hide removes a slot's point as far as views are concerned.
func (x *indexed) hide(slot uint32) { x.seen[slot/64] &^= 1 << (slot % 64) }

func (x *indexed) selects(tb testing.TB, f *Filter) Selected {
	s, err := x.Select(context.Background(), f, x.config, x, x.row)
	if err != nil {
		tb.Fatal(err)
	}
	return x.only(s)
}

// What the index selects is what a scan selects, whatever is replaced and
// removed, and whatever did not fit into the index.
func TestSelectMeansTheSameAsAScan(t *testing.T) {
	const slots = 150
	for name, o := range map[string]filter.Options{
		"all": {}, "few fields": {FieldsMax: 3}, "little memory": {BytesMax: 24 << 10}, "short texts": {TextMax: 3},
	} {
		rng := rand.New(rand.NewPCG(*filterSeed, 1))
		x := newIndexed(o, slots)
		named := name == "few fields"
		if named {
			x.config = filteredConfig
		}
		asked, unclear := 0, 0
		for n := range 1_500 {
			slot := uint32(rng.IntN(slots))
			if rng.IntN(4) == 0 {
				x.hide(slot)
			} else {
				x.put(t, slot, NumID(rng.Uint64N(4)), randomPayload(rng))
				if named {
					x.rows[slot].Vectors = vectorsOf(randomVectors(rng))
				}
			}
			f := randomFilter(rng, 3)
			got := x.selects(t, f)
			if n%10 == 0 { // and so does one that knows nothing
				scan, err := (*FilterIndex)(nil).Select(t.Context(), f, x.config, x, x.row)
				if err != nil || !slices.Equal(x.only(scan).Slots, got.Slots) || scan.Asked != onesOf(x.seen) {
					t.Fatalf("%s, filter %d: a scan of %d points selects otherwise, error %v", name, n, scan.Asked, err)
				}
			}
			match := f.Compile(x.config)
			for slot := range uint32(slots) {
				id, payload := x.rows[slot].ID, x.rows[slot].Payload
				want := x.seen[slot/64]>>(slot%64)&1 == 1 && match.MatchesRecord(id, payload, x.rows[slot].Vectors)
				if have := got.Slots[slot/64]>>(slot%64)&1 == 1; have != want {
					p, _ := DecodePayload(payload)
					t.Fatalf("%s, seed %d, filter %d: selected %v, want %v\nfilter %s\npayload %s\nid %s",
						name, *filterSeed, n, have, want, shown(f), p.AppendJSON(nil), id)
				}
			}
			if asked += got.Asked; got.Asked > 0 {
				unclear++
			}
		}
		t.Logf("%s: %d points asked in %d of 1500 filters, %d bytes", name, asked, unclear, x.Bytes())
	}
}

// A point is asked only where no indexed condition says that it cannot pass.
func TestSelectAsksCandidatesOnly(t *testing.T) {
	const slots = 20_000
	x := newIndexed(filter.Options{}, slots)
	for slot := range uint32(slots) {
		x.put(t, slot, NumID(uint64(slot)), Payload{
			"n": int64(slot), "half": float64(slot) / 2, "kind": []string{"even", "odd"}[slot%2], "rare": slot%1000 == 7,
			"tags": []any{"all", []string{"x", "y", "z"}[slot%3]}, "place": map[string]any{"lon": 1.0, "lat": 1.0},
		})
	}
	near := `{"key":"place","geo_radius":{"center":{"lon":1,"lat":1},"radius":10}}`
	for _, c := range []struct {
		filter         string
		matches, asked int
	}{
		{`{}`, slots, 0},
		{`{"must":{"key":"kind","match":{"value":"odd"}}}`, slots / 2, 0},
		{`{"must":[{"key":"kind","match":{"value":"odd"}},{"key":"n","range":{"gte":100,"lt":300}}]}`, 100, 0},
		{`{"must":{"key":"half","range":{"gt":100.25,"lte":300}}}`, 400, 0},
		{`{"must_not":[{"key":"kind","match":{"value":"odd"}},{"key":"tags","match":{"any":["x"]}}]}`, slots / 3, 0},
		{`{"should":[{"key":"tags","match":{"value":"x"}},{"key":"tags","match":{"value":"z"}}]}`, 2 * slots / 3, 0},
		{`{"must":{"key":"missing","match":{"value":1}}}`, 0, 0},
		{`{"must":{"is_empty":{"key":"missing"}}}`, slots, 0},
		{`{"must":[` + near + `,{"key":"rare","match":{"value":true}}]}`, 20, 20},
		{`{"must":[` + near + `],"must_not":[{"key":"n","range":{"gte":50}}]}`, 50, 50},
		{`{"must":[{"has_id":[1,2,3,1000000]}]}`, 3, 3},
		{`{"must_not":[{"has_id":[1,2,3]}]}`, slots - 3, 3},
		{`{"must":[` + near + `]}`, slots, slots},
		{`{"must":[` + near + `],"should":[{"key":"n","match":{"value":5}},{"key":"n","match":{"value":500}}]}`, 2, 2},
		{`{"min_should":{"min_count":2,"conditions":[{"key":"rare","match":{"value":true}},{"key":"n","range":{"lt":500}},` + near + `]}}`, 519, 519},
	} {
		got := x.selects(t, filterOf(t, c.filter))
		if n := onesOf(got.Slots); n != c.matches {
			t.Errorf("%s: %d matches, want %d", c.filter, n, c.matches)
		}
		if got.Asked > c.asked {
			t.Errorf("%s: %d points asked, want at most %d", c.filter, got.Asked, c.asked)
		}
	}
}

func onesOf(bitmap []uint64) (n int) {
	for _, w := range bitmap {
		for ; w != 0; w &= w - 1 {
			n++
		}
	}
	return n
}

// Slots that a reader sees stay selected while others change.
func TestSelectBesideAWriter(t *testing.T) {
	const slots = 4_000
	x := newIndexed(filter.Options{}, slots)
	rng := rand.New(rand.NewPCG(3, 4))
	fresh := func() Payload { return Payload{"n": rng.Int64N(1000), "s": randomText(rng), "x": rng.Float64()} }
	for slot := range uint32(slots) {
		x.put(t, slot, NumID(uint64(slot)), fresh())
	}
	view := seenView{seen: make([]uint64, len(x.seen))} // of the even slots, which stay
	for i := range view.seen {
		view.seen[i] = 0x5555555555555555 & x.seen[i]
	}
	f := filterOf(t, `{"should":[{"key":"n","range":{"gte":100,"lt":700}},{"key":"x","range":{"gt":0.5}}],"must_not":[{"has_id":[2,4,6]}]}`)
	want, err := x.Select(t.Context(), f, x.config, view, x.row)
	if err != nil {
		t.Fatal(err)
	}
	matches := onesOf(view.only(want).Slots)
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for range 50 {
				got, err := x.Select(t.Context(), f, x.config, view, x.row)
				if n := onesOf(view.only(got).Slots); err != nil || n != matches {
					t.Errorf("%d slots, want %d, error %v", n, matches, err)
					return
				}
			}
		})
	}
	for range 10_000 {
		slot := uint32(rng.IntN(slots/2))*2 + 1
		x.put(t, slot, NumID(uint64(slot)), fresh())
	}
	readers.Wait()
}

func TestSelectLooksAtItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x := newIndexed(filter.Options{}, 2_000)
	for slot := range uint32(2_000) {
		x.put(t, slot, NumID(1), Payload{"a": map[string]any{}})
	}
	for _, f := range []string{`{}`, `{"must":{"key":"a.b","match":{"value":1}}}`} {
		if _, err := x.Select(ctx, filterOf(t, f), x.config, x, x.row); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", f, err)
		}
	}
}

// What is no payload does no harm, and leaves no trace.
func FuzzFilterIndexRow(f *testing.F) {
	rng := rand.New(rand.NewPCG(8, 9))
	for range 20 {
		b, err := AppendPayload(nil, randomPayload(rng))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		x := NewFilterIndex(filter.Options{FieldsMax: 1 << 20})
		empty := x.Bytes()
		x.Add(3, NumID(1), payload)
		x.Remove(3, NumID(1), payload)
		if got := x.Bytes(); got != empty && len(payload) < 128 { // a name that is too long closes the index
			t.Fatalf("%x: %d bytes left, were %d", payload, got, empty)
		}
	})
}
