package sparse

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/hivehub/waggle/index"
)

// Documents over many windows, a fifth of them replaced, under every kind of
// filter: block maxima never lose a hit.
func TestManyDocumentsEqualModel(t *testing.T) {
	texts, embeddings := newCorpus(3), signed{rand.New(rand.NewPCG(3, 3))}
	for name, c := range map[string]struct {
		document func() Document
		query    func(rare bool) *Query
	}{
		"bm25": {texts.text, texts.query},
		"idf":  {texts.text, texts.query},
		"dot":  {embeddings.document, embeddings.query},
	} {
		t.Run(name, func(t *testing.T) {
			x, m := churned(t, scorings[name], 9_000, c.document)
			v := x.View()
			defer v.Release()
			for i := range 40 {
				q := c.query(i%2 == 0)
				q.K = []int{1, 10, 100, 9_000}[i%4]
				q.Allow = allowPart(texts.r, int(v.Slots()), []float64{2, 1, 0.5, 0.01, 0.001}[i/4%5])
				if err := m.checkSearch(v, q); err != nil {
					t.Fatalf("query %d: %v", i, err)
				}
			}
		})
	}
}

// churned returns an index after n inserts and a removal for every fifth.
func churned(t *testing.T, scoring Scoring, n uint64, document func() Document) (*Index, *model) {
	x, m := New(scoring), &model{scoring, map[uint32]labelled{}}
	for label := range n {
		d := document()
		m.docs[mustAdd(t, x, label, d)] = labelled{label, d}
		if old := uint32(label / 3); label%5 == 4 {
			if _, ok := m.docs[old]; ok {
				x.Remove(old)
				delete(m.docs, old)
			}
		}
		if label%100 == 0 {
			x.Publish()
		}
	}
	x.Publish()
	return x, m
}

// signed makes sparse embeddings of values above and below zero.
type signed struct{ r *rand.Rand }

func (s signed) vector(n, among int) Vector {
	var v Vector
	for term := range uint64(among) {
		if s.r.IntN(among) < n {
			v.Terms = append(v.Terms, term*term) // the first are near each other
			v.Values = append(v.Values, float32(s.r.NormFloat64()*math.Exp(s.r.NormFloat64())))
		}
	}
	return v
}

func (s signed) document() Document { return Document{Vector: s.vector(15, 120)} }

func (s signed) query(few bool) *Query {
	if few {
		return &Query{Vector: s.vector(2, 120)}
	}
	return &Query{Vector: s.vector(10, 120)}
}

// allowPart allows each of n slots with a probability; past 1 it is no filter.
func allowPart(r *rand.Rand, n int, part float64) []uint64 {
	if part > 1 {
		return nil
	}
	allow := make([]uint64, (n+63)/64)
	for i := range n {
		if r.Float64() < part {
			allow[i/64] |= 1 << (i % 64)
		}
	}
	return allow
}

func TestBadInput(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	long := Vector{make([]uint64, TermsMax+1), slices.Repeat([]float32{1}, TermsMax+1)}
	for i := range long.Terms {
		long.Terms[i] = uint64(i)
	}
	part := func(n int) Vector { return Vector{long.Terms[:n], long.Values[:n]} }
	x := New(Scoring{Kind: Dot})
	for name, c := range map[string]struct {
		v               Vector
		add, search, bm error
	}{
		"empty":             {Vector{}, nil, nil, nil},
		"one":               {Vector{[]uint64{7}, []float32{1}}, nil, nil, nil},
		"ends":              {Vector{[]uint64{0, math.MaxUint64}, []float32{1, 1}}, nil, nil, nil},
		"no values":         {Vector{[]uint64{7}, nil}, ErrLengths, ErrLengths, ErrLengths},
		"no terms":          {Vector{nil, []float32{1}}, ErrLengths, ErrLengths, ErrLengths},
		"unsorted":          {Vector{[]uint64{2, 1}, []float32{1, 1}}, ErrUnsorted, ErrUnsorted, ErrUnsorted},
		"duplicate":         {Vector{[]uint64{2, 2}, []float32{1, 1}}, ErrDuplicate, ErrDuplicate, ErrDuplicate},
		"NaN":               {Vector{[]uint64{2}, []float32{nan}}, ErrNotFinite, ErrNotFinite, ErrNotFinite},
		"infinite":          {Vector{[]uint64{2}, []float32{inf}}, ErrNotFinite, ErrNotFinite, ErrNotFinite},
		"-infinite":         {Vector{[]uint64{2}, []float32{-inf}}, ErrNotFinite, ErrNotFinite, ErrNotFinite},
		"zero":              {Vector{[]uint64{2}, []float32{0}}, nil, nil, ErrFrequency},
		"negative":          {Vector{[]uint64{2}, []float32{-1}}, nil, nil, ErrFrequency},
		"query limit":       {part(QueryTermsMax), nil, nil, nil},
		"past query limit":  {part(QueryTermsMax + 1), nil, ErrTooManyTerms, nil},
		"document limit":    {part(TermsMax), nil, ErrTooManyTerms, nil},
		"past the document": {long, ErrTooManyTerms, ErrTooManyTerms, ErrTooManyTerms},
	} {
		if _, err := x.Add(1, Document{Vector: c.v}); !errors.Is(err, c.add) {
			t.Errorf("%s: Add: %v, want %v", name, err, c.add)
		}
		if _, err := New(scorings["bm25"]).Add(1, Document{Vector: c.v}); !errors.Is(err, c.bm) {
			t.Errorf("%s: Add to BM25: %v, want %v", name, err, c.bm)
		}
		v := x.View()
		if hits, err := v.Search(context.Background(), &Query{Vector: c.v, K: 3}, nil); !errors.Is(err, c.search) || len(hits) > 0 {
			t.Errorf("%s: Search: %d hits, %v, want %v", name, len(hits), err, c.search)
		}
		v.Release()
	}
	if x.now.live != 8 {
		t.Errorf("%d documents after the good ones of them", x.now.live)
	}
}

