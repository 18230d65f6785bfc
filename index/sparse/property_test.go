package sparse

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var scorings = map[string]Scoring{
	"dot":         {Kind: Dot},
	"idf":         {Kind: IDF},
	"bm25":        {Kind: BM25, K1: 1.2, B: 0.75},
	"bm25 k1 0":   {Kind: BM25, B: 0.5},
	"bm25 b 0":    {Kind: BM25, K1: 2},
	"bm25 strong": {Kind: BM25, K1: 5, B: 1},
}

// Random inserts, removals and calls of Publish; views are kept for a while,
// and each must equal the model of its moment whenever it is asked.
func TestEqualsModel(t *testing.T) {
	for name, scoring := range scorings {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := &machine{x: New(scoring), now: &model{scoring, map[uint32]labelled{}}}
				m.published = m.now.clone()
				t.Repeat(map[string]func(*rapid.T){
					"add":     m.add,
					"flood":   m.flood,
					"remove":  m.remove,
					"drain":   m.drain,
					"publish": m.publish,
					"view":    m.view,
					"release": m.release,
					"search":  m.search,
				})
			})
		})
	}
}

type machine struct {
	x         *Index
	now       *model
	published *model
	views     []*View
	models    []*model
	label     uint64
}

func (m *machine) add(t *rapid.T) {
	m.insert(t, drawDocument(t, m.now.scoring))
}

func (m *machine) insert(t *rapid.T, d Document) {
	m.label += 1 + m.label%3*7
	slot, err := m.x.Add(m.label, d)
	if err != nil {
		t.Fatal(err)
	}
	if _, taken := m.now.docs[slot]; taken {
		t.Fatalf("slot %d given out twice", slot)
	}
	for i, v := range m.views {
		if _, seen := m.models[i].docs[slot]; seen {
			t.Fatalf("slot %d reused under a view of %d documents", slot, v.Len())
		}
	}
	m.now.docs[slot] = labelled{m.label, d}
}

// flood adds many documents of few shapes: lists of several blocks.
func (m *machine) flood(t *rapid.T) {
	shapes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Document {
		return drawDocument(t, m.now.scoring)
	}), 1, 5).Draw(t, "shapes")
	for i := range rapid.IntRange(0, 700).Draw(t, "documents") {
		m.insert(t, shapes[(i*i+i/3)%len(shapes)])
	}
}

func (m *machine) remove(t *rapid.T) {
	slots := slices.Sorted(maps.Keys(m.now.docs))
	if len(slots) == 0 {
		return
	}
	slot := rapid.SampledFrom(slots).Draw(t, "slot")
	m.x.Remove(slot)
	delete(m.now.docs, slot)
}

// drain removes many documents.
func (m *machine) drain(t *rapid.T) {
	step := rapid.IntRange(1, 4).Draw(t, "step")
	for i, slot := range slices.Sorted(maps.Keys(m.now.docs)) {
		if i%step == 0 {
			m.x.Remove(slot)
			delete(m.now.docs, slot)
		}
	}
}

func (m *machine) publish(*rapid.T) {
	m.x.Publish()
	m.published = m.now.clone()
}

func (m *machine) view(*rapid.T) {
	m.views = append(m.views, m.x.View())
	m.models = append(m.models, m.published)
}

func (m *machine) release(t *rapid.T) {
	if len(m.views) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.views)-1).Draw(t, "view")
	m.views[i].Release()
	m.views, m.models = slices.Delete(m.views, i, i+1), slices.Delete(m.models, i, i+1)
}

func (m *machine) search(t *rapid.T) {
	q := drawQuery(t)
	for i, v := range m.views {
		if err := m.models[i].check(v, q); err != nil {
			t.Fatal(err)
		}
	}
	v := m.x.View()
	defer v.Release()
	if err := m.published.check(v, q); err != nil {
		t.Fatal(err)
	}
}

func drawVector(t *rapid.T, values *rapid.Generator[float32]) Vector {
	terms := rapid.SliceOfNDistinct(rapid.Uint64Range(0, 12), 0, 8, rapid.ID).Draw(t, "terms")
	slices.Sort(terms)
	return Vector{terms, rapid.SliceOfN(values, len(terms), len(terms)).Draw(t, "values")}
}

// drawDocument draws values that often tie.
func drawDocument(t *rapid.T, s Scoring) Document {
	values := rapid.OneOf(
		rapid.Map(rapid.IntRange(-2, 3), func(i int) float32 { return float32(i) }),
		rapid.Float32Range(-1, 4),
	)
	if s.Kind == BM25 {
		values = rapid.OneOf(
			rapid.Map(rapid.IntRange(1, 5), func(i int) float32 { return float32(i) }),
			rapid.Float32Range(0.1, 50),
		)
	}
	return Document{drawVector(t, values), rapid.Uint32Range(0, 40).Draw(t, "length")}
}

func drawQuery(t *rapid.T) *Query {
	values := rapid.OneOf(
		rapid.Just(float32(1)),
		rapid.Float32Range(0, 3),
		rapid.Float32Range(-2, 2),
	)
	q := &Query{Vector: drawVector(t, values), K: rapid.SampledFrom([]int{-1, 0, 1, 2, 3, 10, 50, 10_000}).Draw(t, "k")}
	switch rapid.IntRange(0, 5).Draw(t, "filter") {
	case 0:
		q.Allow = rapid.SliceOfN(rapid.Uint64(), 0, 40).Draw(t, "allow")
	case 1: // few
		q.Allow = make([]uint64, 40)
		for range rapid.IntRange(0, 5).Draw(t, "few") {
			slot := rapid.IntRange(0, 64*len(q.Allow)-1).Draw(t, "allowed")
			q.Allow[slot/64] |= 1 << (slot % 64)
		}
	}
	return q
}

// What bounds a posting is never below its score, at any size of number and
// any average length.
func TestBoundHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(slices.Collect(maps.Values(scorings))).Draw(t, "scoring")
		values := rapid.Float32Range(-math.MaxFloat32, math.MaxFloat32)
		if s.Kind == BM25 {
			values = rapid.Float32Range(math.SmallestNonzeroFloat32, math.MaxFloat32)
		}
		value, length := values.Draw(t, "value"), rapid.Uint32().Draw(t, "length")
		other := s.extent(values.Draw(t, "other"), rapid.Uint32().Draw(t, "its length"))
		live := rapid.IntRange(1, 1<<32).Draw(t, "live")
		sc := s.at(&state{live: live, length: rapid.Uint64().Draw(t, "lengths")})
		weight := sc.weight(rapid.Float32().Draw(t, "weight"), uint32(rapid.IntRange(1, min(live, math.MaxUint32)).Draw(t, "having")))
		score, bound := sc.score(weight, value, length), sc.bound(weight, s.extent(value, length).with(other))
		if math.IsNaN(score) || math.IsInf(score, 0) || !(bound >= score*(1-1e-9)) {
			t.Fatalf("score %g, bound %g", score, bound)
		}
	})
}
