package httpedge

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// nativeMoves are the operations on many points at once: by a filter, and from
// one collection to another.
func (s *Server) nativeMoves() []*native {
	const pages = "A request does a bounded part of the work: while an answer has next_cursor, send the request again with it as cursor. " +
		"Each part is stored in the destination whole or not at all; ids that are there already are replaced."
	return []*native{
		operation[copyVectors, copied]{
			id: "copy_vectors", method: "POST", path: "/collections/:name/vectors/copy", op: tenant.OpWrite, logs: tenant.LogInsert,
			summary: "Copy vectors with their payloads to another collection of the tenant.", about: pages,
			do: func(r *request, tc tenant.Context, q *copyVectors) (copied, error) {
				return s.copyVectors(r, tc, q, false)
			},
		}.native(),
		operation[copyVectors, copied]{
			id: "move_vectors", method: "POST", path: "/collections/:name/vectors/move", op: tenant.OpDeletePoints, logs: tenant.LogUpdateVector,
			summary: "Move vectors with their payloads to another collection of the tenant.",
			about: pages + " A part is removed after it is stored, so a fault between leaves vectors in both collections, never in none;" +
				" what is written to one of them in between is removed with it.",
			do: func(r *request, tc tenant.Context, q *copyVectors) (copied, error) {
				return s.copyVectors(r, tc, q, true)
			},
		}.native(),
		operation[deleteByFilter, filterDone]{
			id: "delete_by_filter", method: "POST", path: "/collections/:name/vectors/delete_by_filter", op: tenant.OpDeletePoints, logs: tenant.LogDeleteVector,
			summary: "Delete the vectors whose payloads pass a filter.",
			about:   "A filter without a condition is refused. More than 10,000 vectors are deleted in several steps; a step is whole.",
			do:      s.deleteByFilter,
		}.native(),
		operation[bulkUpdate, bulkUpdated]{
			id: "bulk_update_metadata", method: "POST", path: "/collections/:name/vectors/bulk_update_metadata", op: tenant.OpWrite, logs: tenant.LogUpdateVector,
			summary: "Set members of the payloads that pass a filter.",
			about:   "Null removes a member. A filter without a condition is refused. More than 10,000 vectors are changed in several steps; a step is whole.",
			do:      s.bulkUpdate,
		}.native(),
	}
}

type copyVectors struct {
	Collection  collectionName     `path:"name"`
	Destination collectionName     `json:"destination" doc:"The other collection; it must be there, with vectors of the same sizes."`
	IDs         []vectorID         `json:"ids,omitempty" doc:"Which vectors; or else filter." max:"batch"`
	Filter      *collection.Filter `json:"filter" doc:"Those that pass it; not with ids. {} is all."`
	Limit       int                `json:"limit" default:"1000" min:"1" max:"batch" doc:"How many a request takes at most; fewer when they are large."`
	Cursor      string             `json:"cursor,omitempty" doc:"next_cursor of the answer before, to go on from there." max:"64"`
}

type copied struct {
	Source      collectionName `json:"source"`
	Destination collectionName `json:"destination"`
	Requested   int            `json:"requested" doc:"How many this request was about."`
	Copied      int            `json:"copied" doc:"Stored in the destination."`
	Moved       int            `json:"moved" doc:"Of these, removed from the source."`
	Failed      int            `json:"failed" doc:"Ids that are not there."`
	Missing     []vectorID     `json:"missing" doc:"They."`
	NextCursor  string         `json:"next_cursor,omitempty" doc:"There is more to do; absent when all is done."`
}

// copyBytesMax is how many bytes of vectors a request copies at most; one point
// it always does.
const copyBytesMax = 8 << 20

