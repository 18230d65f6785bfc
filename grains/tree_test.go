package grains_test

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/index/fusion"
)

// treeConfig is a collection of several vectors.
func treeConfig() collection.Config {
	return collection.Config{
		Vectors: []collection.VectorParams{
			{Name: "near", Size: 6, Distance: collection.Euclid},
			{Name: "", Size: 4, Distance: collection.Cosine},
		},
		Sparse: []collection.SparseParams{{Name: "words"}},
	}
}

// treeModel is the collection as a list, searched by going through it.
type treeModel struct {
	kit        *kit
	collection string
	config     collection.Config
	points     map[uint64]collection.Point
	writes     map[uint64]uint64 // by id: how many came before it, which orders equal scores
	written    uint64
}

func (m *treeModel) draw(rng *rand.Rand, using string) collection.Input {
	if using == "words" {
		v := collection.SparseVector{}
		for i := range uint32(12) {
			if rng.IntN(3) == 0 {
				v.Indices, v.Values = append(v.Indices, i*7), append(v.Values, float32(rng.NormFloat64()))
			}
		}
		if len(v.Indices) == 0 {
			v.Indices, v.Values = []uint32{3}, []float32{1}
		}
		return collection.Input{Sparse: &v}
	}
	ref, _ := m.config.Ref(using)
	v := make([]float32, m.config.Vectors[ref.Number].Size)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return collection.Input{Dense: v}
}

// point draws a point that has some of the vectors.
func (m *treeModel) point(rng *rand.Rand, id uint64) collection.Point {
	p := collection.Point{ID: collection.NumID(id), Payload: collection.Payload{"n": rng.Int64N(100)}}
	for _, using := range []string{"near", "", "words"} {
		if rng.IntN(5) == 0 {
			continue
		}
		in := m.draw(rng, using)
		if using == "" {
			p.Vector = in.Dense
			continue
		}
		p.Vectors = append(p.Vectors, collection.NamedVector{Name: using, Dense: in.Dense, Sparse: in.Sparse})
	}
	return p
}

// keep notes a point that was written.
func (m *treeModel) keep(p collection.Point) {
	n, _ := p.ID.Num()
	m.points[n] = p
	m.written++
	m.writes[n] = m.written
}

// vector is a point's vector as it is compared.
func (m *treeModel) vector(p collection.Point, using string) (collection.Input, bool) {
	in, has := collection.Input{}, false
	if using == "" {
		in.Dense, has = p.Vector, p.Vector != nil
	}
	for _, v := range p.Vectors {
		if v.Name == using {
			in, has = collection.Input{Dense: v.Dense, Sparse: v.Sparse}, true
		}
	}
	if !has {
		return in, false
	}
	in, _, err := m.config.Prepare(using, in)
	return in, err == nil
}

type treeHit struct {
	id    uint64
	score float64
}

// likeness is the larger the nearer; shared says whether sparse vectors have a
// component in common.
func likeness(d collection.Distance, a, b collection.Input) (s float64, shared bool) {
	if a.Sparse != nil {
		for i, x := range a.Sparse.Indices {
			if j, ok := slices.BinarySearch(b.Sparse.Indices, x); ok {
				s, shared = s+float64(a.Sparse.Values[i])*float64(b.Sparse.Values[j]), true
			}
		}
		return s, shared
	}
	for i := range a.Dense {
		if diff := float64(a.Dense[i]) - float64(b.Dense[i]); d == collection.Euclid {
			s -= diff * diff
		} else {
			s += float64(a.Dense[i]) * float64(b.Dense[i])
		}
	}
	return s, true
}

func (m *treeModel) distance(using string) collection.Distance {
	ref, _ := m.config.Ref(using)
	return m.config.Distance(ref)
}

