package sparse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/hivehub/waggle/index"
)

// model is the naive twin: documents by slot, scored one by one.
type model struct {
	scoring Scoring
	docs    map[uint32]labelled
}

type labelled struct {
	label uint64
	Document
}

func (m *model) clone() *model { return &model{m.scoring, maps.Clone(m.docs)} }

// scores are all hits, with scores in float64.
func (m *model) scores(q *Query) map[uint32]float64 {
	var total float64
	having := map[uint64]float64{}
	for _, d := range m.docs {
		total += float64(d.Length)
		for _, term := range d.Terms {
			having[term]++
		}
	}
	n := float64(len(m.docs))
	found := map[uint32]float64{}
	for slot, d := range m.docs {
		if q.Allow != nil && (int(slot/64) >= len(q.Allow) || q.Allow[slot/64]>>(slot%64)&1 == 0) {
			continue
		}
		for i, term := range q.Vector.Terms {
			at := slices.Index(d.Terms, term)
			if at < 0 {
				continue
			}
			v, w := float64(d.Values[at]), float64(q.Vector.Values[i])
			if m.scoring.Kind != Dot {
				w *= math.Log(1 + (n-having[term]+0.5)/(having[term]+0.5))
			}
			if m.scoring.Kind == BM25 {
				relative := 0.0
				if total > 0 {
					relative = float64(d.Length) / (total / n)
				}
				v = v * (m.scoring.K1 + 1) / (v + m.scoring.K1*(1-m.scoring.B+m.scoring.B*relative))
			}
			found[slot] += w * v
		}
	}
	return found
}

// check compares a view with the model: what is in it, and a search.
func (m *model) check(v *View, q *Query) error {
	if v.Len() != len(m.docs) {
		return fmt.Errorf("Len %d, want %d", v.Len(), len(m.docs))
	}
	for slot := range v.Slots() + 2 {
		label, ok := v.Label(slot)
		if d, want := m.docs[slot]; ok != want || ok && label != d.label {
			return fmt.Errorf("slot %d: label %d, %v; want %d, %v", slot, label, ok, d.label, want)
		}
	}
	return m.checkSearch(v, q)
}

func (m *model) checkSearch(v *View, q *Query) error {
	hits, err := v.Search(context.Background(), q, nil)
	if err != nil {
		return err
	}
	scores := m.scores(q)
	want := slices.SortedFunc(maps.Values(scores), func(a, b float64) int { return cmp.Compare(b, a) })
	if n := min(max(q.K, 0), len(want)); len(hits) != n {
		return fmt.Errorf("%d hits, want %d", len(hits), n)
	}
	seen := map[uint32]bool{}
	for i, h := range hits {
		score, ok := scores[h.Slot]
		if !ok || seen[h.Slot] || m.docs[h.Slot].label != h.Label {
			return fmt.Errorf("hit %d is %+v: no such document, or again", i, h)
		}
		seen[h.Slot] = true
		if got := -float64(h.Distance); !near(got, score) || !near(got, want[i]) {
			return fmt.Errorf("hit %d is %+v, its score %g, the score at its place %g", i, h, score, want[i])
		}
	}
	if !slices.IsSortedFunc(hits, compareHits) {
		return fmt.Errorf("out of order: %+v", hits)
	}
	return nil
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(a), math.Abs(b)) }

func compareHits(a, b index.Hit) int {
	return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Label, b.Label))
}
