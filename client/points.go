package client

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// PointID names a point: an unsigned integer or a UUID. The zero PointID is 0.
type PointID struct {
	num  uint64
	uuid string
}

// NumID returns the id n.
func NumID(n uint64) PointID { return PointID{num: n} }

// UUID returns the id s, a UUID in any of its usual forms. The server says
// when it is none, and answers with the hyphenated form.
func UUID(s string) PointID { return PointID{uuid: s} }

// Num returns the integer, and whether the id is one.
func (id PointID) Num() (uint64, bool) { return id.num, id.uuid == "" }

// String returns the integer or the UUID.
func (id PointID) String() string {
	if id.uuid != "" {
		return id.uuid
	}
	return strconv.FormatUint(id.num, 10)
}

// MarshalJSON writes a number or a string.
func (id PointID) MarshalJSON() ([]byte, error) {
	if id.uuid != "" {
		return json.Marshal(id.uuid)
	}
	return strconv.AppendUint(nil, id.num, 10), nil
}

// UnmarshalJSON reads a number or a string.
func (id *PointID) UnmarshalJSON(b []byte) error {
	*id = PointID{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &id.uuid)
	}
	return json.Unmarshal(b, &id.num)
}

// Point is what a collection stores. In answers Payload and Vector are there
// when they were asked for, and the numbers of a payload are json.Number.
type Point struct {
	ID      PointID        `json:"id"`
	Vector  []float32      `json:"vector,omitempty"`
	Payload map[string]any `json:"payload,omitempty"`
}

// ScoredPoint is one answer of a query.
type ScoredPoint struct {
	Point
	Version uint64  `json:"version"`
	Score   float32 `json:"score"`
}

// Fields says what of a point an answer has besides its id.
type Fields struct {
	Payload bool `json:"with_payload"`
	Vector  bool `json:"with_vector"`
}

// QueryRequest asks for the points nearest to a vector.
type QueryRequest struct {
	Fields
	Vector         []float32 `json:"query"`
	Filter         *Filter   `json:"filter,omitempty"`
	Limit          int       `json:"limit,omitempty"` // 0 is the server's default, 10
	Offset         int       `json:"offset,omitempty"`
	ScoreThreshold *float32  `json:"score_threshold,omitempty"`
	Params         Params    `json:"params,omitzero"`
}

// Params say how to search. The zero Params leave it to the server.
type Params struct {
	EfSearch int  `json:"hnsw_ef,omitempty"` // width of the search in the graph: more finds better, and takes longer
	Exact    bool `json:"exact,omitempty"`   // compare every vector
}

// ScrollRequest asks for points in the order of their ids.
type ScrollRequest struct {
	Fields
	Offset *PointID `json:"offset,omitempty"` // the first id wanted; nil begins at the first point
	Filter *Filter  `json:"filter,omitempty"`
	Limit  int      `json:"limit,omitempty"` // 0 is the server's default, 10
}

// Page is the answer to a ScrollRequest.
type Page struct {
	Points []Point  `json:"points"`
	Next   *PointID `json:"next_page_offset"` // the next Offset, nil after the last page
}

// Upsert stores points, replacing those whose ids are there. When it returns
// without an error they are durable and searchable.
func (c *Client) Upsert(ctx context.Context, collection string, points []Point) error {
	body := append(make([]byte, 0, 1024), `{"points":[`...)
	for i := range points {
		if i > 0 {
			body = append(body, ',')
		}
		var err error
		if body, err = appendPoint(body, &points[i]); err != nil {
			return fmt.Errorf("point %s: %w", points[i].ID, err)
		}
	}
	body = append(body, "]}"...)
	return c.do(ctx, &request{method: "PUT", path: collectionPath(collection) + "/points?wait=true", body: body, again: true}, nil)
}

