package client

import (
	"context"
)

// Shown says what of a point an answer has besides its id.
type Shown struct {
	NoPayload bool     // payloads come unless this says not
	Vector    bool     // and vectors only if this says so
	Paths     []string // of payloads, only what these paths lead to
}

type shownJSON struct {
	WithPayload *bool    `json:"with_payload,omitempty"`
	WithVector  bool     `json:"with_vector,omitempty"`
	Payload     []string `json:"payload,omitempty"`
}

func (s Shown) json() shownJSON {
	j := shownJSON{WithVector: s.Vector, Payload: s.Paths}
	if s.NoPayload {
		j.WithPayload = new(false)
	}
	return j
}

// Hit is a point that a search found.
type Hit struct {
	Vector
	Score float32 `json:"score"` // larger is nearer; with euclidean and manhattan a distance, smaller is nearer
}

// VectorSearch asks for the points nearest to a vector. Give Values or Sparse.
type VectorSearch struct {
	Values    []float32 `json:"vector,omitempty"`
	Sparse    *Sparse   `json:"sparse,omitempty"`
	Using     string    `json:"using,omitempty"` // the name of the vector that is compared
	Limit     int       `json:"limit,omitempty"` // 0 is the server's default, 10
	Offset    int       `json:"offset,omitempty"`
	Threshold *float32  `json:"threshold,omitempty"` // only what is nearer
	Filter    *Filter   `json:"filter,omitempty"`
	Exact     bool      `json:"exact,omitempty"`
	Ef        int       `json:"ef,omitempty"` // width of the search in a graph
	Shown     Shown     `json:"-"`
}

type vectorSearchJSON struct {
	*VectorSearch
	shownJSON
}

// Search returns the points nearest to a vector, the nearest first.
func (k *Collection) Search(ctx context.Context, q VectorSearch) ([]Hit, error) {
	var answer struct {
		Results []Hit `json:"results"`
	}
	err := k.c.ask(ctx, k.path("search"), vectorSearchJSON{&q, q.Shown.json()}, &answer)
	return answer.Results, err
}

// SearchBatch is Search for up to 1,000 vectors in one request: all are answered,
// in their order, or none.
func (k *Collection) SearchBatch(ctx context.Context, queries []VectorSearch) ([][]Hit, error) {
	in := struct {
		Collection string             `json:"collection"`
		Queries    []vectorSearchJSON `json:"queries"`
	}{k.name, make([]vectorSearchJSON, len(queries))}
	for i := range queries {
		in.Queries[i] = vectorSearchJSON{&queries[i], queries[i].Shown.json()}
	}
	var answer struct {
		Results [][]Hit `json:"results"`
	}
	err := k.c.ask(ctx, nativePath("batch_search"), in, &answer)
	return answer.Results, err
}

// TextSearch asks for texts that have words of a query.
type TextSearch struct {
	Query     string   `json:"query"`
	Using     string   `json:"using,omitempty"`
	Limit     int      `json:"limit,omitempty"` // 0 is the server's default, 10
	Offset    int      `json:"offset,omitempty"`
	Threshold *float32 `json:"threshold,omitempty"` // only what scores higher
	Filter    *Filter  `json:"filter,omitempty"`
	Shown     Shown    `json:"-"`
}

// SearchText returns the texts that have words of a query, the best first (BM25).
func (k *Collection) SearchText(ctx context.Context, q TextSearch) ([]Hit, error) {
	in := struct {
		*TextSearch
		shownJSON
	}{&q, q.Shown.json()}
	var answer struct {
		Results []Hit `json:"results"`
	}
	err := k.c.ask(ctx, k.path("search", "text"), in, &answer)
	return answer.Results, err
}

// HybridSearch asks for texts by words and by a vector. What is zero is the
// server's choice.
type HybridSearch struct {
	Query      string    `json:"query"`
	Values     []float32 `json:"vector,omitempty"` // without it the endpoint's of the query, where there is one
	Sparse     *Sparse   `json:"query_sparse,omitempty"`
	SparseName string    `json:"sparse_using,omitempty"`
	Using      string    `json:"using,omitempty"`
	Alpha      *float64  `json:"alpha,omitempty"`     // how much the vector counts
	Algorithm  string    `json:"algorithm,omitempty"` // rrf, weighted, alpha
	DenseK     int       `json:"dense_k,omitempty"`
	SparseK    int       `json:"sparse_k,omitempty"`
	Limit      int       `json:"final_k,omitempty"`
	Threshold  *float32  `json:"threshold,omitempty"`
	Filter     *Filter   `json:"filter,omitempty"`
	Shown      Shown     `json:"-"`
}

