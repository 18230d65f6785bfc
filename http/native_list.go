package httpedge

import (
	"cmp"
	"slices"
	"time"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// listVectors asks for a page of a collection's points.
type listVectors struct {
	Collection  collectionName `path:"name"`
	Limit       int            `query:"limit" default:"10" min:"1" max:"1000"`
	Cursor      string         `query:"cursor,omitempty" doc:"next_cursor of the page before." max:"64"`
	Offset      int            `query:"offset" default:"0" min:"0" max:"topk" doc:"How many to pass over; not with a cursor."`
	WithPayload bool           `query:"with_payload" default:"true"`
	WithVector  bool           `query:"with_vector" default:"true"`
}

type vectorPage struct {
	Vectors    []nativePoint `json:"vectors"`
	Total      uint64        `json:"total" doc:"How many are in the collection."`
	Limit      int           `json:"limit"`
	Offset     int           `json:"offset"`
	NextCursor string        `json:"next_cursor,omitempty" doc:"Where the next page begins; absent on the last."`
}

func (s *Server) listVectors(r *request, tc tenant.Context, q *listVectors) (vectorPage, error) {
	page := vectorPage{Vectors: []nativePoint{}, Limit: q.Limit, Offset: q.Offset}
	info, err := s.engine.GetCollection(r.ctx, tc, string(q.Collection))
	if err != nil {
		return page, err
	}
	page.Total = info.Points
	from, ended, err := s.pageStart(r, tc, q)
	if err != nil || ended {
		return page, err
	}
	parts := shownParts{WithPayload: q.WithPayload, WithVector: q.WithVector}
	req := collection.ScrollRequest{Offset: from, Limit: q.Limit}
	req.WithPayload, req.WithVector = parts.selectors()
	got, err := s.engine.Scroll(r.ctx, tc, string(q.Collection), req)
	if err != nil {
		return page, err
	}
	for i := range got.Points {
		page.Vectors = append(page.Vectors, shownPoint(&got.Points[i]))
	}
	page.NextCursor = cursorOf(got.Next)
	return page, nil
}

// pageStart is the first id that may be in the page, and whether there is none
// any more.
func (s *Server) pageStart(r *request, tc tenant.Context, q *listVectors) (from *collection.PointID, ended bool, err error) {
	switch {
	case q.Cursor != "" && q.Offset > 0:
		return nil, false, errValue("offset: not with a cursor")
	case q.Cursor != "":
		from, err = readCursor(q.Cursor)
		return from, false, err
	case q.Offset == 0:
		return nil, false, nil
	case q.Offset+q.Limit > s.limits.Request.TopK:
		return nil, false, errValue("offset: too far, follow next_cursor instead")
	}
	got, err := s.engine.Scroll(r.ctx, tc, string(q.Collection), collection.ScrollRequest{Limit: q.Offset})
	return got.Next, got.Next == nil, err
}

// A cursor over points is the id of the next one.

func cursorOf(next *collection.PointID) string {
	if next == nil {
		return ""
	}
	return next.String()
}

func readCursor(cursor string) (*collection.PointID, error) {
	id, err := collection.ParseID(cursor)
	if err != nil {
		return nil, errValue("cursor: must be the next_cursor of an answer")
	}
	return &id, nil
}

// sortedKeys are the keys of a map, in their order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
