package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	dim         = 8
	writersEach = 2 // of a tenant
	groups      = 5 // that a writer's points are in
)

// stored is what a point has to be.
type stored struct {
	Vector  [dim]float32 `json:"vector"`
	Payload struct {
		Writer int `json:"writer"`
		Group  int `json:"group"`
		Write  int `json:"write"`
		Tag    int `json:"tag,omitempty"`
	} `json:"payload"`
}

// points are the points of a collection by id.
type points map[uint64]stored

// change is one request and what it makes of the points that it touches.
type change struct {
	method, path string
	body         any
	key          string             // idempotency key, "" = none
	after        map[uint64]*stored // nil = deleted
	operation    uint64             // of the answer
}

func (c *change) apply(to points) {
	for id, p := range c.after {
		if p == nil {
			delete(to, id)
		} else {
			to[id] = *p
		}
	}
}

// writer owns the points whose id is its number modulo writersEach, and sends
// one request at a time.
type writer struct {
	number int
	key    string
	rng    *rand.Rand
	writes int
	state  points  // acknowledged
	cut    *change // whose answer never came
	keyed  *change // the last one acknowledged under an idempotency key
}

func newWriter(number int, key string, rng *rand.Rand) *writer {
	return &writer{number: number, key: key, rng: rng, state: points{}}
}

// writeUntilCut sends requests until one is not answered.
func (w *writer) writeUntilCut(url string, acked func()) error {
	for {
		c := w.next()
		a, err := w.send(url, c)
		if err != nil || a.status == http.StatusServiceUnavailable {
			w.cut = c
			return nil
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("%s %s: %d %s", c.method, c.path, a.status, a.body)
		}
		acked()
		c.apply(w.state)
		if c.key != "" {
			w.keyed = c
		}
	}
}

// send sends a change and notes the operation of its answer.
func (w *writer) send(url string, c *change) (answer, error) {
	header := map[string]string{}
	if c.key != "" {
		header["Idempotency-Key"] = c.key
	}
	a, err := call{key: w.key, method: c.method, url: url + "/collections/k/points" + c.path + "?wait=true", header: header, body: c.body}.do()
	if err == nil && a.status == http.StatusOK {
		var body struct {
			Result struct {
				Operation uint64 `json:"operation_id"`
			}
		}
		err = json.Unmarshal(a.body, &body)
		c.operation = body.Result.Operation
	}
	return a, err
}

// next makes up a request.
func (w *writer) next() *change {
	w.writes++
	switch w.rng.IntN(8) {
	case 0:
		return w.deleteIDs()
	case 1:
		return w.deleteGroup()
	case 2:
		return w.tagIDs()
	case 3:
		return w.tagGroup()
	}
	return w.upsert(w.ids()...)
}