// resolve makes the query's input a vector, and notes ids that were named.
func (m *treeModel) resolve(q *collection.Query, named map[uint64]bool) collection.Input {
	one := func(in collection.Input) (collection.Input, bool) {
		if in.ID == nil {
			return in, true
		}
		n, _ := in.ID.Num()
		named[n] = true
		return m.vector(m.points[n], q.Using)
	}
	var in collection.Input
	if q.Nearest != nil {
		in, _ = one(*q.Nearest)
	} else {
		var lists [2][]collection.Input
		for i, list := range [][]collection.Input{q.Recommend.Positive, q.Recommend.Negative} {
			for _, e := range list {
				if v, ok := one(e); ok {
					lists[i] = append(lists[i], v)
				}
			}
		}
		in, _ = collection.Average(lists[0], lists[1])
	}
	in, _, _ = m.config.Prepare(q.Using, in)
	return in
}

func (m *treeModel) name(q *collection.Query, named map[uint64]bool) {
	if q.Nearest != nil || q.Recommend != nil {
		m.resolve(q, named)
	}
	for i := range q.Prefetch {
		m.name(&q.Prefetch[i], named)
	}
}

func limitOf(f *collection.Filter) int64 {
	return int64(*f.Must[0].(collection.Field).Is.(collection.Range).LT)
}

// run answers a query by going through all points. below bounds "n".
func (m *treeModel) run(q *collection.Query, below int64, named map[uint64]bool, k int) []treeHit {
	if q.Filter != nil {
		below = min(below, limitOf(q.Filter))
	}
	passes := func(id uint64) bool { return !named[id] && m.points[id].Payload["n"].(int64) < below }
	var lists [][]treeHit
	among := map[uint64]bool{}
	for i := range q.Prefetch {
		lists = append(lists, m.run(&q.Prefetch[i], below, named, q.Prefetch[i].Limit))
		for _, h := range lists[i] {
			among[h.id] = true
		}
	}
	var out []treeHit
	if q.Fusion != nil {
		return m.fuse(q, lists, k)
	}
	if q.Nearest == nil && q.Recommend == nil {
		for id := range m.points {
			if passes(id) {
				out = append(out, treeHit{id, 1})
			}
		}
		slices.SortFunc(out, func(a, b treeHit) int { return cmp.Compare(a.id, b.id) })
		return out[:min(k, len(out))]
	}
	in, d := m.resolve(q, map[uint64]bool{}), m.distance(q.Using)
	for id, p := range m.points {
		v, has := m.vector(p, q.Using)
		if !has || !passes(id) || len(q.Prefetch) > 0 && !among[id] {
			continue
		}
		if s, shared := likeness(d, in, v); shared {
			out = append(out, treeHit{id, s})
		}
	}
	slices.SortFunc(out, func(a, b treeHit) int { return cmp.Compare(b.score, a.score) })
	for i := range out {
		if d == collection.Euclid {
			out[i].score = math.Sqrt(-out[i].score)
		}
		if q.ScoreThreshold != nil && !d.Passes(float32(out[i].score), *q.ScoreThreshold) {
			out = out[:i]
			break
		}
	}
	if q.MMR == nil {
		return out[:min(k, len(out))]
	}
	n := q.MMR.Candidates
	if n == 0 {
		n = q.Limit
	}
	return m.mmr(q, in, out[:min(n, len(out))], k)
}

func (m *treeModel) mmr(q *collection.Query, in collection.Input, from []treeHit, k int) (out []treeHit) {
	d, from := m.distance(q.Using), slices.Clone(from)
	vector := func(h treeHit) collection.Input { v, _ := m.vector(m.points[h.id], q.Using); return v }
	for len(from) > 0 && len(out) < k {
		best, most := 0, math.Inf(-1)
		for i, h := range from {
			worth, _ := likeness(d, in, vector(h))
			if len(out) > 0 {
				alike := math.Inf(-1)
				for _, o := range out {
					s, _ := likeness(d, vector(h), vector(o))
					alike = max(alike, s)
				}
				worth = (1-float64(q.MMR.Diversity))*worth - float64(q.MMR.Diversity)*alike
			}
			if worth > most {
				best, most = i, worth
			}
		}
		out = append(out, from[best])
		from = slices.Delete(from, best, best+1)
	}
	return out
}

