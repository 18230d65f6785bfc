package httpedge

import (
	"strings"
	"time"

	"github.com/valyala/fasthttp"

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
			about: "A collection without a dimension has no dense vectors. Texts are indexed in every collection, unless text says that they are not.",
			do:    s.nativeCreateCollection,
		}.native(),
		operation[oneCollection, nativeCollection]{
			id: "get_collection_info", method: "GET", path: "/collections/:name", op: tenant.OpRead, logs: tenant.LogCollectionInfo, tagged: true,
			summary: "Describe a collection.",
			about:   "The ETag is that of its configuration, not of what is in it; with If-None-Match it is answered 304 as long as it is the same.",
			do: func(r *request, tc tenant.Context, q *oneCollection) (nativeCollection, error) {
				return s.describe(r, tc, q.Name)
			},
		}.native(),
		operation[collectionChange, nativeCollection]{
			id: "update_collection", method: "PATCH", path: "/collections/:name", op: tenant.OpManageCollections, logs: tenant.LogCluster,
			summary: "Change settings of a collection.",
			about:   "With If-Match only if nobody has changed it since, else 412. Another m or ef_construction takes effect when the collection is next brought into memory.",
			do:      s.nativeUpdateCollection,
		}.native(),
		operation[oneCollection, collectionGone]{
			id: "delete_collection", method: "DELETE", path: "/collections/:name", op: tenant.OpManageCollections, logs: tenant.LogDeleteCollection,
			summary: "Delete a collection with all that is in it.",
			about:   "With If-Match only if nobody has changed its configuration since, else 412.",
			do:      s.nativeDeleteCollection,
		}.native(),
		operation[nothing, databaseStats]{
			id: "get_database_stats", method: "GET", path: "/stats", op: tenant.OpRead, logs: tenant.LogCollectionInfo,
			summary: "Count what the tenant has in the collections that the key is for.",
			do:      s.databaseStats,
		}.native(),
	}
}

// nothing is the request of an operation that needs to be told nothing.
type nothing struct{}

// metricWords are the native words for distances.
var metricWords = map[string]collection.Distance{
	"cosine": collection.Cosine, "euclidean": collection.Euclid, "dot": collection.Dot, "manhattan": collection.Manhattan,
}

// olderMetric is the word of older clients.
func olderMetric(word string) string {
	if word == "dot" {
		return "dot_product"
	}
	return word
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
	Name         string            `json:"name"`
	Dimension    int               `json:"dimension,omitempty" doc:"Of the default dense vector; absent when there is none."`
	Metric       string            `json:"metric,omitempty" doc:"How the default dense vectors are compared." enum:"cosine,euclidean,dot,manhattan"`
	Similarity   string            `json:"similarity_metric,omitempty" doc:"The metric in the words of older clients."`
	VectorCount  uint64            `json:"vector_count" doc:"Points in the collection."`
	Bytes        uint64            `json:"storage_bytes" doc:"What its points take, as stored."`
	Indexed      uint64            `json:"indexed_count" doc:"Vectors in a graph. Few vectors are searched without one."`
	Status       string            `json:"status" doc:"building while a graph is behind its points." enum:"ready,building"`
	CreatedAt    string            `json:"created_at" doc:"RFC 3339."`
	HNSW         *hnswJSON         `json:"hnsw,omitempty" doc:"What was set of the graph."`
	Quantization *quantizationJSON `json:"quantization,omitempty"`
	Vectors      []string          `json:"named_vectors,omitempty" doc:"Names of further dense vectors."`
	Sparse       []sparseJSON      `json:"sparse,omitempty" doc:"Its sparse vectors."`
	Text         *textJSON         `json:"text,omitempty" doc:"How its texts are indexed; absent when they are not."`
	Embedding    *embeddingJSON    `json:"embedding,omitempty" doc:"Which model makes its dense vectors of texts; absent when nobody does."`
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
	c := &info.Config
	body := nativeCollection{
		Name: info.Name, VectorCount: info.Points, Bytes: info.Bytes, Indexed: info.Indexed, Status: "ready",
		CreatedAt: time.UnixMilli(c.CreatedAt).UTC().Format(time.RFC3339),
		HNSW:      shownHNSW(c.Extra["hnsw_config"]),
	}
	if info.Building {
		body.Status = "building"
	}
	if v := defaultVector(c); v != nil {
		body.Dimension, body.Metric = v.Size, metricOf(v.Distance)
		body.Similarity = olderMetric(body.Metric)
	}
	if p, ok := embeddingOf(&info.Config); ok {
		body.Embedding = &embeddingJSON{Model: p.model, Dimension: p.dimension}
	}
	if given, _ := c.Extra["quantization_config"].(map[string]any); given["scalar"] != nil {
		body.Quantization = &quantizationJSON{Type: "scalar"}
	}
	for _, v := range c.Vectors {
		if v.Name != "" {
			body.Vectors = append(body.Vectors, v.Name)
		}
	}
	for _, v := range c.Sparse {
		body.Sparse = append(body.Sparse, sparseJSON{Name: v.Name, IDF: v.IDF})
	}
	if len(c.Text) > 0 {
		body.Text = shownText(&c.Text[0])
	}
	return body
}

