package client

import (
	"context"
	"net/url"
)

// Distance is how two vectors are compared.
type Distance string

// The distances.
const (
	Cosine    Distance = "Cosine"
	Euclid    Distance = "Euclid"
	Dot       Distance = "Dot"
	Manhattan Distance = "Manhattan"
)

// VectorParams describe the vectors of a collection.
type VectorParams struct {
	Size     int      `json:"size"`
	Distance Distance `json:"distance"`
}

// CollectionInfo describes a collection.
type CollectionInfo struct {
	Status      string `json:"status"` // green, or yellow while points, though searchable, wait for the graph index
	PointsCount uint64 `json:"points_count"`
	// IndexedVectorsCount is how many are in the graph index; 0 while the
	// collection is small enough to be searched exactly, or is not in memory.
	IndexedVectorsCount uint64 `json:"indexed_vectors_count"`
	Config              struct {
		Params struct {
			Vectors VectorParams `json:"vectors"`
		} `json:"params"`
	} `json:"config"`
}

// result is the envelope of the Qdrant API.
type result[R any] struct {
	Result R `json:"result"`
}

// collectionPath is where the Qdrant API has a collection, on the main listener.
func collectionPath(name string) string { return "/qdrant/collections/" + url.PathEscape(name) }

// CreateCollection makes an empty collection.
func (c *Client) CreateCollection(ctx context.Context, name string, v VectorParams) error {
	return c.call(ctx, "PUT", collectionPath(name), map[string]any{"vectors": v}, nil)
}

// DeleteCollection deletes a collection and reports whether there was one.
func (c *Client) DeleteCollection(ctx context.Context, name string) (bool, error) {
	var answer result[bool]
	err := c.call(ctx, "DELETE", collectionPath(name), nil, &answer)
	return answer.Result, err
}

// GetCollection describes a collection.
func (c *Client) GetCollection(ctx context.Context, name string) (CollectionInfo, error) {
	var answer result[CollectionInfo]
	err := c.call(ctx, "GET", collectionPath(name), nil, &answer)
	return answer.Result, err
}

// CollectionExists reports whether there is a collection of that name.
func (c *Client) CollectionExists(ctx context.Context, name string) (bool, error) {
	var answer result[struct{ Exists bool }]
	err := c.call(ctx, "GET", collectionPath(name)+"/exists", nil, &answer)
	return answer.Result.Exists, err
}

// ListCollections returns the names of the tenant's collections.
func (c *Client) ListCollections(ctx context.Context) ([]string, error) {
	var answer result[struct{ Collections []struct{ Name string } }]
	if err := c.call(ctx, "GET", "/qdrant/collections", nil, &answer); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(answer.Result.Collections))
	for _, c := range answer.Result.Collections {
		names = append(names, c.Name)
	}
	return names, nil
}