// HybridHits is the answer to a HybridSearch.
type HybridHits struct {
	Hits    []Hit    `json:"results"`
	Sources []string `json:"sources"` // the lists that were fused: dense, text, sparse
}

// SearchHybrid returns texts that are found by words and by a vector, in one list.
func (k *Collection) SearchHybrid(ctx context.Context, q HybridSearch) (HybridHits, error) {
	in := struct {
		*HybridSearch
		shownJSON
	}{&q, q.Shown.json()}
	var answer HybridHits
	err := k.c.ask(ctx, k.path("hybrid_search"), in, &answer)
	return answer, err
}

// Found is a point that a search by a query found.
type Found struct {
	Collection string         `json:"collection"`
	ID         string         `json:"id"`
	Score      float64        `json:"score"`
	Rerank     *float64       `json:"rerank_score,omitempty"` // the reranking endpoint's
	Payload    map[string]any `json:"payload,omitempty"`
}

// SemanticSearch asks for points by the vector that the embedding endpoint makes
// of a query.
type SemanticSearch struct {
	Query     string   `json:"query"`
	Limit     int      `json:"max_results,omitempty"`
	Rerank    bool     `json:"semantic_reranking,omitempty"` // by the reranking endpoint
	Threshold *float32 `json:"similarity_threshold,omitempty"`
	Filter    *Filter  `json:"filter,omitempty"`
}

// SearchSemantic returns the points whose vectors are nearest to that of a query.
func (k *Collection) SearchSemantic(ctx context.Context, q SemanticSearch) ([]Found, error) {
	in := struct {
		Collection string `json:"collection"`
		SemanticSearch
	}{k.name, q}
	return k.c.found(ctx, "semantic_search", in)
}

// ContextSearch asks for points by words, among those whose payload is as wanted.
type ContextSearch struct {
	Query   string         `json:"query"`
	Context map[string]any `json:"context_filters,omitempty"` // by path the value, or a list of values
	Filter  *Filter        `json:"filter,omitempty"`
	Limit   int            `json:"max_results,omitempty"`
	Rerank  bool           `json:"context_reranking,omitempty"`
}

// SearchInContext returns points by words, among those whose payload is as wanted.
func (k *Collection) SearchInContext(ctx context.Context, q ContextSearch) ([]Found, error) {
	in := struct {
		Collection string `json:"collection"`
		ContextSearch
	}{k.name, q}
	return k.c.found(ctx, "contextual_search", in)
}

// MultiSearch asks several collections by words.
type MultiSearch struct {
	Query       string   `json:"query"`
	Collections []string `json:"collections"`
	Each        int      `json:"max_per_collection,omitempty"`
	Limit       int      `json:"max_total_results,omitempty"`
	Rerank      bool     `json:"cross_collection_reranking,omitempty"`
}

// SearchCollections searches several collections by words and merges what they
// find, by ranks.
func (c *Client) SearchCollections(ctx context.Context, q MultiSearch) ([]Found, error) {
	return c.found(ctx, "multi_collection_search", q)
}

func (c *Client) found(ctx context.Context, operation string, in any) ([]Found, error) {
	var answer struct {
		Results []Found `json:"results"`
	}
	err := c.ask(ctx, nativePath(operation), in, &answer)
	return answer.Results, err
}

// IntelligentSearch asks collections for several forms of a query at once.
type IntelligentSearch struct {
	Query       string   `json:"query"`
	Collections []string `json:"collections,omitempty"` // none: all that the key is for
	Limit       int      `json:"max_results,omitempty"`
	Expansion   *bool    `json:"domain_expansion,omitempty"` // nil: true
	MMR         *bool    `json:"mmr_enabled,omitempty"`      // nil: true
	Lambda      *float64 `json:"mmr_lambda,omitempty"`
}

// SearchedForms says what a collection was searched for.
type SearchedForms struct {
	Collection string `json:"collection"`
	QueryType  string `json:"query_type"` // text, semantic, hybrid
	Queries    []struct {
		Text   string  `json:"text"`
		Kind   string  `json:"kind"` // query, content, rare, feedback
		Weight float64 `json:"weight"`
	} `json:"queries"`
}

// Intelligent is the answer to an IntelligentSearch.
type Intelligent struct {
	Results []Found         `json:"results"`
	Forms   []SearchedForms `json:"collections"`
}

// SearchIntelligent searches for several forms of a query and returns hits that
// are unlike each other.
func (c *Client) SearchIntelligent(ctx context.Context, q IntelligentSearch) (Intelligent, error) {
	var answer Intelligent
	err := c.ask(ctx, nativePath("intelligent_search"), q, &answer)
	return answer, err
}