func TestSort(t *testing.T) {
	v := Vector{[]uint64{3, 1, 2}, []float32{30, 10, 20}}
	if err := v.Sort(); err != nil || !slices.Equal(v.Terms, []uint64{1, 2, 3}) || !slices.Equal(v.Values, []float32{10, 20, 30}) {
		t.Errorf("%v, %v", v, err)
	}
	if err := (Vector{Terms: []uint64{1}}).Sort(); !errors.Is(err, ErrLengths) {
		t.Errorf("Sort without values: %v", err)
	}
}

func TestTiesGoByLabel(t *testing.T) {
	x := New(Scoring{Kind: IDF})
	const n = 3 * chunkSlots
	r := rand.New(rand.NewPCG(1, 1))
	for _, label := range r.Perm(n) {
		mustAdd(t, x, uint64(label), document(5, 1))
	}
	x.Publish()
	v := x.View()
	defer v.Release()
	for _, k := range []int{1, 7, 500} {
		for i, h := range mustSearch(t, v, &Query{Vector: document(5, 1).Vector, K: k}) {
			if h.Label != uint64(i) {
				t.Fatalf("k %d: hit %d has label %d", k, i, h.Label)
			}
		}
	}
}

// Scores past float32 are cut off there, and a sum of huge and tiny values
// orders as it should.
func TestHugeValues(t *testing.T) {
	const huge = math.MaxFloat32
	x := New(Scoring{Kind: Dot})
	mustAdd(t, x, 1, document(1, huge))
	mustAdd(t, x, 2, document(1, -huge))
	mustAdd(t, x, 3, Document{Vector: Vector{[]uint64{1, 2}, []float32{huge, -huge}}})
	x.Publish()
	v := x.View()
	defer v.Release()
	for k := 1; k <= 3; k++ {
		hits := mustSearch(t, v, &Query{Vector: Vector{[]uint64{1, 2}, []float32{huge, huge}}, K: k})
		want := []index.Hit{{Label: 1, Slot: 0, Distance: -huge}, {Label: 3, Slot: 2}, {Label: 2, Slot: 1, Distance: huge}}
		if !slices.Equal(hits, want[:k]) {
			t.Errorf("k %d: %v", k, hits)
		}
	}
}

func TestContext(t *testing.T) {
	x := New(Scoring{Kind: Dot})
	for label := range uint64(5 * chunkSlots) {
		mustAdd(t, x, label, document(1, 1))
	}
	x.Publish()
	v := x.View()
	defer v.Release()
	q := &Query{Vector: document(1, 1).Vector, K: 6 * chunkSlots}
	for n := 1; n <= 5; n++ {
		ctx := &countingContext{Context: context.Background(), cancelAt: n}
		if hits, err := v.Search(ctx, q, nil); !errors.Is(err, context.Canceled) || len(hits) != 0 {
			t.Errorf("cancelled at look %d: %d hits, %v", n, len(hits), err)
		}
	}
}