// shownHNSW is what was set of the graph; nil for nothing.
func shownHNSW(set any) *hnswJSON {
	given, _ := set.(map[string]any)
	m, _ := given["m"].(int64)
	ef, _ := given["ef_construct"].(int64)
	if m == 0 && ef == 0 {
		return nil
	}
	return &hnswJSON{M: int(m), EfConstruction: int(ef)}
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
	Metric       metricName        `json:"metric" doc:"How dense vectors are compared." default:"cosine" alias:"similarity_metric,distance"`
	HNSW         *hnswJSON         `json:"hnsw" doc:"Of the graph that finds neighbours." alias:"hnsw_config"`
	Quantization *quantizationJSON `json:"quantization" doc:"How vectors are kept small beside the whole ones, in a graph. There is one way, and it is always used."`
	Sparse       []sparseJSON      `json:"sparse,omitempty" doc:"Sparse vectors that points may have." max:"63"`
	Text         *textJSON         `json:"text" doc:"How texts are indexed, to be found by their words."`
	Embedding    *embeddingJSON    `json:"embedding" doc:"Makes the dense vectors of texts by the configured endpoint, whose model and dimension the collection then has. Without it dense vectors are the caller's own."`
	Config       *olderConfig      `json:"config" doc:"dimension and metric, as older clients send them."`
}

type olderConfig struct {
	Dimension int        `json:"dimension,omitempty" min:"1" max:"dimension"`
	Metric    metricName `json:"metric" default:"cosine"`
}

// metricName is a native word for a distance.
type metricName string

// parse reads a metric; older clients write it with capitals, or as DotProduct.
func (m *metricName) parse(given string) error {
	word := strings.ReplaceAll(strings.ToLower(given), "_", "")
	if word == "dotproduct" {
		word = "dot"
	}
	if _, ok := metricWords[word]; !ok {
		return errValue(clipped(given) + " is not one of cosine, euclidean, dot, manhattan")
	}
	*m = metricName(word)
	return nil
}

type hnswJSON struct {
	M              int `json:"m,omitempty" doc:"Neighbours of each vertex." min:"2" max:"128"`
	EfConstruction int `json:"ef_construction,omitempty" alias:"ef_construct" doc:"Width of the search for them." min:"4" max:"4096"`
}

type quantizationJSON struct {
	Type string `json:"type" enum:"scalar" doc:"scalar: a byte a value, compared once more as floats."`
}

type sparseJSON struct {
	Name string `json:"name" min:"1" max:"255"`
	IDF  bool   `json:"idf" default:"false" doc:"Whether values count the more, the fewer points have a component at their index."`
}

type collectionMade struct {
	Message    string         `json:"message"`
	Collection collectionName `json:"collection"`
	Dimension  int            `json:"dimension,omitempty"`
	Metric     metricName     `json:"metric,omitempty"`
	Similarity string         `json:"similarity_metric,omitempty" doc:"The metric in the words of older clients."`
	Name       collectionName `json:"name"`
}

func (s *Server) nativeCreateCollection(r *request, tc tenant.Context, q *newCollection) (collectionMade, error) {
	if q.Config != nil {
		if q.Dimension != 0 {
			return collectionMade{}, errValue("config: not beside dimension")
		}
		q.Dimension, q.Metric = q.Config.Dimension, q.Config.Metric
	}
	if err := s.resolveEmbedding(&tc, q); err != nil {
		return collectionMade{}, err
	}
	config := q.config()
	if err := config.Validate(s.limits.Request); err != nil {
		return collectionMade{}, err
	}
	o, err := r.changeOptions()
	if err != nil {
		return collectionMade{}, err
	}
	if err := s.engine.CreateCollection(r.ctx, tc, string(q.Name), config, o); err != nil {
		return collectionMade{}, err
	}
	made := collectionMade{Message: "the collection is created", Collection: q.Name, Name: q.Name, Dimension: q.Dimension}
	if q.Dimension > 0 {
		made.Metric, made.Similarity = q.Metric, olderMetric(string(q.Metric))
	}
	return made, nil
}

