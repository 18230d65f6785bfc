package httpedge

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// chunk is the id of a text's i-th chunk. Ids of texts have no #.
func (v vectorID) chunk(i int) vectorID { return v + "#" + vectorID(strconv.Itoa(i)) }

// plain is the id in the one form in which it is written back.
func (v vectorID) plain() vectorID {
	if id, kept := v.point(); !kept {
		return vectorID(id.String())
	}
	return v
}

// pieces are what is stored under an id: a point of its own, and the chunks of
// a text. Any chunk can be gone, each by itself, and more than one text can have
// left some; so they are looked for, and none is trusted to speak for all.
type pieces struct {
	own    bool
	chunks map[int]bool
	next   int // the first that is not looked for yet
	most   int // there may be chunks before it
}

const (
	chunksFirst = 32  // are looked for under every id of a request
	chunksFew   = 4   // likewise, of many ids
	idsFew      = 256 // are not many
	chunksTail  = 256 // are looked for behind the last that is known of
)

// at are the chunks that are looked for next: at first some of the first ones,
// and of those behind them fewer and fewer, as one is enough to know of the rest.
func (p *pieces) at(dst []int, few bool, all int) []int {
	first := p.next == 0
	end := min(all, p.most+chunksTail)
	if first {
		if end = chunksFirst; !few {
			end = chunksFew
		}
	}
	for ; p.next < end; p.next++ {
		dst = append(dst, p.next)
	}
	if first && few {
		for i := p.next; i < all; i += i / 2 {
			dst = append(dst, i)
		}
	}
	return dst
}

// note takes a chunk that was found.
func (p *pieces) note(i int, payload collection.Payload, all int) {
	if p.chunks == nil {
		p.chunks = map[int]bool{}
	}
	p.chunks[i] = true
	p.most = max(p.most, i+1)
	// Who writes payloads through another surface can claim anything.
	if n, is := payload[chunkCount].(int64); is && n > 0 && n <= int64(all) {
		p.most = max(p.most, int(n))
	}
}

// points are the chunks of an id from one on, in their order.
func (p *pieces) points(id vectorID, from int) []collection.PointID {
	var list []collection.PointID
	for _, i := range sortedKeys(p.chunks) {
		if i >= from {
			point, _ := id.chunk(i).point()
			list = append(list, point)
		}
	}
	return list
}

// piecesOf returns what there is under ids. A chunk is a point with the id of one
// whose payload names the text.
func (s *Server) piecesOf(r *request, tc tenant.Context, name collectionName, ids []vectorID) (map[vectorID]*pieces, error) {
	type place struct {
		id vectorID
		at int // -1: the id's own point
	}
	const own = -1
	all, few := s.limits.Request.BatchPoints, len(ids) <= idsFew
	found := make(map[vectorID]*pieces, len(ids))
	places := make(map[collection.PointID]place, len(ids))
	var points []collection.PointID
	look := func(id vectorID, is collection.PointID, at int) {
		places[is] = place{id, at}
		points = append(points, is)
	}
	for _, id := range ids {
		if found[id] == nil {
			found[id] = &pieces{}
			point, _ := id.point()
			look(id, point, own)
		}
	}
	var at []int
	for {
		for id, p := range found {
			if len(id) > textIDMax || p.next > 0 && p.most == 0 {
				continue
			}
			at = p.at(at[:0], few, all)
			for _, i := range at {
				point, _ := id.chunk(i).point()
				look(id, point, i)
			}
		}
		if len(points) == 0 {
			return found, nil
		}
		for part := range slices.Chunk(points, all) {
			there, err := s.engine.Retrieve(r.ctx, tc, string(name), part, collection.PayloadSelector{Include: []string{chunkParent, chunkCount}}, collection.VectorSelector{})
			if err != nil {
				return nil, err
			}
			for i := range there {
				of := places[there[i].ID]
				switch p := found[of.id]; {
				case of.at == own:
					p.own = true
				case there[i].Payload[chunkParent] == string(of.id):
					p.note(of.at, there[i].Payload, all)
				}
			}
		}
		clear(places)
		points = points[:0]
	}
}

