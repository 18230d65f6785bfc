package httpedge

import (
	"crypto/sha256"
	"maps"
	"strconv"

	"github.com/google/uuid"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// newVector is a point in a request to store some.
type newVector struct {
	ID       vectorID                            `json:"id,omitempty" alias:"client_id" doc:"1 to 256 bytes; without one, a UUID is made. What is written as an unsigned integer or a UUID is that id on every surface."`
	Vector   []float32                           `json:"vector,omitempty" alias:"data,embedding" doc:"The default dense vector."`
	Sparse   map[string]*collection.SparseVector `json:"sparse,omitempty" doc:"Sparse vectors by their names; each index once." max:"64"`
	Payload  collection.Payload                  `json:"payload,omitempty" doc:"Any JSON object. Its member _id is reserved."`
	Metadata collection.Payload                  `json:"metadata,omitempty" doc:"Members of the payload, too, as older clients name it; of a member in both, payload's counts."`
}

// madeID is the id of the i-th point of a request that has none: with an
// idempotency key the same one each time, so that the answer to a repetition
// names what is stored.
func madeID(o *collection.WriteOptions, i int) vectorID {
	if o.IdempotencyKey == "" {
		return vectorID(uuid.NewString())
	}
	sum := sha256.Sum256(append([]byte(strconv.Itoa(i)+"\n"+o.IdempotencyKey+"\n"), o.RequestHash[:]...))
	u := uuid.UUID(sum[:16])
	u[6] = u[6]&0x0f | 0x80 // version 8: RFC 9562, section 5.8
	u[8] = u[8]&0x3f | 0x80
	return vectorID(u.String())
}

// point is the point that is asked for, under an id.
func (n *newVector) point() (collection.Point, vectorID, error) {
	if n.ID == "" {
		n.ID = vectorID(uuid.NewString())
	}
	id, kept := n.ID.point()
	payload, err := ownPayload(n.Payload, n.Metadata)
	if err != nil {
		return collection.Point{}, "", err
	}
	if kept {
		if payload == nil {
			payload = collection.Payload{}
		}
		payload[idMember] = string(n.ID)
	}
	return collection.Point{ID: id, Vector: n.Vector, Vectors: sparseOf(n.Sparse), Payload: payload}, n.ID, nil
}

// sparseOf are the sparse vectors of a request, in the order of their names.
func sparseOf(given map[string]*collection.SparseVector) []collection.NamedVector {
	var list []collection.NamedVector
	for _, name := range sortedKeys(given) {
		list = append(list, collection.NamedVector{Name: name, Sparse: given[name]})
	}
	return list
}

// ownPayload is the payload of a request: payload's members and those of
// metadata. What the API keeps there for itself is refused.
func ownPayload(payload, metadata collection.Payload) (collection.Payload, error) {
	if len(metadata) > 0 {
		both := maps.Clone(metadata)
		maps.Copy(both, payload)
		payload = both
	}
	if _, given := payload[idMember]; given {
		return nil, errValue("payload." + idMember + ": is reserved for the id")
	}
	return payload, nil
}

// nativePoint is a point in an answer.
type nativePoint struct {
	ID      vectorID                            `json:"id"`
	Vector  []float32                           `json:"vector,omitempty" doc:"The default dense vector. Of a collection with the metric cosine it is normalised."`
	Vectors map[string][]float32                `json:"vectors,omitempty" doc:"Dense vectors with names."`
	Sparse  map[string]*collection.SparseVector `json:"sparse,omitempty" doc:"Sparse vectors by their names."`
	Payload collection.Payload                  `json:"payload,omitempty"`
}

// nativeHit is a point that a search found.
type nativeHit struct {
	nativePoint
	Score float32 `json:"score" doc:"A similarity for cosine and dot, larger is nearer; a distance for euclidean and manhattan, smaller is nearer."`
}

// shownPoint is a point of the engine's, whose payload is given away.
func shownPoint(p *collection.Point) nativePoint {
	shown := nativePoint{ID: shownID(p.ID, p.Payload), Vector: p.Vector, Payload: p.Payload}
	if _, ours := keptID(p.ID, p.Payload); ours {
		delete(shown.Payload, idMember)
	}
	for _, v := range p.Vectors {
		if v.Sparse != nil {
			if shown.Sparse == nil {
				shown.Sparse = map[string]*collection.SparseVector{}
			}
			shown.Sparse[v.Name] = v.Sparse
			continue
		}
		if shown.Vectors == nil {
			shown.Vectors = map[string][]float32{}
		}
		shown.Vectors[v.Name] = v.Dense
	}
	return shown
}

func shownHits(hits []collection.Hit) []nativeHit {
	list := make([]nativeHit, len(hits))
	for i := range hits {
		h := &hits[i]
		list[i] = nativeHit{Score: h.Score, nativePoint: shownPoint(&collection.Point{ID: h.ID, Vector: h.Vector, Vectors: h.Vectors, Payload: h.Payload})}
	}
	return list
}

// shownParts says which parts of points are wanted: always what their ids are
// made of.
type shownParts struct {
	WithPayload bool     `json:"with_payload" query:"with_payload" default:"true" alias:"include_payload,include_metadata" doc:"Whether points come with their payloads."`
	WithVector  bool     `json:"with_vector" query:"with_vector" default:"false" alias:"with_vectors,include_vector" doc:"Whether points come with their vectors."`
	Payload     []string `json:"payload,omitempty" doc:"Of payloads, only what these paths lead to." max:"64"`
}

func (w *shownParts) selectors() (payload collection.PayloadSelector, vectors collection.VectorSelector) {
	switch {
	case len(w.Payload) > 0:
		payload.Include = append([]string{idMember}, w.Payload...)
	case w.WithPayload:
		payload.All = true
	default:
		payload.Include = []string{idMember}
	}
	vectors.All = w.WithVector
	return payload, vectors
}

// pointIDs are the points of ids, and the ids as strings that the API shows.
func pointIDs(list []vectorID) []collection.PointID {
	ids := make([]collection.PointID, len(list))
	for i, id := range list {
		ids[i], _ = id.point()
	}
	return ids
}

// errNoVector answers for an id that nothing is stored under.
func errNoVector(id vectorID) error {
	return collection.Errorf(collection.NotFound, "there is no vector %s in the collection", clipped(string(id)))
}

// present returns which of the points are there.
func (s *Server) present(r *request, tc tenant.Context, name collectionName, ids []collection.PointID) (map[collection.PointID]bool, error) {
	points, err := s.engine.Retrieve(r.ctx, tc, string(name), ids, collection.PayloadSelector{}, collection.VectorSelector{})
	if err != nil {
		return nil, err
	}
	there := make(map[collection.PointID]bool, len(points))
	for i := range points {
		there[points[i].ID] = true
	}
	return there, nil
}
