package httpedge

import (
	"strings"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeTextSearch are the operations that find texts.
func (s *Server) nativeTextSearch() []*native {
	return []*native{
		operation[textSearch, searchAnswer]{
			id: "search_text", method: "POST", path: "/collections/:name/search/text", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Find texts by words (BM25).",
			about:   "Words are compared, not meanings: a text is found that has at least one of the query's. In scripts that do not space words, parts of words are compared.",
			do:      s.searchText,
		}.native(),
		operation[hybridSearch, hybridAnswer]{
			id: "hybrid_search", method: "POST", path: "/collections/:name/hybrid_search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Find texts by words and by a vector, in one list.",
			about:   "Two lists are made and fused. rrf: by ranks, 1/(60+rank) each. weighted: alpha times the vector's score and 1-alpha times the words'. alpha: the same with each list's scores stretched from 0 to 1. Without a vector only words are compared.",
			do:      s.hybridSearch,
		}.native(),
	}
}

type textSearch struct {
	Collection collectionName     `path:"name" alias:"collection"`
	Query      string             `json:"query" alias:"query_text,text" min:"1" max:"65536" doc:"Words."`
	Using      string             `json:"using,omitempty" doc:"The name of the texts that are searched; the first of the collection without." max:"255"`
	Limit      int                `json:"limit" default:"10" alias:"max_results" min:"1" max:"topk" doc:"How many to return."`
	Offset     int                `json:"offset" default:"0" min:"0" max:"topk" doc:"How many of the best to pass over."`
	Threshold  *float32           `json:"threshold" alias:"score_threshold,similarity_threshold" doc:"Only what scores higher."`
	Filter     *collection.Filter `json:"filter" doc:"Only what passes it. As in Qdrant's API: must, should, must_not, min_should."`
	shownParts
}

func (s *Server) searchText(r *request, tc tenant.Context, t *textSearch) (searchAnswer, error) {
	q := collection.Query{
		Nearest: &collection.Input{Text: &t.Query}, Using: t.Using, Filter: t.Filter,
		ScoreThreshold: t.Threshold, Limit: t.Limit, Offset: t.Offset,
	}
	q.WithPayload, q.WithVector = t.selectors()
	hits, err := s.engine.Query(r.ctx, tc, string(t.Collection), q)
	if err != nil {
		return searchAnswer{}, err
	}
	return searchAnswer{Results: shownHits(hits), QueryType: "text", Collection: t.Collection, Limit: t.Limit, Total: len(hits)}, nil
}

// rrfK makes the first of a list count 1/61, as is usual.
const rrfK = 61

type hybridSearch struct {
	Collection collectionName           `path:"name" alias:"collection"`
	Query      string                   `json:"query" alias:"query_text,text" min:"1" max:"65536" doc:"Words."`
	Vector     []float32                `json:"vector,omitempty" alias:"query_vector,query_dense,embedding" doc:"To compare with the default dense vectors."`
	Sparse     *collection.SparseVector `json:"query_sparse" alias:"sparse_query,sparse_vector" doc:"A sparse vector to compare with in place of the words; the collection must have exactly one, or sparse_using says which."`
	SparseName string                   `json:"sparse_using,omitempty" max:"255" doc:"The name of the sparse vector."`
	Using      string                   `json:"using,omitempty" max:"255" doc:"The name of the texts that are searched; the first of the collection without."`
	Alpha      float64                  `json:"alpha" default:"0.7" min:"0" max:"1" doc:"How much the vector counts; the words count the rest. Not of rrf."`
	Algorithm  string                   `json:"algorithm" default:"rrf" enum:"rrf,weighted,alpha"`
	DenseK     int                      `json:"dense_k" default:"20" min:"1" max:"topk" doc:"How many of the nearest vectors are fused."`
	SparseK    int                      `json:"sparse_k" default:"20" min:"1" max:"topk" doc:"How many of the best texts are."`
	FinalK     int                      `json:"final_k" default:"10" alias:"limit,top_k" min:"1" max:"topk" doc:"How many to return."`
	Threshold  *float32                 `json:"threshold" alias:"score_threshold,similarity_threshold" doc:"Only what scores as much in the fused list, or more."`
	Filter     *collection.Filter       `json:"filter" doc:"Only what passes it. As in Qdrant's API: must, should, must_not, min_should."`
	shownParts
}

type hybridAnswer struct {
	Results    []nativeHit    `json:"results" doc:"The best first."`
	Query      string         `json:"query"`
	QueryType  string         `json:"query_type"`
	Collection collectionName `json:"collection"`
	Algorithm  string         `json:"algorithm"`
	Alpha      float64        `json:"alpha"`
	Sources    []string       `json:"sources" doc:"The lists that were fused: dense, text or sparse."`
	Total      int            `json:"total_results" doc:"How many results there are in this answer."`
	DurationMS float64        `json:"duration_ms"`
}

func (s *Server) hybridSearch(r *request, tc tenant.Context, h *hybridSearch) (hybridAnswer, error) {
	q, sources, err := s.hybridQuery(r, tc, h)
	if err != nil {
		return hybridAnswer{}, err
	}
	hits, err := s.engine.Query(r.ctx, tc, string(h.Collection), q)
	if err != nil {
		return hybridAnswer{}, err
	}
	return hybridAnswer{
		Results: shownHits(hits), Query: h.Query, QueryType: "hybrid", Collection: h.Collection, Algorithm: h.Algorithm,
		Alpha: h.Alpha, Sources: sources, Total: len(hits), DurationMS: milliseconds(r.elapsed()),
	}, nil
}

// hybridQuery is what is asked for as one query, and the names of its parts.
func (s *Server) hybridQuery(r *request, tc tenant.Context, h *hybridSearch) (q collection.Query, sources []string, err error) {
	lexical := collection.Query{Nearest: &collection.Input{Text: &h.Query}, Using: h.Using, Limit: h.SparseK}
	name := "text"
	if h.Sparse != nil {
		name = "sparse"
		lexical.Nearest, lexical.Using = &collection.Input{Sparse: h.Sparse}, h.SparseName
		if h.SparseName == "" {
			if lexical.Using, err = s.onlySparse(r, tc, h.Collection); err != nil {
				return q, nil, err
			}
		}
	}
	q = collection.Query{Filter: h.Filter, ScoreThreshold: h.Threshold, Limit: h.FinalK}
	q.WithPayload, q.WithVector = h.selectors()
	fusion := &collection.Fusion{Kind: collection.FusionRRF, K: rrfK}
	switch h.Algorithm {
	case "weighted":
		fusion = &collection.Fusion{Kind: collection.FusionWeighted}
	case "alpha":
		fusion = &collection.Fusion{Kind: collection.FusionAlpha}
	}
	q.Fusion = fusion
	if h.Vector == nil {
		info, err := s.engine.GetCollection(r.ctx, tc, string(h.Collection))
		if err != nil {
			return q, nil, err
		}
		if h.Vector, err = s.embedQuery(r.ctx, tc, &info, h.Query); err != nil {
			return q, nil, err
		}
	}
	if h.Vector != nil {
		dense := collection.Query{Nearest: &collection.Input{Dense: h.Vector}, Limit: h.DenseK}
		q.Prefetch, sources = append(q.Prefetch, dense), append(sources, "dense")
		fusion.Weights = append(fusion.Weights, h.Alpha)
	}
	q.Prefetch, sources = append(q.Prefetch, lexical), append(sources, name)
	fusion.Weights = append(fusion.Weights, 1-h.Alpha)
	if fusion.Kind == collection.FusionRRF {
		fusion.Weights = nil
	}
	return q, sources, nil
}

// onlySparse is the name of a collection's sparse vector.
func (s *Server) onlySparse(r *request, tc tenant.Context, name collectionName) (string, error) {
	info, err := s.engine.GetCollection(r.ctx, tc, string(name))
	if err != nil {
		return "", err
	}
	if n := len(info.Config.Sparse); n != 1 {
		names := make([]string, n)
		for i := range names {
			names[i] = info.Config.Sparse[i].Name
		}
		return "", errValue("query_sparse: the collection must have one sparse vector, or sparse_using must say which: " + clipped(strings.Join(names, ", ")))
	}
	return info.Config.Sparse[0].Name, nil
}