// deletePoints removes points, and of texts in chunks all of these. It reports
// how many points it removed, and how many of the ids led to nothing.
func (s *Server) deletePoints(r *request, tc tenant.Context, name collectionName, ids []vectorID) (deleted, missing int, err error) {
	options, err := r.nativeWriteOptions()
	if err != nil {
		return 0, 0, err
	}
	texts := make([]storedText, len(ids))
	for i, id := range ids {
		ids[i] = id.plain()
		texts[i] = storedText{id: ids[i], given: true}
	}
	release, err := s.replacing.enter(r.ctx, tc.TenantID, name, texts)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	found, err := s.piecesOf(r, tc, name, ids)
	if err != nil {
		return 0, 0, err
	}
	points := make([]collection.PointID, 0, len(found))
	seen := 0
	for _, id := range sortedKeys(found) {
		p := found[id]
		point, _ := id.point()
		points = append(append(points, point), p.points(id, 0)...)
		if seen += len(p.chunks); p.own {
			seen++
		} else if len(p.chunks) == 0 {
			missing++
		}
	}
	answer, err := s.engine.Write(r.ctx, tc, string(name), collection.Write{Delete: &collection.Selection{IDs: uniqueIDs(points)}}, options)
	if answer.Affected != seen { // the answer to an earlier request under the same key
		missing = max(0, len(found)-answer.Affected)
	}
	return answer.Affected, missing, err
}

// errMissing answers for an id without a point of its own: of a text in chunks,
// it says where these are.
func (s *Server) errMissing(r *request, tc tenant.Context, name collectionName, id vectorID) error {
	id = id.plain()
	found, err := s.piecesOf(r, tc, name, []vectorID{id})
	if err != nil {
		return err
	}
	chunks := sortedKeys(found[id].chunks)
	if len(chunks) == 0 {
		return errNoVector(id)
	}
	return collection.Errorf(collection.NotFound, "%s is a text that is stored in %d chunks, each a vector of its own: ask for %s to %s",
		clipped(string(id)), len(chunks), clipped(string(id.chunk(chunks[0]))), clipped(string(id.chunk(chunks[len(chunks)-1]))))
}

// replaced are the points that texts are stored as now and will not be any more.
func (s *Server) replaced(r *request, tc tenant.Context, name collectionName, texts []storedText) ([]collection.PointID, error) {
	var given []vectorID
	for i := range texts {
		if texts[i].given {
			given = append(given, texts[i].id)
		}
	}
	if given == nil {
		return nil, nil
	}
	found, err := s.piecesOf(r, tc, name, given)
	if err != nil {
		return nil, err
	}
	var old []collection.PointID
	for i := range texts {
		t := &texts[i]
		if !t.given {
			continue
		}
		kept, p := 0, found[t.id]
		if t.chunked {
			kept = len(t.ids)
			if p.own {
				point, _ := t.id.point()
				old = append(old, point)
			}
		}
		old = append(old, p.points(t.id, kept)...)
	}
	return uniqueIDs(old), nil
}

// replacing holds apart requests that replace the same texts: each reads what
// there is of a text, and then changes it. All of a tenant's are on this node
// as long as it is in charge of the tenant. No tenant waits for another one.
type replacing struct {
	seed maphash.Seed
	mu   struct {
		sync.Mutex
		turns map[tenant.ID]*turns // of those with requests at work, no others
	}
}

// turns are those of a tenant's texts, by their hashes: full while one is at work.
type turns struct {
	users int // requests that hold one or wait; guarded by replacing.mu
	each  [64]chan struct{}
}

func newReplacing() *replacing {
	p := &replacing{seed: maphash.MakeSeed()}
	p.mu.turns = map[tenant.ID]*turns{}
	return p
}

// of returns the turns of a tenant, until done is called.
func (p *replacing) of(t tenant.ID) (its *turns, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	its = p.mu.turns[t]
	if its == nil {
		its = &turns{}
		for i := range its.each {
			its.each[i] = make(chan struct{}, 1)
		}
		p.mu.turns[t] = its
	}
	its.users++
	return its, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if its.users--; its.users == 0 {
			delete(p.mu.turns, t)
		}
	}
}

// enter waits until nobody else replaces one of the texts that have ids of the
// caller's, in the order of the turns so that no two wait for each other. Release
// lets the next one in.
func (p *replacing) enter(ctx context.Context, t tenant.ID, name collectionName, texts []storedText) (release func(), err error) {
	its, done := p.of(t)
	var held []int
	for i := range texts {
		if texts[i].given {
			key := string(name) + "\x00" + string(texts[i].id)
			held = append(held, int(maphash.String(p.seed, key)%uint64(len(its.each))))
		}
	}
	slices.Sort(held)
	held = slices.Compact(held)
	leave := func(taken []int) {
		for _, turn := range taken {
			<-its.each[turn]
		}
		done()
	}
	for i, turn := range held {
		select {
		case its.each[turn] <- struct{}{}:
		case <-ctx.Done():
			leave(held[:i])
			return nil, ctx.Err()
		}
	}
	return func() { leave(held) }, nil
}
