package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeSearch are the operations that find the points nearest to a vector.
func (s *Server) nativeSearch() []*native {
	return []*native{
		operation[bodySearch, searchAnswer]{
			id: "search_vectors", method: "POST", path: "/search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Find the vectors nearest to a vector.",
			do: func(r *request, tc tenant.Context, q *bodySearch) (searchAnswer, error) {
				return s.searchVectors(r, tc, q.Collection, &q.vectorSearch)
			},
		}.native(),
		operation[pathSearch, searchAnswer]{
			id: "search_collection", method: "POST", path: "/collections/:name/search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Find the vectors nearest to a vector: search_vectors with the collection in the path.",
			do: func(r *request, tc tenant.Context, q *pathSearch) (searchAnswer, error) {
				return s.searchVectors(r, tc, q.Collection, &q.vectorSearch)
			},
		}.native(),
		operation[batchSearch, batchSearched]{
			id: "batch_search", method: "POST", path: "/batch_search", op: tenant.OpRead, logs: tenant.LogSearch,
			summary: "Search for several vectors in one request.",
			about:   "All queries are answered, or none. Together they may ask for 100,000 vectors.",
			do:      s.batchSearch,
		}.native(),
	}
}

// vectorSearch asks for the points nearest to a vector.
type vectorSearch struct {
	Vector    []float32                `json:"vector,omitempty" alias:"query_vector" doc:"Or else sparse or query."`
	Query     string                   `json:"query,omitempty" alias:"query_text,text" max:"65536" doc:"Words: texts are searched, not vectors."`
	Sparse    *collection.SparseVector `json:"sparse" doc:"A sparse vector; using says which of the points' it is compared with."`
	Using     string                   `json:"using,omitempty" doc:"The name of the vector that is compared; the default one without." max:"255"`
	Limit     int                      `json:"limit" default:"10" min:"1" max:"topk" doc:"How many to return."`
	Offset    int                      `json:"offset" default:"0" min:"0" max:"topk" doc:"How many of the nearest to pass over; limit and offset together at most 10,000."`
	Threshold *float32                 `json:"threshold" alias:"score_threshold,similarity_threshold" doc:"Only what is nearer: a higher score for cosine and dot, a lower one for euclidean and manhattan."`
	Filter    *collection.Filter       `json:"filter" doc:"Only what passes it; it is applied within the search. As in Qdrant's API: must, should, must_not, min_should."`
	Exact     bool                     `json:"exact" default:"false" doc:"Compare with every vector."`
	Ef        int                      `json:"ef,omitempty" alias:"hnsw_ef,ef_search" doc:"Width of the search in a graph." min:"1" max:"10000"`
	shownParts
}

type bodySearch struct {
	Collection collectionName `json:"collection" alias:"collection_name"`
	vectorSearch
}

type pathSearch struct {
	Collection collectionName `path:"name" alias:"collection"`
	vectorSearch
}

type searchAnswer struct {
	Results    []nativeHit    `json:"results" doc:"The nearest first."`
	QueryType  string         `json:"query_type"`
	Collection collectionName `json:"collection"`
	Limit      int            `json:"limit"`
	Total      int            `json:"total_results" doc:"How many results there are in this answer."`
}

// query is what is asked for, checked.
func (v *vectorSearch) query(l collection.Limits) (collection.Query, error) {
	given := 0
	for _, there := range [...]bool{v.Vector != nil, v.Sparse != nil, v.Query != ""} {
		if there {
			given++
		}
	}
	if given != 1 {
		return collection.Query{}, errValue("vector, sparse, query: exactly one must be given")
	}
	q := collection.Query{
		Nearest: &collection.Input{Dense: v.Vector, Sparse: v.Sparse}, Using: v.Using, Filter: v.Filter,
		ScoreThreshold: v.Threshold, Limit: v.Limit, Offset: v.Offset,
		Params: collection.SearchParams{Ef: v.Ef, Exact: v.Exact},
	}
	if v.Query != "" {
		q.Nearest = &collection.Input{Text: &v.Query}
	}
	q.WithPayload, q.WithVector = v.selectors()
	return q, q.Validate(l)
}

// kind is what is compared.
func (v *vectorSearch) kind() string {
	if v.Query != "" {
		return "text"
	}
	return "vector"
}

// noVectors says more about a search for vectors in a collection that has none.
func (s *Server) noVectors(r *request, tc tenant.Context, name collectionName, v *vectorSearch, err error) error {
	if asError(err).Code != collection.InvalidArgument || v.Vector == nil || v.Using != "" {
		return err
	}
	info, unknown := s.engine.GetCollection(r.ctx, tc, string(name))
	if unknown != nil || defaultVector(&info.Config) != nil {
		return err
	}
	return errValue("vector: the collection was created without a dimension and has no dense vectors; search its texts by query")
}

func (s *Server) searchVectors(r *request, tc tenant.Context, name collectionName, v *vectorSearch) (searchAnswer, error) {
	q, err := v.query(s.limits.Request)
	if err != nil {
		return searchAnswer{}, err
	}
	hits, err := s.engine.Query(r.ctx, tc, string(name), q)
	if err != nil {
		return searchAnswer{}, s.noVectors(r, tc, name, v, err)
	}
	return searchAnswer{Results: shownHits(hits), QueryType: v.kind(), Collection: name, Limit: v.Limit, Total: len(hits)}, nil
}

type batchSearch struct {
	Collection collectionName `json:"collection,omitempty" alias:"collection_name" doc:"Of the queries that name none."`
	Queries    []batchQuery   `json:"queries" alias:"searches" min:"1" max:"1000"`
	batchHints
}

type batchQuery struct {
	Collection collectionName `json:"collection,omitempty" alias:"collection_name"`
	vectorSearch
}

type batchSearched struct {
	Success    bool          `json:"success"`
	Results    [][]nativeHit `json:"results" doc:"Those of each query, in the order of the queries."`
	Total      int           `json:"total_queries"`
	Successful int           `json:"successful_queries"`
	Failed     int           `json:"failed_queries" doc:"Always 0: all are answered, or none."`
	DurationMS float64       `json:"duration_ms"`
}

func (s *Server) batchSearch(r *request, tc tenant.Context, q *batchSearch) (batchSearched, error) {
	queries := make([]collection.Query, len(q.Queries))
	left := s.limits.Request.TopK * searchHitsMax
	for i := range q.Queries {
		one := &q.Queries[i]
		if one.Collection == "" {
			one.Collection = q.Collection
		}
		var err error
		if one.Collection == "" {
			err = errValue("collection: is missing, here and in the request")
		} else {
			queries[i], err = one.query(s.limits.Request)
		}
		if err != nil {
			return batchSearched{}, placed(within("queries", within("["+strconv.Itoa(i)+"]", err)))
		}
		if left -= asked(&queries[i]); left < 0 {
			return batchSearched{}, tooManyOf("vectors asked for", s.limits.Request.TopK*searchHitsMax)
		}
	}
	done := batchSearched{Success: true, Results: make([][]nativeHit, len(queries)), Total: len(queries), Successful: len(queries)}
	for i := range queries {
		hits, err := s.engine.Query(r.ctx, tc, string(q.Queries[i].Collection), queries[i])
		if err != nil {
			return batchSearched{}, err
		}
		done.Results[i] = shownHits(hits)
	}
	done.DurationMS = milliseconds(r.elapsed())
	return done, nil
}
