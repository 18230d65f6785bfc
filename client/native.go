package client

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// Metric is how the native API names the way two vectors are compared.
type Metric string

// The metrics.
const (
	MetricCosine    Metric = "cosine"
	MetricEuclidean Metric = "euclidean"
	MetricDot       Metric = "dot"
	MetricManhattan Metric = "manhattan"
)

// HNSW are settings of the graph that finds neighbours; 0 leaves one to the
// server.
type HNSW struct {
	M              int `json:"m,omitempty"`
	EfConstruction int `json:"ef_construction,omitempty"`
}

// Quantization says how vectors are kept small beside the whole ones.
type Quantization struct {
	Type string `json:"type"` // scalar
}

// SparseParams describe a sparse vector that points may have.
type SparseParams struct {
	Name string `json:"name"`
	IDF  bool   `json:"idf"`
}

// TextParams say how texts are indexed. What is nil or 0 is the server's choice.
type TextParams struct {
	Enabled   *bool    `json:"enabled,omitempty"`
	Field     string   `json:"field,omitempty"` // the member of payloads that they are in
	K1        *float64 `json:"k1,omitempty"`
	B         *float64 `json:"b,omitempty"`
	StopWords []string `json:"stop_words,omitempty"`
	WordMin   int      `json:"min_word_length,omitempty"`
	WordMax   int      `json:"max_word_length,omitempty"`
}

// EmbeddingParams say that the configured endpoint makes the dense vectors of
// texts. What is zero is the endpoint's.
type EmbeddingParams struct {
	Model     string `json:"model,omitempty"`
	Dimension int    `json:"dimension,omitempty"`
}

// NewCollection says what a collection is to be. Without a dimension or an
// embedding it has no dense vectors.
type NewCollection struct {
	Name         string           `json:"name"`
	Dimension    int              `json:"dimension,omitempty"`
	Metric       Metric           `json:"metric,omitempty"` // "": cosine
	HNSW         *HNSW            `json:"hnsw,omitempty"`
	Quantization *Quantization    `json:"quantization,omitempty"`
	Sparse       []SparseParams   `json:"sparse,omitempty"`
	Text         *TextParams      `json:"text,omitempty"` // nil: the member "text" of payloads
	Embedding    *EmbeddingParams `json:"embedding,omitempty"`
}

// CollectionDetails describe a collection.
type CollectionDetails struct {
	Name         string           `json:"name"`
	Dimension    int              `json:"dimension,omitempty"` // 0: there is no default dense vector
	Metric       Metric           `json:"metric,omitempty"`
	VectorCount  uint64           `json:"vector_count"`
	StorageBytes uint64           `json:"storage_bytes"`
	IndexedCount uint64           `json:"indexed_count"` // vectors in a graph
	Status       string           `json:"status"`        // ready, building
	CreatedAt    time.Time        `json:"created_at"`
	HNSW         *HNSW            `json:"hnsw,omitempty"`
	Quantization *Quantization    `json:"quantization,omitempty"`
	Named        []string         `json:"named_vectors,omitempty"` // further dense vectors
	Sparse       []SparseParams   `json:"sparse,omitempty"`
	Text         *TextParams      `json:"text,omitempty"` // nil: texts are not indexed
	Embedding    *EmbeddingParams `json:"embedding,omitempty"`
}

// Collections describes the collections that the key is for, by their names.
func (c *Client) Collections(ctx context.Context) ([]CollectionDetails, error) {
	var answer struct {
		Collections []CollectionDetails `json:"collections"`
	}
	err := c.call(ctx, "GET", nativePath("collections"), nil, &answer)
	return answer.Collections, err
}

// Create makes an empty collection and returns the way to it.
func (c *Client) Create(ctx context.Context, n NewCollection) (*Collection, error) {
	if err := c.call(ctx, "POST", nativePath("collections"), n, nil); err != nil {
		return nil, err
	}
	return c.Collection(n.Name), nil
}

// Stats is what the collections have that a key is for.
type Stats struct {
	Collections  int    `json:"collections"`
	Vectors      uint64 `json:"vectors"`
	StorageBytes uint64 `json:"storage_bytes"`
}

// Stats counts what the tenant has in the collections that the key is for.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	err := c.call(ctx, "GET", nativePath("stats"), nil, &s)
	return s, err
}

// Collection is the way to one collection of the native API. It is safe for
// concurrent use.
type Collection struct {
	c    *Client
	name string
}

// Collection returns the way to a collection. Nothing is sent: whether it is
// there, the first call says.
func (c *Client) Collection(name string) *Collection { return &Collection{c: c, name: name} }

// Name is the collection's.
func (k *Collection) Name() string { return k.name }

// Info describes the collection.
func (k *Collection) Info(ctx context.Context) (CollectionDetails, error) {
	var d CollectionDetails
	err := k.c.call(ctx, "GET", k.path(), nil, &d)
	return d, err
}

// Update changes settings of the collection; nil leaves one as it is.
func (k *Collection) Update(ctx context.Context, h *HNSW, q *Quantization) (CollectionDetails, error) {
	in := struct {
		HNSW         *HNSW         `json:"hnsw,omitempty"`
		Quantization *Quantization `json:"quantization,omitempty"`
	}{h, q}
	var d CollectionDetails
	err := k.c.callAgain(ctx, true, "PATCH", k.path(), in, &d)
	return d, err
}

// Drop deletes the collection with all that is in it. That there is none is an
// error of status 404.
func (k *Collection) Drop(ctx context.Context) error {
	return k.c.call(ctx, "DELETE", k.path(), nil, nil)
}

// path is where the native API has the collection, and what is below it.
func (k *Collection) path(below ...string) string {
	return nativePath(append([]string{"collections", k.name}, below...)...)
}

// nativePath is where the native API has what these words name.
func nativePath(words ...string) string {
	var path strings.Builder
	path.WriteString("/api/v1")
	for _, w := range words {
		path.WriteString("/" + url.PathEscape(w))
	}
	return path.String()
}

// Share is what there is of something, and how much there may be.
type Share struct {
	Used  uint64 `json:"used"`
	Limit *int64 `json:"limit"` // nil: there is none
}

// UsageNow is what a tenant has, with all that was acknowledged.
type UsageNow struct {
	TenantID    string `json:"tenant_id"`
	Plan        string `json:"plan"`
	Collections Share  `json:"collections"`
	Vectors     Share  `json:"vectors"`
	Storage     Share  `json:"storage_bytes"`
}

// UsageNow returns what the key's tenant has now, and how much it may.
// TenantUsage and CollectionUsages are of what was used over time.
func (c *Client) UsageNow(ctx context.Context) (UsageNow, error) {
	var u UsageNow
	err := c.call(ctx, "GET", nativePath("usage"), nil, &u)
	return u, err
}