// config is the configuration that is asked for: an ordinary one, which the
// other surfaces show in their words.
func (q *newCollection) config() collection.Config {
	var config collection.Config
	if q.Dimension > 0 {
		config.Vectors = []collection.VectorParams{{Size: q.Dimension, Distance: metricWords[string(q.Metric)]}}
	}
	for _, v := range q.Sparse {
		p := collection.SparseParams{Name: v.Name, IDF: v.IDF}
		if v.IDF {
			p.Extra = map[string]any{"modifier": "idf"}
		}
		config.Sparse = append(config.Sparse, p)
	}
	if p, ok := q.Text.params(); ok {
		config.Text = []collection.TextParams{p}
	}
	config.Extra = settingsOf(q.HNSW, q.Quantization)
	if q.Embedding != nil {
		config.Extra[embeddingMember] = embeddingParams{model: q.Embedding.Model, dimension: q.Embedding.Dimension}.kept()
	}
	return config
}

// settingsOf are settings in the words in which a collection keeps them.
func settingsOf(h *hnswJSON, q *quantizationJSON) map[string]any {
	extra := map[string]any{}
	if h != nil {
		extra["hnsw_config"] = h.settings()
	}
	if q != nil {
		extra["quantization_config"] = map[string]any{q.Type: map[string]any{"type": "int8"}}
	}
	return extra
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

type oneCollection struct {
	Name collectionName `path:"name"`
}

func (s *Server) describe(r *request, tc tenant.Context, name collectionName) (nativeCollection, error) {
	info, err := s.engine.GetCollection(r.ctx, tc, string(name))
	if err != nil {
		return nativeCollection{}, err
	}
	tag, err := info.Config.Tag(info.ID)
	if err != nil {
		return nativeCollection{}, err
	}
	if r.surface != surfaceNative {
		return describeNative(&info), nil
	}
	r.http.Response.Header.Set("Etag", etagOf(tag))
	if text(r.http.Method()) == fasthttp.MethodGet && r.header("If-None-Match") == etagOf(tag) {
		return nativeCollection{}, errNotModified
	}
	return describeNative(&info), nil
}

type collectionChange struct {
	Name         collectionName    `path:"name"`
	HNSW         *hnswJSON         `json:"hnsw" alias:"hnsw_config"`
	Quantization *quantizationJSON `json:"quantization"`
}

func (s *Server) nativeUpdateCollection(r *request, tc tenant.Context, q *collectionChange) (nativeCollection, error) {
	set := settingsOf(q.HNSW, q.Quantization)
	if len(set) == 0 {
		return nativeCollection{}, errValue("there is nothing to change: give hnsw or quantization")
	}
	o, err := r.changeOptions()
	if err != nil {
		return nativeCollection{}, err
	}
	if err := s.engine.UpdateCollection(r.ctx, tc, string(q.Name), collection.UpdateCollection{Settings: set}, o); err != nil {
		return nativeCollection{}, err
	}
	return s.describe(r, tc, q.Name)
}

type collectionGone struct {
	Message    string         `json:"message"`
	Collection collectionName `json:"collection"`
}

func (s *Server) nativeDeleteCollection(r *request, tc tenant.Context, q *oneCollection) (collectionGone, error) {
	o, err := r.changeOptions()
	if err != nil {
		return collectionGone{}, err
	}
	existed, err := s.engine.DeleteCollection(r.ctx, tc, string(q.Name), o)
	if err == nil && !existed {
		err = collection.Errorf(collection.NotFound, "there is no collection %s", clipped(string(q.Name)))
	}
	return collectionGone{Message: "the collection is deleted", Collection: q.Name}, err
}

type databaseStats struct {
	Collections int    `json:"collections"`
	Vectors     uint64 `json:"vectors"`
	Bytes       uint64 `json:"storage_bytes"`
}

func (s *Server) databaseStats(r *request, tc tenant.Context, _ *nothing) (databaseStats, error) {
	all, err := s.engine.ListCollections(r.ctx, tc)
	if err != nil {
		return databaseStats{}, err
	}
	var sum databaseStats
	for i := range all {
		if !tc.MayCollection(all[i].Name) {
			continue
		}
		sum.Collections++
		sum.Vectors += all[i].Points
		sum.Bytes += all[i].Bytes
	}
	return sum, nil
}
