package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

var (
	kills = flag.Int("kills", 5, "how often TestKill9 kills the server")
	seed  = flag.Uint64("seed", 1, "seed of the random moments and writes")
)

// TestKill9 writes from several clients, kills the server at random moments
// and, after each restart, holds what is stored against what was acknowledged:
// every acknowledged point byte for byte, and nothing that nobody sent. A
// request that was cut off may have taken effect or not, but whole: all of its
// points or none.
func TestKill9(t *testing.T) {
	rng := rand.New(rand.NewPCG(*seed, 1))
	data := t.TempDir()
	s := start(t, data)
	s.must("PUT", "/collections/k", map[string]any{"vectors": map[string]any{"size": 8, "distance": "Euclid"}})
	m := &ackModel{}
	writers := make([]*writer, 4)
	for i := range writers {
		writers[i] = &writer{number: i, rng: rand.New(rand.NewPCG(*seed, uint64(i)+2)), state: map[uint64]stored{}}
	}
	for round := range *kills {
		var wg sync.WaitGroup
		for _, w := range writers {
			wg.Go(func() { w.writeUntilCut(s.qdrant) })
		}
		time.Sleep(time.Duration(20+rng.IntN(300)) * time.Millisecond) // the random moment itself
		s.kill()
		wg.Wait()
		s = start(t, data)
		m.acked = 0
		for _, w := range writers {
			w.settle(t, s)
			m.acked += len(w.state)
		}
		m.compare(t, s, writers, round)
	}
	t.Logf("%d kills, %d points at the end, %d requests acknowledged", *kills, m.acked, total(writers))
	if total(writers) < *kills {
		t.Fatal("hardly anything was acknowledged: the test tests nothing")
	}
}

type ackModel struct{ acked int }

// stored is what a point has to be.
type stored struct {
	Vector  [8]float32 `json:"vector"`
	Payload struct {
		Write int `json:"write"`
	} `json:"payload"`
}

// writer owns the ids that are its number modulo 4.
type writer struct {
	number int
	rng    *rand.Rand
	writes int
	acks   int
	state  map[uint64]stored  // acknowledged
	cut    map[uint64]*stored // of the request whose answer never came; nil = delete
}

func (w *writer) writeUntilCut(url string) {
	for {
		w.writes++
		change := w.next()
		a, err := w.send(url, change)
		if err != nil || a.status == http.StatusServiceUnavailable {
			w.cut = change
			return
		}
		if a.status != http.StatusOK {
			panic(fmt.Sprintf("write %d: %d %s", w.writes, a.status, a.body))
		}
		w.acks++
		w.apply(change)
	}
}

// next makes up one request: an upsert of some points or a delete of some.
func (w *writer) next() map[uint64]*stored {
	change := map[uint64]*stored{}
	del := w.rng.IntN(4) == 0
	for range 1 + w.rng.IntN(20) {
		id := uint64(w.rng.IntN(200))*4 + uint64(w.number)
		if del {
			change[id] = nil
			continue
		}
		p := &stored{}
		for i := range p.Vector {
			p.Vector[i] = w.rng.Float32()
		}
		p.Payload.Write = w.writes
		change[id] = p
	}
	return change
}

func (w *writer) send(url string, change map[uint64]*stored) (answer, error) {
	ids := slices.Sorted(maps.Keys(change))
	if change[ids[0]] == nil {
		return call(tenantKey, "POST", url+"/collections/k/points/delete?wait=true", map[string]any{"points": ids})
	}
	points := make([]map[string]any, len(ids))
	for i, id := range ids {
		points[i] = map[string]any{"id": id, "vector": change[id].Vector, "payload": change[id].Payload}
	}
	return call(tenantKey, "PUT", url+"/collections/k/points?wait=true", map[string]any{"points": points})
}

func (w *writer) apply(change map[uint64]*stored) {
	for id, p := range change {
		if p == nil {
			delete(w.state, id)
		} else {
			w.state[id] = *p
		}
	}
}

// settle finds out what became of the request that was cut off: all or nothing.
func (w *writer) settle(t *testing.T, s *server) {
	t.Helper()
	if w.cut == nil {
		return
	}
	now := s.points(t)
	applied, not := 0, 0
	for id, p := range w.cut {
		before, was := w.state[id]
		got, is := now[id]
		after := p != nil
		if is == after && (!after || got == *p) {
			applied++
		}
		if is == was && (!was || got == before) {
			not++
		}
	}
	switch len(w.cut) {
	case applied:
		w.apply(w.cut)
	case not:
	default:
		t.Fatalf("a request of %d points was applied in part: %d as after it, %d as before it", len(w.cut), applied, not)
	}
	w.cut = nil
}

func (m *ackModel) compare(t *testing.T, s *server, writers []*writer, round int) {
	t.Helper()
	got := s.points(t)
	want := map[uint64]stored{}
	for _, w := range writers {
		maps.Copy(want, w.state)
	}
	for id, p := range want {
		if got[id] != p {
			t.Fatalf("kill %d: point %d is %v, acknowledged was %v", round, id, got[id], p)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("kill %d: %d points stored, %d acknowledged", round, len(got), len(want))
	}
}

// points reads the whole collection.
func (s *server) points(t *testing.T) map[uint64]stored {
	t.Helper()
	all := map[uint64]stored{}
	var offset any
	for {
		raw := s.must("POST", "/collections/k/points/scroll", map[string]any{"limit": 500, "with_vector": true, "offset": offset})
		var page struct {
			Points []struct {
				ID uint64 `json:"id"`
				stored
			} `json:"points"`
			Next *uint64 `json:"next_page_offset"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Points {
			all[p.ID] = p.stored
		}
		if page.Next == nil {
			return all
		}
		offset = *page.Next
	}
}

func total(writers []*writer) (n int) {
	for _, w := range writers {
		n += w.acks
	}
	return n
}
