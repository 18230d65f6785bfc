package cluster

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
)

const dim = 8

// point is a point on the wire. All it holds follows from its tenant, its id
// and its stamp, so that every byte of an answer can be checked.
type point struct {
	ID      uint64       `json:"id"`
	Vector  [dim]float32 `json:"vector"`
	Payload struct {
		Canary string `json:"canary"`
		Stamp  int64  `json:"stamp"`
		Filler string `json:"filler"`
	} `json:"payload"`
}

// newPoint is the point that a stamp stands for.
func newPoint(who *tenantUser, id uint64, stamp int64, fill int) point {
	p := point{ID: id}
	rng := rand.New(rand.NewPCG(id, uint64(stamp)))
	for i := range p.Vector {
		p.Vector[i] = rng.Float32()
	}
	filler := make([]byte, rng.IntN(fill/2)+1)
	for i := range filler {
		filler[i] = byte(rng.Uint32())
	}
	p.Payload.Canary, p.Payload.Stamp, p.Payload.Filler = who.canary, stamp, hex.EncodeToString(filler)
	return p
}

// fillOf is how much filler points of an id have at most.
func fillOf(id uint64) int {
	if id >= insertsBegin {
		return 2000
	}
	return 400
}

// genuine says whether a point is one that its tenant may have written, whole.
func (p point) genuine(who *tenantUser) error {
	if want := newPoint(who, p.ID, p.Payload.Stamp, fillOf(p.ID)); p != want {
		return fmt.Errorf("point %d has bytes that nobody wrote: %.300v, want %.300v", p.ID, p, want)
	}
	return nil
}

// tenantUser is a tenant and its key. Its canary is in each of its points and
// in nobody else's.
type tenantUser struct {
	number          int
	id, key, canary string
}

const canaryPrefix = "canary-"

// foreign returns the first canary in an answer that is not the tenant's own.
func (u *tenantUser) foreign(body []byte) string {
	for rest := body; ; {
		at := bytes.Index(rest, []byte(canaryPrefix))
		if at < 0 {
			return ""
		}
		rest = rest[at:]
		if !bytes.HasPrefix(rest, []byte(u.canary)) {
			return string(rest[:min(len(rest), len(u.canary)+20)])
		}
		rest = rest[len(u.canary):]
	}
}

// newTenant makes a tenant, its key and its collection.
func newTenant(n *node, number int, rng *rand.Rand) (*tenantUser, error) {
	u := &tenantUser{number: number, canary: fmt.Sprintf("%s%016x-", canaryPrefix, rng.Uint64())}
	var made struct {
		ID  string `json:"tenant_id"`
		Key string `json:"key"`
	}
	operator := call{key: operatorKey, method: "POST", url: n.http + "/api/v1/tenants", body: map[string]any{"name": "tenant " + strconv.Itoa(number), "plan": "enterprise"}}
	if err := operator.into(&made); err != nil {
		return nil, err
	}
	u.id = made.ID
	operator.url, operator.body = n.http+"/api/v1/access-keys", map[string]any{"tenant_id": u.id, "permission": "READ_WRITE"}
	if err := operator.into(&made); err != nil {
		return nil, err
	}
	u.key = made.Key
	return u, u.create(n)
}

func (u *tenantUser) create(n *node) error {
	body := map[string]any{"vectors": map[string]any{"size": dim, "distance": "Euclid"}}
	return call{key: u.key, method: "PUT", url: n.qdrant + "/collections/k", body: body}.into(nil)
}

// all reads the whole collection through one node, and what it counts.
func (u *tenantUser) all(n *node) (points map[uint64]point, counts [2]int, err error) {
	points = map[uint64]point{}
	var offset any
	for {
		var page struct {
			Points []point
			Next   *uint64 `json:"next_page_offset"`
		}
		err := call{key: u.key, method: "POST", url: n.qdrant + "/collections/k/points/scroll", body: map[string]any{
			"limit": 1000, "with_vector": true, "with_payload": true, "offset": offset,
		}}.into(&page)
		if err != nil {
			return nil, counts, err
		}
		for _, p := range page.Points {
			points[p.ID] = p
		}
		if page.Next == nil {
			break
		}
		offset = *page.Next
	}
	var exact struct{ Count int }
	if err := (call{key: u.key, method: "POST", url: n.qdrant + "/collections/k/points/count", body: `{"exact":true}`}).into(&exact); err != nil {
		return nil, counts, err
	}
	var info struct {
		Points int `json:"points_count"`
	}
	if err := (call{key: u.key, method: "GET", url: n.qdrant + "/collections/k"}).into(&info); err != nil {
		return nil, counts, err
	}
	return points, [2]int{exact.Count, info.Points}, nil
}

// decodePoints finds the points of an answer to a read: a list, or an object
// with one.
func decodePoints(body []byte) ([]point, error) {
	var a struct{ Result json.RawMessage }
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	var list []point
	if bytes.HasPrefix(a.Result, []byte("[")) {
		err := json.Unmarshal(a.Result, &list)
		return list, err
	}
	var object struct{ Points []point }
	err := json.Unmarshal(a.Result, &object)
	return object.Points, err
}
