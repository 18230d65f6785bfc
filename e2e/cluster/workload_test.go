package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	tenantsOf      = 8 // a workload
	clientsOf      = 8
	idsAtATime     = 64 // registers of a tenant that are written at a time
	epochTime      = 20 * time.Second
	insertsBegin   = 1 << 40 // ids from here on are inserted once
	requestTimeout = 4 * time.Second
	patience       = time.Minute // for a request under an idempotency key, after the end
)

// workload is clients that write and read through all nodes, and what they saw.
type workload struct {
	fleet   *fleet
	found   *findings
	history *history
	tenants []*tenantUser
	clients []*client
	pace    time.Duration // mean pause of a client between two requests

	stop   chan struct{} // no new requests
	giveUp chan struct{} // no repetitions either
	done   sync.WaitGroup

	mu      sync.Mutex
	tally   map[string]*tally
	inserts []insert
}

// tally counts one kind of operation.
type tally struct{ ok, again, unknown int }

// insert is a batch of points that were never there before.
type insert struct {
	tenant int
	points []point
	acked  bool
}

// client sends one request at a time.
type client struct {
	*workload
	number int
	rng    *rand.Rand
	writes int64
}

func newWorkload(f *fleet, seed uint64, pace time.Duration) (*workload, error) {
	w := &workload{
		fleet: f, found: f.found, history: newHistory(), pace: pace, tally: map[string]*tally{},
		stop: make(chan struct{}), giveUp: make(chan struct{}),
	}
	rng := rand.New(rand.NewPCG(seed, 100))
	for i := range tenantsOf {
		u, err := newTenant(f.nodes[i%len(f.nodes)], i, rng)
		if err != nil {
			return nil, err
		}
		w.tenants = append(w.tenants, u)
	}
	for i := range clientsOf {
		w.clients = append(w.clients, &client{workload: w, number: i + 1, rng: rand.New(rand.NewPCG(seed, uint64(200+i)))})
	}
	return w, nil
}

func (w *workload) start() {
	for _, c := range w.clients {
		w.done.Go(c.run)
	}
}

// end lets the clients finish what they have begun. Everything must be healed.
func (w *workload) end() {
	close(w.stop)
	late := time.AfterFunc(patience, func() { close(w.giveUp) })
	defer late.Stop()
	w.done.Wait()
}

func (w *workload) count(what string, by func(*tally)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tally[what]
	if t == nil {
		t = &tally{}
		w.tally[what] = t
	}
	by(t)
}

func (c *client) run() {
	for wait(time.Duration(c.rng.ExpFloat64()*float64(c.pace)), c.stop) {
		who := c.tenants[c.rng.IntN(len(c.tenants))]
		switch n := c.rng.IntN(100); {
		case n < 40:
			c.read(who)
		case n < 45:
			c.scroll(who)
		case n < 48:
			c.query(who)
		case n < 75:
			c.upsert(who, c.ids(), true)
		case n < 83:
			c.upsert(who, c.ids(), false)
		case n < 90:
			c.remove(who)
		case n < 95:
			c.again(who)
		default:
			c.insert(who)
		}
	}
}

// ids draws some of the registers that are written at this time.
func (c *client) ids() []uint64 {
	epoch := uint64(c.history.now()/epochTime) * idsAtATime
	var ids []uint64
	for _, i := range c.rng.Perm(idsAtATime)[:1+c.rng.IntN(4)] {
		ids = append(ids, epoch+uint64(i)+1)
	}
	return ids
}

func (c *client) stamp() int64 {
	c.writes++
	s := int64(c.number)<<32 + c.writes
	c.history.sending(s)
	return s
}

// request is one request that can be sent again as it is.
type request struct {
	what         string // for the tally
	who          *tenantUser
	method, path string
	body         string
	key          string // idempotency key, or ""
}

type outcome int

const (
	done    outcome = iota
	nothing         // it took no effect
	unknown
)

// once sends a request through some node.
func (c *client) once(r request) (answer, outcome) {
	n := c.fleet.nodes[c.rng.IntN(len(c.fleet.nodes))]
	header := map[string]string{}
	if r.key != "" {
		header["Idempotency-Key"] = r.key
	}
	a, err := call{key: r.who.key, method: r.method, url: n.qdrant + "/collections/k/points" + r.path, header: header, body: r.body, timeout: requestTimeout}.do()
	if canary := r.who.foreign(a.body); canary != "" {
		c.found.add("%s of tenant %d through %s is answered with bytes of another: %q", r.what, r.who.number, n.name, canary)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return a, nothing
	case err != nil:
		return a, unknown
	}
	switch a.status {
	case http.StatusOK:
		return a, done
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInsufficientStorage, http.StatusConflict:
	default:
		c.found.add("%s of tenant %d through %s is answered %d %.300s", r.what, r.who.number, n.name, a.status, a.body)
	}
	return a, unknown
}

// send sends a request, under an idempotency key until it is answered.
func (c *client) send(r request) (answer, outcome) {
	for try := 0; ; try++ {
		a, o := c.once(r)
		if o == done {
			c.count(r.what, func(t *tally) { t.ok++ })
			return a, done
		}
		if r.key == "" {
			c.count(r.what, func(t *tally) { t.unknown++ })
			return a, o
		}
		c.count(r.what, func(t *tally) { t.again++ })
		if !wait(time.Duration(20+c.rng.IntN(200))*time.Millisecond, c.giveUp) {
			c.found.add("%s of tenant %d under key %q had no answer in all the time until %v after the end", r.what, r.who.number, r.key, patience)
			return a, unknown
		}
	}
}