// appendPoint writes a point as JSON. Loading is mostly the writing of floats,
// and by hand that is several times as fast as by reflection.
func appendPoint(b []byte, p *Point) ([]byte, error) {
	id, err := p.ID.MarshalJSON()
	if err != nil {
		return nil, err
	}
	b = append(append(b, `{"id":`...), id...)
	if p.Vector != nil {
		if b, err = appendFloats(append(b, `,"vector":`...), p.Vector); err != nil {
			return nil, err
		}
	}
	if p.Payload != nil {
		payload, err := json.Marshal(p.Payload)
		if err != nil {
			return nil, fmt.Errorf("encode payload: %w", err)
		}
		b = append(append(b, `,"payload":`...), payload...)
	}
	return append(b, '}'), nil
}

func appendFloats(b []byte, vector []float32) ([]byte, error) {
	b = append(b, '[')
	for i, v := range vector {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("component %d of the vector is %v", i, v)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(v), 'g', -1, 32)
	}
	return append(b, ']'), nil
}

// Retrieve returns those of the points that are there.
func (c *Client) Retrieve(ctx context.Context, collection string, ids []PointID, f Fields) ([]Point, error) {
	in := struct {
		Fields
		IDs []PointID `json:"ids"`
	}{f, orEmpty(ids)}
	var answer result[[]Point]
	err := c.ask(ctx, collectionPath(collection)+"/points", in, &answer)
	return answer.Result, err
}

// Delete deletes points by id. Ids that are not there are no error.
func (c *Client) Delete(ctx context.Context, collection string, ids []PointID) error {
	in := map[string]any{"points": orEmpty(ids)}
	return c.call(ctx, "POST", collectionPath(collection)+"/points/delete?wait=true", in, nil)
}

// DeleteByFilter deletes the points that pass a filter.
func (c *Client) DeleteByFilter(ctx context.Context, collection string, f Filter) error {
	in := map[string]any{"filter": f}
	return c.call(ctx, "POST", collectionPath(collection)+"/points/delete?wait=true", in, nil)
}

// SetPayload sets the given keys in the payloads of points and leaves others.
func (c *Client) SetPayload(ctx context.Context, collection string, ids []PointID, payload map[string]any) error {
	in := map[string]any{"points": orEmpty(ids), "payload": payload}
	return c.call(ctx, "POST", collectionPath(collection)+"/points/payload?wait=true", in, nil)
}

// DeletePayload removes keys from the payloads of points.
func (c *Client) DeletePayload(ctx context.Context, collection string, ids []PointID, keys []string) error {
	in := map[string]any{"points": orEmpty(ids), "keys": orEmpty(keys)}
	return c.call(ctx, "POST", collectionPath(collection)+"/points/payload/delete?wait=true", in, nil)
}

// Scroll returns one page of points.
func (c *Client) Scroll(ctx context.Context, collection string, r ScrollRequest) (Page, error) {
	var answer result[Page]
	err := c.ask(ctx, collectionPath(collection)+"/points/scroll", r, &answer)
	return answer.Result, err
}

// Count counts the points that pass a filter, exactly; nil counts all.
func (c *Client) Count(ctx context.Context, collection string, f *Filter) (uint64, error) {
	in := struct {
		Filter *Filter `json:"filter,omitempty"`
		Exact  bool    `json:"exact"`
	}{f, true}
	var answer result[struct{ Count uint64 }]
	err := c.ask(ctx, collectionPath(collection)+"/points/count", in, &answer)
	return answer.Result.Count, err
}

// Query returns the points nearest to a vector, best first.
func (c *Client) Query(ctx context.Context, collection string, r QueryRequest) ([]ScoredPoint, error) {
	var answer result[struct{ Points []ScoredPoint }]
	err := c.ask(ctx, collectionPath(collection)+"/points/query", r, &answer)
	return answer.Result.Points, err
}

// orEmpty keeps nil from becoming null, or from being left out: no ids are no
// points, not all of them.
func orEmpty[E any](list []E) []E {
	if list == nil {
		return []E{}
	}
	return list
}
