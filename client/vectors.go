package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"strconv"
)

// Sparse is a sparse vector: values at some indices, each index once.
type Sparse struct {
	Indices []uint32  `json:"indices"`
	Values  []float32 `json:"values"`
}

// Vector is a point as the native API has it. An ID is 1 to 256 bytes; what is
// written as an unsigned integer or a hyphenated UUID is that id in Qdrant's API,
// too. In answers numbers of a payload are json.Number.
type Vector struct {
	ID      string               `json:"id,omitempty"` // "" when it is stored: the server makes a UUID
	Values  []float32            `json:"vector,omitempty"`
	Named   map[string][]float32 `json:"vectors,omitempty"` // in answers
	Sparse  map[string]*Sparse   `json:"sparse,omitempty"`
	Payload map[string]any       `json:"payload,omitempty"`
}

// InsertVectors stores vectors, all or none, replacing those whose ids are
// there, and returns their ids. When it returns without an error they are durable
// and searchable. A request takes up to 10,000.
func (k *Collection) InsertVectors(ctx context.Context, vectors []Vector) (ids []string, err error) {
	r := request{method: "POST", path: nativePath("insert_vectors"), again: true}
	if r.body, err = openInsert(k.name, "vectors"); err != nil {
		return nil, err
	}
	for i := range vectors {
		if i > 0 {
			r.body = append(r.body, ',')
		}
		if r.body, err = vectors[i].append(r.body); err != nil {
			return nil, fmt.Errorf("vector %d, %q: %w", i, vectors[i].ID, err)
		}
		r.again = r.again && vectors[i].ID != ""
	}
	r.body = append(r.body, "]}"...)
	var answer struct {
		IDs []string `json:"vector_ids"`
	}
	err = k.c.do(ctx, &r, &answer)
	return answer.IDs, err
}

// openInsert begins a request that stores something in a collection.
func openInsert(collection, list string) ([]byte, error) {
	name, err := json.Marshal(collection)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return append(append(append(make([]byte, 0, 4096), `{"collection":`...), name...), `,"`+list+`":[`...), nil
}

// append writes v as JSON, as appendPoint does for points.
func (v *Vector) append(b []byte) (_ []byte, err error) {
	rest := struct {
		ID      string             `json:"id,omitempty"`
		Sparse  map[string]*Sparse `json:"sparse,omitempty"`
		Payload map[string]any     `json:"payload,omitempty"`
	}{v.ID, v.Sparse, v.Payload}
	b = append(b, '{')
	if v.Values != nil {
		if b, err = appendFloats(append(b, `"vector":`...), v.Values); err != nil {
			return nil, err
		}
	}
	other, err := json.Marshal(rest)
	if err != nil {
		return nil, fmt.Errorf("encode payload: %w", err)
	}
	if v.Values != nil && len(other) > 2 {
		b = append(b, ',')
	}
	return append(b, other[1:]...), nil
}

// Get returns a vector with its payload. That there is none is an error of
// status 404.
func (k *Collection) Get(ctx context.Context, id string) (Vector, error) {
	var v Vector
	err := k.c.call(ctx, "GET", k.path("vectors", id), nil, &v)
	return v, err
}

// Change says what is to be others in a vector that is there.
type Change struct {
	Values  []float32          `json:"vector,omitempty"`
	Sparse  map[string]*Sparse `json:"sparse,omitempty"`
	Payload map[string]any     `json:"payload,omitempty"` // members to set; nil removes one
}

// UpdateVector changes a vector that is there, and returns what it is then.
func (k *Collection) UpdateVector(ctx context.Context, id string, change Change) (Vector, error) {
	var v Vector
	err := k.c.callAgain(ctx, true, "PUT", k.path("vectors", id), change, &v)
	return v, err
}

// VectorChange is a Change of the vector of an id.
type VectorChange struct {
	ID string `json:"id"`
	Change
}

// UpdateVectors changes those of the vectors that are there, all of them or none,
// and returns the ids of the others. A request takes up to 999.
func (k *Collection) UpdateVectors(ctx context.Context, changes []VectorChange) (missing []string, err error) {
	in := struct {
		Collection string         `json:"collection"`
		Updates    []VectorChange `json:"updates"`
	}{k.name, orEmpty(changes)}
	var answer struct {
		Missing []string `json:"missing"`
	}
	err = k.c.callAgain(ctx, true, "POST", nativePath("batch_update"), in, &answer)
	return answer.Missing, err
}

// DeleteVector deletes a vector, or a text with its chunks. That there is none is
// an error of status 404.
func (k *Collection) DeleteVector(ctx context.Context, id string) error {
	return k.c.call(ctx, "DELETE", k.path("vectors", id), nil, nil)
}