func (m *treeModel) writtenAs(write uint64) uint64 {
	for id, w := range m.writes {
		if w == write {
			return id
		}
	}
	return 0
}

func (m *treeModel) fuse(q *collection.Query, lists [][]treeHit, k int) (out []treeHit) {
	in := make([][]fusion.Hit, len(lists))
	for i, list := range lists {
		for _, h := range list {
			if p := &q.Prefetch[i]; p.Fusion == nil && (p.Nearest != nil || p.Recommend != nil) && m.distance(p.Using) == collection.Euclid {
				h.score = -h.score
			}
			in[i] = append(in[i], fusion.Hit{Label: m.writes[h.id], Score: h.score})
		}
	}
	fused := fusion.DBSF(in...)
	if q.Fusion.Kind == collection.FusionRRF {
		fused, _ = fusion.RRF(q.Fusion.K, q.Fusion.Weights, in...)
	}
	for _, h := range fused {
		if len(out) < k && (q.ScoreThreshold == nil || float32(h.Score) >= *q.ScoreThreshold) {
			out = append(out, treeHit{m.writtenAs(h.Label), h.Score})
		}
	}
	return out
}

// query draws a query, of up to so many levels.
func (m *treeModel) query(rng *rand.Rand, depth int) collection.Query {
	q := collection.Query{Limit: 1 + rng.IntN(20), Using: []string{"near", "", "words"}[rng.IntN(3)]}
	if rng.IntN(3) == 0 {
		most := float64(20 + rng.IntN(80))
		q.Filter = &collection.Filter{Must: []collection.Condition{collection.Field{
			Key: mustPath("n"), Is: collection.Range{Bounds: collection.Bounds[float64]{LT: &most}},
		}}}
	}
	if depth > 0 {
		for range rng.IntN(4) {
			q.Prefetch = append(q.Prefetch, m.query(rng, depth-1))
		}
	}
	example := func() collection.Input {
		if rng.IntN(2) == 0 {
			return m.draw(rng, q.Using)
		}
		for {
			id := uint64(rng.IntN(len(m.points)))
			if _, has := m.vector(m.points[id], q.Using); has {
				return collection.Input{ID: new(m.points[id].ID)}
			}
		}
	}
	switch kind := rng.IntN(6); {
	case kind < 2 && len(q.Prefetch) > 0:
		q.Using = ""
		q.Fusion = &collection.Fusion{Kind: collection.FusionKind(1 + kind), K: 1 + rng.IntN(5)}
		if kind == 0 && rng.IntN(2) == 0 {
			for range q.Prefetch {
				q.Fusion.Weights = append(q.Fusion.Weights, rng.Float64())
			}
		}
	case kind == 2 && len(q.Prefetch) == 0:
		q.Using = "" // a list by ids
	case kind == 3:
		q.Recommend = &collection.Recommend{Positive: []collection.Input{example(), example()}}
		if rng.IntN(2) == 0 {
			q.Recommend.Negative = []collection.Input{example()}
		}
	default:
		q.Nearest = new(example())
		if rng.IntN(3) == 0 {
			q.MMR = &collection.MMR{Diversity: rng.Float32(), Candidates: rng.IntN(30)}
		}
	}
	if (q.Nearest != nil || q.Recommend != nil) && rng.IntN(4) == 0 {
		q.ScoreThreshold = new(float32(rng.NormFloat64() + 1))
	}
	return q
}

func mustPath(s string) collection.Path {
	p, err := collection.ParsePath(s)
	if err != nil {
		panic(err)
	}
	return p
}