// ids draws some of the writer's ids.
func (w *writer) ids() []uint64 {
	ids := map[uint64]bool{}
	for range 1 + w.rng.IntN(20) {
		ids[uint64(w.rng.IntN(200)*writersEach+w.number)] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

func (w *writer) upsert(ids ...uint64) *change {
	c := &change{method: "PUT", after: map[uint64]*stored{}}
	var list []any
	for _, id := range ids {
		p := &stored{}
		for i := range p.Vector {
			p.Vector[i] = w.rng.Float32()
		}
		p.Payload.Writer, p.Payload.Group, p.Payload.Write = w.number, w.rng.IntN(groups), w.writes
		c.after[id] = p
		list = append(list, map[string]any{"id": id, "vector": p.Vector, "payload": p.Payload})
	}
	c.body = map[string]any{"points": list}
	if w.rng.IntN(3) == 0 {
		c.key = fmt.Sprintf("writer %d, write %d", w.number, w.writes)
	}
	return c
}

func (w *writer) deleteIDs() *change {
	ids := w.ids()
	c := &change{method: "POST", path: "/delete", body: map[string]any{"points": ids}, after: map[uint64]*stored{}}
	for _, id := range ids {
		c.after[id] = nil
	}
	return c
}

func (w *writer) deleteGroup() *change {
	filter, ids := w.group()
	c := &change{method: "POST", path: "/delete", body: map[string]any{"filter": filter}, after: map[uint64]*stored{}}
	for _, id := range ids {
		c.after[id] = nil
	}
	return c
}

func (w *writer) tagIDs() *change {
	ids := w.ids()
	return w.tag(map[string]any{"points": ids}, ids)
}

func (w *writer) tagGroup() *change {
	filter, ids := w.group()
	return w.tag(map[string]any{"filter": filter}, ids)
}

// tag sets one field of the payload of those points that there are.
func (w *writer) tag(body map[string]any, ids []uint64) *change {
	body["payload"] = map[string]any{"tag": w.writes}
	c := &change{method: "POST", path: "/payload", body: body, after: map[uint64]*stored{}}
	for _, id := range ids {
		if p, ok := w.state[id]; ok {
			p.Payload.Tag = w.writes
			c.after[id] = &p
		}
	}
	return c
}

// group is a filter that finds some of the writer's points, and which.
func (w *writer) group() (filter map[string]any, ids []uint64) {
	g := w.rng.IntN(groups)
	for id, p := range w.state {
		if p.Payload.Group == g {
			ids = append(ids, id)
		}
	}
	match := func(key string, value int) any {
		return map[string]any{"key": key, "match": map[string]any{"value": value}}
	}
	return map[string]any{"must": []any{match("writer", w.number), match("group", g)}}, ids
}

// ledger is what one tenant's writers were told.
type ledger struct {
	key     string
	writers []*writer
}

// errLedger is what settle returns when the server does not hold what it
// acknowledged.
var errLedger = errors.New("not what was acknowledged")

// settle holds the server against the ledger, finds out what became of the
// requests that were cut off, repeats those with an idempotency key, and
// holds the server against the ledger again.
func (l *ledger) settle(u user) error {
	got := u.points()
	for _, w := range l.writers {
		if err := w.settleCut(got); err != nil {
			return err
		}
	}
	if err := l.compare(got); err != nil {
		return err
	}
	if n := u.counted(); n != len(got) {
		return fmt.Errorf("%w: the collection counts %d points, a scroll finds %d", errLedger, n, len(got))
	}
	for _, w := range l.writers {
		if err := w.repeat(u.s.qdrant); err != nil {
			return err
		}
	}
	got = u.points()
	if n := u.counted(); n != len(got) {
		return fmt.Errorf("%w: the collection counts %d points, a scroll finds %d", errLedger, n, len(got))
	}
	return l.compare(got)
}

// settleCut finds out what became of the request that was cut off: its points
// are all as after it, or all as before.
func (w *writer) settleCut(got points) error {
	c := w.cut
	if c == nil {
		return nil
	}
	applied, not := 0, 0
	for id, p := range c.after {
		now, is := got[id]
		before, was := w.state[id]
		if is == (p != nil) && (p == nil || now == *p) {
			applied++
		}
		if is == was && now == before {
			not++
		}
	}
	switch len(c.after) {
	case applied:
		c.apply(w.state)
	case not:
		c.operation = 0
		w.cut = nil
		if c.key != "" {
			w.keyed, w.cut = nil, c
		}
		return nil
	default:
		return fmt.Errorf("%w: a request on %d points was applied in part: %d are as after it, %d as before", errLedger, len(c.after), applied, not)
	}
	w.cut = nil
	if c.key != "" {
		w.keyed = c
	}
	return nil
}

// repeat sends again what was sent under an idempotency key. If it took effect
// before, the repetition must change nothing, though other writes came since.
func (w *writer) repeat(url string) error {
	if c := w.cut; c != nil { // it had no effect: the first repetition has
		if err := w.sendAgain(url, c); err != nil {
			return err
		}
		c.apply(w.state)
		w.cut, w.keyed = nil, c
	}
	c := w.keyed
	if c == nil {
		return nil
	}
	newer := w.upsert(slices.Sorted(maps.Keys(c.after))[0])
	newer.key = ""
	if err := w.sendAgain(url, newer); err != nil {
		return err
	}
	newer.apply(w.state)
	before := c.operation
	if err := w.sendAgain(url, c); err != nil {
		return err
	}
	if before != 0 && c.operation != before {
		return fmt.Errorf("%w: a request repeated under its idempotency key is operation %d, it was %d", errLedger, c.operation, before)
	}
	return nil
}

func (w *writer) sendAgain(url string, c *change) error {
	a, err := w.send(url, c)
	if err != nil || a.status != http.StatusOK {
		return fmt.Errorf("send %s again: %d %s, %w", c.path, a.status, a.body, err)
	}
	return nil
}

// compare holds all points against what was acknowledged.
func (l *ledger) compare(got points) error {
	want := points{}
	for _, w := range l.writers {
		maps.Copy(want, w.state)
	}
	var faults []string
	for id, p := range want {
		if now, ok := got[id]; !ok || now != p {
			faults = append(faults, fmt.Sprintf("point %d is %v (there: %t), acknowledged was %v", id, now, ok, p))
		}
	}
	for id := range got {
		if _, ok := want[id]; !ok {
			faults = append(faults, fmt.Sprintf("point %d is there and should not be", id))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d faults, among them %s", errLedger, len(faults), strings.Join(faults[:min(3, len(faults))], "; "))
}

// points reads the whole collection.
func (u user) points() points {
	u.s.t.Helper()
	all := points{}
	var offset any
	for {
		raw := u.must("POST", "/collections/k/points/scroll", map[string]any{"limit": 500, "with_vector": true, "offset": offset})
		var page struct {
			Points []struct {
				ID uint64 `json:"id"`
				stored
			} `json:"points"`
			Next *uint64 `json:"next_page_offset"`
		}
		u.decode(raw, &page)
		for _, p := range page.Points {
			all[p.ID] = p.stored
		}
		if page.Next == nil {
			return all
		}
		offset = *page.Next
	}
}

// counted is the collection's own count.
func (u user) counted() int {
	u.s.t.Helper()
	var info struct {
		Points int `json:"points_count"`
	}
	u.decode(u.must("GET", "/collections/k", nil), &info)
	return info.Points
}

// TestLedger holds that the ledger notices what a database may do wrong.
func TestLedger(t *testing.T) {
	rng := rand.New(rand.NewPCG(*seed, 9))
	w := newWriter(0, "", rng)
	l := &ledger{writers: []*writer{w}}
	w.upsert(0, 2, 4, 6).apply(w.state)
	if err := l.compare(maps.Clone(w.state)); err != nil {
		t.Fatalf("the right points: %v", err)
	}
	for name, spoil := range map[string]func(points){
		"lost":    func(p points) { delete(p, 2) },
		"surplus": func(p points) { p[8] = p[2] },
		"swapped": func(p points) { p[2], p[4] = p[4], p[2] },
		"vector":  func(p points) { x := p[2]; x.Vector[7] += 1e-6; p[2] = x },
		"payload": func(p points) { x := p[2]; x.Payload.Tag++; p[2] = x },
	} {
		got := maps.Clone(w.state)
		spoil(got)
		if err := l.compare(got); !errors.Is(err, errLedger) {
			t.Errorf("%s: not noticed: %v", name, err)
		}
	}
	w.cut = w.upsert(2, 4, 8)
	half := maps.Clone(w.state)
	half[8] = *w.cut.after[8]
	if err := w.settleCut(half); !errors.Is(err, errLedger) {
		t.Errorf("half a request: not noticed: %v", err)
	}
	whole := maps.Clone(w.state)
	w.cut.apply(whole)
	if err := w.settleCut(whole); err != nil || !maps.Equal(w.state, whole) || w.cut != nil {
		t.Errorf("a whole request: %v", err)
	}
}
