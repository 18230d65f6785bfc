package sparse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hivehub/waggle/index"
)

const (
	benchTexts = 100_000
	benchWords = 100_000 // different ones
)

// corpus writes texts of 3 to 21 words that follow Zipf's law, from a fixed seed.
type corpus struct {
	r *rand.Rand
	z *rand.Zipf
}

func newCorpus(seed uint64) corpus {
	r := rand.New(rand.NewPCG(seed, 2))
	return corpus{r, rand.NewZipf(r, 1.1, 2.7, benchWords-1)}
}

func (c corpus) document(words int) Document {
	frequency := map[uint64]float32{}
	for range words {
		frequency[TermOf(fmt.Appendf(nil, "word%d", c.z.Uint64()))]++
	}
	d := Document{Length: uint32(words)}
	for term, f := range frequency {
		d.Terms, d.Values = append(d.Terms, term), append(d.Values, f)
	}
	if err := d.Sort(); err != nil {
		panic(err)
	}
	return d
}

func (c corpus) text() Document { return c.document(3 + c.r.IntN(10) + c.r.IntN(10)) }

// query has 2 to 5 different words. Words of a text are mostly the frequent
// ones; rare leaves out the 200 most frequent, as who searches does.
func (c corpus) query(rare bool) *Query {
	q := &Query{K: 10}
	for n := 2 + c.r.IntN(4); len(q.Vector.Terms) < n; {
		word := c.z.Uint64()
		term := TermOf(fmt.Appendf(nil, "word%d", word))
		if rare && word < 200 || slices.Contains(q.Vector.Terms, term) {
			continue
		}
		q.Vector.Terms, q.Vector.Values = append(q.Vector.Terms, term), append(q.Vector.Values, 1)
	}
	if err := q.Vector.Sort(); err != nil {
		panic(err)
	}
	return q
}

func filled(tb testing.TB, n int) *View {
	tb.Helper()
	x, c := New(scorings["bm25"]), newCorpus(1)
	for label := range n {
		if _, err := x.Add(uint64(label), c.text()); err != nil {
			tb.Fatal(err)
		}
	}
	x.Publish()
	return x.View()
}

// exhaustive reads every posting of the query's terms into one sum for every
// document, and then every sum: what is done without bounds.
type exhaustive struct {
	sums   []float64
	found  []bool
	blocks []ref
}

func (e *exhaustive) search(v *View, q *Query, dst []index.Hit) []index.Hit {
	clear(e.sums)
	clear(e.found)
	scorer := v.index.scoring.at(&v.state)
	for i, term := range q.Vector.Terms {
		list, ok := v.terms.Get(term)
		if !ok {
			continue
		}
		weight := scorer.weight(q.Vector.Values[i], list.count)
		e.blocks = list.appendBlocks(e.blocks[:0])
		for _, b := range e.blocks {
			for _, p := range b.node.postings {
				e.sums[p.slot] += scorer.score(weight, p.value, v.chunks[p.slot/chunkSlots].lengths[p.slot%chunkSlots])
				e.found[p.slot] = true
			}
		}
	}
	top := newBest(q.K, dst)
	for slot, found := range e.found {
		if found && e.sums[slot] >= top.floor {
			c, row := v.at(uint32(slot))
			top.offer(c.labels[row], uint32(slot), e.sums[slot])
		}
	}
	return top.sorted()
}

// BenchmarkBM25 searches 100,000 short texts, in turn with and without bounds,
// and reports the medians and their ratio. On a busy machine the ratio is the
// figure that holds.
func BenchmarkBM25(b *testing.B) {
	v := filled(b, benchTexts)
	defer v.Release()
	for _, rare := range []bool{true, false} {
		b.Run(map[bool]string{true: "rarer words", false: "any words"}[rare], func(b *testing.B) {
			c := newCorpus(7)
			var queries []*Query
			for range 200 {
				queries = append(queries, c.query(rare))
			}
			benchmarkQueries(b, v, queries)
		})
	}
}

func benchmarkQueries(b *testing.B, v *View, queries []*Query) {
	e := exhaustive{sums: make([]float64, v.Slots()), found: make([]bool, v.Slots())}
	dst, all := make([]index.Hit, 0, 10), make([]index.Hit, 0, 10)
	var bounded, plain []time.Duration
	for i := 0; b.Loop(); i++ {
		q := queries[i%len(queries)]
		for turn := range 2 { // A B B A: neither always follows the other
			start := time.Now()
			if (turn+i)%2 == 0 {
				dst, _ = v.Search(context.Background(), q, dst)
				bounded = append(bounded, time.Since(start))
			} else {
				all = e.search(v, q, all)
				plain = append(plain, time.Since(start))
			}
		}
		if !slices.EqualFunc(dst, all, func(a, b index.Hit) bool { return a.Label == b.Label }) {
			b.Fatalf("query %d: %v, want %v", i, dst, all)
		}
	}
	fast, slow := median(bounded), median(plain)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(fast.Microseconds()), "p50-µs")
	b.ReportMetric(float64(bounded[len(bounded)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(slow.Microseconds()), "exhaustive-p50-µs")
	b.ReportMetric(float64(slow)/float64(fast), "times-faster")
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkAllow searches among a part of 100,000 short texts. The time should
// follow the part where it is small.
func BenchmarkAllow(b *testing.B) {
	v := filled(b, benchTexts)
	defer v.Release()
	c := newCorpus(7)
	var queries []*Query
	for range 100 {
		queries = append(queries, c.query(false))
	}
	dst := make([]index.Hit, 0, 10)
	for _, percent := range []float64{0.01, 0.1, 1, 10, 50, 100} {
		b.Run(fmt.Sprintf("%g%%", percent), func(b *testing.B) {
			allow := allowPart(c.r, benchTexts, percent/100)
			for i := 0; b.Loop(); i++ {
				q := *queries[i%len(queries)]
				q.Allow = allow
				dst, _ = v.Search(context.Background(), &q, dst)
			}
		})
	}
}

// BenchmarkWrite replaces one of 100,000 short texts, and publishes after
// every one or every hundred.
func BenchmarkWrite(b *testing.B) {
	v := filled(b, benchTexts)
	x := v.index
	v.Release()
	c := newCorpus(9)
	var texts []Document
	for range 1000 {
		texts = append(texts, c.text())
	}
	slots := c.r.Perm(benchTexts)
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d a Publish", batch), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := i % benchTexts
				x.Remove(uint32(slots[at]))
				slots[at] = int(mustAdd(b, x, uint64(i), texts[i%len(texts)]))
				if i%batch == 0 {
					x.Publish()
				}
			}
		})
	}
}

// BenchmarkTokenizer makes documents of a text of a hundred words.
func BenchmarkTokenizer(b *testing.B) {
	text := strings.Repeat("The quick brown Fox jumps over a lazy dog, again. ", 10)
	tokens := NewTokenizer(TokenizerOptions{StopWords: []string{"the", "a"}})
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tokens.Document(text)
	}
}
