package httpedge

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/http/embedding"
	"github.com/hivehub/waggle/tenant"
)

// finder searches one collection by words: in its text index, and where an
// endpoint makes its dense vectors, also among these.
type finder struct {
	s     *Server
	r     *request
	tc    *tenant.Context
	name  collectionName
	info  collection.Info
	index *collection.TextParams // nil: there is none
	dense bool
	only  bool // the vectors alone
}

// How a collection was searched, as it is shown.
const (
	queryText     = "text"
	querySemantic = "semantic"
	queryHybrid   = "hybrid"
)

// finder returns the finder of a collection. One that words cannot be searched
// in is refused.
func (s *Server) finder(r *request, tc *tenant.Context, name collectionName) (*finder, error) {
	info, err := s.engine.GetCollection(r.ctx, *tc, string(name))
	if err != nil {
		return nil, err
	}
	f := newFinder(s, r, tc, info)
	f.name = name
	if f.index == nil && !f.dense {
		return nil, collection.Errorf(collection.InvalidArgument, "collection %s has no text index and no embedding: it cannot be searched by words", clipped(string(name)))
	}
	return f, nil
}

func newFinder(s *Server, r *request, tc *tenant.Context, info collection.Info) *finder {
	f := &finder{s: s, r: r, tc: tc, info: info, name: collectionName(info.Name)}
	if len(info.Config.Text) > 0 {
		f.index = &info.Config.Text[0]
	}
	_, f.dense = embeddingOf(&info.Config)
	return f
}

// kind says how hits makes its list.
func (f *finder) kind() string {
	switch {
	case f.index == nil || f.only:
		return querySemantic
	case f.dense:
		return queryHybrid
	}
	return queryText
}

// wanted is what a search asks for beside its words.
type wanted struct {
	limit     int
	filter    *collection.Filter
	threshold *float32 // of dense vectors
}

// hits returns the best hits of all forms of a query, fused by their ranks:
// those of the text index for each form, and those near to the vector of the
// first, the query itself. A filter holds in each list before it is cut.
func (f *finder) hits(forms []variant, want wanted) ([]found, error) {
	var lists []collection.Query
	var weights []float64
	deep := min(max(2*want.limit, 20), f.s.limits.Request.TopK)
	if f.index != nil && !f.only {
		for i := range forms {
			lists = append(lists, collection.Query{
				Nearest: &collection.Input{Text: &forms[i].Text}, Using: f.index.Name, Filter: want.filter, Limit: deep,
			})
			weights = append(weights, forms[i].Weight)
		}
	}
	if f.dense {
		vector, err := f.s.embedQuery(f.r.ctx, *f.tc, &f.info, forms[0].Text)
		if err != nil {
			return nil, err
		}
		lists = append(lists, collection.Query{
			Nearest: &collection.Input{Dense: vector}, Filter: want.filter, ScoreThreshold: want.threshold, Limit: deep,
		})
		weights = append(weights, 1)
	}
	q := lists[0]
	if len(lists) > 1 {
		q = collection.Query{Prefetch: lists, Fusion: &collection.Fusion{Kind: collection.FusionRRF, K: rankConstant + 1, Weights: weights}}
	}
	q.Limit, q.WithPayload = want.limit, collection.PayloadSelector{All: true}
	return f.query(q)
}

func (f *finder) query(q collection.Query) ([]found, error) {
	hits, err := f.s.engine.Query(f.r.ctx, *f.tc, string(f.name), q)
	if err != nil {
		return nil, err
	}
	out := make([]found, len(hits))
	for i := range hits {
		out[i] = found{name: f.name, owner: f.info.ID, hit: hits[i], text: f.textOf(hits[i].Payload), score: float64(hits[i].Score)}
	}
	return out, nil
}

// textOf is what a point says.
func (f *finder) textOf(p collection.Payload) string {
	field := collection.TextFieldDefault
	if f.index != nil {
		field = f.index.Field
	}
	text, _ := p[field].(string)
	return text
}

