package httpedge

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"

	"github.com/hivehub/waggle/collection"
	"github.com/hivehub/waggle/tenant"
)

// chunk is the id of a text's i-th chunk. Ids of texts have no #.
func (v vectorID) chunk(i int) vectorID { return v + "#" + vectorID(strconv.Itoa(i)) }

// chunksOf returns how many chunks there are of each text: nothing where a text
// is not stored in chunks. The first chunk says so, if it is one.
func (s *Server) chunksOf(r *request, tc tenant.Context, name collectionName, ids []vectorID) (map[vectorID]int, error) {
	parents := make(map[collection.PointID]vectorID, len(ids))
	firsts := make([]collection.PointID, 0, len(ids))
	for _, id := range ids {
		if len(id) <= textIDMax {
			first, _ := id.chunk(0).point()
			parents[first] = id
			firsts = append(firsts, first)
		}
	}
	want := collection.PayloadSelector{Include: []string{chunkParent, chunkCount}}
	points, err := s.engine.Retrieve(r.ctx, tc, string(name), firsts, want, collection.VectorSelector{})
	if err != nil {
		return nil, err
	}
	counts := map[vectorID]int{}
	for i := range points {
		parent := parents[points[i].ID]
		// Who writes payloads through another surface can claim anything.
		n, is := points[i].Payload[chunkCount].(int64)
		if is && points[i].Payload[chunkParent] == string(parent) && n > 0 && n <= int64(s.limits.Request.BatchPoints) {
			counts[parent] = int(n)
		}
	}
	return counts, nil
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
		texts[i] = storedText{id: id, given: true}
	}
	release, err := s.replacing.enter(r.ctx, tc.TenantID, name, texts)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	counts, err := s.chunksOf(r, tc, name, ids)
	if err != nil {
		return 0, 0, err
	}
	points := make([]collection.PointID, 0, len(ids))
	chunks := 0
	for _, id := range ids {
		if counts[id] == 0 {
			point, _ := id.point()
			points = append(points, point)
		}
	}
	points = uniqueIDs(points)
	singles := len(points)
	for _, id := range sortedKeys(counts) {
		chunks += counts[id]
		for i := range counts[id] {
			point, _ := id.chunk(i).point()
			points = append(points, point)
		}
	}
	answer, err := s.engine.Write(r.ctx, tc, string(name), collection.Write{Delete: &collection.Selection{IDs: points}}, options)
	return answer.Affected, max(0, singles-max(0, answer.Affected-chunks)), err
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
	counts, err := s.chunksOf(r, tc, name, given)
	if err != nil {
		return nil, err
	}
	var old []collection.PointID
	for i := range texts {
		t := &texts[i]
		if !t.given {
			continue
		}
		kept := 0
		if t.chunked {
			kept = len(t.ids)
			point, _ := t.id.point()
			old = append(old, point)
		}
		for n := kept; n < counts[t.id]; n++ {
			point, _ := t.id.chunk(n).point()
			old = append(old, point)
		}
	}
	return old, nil
}

// replacing holds apart requests that replace the same texts: each reads what
// there is of a text, and then changes it. All of a tenant's are on this node
// as long as it is in charge of the tenant.
type replacing struct {
	seed  maphash.Seed
	turns [64]chan struct{} // by hashes of texts: full while one is at work
}

func newReplacing() *replacing {
	p := &replacing{seed: maphash.MakeSeed()}
	for i := range p.turns {
		p.turns[i] = make(chan struct{}, 1)
	}
	return p
}

// enter waits until nobody else replaces one of the texts that have ids of the
// caller's, in the order of the turns so that no two wait for each other. Release
// lets the next one in.
func (p *replacing) enter(ctx context.Context, t tenant.ID, name collectionName, texts []storedText) (release func(), err error) {
	var held []int
	for i := range texts {
		if texts[i].given {
			key := string(t) + "\x00" + string(name) + "\x00" + string(texts[i].id)
			held = append(held, int(maphash.String(p.seed, key)%uint64(len(p.turns))))
		}
	}
	slices.Sort(held)
	held = slices.Compact(held)
	leave := func(taken []int) {
		for _, turn := range taken {
			<-p.turns[turn]
		}
	}
	for i, turn := range held {
		select {
		case p.turns[turn] <- struct{}{}:
		case <-ctx.Done():
			leave(held[:i])
			return nil, ctx.Err()
		}
	}
	return func() { leave(held) }, nil
}