// check compares an answer with the model's.
func (m *treeModel) check(t *testing.T, q collection.Query) {
	t.Helper()
	named := map[uint64]bool{}
	m.name(&q, named)
	want := m.run(&q, math.MaxInt64, named, q.Limit+q.Offset)
	want = want[min(q.Offset, len(want)):]
	got, err := m.kit.client.Query(context.Background(), m.kit.tenant, m.collection, q)
	if err != nil {
		t.Fatalf("%v\n%+v", err, q)
	}
	if len(got) != len(want) {
		t.Fatalf("%d hits, want %d: %v, want %v\n%+v", len(got), len(want), got, want, q)
	}
	ids := func(hits []treeHit, score float64) (ids []uint64) { // of a score, as equal ones come in any order
		for _, h := range hits {
			if math.Abs(h.score-score) <= 1e-4*(1+math.Abs(score)) {
				ids = append(ids, h.id)
			}
		}
		slices.Sort(ids)
		return ids
	}
	mine := make([]treeHit, len(got))
	for i, h := range got {
		mine[i].id, _ = h.ID.Num()
		mine[i].score = float64(h.Score)
	}
	for i := range want {
		if math.Abs(mine[i].score-want[i].score) > 1e-4*(1+math.Abs(want[i].score)) {
			t.Fatalf("hit %d: %v, want %v\n%+v", i, mine, want, q)
		}
		if same := ids(want, want[i].score); i < len(want)-1 && !slices.Equal(ids(mine, want[i].score), same) && !slices.Contains(same, want[len(want)-1].id) {
			t.Fatalf("hit %d: %v, want %v\n%+v", i, mine, want, q)
		}
	}
	for i, h := range got {
		p := m.points[mine[i].id]
		if q.WithPayload.All && h.Payload["n"] != p.Payload["n"] {
			t.Fatalf("payload of %s: %v, want %v", h.ID, h.Payload, p.Payload)
		}
		for _, using := range []string{"near", "", "words"} {
			wanted, has := m.vector(p, using)
			has = has && q.WithVector.Wants(using)
			back, hasBack := m.vector(collection.Point{Vector: h.Vector, Vectors: h.Vectors}, using)
			if has != hasBack || has && !alike(wanted, back) {
				t.Fatalf("vector %q of %s: %v, want %v", using, h.ID, back, wanted)
			}
		}
	}
}

func alike(a, b collection.Input) bool {
	if a.Sparse != nil {
		return b.Sparse != nil && slices.Equal(a.Sparse.Indices, b.Sparse.Indices) && slices.Equal(a.Sparse.Values, b.Sparse.Values)
	}
	return slices.EqualFunc(a.Dense, b.Dense, func(x, y float32) bool { return math.Abs(float64(x-y)) < 1e-6 })
}

// newTree makes the collection, which is empty.
func newTree(tb testing.TB, k *kit, name string) *treeModel {
	tb.Helper()
	m := &treeModel{kit: k, collection: name, config: treeConfig(), points: map[uint64]collection.Point{}, writes: map[uint64]uint64{}}
	if err := k.client.CreateCollection(tb.Context(), k.tenant, name, m.config, collection.ChangeOptions{}); err != nil {
		tb.Fatal(err)
	}
	return m
}

// write draws points and stores them.
func (m *treeModel) write(tb testing.TB, rng *rand.Rand, ids ...uint64) {
	tb.Helper()
	var batch []collection.Point
	for _, id := range ids {
		p := m.point(rng, id)
		m.keep(p)
		batch = append(batch, p)
	}
	if err := m.kit.upsert(tb.Context(), m.collection, batch...); err != nil {
		tb.Fatal(err)
	}
}

// Queries of every kind over points that have some of several vectors give what
// going through all points gives, while points are replaced.
func TestQueryTrees(t *testing.T) {
	k := newKit(t, kitOptions{})
	m := newTree(t, k, "c")
	rng := rand.New(rand.NewPCG(1, 2))
	write := func(ids ...uint64) { t.Helper(); m.write(t, rng, ids...) }
	for id := range uint64(150) {
		write(id)
	}
	for i := range 1500 {
		if i%20 == 0 {
			write(rng.Uint64N(150))
		}
		q := m.query(rng, 2)
		q.Offset = rng.IntN(3)
		q.WithPayload.All = rng.IntN(2) == 0
		switch rng.IntN(3) {
		case 0:
			q.WithVector.All = true
		case 1:
			q.WithVector.Names = []string{"words", "near"}
		}
		m.check(t, q)
	}
}