func (s *Server) copyVectors(r *request, tc tenant.Context, q *copyVectors, remove bool) (copied, error) {
	done := copied{Source: q.Collection, Destination: q.Destination, Missing: []vectorID{}}
	options, err := r.nativeWriteOptions()
	if err != nil {
		return done, err
	}
	switch {
	case (len(q.IDs) > 0) == (q.Filter != nil):
		return done, errValue("ids, filter: exactly one must be given")
	}
	info, err := s.engine.GetCollection(r.ctx, tc, string(q.Collection))
	if err != nil {
		return done, err
	}
	target, err := s.engine.GetCollection(r.ctx, tc, string(q.Destination))
	if err != nil {
		return done, err
	}
	if target.ID == info.ID { // or both are names of one
		return done, errValue("destination: is the collection itself")
	}
	if err := sameModel(&info, &target); err != nil {
		return done, err
	}
	points, err := s.pageToCopy(r, tc, q, pageOfCopy(&info.Config, q.Limit), &done)
	if err != nil || len(points) == 0 {
		return done, err
	}
	ids := make([]collection.PointID, len(points))
	for i := range points {
		ids[i] = points[i].ID
	}
	w, release, err := s.copyOf(r, tc, q.Destination, points)
	if err != nil {
		return done, err
	}
	answer, err := s.engine.Write(r.ctx, tc, string(q.Destination), w, options)
	release()
	if err != nil {
		return done, err
	}
	if done.Copied = len(ids); !remove || answer.Collection == info.ID { // an alias may lead elsewhere by now
		return done, nil
	}
	answer, err = s.engine.Write(r.ctx, tc, string(q.Collection), collection.Write{Delete: &collection.Selection{IDs: ids}}, nextStep(options))
	done.Moved = answer.Affected
	return done, err
}

// copyOf is the change that stores copies of points in a collection. Of texts in
// chunks, the chunks go that are there behind those of the copy. Release ends the
// turns of the texts.
func (s *Server) copyOf(r *request, tc tenant.Context, name collectionName, points []collection.Point) (w collection.Write, release func(), err error) {
	w = collection.Write{Upsert: points}
	counts := map[vectorID]int{}
	for i := range points {
		parent, is := points[i].Payload[chunkParent].(string)
		at, isToo := points[i].Payload[chunkIndex].(int64)
		n, counted := points[i].Payload[chunkCount].(int64)
		if !is || !isToo || !counted || n <= 0 || at < 0 || at >= n || n > int64(s.limits.Request.BatchPoints) {
			continue
		}
		if made, _ := vectorID(parent).chunk(int(at)).point(); made == points[i].ID {
			counts[vectorID(parent)] = int(n)
		}
	}
	if len(counts) == 0 {
		return w, func() {}, nil
	}
	ids := sortedKeys(counts)
	texts := make([]storedText, len(ids))
	for i, id := range ids {
		texts[i] = storedText{id: id, given: true}
	}
	if release, err = s.replacing.enter(r.ctx, tc.TenantID, name, texts); err != nil {
		return w, nil, err
	}
	found, err := s.piecesOf(r, tc, name, ids)
	if err != nil {
		release()
		return w, nil, err
	}
	var old []collection.PointID
	for _, id := range ids {
		old = append(old, found[id].points(id, counts[id])...)
	}
	if len(old) > 0 {
		w = collection.Write{Batch: []collection.Write{{Delete: &collection.Selection{IDs: old}}, {Upsert: points}}}
	}
	return w, release, nil
}

// pageOfCopy is how many points of a collection a request copies.
func pageOfCopy(c *collection.Config, limit int) int {
	size := 1024 // for what else there is
	for _, v := range c.Vectors {
		size += 4 * v.Size
	}
	return max(1, min(limit, copyBytesMax/size))
}