// countingContext is cancelled from the n-th look at it on.
type countingContext struct {
	context.Context
	looks, cancelAt int
}

func (c *countingContext) Err() error {
	if c.looks++; c.looks >= c.cancelAt {
		return context.Canceled
	}
	return nil
}

func TestMisusePanics(t *testing.T) {
	x := New(Scoring{Kind: Dot})
	slot := mustAdd(t, x, 1, document(1, 1))
	x.Publish()
	v := x.View()
	v.Release()
	v.Release()
	x.Remove(slot)
	for name, misuse := range map[string]func(){
		"second Remove":          func() { x.Remove(slot) },
		"Remove past the end":    func() { x.Remove(slot + 1) },
		"Search after a Release": func() { _, _ = v.Search(context.Background(), &Query{K: 1}, nil) },
		"no scoring":             func() { New(Scoring{}) },
		"k1 below 0":             func() { New(Scoring{Kind: BM25, K1: -1}) },
		"k1 too high":            func() { New(Scoring{Kind: BM25, K1: 1001}) },
		"k1 no number":           func() { New(Scoring{Kind: BM25, K1: math.NaN()}) },
		"b above 1":              func() { New(Scoring{Kind: BM25, B: 1.1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			misuse()
		}()
	}
}

func TestBytesFollowTheHeap(t *testing.T) {
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	v := filled(t, 30_000)
	v.Release()
	got, want := float64(v.index.Bytes()), heap()-before
	runtime.KeepAlive(v)
	if got < want*0.7 || got > want*1.3 {
		t.Errorf("%.0f bytes, the heap grew by %.0f", got, want)
	}
}

// All is replaced again and again: lists, slots and terms do not pile up.
func TestReplacingKeepsTheSize(t *testing.T) {
	const n = 1500
	x, c := New(scorings["bm25"]), newCorpus(5)
	slots := make([]uint32, n)
	replace := func() int64 {
		for i := range slots {
			if x.now.live == n {
				x.Remove(slots[i])
			}
			slots[i] = mustAdd(t, x, uint64(i), c.text())
			x.Publish()
		}
		return x.Bytes()
	}
	first := replace()
	for range 5 {
		if again := replace(); again > first*5/4 || x.now.slots > n+1 {
			t.Fatalf("%d bytes in %d slots, at first %d", again, x.now.slots, first)
		}
	}
	blocks, postings := 0, 0
	x.now.terms.Scan(func(_ uint64, list ref) bool {
		if list.count > blockSize {
			postings += int(list.count)
			blocks += len(list.appendBlocks(nil))
		}
		return true
	})
	if postings < blocks*blockSize/2 {
		t.Errorf("%d postings of long lists in %d blocks", postings, blocks)
	}
	for _, slot := range slots {
		x.Remove(slot)
	}
	if x.now.terms.Len() != 0 || x.now.length != 0 || x.postings != 0 {
		t.Errorf("all removed: %d terms, length %d, %d postings", x.now.terms.Len(), x.now.length, x.postings)
	}
}

func document(term uint64, value float32) Document {
	return Document{Vector: Vector{[]uint64{term}, []float32{value}}, Length: 1}
}

func mustAdd(tb testing.TB, x *Index, label uint64, d Document) uint32 {
	tb.Helper()
	slot, err := x.Add(label, d)
	if err != nil {
		tb.Fatalf("Add(%d): %v", label, err)
	}
	return slot
}

func mustSearch(tb testing.TB, v *View, q *Query) []index.Hit {
	tb.Helper()
	hits, err := v.Search(context.Background(), q, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return hits
}

// Visible says of 64 slots what Label says of each.
func TestVisible(t *testing.T) {
	x := New(Scoring{Kind: Dot})
	for i := range uint64(3*64 + 5) {
		if _, err := x.Add(i, Document{}); err != nil {
			t.Fatal(err)
		}
	}
	x.Publish()
	before := x.View()
	defer before.Release()
	for slot := uint32(0); slot < 150; slot += 3 {
		x.Remove(slot)
	}
	x.Publish()
	after := x.View()
	defer after.Release()
	for _, v := range []*View{before, after} {
		for first := uint32(0); first < v.Slots()+128; first += 64 {
			word := v.Visible(first)
			for i := range uint32(64) {
				if _, ok := v.Label(first + i); ok != (word>>i&1 == 1) {
					t.Fatalf("slot %d: %v, %b", first+i, ok, word)
				}
			}
		}
	}
}