// DeleteVectors deletes those of the vectors that are there and says how many
// points these were. A request takes up to 10,000.
func (k *Collection) DeleteVectors(ctx context.Context, ids []string) (deleted int, err error) {
	in := struct {
		Collection string   `json:"collection"`
		IDs        []string `json:"ids"`
	}{k.name, orEmpty(ids)}
	var answer struct {
		Deleted int `json:"deleted"`
	}
	err = k.c.callAgain(ctx, true, "POST", nativePath("batch_delete"), in, &answer)
	return answer.Deleted, err
}

// DeleteWhere deletes the vectors that pass a filter, which must have a
// condition, and says how many these were.
func (k *Collection) DeleteWhere(ctx context.Context, f Filter) (deleted int, err error) {
	in := struct {
		Filter Filter `json:"filter"`
	}{f}
	var answer struct {
		Deleted int `json:"deleted"`
	}
	err = k.c.callAgain(ctx, true, "POST", k.path("vectors", "delete_by_filter"), in, &answer)
	return answer.Deleted, err
}

// UpdateWhere sets members of the payloads that pass a filter, which must have a
// condition; nil removes one. It says how many vectors passed.
func (k *Collection) UpdateWhere(ctx context.Context, f Filter, payload map[string]any) (updated int, err error) {
	in := struct {
		Filter Filter         `json:"filter"`
		Patch  map[string]any `json:"patch"`
	}{f, payload}
	var answer struct {
		Updated int `json:"updated"`
	}
	err = k.c.callAgain(ctx, true, "POST", k.path("vectors", "bulk_update_metadata"), in, &answer)
	return answer.Updated, err
}

// Transfer says which vectors go to another collection, and how far they got.
type Transfer struct {
	Destination string   `json:"destination"`
	IDs         []string `json:"ids,omitempty"`
	Filter      *Filter  `json:"filter,omitempty"` // without IDs; an empty one is all
	Limit       int      `json:"limit,omitempty"`  // of one request; 0 is the server's default
	Cursor      string   `json:"cursor,omitempty"` // where to go on
}

// Transferred is what one request of a Transfer did.
type Transferred struct {
	Copied  int      `json:"copied"`
	Moved   int      `json:"moved"` // of these, removed from the source
	Missing []string `json:"missing"`
	Next    string   `json:"next_cursor"` // "": all is done; else the Cursor of the next request
}

// Copy copies vectors to another collection of the tenant: a part of them, until
// Next is "".
func (k *Collection) Copy(ctx context.Context, t Transfer) (Transferred, error) {
	var done Transferred
	err := k.c.callAgain(ctx, true, "POST", k.path("vectors", "copy"), t, &done)
	return done, err
}

// Move is Copy, and removes from the collection what was copied.
func (k *Collection) Move(ctx context.Context, t Transfer) (Transferred, error) {
	var done Transferred
	err := k.c.call(ctx, "POST", k.path("vectors", "move"), t, &done)
	return done, err
}

// List asks for a page of vectors, in the order of their ids.
type List struct {
	Limit   int    // 0 is the server's default, 10; at most 1,000
	Cursor  string // of the page before; "": the first page
	Bare    bool   // without their values
	Outline bool   // without their payloads
}

// VectorPage is a page of a collection's vectors.
type VectorPage struct {
	Vectors []Vector `json:"vectors"`
	Total   uint64   `json:"total"`       // in the collection
	Next    string   `json:"next_cursor"` // "": this is the last page
}

// ListVectors returns a page of the collection's vectors.
func (k *Collection) ListVectors(ctx context.Context, l List) (VectorPage, error) {
	v := url.Values{}
	if l.Limit != 0 {
		v.Set("limit", strconv.Itoa(l.Limit))
	}
	if l.Cursor != "" {
		v.Set("cursor", l.Cursor)
	}
	if l.Bare {
		v.Set("with_vector", "false")
	}
	if l.Outline {
		v.Set("with_payload", "false")
	}
	path := k.path("vectors")
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	var page VectorPage
	err := k.c.call(ctx, "GET", path, nil, &page)
	return page, err
}

// All goes through the collection's vectors, in the order of their ids, a page of
// l.Limit at a time. An error is the last that it yields.
func (k *Collection) All(ctx context.Context, l List) iter.Seq2[Vector, error] {
	return func(yield func(Vector, error) bool) {
		for {
			page, err := k.ListVectors(ctx, l)
			if err != nil {
				yield(Vector{}, err)
				return
			}
			for _, v := range page.Vectors {
				if !yield(v, nil) {
					return
				}
			}
			if l.Cursor = page.Next; l.Cursor == "" {
				return
			}
		}
	}
}