// pageToCopy reads the points of this request, and notes in done where the next
// one goes on.
func (s *Server) pageToCopy(r *request, tc tenant.Context, q *copyVectors, limit int, done *copied) ([]collection.Point, error) {
	if q.Filter != nil {
		req := collection.ScrollRequest{Limit: limit, Filter: q.Filter, WithPayload: wholePayload, WithVector: allVectors}
		if q.Cursor != "" {
			from, err := readCursor(q.Cursor)
			if err != nil {
				return nil, err
			}
			req.Offset = from
		}
		page, err := s.engine.Scroll(r.ctx, tc, string(q.Collection), req)
		done.Requested, done.NextCursor = len(page.Points), cursorOf(page.Next)
		return page.Points, err
	}
	from := 0
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 10, 31)
		if err != nil || n >= uint64(len(q.IDs)) {
			return nil, errValue("cursor: must be the next_cursor of an answer to the same ids")
		}
		from = int(n)
	}
	part := q.IDs[from:min(from+limit, len(q.IDs))]
	if from+len(part) < len(q.IDs) {
		done.NextCursor = strconv.Itoa(from + len(part))
	}
	points, err := s.engine.Retrieve(r.ctx, tc, string(q.Collection), uniqueIDs(pointIDs(part)), wholePayload, allVectors)
	if err != nil {
		return nil, err
	}
	there := map[collection.PointID]bool{}
	for i := range points {
		there[points[i].ID] = true
	}
	for _, id := range part {
		if point, _ := id.point(); !there[point] {
			done.Missing = append(done.Missing, id)
		}
	}
	done.Requested, done.Failed = len(part), len(done.Missing)
	return points, nil
}

// nextStep are the options of a request's second write: under the same
// idempotency key it would be taken for a repetition of the first.
func nextStep(o collection.WriteOptions) collection.WriteOptions {
	if o.IdempotencyKey != "" {
		sum := sha256.Sum256([]byte("2\n" + o.IdempotencyKey))
		o.IdempotencyKey = hex.EncodeToString(sum[:])
	}
	return o
}

type deleteByFilter struct {
	Collection collectionName     `path:"name"`
	Filter     *collection.Filter `json:"filter"`
}

type filterDone struct {
	Collection collectionName `json:"collection"`
	Matched    int            `json:"matched"`
	Deleted    int            `json:"deleted"`
}

func (s *Server) deleteByFilter(r *request, tc tenant.Context, q *deleteByFilter) (filterDone, error) {
	n, err := s.byFilter(r, tc, q.Collection, q.Filter, func(sel collection.Selection) collection.Write {
		return collection.Write{Delete: &sel}
	})
	return filterDone{Collection: q.Collection, Matched: n, Deleted: n}, err
}

// byFilter makes a change of the points that pass a filter, and says of how many.
func (s *Server) byFilter(r *request, tc tenant.Context, name collectionName, f *collection.Filter, w func(collection.Selection) collection.Write) (int, error) {
	options, err := r.nativeWriteOptions()
	if err != nil {
		return 0, err
	}
	if err := someFilter(f); err != nil {
		return 0, err
	}
	answer, err := s.engine.Write(r.ctx, tc, string(name), w(collection.Selection{Filter: f}), options)
	return answer.Affected, err
}

type bulkUpdate struct {
	Collection collectionName     `path:"name"`
	Filter     *collection.Filter `json:"filter"`
	Patch      collection.Payload `json:"patch" alias:"metadata,payload" doc:"Members to set; null removes one."`
}

type bulkUpdated struct {
	Collection collectionName `json:"collection"`
	Matched    int            `json:"matched"`
	Updated    int            `json:"updated"`
}

func (s *Server) bulkUpdate(r *request, tc tenant.Context, q *bulkUpdate) (bulkUpdated, error) {
	patch, err := ownPayload(q.Patch, nil)
	if err != nil {
		return bulkUpdated{}, err
	}
	if len(patch) == 0 {
		return bulkUpdated{}, errValue("patch: must have a member")
	}
	if err := s.textStays(r, tc, q.Collection, patch); err != nil {
		return bulkUpdated{}, err
	}
	n, err := s.byFilter(r, tc, q.Collection, q.Filter, func(sel collection.Selection) collection.Write {
		return collection.Write{SetPayload: &collection.PayloadChange{Selection: sel, Payload: patch}}
	})
	return bulkUpdated{Collection: q.Collection, Matched: n, Updated: n}, err
}
