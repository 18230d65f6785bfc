package httpedge

import (
	"strings"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeCollections are the operations on collections as a whole.
func (s *Server) nativeCollections() []*native {
	return []*native{
		operation[nothing, collectionList]{
			id: "list_collections", method: "GET", path: "/collections", op: tenant.OpRead, logs: tenant.LogListCollections,
			summary: "List the collections that the key is for, ordered by name.",
			do:      s.nativeListCollections,
		}.native(),
		operation[newCollection, collectionMade]{
			id: "create_collection", method: "POST", path: "/collections", op: tenant.OpManageCollections, logs: tenant.LogCreateCollection,
			summary: "Create an empty collection.", status: 201,
			about: "A collection without a dimension has no dense vectors.",
			do:    s.nativeCreateCollection,
		}.native(),
	}
}

// nothing is the request of an operation that needs to be told nothing.
type nothing struct{}

// metricWords are the native words for distances.
var metricWords = map[string]collection.Distance{
	"cosine": collection.Cosine, "euclidean": collection.Euclid, "dot": collection.Dot, "manhattan": collection.Manhattan,
}

func metricOf(d collection.Distance) string {
	for word, of := range metricWords {
		if of == d {
			return word
		}
	}
	return strings.ToLower(string(d))
}

type collectionList struct {
	Collections []nativeCollection `json:"collections"`
	Total       int                `json:"total_collections"`
}

// nativeCollection describes a collection.
type nativeCollection struct {
	Name        string         `json:"name"`
	Dimension   int            `json:"dimension,omitempty" doc:"Of the default dense vector; absent when there is none."`
	Metric      string         `json:"metric,omitempty" doc:"How the default dense vectors are compared." enum:"cosine,euclidean,dot,manhattan"`
	VectorCount uint64         `json:"vector_count" doc:"Points in the collection."`
	Bytes       uint64         `json:"storage_bytes" doc:"What its points take, as stored."`
	CreatedAt   string         `json:"created_at" doc:"RFC 3339."`
	Embedding   *embeddingJSON `json:"embedding,omitempty" doc:"Which model makes its dense vectors of texts; absent when nobody does."`
	Status      string         `json:"status" doc:"building while a graph is behind its points." enum:"ready,building"`
}

func (s *Server) nativeListCollections(r *request, tc tenant.Context, _ *nothing) (collectionList, error) {
	all, err := s.engine.ListCollections(r.ctx, tc)
	if err != nil {
		return collectionList{}, err
	}
	list := collectionList{Collections: []nativeCollection{}}
	for i := range all {
		if tc.MayCollection(all[i].Name) {
			list.Collections = append(list.Collections, describeNative(&all[i]))
		}
	}
	list.Total = len(list.Collections)
	return list, nil
}

func describeNative(info *collection.Info) nativeCollection {
	body := nativeCollection{
		Name: info.Name, VectorCount: info.Points, Bytes: info.Bytes, CreatedAt: time.UnixMilli(info.Config.CreatedAt).UTC().Format(time.RFC3339), Status: "ready",
	}
	if info.Building {
		body.Status = "building"
	}
	if v := defaultVector(&info.Config); v != nil {
		body.Dimension, body.Metric = v.Size, metricOf(v.Distance)
	}
	if p, ok := embeddingOf(&info.Config); ok {
		body.Embedding = &embeddingJSON{Model: p.model, Dimension: p.dimension}
	}
	return body
}

// defaultVector is the dense vector without a name, or nil.
func defaultVector(c *collection.Config) *collection.VectorParams {
	for i := range c.Vectors {
		if c.Vectors[i].Name == "" {
			return &c.Vectors[i]
		}
	}
	return nil
}

// newCollection is a request to create a collection.
type newCollection struct {
	Name         collectionName    `json:"name" doc:"1 to 255 bytes."`
	Dimension    int               `json:"dimension,omitempty" doc:"Values of each dense vector." min:"1" max:"dimension"`
	Metric       string            `json:"metric" doc:"How dense vectors are compared." enum:"cosine,euclidean,dot,manhattan" default:"cosine"`
	HNSW         *hnswJSON         `json:"hnsw" doc:"Of the graph that finds neighbours."`
	Quantization *quantizationJSON `json:"quantization" doc:"How vectors are kept smaller beside the whole ones."`
	Embedding    *embeddingJSON    `json:"embedding" doc:"Makes the dense vectors of texts by the configured endpoint, whose model and dimension the collection then has. Without it dense vectors are the caller's own."`
}

type hnswJSON struct {
	M              int `json:"m,omitempty" doc:"Neighbours of each vertex." min:"2" max:"128"`
	EfConstruction int `json:"ef_construction,omitempty" doc:"Width of the search for them." min:"4" max:"4096"`
}

type quantizationJSON struct {
	Type string `json:"type" enum:"scalar"`
}

type collectionMade struct {
	Message    string         `json:"message"`
	Collection collectionName `json:"collection"`
	Dimension  int            `json:"dimension,omitempty"`
	Metric     string         `json:"metric,omitempty"`
}

func (s *Server) nativeCreateCollection(r *request, tc tenant.Context, q *newCollection) (collectionMade, error) {
	if err := s.resolveEmbedding(&tc, q); err != nil {
		return collectionMade{}, err
	}
	config := q.config()
	if err := config.Validate(s.limits.Request); err != nil {
		return collectionMade{}, err
	}
	if err := s.engine.CreateCollection(r.ctx, tc, string(q.Name), config); err != nil {
		return collectionMade{}, err
	}
	made := collectionMade{Message: "the collection is created", Collection: q.Name, Dimension: q.Dimension}
	if q.Dimension > 0 {
		made.Metric = q.Metric
	}
	return made, nil
}

// config is the configuration that is asked for: an ordinary one, which the
// other surfaces show in their words.
func (q *newCollection) config() collection.Config {
	var config collection.Config
	if q.Dimension > 0 {
		config.Vectors = []collection.VectorParams{{Size: q.Dimension, Distance: metricWords[q.Metric]}}
	}
	extra := map[string]any{}
	if q.HNSW != nil {
		extra["hnsw_config"] = q.HNSW.settings()
	}
	if q.Quantization != nil {
		extra["quantization_config"] = map[string]any{q.Quantization.Type: map[string]any{"type": "int8"}}
	}
	if q.Embedding != nil {
		extra[embeddingMember] = embeddingParams{model: q.Embedding.Model, dimension: q.Embedding.Dimension}.kept()
	}
	config.Extra = extra
	return config
}

// settings are the graph's in the words in which a collection keeps them.
func (h *hnswJSON) settings() map[string]any {
	set := map[string]any{}
	if h.M > 0 {
		set["m"] = int64(h.M)
	}
	if h.EfConstruction > 0 {
		set["ef_construct"] = int64(h.EfConstruction)
	}
	return set
}
