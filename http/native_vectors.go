package httpedge

import (
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeVectors are the operations on the points of one collection.
func (s *Server) nativeVectors() []*native {
	return []*native{
		operation[insertVectors, inserted]{
			id: "insert_vectors", method: "POST", path: "/insert_vectors", op: tenant.OpWrite, logs: tenant.LogInsert,
			summary: "Store vectors with their payloads.", status: 201,
			about: "All are stored, or none. A vector that is there already under the same id is replaced, as a whole.",
			do:    s.insertVectors,
		}.native(),
		operation[listVectors, vectorPage]{
			id: "list_vectors", method: "GET", path: "/collections/:name/vectors", op: tenant.OpRead, logs: tenant.LogGetVector,
			summary: "List the vectors of a collection, a page at a time, in the order of their ids.",
			about:   "Follow next_cursor to the end; offset is for clients that have no cursor, and ends where limit and offset together pass 10,000.",
			do:      s.listVectors,
		}.native(),
		operation[oneVector, nativeVector]{
			id: "get_vector", method: "GET", path: "/collections/:name/vectors/:id", op: tenant.OpRead, logs: tenant.LogGetVector,
			summary: "Get a vector with its payload.",
			about:   "A text in chunks has no vector under its own id; the answer 404 then names its chunks.",
			do: func(r *request, tc tenant.Context, q *oneVector) (nativeVector, error) {
				return s.getVector(r, tc, q.Collection, q.ID)
			},
		}.native(),
		operation[namedVector, nativeVector]{
			id: "find_vector", method: "POST", path: "/vector", op: tenant.OpRead, logs: tenant.LogGetVector,
			summary: "Get a vector with its payload: get_vector with a body.",
			do: func(r *request, tc tenant.Context, q *namedVector) (nativeVector, error) {
				return s.getVector(r, tc, q.Collection, q.ID)
			},
		}.native(),
		operation[putVector, nativeVector]{
			id: "update_vector", method: "PUT", path: "/collections/:name/vectors/:id", op: tenant.OpWrite, logs: tenant.LogUpdateVector,
			summary: "Change a vector that is there, its payload, or both.",
			about:   "Vectors that are given replace those of their names. Members of the payload that are given are set, null removes one; the others stay.",
			do: func(r *request, tc tenant.Context, q *putVector) (nativeVector, error) {
				return s.updateVector(r, tc, q.Collection, q.ID, &q.vectorChange)
			},
		}.native(),
		operation[namedUpdate, nativeVector]{
			id: "change_vector", method: "POST", path: "/update", op: tenant.OpWrite, logs: tenant.LogUpdateVector,
			summary: "Change a vector that is there: update_vector with a body.",
			do: func(r *request, tc tenant.Context, q *namedUpdate) (nativeVector, error) {
				return s.updateVector(r, tc, q.Collection, q.ID, &q.vectorChange)
			},
		}.native(),
		operation[batchUpdate, batchUpdated]{
			id: "batch_update", method: "POST", path: "/batch_update", op: tenant.OpWrite, logs: tenant.LogUpdateVector,
			summary: "Change several vectors that are there.",
			about:   "As update_vector, for each. Those that are not there are named in missing; all others are changed, or none.",
			do:      s.batchUpdate,
		}.native(),
		operation[oneVector, vectorGone]{
			id: "delete_vector", method: "DELETE", path: "/collections/:name/vectors/:id", op: tenant.OpDeletePoints, logs: tenant.LogDeleteVector,
			summary: "Delete a vector.",
			do: func(r *request, tc tenant.Context, q *oneVector) (vectorGone, error) {
				return s.deleteVector(r, tc, q.Collection, q.ID)
			},
		}.native(),
		operation[namedVector, vectorGone]{
			id: "remove_vector", method: "POST", path: "/delete", op: tenant.OpDeletePoints, logs: tenant.LogDeleteVector,
			summary: "Delete a vector: delete_vector with a body.",
			do: func(r *request, tc tenant.Context, q *namedVector) (vectorGone, error) {
				return s.deleteVector(r, tc, q.Collection, q.ID)
			},
		}.native(),
		operation[batchDelete, batchDeleted]{
			id: "batch_delete", method: "POST", path: "/batch_delete", op: tenant.OpDeletePoints, logs: tenant.LogDeleteVector,
			summary: "Delete several vectors: all that are there, at once.",
			do:      s.batchDelete,
		}.native(),
	}
}

// batchHints are settings of older clients: batches are whole here and need none.
type batchHints struct {
	Config *struct {
		BatchSize int  `json:"max_batch_size,omitempty" min:"0"`
		Workers   int  `json:"parallel_workers,omitempty" min:"0"`
		Atomic    bool `json:"atomic,omitempty"`
	} `json:"config,omitempty" doc:"Hints of older clients. They change nothing: a batch is one change."`
}

type insertVectors struct {
	Collection collectionName `json:"collection" alias:"collection_name"`
	Vectors    []newVector    `json:"vectors" alias:"points" min:"1" max:"batch"`
	batchHints
}

type inserted struct {
	Message    string         `json:"message"`
	Collection collectionName `json:"collection"`
	Count      int            `json:"count" doc:"How many were sent."`
	Inserted   int            `json:"inserted"`
	Failed     int            `json:"failed" doc:"Always 0: all are stored, or none."`
	VectorIDs  []vectorID     `json:"vector_ids" doc:"In the order of the request."`
}

func (s *Server) insertVectors(r *request, tc tenant.Context, q *insertVectors) (inserted, error) {
	options, err := r.nativeWriteOptions()
	if err != nil {
		return inserted{}, err
	}
	points := make([]collection.Point, len(q.Vectors))
	ids := make([]vectorID, len(q.Vectors))
	for i := range q.Vectors {
		if q.Vectors[i].ID == "" {
			q.Vectors[i].ID = madeID(&options, i)
		}
		if points[i], ids[i], err = q.Vectors[i].point(); err != nil {
			return inserted{}, placed(within("vectors", within("["+strconv.Itoa(i)+"]", err)))
		}
	}
	if _, err := s.engine.Write(r.ctx, tc, string(q.Collection), collection.Write{Upsert: points}, options); err != nil {
		return inserted{}, err
	}
	return inserted{Message: "the vectors are stored", Collection: q.Collection, Count: len(ids), Inserted: len(ids), VectorIDs: ids}, nil
}

// oneVector names a vector in the path, namedVector in the body.
type oneVector struct {
	Collection collectionName `path:"name"`
	ID         vectorID       `path:"id"`
}

type namedVector struct {
	Collection collectionName `json:"collection" alias:"collection_name"`
	ID         vectorID       `json:"id" alias:"vector_id"`
}

// nativeVector is a vector alone in an answer.
type nativeVector struct {
	nativePoint
	Collection collectionName     `json:"collection"`
	Data       []float32          `json:"data,omitempty" doc:"The same as vector, for older clients."`
	Metadata   collection.Payload `json:"metadata,omitempty" doc:"The same as payload, for older clients."`
}

func (s *Server) getVector(r *request, tc tenant.Context, name collectionName, id vectorID) (nativeVector, error) {
	point, _ := id.point()
	points, err := s.engine.Retrieve(r.ctx, tc, string(name), []collection.PointID{point}, wholePayload, allVectors)
	if err != nil {
		return nativeVector{}, err
	}
	if len(points) == 0 {
		return nativeVector{}, s.errMissing(r, tc, name, id)
	}
	shown := shownPoint(&points[0])
	return nativeVector{nativePoint: shown, Collection: name, Data: shown.Vector, Metadata: shown.Payload}, nil
}

// vectorChange is what a vector is given.
type vectorChange struct {
	Vector   []float32                           `json:"vector,omitempty" alias:"data,embedding" doc:"Replaces the default dense vector."`
	Sparse   map[string]*collection.SparseVector `json:"sparse,omitempty" doc:"Replace the sparse vectors of these names." max:"64"`
	Payload  collection.Payload                  `json:"payload,omitempty" doc:"Members to set in the payload; null removes one."`
	Metadata collection.Payload                  `json:"metadata,omitempty" doc:"The same, as older clients name it."`
}

type putVector struct {
	oneVector
	vectorChange
}

type namedUpdate struct {
	namedVector
	vectorChange
}

// writes are the changes that it takes to make c of the point: of its vectors,
// nil for none, and of its payload, nil for none.
func (c *vectorChange) writes(id vectorID) (vectors *collection.Point, payload *collection.PayloadChange, err error) {
	point, _ := id.point()
	set, err := ownPayload(c.Payload, c.Metadata)
	switch {
	case err != nil:
		return nil, nil, err
	case c.Vector == nil && len(c.Sparse) == 0 && set == nil:
		return nil, nil, errValue("there is nothing to change: give a vector, sparse or a payload")
	}
	if c.Vector != nil || len(c.Sparse) > 0 {
		vectors = &collection.Point{ID: point, Vector: c.Vector, Vectors: sparseOf(c.Sparse)}
	}
	if set != nil {
		payload = &collection.PayloadChange{Payload: set}
		payload.IDs = []collection.PointID{point}
	}
	return vectors, payload, nil
}

// updateVector answers with the vector as it is then.
func (s *Server) updateVector(r *request, tc tenant.Context, name collectionName, id vectorID, c *vectorChange) (nativeVector, error) {
	options, err := r.nativeWriteOptions()
	if err != nil {
		return nativeVector{}, err
	}
	if err := s.embedChanges(r, tc, name, []*vectorChange{c}); err != nil {
		return nativeVector{}, err
	}
	vectors, payload, err := c.writes(id)
	if err != nil {
		return nativeVector{}, err
	}
	var w collection.Write
	switch {
	case vectors == nil:
		w.SetPayload = payload
	case payload == nil:
		w.UpdateVectors = []collection.Point{*vectors}
	default:
		w.Batch = []collection.Write{{UpdateVectors: []collection.Point{*vectors}}, {SetPayload: payload}}
	}
	point, _ := id.point()
	there, err := s.present(r, tc, name, []collection.PointID{point})
	if err != nil {
		return nativeVector{}, err
	}
	if !there[point] {
		return nativeVector{}, s.errMissing(r, tc, name, id)
	}
	if _, err := s.engine.Write(r.ctx, tc, string(name), w, options); err != nil {
		return nativeVector{}, err
	}
	return s.getVector(r, tc, name, id)
}

type batchUpdate struct {
	Collection collectionName `json:"collection" alias:"collection_name"`
	Updates    []struct {
		ID vectorID `json:"id" alias:"vector_id"`
		vectorChange
	} `json:"updates" min:"1" max:"999"`
	batchHints
}

type batchUpdated struct {
	Success    bool           `json:"success" doc:"Whether every vector was there."`
	Collection collectionName `json:"collection"`
	Operation  string         `json:"operation"`
	Total      int            `json:"total_operations"`
	Updated    int            `json:"successful_operations"`
	Failed     int            `json:"failed_operations"`
	Missing    []vectorID     `json:"missing" doc:"Those that are not there."`
	DurationMS float64        `json:"duration_ms"`
	Errors     []string       `json:"errors" doc:"In words, for older clients."`
}

func (s *Server) batchUpdate(r *request, tc tenant.Context, q *batchUpdate) (batchUpdated, error) {
	options, err := r.nativeWriteOptions()
	if err != nil {
		return batchUpdated{}, err
	}
	ids, changes := make([]vectorID, len(q.Updates)), make([]*vectorChange, len(q.Updates))
	for i := range q.Updates {
		ids[i], changes[i] = q.Updates[i].ID, &q.Updates[i].vectorChange
	}
	if err := s.embedChanges(r, tc, q.Collection, changes); err != nil {
		return batchUpdated{}, err
	}
	there, err := s.present(r, tc, q.Collection, pointIDs(ids))
	if err != nil {
		return batchUpdated{}, err
	}
	done := batchUpdated{Collection: q.Collection, Operation: "update", Total: len(ids), Missing: []vectorID{}, Errors: []string{}}
	var changed []collection.Point
	var w collection.Write
	for i := range q.Updates {
		vectors, payload, err := q.Updates[i].writes(ids[i])
		if err != nil {
			return batchUpdated{}, placed(within("updates", within("["+strconv.Itoa(i)+"]", err)))
		}
		if point, _ := ids[i].point(); !there[point] {
			done.Missing = append(done.Missing, ids[i])
			done.Errors = append(done.Errors, "there is no vector "+clipped(string(ids[i])))
			continue
		}
		if vectors != nil {
			changed = append(changed, *vectors)
		}
		if payload != nil {
			w.Batch = append(w.Batch, collection.Write{SetPayload: payload})
		}
	}
	if changed != nil {
		w.Batch = append(w.Batch, collection.Write{UpdateVectors: changed})
	}
	if w.Batch != nil {
		if _, err := s.engine.Write(r.ctx, tc, string(q.Collection), w, options); err != nil {
			return batchUpdated{}, err
		}
	}
	done.Failed = len(done.Missing)
	done.Updated, done.Success = done.Total-done.Failed, done.Failed == 0
	done.DurationMS = milliseconds(r.elapsed())
	return done, nil
}

type vectorGone struct {
	Message    string         `json:"message"`
	Collection collectionName `json:"collection"`
	ID         vectorID       `json:"id"`
}

func (s *Server) deleteVector(r *request, tc tenant.Context, name collectionName, id vectorID) (vectorGone, error) {
	_, missing, err := s.deletePoints(r, tc, name, []vectorID{id})
	if err != nil {
		return vectorGone{}, err
	}
	if missing > 0 {
		return vectorGone{}, errNoVector(id)
	}
	return vectorGone{Message: "the vector is deleted", Collection: name, ID: id}, nil
}

type batchDelete struct {
	Collection collectionName `json:"collection" alias:"collection_name"`
	IDs        []vectorID     `json:"ids" alias:"vector_ids" min:"1" max:"batch"`
	batchHints
}

type batchDeleted struct {
	Success    bool           `json:"success" doc:"Whether every id was there."`
	Collection collectionName `json:"collection"`
	Count      int            `json:"count" doc:"How many ids were sent."`
	Deleted    int            `json:"deleted" doc:"How many vectors, those of chunks among them."`
	Failed     int            `json:"failed" doc:"Those that were not there."`
}

func (s *Server) batchDelete(r *request, tc tenant.Context, q *batchDelete) (batchDeleted, error) {
	deleted, missing, err := s.deletePoints(r, tc, q.Collection, q.IDs)
	if err != nil {
		return batchDeleted{}, err
	}
	return batchDeleted{Success: missing == 0, Collection: q.Collection, Count: len(q.IDs), Deleted: deleted, Failed: missing}, nil
}

// uniqueIDs are the ids without repetitions, in their order.
func uniqueIDs(ids []collection.PointID) []collection.PointID {
	seen := make(map[collection.PointID]bool, len(ids))
	list := ids[:0]
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			list = append(list, id)
		}
	}
	return list
}
