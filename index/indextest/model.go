package indextest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hivehub/waggle/index"
)

// testModel runs random sequences of calls against an index and a map.
func testModel(t *testing.T, maker Maker, metric index.Metric) {
	rapid.Check(t, func(t *rapid.T) {
		dim := rapid.SampledFrom([]int{1, 2, 5, 16, 70}).Draw(t, "dim")
		m := &model{
			x: maker(dim, metric), dim: dim, metric: metric,
			pending: contents{}, published: contents{}, label: 1,
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"add":     m.add,
			"remove":  m.remove,
			"replace": m.replace,
			"publish": m.publish,
			"view":    m.view,
			"search":  m.search,
			"release": m.release,
		})
	})
}

type model struct {
	x                  index.Index
	dim                int
	metric             index.Metric
	pending, published contents
	label              uint64
	views              []modelView
}

type modelView struct {
	index.View
	contents
}

// add adds a burst, so that the index grows past its first chunks.
func (m *model) add(t *rapid.T) {
	for range rapid.IntRange(1, 100).Draw(t, "vectors") {
		m.addOne(t)
	}
}

func (m *model) addOne(t *rapid.T) {
	v := m.vector(t)
	slot, err := m.x.Add(m.label, v)
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	if _, taken := m.pending[slot]; taken {
		t.Fatalf("Add returned slot %d, which holds a vector", slot)
	}
	if _, taken := m.published[slot]; taken {
		t.Fatalf("Add returned slot %d, which new views show", slot)
	}
	for _, v := range m.views {
		if _, taken := v.contents[slot]; taken {
			t.Fatalf("Add returned slot %d, which a live view shows", slot)
		}
	}
	m.pending[slot] = entry{m.label, v}
	m.label++
}

func (m *model) remove(t *rapid.T) {
	for range rapid.IntRange(1, 60).Draw(t, "vectors") {
		if len(m.pending) == 0 {
			return
		}
		slot := m.slot(t)
		m.x.Remove(slot)
		delete(m.pending, slot)
	}
}

func (m *model) replace(t *rapid.T) {
	if len(m.pending) == 0 {
		return
	}
	slot := m.slot(t)
	m.x.Remove(slot)
	delete(m.pending, slot)
	m.addOne(t)
}

func (m *model) publish(*rapid.T) {
	m.x.Publish()
	m.published = maps.Clone(m.pending)
}

func (m *model) view(t *rapid.T) {
	if len(m.views) == 8 {
		return
	}
	m.views = append(m.views, modelView{m.x.View(), m.published})
}

func (m *model) release(t *rapid.T) {
	if len(m.views) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.views)-1).Draw(t, "view")
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		m.views[i].Release()
	}
	m.views = slices.Delete(m.views, i, i+1)
}

func (m *model) search(t *rapid.T) {
	if len(m.views) == 0 {
		return
	}
	v := rapid.SampledFrom(m.views).Draw(t, "view")
	q := index.Query{Vector: m.vector(t), K: rapid.IntRange(0, 2*len(v.contents)+1).Draw(t, "k")}
	if rapid.Bool().Draw(t, "filtered") {
		one := rapid.SampledFrom([]int{1, 2, 7, 64}).Draw(t, "one in")
		r := random(t)
		q.Allow = bitmap(rapid.IntRange(0, int(v.Slots()/64)+2).Draw(t, "words"), func(int) bool { return r.IntN(one) == 0 })
	}
	checkSearch(t, v.View, v.contents, m.metric, q)
}

// check runs after every action.
func (m *model) check(t *rapid.T) {
	for _, v := range m.views {
		checkView(t, v.View, v.contents)
	}
}

// vector draws few different values, so that distances are often equal.
func (m *model) vector(t *rapid.T) []float32 {
	r := random(t)
	v := make([]float32, m.dim)
	for i := range v {
		v[i] = float32(r.IntN(5) - 2)
	}
	return v
}

// slot draws a slot that holds a vector.
func (m *model) slot(t *rapid.T) uint32 {
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m.pending))).Draw(t, "slot")
}

func random(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
}