// write makes a request that is a write of the client's own.
func (c *client) write(what string, who *tenantUser, method, path string, body any, keyed bool) request {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	r := request{what: what, who: who, method: method, path: path + "?wait=true", body: string(raw)}
	if keyed {
		c.writes++
		r.key = fmt.Sprintf("client %d, request %d", c.number, c.writes)
		r.what += ", with key"
	}
	return r
}

// note adds a write to the history of each register that it touched.
func (c *client) note(who *tenantUser, values map[uint64]int64, call time.Duration, o outcome) {
	if o == nothing {
		return
	}
	ret := never
	if o == done {
		ret = c.history.now()
	}
	for id, value := range values {
		c.history.add(record{register{who.number, id}, c.number, true, value, call, ret})
	}
}

// upsert writes registers; it returns the request and what it was told.
func (c *client) upsert(who *tenantUser, ids []uint64, keyed bool) (request, answer, outcome) {
	values := map[uint64]int64{}
	var points []point
	for _, id := range ids {
		values[id] = c.stamp()
		points = append(points, newPoint(who, id, values[id], fillOf(id)))
	}
	r := c.write("upsert", who, "PUT", "", map[string]any{"points": points}, keyed)
	call := c.history.now()
	a, o := c.send(r)
	c.note(who, values, call, o)
	return r, a, o
}

func (c *client) remove(who *tenantUser) {
	values := map[uint64]int64{}
	ids := c.ids()
	for _, id := range ids {
		values[id] = 0
	}
	r := c.write("delete", who, "POST", "/delete", map[string]any{"points": ids}, true)
	call := c.history.now()
	_, o := c.send(r)
	c.note(who, values, call, o)
}

// again repeats a request under its idempotency key after it was acknowledged
// and something newer was written: it has to say what it said before, and to
// change nothing, which the history shows.
func (c *client) again(who *tenantUser) {
	ids := c.ids()
	r, first, o := c.upsert(who, ids, true)
	if o != done {
		return
	}
	c.upsert(who, ids, true)
	r.what = "repetition"
	second, o := c.send(r)
	if o == done && operationOf(first) != operationOf(second) {
		c.found.add("a request repeated under its key %q is operation %d, it was %d", r.key, operationOf(second), operationOf(first))
	}
}

func operationOf(a answer) uint64 {
	var body struct {
		Result struct {
			Operation uint64 `json:"operation_id"`
		}
	}
	_ = json.Unmarshal(a.body, &body)
	return body.Result.Operation
}

// insert stores points that were never there before.
func (c *client) insert(who *tenantUser) {
	var points []point
	for range 5 + c.rng.IntN(25) {
		s := c.stamp()
		points = append(points, newPoint(who, insertsBegin+uint64(s), s, fillOf(insertsBegin)))
	}
	_, o := c.send(c.write("insert", who, "PUT", "", map[string]any{"points": points}, c.rng.IntN(2) == 0))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inserts = append(c.inserts, insert{who.number, points, o == done})
}

// reads sends a read and adds what it saw to the history; ids are those that
// are absent unless they are in the answer.
func (c *client) reads(r request, ids []uint64) {
	call := c.history.now()
	a, o := c.send(r)
	if o != done {
		return
	}
	ret := c.history.now()
	list, err := decodePoints(a.body)
	if err != nil {
		c.found.add("%s of tenant %d: %v in %.300s", r.what, r.who.number, err, a.body)
		return
	}
	values := map[uint64]int64{}
	for _, id := range ids {
		values[id] = 0
	}
	for _, p := range list {
		if err := p.genuine(r.who); err != nil {
			c.found.add("%s of tenant %d: %v", r.what, r.who.number, err)
		}
		if p.ID < insertsBegin {
			values[p.ID] = p.Payload.Stamp
		}
	}
	for id, value := range values {
		c.history.add(record{register{r.who.number, id}, c.number, false, value, call, ret})
	}
}

func (c *client) read(who *tenantUser) {
	ids := c.ids()
	if epoch := int(ids[0]-1) / idsAtATime; c.rng.IntN(5) == 0 && epoch > 0 { // what was written long ago
		for i := range ids {
			ids[i] -= uint64(1+c.rng.IntN(epoch)) * idsAtATime
		}
	}
	body, _ := json.Marshal(map[string]any{"ids": ids, "with_vector": true, "with_payload": true})
	c.reads(request{what: "read", who: who, method: "POST", body: string(body)}, ids)
}

// scroll reads a page from some register on. What is missing before the last
// point of it is absent, but the page does not say where it began to miss, so
// only what is there is noted.
func (c *client) scroll(who *tenantUser) {
	body, _ := json.Marshal(map[string]any{"offset": c.ids()[0], "limit": 16, "with_vector": true, "with_payload": true})
	c.reads(request{what: "scroll", who: who, method: "POST", path: "/scroll", body: string(body)}, nil)
}

// query searches near the vector of some write.
func (c *client) query(who *tenantUser) {
	near := newPoint(who, c.ids()[0], int64(c.number)<<32+c.rng.Int64N(c.writes+1), 2)
	body, _ := json.Marshal(map[string]any{"query": near.Vector, "limit": 5, "with_vector": true, "with_payload": true})
	c.reads(request{what: "query", who: who, method: "POST", path: "/query", body: string(body)}, nil)
}