// expand returns the forms of a query in this collection. Without a text index
// there is one, the query.
func (f *finder) expand(query string) ([]variant, error) {
	words := distinct(query)
	if f.index == nil || len(words) == 0 {
		return variants(query, nil, nil)[:1], nil
	}
	best, err := f.words(query, feedbackHits)
	if err != nil {
		return nil, err
	}
	var texts []string
	for i := range best {
		texts = append(texts, best[i].text)
	}
	probed := withoutCommon(words)
	probed = probed[:min(len(probed), probedWords)]
	scores := make([]float32, len(probed))
	for i, word := range probed {
		hit, err := f.words(word, 1)
		if err != nil {
			return nil, err
		}
		if len(hit) > 0 {
			scores[i] = hit[0].hit.Score
		}
	}
	return variants(query, rarest(probed, scores), feedback(words, texts)), nil
}

// words searches the text index alone.
func (f *finder) words(text string, limit int) ([]found, error) {
	return f.query(collection.Query{
		Nearest: &collection.Input{Text: &text}, Using: f.index.Name, Limit: limit,
		WithPayload: collection.PayloadSelector{All: true},
	})
}

// rerankers are the parameters that ask for reranking, true or not.
type rerankers map[string]bool

// asked reports whether any does. It refuses one that the node cannot honour.
func (p rerankers) asked(s *Server) (bool, error) {
	asked := false
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if p[name] && s.embed.Rerank.URL == "" {
			return false, placed(within(name, errValue("no reranking endpoint is configured on this node")))
		}
		asked = asked || p[name]
	}
	return asked, nil
}

// rerank orders hits by the endpoint's scores of their texts. Those that say
// nothing come last, as they came.
func (s *Server) rerank(r *request, query string, list []found) ([]found, error) {
	var ranked, silent []found
	var texts []string
	for _, f := range list {
		if f.text == "" {
			silent = append(silent, f)
			continue
		}
		ranked, texts = append(ranked, f), append(texts, f.text)
	}
	order, err := s.embed.Client.Rerank(r.ctx, s.embed.Rerank, query, texts)
	if err != nil {
		return nil, embeddingError(err)
	}
	out := make([]found, 0, len(list))
	for _, o := range order {
		f := ranked[o.Index]
		f.rerank = &o.Score
		out = append(out, f)
	}
	return append(out, silent...), nil
}

// candidatesOf is how many hits are reranked for so many wanted.
func candidatesOf(wanted int) int { return min(4*wanted, embedding.DocumentsMax) }

// contextFilter makes a filter of values that members of the payload must have:
// a value, or one of a list.
func contextFilter(context collection.Payload, more *collection.Filter) (*collection.Filter, error) {
	if len(context) == 0 {
		return more, nil
	}
	filter := &collection.Filter{}
	if more != nil {
		filter.Must = append(filter.Must, more)
	}
	for _, key := range slices.Sorted(maps.Keys(context)) {
		path, err := collection.ParsePath(key)
		if err != nil {
			return nil, placed(within("context_filters", err))
		}
		is, err := predicateOf(context[key])
		if err != nil {
			return nil, placed(within("context_filters", within(key, err)))
		}
		filter.Must = append(filter.Must, collection.Field{Key: path, Is: is})
	}
	return filter, nil
}

func predicateOf(v any) (collection.Predicate, error) {
	switch v := v.(type) {
	case string:
		return collection.MatchString(v), nil
	case bool:
		return collection.MatchBool(v), nil
	case int64:
		return collection.MatchInt(v), nil
	case float64:
		return collection.Range{Bounds: collection.Bounds[float64]{GTE: &v, LTE: &v}}, nil
	case []any:
		var values collection.Values
		for _, item := range v {
			switch item := item.(type) {
			case string:
				values.Strings = append(values.Strings, item)
			case int64:
				values.Ints = append(values.Ints, item)
			default:
				return nil, errValue(fmt.Sprintf("a list of %T, must be of strings and integers", item))
			}
		}
		return collection.MatchAny{Values: values}, nil
	}
	return nil, errValue("must be a string, a number, true, false or a list of strings and integers; use filter for more")
}
